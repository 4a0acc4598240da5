package sql

// A Session knows the statements that one connection prepared, so that EXECUTE
// is judged as what it runs. PREPARE and the extended protocol's Parse share one
// space of names. The zero value is ready. It is not safe for concurrent use.
//
// The gate reports what succeeded at the server, and only that: a PREPARE that
// failed leaves the name to the statement that it had.
type Session struct {
	prepared map[string]prepared
}

type prepared struct {
	text    string
	kind    Kind
	version uint64
	known   bool // version is a catalog's
	inner   Statement
}

// Classify is [Classify] with the session's prepared statements, through c if
// that is not nil.
func (s *Session) Classify(text string, cat *Catalog, c *Cache) Result {
	return c.classify(text, cat, func(name string) (Statement, bool) { return s.Lookup(name, cat) })
}

// Prepared notes that st was prepared under name: st is a PREPARE, or the
// statement of a Parse message. cat is the catalog that it was judged with.
func (s *Session) Prepared(name string, st Statement, cat *Catalog) {
	p := prepared{text: st.Text, kind: st.Kind, inner: st}
	if st.Kind == KindPrepare && st.Inner != nil {
		p.inner = *st.Inner
	}
	if cat != nil {
		p.version, p.known = cat.Version, true
	}
	if s.prepared == nil {
		s.prepared = map[string]prepared{}
	}
	s.prepared[name] = p
}

// Forget notes that a prepared statement is gone (DEALLOCATE, Close).
func (s *Session) Forget(name string) { delete(s.prepared, name) }

// ForgetAll notes that all prepared statements are gone (DEALLOCATE ALL, DISCARD ALL).
func (s *Session) ForgetAll() { s.prepared = nil }

// Lookup gives the statement that a name stands for, judged with cat: names in
// it may mean something else than when it was prepared.
func (s *Session) Lookup(name string, cat *Catalog) (Statement, bool) {
	p, ok := s.prepared[name]
	if !ok {
		return Statement{}, false
	}
	if cat == nil || p.known && p.version == cat.Version && p.version != 0 {
		return p.inner, true
	}
	r := Classify(p.text, cat)
	if len(r.Statements) != 1 {
		return Statement{}, false
	}
	st := r.Statements[0]
	if p.kind == KindPrepare {
		if st.Inner == nil {
			return Statement{}, false
		}
		st = *st.Inner
	}
	s.Prepared(name, r.Statements[0], cat)
	return st, true
}
