package pgwire

import (
	"context"
	"errors"
	"runtime/debug"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// guarded calls f. Where f panics it is the end of the connection in which it
// happened, and of nothing else.
func (g *Gate) guarded(where string, f func() error) error { return g.Guard(where, f) }

// faulty is the interlock as connections and the gate's own goroutines see it.
// A panic while an intent is executed is marked as such.
type faulty struct {
	gate.Interlock
	g *Gate
}

func (f faulty) Execute(ctx context.Context, as []gate.Admission, x interlock.Executor) (signalbox.Outcome, error) {
	m := &marking{Executor: x}
	defer m.mark()
	return f.Interlock.Execute(ctx, as, m)
}

func (f faulty) Do(ctx context.Context, r interlock.Request, x interlock.Executor) (signalbox.Outcome, error) {
	m := &marking{Executor: x}
	defer m.mark()
	return f.Interlock.Do(ctx, r, m)
}

// marking notes that an intent is being executed: whatever panics from then on
// may have been in the middle of it.
type marking struct {
	interlock.Executor
	began bool
}

func (m *marking) Execute(ctx context.Context, p *interlock.Permit) (signalbox.Outcome, error) {
	m.began = true
	defer m.mark() // here, where the stack is whole
	return m.Executor.Execute(ctx, p)
}

// mark is deferred, and lets a panic go on with what is known of it.
func (m *marking) mark() {
	v := recover()
	if v == nil {
		return
	}
	e, ok := v.(*gate.Fault)
	if !ok {
		e = &gate.Fault{Value: v, Stack: debug.Stack()}
	}
	e.Executing = e.Executing || m.began
	panic(e)
}

// asFault gives the fault behind an error, or nil.
func asFault(err error) *gate.Fault {
	var e *gate.Fault
	errors.As(err, &e)
	return e
}
