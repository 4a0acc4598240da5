package gatetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/forms"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/proof"
	"github.com/signalbox-dev/signalbox/test/oracle"
)

var _ gate.Interlock = (*Script)(nil)

// A Script stands in for interlock where a test is about the wire: it decides by a
// function of the test, and keeps a journal of what it was told. Fields that tests
// change while clients are served are guarded by Mu.
type Script struct {
	T testing.TB
	// Name names a request in the journal.
	Name func(interlock.Request) string
	// Ceiling is how many rows an agent's intent may touch; <0: any number.
	Ceiling int64
	// Probing has every request probed, as if it had a permit. ProbeHeld has those
	// probed that Decide holds.
	Probing, ProbeHeld bool
	// Waits has Do wait for it when Decide refuses, and admit then.
	Waits chan struct{}
	// Meanwhile is called between a probe and what it is for.
	Meanwhile func()
	// RefuseNext is what the next Execute fails with; nothing is recorded.
	RefuseNext atomic.Pointer[error]

	Log oracle.Journal // what the target is held against

	Mu       sync.Mutex
	Decide   func(interlock.Request) error // nil: all is admitted
	Failing  error                         // Reads and Execute fail with it
	Reviewed *forms.List
	Login    error // Authenticate gives it with everything else
	Requests []interlock.Request
	Sums     []proof.Reads
	Outcomes []signalbox.Outcome
	Probed   Probed // the last
	journal  []string
	watches  []*scriptedWatch
	halted   bool // no intent comes to be any more, as with the real one
}

// Probed is what a probe gave.
type Probed struct {
	Impact signalbox.Impact
	State  signalbox.State
	Err    error
}

// Note adds to the journal.
func (s *Script) Note(format string, args ...any) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.journal = append(s.journal, fmt.Sprintf(format, args...))
}

// Entries gives the journal so far, without what begins with one of skip.
func (s *Script) Entries(skip ...string) []string {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	var list []string
next:
	for _, e := range s.journal {
		for _, p := range skip {
			if strings.HasPrefix(e, p) {
				continue next
			}
		}
		list = append(list, e)
	}
	return list
}

// Clear empties the journal.
func (s *Script) Clear() {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.journal, s.Outcomes = nil, nil
}

// Password is the credential of a session of a script.
func Password(id string) string { return "sbs_" + id + "_secret" }

var errHalted = errors.New("halted by bob: enough")

// Authenticate implements [gate.Interlock]. A session's id tells the kind of its
// actor: human-alice, agent-kiro; one of the name "gone" has ended.
func (s *Script) Authenticate(_ context.Context, _ string, id signalbox.SessionID) (signalbox.Session, string, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	kind, name, ok := strings.Cut(string(id), "-")
	if !ok || name == "gone" || s.halted {
		return signalbox.Session{}, "", fmt.Errorf("session %s has ended", id)
	}
	a := signalbox.Actor{Kind: signalbox.ActorKind(kind), Name: name}
	if a.Kind == signalbox.Agent {
		a.For = "alice"
	}
	return signalbox.Session{ID: id, Actor: a, Started: time.Now(), Expires: time.Now().Add(time.Hour)},
		Password(string(id)), s.Login
}

type scriptedWatch struct {
	done chan struct{}
	once sync.Once
}

func (w *scriptedWatch) Done() <-chan struct{} { return w.done }
func (w *scriptedWatch) Err() error            { return errHalted }
func (w *scriptedWatch) Release()              {}

// Watch implements [gate.Interlock].
func (s *Script) Watch(signalbox.Session, string) gate.Watch {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	w := &scriptedWatch{done: make(chan struct{})}
	s.watches = append(s.watches, w)
	return w
}

// Halt stops all sessions.
func (s *Script) Halt() {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.halted = true
	for _, w := range s.watches {
		w.once.Do(func() { close(w.done) })
	}
}

// Forms implements [gate.Interlock].
func (s *Script) Forms() *forms.List {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.Reviewed
}

// CountLogins implements [gate.Interlock].
func (s *Script) CountLogins(_ string, id signalbox.SessionID) { s.Note("turned away %s", id) }

// A scripted is an admission.
type scripted struct {
	r       interlock.Request
	limited bool
}

func (a *scripted) Limited() bool { return a.limited }
func (a *scripted) Hold() string  { return "" }
func (a *scripted) Read() bool {
	for _, action := range a.r.Actions {
		if action.Verb != signalbox.Read {
			return false
		}
	}
	return true
}

func (s *Script) probe(ctx context.Context, x interlock.Executor) {
	impact, state, err := x.Probe(ctx)
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.Probed = Probed{impact, state, err}
}

// Admit implements [gate.Interlock].
func (s *Script) Admit(ctx context.Context, r interlock.Request, x interlock.Executor) (gate.Admission, error) {
	if len(r.Actions) == 0 || r.Canonical.IsZero() {
		s.T.Errorf("request without actions or digest: %q", r.Text)
	}
	s.Mu.Lock()
	decide := s.Decide
	s.Requests = append(s.Requests, r)
	s.Mu.Unlock()
	// What no policy allows an agent, a script does not either.
	if least := (control.Case{Session: r.Session, Actions: r.Actions,
		Minimum: r.Minimum}).Least(); least.Decision == signalbox.Deny {
		s.Note("refused %s", s.Name(r))
		return nil, &interlock.DeniedError{Verdict: least}
	}
	if decide != nil {
		if err := decide(r); err != nil {
			s.Note("refused %s", s.Name(r))
			if held := (*interlock.HeldError)(nil); s.ProbeHeld && errors.As(err, &held) {
				s.probe(ctx, x)
			}
			return nil, err
		}
	}
	if s.Probing {
		s.probe(ctx, x)
		if s.Meanwhile != nil {
			s.Meanwhile()
		}
	}
	a := &scripted{r: r}
	a.limited = r.Session.Actor.Kind == signalbox.Agent && r.Gate.Environment == signalbox.Production && !a.Read()
	if !a.Read() {
		s.Note("admit %s", s.Name(r))
	}
	return a, nil
}

// Recheck compares with what Admit found. What differs is held from then on.
func (s *Script) Recheck(_ context.Context, a gate.Admission, now signalbox.Impact,
	state signalbox.State) (bool, error) {
	d := s.Probed.differs(now, state)
	if d == "" {
		return true, nil
	}
	s.Note("dead %s: %s", s.Name(a.(*scripted).r), d)
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.Decide = Holding("")
	return false, nil
}

func (p Probed) differs(now signalbox.Impact, state signalbox.State) string {
	if d := p.State.Diff(state); d != "" {
		return d
	}
	return approval.Within(p.Impact, now)
}

// Execute implements [gate.Interlock]. Like the real one it records what is
// prepared with the intent, and neither when it fails.
func (s *Script) Execute(ctx context.Context, as []gate.Admission, x interlock.Executor) (signalbox.Outcome, error) {
	s.Mu.Lock()
	failing := s.Failing
	if s.halted {
		failing = &interlock.DeniedError{Verdict: signalbox.Verdict{Decision: signalbox.Deny,
			Reason: errHalted.Error()}}
	}
	s.Mu.Unlock()
	prepared := x.Prepare(ctx)
	err := failing
	if refuse := s.RefuseNext.Swap(nil); err == nil && refuse != nil {
		err = *refuse
	}
	if err == nil && len(prepared.Reads) > 0 {
		err = s.Reads(ctx, prepared.Reads)
	}
	if prepared.Recorded != nil {
		prepared.Recorded(err)
	}
	if err != nil {
		return signalbox.Outcome{}, err
	}
	p := &interlock.Permit{Intent: "01INTENT", Still: func(signalbox.Impact, signalbox.State) string { return "" }}
	if s.Probing {
		p.Still = s.Probed.differs
	}
	var names []string
	var actions []signalbox.Action
	for _, a := range as {
		names = append(names, s.Name(a.(*scripted).r))
		actions = append(actions, a.(*scripted).r.Actions...)
		p.Limited = p.Limited || a.Limited()
	}
	s.Note("intent %s", strings.Join(names, " | "))
	id := s.Log.Intent(actions)
	p.Spend = func(touched map[string]int64) error {
		var total int64
		for _, n := range touched {
			total += n
		}
		s.Note("spend %v", touched)
		if p.Limited && s.Ceiling >= 0 && total > s.Ceiling {
			return &interlock.OverrunError{Reason: fmt.Sprintf("%d rows touched, the ceiling is %d", total,
				s.Ceiling), Touched: touched}
		}
		return nil
	}
	out, err := x.Execute(ctx, p)
	switch over := (*interlock.OverrunError)(nil); {
	case errors.As(err, &over):
		s.Note("outcome failed overrun")
		s.Log.Outcome(id, signalbox.Outcome{Result: signalbox.Failed})
		return out, held("01OVERRUN", over.Error(), "1 of sre")
	case err != nil:
		s.Note("outcome unknown")
		s.Log.Outcome(id, signalbox.Outcome{Result: signalbox.ResultUnknown, Rows: signalbox.CountUnknown})
		return out, &interlock.UnknownError{Intent: p.Intent, Err: err}
	}
	s.Mu.Lock()
	s.Outcomes = append(s.Outcomes, out)
	s.Mu.Unlock()
	s.Log.Outcome(id, out)
	s.Note("outcome %s %s", out.Result, out.Code)
	return out, nil
}

// Do implements [gate.Interlock].
func (s *Script) Do(ctx context.Context, r interlock.Request, x interlock.Executor) (signalbox.Outcome, error) {
	a, err := s.Admit(ctx, r, x)
	if err != nil && s.Waits != nil {
		select {
		case <-s.Waits:
			s.Mu.Lock()
			s.Decide = nil
			s.Mu.Unlock()
			a, err = s.Admit(ctx, r, x)
		case <-ctx.Done():
			return signalbox.Outcome{}, ctx.Err()
		}
	}
	if err != nil {
		return signalbox.Outcome{}, err
	}
	return s.Execute(ctx, []gate.Admission{a}, x)
}

// Abandon implements [gate.Interlock].
func (s *Script) Abandon(as []gate.Admission) {
	for _, a := range as {
		s.Note("abandon %s", s.Name(a.(*scripted).r))
	}
}

// Reads implements [gate.Interlock].
func (s *Script) Reads(_ context.Context, sums []proof.Reads) error {
	for _, sum := range sums {
		s.Note("reads %d", sum.Statements)
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	if s.Failing != nil {
		return s.Failing
	}
	s.Sums = append(s.Sums, sums...)
	return nil
}

// ReadEach implements [gate.Interlock].
func (s *Script) ReadEach(_ context.Context, a gate.Admission) error {
	s.Note("read %s", s.Name(a.(*scripted).r))
	return nil
}

// Holding holds requests whose text contains one of these.
func Holding(parts ...string) func(interlock.Request) error {
	return func(r interlock.Request) error {
		for _, p := range parts {
			if strings.Contains(r.Text, p) {
				return held("01HOLD", "destroys a <table>", "2 of sre")
			}
		}
		return nil
	}
}

func held(id, reason, requires string) error {
	return &interlock.HeldError{Hold: approval.Hold{
		ID: id, Status: approval.Open, Expires: time.Unix(2e9, 0),
		Verdict: signalbox.Verdict{Decision: signalbox.Hold, Reason: reason, Requires: []string{requires}},
	}}
}
