package pgwire

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
	"github.com/signalbox-dev/signalbox/internal/gate"
)

// A Gate serves clients of one database. Make it with [New], run it with
// [Gate.Serve], end it with [Gate.Shutdown].
type Gate struct {
	Config
	dial      *pgconn.Config // of the backend, without the client's settings
	tls       *tls.Config    // nil if TLS is declined
	binding   []byte         // hash of our certificate, for channel binding
	sessions  *gate.Sessions
	failures  *gate.Failures
	logins    *logins
	arrivals  *arrivals
	cache     *sql.Cache
	catalogs  *catalogs
	greeting  *greeting
	upstreams upstreams

	ctx    context.Context // ends when the gate does
	cancel context.CancelFunc
	wg     sync.WaitGroup // the gate's own work

	clients sync.WaitGroup
	number  atomic.Int64 // of connections, for the log

	mu        sync.Mutex
	listeners map[net.Listener]bool
	conns     map[*conn]bool
	keys      map[cancelKey]*conn
	closing   bool
}

// New makes a gate. It does not reach for the server behind it.
func New(config Config) (*Gate, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	dial, err := config.Upstream.dialConfig()
	if err != nil {
		return nil, config.Wrap(err)
	}
	g := &Gate{
		Config: config, dial: dial,
		listeners: make(map[net.Listener]bool), conns: make(map[*conn]bool),
		keys: make(map[cancelKey]*conn),
	}
	if config.TLS != nil {
		g.tls = config.TLS.Clone()
		g.tls.NextProtos = []string{alpn}
		if g.binding, err = endpointBinding(g.tls); err != nil {
			return nil, config.Wrap(err)
		}
	}
	g.Interlock = faulty{config.Interlock, g}
	g.sessions = gate.NewSessions(&g.Config.Config)
	g.failures = gate.GateFailures()
	secret := make([]byte, 32)
	rand.Read(secret)
	g.logins = newLogins(secret)
	g.arrivals = newArrivals(config.MaxStarting)
	g.cache = sql.NewCache(sql.CacheConfig{})
	g.catalogs = newCatalogs(g.Interlock.Forms)
	g.greeting = &greeting{}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.wg.Go(g.attendIdle)
	return g, nil
}

// Serve accepts clients until ctx ends or the gate is shut down; it then
// returns nil. The caller's listener is closed. It may be called for several
// listeners at once.
func (g *Gate) Serve(ctx context.Context, l net.Listener) error {
	g.mu.Lock()
	if g.closing {
		g.mu.Unlock()
		l.Close()
		return nil
	}
	g.listeners[l] = true
	g.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer func() {
		l.Close()
		g.mu.Lock()
		delete(g.listeners, l)
		g.mu.Unlock()
	}()

	pause := time.Millisecond
	var warned time.Time
	for {
		client, err := l.Accept()
		if err != nil {
			g.mu.Lock()
			closing := g.closing
			g.mu.Unlock()
			if ctx.Err() != nil || closing || errors.Is(err, net.ErrClosed) {
				return nil
			}
			// Out of file descriptors, most likely: it may pass.
			g.Logger.Error("postgres gate cannot accept", "gate", g.Config.Gate.Name, "error", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = time.Millisecond
		g.mu.Lock()
		if g.closing {
			client.Close()
			g.mu.Unlock()
			continue
		}
		a, crowded := g.arrivals.add(g.ctx, client)
		g.clients.Go(func() { g.serve(a) })
		g.mu.Unlock()
		if crowded && time.Since(warned) > time.Second {
			warned = time.Now()
			g.Logger.Warn("many connections do not log in: the oldest are cut", "gate", g.Config.Gate.Name, "from",
				a.from)
		}
	}
}

// serve is one client's connection, from its first byte. A panic in it is its
// own end, and nobody else's.
func (g *Gate) serve(a *arrival) {
	defer a.cancel()
	defer g.arrivals.done(a)
	defer a.conn.Close()
	var c *conn
	err := g.guarded("log-in", func() (err error) {
		c, err = g.logIn(a)
		return err
	})
	if err != nil {
		g.Logger.Info("postgres client turned away", "gate", g.Config.Gate.Name, "from", a.from, "error", err)
		return
	}
	if c == nil {
		return // a cancel request
	}
	c.log.Debug("postgres client connected")
	err = g.guarded("connection", c.run)
	if e := asFault(err); e != nil {
		_ = g.guarded("end of a connection", func() error { c.tellFault(e); return nil })
	}
	if g.guarded("end of a connection", func() error { c.close(); return nil }) != nil {
		_ = g.guarded("end of a connection", func() error { c.closeAbruptly(); return nil })
	}
	c.log.Debug("postgres client gone", "error", err)
}

// Shutdown refuses new clients, waits for those that are connected until ctx
// ends, and then cuts them. It may be called twice.
func (g *Gate) Shutdown(ctx context.Context) error {
	g.mu.Lock()
	g.closing = true
	for l := range g.listeners {
		l.Close()
	}
	g.arrivals.cutAll() // nobody of them would be let in any more
	for c := range g.conns {
		c.retire()
	}
	g.mu.Unlock()
	done := make(chan struct{})
	go func() {
		g.clients.Wait()
		g.cancel()
		g.wg.Wait()
		g.sessions.Close(errShutdown)
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	for c := range g.conns {
		c.cut(errShutdown)
	}
	g.mu.Unlock()
	<-done
	return ctx.Err()
}

var errShutdown = errors.New("the gate is shutting down")

// join counts a connection of a session in.
func (g *Gate) join(c *conn, s signalbox.Session) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return errShutdown
	}
	if len(g.conns) >= g.MaxConnections {
		return fmt.Errorf("this gate has %d connections of clients, which is its limit", g.MaxConnections)
	}
	at := g.sessions.Join(s, "")
	if !g.sessions.Admit(at) {
		g.sessions.Leave(at, false)
		return fmt.Errorf("session %s has %d connections at this gate, which is the limit of one session (the gate's max_connections)", s.ID, g.MaxPerSession)
	}
	c.at, c.reads = at, at.Reads.Counter()
	stopped := at.Context()
	c.unwatch = context.AfterFunc(stopped, func() {
		_ = g.guarded("end of a session", func() error { c.cut(context.Cause(stopped)); return nil })
	})
	g.conns[c] = true
	for {
		c.key = newCancelKey()
		if g.keys[c.key] == nil && c.key.pid > 0 {
			break
		}
	}
	g.keys[c.key] = c
	return nil
}

func (g *Gate) leave(c *conn) {
	c.unwatch()
	c.reads.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
	delete(g.keys, c.key)
	g.sessions.Leave(c.at, true)
}

// attendEvery is how often idle connections are looked after: how late a
// notification may reach a client that has just become idle.
const attendEvery = 50 * time.Millisecond

// attendIdle puts watchers on connections that have become idle, and flushes the
// summaries of reads that are due.
func (g *Gate) attendIdle() {
	tick := time.NewTicker(attendEvery)
	defer tick.Stop()
	var idle []*conn
	for {
		select {
		case <-tick.C:
		case <-g.ctx.Done():
			return
		}
		// What fails of one round is logged, and the next comes all the same.
		_ = g.guarded("attendance", func() error {
			g.mu.Lock()
			idle = idle[:0]
			for c := range g.conns {
				idle = append(idle, c)
			}
			g.mu.Unlock()
			now := time.Now()
			for _, c := range idle {
				c.bound(now)
				c.attend()
			}
			clear(idle)
			g.sessions.Sweep()
			return nil
		})
	}
}

func remote(c net.Conn) string {
	if a := c.RemoteAddr(); a != nil {
		if host, _, err := net.SplitHostPort(a.String()); err == nil {
			return host
		}
		return a.String()
	}
	return ""
}

// greeting is what the server tells a client at its start, asked for once and
// kept: idle clients have no server connection of their own.
type greeting struct {
	mu     sync.Mutex
	params map[string]string
	at     time.Time
	asking *asking // under way; nil if nobody asks
}

// asking is one attempt to learn the greeting, which all share who need it
// meanwhile.
type asking struct {
	done   chan struct{} // closed when the rest is set
	params map[string]string
	err    error
}

// greetingLife is how long what the server told is believed.
const greetingLife = time.Minute

// parameters gives the greeting. Nobody waits for a server that hangs while
// there is an older one, and nobody for longer than one attempt takes: what has
// changed, or fails, is told at the first query.
func (g *Gate) parameters(ctx context.Context) (map[string]string, error) {
	t := g.greeting
	t.mu.Lock()
	known, fresh := t.params, time.Since(t.at) < greetingLife
	if known != nil && fresh {
		t.mu.Unlock()
		return known, nil
	}
	a := t.asking
	if a == nil {
		a = &asking{done: make(chan struct{})}
		t.asking = a
		g.wg.Go(func() { g.learnGreeting(a) })
	}
	t.mu.Unlock()
	if known != nil {
		return known, nil
	}
	select {
	case <-a.done:
		return a.params, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// learnGreeting asks the server, on the gate's own account.
func (g *Gate) learnGreeting(a *asking) {
	a.err = g.guarded("greeting", func() error {
		ctx, cancel := context.WithTimeout(g.ctx, g.Upstream.ConnectTimeout)
		defer cancel()
		server, err := g.connect(ctx, nil)
		if err != nil {
			return err
		}
		a.params = server.params
		server.close()
		return nil
	})
	t := g.greeting
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.err == nil {
		t.params, t.at = a.params, time.Now()
	}
	t.asking = nil
	close(a.done)
}

func (g *Gate) newConn(client net.Conn, s signalbox.Session) *conn {
	c := &conn{
		g: g, session: s, client: frontend{conn: direct(client), status: 'I'},
		statements: make(map[string]*statement), portals: make(map[string]*portal),
		watched: make(chan struct{}, 1), number: g.number.Add(1),
	}
	c.log = g.Logger.With(slog.String("gate", g.Config.Gate.Name), slog.String("session", string(s.ID)),
		slog.Int64("conn", c.number))
	c.ctx, c.stop = context.WithCancel(g.ctx)
	c.client.in = frames{src: &c.client, limit: g.MaxMessage}
	c.client.out.dst = c.client.conn
	c.client.idle, c.client.busy = c.waits, c.speaks
	return c
}
