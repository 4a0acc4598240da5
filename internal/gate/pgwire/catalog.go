package pgwire

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// catalogs keeps the snapshot of the database's objects that all connections of
// a gate judge by. Reading it costs the server some milliseconds, so it is read
// again only when a cheap stamp over the system catalogs says that something
// was created, changed or dropped.
type catalogs struct {
	mu      sync.Mutex
	shared  *snapshot
	checked time.Time
}

// catalogLife is how long changes that did not come through this gate may go
// unnoticed.
const catalogLife = 3 * time.Second

func newCatalogs() *catalogs { return &catalogs{} }

// A snapshot is one reading of a database's objects.
type snapshot struct {
	stamp   string
	catalog sql.Catalog // without role and path

	mu       sync.Mutex
	variants map[string]*sql.Catalog // by role and path
}

// as gives the catalog as a role with a search path sees it, sealed.
func (s *snapshot) as(database, role string, superuser bool, path []string) *sql.Catalog {
	key := strings.Join(append([]string{database, role, strconv.FormatBool(superuser)}, path...), "\x00")
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.variants[key]; c != nil {
		return c
	}
	c := s.catalog
	c.Database, c.Role, c.Superuser, c.SearchPath = database, role, superuser, path
	c.Seal()
	if s.variants == nil || len(s.variants) > 100 {
		s.variants = make(map[string]*sql.Catalog)
	}
	s.variants[key] = &c
	return &c
}

// outdated reports whether a connection that judges by s should look again.
func (k *catalogs) outdated(s *snapshot) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s == nil {
		return true
	}
	if !s.private() && s != k.shared {
		return true
	}
	if time.Since(k.checked) < catalogLife {
		return false
	}
	k.checked = time.Now() // this connection looks, the others go on
	return true
}

// private reports whether the snapshot has what only one connection sees.
func (s *snapshot) private() bool { return s.stamp == "" }

// get gives the snapshot that connection c must judge by. changed says that c
// itself may have changed objects. In a transaction block, and with temporary
// objects, c sees what others do not: then the snapshot is its own.
func (k *catalogs) get(c *conn, changed, own bool) (*snapshot, error) {
	if own {
		return c.readCatalog("")
	}
	// One at a time: the others wait for the same answer.
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.shared != nil && !changed && time.Since(k.checked) < catalogLife {
		return k.shared, nil
	}
	answers, err := c.askQuietly(plainPath, stampSQL)
	if err != nil {
		return nil, err
	}
	if answers == nil {
		return nil, fmt.Errorf("read the catalog's stamp")
	}
	k.checked = time.Now()
	stamp := answers[1].rows[0][0]
	if k.shared != nil && k.shared.stamp == stamp {
		return k.shared, nil
	}
	s, err := c.readCatalog(stamp)
	if err != nil {
		return nil, err
	}
	k.shared = s
	return s, nil
}

// plainPath makes names in our own questions mean PostgreSQL's, whatever the
// client's search path is. It lasts until the end of the (implicit) transaction.
const plainPath = `SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)`

// stampSQL sums up what is there: whatever is made, changed or dropped leaves
// another sum of ids and of the transactions that wrote them.
var stampSQL = func() string {
	var parts []string
	for _, table := range []string{"pg_class", "pg_proc", "pg_operator", "pg_type", "pg_constraint", "pg_rewrite", "pg_trigger", "pg_cast", "pg_namespace"} {
		parts = append(parts, "(SELECT concat(count(*), '/', sum(oid::int8), '/', sum(xmin::text::int8)) FROM "+table+" WHERE oid >= 16384)")
	}
	return "SELECT concat_ws(',', " + strings.Join(parts, ", ") + ", (SELECT concat(count(*), '/', sum(inhrelid::int8)) FROM pg_inherits))"
}()

const outside = `n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_toast_temp_' AND (n.nspname !~ '^pg_temp_' OR n.oid = pg_my_temp_schema())`

// catalogSQL are the questions whose answers make a snapshot; readCatalog takes
// them in this order.
var catalogSQL = []string{
	`SELECT c.oid, n.nspname, c.relname, c.relkind, n.oid = pg_my_temp_schema(), c.relrowsecurity,
 EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'),
 EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r','p','v','m','f','S','i','I') AND ` + outside,
	// What views show and call.
	`SELECT DISTINCT r.ev_class, d.refclassid = 'pg_proc'::regclass, d.refobjid FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
 WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid IN ('pg_class'::regclass, 'pg_proc'::regclass) AND d.refobjid >= 16384 AND d.refobjid <> r.ev_class`,
	`SELECT i.indrelid, i.indexrelid, a.attname FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, ord)
 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
 WHERE i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND k.ord <= i.indnkeyatts AND i.indrelid >= 16384
 ORDER BY i.indexrelid, k.ord`,
	`SELECT DISTINCT confrelid, conrelid FROM pg_constraint WHERE contype = 'f' AND (confdeltype IN ('c','n','d') OR confupdtype IN ('c','n','d'))`,
	`SELECT inhparent, inhrelid FROM pg_inherits`,
	`SELECT p.oid, n.nspname, p.proname, p.provolatile, p.prosecdef, l.lanname, e.extname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 JOIN pg_language l ON l.oid = p.prolang
 LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' LEFT JOIN pg_extension e ON e.oid = d.refobjid
 WHERE p.oid >= 16384 AND (n.nspname !~ '^pg_temp_' OR n.oid = pg_my_temp_schema())`,
	`SELECT DISTINCT oprname FROM pg_operator WHERE oid >= 16384`,
	`SELECT t.oid, n.nspname, t.typname, t.typtype,
 t.typtype = 'b' AND t.typinput >= 16384 OR t.typtype = 'd' AND EXISTS (SELECT FROM pg_constraint k JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass
  AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass AND d.refobjid >= 16384 WHERE k.contypid = t.oid)
 FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
 WHERE t.oid >= 16384 AND t.typcategory <> 'A' AND (c.relkind IS NULL OR c.relkind = 'c') AND ` + outside,
	`SELECT EXISTS (SELECT FROM pg_cast k WHERE k.castfunc >= 16384 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_cast'::regclass AND d.objid = k.oid AND d.deptype = 'e'))`,
}

// readCatalog reads the objects as this connection sees them.
func (c *conn) readCatalog(stamp string) (*snapshot, error) {
	answers, err := c.askQuietly(append([]string{plainPath}, catalogSQL...)...)
	if err != nil {
		return nil, err
	}
	if answers == nil {
		return nil, fmt.Errorf("read the catalog")
	}
	answers = answers[1:]
	oid := func(s string) uint32 {
		n, _ := strconv.ParseUint(s, 10, 32) // the server writes its own numbers
		return uint32(n)
	}
	s := &snapshot{stamp: stamp}
	cat := &s.catalog
	cat.Relations, cat.Functions = make(map[string]sql.Relation), make(map[string][]sql.Function)
	cat.Operators, cat.Types = make(map[string]bool), make(map[string]sql.Type)

	relations := make(map[uint32]*sql.Relation)
	full := func(r *sql.Relation) string { return r.Schema + "." + r.Name }
	for _, row := range answers[0].rows {
		r := &sql.Relation{
			OID: oid(row[0]), Schema: row[1], Name: row[2], Kind: row[3][0],
			Temporary: row[4] == "t", RowSecurity: row[5] == "t", Rules: row[6] == "t", Triggers: row[7] == "t",
		}
		relations[r.OID] = r
	}
	functions := make(map[uint32]string)
	for _, row := range answers[5].rows {
		name := row[1] + "." + row[2]
		functions[oid(row[0])] = name
		cat.Functions[name] = append(cat.Functions[name], sql.Function{
			OID: oid(row[0]), Volatility: row[3][0], SecurityDefiner: row[4] == "t", Language: row[5], Extension: row[6],
		})
	}
	shows, calls := make(map[uint32][]uint32), make(map[uint32][]uint32)
	for _, row := range answers[1].rows {
		from, to := oid(row[0]), oid(row[2])
		if row[1] == "t" {
			calls[from] = append(calls[from], to)
		} else {
			shows[from] = append(shows[from], to)
		}
	}
	for i, row := range answers[2].rows {
		r := relations[oid(row[0])]
		if r == nil {
			continue
		}
		if i == 0 || answers[2].rows[i-1][1] != row[1] {
			r.Keys = append(r.Keys, nil)
		}
		last := len(r.Keys) - 1
		r.Keys[last] = append(r.Keys[last], row[2])
	}
	edges := func(a answer) map[uint32][]uint32 {
		m := make(map[uint32][]uint32)
		for _, row := range a.rows {
			m[oid(row[0])] = append(m[oid(row[0])], oid(row[1]))
		}
		return m
	}
	cascades, children := edges(answers[3]), edges(answers[4])
	name := func(ids []uint32, keep func(*sql.Relation) bool) []string {
		var names []string
		for _, id := range ids {
			if r := relations[id]; r != nil && keep(r) {
				names = append(names, full(r))
			}
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	every := func(*sql.Relation) bool { return true }
	for id, r := range relations {
		if r.Kind == 'v' || r.Kind == 'm' {
			seen := reach(id, shows)
			if r.Kind == 'v' {
				r.Base = name(seen, func(b *sql.Relation) bool { return b.Kind != 'v' })
			}
			for _, v := range append(seen, id) {
				for _, f := range calls[v] {
					if fn := functions[f]; fn != "" && !slices.Contains(r.Calls, fn) {
						r.Calls = append(r.Calls, fn)
					}
				}
			}
			slices.Sort(r.Calls)
		}
		r.Cascades = name(reach(id, cascades), every)
		r.Children = name(reach(id, children), every)
	}
	for _, r := range relations {
		cat.Relations[full(r)] = *r
		if r.Temporary {
			cat.Relations["pg_temp."+r.Name] = *r
		}
	}
	for _, row := range answers[6].rows {
		cat.Operators[row[0]] = true
	}
	for _, row := range answers[7].rows {
		cat.Types[row[1]+"."+row[2]] = sql.Type{OID: oid(row[0]), Kind: row[3][0], Checks: row[4] == "t"}
	}
	cat.UserCasts = answers[8].rows[0][0] == "t"
	return s, nil
}

// reach gives what can be reached from id along edges, id itself left out
// unless a circle leads back to it.
func reach(id uint32, edges map[uint32][]uint32) []uint32 {
	var found []uint32
	seen := make(map[uint32]bool)
	queue := slices.Clone(edges[id])
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		if seen[next] {
			continue
		}
		seen[next] = true
		found = append(found, next)
		queue = append(queue, edges[next]...)
	}
	return found
}
