package pgwire

import (
	"context"
	"errors"
	"fmt"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// finalRun gives what makes w final in an implicit transaction: as it is, or
// within a block of our own where the rows it touches must be measured, or
// where an agent's connection is READ ONLY by default.
func (c *conn) finalRun(r *request, w *work) func(context.Context, Permit) (signalbox.Outcome, error) {
	r.inBlock = func() bool { return !w.lone && (c.agent() || r.state != nil) }
	return func(_ context.Context, permit Permit) (signalbox.Outcome, error) {
		switch {
		case w.lone && c.agent():
			return c.runLone(w, permit)
		case permit.Limited || c.agent() || r.state != nil && !w.lone:
			return c.runBlock(r, w, permit)
		}
		return c.runPlain(w)
	}
}

// runPlain forwards w and reports what the server said.
func (c *conn) runPlain(w *work) (signalbox.Outcome, error) {
	p := &pump{replies: -1, hold: true, quiet: true}
	err := c.send(w, p)
	if err == nil && w.sync && !p.ready {
		err = c.copySync(p)
	}
	return c.conclude(p, err, true)
}

// conclude makes the outcome of a pumped answer, and leaves its held-back end
// for released. final says that a lost connection leaves it unknown.
func (c *conn) conclude(p *pump, err error, final bool) (signalbox.Outcome, error) {
	c.ending.held, c.ending.failed = p.held, p.failed()
	out := signalbox.Outcome{Result: signalbox.Done, Rows: p.rows}
	if p.failed() {
		out = signalbox.Outcome{Result: signalbox.Failed, Code: p.code, Detail: p.message}
	}
	if err == nil {
		return out, nil
	}
	c.ending.err = err
	if errors.Is(err, errFatal) && p.failed() {
		return out, nil // the server said that it failed before it hung up
	}
	if !final {
		return signalbox.Outcome{Result: signalbox.Failed, Code: "08006", Detail: "the connection was lost before COMMIT: the server rolls back"}, nil
	}
	c.ending.unknown = true
	return signalbox.Outcome{Result: signalbox.ResultUnknown, Rows: signalbox.CountUnknown}, err
}

// runLone forwards a statement that PostgreSQL refuses in a transaction block,
// with the READ ONLY default lifted around it.
func (c *conn) runLone(w *work, permit Permit) (signalbox.Outcome, error) {
	// It stands alone, and such statements touch no rows: see errLonely.
	if err := permit.Spend(nil); err != nil {
		return signalbox.Outcome{}, err
	}
	if _, err := c.ask("SET " + readOnlyGUC + " = off"); err != nil {
		return c.conclude(&pump{}, err, false)
	}
	out, err := c.runPlain(w)
	if c.ending.err == nil {
		if _, aerr := c.ask("SET " + readOnlyGUC + " = on"); aerr != nil {
			c.ending.err = aerr
		}
	}
	return out, err
}

// runBlock runs w between BEGIN and COMMIT of our own, and measures what it
// touched before the COMMIT.
func (c *conn) runBlock(r *request, w *work, permit Permit) (signalbox.Outcome, error) {
	if !c.tx.opened {
		if _, err := c.ask("BEGIN READ WRITE"); err != nil {
			return c.conclude(&pump{}, err, false)
		}
		c.tx.opened = true
		c.tx.changed = 0
	}
	if d, err := c.stillSo(r, permit.Still); err != nil {
		return c.conclude(&pump{}, err, false)
	} else if d != "" {
		return c.undo(&pump{}, fmt.Errorf("what was approved has changed: %s", d))
	}
	if permit.Limited && c.tx.base == nil {
		base, err := c.touched()
		if err != nil {
			return c.conclude(&pump{}, err, false)
		}
		c.tx.base = base
	}
	p := &pump{replies: -1, hold: true, quiet: true}
	inner := *w
	if len(w.raw) > 0 {
		err := c.send(&inner, p)
		if err == nil && w.sync && !p.ready {
			err = c.copySync(p)
		}
		if err != nil {
			return c.conclude(p, err, false)
		}
	}
	c.tx.changed += p.changed
	if p.failed() {
		if err := c.rollback(); err != nil {
			return c.conclude(p, err, false)
		}
		return c.conclude(p, nil, false)
	}
	var touched map[string]int64
	if permit.Limited {
		var err error
		if touched, err = c.measure(); err == nil {
			err = permit.Spend(touched)
		}
		if err != nil {
			return c.undo(p, err)
		}
	}
	answers, err := c.ask("COMMIT")
	if err != nil {
		return c.conclude(p, err, true)
	}
	c.ended()
	if e := answers[0].failed; e != nil {
		p.code, p.message, p.held = e.Code, e.Message, nil
		if b, err := e.Encode(nil); err == nil {
			c.out.write(b)
		}
	}
	out, err := c.conclude(p, nil, true)
	out.Touched = touched
	return out, err
}

// undo rolls back what exceeded its ceiling.
func (c *conn) undo(p *pump, why error) (signalbox.Outcome, error) {
	lost := (*lostError)(nil)
	if errors.As(why, &lost) {
		return c.conclude(p, why, false)
	}
	if err := c.rollback(); err != nil {
		return c.conclude(p, err, false)
	}
	overran := (*interlock.OverrunError)(nil)
	if errors.As(why, &overran) {
		return signalbox.Outcome{}, why
	}
	// It could not be measured or charged: undone, and the client is told.
	c.out.write((&refusal{code: StateUnavailable, message: why.Error(), hint: "Nothing was done."}).encode())
	c.ending.failed = true
	return signalbox.Outcome{Result: signalbox.Failed, Code: StateUnavailable, Detail: why.Error()}, nil
}

// copySync waits for the Sync that a client sends after a COPY in the extended
// protocol: the one before it was taken for part of the COPY.
func (c *conn) copySync(p *pump) error {
	c.awaitsSync = false
	for {
		typ, size, err := c.in.at(0)
		if err != nil {
			return err
		}
		if typ != 'S' && typ != 'H' {
			return fmt.Errorf("%w: message of type %q where a Sync was due after COPY", errProtocol, typ)
		}
		c.in.drop(size)
		if typ == 'S' {
			break
		}
	}
	c.discard, c.skips = false, false
	c.up.out = appendSync(c.up.out)
	if err := c.up.send(); err != nil {
		return &lostError{err}
	}
	p.replies, p.block = -1, false
	return p.run(c)
}
