package interlock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/proof"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

// With a clock that is wrong nothing is begun, and whatever stops things or
// says what came of them is recorded all the same (promises P2, P6, P9).
func TestP9ClockStopsNoBrake(t *testing.T) {
	databases(t, func(t *testing.T, db store.Config) {
		h := newHouse(t, db)
		ctx := t.Context()
		s, other, x := h.agent("kiro", "alice"), h.agent("claude", "alice"), newTarget()
		bob, alice := h.person("bob"), h.person("alice")
		opens := func(l *interlock.Interlock) error {
			_, _, err := l.OpenSession(ctx, bob, interlock.NewSession{}, []string{"orders"})
			return err
		}
		wrong := -time.Hour
		if db.URL != "" {
			wrong = time.Hour // which SQLite, on the same machine, cannot tell
		}
		// In the middle of a write the clock is stepped.
		x.execute = func(*interlock.Permit) (signalbox.Outcome, error) {
			h.ahead.Store(int64(wrong))
			return signalbox.Outcome{}, errors.New("connection lost")
		}
		var unknown *interlock.UnknownError
		if err := second(h.lock.Do(ctx, updateRow(s, 1), x)); !errors.As(err, &unknown) {
			t.Fatalf("got %v, want an unknown outcome", err)
		}
		if n := h.countKind(proof.KindOutcome); n != 1 {
			t.Errorf("%d outcomes recorded, want 1", n)
		}
		watch := h.lock.Watch(other, "orders")
		defer watch.Release()
		if err := second(h.lock.StartFreeze(ctx, bob,
			control.Freeze{Until: h.now().Add(2 * time.Hour), Reason: "clock"})); err != nil {
			t.Errorf("freeze: %v", err)
		}
		if err := h.lock.Halt(ctx, bob, control.HaltSession, string(other.ID), "clock"); err != nil {
			t.Errorf("halt: %v", err)
		}
		select {
		case <-watch.Done():
		case <-ctx.Done():
			t.Error("a session that was halted is not told")
		}
		if err := h.lock.EndSession(ctx, alice, s.ID); err != nil {
			t.Errorf("end a session: %v", err)
		}
		if err := opens(h.lock); !errors.Is(err, ledger.ErrClock) {
			t.Errorf("something new was begun: %v", err)
		}
		// A replica whose clock is right starts, and works.
		h.ahead.Store(0)
		again := h.lock
		if db.URL != "" {
			again = h.start(nil).lock
		}
		if err := opens(again); err != nil {
			t.Errorf("with the clock right again: %v", err)
		}
	})
}

// While the log's time stands still, because this machine's clock is behind it,
// what was read last must not look fresh for ever: nobody could halt anything.
func TestP9NothingIsFreshForEver(t *testing.T) {
	server := pgtest.New(t, pgtest.Config{})
	if err := server.CreateDB(t.Context(), "own"); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, store.Config{URL: server.URL("own")})
	r := h.start(func(c *interlock.Config) { c.Now = c.Ledger.(*ledger.Log).Now })
	s, x := r.agent("kiro", "alice"), newTarget()
	if _, err := r.lock.Do(t.Context(), updateRow(s, 1), x); err != nil {
		t.Fatal(err)
	}
	h.ahead.Store(int64(-time.Hour))
	server.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		err := second(r.lock.Control(ctx))
		if errors.Is(err, interlock.ErrUnavailable) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if ctx.Err() != nil {
			t.Fatal("decides by what it read before the database went away")
		}
	}
	h.ahead.Store(0)
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A resolution is sealed with the time when it is recorded, however long ago its
// write was begun, and written once.
func TestP2ResolutionIsLateAndWrittenOnce(t *testing.T) {
	databases(t, func(t *testing.T, db store.Config) {
		h := newHouse(t, db)
		s, x := h.agent("kiro", "alice"), newTarget()
		intent := ""
		x.execute = func(p *interlock.Permit) (signalbox.Outcome, error) {
			intent = p.Intent
			return signalbox.Outcome{}, errors.New("connection lost")
		}
		if err := second(h.lock.Do(t.Context(), updateRow(s, 1), x)); err == nil {
			t.Fatal("it was not unknown")
		}
		for range 2 { // the answer to the first was lost
			if err := h.lock.Conclude(t.Context(), intent,
				signalbox.Outcome{Result: signalbox.Done, Rows: 1}); err != nil {
				t.Fatal(err)
			}
		}
		if n := h.countKind(proof.KindResolution); n != 1 {
			t.Errorf("%d resolutions, want 1", n)
		}
		verify(t, h, 0)
	})
}

// Only these two are told to a client, and only the halt after its proof.
func TestAuthenticateSaysOutageAndHalt(t *testing.T) {
	server := pgtest.New(t, pgtest.Config{})
	if err := server.CreateDB(t.Context(), "own"); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, store.Config{URL: server.URL("own")})
	s := h.agent("kiro", "alice")
	if err := h.lock.Halt(t.Context(), h.person("bob"), control.HaltGate, "orders", "enough"); err != nil {
		t.Fatal(err)
	}
	got, credential, err := h.lock.Authenticate(t.Context(), "orders", s.ID)
	if !errors.Is(err, interlock.ErrHalted) || got.ID != s.ID || credential == "" {
		t.Errorf("halted: %v, %q, %v", got.ID, credential, err)
	}
	if _, _, err := h.lock.Authenticate(t.Context(), "orders", "nobody"); !errors.Is(err, interlock.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	server.Kill()
	for _, id := range []signalbox.SessionID{s.ID, "nobody"} {
		if _, _, err := h.lock.Authenticate(t.Context(), "orders", id); !errors.Is(err, interlock.ErrUnavailable) {
			t.Errorf("outage, %s: %v", id, err)
		}
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}
