package pgwire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// countBelow is how many rows a table may have, by the planner's estimate, for
// a probe to count them one by one.
const countBelow = 1_000_000

// What bounds each question of a probe, in milliseconds: production is not slowed
// down for the sake of a number, or not much where an exact one is asked for.
const (
	estimateTimeout = 2000
	exactTimeout    = 10000
)

// Probe implements [interlock.Executor]: what would the request touch now? The questions
// are asked on the client's own backend, in a READ ONLY transaction or behind a
// savepoint of the client's: what it has done and not committed is seen.
// Nothing of the request is executed: DML is planned, relations are looked up.
func (r *request) Probe(context.Context) (signalbox.Impact, signalbox.State, error) {
	c := r.c
	if len(r.Actions) == 0 {
		return signalbox.Impact{}, nil, errors.New("nothing to probe")
	}
	impact := r.Actions[signalbox.Gravest(r.Actions)].Impact
	impact.Facts = slices.Clone(impact.Facts)
	if c.server == nil || c.server.status == 'E' || c.phase() == implicit {
		return impact, nil, errors.New("the connection to the server is in no state to be asked")
	}
	if err := c.server.relearn(); err != nil {
		return impact, nil, err
	}
	p := &prober{r: r, b: c.server, cat: c.server.names.catalog, how: r.how(), impact: impact}
	if err := p.follow(); err != nil {
		return impact, nil, err
	}
	if err := p.look(); err != nil {
		return impact, nil, err
	}
	if err := p.measure(); err != nil {
		return impact, nil, err
	}
	state, err := p.bind()
	if err != nil {
		return p.impact, nil, err
	}
	r.state = state
	return p.impact, state, nil
}

// A prober looks at what one request would touch.
type prober struct {
	r      *request
	b      *backend
	cat    *sql.Catalog
	how    change
	reach  *consequences // of the changes of rows
	impact signalbox.Impact
	state  signalbox.State
	found  map[uint32]probed // relations, by oid
	opaque bool              // a statement calls code that planning may run

	partitioned map[uint32][]string // the columns by which relations are partitioned
	emptied     []uint32            // what TRUNCATE … CASCADE takes with it
}

func (p *prober) note(format string, args ...any) {
	p.impact.Facts = append(p.impact.Facts, fmt.Sprintf(format, args...))
}

// follow finds what the request's changes of rows set in motion by foreign keys.
func (p *prober) follow() error {
	var own []rowChange
	for n, s := range p.r.statements {
		if s.Real().Kind != sql.KindWrite {
			continue
		}
		own = append(own, p.steps(s, byUpdate-int64(n))...)
	}
	p.reach = follow(p.cat, own, nil)
	cascades := p.how == empties && slices.ContainsFunc(p.r.statements,
		func(s bound) bool { return cascadeWord.MatchString(s.Real().Text) })
	if len(own) == 0 && !cascades {
		return nil
	}
	answers, err := p.b.question(foreignKeysSQL, partitionKeysSQL, referringSQL)
	if err != nil {
		return fmt.Errorf("foreign keys cannot be looked up: %w", err)
	}
	p.reach = follow(p.cat, own, readForeignKeys(answers[0]))
	p.partitioned = make(map[uint32][]string)
	for _, row := range answers[1].rows {
		var columns []string
		_ = json.Unmarshal([]byte(row[1]), &columns) // the server made it; empty where there are expressions alone
		if row[2] == "t" {
			columns = append(columns, "*")
		}
		p.partitioned[oid(row[0])] = columns
	}
	if cascades {
		edges := make(map[uint32][]uint32)
		for _, row := range answers[2].rows {
			edges[oid(row[0])] = append(edges[oid(row[0])], oid(row[1]))
		}
		for _, id := range p.r.targets() {
			p.emptied = append(p.emptied, reach(id, edges)...)
		}
		slices.Sort(p.emptied)
		p.emptied = slices.Compact(p.emptied)
		p.r.reached = p.emptied
		return nil
	}
	p.r.reached = p.reach.relations()
	return nil
}

// Words of a statement: it takes more with it, or leaves tables that inherit alone.
var (
	cascadeWord = regexp.MustCompile(`(?i)\bcascade\b`)
	onlyWord    = regexp.MustCompile(`(?i)\bonly\b`)
)

// steps are what a statement that changes rows does to which relations itself. Of a
// view they are done to the tables behind it.
func (p *prober) steps(s bound, by int64) []rowChange {
	var own []rowChange
	columns := sql.Sets(s.Real().Text)
	changes := 0
	for _, a := range s.Actions() {
		if a.Verb != signalbox.Read {
			changes++
		}
	}
	if changes > 1 {
		columns = []string{"*"} // each may be set by another part
	}
	for _, a := range s.Actions() {
		if len(a.Resources) == 0 || a.Verb != signalbox.Delete && a.Verb != signalbox.Update {
			continue
		}
		rel, known := p.cat.Relations[a.Resources[0].Name]
		if !known {
			continue
		}
		tables := []sql.Relation{rel}
		for _, base := range rel.Base {
			if b, ok := p.cat.Relations[base]; ok {
				tables = append(tables, b)
			}
		}
		for _, t := range tables {
			st := rowChange{relation: t.OID, by: byDelete}
			if a.Verb == signalbox.Update {
				st.by, st.columns = by, columns
				if len(rel.Base) > 0 {
					st.columns = []string{"*"} // a view may give them other names
				}
			}
			own = append(own, st)
		}
	}
	return own
}

// look tells what the relations are that the request names, writes or reaches.
func (p *prober) look() error {
	p.state = append(p.state, signalbox.Fact{Name: "role", Value: p.b.names.role},
		signalbox.Fact{Name: "database", Value: p.b.names.database})
	p.found = make(map[uint32]probed)
	targets := p.r.targets()
	if len(targets) == 0 {
		return nil
	}
	answers, err := p.b.probeAll([]question{{sql: p.b.probeTimeout()}, {sql: relationSQL(targets, p.how)}})
	if err != nil {
		return err
	}
	if answers[1].failed != nil {
		return fmt.Errorf("relations cannot be looked up: %s", answers[1].failed.Message)
	}
	whole, exact, rows := false, p.b.exact, int64(0)
	for _, row := range answers[1].rows {
		t := readRelation(row)
		p.found[oid(t.oid)] = t
		p.state = append(p.state, signalbox.Fact{Name: t.kind + " " + t.name,
			Value: fmt.Sprintf("oid %s, owner %s, columns %s", t.oid, t.owner, t.columns)})
		if t.dependants != "" {
			p.state = append(p.state, signalbox.Fact{Name: "dependants of " + t.name, Value: t.dependants})
		}
		p.impact.Facts = append(p.impact.Facts, t.facts(!p.how.rows())...)
		if p.how.rows() {
			continue // see measure
		}
		p.impact.Dependants += int64(t.count)
		if p.goes(t) {
			n, counted := p.b.rowsOf(t)
			if counted {
				p.note("%s holds %d rows now (counted).", t.name, n)
			}
			exact = exact && (counted || !t.holdsRows())
			whole = true
			rows += max(n, 0)
			p.impact.Total += max(n, t.rows, 0)
			continue
		}
		p.impact.Total += max(t.rows, 0)
	}
	if whole {
		p.impact.Measured = true
		if p.impact.Count = roundUp(rows); exact {
			p.impact.Count = rows
		}
		p.impact.Total = max(p.impact.Total, p.impact.Count)
	}
	return nil
}

// goes reports whether the request takes all the rows of a relation with it.
func (p *prober) goes(t probed) bool {
	if p.r.whole(t.name) || slices.Contains(p.emptied, oid(t.oid)) {
		return true
	}
	if s := p.r.statements; len(s) == 1 && len(s[0].Action.Resources) == 1 && onlyWord.MatchString(s[0].Real().Text) {
		return false
	}
	for name, rel := range p.cat.Relations { // of a partitioned one they are counted already
		if rel.Kind != 'p' && slices.Contains(rel.Children, t.name) && p.r.whole(name) {
			return true
		}
	}
	return false
}

// rowsOf gives how many rows a relation holds, counted if that does not take long.
func (b *backend) rowsOf(t probed) (n int64, counted bool) {
	if t.countable(b.exact) {
		if held, err := b.countRows(t); err == nil {
			return held, true
		}
	}
	return t.rows, false
}

// probeTimeout gives what bounds each question of a probe. It also makes a
// transaction of the client's READ ONLY until the probe is over.
func (b *backend) probeTimeout() string {
	limit := estimateTimeout
	if b.exact {
		limit = exactTimeout
	}
	return fmt.Sprintf(`SELECT pg_catalog.set_config('statement_timeout', '%d', true), pg_catalog.set_config('transaction_read_only', 'on', true)`, limit)
}

// A question is one statement of our own, perhaps with the client's parameters.
type question struct {
	sql   string
	types []uint32
	tail  []byte
}

// probeAll asks each question by itself, so that one that fails leaves the
// others, in a transaction that can write nothing. The first sets the bounds.
func (b *backend) probeAll(questions []question) ([]answer, error) {
	block := b.status == 'T'
	before, after := []string{"BEGIN READ ONLY"}, "ROLLBACK"
	if block {
		before, after = []string{`SAVEPOINT "signalbox probe"`, setReadOnly}, `ROLLBACK TO SAVEPOINT "signalbox probe"`
	}
	var answers []answer
	if _, err := b.ask(append(before, questions[0].sql)...); err != nil {
		return nil, err
	}
	answers = append(answers, answer{})
	for _, q := range questions[1:] {
		if _, err := b.ask(`SAVEPOINT "signalbox question"`); err != nil {
			return nil, err
		}
		a, err := b.askQuestion(q)
		if err != nil {
			return nil, err
		}
		answers = append(answers, a)
		if _, err := b.ask(`ROLLBACK TO SAVEPOINT "signalbox question"`); err != nil {
			return nil, err
		}
	}
	end := []string{after}
	if block {
		end = append(end, `RELEASE SAVEPOINT "signalbox probe"`)
	}
	if _, err := b.ask(end...); err != nil {
		return nil, err
	}
	return answers, nil
}

// askQuestion asks one question and waits for the answer.
func (b *backend) askQuestion(q question) (answer, error) {
	tail := q.tail
	if tail == nil {
		tail = bindNothing
	}
	b.out = appendParse(b.out, ownStatement, q.sql, q.types)
	b.out = appendBind(b.out, ownPortal, ownStatement, tail)
	b.out = appendExecute(b.out, ownPortal)
	b.out = appendClose(b.out, 'P', ownPortal)
	b.out = appendClose(b.out, 'S', ownStatement)
	b.sync()
	if err := b.send(); err != nil {
		return answer{}, err
	}
	a, err := b.collect(5)
	if err != nil {
		return a, err
	}
	if err := b.awaitReady(); err != nil {
		return a, err
	}
	if a.failed != nil {
		return a, b.forgetOwn()
	}
	return a, nil
}

// targets are the relations that the request names or writes, and those that its
// changes of rows reach as far as that was found out, by oid.
func (r *request) targets() []uint32 {
	cat := r.c.server.names.catalog
	if cat == nil {
		return nil
	}
	oids := slices.Clone(r.reached)
	add := func(name string) {
		if rel, ok := cat.Relations[name]; ok && !slices.Contains(oids, rel.OID) && len(oids) < 200 {
			oids = append(oids, rel.OID)
		}
	}
	rows := r.how().rows()
	for _, a := range r.Actions {
		if a.Verb == signalbox.Read && len(r.Actions) > 1 {
			continue
		}
		for n, res := range a.Resources {
			if n > 0 && rows && r.reached != nil {
				break // the others are what it may reach
			}
			add(res.Name)
			for _, base := range cat.Relations[res.Name].Base {
				add(base)
			}
			if res.Type == "schema" && res.Whole {
				for name := range cat.Relations {
					if strings.HasPrefix(name, res.Name+".") {
						add(name)
					}
				}
			}
		}
	}
	for _, s := range r.statements {
		for _, name := range s.Writes {
			if !rows || r.reached == nil {
				add(name)
			}
		}
	}
	slices.Sort(oids)
	return oids
}

// whole reports whether the request takes everything that the relation holds.
func (r *request) whole(name string) bool {
	for _, a := range r.Actions {
		if a.Impact.Reach() != signalbox.ScopeAll && a.Verb != signalbox.Delete {
			continue
		}
		for _, res := range a.Resources {
			if res.Name == name && (res.Whole || a.Impact.Reach() == signalbox.ScopeAll) {
				return true
			}
		}
	}
	return false
}

// deletes reports whether rows go, and others with them where foreign keys say so.
func (r *request) deletes() bool {
	return slices.ContainsFunc(r.Actions, func(a signalbox.Action) bool { return a.Verb == signalbox.Delete })
}

// opaque reports whether a statement calls code of unknown effect, which planning
// may run.
func opaque(b bound) bool {
	return slices.ContainsFunc(b.Actions(), func(a signalbox.Action) bool { return a.Verb == signalbox.Execute })
}

// planned are the statements that the planner can tell of.
func (r *request) planned() []bound {
	var list []bound
	for _, s := range r.statements {
		if s.Real().Kind != sql.KindWrite || len(list) >= 20 {
			continue
		}
		switch s.Kind {
		case sql.KindWrite:
			if s.Runs != nil { // EXPLAIN ANALYZE
				s.Text = s.Runs.Text
			}
			list = append(list, s)
		case sql.KindExecute:
			list = append(list, s)
		}
	}
	return list
}

func planOf(b bound) question {
	q := question{sql: "EXPLAIN (FORMAT JSON) " + b.Text, types: b.types}
	if b.tail != nil {
		// The parameters stay, the result formats are those of EXPLAIN.
		if _, formats, err := decodeParams(nil, b.tail); err == nil {
			q.tail = append(slices.Clone(b.tail[:len(b.tail)-len(formats)]), 0, 0)
		}
	}
	return q
}

// roundUp keeps a ceiling from breaking over every row that is added meanwhile:
// two digits are as exact as a table in use stays.
func roundUp(n int64) int64 {
	unit := int64(1)
	for n/unit >= 100 {
		unit *= 10
	}
	return (n + unit - 1) / unit * unit
}

// relationSQL asks what relations are, who owns them and what hangs on them.
func relationSQL(oids []uint32, how change) string {
	return `SELECT c.oid, pg_catalog.concat(n.nspname, '.', c.relname), c.relkind, pg_catalog.pg_get_userbyid(c.relowner), c.reltuples::pg_catalog.int8,
 CASE WHEN c.relkind OPERATOR(pg_catalog.=) ANY ('{r,m,p,i,I,S}'::"char"[]) THEN pg_catalog.pg_total_relation_size(c.oid) ELSE 0 END,
 (SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat(a.attname, ' ', pg_catalog.format_type(a.atttypid, a.atttypmod), ' ', a.attnotnull), ',' ORDER BY a.attnum))
  FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped),
 (SELECT pg_catalog.string_agg(DISTINCT pg_catalog.concat('foreign key ', k.conname, ' of ', k.conrelid::pg_catalog.regclass,
   ` + how.words() + `), E'\x01')
  FROM pg_catalog.pg_constraint k WHERE k.contype OPERATOR(pg_catalog.=) 'f'::"char" AND k.confrelid OPERATOR(pg_catalog.=) c.oid` + how.concerns() + `),
 (WITH RECURSIVE above(id) AS (` + viewsOn("c.oid") + ` UNION SELECT o.ev_class FROM above, LATERAL (` + viewsOn("above.id") + `) o)
  SELECT pg_catalog.string_agg(DISTINCT pg_catalog.concat(CASE v.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END, v.oid::pg_catalog.regclass), E'\x01')
  FROM above JOIN pg_catalog.pg_class v ON v.oid OPERATOR(pg_catalog.=) above.id AND v.relkind OPERATOR(pg_catalog.=) ANY ('{v,m}'::"char"[])),
 (SELECT pg_catalog.string_agg(DISTINCT pg_catalog.concat('partition ', i.inhrelid::pg_catalog.regclass), E'\x01') FROM pg_catalog.pg_inherits i WHERE i.inhparent OPERATOR(pg_catalog.=) c.oid)
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE c.oid OPERATOR(pg_catalog.=) ANY (` + oidArray(oids) + `) ORDER BY c.oid`
}

// viewsOn asks which relations have rules that show one.
func viewsOn(id string) string {
	return `SELECT w.ev_class FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite w ON w.oid OPERATOR(pg_catalog.=) d.objid
  WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
  AND d.refobjid OPERATOR(pg_catalog.=) ` + id + ` AND w.ev_class OPERATOR(pg_catalog.<>) ` + id + ``
}

// A probed is what a relation was found to be.
type probed struct {
	oid, name, kind, owner, columns string
	rows, size                      int64 // rows as the planner believes; -1: never analysed
	dependants                      string
	count                           int // dependants
	relkind                         byte
}

func readRelation(row []string) probed {
	p := probed{oid: row[0], name: row[1], owner: row[3], columns: row[6], relkind: row[2][0]}
	p.kind = map[byte]string{'r': "table", 'p': "partitioned table", 'v': "view", 'm': "materialized view",
		'f': "foreign table", 'S': "sequence", 'i': "index", 'I': "index"}[p.relkind]
	if p.kind == "" {
		p.kind = "relation"
	}
	if len(p.columns) > 12 {
		p.columns = p.columns[:12]
	}
	p.rows, _ = strconv.ParseInt(row[4], 10, 64) // the server writes its own numbers
	p.size, _ = strconv.ParseInt(row[5], 10, 64)
	var all []string
	for _, list := range row[7:10] {
		if list != "" {
			all = append(all, strings.Split(list, "\x01")...)
		}
	}
	p.count, p.dependants = len(all), strings.Join(all, "; ")
	return p
}

// holdsRows reports whether the relation has rows, its partitions' included.
func (p probed) holdsRows() bool { return p.relkind == 'r' || p.relkind == 'm' || p.relkind == 'p' }

// countable reports whether the rows may be counted one by one: those of a small
// table, or of any where that is asked for.
func (p probed) countable(exact bool) bool {
	return p.holdsRows() && (exact || p.rows < countBelow && p.size < 1<<30)
}

// facts says what it is, and what hangs on it where that matters whatever rows are
// touched.
func (p probed) facts(dependants bool) []string {
	s := fmt.Sprintf("%s %s (oid %s), owned by %s", p.kind, p.name, p.oid, p.owner)
	switch {
	case !p.holdsRows():
	case p.rows < 0:
		s += ", never analysed"
	default:
		s += fmt.Sprintf(", about %d rows", p.rows)
	}
	if p.size > 0 {
		s += fmt.Sprintf(", %s", bytesText(p.size))
	}
	facts := []string{s + "."}
	if p.count > 0 && dependants {
		facts = append(facts, fmt.Sprintf("Hangs on %s: %s.", p.name, p.dependants))
	}
	return facts
}

func bytesText(n int64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB"}
	i := 0
	for n >= 10<<10 && i < len(units)-1 {
		n >>= 10
		i++
	}
	return fmt.Sprintf("%d %s", n, units[i])
}

// countRows counts a table's rows one by one, within the probe's time.
func (b *backend) countRows(t probed) (int64, error) {
	schema, name, ok := strings.Cut(t.name, ".")
	if !ok {
		return 0, errors.New("no schema")
	}
	only := "ONLY "
	if t.relkind == 'p' {
		only = "" // its partitions go with it
	}
	return b.count(question{sql: "SELECT pg_catalog.count(*) FROM " + only + quoteIdent(schema) + "." +
		quoteIdent(name)})
}
