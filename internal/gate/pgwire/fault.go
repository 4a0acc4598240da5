package pgwire

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/proof"
)

// A faultError says that there was a panic, a defect of the gate's own. It is
// the end of the connection in which it happened, and of nothing else.
type faultError struct {
	value any
	stack []byte
	// executing says that an intent was being executed: nobody knows how far.
	executing bool
}

func (e *faultError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// guarded calls f. Where f panics, the stack is logged and counted, and an error
// returned.
func (g *Gate) guarded(where string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = g.fault(where, v)
		}
	}()
	return f()
}

// fault accounts for a panic. It is called in the function that recovered.
func (g *Gate) fault(where string, v any) error {
	e, ok := v.(*faultError)
	if !ok {
		e = &faultError{value: v, stack: debug.Stack()}
	}
	g.Panicked(where)
	g.Logger.Error("ALARM: a defect of the gate's own", "gate", g.Config.Gate.Name, "where", where, "panic", fmt.Sprint(e.value), "stack", string(e.stack))
	return e
}

// overtaken tells a client that its connection ends by a fault, and cuts what
// it was doing. The connection's own buffers are no longer to be trusted.
func (c *conn) overtaken(e *faultError) {
	r := refusal{severity: "FATAL", code: "XX000", message: "a defect of the gate ended this connection: what was not committed is rolled back"}
	if e.executing {
		r.code, r.message = "08007", "a defect of the gate ended this connection: nobody knows whether it was carried out"
	}
	c.cut(e)
	c.client.SetWriteDeadline(time.Now().Add(time.Second))
	c.client.Write(r.encode()) // it ends whether it is heard or not
}

// vanish is what must happen of close, when close itself fails.
func (c *conn) vanish() {
	c.stop()
	c.client.Close()
	c.mu.Lock()
	up := c.up
	c.up = nil
	c.mu.Unlock()
	if up != nil {
		up.conn.Close()
	}
	c.g.leave(c)
}

// faulty is the interlock as connections and the gate's own goroutines see it.
// A panic while an intent is executed is marked as such; one while reads are
// recorded, in a goroutine of nobody's connection, is an error.
type faulty struct {
	Interlock
	g *Gate
}

func (f faulty) Carry(ctx context.Context, as []Admission, read []proof.Reads, x Executor) (signalbox.Outcome, error) {
	m := &marking{Executor: x}
	defer m.mark()
	return f.Interlock.Carry(ctx, as, read, m)
}

func (f faulty) Do(ctx context.Context, r interlock.Request, x Executor) (signalbox.Outcome, error) {
	m := &marking{Executor: x}
	defer m.mark()
	return f.Interlock.Do(ctx, r, m)
}

func (f faulty) Reads(ctx context.Context, sums []proof.Reads) error {
	return f.g.guarded("record reads", func() error { return f.Interlock.Reads(ctx, sums) })
}

// marking notes that an intent is being executed: whatever panics from then on
// may have been in the middle of it.
type marking struct {
	Executor
	began bool
}

func (m *marking) Execute(ctx context.Context, p Permit) (signalbox.Outcome, error) {
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
	e, ok := v.(*faultError)
	if !ok {
		e = &faultError{value: v, stack: debug.Stack()}
	}
	e.executing = e.executing || m.began
	panic(e)
}

// asFault gives the fault behind an error, or nil.
func asFault(err error) *faultError {
	var e *faultError
	errors.As(err, &e)
	return e
}
