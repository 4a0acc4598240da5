package aws

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// greet gives a listener of connections whose first byte told whether the client
// speaks TLS. No slow client keeps another from being accepted.
func (g *Gate) greet(l net.Listener) net.Listener {
	gl := &greeter{g: g, Listener: l, ready: make(chan net.Conn), done: make(chan struct{})}
	g.wg.Go(gl.run)
	return gl
}

type greeter struct {
	net.Listener
	g     *Gate
	ready chan net.Conn
	done  chan struct{} // closed by Close
	once  sync.Once
	end   sync.WaitGroup
}

func (l *greeter) run() {
	pause := time.Millisecond
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			select {
			case <-l.done:
				l.end.Wait()
				return
			default:
			}
			if errors.Is(err, net.ErrClosed) {
				l.Close()
				continue
			}
			// Out of file descriptors, most likely: it may pass.
			l.g.Logger.Error("aws gate cannot accept", "gate", l.g.Config.Gate.Name, "error", err)
			select {
			case <-time.After(pause):
			case <-l.done:
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = time.Millisecond
		client := &counted{Conn: c, g: l.g}
		if !l.g.enter(client) {
			c.Close()
			l.g.Logger.Warn("aws gate is full", "gate", l.g.Config.Gate.Name, "connections", l.g.MaxConnections)
			continue
		}
		l.end.Go(func() {
			_ = l.g.Guard("a new connection", func() error { l.welcome(client); return nil })
		})
	}
}

// welcome looks at a connection's first byte and hands it over.
func (l *greeter) welcome(c *counted) {
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		_ = l.g.Guard("a new connection's end", func() error {
			select {
			case <-l.done:
				c.Close()
			case <-stop:
			}
			return nil
		})
	}()
	c.SetReadDeadline(time.Now().Add(l.g.HeaderTimeout))
	var first [1]byte
	if _, err := c.Conn.Read(first[:]); err != nil {
		c.Close()
		return
	}
	c.SetReadDeadline(time.Time{})
	c.first = first[:]
	var conn net.Conn = c
	const handshake = 22 // content type of a TLS record (RFC 8446 section 5.1)
	switch {
	case first[0] == handshake && l.g.TLS != nil:
		conn = tls.Server(c, l.g.TLS)
	case first[0] == handshake || l.g.RequireTLS:
		// Plain text has no answer that would reach whoever meant it.
		c.Close()
		return
	}
	select {
	case l.ready <- conn:
	case <-l.done:
		c.Close()
	}
}

// Accept implements [net.Listener].
func (l *greeter) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *greeter) Close() error {
	var err error
	l.once.Do(func() {
		close(l.done)
		err = l.Listener.Close()
	})
	return err
}

// counted is a connection that says when it is gone, and that may have a byte
// which was read already.
type counted struct {
	net.Conn
	g      *Gate
	first  []byte
	proved atomic.Bool // it carried a request that was proved
	once   sync.Once
}

type connKey struct{}

// withConn lets requests find their connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c)
}

// Read implements [net.Conn].
func (c *counted) Read(p []byte) (int, error) {
	if len(c.first) > 0 && len(p) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// Close implements [net.Conn].
func (c *counted) Close() error {
	c.once.Do(func() { c.g.exit(c) })
	return c.Conn.Close()
}

// enter counts a connection in. When there are as many as may be, the oldest of
// those on which nobody proved who he is must go: silence shuts nobody out.
func (g *Gate) enter(c *counted) bool {
	g.mu.Lock()
	var oldest *counted
	ok := !g.closing
	if ok && len(g.conns) >= g.MaxConnections {
		for o, came := range g.conns {
			if !o.proved.Load() && (oldest == nil || came < g.conns[oldest]) {
				oldest = o
			}
		}
		ok = oldest != nil
		delete(g.conns, oldest)
	}
	if ok {
		g.came++
		g.conns[c] = g.came
	}
	g.mu.Unlock()
	if oldest != nil {
		oldest.Close()
	}
	return ok
}

func (g *Gate) exit(c *counted) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
}
