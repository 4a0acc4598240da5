package aws

import (
	"context"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/proof"
)

// Interlock is what the gate needs of the interlock. [Through] makes one of
// the real one.
type Interlock interface {
	// Authenticate gives a session and the credential that it has at this gate.
	// Errors are the same to the client, whatever they say.
	Authenticate(ctx context.Context, gate string, id signalbox.SessionID) (signalbox.Session, string, error)
	// Watch gives a channel that is closed when the session must stop, why,
	// and a function that ends the watch.
	Watch(s signalbox.Session, gate string) (done <-chan struct{}, why func() error, release func())
	// CountLogin accounts for a failed authentication.
	CountLogin(gate string, id signalbox.SessionID)

	// Admit decides a read. With a nil error it may go on.
	Admit(ctx context.Context, r interlock.Request, x Executor) (Admission, error)
	// Carry records one intent for an admission and has x execute it.
	Carry(ctx context.Context, a Admission, x Executor) (signalbox.Outcome, error)
	// Do is Admit and Carry, and waits between for the gate's Wait.
	Do(ctx context.Context, r interlock.Request, x Executor) (signalbox.Outcome, error)
	// Reads records a summary of admitted reads; durable when it returns.
	Reads(ctx context.Context, sum proof.Reads) error
	// ReadEach records one admitted read; durable when it returns.
	ReadEach(ctx context.Context, a Admission) error
}

// An Admission says that a request may go on.
type Admission interface {
	// Hold is the approval behind it, which must be redeemed; or "".
	Hold() string
}

// A Permit is the right to execute one recorded intent, once.
type Permit struct {
	Intent  string // id of the intent
	Hold    string // the approval behind it, or ""
	Limited bool
	// Spend checks what will be touched, by resource, against the ceiling. It is
	// called before the request is forwarded; an error means that it must not be.
	Spend func(touched map[string]int64) error
}

// An Executor is as [interlock.Executor], and may be an [interlock.Referrer] and an
// [interlock.Atomic] as well.
type Executor interface {
	Probe(ctx context.Context) (signalbox.Impact, signalbox.State, error)
	Execute(ctx context.Context, p Permit) (signalbox.Outcome, error)
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

func (t through) Carry(ctx context.Context, a Admission, x Executor) (signalbox.Outcome, error) {
	return t.Interlock.Carry(ctx, []*interlock.Admission{a.(*interlock.Admission)}, nil, executor{x})
}

func (t through) Do(ctx context.Context, r interlock.Request, x Executor) (signalbox.Outcome, error) {
	return t.Interlock.Do(ctx, r, executor{x})
}

func (t through) Reads(ctx context.Context, sum proof.Reads) error {
	return t.Interlock.Reads(ctx, []proof.Reads{sum})
}

func (t through) ReadEach(ctx context.Context, a Admission) error {
	return t.Interlock.ReadEach(ctx, a.(*interlock.Admission), -1)
}

type executor struct{ Executor }

func (x executor) Execute(ctx context.Context, p *interlock.Permit) (signalbox.Outcome, error) {
	return x.Executor.Execute(ctx, Permit{Intent: p.Intent, Hold: p.Hold, Limited: p.Limited, Spend: p.Spend})
}

// Reference implements [interlock.Referrer].
func (x executor) Reference(ctx context.Context) signalbox.Reference {
	if r, ok := x.Executor.(interlock.Referrer); ok {
		return r.Reference(ctx)
	}
	return nil
}

// Atomic implements [interlock.Atomic].
func (x executor) Atomic() bool {
	a, ok := x.Executor.(interlock.Atomic)
	return ok && a.Atomic()
}
