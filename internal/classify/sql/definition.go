package sql

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// definition judges CREATE, ALTER, COMMENT and their like. Expressions inside
// (defaults, checks, index expressions, USING) are walked too: some run at once.
func (j *judge) definition(m any) bool {
	switch x := m.(type) {
	case *pg.CreateStmt:
		j.createTable("CREATE TABLE", "table", x)
		j.makes(x)
	case *pg.CreateForeignTableStmt:
		a := j.createTable("CREATE FOREIGN TABLE", "foreign table", x.GetBaseStmt())
		a.Verb, a.Reason = signalbox.Permission, "opens a way to data of another server"
	case *pg.ViewStmt:
		j.createView(x)
	case *pg.IndexStmt:
		table, _, temp := j.table(x.GetRelation())
		a := j.one(signalbox.Create, "CREATE INDEX", "index", cmpOr(x.GetIdxname(), "*"), "adds an index",
			signalbox.TraitDerived)
		a.Resources = append(a.Resources, signalbox.Resource{Type: "table", Name: table.Name})
		if temp {
			a.Traits = append(a.Traits, signalbox.TraitTemporary)
		}
		inForm(a, formOf(x, a.Native)+j.onNew(x.GetRelation()))
		j.constant()
		j.s.Lone = x.GetConcurrent()
		j.walkAll(x.GetIndexParams())
		j.walk(pgtree.Unwrap(x.GetWhereClause()))
	case *pg.CreateSeqStmt:
		name, _ := j.relation(x.GetSequence())
		a := j.one(signalbox.Create, "CREATE SEQUENCE", "sequence", name, "adds a sequence")
		j.mayShadow(a, x.GetSequence())
		if x.GetSequence().GetRelpersistence() == "t" {
			a.Traits = append(a.Traits, signalbox.TraitTemporary)
		}
	case *pg.AlterSeqStmt:
		j.alterSequence(x)
	case *pg.CreateSchemaStmt:
		j.one(signalbox.Create, "CREATE SCHEMA", "schema", cmpOr(x.GetSchemaname(), roleName(x.GetAuthrole())),
			"adds a schema")
		for _, n := range x.GetSchemaElts() {
			j.top(pgtree.Unwrap(n))
		}
	case *pg.CreatedbStmt:
		j.s.Lone = true
		j.one(signalbox.Create, "CREATE DATABASE", "database", x.GetDbname(), "adds a database", signalbox.TraitTop)
	case *pg.AlterDatabaseStmt:
		j.one(signalbox.Update, "ALTER DATABASE", "database", x.GetDbname(), "changes a database", signalbox.TraitTop)
		for _, n := range x.GetOptions() {
			if d, ok := pgtree.Unwrap(n).(*pg.DefElem); ok && d.GetDefname() == "allow_connections" {
				j.one(signalbox.Safeguard, "ALTER DATABASE", "database", x.GetDbname(),
					"says whether anybody can connect", signalbox.TraitTop)
			} else if ok && d.GetDefname() == "connection_limit" {
				j.one(signalbox.Update, "ALTER DATABASE", "database", x.GetDbname(),
					"says how many can connect", signalbox.TraitTop, signalbox.TraitInterrupts)
			}
		}
	case *pg.AlterDatabaseRefreshCollStmt:
		j.one(signalbox.Update, "ALTER DATABASE REFRESH COLLATION VERSION", "database", x.GetDbname(),
			"notes a collation's version", signalbox.TraitTop, signalbox.TraitMaintenance)
	case *pg.AlterDatabaseSetStmt:
		j.keepSetting("ALTER DATABASE SET", x.GetSetstmt(), "database", x.GetDbname())
	case *pg.AlterSystemStmt:
		j.s.Lone = true
		j.alterSystem(x)
	case *pg.CreateTableSpaceStmt:
		j.s.Lone = true
		j.one(signalbox.Create, "CREATE TABLESPACE", "tablespace", x.GetTablespacename(),
			"takes a folder of the server's host", signalbox.TraitTop, signalbox.TraitHostFile)
	case *pg.AlterTableSpaceOptionsStmt:
		j.one(signalbox.Update, "ALTER TABLESPACE", "tablespace", x.GetTablespacename(), "changes planner costs",
			signalbox.TraitTop)
	case *pg.AlterTableMoveAllStmt:
		a := j.one(signalbox.Update, "ALTER TABLE ALL IN TABLESPACE", "tablespace", x.GetOrigTablespacename(),
			"moves everything to another tablespace", signalbox.TraitTop, signalbox.TraitBulk)
		a.Impact.Scope = signalbox.ScopeAll
	case *pg.AlterTableStmt:
		j.alterTable(x)
	case *pg.RenameStmt:
		j.rename(x)
	case *pg.AlterObjectSchemaStmt:
		name := dotted(objectName(pgtree.Unwrap(x.GetObject())))
		if v := x.GetRelation(); v != nil {
			name, _ = j.relation(v)
		}
		a := j.one(signalbox.Update, "ALTER "+objectWords(x.GetObjectType())+" SET SCHEMA", objectKind(x.GetObjectType()),
			name, "moves the object to another schema", signalbox.TraitRename)
		a.Resources = append(a.Resources, signalbox.Resource{Type: objectKind(x.GetObjectType()),
			Name: x.GetNewschema() + "." + name[strings.LastIndexByte(name, '.')+1:]})
	case *pg.AlterObjectDependsStmt:
		j.one(signalbox.Update, "ALTER DEPENDS ON EXTENSION", objectKind(x.GetObjectType()),
			dotted(objectName(pgtree.Unwrap(x.GetObject()))), "ties an object to an extension")
	case *pg.CommentStmt:
		j.one(signalbox.Update, "COMMENT", objectKind(x.GetObjtype()), dotted(objectName(pgtree.Unwrap(x.GetObject()))),
			"describes an object", signalbox.TraitMaintenance)
	case *pg.SecLabelStmt:
		j.one(signalbox.Safeguard, "SECURITY LABEL", objectKind(x.GetObjtype()),
			dotted(objectName(pgtree.Unwrap(x.GetObject()))), "changes what mandatory access control decides by")
	default:
		return j.types(m) || j.code(m) || j.links(m) || j.security(m)
	}
	return true
}

func (j *judge) createTable(native, kind string, x *pg.CreateStmt) *signalbox.Action {
	name, _ := j.relation(x.GetRelation())
	for _, n := range x.GetTableElts() {
		if like, ok := pgtree.Unwrap(n).(*pg.TableLikeClause); ok {
			source, _ := j.relation(like.GetRelation())
			j.reads = append(j.reads, source)
			continue
		}
		j.walk(pgtree.Unwrap(n))
	}
	j.walkAll(x.GetConstraints())
	if x.GetPartspec() != nil {
		j.walk(x.GetPartspec())
	}
	if x.GetPartbound() != nil {
		j.walk(x.GetPartbound())
	}
	a := j.one(signalbox.Create, native, kind, name, "adds a table")
	j.mayShadow(a, x.GetRelation())
	for _, n := range x.GetInhRelations() {
		if v, ok := pgtree.Unwrap(n).(*pg.RangeVar); ok {
			parent, _, _ := j.table(v)
			a.Resources = append(a.Resources, parent)
		}
	}
	if x.GetRelation().GetRelpersistence() == "t" || x.GetRelation().GetSchemaname() == "pg_temp" {
		a.Traits = append(a.Traits, signalbox.TraitTemporary)
		j.remember(x.GetRelation())
	}
	if x.GetTablespacename() != "" {
		a.Resources = append(a.Resources, signalbox.Resource{Type: "tablespace", Name: x.GetTablespacename()})
	}
	return a
}

func (j *judge) createView(x *pg.ViewStmt) {
	name, r := j.relation(x.GetView())
	native, verb, reason := "CREATE VIEW", signalbox.Create, "adds a view"
	if x.GetReplace() {
		native, reason = "CREATE OR REPLACE VIEW", "adds a view, or changes what it shows"
		if j.cat == nil || r != nil {
			verb = signalbox.Update
		}
	}
	// What a view calls is run by whoever reads it.
	sandbox := *j.batch
	inner := &judge{batch: &sandbox}
	inner.top(pgtree.Unwrap(x.GetQuery()))
	j.reads = append(j.reads, inner.reads...)
	var ts []signalbox.Trait
	for _, a := range inner.effects {
		if a.Verb != signalbox.Read {
			ts = append(ts, signalbox.TraitDeferred)
			verb = signalbox.Execute
			reason = "installs a view that does more than read"
			break
		}
	}
	if inner.worst != "" {
		j.unknown(inner.worst)
	}
	a := j.one(verb, native, "view", name, reason, ts...)
	j.mayShadow(a, x.GetView())
	if x.GetView().GetRelpersistence() == "t" {
		a.Traits = append(a.Traits, signalbox.TraitTemporary)
		j.remember(x.GetView())
		j.views = with(j.views, x.GetView().GetRelname(), true)
	}
}

func (j *judge) alterSequence(x *pg.AlterSeqStmt) {
	name, _ := j.relation(x.GetSequence())
	a := j.one(signalbox.Update, "ALTER SEQUENCE", "sequence", name, "changes how numbers are given")
	for _, n := range x.GetOptions() {
		if d, ok := pgtree.Unwrap(n).(*pg.DefElem); ok && d.GetDefname() == "restart" {
			a.Native, a.Reason = "ALTER SEQUENCE RESTART", "moves a sequence: later inserts may collide"
			a.Impact.Reversible = false
		}
	}
}

func (j *judge) alterSystem(x *pg.AlterSystemStmt) {
	before := len(j.effects)
	j.keepSetting("ALTER SYSTEM", x.GetSetstmt(), "server", "*")
	a := &j.effects[before]
	a.Reason += ", for the whole server"
}

func (j *judge) rename(x *pg.RenameStmt) {
	kind := objectKind(x.GetRenameType())
	name := dotted(objectName(pgtree.Unwrap(x.GetObject())))
	if v := x.GetRelation(); v != nil {
		name, _ = j.relation(v)
	}
	if x.GetSubname() != "" {
		if name == "*" || name == "" {
			name = x.GetSubname()
		} else {
			name += "." + x.GetSubname()
		}
	}
	a := j.one(signalbox.Update, "ALTER "+objectWords(x.GetRenameType())+" RENAME", kind, name,
		"gives another name: what uses the old one breaks", signalbox.TraitRename)
	switch x.GetRenameType() {
	case pg.ObjectType_OBJECT_DATABASE, pg.ObjectType_OBJECT_SCHEMA, pg.ObjectType_OBJECT_TABLESPACE:
		a.Traits = append(a.Traits, signalbox.TraitTop)
	case pg.ObjectType_OBJECT_ROLE:
		a.Verb, a.Impact.Reversible = signalbox.Permission, false
	}
	renamed := x.GetNewname()
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		renamed = name[:i+1] + renamed // it stays where it is
	}
	a.Resources = append(a.Resources, signalbox.Resource{Type: kind, Name: renamed})
}

// types judges types, operators and other things that statements are made of.
func (j *judge) types(m any) bool {
	switch x := m.(type) {
	case *pg.CreateEnumStmt:
		j.one(signalbox.Create, "CREATE TYPE", "type", dotted(nameParts(x.GetTypeName())), "adds a type")
	case *pg.CompositeTypeStmt:
		j.one(signalbox.Create, "CREATE TYPE", "type", dotted(objectName(x.GetTypevar())), "adds a type")
	case *pg.CreateRangeStmt:
		j.one(signalbox.Create, "CREATE TYPE", "type", dotted(nameParts(x.GetTypeName())), "adds a type")
	case *pg.CreateDomainStmt:
		j.one(signalbox.Create, "CREATE DOMAIN", "domain", dotted(nameParts(x.GetDomainname())), "adds a type")
		j.walkAll(x.GetConstraints())
	case *pg.AlterDomainStmt:
		verb, reason := signalbox.Update, "changes a type"
		if x.GetSubtype() == "X" || x.GetSubtype() == "O" {
			verb, reason = signalbox.Safeguard, "loosens what a type checks"
		}
		a := j.one(verb, "ALTER DOMAIN", "domain", dotted(nameParts(x.GetTypeName())), reason)
		j.cascade(a, x.GetBehavior())
		j.walk(pgtree.Unwrap(x.GetDef()))
	case *pg.AlterEnumStmt:
		name := dotted(nameParts(x.GetTypeName()))
		if x.GetOldVal() != "" {
			j.one(signalbox.Update, "ALTER TYPE RENAME VALUE", "type", name,
				"renames a value of an enumeration: what compares with the old one fails", signalbox.TraitRename)
			break
		}
		j.one(signalbox.Create, "ALTER TYPE ADD VALUE", "type", name, "adds a value to an enumeration")
	case *pg.AlterTypeStmt:
		j.one(signalbox.Execute, "ALTER TYPE", "type", dotted(nameParts(x.GetTypeName())),
			"changes the functions of a type", signalbox.TraitDeferred)
	case *pg.CreateStatsStmt:
		j.one(signalbox.Create, "CREATE STATISTICS", "statistics", dotted(nameParts(x.GetDefnames())),
			"tells the planner more", signalbox.TraitDerived, signalbox.TraitMaintenance)
		j.walkAll(x.GetExprs())
	case *pg.AlterStatsStmt:
		j.one(signalbox.Update, "ALTER STATISTICS", "statistics", dotted(nameParts(x.GetDefnames())),
			"tells the planner more or less", signalbox.TraitMaintenance)
	case *pg.AlterCollationStmt:
		j.one(signalbox.Update, "ALTER COLLATION", "collation", dotted(nameParts(x.GetCollname())),
			"notes a collation's version", signalbox.TraitMaintenance)
	case *pg.DefineStmt:
		name := dotted(nameParts(x.GetDefnames()))
		switch x.GetKind() {
		case pg.ObjectType_OBJECT_COLLATION, pg.ObjectType_OBJECT_TSDICTIONARY, pg.ObjectType_OBJECT_TSCONFIGURATION:
			j.one(signalbox.Create, "CREATE "+objectWords(x.GetKind()), objectKind(x.GetKind()), name,
				"adds a definition")
		default: // aggregates, operators, base types, text search parsers and templates: functions by another name
			j.install("CREATE "+objectWords(x.GetKind()), objectKind(x.GetKind()), name)
		}
	case *pg.AlterTSDictionaryStmt:
		j.one(signalbox.Update, "ALTER TEXT SEARCH DICTIONARY", "text search dictionary",
			dotted(nameParts(x.GetDictname())), "changes how text is searched")
	case *pg.AlterTSConfigurationStmt:
		j.one(signalbox.Update, "ALTER TEXT SEARCH CONFIGURATION", "text search configuration",
			dotted(nameParts(x.GetCfgname())), "changes how text is searched")
	case *pg.CreateOpClassStmt:
		j.install("CREATE OPERATOR CLASS", "operator class", dotted(nameParts(x.GetOpclassname())))
	case *pg.CreateOpFamilyStmt:
		j.one(signalbox.Create, "CREATE OPERATOR FAMILY", "operator family", dotted(nameParts(x.GetOpfamilyname())),
			"adds a definition")
	case *pg.AlterOpFamilyStmt:
		j.install("ALTER OPERATOR FAMILY", "operator family", dotted(nameParts(x.GetOpfamilyname())))
	case *pg.AlterOperatorStmt:
		j.install("ALTER OPERATOR", "operator", dotted(objectName(x.GetOpername())))
	case *pg.CreateConversionStmt:
		j.install("CREATE CONVERSION", "conversion", dotted(nameParts(x.GetConversionName())))
	case *pg.CreateCastStmt:
		j.install("CREATE CAST", "cast", "*")
	case *pg.CreateTransformStmt:
		j.install("CREATE TRANSFORM", "transform", "*")
	case *pg.CreateAmStmt:
		j.install("CREATE ACCESS METHOD", "access method", x.GetAmname())
	default:
		return false
	}
	return true
}

// install adds code that acts later, unseen.
func (j *judge) install(native, kind, name string) *signalbox.Action {
	return j.one(signalbox.Execute, native, kind, name, "installs code that acts later, unseen",
		signalbox.TraitDeferred)
}

// code judges functions, triggers, rules, languages and extensions.
func (j *judge) code(m any) bool {
	switch x := m.(type) {
	case *pg.CreateFunctionStmt:
		j.createFunction(x)
	case *pg.AlterFunctionStmt:
		j.alterFunction(x)
	case *pg.CreateTrigStmt:
		name, _ := j.relation(x.GetRelation())
		a := j.install("CREATE TRIGGER", "trigger", name+"."+x.GetTrigname())
		a.Resources = append(a.Resources, signalbox.Resource{Type: "table", Name: name})
	case *pg.CreateEventTrigStmt:
		a := j.install("CREATE EVENT TRIGGER", "event trigger", x.GetTrigname())
		a.Traits = append(a.Traits, signalbox.TraitTop)
	case *pg.AlterEventTrigStmt:
		verb, reason := signalbox.Update, "switches an event trigger on"
		if x.GetTgenabled() == "D" || x.GetTgenabled() == "R" {
			verb, reason = signalbox.Safeguard, "switches an event trigger off"
		}
		j.one(verb, "ALTER EVENT TRIGGER", "event trigger", x.GetTrigname(), reason, signalbox.TraitTop)
	case *pg.RuleStmt:
		name, _ := j.relation(x.GetRelation())
		a := j.install("CREATE RULE", "rule", name+"."+x.GetRulename())
		a.Resources = append(a.Resources, signalbox.Resource{Type: "table", Name: name})
	case *pg.CreatePLangStmt:
		a := j.install("CREATE LANGUAGE", "language", x.GetPlname())
		a.Traits = append(a.Traits, signalbox.TraitTop)
	case *pg.CreateExtensionStmt:
		j.extension(x)
	case *pg.AlterExtensionStmt:
		j.install("ALTER EXTENSION UPDATE", "extension", x.GetExtname())
	case *pg.AlterExtensionContentsStmt:
		j.one(signalbox.Permission, "ALTER EXTENSION", "extension", x.GetExtname(),
			"makes an object part of an extension, or parts it")
	case *pg.LoadStmt:
		j.constant()
		a := j.one(signalbox.Execute, "LOAD", "library", "*", "loads a library into the server",
			signalbox.TraitOpaque, signalbox.TraitHostFile)
		a.Impact = signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeUnknown}
	default:
		return false
	}
	return true
}

func (j *judge) createFunction(x *pg.CreateFunctionStmt) {
	kind := "function"
	if x.GetIsProcedure() {
		kind = "procedure"
	}
	parts := nameParts(x.GetFuncname())
	name := dotted(parts)
	a := j.install("CREATE "+strings.ToUpper(kind), kind, name)
	for _, n := range x.GetOptions() {
		d, ok := pgtree.Unwrap(n).(*pg.DefElem)
		if !ok {
			continue
		}
		switch d.GetDefname() {
		case "security":
			if j.optionOn(d) {
				a.Reason = "installs code that runs with its owner's rights, whoever calls it"
				a.Traits = addTrait(a.Traits, signalbox.TraitIdentity)
			}
		case "language":
			if lang, ok := pgtree.Unwrap(d.GetArg()).(*pg.String); ok {
				j.constant()
				switch l := strings.ToLower(lang.GetSval()); {
				case l == "c" || l == "internal" || strings.HasSuffix(l, "u") && strings.HasPrefix(l, "pl"):
					a.Reason = "installs code that nothing confines"
					a.Traits = addTrait(a.Traits, signalbox.TraitHostFile)
				}
			}
		}
	}
	if len(parts) > 0 {
		j.funcs = with(j.funcs, parts[len(parts)-1], true)
	}
}

func (j *judge) alterFunction(x *pg.AlterFunctionStmt) {
	name := dotted(objectName(x.GetFunc()))
	a := j.one(signalbox.Update, "ALTER FUNCTION", "function", name, "changes how a function runs")
	for _, n := range x.GetActions() {
		if d, ok := pgtree.Unwrap(n).(*pg.DefElem); ok {
			switch d.GetDefname() {
			case "security", "support", "set", "leakproof":
				a.Verb, a.Reason, a.Impact.Reversible = signalbox.Safeguard, "changes with whose rights, or under which settings, a function runs", false
			}
		}
	}
}

// links judges ways to and from other servers.
func (j *judge) links(m any) bool {
	outward := func(native, kind, name, reason string, ts ...signalbox.Trait) {
		j.constant()
		j.one(signalbox.Permission, native, kind, name, reason, ts...)
	}
	switch x := m.(type) {
	case *pg.CreateFdwStmt:
		j.install("CREATE FOREIGN DATA WRAPPER", "foreign data wrapper", x.GetFdwname())
	case *pg.AlterFdwStmt:
		j.install("ALTER FOREIGN DATA WRAPPER", "foreign data wrapper", x.GetFdwname())
	case *pg.CreateForeignServerStmt:
		outward("CREATE SERVER", "server", x.GetServername(), "opens a way to another server")
	case *pg.AlterForeignServerStmt:
		outward("ALTER SERVER", "server", x.GetServername(), "changes a way to another server")
	case *pg.CreateUserMappingStmt:
		outward("CREATE USER MAPPING", "user mapping", roleName(x.GetUser())+"@"+x.GetServername(),
			"keeps credentials for another server", signalbox.TraitCredentials)
	case *pg.AlterUserMappingStmt:
		outward("ALTER USER MAPPING", "user mapping", roleName(x.GetUser())+"@"+x.GetServername(),
			"changes credentials for another server", signalbox.TraitCredentials)
	case *pg.ImportForeignSchemaStmt:
		outward("IMPORT FOREIGN SCHEMA", "schema", x.GetLocalSchema(), "opens a way to data of another server",
			signalbox.TraitBulk)
	case *pg.CreatePublicationStmt:
		a := j.one(signalbox.Permission, "CREATE PUBLICATION", "publication", x.GetPubname(),
			"lets data out to subscribers")
		if x.GetForAllTables() {
			a.Impact.Scope = signalbox.ScopeAll
			a.Traits = append(a.Traits, signalbox.TraitTop)
		}
	case *pg.AlterPublicationStmt:
		verb, reason := signalbox.Permission, "lets more data out to subscribers"
		if x.GetAction() != pg.AlterPublicationAction_AP_AddObjects {
			verb, reason = signalbox.Safeguard, "changes what replicas get"
		}
		j.one(verb, "ALTER PUBLICATION", "publication", x.GetPubname(), reason)
	case *pg.CreateSubscriptionStmt:
		j.s.Lone = true
		outward("CREATE SUBSCRIPTION", "subscription", x.GetSubname(), "lets another server write here",
			signalbox.TraitCredentials, signalbox.TraitBulk)
	case *pg.AlterSubscriptionStmt:
		j.constant()
		j.one(signalbox.Safeguard, "ALTER SUBSCRIPTION", "subscription", x.GetSubname(),
			"changes replication into this database")
	default:
		return false
	}
	return true
}

// security judges row security policies.
func (j *judge) security(m any) bool {
	switch x := m.(type) {
	case *pg.CreatePolicyStmt:
		// Another permissive policy lets more rows through, not fewer.
		name, _ := j.relation(x.GetTable())
		verb, reason := signalbox.Safeguard, "adds a permissive policy: more rows pass row security"
		if !x.GetPermissive() {
			verb, reason = signalbox.Update, "adds a restrictive policy: rows that it does not let through are gone"
		}
		a := j.one(verb, "CREATE POLICY", "policy", name+"."+x.GetPolicyName(), reason)
		if !x.GetPermissive() {
			a.Traits = append(a.Traits, signalbox.TraitInterrupts)
		}
		j.deferredExpressions(x.GetQual(), x.GetWithCheck())
	case *pg.AlterPolicyStmt:
		name, _ := j.relation(x.GetTable())
		j.one(signalbox.Safeguard, "ALTER POLICY", "policy", name+"."+x.GetPolicyName(),
			"changes which rows pass row security")
		j.deferredExpressions(x.GetQual(), x.GetWithCheck())
	default:
		return false
	}
	return true
}

func (j *judge) deferredExpressions(nodes ...*pg.Node) {
	j.walkAll(nodes)
}
