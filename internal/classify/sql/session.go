package sql

// A Session knows the statements that one connection prepared, so that EXECUTE
// is judged as what it runs. PREPARE and the extended protocol's Parse share one
// space of names. The zero value is ready. It is not safe for concurrent use.
//
// The gate reports what succeeded at the server, and only that: a PREPARE that
// failed leaves the name to the statement that it had.
type Session struct {
	prepared map[string]prepared
	cursors  map[string]prepared
	size     int // bytes of the prepared texts
}

type prepared struct {
	text    string
	kind    Kind
	version uint64
	known   bool // version is a catalog's
	inner   Statement
}

// Classify is [Classify] with the session's prepared statements and cursors,
// through c if that is not nil.
func (s *Session) Classify(text string, cat *Catalog, c *Cache) Result {
	return c.classify(text, cat, s.lookup(cat, maxNested, weight(text) > 0))
}

// maxNested is how many prepared statements may run one another, before nobody
// follows them any more: one can be an EXECUTE of itself.
const maxNested = 4

// lookup looks names up for a text, which has a turn of its own or not: see inTurn.
func (s *Session) lookup(cat *Catalog, depth int, turn bool) lookup {
	return func(name string, cursor bool) (Statement, bool) {
		known := s.prepared
		if cursor {
			known = s.cursors
		}
		p, ok := known[name]
		if !ok || depth == 0 {
			return Statement{}, false
		}
		st, fresh, ok := s.judged(p, cat, depth-1, turn)
		if ok && fresh.text != "" {
			known[name] = fresh
		}
		return st, ok
	}
}

// Prepared notes that st was prepared under name: st is a PREPARE, or the
// statement of a Parse message. cat is the catalog that it was judged with.
func (s *Session) Prepared(name string, st Statement, cat *Catalog) {
	if s.prepared == nil {
		s.prepared = map[string]prepared{}
	}
	s.Forget(name)
	s.prepared[name] = kept(st, cat)
	s.size += len(st.Text)
}

// Size is how many statements are prepared, and how many bytes their texts have.
func (s *Session) Size() (statements, bytes int) { return len(s.prepared), s.size }

// Opened notes that a cursor or portal was opened: st is a DECLARE, or the
// statement that a Bind names. FETCH and MOVE of it are judged as st.
func (s *Session) Opened(name string, st Statement, cat *Catalog) {
	if s.cursors == nil {
		s.cursors = map[string]prepared{}
	}
	s.cursors[name] = kept(st, cat)
}

// Closed notes that a cursor or portal is gone.
func (s *Session) Closed(name string) { delete(s.cursors, name) }

// ClosedAll notes that all cursors and portals are gone.
func (s *Session) ClosedAll() { s.cursors = nil }

func kept(st Statement, cat *Catalog) prepared {
	p := prepared{text: st.Text, kind: st.Kind, inner: st}
	if st.Inner != nil && (st.Kind == KindPrepare || st.Kind == KindDeclare) {
		p.inner = *st.Inner
	}
	if cat != nil {
		p.version, p.known = cat.Version, true
	}
	return p
}

// Forget notes that a prepared statement is gone (DEALLOCATE, Close).
func (s *Session) Forget(name string) {
	s.size -= len(s.prepared[name].text)
	delete(s.prepared, name)
}

// ForgetAll notes that all prepared statements are gone (DEALLOCATE ALL, DISCARD ALL).
func (s *Session) ForgetAll() { s.prepared, s.size = nil, 0 }

// Lookup gives the statement that a name stands for, judged with cat: names in
// it may mean something else than when it was prepared.
func (s *Session) Lookup(name string, cat *Catalog) (Statement, bool) {
	return s.lookup(cat, maxNested, false)(name, false)
}

// judged judges again what is kept, if names in it may mean something else by
// now. fresh is what to keep instead, empty if that is as it was.
func (s *Session) judged(p prepared, cat *Catalog, depth int, turn bool) (st Statement, fresh prepared, ok bool) {
	// One that runs others means what they mean now.
	nested := p.inner.Runs != nil || p.inner.Kind == KindFetch
	if !nested && (cat == nil || p.known && p.version == cat.Version && p.version != 0) {
		return p.inner, prepared{}, true
	}
	var r Result
	within(p.text, turn, func() {
		r, _, _ = classify(p.text, cat, lexed(p.text, nil), s.lookup(cat, depth, turn || weight(p.text) > 0))
	})
	if len(r.Statements) != 1 {
		return Statement{}, prepared{}, false
	}
	whole := r.Statements[0]
	if (p.kind == KindPrepare || p.kind == KindDeclare) && whole.Inner == nil {
		return Statement{}, prepared{}, false
	}
	fresh = kept(whole, cat)
	return fresh.inner, fresh, true
}
