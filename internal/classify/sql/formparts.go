package sql

import (
	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// heads names the statements that [judge] calls by a name which leaves open what
// they are.
var heads = map[string]string{
	"CreateEnumStmt":    "CREATE TYPE AS ENUM",
	"CompositeTypeStmt": "CREATE TYPE AS",
	"CreateRangeStmt":   "CREATE TYPE AS RANGE",
}

// nested are the nodes inside of statements whose fields the table parts names.
// Others are not looked into: other(…).
var nested = map[string]bool{
	"RangeVar": true, "ColumnDef": true, "Constraint": true, "TypeName": true, "IndexElem": true, "IntoClause": true,
	"PartitionBoundSpec": true, "PartitionSpec": true, "PartitionElem": true, "TableLikeClause": true,
	"VariableSetStmt": true, "AccessPriv": true, "RoleSpec": true, "GrantStmt": true, "PartitionCmd": true,
	"VacuumRelation": true, "CreateStmt": true, "ReplicaIdentityStmt": true,
}

var (
	position = part{silent: "where it stands in the text"}
	name     = part{silent: "the name of an object, which the action has among its resources"}
	value    = part{silent: "a number or a text without effect on others"}
	inHead   = part{silent: "the form's head says it"}
	judged   = part{silent: "judged by itself: what it calls and reads"}
	nest     = part{nest: true}
)

func word(w string) part { return part{word: w} }

// letters names a field by its value, "" for one that says nothing.
func letters(known map[string]string) part {
	return part{by: func(w *words, _ protoreflect.Message, v protoreflect.Value) {
		if word, ok := known[v.String()]; ok {
			w.add(word)
			return
		}
		w.other("letter")
	}}
}

// choice names an enumeration by the number of its value, "" for one that says
// nothing.
func choice[E ~int32](known map[E]string) part {
	return part{by: func(w *words, _ protoreflect.Message, v protoreflect.Value) {
		if word, ok := known[E(v.Enum())]; ok {
			w.add(word)
			return
		}
		w.other("choice")
	}}
}

// options names each element of a list of options that is among those known, by
// [optionWord].
func options(known ...string) part {
	set := map[string]bool{}
	for _, k := range known {
		set[k] = true
	}
	return part{by: func(w *words, _ protoreflect.Message, v protoreflect.Value) {
		for i := range v.List().Len() {
			n, _ := v.List().Get(i).Message().Interface().(*pg.Node)
			d, ok := pgtree.Unwrap(n).(*pg.DefElem)
			if !ok || d.GetDefnamespace() != "" || !set[d.GetDefname()] {
				w.other("option")
				continue
			}
			w.add(optionWord(d))
		}
	}}
}

// sequenceOptions are those of CREATE and ALTER SEQUENCE and of identity columns.
var sequenceOptions = options("as", "start", "increment", "minvalue", "maxvalue", "cache", "cycle", "restart",
	"owned_by", "sequence_name")

var behavior = choice(map[pg.DropBehavior]string{
	pg.DropBehavior_DROP_RESTRICT: "", pg.DropBehavior_DROP_CASCADE: "cascade"})

// parts says of each field of each statement how it is named in a form. A field
// that is not here is other(…), and so unreviewed.
var parts = map[string]part{
	// What many statements have.
	"RangeVar.catalogname":    name,
	"RangeVar.schemaname":     name,
	"RangeVar.relname":        name,
	"RangeVar.inh":            {silent: "with what inherits, as usual; without is less"},
	"RangeVar.relpersistence": letters(map[string]string{"p": "", "t": "temporary", "u": "unlogged"}),
	"RangeVar.location":       position,
	"TypeName.names":          {by: typeWords},
	"TypeName.typmods":        value,
	"TypeName.typemod":        value,
	"TypeName.array_bounds":   value,
	"TypeName.location":       position,
	"RoleSpec.roletype": choice(map[pg.RoleSpecType]string{
		pg.RoleSpecType_ROLESPEC_CSTRING: "", pg.RoleSpecType_ROLESPEC_CURRENT_ROLE: "self",
		pg.RoleSpecType_ROLESPEC_CURRENT_USER: "self", pg.RoleSpecType_ROLESPEC_SESSION_USER: "self",
		pg.RoleSpecType_ROLESPEC_PUBLIC: "public",
	}),
	"RoleSpec.rolename": name,
	"RoleSpec.location": position,

	// Tables.
	"CreateStmt.relation":      nest,
	"CreateStmt.table_elts":    nest,
	"CreateStmt.inh_relations": {by: inherits},
	"CreateStmt.partbound":     nest,
	"CreateStmt.partspec":      nest,
	"CreateStmt.of_typename":   word("of-type"),
	"CreateStmt.constraints":   nest,
	"CreateStmt.options":       {by: relOptions},
	"CreateStmt.oncommit": choice(map[pg.OnCommitAction]string{
		pg.OnCommitAction_ONCOMMIT_NOOP: "", pg.OnCommitAction_ONCOMMIT_PRESERVE_ROWS: "",
		pg.OnCommitAction_ONCOMMIT_DELETE_ROWS: "on-commit(delete)",
		pg.OnCommitAction_ONCOMMIT_DROP:        "on-commit(drop)",
	}),
	"CreateStmt.tablespacename":         word("tablespace"),
	"CreateStmt.access_method":          word("access-method"),
	"CreateStmt.if_not_exists":          word("if-not-exists"),
	"CreateForeignTableStmt.base_stmt":  nest,
	"CreateForeignTableStmt.servername": name,
	"PartitionBoundSpec.strategy":       value,
	"PartitionBoundSpec.is_default":     word("default-partition"),
	"PartitionBoundSpec.modulus":        value,
	"PartitionBoundSpec.remainder":      value,
	"PartitionBoundSpec.listdatums":     value,
	"PartitionBoundSpec.lowerdatums":    value,
	"PartitionBoundSpec.upperdatums":    value,
	"PartitionBoundSpec.location":       position,
	"PartitionSpec.strategy": choice(map[pg.PartitionStrategy]string{
		pg.PartitionStrategy_PARTITION_STRATEGY_LIST:  "partition-by",
		pg.PartitionStrategy_PARTITION_STRATEGY_RANGE: "partition-by",
		pg.PartitionStrategy_PARTITION_STRATEGY_HASH:  "partition-by",
	}),
	"PartitionSpec.part_params": nest,
	"PartitionSpec.location":    position,
	"PartitionElem.name":        name,
	"PartitionElem.expr":        word("expression"),
	"PartitionElem.collation":   word("collate"),
	"PartitionElem.opclass":     word("opclass(other)"),
	"PartitionElem.location":    position,
	"TableLikeClause.relation":  word("like"),
	"TableLikeClause.options":   {silent: "what is copied into what is new"},
	"ColumnDef.colname":         name,
	"ColumnDef.type_name":       nest,
	"ColumnDef.compression":     word("compression"),
	"ColumnDef.storage_name":    word("storage"),
	"ColumnDef.raw_default":     word("using"),
	"ColumnDef.is_local":        {silent: "the parser always sets it"},
	"ColumnDef.coll_clause":     word("collate"),
	"ColumnDef.constraints":     nest,
	"ColumnDef.location":        position,

	"Constraint.contype": choice(map[pg.ConstrType]string{
		pg.ConstrType_CONSTR_NULL: "", pg.ConstrType_CONSTR_NOTNULL: "not-null",
		pg.ConstrType_CONSTR_DEFAULT: "", pg.ConstrType_CONSTR_IDENTITY: "identity",
		pg.ConstrType_CONSTR_GENERATED: "generated", pg.ConstrType_CONSTR_CHECK: "",
		pg.ConstrType_CONSTR_PRIMARY: "primary-key", pg.ConstrType_CONSTR_UNIQUE: "unique",
		pg.ConstrType_CONSTR_EXCLUSION: "exclude", pg.ConstrType_CONSTR_FOREIGN: "references",
		pg.ConstrType_CONSTR_ATTR_DEFERRABLE: "deferrable", pg.ConstrType_CONSTR_ATTR_NOT_DEFERRABLE: "",
		pg.ConstrType_CONSTR_ATTR_DEFERRED: "deferrable", pg.ConstrType_CONSTR_ATTR_IMMEDIATE: "",
	}),
	"Constraint.conname":            name,
	"Constraint.deferrable":         word("deferrable"),
	"Constraint.initdeferred":       word("deferrable"),
	"Constraint.skip_validation":    word("not-valid"),
	"Constraint.initially_valid":    {silent: "the reverse of not-valid"},
	"Constraint.is_no_inherit":      word("no-inherit"),
	"Constraint.raw_expr":           {by: expressionWords},
	"Constraint.generated_when":     letters(map[string]string{"a": "", "d": "", "s": ""}),
	"Constraint.nulls_not_distinct": word("nulls-not-distinct"),
	"Constraint.keys":               name,
	"Constraint.including":          word("include"),
	"Constraint.exclusions":         word("exclude"),
	"Constraint.options":            {by: constraintOptions},
	"Constraint.indexname":          word("using-index"),
	"Constraint.indexspace":         word("tablespace"),
	"Constraint.access_method":      {by: accessMethod},
	"Constraint.where_clause":       word("where"),
	"Constraint.pktable":            nest,
	"Constraint.fk_attrs":           name,
	"Constraint.pk_attrs":           name,
	"Constraint.fk_matchtype":       letters(map[string]string{"s": "", "f": "match-full"}),
	"Constraint.fk_upd_action": letters(map[string]string{
		"a": "", "r": "", "c": "on-update(cascade)", "n": "on-update(set-null)",
		"d": "on-update(set-default)",
	}),
	"Constraint.fk_del_action": letters(map[string]string{
		"a": "", "r": "", "c": "on-delete(cascade)", "n": "on-delete(set-null)",
		"d": "on-delete(set-default)",
	}),
	"Constraint.location": position,

	"AlterTableStmt.relation":   nest,
	"AlterTableStmt.objtype":    inHead,
	"AlterTableStmt.missing_ok": word("if-exists"),
	"AlterTableCmd.subtype":     inHead,
	"AlterTableCmd.name":        name,
	"AlterTableCmd.num":         value,
	"AlterTableCmd.newowner":    nest,
	"AlterTableCmd.def":         {by: commandWords},
	"AlterTableCmd.behavior":    behavior,
	"AlterTableCmd.missing_ok":  {by: commandMissing},
	"PartitionCmd.name":         nest,
	"PartitionCmd.bound":        nest,
	"PartitionCmd.concurrent":   word("concurrently"),
	"ReplicaIdentityStmt.identity_type": letters(map[string]string{
		"d": "default", "f": "full", "n": "nothing", "i": "using-index",
	}),
	"ReplicaIdentityStmt.name": name,

	// Indexes, views, sequences, types.
	"IndexStmt.idxname":                name,
	"IndexStmt.relation":               nest,
	"IndexStmt.access_method":          {by: accessMethod},
	"IndexStmt.table_space":            word("tablespace"),
	"IndexStmt.index_params":           nest,
	"IndexStmt.index_including_params": word("include"),
	"IndexStmt.options": options(
		"fillfactor", "pages_per_range", "fastupdate", "deduplicate_items", "autosummarize", "buffering",
		"gin_pending_list_limit", "m", "ef_construction", "lists", "length",
	),
	"IndexStmt.where_clause":       word("where"),
	"IndexStmt.unique":             word("unique"),
	"IndexStmt.nulls_not_distinct": word("nulls-not-distinct"),
	"IndexStmt.concurrent":         word("concurrently"),
	"IndexStmt.if_not_exists":      word("if-not-exists"),
	"IndexElem.name":               name,
	"IndexElem.expr":               {by: indexed},
	"IndexElem.collation":          word("collate"),
	"IndexElem.opclass":            {by: opclass},
	"IndexElem.ordering":           value,
	"IndexElem.nulls_ordering":     value,
	"ReindexStmt.kind": choice(map[pg.ReindexObjectType]string{
		pg.ReindexObjectType_REINDEX_OBJECT_INDEX:    "index",
		pg.ReindexObjectType_REINDEX_OBJECT_TABLE:    "table",
		pg.ReindexObjectType_REINDEX_OBJECT_SCHEMA:   "schema",
		pg.ReindexObjectType_REINDEX_OBJECT_SYSTEM:   "system",
		pg.ReindexObjectType_REINDEX_OBJECT_DATABASE: "database",
	}),
	"ReindexStmt.relation": nest,
	"ReindexStmt.name":     name,
	"ReindexStmt.params":   options("concurrently", "verbose", "tablespace"),
	"ViewStmt.view":        nest,
	"ViewStmt.aliases":     name,
	"ViewStmt.query":       judged,
	"ViewStmt.replace":     inHead,
	"ViewStmt.options":     options("security_barrier", "security_invoker", "check_option"),
	"ViewStmt.with_check_option": choice(map[pg.ViewCheckOption]string{
		pg.ViewCheckOption_NO_CHECK_OPTION: "", pg.ViewCheckOption_LOCAL_CHECK_OPTION: "check-option",
		pg.ViewCheckOption_CASCADED_CHECK_OPTION: "check-option",
	}),
	"CreateTableAsStmt.query":          judged,
	"CreateTableAsStmt.into":           nest,
	"CreateTableAsStmt.objtype":        inHead,
	"CreateTableAsStmt.is_select_into": value,
	"CreateTableAsStmt.if_not_exists":  word("if-not-exists"),
	"IntoClause.rel":                   nest,
	"IntoClause.col_names":             name,
	"IntoClause.access_method":         word("access-method"),
	"IntoClause.options":               {by: relOptions},
	"IntoClause.on_commit": choice(map[pg.OnCommitAction]string{
		pg.OnCommitAction_ONCOMMIT_NOOP: "", pg.OnCommitAction_ONCOMMIT_PRESERVE_ROWS: "",
		pg.OnCommitAction_ONCOMMIT_DELETE_ROWS: "on-commit(delete)",
		pg.OnCommitAction_ONCOMMIT_DROP:        "on-commit(drop)",
	}),
	"IntoClause.table_space_name":          word("tablespace"),
	"IntoClause.skip_data":                 word("no-data"),
	"RefreshMatViewStmt.concurrent":        word("concurrently"),
	"RefreshMatViewStmt.skip_data":         word("no-data"),
	"RefreshMatViewStmt.relation":          nest,
	"CreateSeqStmt.sequence":               nest,
	"CreateSeqStmt.options":                sequenceOptions,
	"CreateSeqStmt.if_not_exists":          word("if-not-exists"),
	"AlterSeqStmt.sequence":                nest,
	"AlterSeqStmt.options":                 sequenceOptions,
	"AlterSeqStmt.missing_ok":              word("if-exists"),
	"CreateEnumStmt.type_name":             name,
	"CreateEnumStmt.vals":                  value,
	"CompositeTypeStmt.typevar":            nest,
	"CompositeTypeStmt.coldeflist":         nest,
	"AlterEnumStmt.type_name":              name,
	"AlterEnumStmt.old_val":                inHead,
	"AlterEnumStmt.new_val":                value,
	"AlterEnumStmt.new_val_neighbor":       value,
	"AlterEnumStmt.new_val_is_after":       value,
	"AlterEnumStmt.skip_if_new_val_exists": word("if-not-exists"),
	"CreateDomainStmt.domainname":          name,
	"CreateDomainStmt.type_name":           nest,
	"CreateDomainStmt.coll_clause":         word("collate"),
	"CreateDomainStmt.constraints":         nest,
	"CreateStatsStmt.defnames":             name,
	"CreateStatsStmt.stat_types":           value,
	"CreateStatsStmt.exprs":                judged,
	"CreateStatsStmt.relations":            nest,
	"CreateStatsStmt.if_not_exists":        word("if-not-exists"),
	"CreateSchemaStmt.schemaname":          name,
	"CreateSchemaStmt.authrole":            word("authorization"),
	"CreateSchemaStmt.schema_elts":         judged,
	"CreateSchemaStmt.if_not_exists":       word("if-not-exists"),
	"CreateExtensionStmt.extname":          {by: extensionWords},
	"CreateExtensionStmt.if_not_exists":    word("if-not-exists"),
	"CreateExtensionStmt.options":          options("schema", "new_version", "cascade"),

	"AlterDomainStmt.subtype": letters(map[string]string{
		"T": "default", "N": "drop-not-null", "O": "not-null", "C": "add", "X": "drop", "V": "validate",
	}),
	"AlterDomainStmt.type_name":    name,
	"AlterDomainStmt.name":         name,
	"AlterDomainStmt.def":          {by: domainWords},
	"AlterDomainStmt.behavior":     behavior,
	"AlterDomainStmt.missing_ok":   word("if-exists"),
	"CreatePolicyStmt.policy_name": name,
	"CreatePolicyStmt.table":       nest,
	"CreatePolicyStmt.permissive":  {unset: "restrictive"},
	"CreatePolicyStmt.roles":       {by: grantees},
	"CreatePolicyStmt.cmd_name": letters(map[string]string{
		"all": "for(all)", "select": "for(select)", "insert": "for(insert)", "update": "for(update)",
		"delete": "for(delete)",
	}),
	"CreatePolicyStmt.qual":        word("using"),
	"CreatePolicyStmt.with_check":  word("with-check"),
	"AlterStatsStmt.defnames":      name,
	"AlterStatsStmt.stxstattarget": value,
	"AlterStatsStmt.missing_ok":    word("if-exists"),
	"AlterCollationStmt.collname":  name,
	"AlterFunctionStmt.objtype":    inHead,
	"AlterFunctionStmt.func":       name,
	"AlterFunctionStmt.actions": options(
		"volatility", "strict", "cost", "rows", "parallel", "leakproof", "security", "support", "set",
	),
	"CreatedbStmt.dbname": name,
	"CreatedbStmt.options": options(
		"owner", "template", "encoding", "locale", "lc_collate", "lc_ctype", "tablespace",
		"connection_limit", "is_template", "allow_connections",
	),
	"AlterDatabaseStmt.dbname":  name,
	"AlterDatabaseStmt.options": options("connection_limit", "is_template", "allow_connections", "tablespace"),

	// Removal, names, owners.
	"DropStmt.objects":                  name,
	"DropStmt.remove_type":              inHead,
	"DropStmt.behavior":                 behavior,
	"DropStmt.missing_ok":               word("if-exists"),
	"DropStmt.concurrent":               word("concurrently"),
	"TruncateStmt.relations":            nest,
	"TruncateStmt.restart_seqs":         word("restart-identity"),
	"TruncateStmt.behavior":             behavior,
	"RenameStmt.rename_type":            inHead,
	"RenameStmt.relation_type":          value,
	"RenameStmt.relation":               nest,
	"RenameStmt.object":                 name,
	"RenameStmt.subname":                name,
	"RenameStmt.newname":                name,
	"RenameStmt.behavior":               behavior,
	"RenameStmt.missing_ok":             word("if-exists"),
	"AlterObjectSchemaStmt.object_type": inHead,
	"AlterObjectSchemaStmt.relation":    nest,
	"AlterObjectSchemaStmt.object":      name,
	"AlterObjectSchemaStmt.newschema":   name,
	"AlterObjectSchemaStmt.missing_ok":  word("if-exists"),
	"AlterOwnerStmt.object_type":        inHead,
	"AlterOwnerStmt.relation":           nest,
	"AlterOwnerStmt.object":             name,
	"AlterOwnerStmt.newowner":           nest,

	// Upkeep.
	"CommentStmt.objtype":         {silent: "any object can be described"},
	"CommentStmt.object":          name,
	"CommentStmt.comment":         value,
	"VacuumStmt.is_vacuumcmd":     inHead,
	"VacuumStmt.rels":             {by: vacuumed},
	"VacuumRelation.relation":     nest,
	"VacuumRelation.va_cols":      name,
	"NotifyStmt.conditionname":    name,
	"NotifyStmt.payload":          value,
	"NotifyStmt.payload_location": position,
	"VacuumStmt.options": options(
		"full", "freeze", "analyze", "verbose", "skip_locked", "disable_page_skipping", "index_cleanup",
		"truncate", "parallel", "process_main", "process_toast", "buffer_usage_limit",
		"skip_database_stats", "only_database_stats",
	),
	"LockStmt.relations":    nest,
	"LockStmt.mode":         value,
	"LockStmt.nowait":       word("nowait"),
	"ClusterStmt.relation":  nest,
	"ClusterStmt.indexname": name,
	"ClusterStmt.params":    options("verbose"),

	// Rights.
	"GrantStmt.is_grant": inHead,
	"GrantStmt.targtype": choice(map[pg.GrantTargetType]string{
		pg.GrantTargetType_ACL_TARGET_OBJECT:        "",
		pg.GrantTargetType_ACL_TARGET_ALL_IN_SCHEMA: "all-in-schema",
		pg.GrantTargetType_ACL_TARGET_DEFAULTS:      "defaults",
	}),
	"GrantStmt.objtype":                  {by: grantedOn},
	"GrantStmt.objects":                  name,
	"GrantStmt.privileges":               {by: privileges},
	"GrantStmt.grantees":                 {by: grantees},
	"GrantStmt.grant_option":             word("grant-option"),
	"GrantStmt.grantor":                  word("granted-by"),
	"GrantStmt.behavior":                 behavior,
	"AlterDefaultPrivilegesStmt.options": options("schemas", "roles"),
	"AlterDefaultPrivilegesStmt.action":  nest,
	"GrantRoleStmt.granted_roles":        {by: grantedRoles},
	"GrantRoleStmt.grantee_roles":        {by: grantees},
	"GrantRoleStmt.is_grant":             inHead,
	"GrantRoleStmt.opt":                  options("admin", "inherit", "set"),
	"GrantRoleStmt.grantor":              word("granted-by"),
	"GrantRoleStmt.behavior":             behavior,
	"CreateRoleStmt.stmt_type":           {silent: "a role, a user, a group"},
	"CreateRoleStmt.role":                name,
	"CreateRoleStmt.options":             roleOptions,
	"AlterRoleStmt.role":                 nest,
	"AlterRoleStmt.options":              roleOptions,
	"AlterRoleStmt.action":               value,
	"AlterRoleSetStmt.role":              nest,
	"AlterRoleSetStmt.database":          word("in-database"),
	"AlterRoleSetStmt.setstmt":           nest,
	"AlterDatabaseSetStmt.dbname":        name,
	"AlterDatabaseSetStmt.setstmt":       nest,
	"AlterSystemStmt.setstmt":            nest,
	"VariableSetStmt.kind": choice(map[pg.VariableSetKind]string{
		pg.VariableSetKind_VAR_SET_VALUE: "", pg.VariableSetKind_VAR_SET_DEFAULT: "to-default",
		pg.VariableSetKind_VAR_SET_CURRENT: "from-current", pg.VariableSetKind_VAR_RESET: "reset",
		pg.VariableSetKind_VAR_RESET_ALL: "reset-all",
	}),
	"VariableSetStmt.name": {by: settingWord},
	"VariableSetStmt.args": value,
}

var roleOptions = options("canlogin", "inherit", "connectionlimit", "validUntil", "password", "superuser",
	"createrole", "createdb", "bypassrls", "isreplication", "addroleto", "rolemembers", "adminmembers")
