package sql

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// A settingClass says what a setting protects.
type settingClass int

const (
	settingPlain     settingClass = iota // time zones, planner hints, time-outs
	settingNames                         // changes what names mean
	settingText                          // changes how the text of statements is read
	settingSafeguard                     // switches a protection off, or evidence
	settingIdentity                      // acts as another role
	settingCode                          // loads code
	settingReadOnly                      // a transaction's own promise not to write
	settingUnknown                       // none that anybody has looked at
)

// harmlessSettings are those that change how one session works and shows things,
// and nothing about what statements mean or what protects others.
var harmlessSettings = nameSet(`
	application_name client_min_messages bytea_output xmlbinary xmloption extra_float_digits lc_messages lc_monetary
	lc_numeric lc_time datestyle intervalstyle timezone timezone_abbreviations default_text_search_config
	gin_fuzzy_search_limit quote_all_identifiers array_nulls synchronize_seqscans

	statement_timeout lock_timeout idle_in_transaction_session_timeout idle_session_timeout transaction_timeout
	deadlock_timeout tcp_keepalives_idle tcp_keepalives_interval tcp_keepalives_count tcp_user_timeout
	client_connection_check_interval

	work_mem maintenance_work_mem hash_mem_multiplier temp_buffers logical_decoding_work_mem temp_file_limit
	max_stack_depth vacuum_buffer_usage_limit vacuum_cost_delay vacuum_cost_limit vacuum_cost_page_dirty
	vacuum_cost_page_hit vacuum_cost_page_miss effective_io_concurrency maintenance_io_concurrency
	backend_flush_after max_parallel_workers max_parallel_workers_per_gather max_parallel_maintenance_workers
	parallel_setup_cost parallel_tuple_cost parallel_leader_participation min_parallel_table_scan_size
	min_parallel_index_scan_size force_parallel_mode debug_parallel_query

	enable_async_append enable_bitmapscan enable_gathermerge enable_hashagg enable_hashjoin enable_incremental_sort
	enable_indexscan enable_indexonlyscan enable_material enable_memoize enable_mergejoin enable_nestloop
	enable_parallel_append enable_parallel_hash enable_partition_pruning enable_partitionwise_aggregate
	enable_partitionwise_join enable_presorted_aggregate enable_seqscan enable_sort enable_tidscan
	enable_group_by_reordering enable_distinct_reordering enable_self_join_elimination
	constraint_exclusion cursor_tuple_fraction default_statistics_target effective_cache_size from_collapse_limit
	join_collapse_limit geqo geqo_effort geqo_generations geqo_pool_size geqo_seed geqo_selection_bias
	geqo_threshold jit jit_above_cost jit_inline_above_cost jit_optimize_above_cost jit_expressions
	jit_tuple_deforming plan_cache_mode random_page_cost seq_page_cost cpu_index_tuple_cost cpu_operator_cost
	cpu_tuple_cost recursive_worktable_factor

	default_transaction_isolation transaction_isolation default_transaction_deferrable transaction_deferrable
	default_tablespace temp_tablespaces default_table_access_method default_toast_compression
	vacuum_freeze_min_age vacuum_freeze_table_age vacuum_multixact_freeze_min_age
	vacuum_multixact_freeze_table_age vacuum_failsafe_age gin_pending_list_limit
	commit_delay commit_siblings seed names
`)

// harmlessSetting reports whether a setting is one of those, or one of an
// application's own, which the server keeps and does not look at.
func harmlessSetting(name string) bool {
	return harmlessSettings[name] || strings.Contains(name, ".") && classOf(name) == settingPlain
}

// classOf classifies a setting by name. Extensions' own settings ("app.user")
// are plain, except pgaudit's and the like.
func classOf(name string) settingClass {
	switch name {
	case "search_path", "default_tablespace", "temp_tablespaces", "default_table_access_method":
		if name == "search_path" {
			return settingNames
		}
		return settingPlain
	case "standard_conforming_strings", "backslash_quote", "client_encoding", "escape_string_warning", "array_nulls",
		"transform_null_equals":
		return settingText
	case "role", "session_authorization":
		return settingIdentity
	case "session_preload_libraries", "local_preload_libraries", "shared_preload_libraries", "dynamic_library_path",
		"archive_command", "restore_command",
		"archive_library", "archive_cleanup_command", "recovery_end_command", "ssl_passphrase_command",
		"jit_provider", "extension_control_path":
		return settingCode
	case "transaction_read_only", "default_transaction_read_only":
		return settingReadOnly
	case "session_replication_role", "row_security", "zero_damaged_pages", "ignore_checksum_failure",
		"ignore_system_indexes", "ignore_invalid_pages",
		"allow_system_table_mods", "event_triggers", "check_function_bodies", "fsync", "full_page_writes",
		"synchronous_commit", "synchronous_standby_names",
		"wal_level", "archive_mode", "archive_timeout", "wal_log_hints", "data_checksums", "ssl",
		"password_encryption", "hba_file", "ident_file",
		"listen_addresses", "logging_collector", "track_activities", "track_counts", "track_functions",
		"track_io_timing", "max_wal_senders",
		"max_replication_slots", "wal_keep_size", "max_slot_wal_keep_size", "autovacuum", "lo_compat_privileges",
		"db_user_namespace", "trace_notify",
		"shared_memory_type", "restrict_nonsystem_relation_kind", "allow_in_place_tablespaces", "allow_alter_system",
		"debug_discard_caches", "row_security_active",
		"default_with_oids", "idle_session_timeout_off", "krb_server_keyfile", "scram_iterations", "lc_messages_off",
		"data_sync_retry", "recovery_target", "primary_conninfo", "hot_standby":
		return settingSafeguard
	}
	switch {
	case strings.HasPrefix(name, "log_"), strings.HasPrefix(name, "pgaudit."), strings.HasPrefix(name, "ssl_"),
		strings.HasPrefix(name, "recovery_"),
		strings.HasPrefix(name, "auto_explain."), strings.HasPrefix(name, "pg_stat_statements."),
		strings.HasPrefix(name, "anon."), strings.HasPrefix(name, "supautils."), strings.HasPrefix(name, "set_user."),
		strings.HasPrefix(name, "credcheck."), strings.HasPrefix(name, "debug_"):
		return settingSafeguard
	case strings.Contains(name, "."), harmlessSettings[name]:
		return settingPlain
	}
	return settingUnknown
}

// set judges SET and RESET in this session.
func (j *judge) set(x *pg.VariableSetStmt) {
	name := strings.ToLower(x.GetName())
	j.s.Local = x.GetIsLocal()
	j.s.Name = name
	switch x.GetKind() {
	case pg.VariableSetKind_VAR_RESET_ALL:
		j.s.Name = "all"
		j.setPath(nil, true)
		j.quiet("RESET ALL", "puts all settings back", signalbox.TraitSession)
		return
	case pg.VariableSetKind_VAR_SET_MULTI:
		j.setTransaction(x)
		return
	}
	reset := x.GetKind() != pg.VariableSetKind_VAR_SET_VALUE
	values := j.settingValues(x.GetArgs())
	if !reset {
		j.s.Value = strings.Join(values, ", ")
	}
	j.setting(name, values, reset)
}

// setTransaction judges SET TRANSACTION and SET SESSION CHARACTERISTICS.
func (j *judge) setTransaction(x *pg.VariableSetStmt) {
	j.s.Name = strings.ToLower(x.GetName())
	for _, n := range x.GetArgs() {
		if d, ok := pgtree.Unwrap(n).(*pg.DefElem); ok && d.GetDefname() == "transaction_read_only" && !j.optionOn(d) {
			j.setting("transaction_read_only", []string{"off"}, false)
			if strings.Contains(j.s.Name, "characteristics") {
				j.gateSetting() // another name of default_transaction_read_only
			}
			return
		}
	}
	j.constant()
	j.quiet("SET TRANSACTION", "says how the transaction runs", signalbox.TraitTransaction)
}

func (j *judge) settingValues(args []*pg.Node) []string {
	j.constant()
	var values []string
	for _, n := range args {
		m := pgtree.Unwrap(n)
		if c, ok := m.(*pg.TypeCast); ok {
			m = pgtree.Unwrap(c.GetArg())
		}
		k, ok := m.(*pg.A_Const)
		if !ok {
			continue
		}
		switch {
		case k.GetSval() != nil:
			values = append(values, k.GetSval().GetSval())
		case k.GetIval() != nil:
			values = append(values, strconv.Itoa(int(k.GetIval().GetIval())))
		case k.GetFval() != nil:
			values = append(values, k.GetFval().GetFval())
		case k.GetBoolval() != nil:
			values = append(values, strconv.FormatBool(k.GetBoolval().GetBoolval()))
		}
	}
	return values
}

// gateSettings are those by which the gate for PostgreSQL holds an agent's session:
// that it only reads, and that what it writes is counted.
var gateSettings = []string{"default_transaction_read_only", "session_replication_role", "track_counts"}

// gateSetting marks what was judged last as the gate's own to set.
func (j *judge) gateSetting() {
	a := &j.effects[len(j.effects)-1]
	a.Traits = addTrait(a.Traits, signalbox.TraitGateSetting)
}

// setting judges what a session's setting becomes.
func (j *judge) setting(name string, values []string, reset bool) {
	native := "SET"
	if reset {
		native = "RESET"
	}
	plain := func(reason string) { j.quiet(native, reason, signalbox.TraitSession) }
	grave := func(reason string) {
		j.settled = true
		j.effect(signalbox.Action{
			Verb: signalbox.Safeguard, Native: native, Resources: []signalbox.Resource{{Type: "setting", Name: name}},
			Impact: signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: true},
			Traits: []signalbox.Trait{signalbox.TraitSession}, Reason: reason,
		})
	}
	if slices.Contains(gateSettings, name) {
		defer j.gateSetting()
	}
	value := strings.ToLower(strings.Join(values, ","))
	on := value == "on" || value == "true" || value == "1" || value == "yes"
	switch classOf(name) {
	case settingPlain:
		plain("changes a setting of this session")
	case settingUnknown:
		if reset {
			plain("puts a setting of this session back")
			return
		}
		j.settled = true
		a := signalbox.Action{
			Verb: signalbox.Update, Native: native, Resources: []signalbox.Resource{{Type: "setting", Name: name}},
			Impact: signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: true},
			Reason: "changes a setting that nobody has looked at",
		}
		inForm(&a, "SET other(setting)")
		j.effect(a)
	case settingNames:
		j.setPath(values, reset)
		for i, v := range values {
			if v == "pg_catalog" && i > 0 || strings.HasPrefix(v, "pg_temp") {
				grave("puts other schemas before PostgreSQL's own: built-in names could mean something else")
				j.unsure = true
				return
			}
		}
		plain("changes where names are looked for in this session")
	case settingText:
		if reset || harmlessText(name, value) {
			plain("says how text is read, in the usual way")
			return
		}
		// The server would read later statements otherwise than we do.
		j.effect(signalbox.Worst("SET", fmt.Sprintf("setting %s so changes how the server reads statements: they could not be judged any more", name)))
		j.settled = true
		j.unsure = true
	case settingIdentity:
		if reset || value == "none" || name == "session_authorization" && value == "default" {
			plain("goes back to the role that the session began with")
			j.readOnly = true
			return
		}
		j.settled = true
		j.effect(signalbox.Action{
			Verb: signalbox.Permission, Native: "SET " + strings.ToUpper(strings.ReplaceAll(name, "_", " ")),
			Resources: []signalbox.Resource{{Type: "role", Name: strings.Join(values, ",")}},
			Impact:    signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: true},
			Traits:    []signalbox.Trait{signalbox.TraitIdentity, signalbox.TraitSession},
			Reason:    "acts as another role from here on",
		})
	case settingCode:
		j.settled = true
		j.effect(signalbox.Action{
			Verb: signalbox.Execute, Native: native, Resources: []signalbox.Resource{{Type: "setting", Name: name}},
			Impact: signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne},
			Traits: []signalbox.Trait{signalbox.TraitOpaque, signalbox.TraitDeferred},
			Reason: "makes the server load code",
		})
	case settingReadOnly:
		if on {
			plain("promises not to write")
			return
		}
		grave("takes back the promise not to write")
	case settingSafeguard:
		if safeValue(name, value) && !reset {
			plain("leaves the protection as it should be")
			return
		}
		grave("changes a setting that protects data or evidence")
	}
}

// harmlessText reports whether a setting leaves statements to be read as we read
// them: encodings in which every ASCII byte means itself.
func harmlessText(name, value string) bool {
	switch name {
	case "standard_conforming_strings":
		return value == "on" || value == "true" || value == "1" || value == "yes"
	case "backslash_quote":
		return value == "safe_encoding" || value == "off"
	case "escape_string_warning", "array_nulls":
		return true
	case "transform_null_equals":
		return value == "off" || value == "false" || value == "0"
	case "client_encoding":
		v := strings.NewReplacer("-", "", "_", "", "'", "").Replace(value)
		return v == "utf8" || v == "unicode" || v == "sqlascii" || strings.HasPrefix(v, "latin") ||
			strings.HasPrefix(v, "iso8859") || strings.HasPrefix(v, "win125") || v == "auto"
	}
	return false
}

// safeValue reports whether a protecting setting is set to what protects.
func safeValue(name, value string) bool {
	switch name {
	case "session_replication_role":
		return value == "origin"
	case "restrict_nonsystem_relation_kind": // a list of what cannot be read
		return strings.Contains(value, "view") && strings.Contains(value, "foreign-table")
	case "row_security":
		return true // off, a query that security would filter fails instead
	case "check_function_bodies", "fsync", "full_page_writes", "synchronous_commit", "event_triggers",
		"track_activities", "track_counts", "autovacuum", "ssl":
		return value == "on" || value == "true" || value == "1" || value == "local" && name != "synchronous_commit" ||
			value == "remote_apply" || value == "remote_write"
	case "zero_damaged_pages", "allow_system_table_mods", "ignore_system_indexes", "ignore_checksum_failure":
		return value == "off" || value == "false" || value == "0"
	case "track_io_timing", "track_functions", "password_encryption":
		return true
	}
	return false
}

// setPath follows a change of the search path within a text.
func (j *judge) setPath(values []string, reset bool) {
	if j.cat == nil {
		return
	}
	if reset {
		j.path, j.unsure = j.cat.SearchPath, true
		return
	}
	j.path = nil
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			part = strings.Trim(strings.TrimSpace(part), `"`)
			if part == "$user" {
				part = j.cat.Role
			}
			if part != "" {
				j.path = append(j.path, part)
			}
		}
	}
}

// settingsRow gives the constant that column "name" is equal to in each row of a query:
// pg_dump sets what the server has so (SELECT set_config(name, …) FROM pg_settings
// WHERE name = '…'). The query must be that plain; whose relation it is does not matter.
func settingsRow(q *pg.SelectStmt) *pg.Node {
	if len(q.GetFromClause()) != 1 || q.GetWithClause() != nil || q.GetOp() != pg.SetOperation_SETOP_NONE {
		return nil
	}
	from, ok := pgtree.Unwrap(q.GetFromClause()[0]).(*pg.RangeVar)
	if !ok || from.GetRelname() != "pg_settings" || from.GetAlias() != nil {
		return nil
	}
	where, ok := pgtree.Unwrap(q.GetWhereClause()).(*pg.A_Expr)
	if !ok || where.GetKind() != pg.A_Expr_Kind_AEXPR_OP || !slices.Equal(nameParts(where.GetName()), []string{"="}) ||
		!isColumn(where.GetLexpr(), "name") {
		return nil
	}
	if _, ok := pgtree.Unwrap(where.GetRexpr()).(*pg.A_Const); !ok {
		return nil
	}
	return where.GetRexpr()
}

func isColumn(n *pg.Node, name string) bool {
	c, ok := pgtree.Unwrap(n).(*pg.ColumnRef)
	return ok && slices.Equal(nameParts(c.GetFields()), []string{name})
}

// setConfig judges set_config(name, value, local), the function form of SET.
func (j *judge) setConfig(args []*pg.Node) {
	if len(args) < 2 {
		j.unknown("set_config without its arguments")
		return
	}
	if j.row != nil && isColumn(args[0], "name") {
		args = append([]*pg.Node{j.row}, args[1:]...)
	}
	name, ok := j.text(pgtree.Unwrap(args[0]))
	if !ok {
		j.effect(signalbox.Worst("SET_CONFIG", "sets a setting whose name is computed"))
		return
	}
	value, ok := j.text(pgtree.Unwrap(args[1]))
	name = strings.ToLower(name)
	if !ok && classOf(name) != settingPlain {
		j.effect(signalbox.Worst("SET_CONFIG", "sets a setting that matters to a computed value"))
		return
	}
	kind, settled := j.s.Kind, j.settled
	values := []string{value}
	if name == "search_path" {
		values = strings.Split(value, ",")
		for i := range values {
			values[i] = strings.Trim(strings.TrimSpace(values[i]), `"`)
		}
	}
	j.setting(name, values, false)
	j.s.Kind, j.settled = kind, settled
	j.s.Name, j.s.Value = name, value
}

// keepSetting judges a setting that outlives the session: ALTER SYSTEM, ALTER
// DATABASE … SET, ALTER ROLE … SET.
func (j *judge) keepSetting(native string, x *pg.VariableSetStmt, kind, object string) {
	name := strings.ToLower(x.GetName())
	values := j.settingValues(x.GetArgs())
	reset := x.GetKind() != pg.VariableSetKind_VAR_SET_VALUE
	a := signalbox.Action{
		Verb: signalbox.Update, Native: native,
		Resources: []signalbox.Resource{{Type: kind, Name: object, Whole: true},
			{Type: "setting", Name: cmpOr(name, "*")}},
		Impact: signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: true},
		Reason: "changes a setting for sessions to come",
	}
	// No kept setting is harmless, a time-out included: it concerns every session
	// to come, and can shut them all out.
	a.Traits = append(a.Traits, signalbox.TraitTop)
	if object == "*" {
		a.Impact.Scope = signalbox.ScopeAll
	}
	class := classOf(name)
	if x.GetKind() == pg.VariableSetKind_VAR_RESET_ALL {
		class, a.Impact.Scope = settingSafeguard, signalbox.ScopeAll
	}
	value := strings.ToLower(strings.Join(values, ","))
	switch class {
	case settingNames, settingText:
		a.Verb, a.Reason = signalbox.Safeguard, "changes what statements of later sessions mean"
	case settingSafeguard, settingReadOnly:
		if reset || !safeValue(name, value) || name == "row_security" && value != "on" {
			a.Verb, a.Reason = signalbox.Safeguard, "changes a setting that protects data or evidence"
		}
	case settingIdentity:
		a.Verb, a.Reason = signalbox.Permission, "later sessions act as another role"
		a.Traits = append(a.Traits, signalbox.TraitIdentity)
	case settingCode:
		a.Verb, a.Reason = signalbox.Execute, "makes the server run a command or load code"
		a.Traits = append(a.Traits, signalbox.TraitDeferred, signalbox.TraitOpaque)
		if name == "archive_command" || name == "archive_library" || name == "restore_command" {
			a.Verb = signalbox.Safeguard
		}
	}
	j.effect(a)
}
