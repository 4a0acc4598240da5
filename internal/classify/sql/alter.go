package sql

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// An alteration says how a subcommand of ALTER TABLE is judged.
type alteration struct {
	verb   signalbox.Verb
	name   string
	reason string
	traits []signalbox.Trait
}

func traits(ts ...signalbox.Trait) []signalbox.Trait { return ts }

// alterations lists every subcommand of ALTER TABLE. One that is missing is not
// understood: worst.
func alterations(t pg.AlterTableType) (alteration, bool) {
	const (
		additive  = "adds to the table"
		loose     = "loosens what the table checks"
		unguarded = "switches a protection of the table off"
		guarded   = "switches a protection of the table on"
		storage   = "changes how the table is stored"
	)
	switch t {
	case pg.AlterTableType_AT_AddColumn, pg.AlterTableType_AT_AddColumnToView:
		return alteration{signalbox.Create, "ADD COLUMN", additive, nil}, true
	case pg.AlterTableType_AT_ColumnDefault, pg.AlterTableType_AT_CookedColumnDefault:
		return alteration{signalbox.Update, "SET DEFAULT", "changes what new rows get", nil}, true
	case pg.AlterTableType_AT_DropNotNull:
		return alteration{signalbox.Safeguard, "DROP NOT NULL", loose, nil}, true
	case pg.AlterTableType_AT_SetNotNull, pg.AlterTableType_AT_CheckNotNull:
		return alteration{signalbox.Update, "SET NOT NULL", "tightens what the table checks", nil}, true
	case pg.AlterTableType_AT_SetExpression:
		return alteration{signalbox.Update, "SET EXPRESSION", "computes a column anew for all rows",
			traits(signalbox.TraitDataLoss)}, true
	case pg.AlterTableType_AT_DropExpression:
		return alteration{signalbox.Update, "DROP EXPRESSION", "a generated column becomes a plain one", nil}, true
	case pg.AlterTableType_AT_SetStatistics, pg.AlterTableType_AT_SetOptions, pg.AlterTableType_AT_ResetOptions,
		pg.AlterTableType_AT_ReAddStatistics, pg.AlterTableType_AT_ReAddComment:
		return alteration{signalbox.Update, "SET STATISTICS", "tells the planner more or less",
			traits(signalbox.TraitMaintenance)}, true
	case pg.AlterTableType_AT_SetAccessMethod, pg.AlterTableType_AT_SetTableSpace, pg.AlterTableType_AT_SetLogged:
		return alteration{signalbox.Update, "SET STORAGE", "rewrites the table under an exclusive lock",
			traits(signalbox.TraitBulk)}, true
	case pg.AlterTableType_AT_SetStorage, pg.AlterTableType_AT_SetCompression,
		pg.AlterTableType_AT_ClusterOn, pg.AlterTableType_AT_DropCluster, pg.AlterTableType_AT_DropOids:
		return alteration{signalbox.Update, "SET STORAGE", storage, traits(signalbox.TraitMaintenance)}, true
	case pg.AlterTableType_AT_SetUnLogged:
		return alteration{signalbox.Safeguard, "SET UNLOGGED", "a crash would empty the table, and replicas lose it",
			traits(signalbox.TraitDataLoss)}, true
	case pg.AlterTableType_AT_DropColumn:
		return alteration{signalbox.Delete, "DROP COLUMN", "removes a column with what is in it",
			traits(signalbox.TraitDataLoss)}, true
	case pg.AlterTableType_AT_AddIndex, pg.AlterTableType_AT_ReAddIndex, pg.AlterTableType_AT_AddIndexConstraint:
		return alteration{signalbox.Create, "ADD INDEX", additive, nil}, true
	case pg.AlterTableType_AT_AddConstraint, pg.AlterTableType_AT_ReAddConstraint,
		pg.AlterTableType_AT_ReAddDomainConstraint:
		return alteration{signalbox.Create, "ADD CONSTRAINT", "adds a check to the table", nil}, true
	case pg.AlterTableType_AT_AlterConstraint:
		return alteration{signalbox.Safeguard, "ALTER CONSTRAINT", "changes when or whether a constraint is checked",
			nil}, true
	case pg.AlterTableType_AT_ValidateConstraint:
		return alteration{signalbox.Update, "VALIDATE CONSTRAINT", "checks the rows that are there",
			traits(signalbox.TraitMaintenance)}, true
	case pg.AlterTableType_AT_DropConstraint:
		return alteration{signalbox.Safeguard, "DROP CONSTRAINT", loose, nil}, true
	case pg.AlterTableType_AT_AlterColumnType:
		return alteration{signalbox.Update, "ALTER COLUMN TYPE", "rewrites a column: values may be cut or lost",
			traits(signalbox.TraitDataLoss)}, true
	case pg.AlterTableType_AT_AlterColumnGenericOptions, pg.AlterTableType_AT_GenericOptions:
		return alteration{signalbox.Permission, "OPTIONS", "changes where a foreign table points", nil}, true
	case pg.AlterTableType_AT_ChangeOwner:
		return alteration{signalbox.Permission, "OWNER TO", "gives the table to another owner",
			traits(signalbox.TraitAdmin)}, true
	case pg.AlterTableType_AT_SetRelOptions, pg.AlterTableType_AT_ResetRelOptions,
		pg.AlterTableType_AT_ReplaceRelOptions:
		return alteration{signalbox.Update, "SET OPTIONS", storage, traits(signalbox.TraitMaintenance)}, true
	case pg.AlterTableType_AT_EnableTrig, pg.AlterTableType_AT_EnableAlwaysTrig, pg.AlterTableType_AT_EnableTrigAll,
		pg.AlterTableType_AT_EnableTrigUser:
		return alteration{signalbox.Update, "ENABLE TRIGGER", guarded, nil}, true
	case pg.AlterTableType_AT_EnableReplicaTrig:
		return alteration{signalbox.Safeguard, "ENABLE REPLICA TRIGGER",
			"the trigger no longer fires for ordinary sessions", nil}, true
	case pg.AlterTableType_AT_DisableTrig, pg.AlterTableType_AT_DisableTrigAll, pg.AlterTableType_AT_DisableTrigUser:
		return alteration{signalbox.Safeguard, "DISABLE TRIGGER", unguarded, nil}, true
	case pg.AlterTableType_AT_EnableRule, pg.AlterTableType_AT_EnableAlwaysRule:
		return alteration{signalbox.Update, "ENABLE RULE", guarded, nil}, true
	case pg.AlterTableType_AT_EnableReplicaRule, pg.AlterTableType_AT_DisableRule:
		return alteration{signalbox.Safeguard, "DISABLE RULE", unguarded, nil}, true
	case pg.AlterTableType_AT_AddInherit:
		return alteration{signalbox.Update, "INHERIT", "adds the table's rows to a parent", nil}, true
	case pg.AlterTableType_AT_DropInherit:
		return alteration{signalbox.Delete, "NO INHERIT", "takes the table's rows out of its parent",
			traits(signalbox.TraitDataLoss)}, true
	case pg.AlterTableType_AT_AddOf, pg.AlterTableType_AT_DropOf:
		return alteration{signalbox.Update, "OF", "binds the table to a type, or looses it", nil}, true
	case pg.AlterTableType_AT_ReplicaIdentity:
		return alteration{signalbox.Update, "REPLICA IDENTITY", "changes what replication tells of a row", nil}, true
	case pg.AlterTableType_AT_ForceRowSecurity:
		// Without a policy for the owner every row is gone for the application.
		return alteration{signalbox.Safeguard, "FORCE ROW LEVEL SECURITY",
			"hides rows from the table's owner, all of them where no policy shows them", nil}, true
	case pg.AlterTableType_AT_EnableRowSecurity:
		return alteration{signalbox.Update, "ENABLE ROW LEVEL SECURITY",
			"hides rows from everybody but the owner, all of them where no policy shows them",
			traits(signalbox.TraitInterrupts)}, true
	case pg.AlterTableType_AT_DisableRowSecurity, pg.AlterTableType_AT_NoForceRowSecurity:
		return alteration{signalbox.Safeguard, "DISABLE ROW LEVEL SECURITY", unguarded, nil}, true
	case pg.AlterTableType_AT_AttachPartition:
		return alteration{signalbox.Update, "ATTACH PARTITION", "adds a table's rows to a partitioned table", nil}, true
	case pg.AlterTableType_AT_DetachPartition, pg.AlterTableType_AT_DetachPartitionFinalize:
		return alteration{signalbox.Delete, "DETACH PARTITION", "takes a partition's rows out of the table",
			traits(signalbox.TraitDataLoss)}, true
	case pg.AlterTableType_AT_AddIdentity, pg.AlterTableType_AT_SetIdentity:
		return alteration{signalbox.Update, "SET IDENTITY", "changes how numbers are given", nil}, true
	case pg.AlterTableType_AT_DropIdentity:
		return alteration{signalbox.Update, "DROP IDENTITY", "new rows get no number by themselves", nil}, true
	}
	return alteration{}, false
}

func (j *judge) alterTable(x *pg.AlterTableStmt) {
	res, r, temp := j.table(x.GetRelation())
	kind := objectKind(x.GetObjtype())
	if kind != "object type undefined" {
		res.Type = kind
	}
	for _, n := range x.GetCmds() {
		cmd, ok := pgtree.Unwrap(n).(*pg.AlterTableCmd)
		if !ok {
			j.unknown("an unknown part of ALTER TABLE")
			return
		}
		alt, ok := alterations(cmd.GetSubtype())
		if !ok {
			j.unknown("an unknown subcommand of ALTER TABLE")
			return
		}
		if d, ok := pgtree.Unwrap(cmd.GetDef()).(*pg.ReplicaIdentityStmt); ok && d.GetIdentityType() == "n" {
			alt.verb, alt.reason = signalbox.Safeguard, "replicas are not told which rows change: updates and deletes of a published table fail"
		}
		a := signalbox.Action{
			Verb: alt.verb, Native: "ALTER " + objectWords(x.GetObjtype()) + " " + alt.name,
			Resources: []signalbox.Resource{res},
			Impact:    signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: reversible(alt.verb)},
			Traits:    append([]signalbox.Trait(nil), alt.traits...),
			Reason:    alt.reason,
		}
		if cmd.GetName() != "" {
			a.Resources = append(a.Resources,
				signalbox.Resource{Type: partKind(cmd.GetSubtype()), Name: res.Name + "." + cmd.GetName(), Whole: true})
		}
		if p, ok := pgtree.Unwrap(cmd.GetDef()).(*pg.PartitionCmd); ok && p.GetName() != nil {
			part, _, _ := j.table(p.GetName())
			a.Resources = append(a.Resources, part)
			j.s.Lone = j.s.Lone || p.GetConcurrent()
		}
		if a.Has(signalbox.TraitDataLoss) {
			a.Impact.Reversible = false
		}
		if cmd.GetSubtype() == pg.AlterTableType_AT_AlterColumnType {
			j.alterType(&a, cmd)
		}
		if k, ok := pgtree.Unwrap(cmd.GetDef()).(*pg.Constraint); ok && k.GetContype() == pg.ConstrType_CONSTR_FOREIGN &&
			strings.ContainsAny(k.GetFkDelAction(), "cnd") {
			a.Traits = append(a.Traits, signalbox.TraitCascade, signalbox.TraitDeferred)
			a.Reason = "from here on, deleting elsewhere deletes or empties rows of this table"
		}
		if cmd.GetSubtype() == pg.AlterTableType_AT_ColumnDefault && cmd.GetDef() == nil {
			a.Native = "ALTER " + objectWords(x.GetObjtype()) + " DROP DEFAULT"
		}
		if k, ok := pgtree.Unwrap(cmd.GetDef()).(*pg.Constraint); ok && k.GetContype() == pg.ConstrType_CONSTR_CHECK &&
			!asksOfRow(pgtree.Unwrap(k.GetRawExpr()), 0) {
			a.Traits = append(a.Traits, signalbox.TraitInterrupts)
			a.Reason = "the check asks nothing of a row: it lets all pass, or none"
		}
		if guardsView(cmd.GetDef()) {
			a.Verb, a.Impact.Reversible = signalbox.Safeguard, reversible(signalbox.Safeguard)
			a.Traits = dropTrait(a.Traits, signalbox.TraitMaintenance)
			a.Reason = "changes with whose rights a view reads, or what it keeps from being seen"
		}
		j.cascade(&a, cmd.GetBehavior())
		if temp {
			a.Traits = addTrait(a.Traits, signalbox.TraitTemporary)
		}
		if isAudit(res.Name) && (a.Verb == signalbox.Delete || a.Has(signalbox.TraitDataLoss)) {
			j.auditLoss(a.Native, res)
		}
		j.constant() // defaults, checks and options are named by their values
		inForm(&a, formOfCommand(x, cmd)+j.onNew(x.GetRelation()))
		j.effect(a)
		j.walk(pgtree.Unwrap(cmd.GetDef()))
	}
	j.writes = append(j.writes, res.Name)
	if r != nil {
		j.writes = append(j.writes, r.Children...)
	}
}

// alterType tells the changes of type that lose nothing from the others. The
// old type is not in the request, so only a change to what holds everything,
// without a computation of the new value, is known to be safe.
// guardsView reports whether storage options are among those that decide what
// a view lets through.
func guardsView(def *pg.Node) bool {
	list, ok := pgtree.Unwrap(def).(*pg.List)
	if !ok {
		return false
	}
	for _, n := range list.GetItems() {
		if d, ok := pgtree.Unwrap(n).(*pg.DefElem); ok {
			switch d.GetDefname() {
			case "security_barrier", "security_invoker", "check_option":
				return true
			}
		}
	}
	return false
}

func (j *judge) alterType(a *signalbox.Action, cmd *pg.AlterTableCmd) {
	def, ok := pgtree.Unwrap(cmd.GetDef()).(*pg.ColumnDef)
	if !ok || def.GetRawDefault() != nil {
		return
	}
	parts := nameParts(def.GetTypeName().GetNames())
	if len(parts) == 0 || len(def.GetTypeName().GetTypmods()) > 0 || len(def.GetTypeName().GetArrayBounds()) > 0 {
		return
	}
	switch parts[len(parts)-1] {
	case "text", "int8", "numeric", "timestamptz":
		a.Traits = append(dropTrait(a.Traits, signalbox.TraitDataLoss), signalbox.TraitBulk)
		a.Reason = "widens a column's type, and may rewrite the table under an exclusive lock"
		a.Impact.Reversible = true
	}
}

func partKind(t pg.AlterTableType) string {
	switch t {
	case pg.AlterTableType_AT_DropConstraint, pg.AlterTableType_AT_ValidateConstraint,
		pg.AlterTableType_AT_AlterConstraint:
		return "constraint"
	case pg.AlterTableType_AT_EnableTrig, pg.AlterTableType_AT_DisableTrig, pg.AlterTableType_AT_EnableAlwaysTrig,
		pg.AlterTableType_AT_EnableReplicaTrig:
		return "trigger"
	case pg.AlterTableType_AT_EnableRule, pg.AlterTableType_AT_DisableRule, pg.AlterTableType_AT_EnableAlwaysRule,
		pg.AlterTableType_AT_EnableReplicaRule:
		return "rule"
	case pg.AlterTableType_AT_SetTableSpace:
		return "tablespace"
	case pg.AlterTableType_AT_SetAccessMethod:
		return "access method"
	case pg.AlterTableType_AT_ClusterOn:
		return "index"
	}
	return "column"
}
