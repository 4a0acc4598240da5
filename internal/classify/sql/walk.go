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
		j.operator(nameParts(x.GetName()))
	case *pg.SubLink:
		j.operator(nameParts(x.GetOperName()))
	case *pg.SortBy:
		j.operator(nameParts(x.GetUseOp()))
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
			j.attribute(parts[len(parts)-1])
		}
	case *pg.A_Indirection:
		for _, n := range x.GetIndirection() {
			if field, ok := pgtree.Unwrap(n).(*pg.String); ok {
				j.attribute(field.GetSval())
			}
		}
	case *pg.CurrentOfExpr:
		// The rows are the cursor's.

	// Containers that mean nothing by themselves.
	case *pg.A_Const, *pg.A_Star, *pg.A_Indices, *pg.A_ArrayExpr,
		*pg.Integer, *pg.Float, *pg.Boolean, *pg.String, *pg.BitString, *pg.List, *pg.IntList, *pg.OidList,
		*pg.TypeCast, *pg.CollateClause, *pg.BoolExpr, *pg.NullTest, *pg.BooleanTest, *pg.CaseExpr, *pg.CaseWhen,
		*pg.CoalesceExpr, *pg.MinMaxExpr, *pg.SQLValueFunction, *pg.RowExpr, *pg.GroupingFunc, *pg.GroupingSet,
		*pg.NamedArgExpr, *pg.SetToDefault, *pg.MultiAssignRef, *pg.ResTarget, *pg.WindowDef, *pg.Alias,
		*pg.JoinExpr, *pg.RangeSubselect, *pg.RangeFunction, *pg.RangeTableFunc, *pg.RangeTableFuncCol,
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

// attribute judges row.name: where the row has no such column, PostgreSQL calls
// the function name(row). The catalog knows functions and not columns, so
// whatever bears a user function's name is taken for a call of it.
func (j *judge) attribute(name string) {
	if j.shadowed("", name) {
		j.userFunction("", name, "", nil)
	}
}

// operator judges the use of an operator: one that a user defined runs code.
func (j *judge) operator(parts []string) {
	if len(parts) == 0 {
		return
	}
	name := parts[len(parts)-1]
	foreign := len(parts) > 1 && parts[len(parts)-2] != "pg_catalog"
	shadow := len(parts) == 1 && j.cat != nil && j.cat.Operators[name]
	if foreign || shadow {
		j.effect(signalbox.Action{
			Verb: signalbox.Execute, Native: "OPERATOR",
			Resources: []signalbox.Resource{{Type: "operator", Name: dotted(parts)}},
			Impact:    signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeUnknown},
			Traits:    []signalbox.Trait{signalbox.TraitOpaque},
			Reason:    "uses an operator that a user defined: what it does cannot be seen",
		})
	}
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
	check := func(full string) bool {
		ty, ok := j.cat.Types[full]
		return ok && (ty.Checks || j.cat.UserCasts)
	}
	runs := false
	if len(parts) > 1 {
		runs = check(dotted(parts))
	} else {
		for _, schema := range j.path {
			runs = runs || check(schema+"."+parts[0])
		}
	}
	if runs {
		j.effect(signalbox.Action{
			Verb: signalbox.Execute, Native: "CAST",
			Resources: []signalbox.Resource{{Type: "type", Name: dotted(parts)}},
			Impact:    signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeUnknown},
			Traits:    []signalbox.Trait{signalbox.TraitOpaque},
			Reason:    "casts to a type whose checks run a user's function",
		})
	}
}

// sample judges TABLESAMPLE: the method is a function.
func (j *judge) sample(s *pg.RangeTableSample) {
	parts := nameParts(s.GetMethod())
	switch name := dotted(parts); name {
	case "bernoulli", "system", "system_rows", "system_time", "pg_catalog.bernoulli", "pg_catalog.system":
	default:
		j.userFunction("", name, "", nil)
	}
}
