package sql

import (
	"slices"
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// checkWord says what a check asks of a row, if it is one of those that people
// write and that real rows pass. Any other may refuse every row.
func checkWord(m any) string {
	if usualCheck(m, 0) {
		return "check(usual)"
	}
	return "check(other)"
}

func usualCheck(m any, depth int) bool {
	if depth > 20 {
		return false
	}
	switch x := m.(type) {
	case *pg.BoolExpr:
		// Bounds on both sides; one alternative is enough to let a row pass.
		if x.GetBoolop() == pg.BoolExprType_NOT_EXPR || len(x.GetArgs()) > 4 {
			return false
		}
		for _, n := range x.GetArgs() {
			if !usualCheck(pgtree.Unwrap(n), depth+1) {
				return false
			}
		}
		return x.GetBoolop() == pg.BoolExprType_OR_EXPR || !contradicts(x.GetArgs())
	case *pg.NullTest:
		// Without a value a row would have to lose what it has.
		return x.GetNulltesttype() == pg.NullTestType_IS_NOT_NULL && columnOf(x.GetArg()) != ""
	case *pg.A_Expr:
		return usualComparison(x)
	}
	return false
}

// contradicts reports whether conditions joined by AND concern one column twice,
// as far as they do not bound it from two sides.
func contradicts(args []*pg.Node) bool {
	seen := map[string]string{}
	for _, n := range args {
		x, ok := pgtree.Unwrap(n).(*pg.A_Expr)
		if !ok {
			continue
		}
		col, op := columnOf(x.GetLexpr()), last(nameParts(x.GetName()))
		if was, again := seen[col]; again && (was == op || !bounds(was, op)) {
			return true
		}
		seen[col] = op
	}
	return false
}

func bounds(a, b string) bool {
	lower, upper := []string{">", ">="}, []string{"<", "<="}
	return slices.Contains(lower, a) && slices.Contains(upper, b) || slices.Contains(lower, b) && slices.Contains(upper, a)
}

func usualComparison(x *pg.A_Expr) bool {
	col, op := columnOf(x.GetLexpr()), last(nameParts(x.GetName()))
	if len(x.GetName()) > 1 {
		return false // an operator of a schema
	}
	switch x.GetKind() {
	case pg.A_Expr_Kind_AEXPR_OP:
		if other := columnOf(x.GetRexpr()); other != "" {
			return col != "" && other != col && slices.Contains([]string{"<", "<=", ">", ">=", "<>", "!="}, op)
		}
		n, ok := number(x.GetRexpr())
		switch {
		case !ok:
			text, isText := pgtree.Unwrap(x.GetRexpr()).(*pg.A_Const)
			return col != "" && isText && text.GetSval() != nil && (op == "<>" || op == "!=") // no row is empty
		case op == ">" || op == ">=":
			return n <= 1 && (col != "" || lengthOf(x.GetLexpr()) != "")
		case op == "<" || op == "<=":
			return n >= 1 && (lengthOf(x.GetLexpr()) != "" || col != "" && n >= 5)
		case op == "<>" || op == "!=":
			return col != ""
		}
		return false
	case pg.A_Expr_Kind_AEXPR_IN:
		list, ok := pgtree.Unwrap(x.GetRexpr()).(*pg.List)
		if !ok || col == "" || op != "=" || len(list.GetItems()) < 2 {
			return false
		}
		for _, n := range list.GetItems() {
			if !constantOf(n) {
				return false
			}
		}
		return true
	case pg.A_Expr_Kind_AEXPR_OP_ANY:
		array, ok := pgtree.Unwrap(x.GetRexpr()).(*pg.A_ArrayExpr)
		if !ok || col == "" || op != "=" || len(array.GetElements()) < 2 {
			return false
		}
		for _, n := range array.GetElements() {
			if !constantOf(n) {
				return false
			}
		}
		return true
	case pg.A_Expr_Kind_AEXPR_BETWEEN:
		list, ok := pgtree.Unwrap(x.GetRexpr()).(*pg.List)
		if !ok || col == "" || len(list.GetItems()) != 2 {
			return false
		}
		from, ok1 := number(list.GetItems()[0])
		to, ok2 := number(list.GetItems()[1])
		return ok1 && ok2 && from <= 1 && to >= 5
	}
	return false
}

// asksOfRow reports whether an expression depends on a row.
func asksOfRow(m any, depth int) bool {
	if _, ok := m.(*pg.ColumnRef); ok || depth > maxDepth {
		return ok
	}
	found := false
	pgtree.Children(m, func(c any) { found = found || asksOfRow(c, depth+1) })
	return found
}

func columnOf(n *pg.Node) string {
	switch x := pgtree.Unwrap(n).(type) {
	case *pg.ColumnRef:
		return last(nameParts(x.GetFields()))
	case *pg.TypeCast:
		return columnOf(x.GetArg())
	}
	return ""
}

// lengthOf gives the column whose length is asked.
func lengthOf(n *pg.Node) string {
	f, ok := pgtree.Unwrap(n).(*pg.FuncCall)
	if !ok || len(f.GetArgs()) != 1 || len(f.GetFuncname()) != 1 {
		return ""
	}
	switch last(nameParts(f.GetFuncname())) {
	case "length", "char_length", "octet_length", "cardinality":
		return columnOf(f.GetArgs()[0])
	}
	return ""
}

func number(n *pg.Node) (float64, bool) {
	switch x := pgtree.Unwrap(n).(type) {
	case *pg.A_Const:
		switch {
		case x.GetIval() != nil:
			return float64(x.GetIval().GetIval()), true
		case x.GetFval() != nil:
			f, err := strconv.ParseFloat(x.GetFval().GetFval(), 64)
			return f, err == nil
		}
	case *pg.TypeCast:
		return number(x.GetArg())
	}
	return 0, false
}

func constantOf(n *pg.Node) bool {
	switch x := pgtree.Unwrap(n).(type) {
	case *pg.A_Const:
		return !x.GetIsnull()
	case *pg.TypeCast:
		return constantOf(x.GetArg())
	}
	return false
}
