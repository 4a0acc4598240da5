package aws

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// What AWS may have got of a request that failed.
type sent int

const (
	unknownSent sent = iota // perhaps all of it
	nothingDone             // not all of it: it cannot have been acted upon
	badBody                 // not all of it, because the client's body was not right
)

// A sendError says that there is no answer, and what may have been done.
type sendError struct {
	sent sent
	err  error
}

func (e *sendError) Error() string { return e.err.Error() }
func (e *sendError) Unwrap() error { return e.err }

// tell is what the client is told of an error: nothing of addresses and names of
// the gate's own network.
func (e *sendError) tell(status int, what string) *refusal {
	var own *refusal
	var t interface{ Timeout() bool }
	switch {
	case errors.As(e.err, &own):
		return own
	case errors.As(e.err, &t) && t.Timeout(), errors.Is(e.err, errLate):
		what += ": it took too long"
	case errors.Is(e.err, errNoEndpoint):
		what += ": " + e.err.Error()
	default:
		what += ": the connection failed"
	}
	return &refusal{status: status, code: CodeUnavailable, message: what}
}

var errNoEndpoint = errors.New("the gate does not know where the service answers (upstream.endpoints in its configuration may say it)")

// metered is a connection that knows how much was written to it.
type metered struct {
	net.Conn
	written atomic.Int64
}

// Write implements [net.Conn].
func (m *metered) Write(p []byte) (int, error) {
	n, err := m.Conn.Write(p)
	m.written.Add(int64(n))
	return n, err
}

// track follows how far a request has got.
type track struct {
	all    atomic.Bool // all of it was sent
	broken atomic.Bool // not all of it could be sent

	mu     sync.Mutex
	timer  *time.Timer // ends the wait for what does not move; nil: nothing does
	wait   time.Duration
	got    bool     // it had a connection
	conn   *metered // that one
	before int64    // written to conn before the request
	err    error    // of the client's body
}

// progress says that something moves.
func (t *track) progress() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer != nil {
		t.timer.Reset(t.wait)
	}
}

// rest ends the waiting: the transport may go on moving things.
func (t *track) rest() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}

func (t *track) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			conn := i.Conn
			if secure, ok := conn.(*tls.Conn); ok {
				conn = secure.NetConn()
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			t.got = true
			t.conn, _ = conn.(*metered)
			if t.conn != nil {
				t.before = t.conn.written.Load()
			}
		},
		WroteRequest: func(i httptrace.WroteRequestInfo) {
			if i.Err != nil {
				t.broken.Store(true)
			} else {
				t.all.Store(true)
				t.progress()
			}
		},
	}
}

// incomplete reports whether it is certain that not all of a failed request was
// sent.
func (t *track) incomplete() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.broken.Load() || !t.got || t.conn != nil && t.conn.written.Load() == t.before
}

func (t *track) source() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// tracked notes why a body could not be read to its end.
type tracked struct {
	io.Reader
	t *track
	g *Gate
}

var errDefect = errors.New("a defect in the gate, which its log shows")

// read reads in the transport's goroutine, where a defect would end the process.
func (b tracked) read(p []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			b.g.Caught("a body", v)
			n, err = 0, errDefect
		}
	}()
	return b.Reader.Read(p)
}

// Read implements [io.Reader].
func (b tracked) Read(p []byte) (int, error) {
	n, err := b.read(p)
	b.t.progress()
	if err != nil && !errors.Is(err, io.EOF) {
		b.t.mu.Lock()
		b.t.err = err
		b.t.mu.Unlock()
	}
	return n, err
}
