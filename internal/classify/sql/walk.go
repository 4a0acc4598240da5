package sql

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// walk goes over everything below a node. A kind of node that is not listed here
// is not understood: worst.
func (j *judge) walk(m any) {
	j.depth++
	defer func() { j.depth-- }()
	if j.depth > maxDepth {
		j.unknown("nested too deep")
		return
	}
	switch x := m.(type) {
	case nil:
		return

	// Statements inside statements.
	case *pg.SelectStmt:
		j.query(x)
		return
	case *pg.InsertStmt:
		j.insert(x)
		return
	case *pg.UpdateStmt:
		j.update(x)
		return
	case *pg.DeleteStmt:
		j.delete(x)
		return
	case *pg.MergeStmt:
		j.merge(x)
		return

	// Names.
	case *pg.RangeVar:
		j.read(x)
		return
	case *pg.FuncCall:
		j.call(x)
	case *pg.A_Expr:
		j.expression(x)
	case *pg.SubLink:
		switch name := nameParts(x.GetOperName()); {
		case len(name) > 0:
			j.operate(name, pgtree.Unwrap(x.GetTestexpr()), x)
		case x.GetTestexpr() != nil: // IN
			j.operate([]string{"="}, pgtree.Unwrap(x.GetTestexpr()), x)
		}
	case *pg.SortBy:
		j.operator(nameParts(x.GetUseOp()), true, true)
	case *pg.CaseExpr:
		if x.GetArg() != nil {
			for _, n := range x.GetArgs() {
				if when, ok := pgtree.Unwrap(n).(*pg.CaseWhen); ok {
					j.operate([]string{"="}, pgtree.Unwrap(x.GetArg()), pgtree.Unwrap(when.GetExpr()))
				}
			}
		}
	case *pg.JoinExpr:
		if x.GetIsNatural() || len(x.GetUsingClause()) > 0 {
			j.operator([]string{"="}, true, true)
		}
	case *pg.TypeName:
		j.typeName(x)
	case *pg.ParamRef:
		j.params = max(j.params, int(x.GetNumber()))
	case *pg.LockingClause:
		// A row lock writes to the table, so a READ ONLY transaction refuses it.
		j.readOnly = false
		return // its relations are aliases of the FROM clause
	case *pg.RangeTableSample:
		j.sample(x)
	case *pg.PartitionCmd:
		if x.GetBound() != nil {
			j.walk(x.GetBound())
		}
		return // the partition is judged with its command
	case *pg.ColumnRef:
		if parts := nameParts(x.GetFields()); len(parts) > 1 {
			j.attribute(parts[len(parts)-1], true)
		}
	case *pg.A_Indirection:
		for _, n := range x.GetIndirection() {
			if field, ok := pgtree.Unwrap(n).(*pg.String); ok {
				j.attribute(field.GetSval(), false)
			}
		}
	case *pg.CurrentOfExpr:
		// The rows are the cursor's.

	// Containers that mean nothing by themselves.
	case *pg.A_Const, *pg.A_Star, *pg.A_Indices, *pg.A_ArrayExpr,
		*pg.Integer, *pg.Float, *pg.Boolean, *pg.String, *pg.BitString, *pg.List, *pg.IntList, *pg.OidList,
		*pg.TypeCast, *pg.CollateClause, *pg.BoolExpr, *pg.NullTest, *pg.BooleanTest, *pg.CaseWhen,
		*pg.CoalesceExpr, *pg.MinMaxExpr, *pg.SQLValueFunction, *pg.RowExpr, *pg.GroupingFunc, *pg.GroupingSet,
		*pg.NamedArgExpr, *pg.SetToDefault, *pg.MultiAssignRef, *pg.ResTarget, *pg.WindowDef, *pg.Alias,
		*pg.RangeSubselect, *pg.RangeFunction, *pg.RangeTableFunc, *pg.RangeTableFuncCol,
		*pg.WithClause, *pg.CommonTableExpr, *pg.CTESearchClause, *pg.CTECycleClause, *pg.InferClause, *pg.IndexElem,
		*pg.OnConflictClause, *pg.MergeWhenClause, *pg.MergeSupportFunc,
		*pg.XmlExpr, *pg.XmlSerialize, *pg.JsonFormat, *pg.JsonReturning, *pg.JsonValueExpr, *pg.JsonIsPredicate,
		*pg.JsonBehavior, *pg.JsonOutput, *pg.JsonArgument, *pg.JsonFuncExpr, *pg.JsonTable, *pg.JsonTablePathSpec,
		*pg.JsonTableColumn, *pg.JsonKeyValue, *pg.JsonParseExpr, *pg.JsonScalarExpr, *pg.JsonSerializeExpr,
		*pg.JsonObjectConstructor, *pg.JsonArrayConstructor, *pg.JsonArrayQueryConstructor, *pg.JsonAggConstructor,
		*pg.JsonObjectAgg, *pg.JsonArrayAgg,
		*pg.ColumnDef, *pg.Constraint, *pg.DefElem, *pg.PartitionSpec, *pg.PartitionElem, *pg.PartitionBoundSpec,
		*pg.PartitionRangeDatum, *pg.StatsElem, *pg.RoleSpec, *pg.ReturnStmt, *pg.FunctionParameter,
		*pg.TableLikeClause, *pg.IntoClause, *pg.ObjectWithArgs, *pg.TriggerTransition, *pg.ReplicaIdentityStmt:

	default:
		j.unknown("unknown kind of node in the statement")
		return
	}
	if !pgtree.Children(m, j.walk) {
		j.unknown("unknown kind of node in the statement")
	}
}

func (j *judge) walkAll(nodes []*pg.Node) {
	for _, n := range nodes {
		if m := pgtree.Unwrap(n); m != nil {
			j.walk(m)
		}
	}
}

// read notes that a relation is read.
func (j *judge) read(v *pg.RangeVar) {
	if v.GetSchemaname() == "" && j.isCTE(v.GetRelname()) {
		return
	}
	name, r := j.relation(v)
	if r != nil && len(r.Base) > 0 {
		j.reads = append(j.reads, r.Base...)
	}
	j.reads = append(j.reads, name)
	if r != nil {
		j.viewCalls(r)
	}
	j.secretTable(name)
}

func (j *judge) isCTE(name string) bool {
	for _, names := range j.scopes {
		if names[name] {
			return true
		}
	}
	return false
}

// attribute judges x.name: where x has no such column, PostgreSQL calls the
// function name(x). The catalog knows functions and not columns, so whatever bears
// the name of a function that can take x is taken for a call of it. row says that
// x is a row.
func (j *judge) attribute(name string, row bool) {
	j.invoke([]string{name}, nil, arguments{typed: []bool{true}, row: row, attribute: true})
}

// typeName judges the mention of a type: a domain may check with user code.
func (j *judge) typeName(t *pg.TypeName) {
	if j.cat == nil {
		return
	}
	parts := nameParts(t.GetNames())
	if len(parts) == 0 {
		return
	}
	if t.GetPctType() || j.unsure {
		j.come(Families{AnyFamily})
	}
	check := func(full string) bool {
		if r, ok := j.cat.Relations[full]; ok {
			j.come(r.Types)
		}
		ty, ok := j.cat.Types[full]
		j.come(ty.Types)
		return ok && (ty.Checks || j.cat.UserCasts)
	}
	runs := false
	if len(parts) > 1 {
		runs = check(dotted(parts))
	} else {
		for _, schema := range append([]string{"pg_temp"}, j.path...) {
			runs = check(schema+"."+parts[0]) || runs
		}
	}
	if runs {
		j.effect(opaque("CAST", signalbox.Resource{Type: "type", Name: dotted(parts)},
			"casts to a type whose checks run a user's function"))
	}
}

// sample judges TABLESAMPLE: the method is a function.
func (j *judge) sample(s *pg.RangeTableSample) {
	parts := nameParts(s.GetMethod())
	switch name := dotted(parts); name {
	case "bernoulli", "system", "system_rows", "system_time", "pg_catalog.bernoulli", "pg_catalog.system":
	default:
		j.userFunction("", name, "", nil, arguments{open: true})
	}
}
