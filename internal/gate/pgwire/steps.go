package pgwire

import (
	"fmt"
	"strings"
)

// A statement was prepared by Parse or PREPARE.
type statement struct {
	text       string
	types      []uint32
	classified *classified
}

// A portal was made by Bind, or by something that the gate has not seen.
type portal struct {
	statement  *statement
	tail       []byte // the Bind's, kept for portals that outlive their unit
	params     []string
	classified *classified
	admitted   bool // what it runs was admitted: going on with it is the same act
	listed     bool // it is among what its group asks to be admitted
	suspended  bool // a portion of its rows was fetched: what it changed beyond is not told yet
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
	return &refusal{code: "42622", message: fmt.Sprintf("the name %.70q is longer than %d bytes", name, maxName),
		hint: "Choose a shorter one."}
}

func reserved(name string) error {
	return &refusal{code: "42939", message: fmt.Sprintf("the name %q is reserved", name),
		hint: "Choose another that does not begin with \"signalbox \"."}
}
