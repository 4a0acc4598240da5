package pgwire

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// A statement was prepared by Parse or PREPARE.
type statement struct {
	text   string
	types  []uint32
	judged *judged
}

// A portal was made by Bind, or by something that the gate has not seen.
type portal struct {
	statement *statement
	tail      []byte // the Bind's, kept for portals that outlive their unit
	params    []string
	judged    *judged
	admitted  bool // what it runs was admitted: going on with it is the same act
	listed    bool // it is among what its group asks to be admitted
}

// An expectation is one reply that is due for a message of the unit, and what
// it makes true.
type expectation struct {
	typ       byte // of the message
	name      string
	statement *statement
	portal    *portal
	rows      int64
}

// A step is one message of a unit. What its names mean is found out when its
// turn comes: see group.
type step struct {
	typ       byte
	off, size int
	name      string
	kind      byte // of Describe and Close
	statement *statement
	portal    *portal
	text      string // what goes to the server in a Parse's place, if not empty
}

// maxUnit is how long a unit may grow, in bytes, before it is forwarded as if a
// Flush had come: a pipeline without end must not be held whole.
const maxUnit = 1 << 20

// extended serves one unit: messages up to a Sync or a Flush.
func (c *conn) extended() error {
	if c.client.skips {
		return c.skip()
	}
	c.looked = false
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
		r := c.refused(err)
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
// comes behind a statement that changes what names mean is judged when that has
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
			err = c.ordered(steps, n, sync)
		}
		if err != nil {
			if c.refused(err) == nil {
				return err
			}
			if err := c.turnDown(err); err != nil {
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
			if err := c.turnDown(err); err != nil {
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

// errLonely refuses an agent company for a statement that runs outside of
// transactions: what runs beside it could not be measured, nor undone.
var errLonely = &refusal{code: "0A000", message: "a statement that cannot run inside a transaction must be sent by itself", hint: "Send it alone."}

// errUnsettled refuses an agent to go on after a change that the gate cannot look at
// without ending the implicit transaction.
var errUnsettled = &refusal{code: "0A000", message: "what names mean was changed in an implicit transaction of which a part has run", hint: "Send Sync before it, or open a transaction."}

// ordered sees that the gate can ask the server about what the next n steps have
// changed before those behind them are judged: outside of a block it opens one
// around the implicit transaction.
func (c *conn) ordered(steps []step, n int, sync bool) error {
	changes, lone := false, false
	for i := range steps[:n] {
		if p := steps[i].portal; p != nil && p.judged != nil && !p.judged.control {
			changes, lone = changes || p.judged.names, lone || p.judged.lone
		}
	}
	more := slices.ContainsFunc(steps[n:], func(s step) bool { return s.typ == 'B' || s.typ == 'E' })
	switch {
	case c.inBlock():
		return nil
	case lone && c.agent() && (more || c.phase() != none):
		return errLonely
	case !changes || lone || c.phase().own() || sync && !more:
		return nil
	case c.phase() == implicit && c.agent():
		return errUnsettled
	case c.phase() == implicit:
		return nil
	}
	return c.openBlock()
}

// judgePortal classifies what a portal would run, unless names still mean what
// they meant when it was last done.
func (c *conn) judgePortal(p *portal) {
	st := p.statement
	switch {
	case st == nil:
		// Not prepared through this gate: perhaps by a function. What it is,
		// nobody knows.
		p.judged = newJudged(sql.Result{Statements: []sql.Statement{{Action: signalbox.Worst("EXECUTE", "a prepared statement that the gate has not seen")}}, Shape: "?", Fingerprint: "?"}, 0)
		p.statement = &statement{}
	case st.judged == nil || st.judged.version == 0 || st.judged.version != c.server.names.version():
		st.judged = c.judge(st.text)
		fallthrough
	default:
		p.judged = st.judged
	}
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
			if s.portal == nil || s.portal.judged == nil {
				return false
			}
			if j := s.portal.judged; j.writes || j.control || j.copyIn {
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
			if c.agent() {
				// BEGIN is rewritten where it is parsed, so that a prepared one
				// begins what it began for others.
				if j := c.judge(s.statement.text); len(j.Statements) == 1 && j.Statements[0].Kind == sql.KindBegin {
					s.text, _ = readWrite(j.Statements[0])
				}
			}
		case 'B':
			c.judgePortal(s.portal)
			if s.portal.judged.executes && i > 0 {
				return i, nil
			}
		case 'E':
			if s.portal.judged == nil {
				c.judgePortal(s.portal)
			}
			switch j := s.portal.judged; {
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
		if s.typ != 'E' && s.typ != 'B' || p.judged == nil || p.judged.control {
			continue
		}
		j := p.judged
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
	if s := steps[0]; len(steps) == 1 && s.typ == 'E' && s.portal.judged.control {
		return c.runControl(s.portal, w)
	}
	if len(acts) == 0 {
		// Nothing is run that was not admitted before. An agent's statement that is
		// only parsed and described must not leave an implicit transaction behind,
		// in which a write could not follow.
		w.synced = c.agent() && w.neutral && c.phase() == none && !slices.ContainsFunc(steps, func(s step) bool { return s.typ == 'B' || s.typ == 'E' })
		_, err := c.forward(nil, w)
		c.apply(w.expected[:min(w.confirmed, len(w.expected))])
		return err
	}
	r, err := c.requestOf(acts)
	if err != nil {
		return c.turnDown(err)
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

// maxActs bounds the statements of one request: each stands in its intent.
const maxActs = 2000

// requestOf makes the one request of what a group executes.
func (c *conn) requestOf(acts []*portal) (*request, error) {
	if len(acts) == 1 && len(acts[0].judged.Statements) == 1 {
		// The common case, without copies of the actions.
		p := acts[0]
		if err := c.guarded(p.judged); err != nil {
			return nil, err
		}
		statements := bounds(p.judged)
		for i := range statements {
			statements[i].types, statements[i].tail, statements[i].params = p.statement.types, p.tail, p.params
		}
		return c.newRequest(p.judged.actions, []string{p.statement.text}, statements), nil
	}
	if len(acts) > maxActs {
		return nil, &refusal{code: "54000", message: fmt.Sprintf("%d statements in one unit are more than the gate takes: the limit is %d", len(acts), maxActs), hint: "Send Sync more often."}
	}
	var actions []signalbox.Action
	var texts []string
	var all []bound
	for _, p := range acts {
		if p.judged.lone && c.agent() {
			return nil, errLonely
		}
		if err := c.guarded(p.judged); err != nil {
			return nil, err
		}
		statements := bounds(p.judged)
		actions = append(actions, p.judged.actions...)
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
	if len(p.judged.Statements) != 1 {
		_, err := c.forward(nil, w) // the server refuses several commands in one Parse
		c.apply(w.expected[:min(w.confirmed, len(w.expected))])
		return err
	}
	_, err := c.controlled(p.judged.Statements[0], w, p.statement.text)
	c.apply(w.expected[:min(w.confirmed, len(w.expected))])
	return err
}

// apply makes true what the server has confirmed.
func (c *conn) apply(confirmed []expectation) {
	for _, e := range confirmed {
		switch e.typ {
		case 'P':
			c.statements[e.name] = e.statement
			if r := c.judge(e.statement.text).Result; len(r.Statements) == 1 {
				c.server.prepared.Prepared(e.name, r.Statements[0], c.server.names.catalog)
			}
		case 'B':
			e.portal.admitted = e.portal.listed
			if c.phase() != none {
				// It outlives the unit, whose bytes do not.
				e.portal.tail = bytes.Clone(e.portal.tail)
				c.portals[e.name] = e.portal
				if j := e.portal.judged; e.name != "" && len(j.Statements) == 1 {
					c.server.prepared.Opened(e.name, j.Statements[0], c.server.names.catalog)
				}
			}
		case 'E':
			if e.portal != nil {
				if e.portal.judged != nil {
					e.portal.admitted = !e.portal.judged.control
					c.settle(e.portal.judged)
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
// transaction that was begun is settled, and the server's status is told.
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
					if err := c.turnDown(err); err != nil {
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

// An overlay is what names of statements and portals mean within a unit, before
// the server has confirmed them. It looks back over the steps while they are
// few, and keeps maps when they are many.
type overlay struct {
	c          *conn
	steps      []step
	statements map[string]*statement
	portals    map[string]*portal
}

// lookBack is how many steps are searched rather than mapped.
const lookBack = 16

// add takes the last step in.
func (o *overlay) add(steps []step) {
	o.steps = steps
	switch n := len(steps); {
	case n == lookBack+1:
		o.statements, o.portals = make(map[string]*statement), make(map[string]*portal)
		for i := range steps {
			o.put(&steps[i])
		}
	case n > lookBack:
		o.put(&steps[n-1])
	}
}

func (o *overlay) put(s *step) {
	switch {
	case s.typ == 'P':
		o.statements[s.name] = s.statement
	case s.typ == 'B':
		o.portals[s.name] = s.portal
	case s.typ == 'C' && s.kind == 'S':
		o.statements[s.name] = nil
	case s.typ == 'C':
		o.portals[s.name] = nil
	}
}

// statement gives what a name of a statement means here; nil: nothing known.
func (o *overlay) statement(name []byte) *statement {
	if o.statements != nil {
		if st, ok := o.statements[string(name)]; ok {
			return st
		}
	} else {
		for i := len(o.steps) - 1; i >= 0; i-- {
			if s := &o.steps[i]; s.name == string(name) && (s.typ == 'P' || s.typ == 'C' && s.kind == 'S') {
				return s.statement
			}
		}
	}
	st := o.c.statements[string(name)]
	if st == nil {
		if inner, ok := o.c.server.prepared.Lookup(string(name), o.c.server.names.catalog); ok {
			st = &statement{text: inner.Text} // by PREPARE
		}
	}
	return st
}

// portal gives what a name of a portal means here; nil: nothing known.
func (o *overlay) portal(name []byte) *portal {
	if o.portals != nil {
		if p, ok := o.portals[string(name)]; ok {
			return p
		}
	} else {
		for i := len(o.steps) - 1; i >= 0; i-- {
			if s := &o.steps[i]; s.name == string(name) && (s.typ == 'B' || s.typ == 'C' && s.kind == 'P') {
				return s.portal
			}
		}
	}
	return o.c.portals[string(name)]
}

func (o *overlay) decode(s *step, body []byte) error {
	switch s.typ {
	case 'P':
		name, text, types, err := decodeParse(body)
		if err != nil {
			return err
		}
		if strings.HasPrefix(string(name), ownPrefix) {
			return reserved(string(name))
		}
		if len(name) > maxName {
			return tooLong(name)
		}
		s.name, s.statement = string(name), &statement{text: string(text), types: types}
	case 'B':
		name, from, tail, err := decodeBind(body)
		if err != nil {
			return err
		}
		if strings.HasPrefix(string(name), ownPrefix) || strings.HasPrefix(string(from), ownPrefix) {
			return reserved(string(name))
		}
		if len(name) > maxName || len(from) > maxName {
			return tooLong(name)
		}
		st := o.statement(from)
		p := &portal{statement: st, tail: tail}
		if st != nil {
			if o.c.params, _, err = decodeParams(o.c.params[:0], tail); err != nil {
				return err
			}
			p.params = shownParams(o.c.params)
		}
		s.name, s.portal = string(name), p
	case 'E':
		name, _, err := cstring(body)
		if err != nil {
			return fmt.Errorf("execute: %w", err)
		}
		if len(name) > maxName {
			return tooLong(name)
		}
		if s.portal = o.portal(name); s.portal == nil {
			s.portal = &portal{} // made by something else: nobody knows what it is
		}
	case 'D', 'C':
		kind, name, err := decodeTarget(body)
		if err != nil {
			return err
		}
		if strings.HasPrefix(string(name), ownPrefix) {
			return reserved(string(name))
		}
		if len(name) > maxName {
			return tooLong(name)
		}
		s.kind, s.name = kind, string(name)
	}
	return nil
}

// maxName is how much of a name the server looks at: two longer ones that begin
// alike are one to it.
const maxName = 63

func tooLong(name []byte) error {
	return &refusal{code: "42622", message: fmt.Sprintf("the name %.70q is longer than %d bytes", name, maxName), hint: "Choose a shorter one."}
}

func reserved(name string) error {
	return &refusal{code: "42939", message: fmt.Sprintf("the name %q is reserved", name), hint: "Choose another that does not begin with \"signalbox \"."}
}
