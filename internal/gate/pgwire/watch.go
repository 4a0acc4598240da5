package pgwire

import (
	"time"
)

// While a client is idle, nobody reads what its server connection says. But
// notifications and notices must reach the client at once, and so must the
// news that the server has gone. So Gate.attendIdle puts a watcher on a connection
// that has been idle for a moment; the connection dismisses it when the client
// speaks again. A busy connection never has one, and pays two atomic
// operations for each unit.

// attend looks after the connection, if it is idle since the last look. Called
// by Gate.attendIdle alone.
func (c *conn) attend() {
	turns := c.turns.Load()
	if turns != c.seen && !c.listens.Load() {
		c.seen = turns
		return
	}
	c.mu.Lock()
	server := c.server
	c.mu.Unlock()
	if server == nil || !c.state.CompareAndSwap(idle, watched) {
		return
	}
	go func() {
		if c.g.guarded("watcher", func() error { c.watch(server); return nil }) != nil {
			c.serverGone.Store(true)
			c.client.wake() // the connection's end
		}
		c.watched <- struct{}{}
	}()
}

// watch passes on what the server says of its own accord, until it is dismissed
// or the server hangs up.
func (c *conn) watch(server *backend) {
	for {
		typ, size, err := server.in.at(0)
		if err != nil {
			if !timedOut(err) {
				c.serverGone.Store(true)
				c.client.wake() // wakes the connection
			}
			return
		}
		if typ == 'E' {
			c.client.write(server.in.raw(0, size)) // FATAL: the end of the connection follows
			c.explained = true
		} else {
			c.server.aside(typ, size)
		}
		server.in.drop(size)
		if c.client.flush() != nil {
			return
		}
	}
}

// dismiss ends the watcher and waits for it, so that the connection has its
// sockets for itself again.
func (c *conn) dismiss() {
	c.server.conn.SetReadDeadline(past)
	<-c.watched
	c.state.Store(busy)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == nil {
		c.server.conn.SetReadDeadline(time.Time{})
	}
}

// The order in waits and speaks is what keeps the sockets to one goroutine: idle
// is stored before the client is read, and whoever changes it from idle first,
// the watcher to watched or the connection to busy, has them.

// waits is called before the client is waited for: from here on a watcher may be
// put on the connection.
func (c *conn) waits() {
	c.turns.Add(1)
	if c.agent() {
		c.waitsInTransaction()
	}
	c.state.Store(idle)
	if c.quits() {
		c.client.wake()
	}
}

// waitsInTransaction notes since when an agent's transaction is open, and since when
// the agent is waited for: see bound.
func (c *conn) waitsInTransaction() {
	now := time.Now().UnixNano()
	c.idles.Store(now)
	switch open := c.server != nil && c.server.status != 'I'; {
	case !open:
		c.began.Store(0)
	case c.began.Load() == 0:
		c.began.Store(now)
	}
}

// speaks is called when the client has spoken: the watcher is dismissed.
func (c *conn) speaks() {
	if !c.state.CompareAndSwap(idle, busy) {
		c.dismiss()
	}
}

func timedOut(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}
