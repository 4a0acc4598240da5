package gate

import (
	"context"
	"fmt"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// Do is [Interlock.Do] for a request of the session. All that the session has
// read is durable before x is executed: its summaries go with the intent, so that
// a write waits for the log once.
func (s *Session) Do(ctx context.Context, r interlock.Request, x interlock.Executor) (signalbox.Outcome, error) {
	after := &afterReads{Executor: x, reads: s.Reads}
	out, err := s.gate.Interlock.Do(ctx, r, after)
	return out, after.orFailed(err)
}

// Execute is [Interlock.Execute] for requests of the session, and records what it
// has read as [Session.Do] does.
func (s *Session) Execute(ctx context.Context, as []Admission, x interlock.Executor) (signalbox.Outcome, error) {
	after := &afterReads{Executor: x, reads: s.Reads}
	out, err := s.gate.Interlock.Execute(ctx, as, after)
	return out, after.orFailed(err)
}

// afterReads is an executor that is called when what the session has read is
// durable.
type afterReads struct {
	interlock.Executor
	reads  *Reads
	taken  *Taken // with the last attempt to record the intent
	failed error  // of what was read before and is recorded by others; nothing was forwarded
}

// Prepare takes what was read. When the intent is not recorded, the summaries are
// recorded with the next attempt, by the next who asks, or when they are due: nobody
// waits for them longer than for one commit.
func (x *afterReads) Prepare(ctx context.Context) interlock.Prepared {
	p := x.Executor.Prepare(ctx)
	x.taken = x.reads.Take()
	p.Reads, p.Recorded = x.taken.Sums, x.taken.Done
	return p
}

func (x *afterReads) Execute(ctx context.Context, p *interlock.Permit) (signalbox.Outcome, error) {
	if err := x.taken.Earlier(); err != nil {
		x.failed = fmt.Errorf("%w: reads: %w", interlock.ErrUnavailable, err)
		return NotForwarded(x.failed), nil
	}
	return x.Executor.Execute(ctx, p)
}

// orFailed gives what the client is told: why nothing was forwarded, if so.
func (x *afterReads) orFailed(err error) error {
	if err == nil {
		return x.failed
	}
	return err
}

// NotForwarded is the outcome of a request that never left the gate.
func NotForwarded(why error) signalbox.Outcome {
	return signalbox.Outcome{Result: signalbox.Failed, Code: "not-forwarded", Detail: why.Error()}
}
