package pgwire

import (
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// A change says what happens to what a request names: it decides what foreign keys
// do, and so what may be said of them.
type change int

// The changes.
const (
	removes change = iota // DROP, ALTER and whatever else is no change of rows
	empties               // TRUNCATE
	deletes               // DELETE, with whatever else the request does
	updates               // INSERT and UPDATE alone
	mixed                 // changes of rows and others in one request
)

// how says what the request does.
func (r *request) how() change {
	more := slices.ContainsFunc(r.statements, func(s bound) bool {
		kind := s.Real().Kind
		return kind == sql.KindUtility || kind == sql.KindUnknown
	})
	switch planned := len(r.planned()) > 0; {
	case planned && more:
		return mixed
	case planned && r.deletes():
		return deletes
	case planned:
		return updates
	}
	if slices.ContainsFunc(r.Actions, func(a signalbox.Action) bool { return strings.HasPrefix(a.Native, "TRUNCATE") }) {
		return empties
	}
	return removes
}

// rows reports whether rows change, and nothing but rows.
func (h change) rows() bool { return h == deletes || h == updates }

// with tells in a word what becomes of the rows that hang on others.
func (h change) with() string {
	if h == deletes {
		return "deleted, or lose what they point to"
	}
	return "changed"
}

// words is the expression that tells what a foreign key does.
func (h change) words() string {
	action := func(column, c string) string {
		return `CASE k.` + column + ` WHEN 'c' THEN ' (` + c +
			`)' WHEN 'n' THEN ' (set null)' WHEN 'd' THEN ' (set default)' ELSE '' END`
	}
	switch h {
	case deletes:
		return action("confdeltype", "rows deleted with it")
	case updates:
		return action("confupdtype", "changed with its key")
	case mixed:
		return `''`
	case empties:
		return `' (emptied with it, if it says CASCADE)'`
	}
	return `' (the rows stay, the constraint goes if its table does)'`
}

// concerns restricts foreign keys to those that the change sets in motion.
func (h change) concerns() string {
	if h == updates {
		return ` AND k.confupdtype OPERATOR(pg_catalog.=) ANY ('{c,n,d}'::"char"[])`
	}
	return ""
}

// cascadeSQL asks which of some relations reach which by foreign keys.
func cascadeSQL(oids []uint32, how change) string {
	column := "confdeltype"
	if how == updates {
		column = "confupdtype"
	}
	list := oidArray(oids)
	return `SELECT DISTINCT k.confrelid, k.conrelid, k.` + column + ` FROM pg_catalog.pg_constraint k
 WHERE k.contype OPERATOR(pg_catalog.=) 'f'::"char" AND k.conparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid
 AND k.confrelid OPERATOR(pg_catalog.=) ANY (` + list + `) AND k.conrelid OPERATOR(pg_catalog.=) ANY (` + list + `)
 AND k.` + column + ` OPERATOR(pg_catalog.=) ANY ('{c,n,d}'::"char"[])`
}

func oidArray(oids []uint32) string {
	list := make([]string, len(oids))
	for i, o := range oids {
		list[i] = strconv.FormatUint(uint64(o), 10)
	}
	return "ARRAY[" + strings.Join(list, ",") + "]::pg_catalog.oid[]"
}

// A cascade is what a change of rows takes with it by foreign keys.
type cascade struct {
	relations map[string]probed // by oid
	named     []string          // oids of those that the request itself changes
	edges     map[string][]edge // by the oid of the relation that is pointed to
}

type edge struct {
	to string
	on bool // goes on from there: rows are deleted, not only changed
}

// cascade reads the answers to relationSQL and cascadeSQL.
func (r *request) cascade(relations, keys answer) *cascade {
	c := &cascade{relations: make(map[string]probed), edges: make(map[string][]edge)}
	named := make(map[string]bool)
	for _, s := range r.statements {
		for _, a := range s.Actions() {
			for i, res := range a.Resources {
				rel, known := r.c.server.names.catalog.Relations[res.Name]
				if !known || a.Verb == signalbox.Read {
					continue
				}
				if i == 0 {
					named[res.Name] = true
					for _, base := range rel.Base {
						named[base] = true
					}
				}
			}
		}
	}
	for _, row := range relations.rows {
		t := readRelation(row)
		c.relations[t.oid] = t
		if named[t.name] {
			c.named = append(c.named, t.oid)
		}
	}
	if keys.failed == nil {
		for _, row := range keys.rows {
			c.edges[row[0]] = append(c.edges[row[0]], edge{to: row[1], on: row[2] == "c"})
		}
	}
	return c
}

// own are the relations that the request itself changes.
func (c *cascade) own() []probed {
	var all []probed
	for _, id := range c.named {
		all = append(all, c.relations[id])
	}
	return all
}

// reached estimates how many rows of which relations change with so many of the
// request's own: as many of each as belong to one on average. Where foreign keys
// lead in a circle, all that is there.
func (c *cascade) reached(b *backend, rows int64) []probed {
	held := make(map[string]int64)
	size := func(id string) int64 {
		n, known := held[id]
		if !known {
			t := c.relations[id]
			if n = t.rows; n < 0 {
				n, _ = b.rowsOf(t)
			}
			held[id] = n
		}
		return n
	}
	found := make(map[string]int64) // rows; -1 for unknown
	var order []string
	var follow func(from string, rows int64, path []string)
	follow = func(from string, rows int64, path []string) {
		for _, e := range c.edges[from] {
			n := share(rows, size(from), size(e.to))
			circle := slices.Contains(path, e.to)
			if circle {
				n = size(e.to)
			}
			before, seen := found[e.to]
			switch {
			case !seen:
				order = append(order, e.to)
				found[e.to] = n
			case n < 0 || before < 0:
				found[e.to] = -1
			default:
				found[e.to] = min(before+n, size(e.to))
			}
			if e.on && !circle && len(path) < 12 {
				follow(e.to, n, append(path[:len(path):len(path)], e.to))
			}
		}
	}
	for _, id := range c.named {
		follow(id, rows, []string{id})
	}
	var all []probed
	for _, id := range order {
		t := c.relations[id]
		if t.rows = found[id]; t.rows > 0 {
			t.rows = roundUp(t.rows)
		}
		all = append(all, t)
	}
	return all
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
