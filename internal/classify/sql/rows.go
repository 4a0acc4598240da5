package sql

import (
	"math"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// outerColumn reports whether what a subquery gives may be the target's own
// column: PostgreSQL looks outside for a name that the inner relation lacks, and
// then the condition holds for every row.
func outerColumn(q *pg.SelectStmt, col string, t target) bool {
	if len(q.GetTargetList()) != 1 || len(q.GetFromClause()) == 0 {
		return false
	}
	rt, _ := pgtree.Unwrap(q.GetTargetList()[0]).(*pg.ResTarget)
	ref, ok := pgtree.Unwrap(rt.GetVal()).(*pg.ColumnRef)
	if !ok || len(ref.GetFields()) != 1 || dotted(nameParts(ref.GetFields())) != col {
		return false
	}
	if col == "id" && !t.known {
		return false // nearly every table has one
	}
	for _, n := range q.GetFromClause() {
		if v, ok := pgtree.Unwrap(n).(*pg.RangeVar); ok && v.GetRelname() == t.name {
			return false
		}
	}
	return true
}

// rows says how many rows a query can give, as far as it shows.
func (j *judge) rows(q *pg.SelectStmt) selection {
	if q == nil {
		return selection{rank: rankAll}
	}
	s := j.rowsWithoutLimit(q)
	if n := pgtree.Unwrap(q.GetLimitCount()); n != nil {
		j.constant()
		if k, ok := n.(*pg.A_Const); ok && k.GetIval() != nil && !k.GetIsnull() {
			limit := int64(k.GetIval().GetIval())
			if limit <= shortSpan && (s.count == 0 || limit < s.count) {
				return selection{rank: min(s.rank, rankBounded), count: limit}
			}
		}
	}
	return s
}

func (j *judge) rowsWithoutLimit(q *pg.SelectStmt) selection {
	if n := len(q.GetValuesLists()); n > 0 {
		return selection{rank: rankBounded, count: int64(n)}
	}
	if q.GetLarg() != nil {
		a, b := j.rows(q.GetLarg()), j.rows(q.GetRarg())
		s := selection{rank: max(a.rank, b.rank)}
		if a.count > 0 && b.count > 0 {
			s.count = a.count + b.count
		}
		return s
	}
	from := q.GetFromClause()
	if setReturning(q.GetTargetList()) {
		return selection{rank: rankRange}
	}
	if len(from) == 0 {
		return selection{rank: rankKey, count: 1}
	}
	if len(q.GetGroupClause()) == 0 && onlyAggregates(q.GetTargetList()) {
		return selection{rank: rankKey, count: 1}
	}
	if len(from) > 1 {
		return selection{rank: rankRange}
	}
	switch f := pgtree.Unwrap(from[0]).(type) {
	case *pg.RangeVar:
		return j.selects(q.GetWhereClause(), j.targetOf(f, nil))
	case *pg.RangeSubselect:
		sub, _ := pgtree.Unwrap(f.GetSubquery()).(*pg.SelectStmt)
		return j.rows(sub)
	case *pg.RangeFunction:
		return j.series(f)
	}
	return selection{rank: rankRange}
}

// series counts generate_series of constants, and takes unnest of parameters or
// constants for a list that the caller sent.
func (j *judge) series(f *pg.RangeFunction) selection {
	if len(f.GetFunctions()) != 1 {
		return selection{rank: rankRange}
	}
	list, ok := pgtree.Unwrap(f.GetFunctions()[0]).(*pg.List)
	if !ok || len(list.GetItems()) == 0 {
		return selection{rank: rankRange}
	}
	call, ok := pgtree.Unwrap(list.GetItems()[0]).(*pg.FuncCall)
	if !ok {
		return selection{rank: rankRange}
	}
	args := call.GetArgs()
	switch dotted(nameParts(call.GetFuncname())) {
	case "generate_series", "pg_catalog.generate_series":
		if len(args) < 2 {
			break
		}
		lo, hi := j.bound(pgtree.Unwrap(args[0])), j.bound(pgtree.Unwrap(args[1]))
		if lo.kind == 'n' && hi.kind == 'n' && hi.number >= lo.number && hi.number-lo.number < math.MaxInt32 {
			n := hi.number - lo.number + 1
			if n <= 100 {
				return selection{rank: rankBounded, count: n}
			}
			return selection{rank: rankRange, count: n}
		}
	case "unnest", "pg_catalog.unnest":
		for _, a := range args {
			if anyColumn(pgtree.Unwrap(a)) {
				return selection{rank: rankRange}
			}
		}
		return selection{rank: rankBounded, ref: true}
	}
	return selection{rank: rankRange}
}

// anyColumn reports whether an expression names a column or holds a subquery.
func anyColumn(m any) bool {
	found := false
	var visit func(any)
	visit = func(m any) {
		switch m.(type) {
		case *pg.ColumnRef, *pg.SubLink:
			found = true
			return
		}
		if !found {
			pgtree.Children(m, visit)
		}
	}
	if m != nil {
		visit(m)
	}
	return found
}

// setReturning reports whether a target list multiplies rows.
func setReturning(targets []*pg.Node) bool {
	found := false
	var visit func(any)
	visit = func(m any) {
		if call, ok := m.(*pg.FuncCall); ok {
			switch parts := nameParts(call.GetFuncname()); parts[len(parts)-1] {
			case "generate_series", "generate_subscripts", "unnest", "regexp_matches", "regexp_split_to_table",
				"string_to_table",
				"json_array_elements", "jsonb_array_elements", "json_array_elements_text",
				"jsonb_array_elements_text", "json_each", "jsonb_each",
				"json_each_text", "jsonb_each_text", "json_object_keys", "jsonb_object_keys", "jsonb_path_query",
				"jsonb_path_query_tz", "_pg_expandarray",
				"json_to_recordset", "jsonb_to_recordset", "json_populate_recordset", "jsonb_populate_recordset":
				found = true
			}
		}
		if _, sub := m.(*pg.SelectStmt); !sub && !found {
			pgtree.Children(m, visit)
		}
	}
	for _, n := range targets {
		if m := pgtree.Unwrap(n); m != nil {
			visit(m)
		}
	}
	return found
}

func onlyAggregates(targets []*pg.Node) bool {
	for _, n := range targets {
		rt, ok := pgtree.Unwrap(n).(*pg.ResTarget)
		if !ok {
			return false
		}
		call, ok := pgtree.Unwrap(rt.GetVal()).(*pg.FuncCall)
		if !ok || call.GetOver() != nil {
			return false
		}
		switch parts := nameParts(call.GetFuncname()); parts[len(parts)-1] {
		case "min", "max", "count", "sum", "avg":
		default:
			return false
		}
	}
	return len(targets) > 0
}
