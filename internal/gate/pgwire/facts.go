package pgwire

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// facts are rows of the system catalogs, as far as names and what they mean
// depend on them. They are not changed once read, and share what did not change
// with the facts that were read before.
//
// Reading them whole costs the server some milliseconds for each thousand
// objects, so it is done once. Afterwards sums over each part say whether it is
// still the same. Where it is not, rows written since the last reading are read,
// and, where rows are gone, the list of those that are left. Sums, list and rows
// must then agree, or everything is read whole.
type facts struct {
	// horizon is the oldest transaction that was running, or had not begun, at
	// the time of reading: every row that was not seen will be of this one or
	// of a later one.
	horizon string
	parts   [partCount]part
}

// A part is the rows of one system catalog, by key, and what the server's sums
// over them are.
type part struct {
	rows map[int64]fact
	sums string
}

// A fact is one row, with the transaction that wrote it.
type fact struct {
	xmin string
	row  []string
}

// The parts.
const (
	classes = iota
	namespaces
	rules
	triggers
	keys
	constraints
	inherits
	procedures
	operators
	scalars // types other than composites and arrays
	casts
	attributes // columns of users' types
	partCount
)

// A source says where a part comes from. Its condition looks at columns of the
// catalog's own row alone, so that a row cannot come or go without being
// written.
type source struct {
	table     string
	key       string // a number; with oids its sum is compared
	columns   string
	condition string
}

const byOID = "t.oid::int8"

// plainTypes lists the types that a query gives, an array's elements in its place.
const plainTypes = `(SELECT string_agg((CASE WHEN y.typlen = -1 AND y.typelem <> 0 THEN y.typelem ELSE y.oid END)::text, ' ' ORDER BY u.ord)
 FROM %s WITH ORDINALITY AS u(type, ord) JOIN pg_type y ON y.oid = u.type)`

// listed gives [plainTypes] of an array.
func listed(array string) string { return fmt.Sprintf(plainTypes, "unnest("+array+")") }

// sources are the parts' sources. What else a row's columns look up is fixed
// when the row is written, with two exceptions: a column's new name (then the
// gate reads whole, see names.renamed) and what becomes an extension's later.
var sources = [partCount]source{
	classes: {"pg_class", byOID, "t.relnamespace, t.relname, t.relkind, t.relrowsecurity, t.reltype",
		"t.oid >= 16384 AND t.relnamespace <> 99 AND t.relkind IN ('r','p','v','m','f','S','i','I','c')"}, // 99: pg_toast
	namespaces: {"pg_namespace", byOID, "t.nspname", "true"},
	// What views show and call.
	rules: {"pg_rewrite", byOID, `t.ev_class, t.rulename = '_RETURN', (SELECT string_agg(DISTINCT CASE d.refclassid WHEN 'pg_operator'::regclass THEN concat('t', (SELECT o.oprcode::oid FROM pg_operator o WHERE o.oid = d.refobjid))
  ELSE concat(d.refclassid = 'pg_proc'::regclass, d.refobjid) END, ' ') FROM pg_depend d
 WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = t.oid AND d.refclassid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass) AND d.refobjid >= 16384 AND d.refobjid <> t.ev_class)`,
		"t.oid >= 16384"},
	triggers: {"pg_trigger", byOID, "t.tgrelid", "NOT t.tgisinternal"},
	keys: {"pg_index", "t.indexrelid::int8", `t.indrelid, (SELECT json_agg(a.attname ORDER BY k.ord) FROM unnest(t.indkey) WITH ORDINALITY AS k(attnum, ord)
 JOIN pg_attribute a ON a.attrelid = t.indrelid AND a.attnum = k.attnum WHERE k.ord <= t.indnkeyatts)`,
		"t.indrelid >= 16384 AND t.indisunique AND t.indimmediate AND t.indisvalid AND t.indpred IS NULL AND t.indexprs IS NULL"},
	constraints: {"pg_constraint", byOID, `t.contype, t.confrelid, t.conrelid, t.contypid, t.contype = 'c' AND EXISTS (SELECT FROM pg_depend d
 WHERE d.classid = 'pg_constraint'::regclass AND d.objid = t.oid AND d.refclassid = 'pg_proc'::regclass AND d.refobjid >= 16384)`,
		"t.oid >= 16384 AND (t.contype = 'f' AND (t.confdeltype IN ('c','n','d') OR t.confupdtype IN ('c','n','d')) OR t.contype = 'c' AND t.contypid <> 0)"},
	inherits: {"pg_inherits", "(t.inhparent::int8 << 32 | t.inhrelid::int8)", "t.inhparent, t.inhrelid", "true"},
	procedures: {"pg_proc", byOID, `t.pronamespace, t.proname, t.provolatile, t.prosecdef, (SELECT l.lanname FROM pg_language l WHERE l.oid = t.prolang),
 (SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid WHERE d.classid = 'pg_proc'::regclass AND d.objid = t.oid AND d.deptype = 'e'),
 ` + listed("t.proargtypes::oid[]") + ", " + listed("t.proallargtypes || t.prorettype") + `, t.pronargdefaults, t.provariadic <> 0,
 oidvectortypes(t.proargtypes), encode(sha256(convert_to(json_build_array(t.prosrc, t.probin, t.proconfig, t.prosecdef, CASE WHEN t.prosecdef THEN t.proowner::regrole END,
 (SELECT l.lanname FROM pg_language l WHERE l.oid = t.prolang), oidvectortypes(t.proargtypes), t.proargmodes, t.proargnames, pg_get_expr(t.proargdefaults, 0),
 t.provolatile, t.proisstrict, t.proretset, t.prokind, format_type(t.prorettype, NULL), to_jsonb(t) -> 'prosqlbody')::text, getdatabaseencoding())), 'hex'),
 (SELECT y.typtype IN ('c', 'd', 'p') FROM pg_type y WHERE y.oid = t.proargtypes[0])`,
		"t.oid >= 16384"},
	operators: {"pg_operator", byOID, `t.oprname, t.oprcode::oid, ` + listed("ARRAY[t.oprleft, t.oprright]") + `,
 (SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid WHERE d.classid = 'pg_operator'::regclass AND d.objid = t.oid AND d.deptype = 'e')`,
		"t.oid >= 16384"},
	// The types of composites are in classes.
	scalars: {"pg_type", byOID, `t.typnamespace, t.typname, t.typtype, t.typinput::oid, t.typbasetype <> 0, ` + listed(`t.typbasetype || ARRAY(
 SELECT unnest(ARRAY[r.rngsubtype, r.rngtypid]) FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid))`),
		"t.oid >= 16384 AND t.typtype <> 'c' AND NOT (t.typcategory = 'A' AND t.typtype = 'b')"},
	casts: {"pg_cast", byOID, `EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_cast'::regclass AND d.objid = t.oid AND d.deptype = 'e'),
 t.castfunc >= 16384, t.castcontext, ` + listed("ARRAY[t.castsource, t.casttarget]"),
		"t.oid >= 16384"},
	attributes: {"pg_attribute", "(t.attrelid::int8 << 16 | t.attnum)", "t.attrelid, " + listed("ARRAY[t.atttypid]"),
		"t.attrelid >= 16384 AND t.attnum > 0 AND t.atttypid >= 16384"},
}

// plainPath makes names in our own questions mean PostgreSQL's, whatever the
// client's search path is. Temporary tables stand first where a path does not name
// them, and could hide PostgreSQL's own. It lasts until the end of the (implicit)
// transaction.
const plainPath = `SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true)`

// horizonSQL asks for the oldest transaction that may still write.
const horizonSQL = `SELECT txid_snapshot_xmin(txid_current_snapshot()) & 4294967295`

func (s source) read() string {
	return fmt.Sprintf("SELECT %s, t.xmin, %s FROM %s t WHERE %s", s.key, s.columns, s.table, s.condition)
}

// since asks for the rows written by a transaction or by later ones. Those that
// others wrote meanwhile have a negative age.
func (s source) since(horizon string) string {
	return fmt.Sprintf("%s AND age(t.xmin) <= (SELECT age('%s'::xid))", s.read(), horizon)
}

func (s source) list() string {
	return fmt.Sprintf("SELECT %s, t.xmin FROM %s t WHERE %s", s.key, s.table, s.condition)
}

func (s source) sums() string {
	return fmt.Sprintf("(SELECT concat(count(*), '/', sum(%s & 4294967295), '/', sum(t.xmin::text::int8)) FROM %s t WHERE %s)", s.key, s.table, s.condition)
}

// newPart sums up rows as the server does.
func newPart(rows map[int64]fact) part {
	if len(rows) == 0 {
		return part{rows, "0//"}
	}
	var key, xmin int64
	for k, f := range rows {
		key += k & 0xffffffff
		xmin += number(f.xmin)
	}
	return part{rows, fmt.Sprintf("%d/%d/%d", len(rows), key, xmin)}
}

// number reads a number that the server wrote.
func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

var sumsSQL = func() string {
	all := make([]string, partCount)
	for i, s := range sources {
		all[i] = s.sums()
	}
	return "SELECT " + strings.Join(all, ", ")
}()

var errFacts = errors.New("the catalog cannot be read")

// question asks in one transaction and with a plain search path.
func (b *backend) question(sqls ...string) ([]answer, error) {
	answers, err := b.askQuietly(append([]string{plainPath}, sqls...)...)
	if err != nil {
		return nil, err
	}
	if answers == nil {
		return nil, errFacts
	}
	return answers[1:], nil
}

// readFacts reads what is there as this connection sees it. before is what was
// committed at an earlier time, nil for nothing; it is given back when nothing
// has changed.
func (b *backend) readFacts(before *facts) (*facts, error) {
	if before == nil {
		return b.readWhole()
	}
	answers, err := b.question(horizonSQL, sumsSQL)
	if err != nil {
		return nil, err
	}
	now := &facts{horizon: answers[0].rows[0][0], parts: before.parts}
	var changed []int
	for i, sums := range answers[1].rows[0] {
		if sums != before.parts[i].sums {
			changed = append(changed, i)
		}
	}
	if len(changed) == 0 {
		return before, nil
	}
	var sqls []string
	for _, i := range changed {
		sqls = append(sqls, sources[i].since(before.horizon), "SELECT "+sources[i].sums())
	}
	if answers, err = b.question(sqls...); err != nil {
		return nil, err
	}
	var fewer []int
	sqls = sqls[:0]
	for n, i := range changed {
		rows := maps.Clone(before.parts[i].rows)
		add(rows, answers[2*n])
		now.parts[i] = newPart(rows)
		if now.parts[i].sums != answers[2*n+1].rows[0][0] {
			fewer = append(fewer, i)
			sqls = append(sqls, sources[i].list())
		}
	}
	if len(fewer) == 0 {
		return now, nil
	}
	if answers, err = b.question(sqls...); err != nil {
		return nil, err
	}
	for n, i := range fewer {
		rows := now.parts[i].rows
		if !retain(rows, answers[n]) {
			return b.readWhole() // it changes under our hands
		}
		now.parts[i] = newPart(rows)
	}
	return now, nil
}

func (b *backend) readWhole() (*facts, error) {
	sqls := []string{horizonSQL}
	for _, s := range sources {
		sqls = append(sqls, s.read())
	}
	answers, err := b.question(sqls...)
	if err != nil {
		return nil, err
	}
	f := &facts{horizon: answers[0].rows[0][0]}
	for i := range f.parts {
		rows := make(map[int64]fact, len(answers[1+i].rows))
		add(rows, answers[1+i])
		f.parts[i] = newPart(rows)
	}
	return f, nil
}

// add puts rows of an answer in.
func add(rows map[int64]fact, a answer) {
	for _, row := range a.rows {
		rows[number(row[0])] = fact{xmin: row[1], row: row[2:]}
	}
}

// retain drops the rows that are not in a list of what is there. It reports false
// if the list has others.
func retain(rows map[int64]fact, list answer) bool {
	there := make(map[int64]bool, len(list.rows))
	for _, row := range list.rows {
		key := number(row[0])
		if f, ok := rows[key]; !ok || f.xmin != row[1] {
			return false
		}
		there[key] = true
	}
	maps.DeleteFunc(rows, func(key int64, _ fact) bool { return !there[key] })
	return true
}

// sorted gives the keys in order.
func (p part) sorted() []int64 { return slices.Sorted(maps.Keys(p.rows)) }
