package pgwire

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// guarded calls f. Where f panics it is the end of the connection in which it
// happened, and of nothing else.
func (g *Gate) guarded(where string, f func() error) error { return g.Guard(where, f) }

// overtaken tells a client that its connection ends by a fault, and cuts what
// it was doing. The connection's own buffers are no longer to be trusted.
func (c *conn) overtaken(e *gate.Fault) {
	r := refusal{severity: "FATAL", code: "XX000", message: "a defect of the gate ended this connection: what was not committed is rolled back"}
	if e.Executing {
		r.code, r.message = "08007", "a defect of the gate ended this connection: nobody knows whether it was carried out"
	}
	c.cut(e)
	c.client.conn.SetWriteDeadline(time.Now().Add(time.Second))
	c.client.conn.Write(r.encode()) // it ends whether it is heard or not
}

// vanish is what must happen of close, when close itself fails.
func (c *conn) vanish() {
	c.stop()
	c.client.conn.Close()
	c.mu.Lock()
	up := c.server
	c.server = nil
	c.mu.Unlock()
	if up != nil {
		up.conn.Close()
	}
	c.g.leave(c)
}

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
