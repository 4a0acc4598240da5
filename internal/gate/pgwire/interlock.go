package pgwire

import (
	"context"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/proof"
)

// Interlock is what the gate needs of the interlock. [Through] makes one of
// the real one.
type Interlock interface {
	// Authenticate gives a session and the password that it has at this gate.
	// Errors are the same to the client, whatever they say.
	Authenticate(ctx context.Context, gate string, id signalbox.SessionID) (signalbox.Session, string, error)
	// Watch gives a channel that is closed when the session must stop, why,
	// and a function that ends the watch.
	Watch(s signalbox.Session, gate string) (done <-chan struct{}, why func() error, release func())
	// CountLogin accounts for a failed log-in that was turned away unrecorded.
	CountLogin(gate string, id signalbox.SessionID)

	// Admit decides a request. With a nil error it may go on; its effects must
	// stay provisional until Carry.
	Admit(ctx context.Context, r interlock.Request, x Executor) (Admission, error)
	// Recheck gives what was found when an admitted request was looked at again,
	// with its locks taken. False: it is not what was approved, the permit is
	// dead and the admission void.
	Recheck(ctx context.Context, a Admission, now signalbox.Impact, state signalbox.State) (bool, error)
	// Carry records what was read, then one intent for all the admissions, in
	// one commit, and has x execute it. Unless x is called, what was read is
	// not known to be recorded.
	Carry(ctx context.Context, as []Admission, read []proof.Reads, x Executor) (signalbox.Outcome, error)
	// Do is Admit and Carry, and waits between for the gate's Wait.
	Do(ctx context.Context, r interlock.Request, x Executor) (signalbox.Outcome, error)
	// Abandon says that admitted requests were rolled back.
	Abandon(as []Admission)
	// Reads records summaries of admitted reads, all or none; durable when it
	// returns.
	Reads(ctx context.Context, sums []proof.Reads) error
	// ReadEach records one admitted read; durable when it returns.
	ReadEach(ctx context.Context, a Admission) error
}

// An Admission says that a request may go on.
type Admission interface {
	Read() bool    // there is nothing to carry out
	Limited() bool // touched rows must be measured and given to Permit.Spend
}

// A Permit is the right to execute one recorded intent, once.
type Permit struct {
	Limited bool
	// Still reports why what was found now, with the locks taken, is not what
	// was approved; "" when it is.
	Still func(now signalbox.Impact, state signalbox.State) string
	// Spend checks rows touched, by table, against the ceiling. It is called
	// before the effects are final; an error means that they must be undone.
	Spend func(touched map[string]int64) error
}

// An Executor is as [interlock.Executor], [interlock.Referrer] and
// [interlock.Atomic].
type Executor interface {
	Probe(ctx context.Context) (signalbox.Impact, signalbox.State, error)
	Execute(ctx context.Context, p Permit) (signalbox.Outcome, error)
	Reference(ctx context.Context) signalbox.Reference
	Atomic() bool
}

// Through makes the gate's view of an interlock.
func Through(i *interlock.Interlock) Interlock { return through{i} }

type through struct{ *interlock.Interlock }

func (t through) Watch(s signalbox.Session, gate string) (<-chan struct{}, func() error, func()) {
	w := t.Interlock.Watch(s, gate)
	return w.Done(), w.Err, w.Release
}

func (t through) CountLogin(gate string, id signalbox.SessionID) { t.CountLogins(gate, id) }

func (t through) Admit(ctx context.Context, r interlock.Request, x Executor) (Admission, error) {
	a, err := t.Interlock.Admit(ctx, r, executor{x})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (t through) Recheck(ctx context.Context, a Admission, now signalbox.Impact, state signalbox.State) (bool, error) {
	return t.Interlock.Recheck(ctx, a.(*interlock.Admission), now, state)
}

func (t through) Carry(ctx context.Context, as []Admission, read []proof.Reads, x Executor) (signalbox.Outcome, error) {
	return t.Interlock.Carry(ctx, admissions(as), read, executor{x})
}

func (t through) Do(ctx context.Context, r interlock.Request, x Executor) (signalbox.Outcome, error) {
	return t.Interlock.Do(ctx, r, executor{x})
}

func (t through) Abandon(as []Admission) { t.Interlock.Abandon(admissions(as)) }

func (t through) ReadEach(ctx context.Context, a Admission) error {
	return t.Interlock.ReadEach(ctx, a.(*interlock.Admission), -1)
}

func admissions(as []Admission) []*interlock.Admission {
	real := make([]*interlock.Admission, len(as))
	for i, a := range as {
		real[i] = a.(*interlock.Admission)
	}
	return real
}

type executor struct{ Executor }

func (x executor) Execute(ctx context.Context, p *interlock.Permit) (signalbox.Outcome, error) {
	return x.Executor.Execute(ctx, Permit{Limited: p.Limited, Still: p.Still, Spend: p.Spend})
}
