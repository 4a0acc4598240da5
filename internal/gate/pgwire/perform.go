package pgwire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// perform has a request decided and forwards it, in or out of a transaction
// block. When it is refused the client is told, the server's transaction fails
// with it, and done is false. An error ends the connection.
//
// Nothing of the request is forwarded before it is admitted. What may be undone by
// a ROLLBACK is then provisional, and its intent comes with the COMMIT; everything
// else has an intent of its own, which is durable before it is forwarded.
func (c *conn) perform(r *request, w *work) (done bool, err error) {
	if refuse := c.unsafeHere(r, w); refuse != nil {
		return false, c.refuse(refuse)
	}
	a, err := c.g.Interlock.Admit(c.ctx, r.Request, r)
	if err != nil {
		held := (*interlock.HeldError)(nil)
		if errors.As(err, &held) && r.Waits(time.Now()) > 0 && c.final(w) && len(c.tx.admissions) == 0 {
			return c.wait(r, w)
		}
		return false, c.refuse(err)
	}
	if a.Read() && c.g.ReadEach {
		if err := c.g.Interlock.ReadEach(c.ctx, a); err != nil {
			return false, c.refuse(err)
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

var errWroteAsRead = &refusal{code: StateDenied,
	message: "what was admitted as a read has written: it is rolled back", hint: "Report this to Signalbox's operator."}

// unsafeHere refuses an agent what would run where the gate cannot measure it,
// or cannot keep it from writing.
func (c *conn) unsafeHere(r *request, w *work) *refusal {
	if !c.agent() {
		return nil
	}
	inTransaction := c.server.status != 'I' || c.phase() == implicit
	switch {
	case w.holds && (inTransaction || !c.final(w) || len(r.statements) > 1):
		// Its query would run at COMMIT, behind the measurement.
		return &refusal{code: "0A000", message: "a cursor WITH HOLD is refused inside of an agent's transaction",
			hint: "Declare it by itself, or without WITH HOLD."}
	case c.phase() == implicit && !w.readOnly:
		return &refusal{code: "0A000", message: "a write cannot follow reads in an implicit transaction of an agent",
			hint: "Send Sync before it, or open a transaction."}
	}
	if w.readOnly || !w.reads {
		return nil
	}
	// It locks rows and so cannot run READ ONLY. On tables alone nothing of
	// anybody's runs with it.
	for _, b := range r.statements {
		for _, name := range b.Reads {
			rel, ok := c.server.names.catalog.Relations[name]
			if system := strings.HasPrefix(name, "pg_catalog.") ||
				strings.HasPrefix(name, "information_schema."); !system && (!ok || rel.Kind != 'r' && rel.Kind != 'p') {
				return &refusal{code: "0A000",
					message: fmt.Sprintf("row locks are taken on tables alone: %s is none", name),
					hint:    "Lock the rows of the tables behind it."}
			}
		}
	}
	return nil
}

// irrevocable reports whether a ROLLBACK may not undo what the actions do: code of
// unknown effect, what acts on the server or its host, the value of a sequence.
func irrevocable(actions []signalbox.Action) bool {
	for _, a := range actions {
		if a.Verb == signalbox.Execute || a.Has(signalbox.TraitHostFile) ||
			strings.Contains(strings.ToUpper(a.Native), "SETVAL") {
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
			return false, c.refuse(err)
		}
	}
	a, err := c.recheck(a, r, w)
	if err != nil {
		return false, c.refuse(err)
	}
	// What is provisional keeps its account: this request's intent is not theirs,
	// and what it measures begins with counts of its own.
	before := c.tx
	c.tx.take()
	done, err := c.execute([]gate.Admission{a}, r, effect{
		atomic: func() bool { return !w.lone },
		run: func(_ context.Context, permit *interlock.Permit) (signalbox.Outcome, ending, error) {
			if permit.Limited {
				base, err := c.inventory()
				if err != nil {
					return c.refusedOwn(err)
				}
				c.tx.base, c.tx.changed = base.rows, 0
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
			now, err := c.inventory()
			if err == nil {
				out.Touched, _ = c.tx.touched(now.rows)
				err = permit.Spend(out.Touched)
			}
			if err != nil {
				// The client is told the refusal instead, and its transaction fails.
				return signalbox.Outcome{}, ending{}, overrun(err)
			}
			return out, end, nil
		},
	})
	if p := c.phase(); p != none {
		// What was provisional before still is, and its end decides about it: in an
		// implicit transaction, which the server's status does not show, the Sync.
		c.tx = before
		c.tx.phase = p
		c.tx.atOnce = append(c.tx.atOnce, c.claimOf(r))
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
		if !c.clientPresent() {
			return gate.NotForwarded(errors.New("the client went away while it waited for approvals")), ending{}, nil
		}
		return run(c.ctx, p)
	}
	x := &execution{request: r, effect: e}
	_, err := c.at.Do(ctx, r.Request, x)
	c.mu.Lock()
	c.waiting = nil
	c.mu.Unlock()
	if err != nil && ctx.Err() != nil && c.ctx.Err() == nil && c.refusalOf(err) == nil {
		err = &refusal{code: "57014", message: "waiting for approvals was cancelled by the user",
			hint: "The request stays held."}
	}
	return c.release(x.end, err)
}

// clientPresent reports whether the client has not hung up.
func (c *conn) clientPresent() bool {
	there := c.client.present()
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
		c.client.refuse(c.refusalOf(err))
		c.client.skips = true
		return false, nil
	}
	return false, c.refuse(err)
}

// refuse tells the client that its request is refused, and makes the
// server's transaction fail as the client now believes.
func (c *conn) refuse(err error) error {
	r := c.refusalOf(err)
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

// provisional forwards what is not final until COMMIT, or until the Sync that ends
// an implicit transaction. The counts from which the change is reckoned are taken
// before the first of it; the admission is noted even when the server did not
// answer, for it may have run. A crash here undoes it: there is no intent yet.
func (c *conn) provisional(a gate.Admission, r *request, w *work) (bool, error) {
	if c.server.status == 'I' && c.agent() && !c.phase().own() {
		if err := c.openBlock(); err != nil {
			c.g.Interlock.Abandon([]gate.Admission{a})
			return false, c.refuse(err)
		}
	}
	if (a.Limited() || c.agent()) && c.tx.base == nil && c.server.status != 'E' {
		if err := c.takeBase(); err != nil {
			c.g.Interlock.Abandon([]gate.Admission{a})
			return false, c.refuse(err)
		}
	}
	a, err := c.recheck(a, r, w)
	if err != nil {
		return false, c.refuse(err)
	}
	p := &pump{replies: -1, quiet: true}
	err = c.send(w, p)
	c.tx.add(a, c.claimOf(r))
	c.tx.changed += p.changed
	if err != nil {
		return false, err
	}
	return !p.failed(), nil
}
