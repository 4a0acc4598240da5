package gate

import (
	"context"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/forms"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/proof"
)

// Interlock is what gates need of the interlock. [Through] makes one of the real
// one; gatetest has one that follows a script. It is safe for concurrent use.
type Interlock interface {
	// Authenticate gives a session and the credential that it has at this gate.
	// Errors are the same to the client, whatever they say.
	Authenticate(ctx context.Context, gate string, id signalbox.SessionID) (signalbox.Session, string, error)
	// Watch tells when the session must stop at the gate.
	Watch(s signalbox.Session, gate string) Watch
	// Forms lists what operators have reviewed, nil for nothing. It stays the same
	// list until that changes.
	Forms() *forms.List
	// CountLogins accounts for a failed log-in that was turned away unrecorded.
	CountLogins(gate string, id signalbox.SessionID)

	// Admit decides a request. With a nil error it may go on; its effects must
	// stay provisional until Execute. Errors are as for [interlock.Interlock.Do].
	Admit(ctx context.Context, r interlock.Request, x interlock.Executor) (Admission, error)
	// Recheck gives what was found when an admitted request was looked at again,
	// with its locks taken. False: it is not what was approved, the permit is dead
	// and the admission void.
	Recheck(ctx context.Context, a Admission, now signalbox.Impact, state signalbox.State) (bool, error)
	// Execute records one intent for all the admissions, and has x execute it.
	Execute(ctx context.Context, as []Admission, x interlock.Executor) (signalbox.Outcome, error)
	// Do is Admit and Execute, and waits in between for as long as the request may.
	Do(ctx context.Context, r interlock.Request, x interlock.Executor) (signalbox.Outcome, error)
	// Abandon says that admitted requests were rolled back.
	Abandon(as []Admission)

	// Reads records summaries of admitted reads, all or none; durable when it
	// returns.
	Reads(ctx context.Context, sums []proof.Reads) error
	// ReadEach records one admitted read; durable when it returns.
	ReadEach(ctx context.Context, a Admission) error
}

// An Admission says that a request may go on. [*interlock.Admission] is the real
// one.
type Admission interface {
	// Read reports whether there is nothing to execute: the request is forwarded
	// and accounted for as a read.
	Read() bool
	// Limited reports whether touched rows must be measured and given to the
	// permit's Spend.
	Limited() bool
	// Hold is the id of the approval behind it, which must be redeemed; or "".
	Hold() string
}

// A Watch tells when a session must stop. [*interlock.Watch] is the real one.
type Watch interface {
	// Done is closed when the session was halted, has ended or has expired.
	Done() <-chan struct{}
	// Err says why, once Done is closed.
	Err() error
	// Release ends the watch. It may be called twice.
	Release()
}

// Metrics are told what becomes of requests.
type Metrics interface {
	// Decided is told of each decision at a gate; err is as Admit gave it.
	Decided(gate string, err error)
	// Took is told how long a decision took.
	Took(gate string, d time.Duration)
}

// Through gives gates an interlock, and has its decisions measured.
func Through(i *interlock.Interlock, m Metrics) Interlock { return through{i, m} }

type through struct {
	*interlock.Interlock
	metrics Metrics
}

func (t through) Watch(s signalbox.Session, gate string) Watch { return t.Interlock.Watch(s, gate) }

func (t through) Admit(ctx context.Context, r interlock.Request, x interlock.Executor) (Admission, error) {
	began := time.Now()
	a, err := t.Interlock.Admit(ctx, r, x)
	t.metrics.Took(r.Gate.Name, time.Since(began))
	t.metrics.Decided(r.Gate.Name, err)
	if err != nil {
		return nil, err // not a nil admission within an interface
	}
	return a, nil
}

// Do does not measure: how long the target and people took is no measure of the
// decision.
func (t through) Do(ctx context.Context, r interlock.Request, x interlock.Executor) (signalbox.Outcome, error) {
	out, err := t.Interlock.Do(ctx, r, x)
	t.metrics.Decided(r.Gate.Name, err)
	return out, err
}

func (t through) Recheck(ctx context.Context, a Admission, now signalbox.Impact, state signalbox.State) (bool, error) {
	return t.Interlock.Recheck(ctx, a.(*interlock.Admission), now, state)
}

func (t through) Execute(ctx context.Context, as []Admission, x interlock.Executor) (signalbox.Outcome, error) {
	return t.Interlock.Execute(ctx, admissions(as), x)
}

func (t through) Abandon(as []Admission) { t.Interlock.Abandon(admissions(as)) }

func (t through) ReadEach(ctx context.Context, a Admission) error {
	return t.Interlock.ReadEach(ctx, a.(*interlock.Admission), -1)
}

func admissions(as []Admission) []*interlock.Admission {
	own := make([]*interlock.Admission, len(as))
	for n, a := range as {
		own[n] = a.(*interlock.Admission)
	}
	return own
}
