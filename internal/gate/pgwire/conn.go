package pgwire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
	"github.com/signalbox-dev/signalbox/internal/gate"
)

// A conn is one client that has logged in.
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

	// What the client believes, and what the server knows of it.
	statements map[string]*statement
	portals    map[string]*portal
	tx         txn
	judged     map[string]*judged
	expected   []expectation // of the last unit, for its memory
	looked     bool          // the catalog was read anew for this unit
	unitFrom   int64         // statements sent to the server before the unit at hand
	awaitsSync bool          // a Sync was eaten by a COPY: the client sends another
	params     []param
	steps      []step // of the last unit, for its memory

	// Shared with those who watch, cut and cancel.
	state   atomic.Int32 // busy, idle, watched
	turns   atomic.Int64 // how often it became idle
	gone57  bool         // the server said why it hung up; the watcher's
	seen    int64        // turns at the last look; owned by Gate.attend
	watched chan struct{}
	listens atomic.Bool
	upGone  atomic.Bool // the watcher saw the server hang up

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
			return c.farewell(err)
		}
	}
}

// message serves one message, or the unit that begins with it.
func (c *conn) message(typ byte, size int) error {
	if up := c.server; up != nil {
		c.unitFrom = up.sent
		if up.status == 'I' && c.phase() != implicit {
			c.tx.from = up.sent
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
		c.client.refuse(&refusal{code: "0A000", message: "function calls of the fast path do not pass this gate", hint: "Call the function by a query."})
		c.ready()
		return nil
	}
	return fmt.Errorf("%w: message of type %q", errProtocol, typ)
}

// quits reports whether the connection should go away now that it is idle.
func (c *conn) quits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason != nil || c.retired && c.client.status == 'I' && !c.client.skips && c.client.in.buffered() == 0
}

// farewell tells the client why it ends, as far as there is something to tell
// and somebody to listen.
func (c *conn) farewell(err error) error {
	c.mu.Lock()
	reason, retired := c.reason, c.retired
	c.mu.Unlock()
	c.client.conn.SetWriteDeadline(time.Now().Add(time.Second))
	r := refusal{severity: "FATAL"}
	lost := (*lostError)(nil)
	switch {
	case reason != nil:
		r.code, r.message, r.hint = "57P01", reason.Error(), "Start another session with `signalbox run` when it is allowed again."
		err = reason
	case c.server != nil && c.server.tampered != nil:
		r = *c.server.tampered
		c.log.Error("an agent's connection lost its READ ONLY default to something that was not judged", "session", string(c.session.ID))
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
	case c.upGone.Load():
		if c.gone57 {
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
	up := c.server
	c.server = nil
	c.mu.Unlock()
	if up != nil {
		up.close()
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
	if up := c.server; up != nil {
		c.g.wg.Go(func() {
			// Without this the server would run the statement to its end before
			// it notices that nobody listens.
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			if err := c.g.guarded("cancel", func() error { return up.cancel(ctx) }); err != nil {
				c.log.Warn("statement of a cut connection not cancelled", "error", err)
			}
		})
		up.conn.SetDeadline(past)
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

// dialUpstream connects to the server, at the first query and not before: idle
// clients cost nothing there.
func (c *conn) dialUpstream() error {
	if c.server != nil {
		return nil
	}
	settings, err := c.admitSettings()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.g.Upstream.ConnectTimeout)
	defer cancel()
	up, err := c.g.connect(ctx, settings)
	if err != nil {
		return &lostError{err: err}
	}
	up.log, up.readOnly, up.unasked = c.log, c.agent(), c.unasked
	c.mu.Lock()
	cut := c.reason
	if cut == nil {
		c.server = up
	}
	c.mu.Unlock()
	if cut != nil {
		up.close()
		return cut
	}
	for name, value := range up.params {
		if c.client.params[name] != value && !c.hidden(name) {
			c.client.parameter(name, value)
		}
	}
	for name, value := range up.params {
		up.parameter(name, value)
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

// judge classifies a text, with what names mean on this connection. A relation
// that the snapshot does not have may have been made a moment ago on another
// connection, a view over a function perhaps: then the server is asked again
// before the text is judged a read.
func (c *conn) judge(text string) *judged {
	j := c.judgeBy(text)
	if !c.agent() || j.writes || c.looked || !c.inBlock() || c.server.status == 'E' || !c.missing(j) {
		return j // outside of a block its reads run READ ONLY
	}
	c.looked = true // once for each unit: what is not there stays missing
	c.server.names.stale, c.server.names.objects = true, true
	if err := c.prepare(); err != nil {
		return newJudged(sql.Result{Statements: []sql.Statement{{Action: signalbox.Worst("SELECT", "the server does not tell what it reads")}}, Shape: "?", Fingerprint: "?"}, 0)
	}
	return c.judgeBy(text)
}

// missing reports whether a text reads a relation that the snapshot does not
// have, and that is not PostgreSQL's own.
func (c *conn) missing(j *judged) bool {
	if c.server.names.catalog == nil {
		return false
	}
	for _, s := range j.Statements {
		for _, name := range s.Reads {
			schema, _, _ := strings.Cut(name, ".")
			if schema == "pg_catalog" || schema == "information_schema" {
				continue
			}
			if _, ok := c.server.names.catalog.Relations[name]; !ok {
				return true
			}
		}
	}
	return false
}

func (c *conn) judgeBy(text string) *judged {
	if j := c.judged[text]; j != nil && j.version == c.server.names.version() {
		return j
	}
	j := newJudged(c.server.prepared.Classify(text, c.server.names.catalog, c.g.cache), c.server.names.version())
	if len(text) <= 4<<10 && j.version != 0 && !j.executes {
		if c.judged == nil || len(c.judged) >= 256 {
			c.judged = make(map[string]*judged)
		}
		c.judged[text] = j
	}
	return j
}

// A judged is a classified text, with what the gate asks of it again and again.
type judged struct {
	sql.Result
	version  uint64 // of the catalog; 0: not to be kept
	actions  []signalbox.Action
	control  bool // has a statement that begins, ends or marks a transaction
	readOnly bool // every statement can run in a READ ONLY transaction
	lone     bool // has a statement that cannot run in a transaction block
	copyIn   bool // the client will send data
	writes   bool // has an action that is no read
	executes bool // has an EXECUTE or FETCH, which means what was prepared or declared last
	queries  bool // nothing but queries, which can run in a READ ONLY transaction
	holds    bool // declares a cursor WITH HOLD
	names    bool // may change what names mean: role, search path, objects
	objects  bool // may change objects, and not only settings
	renames  bool // may give objects or their columns other names
}

func newJudged(r sql.Result, version uint64) *judged {
	j := &judged{Result: r, version: version, actions: r.Actions(), readOnly: r.ReadOnly()}
	j.queries = j.readOnly
	for _, s := range r.Statements {
		switch s.Kind {
		case sql.KindQuery, sql.KindExplain, sql.KindFetch, sql.KindExecute, sql.KindCopyOut, sql.KindDeclare:
		default:
			j.queries = false
		}
		switch s.Kind {
		case sql.KindBegin, sql.KindCommit, sql.KindRollback, sql.KindSavepoint, sql.KindRelease, sql.KindRollbackTo, sql.KindPrepareTx:
			j.control = true
		case sql.KindCopyIn:
			j.copyIn = true
		case sql.KindExecute:
			j.names = true
		case sql.KindSet:
			j.names = j.names || !setsTransaction(s)
		case sql.KindDiscard, sql.KindUtility, sql.KindUnknown, sql.KindCommitTx:
			j.names = true
		}
		j.lone = j.lone || s.Lone
		for _, in := range s.Chain() {
			j.holds = j.holds || in.Hold
			j.executes = j.executes || in.Kind == sql.KindExecute || in.Kind == sql.KindFetch
		}
		j.executes = j.executes || s.Inner != nil && s.Inner.Kind == sql.KindExecute
	}
	for _, a := range j.actions {
		if a.Verb != signalbox.Read {
			j.writes, j.queries = true, false
		}
		if a.Has(signalbox.TraitOpaque) || a.Has(signalbox.TraitIdentity) {
			j.names = true
		}
	}
	settings := j.names
	for _, s := range r.Statements {
		switch s.Kind {
		case sql.KindSet, sql.KindShow, sql.KindClose, sql.KindListen, sql.KindUnlisten:
		default:
			// set_config in a query, or in one that a FETCH goes on with.
			j.names = j.names || slices.ContainsFunc(s.Actions(), func(a signalbox.Action) bool { return a.Has(signalbox.TraitSession) })
		}
		settings = settings && s.Kind == sql.KindSet
		code := s.Action.Verb == signalbox.Execute && (s.Kind == sql.KindUtility || s.Kind == sql.KindUnknown)
		j.renames = j.renames || code || s.Action.Has(signalbox.TraitRename)
	}
	j.objects = j.names && !settings
	return j
}

// setsTransaction reports whether a SET concerns nothing but the transaction at
// hand. The server must not be asked anything before the next one: modes cannot
// be set behind a query.
func setsTransaction(s sql.Statement) bool {
	words := strings.Fields(strings.ToUpper(s.Text))
	return len(words) > 1 && words[0] == "SET" && (words[1] == "TRANSACTION" || strings.HasPrefix(words[1], "TRANSACTION_"))
}
