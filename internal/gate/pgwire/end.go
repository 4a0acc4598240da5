package pgwire

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/signalbox-dev/signalbox/internal/gate"
)

// quits reports whether the connection should go away now that it is idle.
func (c *conn) quits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason != nil || c.retired && c.client.status == 'I' && !c.client.skips && c.client.in.buffered() == 0
}

// tellEnd tells the client why it ends, as far as there is something to tell
// and somebody to listen.
func (c *conn) tellEnd(err error) error {
	c.mu.Lock()
	reason, retired := c.reason, c.retired
	c.mu.Unlock()
	c.client.conn.SetWriteDeadline(time.Now().Add(time.Second))
	r := refusal{severity: "FATAL"}
	lost, limit := (*lostError)(nil), (*refusal)(nil)
	switch {
	case reason != nil:
		if !errors.As(reason, &limit) {
			limit = &refusal{code: "57P01", message: reason.Error(), hint: "Start another session with `signalbox run` when it is allowed again."}
		}
		r.code, r.message, r.hint = limit.code, limit.message, limit.hint
		err = reason
	case c.server != nil && c.server.tampered != nil:
		r = *c.server.tampered
		c.log.Error("an agent's connection lost its READ ONLY default to something that was not judged", "session",
			string(c.session.ID))
		err = c.server.tampered
	case errors.As(err, &lost):
		r.code, r.message = "08006", lost.Error()
		if lost.unknown {
			r.code, r.message = "08007", lost.Error()+": nobody knows whether it was carried out"
		}
	case errors.Is(err, errTerminated) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		c.client.flush()
		return err
	case errors.Is(err, errFatal):
		c.client.flush() // the server has told the client itself
		return err
	case retired:
		r.code, r.message = "57P01", errShutdown.Error()
	case errors.Is(err, errTooLong):
		r.code, r.message, r.hint = "54000", err.Error(), "Send less at once, or have the gate's max_message raised."
	case errors.Is(err, errProtocol) || errors.Is(err, errShort):
		r.code, r.message = "08P01", err.Error()
	case errors.Is(err, net.ErrClosed):
		return err
	case c.serverGone.Load():
		if c.explained {
			return err // the server said so itself
		}
		r.code, r.message = "08006", "the server behind this gate closed the connection"
	default:
		r.code, r.message = "08P01", err.Error()
	}
	c.client.refuse(&r)
	c.client.flush()
	return err
}

// close ends the connection: provisional effects are rolled back by the server
// when it sees its client gone.
func (c *conn) close() {
	c.stop()
	c.mu.Lock()
	server := c.server
	c.server = nil
	c.mu.Unlock()
	if server != nil {
		server.close()
	}
	c.abandon()
	c.client.hangUp()
	if err := c.at.Reads.Flush()(); err != nil {
		c.log.Error("reads could not be recorded", "error", err)
	}
	c.g.leave(c)
}

// cut ends the connection at once, whatever it is doing: a running statement is
// cancelled, an open transaction rolled back (promise P9). Called by others.
func (c *conn) cut(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason != nil {
		return
	}
	c.reason = why
	c.stop()
	if server := c.server; server != nil {
		c.g.wg.Go(func() {
			// Without this the server would run the statement to its end before
			// it notices that nobody listens.
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			if err := c.g.guarded("cancel", func() error { return server.cancel(ctx) }); err != nil {
				c.log.Warn("statement of a cut connection not cancelled", "error", err)
			}
		})
		server.conn.SetDeadline(past)
	}
	c.client.wake()
	c.client.conn.SetWriteDeadline(time.Now().Add(time.Second))
}

// retire ends the connection as soon as it is idle. Called by others.
func (c *conn) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retired = true
	if s := c.state.Load(); s != busy && c.reason == nil {
		// It may have become busy since: then the past deadline is met at the
		// end of its unit, in Read, or not at all if the client goes first.
		c.client.wake()
	}
}

// tellFault tells a client that its connection ends by a fault, and cuts what
// it was doing. The connection's own buffers are no longer to be trusted.
func (c *conn) tellFault(e *gate.Fault) {
	r := refusal{severity: "FATAL", code: "XX000",
		message: "a defect of the gate ended this connection: what was not committed is rolled back"}
	if e.Executing {
		r.code, r.message = "08007", "a defect of the gate ended this connection: nobody knows whether it was carried out"
	}
	c.cut(e)
	c.client.conn.SetWriteDeadline(time.Now().Add(time.Second))
	c.client.conn.Write(r.encode()) // it ends whether it is heard or not
}

// closeAbruptly is what must happen of close, when close itself fails.
func (c *conn) closeAbruptly() {
	c.stop()
	c.client.conn.Close()
	c.mu.Lock()
	server := c.server
	c.server = nil
	c.mu.Unlock()
	if server != nil {
		server.hangUp()
	}
	c.g.leave(c)
}
