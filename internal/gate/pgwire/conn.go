package pgwire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
)

// A conn serves one client that has logged in. It reads a unit from the client,
// has it decided, sends through the server's connection, and releases the answer.
type conn struct {
	g       *Gate
	number  int64
	log     *slog.Logger
	session signalbox.Session
	at      *gate.Session
	unwatch func() bool // ends the watch of the session
	key     cancelKey
	ctx     context.Context // ends when the connection is cut
	stop    context.CancelFunc

	// Owned by the connection's goroutine, and lent to the watcher while idle.
	client   frontend
	server   *backend  // nil until the first query; also read under mu
	settings []setting // that the client asked for at its start

	// What names of the protocol mean, and the unit at hand.
	statements map[string]*statement
	portals    map[string]*portal
	tx         txn
	classified map[string]*classified
	expected   []expectation // of the last unit, for its memory
	relearned  bool          // the catalog was read again for this unit
	unitFrom   int64         // statements sent to the server before the unit at hand
	awaitsSync bool          // a Sync was eaten by a COPY: the client sends another
	params     []param
	steps      []step // of the last unit, for its memory

	// Shared with those who watch, cut and cancel.
	state      atomic.Int32 // busy, idle, watched
	turns      atomic.Int64 // how often it became idle
	explained  bool         // the server said why it hung up; the watcher's
	seen       int64        // turns at the last look; owned by Gate.attendIdle
	watched    chan struct{}
	listens    atomic.Bool
	channels   map[string]bool // that it listens to
	began      atomic.Int64    // when an agent's transaction began, in Unix nanoseconds; 0: none is open
	idles      atomic.Int64    // when the agent was last waited for
	runs       atomic.Int64    // when the agent's statement began to run; 0: none runs
	serverGone atomic.Bool     // the watcher saw the server hang up
	stuck      uint64          // the write to the client at the last look; owned by Gate.attendIdle
	stuckSince time.Time       // the first look at which it was that one

	cancelling atomic.Bool // a cancel request is on its way to the server
	reads      *gate.Counter

	mu      sync.Mutex
	reason  error              // why it was cut
	retired bool               // goes away when idle
	waiting context.CancelFunc // ends a wait for approvals

	cancels sync.Mutex // held while a cancel request is on its way to the server
	running bool       // a statement of the client's runs, which it may cancel; under cancels
}

// States of a connection.
const (
	busy int32 = iota
	idle
	watched
)

// Errors that end a connection without more words to the client.
var (
	errTerminated = errors.New("client said good-bye")
	errProtocol   = errors.New("protocol violation")
)

// run serves the client until it goes away or is cut.
func (c *conn) run() error {
	for {
		typ, size, err := c.client.in.at(0)
		if err == nil {
			err = c.message(typ, size)
		}
		if err == nil {
			err = c.client.out.err
		}
		if err == nil && c.server != nil && c.server.tampered != nil {
			err = c.server.tampered
		}
		if err != nil {
			return c.tellEnd(err)
		}
	}
}

// message serves one message, or the unit that begins with it.
func (c *conn) message(typ byte, size int) error {
	if server := c.server; server != nil {
		c.unitFrom = server.sent
		if server.status == 'I' && c.phase() != implicit {
			c.tx.from = server.sent
		}
	}
	switch typ {
	case 'Q':
		return c.simple(size)
	case 'P', 'B', 'D', 'E', 'C', 'H', 'S':
		return c.extended()
	case 'd', 'c', 'f':
		// Left over from a COPY that has failed meanwhile, as in PostgreSQL.
		c.client.in.drop(size)
		return nil
	case 'X':
		return errTerminated
	case 'F':
		c.client.in.drop(size)
		c.client.refuse(&refusal{code: "0A000", message: "function calls of the fast path do not pass this gate",
			hint: "Call the function by a query."})
		c.ready()
		return nil
	}
	return fmt.Errorf("%w: message of type %q", errProtocol, typ)
}

// connect connects to the server, at the first query and not before: idle
// clients cost nothing there.
func (c *conn) connect() error {
	if c.server != nil {
		return nil
	}
	settings, err := c.admitSettings()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.g.Upstream.ConnectTimeout)
	defer cancel()
	if err := c.g.upstreams.take(c.session.ID); err != nil {
		return err
	}
	server, err := c.g.connect(ctx, settings)
	if err == nil {
		if err = c.g.upstreams.learn(ctx, server); err != nil {
			server.close()
		}
	}
	if err != nil {
		c.g.upstreams.give(c.session.ID)
		return &lostError{err: err}
	}
	server.closed = func() { c.g.upstreams.give(c.session.ID) }
	server.log, server.readOnly, server.unasked = c.log, c.agent(), c.unasked
	c.mu.Lock()
	cut := c.reason
	if cut == nil {
		c.server = server
	}
	c.mu.Unlock()
	if cut != nil {
		server.close()
		return cut
	}
	for name, value := range server.params {
		if c.client.params[name] != value && !c.hidden(name) {
			c.client.parameter(name, value)
		}
	}
	for name, value := range server.params {
		server.parameter(name, value)
	}
	return nil
}

// agent reports whether the client is an agent, whose reads the database
// itself keeps from writing.
func (c *conn) agent() bool { return c.session.Actor.Kind == signalbox.Agent }

// readOnlyGUC keeps an agent's autocommit statements from writing. It is given
// at the start of the server's connection, so that RESET and DISCARD lead back
// to it, and an agent may not set it.
const readOnlyGUC = "default_transaction_read_only"

// hidden reports whether a parameter of the server is the gate's own affair.
// Clients that look for a server to write to must not see our setting.
func (c *conn) hidden(name string) bool { return name == readOnlyGUC && c.agent() }

// unasked passes on what the server says of its own accord.
func (c *conn) unasked(raw []byte, name, value string) {
	if name != "" {
		if c.hidden(name) {
			return
		}
		c.client.params[name] = value
	}
	c.client.write(raw)
}

// ready tells the client that the next query may come.
func (c *conn) ready() {
	status := byte('I')
	if c.server != nil {
		status = c.server.status
	}
	c.client.ready(status)
}

// prepare gets the connection ready to classify the next unit.
func (c *conn) prepare() error {
	if c.server == nil {
		if err := c.connect(); err != nil {
			return err
		}
	}
	if c.server.foreign != "" {
		return &refusal{code: StateDenied, message: c.server.foreign,
			hint: "Connect again, and leave the setting alone."}
	}
	if c.phase() == implicit && c.server.names.snapshot != nil {
		// To ask the server would end the implicit transaction, and the client's
		// portals with it. What its first part was classified by stands until its Sync,
		// and an agent changes nothing that it rests on: see unit.
		return nil
	}
	return c.server.learn(c.phase() == implicit, c.tx.objects, c.tx.renamed)
}
