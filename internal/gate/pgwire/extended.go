package pgwire

import (
	"bytes"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// maxUnit is how long a unit may grow, in bytes, before it is forwarded as if a
// Flush had come: a pipeline without end must not be held whole.
const maxUnit = 1 << 20

// extended serves one unit: messages up to a Sync or a Flush.
func (c *conn) extended() error {
	if c.client.skips {
		return c.skip()
	}
	c.relearned = false
	steps := c.steps[:0]
	off := 0
	end := byte('H')
	for off < maxUnit {
		typ, size, err := c.client.in.at(off)
		if err != nil {
			return err
		}
		if typ == 'S' || typ == 'H' {
			end = typ
			off += size
			break
		}
		if !strings.ContainsRune("PBDEC", rune(typ)) {
			break // not of this protocol: it is served after what came before it
		}
		steps = append(steps, step{typ: typ, off: off, size: size})
		off += size
	}
	if cap(steps) <= lookBack {
		c.steps = steps // the next unit is as long, most likely
	}
	if len(steps) == 0 {
		c.client.in.drop(off)
		if end == 'S' {
			return c.syncOnly()
		}
		return c.client.flush()
	}
	if err := c.prepare(); err != nil {
		r := c.refusalOf(err)
		if r == nil {
			return err
		}
		c.client.in.drop(off)
		c.client.refuse(r)
		c.client.skips = true
		if end == 'S' {
			c.ready()
		}
		return nil
	}
	return c.unit(steps, off, end == 'S')
}

// unit has the steps decided and forwarded, a group at a time: what comes before
// a COMMIT must have run, and be measured, before the COMMIT is decided; and what
// comes behind a statement that changes what names mean is classified when that has
// run.
func (c *conn) unit(steps []step, size int, sync bool) error {
	raw := c.client.in.raw(0, size)
	copied := false
	for len(steps) > 0 && !c.client.skips && !c.awaitsSync {
		n, err := c.group(steps, raw)
		if err == nil && !copied && !(n == len(steps) && c.fast(steps, sync)) {
			// What runs may look back at the client, which moves the buffer.
			raw, copied = append([]byte(nil), raw...), true
			c.client.in.drop(size)
			size = 0
			n, err = c.group(steps, raw)
		}
		if err == nil {
			err = c.openForChanges(steps, n, sync)
		}
		if err != nil {
			if c.refusalOf(err) == nil {
				return err
			}
			if err := c.refuse(err); err != nil {
				return err
			}
			break
		}
		last := n == len(steps)
		if err := c.runGroup(steps[:n], raw, sync && last); err != nil {
			return err
		}
		steps = steps[n:]
		if last || c.client.skips || c.awaitsSync {
			continue
		}
		if err := c.prepare(); err != nil {
			if err := c.refuse(err); err != nil {
				return err
			}
		}
	}
	c.client.in.drop(size)
	if c.awaitsSync {
		c.awaitsSync = false
		if c.server.status == 'I' {
			c.tx.flushed()
		} else {
			c.tx.synced()
		}
		return nil
	}
	if !sync {
		return c.client.flush()
	}
	if p := c.phase(); c.client.skips || p.own() || p == implicit {
		return c.syncOnly()
	}
	c.ready()
	return nil
}

// errNotAlone refuses an agent company for a statement that runs outside of
// transactions: what runs beside it could not be measured, nor undone.
var errNotAlone = &refusal{code: "0A000", message: "a statement that cannot run inside a transaction must be sent by itself", hint: "Send it alone."}

// errNamesChanged refuses an agent to go on after a change that the gate cannot look at
// without ending the implicit transaction.
var errNamesChanged = &refusal{code: "0A000",
	message: "what names mean was changed in an implicit transaction of which a part has run",
	hint:    "Send Sync before it, or open a transaction."}

// openForChanges sees that the gate can ask the server about what the next n steps have
// changed before those behind them are classified: outside of a block it opens one
// around the implicit transaction.
func (c *conn) openForChanges(steps []step, n int, sync bool) error {
	changes, lone := false, false
	for i := range steps[:n] {
		if p := steps[i].portal; p != nil && p.classified != nil && !p.classified.control {
			changes, lone = changes || p.classified.names, lone || p.classified.lone
		}
	}
	more := slices.ContainsFunc(steps[n:], func(s step) bool { return s.typ == 'B' || s.typ == 'E' })
	switch {
	case c.inBlock():
		return nil
	case lone && c.agent() && (more || c.phase() != none):
		return errNotAlone
	case !changes || lone || c.phase().own() || sync && !more:
		return nil
	case c.phase() == implicit && c.agent():
		return errNamesChanged
	case c.phase() == implicit:
		return nil
	}
	return c.openBlock()
}

// fast reports whether a unit only reads, so that its bytes can be forwarded
// from where they were received.
func (*conn) fast(steps []step, sync bool) bool {
	if !sync {
		return false
	}
	for i := range steps {
		switch s := &steps[i]; s.typ {
		case 'B', 'E':
			if s.portal == nil || s.portal.classified == nil {
				return false
			}
			if j := s.portal.classified; j.writes || j.control || j.copyIn {
				return false
			}
		case 'P':
			if s.text != "" {
				return false
			}
		}
	}
	return true
}

// group finds out what the next steps mean, and gives how many of them go
// together: up to an Execute of transaction control, or that Execute alone; up to
// and with an Execute that may change what names, prepared statements or settings
// mean; and no further than to the Bind of something whose meaning depends on what
// has not run yet. All before these steps has run.
func (c *conn) group(steps []step, raw []byte) (int, error) {
	view := overlay{c: c}
	for i := range steps {
		s := &steps[i]
		if err := view.decode(s, raw[s.off+headerSize:s.off+s.size]); err != nil {
			if i > 0 {
				return i, nil // those before it have their turn first
			}
			return 0, err
		}
		view.add(steps[:i+1])
		switch s.typ {
		case 'P':
			if s.name != "" {
				if err := c.roomToPrepare(len(s.statement.text)); err != nil {
					if i > 0 {
						return i, nil
					}
					return 0, err
				}
			}
			if c.agent() {
				// BEGIN is rewritten where it is parsed, so that a prepared one
				// begins what it began for others.
				if j := c.classify(s.statement.text); len(j.Statements) == 1 && j.Statements[0].Kind == sql.KindBegin {
					s.text, _ = readWrite(j.Statements[0])
				}
			}
		case 'B':
			c.classifyPortal(s.portal)
			if s.portal.classified.executes && i > 0 {
				return i, nil
			}
		case 'E':
			if s.portal.classified == nil {
				c.classifyPortal(s.portal)
			}
			switch j := s.portal.classified; {
			case j.control:
				return max(i, 1), nil
			case j.names:
				return i + 1, nil
			}
		}
	}
	return len(steps), nil
}

// runGroup forwards some steps under one decision. Whatever is bound is decided
// as if it were executed: planning it may run code, and a portal that stands on
// the server can be run by more than an Execute.
func (c *conn) runGroup(steps []step, raw []byte, sync bool) error {
	w := &work{sync: sync, readOnly: true, reads: true, neutral: true, queries: true}
	w.expected = c.expected[:0]
	var acts []*portal
	for i := range steps {
		s := &steps[i]
		w.expected = append(w.expected, expectation{typ: s.typ, name: s.name, statement: s.statement, portal: s.portal})
		if s.typ == 'C' {
			w.expected[i].name = string(s.kind) + s.name
		}
		w.replies++
		if s.typ == 'E' {
			w.executes++
		}
		p := s.portal
		if s.typ != 'E' && s.typ != 'B' || p.classified == nil || p.classified.control {
			continue
		}
		j := p.classified
		w.neutral = false
		w.readOnly = w.readOnly && j.readOnly
		w.queries = w.queries && j.queries
		w.reads = w.reads && !j.writes
		if p.admitted || p.listed {
			continue
		}
		p.listed = true
		acts = append(acts, p)
		w.lone = w.lone || j.lone
		w.copyIn = w.copyIn || j.copyIn
		w.holds = w.holds || j.holds
	}
	c.expected = w.expected
	w.raw = pick(steps, raw)
	if s := steps[0]; len(steps) == 1 && s.typ == 'E' && s.portal.classified.control {
		return c.runControl(s.portal, w)
	}
	if len(acts) == 0 {
		// Nothing is run that was not admitted before. An agent's statement that is
		// only parsed and described must not leave an implicit transaction behind,
		// in which a write could not follow.
		w.synced = c.agent() && w.neutral && c.phase() == none &&
			!slices.ContainsFunc(steps, func(s step) bool { return s.typ == 'B' || s.typ == 'E' })
		_, err := c.forward(nil, w)
		c.apply(w.expected[:min(w.confirmed, len(w.expected))])
		return err
	}
	r, err := c.requestOf(acts)
	if err != nil {
		return c.refuse(err)
	}
	_, err = c.perform(r, w)
	c.apply(w.expected[:min(w.confirmed, len(w.expected))])
	return err
}

// pick gives the bytes of steps, which are together in raw unless one of them
// is sent otherwise than it came.
func pick(steps []step, raw []byte) []byte {
	changed := false
	for i := range steps {
		changed = changed || steps[i].text != ""
	}
	first, last := steps[0], steps[len(steps)-1]
	if !changed {
		return raw[first.off : last.off+last.size]
	}
	var b []byte
	for _, s := range steps {
		if s.text != "" {
			b = appendParse(b, s.name, s.text, s.statement.types)
		} else {
			b = append(b, raw[s.off:s.off+s.size]...)
		}
	}
	return b
}

// requestOf makes the one request of what a group executes.
func (c *conn) requestOf(acts []*portal) (*request, error) {
	if len(acts) == 1 && len(acts[0].classified.Statements) == 1 {
		// The common case, without copies of the actions.
		p := acts[0]
		if err := c.checkExecutes(p.classified); err != nil {
			return nil, err
		}
		if err := c.room(p.classified); err != nil {
			return nil, err
		}
		statements := bounds(p.classified)
		for i := range statements {
			statements[i].types, statements[i].tail, statements[i].params = p.statement.types, p.tail, p.params
		}
		return c.newRequest(p.classified.actions, []string{p.statement.text}, statements), nil
	}
	if len(acts) > maxActs {
		return nil, beyond("54000", maxActs, "there are too many statements in one unit", "Send Sync more often.")
	}
	var actions []signalbox.Action
	var texts []string
	var all []bound
	for _, p := range acts {
		if p.classified.lone && c.agent() {
			return nil, errNotAlone
		}
		if err := c.checkExecutes(p.classified); err != nil {
			return nil, err
		}
		if err := c.room(p.classified); err != nil {
			return nil, err
		}
		statements := bounds(p.classified)
		actions = append(actions, p.classified.actions...)
		texts = append(texts, p.statement.text)
		for _, s := range statements {
			s.types, s.tail, s.params = p.statement.types, p.tail, p.params
			all = append(all, s)
		}
	}
	return c.newRequest(actions, texts, all), nil
}

// runControl runs the Execute of a statement of transaction control.
func (c *conn) runControl(p *portal, w *work) error {
	if len(p.classified.Statements) != 1 {
		_, err := c.forward(nil, w) // the server refuses several commands in one Parse
		c.apply(w.expected[:min(w.confirmed, len(w.expected))])
		return err
	}
	_, err := c.control(p.classified.Statements[0], w, p.statement.text)
	c.apply(w.expected[:min(w.confirmed, len(w.expected))])
	return err
}

// apply makes true what the server has confirmed.
func (c *conn) apply(confirmed []expectation) {
	for _, e := range confirmed {
		switch e.typ {
		case 'P':
			c.statements[e.name] = e.statement
			if r := c.classify(e.statement.text, e.statement.types...).Result; len(r.Statements) == 1 {
				c.server.prepared.Prepared(e.name, r.Statements[0], c.server.names.catalog)
			}
		case 'B':
			e.portal.admitted = e.portal.listed
			if c.phase() != none {
				// It outlives the unit, whose bytes do not.
				e.portal.tail = bytes.Clone(e.portal.tail)
				c.portals[e.name] = e.portal
				if j := e.portal.classified; e.name != "" && len(j.Statements) == 1 {
					c.server.prepared.Opened(e.name, j.Statements[0], c.server.names.catalog)
				}
			}
		case 'E':
			if e.portal != nil {
				if e.portal.classified != nil {
					e.portal.admitted = !e.portal.classified.control
					c.noteRan(e.portal.classified)
				}
			}
		case 'C':
			if e.name[0] == 'S' {
				delete(c.statements, e.name[1:])
				c.server.prepared.Forget(e.name[1:])
			} else {
				delete(c.portals, e.name[1:])
				c.server.prepared.Closed(e.name[1:])
			}
		}
	}
}

// skip drops messages up to a Sync, after an error.
func (c *conn) skip() error {
	for {
		typ, size, err := c.client.in.at(0)
		if err != nil {
			return err
		}
		if typ == 'X' {
			return errTerminated
		}
		c.client.in.drop(size)
		if typ == 'S' {
			return c.syncOnly()
		}
	}
}

// syncOnly ends a unit that has nothing more to forward: an implicit
// transaction of which a part has run is ended, and the server's status is told.
func (c *conn) syncOnly() error {
	refused := c.client.skips
	if c.server == nil {
		c.ready()
		return nil
	}
	if p := c.phase(); p.own() || p == implicit {
		w := &work{sync: true}
		switch {
		case refused && p.own():
			if _, err := c.forward(nil, w); err != nil {
				return err
			}
			if err := c.rollback(); err != nil {
				return err
			}
		case !refused && p.own() && len(c.tx.admissions) == 0:
			// Nothing was admitted that writes: see that nothing has.
			if c.agent() {
				if err := c.onlyRead(); err != nil {
					if err := c.refuse(err); err != nil {
						return err
					}
					break
				}
			}
			if _, err := c.server.ask("COMMIT"); err != nil {
				return &lostError{err: err}
			}
			c.ended()
		case !refused && len(c.tx.admissions) > 0:
			r := &request{c: c, from: c.tx.from}
			if _, err := c.execute(c.tx.take(), r, c.finalEffect(r, w)); err != nil {
				return err
			}
		default:
			if _, err := c.forward(nil, w); err != nil {
				return err
			}
		}
		c.tx.synced()
	} else if c.server.skips {
		if _, err := c.forward(nil, &work{sync: true}); err != nil {
			return err
		}
	}
	c.server.skips = false
	if c.server.status == 'I' {
		clear(c.portals)
	}
	c.ready()
	return nil
}
