package pgwire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// An effect is what makes the effects of a request final.
type effect struct {
	// run forwards the request. It is called by the interlock, when the intent is
	// durable.
	run func(context.Context, *interlock.Permit) (signalbox.Outcome, ending, error)
	// atomic reports whether what was approved is looked at again, under its locks,
	// in the block that runs it. It is asked when the intent is recorded.
	atomic func() bool
}

// An ending is what remains to be said to the client when a request has run.
type ending struct {
	held   []byte // the last CommandComplete
	failed bool   // the server refused; the client has been told
	err    error  // the connection to the server is lost, or must not be used again
}

// An execution is the executor of one intent. It takes the ending past the
// interlock, which has no use for it.
type execution struct {
	*request
	effect
	end ending
}

// Prepare implements [interlock.Executor].
func (x *execution) Prepare(context.Context) interlock.Prepared {
	return interlock.Prepared{Reference: x.reference(), Atomic: x.atomic != nil && x.atomic()}
}

// Execute implements [interlock.Executor].
func (x *execution) Execute(ctx context.Context, p *interlock.Permit) (signalbox.Outcome, error) {
	out, end, err := x.run(ctx, p)
	x.end = end
	out.Reference = x.reference()
	return out, err
}

// execute has the admissions recorded in one intent and their effects made final.
// What the session has read so far is recorded in the transaction of the intent,
// so that locks are held for one commit and not two.
func (c *conn) execute(as []gate.Admission, r *request, e effect) (bool, error) {
	x := &execution{request: r, effect: e}
	_, err := c.at.Execute(c.ctx, as, x)
	return c.release(x.end, err)
}

// finalEffect gives what makes w final in an implicit transaction: as it is, or
// within a block of our own where the rows it touches must be measured, or
// where an agent's connection is READ ONLY by default.
func (c *conn) finalEffect(r *request, w *work) effect {
	return effect{
		atomic: func() bool { return !w.lone && (c.phase().own() || c.agent() || r.state != nil) },
		run: func(_ context.Context, permit *interlock.Permit) (signalbox.Outcome, ending, error) {
			switch {
			case w.lone && c.agent():
				return c.runLone(w, permit)
			case c.phase().own() || permit.Limited || c.agent() || r.state != nil && !w.lone:
				return c.runBlock(r, w, permit)
			}
			return c.runPlain(w)
		},
	}
}

// runPlain forwards w and reports what the server said.
func (c *conn) runPlain(w *work) (signalbox.Outcome, ending, error) {
	p := &pump{replies: -1, hold: true, quiet: true}
	err := c.send(w, p)
	if err == nil && w.sync && !p.ready {
		err = c.copySync(p)
	}
	// A simple query is told complete when it is committed, statements of the
	// extended protocol before that.
	p.final = w.simple && w.commands > 0 && p.commands == w.commands
	p.rows += c.tx.changed // by parts of the implicit transaction that ran before
	if err == nil && c.server.status == 'I' {
		c.ended()
	}
	return conclude(p, err, true)
}

// conclude makes the outcome of a pumped answer, and the ending that is due to the
// client. final says that what was forwarded makes effects final, so that a lost
// connection may leave them unknown: an end of the connection is no answer, not
// even when the server gives a reason for it.
func conclude(p *pump, err error, final bool) (signalbox.Outcome, ending, error) {
	end := ending{held: p.held, failed: p.failed()}
	out := signalbox.Outcome{Result: signalbox.Done, Rows: p.rows}
	if p.failed() {
		out = signalbox.Outcome{Result: signalbox.Failed, Code: p.code, Detail: p.message}
	}
	if err == nil {
		return out, end, nil
	}
	end.err = err
	end.failed = true
	switch {
	case p.final:
		end.failed = false
		return signalbox.Outcome{Result: signalbox.Done, Rows: p.rows}, end, nil
	case p.errored:
		return out, end, nil // the server said that it failed before it hung up
	case !final:
		if !p.failed() {
			out = signalbox.Outcome{Result: signalbox.Failed, Code: "08006",
				Detail: "the connection was lost before COMMIT: the server rolls back"}
		}
		return out, end, nil
	}
	if lost := (*lostError)(nil); errors.As(err, &lost) {
		end.err = &lostError{err: lost.err, unknown: true} // the client is told so
	}
	return signalbox.Outcome{Result: signalbox.ResultUnknown, Rows: signalbox.CountUnknown}, end, err
}

// refusedOwn is the outcome when the server refused a statement of the gate's own
// that had to succeed before the client's: nothing was forwarded, and the client
// is told what the server said. A lost connection is not final either.
func (c *conn) refusedOwn(err error) (signalbox.Outcome, ending, error) {
	own := (*askError)(nil)
	if !errors.As(err, &own) {
		return conclude(&pump{}, err, false)
	}
	if b, err := own.response.Encode(nil); err == nil {
		c.client.write(b)
	}
	c.client.skips = true
	if c.server.status != 'I' {
		if err := c.rollback(); err != nil {
			return conclude(&pump{}, err, false)
		}
	}
	return signalbox.Outcome{Result: signalbox.Failed, Code: own.response.Code, Detail: own.response.Message},
		ending{failed: true}, nil
}

// runLone forwards a statement that PostgreSQL refuses in a transaction block,
// with the READ ONLY default lifted around it. The default is put back before the
// client is told anything; if that fails the connection ends, so that no agent
// reads on a connection that it could write on.
func (c *conn) runLone(w *work, permit *interlock.Permit) (signalbox.Outcome, ending, error) {
	// It stands alone, and such statements touch no rows: see errNotAlone.
	if err := permit.Spend(nil); err != nil {
		return signalbox.Outcome{}, ending{}, err
	}
	c.server.lifted = true
	if _, err := c.server.ask("SET " + readOnlyGUC + " = off"); err != nil {
		c.server.lifted = false
		return c.refusedOwn(err)
	}
	out, end, err := c.runPlain(w)
	if end.err != nil {
		return out, end, err
	}
	if _, aerr := c.server.ask("SET " + readOnlyGUC + " = on"); aerr != nil {
		// A connection that an agent could write on must not be used again.
		end.err = &lostError{err: aerr}
	}
	c.server.lifted = false
	return out, end, err
}

// openBlock opens a block of our own around what the client believes to be an
// implicit transaction. An agent can write in it.
func (c *conn) openBlock() error {
	begin := "BEGIN"
	if c.agent() {
		begin = "BEGIN READ WRITE"
	}
	if _, err := c.server.ask(begin); err != nil {
		return err
	}
	if c.server.status != 'T' {
		return &lostError{err: errors.New("the server opened no transaction block")}
	}
	c.tx.to(ours)
	c.tx.changed = 0
	return nil
}

// runBlock runs w between BEGIN and COMMIT of our own, and measures what it
// touched before the COMMIT. The order is: open the block, take the counts from
// which the change is reckoned, look again at what was approved under its locks,
// forward, have everything deferred run, measure, spend, commit. Whatever fails
// before the COMMIT undoes it all, and so does a crash: the server rolls back when
// its client is gone.
func (c *conn) runBlock(r *request, w *work, permit *interlock.Permit) (signalbox.Outcome, ending, error) {
	if !c.phase().own() {
		if err := c.openBlock(); err != nil {
			return c.refusedOwn(err)
		}
	}
	if (permit.Limited || c.agent()) && c.tx.base == nil {
		if err := c.takeBase(); err != nil {
			return c.undo(&pump{}, err)
		}
	}
	if d, err := c.difference(r, permit.Still); err != nil {
		return c.refusedOwn(err)
	} else if d != "" {
		return c.undo(&pump{}, fmt.Errorf("what was approved has changed: %s", d))
	}
	p := &pump{replies: -1, hold: true, quiet: true}
	if len(w.raw) > 0 {
		err := c.send(w, p)
		if err == nil && w.sync && !p.ready {
			err = c.copySync(p)
		}
		if err != nil {
			return conclude(p, err, false)
		}
	}
	p.rows += c.tx.changed
	c.tx.changed += p.changed
	if p.failed() {
		if err := c.rollback(); err != nil {
			return conclude(p, err, false)
		}
		return conclude(p, nil, false)
	}
	last, err := c.beforeCommit(r, permit.Limited)
	if err == nil {
		err = last.wrong
	}
	if err != nil {
		return c.undo(p, err)
	}
	r.xid = last.xid
	if permit.Limited {
		if err := permit.Spend(last.touched); err != nil {
			return c.undo(p, err)
		}
	}
	out, end, err := c.commitOwn(p)
	out, end, err = c.settled(last.xid, out, end, err)
	out.Touched = last.touched
	return out, end, err
}

// commitOwn ends our own block, and tells what came of it.
func (c *conn) commitOwn(p *pump) (signalbox.Outcome, ending, error) {
	answers, err := c.server.try("COMMIT")
	last := answer{}
	if len(answers) > 0 {
		last = answers[0]
	}
	p.final = last.tag == "COMMIT"
	if err != nil {
		return conclude(p, err, true)
	}
	c.ended()
	switch e := last.failed; {
	case e != nil:
		p.code, p.message, p.held = e.Code, e.Message, nil
		if b, err := e.Encode(nil); err == nil {
			c.client.write(b)
		}
	case !p.final:
		// Nothing had failed, and yet the server rolled back.
		p.code, p.message, p.held = "40000", "the server answered COMMIT with "+last.tag, nil
		c.client.write((&refusal{code: p.code, message: p.message}).encode())
	}
	return conclude(p, nil, true)
}

// A finish is what the server says of a transaction when all of it has run, just
// before its COMMIT.
type finish struct {
	xid     string           // its transaction id; empty: it has none
	touched map[string]int64 // rows by table, where they are measured
	wrong   error            // why it must not become final, although nothing has failed
}

// fence is how long the server waits for the gate between the last look at a
// transaction and its COMMIT. It is below the time after which others take a
// process that does not speak for dead.
const fence = 10 * time.Second

var fenceSQL = fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", fence.Milliseconds())

// xidSQL asks for the transaction's id, in the form that pg_xact_status takes.
const xidSQL = "SELECT COALESCE(pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text, '')"

// beforeCommit has everything run that would run at COMMIT, so that nothing is
// left to happen after the measurement: deferred triggers and constraints. What an
// agent's transaction has touched is then held against what was admitted; last is
// the request that comes with the end, or nil.
//
// From here to the COMMIT the server waits no longer than fence: if this process
// sleeps meanwhile, past its lease perhaps, the backend and the transaction are
// gone when it wakes.
func (c *conn) beforeCommit(last *request, limited bool) (finish, error) {
	measured := limited || c.agent()
	sqls := append(slices.Clone(c.tx.read(false)), fenceSQL)
	if measured {
		sqls = append(sqls, "SET CONSTRAINTS ALL IMMEDIATE", inventorySQL)
	} else {
		sqls = append(sqls, xidSQL)
	}
	answers, err := c.server.ask(sqls...)
	if err != nil {
		return finish{}, err
	}
	said := answers[len(answers)-1]
	if !measured {
		return finish{xid: said.rows[0][0]}, nil
	}
	now, err := c.server.readInventory(said)
	if err != nil {
		return finish{}, err
	}
	end := finish{xid: now.xid}
	end.touched, err = c.audit(now, last)
	over, stray := (*interlock.OverrunError)(nil), (*strayError)(nil)
	if errors.As(err, &over) || errors.As(err, &stray) {
		end.wrong, err = err, nil
	}
	return end, err
}

// undo rolls back what exceeded its ceiling, or what the server refused to go on
// with.
func (c *conn) undo(p *pump, why error) (signalbox.Outcome, ending, error) {
	lost, own, stray := (*lostError)(nil), (*askError)(nil), (*strayError)(nil)
	if errors.As(why, &lost) {
		return conclude(p, why, false)
	}
	if errors.As(why, &stray) {
		// What was provisional has ended without us, one way or the other.
		c.alarm("an agent's transaction was ended by what was never admitted", why.Error())
		return signalbox.Outcome{Result: signalbox.ResultUnknown, Rows: signalbox.CountUnknown},
			ending{failed: true, err: &lostError{err: why, unknown: true}}, why
	}
	if errors.As(why, &own) {
		return c.refusedOwn(why)
	}
	if err := c.rollback(); err != nil {
		return conclude(p, err, false)
	}
	overran := (*interlock.OverrunError)(nil)
	if errors.As(why, &overran) {
		return signalbox.Outcome{}, ending{}, why
	}
	// It could not be measured or charged: undone, and the client is told.
	refuse := (*refusal)(nil)
	if !errors.As(why, &refuse) {
		refuse = &refusal{code: StateUnavailable, message: why.Error(), hint: "Nothing was done."}
	}
	c.client.refuse(refuse)
	return signalbox.Outcome{Result: signalbox.Failed, Code: refuse.code, Detail: refuse.message},
		ending{failed: true}, nil
}
