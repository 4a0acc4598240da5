package proof

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file in testdata, or writes it.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (write it with -update)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

const exampleID = "01JDCPW5E0000000000000000A"

var (
	exampleTime   = time.UnixMilli(1763924400123)
	exampleKey    = bytes.Repeat([]byte{7}, KeySize)
	exampleDigest = CanonicalDigest("signalbox/example/1", Text("sql", "DROP TABLE orders"))
	exampleActor  = signalbox.Actor{Kind: signalbox.Agent, Name: "claude", For: "alice"}
	exampleClear  = []Action{{
		Verb:        signalbox.Delete,
		Native:      "DROP TABLE",
		Resources:   []signalbox.Resource{{Type: "table", Name: "public.orders", Whole: true, ID: "16401"}},
		Impact:      Impact{Count: 1200, Scope: signalbox.ScopeAll, Measured: true, Total: 1200, Dependants: 2},
		Fingerprint: "b0a2c4d6e8f01234",
		Traits:      []signalbox.Trait{signalbox.TraitDataLoss},
	}}
	exampleHold = Verdict{
		Decision: signalbox.Hold, Policies: []string{"destructive-in-production"}, Requires: []string{"2 of sre"},
		Confirm: true, Expires: 900_000, Reason: "destroys data in production",
	}
	exampleAllow = Verdict{Decision: signalbox.Allow, Policies: []string{"agents-may-read"}}
)

const (
	exampleSession = signalbox.SessionID("s-01JDCPW5E0")
	exampleHoldID  = "h-7K3M2Q"
	exampleIntent  = "01JDCPW5E0000000000000000B"
)

// example gives an entry of kind k with every clear and every hidden field set.
func example(t *testing.T, k Kind) (Body, Hidden) {
	t.Helper()
	body, hidden := firstExample(t, k)
	reference := signalbox.Reference{{Name: signalbox.RefSession, Value: "692a5c10.1f3"},
		{Name: signalbox.RefTransaction, Value: "7411"}}
	switch b := body.(type) {
	case Intent:
		b.Direction, b.Parent = Revert, Parent{"r-4T9", "canary", "orders-eu"}
		body = b
		hidden["reference"] = reference
	case Outcome, Resolution, Observation:
		hidden["reference"] = append(reference, signalbox.Fact{Name: signalbox.RefStatements, Value: "9"})
	case Refusal, Read:
		hidden["salt"] = "c2FsdA"
	}
	if k == KindBreakGlassEnd {
		hidden = nil
	}
	for _, name := range []string{"shape", "state", "statements"} {
		if name != "state" || k != KindHold {
			delete(hidden, name)
		}
	}
	return body, hidden
}

// grown are the kinds whose form has grown or shrunk since it was first
// published. Their first golden files stay as they are: old logs are full of
// such entries.
var grown = []Kind{KindIntent, KindOutcome, KindResolution, KindRefusal, KindHold, KindReads, KindRead,
	KindBreakGlassEnd}

// goldenFile is the golden file of the kind as it is written now.
func goldenFile(k Kind) string {
	if slices.Contains(grown, k) {
		return string(k) + ".2.golden.json"
	}
	return string(k) + ".golden.json"
}

// firstExample is example for the form that was published first.
func firstExample(t *testing.T, k Kind) (Body, Hidden) {
	t.Helper()
	const session, hold, intent = exampleSession, exampleHoldID, exampleIntent
	switch k {
	case KindStart:
		return Start{"log.example.org/2026", "log.example.org/2026+5bd1ab3c+AZ…", "v0.1.0",
			"log.example.org/2025\n12\n…"}, nil
	case KindSessionStart:
		return SessionStart{session, exampleActor, []string{"orders-db"}, At(exampleTime.Add(time.Hour)), "bob"},
			Hidden{"purpose": "fix the rounding bug in orders"}
	case KindSessionEnd:
		return SessionEnd{session, "alice", "ended"}, nil
	case KindIntent:
		return Intent{session, exampleActor, "orders-db", "postgres:orders", signalbox.Production, exampleClear,
				exampleHold, exampleDigest,
				hold, "b-1", intent, exampleDigest, 42, true, "replica-1", Forward, Parent{}},
			Hidden{"request": "DROP TABLE orders", "parameters": []string{}, "all_actions": exampleClear,
				"salt": "c2FsdA", "shape": "DROP TABLE orders", "state": map[string]string{"oid": "16401"}}
	case KindOutcome:
		return Outcome{intent, signalbox.Failed, "42P01", signalbox.CountUnknown,
				map[string]int64{"public.orders": 3, "public.lines": 9}},
			Hidden{"detail": `relation "orders" does not exist <&>`}
	case KindResolution:
		return Resolution{intent, signalbox.Done, "00000", 1, "bob"}, Hidden{"detail": "found in the target's own log"}
	case KindRefusal:
		return Refusal{session, exampleActor, "orders-db", "postgres:orders", signalbox.Production, exampleClear,
				Verdict{Decision: signalbox.Deny, Policies: []string{"no-superuser"},
					Reason: "agents never become superuser"}, exampleDigest, hold, exampleDigest},
			Hidden{"request": "ALTER ROLE app SUPERUSER", "parameters": nil, "all_actions": nil,
				"reason": "quotes the request", "shape": "ALTER ROLE app SUPERUSER"}
	case KindHold:
		return Hold{hold, session, exampleActor, "orders-db", "postgres:orders", signalbox.Production, exampleClear,
				exampleHold, exampleDigest, exampleDigest, exampleDigest,
				At(exampleTime.Add(15 * time.Minute))},
			Hidden{"request": "DROP TABLE orders", "parameters": nil, "all_actions": nil,
				"facts": []string{"1200 rows"}, "salt": "c2FsdA", "shape": "DROP TABLE orders",
				"state": map[string]string{"oid": "16401"}}
	case KindApproval:
		return Approval{hold, "bob", Yes, exampleDigest, true, At(exampleTime.Add(15 * time.Minute))},
			Hidden{"comment": "seen the backup"}
	case KindConfirmation:
		return Confirmation{hold, "alice", At(exampleTime.Add(15 * time.Minute))}, nil
	case KindWithdrawal:
		return Withdrawal{hold, "alice"}, Hidden{"reason": "not needed any more"}
	case KindExpiry:
		return Expiry{hold}, nil
	case KindDead:
		return Dead{hold, "state", "h-8L4N3R"}, Hidden{"detail": `oid: was "16401", is "16500"`}
	case KindReads:
		return Reads{session, exampleActor, "orders-db", "postgres:orders", signalbox.Production, At(exampleTime),
				At(exampleTime.Add(time.Second)), 12, 340,
				[]ShapeCount{{"9f8e7d6c5b4a3210", "SELECT * FROM orders WHERE id = $1", 11, 11}}, 1, exampleDigest},
			Hidden{"statements": []string{"SELECT * FROM orders WHERE id = 7"}}
	case KindRead:
		return Read{session, exampleActor, "orders-db", "postgres:orders", signalbox.Production, exampleClear,
				exampleAllow, exampleDigest, exampleDigest, signalbox.CountUnknown},
			Hidden{"request": "SELECT * FROM cards", "parameters": nil, "all_actions": nil,
				"shape": "SELECT * FROM cards"}
	case KindHalt:
		return Halt{ScopeActor, "claude", "bob"}, Hidden{"reason": "looks lost"}
	case KindResume:
		return Resume{ScopeActor, "claude", "bob"}, Hidden{"reason": "was a false alarm"}
	case KindFreezeStart:
		return FreezeStart{"f-1", []signalbox.Environment{signalbox.Production}, []string{"orders-db"},
			At(exampleTime), At(exampleTime.Add(time.Hour)), "bob"}, Hidden{"reason": "black friday"}
	case KindFreezeEnd:
		return FreezeEnd{"f-1", "bob"}, Hidden{"reason": "over"}
	case KindBreakGlassStart:
		return BreakGlassStart{"b-1", "bob", "s-2", []string{"orders-db"}, []signalbox.Verb{signalbox.Update},
			At(exampleTime.Add(time.Minute))}, Hidden{"reason": "customers cannot pay"}
	case KindBreakGlassEnd:
		return BreakGlassEnd{"b-1", "bob"}, Hidden{"reason": "paid"}
	case KindUser:
		return User{Name: "carol", Groups: []string{"dba", "sre"}, By: "bob", Op: "add"}, nil
	case KindPolicy:
		return Policy{exampleDigest, "bob", "active", []PolicyFile{{"default.cedar", exampleDigest}}, hold},
			Hidden{"content": map[string]string{"default.cedar": "permit(…);"}}
	case KindObservation:
		return Observation{"hook of claude", At(exampleTime.Add(-time.Second)), session, exampleActor, "app",
				"orders-db", "postgres:orders", signalbox.Production,
				exampleClear, intent},
			Hidden{"request": "DROP TABLE orders", "parameters": []string{}, "all_actions": exampleClear}
	case KindStorm:
		return Storm{"orders-db", session, "refusals", 5000, At(exampleTime), At(exampleTime.Add(time.Minute))}, nil
	case KindErase:
		return Erase{17, intent, "bob"}, Hidden{"reason": "request of the person concerned"}
	case KindRecovery:
		return Recovery{"replica-2", "replica-1", 3}, nil
	case KindLogin:
		return Login{"carol", "in"}, Hidden{"from": "192.0.2.7"}
	case KindDisclosing:
		return Disclosing{17, intent, "bob", []string{"request"}}, nil
	case KindSettings:
		return Settings{"replica-1", "v0.1.0", "lower", true, true, 900_000, 86_400_000, 20,
			[]GateSetting{{"orders-db", "postgres", signalbox.Production, "postgres:orders", "summary", 100, 1000}}, 1,
			[]string{"approvals.allow_live_agents: false, now true"}}, nil
	}
	t.Fatalf("no example of kind %q: add one", k)
	return nil, nil
}

// What was published first is read still, and is still what these fields give.
func TestFirstFormsGolden(t *testing.T) {
	for _, k := range grown {
		t.Run(string(k), func(t *testing.T) {
			body, hidden := firstExample(t, k)
			leaf, err := seal(Header{ID: exampleID, Time: exampleTime}, body, hidden, exampleKey)
			if err != nil {
				t.Fatal(err)
			}
			old, err := os.ReadFile(filepath.Join("testdata", string(k)+".golden.json")) // never written anew
			if err != nil {
				t.Fatal(err)
			}
			old = bytes.TrimSuffix(old, []byte("\n"))
			if diff := cmp.Diff(string(old), string(leaf.Bytes)); diff != "" {
				t.Errorf("the first form differs (-want +got):\n%s", diff)
			}
			if _, err := Decode(old); err != nil {
				t.Error(err)
			}
			for name, value := range hidden {
				ds, err := Disclose(leaf.Key, leaf.Payload, name)
				if err != nil {
					t.Fatal(err)
				}
				want, _ := marshal(value)
				if got, raw, err := CheckDisclosure(old, ds[0]); err != nil || got != name || !bytes.Equal(raw, want) {
					t.Errorf("disclosed %q = %s (%v), want %q = %s", got, raw, err, name, want)
				}
			}
		})
	}
}

func TestEntriesGolden(t *testing.T) {
	for _, k := range Kinds() {
		t.Run(string(k), func(t *testing.T) {
			body, hidden := example(t, k)
			leaf, err := seal(Header{ID: exampleID, Time: exampleTime}, body, hidden, exampleKey)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, goldenFile(k), append(leaf.Bytes, '\n'))
			e, err := Decode(leaf.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if e.ID != exampleID || !e.Time.Equal(exampleTime) {
				t.Errorf("decoded header %v, want %s %s", e.Header, exampleID, exampleTime)
			}
			got, _ := json.Marshal(e.Body)
			want, _ := json.Marshal(body)
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("decoded body differs (-want +got):\n%s", diff)
			}
		})
	}
}
