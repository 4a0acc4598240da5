package pgwire

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// cancelRequest serves a connection that came only to cancel: the client shows
// the key that it got from us, and the backend that serves it gets a cancel
// request under its own. Nobody is told whether the key was right.
func (g *Gate) cancelRequest(client net.Conn, packet []byte) {
	if len(packet) != 8 {
		return
	}
	key := cancelKey{int32(binary.BigEndian.Uint32(packet)), binary.BigEndian.Uint32(packet[4:])}
	g.mu.Lock()
	c := g.keys[key]
	g.mu.Unlock()
	if c == nil {
		return // looked at before anything else, so that strangers use nothing up
	}
	// Each costs the server a connection, so there is one at a time for a
	// connection, whoever knows its key.
	if !c.cancelling.CompareAndSwap(false, true) {
		return
	}
	defer c.cancelling.Store(false)
	c.mu.Lock()
	stop := c.waiting
	c.mu.Unlock()
	if stop != nil {
		stop() // it waits for approvals, and the server knows nothing of it
		return
	}
	c.cancelRunning()
}

// cancelRunning has the server stop the statement of the client's that runs, if one
// does. Called by others.
func (c *conn) cancelRunning() {
	c.mu.Lock()
	server := c.server
	c.mu.Unlock()
	// Only a statement of the client's own may be hit. The gate's, such as the
	// BEGIN that makes what follows provisional, wait until the request is over.
	c.cancels.Lock()
	defer c.cancels.Unlock()
	if server == nil || !c.running {
		return
	}
	ctx, cancel := context.WithTimeout(c.g.ctx, 2*time.Second)
	defer cancel()
	if err := server.cancel(ctx); err != nil {
		c.log.Warn("cancel request not passed on", "error", err)
	}
}

// cancel asks the server to stop what the backend is doing, on a connection of
// its own: to the same address, and under TLS if that one is. It returns when the
// server has seen the request.
func (b *backend) cancel(ctx context.Context) error {
	network, address := pgconn.NetworkAddress(b.config.Host, b.config.Port)
	if a := b.conn.RemoteAddr(); a != nil && a.Network() == "tcp" {
		network, address = a.Network(), a.String() // a name may lead to several
	}
	d := net.Dialer{}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	defer func() { conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	if b.tls != nil {
		var answer [1]byte
		ask := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, sslCode)
		if _, err := conn.Write(ask); err != nil {
			return fmt.Errorf("cancel: %w", err)
		}
		if _, err := io.ReadFull(conn, answer[:]); err != nil || answer[0] != 'S' {
			return errors.New("cancel: the server declines TLS, which the connection has")
		}
		conn = tls.Client(conn, b.tls)
	}
	req := binary.BigEndian.AppendUint32(nil, uint32(12+len(b.secret)))
	req = binary.BigEndian.AppendUint32(req, cancelCode)
	req = binary.BigEndian.AppendUint32(req, b.pid)
	if _, err := conn.Write(append(req, b.secret...)); err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	// The server closes when it has sent the signal.
	if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // a reset is an end like any other
	}
	return nil
}
