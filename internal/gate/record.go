package gate

import (
	"context"
	"errors"
	"fmt"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// Do is [Interlock.Do] for a request of the session. All that the session has
// read is durable before x is executed: its summaries go with the intent, so that
// a write waits for the log once.
func (s *Session) Do(ctx context.Context, r interlock.Request, x interlock.Executor) (signalbox.Outcome, error) {
	return s.recordReads(x, func(x interlock.Executor) (signalbox.Outcome,
		error) {
		return s.gate.Interlock.Do(ctx, r, x)
	})
}

// Execute is [Interlock.Execute] for requests of the session, and records what it
// has read as [Session.Do] does.
func (s *Session) Execute(ctx context.Context, as []Admission, x interlock.Executor) (signalbox.Outcome, error) {
	return s.recordReads(x, func(x interlock.Executor) (signalbox.Outcome,
		error) {
		return s.gate.Interlock.Execute(ctx, as, x)
	})
}

func (s *Session) recordReads(x interlock.Executor,
	do func(interlock.Executor) (signalbox.Outcome, error)) (signalbox.Outcome, error) {
	after := &afterReads{Executor: x, reads: s.Reads}
	out, err := do(after)
	if after.taken != nil {
		// Of no effect when the intent was recorded. Otherwise the summaries are
		// recorded by the next who asks, or when they are due.
		after.taken.Done(errors.New("the intent that they were to be recorded with was not recorded"))
	}
	if err == nil && after.failed != nil {
		return out, after.failed
	}
	return out, err
}

// afterReads is an executor that is called when what the session has read is
// durable.
type afterReads struct {
	interlock.Executor
	reads  *Reads
	taken  *Taken // nil: no intent was tried
	failed error  // of what was read before and is recorded by others; nothing was forwarded
}

// Prepare takes what was read. When the intent has to be tried again, the same
// summaries go with it.
func (x *afterReads) Prepare(ctx context.Context) interlock.Prepared {
	if x.taken == nil {
		x.taken = x.reads.Take()
	}
	p := x.Executor.Prepare(ctx)
	p.Reads = append(p.Reads, x.taken.Sums...)
	return p
}

func (x *afterReads) Execute(ctx context.Context, p *interlock.Permit) (signalbox.Outcome, error) {
	x.taken.Done(nil)
	if err := x.taken.Earlier(); err != nil {
		x.failed = fmt.Errorf("%w: reads: %w", interlock.ErrUnavailable, err)
		return NotForwarded(x.failed), nil
	}
	return x.Executor.Execute(ctx, p)
}

// NotForwarded is the outcome of a request that never left the gate.
func NotForwarded(why error) signalbox.Outcome {
	return signalbox.Outcome{Result: signalbox.Failed, Code: "not-forwarded", Detail: why.Error()}
}
