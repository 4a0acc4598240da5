package sql

import (
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/signalbox-dev/signalbox"
)

// Counting gives a SELECT whose one value is how many rows an UPDATE, a DELETE or
// an INSERT … SELECT would touch itself, cascades and triggers not counted, and
// the numbers of the parameters that it uses. It reports false for other
// statements, those that the SELECT would not be sure to be harmless for included:
// one that calls code which cat does not know to only read, or writes in a WITH.
func Counting(text string, cat *Catalog) (query string, params []int, ok bool) {
	if r := Classify(text, cat); r.Err != "" || len(r.Statements) != 1 || r.Statements[0].Kind != KindWrite {
		return "", nil, false // what the parser must not see is among these
	}
	tree, err := pg.Parse(text)
	if err != nil || len(tree.GetStmts()) != 1 {
		return "", nil, false
	}
	var of *pg.SelectStmt
	switch stmt := tree.GetStmts()[0].GetStmt(); {
	case stmt.GetDeleteStmt() != nil:
		d := stmt.GetDeleteStmt()
		of = rowsOf(d.GetRelation(), d.GetUsingClause(), d.GetWhereClause(), d.GetWithClause())
	case stmt.GetUpdateStmt() != nil:
		u := stmt.GetUpdateStmt()
		of = rowsOf(u.GetRelation(), u.GetFromClause(), u.GetWhereClause(), u.GetWithClause())
	case stmt.GetInsertStmt().GetSelectStmt().GetSelectStmt() != nil:
		i := stmt.GetInsertStmt()
		if of = i.GetSelectStmt().GetSelectStmt(); len(of.GetValuesLists()) > 0 || i.GetWithClause() != nil &&
			of.GetWithClause() != nil {
			return "", nil, false // the planner counts VALUES as well as anybody
		}
		if i.GetWithClause() != nil {
			of.WithClause = i.GetWithClause()
		}
	}
	if of == nil {
		return "", nil, false
	}
	counted := ownSelect("SELECT pg_catalog.count(*) FROM (SELECT 1) AS counted")
	counted.GetFromClause()[0].GetRangeSubselect().Subquery = &pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: of}}
	root := &pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: counted}}
	if query, err = pg.Deparse(&pg.ParseResult{Version: tree.GetVersion(),
		Stmts: []*pg.RawStmt{{Stmt: root}}}); err != nil {
		return "", nil, false
	}
	if !harmless(query, cat) {
		return "", nil, false
	}
	eachParam(root.ProtoReflect(), func(n int) { params = append(params, n) })
	slices.Sort(params)
	return query, slices.Compact(params), true
}

// A Touch is what one UPDATE or DELETE touches itself.
type Touch struct {
	// Columns are those that an UPDATE sets.
	Columns []string
	// Rows is a SELECT of tableoid and ctid of the rows, each once, and Params are
	// the numbers of the parameters that it uses.
	Rows   string
	Params []int
}

// Touching gives what an UPDATE or a DELETE touches. It reports false where
// [Counting] does, and for an INSERT.
func Touching(text string, cat *Catalog) (t Touch, ok bool) {
	if _, t.Params, ok = Counting(text, cat); !ok {
		return Touch{}, false
	}
	tree, err := pg.Parse(text)
	if err != nil {
		return Touch{}, false
	}
	stmt := tree.GetStmts()[0].GetStmt()
	var of *pg.SelectStmt
	switch d, u := stmt.GetDeleteStmt(), stmt.GetUpdateStmt(); {
	case d != nil:
		of = identified(d.GetRelation(), d.GetUsingClause(), d.GetWhereClause(), d.GetWithClause())
	case u != nil:
		of = identified(u.GetRelation(), u.GetFromClause(), u.GetWhereClause(), u.GetWithClause())
		t.Columns = Sets(text)
	default:
		return Touch{}, false
	}
	t.Rows, err = pg.Deparse(&pg.ParseResult{Version: tree.GetVersion(),
		Stmts: []*pg.RawStmt{{Stmt: &pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: of}}}}})
	return t, err == nil
}

// Sets gives the columns that the UPDATE of a text sets, or the one of an INSERT …
// ON CONFLICT. Anything else that may change a row gives "*": any column.
func Sets(text string) []string {
	tree, err := pg.Parse(text)
	if err != nil || len(tree.GetStmts()) != 1 {
		return []string{"*"}
	}
	var list []*pg.Node
	switch stmt := tree.GetStmts()[0].GetStmt(); {
	case stmt.GetUpdateStmt() != nil:
		list = stmt.GetUpdateStmt().GetTargetList()
	case stmt.GetInsertStmt() != nil:
		list = stmt.GetInsertStmt().GetOnConflictClause().GetTargetList()
	default:
		return []string{"*"}
	}
	var columns []string
	for _, n := range list {
		columns = append(columns, n.GetResTarget().GetName())
	}
	return columns
}

// identified selects what tells apart the rows of a relation that a change of it
// finds.
func identified(relation *pg.RangeVar, joined []*pg.Node, where *pg.Node, with *pg.WithClause) *pg.SelectStmt {
	s := rowsOf(relation, joined, where, with)
	if len(joined) == 0 {
		s.TargetList = ownSelect("SELECT t.tableoid, t.ctid").TargetList
		qualify(s.GetTargetList(), relation)
	}
	return s
}

// rowsOf selects the rows of a relation that a change of it finds. Where it is
// joined, a row that is found several times is changed once.
func rowsOf(relation *pg.RangeVar, joined []*pg.Node, where *pg.Node, with *pg.WithClause) *pg.SelectStmt {
	s := ownSelect("SELECT 1")
	if len(joined) > 0 {
		s = ownSelect("SELECT DISTINCT t.tableoid, t.ctid")
		qualify(s.GetTargetList(), relation)
	}
	s.FromClause = append([]*pg.Node{{Node: &pg.Node_RangeVar{RangeVar: relation}}}, joined...)
	s.WhereClause, s.WithClause = where, with
	return s
}

// qualify has columns be those of a relation, by the name that it goes by.
func qualify(columns []*pg.Node, relation *pg.RangeVar) {
	name := relation.GetRelname()
	if a := relation.GetAlias().GetAliasname(); a != "" {
		name = a
	}
	for _, c := range columns {
		c.GetResTarget().GetVal().GetColumnRef().GetFields()[0].GetString_().Sval = name
	}
}

// ownSelect parses a SELECT of our own.
func ownSelect(text string) *pg.SelectStmt {
	tree, err := pg.Parse(text)
	if err != nil {
		panic("sql: " + text + ": " + err.Error())
	}
	return tree.GetStmts()[0].GetStmt().GetSelectStmt()
}

// harmless reports whether a query is one statement that only reads, and runs no
// code that nobody looked into.
func harmless(query string, cat *Catalog) bool {
	r := Classify(query, cat)
	if r.Err != "" || len(r.Statements) != 1 || !r.ReadOnly() {
		return false
	}
	return !slices.ContainsFunc(r.Actions(), func(a signalbox.Action) bool {
		return a.Verb != signalbox.Read || a.Has(signalbox.TraitOpaque) || a.Has(signalbox.TraitSession) ||
			a.Has(signalbox.TraitHostFile)
	})
}

// eachParam calls f with the number of each parameter below m.
func eachParam(m protoreflect.Message, f func(n int)) {
	if p, ok := m.Interface().(*pg.ParamRef); ok {
		f(int(p.GetNumber()))
		return
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.Message() == nil:
		case field.IsList():
			for i := range v.List().Len() {
				eachParam(v.List().Get(i).Message(), f)
			}
		default:
			eachParam(v.Message(), f)
		}
		return true
	})
}
