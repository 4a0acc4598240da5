package pgwire

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// partitionKeysSQL asks for the columns by which rows are assigned to partitions. It
// is asked with a plain search path.
const partitionKeysSQL = `SELECT p.partrelid, (SELECT json_agg(a.attname) FROM pg_attribute a WHERE a.attrelid = p.partrelid AND a.attnum = ANY (p.partattrs::int2[])),
 p.partexprs IS NOT NULL FROM pg_partitioned_table p`

// referringSQL asks which relations refer to which, whatever happens to the rows. It
// is asked with a plain search path.
const referringSQL = `SELECT DISTINCT k.confrelid, k.conrelid FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0`

// maxKeys is how many foreign keys with actions are followed. Where a database has
// more, nobody knows what a change of rows takes with it.
const maxKeys = 5000

// foreignKeysSQL asks for the foreign keys that do something to the rows that
// refer to others, those of partitions left out: what they do is their root's. What
// compares is PostgreSQL's own, or the key is not followed by counting. It is asked
// with a plain search path.
const foreignKeysSQL = `SELECT k.oid, k.conrelid, k.confrelid, k.confdeltype, k.confupdtype,
 (SELECT json_agg(a.attname ORDER BY n.ord) FROM unnest(k.conkey) WITH ORDINALITY AS n(num, ord) JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.num),
 (SELECT json_agg(a.attname ORDER BY n.ord) FROM unnest(k.confkey) WITH ORDINALITY AS n(num, ord) JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = n.num),
 (SELECT json_agg(o.oprname ORDER BY n.ord) FROM unnest(k.conpfeqop) WITH ORDINALITY AS n(op, ord) JOIN pg_operator o ON o.oid = n.op WHERE o.oid < 16384),
 row_security_active(k.conrelid)
 FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.confdeltype IN ('c','n','d') OR k.confupdtype IN ('c','n','d'))
 ORDER BY k.oid LIMIT 5001`

// A foreignKey leads from the rows of a relation to those that refer to them.
type foreignKey struct {
	oid                uint32
	child, parent      uint32
	onDelete, onUpdate string // pg_constraint's confdeltype and confupdtype
	refers, referred   []string
	operators          []string
	hidden             bool // row security keeps rows of child from being counted
}

// A rowChange is what is done to rows of a relation: those of the request's own, or
// those that a foreign key leads to.
type rowChange struct {
	relation uint32
	by       int64    // byDelete, byUpdate of one of the request's statements, or the oid of the foreign key that changes them
	columns  []string // that are changed; nil for a deletion, "*" for any
}

const (
	byDelete = int64(0)
	byUpdate = int64(-1)
)

// consequences are what a request's changes of rows set in motion.
type consequences struct {
	catalog *sql.Catalog
	byOID   map[uint32]sql.Relation
	own     []rowChange
	edges   []edge
	unknown bool // there are too many foreign keys to follow
}

// An edge says that rows to which one step was done have another done to theirs.
type edge struct {
	from, to rowChange
	key      foreignKey
}

func readForeignKeys(a answer) []foreignKey {
	var keys []foreignKey
	for _, row := range a.rows {
		k := foreignKey{oid: oid(row[0]), child: oid(row[1]), parent: oid(row[2]), onDelete: row[3], onUpdate: row[4],
			hidden: row[8] == "t"}
		for i, list := range []*[]string{&k.refers, &k.referred, &k.operators} {
			_ = json.Unmarshal([]byte(row[5+i]), list) // the server made it; what is empty is not followed
		}
		keys = append(keys, k)
	}
	return keys
}

// follow gives what rowChanges lead to, each edge once.
func follow(cat *sql.Catalog, own []rowChange, keys []foreignKey) *consequences {
	r := &consequences{catalog: cat, byOID: make(map[uint32]sql.Relation), own: own, unknown: len(keys) > maxKeys}
	for _, rel := range cat.Relations {
		r.byOID[rel.OID] = rel
	}
	type visited struct {
		relation uint32
		by       int64
	}
	seen := make(map[visited]bool)
	queue := slices.Clone(own)
	for len(queue) > 0 && len(r.edges) < maxKeys {
		at := queue[0]
		queue = queue[1:]
		for _, k := range keys {
			if !r.same(at.relation, k.parent) {
				continue
			}
			to := rowChange{relation: k.child}
			switch {
			case at.columns == nil && k.onDelete == "c":
				to.by = byDelete
			case at.columns == nil && (k.onDelete == "n" || k.onDelete == "d"),
				at.columns != nil && strings.Contains("cnd", k.onUpdate) && meet(at.columns, k.referred):
				to.by, to.columns = int64(k.oid), k.refers
			default:
				continue
			}
			r.edges = append(r.edges, edge{from: at, to: to, key: k})
			if v := (visited{to.relation, to.by}); !seen[v] {
				seen[v] = true
				queue = append(queue, to)
			}
		}
	}
	return r
}

// same reports whether rows of a relation may be rows of another: of its
// partitions, or of what it is a partition of.
func (r *consequences) same(a, b uint32) bool {
	if a == b {
		return true
	}
	x, y := r.byOID[a], r.byOID[b]
	return slices.Contains(x.Children, y.Schema+"."+y.Name) || slices.Contains(y.Children, x.Schema+"."+x.Name)
}

func meet(a, b []string) bool {
	return slices.ContainsFunc(a, func(c string) bool { return c == "*" || slices.Contains(b, c) })
}

// relations are all that rows are touched of, by oid.
func (r *consequences) relations() []uint32 {
	var all []uint32
	for _, s := range r.own {
		all = append(all, s.relation)
	}
	for _, e := range r.edges {
		all = append(all, e.to.relation)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// root gives the name under which rows of a relation are told: that of the relation
// that the request or a foreign key names.
func (r *consequences) root(id uint32) sql.Relation {
	rel := r.byOID[id]
	for _, of := range r.relations() {
		if of == id {
			return rel
		}
	}
	for _, of := range r.relations() {
		if root := r.byOID[of]; slices.Contains(root.Children, rel.Schema+"."+rel.Name) {
			return root
		}
	}
	return rel
}

// counting gives the query that finds out what one statement touches: its own rows,
// and from them along the edges, each row once for each thing that is done to it.
// It reports false where that cannot be asked without running others' code, or
// would not see all.
func (r *consequences) counting(t sql.Touch, by int64) (string, bool) {
	var joins []string
	for _, e := range r.edges {
		if len(e.key.operators) != len(e.key.refers) || len(e.key.refers) == 0 || e.key.hidden {
			return "", false
		}
		var on []string
		for i, c := range e.key.refers {
			on = append(on, fmt.Sprintf("p.%s OPERATOR(pg_catalog.%s) c.%s", quoteIdent(e.key.referred[i]),
				e.key.operators[i], quoteIdent(c)))
		}
		joins = append(joins, fmt.Sprintf(
			"SELECT p.tableoid AS t, p.ctid AS c, %d::pg_catalog.int8 AS h, c.tableoid AS t2, c.ctid AS c2, %d::pg_catalog.int8 AS h2 FROM %s p JOIN %s c ON %s",
			e.from.by, e.to.by, r.from(e.key.parent), r.from(e.key.child), strings.Join(on, " AND ")))
	}
	if len(joins) == 0 {
		return fmt.Sprintf("SELECT t.tableoid, %d, pg_catalog.count(*) FROM (%s) AS t GROUP BY 1", by, t.Rows), true
	}
	return fmt.Sprintf(`WITH RECURSIVE "signalbox touched"(t, c, h) AS (SELECT o.tableoid, o.ctid, %d::pg_catalog.int8 FROM (%s) AS o
 UNION SELECT x.t2, x.c2, x.h2 FROM "signalbox touched" r JOIN (%s) x
 ON r.t OPERATOR(pg_catalog.=) x.t AND r.c OPERATOR(pg_catalog.=) x.c AND r.h OPERATOR(pg_catalog.=) x.h)
 SELECT t, h, pg_catalog.count(*) FROM "signalbox touched" GROUP BY 1, 2`, by, t.Rows, strings.Join(joins, " UNION ALL ")), true
}

// leads reports whether a foreign key does something to rows of a relation.
func (r *consequences) leads(id uint32, by int64) bool {
	return slices.ContainsFunc(r.edges, func(e edge) bool { return e.to.by == by && r.same(e.to.relation, id) })
}

// from names a relation so that the rows which a foreign key concerns are seen:
// partitions are part of it, tables that inherit are not.
func (r *consequences) from(id uint32) string {
	rel := r.byOID[id]
	if rel.Kind == 'p' {
		return quotedTable(rel)
	}
	return "ONLY " + quotedTable(rel)
}

// estimate gives how many rows of what change with so many of each of the request's
// own: as many as belong to one on average; -1 where nobody can tell. Where foreign
// keys lead in a circle, all that is there.
func (r *consequences) estimate(own map[uint32]int64, size func(uint32) int64) map[uint32]map[signalbox.Verb]int64 {
	found := make(map[uint32]map[signalbox.Verb]int64)
	var walk func(at rowChange, rows int64, path []uint32)
	walk = func(at rowChange, rows int64, path []uint32) {
		for _, e := range r.edges {
			if e.from.relation != at.relation || e.from.by != at.by {
				continue
			}
			n := share(rows, size(at.relation), size(e.to.relation))
			if slices.Contains(e.from.columns, "*") {
				n = signalbox.CountUnknown // perhaps the key is not changed at all
			}
			circle := slices.Contains(path, e.to.relation)
			if circle && n >= 0 {
				n = size(e.to.relation)
			}
			of := found[e.to.relation]
			if of == nil {
				of = make(map[signalbox.Verb]int64)
				found[e.to.relation] = of
			}
			verb := e.to.verb()
			if before, seen := of[verb]; !seen || before >= 0 && n >= 0 {
				of[verb] = min(before+n, max(size(e.to.relation), n))
			} else {
				of[verb] = signalbox.CountUnknown
			}
			if !circle && len(path) < 12 {
				walk(e.to, n, append(path[:len(path):len(path)], e.to.relation))
			}
		}
	}
	for _, s := range r.own {
		walk(s, own[s.relation], []uint32{s.relation})
	}
	return found
}

func (s rowChange) verb() signalbox.Verb {
	if s.columns == nil {
		return signalbox.Delete
	}
	return signalbox.Update
}

// share gives how many of so many rows belong to some of the whole; -1 if that
// cannot be told.
func share(some, whole, of int64) int64 {
	switch {
	case some < 0 || whole < 0 || of < 0:
		return -1
	case whole == 0 || some >= whole:
		return of
	}
	return int64(float64(of)*float64(some)/float64(whole) + 0.999999)
}

func oidArray(oids []uint32) string {
	list := make([]string, len(oids))
	for i, o := range oids {
		list[i] = fmt.Sprint(o)
	}
	return "ARRAY[" + strings.Join(list, ",") + "]::pg_catalog.oid[]"
}
