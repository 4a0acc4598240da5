package aws

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// Nothing that works for a request outlives it: a connection of HTTP/2 is gone
// when its handler returns, and whoever touches it then ends the process.

// during has f called, in a goroutine of its own, when ctx ends. The function
// that it gives ends that: when it returns, f has returned or is never called.
// It may be called more than once. f must not wait for who ends it.
func (g *Gate) during(ctx context.Context, f func()) (end func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = g.Guard("the end of a context", func() error { f(); return nil })
	})
	return sync.OnceFunc(func() {
		if !stop() {
			<-done
		}
	})
}

// A line is the connection to a client, as far as deadlines go. It is quiet
// once its request has ended.
type line struct {
	mu      sync.Mutex
	control *http.ResponseController
	cut     bool // nothing more is read or written
	over    bool
}

var longAgo = time.Unix(1, 0)

// readBy sets when reading from the client gives up.
func (l *line) readBy(at time.Time) { l.set((*http.ResponseController).SetReadDeadline, at) }

// writeBy sets when writing to the client gives up.
func (l *line) writeBy(at time.Time) { l.set((*http.ResponseController).SetWriteDeadline, at) }

func (l *line) set(deadline func(*http.ResponseController, time.Time) error, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	if l.cut {
		at = longAgo
	}
	// Not every connection has deadlines; those of servers do.
	_ = deadline(l.control, at)
}

// cutReading ends every read, now and later.
func (l *line) cutReading() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.cut = true
		_ = l.control.SetReadDeadline(longAgo)
	}
}

// isCut reports whether nothing more can be read from the connection.
func (l *line) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

// end lets nobody touch the connection any more.
func (l *line) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

// leastRate is how many bytes of a body must come in a second, on average: who
// sends less uses his patience up.
const leastRate = 16 << 10

// A source is the client's body. The transport's goroutines read it too, and may
// live longer than the request: after end they find nothing.
type source struct {
	x        *exchange
	src      io.Reader
	patience time.Duration // at most

	reading sync.Mutex // held while somebody reads
	left    time.Duration
	ended   bool // all of it came, or never will
	over    bool // the request has ended
}

var errOver = errors.New("the request has ended")

func newSource(x *exchange, src io.Reader, patience time.Duration) *source {
	return &source{x: x, src: src, patience: patience, left: patience}
}

// Read implements [io.Reader]. The time that it waits is taken from what is
// left, and what comes gives some back: a byte now and then does not.
func (s *source) Read(p []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.over {
		return 0, errOver
	}
	began := time.Now()
	s.x.line.readBy(began.Add(s.left))
	if s.x.ctx.Err() != nil {
		// Asked after the deadline was set: whoever ends the context cuts it.
		return 0, context.Cause(s.x.ctx)
	}
	n, err := s.src.Read(p)
	s.left = min(s.patience, s.left-time.Since(began)+time.Duration(n)*(time.Second/leastRate))
	if err != nil {
		s.ended = true
		s.x.line.readBy(time.Time{}) // the server's own look at the connection must not end by it
	}
	return n, err
}

// end waits for a read under way, and ends it. Nobody touches the client
// afterwards.
func (s *source) end() {
	if !s.reading.TryLock() {
		s.x.line.cutReading()
		s.reading.Lock()
	}
	defer s.reading.Unlock()
	s.over = true
}
