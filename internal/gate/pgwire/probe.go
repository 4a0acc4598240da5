package pgwire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	questions := []question{{sql: c.server.probeTimeout()}}
	targets, how := r.targets(), r.how()
	if len(targets) > 0 {
		questions = append(questions, question{sql: relationSQL(targets, how)}, question{sql: cascadeSQL(targets, how)})
	}
	planned := r.planned()
	calls := slices.ContainsFunc(planned, opaque)
	if calls {
		planned = nil
		impact.Facts = append(impact.Facts, "Not measured: it calls code of unknown effect, which would run while it is planned.")
	}
	for _, b := range planned {
		questions = append(questions, planOf(b))
	}
	answers, err := c.server.probeAll(questions)
	if err != nil {
		return impact, nil, err
	}
	answers = answers[1:]

	var state signalbox.State
	state = append(state, signalbox.Fact{Name: "role", Value: c.server.names.role},
		signalbox.Fact{Name: "database", Value: c.server.names.database})
	rows := int64(0) // of everything that goes as a whole
	whole, exact := false, c.server.exact
	var with *cascade
	if len(targets) > 0 {
		if answers[0].failed != nil {
			return impact, nil, fmt.Errorf("relations cannot be looked up: %s", answers[0].failed.Message)
		}
		for _, row := range answers[0].rows {
			t := readRelation(row)
			state = append(state, signalbox.Fact{Name: t.kind + " " + t.name,
				Value: fmt.Sprintf("oid %s, owner %s, columns %s", t.oid, t.owner, t.columns)})
			if t.dependants != "" {
				state = append(state, signalbox.Fact{Name: "dependants of " + t.name, Value: t.dependants})
			}
			impact.Facts = append(impact.Facts, t.facts()...)
			if how.rows() {
				continue // see below
			}
			impact.Dependants += int64(t.count)
			if r.whole(t.name) {
				n, counted := c.server.rowsOf(t)
				if counted {
					impact.Facts = append(impact.Facts, fmt.Sprintf("%s holds %d rows now (counted).", t.name, n))
				}
				exact = exact && (counted || !t.holdsRows())
				whole = true
				rows += max(n, 0)
			}
			impact.Total += max(t.rows, 0)
		}
		if how.rows() {
			with = r.cascade(answers[0], answers[1])
			for _, t := range with.own() {
				impact.Total += max(t.rows, 0)
				if !r.whole(t.name) {
					continue
				}
				n, counted := c.server.rowsOf(t)
				if counted {
					impact.Facts = append(impact.Facts, fmt.Sprintf("%s holds %d rows now (counted).", t.name, n))
				}
				exact = exact && (counted || !t.holdsRows())
				whole = true
				rows += max(n, 0)
			}
		}
		answers = answers[2:]
	}
	estimated, known := int64(0), len(planned) > 0
	for i := range planned {
		a := answers[i]
		if a.failed != nil || len(a.rows) == 0 {
			known = false
			break // it may need what an earlier statement of the text makes
		}
		n, err := planRows([]byte(a.rows[0][0]))
		if err != nil {
			return impact, nil, err
		}
		estimated += n
	}
	note := func(format string, args ...any) { impact.Facts = append(impact.Facts, fmt.Sprintf(format, args...)) }
	if whole || known {
		impact.Count, impact.Measured = roundUp(estimated), true
	}
	if whole {
		impact.Count = roundUp(rows)
		if exact {
			impact.Count = rows // with what a cascade takes as a whole
		}
	}
	if c.server.exact && known && !(whole && r.deletes()) {
		n, err := c.server.countTouched(planned)
		if err == nil {
			impact.Count = n
			note("%d rows would be touched now (counted), cascades and triggers not.", n)
			known = false // better than the planner
		} else if !whole {
			note("Not counted: %v.", err)
		}
	}
	if known && !whole {
		note("The planner expects about %d rows to be touched, cascades not counted.", estimated)
	}
	if with != nil && impact.Count > 0 {
		for _, t := range with.reached(c.server, impact.Count) {
			if t.rows < 0 {
				note("Nobody knows how many rows of %s are %s with them.", t.name, how.with())
				continue
			}
			note("With them, about %d rows of %s are %s.", t.rows, t.name, how.with())
			impact.Dependants += t.rows
		}
	}
	r.state = state
	return impact, state, nil
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

// targets are the relations that the request names or writes, by oid.
func (r *request) targets() []uint32 {
	var oids []uint32
	cat := r.c.server.names.catalog
	if cat == nil {
		return nil
	}
	add := func(name string) {
		if rel, ok := cat.Relations[name]; ok && !slices.Contains(oids, rel.OID) && len(oids) < 200 {
			oids = append(oids, rel.OID)
		}
	}
	for _, a := range r.Actions {
		if a.Verb == signalbox.Read && len(r.Actions) > 1 {
			continue
		}
		for _, res := range a.Resources {
			add(res.Name)
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
			add(name)
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

// planRows adds up how many rows each ModifyTable node of a plan is expected to
// get.
func planRows(plan []byte) (int64, error) {
	type node struct {
		Type  string  `json:"Node Type"`
		Rows  float64 `json:"Plan Rows"`
		Plans []node  `json:"Plans"`
	}
	var top []struct {
		Plan node `json:"Plan"`
	}
	if err := json.Unmarshal(plan, &top); err != nil {
		return 0, fmt.Errorf("plan: %w", err)
	}
	var total float64
	var walk func(n node)
	walk = func(n node) {
		for _, child := range n.Plans {
			if n.Type == "ModifyTable" {
				total += child.Rows
			}
			walk(child)
		}
	}
	for _, t := range top {
		walk(t.Plan)
	}
	return int64(min(total, 1e15)), nil
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
 (SELECT pg_catalog.string_agg(DISTINCT pg_catalog.concat('view ', w.ev_class::pg_catalog.regclass), E'\x01')
  FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite w ON w.oid OPERATOR(pg_catalog.=) d.objid
  WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
  AND d.refobjid OPERATOR(pg_catalog.=) c.oid AND w.ev_class OPERATOR(pg_catalog.<>) c.oid),
 (SELECT pg_catalog.string_agg(DISTINCT pg_catalog.concat('partition ', i.inhrelid::pg_catalog.regclass), E'\x01') FROM pg_catalog.pg_inherits i WHERE i.inhparent OPERATOR(pg_catalog.=) c.oid)
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE c.oid OPERATOR(pg_catalog.=) ANY (` + oidArray(oids) + `) ORDER BY c.oid`
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

// holdsRows reports whether the relation has rows of its own.
func (p probed) holdsRows() bool { return p.relkind == 'r' || p.relkind == 'm' }

// countable reports whether the rows may be counted one by one: those of a small
// table, or of any where that is asked for.
func (p probed) countable(exact bool) bool {
	return p.holdsRows() && (exact || p.rows < countBelow && p.size < 1<<30)
}

func (p probed) facts() []string {
	s := fmt.Sprintf("%s %s (oid %s), owned by %s", p.kind, p.name, p.oid, p.owner)
	switch {
	case p.relkind != 'r' && p.relkind != 'm':
	case p.rows < 0:
		s += ", never analysed"
	default:
		s += fmt.Sprintf(", about %d rows", p.rows)
	}
	if p.size > 0 {
		s += fmt.Sprintf(", %s", bytesText(p.size))
	}
	facts := []string{s + "."}
	if p.count > 0 {
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
	return b.count(question{sql: "SELECT pg_catalog.count(*) FROM ONLY " + quoteIdent(schema) + "." + quoteIdent(name)})
}
