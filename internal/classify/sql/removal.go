package sql

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// objectKind is the resource type for a kind of object.
func objectKind(t pg.ObjectType) string {
	switch t {
	case pg.ObjectType_OBJECT_MATVIEW:
		return "materialized view"
	case pg.ObjectType_OBJECT_TABCONSTRAINT, pg.ObjectType_OBJECT_DOMCONSTRAINT:
		return "constraint"
	case pg.ObjectType_OBJECT_FDW:
		return "foreign data wrapper"
	case pg.ObjectType_OBJECT_FOREIGN_SERVER:
		return "server"
	case pg.ObjectType_OBJECT_LARGEOBJECT:
		return "large object"
	case pg.ObjectType_OBJECT_STATISTIC_EXT:
		return "statistics"
	case pg.ObjectType_OBJECT_OPCLASS:
		return "operator class"
	case pg.ObjectType_OBJECT_OPFAMILY:
		return "operator family"
	case pg.ObjectType_OBJECT_TSCONFIGURATION:
		return "text search configuration"
	case pg.ObjectType_OBJECT_TSDICTIONARY:
		return "text search dictionary"
	case pg.ObjectType_OBJECT_TSPARSER:
		return "text search parser"
	case pg.ObjectType_OBJECT_TSTEMPLATE:
		return "text search template"
	}
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(t.String(), "OBJECT_"), "_", " "))
}

func objectWords(t pg.ObjectType) string { return strings.ToUpper(objectKind(t)) }

// objectName gives the parts of an object's name, however the grammar wraps it.
func objectName(m any) []string {
	switch x := m.(type) {
	case *pg.String:
		return []string{x.GetSval()}
	case *pg.List:
		var parts []string
		for _, n := range x.GetItems() {
			parts = append(parts, objectName(pgtree.Unwrap(n))...)
		}
		return parts
	case *pg.TypeName:
		return nameParts(x.GetNames())
	case *pg.ObjectWithArgs:
		return nameParts(x.GetObjname())
	case *pg.RangeVar:
		if x.GetSchemaname() != "" {
			return []string{x.GetSchemaname(), x.GetRelname()}
		}
		return []string{x.GetRelname()}
	case *pg.AccessPriv:
		return []string{x.GetPrivName()}
	case *pg.RoleSpec:
		return []string{roleName(x)}
	case *pg.Integer, *pg.Float:
		return []string{"*"}
	}
	return []string{"*"}
}

// removal judges DROP, TRUNCATE and their like.
func (j *judge) removal(m any) bool {
	switch x := m.(type) {
	case *pg.DropStmt:
		j.drop(x)
	case *pg.TruncateStmt:
		j.truncate(x)
	case *pg.DropdbStmt:
		j.s.Lone = true
		a := j.one(signalbox.Delete, "DROP DATABASE", "database", x.GetDbname(), "removes a whole database",
			signalbox.TraitTop)
		a.Impact = signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeAll}
	case *pg.DropTableSpaceStmt:
		j.s.Lone = true
		j.one(signalbox.Delete, "DROP TABLESPACE", "tablespace", x.GetTablespacename(), "removes a tablespace",
			signalbox.TraitTop)
	case *pg.DropSubscriptionStmt:
		j.s.Lone = true
		j.one(signalbox.Safeguard, "DROP SUBSCRIPTION", "subscription", x.GetSubname(),
			"ends replication into this database")
	case *pg.DropUserMappingStmt:
		j.one(signalbox.Delete, "DROP USER MAPPING", "user mapping", roleName(x.GetUser())+"@"+x.GetServername(),
			"removes a role's way into another server")
	default:
		return false
	}
	return true
}

func (j *judge) drop(x *pg.DropStmt) {
	kind := objectKind(x.GetRemoveType())
	native := "DROP " + objectWords(x.GetRemoveType())
	a := signalbox.Action{
		Verb: signalbox.Delete, Native: native,
		Impact: signalbox.Impact{Scope: signalbox.ScopeOne},
		Reason: "removes " + kind,
	}
	j.s.Lone = x.GetConcurrent()
	temporary := len(x.GetObjects()) > 0
	for _, n := range x.GetObjects() {
		parts := objectName(pgtree.Unwrap(n))
		res := signalbox.Resource{Type: kind, Name: dotted(parts), Whole: true}
		switch x.GetRemoveType() {
		case pg.ObjectType_OBJECT_TABLE, pg.ObjectType_OBJECT_VIEW, pg.ObjectType_OBJECT_MATVIEW,
			pg.ObjectType_OBJECT_INDEX,
			pg.ObjectType_OBJECT_SEQUENCE, pg.ObjectType_OBJECT_FOREIGN_TABLE:
			v := &pg.RangeVar{Relname: parts[len(parts)-1]}
			if len(parts) > 1 {
				v.Schemaname = parts[len(parts)-2]
			}
			found, r, temp := j.table(v)
			res.Name, res.ID = found.Name, found.ID
			temporary = temporary && temp
			if isSystem(res.Name) {
				a.Traits = addTrait(a.Traits, signalbox.TraitTop)
			}
			if isAudit(res.Name) {
				j.auditLoss(native, res)
			}
			if r != nil && len(r.Children) > 0 {
				a.Traits = addTrait(a.Traits, signalbox.TraitCascade)
				j.writes = append(j.writes, r.Children...)
			}
			if x.GetRemoveType() == pg.ObjectType_OBJECT_TABLE {
				j.writes = append(j.writes, res.Name)
			}
		default:
			temporary = false
		}
		a.Resources = append(a.Resources, res)
	}
	switch x.GetRemoveType() {
	case pg.ObjectType_OBJECT_INDEX, pg.ObjectType_OBJECT_MATVIEW, pg.ObjectType_OBJECT_STATISTIC_EXT:
		a.Traits = append(a.Traits, signalbox.TraitDerived)
		switch {
		case x.GetRemoveType() == pg.ObjectType_OBJECT_INDEX && !x.GetConcurrent():
			a.Traits = append(a.Traits, signalbox.TraitInterrupts)
			a.Reason = "removes an index and waits in front of everybody who uses the table: DROP INDEX CONCURRENTLY does not"
		case x.GetRemoveType() == pg.ObjectType_OBJECT_MATVIEW:
			a.Traits = append(a.Traits, signalbox.TraitInterrupts)
			a.Reason = "removes a materialized view: whoever reads it fails until it is made again"
		}
	case pg.ObjectType_OBJECT_SCHEMA:
		a.Traits = append(a.Traits, signalbox.TraitTop)
		a.Impact.Scope = signalbox.ScopeAll
	case pg.ObjectType_OBJECT_POLICY:
		a.Verb, a.Reason = signalbox.Safeguard, "removes a row security policy"
	case pg.ObjectType_OBJECT_TRIGGER:
		a.Verb, a.Reason = signalbox.Safeguard, "removes a trigger: what it checked or recorded is no longer"
	case pg.ObjectType_OBJECT_EVENT_TRIGGER:
		a.Verb, a.Reason = signalbox.Safeguard, "removes an event trigger: what it checked or recorded is no longer"
		a.Traits = append(a.Traits, signalbox.TraitTop)
	case pg.ObjectType_OBJECT_RULE:
		a.Verb, a.Reason = signalbox.Safeguard, "removes a rewrite rule"
	case pg.ObjectType_OBJECT_PUBLICATION:
		a.Verb, a.Reason = signalbox.Safeguard, "ends replication out of this database"
	case pg.ObjectType_OBJECT_EXTENSION, pg.ObjectType_OBJECT_LANGUAGE, pg.ObjectType_OBJECT_FDW,
		pg.ObjectType_OBJECT_FOREIGN_SERVER:
		if x.GetBehavior() == pg.DropBehavior_DROP_CASCADE {
			a.Traits = append(a.Traits, signalbox.TraitTop)
		}
	}
	if temporary {
		a.Traits = addTrait(a.Traits, signalbox.TraitTemporary)
	}
	j.cascade(&a, x.GetBehavior())
	n := len(a.Resources)
	a.Impact.Count = int64(n)
	if n > 1 && a.Impact.Scope == signalbox.ScopeOne {
		a.Impact.Scope = signalbox.ScopeSome
	}
	j.effect(a)
}

func (j *judge) truncate(x *pg.TruncateStmt) {
	a := signalbox.Action{
		Verb: signalbox.Delete, Native: "TRUNCATE",
		Impact: signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeAll},
		Traits: []signalbox.Trait{signalbox.TraitUnscoped},
		Reason: "removes all rows",
	}
	temporary := true
	for _, n := range x.GetRelations() {
		v, ok := pgtree.Unwrap(n).(*pg.RangeVar)
		if !ok {
			j.unknown("TRUNCATE of something unknown")
			return
		}
		res, r, temp := j.table(v)
		temporary = temporary && temp
		a.Resources = append(a.Resources, res)
		j.writes = append(j.writes, res.Name)
		if r != nil {
			j.writes = append(j.writes, r.Children...)
			if x.GetBehavior() == pg.DropBehavior_DROP_CASCADE {
				j.writes = append(j.writes, r.Cascades...)
			}
		}
		if isAudit(res.Name) {
			j.auditLoss("TRUNCATE", res)
		}
	}
	if temporary {
		a.Traits = append(a.Traits, signalbox.TraitTemporary)
	}
	j.cascade(&a, x.GetBehavior())
	j.effect(a)
}
