package sql

import (
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// What a user's operator or function adds beside PostgreSQL's own of that name can
// be meant only where every operand can become what it takes (func_match_argtypes
// in PostgreSQL's parser). An operand that the text gives no type (a constant in
// quotes, NULL, a parameter) becomes anything. Any other is of a user's type only
// if a value of one comes into the statement: out of a relation, by the name of a
// type, by a declared parameter, or from a user's function.

// A use is an effect that the statement has if values of users' types come into
// it: of each of the families.
type use struct {
	families Families
	effect   signalbox.Action
}

// come notes that values of users' types may come into the statement.
func (j *judge) come(f Families) {
	for _, n := range f {
		if n != 0 && !slices.Contains(j.values, n) {
			j.values = append(j.values, n)
		}
	}
}

// relation is [batch.relation] for one that the statement names: values of its
// columns' types may come into it.
func (j *judge) relation(v *pg.RangeVar) (string, *Relation) {
	name, r := j.batch.relation(v)
	switch {
	case r != nil:
		j.come(r.Types)
	case j.cat != nil && !isSystem(name):
		j.come(Families{AnyFamily}) // made a moment ago
	}
	return name, r
}

// meant gives the families of which values must come in, so that an overload that
// takes these can be chosen for operands of which typed says whether the text gives
// them a type.
func meant(takes Families, typed []bool) (families Families) {
	for i, f := range takes {
		if f != 0 && i < len(typed) && typed[i] && !slices.Contains(families, f) {
			families = append(families, f)
		}
	}
	return families
}

// comes reports whether values of all these families come into the statement.
func (j *judge) comes(families Families) bool {
	if slices.Contains(j.values, AnyFamily) || slices.Contains(j.cat.Declared, AnyFamily) {
		return true
	}
	for _, f := range families {
		if !slices.Contains(j.values, f) && !slices.Contains(j.cat.Declared, f) {
			return false
		}
	}
	return true
}

// chooses adds the effects of the uses whose families have come in. It is asked when
// the whole statement was seen.
func (j *judge) chooses() {
	for _, u := range j.uses {
		if j.comes(u.families) {
			j.effect(u.effect)
		}
	}
	if j.cat == nil {
		return
	}
	for _, f := range j.cat.Casts {
		if j.comes(Families{f}) {
			j.effect(opaque("CAST", signalbox.Resource{Type: "type", Name: "*"},
				"handles a type for which a user defined a cast: what that does cannot be seen"))
			return
		}
	}
}

// opaque is the effect of code that a user wrote.
func opaque(native string, what signalbox.Resource, why string) signalbox.Action {
	return signalbox.Action{
		Verb: signalbox.Execute, Native: native, Resources: []signalbox.Resource{what},
		Impact: signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeUnknown},
		Traits: []signalbox.Trait{signalbox.TraitOpaque}, Reason: why,
	}
}

// operator judges the use of an operator by its operands, the left one first: one
// that a user defined runs code.
func (j *judge) operator(parts []string, operands ...bool) {
	if len(parts) == 0 {
		return
	}
	name := parts[len(parts)-1]
	a := opaque("OPERATOR", signalbox.Resource{Type: "operator", Name: dotted(parts)},
		"uses an operator that a user defined: what it does cannot be seen")
	elsewhere := len(parts) > 1 && parts[len(parts)-2] != "pg_catalog"
	if j.cat == nil || j.unsure {
		if elsewhere || j.cat != nil && len(j.cat.Operators[name]) > 0 {
			j.effect(a)
		}
		return
	}
	if len(parts) > 1 && !elsewhere {
		return
	}
	for _, o := range j.cat.Operators[name] {
		if len(o.Args) != len(operands) {
			continue
		}
		families := meant(o.Args, operands)
		if len(families) == 0 {
			j.effect(a)
			return
		}
		j.uses = append(j.uses, use{families, a})
	}
}

// expression judges the operators of an expression.
func (j *judge) expression(x *pg.A_Expr) {
	left, right := pgtree.Unwrap(x.GetLexpr()), pgtree.Unwrap(x.GetRexpr())
	names := [][]string{nameParts(x.GetName())}
	switch x.GetKind() {
	case pg.A_Expr_Kind_AEXPR_BETWEEN, pg.A_Expr_Kind_AEXPR_BETWEEN_SYM:
		names = [][]string{{">="}, {"<="}}
	case pg.A_Expr_Kind_AEXPR_NOT_BETWEEN, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		names = [][]string{{"<"}, {">"}}
	}
	for _, name := range names {
		j.operate(name, left, right)
	}
}

// operate judges an operator between two operands; rows are compared field by field.
func (j *judge) operate(name []string, left, right any) {
	if j.cat == nil || j.unsure || len(name) == 0 || len(j.cat.Operators[name[len(name)-1]]) == 0 {
		j.operator(name, false, false)
		return
	}
	l, lrow := left.(*pg.RowExpr)
	r, rrow := right.(*pg.RowExpr)
	switch {
	case left == nil:
		j.operator(name, j.typed(right))
	case lrow && rrow && len(l.GetArgs()) == len(r.GetArgs()):
		for i := range l.GetArgs() {
			j.operate(name, pgtree.Unwrap(l.GetArgs()[i]), pgtree.Unwrap(r.GetArgs()[i]))
		}
	default:
		j.operator(name, j.typed(left), j.typed(right))
	}
}

// typed reports whether an expression has a type of its own, whatever stands beside
// it.
func (j *judge) typed(m any) bool {
	switch x := m.(type) {
	case *pg.A_Const:
		j.constant()
		return x.GetSval() == nil && !x.GetIsnull()
	case *pg.ParamRef, *pg.SetToDefault:
		return false
	case *pg.CollateClause:
		return j.typed(pgtree.Unwrap(x.GetArg()))
	case *pg.NamedArgExpr:
		return j.typed(pgtree.Unwrap(x.GetArg()))
	case *pg.RowExpr:
		return j.allTyped(x.GetArgs())
	case *pg.List:
		return j.allTyped(x.GetItems())
	}
	return true
}

func (j *judge) allTyped(nodes []*pg.Node) bool {
	return !slices.ContainsFunc(nodes, func(n *pg.Node) bool { return !j.typed(pgtree.Unwrap(n)) })
}

// arguments are what a function is called with, as far as the text says.
type arguments struct {
	typed []bool
	open  bool // their number, order or names say nothing

	attribute bool // written x.name, which may mean a column
	row       bool // and x is a row
}

func (j *judge) arguments(f *pg.FuncCall) arguments {
	a := arguments{open: f.GetFuncVariadic() || f.GetAggWithinGroup()}
	name := nameParts(f.GetFuncname())
	if j.cat == nil || len(name) == 0 || !j.cat.hasFunction(name[len(name)-1]) {
		return a // nobody will ask
	}
	for _, n := range f.GetArgs() {
		m := pgtree.Unwrap(n)
		if _, named := m.(*pg.NamedArgExpr); named {
			a.open = true
		}
		a.typed = append(a.typed, j.typed(m))
	}
	return a
}

// callable reports whether a function can be meant by a call with these arguments,
// and of which families values must come in for that.
func (j *judge) callable(f Function, a arguments) (families Families, ok bool) {
	if a.open || f.Variadic || f.Args == nil {
		return nil, true
	}
	n := len(a.typed)
	if n > len(f.Args) || n < len(f.Args)-f.Defaults || a.row && !f.Row {
		return nil, false
	}
	return meant(f.Args, a.typed), true
}
