package interlock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// A Request is what a client asked for in one go: it is decided, held and
// executed as a whole.
type Request struct {
	Session signalbox.Session
	Gate    control.Gate
	Actions []signalbox.Action // at least one

	// Canonical is the digest of the request's canonical form, in which
	// everything stands that changes its meaning and nothing else.
	Canonical signalbox.Digest
	// Text is the whole request for the approvers' eyes. It and Params are
	// hidden in the log. A request with Partial text cannot be approved.
	Text    string
	Params  []string
	Partial bool

	// Minimum is joined to what policies say, if it has a decision: what no policy
	// may allow, because it would lead around the gate or change the rules
	// themselves.
	Minimum signalbox.Verdict
}

// Waits is how long a request that is held waits for its approvals: as long as
// the gate says, or until its session ends where that wishes to wait. A hold that
// nobody answers in its time (Config.HoldTime) ends the waiting earlier.
func (r Request) Waits(now time.Time) time.Duration {
	if r.Session.Wait && r.Gate.Patient {
		return max(r.Gate.Wait, r.Session.Expires.Sub(now))
	}
	return r.Gate.Wait
}

// forever is the expiry of what does not expire.
var forever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// An Executor is a gate's hold on one request: it can tell what the request
// would touch now, and carry it out. Its methods are called one after another,
// never concurrently.
type Executor interface {
	// Probe asks the live target. An error means that nobody can tell, which
	// is shown to approvers and never read as harmless. A gate without a
	// prober returns the impact that the request shows, and no state.
	Probe(ctx context.Context) (signalbox.Impact, signalbox.State, error)

	// Prepare is called just before the intent is recorded, once for each attempt
	// to record it, and may ask the target. What it cannot learn it leaves out.
	Prepare(ctx context.Context) Prepared

	// Execute forwards the request and reports what was observed. For effects
	// that the target makes final in a step of its own (COMMIT) it first calls
	// [Permit.Spend] with what was touched, and undoes everything when that
	// refuses. An error says that the outcome is unknown, except for an
	// [*OverrunError], which says that everything was undone.
	Execute(ctx context.Context, p *Permit) (signalbox.Outcome, error)
}

// Prepared is what an [Executor] knows of its own stand at the target before
// anything is forwarded.
type Prepared struct {
	// Reference is the target's own name for what will be done, or a part of it:
	// the session and the transaction that will commit. It stands hidden in the
	// intent, where a crash does not take it away.
	Reference signalbox.Reference
	// Atomic says that nothing can come between the last check of the target and
	// the effect. False where the protocol leaves a moment in which what was
	// checked can become something else: the intent says then that there is a gap.
	Atomic bool
	// Reads are summaries as for [Interlock.Reads], recorded in the transaction of
	// the intent: durable when Execute is called, and if it is never called, not
	// known to be recorded.
	Reads []proof.Reads
	// Recorded, if not nil, is told what came of Reads: nil when they are durable,
	// an error when that is not known. It is called once, before Execute.
	Recorded func(error)
}

// HeldError says that a request waits for approvals.
type HeldError struct {
	Hold approval.Hold
	// Before says why an earlier approval of the same request did not lead to it
	// being done; "" if there was none.
	Before string
}

func (e *HeldError) Error() string {
	s := fmt.Sprintf("held, needs %s: %s (hold %s)", requires(e.Hold.Verdict), e.Hold.Verdict.Reason, e.Hold.ID)
	if e.Before != "" {
		s = e.Before + "; a new hold waits: " + s
	}
	return s
}

// DeniedError says that a request was refused.
type DeniedError struct {
	Verdict signalbox.Verdict
	// Record is the id of the log entry that says so; empty when a flood of
	// refusals is only being counted.
	Record string
}

func (e *DeniedError) Error() string {
	return "denied: " + e.Verdict.Reason
}

// UnknownError says that a request was forwarded and nobody can say what came
// of it. Protocols have their own way to say this (SQLSTATE 08007).
type UnknownError struct {
	Intent string
	Err    error
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("outcome unknown (intent %s): %v", e.Intent, e.Err)
}

// Unwrap gives the cause.
func (e *UnknownError) Unwrap() error { return e.Err }

// OverrunError is an executor's answer when [Permit.Spend] refused and it has
// undone everything.
type OverrunError struct {
	Reason  string
	Touched map[string]int64 // rows by resource, as measured before undoing
}

func (e *OverrunError) Error() string { return "rolled back: " + e.Reason }

// ErrUnavailable is returned, wrapped, when the request was refused because
// Signalbox itself could not record or decide. Nothing was forwarded.
var ErrUnavailable = errors.New("refused: signalbox cannot record it")

// Unavailable is what a client may be told of an error that wraps
// [ErrUnavailable]: that, and whether it is for want of disk. The rest is for
// the operator.
func Unavailable(err error) string {
	if errors.Is(err, ledger.ErrFull) {
		return ErrUnavailable.Error() + ": " + ledger.ErrFull.Error()
	}
	return ErrUnavailable.Error()
}

func requires(v signalbox.Verdict) string {
	s := ""
	for i, r := range v.Requires {
		if i > 0 {
			s += ", "
		}
		s += r
	}
	if v.Confirm {
		if s != "" {
			s += ", "
		}
		s += "the requester's confirmation"
	}
	if s == "" {
		return "approval"
	}
	return s
}
