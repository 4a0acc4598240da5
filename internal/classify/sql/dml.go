package sql

import (
	"fmt"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// query judges a SELECT or VALUES at any depth.
func (j *judge) query(q *pg.SelectStmt) {
	defer j.with(q.GetWithClause())()
	outer := j.row
	j.row = settingsRow(q)
	defer func() { j.row = outer }()
	if into := q.GetIntoClause(); into != nil {
		j.into(into, "SELECT INTO", j.rows(q))
	}
	j.secretOutput(q.GetTargetList(), q.GetFromClause())
	if !pgtree.Children(q, func(m any) {
		switch m.(type) {
		case *pg.WithClause, *pg.IntoClause:
			return // judged above
		}
		j.walk(m)
	}) {
		j.unknown("unknown kind of query")
	}
}

// with judges the CTEs of a statement and makes their names known. The caller
// calls what it returns when the statement ends.
func (j *judge) with(w *pg.WithClause) func() {
	if w == nil {
		return func() {}
	}
	names := map[string]bool{}
	outer := j.scopes
	j.scopes = append(outer[:len(outer):len(outer)], names)
	if w.GetRecursive() {
		for _, n := range w.GetCtes() {
			if c, ok := pgtree.Unwrap(n).(*pg.CommonTableExpr); ok {
				names[c.GetCtename()] = true
			}
		}
	}
	for _, n := range w.GetCtes() {
		j.walk(pgtree.Unwrap(n))
		if c, ok := pgtree.Unwrap(n).(*pg.CommonTableExpr); ok {
			names[c.GetCtename()] = true
		}
	}
	return func() { j.scopes = outer }
}

// into judges the table that a query fills.
func (j *judge) into(into *pg.IntoClause, native string, s selection) {
	res, _, temp := j.table(into.GetRel())
	kind := "table"
	if native == "CREATE MATERIALIZED VIEW" {
		kind = "materialized view"
	}
	a := signalbox.Action{
		Verb: signalbox.Create, Native: native,
		Resources: []signalbox.Resource{{Type: kind, Name: res.Name, Whole: true}},
		Impact:    signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: true},
		Traits:    []signalbox.Trait{signalbox.TraitCopy},
		Reason:    "makes a table of what a query gives",
	}
	if temp {
		a.Traits = append(a.Traits, signalbox.TraitTemporary)
		j.remember(into.GetRel())
	}
	j.mayShadow(&a, into.GetRel())
	if native == "SELECT INTO" {
		j.constant()
		inForm(&a, formOf(into, "CREATE TABLE AS"))
	}
	j.writes = append(j.writes, res.Name)
	j.effect(a)
}

// remember notes a temporary table that this text makes.
func (j *judge) remember(v *pg.RangeVar) {
	j.temp = with(j.temp, v.GetRelname(), true)
}

// with gives a copy of m with one more entry: judges of inner statements share
// their batch's maps.
func with[V any](m map[string]V, key string, v V) map[string]V {
	c := make(map[string]V, len(m)+1)
	for k, old := range m {
		c[k] = old
	}
	c[key] = v
	return c
}

// write makes the action of a change to a relation's rows.
func (j *judge) write(verb signalbox.Verb, native string, v *pg.RangeVar, s selection) *signalbox.Action {
	j.ranges = true
	res, r, temp := j.table(v)
	a := signalbox.Action{Verb: verb, Native: native, Resources: []signalbox.Resource{res}}
	a.Impact, a.Traits = s.impact()
	if verb == signalbox.Delete {
		a.Impact.Reversible = false
	}
	temp = temp && j.passing(res.Name, r)
	if temp {
		a.Traits = append(a.Traits, signalbox.TraitTemporary)
	}
	j.writes = append(j.writes, res.Name)
	a.Reason = selectionReason(native, s)
	if r != nil {
		if len(r.Base) > 0 {
			for _, base := range r.Base {
				a.Resources = append(a.Resources, signalbox.Resource{Type: "table", Name: base})
			}
			j.writes = append(j.writes, r.Base...)
		}
		if len(r.Cascades) > 0 && verb != signalbox.Create {
			a.Traits = addTrait(a.Traits, signalbox.TraitCascade)
			for _, name := range r.Cascades {
				a.Resources = append(a.Resources, signalbox.Resource{Type: "table", Name: name})
			}
			j.writes = append(j.writes, r.Cascades...)
		}
		j.viewCalls(r) // a condition on the view, or RETURNING, computes its columns
		if r.Rules || r.Triggers && r.Kind == 'v' {
			a.Traits = addTrait(a.Traits, signalbox.TraitOpaque)
			a.Reason += "; rules or triggers of the relation decide what is really done"
		}
	}
	if isSystem(res.Name) && !temp {
		a.Verb = signalbox.Safeguard
		a.Traits = append(a.Traits, signalbox.TraitTop)
		a.Impact.Reversible = false
		a.Reason = "writes to PostgreSQL's own catalog"
	} else if isAudit(res.Name) && (verb == signalbox.Delete || verb == signalbox.Update) {
		j.auditLoss(native, res)
	}
	return j.effect(a)
}

// auditLoss adds that evidence is changed or lost.
func (j *judge) auditLoss(native string, res signalbox.Resource) {
	j.effect(signalbox.Action{
		Verb: signalbox.Safeguard, Native: native, Resources: []signalbox.Resource{res},
		Impact: signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeSome},
		Reason: "the relation's name says that it keeps an audit trail",
	})
}

func selectionReason(native string, s selection) string {
	switch s.rank {
	case rankNone:
		return native + " whose condition is never true"
	case rankKey:
		return native + " of rows named by a key"
	case rankBounded:
		return native + " of a bounded selection"
	case rankRange:
		return native + " of a selection open on a side"
	}
	return native + " without a condition that leaves anything out"
}

func (j *judge) insert(x *pg.InsertStmt) {
	j.settled = true
	defer j.with(x.GetWithClause())()
	q, _ := pgtree.Unwrap(x.GetSelectStmt()).(*pg.SelectStmt)
	s := selection{rank: rankKey, count: 1} // DEFAULT VALUES
	if q != nil {
		s = j.rows(q)
	}
	verb := signalbox.Create
	native := "INSERT"
	conflict := x.GetOnConflictClause()
	if conflict.GetAction() == pg.OnConflictAction_ONCONFLICT_UPDATE {
		verb, native = signalbox.Update, "INSERT ON CONFLICT DO UPDATE"
	}
	res, _, _ := j.table(x.GetRelation())
	w := s
	w.rank, w.ref = rankBounded, true
	if s.rank == rankKey {
		w.rank = rankKey
	}
	if s.count == 1 {
		w.rank = rankKey
	}
	a := j.write(verb, native, x.GetRelation(), w)
	a.Impact.Reversible = a.Verb != signalbox.Safeguard
	a.Reason = native + " of " + countText(s.count)
	if s.rank >= rankRange || s.rank == rankBounded && s.count == 0 && !s.ref {
		a.Traits = dropTrait(a.Traits, signalbox.TraitByKey)
		a.Traits = append(a.Traits, signalbox.TraitBulk)
		a.Reason = native + " of as many rows as a query gives"
		if verb == signalbox.Update {
			a.Impact.Reversible = false
			a.Impact.Scope = signalbox.ScopeUnknown
			if s.rank == rankAll && readsFrom(q, res.Name) {
				a.Impact.Scope = signalbox.ScopeAll
				a.Traits = append(a.Traits, signalbox.TraitUnscoped)
			}
		}
	}
	j.walk(pgtree.Unwrap(x.GetSelectStmt()))
	if conflict != nil {
		j.walk(conflict)
	}
	j.walkAll(x.GetCols())
	j.secretOutput(x.GetReturningList(), nil)
	j.walkAll(x.GetReturningList())
}

func countText(n int64) string {
	switch n {
	case 0:
		return "an unknown number of rows"
	case 1:
		return "one row"
	}
	return fmt.Sprintf("%d rows", n)
}

func dropTrait(ts []signalbox.Trait, t signalbox.Trait) []signalbox.Trait {
	var kept []signalbox.Trait
	for _, have := range ts {
		if have != t {
			kept = append(kept, have)
		}
	}
	return kept
}

// readsFrom reports whether a query's only relation is the named one.
func readsFrom(q *pg.SelectStmt, name string) bool {
	if len(q.GetFromClause()) != 1 {
		return false
	}
	v, ok := pgtree.Unwrap(q.GetFromClause()[0]).(*pg.RangeVar)
	return ok && (v.GetRelname() == name || strings.HasSuffix(name, "."+v.GetRelname()))
}

func (j *judge) update(x *pg.UpdateStmt) {
	j.settled = true
	defer j.with(x.GetWithClause())()
	t := j.targetOf(x.GetRelation(), x.GetFromClause())
	j.write(signalbox.Update, "UPDATE", x.GetRelation(), j.selects(x.GetWhereClause(), t))
	j.walkAll(x.GetTargetList())
	j.walkAll(x.GetFromClause())
	j.walk(pgtree.Unwrap(x.GetWhereClause()))
	j.secretOutput(x.GetReturningList(), nil)
	j.walkAll(x.GetReturningList())
}

func (j *judge) delete(x *pg.DeleteStmt) {
	j.settled = true
	defer j.with(x.GetWithClause())()
	t := j.targetOf(x.GetRelation(), x.GetUsingClause())
	j.write(signalbox.Delete, "DELETE", x.GetRelation(), j.selects(x.GetWhereClause(), t))
	j.walkAll(x.GetUsingClause())
	j.walk(pgtree.Unwrap(x.GetWhereClause()))
	j.secretOutput(x.GetReturningList(), nil)
	j.walkAll(x.GetReturningList())
}

func (j *judge) merge(x *pg.MergeStmt) {
	j.settled = true
	defer j.with(x.GetWithClause())()
	t := j.targetOf(x.GetRelation(), []*pg.Node{x.GetSourceRelation()})
	s := j.selects(x.GetJoinCondition(), t)
	for _, n := range x.GetMergeWhenClauses() {
		when, ok := pgtree.Unwrap(n).(*pg.MergeWhenClause)
		if !ok {
			continue
		}
		part := s
		if when.GetMatchKind() == pg.MergeMatchKind_MERGE_WHEN_NOT_MATCHED_BY_SOURCE {
			part = selection{rank: rankAll}
		}
		switch when.GetCommandType() {
		case pg.CmdType_CMD_INSERT:
			in := selection{rank: rankBounded, ref: true, count: s.count}
			if s.rank == rankKey {
				in.rank = rankKey
			}
			a := j.write(signalbox.Create, "MERGE INSERT", x.GetRelation(), in)
			a.Impact.Reversible = true
			if s.rank >= rankRange {
				a.Traits = append(dropTrait(a.Traits, signalbox.TraitByKey), signalbox.TraitBulk)
			}
		case pg.CmdType_CMD_UPDATE:
			j.write(signalbox.Update, "MERGE UPDATE", x.GetRelation(), part)
		case pg.CmdType_CMD_DELETE:
			j.write(signalbox.Delete, "MERGE DELETE", x.GetRelation(), part)
		case pg.CmdType_CMD_NOTHING:
		default:
			j.unknown("unknown part of a MERGE")
		}
		j.walk(when)
	}
	j.walk(pgtree.Unwrap(x.GetSourceRelation()))
	j.walk(pgtree.Unwrap(x.GetJoinCondition()))
	j.secretOutput(x.GetReturningList(), nil)
	j.walkAll(x.GetReturningList())
}
