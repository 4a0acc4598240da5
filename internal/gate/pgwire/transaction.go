package pgwire

import (
	"context"
	"errors"
	"strings"

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
func (c *conn) inBlock() bool { return c.phase() >= block }

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

// forwardControl forwards a statement that begins, ends or marks a transaction, and
// keeps count of what is provisional.
func (c *conn) forwardControl(s sql.Statement, w *work) (bool, error) {
	c.phase() // before it is forwarded: what has failed is behind no savepoint of ours any more
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
				return false, c.refuse(err)
			}
		}
	case sql.KindSavepoint:
		if strings.HasPrefix(s.Name, ownPrefix) {
			return false, c.refuse(reserved(s.Name))
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
//
// Everything that could still run at COMMIT runs before the intent, in
// beforeCommit, so that the intent rests on what was measured. A crash before the
// COMMIT is sent leaves an intent without effects, for the server rolls back; one
// behind it leaves an outcome that is unknown.
func (c *conn) commit(w *work) (bool, error) {
	changed := c.tx.changed
	end, err := c.beforeCommit(nil, c.tx.limited())
	c.tx.to(committing)
	if err != nil {
		return false, c.failCommit(err)
	}
	r := &request{c: c, xid: end.xid, from: c.tx.from}
	return c.execute(c.tx.take(), r, effect{
		atomic: func() bool { return true }, // what was approved is looked at under its locks, which are held
		run: func(_ context.Context, permit *interlock.Permit) (signalbox.Outcome, ending, error) {
			if end.wrong != nil {
				return c.undo(&pump{}, end.wrong)
			}
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
			p.final = tag == "COMMIT" || tag == "PREPARE TRANSACTION"
			out, rest, err := conclude(p, err, true)
			out, rest, err = c.settled(end.xid, out, rest, err)
			if out.Result == signalbox.Done {
				out.Rows, out.Touched = changed, end.touched
			}
			if tag == "ROLLBACK" {
				// The server had reasons of its own.
				out = signalbox.Outcome{Result: signalbox.Failed, Code: "40000",
					Detail: "the server answered COMMIT with ROLLBACK"}
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
		return c.refuse(why)
	}
	b, err := own.response.Encode(nil)
	if err != nil {
		return err
	}
	c.client.write(b)
	c.client.skips = true
	return c.rollback()
}

// rollback ends the block at the server, and what was provisional with it.
func (c *conn) rollback() error {
	if _, err := c.server.ask("ROLLBACK"); err != nil {
		return &lostError{err: err}
	}
	c.abandon()
	return nil
}

// control is forwardControl, with the decision that PREPARE TRANSACTION needs: its
// effects outlive the session.
func (c *conn) control(s sql.Statement, w *work, text string) (bool, error) {
	if s.Kind == sql.KindPrepareTx {
		r := c.newRequest(s.Actions(), []string{text}, nil)
		a, err := c.g.Interlock.Admit(c.ctx, r.Request, r)
		if err != nil {
			return false, c.refuse(err)
		}
		if !a.Read() && c.server.status == 'T' {
			if c.agent() && c.tx.base == nil {
				if err := c.takeBase(); err != nil {
					c.g.Interlock.Abandon([]gate.Admission{a})
					return false, c.refuse(err)
				}
			}
			c.tx.add(a, c.claimOf(r))
		}
	}
	if s.Kind == sql.KindBegin && c.agent() && w.simple {
		if text, ok := readWrite(s); ok {
			w.raw = appendQuery(nil, text)
		}
	}
	return c.forwardControl(s, w)
}

// readWrite gives a BEGIN that an agent's transaction can write in, as its
// connection is READ ONLY by default; ok is false if it says what it wants.
func readWrite(s sql.Statement) (text string, ok bool) {
	up := strings.ToUpper(s.Text)
	if strings.Contains(up, "READ ONLY") || strings.Contains(up, "READ WRITE") {
		return "", false
	}
	return s.Text + "\nREAD WRITE", true
}
