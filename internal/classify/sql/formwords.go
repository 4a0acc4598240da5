package sql

import (
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// These name the fields of a form whose meaning lies in their value.

// unwrapped gives what is inside of a field that holds one node.
func unwrapped(v protoreflect.Value) any {
	n, _ := v.Message().Interface().(*pg.Node)
	return pgtree.Unwrap(n)
}

// listed gives what is inside of a field that holds a list of nodes.
func listed(v protoreflect.Value) []any {
	all := make([]any, v.List().Len())
	for i := range all {
		n, _ := v.List().Get(i).Message().Interface().(*pg.Node)
		all[i] = pgtree.Unwrap(n)
	}
	return all
}

// typeWords tells the types that are more than a type: a sequence comes with them.
func typeWords(w *words, in protoreflect.Message, _ protoreflect.Value) {
	t, _ := in.Interface().(*pg.TypeName)
	if parts := nameParts(t.GetNames()); len(parts) == 1 {
		switch strings.ToLower(parts[0]) {
		case "serial", "serial2", "serial4", "serial8", "bigserial", "smallserial":
			w.add("serial")
		}
	}
}

func inherits(w *words, in protoreflect.Message, _ protoreflect.Value) {
	if x, ok := in.Interface().(*pg.CreateStmt); ok && x.GetPartbound() != nil {
		w.add("partition-of")
		return
	}
	w.add("inherits")
}

// relOptions are those of tables: how they are stored, and how they are kept.
func relOptions(w *words, _ protoreflect.Message, v protoreflect.Value) { storageOptions(w, listed(v)) }

func storageOptions(w *words, all []any) {
	for _, m := range all {
		d, ok := m.(*pg.DefElem)
		if !ok || d.GetDefnamespace() != "" && d.GetDefnamespace() != "toast" {
			w.other("option")
			continue
		}
		switch n := d.GetDefname(); {
		case slices.Contains([]string{"fillfactor", "autovacuum_enabled", "parallel_workers", "toast_tuple_target",
			"user_catalog_table", "vacuum_index_cleanup", "vacuum_truncate", "log_autovacuum_min_duration",
			"n_distinct", "n_distinct_inherited", "security_barrier", "security_invoker", "check_option"}, n),
			slices.Contains(autovacuumOptions, n):
			w.add(optionWord(d))
		default:
			w.other("option")
		}
	}
}

// optionWord names an option, and tells one that is switched off from one that is
// on or has a value.
func optionWord(d *pg.DefElem) string {
	text := ""
	switch x := pgtree.Unwrap(d.GetArg()).(type) {
	case *pg.String:
		text = x.GetSval()
	case *pg.TypeName: // a word without quotes
		text = last(nameParts(x.GetNames()))
	case *pg.Boolean:
		text = strconv.FormatBool(x.GetBoolval())
	case *pg.Integer:
		switch d.GetDefname() {
		case "start", "minvalue", "maxvalue", "increment", "cache", "restart", "connectionlimit", "connection_limit":
			return d.GetDefname() // a number, and not a word for no
		}
		text = strconv.Itoa(int(x.GetIval()))
	}
	switch strings.ToLower(text) {
	case "false", "fals", "fal", "fa", "f", "off", "of", "no", "n", "0":
		return "no-" + d.GetDefname()
	}
	return d.GetDefname()
}

var autovacuumOptions = []string{"autovacuum_analyze_scale_factor", "autovacuum_analyze_threshold",
	"autovacuum_vacuum_scale_factor", "autovacuum_vacuum_threshold", "autovacuum_vacuum_insert_scale_factor",
	"autovacuum_vacuum_insert_threshold", "autovacuum_vacuum_cost_delay", "autovacuum_vacuum_cost_limit",
	"autovacuum_freeze_max_age", "autovacuum_freeze_min_age", "autovacuum_freeze_table_age",
	"autovacuum_multixact_freeze_max_age", "autovacuum_multixact_freeze_min_age",
	"autovacuum_multixact_freeze_table_age"}

// constraintOptions are a sequence's for an identity, an index's for a key.
func constraintOptions(w *words, in protoreflect.Message, v protoreflect.Value) {
	if k, ok := in.Interface().(*pg.Constraint); ok && k.GetContype() == pg.ConstrType_CONSTR_IDENTITY {
		sequenceOptions.by(w, in, v)
		return
	}
	storageOptions(w, listed(v))
}

// accessMethod says nothing of those that PostgreSQL ships, and of well-known ones.
func accessMethod(w *words, _ protoreflect.Message, v protoreflect.Value) {
	switch v.String() {
	case "btree", "hash", "gin", "gist", "spgist", "brin", "hnsw", "ivfflat", "bloom":
	default:
		w.other("access-method")
	}
}

// opclass tells the operator classes that PostgreSQL and well-known extensions
// ship from those of users, which run their code.
func opclass(w *words, _ protoreflect.Message, v protoreflect.Value) {
	parts := []string{}
	for _, m := range listed(v) {
		s, _ := m.(*pg.String)
		parts = append(parts, s.GetSval())
	}
	if len(parts) == 1 {
		switch parts[0] {
		case "text_ops", "text_pattern_ops", "varchar_ops", "varchar_pattern_ops", "bpchar_ops", "bpchar_pattern_ops",
			"int2_ops", "int4_ops", "int8_ops", "uuid_ops", "date_ops", "timestamp_ops", "timestamptz_ops",
			"numeric_ops", "inet_ops", "array_ops", "jsonb_ops", "jsonb_path_ops", "tsvector_ops", "range_ops",
			"gin_trgm_ops", "gist_trgm_ops", "gist_ltree_ops", "gist_geometry_ops_2d", "vector_l2_ops",
			"vector_ip_ops", "vector_cosine_ops", "vector_l1_ops", "halfvec_cosine_ops", "halfvec_l2_ops",
			"timestamptz_minmax_ops", "int8_minmax_ops", "int4_minmax_ops", "timestamptz_bloom_ops", "citext_ops":
			w.add("opclass")
			return
		}
	}
	w.add("opclass(other)")
}

// extensionWords tells the extensions that only compute from others.
func extensionWords(w *words, _ protoreflect.Message, v protoreflect.Value) {
	switch name := strings.ToLower(v.String()); {
	case Reviewed(name):
	case name == "tablefunc" || name == "dict_int" || name == "tsm_system_rows" || name == "tsm_system_time":
	case wellKnown(name):
		w.add("untrusted") // they do more than compute: workers, files of pages, triggers
	default:
		w.other("extension")
	}
}

// domainWords names what ALTER DOMAIN sets.
func domainWords(w *words, in protoreflect.Message, v protoreflect.Value) {
	if x, _ := in.Interface().(*pg.AlterDomainStmt); x.GetSubtype() == "T" {
		w.add(defaultWord(unwrapped(v)))
		return
	}
	w.node(v.Message())
}

// indexed names what an index computes. One that is unique and computes the same
// for all rows lets a single row be.
func indexed(w *words, _ protoreflect.Message, v protoreflect.Value) {
	switch x := unwrapped(v).(type) {
	case *pg.FuncCall:
		switch last(nameParts(x.GetFuncname())) {
		case "lower", "upper", "btrim", "trim":
			if len(x.GetArgs()) == 1 && columnOf(x.GetArgs()[0]) != "" {
				w.add("expression(case)")
				return
			}
		}
	case *pg.A_Expr:
		if op := last(nameParts(x.GetName())); op == "->>" && columnOf(x.GetLexpr()) != "" {
			w.add("expression(field)")
			return
		}
	}
	w.add("expression")
}

// commandWords names what a subcommand of ALTER TABLE sets.
func commandWords(w *words, in protoreflect.Message, v protoreflect.Value) {
	cmd, _ := in.Interface().(*pg.AlterTableCmd)
	def := unwrapped(v)
	switch cmd.GetSubtype() {
	case pg.AlterTableType_AT_ColumnDefault:
		w.add(defaultWord(def))
		return
	case pg.AlterTableType_AT_SetStatistics:
		if _, ok := def.(*pg.Integer); !ok {
			w.other("def")
		}
		return
	case pg.AlterTableType_AT_SetStorage, pg.AlterTableType_AT_SetCompression:
		if _, ok := def.(*pg.String); !ok {
			w.other("def")
		}
		return
	case pg.AlterTableType_AT_SetOptions, pg.AlterTableType_AT_ResetOptions, pg.AlterTableType_AT_SetRelOptions,
		pg.AlterTableType_AT_ResetRelOptions:
		list, ok := def.(*pg.List)
		if !ok {
			w.other("def")
			return
		}
		var all []any
		for _, n := range list.GetItems() {
			all = append(all, pgtree.Unwrap(n))
		}
		storageOptions(w, all)
		return
	}
	w.node(v.Message())
}

func commandMissing(w *words, in protoreflect.Message, _ protoreflect.Value) {
	cmd, _ := in.Interface().(*pg.AlterTableCmd)
	if cmd.GetSubtype() == pg.AlterTableType_AT_AddColumn {
		w.add("if-not-exists")
		return
	}
	w.add("if-exists")
}

// vacuumed says whether tables are named.
func vacuumed(w *words, _ protoreflect.Message, v protoreflect.Value) {
	for _, m := range listed(v) {
		if r, ok := m.(*pg.VacuumRelation); ok {
			w.message(r.ProtoReflect())
			continue
		}
		w.other("rels")
	}
}

func settingWord(w *words, _ protoreflect.Message, v protoreflect.Value) {
	switch n := strings.ToLower(v.String()); {
	case harmlessSettings[n]:
		w.add(n)
	case harmlessSetting(n):
		w.add("custom-setting") // its name is the application's own
	default:
		w.other("setting")
	}
}

// grantedOn names the kind of object; a grant of all privileges is seen here too.
func grantedOn(w *words, in protoreflect.Message, _ protoreflect.Value) {
	g, _ := in.Interface().(*pg.GrantStmt)
	if _, known := pg.ObjectType_name[int32(g.GetObjtype())]; !known {
		w.other("object")
		return
	}
	w.add("on-" + strings.ReplaceAll(objectKind(g.GetObjtype()), " ", "-"))
	if len(g.GetPrivileges()) == 0 {
		w.add("ALL")
	}
}

func privileges(w *words, _ protoreflect.Message, v protoreflect.Value) {
	for _, m := range listed(v) {
		p, _ := m.(*pg.AccessPriv)
		switch n := p.GetPrivName(); n {
		case "select", "insert", "update", "delete", "truncate", "references", "trigger", "usage", "execute", "create",
			"connect", "temporary", "temp", "set", "alter system", "maintain":
			w.add(strings.ToUpper(strings.ReplaceAll(n, " ", "-")))
		case "":
			w.add("ALL")
		default:
			w.other("privilege")
		}
		if len(p.GetCols()) > 0 {
			w.add("columns")
		}
	}
}

func grantees(w *words, _ protoreflect.Message, v protoreflect.Value) {
	for _, m := range listed(v) {
		if r, ok := m.(*pg.RoleSpec); ok {
			w.message(r.ProtoReflect())
			continue
		}
		w.other("grantee")
	}
}

func grantedRoles(w *words, _ protoreflect.Message, v protoreflect.Value) {
	for _, m := range listed(v) {
		if p, ok := m.(*pg.AccessPriv); !ok || len(p.GetCols()) > 0 {
			w.other("role")
		}
	}
}

// expressionWords names the expression of a constraint.
func expressionWords(w *words, in protoreflect.Message, v protoreflect.Value) {
	k, _ := in.Interface().(*pg.Constraint)
	switch k.GetContype() {
	case pg.ConstrType_CONSTR_DEFAULT:
		w.add(defaultWord(unwrapped(v)))
	case pg.ConstrType_CONSTR_CHECK:
		w.add(checkWord(unwrapped(v)))
	case pg.ConstrType_CONSTR_GENERATED: // generated says it
	default:
		w.other("raw_expr")
	}
}

// defaultWord says how a default is computed: a constant and what is stable are
// computed once, what is volatile for each row that is there.
func defaultWord(m any) string {
	kind := "constant"
	var look func(m any, depth int)
	look = func(m any, depth int) {
		if depth > maxDepth {
			kind = "volatile"
			return
		}
		switch x := m.(type) {
		case *pg.A_Const, *pg.TypeCast, *pg.TypeName, *pg.A_ArrayExpr, *pg.String, *pg.Integer, *pg.Float, *pg.Boolean,
			*pg.BitString, *pg.A_Expr, *pg.CollateClause, *pg.List:
		case *pg.SQLValueFunction:
			if kind == "constant" {
				kind = "stable"
			}
		case *pg.FuncCall:
			parts := nameParts(x.GetFuncname())
			n := len(parts)
			_, more := reviewed()[last(parts)]
			if n == 0 || n > 1 && parts[n-2] != "pg_catalog" || more || !builtins()[parts[n-1]] {
				kind = "volatile"
			} else if kind == "constant" {
				kind = "stable"
			}
		default:
			kind = "volatile"
		}
		pgtree.Children(m, func(c any) { look(c, depth+1) })
	}
	look(m, 0)
	return "default(" + kind + ")"
}

func last(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return parts[len(parts)-1]
}
