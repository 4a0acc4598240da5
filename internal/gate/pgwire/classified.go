package pgwire

import (
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// A classified is a classified text, with what the gate asks of it again and again.
type classified struct {
	sql.Result
	version  uint64 // of the catalog; 0: not to be kept
	actions  []signalbox.Action
	control  bool // has a statement that begins, ends or marks a transaction
	readOnly bool // every statement can run in a READ ONLY transaction
	lone     bool // has a statement that cannot run in a transaction block
	copyIn   bool // the client will send data
	writes   bool // has an action that is no read
	executes bool // has an EXECUTE or FETCH, which means what was prepared or declared last
	queries  bool // nothing but queries, which can run in a READ ONLY transaction
	holds    bool // declares a cursor WITH HOLD
	names    bool // may change what names mean: role, search path, objects
	objects  bool // may change objects, and not only settings
	renames  bool // may give objects or their columns other names
}

func newClassified(r sql.Result, version uint64) *classified {
	j := &classified{Result: r, version: version, actions: r.Actions(), readOnly: r.ReadOnly()}
	j.queries = j.readOnly
	for _, s := range r.Statements {
		switch s.Kind {
		case sql.KindQuery, sql.KindExplain, sql.KindFetch, sql.KindExecute, sql.KindCopyOut, sql.KindDeclare:
		default:
			j.queries = false
		}
		switch s.Kind {
		case sql.KindBegin, sql.KindCommit, sql.KindRollback, sql.KindSavepoint, sql.KindRelease, sql.KindRollbackTo,
			sql.KindPrepareTx:
			j.control = true
		case sql.KindCopyIn:
			j.copyIn = true
		case sql.KindExecute:
			j.names = true
		case sql.KindSet:
			j.names = j.names || !setsTransaction(s)
		case sql.KindDiscard, sql.KindUtility, sql.KindUnknown, sql.KindCommitTx:
			j.names = true
		}
		j.lone = j.lone || s.Lone
		for _, in := range s.Chain() {
			j.holds = j.holds || in.Hold
			j.executes = j.executes || in.Kind == sql.KindExecute || in.Kind == sql.KindFetch
		}
		j.executes = j.executes || s.Inner != nil && s.Inner.Kind == sql.KindExecute
	}
	for _, a := range j.actions {
		if a.Verb != signalbox.Read {
			j.writes, j.queries = true, false
		}
		if a.Has(signalbox.TraitOpaque) || a.Has(signalbox.TraitIdentity) {
			j.names = true
		}
	}
	settings := j.names
	for _, s := range r.Statements {
		switch s.Kind {
		case sql.KindSet, sql.KindShow, sql.KindClose, sql.KindListen, sql.KindUnlisten:
		default:
			// set_config in a query, or in one that a FETCH goes on with.
			j.names = j.names || slices.ContainsFunc(s.Actions(),
				func(a signalbox.Action) bool { return a.Has(signalbox.TraitSession) })
		}
		settings = settings && s.Kind == sql.KindSet
		code := s.Action.Verb == signalbox.Execute && (s.Kind == sql.KindUtility || s.Kind == sql.KindUnknown)
		j.renames = j.renames || code || s.Action.Has(signalbox.TraitRename)
	}
	j.objects = j.names && !settings
	return j
}

// setsTransaction reports whether a SET concerns nothing but the transaction at
// hand. The server must not be asked anything before the next one: modes cannot
// be set behind a query.
func setsTransaction(s sql.Statement) bool {
	words := strings.Fields(strings.ToUpper(s.Text))
	return len(words) > 1 && words[0] == "SET" &&
		(words[1] == "TRANSACTION" || strings.HasPrefix(words[1], "TRANSACTION_"))
}

// classify classifies a text, with what names mean on this connection. A relation
// that the snapshot does not have may have been made a moment ago on another
// connection, a view over a function perhaps: then the server is asked again
// before the text is taken for a read. types are those that its parameters were
// given, by oid.
func (c *conn) classify(text string, types ...uint32) *classified {
	j := c.classifyNow(text, types)
	if !c.agent() || j.writes || c.relearned || !c.inBlock() || c.server.status == 'E' || !c.missing(j) {
		return j // outside of a block its reads run READ ONLY
	}
	c.relearned = true // once for each unit: what is not there stays missing
	c.server.names.stale, c.server.names.objects = true, true
	if err := c.prepare(); err != nil {
		return newClassified(sql.Result{Statements: []sql.Statement{{Action: signalbox.Worst("SELECT",
			"the server does not tell what it reads")}}, Shape: "?", Fingerprint: "?"}, 0)
	}
	return c.classifyNow(text, types)
}

// missing reports whether a text reads a relation that the snapshot does not
// have, and that is not PostgreSQL's own.
func (c *conn) missing(j *classified) bool {
	if c.server.names.catalog == nil {
		return false
	}
	for _, s := range j.Statements {
		for _, name := range s.Reads {
			schema, _, _ := strings.Cut(name, ".")
			if schema == "pg_catalog" || schema == "information_schema" {
				continue
			}
			if _, ok := c.server.names.catalog.Relations[name]; !ok {
				return true
			}
		}
	}
	return false
}

// longText is the length from which a session has its texts parsed one by one.
const longText = 16 << 10

func (c *conn) classifyNow(text string, types []uint32) *classified {
	catalog, version := c.server.names.catalog, c.server.names.version()
	if catalog != nil && len(types) > 0 {
		catalog = catalog.Declare(types)
		version = catalog.Version
	}
	if j := c.classified[text]; j != nil && j.version == version {
		return j
	}
	if len(text) > longText {
		c.at.Turn.Lock()
		defer c.at.Turn.Unlock()
	}
	j := newClassified(c.server.prepared.Classify(text, catalog, c.g.cache), version)
	if len(text) <= 4<<10 && j.version != 0 && !j.executes {
		if c.classified == nil || len(c.classified) >= 256 {
			c.classified = make(map[string]*classified)
		}
		c.classified[text] = j
	}
	return j
}

// classifyPortal classifies what a portal would run, unless names still mean what
// they meant when it was last done.
func (c *conn) classifyPortal(p *portal) {
	st := p.statement
	switch {
	case st == nil:
		// Not prepared through this gate: perhaps by a function. What it is,
		// nobody knows.
		p.classified = newClassified(sql.Result{Statements: []sql.Statement{{Action: signalbox.Worst("EXECUTE",
			"a prepared statement that the gate has not seen")}}, Shape: "?", Fingerprint: "?"}, 0)
		p.statement = &statement{}
	case st.classified == nil || st.classified.version == 0 || st.classified.version != c.server.names.version():
		st.classified = c.classify(st.text, st.types...)
		fallthrough
	default:
		p.classified = st.classified
	}
}
