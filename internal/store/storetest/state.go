package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
)

func wantNotFound(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, interlock.ErrNotFound) {
		t.Errorf("%s: got %v, want ErrNotFound", what, err)
	}
}

func firstMaster(t *testing.T, s Store) {
	const n = 8
	values := make([][]byte, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			var err error
			if values[i], err = s.KeepMaster(context.Background(), nil, []byte{byte(i + 1)}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, v := range values {
		if len(v) != 1 || string(v) != string(values[0]) {
			t.Errorf("of servers that start at once one kept %v, another %v", values[0], v)
		}
	}
	for _, c := range []struct{ was, value, want []byte }{
		{nil, []byte("other"), values[0]},
		{[]byte("wrong"), []byte("other"), values[0]},
		{values[0], []byte("other"), []byte("other")},
	} {
		kept, err := s.KeepMaster(context.Background(), c.was, c.value)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, fmt.Sprintf("kept after %q in place of %q", c.value, c.was), kept, c.want)
	}
}

func controlAndEpoch(t *testing.T, s Store) {
	ctx := context.Background()
	c, err := s.Control(ctx)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "first control state", c, control.State{Epoch: c.Epoch})
	mustCommit(t, s, s.RequireEpoch(c.Epoch), s.RaiseEpoch(c.Epoch), s.RequireEpoch(c.Epoch+1))
	wantStale(t, commit(t, s, s.RequireEpoch(c.Epoch)))
	wantStale(t, commit(t, s, s.RaiseEpoch(c.Epoch)))
	mustCommit(t, s, s.RequireEpoch(c.Epoch+1))
}

func haltsFreezesBreakGlass(t *testing.T, s Store) {
	ctx := context.Background()
	all := control.Halt{Scope: control.HaltAll, By: "ann", Reason: "fire", At: at(1)}
	gate := control.Halt{Scope: control.HaltGate, Name: "db", By: "ann", At: at(2)}
	freeze := control.Freeze{ID: "f1", Environments: []signalbox.Environment{signalbox.Production},
		Gates: []string{"db"},
		From:  at(0), Until: at(50), By: "bob", Reason: "holidays"}
	open := control.Freeze{ID: "f2", From: at(1), Until: at(2), By: "bob"}
	glass := control.BreakGlass{ID: "b1", By: "ann", Gates: []string{"db"}, Verbs: []signalbox.Verb{signalbox.Delete},
		Reason: "outage", From: at(3), Expires: at(9)}
	mustCommit(t, s, s.AddHalt(all), s.AddHalt(gate), s.AddFreeze(freeze), s.AddFreeze(open), s.AddBreakGlass(glass))
	c, err := s.Control(ctx)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "control state", c, control.State{Epoch: c.Epoch, Halts: []control.Halt{all, gate},
		Freezes: []control.Freeze{freeze, open}, BreakGlass: []control.BreakGlass{glass}})

	again := gate
	again.By, again.Reason, again.At = "bob", "still", at(7)
	mustCommit(t, s, s.AddHalt(again), s.RemoveHalt(control.HaltAll, ""), s.EndFreeze("f1", at(4)),
		s.EndBreakGlass("b1", at(5)))
	if c, err = s.Control(ctx); err != nil {
		t.Fatal(err)
	}
	diff(t, "control state", c, control.State{Epoch: c.Epoch, Halts: []control.Halt{again},
		Freezes: []control.Freeze{open}})
	wantStale(t, commit(t, s, s.RemoveHalt(control.HaltAll, "")))
	wantStale(t, commit(t, s, s.EndFreeze("f1", at(6))))
	wantStale(t, commit(t, s, s.EndBreakGlass("b1", at(6))))
}

func sessions(t *testing.T, s Store) {
	ctx := context.Background()
	one := interlock.SessionRow{Session: signalbox.Session{
		ID: "s1", Actor: signalbox.Actor{Kind: signalbox.Agent, Name: "kiro", For: "ann"}, By: "ann", ByEpoch: 4,
		Purpose: "mend", Gates: []string{"db", "kube"},
		Started: at(0), Expires: at(20), Wait: true,
	}, Epoch: 3}
	two := interlock.SessionRow{Session: signalbox.Session{
		ID: "s2", Actor: signalbox.Actor{Kind: signalbox.Human, Name: "bob"}, By: "bob", ByEpoch: 2, Started: at(1),
		Expires: at(10),
	}, Epoch: 1}
	ann, bob := session.Person{Name: "ann", Epoch: 4}, session.Person{Name: "bob", Epoch: 2}
	mustCommit(t, s, s.PutPerson(ann), s.PutPerson(bob), s.AddSession(one), s.AddSession(two))
	got, err := s.Session(ctx, "s1")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "session", got, one)
	_, err = s.Session(ctx, "s3")
	wantNotFound(t, "session", err)
	if err := commit(t, s, s.AddSession(one)); err == nil {
		t.Error("the same session was added twice")
	}
	list := func(live bool, now time.Time, want ...interlock.SessionRow) {
		t.Helper()
		rows, err := s.Sessions(ctx, live, now)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "sessions", rows, append([]interlock.SessionRow{}, want...))
	}
	list(true, at(5), two, one)
	list(true, at(10), one) // two expires then
	mustCommit(t, s, s.RequireSession("s1", at(19)), s.RequireSession("s2", at(9)))
	wantStale(t, commit(t, s, s.RequireSession("s1", at(20))))
	wantStale(t, commit(t, s, s.RequireSession("s3", at(1))))
	// What a person has opened lives no longer than his credentials.
	bob.Epoch = 5
	mustCommit(t, s, s.PutPerson(bob))
	list(true, at(5), one)
	wantStale(t, commit(t, s, s.RequireSession("s2", at(5))))
	mustCommit(t, s, s.RemovePerson("bob"))
	list(true, at(5), one)
	for person, want := range map[string][]interlock.SessionRow{"ann": {one}, "bob": {two}, "cid": {}} {
		rows, err := s.OpenSessionsOf(ctx, person, at(5), 10)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "sessions of "+person, rows, want)
	}
	bob.Epoch = 2
	mustCommit(t, s, s.PutPerson(bob))
	mustCommit(t, s, s.EndSession("s1", at(6)))
	one.Ended = at(6)
	list(true, at(5), two)
	list(false, at(50), two, one)
	wantStale(t, commit(t, s, s.EndSession("s1", at(7))))
	wantStale(t, commit(t, s, s.EndSession("s3", at(7))))
}

func people(t *testing.T, s Store) {
	ctx := context.Background()
	ann := session.Person{Name: "ann", Groups: []string{"dba", "sre"}, Admin: true, Epoch: 1, Added: at(0)}
	bob := session.Person{Name: "bob", Epoch: 2, Added: at(1)}
	mustCommit(t, s, s.PutPerson(bob), s.PutPerson(ann))
	list, err := s.People(ctx)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "people", list, []session.Person{ann, bob})
	ann.Groups, ann.Admin, ann.Epoch = []string{"sre"}, false, 2
	mustCommit(t, s, s.PutPerson(ann), s.RemovePerson("bob"))
	got, err := s.Person(ctx, "ann")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "ann", got, ann)
	_, err = s.Person(ctx, "bob")
	wantNotFound(t, "bob", err)
	mustCommit(t, s, s.RequirePerson("ann", 2, false))
	wantStale(t, commit(t, s, s.RequirePerson("ann", 1, false)))
	wantStale(t, commit(t, s, s.RequirePerson("ann", 2, true)))
	wantStale(t, commit(t, s, s.RequirePerson("bob", 2, false)))
	ann.Admin, ann.Epoch = true, 3
	mustCommit(t, s, s.PutPerson(ann), s.RequirePerson("ann", 3, true))
	wantStale(t, commit(t, s, s.RemovePerson("bob")))
}

func hold(id, key string, second int) approval.Hold {
	return approval.Hold{
		ID: id, Session: "s1", Actor: signalbox.Actor{Kind: signalbox.Agent, Name: "kiro", For: "ann"},
		Gate: "db", Target: "orders-db", Environment: signalbox.Production,
		Actions: []signalbox.Action{{Verb: signalbox.Delete, Native: "DROP TABLE",
			Resources: []signalbox.Resource{{Type: "table", Name: "public.orders", Whole: true, ID: "16384"}},
			Impact:    signalbox.Impact{Count: 12, Scope: signalbox.ScopeAll}}},
		Request: "DROP TABLE orders -- geheim", Facts: []string{"3 views depend on it"},
		Digest: signalbox.Digest{1, 2}, Salt: []byte("salt"), State: signalbox.State{{Name: "oid", Value: "16384"}},
		Ceiling: signalbox.Impact{Count: 12, Scope: signalbox.ScopeAll, Measured: true},
		Verdict: signalbox.Verdict{Decision: signalbox.Hold, Policies: []string{"destroy"},
			Requires: []string{"2 of sre"}, Expires: time.Minute},
		Policy: signalbox.Digest{9}, Status: approval.Open, Opened: at(second), Expires: at(second + 10),
		Context: []byte(`{"deletes":1}`), RetryKey: key,
	}
}

func holdsFromOpenToUsed(t *testing.T, s Store) {
	ctx := context.Background()
	h := hold("h1", "key1", 0)
	mustCommit(t, s, s.AddHold(h, "ann"))
	check := func() {
		t.Helper()
		got, err := s.Hold(ctx, "h1")
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "hold", got, h)
	}
	check()
	_, err := s.Hold(ctx, "h9")
	wantNotFound(t, "hold", err)
	_, err = s.HoldByRetryKey(ctx, "key9")
	wantNotFound(t, "hold by key", err)

	stolen := approval.Answer{By: "bob", Epoch: 3, Yes: false, At: at(1)}
	yes := approval.Answer{By: "bob", Epoch: 4, Yes: true, Comment: "fine", At: at(1)}
	mustCommit(t, s, s.AddAnswer("h1", stolen))
	wantStale(t, commit(t, s, s.AddAnswer("h1", approval.Answer{By: "bob", Epoch: 3, At: at(2)})))
	mustCommit(t, s, s.AddAnswer("h1", yes)) // with other credentials: it replaces the first
	wantStale(t, commit(t, s, s.AddAnswer("h1", approval.Answer{By: "bob", Epoch: 4, At: at(2)})))
	second := approval.Answer{By: "cid", Yes: true, At: at(2)}
	mustCommit(t, s, s.AddAnswer("h1", second), s.ConfirmHold("h1", 7),
		s.MoveHold("h1", approval.Open, approval.Approved, at(40), "", ""))
	h.Answers, h.Confirmed, h.ConfirmedEpoch, h.Status, h.Expires = []approval.Answer{yes,
		second}, true, 7, approval.Approved, at(40)
	check()
	wantStale(t, commit(t, s, s.AddAnswer("h1", approval.Answer{By: "dan", At: at(3)})))
	wantStale(t, commit(t, s, s.ConfirmHold("h1", 7)))
	wantStale(t, commit(t, s, s.MoveHold("h1", approval.Open, approval.Refused, time.Time{}, "", "no")))

	mustCommit(t, s, s.RequireLive("h1", approval.Approved, at(39)))
	wantStale(t, commit(t, s, s.RequireLive("h1", approval.Approved, at(40))))
	wantStale(t, commit(t, s, s.RequireLive("h1", approval.Open, at(1))))
	mustCommit(t, s, s.MoveHold("h1", approval.Approved, approval.Used, time.Time{}, "i1", ""))
	h.Status, h.Intent = approval.Used, "i1"
	check()

	dead := hold("h2", "key2", 5)
	mustCommit(t, s, s.AddHold(dead, "ann"), s.MoveHold("h2", approval.Open, approval.Dead, time.Time{}, "",
		"oid differs"))
	dead.Status, dead.Why = approval.Dead, "oid differs"
	third := hold("h3", "key3", 6)
	mustCommit(t, s, s.AddHold(third, "bob"))
	for _, c := range []struct {
		status approval.Status
		limit  int
		want   []approval.Hold
	}{
		{"", 10, []approval.Hold{third, dead, h}},
		{"", 2, []approval.Hold{third, dead}},
		{approval.Open, 10, []approval.Hold{third}},
		{approval.Refused, 10, []approval.Hold{}},
	} {
		got, err := s.Holds(ctx, c.status, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "holds "+string(c.status), got, c.want)
	}
	for owner, want := range map[string]int{"ann": 0, "bob": 1, "eve": 0} {
		if live, err := s.LiveHolds(ctx, owner); len(live) < want || err != nil {
			t.Errorf("live holds of %s: %d, %v; want at least the %d open ones", owner, len(live), err, want)
		}
		if n, err := s.OpenHolds(ctx, owner); n != want || err != nil {
			t.Errorf("open holds of %s = %d, %v; want %d", owner, n, err, want)
		}
	}
}

func oneLiveHoldPerRequest(t *testing.T, s Store) {
	ctx := context.Background()
	mustCommit(t, s, s.AddHold(hold("h1", "key", 0), "ann"))
	wantStale(t, commit(t, s, s.AddHold(hold("h2", "key", 1), "ann")))
	mustCommit(t, s, s.MoveHold("h1", approval.Open, approval.Approved, time.Time{}, "", ""))
	wantStale(t, commit(t, s, s.AddHold(hold("h2", "key", 1), "ann")))
	mustCommit(t, s, s.MoveHold("h1", approval.Approved, approval.Used, time.Time{}, "i1", ""))
	mustCommit(t, s, s.AddHold(hold("h2", "key", 1), "ann"), s.AddHold(hold("other", "key2", 2), "ann"))
	got, err := s.HoldByRetryKey(ctx, "key")
	if err != nil || got.ID != "h2" {
		t.Errorf("newest hold = %q, %v; want h2", got.ID, err)
	}
}

func permitIsRedeemedOnce(t *testing.T, s Store) {
	mustCommit(t, s, s.AddHold(hold("h1", "key", 0), "ann"),
		s.MoveHold("h1", approval.Open, approval.Approved, at(30), "", ""))
	errs := make(chan error)
	for range 20 {
		go func() { errs <- commit(t, s, s.MoveHold("h1", approval.Approved, approval.Used, time.Time{}, "i", "")) }()
	}
	done := 0
	for range 20 {
		if err := <-errs; err == nil {
			done++
		} else {
			wantStale(t, err)
		}
	}
	if done != 1 {
		t.Errorf("permit redeemed %d times", done)
	}
}

func erasedHold(t *testing.T, s Store) {
	h := hold("h1", "key", 0)
	mustCommit(t, s, s.AddHold(h, "ann"), s.EraseHold("h1"))
	got, err := s.Hold(context.Background(), "h1")
	if err != nil {
		t.Fatal(err)
	}
	h.Request, h.Facts, h.State, h.Salt, h.Context = "", nil, nil, nil, nil
	diff(t, "erased hold", got, h)
}

func intentsAndOrphans(t *testing.T, s Store) {
	ctx := context.Background()
	intent := func(id, replica string, second int) interlock.IntentRow {
		return interlock.IntentRow{
			ID: id, Session: "s1", Subject: "ann@db", Gate: "db", Target: "orders-db", Replica: replica, Hold: "h1",
			RetryKey: "key",
			Status:   interlock.IntentOpen, Opened: at(second), Actions: hold("", "", 0).Actions,
		}
	}
	one, two, three := intent("i1", "a", 1), intent("i2", "b", 2), intent("i3", "never", 3)
	mustCommit(t, s, s.Lease("a", at(10)), s.Lease("b", at(20)), s.AddIntent(one), s.AddIntent(two), s.AddIntent(three))
	orphans := func(now time.Time, limit int, want ...interlock.IntentRow) {
		t.Helper()
		got, err := s.Orphans(ctx, now, limit)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "orphans", got, append([]interlock.IntentRow{}, want...))
	}
	orphans(at(5), 10, three) // its replica never had a lease
	orphans(at(15), 10, one, three)
	orphans(at(25), 2, one, two)
	mustCommit(t, s, s.Lease("a", at(30)))
	orphans(at(25), 10, two, three)

	mustCommit(t, s, s.SettleIntent("i1", interlock.IntentOpen, interlock.IntentDone, at(6),
		map[string]int64{"table public.orders": 4}))
	one.Status, one.Settled, one.Touched = interlock.IntentDone, at(6), map[string]int64{"table public.orders": 4}
	wantStale(t, commit(t, s, s.SettleIntent("i1", interlock.IntentOpen, interlock.IntentUnknown, at(7), nil)))
	got, err := s.Intent(ctx, "i1")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "settled intent", got, one)
	last, err := s.LastIntent(ctx, "key")
	if err != nil || last.ID != "i3" {
		t.Errorf("last intent = %q, %v; want i3", last.ID, err)
	}
	_, err = s.Intent(ctx, "i9")
	wantNotFound(t, "intent", err)
	_, err = s.LastIntent(ctx, "key9")
	wantNotFound(t, "last intent", err)
	since, err := s.IntentsSince(ctx, "ann@db", at(2))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "intents since", since, []interlock.IntentRow{two, three})
}

func memoryIsCompareAndSwap(t *testing.T, s Store) {
	ctx := context.Background()
	_, err := s.Memory(ctx, "ann@db")
	wantNotFound(t, "memory", err)
	wantStale(t, commit(t, s, s.PutMemory("ann@db", 1, interlock.MemoryRow{At: at(0)})))
	mustCommit(t, s, s.PutMemory("ann@db", 0, interlock.MemoryRow{At: at(1), Data: []byte("one")}))
	wantStale(t, commit(t, s, s.PutMemory("ann@db", 0, interlock.MemoryRow{At: at(1)})))
	m, err := s.Memory(ctx, "ann@db")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "memory", m, interlock.MemoryRow{Version: 1, At: at(1), Data: []byte("one")})
	mustCommit(t, s, s.PutMemory("ann@db", 1, interlock.MemoryRow{At: at(2), Data: []byte("two")}))
	wantStale(t, commit(t, s, s.PutMemory("ann@db", 1, interlock.MemoryRow{At: at(3)})))
	if m, err = s.Memory(ctx, "ann@db"); err != nil {
		t.Fatal(err)
	}
	diff(t, "memory", m, interlock.MemoryRow{Version: 2, At: at(2), Data: []byte("two")})
}

func policySets(t *testing.T, s Store) {
	ctx := context.Background()
	v1, v2 := signalbox.Digest{1}, signalbox.Digest{2}
	one := interlock.PolicyRow{Version: v1, Files: []byte(`[{"name":"a"}]`), Status: "proposed", By: "ann", At: at(1)}
	two := interlock.PolicyRow{Version: v2, Files: []byte(`[]`), Status: "proposed", By: "bob", At: at(2)}
	mustCommit(t, s, s.AddPolicySet(one), s.SetPolicy(v1))
	mustCommit(t, s, s.AddPolicySet(two))
	c, err := s.Control(ctx)
	if err != nil || c.Policy != v1 {
		t.Errorf("active policy = %s, %v; want %s", c.Policy.Short(), err, v1.Short())
	}
	one.Status = "active"
	got, err := s.PolicySets(ctx)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "policy sets", got, []interlock.PolicyRow{two, one})
	mustCommit(t, s, s.SetPolicy(v2))
	one.Status, two.Status = "past", "active"
	if got, err = s.PolicySets(ctx); err != nil {
		t.Fatal(err)
	}
	diff(t, "policy sets", got, []interlock.PolicyRow{two, one})
	mustCommit(t, s, s.MovePolicy(v1, "refused"))
	one.Status = "refused"
	row, err := s.PolicySet(ctx, v1)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "policy set", row, one)
	_, err = s.PolicySet(ctx, signalbox.Digest{7})
	wantNotFound(t, "policy set", err)
	wantStale(t, commit(t, s, s.SetPolicy(signalbox.Digest{7})))
	wantStale(t, commit(t, s, s.MovePolicy(signalbox.Digest{7}, "past")))
}

// What a replica works by is agreed upon in the transaction in which it begins.
func settings(t *testing.T, s Store) {
	ctx := context.Background()
	text, err := s.Protection(ctx)
	if err != nil || text != "" {
		t.Errorf("protection = %q, %v; want none", text, err)
	}
	mustCommit(t, s, s.SetProtection("", "one", false), s.Register("a", at(10), "strict"), s.Lease("old", at(10)))
	wantStale(t, commit(t, s, s.SetProtection("", "two", true)))
	mustCommit(t, s, s.SetProtection("one", "two", true))
	c, err := s.Control(ctx)
	if err != nil || !c.Production {
		t.Errorf("production = %t, %v", c.Production, err)
	}
	if text, err = s.Protection(ctx); err != nil || text != "two" {
		t.Errorf("protection = %q, %v; want two", text, err)
	}
	mustCommit(t, s, s.RequireSettings("b", "strict", at(5)), s.RequireSettings("a", "lax", at(5)),
		s.RequireSettings("b", "lax", at(10)))
	wantStale(t, commit(t, s, s.RequireSettings("b", "lax", at(5))))
	wantStale(t, commit(t, s, s.RequireAlone("a", at(5)))) // the one that says nothing lives too
	mustCommit(t, s, s.RequireAlone("a", at(10)), s.Lease("a", at(20)))
	rows, err := s.Replicas(ctx, "b", at(5))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "replicas", rows, []interlock.ReplicaRow{{Replica: "a", Expires: at(20), Settings: "strict"},
		{Replica: "old", Expires: at(10)}})
}

func console(t *testing.T, s Store) {
	ctx := context.Background()
	row := interlock.ConsoleRow{Hash: "h1", Person: "ann", Epoch: 3, Made: at(1), Seen: at(1), Expires: at(9)}
	mustCommit(t, s, s.AddConsole(row), s.SeeConsole("h1", at(4)))
	row.Seen = at(4)
	got, err := s.Console(ctx, "h1")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "log-in at the console", got, row)
	other := interlock.ConsoleRow{Hash: "h2", Person: "bob", Epoch: 1, Made: at(9), Seen: at(9), Expires: at(20)}
	mustCommit(t, s, s.AddConsole(other)) // the first has expired by then
	_, err = s.Console(ctx, "h1")
	wantNotFound(t, "expired log-in", err)
	wantStale(t, commit(t, s, s.SeeConsole("h1", at(10))))
	mustCommit(t, s, s.EndConsole("h2"))
	wantStale(t, commit(t, s, s.EndConsole("h2")))
}
