package sql

import (
	"math"
	"strconv"
	"strings"
	"time"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// A rank orders conditions by how much they let through, as far as the request
// shows it.
type rank int

const (
	rankNone    rank = iota // nothing: always false
	rankKey                 // rows named by a key
	rankBounded             // a selection with an end: equality, a short interval, a LIMIT
	rankRange               // open on a side, a pattern, a negation, a computation
	rankAll                 // everything: missing, always true, or says nothing of the rows
)

// shortSpan is the longest interval of a numbered key that counts as bounded.
const shortSpan = 10_000

// shortTime is the longest interval of time that counts as bounded.
const shortTime = 31 * 24 * time.Hour

// A cond is what a condition says about the rows of a target.
type cond struct {
	rank  rank
	count int64            // rows at most, where the rank is key or bounded; 0 if not known
	eq    map[string]int64 // columns bound by equality, with the number of alternatives; 0 if not known
	lo    map[string]bound
	hi    map[string]bound
	links []link          // equalities between the target's columns and others'
	other map[string]rank // what it says of joined relations
}

type link struct{ column, table string }

// A bound is one end of an interval.
type bound struct {
	number int64
	moment time.Time
	kind   byte // 'n' number, 't' moment, 0 neither
}

// A selection is what the WHERE of a statement comes to.
type selection struct {
	rank  rank
	count int64 // rows at most; 0 if not known
	ref   bool  // by equality with something that few rows belong to
}

// selects says what part of a target's rows a WHERE lets through.
func (j *judge) selects(where *pg.Node, t target) selection {
	m := pgtree.Unwrap(where)
	if m == nil {
		return selection{rank: rankAll}
	}
	return t.resolve(j.cond(m, t))
}

// resolve weighs all that a condition says.
func (t target) resolve(c cond) selection {
	s := selection{rank: c.rank, count: c.count}
	if c.rank == rankNone {
		return s
	}
	if n, ok := t.keyed(c.eq); ok && s.rank >= rankKey {
		return selection{rank: rankKey, count: n}
	}
	if len(c.eq) > 0 && s.rank > rankBounded {
		s = selection{rank: rankBounded}
		for col := range c.eq {
			s.ref = s.ref || isReference(col)
		}
	}
	for col, lo := range c.lo {
		if hi, ok := c.hi[col]; ok && s.rank > rankBounded {
			if n, ok := span(lo, hi, t.isKeyColumn(col)); ok {
				s = selection{rank: rankBounded, count: n}
			}
		}
	}
	if s.rank <= rankBounded {
		return s
	}
	for _, l := range c.links {
		o, ok := t.joined[l.table]
		if !ok {
			continue
		}
		r, rows := o.rank, o.rows
		if said, ok := c.other[l.table]; ok && said < r {
			r, rows = said, 0
		}
		if r > rankBounded {
			continue
		}
		if t.isKeyColumn(l.column) {
			return selection{rank: rankKey, count: rows}
		}
		s = selection{rank: rankBounded}
	}
	return s
}

func span(lo, hi bound, key bool) (int64, bool) {
	switch {
	case lo.kind == 'n' && hi.kind == 'n' && key:
		n := hi.number - lo.number + 1
		if n < 0 {
			n = 0
		}
		return n, hi.number-lo.number >= -1 && n <= shortSpan
	case lo.kind == 't' && hi.kind == 't':
		d := hi.moment.Sub(lo.moment)
		return 0, d <= shortTime
	}
	return 0, false
}

func always() cond { return cond{rank: rankAll} }
func never() cond  { return cond{rank: rankNone} }

// cond weighs an expression that stands as a condition.
func (j *judge) cond(m any, t target) cond {
	j.depth++
	defer func() { j.depth-- }()
	if j.depth > maxDepth {
		j.unknown("nested too deep")
		return always()
	}
	switch x := m.(type) {
	case *pg.A_Const:
		return j.truth(x)
	case *pg.TypeCast:
		if parts := nameParts(x.GetTypeName().GetNames()); len(parts) > 0 && parts[len(parts)-1] == "bool" {
			if k, ok := pgtree.Unwrap(x.GetArg()).(*pg.A_Const); ok {
				return j.truth(k)
			}
			return j.cond(pgtree.Unwrap(x.GetArg()), t)
		}
	case *pg.BoolExpr:
		return j.boolean(x, t)
	case *pg.A_Expr:
		return j.comparison(x, t)
	case *pg.NullTest:
		if k, ok := pgtree.Unwrap(x.GetArg()).(*pg.A_Const); ok {
			j.constant()
			if k.GetIsnull() == (x.GetNulltesttype() == pg.NullTestType_IS_NULL) {
				return always()
			}
			return never()
		}
	case *pg.SubLink:
		return j.subCond(x, t)
	case *pg.CurrentOfExpr:
		return cond{rank: rankKey, count: 1}
	case *pg.CoalesceExpr:
		if len(x.GetArgs()) == 1 {
			return j.cond(pgtree.Unwrap(x.GetArgs()[0]), t)
		}
	}
	if j.mentions(m, t) {
		return cond{rank: rankRange}
	}
	// Nothing of the rows decides it: it takes all of them or none.
	return always()
}

func (j *judge) truth(k *pg.A_Const) cond {
	j.constant()
	if k.GetIsnull() {
		return never()
	}
	if b := k.GetBoolval(); b != nil && !b.GetBoolval() {
		return never()
	}
	if s := k.GetSval(); s != nil {
		switch strings.ToLower(strings.TrimSpace(s.GetSval())) {
		case "f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0":
			return never()
		}
	}
	if i := k.GetIval(); i != nil && i.GetIval() == 0 {
		return never()
	}
	return always()
}

func (j *judge) boolean(x *pg.BoolExpr, t target) cond {
	var c cond
	for i, n := range x.GetArgs() {
		next := j.cond(pgtree.Unwrap(n), t)
		switch {
		case x.GetBoolop() == pg.BoolExprType_NOT_EXPR:
			switch next.rank {
			case rankAll:
				if j.mentions(pgtree.Unwrap(n), t) {
					return cond{rank: rankRange}
				}
				if isLiteral(pgtree.Unwrap(n)) {
					return never()
				}
				return always()
			case rankNone:
				return always()
			}
			return cond{rank: rankRange}
		case i == 0:
			c = next
		case x.GetBoolop() == pg.BoolExprType_AND_EXPR:
			c = and(c, next)
		default:
			c = t.or(c, next)
		}
	}
	return c
}

func isLiteral(m any) bool {
	switch x := m.(type) {
	case *pg.A_Const:
		return true
	case *pg.TypeCast:
		return isLiteral(pgtree.Unwrap(x.GetArg()))
	}
	return false
}

func and(a, b cond) cond {
	if a.rank == rankNone || b.rank == rankNone {
		return never()
	}
	c := a
	if b.rank < a.rank {
		c.rank, c.count = b.rank, b.count
	} else if a.rank == b.rank && b.count > 0 && (a.count == 0 || b.count < a.count) {
		c.count = b.count
	}
	c.eq = merge(a.eq, b.eq)
	c.lo = merge(a.lo, b.lo)
	c.hi = merge(a.hi, b.hi)
	c.other = merge(a.other, b.other)
	c.links = append(append([]link(nil), a.links...), b.links...)
	return c
}

func merge[V any](a, b map[string]V) map[string]V {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	m := make(map[string]V, len(a)+len(b))
	for k, v := range a {
		m[k] = v
	}
	for k, v := range b {
		m[k] = v
	}
	return m
}

func (t target) or(a, b cond) cond {
	switch {
	case a.rank == rankNone:
		return b
	case b.rank == rankNone:
		return a
	}
	c := cond{eq: map[string]int64{}}
	for col, n := range a.eq {
		if m, ok := b.eq[col]; ok && len(a.eq) == 1 && len(b.eq) == 1 {
			c.eq[col] = 0
			if n > 0 && m > 0 {
				c.eq[col] = n + m
			}
			c.rank = max(a.rank, b.rank)
			return c
		}
	}
	ra, rb := t.resolve(a), t.resolve(b)
	c.rank = max(ra.rank, rb.rank)
	if ra.count > 0 && rb.count > 0 {
		c.count = ra.count + rb.count
	}
	return c
}

// comparison weighs an operator between two sides.
func (j *judge) comparison(x *pg.A_Expr, t target) cond {
	l, r := pgtree.Unwrap(x.GetLexpr()), pgtree.Unwrap(x.GetRexpr())
	op := ""
	if parts := nameParts(x.GetName()); len(parts) > 0 {
		op = parts[len(parts)-1]
	}
	switch x.GetKind() {
	case pg.A_Expr_Kind_AEXPR_OP:
		switch op {
		case "=", "<>", "!=", "<", ">", "<=", ">=":
			return j.compare(l, op, r, t)
		}
	case pg.A_Expr_Kind_AEXPR_NOT_DISTINCT, pg.A_Expr_Kind_AEXPR_DISTINCT:
		if !j.mentions(l, t) && !j.mentions(r, t) {
			return always() // here NULL equals NULL: not worth folding
		}
		if x.GetKind() == pg.A_Expr_Kind_AEXPR_DISTINCT {
			return j.compare(l, "<>", r, t)
		}
		if k, ok := r.(*pg.A_Const); ok && k.GetIsnull() {
			return cond{rank: rankRange} // IS NULL in other words
		}
		return j.compare(l, "=", r, t)
	case pg.A_Expr_Kind_AEXPR_IN:
		list, ok := r.(*pg.List)
		if !ok {
			break
		}
		if op != "=" {
			return j.compare(l, "<>", r, t)
		}
		return j.in(l, list.GetItems(), t)
	case pg.A_Expr_Kind_AEXPR_OP_ANY:
		if op == "=" {
			return j.anyOf(l, r, t)
		}
	case pg.A_Expr_Kind_AEXPR_BETWEEN, pg.A_Expr_Kind_AEXPR_BETWEEN_SYM:
		list, ok := r.(*pg.List)
		if !ok || len(list.GetItems()) != 2 {
			break
		}
		lo, hi := pgtree.Unwrap(list.GetItems()[0]), pgtree.Unwrap(list.GetItems()[1])
		return and(j.compare(l, ">=", lo, t), j.compare(l, "<=", hi, t))
	case pg.A_Expr_Kind_AEXPR_LIKE, pg.A_Expr_Kind_AEXPR_ILIKE, pg.A_Expr_Kind_AEXPR_SIMILAR:
		return j.like(x, l, r, t)
	}
	if j.mentions(x, t) {
		return cond{rank: rankRange}
	}
	return always()
}

// compare weighs l op r.
func (j *judge) compare(l any, op string, r any, t target) cond {
	if row, ok := l.(*pg.RowExpr); ok && op == "=" {
		if other, ok := r.(*pg.RowExpr); ok && len(other.GetArgs()) == len(row.GetArgs()) && len(row.GetArgs()) > 0 {
			c := j.compare(pgtree.Unwrap(row.GetArgs()[0]), op, pgtree.Unwrap(other.GetArgs()[0]), t)
			for i := 1; i < len(row.GetArgs()); i++ {
				c = and(c, j.compare(pgtree.Unwrap(row.GetArgs()[i]), op, pgtree.Unwrap(other.GetArgs()[i]), t))
			}
			return c
		}
	}
	lt, lc, lplain := j.column(l, t)
	rt, rc, rplain := j.column(r, t)
	switch {
	case lplain && rplain:
		if lt == rt && lc == rc {
			if op == "=" || op == ">=" || op == "<=" {
				return always()
			}
			return never()
		}
		if lt == rt {
			return cond{rank: rankRange}
		}
		c := cond{rank: rankRange}
		if op == "=" {
			if lt == "" {
				c.links = []link{{lc, rt}}
			} else if rt == "" {
				c.links = []link{{rc, lt}}
			} else {
				c.rank = rankAll
			}
		}
		return c
	case rplain && !j.mentions(l, t):
		return j.compareConstant(rt, rc, flip(op), l, t)
	case lplain && !j.mentions(r, t):
		return j.compareConstant(lt, lc, op, r, t)
	}
	if j.mentions(l, t) || j.mentions(r, t) {
		if op == "=" && (j.narrows(l, t) && !j.mentions(r, t) || j.narrows(r, t) && !j.mentions(l, t)) {
			return cond{rank: rankBounded}
		}
		return cond{rank: rankRange}
	}
	if v, ok := j.fold(l, op, r); ok {
		if v {
			return always()
		}
		return never()
	}
	return always()
}

// compareConstant weighs a column against something that is the same for all rows.
func (j *judge) compareConstant(table, col, op string, k any, t target) cond {
	if table != "" {
		// A condition on another relation says nothing of the target's rows, until
		// an equality links the two.
		r := rankRange
		if op == "=" {
			r = rankBounded
		}
		return cond{rank: rankAll, other: map[string]rank{table: r}}
	}
	if op == "=" {
		if sub, ok := k.(*pg.SubLink); ok {
			if q, ok := pgtree.Unwrap(sub.GetSubselect()).(*pg.SelectStmt); ok && outerColumn(q, col, t) {
				return cond{rank: rankRange}
			}
		}
		if isBool(k) {
			j.constant()
			return cond{rank: rankRange}
		}
		return cond{rank: rankRange, eq: map[string]int64{col: 1}}
	}
	c := cond{rank: rankRange}
	switch op {
	case ">", ">=":
		c.lo = map[string]bound{col: j.bound(k)}
	case "<", "<=":
		c.hi = map[string]bound{col: j.bound(k)}
	}
	return c
}

func isBool(m any) bool {
	switch x := m.(type) {
	case *pg.A_Const:
		return x.GetBoolval() != nil
	case *pg.TypeCast:
		return isBool(pgtree.Unwrap(x.GetArg()))
	}
	return false
}

func flip(op string) string {
	switch op {
	case "<":
		return ">"
	case ">":
		return "<"
	case "<=":
		return ">="
	case ">=":
		return "<="
	}
	return op
}

// bound reads one end of an interval.
func (j *judge) bound(m any) bound {
	switch x := m.(type) {
	case *pg.TypeCast:
		return j.bound(pgtree.Unwrap(x.GetArg()))
	case *pg.A_Const:
		j.constant()
		if x.GetIval() != nil {
			return bound{number: int64(x.GetIval().GetIval()), kind: 'n'}
		}
		if s := x.GetSval().GetSval(); s != "" {
			if n, err := strconv.ParseInt(s, 10, 64); err == nil {
				return bound{number: n, kind: 'n'}
			}
			for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04",
				"2006-01-02T15:04:05", "2006-01-02"} {
				if at, err := time.Parse(layout, s); err == nil {
					return bound{moment: at, kind: 't'}
				}
			}
		}
		if f := x.GetFval().GetFval(); f != "" {
			if v, err := strconv.ParseFloat(f, 64); err == nil && math.Abs(v) < 1<<62 {
				return bound{number: int64(v), kind: 'n'}
			}
		}
	}
	return bound{}
}

// fold compares two constants.
func (j *judge) fold(l any, op string, r any) (value, ok bool) {
	a, aok := l.(*pg.A_Const)
	b, bok := r.(*pg.A_Const)
	if !aok || !bok {
		return false, false
	}
	j.constant()
	if a.GetIsnull() || b.GetIsnull() {
		return false, true
	}
	order := 0
	switch {
	case a.GetIval() != nil && b.GetIval() != nil:
		order = sign(int64(a.GetIval().GetIval()) - int64(b.GetIval().GetIval()))
	case a.GetSval() != nil && b.GetSval() != nil:
		// How strings order depends on the collation; whether they are equal
		// does not, except for exotic ones.
		if op != "=" && op != "<>" && op != "!=" {
			return false, false
		}
		order = strings.Compare(a.GetSval().GetSval(), b.GetSval().GetSval())
	default:
		return false, false
	}
	switch op {
	case "=":
		return order == 0, true
	case "<>", "!=":
		return order != 0, true
	case "<":
		return order < 0, true
	case ">":
		return order > 0, true
	case "<=":
		return order <= 0, true
	case ">=":
		return order >= 0, true
	}
	return false, false
}

func sign(n int64) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// in weighs l IN (items).
func (j *judge) in(l any, items []*pg.Node, t target) cond {
	n := int64(len(items))
	if row, ok := l.(*pg.RowExpr); ok {
		c := cond{rank: rankRange, eq: map[string]int64{}}
		for i, a := range row.GetArgs() {
			table, col, ok := j.column(pgtree.Unwrap(a), t)
			if !ok || table != "" {
				return cond{rank: rankRange}
			}
			// The rows of the list, not the product of the columns' values.
			c.eq[col] = 1
			if i == 0 {
				c.eq[col] = n
			}
		}
		for _, item := range items {
			if j.mentions(pgtree.Unwrap(item), t) {
				return cond{rank: rankRange}
			}
		}
		return c
	}
	table, col, ok := j.column(l, t)
	for _, item := range items {
		if itable, icol, iok := j.column(pgtree.Unwrap(item), t); ok && iok && itable == table && icol == col {
			return always()
		}
		if j.mentions(pgtree.Unwrap(item), t) {
			return cond{rank: rankRange}
		}
	}
	switch {
	case ok && table == "":
		return cond{rank: rankRange, eq: map[string]int64{col: n}}
	case ok:
		return cond{rank: rankAll, other: map[string]rank{table: rankBounded}}
	case j.narrows(l, t):
		return cond{rank: rankBounded}
	case j.mentions(l, t):
		return cond{rank: rankRange}
	}
	return always()
}

// anyOf weighs l = ANY (array).
func (j *judge) anyOf(l, array any, t target) cond {
	switch x := array.(type) {
	case *pg.A_ArrayExpr:
		return j.in(l, x.GetElements(), t)
	case *pg.TypeCast:
		return j.anyOf(l, pgtree.Unwrap(x.GetArg()), t)
	case *pg.SubLink:
		if x.GetSubLinkType() == pg.SubLinkType_ARRAY_SUBLINK {
			return j.inQuery(l, x, t)
		}
	case *pg.A_Const:
		if s := x.GetSval(); s != nil {
			j.constant()
			if table, col, ok := j.column(l, t); ok && table == "" {
				return cond{rank: rankRange, eq: map[string]int64{col: int64(strings.Count(s.GetSval(), ",") + 1)}}
			}
		}
	case *pg.ParamRef:
		if table, col, ok := j.column(l, t); ok && table == "" {
			return cond{rank: rankRange, eq: map[string]int64{col: 0}}
		}
	}
	if j.mentions(l, t) || j.mentions(array, t) {
		return cond{rank: rankRange}
	}
	return always()
}

func (j *judge) like(x *pg.A_Expr, l, r any, t target) cond {
	if !j.mentions(x, t) {
		return always()
	}
	if op := dotted(nameParts(x.GetName())); strings.HasPrefix(op, "!") {
		return cond{rank: rankRange}
	}
	if k, ok := r.(*pg.A_Const); ok {
		pattern, _ := j.text(k)
		if strings.Trim(pattern, "%") == "" && strings.Contains(pattern, "%") {
			return always()
		}
		if !strings.ContainsAny(pattern, `%_\`) && x.GetKind() == pg.A_Expr_Kind_AEXPR_LIKE {
			return j.compare(l, "=", r, t)
		}
	}
	return cond{rank: rankRange}
}

// subCond weighs a subquery that stands as a condition.
func (j *judge) subCond(x *pg.SubLink, t target) cond {
	switch x.GetSubLinkType() {
	case pg.SubLinkType_ANY_SUBLINK:
		if op := dotted(nameParts(x.GetOperName())); op == "" || op == "=" {
			return j.inQuery(pgtree.Unwrap(x.GetTestexpr()), x, t)
		}
	}
	if j.mentions(x, t) {
		return cond{rank: rankRange}
	}
	return always()
}

// inQuery weighs l IN (SELECT …).
func (j *judge) inQuery(l any, x *pg.SubLink, t target) cond {
	q, ok := pgtree.Unwrap(x.GetSubselect()).(*pg.SelectStmt)
	if !ok || !j.mentions(l, t) {
		return always()
	}
	table, col, ok := j.column(l, t)
	if !ok || table != "" {
		return cond{rank: rankRange}
	}
	if j.mentions(q, t) {
		return cond{rank: rankRange}
	}
	s := j.rows(q)
	if s.rank <= rankBounded {
		if outerColumn(q, col, t) {
			return cond{rank: rankRange}
		}
		c := cond{rank: rankBounded}
		if t.isKeyColumn(col) {
			c.count = s.count
		}
		return c
	}
	if len(q.GetFromClause()) == 1 {
		if v, ok := pgtree.Unwrap(q.GetFromClause()[0]).(*pg.RangeVar); ok && v.GetRelname() == t.name && s.rank == rankAll {
			return always()
		}
	}
	return cond{rank: rankRange}
}

// impact turns a selection into what policy is told.
func (s selection) impact() (signalbox.Impact, []signalbox.Trait) {
	i := signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeSome}
	if s.count > 0 {
		i.Count = s.count
	}
	switch s.rank {
	case rankNone:
		i.Count, i.Scope, i.Reversible = 0, signalbox.ScopeOne, true
		return i, []signalbox.Trait{signalbox.TraitByKey}
	case rankKey:
		if s.count == 1 {
			i.Scope = signalbox.ScopeOne
		}
		i.Reversible = true
		return i, []signalbox.Trait{signalbox.TraitByKey}
	case rankBounded:
		if s.ref {
			i.Reversible = true
			return i, []signalbox.Trait{signalbox.TraitByKey}
		}
		return i, nil
	case rankRange:
		return i, []signalbox.Trait{signalbox.TraitRange}
	}
	i.Scope = signalbox.ScopeAll
	return i, []signalbox.Trait{signalbox.TraitUnscoped}
}
