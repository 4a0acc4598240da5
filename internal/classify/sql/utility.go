package sql

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// top judges a statement at the top of a text, or wrapped by another.
func (j *judge) top(m any) {
	switch x := m.(type) {
	case nil:
		j.unknown("an empty statement")
	case *pg.SelectStmt:
		j.s.Kind = KindQuery
		j.query(x)
	case *pg.InsertStmt, *pg.UpdateStmt, *pg.DeleteStmt, *pg.MergeStmt:
		j.s.Kind = KindWrite
		j.walk(x)
	default:
		before := len(j.effects)
		if !j.session(m) && !j.wrapper(m) && !j.upkeep(m) && !j.definition(m) && !j.removal(m) && !j.permission(m) {
			j.unknown("a kind of statement that is not known")
		}
		j.inForms(m, before)
	}
	if j.s.Kind == KindQuery && slices.ContainsFunc(j.effects, func(a signalbox.Action) bool { return a.Verb != signalbox.Read }) {
		j.s.Kind = KindWrite
	}
}

// one adds an effect on a single named object.
func (j *judge) one(verb signalbox.Verb, native, kind, name, reason string,
	traits ...signalbox.Trait) *signalbox.Action {
	return j.effect(signalbox.Action{
		Verb: verb, Native: native,
		Resources: []signalbox.Resource{{Type: kind, Name: name, Whole: true}},
		Impact:    signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: reversible(verb)},
		Traits:    traits,
		Reason:    reason,
	})
}

func reversible(v signalbox.Verb) bool {
	switch v {
	case signalbox.Read, signalbox.Create, signalbox.Update:
		return true
	}
	return false
}

// quiet adds an effect that changes nothing but the session.
func (j *judge) quiet(native, reason string, t signalbox.Trait) {
	j.settled = true
	j.effect(signalbox.Action{
		Verb: signalbox.Read, Native: native,
		Impact: signalbox.Impact{Count: 0, Scope: signalbox.ScopeOne, Reversible: true},
		Traits: []signalbox.Trait{t}, Reason: reason,
	})
}

// session judges the statements that concern transactions and this session.
func (j *judge) session(m any) bool {
	switch x := m.(type) {
	case *pg.TransactionStmt:
		j.transaction(x)
	case *pg.VariableSetStmt:
		j.s.Kind = KindSet
		j.set(x)
	case *pg.VariableShowStmt:
		j.s.Kind, j.s.Name = KindShow, x.GetName()
		j.quiet("SHOW", "shows a setting", signalbox.TraitSession)
	case *pg.ConstraintsSetStmt:
		j.quiet("SET CONSTRAINTS", "says when constraints are checked", signalbox.TraitSession)
	case *pg.ListenStmt:
		j.s.Kind, j.s.Name = KindListen, x.GetConditionname()
		j.quiet("LISTEN", "waits for notifications", signalbox.TraitSession)
		j.readOnly = false
	case *pg.UnlistenStmt:
		j.s.Kind, j.s.Name = KindUnlisten, x.GetConditionname()
		j.quiet("UNLISTEN", "waits no more for notifications", signalbox.TraitSession)
		j.readOnly = false
	case *pg.NotifyStmt:
		j.s.Kind, j.s.Name = KindNotify, x.GetConditionname()
		j.one(signalbox.Update, "NOTIFY", "channel", x.GetConditionname(), "wakes listeners")
	case *pg.DiscardStmt:
		j.s.Kind = KindDiscard
		j.quiet("DISCARD", "forgets this session's state", signalbox.TraitSession)
		j.readOnly = false
		j.s.Lone = x.GetTarget() == pg.DiscardMode_DISCARD_ALL
	case *pg.DeallocateStmt:
		j.s.Kind, j.s.Name = KindDeallocate, x.GetName()
		j.quiet("DEALLOCATE", "forgets a prepared statement", signalbox.TraitSession)
		if x.GetIsall() {
			j.prepared, j.cursors, j.lookup = nil, nil, nil
		} else {
			j.remembered(x.GetName(), nil)
		}
	case *pg.FetchStmt:
		j.fetch(x)
	case *pg.ClosePortalStmt:
		j.s.Kind, j.s.Name = KindClose, x.GetPortalname()
		j.quiet("CLOSE", "closes a cursor", signalbox.TraitSession)
		if x.GetPortalname() != "" {
			j.cursors = with(j.cursors, x.GetPortalname(), nil)
		}
	default:
		return false
	}
	return true
}

func (j *judge) transaction(x *pg.TransactionStmt) {
	j.s.Name = x.GetSavepointName()
	if x.GetGid() != "" {
		j.constant()
	}
	native := ""
	switch x.GetKind() {
	case pg.TransactionStmtKind_TRANS_STMT_BEGIN, pg.TransactionStmtKind_TRANS_STMT_START:
		j.s.Kind, native = KindBegin, "BEGIN"
	case pg.TransactionStmtKind_TRANS_STMT_COMMIT:
		j.s.Kind, native = KindCommit, "COMMIT"
	case pg.TransactionStmtKind_TRANS_STMT_ROLLBACK:
		j.s.Kind, native = KindRollback, "ROLLBACK"
	case pg.TransactionStmtKind_TRANS_STMT_SAVEPOINT:
		j.s.Kind, native = KindSavepoint, "SAVEPOINT"
	case pg.TransactionStmtKind_TRANS_STMT_RELEASE:
		j.s.Kind, native = KindRelease, "RELEASE SAVEPOINT"
	case pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO:
		j.s.Kind, native = KindRollbackTo, "ROLLBACK TO SAVEPOINT"
	case pg.TransactionStmtKind_TRANS_STMT_PREPARE:
		j.s.Kind, j.s.Name = KindPrepareTx, x.GetGid()
		j.one(signalbox.Execute, "PREPARE TRANSACTION", "transaction", "*",
			"leaves a transaction open that anybody may commit later", signalbox.TraitDeferred)
		return
	case pg.TransactionStmtKind_TRANS_STMT_COMMIT_PREPARED:
		j.s.Kind, j.s.Name, j.s.Lone = KindCommitTx, x.GetGid(), true
		j.one(signalbox.Execute, "COMMIT PREPARED", "transaction", "*",
			"commits what another session prepared, unseen", signalbox.TraitOpaque)
		return
	case pg.TransactionStmtKind_TRANS_STMT_ROLLBACK_PREPARED:
		j.s.Kind, j.s.Name, j.s.Lone = KindRollbackTx, x.GetGid(), true
		j.one(signalbox.Delete, "ROLLBACK PREPARED", "transaction", "*", "throws away what another session prepared",
			signalbox.TraitOpaque)
		return
	default:
		j.unknown("an unknown transaction command")
		return
	}
	switch j.s.Kind {
	case KindCommit, KindRollback, KindRollbackTo:
		j.unsure = true // a SET LOCAL, or a SET that is undone, had a say until here
	}
	j.walkAll(x.GetOptions())
	j.quiet(native, "marks a transaction", signalbox.TraitTransaction)
}

// wrapper judges the statements that hold or run others.
func (j *judge) wrapper(m any) bool {
	switch x := m.(type) {
	case *pg.ExplainStmt:
		j.explain(x)
	case *pg.PrepareStmt:
		j.s.Kind, j.s.Name = KindPrepare, x.GetName()
		inner, _ := j.batch.inner(x.GetQuery())
		j.constant() // the text that is kept has its own constants
		j.s.Inner = &inner
		j.remembered(x.GetName(), &inner)
		j.quiet("PREPARE", "keeps a statement for later: it is judged when it is executed", signalbox.TraitSession)
		j.walkAll(x.GetArgtypes())
	case *pg.ExecuteStmt:
		j.execute(x)
	case *pg.DeclareCursorStmt:
		j.s.Kind, j.s.Name = KindDeclare, x.GetPortalname()
		j.s.Hold = x.GetOptions()&cursorHold != 0
		inner, _ := j.batch.inner(x.GetQuery())
		j.adopt(x.GetQuery())
		j.s.Inner, j.s.Runs = &inner, &inner
		j.cursors = with(j.cursors, x.GetPortalname(), &inner)
	case *pg.CreateTableAsStmt:
		j.createAs(x)
	case *pg.CopyStmt:
		j.copy(x)
	case *pg.DoStmt:
		j.one(signalbox.Execute, "DO", "code", "*", "runs a block of code: what it does cannot be seen",
			signalbox.TraitOpaque).Impact =
			signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeUnknown}
	case *pg.CallStmt:
		parts := nameParts(x.GetFunccall().GetFuncname())
		j.one(signalbox.Execute, "CALL", "procedure", dotted(parts), "runs a procedure: what it does cannot be seen",
			signalbox.TraitOpaque).Impact =
			signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeUnknown}
		j.walkAll(x.GetFunccall().GetArgs())
	default:
		return false
	}
	return true
}

// cursorHold is CURSOR_OPT_HOLD.
const cursorHold = 0x20

// adopt judges an inner statement as if it stood by itself, and takes over what
// it does.
func (j *judge) adopt(n *pg.Node) {
	kind, name := j.s.Kind, j.s.Name
	j.top(pgtree.Unwrap(n))
	if j.s.Kind == KindQuery || j.s.Kind == KindWrite || j.s.Kind == KindExecute {
		j.settled = j.settled || len(j.effects) > 0
	}
	j.s.Kind, j.s.Name = kind, name
}

func (j *judge) explain(x *pg.ExplainStmt) {
	analyze := false
	for _, n := range x.GetOptions() {
		d, ok := pgtree.Unwrap(n).(*pg.DefElem)
		if !ok {
			continue
		}
		if d.GetDefname() == "analyze" {
			analyze = j.optionOn(d)
		}
		if d.GetDefname() == "serialize" {
			j.constant()
		}
	}
	inner, steady := j.batch.inner(x.GetQuery())
	j.looked = j.looked || !steady
	j.s.Inner = &inner
	j.params = inner.Params
	if inner.Kind == KindUnknown {
		j.unknown("EXPLAIN of something unknown")
		return
	}
	if analyze {
		runs := &inner
		if inner.Kind == KindDeclare && inner.Inner != nil {
			runs = inner.Inner // no cursor comes of it
		}
		j.s.Kind = runs.Kind
		if runs.Kind == KindExecute {
			j.s.Name = runs.Name
		}
		j.settled = true
		j.runs(runs, "EXPLAIN ANALYZE")
		return
	}
	// Planning runs immutable functions of constant arguments, and stable ones
	// to estimate: code of users runs even without ANALYZE.
	j.s.Kind = KindExplain
	j.settled = true
	j.reads = inner.Reads
	for _, a := range inner.Actions() {
		if a.Verb == signalbox.Execute && a.Has(signalbox.TraitOpaque) &&
			(a.Native == "CALL FUNCTION" || a.Native == "OPERATOR" || a.Native == "CAST") {
			j.effect(a)
		}
	}
	j.effect(signalbox.Action{
		Verb: signalbox.Read, Native: "EXPLAIN", Resources: tables(inner.Reads),
		Impact: signalbox.Impact{Count: 0, Scope: signalbox.ScopeOne, Reversible: true},
		Reason: "plans a statement and does not run it",
	})
}

// optionOn reads a boolean option, which is on when it has no value.
func (j *judge) optionOn(d *pg.DefElem) bool {
	arg := pgtree.Unwrap(d.GetArg())
	if arg == nil {
		return true
	}
	j.constant()
	switch x := arg.(type) {
	case *pg.String:
		switch strings.ToLower(x.GetSval()) {
		case "false", "off":
			return false
		}
	case *pg.Boolean:
		return x.GetBoolval()
	case *pg.Integer:
		return x.GetIval() != 0
	case *pg.A_Const:
		return x.GetIval() == nil && !x.GetIsnull() || x.GetIval().GetIval() != 0
	}
	return true
}

func (j *judge) execute(x *pg.ExecuteStmt) {
	j.s.Kind, j.s.Name = KindExecute, x.GetName()
	j.walkAll(x.GetParams())
	j.looked = true // what the name means is not in the text
	inner, ok := j.prepared[x.GetName()]
	if !ok {
		inner = j.ask(x.GetName(), false)
	}
	if inner == nil {
		a := signalbox.Worst("EXECUTE", "runs a prepared statement that was not seen")
		j.s.Runs = &Statement{Action: a}
		j.effect(a)
		return
	}
	j.settled = true
	j.s.Inner = inner
	j.runs(inner, "EXECUTE")
}

// ask asks the session for what a name stands for.
func (j *judge) ask(name string, cursor bool) *Statement {
	j.asked = true
	if j.lookup == nil {
		return nil
	}
	found, ok := j.lookup(name, cursor)
	if !ok {
		return nil
	}
	return &found
}

// fetch judges FETCH and MOVE: they run what the cursor was opened for.
func (j *judge) fetch(x *pg.FetchStmt) {
	j.s.Kind, j.s.Name = KindFetch, x.GetPortalname()
	native := "FETCH"
	if x.GetIsmove() {
		native = "MOVE"
	}
	inner, ok := j.cursors[x.GetPortalname()]
	if !ok {
		inner = j.ask(x.GetPortalname(), true)
	}
	if inner == nil {
		j.quiet(native, "reads on from a cursor", signalbox.TraitSession)
		return
	}
	j.settled = true
	j.looked = true
	j.runs(inner, native)
}

// runs takes over what another statement does that runs inside of this one. Each
// action keeps its own native name, by which policies know it.
func (j *judge) runs(inner *Statement, wrapper string) {
	j.s.Runs = inner
	j.s.Lone = j.s.Lone || inner.Lone
	j.reads = append(j.reads, inner.Reads...)
	j.writes = append(j.writes, inner.Writes...)
	for _, a := range inner.Actions() {
		a.Reason = wrapper + ": " + a.Reason
		j.effect(a)
	}
	j.readOnly = j.readOnly && inner.ReadOnly
}

// remembered notes what the text itself prepares, nil for what it forgets.
func (j *judge) remembered(name string, st *Statement) {
	j.prepared = with(j.prepared, name, st)
}

func (j *judge) createAs(x *pg.CreateTableAsStmt) {
	native := "CREATE TABLE AS"
	if x.GetObjtype() == pg.ObjectType_OBJECT_MATVIEW {
		native = "CREATE MATERIALIZED VIEW"
	}
	q, _ := pgtree.Unwrap(x.GetQuery()).(*pg.SelectStmt)
	j.into(x.GetInto(), native, selection{rank: rankAll})
	if q != nil {
		j.query(q)
		return
	}
	j.adopt(x.GetQuery()) // EXECUTE
}

func (j *judge) copy(x *pg.CopyStmt) {
	j.constant()
	j.settled = true
	native := "COPY TO"
	if x.GetIsFrom() {
		native = "COPY FROM"
	}
	if x.GetIsProgram() || x.GetFilename() != "" {
		what := "a file of the server's host"
		if x.GetIsProgram() {
			native += " PROGRAM"
			what = "a program on the server's host"
		}
		a := j.one(signalbox.Execute, native, "host", "*", "copies through "+what, signalbox.TraitHostFile)
		if x.GetIsProgram() {
			a.Traits = append(a.Traits, signalbox.TraitOpaque)
		}
		a.Impact = signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeUnknown}
	}
	switch {
	case x.GetIsFrom():
		if x.GetFilename() == "" && !x.GetIsProgram() {
			j.s.Kind = KindCopyIn
		}
		a := j.write(signalbox.Create, native, x.GetRelation(), selection{rank: rankRange})
		a.Traits = append(dropTrait(a.Traits, signalbox.TraitRange), signalbox.TraitBulk)
		a.Impact.Reversible = a.Verb == signalbox.Create
		a.Reason = "adds as many rows as the stream holds"
		j.walk(pgtree.Unwrap(x.GetWhereClause()))
	case x.GetQuery() != nil:
		if x.GetFilename() == "" && !x.GetIsProgram() {
			j.s.Kind = KindCopyOut
		}
		kind := j.s.Kind
		j.top(pgtree.Unwrap(x.GetQuery()))
		j.s.Kind = kind
	default:
		if x.GetFilename() == "" && !x.GetIsProgram() {
			j.s.Kind = KindCopyOut
		}
		j.read(x.GetRelation())
		for _, n := range x.GetAttlist() {
			if s, ok := pgtree.Unwrap(n).(*pg.String); ok && secretColumn(s.GetSval()) {
				j.trait(signalbox.TraitCredentials)
			}
		}
		if len(x.GetAttlist()) == 0 && secretStar([]*pg.Node{{Node: &pg.Node_RangeVar{RangeVar: x.GetRelation()}}}) {
			j.trait(signalbox.TraitCredentials)
		}
	}
	if !x.GetIsFrom() && len(j.effects) == 0 {
		j.native = native
		j.settled = false
	}
	j.walkAll(x.GetOptions())
}

// upkeep judges maintenance and locks.
func (j *judge) upkeep(m any) bool {
	switch x := m.(type) {
	case *pg.VacuumStmt:
		native := "ANALYZE"
		if x.GetIsVacuumcmd() {
			native, j.s.Lone = "VACUUM", true
		}
		var traits = []signalbox.Trait{signalbox.TraitMaintenance}
		a := j.one(signalbox.Update, native, "table", "*", "keeps house: no content changes", traits...)
		for _, n := range x.GetOptions() {
			if d, ok := pgtree.Unwrap(n).(*pg.DefElem); ok && d.GetDefname() == "full" && j.optionOn(d) {
				a.Native = "VACUUM FULL"
				a.Reason = "rewrites the table under an exclusive lock"
				a.Impact.Scope = signalbox.ScopeAll
				a.Traits = addTrait(a.Traits, signalbox.TraitInterrupts)
			}
		}
		j.resources(a, x.GetRels())
	case *pg.ClusterStmt:
		a := j.one(signalbox.Update, "CLUSTER", "table", "*", "rewrites the table under an exclusive lock",
			signalbox.TraitMaintenance, signalbox.TraitInterrupts)
		a.Impact.Scope = signalbox.ScopeAll
		if x.GetRelation() != nil {
			j.resource(a, x.GetRelation())
		} else {
			j.s.Lone = true
		}
	case *pg.ReindexStmt:
		name := x.GetName()
		a := j.one(signalbox.Update, "REINDEX", "index", cmpOr(name, "*"), "builds indexes again",
			signalbox.TraitMaintenance, signalbox.TraitDerived)
		switch x.GetKind() {
		case pg.ReindexObjectType_REINDEX_OBJECT_SCHEMA, pg.ReindexObjectType_REINDEX_OBJECT_DATABASE,
			pg.ReindexObjectType_REINDEX_OBJECT_SYSTEM:
			a.Traits = append(a.Traits, signalbox.TraitTop)
			a.Impact.Scope = signalbox.ScopeAll
			j.s.Lone = true
		}
		if x.GetRelation() != nil {
			j.resource(a, x.GetRelation())
		}
		for _, n := range x.GetParams() {
			if d, ok := pgtree.Unwrap(n).(*pg.DefElem); ok && d.GetDefname() == "concurrently" && j.optionOn(d) {
				j.s.Lone = true
			}
		}
	case *pg.RefreshMatViewStmt:
		var a *signalbox.Action
		if x.GetSkipData() {
			a = j.one(signalbox.Delete, "REFRESH MATERIALIZED VIEW WITH NO DATA", "materialized view", "",
				"empties the view: nobody can read it until it is computed again", signalbox.TraitDerived,
				signalbox.TraitInterrupts)
			a.Impact.Reversible = false
		} else {
			a = j.one(signalbox.Update, "REFRESH MATERIALIZED VIEW", "materialized view", "",
				"computes the view again", signalbox.TraitMaintenance, signalbox.TraitDerived)
		}
		j.resource(a, x.GetRelation())
		if _, r := j.relation(x.GetRelation()); r != nil {
			j.viewCalls(r)
		}
	case *pg.CheckPointStmt:
		j.one(signalbox.Update, "CHECKPOINT", "database", "*", "writes dirty pages out", signalbox.TraitMaintenance)
	case *pg.LockStmt:
		if x.GetMode() == 1 { // ACCESS SHARE, what any SELECT takes
			j.quiet("LOCK TABLE", "locks as a read does", signalbox.TraitTransaction)
			return true
		}
		j.settled = true
		a := j.one(signalbox.Update, "LOCK TABLE", "table", "*", "locks others out until the transaction ends",
			signalbox.TraitTransaction)
		a.Resources = nil
		if x.GetMode() >= 5 { // SHARE and stronger: nobody else writes until the end
			a.Impact.Scope = signalbox.ScopeAll
		}
		for _, n := range x.GetRelations() {
			if v, ok := pgtree.Unwrap(n).(*pg.RangeVar); ok {
				res, _, _ := j.table(v)
				a.Resources = append(a.Resources, res)
			}
		}
	default:
		return false
	}
	return true
}

func (j *judge) resources(a *signalbox.Action, rels []*pg.Node) {
	if len(rels) == 0 {
		return
	}
	a.Resources = nil
	for _, n := range rels {
		if r, ok := pgtree.Unwrap(n).(*pg.VacuumRelation); ok && r.GetRelation() != nil {
			res, _, _ := j.table(r.GetRelation())
			a.Resources = append(a.Resources, res)
		}
	}
	a.Impact.Count = int64(len(a.Resources))
}

func (j *judge) resource(a *signalbox.Action, v *pg.RangeVar) {
	res, _, temp := j.table(v)
	res.Whole = true
	if res.Type == "table" && len(a.Resources) == 1 {
		res.Type = a.Resources[0].Type
	}
	a.Resources = []signalbox.Resource{res}
	if temp {
		a.Traits = addTrait(a.Traits, signalbox.TraitTemporary)
	}
}
