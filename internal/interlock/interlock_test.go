package interlock_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/proof"
)

// The story of the whole: held, self-approval refused, two humans approve, it
// runs once, and a second retry is held again.
func TestP5HeldApprovedByTwoRunsOnce(t *testing.T) {
	databases(t, func(t *testing.T, db store.Config) {
		h := newHouse(t, db)
		s, x := h.agent("kiro", "alice"), newTarget()
		ctx := t.Context()

		hold := held(t, second(h.lock.Do(ctx, dropTable(s, "orders"), x))).Hold
		if again := held(t, second(h.lock.Do(ctx, dropTable(s, "orders"), x))).Hold; again.ID != hold.ID {
			t.Errorf("the same request opened a second hold")
		}
		// Nobody approves what his own agent asked for; no session approves at all.
		if _, err := h.lock.Answer(ctx, h.person("alice"), hold.ID, true, ""); !errors.Is(err, approval.ErrOwn) {
			t.Errorf("alice approves her own agent's request: %v", err)
		}
		if _, err := h.lock.Answer(ctx, interlock.Caller{Session: &s}, hold.ID, true, ""); !errors.Is(err,
			interlock.ErrNotHuman) {
			t.Errorf("the agent approves its own request: %v", err)
		}
		if _, err := h.lock.Answer(ctx, h.person("root"), hold.ID, true, ""); !errors.Is(err, approval.ErrNoGroup) {
			t.Errorf("somebody outside the group approves: %v", err)
		}
		h.approve(hold.ID, "bob")
		if _, err := h.lock.Answer(ctx, h.person("bob"), hold.ID, true, ""); !errors.Is(err, approval.ErrTwice) {
			t.Errorf("bob approves twice: %v", err)
		}
		held(t, second(h.lock.Do(ctx, dropTable(s, "orders"), x)))
		h.approve(hold.ID, "carol")

		out, err := h.lock.Do(ctx, dropTable(s, "orders"), x)
		if err != nil || out.Result != signalbox.Done || x.count() != 1 {
			t.Fatalf("approved request: %+v, %v, executed %d times", out, err, x.count())
		}
		if next := held(t, second(h.lock.Do(ctx, dropTable(s, "orders"), x))).Hold; next.ID == hold.ID {
			t.Error("a used permit was offered again")
		}
		if x.count() != 1 {
			t.Errorf("executed %d times", x.count())
		}
	})
}

func second[T any](_ T, err error) error { return err }

// 100 retries over two replicas: one execution (promise P4).
func TestP4PermitIsUsedOnceUnderRaces(t *testing.T) {
	databases(t, func(t *testing.T, db store.Config) {
		h := newHouse(t, db)
		replicas := []*replica{h.replica}
		if db.URL != "" {
			replicas = append(replicas, h.start(nil))
		}
		s, x := h.agent("kiro", "alice"), newTarget()
		hold := held(t, second(h.lock.Do(t.Context(), dropTable(s, "orders"), x))).Hold
		// Approved on the last replica, redeemed on any.
		replicas[len(replicas)-1].approve(hold.ID, "bob", "carol")

		var wg sync.WaitGroup
		var mu sync.Mutex
		var done, waits int
		for n := range 100 {
			wg.Go(func() {
				_, err := replicas[n%len(replicas)].lock.Do(t.Context(), dropTable(s, "orders"), x)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					done++
				} else if h := (*interlock.HeldError)(nil); errors.As(err, &h) {
					waits++
				} else {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if done != 1 || x.count() != 1 || waits != 99 {
			t.Errorf("done %d, executed %d, held %d; want 1, 1, 99", done, x.count(), waits)
		}
	})
}

func TestP4ApprovalDiesWhenTheWorldChanges(t *testing.T) {
	changes := map[string]func(*testing.T, *house, *target){
		"identity": func(_ *testing.T, _ *house,
			x *target) {
			x.state = signalbox.State{{Name: "oid", Value: "99999"}}
		},
		"ceiling": func(_ *testing.T, _ *house, x *target) { x.impact.Count = 11 },
		"unmeasurable": func(_ *testing.T, _ *house, x *target) {
			x.impact.Count, x.impact.Measured = signalbox.CountUnknown, false
		},
		"policy": func(_ *testing.T, h *house, _ *target) {
			h.loadPolicies(policy.File{Name: "more.cedar",
				Data: []byte(`@id("more") @hold("1 of dba") @reason("also the dba") forbid (principal, action == Action::"delete", resource);`)})
		},
		"membership": func(t *testing.T, h *house, _ *target) {
			if err := h.lock.RemovePerson(t.Context(), h.person("root"), "bob"); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, store.Config{Path: t.TempDir()})
			s, x := h.agent("kiro", "alice"), newTarget()
			hold := held(t, second(h.lock.Do(t.Context(), dropTable(s, "orders"), x))).Hold
			h.approve(hold.ID, "bob", "carol")
			change(t, h, x)
			next := held(t, second(h.lock.Do(t.Context(), dropTable(s, "orders"), x))).Hold
			if next.ID == hold.ID || x.count() != 0 {
				t.Fatalf("the approval survived: same hold %v, executed %d", next.ID == hold.ID, x.count())
			}
			dead, err := h.store.Hold(t.Context(), hold.ID)
			if err != nil || dead.Status != approval.Dead || dead.Why == "" {
				t.Errorf("old hold: %+v, %v", dead.Status, err)
			}
		})
	}
}

// A policy change that touches nothing about this verdict leaves the permit
// alone.
func TestP4PermitSurvivesAnUnrelatedPolicyChange(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	hold := held(t, second(h.lock.Do(t.Context(), dropTable(s, "orders"), x))).Hold
	h.approve(hold.ID, "bob", "carol")
	h.loadPolicies(policy.File{Name: "more.cedar",
		Data: []byte(`@id("more") @reason("x") forbid (principal, action == Action::"delete", resource) when { context.environment == "moon" };`)})
	if _, err := h.lock.Do(t.Context(), dropTable(s, "orders"), x); err != nil || x.count() != 1 {
		t.Fatalf("%v, executed %d", err, x.count())
	}
}

func TestP4PermitIsForItsSessionAndBytesAlone(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, other, x := h.agent("kiro", "alice"), h.agent("kiro", "alice"), newTarget()
	hold := held(t, second(h.lock.Do(t.Context(), dropTable(s, "orders"), x))).Hold
	h.approve(hold.ID, "bob", "carol")
	for name, r := range map[string]interlock.Request{
		"another session": dropTable(other, "orders"),
		"other bytes":     dropTable(s, "customers"),
	} {
		if got := held(t, second(h.lock.Do(t.Context(), r, x))).Hold; got.ID == hold.ID {
			t.Errorf("%s got the hold", name)
		}
	}
	if x.count() != 0 {
		t.Errorf("executed %d times", x.count())
	}
}

func TestANoEndsIt(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	hold := held(t, second(h.lock.Do(t.Context(), dropTable(s, "orders"), x))).Hold
	h.approve(hold.ID, "bob")
	if _, err := h.lock.Answer(t.Context(), h.person("carol"), hold.ID, false, "not on a Friday"); err != nil {
		t.Fatal(err)
	}
	denied(t, second(h.lock.Do(t.Context(), dropTable(s, "orders"), x)), "refused")
	if _, err := h.lock.Answer(t.Context(), h.person("dave"), hold.ID, true, ""); !errors.Is(err, approval.ErrNotOpen) {
		t.Errorf("approved after a no: %v", err)
	}
}

func TestHoldsAndPermitsExpire(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	hold := held(t, second(h.lock.Do(t.Context(), dropTable(s, "orders"), x))).Hold
	h.approve(hold.ID, "bob", "carol")
	h.ahead.Add(int64(time.Hour))
	if next := held(t, second(h.lock.Do(t.Context(), dropTable(s, "orders"), x))).Hold; next.ID == hold.ID ||
		x.count() != 0 {
		t.Error("an expired permit was used")
	}
}

// What a session asked for ends with it: nobody else could use the permit.
func TestHoldsEndWithTheirSession(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x, ctx := h.agent("kiro", "alice"), newTarget(), t.Context()
	open := held(t, second(h.lock.Do(ctx, dropTable(s, "orders"), x))).Hold
	approved := held(t, second(h.lock.Do(ctx, dropTable(s, "customers"), x))).Hold
	h.approve(approved.ID, "bob", "carol")
	if err := h.lock.EndSession(ctx, h.person("alice"), s.ID); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{open.ID, approved.ID} {
		if got, err := h.store.Hold(ctx, id); err != nil || got.Status != approval.Withdrawn {
			t.Errorf("hold of an ended session is %s, %v", got.Status, err)
		}
	}
	// One whose time runs out takes its holds along as well.
	s = h.agent("kiro", "alice")
	open = held(t, second(h.lock.Do(ctx, dropTable(s, "orders"), x))).Hold
	h.ahead.Add(int64(interlock.DefaultTTL))
	for deadline := time.Now().Add(patience); ; {
		got, err := h.store.Hold(ctx, open.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.Status == approval.Expired {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after its session's time the hold is %s", got.Status)
		}
	}
}

func TestWaitingClientIsLetThroughByAnApproval(t *testing.T) {
	databases(t, func(t *testing.T, db store.Config) {
		h := newHouse(t, db)
		s, x := h.agent("kiro", "alice"), newTarget()
		r := dropTable(s, "orders")
		r.Gate.Wait = time.Minute
		result := make(chan error, 1)
		go func() { result <- second(h.lock.Do(t.Context(), r, x)) }()
		var hold string
		for hold == "" {
			open, err := h.store.Holds(t.Context(), approval.Open, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(open) > 0 {
				hold = open[0].ID
			}
		}
		h.approve(hold, "bob", "carol")
		if err := <-result; err != nil || x.count() != 1 {
			t.Errorf("%v, executed %d", err, x.count())
		}
	})
}

// A session that wishes to wait does, where the gate's clients are patient; no and
// a withdrawal end the waiting with a denial, and open no other hold.
func TestSessionThatWishesToWait(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	s.Wait = true
	wait := func(table string, answer func(hold string)) error {
		t.Helper()
		r := dropTable(s, table)
		r.Gate.Patient = true
		result := make(chan error, 1)
		go func() { result <- second(h.lock.Do(t.Context(), r, x)) }()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for {
			open, err := h.store.Holds(ctx, approval.Open, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(open) > 0 {
				answer(open[0].ID)
				return <-result
			}
		}
	}
	if err := wait("orders", func(id string) { h.approve(id, "bob", "carol") }); err != nil || x.count() != 1 {
		t.Errorf("approved: %v, executed %d", err, x.count())
	}
	for name, answer := range map[string]func(string){
		"refused":   func(id string) { second(h.lock.Answer(t.Context(), h.person("bob"), id, false, "not today")) },
		"withdrawn": func(id string) { second(h.lock.Withdraw(t.Context(), h.person("alice"), id)) },
	} {
		if err := wait("lines-"+name, answer); !errors.As(err, new(*interlock.DeniedError)) ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if open, err := h.store.Holds(t.Context(), approval.Open, 10); err != nil || len(open) > 0 || x.count() != 1 {
		t.Errorf("afterwards: %d open, %v, executed %d", len(open), err, x.count())
	}
	// Clients that give up by themselves are told at once.
	held(t, second(h.lock.Do(t.Context(), dropTable(s, "parts"), x)))
}

// The credentials of a session are given again to who opened it, and to nobody else.
func TestCredentialsOnceMore(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	alice := h.person("alice")
	s, first, err := h.lock.OpenSession(t.Context(), alice,
		interlock.NewSession{Agent: "kiro", Gates: []string{"db"}}, []string{"db", "other"})
	if err != nil {
		t.Fatal(err)
	}
	_, again, err := h.lock.Credentials(t.Context(), alice, s.ID, []string{"db", "other"})
	if err != nil || !maps.Equal(first, again) {
		t.Errorf("%v, the same: %v", err, maps.Equal(first, again))
	}
	root := h.person("bob")
	root.Person.Admin = true
	for name, c := range map[string]interlock.Caller{"another": h.person("bob"), "administrator": root,
		"the session": {Session: &s}} {
		if _, _, err := h.lock.Credentials(t.Context(), c, s.ID, []string{"db"}); !errors.Is(err,
			interlock.ErrNotYours) && !errors.Is(err, interlock.ErrNotHuman) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := h.lock.EndSession(t.Context(), alice, s.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.lock.Credentials(t.Context(), alice, s.ID, []string{"db"}); !errors.Is(err,
		interlock.ErrInvalid) {
		t.Errorf("ended: %v", err)
	}
}

func TestP5LiveAgentBarsItsHumanFromApproving(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	bobs := h.agent("codex", "bob")
	hold := held(t, second(h.lock.Do(t.Context(), dropTable(s, "orders"), x))).Hold
	if _, err := h.lock.Answer(t.Context(), h.person("bob"), hold.ID, true, ""); !errors.Is(err,
		approval.ErrLiveAgent) {
		t.Fatalf("bob approves with a live agent: %v", err)
	}
	if err := h.lock.EndSession(t.Context(), h.person("bob"), bobs.ID); err != nil {
		t.Fatal(err)
	}
	h.approve(hold.ID, "bob")
}

// Promise P3 in the large: an agent of somebody who is no longer enrolled, or
// of a session that was ended or halted, does nothing.
func TestEndedHaltedAndRemovedStopAtOnce(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	ctx, x := t.Context(), newTarget()
	s := h.agent("kiro", "alice")
	admitted, err := h.lock.Admit(ctx, updateRow(s, 1), x)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.lock.Halt(ctx, h.person("bob"), control.HaltSession, string(s.ID), "looks odd"); err != nil {
		t.Fatal(err)
	}
	// Admitted before, carried out after: refused in the intent's transaction.
	denied(t, second(h.lock.Execute(ctx, []*interlock.Admission{admitted}, x)), "halt")
	denied(t, second(h.lock.Do(ctx, updateRow(s, 2), x)), "halt")
	if err := h.lock.Resume(ctx, interlock.Caller{Session: &s}, control.HaltSession, string(s.ID),
		""); !errors.Is(err, interlock.ErrNotHuman) {
		t.Errorf("the agent resumes itself: %v", err)
	}
	if err := h.lock.Resume(ctx, h.person("bob"), control.HaltSession, string(s.ID), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := h.lock.Do(ctx, updateRow(s, 3), x); err != nil {
		t.Fatalf("resumed: %v", err)
	}
	ended, err := h.lock.Admit(ctx, updateRow(s, 4), x)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.lock.EndSession(ctx, h.person("alice"), s.ID); err != nil {
		t.Fatal(err)
	}
	denied(t, second(h.lock.Execute(ctx, []*interlock.Admission{ended}, x)), "session")
	if x.count() != 1 {
		t.Errorf("executed %d times, want once", x.count())
	}
}

// A halt on one replica reaches the other: its writes at once, its watches
// within a second.
func TestP9HaltReachesEveryReplica(t *testing.T) {
	databases(t, func(t *testing.T, db store.Config) {
		h := newHouse(t, db)
		far := h.replica
		if db.URL != "" {
			far = h.start(nil)
		}
		s, x := h.agent("kiro", "alice"), newTarget()
		if _, err := far.lock.Do(t.Context(), updateRow(s, 1), x); err != nil {
			t.Fatal(err)
		}
		w := far.lock.Watch(s, "orders")
		defer w.Release()
		if err := h.lock.Halt(t.Context(), h.person("bob"), control.HaltAll, "", "drill"); err != nil {
			t.Fatal(err)
		}
		denied(t, second(far.lock.Do(t.Context(), updateRow(s, 2), x)), "halt")
		select {
		case <-w.Done():
			if err := w.Err(); err == nil || !strings.Contains(err.Error(), "bob") {
				t.Errorf("reason: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the watch was not told of the halt")
		}
		if x.count() != 1 {
			t.Errorf("executed %d times", x.count())
		}
	})
}

func TestP7FreezeBindsEveryoneAndBreakGlassIsForHumans(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	ctx, x := t.Context(), newTarget()
	agent, human := h.agent("kiro", "alice"), h.human("alice")
	hold := held(t, second(h.lock.Do(ctx, dropTable(agent, "orders"), x))).Hold
	h.approve(hold.ID, "bob", "carol")
	f, err := h.lock.StartFreeze(ctx, h.person("bob"), control.Freeze{Until: h.now().Add(time.Hour), Reason: "launch"})
	if err != nil {
		t.Fatal(err)
	}
	denied(t, second(h.lock.Do(ctx, dropTable(agent, "orders"), x)), "freeze") // approved before, frozen now
	denied(t, second(h.lock.Do(ctx, updateRow(human, 1), x)), "freeze")
	if _, err := h.lock.BreakGlass(ctx, interlock.Caller{Session: &agent}, control.BreakGlass{}); !errors.Is(err,
		interlock.ErrNotHuman) {
		t.Errorf("an agent breaks the glass: %v", err)
	}
	if _, err := h.lock.BreakGlass(ctx, h.person("alice"),
		control.BreakGlass{Gates: []string{"orders"}, Verbs: []signalbox.Verb{signalbox.Update},
			Expires: h.now().Add(time.Minute)}); !errors.Is(err, interlock.ErrInvalid) {
		t.Errorf("break-glass without a reason: %v", err)
	}
	g, err := h.lock.BreakGlass(ctx, h.person("alice"),
		control.BreakGlass{Gates: []string{"orders"}, Verbs: []signalbox.Verb{signalbox.Update},
			Reason: "customers cannot pay", Expires: h.now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.lock.Do(ctx, updateRow(human, 1), x); err != nil {
		t.Errorf("break-glass: %v", err)
	}
	denied(t, second(h.lock.Do(ctx, updateRow(agent, 1), x)), "freeze")
	denied(t, second(h.lock.Do(ctx, dropTable(human, "orders"), x)), "freeze") // verb not named
	if err := h.lock.Halt(ctx, h.person("bob"), control.HaltAll, "", ""); err != nil {
		t.Fatal(err)
	}
	denied(t, second(h.lock.Do(ctx, updateRow(human, 1), x)), "halt") // break-glass never lifts a halt
	if err := h.lock.Resume(ctx, h.person("bob"), control.HaltAll, "", ""); !errors.Is(err, interlock.ErrNotAdmin) {
		t.Errorf("resume everything without being an administrator: %v", err)
	}
	if err := h.lock.Resume(ctx, h.person("root"), control.HaltAll, "", ""); err != nil {
		t.Fatal(err)
	}
	if err := h.lock.EndBreakGlass(ctx, h.person("bob"), g.ID); err != nil {
		t.Fatal(err)
	}
	denied(t, second(h.lock.Do(ctx, updateRow(human, 1), x)), "freeze")
	if err := h.lock.EndFreeze(ctx, h.person("bob"), f.ID, "done"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.lock.Do(ctx, updateRow(human, 1), x); err != nil {
		t.Errorf("after the freeze: %v", err)
	}
	for _, e := range h.entries() {
		if in, ok := e.Body.(*proof.Intent); ok && in.BreakGlass == g.ID {
			return
		}
	}
	t.Error("no intent names the break-glass window")
}

func TestCeilingRollsBackAndHolds(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	ctx := t.Context()
	x.touched = map[string]int64{"public.orders": 60, "public.order_lines": 50}
	hold := held(t, second(h.lock.Do(ctx, updateRow(s, 1), x))).Hold
	if x.count() != 0 || hold.Ceiling.Count != 110 || hold.Verdict.Policies[0] != "ceiling" {
		t.Fatalf("executed %d, hold %+v", x.count(), hold.Ceiling)
	}
	h.approve(hold.ID, "bob")
	if _, err := h.lock.Do(ctx, updateRow(s, 1), x); err != nil || x.count() != 1 {
		t.Fatalf("approved overrun: %v, executed %d", err, x.count())
	}
	// The approval was for 110: once more with more dies at the ceiling.
	x.touched["public.orders"] = 61
	hold = held(t, second(h.lock.Do(ctx, updateRow(s, 1), x))).Hold
	if x.count() != 1 || hold.Ceiling.Count != 111 {
		t.Errorf("executed %d, hold for %+v by %v", x.count(), hold.Ceiling, hold.Verdict)
	}
}

// Small pieces add up, over sessions of one human too.
func TestCeilingIsCumulativePerHuman(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	x := newTarget()
	x.touched = map[string]int64{"public.orders": 90}
	// Each piece names another table, so that no policy about loops is in the
	// way; a trigger, say, makes all of them touch the same one.
	piece := func(human string, n int) interlock.Request {
		r := updateRow(h.agent("kiro", human), n)
		r.Actions[0].Resources[0].Name = fmt.Sprintf("public.t%d", n)
		return r
	}
	for n := range 11 {
		if _, err := h.lock.Do(t.Context(), piece("alice", n), x); err != nil {
			t.Fatalf("piece %d: %v", n, err)
		}
	}
	held(t, second(h.lock.Do(t.Context(), piece("alice", 12), x)))
	if _, err := h.lock.Do(t.Context(), piece("bob", 1), x); err != nil {
		t.Errorf("bob's account is his own: %v", err)
	}
	// A restart forgets nothing of what was done.
	h.stop()
	h.replica = h.start(nil)
	held(t, second(h.lock.Do(t.Context(), piece("alice", 13), x)))
}

// What was spent stays spent when something else is rolled back before the
// outcome of the spending is durable.
func TestRollbackGivesNothingBack(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	x.touched = map[string]int64{"public.orders": 90}
	made := dropTable(s, "scratch")
	made.Actions[0].Verb, made.Actions[0].Native, made.Actions[0].Impact.Scope = signalbox.Create, "CREATE TABLE", signalbox.ScopeOne
	for n := range 11 {
		r := updateRow(s, n)
		r.Actions[0].Resources[0].Name = fmt.Sprintf("public.t%d", n)
		if _, err := h.lock.Do(t.Context(), r, x); err != nil {
			t.Fatalf("piece %d: %v", n, err)
		}
		a, err := h.lock.Admit(t.Context(), made, x)
		if err != nil {
			t.Fatal(err)
		}
		h.lock.Abandon([]*interlock.Admission{a})
	}
	r := updateRow(s, 12)
	r.Actions[0].Resources[0].Name = "public.t12"
	held(t, second(h.lock.Do(t.Context(), r, x)))
}

// Promise P1 seen from the target: when it is asked to execute, the intent is
// in the log already. Promise P2: afterwards there is one outcome.
func TestP1IntentIsDurableBeforeExecution(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	x.execute = func(p *interlock.Permit) (signalbox.Outcome, error) {
		if n := h.countKind(proof.KindIntent); n != 1 {
			t.Errorf("%d intents in the log at execution", n)
		}
		if _, err := h.log.Find(t.Context(), p.Intent); err != nil {
			t.Errorf("intent %s: %v", p.Intent, err)
		}
		return signalbox.Outcome{Result: signalbox.Failed, Code: "23505", Detail: "duplicate key value (secret-1)"}, nil
	}
	out, err := h.lock.Do(t.Context(), updateRow(s, 1), x)
	if err != nil || out.Result != signalbox.Failed {
		t.Fatalf("%+v, %v", out, err)
	}
	h.stop()
	h.replica = h.start(nil)
	if n := h.countKind(proof.KindOutcome); n != 1 {
		t.Errorf("%d outcomes", n)
	}
}

func TestP2LostReplyIsUnknown(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	x.execute = func(*interlock.Permit) (signalbox.Outcome, error) {
		return signalbox.Outcome{}, errors.New("connection reset")
	}
	_, err := h.lock.Do(t.Context(), updateRow(s, 1), x)
	var unknown *interlock.UnknownError
	if !errors.As(err, &unknown) {
		t.Fatalf("got %v, want unknown", err)
	}
	row, err := h.store.Intent(t.Context(), unknown.Intent)
	if err != nil || row.Status != interlock.IntentUnknown {
		t.Errorf("intent is %q, %v", row.Status, err)
	}
}

// Promise P2: what a dead process left open becomes unknown when its lease
// ends, and the truth that comes late is appended as a resolution.
func TestP2OrphanedIntentBecomesUnknownThenResolved(t *testing.T) {
	databases(t, func(t *testing.T, db store.Config) {
		if db.Path != "" {
			t.Skip("one process alone: covered by the restart tests")
		}
		h := newHouse(t, db)
		s, x := h.agent("kiro", "alice"), newTarget()
		second := h.start(func(c *interlock.Config) { c.LeaseTime = 300 * time.Millisecond })
		release, executing := make(chan struct{}), make(chan struct{})
		x.execute = func(*interlock.Permit) (signalbox.Outcome, error) {
			close(executing)
			<-release
			return signalbox.Outcome{Result: signalbox.Done, Rows: 1, Reference: before}, nil
		}
		result := make(chan error, 1)
		go func() {
			_, err := h.lock.Do(t.Context(), updateRow(s, 1), x)
			result <- err
		}()
		<-executing
		// The first replica looks dead: nobody renews its lease from now on.
		if _, err := second.log.Commit(t.Context(),
			ledger.Batch{Changes: second.store.Lease("replica-1", h.now().Add(-time.Hour))}); err != nil {
			t.Fatal(err)
		}
		for second.countKind(proof.KindRecovery) == 0 {
			if t.Context().Err() != nil {
				t.Fatal("never recovered")
			}
		}
		close(release)
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		for second.countKind(proof.KindResolution) == 0 {
			if t.Context().Err() != nil {
				t.Fatal("never resolved")
			}
		}
		if n := second.countKind(proof.KindOutcome); n != 1 {
			t.Errorf("%d outcomes, want the unknown alone", n)
		}
		if got := second.hidden(proof.KindResolution, "reference"); len(got) != 1 || got[0] != text(t, before) {
			t.Errorf("the resolution's reference is %q, want %s", got, text(t, before))
		}
	})
}

// Promise P11: nothing that a request or a target says in its literals is in
// the log.
func TestP11NoSecretsInTheLog(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	x.execute = func(*interlock.Permit) (signalbox.Outcome, error) {
		return signalbox.Outcome{Result: signalbox.Failed, Code: "23505", Detail: "Key (note)=(secret-7) exists"}, nil
	}
	if _, err := h.lock.Do(t.Context(), updateRow(s, 7), x); err != nil {
		t.Fatal(err)
	}
	drop := dropTable(s, "orders")
	drop.Text += " /* secret-7 */"
	drop.Params = []string{"secret-7"}
	held(t, second(h.lock.Do(t.Context(), drop, x)))
	h.stop()
	h.replica = h.start(nil)
	size, _, err := h.log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hidden := 0
	err = h.log.Entries(t.Context(), 0, size, func(row ledger.Row) error {
		if bytes.Contains(row.Leaf, []byte("secret-")) {
			t.Errorf("entry %d holds a secret: %s", row.Index, row.Leaf)
		}
		if _, payload, err := h.log.Disclose(t.Context(), row.Index); err == nil &&
			bytes.Contains(payload, []byte("secret-7")) {
			hidden++
		}
		return nil
	})
	if err != nil || hidden < 3 {
		t.Errorf("%v; %d entries hide what was said, want intent, outcome and hold", err, hidden)
	}
}

// Promise P6: whatever is wrong with us, nothing goes through.
func TestP6FailsClosed(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	for name, r := range map[string]interlock.Request{
		"no actions": {Session: s, Gate: orders},
		"no session": {Gate: orders, Actions: updateRow(s, 1).Actions},
		"no target":  {Session: s, Gate: control.Gate{Name: "orders"}, Actions: updateRow(s, 1).Actions},
		"odd verb": {Session: s, Gate: orders, Text: "x",
			Actions: []signalbox.Action{{Verb: "improve", Native: "IMPROVE"}}},
		"odd request": {Session: s, Gate: orders, Text: "x",
			Actions: []signalbox.Action{signalbox.Worst("?", "cannot be read")}},
	} {
		if out, err := h.lock.Do(t.Context(), r, x); err == nil {
			t.Errorf("%s: went through: %+v", name, out)
		}
	}
	h.log.Close() // our own record is gone
	if _, err := h.lock.Do(t.Context(), updateRow(s, 1), x); !errors.Is(err, interlock.ErrUnavailable) {
		t.Errorf("without a ledger: %v", err)
	}
	if x.count() != 0 {
		t.Errorf("executed %d times", x.count())
	}
	h.replica.lock = nil // its ledger is closed: there is no good order to stop in
	h.store.Close()
}

// Storms: an agent that hammers is refused each time, and cannot fill the log.
func TestStormOfRefusalsIsCounted(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	if _, err := h.lock.StartFreeze(t.Context(), h.person("bob"),
		control.Freeze{Until: h.now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for n := range 300 {
		denied(t, second(h.lock.Do(t.Context(), updateRow(s, n), x)), "freeze")
	}
	h.stop()
	h.replica = h.start(nil)
	refusals, counted := h.countKind(proof.KindRefusal), int64(0)
	for _, e := range h.entries() {
		if storm, ok := e.Body.(*proof.Storm); ok {
			counted += storm.Count
		}
	}
	if refusals > 100 || int64(refusals)+counted != 300 {
		t.Errorf("%d refusals recorded, %d counted, want 300 together and few recorded", refusals, counted)
	}
}

func TestOpenHoldsOfOneHumanAreCapped(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	for n := range 20 {
		held(t, second(h.lock.Do(t.Context(), dropTable(s, "t"+string(rune('a'+n))), x)))
	}
	denied(t, second(h.lock.Do(t.Context(), dropTable(h.agent("codex", "alice"), "more"), x)), "too-many-holds")
	held(t, second(h.lock.Do(t.Context(), dropTable(h.agent("kiro", "bob"), "other"), x)))
}

// Policies are under change control where a production gate is configured.
func TestPolicyChangeIsAProposalThatNeedsApproval(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	h.stop()
	h.replica = h.start(func(c *interlock.Config) { c.PolicyGate = true })
	ctx := t.Context()
	before, err := h.lock.Control(ctx)
	if err != nil {
		t.Fatal(err)
	}
	open := []policy.File{{Name: "open.cedar", Data: []byte(`@id("all") permit (principal, action, resource);`)}}
	files := append(schemaOnly(t), open...)
	proposed, err := h.lock.LoadPolicy(ctx, files)
	if err != nil || !proposed {
		t.Fatalf("proposed %v, %v", proposed, err)
	}
	if now, _ := h.lock.Control(ctx); now.Policy != before.Policy {
		t.Fatal("a proposal is active")
	}
	// Asking again does not ask twice, and a bad set changes nothing.
	if proposed, err := h.lock.LoadPolicy(ctx, files); err != nil || !proposed {
		t.Fatalf("again: proposed %v, %v", proposed, err)
	}
	if _, err := h.lock.LoadPolicy(ctx, append(schemaOnly(t),
		policy.File{Name: "bad.cedar", Data: []byte(`permit (`)})); err == nil {
		t.Error("a bad set was taken")
	}
	holds, err := h.store.Holds(ctx, approval.Open, 10)
	if err != nil || len(holds) != 1 || !strings.Contains(holds[0].Request, "permit (principal, action, resource)") {
		t.Fatalf("holds: %+v, %v", holds, err)
	}
	h.approve(holds[0].ID, "bob", "carol")
	for deadline := time.Now().Add(patience); ; {
		c, err := h.lock.Control(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if c.Policy != before.Policy {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the approved policies are not in force")
		}
	}
	s, x := h.agent("kiro", "alice"), newTarget()
	if _, err := h.lock.Do(ctx, dropTable(s, "orders"), x); err != nil {
		t.Errorf("under the new policies: %v", err)
	}
}

// So are the forms that an operator has reviewed: they are a file of the set.
func TestReviewedFormsAreUnderChangeControl(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	h.stop()
	h.replica = h.start(func(c *interlock.Config) { c.PolicyGate = true })
	files, err := defaultFiles()
	if err != nil {
		t.Fatal(err)
	}
	line := "CREATE INDEX \"our tables are small\"\n"
	at := slices.IndexFunc(files, func(f policy.File) bool { return f.Name == policy.ReviewedFile })
	files[at].Data = append(slices.Clone(files[at].Data), line...)
	proposed, err := h.lock.LoadPolicy(t.Context(), files)
	if err != nil || !proposed {
		t.Fatalf("proposed %v, %v", proposed, err)
	}
	holds, err := h.store.Holds(t.Context(), approval.Open, 10)
	if err != nil || len(holds) != 1 || !strings.Contains(holds[0].Request, "changed file reviewed.txt, now:\n") ||
		!strings.Contains(holds[0].Request, line) {
		t.Fatalf("holds: %+v, %v", holds, err)
	}
}

func schemaOnly(t *testing.T) []policy.File {
	t.Helper()
	files, err := defaultFiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name, ".cedarschema") {
			return []policy.File{f}
		}
	}
	t.Fatal("no schema")
	return nil
}

// A read asked again is decided again at the latest when the control state was
// looked at again, and memory hears of every repetition.
func TestRepeatedReadsAreCountedAndStopAtAHalt(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x, ctx := h.agent("kiro", "alice"), newTarget(), t.Context()
	read := interlock.Request{Session: s, Gate: orders, Text: "SELECT 1", Actions: []signalbox.Action{{
		Verb: signalbox.Read, Native: "SELECT", Fingerprint: "sel",
		Resources: []signalbox.Resource{{Type: "table", Name: "public.orders"}},
		Impact:    signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: true},
	}}}
	for n := range 20 {
		read.Text = fmt.Sprintf("SELECT %d", n)
		a, err := h.lock.Admit(ctx, read, x)
		if err != nil || !a.Read() || a.Limited() {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	if _, err := h.lock.Do(ctx, updateRow(s, 1), x); err != nil {
		t.Fatal(err)
	}
	h.stop()
	h.replica = h.start(nil)
	row, err := h.store.Memory(ctx, "session/"+string(s.ID))
	if err != nil || !bytes.Contains(row.Data, []byte(`"reads":20`)) {
		t.Errorf("memory: %s, %v", row.Data, err)
	}
	if _, err := h.lock.Admit(ctx, read, x); err != nil {
		t.Fatal(err)
	}
	if err := h.lock.Halt(ctx, h.person("bob"), control.HaltGate, "orders", ""); err != nil {
		t.Fatal(err)
	}
	denied(t, second(h.lock.Admit(ctx, read, x)), "halt")
}

// What was read stands in the log right before the intent that it travels with,
// durable before the write is executed, and is not recorded with a write that is
// refused.
func TestReadsTravelWithTheIntent(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x, ctx := h.human("alice"), newTarget(), t.Context()
	read := proof.Reads{
		Session: s.ID, Actor: s.Actor, Gate: orders.Name, Target: orders.Target, Environment: orders.Environment,
		From: proof.At(h.now()), To: proof.At(h.now()), Statements: 3, Hash: signalbox.Digest{1},
	}
	var seen []proof.Kind
	x.execute = func(*interlock.Permit) (signalbox.Outcome, error) {
		for _, e := range h.entries() {
			seen = append(seen, e.Body.Kind())
		}
		return signalbox.Outcome{Result: signalbox.Done}, nil
	}
	x.reads = []proof.Reads{read, read}
	execute := func() error {
		a, err := h.lock.Admit(ctx, updateRow(s, 1), x)
		if err != nil {
			t.Fatal(err)
		}
		if len(seen) > 0 { // the second: halted in between
			if err := h.lock.Halt(ctx, h.person("bob"), control.HaltSession, string(s.ID), ""); err != nil {
				t.Fatal(err)
			}
		}
		_, err = h.lock.Execute(ctx, []*interlock.Admission{a}, x)
		return err
	}
	if err := execute(); err != nil {
		t.Fatal(err)
	}
	want := []proof.Kind{proof.KindReads, proof.KindReads, proof.KindIntent}
	if n := len(seen); n < 3 || !slices.Equal(seen[n-3:], want) {
		t.Errorf("when it was executed the log ended in %v", seen)
	}
	denied(t, execute(), "halt")
	if n := h.countKind(proof.KindReads); n != 2 {
		t.Errorf("%d summaries, want the 2 of the write that was executed", n)
	}
	if len(x.recorded) != 2 || x.recorded[0] != nil || x.recorded[1] == nil {
		t.Errorf("told that they were recorded: %v, want nil and an error", x.recorded)
	}
}
