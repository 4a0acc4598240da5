package pgwire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/proof"
)

// A transaction is what is provisional on the server. COMMIT is the action:
// until then nothing of it has happened, and one intent lists it all.
type transaction struct {
	pending    []Admission // of what was executed, reads left out
	savepoints []savepoint
	opened     bool             // we have opened a block around the client's implicit transaction
	begun      bool             // part of an implicit transaction was forwarded before its Sync
	base       map[string]count // rows touched before the first write; nil: not measured
	changed    int64            // rows that the server reported as changed
	committing bool             // a COMMIT is being decided: refused, it becomes a ROLLBACK
	names      bool             // what names mean was changed in it: its end may change them back
	objects    bool             // and objects may have been changed
	renamed    bool             // and been given other names
	outside    bool             // something ran that was carried by itself, or that locks rows: see atOnce
	unknown    bool             // effects were made final and nobody knows whether
}

type savepoint struct {
	name    string
	pending int // how many admissions came before it
}

// abandon forgets what was provisional: it was rolled back.
func (c *conn) abandon() {
	if len(c.tx.pending) > 0 {
		c.g.Interlock.Abandon(c.tx.pending)
	}
	unknown := c.tx.unknown
	c.ended()
	c.tx.unknown = unknown
}

// ended begins a new transaction's account. A table that was dropped ON COMMIT,
// a SET LOCAL, a rolled back CREATE: names may mean again what they meant before.
func (c *conn) ended() {
	if c.tx.names {
		c.names.stale = true
		c.names.objects = c.names.objects || c.tx.objects
		c.names.renamed = c.names.renamed || c.tx.renamed
	}
	c.tx = transaction{}
}

// A work is a piece of what a client sent that is forwarded under one decision.
type work struct {
	raw      []byte // messages, without a Sync at their end
	simple   bool   // one Query message
	replies  int    // due in the extended protocol
	sync     bool   // the client's Sync follows
	control  bool   // begins, ends or marks a transaction
	readOnly bool
	lone     bool
	copyIn   bool
	reads    bool // account for its rows as reads
}

// inBlock reports whether a transaction block of the client's own is open.
func (c *conn) inBlock() bool { return c.up != nil && c.up.status != 'I' && !c.tx.opened }

// perform has a request decided and forwards it, in or out of a transaction
// block. When it is refused the client is told, the backend's transaction fails
// with it, and done is false. An error ends the connection.
func (c *conn) perform(r *request, w *work) (done bool, err error) {
	a, err := c.g.Interlock.Admit(c.ctx, r.Request, r)
	if err != nil {
		held := (*interlock.HeldError)(nil)
		if errors.As(err, &held) && r.Waits(time.Now()) > 0 && c.final(w) && len(c.tx.pending) == 0 {
			return c.wait(r, w)
		}
		return false, c.turnDown(err)
	}
	if a.Read() && c.g.ReadEach {
		if err := c.g.Interlock.ReadEach(c.ctx, a); err != nil {
			return false, c.turnDown(err)
		}
	}
	if !c.final(w) && irrevocable(r.Actions) && !a.Read() {
		return c.atOnce(a, r, w)
	}
	switch {
	case a.Read() && (w.readOnly || !c.agent() || c.inBlock()):
		c.tx.outside = c.tx.outside || !w.readOnly // a row lock takes a transaction id
		return c.forward(r, w)
	case a.Read() && c.final(w) && len(c.tx.pending) == 0:
		// An agent's read that a READ ONLY transaction refuses, such as one
		// that locks rows.
		r.run = c.finalRun(r, w)
		_, err := r.run(c.ctx, Permit{Spend: func(map[string]int64) error { return nil }})
		return c.released(err)
	case c.final(w):
		return c.carry(append(c.tx.pending, a), r, c.finalRun(r, w))
	}
	return c.provisional(a, r, w)
}

// irrevocable reports whether a ROLLBACK may not undo what the actions do: code of
// unknown effect, what acts on the server or its host, the value of a sequence.
func irrevocable(actions []signalbox.Action) bool {
	for _, a := range actions {
		if a.Verb == signalbox.Execute || a.Has(signalbox.TraitHostFile) || strings.Contains(strings.ToUpper(a.Native), "SETVAL") {
			return true
		}
	}
	return false
}

// atOnce carries a request inside of a transaction by itself, its intent durable
// before it is forwarded: the transaction's end decides nothing about it.
func (c *conn) atOnce(a Admission, r *request, w *work) (bool, error) {
	a, err := c.reconfirm(a, r, w)
	if err != nil {
		return false, c.turnDown(err)
	}
	before := c.tx
	done, err := c.carry([]Admission{a}, r, func(_ context.Context, permit Permit) (signalbox.Outcome, error) {
		if permit.Limited {
			base, err := c.touched()
			if err != nil {
				return c.conclude(&pump{}, err, false)
			}
			c.tx.base, c.tx.changed = base, 0
		}
		p := &pump{replies: -1, hold: true, quiet: true}
		if err := c.send(w, p); err != nil {
			return c.conclude(p, err, true)
		}
		out, err := c.conclude(p, nil, true)
		if err != nil || p.failed() || !permit.Limited {
			return out, err
		}
		c.tx.changed = p.changed
		touched, err := c.measure()
		if err == nil {
			err = permit.Spend(touched)
		}
		if err != nil {
			c.ending.held = nil // released tells the refusal, and fails the transaction
			return signalbox.Outcome{}, overrun(err)
		}
		out.Touched = touched
		return out, nil
	})
	if c.up != nil && c.up.status != 'I' {
		unknown := c.tx.unknown
		c.tx = before
		c.tx.outside, c.tx.unknown = true, unknown
	} else if len(before.pending) > 0 {
		c.g.Interlock.Abandon(before.pending)
	}
	return done, err
}

// overrun makes any reason not to let measured rows stand one that interlock
// understands: everything is undone with the transaction, which fails.
func overrun(err error) error {
	over := (*interlock.OverrunError)(nil)
	if errors.As(err, &over) {
		return err
	}
	return &interlock.OverrunError{Reason: err.Error()}
}

// final reports whether the effects of w are final when it has run.
func (c *conn) final(w *work) bool { return !c.inBlock() && (w.simple || w.sync) }

// carry has the admissions carried out by run, which makes them final. What the
// session has read so far is recorded before what it writes takes place: in the
// transaction of the intent, so that locks are held for one commit and not two.
func (c *conn) carry(as []Admission, r *request, run func(context.Context, Permit) (signalbox.Outcome, error)) (bool, error) {
	aboard, ahead := c.g.depart(c.attendance)
	var read []proof.Reads
	if aboard != nil {
		read = aboard.sent()
	}
	r.run = func(ctx context.Context, p Permit) (signalbox.Outcome, error) {
		if aboard != nil {
			c.attendance.land(aboard, nil)
			aboard = nil
		}
		if err := c.g.landed(c.attendance, ahead); err != nil {
			return notForwarded(err), nil
		}
		return run(ctx, p)
	}
	c.tx.pending = nil
	_, err := c.g.Interlock.Carry(c.ctx, as, read, r)
	if aboard != nil {
		// The intent did not come to be, and with it went the summaries.
		c.attendance.land(aboard, errors.New("the write that they were recorded with was refused"))
		c.g.flushReads(c.attendance)
	}
	return c.released(err)
}

// wait is perform for a held request outside of a transaction: the client waits
// with us for the approvals, up to the gate's time, or the session's if that
// wishes to wait.
func (c *conn) wait(r *request, w *work) (bool, error) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	c.mu.Lock()
	c.waiting = cancel
	c.mu.Unlock()
	flights := c.g.flushReads(c.attendance)
	w.raw = bytes.Clone(w.raw) // a look at the client moves the buffer that they came in
	run := c.finalRun(r, w)
	r.run = func(_ context.Context, p Permit) (signalbox.Outcome, error) {
		c.mu.Lock()
		c.waiting = nil
		c.mu.Unlock()
		if !c.clientThere() {
			return notForwarded(errors.New("the client went away while it waited for approvals")), nil
		}
		if err := c.g.landed(c.attendance, flights); err != nil {
			return notForwarded(err), nil
		}
		return run(c.ctx, p)
	}
	_, err := c.g.Interlock.Do(ctx, r.Request, r)
	c.mu.Lock()
	c.waiting = nil
	c.mu.Unlock()
	if err != nil && ctx.Err() != nil && c.ctx.Err() == nil && c.refused(err) == nil {
		err = &refusal{code: "57014", message: "waiting for approvals was cancelled by the user", hint: "The request stays held."}
	}
	return c.released(err)
}

// patience is how long a client that waited for people is listened to before its
// request is forwarded: for the news that it has hung up to arrive.
const patience = 50 * time.Millisecond

// clientThere looks whether the client has hung up. What it has sent meanwhile
// stays in the buffer.
func (c *conn) clientThere() bool {
	c.client.SetReadDeadline(time.Now().Add(patience))
	err := c.in.fill(c.in.buffered() + 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == nil && !c.retired {
		c.client.SetReadDeadline(time.Time{})
	}
	return err == nil || timedOut(err)
}

// notForwarded is the outcome of what we did not dare to forward.
func notForwarded(err error) signalbox.Outcome {
	return signalbox.Outcome{Result: signalbox.Failed, Code: StateUnavailable, Detail: err.Error()}
}

// released lets the held-back end of an answer go to the client once interlock
// has settled, or tells the error instead.
func (c *conn) released(err error) (bool, error) {
	end := c.ending
	c.ending = ending{}
	if err == nil && end.err == nil {
		c.out.write(end.held)
		return !end.failed, nil
	}
	if end.err != nil {
		// The connection to the server is gone. Unknown, unless it never was
		// asked to make anything final.
		c.tx.unknown = end.unknown
		return false, end.err
	}
	unknown := (*interlock.UnknownError)(nil)
	if errors.As(err, &unknown) {
		c.refuse(&refusal{code: "08007", message: unknown.Error(), hint: "Look before you repeat it."})
		c.discard = true
		return false, nil
	}
	return false, c.turnDown(err)
}

// An ending is what a run leaves for released.
type ending struct {
	held    []byte // the last CommandComplete
	failed  bool   // the server refused; the client has been told
	err     error  // the connection to the server is lost
	unknown bool   // when the effects may have become final
}

// turnDown tells the client that its request is refused, and makes the
// backend's transaction fail as the client now believes.
func (c *conn) turnDown(err error) error {
	r := c.refused(err)
	if r == nil {
		if c.ctx.Err() != nil {
			return err
		}
		return fmt.Errorf("decide: %w", err)
	}
	c.refuse(r)
	c.discard = true
	if c.up == nil {
		return nil
	}
	switch {
	case c.tx.opened:
		// The block is ours: the client believes in an implicit transaction,
		// which ends with the error.
		if err := c.rollback(); err != nil {
			return err
		}
	case c.tx.committing:
		if err := c.rollback(); err != nil {
			return err
		}
	case c.up.status == 'T':
		if err := c.poison(); err != nil {
			return err
		}
	case c.tx.begun:
		// An implicit transaction fails when the Sync comes after an error.
		if err := c.poison(); err != nil {
			return err
		}
	}
	if c.up.status == 'I' {
		c.abandon()
	}
	return nil
}

// poison makes the backend's transaction fail: a text that no server parses,
// under a name that no client has. It shows in the server's log for what it is.
func (c *conn) poison() error {
	c.up.out = appendParse(c.up.out, ownStatement, "signalbox refused a statement of this transaction", nil)
	c.up.out = appendSync(c.up.out)
	if err := c.up.send(); err != nil {
		return &lostError{err}
	}
	return c.awaitReady()
}

// rollback ends the block that we opened.
func (c *conn) rollback() error {
	if _, err := c.ask("ROLLBACK"); err != nil {
		return err
	}
	c.abandon()
	return nil
}

// forward sends w and pumps the answer: nothing of it needs to be carried.
func (c *conn) forward(r *request, w *work) (bool, error) {
	p := &pump{replies: -1, quiet: true}
	if err := c.send(w, p); err != nil {
		return false, err
	}
	if w.reads && r != nil {
		c.account(r, p)
	}
	if c.up.status == 'I' && !c.tx.opened && len(c.tx.pending) > 0 {
		c.abandon() // the server rolled back for reasons of its own
	}
	return !p.failed(), nil
}

// send forwards the messages of w and pumps until they are answered.
func (c *conn) send(w *work, p *pump) error {
	c.up.out = append(c.up.out, w.raw...)
	// In a transaction block a Sync ends nothing, and its answer tells the true
	// status. Only an implicit transaction must be kept open by a Flush.
	synced := w.sync || w.control || c.up.status != 'I'
	if !w.simple {
		if synced {
			c.up.out = appendSync(c.up.out)
		} else {
			c.up.out = appendFlush(c.up.out)
			p.replies, p.block = w.replies, true
			c.tx.begun = true
		}
	}
	if err := c.up.send(); err != nil {
		return &lostError{err}
	}
	err := p.run(c)
	if err == nil && synced && !w.simple && !p.ready {
		// A COPY took the Sync. The client sends another if the first was its
		// own; if it was ours, so do we.
		if w.sync {
			c.awaitsSync = true
		} else {
			c.up.out = appendSync(c.up.out)
			if err := c.up.send(); err != nil {
				return &lostError{err}
			}
			p.replies, p.block = -1, false
			err = p.run(c)
		}
	}
	c.replied = p.done
	if p.failed() && !w.simple && !p.ready || p.failed() && !w.simple && !w.sync {
		c.discard, c.skips = true, !p.ready
	}
	if p.ready {
		c.tx.begun = false
	}
	return err
}

// provisional forwards what stays undone until COMMIT, or until the Sync that
// ends an implicit transaction.
func (c *conn) provisional(a Admission, r *request, w *work) (bool, error) {
	if c.up.status == 'I' && c.agent() && !c.tx.opened {
		if c.tx.begun {
			return false, c.turnDown(&refusal{code: "0A000", message: "a write cannot follow reads in an implicit transaction of an agent", hint: "Send Sync before it, or open a transaction."})
		}
		if _, err := c.ask("BEGIN READ WRITE"); err != nil {
			return false, err
		}
		c.tx.opened = true
	}
	a, err := c.reconfirm(a, r, w)
	if err != nil {
		return false, c.turnDown(err)
	}
	if a.Limited() && c.tx.base == nil && c.up.status != 'E' {
		base, err := c.touched()
		if err != nil {
			return false, err
		}
		c.tx.base = base
	}
	p := &pump{replies: -1, quiet: true}
	err = c.send(w, p)
	c.tx.pending = append(c.tx.pending, a)
	c.tx.changed += p.changed
	if err != nil {
		return false, err
	}
	return !p.failed(), nil
}

// control forwards a statement that begins, ends or marks a transaction, and
// keeps count of what is provisional.
func (c *conn) control(s sql.Statement, w *work) (bool, error) {
	was := byte('I')
	if c.up != nil {
		was = c.up.status
	}
	switch s.Kind {
	case sql.KindCommit, sql.KindPrepareTx:
		if was == 'T' && len(c.tx.pending) > 0 {
			return c.commit(s, w)
		}
		if was == 'T' && c.agent() && !c.tx.outside {
			// By our account the transaction has only read. The server knows.
			if err := c.onlyRead(); err != nil {
				c.tx.committing = true // what is refused now is rolled back
				return false, c.turnDown(err)
			}
		}
	}
	p := &pump{replies: -1, quiet: true}
	w.control = true
	if err := c.send(w, p); err != nil {
		return false, err
	}
	if p.failed() {
		return false, nil
	}
	switch s.Kind {
	case sql.KindCommit, sql.KindRollback, sql.KindPrepareTx:
		if was == 'E' || s.Kind == sql.KindRollback {
			c.names.stale = true
		}
		c.abandon()
	case sql.KindSavepoint:
		c.tx.savepoints = append(c.tx.savepoints, savepoint{s.Name, len(c.tx.pending)})
	case sql.KindRelease, sql.KindRollbackTo:
		for i := len(c.tx.savepoints) - 1; i >= 0; i-- {
			if sp := c.tx.savepoints[i]; sp.name == s.Name {
				if s.Kind == sql.KindRollbackTo {
					c.g.Interlock.Abandon(c.tx.pending[sp.pending:])
					c.tx.pending = c.tx.pending[:sp.pending]
					c.tx.savepoints = c.tx.savepoints[:i+1]
					c.names.stale = true
					c.names.objects = c.names.objects || c.tx.objects
				} else {
					c.tx.savepoints = c.tx.savepoints[:i]
				}
				break
			}
		}
	}
	return true, nil
}

// commit carries what the transaction did: the intent that lists it all is
// durable before COMMIT is forwarded.
func (c *conn) commit(s sql.Statement, w *work) (bool, error) {
	as := c.tx.pending
	changed, base := c.tx.changed, c.tx.base
	r := &request{c: c}
	c.tx.committing = true
	return c.carry(as, r, func(_ context.Context, permit Permit) (signalbox.Outcome, error) {
		var touched map[string]int64
		if permit.Limited {
			c.tx.base, c.tx.changed = base, changed
			var err error
			if touched, err = c.measure(); err == nil {
				err = permit.Spend(touched)
			}
			if err != nil {
				return c.undo(&pump{}, err)
			}
		}
		p := &pump{replies: -1, hold: true, quiet: true}
		w.control = true
		err := c.send(w, p)
		out, err := c.conclude(p, err, true)
		out.Rows, out.Touched = changed, touched
		if strings.HasPrefix(string(tagOf(p.held)), "ROLLBACK") {
			// The server had reasons of its own.
			out = signalbox.Outcome{Result: signalbox.Failed, Code: "40000", Detail: "the server answered COMMIT with ROLLBACK"}
		}
		c.ended()
		return out, err
	})
}

// onlyRead refuses a transaction of an agent that has written although nothing
// that writes was admitted in it. That cannot be: whatever hole it came through,
// it does not get to its COMMIT.
func (c *conn) onlyRead() error {
	answers, err := c.ask("SELECT pg_catalog.txid_current_if_assigned() IS NULL")
	switch {
	case err != nil:
		return err
	case answers[0].failed == nil && len(answers[0].rows) == 1 && answers[0].rows[0][0] == "t":
		return nil
	}
	c.log.Error("an agent's transaction wrote what was never admitted: rolled back", "session", string(c.session.ID))
	return &refusal{code: StateDenied, message: "the transaction has written, and nothing that writes was admitted in it: it is rolled back", hint: "Report this to Signalbox's operator."}
}

// tagOf gives the tag within a CommandComplete message.
func tagOf(raw []byte) []byte {
	if len(raw) < headerSize+1 {
		return nil
	}
	return raw[headerSize : len(raw)-1]
}
