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
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// phase gives where the transaction stands, by what the server has said last.
func (c *conn) phase() phase {
	if c.server == nil {
		return none
	}
	return c.tx.reported(c.server.status)
}

// inBlock reports whether a transaction block of the client's own is open.
func (c *conn) inBlock() bool {
	p := c.phase()
	return p >= block
}

// abandon forgets what was provisional: it was rolled back.
func (c *conn) abandon() {
	if as := c.tx.take(); len(as) > 0 {
		c.g.Interlock.Abandon(as)
	}
	c.ended()
}

// ended begins a new transaction's account. A table that was dropped ON COMMIT,
// a SET LOCAL, a rolled back CREATE: names may mean again what they meant before.
func (c *conn) ended() {
	tx := c.tx
	c.tx = txn{}
	if c.server == nil {
		return
	}
	if tx.names {
		c.server.names.stale = true
		c.server.names.objects = c.server.names.objects || tx.objects
		c.server.names.renamed = c.server.names.renamed || tx.renamed
	}
	c.tx.from = c.server.sent
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
	neutral  bool // runs nothing: it only parses, describes or closes
	queries  bool // nothing but queries: an agent's run READ ONLY, in a block too
	holds    bool // declares a cursor WITH HOLD, which runs when the transaction ends
	commands int  // statements of a simple query
	executes int  // Executes of the extended protocol
	synced   bool // a Sync of ours follows, of which the client learns nothing

	expected  []expectation // replies due in the extended protocol
	confirmed int           // how many of them came
}

// perform has a request decided and forwards it, in or out of a transaction
// block. When it is refused the client is told, the server's transaction fails
// with it, and done is false. An error ends the connection.
func (c *conn) perform(r *request, w *work) (done bool, err error) {
	if refuse := c.outOfPlace(r, w); refuse != nil {
		return false, c.turnDown(refuse)
	}
	a, err := c.g.Interlock.Admit(c.ctx, r.Request, r)
	if err != nil {
		held := (*interlock.HeldError)(nil)
		if errors.As(err, &held) && r.Waits(time.Now()) > 0 && c.final(w) && len(c.tx.admissions) == 0 {
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
		return c.executeAtOnce(a, r, w)
	}
	switch {
	case a.Read() && (w.readOnly || !c.agent() || c.inBlock()):
		return c.forward(r, w)
	case a.Read() && c.final(w) && len(c.tx.admissions) == 0:
		// An agent's read that a READ ONLY transaction refuses, such as one
		// that locks rows. It is measured all the same, for it must touch none.
		_, end, err := c.finalEffect(r, w).run(c.ctx, &interlock.Permit{Limited: true, Spend: c.spendNothing})
		return c.release(end, err)
	case c.final(w):
		return c.execute(append(c.tx.take(), a), r, c.finalEffect(r, w))
	}
	return c.provisional(a, r, w)
}

// spendNothing is what a read may touch.
func (c *conn) spendNothing(touched map[string]int64) error {
	if len(touched) == 0 {
		return nil
	}
	c.log.Error("what was admitted as a read has written: rolled back", "session", string(c.session.ID))
	return errWroteAsRead
}

var errWroteAsRead = &refusal{code: StateDenied, message: "what was admitted as a read has written: it is rolled back", hint: "Report this to Signalbox's operator."}

// outOfPlace refuses an agent what would run where the gate cannot measure it,
// or cannot keep it from writing.
func (c *conn) outOfPlace(r *request, w *work) *refusal {
	if !c.agent() {
		return nil
	}
	inTransaction := c.server.status != 'I' || c.phase() == implicit
	switch {
	case w.holds && (inTransaction || !c.final(w) || len(r.statements) > 1):
		// Its query would run at COMMIT, behind the measurement.
		return &refusal{code: "0A000", message: "a cursor WITH HOLD is refused inside of an agent's transaction", hint: "Declare it by itself, or without WITH HOLD."}
	case c.phase() == implicit && !w.readOnly:
		return &refusal{code: "0A000", message: "a write cannot follow reads in an implicit transaction of an agent", hint: "Send Sync before it, or open a transaction."}
	}
	if w.readOnly || !w.reads {
		return nil
	}
	// It locks rows and so cannot run READ ONLY. On tables alone nothing of
	// anybody's runs with it.
	for _, b := range r.statements {
		for _, name := range b.Reads {
			rel, ok := c.server.names.catalog.Relations[name]
			if system := strings.HasPrefix(name, "pg_catalog.") || strings.HasPrefix(name, "information_schema."); !system && (!ok || rel.Kind != 'r' && rel.Kind != 'p') {
				return &refusal{code: "0A000", message: fmt.Sprintf("row locks are taken on tables alone: %s is none", name), hint: "Lock the rows of the tables behind it."}
			}
		}
	}
	return nil
}

// queueReading queues what makes the agent's block READ ONLY for w, or writable
// again, and gives the number of statements queued.
func (c *conn) queueReading(w *work) int {
	p := c.phase()
	if !c.agent() || c.server.status != 'T' || p == committing || w.neutral && !w.control {
		return 0
	}
	own := c.tx.read(w.queries && !w.control)
	if len(own) > 0 {
		c.server.queue(own...)
	}
	return len(own)
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

// executeAtOnce executes a request inside of a transaction by itself, its intent
// durable before it is forwarded: the transaction's end decides nothing about it.
func (c *conn) executeAtOnce(a gate.Admission, r *request, w *work) (bool, error) {
	if c.agent() && len(c.tx.admissions) == 0 && c.server.status == 'T' {
		if err := c.onlyRead(); err != nil {
			c.g.Interlock.Abandon([]gate.Admission{a})
			return false, c.turnDown(err)
		}
	}
	a, err := c.reconfirm(a, r, w)
	if err != nil {
		return false, c.turnDown(err)
	}
	before := c.tx
	c.tx.take()
	done, err := c.execute([]gate.Admission{a}, r, effect{
		atomic: func() bool { return !w.lone },
		run: func(_ context.Context, permit *interlock.Permit) (signalbox.Outcome, ending, error) {
			if permit.Limited {
				base, err := c.server.touched()
				if err != nil {
					return c.refusedOwn(err)
				}
				c.tx.base, c.tx.changed = base, 0
			}
			p := &pump{replies: -1, hold: true, quiet: true}
			if err := c.send(w, p); err != nil {
				return conclude(p, err, true)
			}
			out, end, err := conclude(p, nil, true)
			if err != nil || p.failed() || !permit.Limited {
				return out, end, err
			}
			c.tx.changed = p.changed
			now, err := c.server.touched()
			if err == nil {
				out.Touched, err = c.tx.touched(now)
			}
			if err == nil {
				err = permit.Spend(out.Touched)
			}
			if err != nil {
				// The client is told the refusal instead, and its transaction fails.
				return signalbox.Outcome{}, ending{}, overrun(err)
			}
			return out, end, nil
		},
	})
	if c.server != nil && c.server.status != 'I' {
		p := c.phase()
		c.tx = before
		c.tx.phase, c.tx.executed = p, true
	} else if len(before.admissions) > 0 {
		c.g.Interlock.Abandon(before.admissions)
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

// wait is perform for a held request outside of a transaction: the client waits
// with us for the approvals, up to the gate's time, or the session's if that
// wishes to wait.
func (c *conn) wait(r *request, w *work) (bool, error) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	c.mu.Lock()
	c.waiting = cancel
	c.mu.Unlock()
	w.raw = bytes.Clone(w.raw) // a look at the client moves the buffer that they came in
	e := c.finalEffect(r, w)
	run := e.run
	e.run = func(_ context.Context, p *interlock.Permit) (signalbox.Outcome, ending, error) {
		c.mu.Lock()
		c.waiting = nil
		c.mu.Unlock()
		if !c.clientThere() {
			return gate.NotForwarded(errors.New("the client went away while it waited for approvals")), ending{}, nil
		}
		return run(c.ctx, p)
	}
	x := &execution{request: r, effect: e}
	_, err := c.at.Do(ctx, r.Request, x)
	c.mu.Lock()
	c.waiting = nil
	c.mu.Unlock()
	if err != nil && ctx.Err() != nil && c.ctx.Err() == nil && c.refused(err) == nil {
		err = &refusal{code: "57014", message: "waiting for approvals was cancelled by the user", hint: "The request stays held."}
	}
	return c.release(x.end, err)
}

// clientThere reports whether the client has not hung up.
func (c *conn) clientThere() bool {
	there := c.client.there()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == nil && !c.retired {
		c.client.conn.SetReadDeadline(time.Time{})
	}
	return there
}

// release lets the held-back end of an answer go to the client once the outcome
// is recorded, or tells the error instead.
func (c *conn) release(end ending, err error) (bool, error) {
	if err == nil && end.err == nil {
		c.client.write(end.held)
		return !end.failed, nil
	}
	if end.err != nil {
		// The connection to the server is gone. Unknown, unless it never was
		// asked to make anything final, or has said that it did.
		if err == nil && !end.failed {
			c.client.write(end.held)
		}
		return false, end.err
	}
	unknown := (*interlock.UnknownError)(nil)
	if errors.As(err, &unknown) {
		c.client.refuse(c.refused(err))
		c.client.skips = true
		return false, nil
	}
	return false, c.turnDown(err)
}

// turnDown tells the client that its request is refused, and makes the
// server's transaction fail as the client now believes.
func (c *conn) turnDown(err error) error {
	r := c.refused(err)
	if r == nil {
		if c.ctx.Err() != nil {
			return err
		}
		return fmt.Errorf("decide: %w", err)
	}
	c.client.refuse(r)
	c.client.skips = true
	if c.server == nil {
		return nil
	}
	switch p := c.phase(); {
	case p.own(), p == committing:
		// A block of ours: the client believes in an implicit transaction, which
		// ends with the error, as a transaction does whose COMMIT fails.
		if err := c.rollback(); err != nil {
			return err
		}
	case c.server.status == 'T', p == implicit:
		// An implicit transaction fails when the Sync comes after an error.
		if err := c.server.fail(); err != nil {
			return err
		}
	}
	if c.server.status == 'I' {
		c.abandon()
	}
	return nil
}

// rollback ends the block that we opened.
func (c *conn) rollback() error {
	if _, err := c.server.ask("ROLLBACK"); err != nil {
		return &lostError{err: err}
	}
	c.abandon()
	return nil
}

// forward sends w and pumps the answer: nothing of it needs an intent.
func (c *conn) forward(r *request, w *work) (bool, error) {
	p := &pump{replies: -1, quiet: true}
	if err := c.send(w, p); err != nil {
		return false, err
	}
	if w.reads && (r != nil || len(w.expected) > 0 && !w.neutral) {
		c.account(r, p)
	}
	if c.server.status == 'I' && !c.phase().own() && len(c.tx.admissions) > 0 {
		c.abandon() // the server rolled back for reasons of its own
	}
	return !p.failed(), nil
}

// send forwards the messages of w and pumps until they are answered.
func (c *conn) send(w *work, p *pump) error {
	own := c.queueReading(w)
	p.expected = w.expected
	c.server.forward(w.raw, max(w.commands, w.executes))
	// In a transaction block a Sync ends nothing, and its answer tells the true
	// status. Only an implicit transaction must be kept open by a Flush.
	synced := w.sync || w.synced || w.control || c.server.status != 'I'
	if !w.simple {
		if synced {
			c.server.sync()
		} else {
			c.server.flush()
			p.replies, p.block = w.replies, true
			c.tx.flushed()
		}
	}
	if err := c.server.send(); err != nil {
		return err
	}
	if own > 0 {
		answers, err := c.server.gather(own)
		if err == nil && answers[len(answers)-1].failed != nil {
			err = &askError{answers[len(answers)-1].failed}
		}
		if err != nil {
			return &lostError{err: err} // what was sent behind it has run in another state than it was judged for
		}
	}
	c.cancellable(true)
	err := p.run(c)
	c.cancellable(false)
	if c.server.tampered != nil {
		return c.server.tampered
	}
	if err == nil && synced && !w.simple && !p.ready {
		// A COPY took the Sync. The client sends another if the first was its
		// own; if it was ours, so do we.
		if w.sync {
			c.awaitsSync = true
		} else {
			c.server.sync()
			if err := c.server.send(); err != nil {
				return err
			}
			p.replies, p.block = -1, false
			err = p.run(c)
		}
	}
	w.confirmed = p.done
	if p.failed() && !w.simple && !p.ready || p.failed() && !w.simple && !w.sync {
		c.client.skips, c.server.skips = true, !p.ready
	}
	if p.ready {
		c.tx.synced()
	}
	return err
}

// cancellable notes whether a statement of the client's runs. When it returns, no
// cancel request of the client's is on its way any more.
func (c *conn) cancellable(runs bool) {
	c.cancels.Lock()
	c.running = runs
	c.cancels.Unlock()
}

// provisional forwards what stays undone until COMMIT, or until the Sync that
// ends an implicit transaction.
func (c *conn) provisional(a gate.Admission, r *request, w *work) (bool, error) {
	if c.server.status == 'I' && c.agent() && !c.phase().own() {
		if err := c.openBlock(); err != nil {
			c.g.Interlock.Abandon([]gate.Admission{a})
			return false, c.turnDown(err)
		}
	}
	if a.Limited() && c.tx.base == nil && c.server.status != 'E' {
		if err := c.takeBase(); err != nil {
			c.g.Interlock.Abandon([]gate.Admission{a})
			return false, c.turnDown(err)
		}
	}
	a, err := c.reconfirm(a, r, w)
	if err != nil {
		return false, c.turnDown(err)
	}
	p := &pump{replies: -1, quiet: true}
	err = c.send(w, p)
	c.tx.add(a)
	c.tx.changed += p.changed
	if err != nil {
		return false, err
	}
	return !p.failed(), nil
}

// control forwards a statement that begins, ends or marks a transaction, and
// keeps count of what is provisional.
func (c *conn) control(s sql.Statement, w *work) (bool, error) {
	c.phase() // the server's status as it was before
	was := c.server.status
	switch s.Kind {
	case sql.KindCommit, sql.KindPrepareTx:
		if was == 'T' && len(c.tx.admissions) > 0 {
			return c.commit(w)
		}
		if was == 'T' && c.agent() {
			// By our account the transaction has only read. The server knows.
			if err := c.onlyRead(); err != nil {
				c.tx.to(committing) // what is refused now is rolled back
				return false, c.turnDown(err)
			}
		}
	case sql.KindSavepoint:
		if strings.HasPrefix(s.Name, ownPrefix) {
			return false, c.turnDown(reserved(s.Name))
		}
	case sql.KindBegin:
		switch c.tx.phase { // the block becomes the client's own, as an implicit transaction does
		case ours:
			c.tx.to(block)
		case oursReading:
			c.tx.to(blockReading)
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
			c.server.names.stale = true
		}
		c.abandon()
	case sql.KindSavepoint:
		c.tx.mark(s.Name)
	case sql.KindRelease:
		c.tx.release(s.Name)
	case sql.KindRollbackTo:
		if undone, ok := c.tx.rollbackTo(s.Name); ok {
			c.g.Interlock.Abandon(undone)
			c.server.names.stale = true
			c.server.names.objects = c.server.names.objects || c.tx.objects
		}
	}
	return true, nil
}

// commit executes what the transaction did: the intent that lists it all is
// durable before COMMIT is forwarded.
func (c *conn) commit(w *work) (bool, error) {
	changed := c.tx.changed
	end, err := c.beforeCommit(c.tx.limited())
	c.tx.to(committing)
	if err != nil {
		return false, c.failCommit(err)
	}
	r := &request{c: c, xid: end.xid, from: c.tx.from}
	return c.execute(c.tx.take(), r, effect{
		atomic: func() bool { return true }, // what was approved is looked at under its locks, which are held
		run: func(_ context.Context, permit *interlock.Permit) (signalbox.Outcome, ending, error) {
			if permit.Limited {
				// Nothing runs on the server between the measurement and COMMIT.
				if err := permit.Spend(end.touched); err != nil {
					return c.undo(&pump{}, err)
				}
			}
			p := &pump{replies: -1, hold: true, quiet: true}
			w.control = true
			err := c.send(w, p)
			tag := string(tagOf(p.held))
			p.settled = tag == "COMMIT" || tag == "PREPARE TRANSACTION"
			out, rest, err := conclude(p, err, true)
			if out.Result == signalbox.Done {
				out.Rows, out.Touched = changed, end.touched
			}
			if tag == "ROLLBACK" {
				// The server had reasons of its own.
				out = signalbox.Outcome{Result: signalbox.Failed, Code: "40000", Detail: "the server answered COMMIT with ROLLBACK"}
			}
			c.ended()
			return out, rest, err
		},
	})
}

// failCommit ends a transaction that cannot be committed, before its intent. What
// the server says of it, of a deferred constraint perhaps, is the answer to the
// client's COMMIT.
func (c *conn) failCommit(why error) error {
	own := (*askError)(nil)
	if !errors.As(why, &own) {
		return c.turnDown(why)
	}
	b, err := own.response.Encode(nil)
	if err != nil {
		return err
	}
	c.client.write(b)
	c.client.skips = true
	return c.rollback()
}

// tagOf gives the tag within a CommandComplete message.
func tagOf(raw []byte) []byte {
	if len(raw) < headerSize+1 {
		return nil
	}
	return raw[headerSize : len(raw)-1]
}
