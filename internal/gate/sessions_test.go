package gate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
)

func complete(t *testing.T, s *gatetest.Script) *gate.Config {
	t.Helper()
	c := &gate.Config{Gate: control.Gate{Name: "orders"}, Interlock: s, Logger: slog.New(slog.DiscardHandler)}
	if err := c.Complete("echo", 2); err != nil {
		t.Fatal(err)
	}
	return c
}

func script(t *testing.T) *gatetest.Script {
	return &gatetest.Script{T: t, Name: func(r interlock.Request) string { return r.Text }, Ceiling: -1}
}

func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script(t)
		all := gate.NewSessions(complete(t, s))
		ended := errors.New("the gate has ended")
		defer all.Close(ended)
		if all.Known("human-alice") != nil {
			t.Fatal("a stranger is known")
		}
		alice := signalbox.Session{ID: "human-alice"}
		one := all.Join(alice, "secret")
		if all.Known(alice.ID) != one || all.Join(alice, "secret") != one {
			t.Error("one session is two")
		}
		for n, want := range []bool{true, true, false} {
			if got := all.Admit(one); got != want {
				t.Errorf("client %d: %v", n, got)
			}
		}
		all.Leave(one, true)
		if !all.Admit(one) {
			t.Error("a place that was given back is taken")
		}
		// Another credential ends what the old one began.
		two := all.Join(alice, "other")
		if two == one || context.Cause(one.Context()) == nil || two.Context().Err() != nil {
			t.Errorf("replaced: %v, %v", context.Cause(one.Context()), two.Context().Err())
		}
		if two.Reads != one.Reads {
			t.Error("what it read is lost")
		}
		// Nobody comes for a while: it is forgotten, and what it read is recorded.
		two.Reads.Add(time.Now(), "f", "SELECT ?", "", nil, 1)
		all.Leave(two, false)
		time.Sleep(time.Second)
		all.Sweep()
		time.Sleep(2 * time.Minute)
		if all.Known(alice.ID) != nil {
			t.Error("it is known without having been authenticated for minutes")
		}
		all.Sweep()
		synctest.Wait()
		if two.Context().Err() == nil || len(s.Entries()) != 1 {
			t.Errorf("forgotten: %v, journal %q", two.Context().Err(), s.Entries())
		}
		// Who is halted is stopped at once.
		three := all.Join(alice, "other")
		s.Halt()
		synctest.Wait()
		if why := context.Cause(three.Context()); why == nil || !strings.Contains(why.Error(), "halted") {
			t.Errorf("halted: %v", why)
		}
		if all.Known(alice.ID) != nil {
			t.Error("a halted session is joined")
		}
	})
}

// What cannot be recorded before a write is not followed by the write, and the
// client hears of it.
func TestReadsBeforeWrites(t *testing.T) {
	s := script(t)
	all := gate.NewSessions(complete(t, s))
	defer all.Close(errors.New("ended"))
	at := all.Join(signalbox.Session{ID: "human-alice"}, "")
	defer all.Leave(at, false)
	at.Reads.Add(time.Now(), "f", "SELECT ?", "", nil, 1)
	other := at.Reads.Take() // by another write of the session
	s.Mu.Lock()
	s.Decide = func(interlock.Request) error {
		s.Mu.Lock()
		defer s.Mu.Unlock()
		s.Decide = nil
		return nil
	}
	s.Mu.Unlock()
	r := interlock.Request{Session: at.Session, Text: "write", Canonical: signalbox.Digest{1},
		Actions: []signalbox.Action{{Verb: signalbox.Update}}}
	x := &executor{before: func() {
		s.Mu.Lock()
		s.Failing = fmt.Errorf("%w: disk full", interlock.ErrUnavailable)
		s.Mu.Unlock()
		other.Done(errors.New("refused"))
	}}
	_, err := at.Do(t.Context(), r, x)
	if !errors.Is(err, interlock.ErrUnavailable) || x.executed {
		t.Errorf("executed %v, told %v", x.executed, err)
	}
	s.Mu.Lock()
	s.Failing = nil
	s.Mu.Unlock()
	x = &executor{}
	if _, err := at.Do(t.Context(), r, x); err != nil || !x.executed {
		t.Errorf("executed %v, told %v", x.executed, err)
	}
	if got := strings.Join(s.Entries("admit", "spend"), ", "); !strings.HasSuffix(got,
		"reads 1, intent write, outcome done ") {
		t.Errorf("journal: %s", got)
	}
}

// An executor is a write.
type executor struct {
	before   func() // when it is asked how it stands
	executed bool
}

func (x *executor) Probe(context.Context) (signalbox.Impact, signalbox.State, error) {
	return signalbox.Impact{}, nil, nil
}

func (x *executor) Prepare(context.Context) interlock.Prepared {
	if x.before != nil {
		go x.before() // while the intent is being recorded
	}
	return interlock.Prepared{}
}

func (x *executor) Execute(context.Context, *interlock.Permit) (signalbox.Outcome, error) {
	x.executed = true
	return signalbox.Outcome{Result: signalbox.Done}, nil
}

func TestRefuse(t *testing.T) {
	c := complete(t, script(t))
	c.HoldURL = func(id string) string { return "https://signalbox.test/holds/" + id }
	hold := approval.Hold{ID: "01H", Status: approval.Open, Expires: time.Unix(2e9, 0)}
	for _, test := range []struct {
		err  error
		want gate.RefusalKind
	}{
		{&interlock.HeldError{Hold: hold}, gate.Held},
		{&interlock.DeniedError{}, gate.Denied},
		{&interlock.OverrunError{}, gate.Denied},
		{&interlock.UnknownError{Err: errors.New("lost")}, gate.Unknown},
		{fmt.Errorf("%w: /var/lib/signalbox: disk", interlock.ErrUnavailable), gate.Unavailable},
	} {
		r, ok := c.Refuse(test.err)
		if !ok || r.Kind != test.want || strings.Contains(r.Reason, "/var/lib") {
			t.Errorf("%v: %+v, %v", test.err, r, ok)
		}
	}
	if r, _ := c.Refuse(&interlock.HeldError{Hold: hold}); !r.Retry || r.URL != "https://signalbox.test/holds/01H" ||
		r.Status() != "open until 2033-05-18 03:33 UTC" || r.Wait() != "`signalbox hold wait 01H`" {
		t.Errorf("held: %+v, %s, %s", r, r.Status(), r.Wait())
	}
	if _, ok := c.Refuse(errors.New("something else")); ok {
		t.Error("any error is a refusal")
	}
}

func TestFailures(t *testing.T) {
	f := gate.GateFailures()
	for range 10 {
		if f.TooMany("10.0.0.1", "s1") {
			t.Fatal("too few failed")
		}
		f.Add("10.0.0.1", "s1")
	}
	if !f.TooMany("10.0.0.1", "s1") {
		t.Error("ten failed, and one more is let through")
	}
	if f.TooMany("10.0.0.1", "s2") || f.TooMany("10.0.0.2", "s1") {
		t.Error("others are limited for what one did")
	}
	for n := range 100 {
		f.Add(fmt.Sprint("10.1.0.", n), "s1")
	}
	if !f.TooMany("10.0.0.9", "s1") {
		t.Error("a hundred failed with one name, and one more is let through")
	}
}

func TestGuard(t *testing.T) {
	c := complete(t, script(t))
	var log gatetest.LogBuffer
	var where []string
	c.Logger, c.Panicked = slog.New(slog.NewTextHandler(&log, nil)), func(w string) { where = append(where, w) }
	err := c.Guard("here", func() error { panic("no") })
	if f := (*gate.Fault)(nil); !errors.As(err, &f) || len(where) != 1 ||
		!strings.Contains(log.String(), "where=here") {
		t.Errorf("%v, %v, %s", err, where, log.String())
	}
}
