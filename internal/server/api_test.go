package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/api"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// An operation as the served description has it.
type operation struct {
	method, path, id, class string
	params                  []string
}

// description reads what the server says of its own API.
func description(t *testing.T, s *server.Server) (text string, ops []operation) {
	t.Helper()
	status, text := get(t, s.URL()+"/api/openapi.json")
	if status != http.StatusOK {
		t.Fatalf("description: status %d", status)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			ID         string `json:"operationId"`
			Class      string `json:"x-signalbox-class"`
			Parameters []struct {
				Name, In string
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			o := operation{method: strings.ToUpper(method), path: path, id: op.ID, class: op.Class}
			for _, p := range op.Parameters {
				if p.In == "path" {
					o.params = append(o.params, "{"+p.Name+"}")
				}
			}
			ops = append(ops, o)
		}
	}
	slices.SortFunc(ops, func(a, b operation) int { return strings.Compare(a.id, b.id) })
	return text, ops
}

func (o operation) call(t *testing.T, s *server.Server, token string) (int, string) {
	t.Helper()
	path := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(o.path, "01K00000000000000000000000")
	req, err := http.NewRequestWithContext(t.Context(), o.method, s.URL()+path, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}

// P5: every operation that the server offers has a class, and every class an
// operation.
func TestP5EveryOperationHasAClass(t *testing.T) {
	_, ops := description(t, start(t, nil))
	classes := api.Classes()
	for _, o := range ops {
		if classes[o.id] == 0 || o.class != classes[o.id].String() {
			t.Errorf("%s %s (%s): class %q, want %q", o.method, o.path, o.id, o.class, classes[o.id])
		}
		if want := regexp.MustCompile(`\{\w+\}`).FindAllString(o.path, -1); !slices.Equal(o.params, want) {
			t.Errorf("%s: parameters %v, the path has %v", o.id, o.params, want)
		}
		delete(classes, o.id)
	}
	for id := range classes {
		t.Errorf("class for %q, which is no operation", id)
	}
}

// P5: no credential of a session reaches an operation that approves, mints
// credentials, changes policy, resumes or ends a freeze. The operations that it
// reaches are listed here by hand: an addition is a decision.
func TestP5SessionsReachOnlyTheirOwn(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	o, err := alice.OpenSession(t.Context(), client.NewSession{Agent: "claude"})
	if err != nil {
		t.Fatal(err)
	}
	reach := []string{
		"end-session", "explain", "list-entries", "list-gates", "list-session-holds", "log-head", "login",
		"prove-entry", "server",
		"show-entry", "show-hold", "show-session", "wait-hold", "whoami", "withdraw-hold",
	}
	_, ops := description(t, s)
	var reached []string
	for _, op := range ops {
		if op.id == "login" {
			reached = append(reached, op.id) // needs no credential; the code is its own proof
			continue
		}
		status, body := op.call(t, s, o.Credentials["api"])
		if status != http.StatusForbidden {
			reached = append(reached, op.id)
		} else if !strings.Contains(body, "only people may") {
			t.Errorf("%s: refused for another reason: %s", op.id, body)
		}
		// A gate's password is not good here, nor is anything else.
		for what, bad := range map[string]string{
			"nothing": "", "another secret": o.Credentials["api"][:len(o.Credentials["api"])-1] + "x",
			"rubbish": "sbs__", "a person's kind": strings.Replace(o.Credentials["api"], "sbs_", "sbu_", 1),
		} {
			if status, body := op.call(t, s, bad); status != http.StatusUnauthorized &&
				status != http.StatusTooManyRequests {
				t.Errorf("%s with %s: got %d %s", op.id, what, status, body)
			}
		}
	}
	slices.Sort(reached)
	if d := cmp.Diff(reach, reached); d != "" {
		t.Errorf("operations within reach of a session:\n%s", d)
	}
	// The limit on failures has been reached by now, and keeps nobody out.
	if _, err := alice.Whoami(t.Context()); err != nil {
		t.Errorf("a valid credential after many invalid ones: %v", err)
	}
}

// Administrators' operations are not every human's.
func TestOnlyAdministrators(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	e, err := alice.AddPerson(t.Context(), client.NewPerson{Name: "bob", Groups: []string{"sre"}})
	if err != nil {
		t.Fatal(err)
	}
	_, ops := description(t, s)
	for _, op := range ops {
		if op.class != "admin" {
			continue
		}
		if status, body := op.call(t, s, e.Token); status != http.StatusForbidden {
			t.Errorf("%s: got %d %s", op.id, status, body)
		}
	}
}

// A session sees and ends itself and nobody else.
func TestSessionsAreStrangers(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	ctx := t.Context()
	one, err := alice.OpenSession(ctx, client.NewSession{Agent: "one", TTL: "10m"})
	if err != nil {
		t.Fatal(err)
	}
	two, err := alice.OpenSession(ctx, client.NewSession{Agent: "two", Purpose: "look"})
	if err != nil {
		t.Fatal(err)
	}
	if d := one.Session.Expires.Sub(one.Session.Started); d != 10*time.Minute {
		t.Errorf("session of 10m lasts %s", d)
	}
	agent := as(t, s, one.Credentials["api"])
	if err := agent.EndSession(ctx, two.Session.ID); !client.IsStatus(err, http.StatusNotFound) {
		t.Errorf("ending another session: got %v", err)
	}
	if _, err := agent.OpenSession(ctx, client.NewSession{Agent: "three"}); !client.IsStatus(err,
		http.StatusForbidden) {
		t.Errorf("opening a session from a session: got %v", err)
	}
	who, err := agent.Whoami(ctx)
	if err != nil || who.Session == nil || who.Session.ID != one.Session.ID || who.Person != nil {
		t.Errorf("whoami: got %+v, %v", who, err)
	}
	if err := agent.EndSession(ctx, one.Session.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Whoami(ctx); !client.IsStatus(err, http.StatusUnauthorized) {
		t.Errorf("credential of an ended session: got %v", err)
	}
	live, err := alice.Sessions(ctx, false)
	if err != nil || len(live) != 1 || live[0].ID != two.Session.ID {
		t.Errorf("live sessions: got %v, %v", live, err)
	}
	all, err := alice.Sessions(ctx, true)
	if err != nil || len(all) != 2 {
		t.Errorf("all sessions: got %v, %v", all, err)
	}
}

// Revoking ends everything that a leaked token has opened.
func TestRevoke(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	ctx := t.Context()
	old, err := alice.AddPerson(ctx, client.NewPerson{Name: "bob", Groups: []string{"sre"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alice.AddPerson(ctx, client.NewPerson{Name: "bob", Admin: true}); !client.IsStatus(err,
		http.StatusConflict) {
		t.Fatalf("enrolling bob again: got %v", err)
	}
	bob := as(t, s, old.Token)
	o, err := bob.OpenSession(ctx, client.NewSession{Agent: "claude"})
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := alice.RevokePerson(ctx, "bob")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(old.Person, fresh.Person); d != "" || fresh.Token == old.Token {
		t.Errorf("revoked and replaced: %s", d)
	}
	for what, token := range map[string]string{"old token": old.Token, "session": o.Credentials["api"]} {
		if _, err := as(t, s, token).Whoami(ctx); !client.IsStatus(err, http.StatusUnauthorized) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if _, err := as(t, s, fresh.Token).Whoami(ctx); err != nil {
		t.Errorf("new token: %v", err)
	}
	if err := alice.RemovePerson(ctx, "bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := as(t, s, fresh.Token).Whoami(ctx); !client.IsStatus(err, http.StatusUnauthorized) {
		t.Errorf("removed: got %v", err)
	}
}

func TestBrakes(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	ctx := t.Context()
	if err := alice.Halt(ctx, client.Halt{Scope: "actor", Name: "claude", Reason: "loops"}); err != nil {
		t.Fatal(err)
	}
	hs, err := alice.Halts(ctx)
	if err != nil || len(hs) != 1 || hs[0].Name != "claude" || hs[0].By != "alice" {
		t.Errorf("halts: got %+v, %v", hs, err)
	}
	if err := alice.Resume(ctx, client.Resume{Scope: "actor", Name: "other"}); !client.IsStatus(err,
		http.StatusNotFound) {
		t.Errorf("resuming what was not halted: got %v", err)
	}
	if err := alice.Resume(ctx, client.Resume{Scope: "actor", Name: "claude"}); err != nil {
		t.Error(err)
	}
	if err := alice.Halt(ctx, client.Halt{Scope: "galaxy"}); !client.IsStatus(err, http.StatusUnprocessableEntity) {
		t.Errorf("halting a galaxy: got %v", err)
	}
	f, err := alice.StartFreeze(ctx, client.Freeze{Environments: []signalbox.Environment{"production"},
		Until: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alice.StartFreeze(ctx, client.Freeze{Until: time.Now().Add(-time.Hour)}); !client.IsStatus(err,
		http.StatusUnprocessableEntity) {
		t.Errorf("a freeze in the past: got %v", err)
	}
	if err := alice.EndFreeze(ctx, f.ID, "over"); err != nil {
		t.Error(err)
	}
	fs, err := alice.Freezes(ctx)
	if err != nil || len(fs) != 0 {
		t.Errorf("freezes: got %+v, %v", fs, err)
	}
	b, err := alice.StartBreakGlass(ctx, client.BreakGlass{Gates: []string{"orders"},
		Verbs: []signalbox.Verb{signalbox.Update}, Reason: "incident 4711", Expires: time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if bs, err := alice.BreakGlasses(ctx); err != nil || len(bs) != 1 || bs[0].ID != b.ID {
		t.Errorf("break-glass: got %+v, %v", bs, err)
	}
	if err := alice.EndBreakGlass(ctx, b.ID); err != nil {
		t.Error(err)
	}
}

func TestLogThroughTheAPI(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	ctx := t.Context()
	if _, err := alice.OpenSession(ctx, client.NewSession{Agent: "claude", Purpose: "secret purpose"}); err != nil {
		t.Fatal(err)
	}
	es, err := alice.Entries(ctx, -1, 10)
	if err != nil || len(es) != 1 || es[0].Type != "session.start" {
		t.Fatalf("newest entry: got %+v, %v", es, err)
	}
	if bytes.Contains(es[0].Entry, []byte("secret purpose")) {
		t.Error("the purpose stands in the clear")
	}
	byID, err := alice.Entry(ctx, es[0].ID)
	if d := cmp.Diff(es[0], byID); err != nil || d != "" {
		t.Errorf("by id: %v %s", err, d)
	}
	p, err := alice.Proof(ctx, es[0].ID)
	if err != nil || !bytes.Equal(p.Leaf, es[0].Entry) || !strings.HasPrefix(p.Proof, "c2sp.org/tlog-proof@v1") {
		t.Errorf("proof: got %+v, %v", p, err)
	}
	ds, err := alice.Disclose(ctx, es[0].ID)
	if err != nil || len(ds) != 1 || ds[0].Name != "purpose" || string(ds[0].Value) != `"secret purpose"` ||
		!bytes.Contains(es[0].Entry, []byte(ds[0].Digest)) {
		t.Errorf("disclosed: got %+v, %v", ds, err)
	}
	if err := alice.EraseEntry(ctx, es[0].ID, "asked for"); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Disclose(ctx, es[0].ID); !client.IsStatus(err, http.StatusGone) {
		t.Errorf("erased: got %v", err)
	}
	if _, err := alice.Entry(ctx, "01K00000000000000000000000"); !client.IsStatus(err, http.StatusNotFound) {
		t.Errorf("no such entry: got %v", err)
	}
	if _, err := alice.Entry(ctx, "999999"); !client.IsStatus(err, http.StatusNotFound) {
		t.Errorf("no such index: got %v", err)
	}
}

func TestPoliciesThroughTheAPI(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	ctx := t.Context()
	active, err := alice.Policy(ctx, "active")
	if err != nil || active.Status != "active" || len(active.Files) == 0 {
		t.Fatalf("active: got %+v, %v", active.Status, err)
	}
	changed := active.Files
	changed[0].Text += "\n// changed\n"
	p, err := alice.ProposePolicy(ctx, client.NewPolicy{Files: changed})
	if err != nil || p.Status != "active" || p.Version == active.Version {
		t.Errorf("without a production gate: got %+v %s, %v", p.Status, p.Version, err)
	}
	_, err = alice.ProposePolicy(ctx, client.NewPolicy{Files: []client.PolicyFile{{Name: "a.cedar", Text: "permit("}}})
	var problem *client.Problem
	if !errors.As(err, &problem) || problem.Status != http.StatusUnprocessableEntity ||
		!strings.Contains(problem.Detail, "a.cedar") {
		t.Errorf("a bad set: got %v", err)
	}
}

func TestExplainThroughTheAPI(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	out, err := alice.Explain(t.Context(), []byte(`{"id":"1","actor":{"agent":"kiro","for":"alice"},"environment":"production","requests":[{"gate":"postgres","sql":"DROP TABLE orders"}]}`+"\n{\n"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"verdict":"hold"`) || !strings.Contains(lines[1], `"error"`) {
		t.Errorf("got %q", out)
	}
}

// Mistakes in requests are problems with a status, a detail and, where there is
// something to do, a hint; and never an error of the server's.
func TestProblems(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	for _, tt := range []struct {
		name string
		call func() error
		want int
	}{
		{"unknown hold", func() error { _, err := alice.Hold(t.Context(), "nothing"); return err },
			http.StatusNotFound},
		{"bad name", func() error {
			_, err := alice.AddPerson(t.Context(), client.NewPerson{Name: "no/slash"})
			return err
		}, http.StatusUnprocessableEntity},
		{"long life", func() error {
			_, err := alice.OpenSession(t.Context(), client.NewSession{Agent: "a", TTL: "1000h"})
			return err
		}, http.StatusUnprocessableEntity},
		{"no duration", func() error {
			_, err := alice.OpenSession(t.Context(), client.NewSession{Agent: "a", TTL: "soon"})
			return err
		}, http.StatusUnprocessableEntity},
		{"unknown gate", func() error {
			_, err := alice.OpenSession(t.Context(), client.NewSession{Agent: "a", Gates: []string{"nowhere"}})
			return err
		}, http.StatusUnprocessableEntity},
		{"unknown status", func() error { _, err := alice.Holds(t.Context(), "lost", 1); return err },
			http.StatusUnprocessableEntity},
		{"oneself", func() error { return alice.RemovePerson(t.Context(), "alice") }, http.StatusUnprocessableEntity},
	} {
		var p *client.Problem
		if err := tt.call(); !errors.As(err, &p) || p.Status != tt.want || p.Detail == "" {
			t.Errorf("%s: got %v, want status %d", tt.name, err, tt.want)
		}
	}
}

// The committed description is what is served. `go test -update` writes it.
func TestOpenAPIIsFresh(t *testing.T) {
	text, _ := description(t, start(t, nil))
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(text), "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteString("\n")
	file := filepath.Join("..", "..", "docs", "openapi.json")
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("docs/openapi.json is stale (go test ./internal/server -update):\n%s", d)
	}
}
