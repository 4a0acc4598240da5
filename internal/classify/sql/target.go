package sql

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// A target is the relation whose rows a condition selects.
type target struct {
	name   string     // relation, without the schema
	names  [2]string  // what columns may be qualified with: the alias, or the relation's name
	keys   [][]string // unique keys, where the catalog tells
	known  bool       // keys is what the catalog says
	joined map[string]joined
}

// joined is another relation in the FROM or USING of an UPDATE or DELETE.
type joined struct {
	rank rank
	rows int64 // of a VALUES list; 0 if not known
}

// keyed reports whether equalities bind a whole unique key, and for how many rows.
func (t target) keyed(eq map[string]int64) (int64, bool) {
	if t.known {
		for _, key := range t.keys {
			n := int64(1)
			all := len(key) > 0
			for _, col := range key {
				alternatives, ok := eq[col]
				all = all && ok
				n *= alternatives
			}
			if all {
				return n, true
			}
		}
		return 0, false
	}
	for col, n := range eq {
		if t.isKeyColumn(col) {
			return n, true
		}
	}
	return 0, false
}

// isKeyColumn reports whether a column names single rows: as the catalog says,
// or else by its name.
func (t target) isKeyColumn(col string) bool {
	if t.known {
		for _, key := range t.keys {
			if len(key) == 1 && key[0] == col {
				return true
			}
		}
		return false
	}
	switch c := strings.ToLower(col); c {
	case "id", "uuid", "guid", "uid", "pk", "oid", "ctid", "_id", "key", "slug", "sku", "isbn", "ean", "code",
		"email", "username", "login", "name",
		"number", "no", "ref", "reference", "token", "hostname", "phone", "iban", "serial", "barcode", "handle":
		return true
	default:
		for _, suffix := range []string{"_number", "_no", "_ref", "_token", "_uuid", "_guid", "_uid", "_slug", "_sku",
			"_email", "_serial"} {
			if strings.HasSuffix(c, suffix) {
				return true
			}
		}
		// The table's own name with id: order_id of orders.
		stem, ok := strings.CutSuffix(c, "_id")
		if !ok {
			stem, ok = strings.CutSuffix(c, "id")
		}
		return ok && stem != "" && singular(t.name) == stem
	}
}

func singular(table string) string {
	t := strings.ToLower(table)
	switch {
	case strings.HasSuffix(t, "ies"):
		return t[:len(t)-3] + "y"
	case strings.HasSuffix(t, "sses"), strings.HasSuffix(t, "xes"):
		return t[:len(t)-2]
	case strings.HasSuffix(t, "s"):
		return t[:len(t)-1]
	}
	return t
}

// isReference reports whether a column's name says that it refers to a single
// thing: equality with one selects what belongs to that thing. A tenant is not
// one: what belongs to it is much.
func isReference(col string) bool {
	c := strings.ToLower(col)
	for _, many := range []string{"tenant", "org", "organization", "organisation", "workspace", "company", "region",
		"site", "status", "type", "category", "group", "role"} {
		if strings.HasPrefix(c, many) {
			return false
		}
	}
	return strings.HasSuffix(c, "_id") || strings.HasSuffix(c, "_uuid") || strings.HasSuffix(c, "_key") ||
		len(c) > 2 && strings.HasSuffix(col, "Id")
}

// column reports the column that an expression is, and its table: empty for the
// target itself.
func (j *judge) column(m any, t target) (table, col string, ok bool) {
	switch x := m.(type) {
	case *pg.ColumnRef:
		parts := nameParts(x.GetFields())
		if len(parts) == 0 || parts[len(parts)-1] == "*" {
			return "", "", false
		}
		col = parts[len(parts)-1]
		if len(parts) == 1 {
			// Without a qualifier it may be any relation's when there are several.
			if len(t.joined) > 0 {
				return "?", col, true
			}
			return "", col, true
		}
		table = parts[len(parts)-2]
		if table == t.names[0] || table == t.names[1] {
			return "", col, true
		}
		return table, col, true
	case *pg.TypeCast:
		// A cast to these keeps different keys different.
		parts := nameParts(x.GetTypeName().GetNames())
		if len(parts) == 0 || len(x.GetTypeName().GetTypmods()) > 0 {
			return "", "", false
		}
		switch parts[len(parts)-1] {
		case "text", "int4", "int8", "uuid", "varchar", "numeric":
			return j.column(pgtree.Unwrap(x.GetArg()), t)
		}
	case *pg.CollateClause:
		return j.column(pgtree.Unwrap(x.GetArg()), t)
	}
	return "", "", false
}

// mentions reports whether an expression depends on the target's row: a column
// of it, or one that may be.
func (j *judge) mentions(m any, t target) bool {
	return outward(m, t, false, false, 0)
}

// outward is mentions inside subqueries. hides says that one around has a
// relation of the target's name, owns that one has a relation of its own: then
// only a qualified name is the target's for sure.
func outward(m any, t target, hides, owns bool, depth int) bool {
	if depth > maxDepth {
		return true
	}
	found := false
	switch x := m.(type) {
	case nil:
		return false
	case *pg.ColumnRef:
		parts := nameParts(x.GetFields())
		switch {
		case len(parts) == 1:
			return !owns || parts[0] == t.names[0] && !hides
		case len(parts) > 1:
			return !hides && (parts[len(parts)-2] == t.names[0] || parts[len(parts)-2] == t.names[1])
		}
		return false
	case *pg.SelectStmt:
		for _, n := range x.GetFromClause() {
			h, o := brings(pgtree.Unwrap(n), t)
			hides, owns = hides || h, owns || o
		}
	}
	pgtree.Children(m, func(c any) {
		found = found || outward(c, t, hides, owns, depth+1)
	})
	return found
}

// brings reports whether an item of a FROM bears the target's name, and whether
// it has columns of its own that an unqualified name could mean. A function has
// only what its alias says.
func brings(m any, t target) (hides, owns bool) {
	switch x := m.(type) {
	case *pg.RangeVar:
		name := x.GetRelname()
		if a := x.GetAlias().GetAliasname(); a != "" {
			name = a
		}
		return name == t.names[0], true
	case *pg.JoinExpr:
		h, o := brings(pgtree.Unwrap(x.GetLarg()), t)
		h2, o2 := brings(pgtree.Unwrap(x.GetRarg()), t)
		return h || h2, o || o2
	case *pg.RangeFunction:
		return x.GetAlias().GetAliasname() == t.names[0], x.GetAlias() != nil || len(x.GetColdeflist()) > 0
	case *pg.RangeSubselect:
		return x.GetAlias().GetAliasname() == t.names[0], true
	}
	return false, true
}

// narrows reports whether equality of an expression with a constant selects
// about as equality of its column would: a change of case, a day of a moment, a
// field of a document.
func (j *judge) narrows(m any, t target) bool {
	switch x := m.(type) {
	case *pg.FuncCall:
		if parts := nameParts(x.GetFuncname()); len(parts) > 0 && len(x.GetArgs()) > 0 {
			switch parts[len(parts)-1] {
			case "lower", "upper", "btrim", "date", "md5":
				_, _, ok := j.column(pgtree.Unwrap(x.GetArgs()[0]), t)
				return ok
			case "date_trunc":
				_, _, ok := j.column(pgtree.Unwrap(x.GetArgs()[len(x.GetArgs())-1]), t)
				return ok && len(x.GetArgs()) == 2
			}
		}
	case *pg.TypeCast:
		parts := nameParts(x.GetTypeName().GetNames())
		if len(parts) > 0 && parts[len(parts)-1] == "date" {
			_, _, ok := j.column(pgtree.Unwrap(x.GetArg()), t)
			return ok
		}
	case *pg.A_Expr:
		if parts := nameParts(x.GetName()); len(parts) > 0 {
			switch parts[len(parts)-1] {
			case "->>", "#>>":
				_, _, ok := j.column(pgtree.Unwrap(x.GetLexpr()), t)
				return ok || j.narrows(pgtree.Unwrap(x.GetLexpr()), t)
			case "->", "#>":
				_, _, ok := j.column(pgtree.Unwrap(x.GetLexpr()), t)
				return ok
			}
		}
	}
	return false
}

// targetOf makes the target of a relation and what it is joined with.
func (j *judge) targetOf(v *pg.RangeVar, from []*pg.Node) target {
	t := target{name: v.GetRelname()}
	t.names = [2]string{t.name, t.name}
	if a := v.GetAlias().GetAliasname(); a != "" {
		t.names = [2]string{a, a}
	}
	if _, r := j.relation(v); r != nil && (r.Kind == 'r' || r.Kind == 'p' || r.Kind == 'f') {
		t.known, t.keys = true, r.Keys
	}
	if len(from) > 0 {
		t.joined = map[string]joined{}
		for _, n := range from {
			j.join(pgtree.Unwrap(n), &t)
		}
	}
	return t
}

func (j *judge) join(m any, t *target) {
	switch x := m.(type) {
	case *pg.RangeVar:
		name := x.GetRelname()
		if a := x.GetAlias().GetAliasname(); a != "" {
			name = a
		}
		t.joined[name] = joined{rank: rankAll}
	case *pg.RangeSubselect:
		q, _ := pgtree.Unwrap(x.GetSubquery()).(*pg.SelectStmt)
		s := j.rows(q)
		t.joined[x.GetAlias().GetAliasname()] = joined{rank: s.rank, rows: s.count}
	case *pg.RangeFunction:
		s := j.series(x)
		t.joined[x.GetAlias().GetAliasname()] = joined{rank: s.rank, rows: s.count}
	case *pg.JoinExpr:
		j.join(pgtree.Unwrap(x.GetLarg()), t)
		j.join(pgtree.Unwrap(x.GetRarg()), t)
	default:
		t.joined["?"] = joined{rank: rankAll}
	}
}
