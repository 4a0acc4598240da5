package pgwire

import (
	"context"
	"encoding/binary"
	"net"
	"time"

	"golang.org/x/time/rate"
)

// cancelRequest serves a connection that came only to cancel: the client shows
// the key that it got from us, and the backend that serves it gets a cancel
// request under its own. Nobody is told whether the key was right.
func (g *Gate) cancelRequest(client net.Conn, packet []byte) {
	if len(packet) != 8 || !g.cancels.Allow() {
		return
	}
	key := cancelKey{int32(binary.BigEndian.Uint32(packet)), binary.BigEndian.Uint32(packet[4:])}
	g.mu.Lock()
	c := g.keys[key]
	g.mu.Unlock()
	if c == nil {
		return
	}
	c.mu.Lock()
	up, stop := c.up, c.waiting
	c.mu.Unlock()
	if stop != nil {
		stop() // it waits for approvals, and the server knows nothing of it
		return
	}
	// Only a statement of the client's own may be hit. The gate's, such as the
	// BEGIN that makes what follows provisional, wait until the request is over.
	c.cancels.Lock()
	defer c.cancels.Unlock()
	if up == nil || !c.running {
		return
	}
	ctx, cancel := context.WithTimeout(g.ctx, 2*time.Second)
	defer cancel()
	if err := up.cancel(ctx); err != nil {
		c.log.Warn("cancel request not passed on", "error", err)
	}
}

// newCancels bounds cancel requests: each costs the server a connection, and
// anybody can send them.
func newCancels() *rate.Limiter { return rate.NewLimiter(100, 200) }
