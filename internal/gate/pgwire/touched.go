package pgwire

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// measure finds out how many rows of what the request's changes of rows touch:
// counted by SELECTs of the same conditions where the tables are small enough and
// nothing of anybody's runs with them, or else as the planner expects. What runs
// besides, triggers for one, is said: nobody knows what it touches.
func (p *prober) measure() error {
	planned := p.r.planned()
	p.opaque = slices.ContainsFunc(planned, opaque)
	if p.opaque {
		p.note("Not measured: it calls code of unknown effect, which would run while it is planned.")
	}
	if err := p.hooks(); err != nil {
		return err
	}
	if p.opaque || len(planned) == 0 || len(planned) != len(p.r.statements) {
		p.impact.Open = p.impact.Open || !p.impact.Measured
		if p.fills() && !p.impact.Measured {
			p.impact.Count = signalbox.CountUnknown // what the request shows is no count of rows
		}
		if p.opaque || len(planned) == 0 {
			return nil
		}
		p.impact.Open = true // what is no change of rows may touch some all the same
	}
	t := &tally{p: p, counts: make(map[tallied]int64), exact: true}
	for n, s := range planned {
		known, err := t.add(s, byUpdate-int64(n))
		if err != nil {
			return err
		}
		if !known {
			p.impact.Open = true // it may need what an earlier statement makes
			p.note("Not measured: %s.", "a statement depends on another one of the same text")
			return nil
		}
	}
	return t.tell()
}

// fills reports whether the request may put rows somewhere, though it is no change
// of rows that the planner tells of: COPY, CREATE TABLE AS.
func (p *prober) fills() bool {
	for _, s := range p.r.statements {
		switch s.Real().Kind {
		case sql.KindCopyIn, sql.KindWrite, sql.KindUnknown, sql.KindQuery:
			return true
		}
		for _, a := range s.Actions() {
			if a.Has(signalbox.TraitCopy) || a.Verb == signalbox.Execute ||
				strings.HasPrefix(a.Native, "REFRESH") {
				return true
			}
		}
	}
	return false
}

// A tallied names a number: rows of a relation, by what is done to them.
type tallied struct {
	relation uint32
	verb     signalbox.Verb
	reached  bool
}

// A tally adds up what the statements of a request touch.
type tally struct {
	p      *prober
	counts map[tallied]int64 // -1: nobody knows
	exact  bool              // all was counted
}

func (t *tally) note(k tallied, n int64) {
	if before, seen := t.counts[k]; n < 0 || seen && before < 0 {
		t.counts[k] = signalbox.CountUnknown
		return
	}
	t.counts[k] += n
}

// add counts what one statement touches, or has it estimated. known is false when
// the server cannot plan it yet.
func (t *tally) add(s bound, by int64) (known bool, err error) {
	p := t.p
	own := p.steps(s, by)
	if s.Action.Verb == signalbox.Delete {
		by = byDelete
	}
	touch, countable := sql.Touching(s.Text, p.cat)
	if query, ok := p.reach.counting(touch, by); countable && ok && p.small() {
		q, err := withParams(query, touch.Params, s)
		if err != nil {
			return false, err
		}
		answers, err := p.b.probeAll([]question{{sql: p.b.probeTimeout()}, q})
		if err != nil {
			return false, err
		}
		if answers[1].failed == nil {
			for _, st := range own {
				t.note(tallied{relation: st.relation, verb: st.verb()}, 0) // none is a number too
			}
			for _, row := range answers[1].rows {
				h, n := number(row[1]), number(row[2])
				// Deletions of its own bear the same mark as those of the same table
				// that they reach: they are told as one.
				root, verb := p.reach.root(oid(row[0])), signalbox.Delete
				if h != byDelete {
					verb = signalbox.Update
					if p.moves(root, h) {
						n *= 2
					}
				}
				t.note(tallied{root.OID, verb, !hasStep(own, root.OID, h) && p.reach.leads(root.OID, h)}, n)
			}
			return true, nil
		}
	}
	t.exact = false
	answers, err := p.b.probeAll([]question{{sql: p.b.probeTimeout()}, planOf(s)})
	if err != nil {
		return false, err
	}
	if answers[1].failed != nil || len(answers[1].rows) == 0 {
		return false, nil
	}
	nodes, err := planRows([]byte(answers[1].rows[0][0]))
	if err != nil {
		return false, err
	}
	if n, err := p.b.countTouched([]bound{s}); err == nil && p.small() {
		nodes = n
		t.exact = len(p.reach.edges) == 0
	} else if s.constant() {
		t.exact = len(p.reach.edges) == 0 // the planner counts VALUES as well as anybody
	}
	at := make(map[uint32]int64)
	for _, st := range own {
		if rel := p.reach.byOID[st.relation]; len(rel.Base) == 0 || rel.Kind != 'v' {
			at[st.relation] = nodes
			t.note(tallied{relation: st.relation, verb: st.verb()}, nodes)
		}
	}
	for _, a := range s.Actions() {
		if a.Verb != signalbox.Create || len(a.Resources) == 0 {
			continue
		}
		if rel, ok := p.cat.Relations[a.Resources[0].Name]; ok {
			t.note(tallied{relation: rel.OID, verb: signalbox.Create}, nodes)
		}
	}
	for relation, verbs := range p.reach.estimate(at, p.size) {
		for verb, n := range verbs {
			if n > 0 {
				n = roundUp(n)
			}
			t.note(tallied{relation: relation, verb: verb, reached: true}, n)
		}
	}
	return true, nil
}

// constant reports whether it is an INSERT of rows that stand in its text.
func (b bound) constant() bool {
	return b.Action.Verb == signalbox.Create && strings.HasPrefix(b.Action.Native, "INSERT") &&
		len(b.More) == 0 && !b.Action.Has(signalbox.TraitBulk)
}

func hasStep(own []rowChange, relation uint32, by int64) bool {
	return slices.ContainsFunc(own, func(s rowChange) bool { return s.relation == relation && s.by == by })
}

// moves reports whether a step may move rows of a relation to other partitions,
// which the server counts as two changes each.
func (p *prober) moves(rel sql.Relation, by int64) bool {
	var columns []string
	for _, s := range p.reach.own {
		if s.by == by {
			columns = append(columns, s.columns...)
		}
	}
	for _, e := range p.reach.edges {
		if e.to.by == by {
			columns = append(columns, e.to.columns...)
		}
	}
	for id, key := range p.partitioned {
		if p.reach.same(id, rel.OID) && meet(key, columns) || meet(columns, key) && p.reach.same(id, rel.OID) {
			return true
		}
	}
	return false
}

// small reports whether the tables whose rows may be touched are small enough for
// their rows to be looked at, one by one.
func (p *prober) small() bool {
	for _, id := range p.reach.relations() {
		if t, ok := p.found[id]; !ok || t.holdsRows() && !t.countable(p.b.exact) {
			return false
		}
	}
	return !p.reach.unknown
}

// size is how many rows a relation holds; -1 if nobody can tell.
func (p *prober) size(id uint32) int64 {
	t, ok := p.found[id]
	if !ok {
		return signalbox.CountUnknown
	}
	if t.rows < 0 {
		t.rows, _ = p.b.rowsOf(t)
		p.found[id] = t
	}
	return t.rows
}

// total is how many rows a relation holds, counted if that does not take long.
func (p *prober) total(id uint32) int64 {
	t, ok := p.found[id]
	if !ok || !t.holdsRows() {
		return 0
	}
	n, _ := p.b.rowsOf(t)
	return max(n, 0)
}

// tell puts the numbers into the impact, as a ceiling and in words.
func (t *tally) tell() error {
	p := t.p
	keys := slices.SortedFunc(maps.Keys(t.counts), func(a, b tallied) int {
		switch {
		case a.reached != b.reached && b.reached:
			return -1
		case a.reached != b.reached:
			return 1
		}
		return strings.Compare(fmt.Sprint(p.reach.byOID[a.relation].Name, a.relation, a.verb),
			fmt.Sprint(p.reach.byOID[b.relation].Name, b.relation, b.verb))
	})
	count, dependants, total := int64(0), int64(0), int64(0)
	left := make(map[uint32]int64) // rows that may still be deleted
	for _, k := range keys {
		rel := p.reach.byOID[k.relation]
		share := signalbox.Share{Resource: rel.Schema + "." + rel.Name, Verb: k.verb, Count: t.counts[k],
			Total: p.total(k.relation), Reached: k.reached, Parts: rel.Children}
		if rel.Kind == 'f' {
			share.Parts = append(slices.Clone(share.Parts), unmeasured)
		}
		if k.verb == signalbox.Delete && share.Total > 0 && share.Count > 0 {
			// What two statements find is deleted once.
			if _, seen := left[k.relation]; !seen {
				left[k.relation] = share.Total
			}
			share.Count = min(share.Count, left[k.relation])
			left[k.relation] -= share.Count
		}
		if share.Count == 0 && k.reached {
			continue
		}
		p.impact.Facts = append(p.impact.Facts, words(share, t.exact))
		if share.Count >= 0 && !p.b.exact {
			share.Count = roundUp(share.Count)
		}
		if share.Total > 0 && k.verb != signalbox.Create {
			share.Total = max(share.Total, share.Count)
		}
		p.impact.Shares = append(p.impact.Shares, share)
		switch {
		case share.Count < 0:
		case k.reached:
			dependants += share.Count
		default:
			count += share.Count
			total += share.Total
		}
	}
	if p.reach.unknown {
		p.note("Nobody knows what goes with them: there are more than %d foreign keys that delete or change rows.",
			maxKeys)
		p.impact.Open = true
	}
	p.impact.Measured = true
	p.impact.Count, p.impact.Total, p.impact.Dependants = count, total, dependants
	return nil
}

// words says in a sentence what is done to rows of one relation.
func words(s signalbox.Share, exact bool) string {
	n := fmt.Sprint(s.Count)
	how := "counted"
	if !exact {
		n, how = "about "+n, "the planner's estimate"
	}
	of := ""
	if s.Total > 0 && s.Verb != signalbox.Create {
		of = fmt.Sprintf(" of %d", s.Total)
	}
	verb, passive := "Changes", "changed"
	switch s.Verb {
	case signalbox.Delete:
		verb, passive = "Deletes", "deleted"
	case signalbox.Create:
		verb = "Adds"
	}
	switch {
	case s.Count < 0 && s.Reached:
		return fmt.Sprintf("Nobody knows how many rows of %s are %s with them.", s.Resource, passive)
	case s.Count < 0:
		return fmt.Sprintf("%s rows of %s: nobody knows how many.", verb, s.Resource)
	case s.Reached:
		return fmt.Sprintf("With them, %s%s rows of %s are %s (%s).", n, of, s.Resource, passive, how)
	case s.Verb == signalbox.Create:
		return fmt.Sprintf("Adds %s rows to %s (%s).", n, s.Resource, how)
	}
	return fmt.Sprintf("%s %s%s rows of %s (%s).", verb, n, of, s.Resource, how)
}

// hooksSQL asks for what others have put on relations to run when rows of them
// change: triggers whose function is not PostgreSQL's own, and rules. It is asked
// with a plain search path.
func hooksSQL(oids []uint32) string {
	return `SELECT t.tgrelid, concat('trigger ', t.tgname, ' runs ', t.tgfoid::regproc), t.tgtype FROM pg_trigger t
 WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgfoid >= 16384 AND t.tgrelid = ANY (` + oidArray(oids) + `)
 UNION ALL SELECT w.ev_class, concat('rule ', w.rulename, ' runs other statements'), CASE w.ev_type WHEN '2' THEN 16 WHEN '3' THEN 4 WHEN '4' THEN 8 ELSE 0 END
 FROM pg_rewrite w WHERE w.rulename <> '_RETURN' AND w.ev_enabled <> 'D' AND w.ev_class = ANY (` + oidArray(oids) + `)
 UNION ALL SELECT 0, concat('event trigger ', e.evtname, ' runs ', e.evtfoid::regproc), 0 FROM pg_event_trigger e WHERE e.evtenabled <> 'D' ORDER BY 2`
}

// Bits of pg_trigger's tgtype.
const (
	onInsert   = 4
	onDelete   = 8
	onUpdate   = 16
	onTruncate = 32
)

// hooks says what runs besides, of which nobody knows what it touches.
func (p *prober) hooks() error {
	events := make(map[uint32]int64)
	mark := func(id uint32, bits int64) {
		events[id] |= bits
		for _, child := range p.reach.byOID[id].Children {
			if rel, ok := p.cat.Relations[child]; ok {
				events[rel.OID] |= bits
			}
		}
	}
	bits := func(v signalbox.Verb) int64 {
		switch v {
		case signalbox.Delete:
			return onDelete
		case signalbox.Create:
			return onInsert
		}
		return onUpdate
	}
	defines := false
	for _, s := range p.r.statements {
		defines = defines || s.Real().Kind == sql.KindUtility
		for _, a := range s.Actions() {
			if len(a.Resources) == 0 || a.Verb == signalbox.Read {
				continue
			}
			b := bits(a.Verb)
			switch {
			case strings.HasPrefix(a.Native, "TRUNCATE"):
				b = onTruncate
			case strings.HasPrefix(a.Native, "INSERT ON CONFLICT"):
				b = onInsert | onUpdate
			case strings.HasPrefix(a.Native, "COPY"):
				b = onInsert
			case s.Real().Kind == sql.KindUtility:
				continue
			}
			for i, res := range a.Resources {
				rel, ok := p.cat.Relations[res.Name]
				if !ok || i > 0 && b != onTruncate {
					continue
				}
				if rel.Kind == 'p' && b == onUpdate {
					b |= onInsert | onDelete // a row may move to another partition
				}
				mark(rel.OID, b)
				for _, base := range rel.Base {
					mark(p.cat.Relations[base].OID, b)
				}
			}
		}
	}
	for _, e := range p.reach.edges {
		mark(e.to.relation, bits(e.to.verb()))
	}
	for _, id := range p.emptied {
		mark(id, onTruncate)
	}
	if len(events) == 0 && !defines {
		return nil
	}
	answers, err := p.b.question(hooksSQL(slices.Sorted(maps.Keys(events))))
	if err != nil {
		return fmt.Errorf("triggers cannot be looked up: %w", err)
	}
	said := make(map[string]bool)
	for _, row := range answers[0].rows {
		id := oid(row[0])
		what := ""
		switch {
		case id == 0 && defines:
			what = row[1]
		case id != 0 && events[id]&number(row[2]) != 0:
			rel := p.reach.root(id)
			what = fmt.Sprintf("%s, on %s.%s", row[1], rel.Schema, rel.Name)
		}
		if what == "" || said[what] {
			continue
		}
		said[what] = true
		p.impact.Open = true
		p.note("Besides, %s: nobody knows what that touches.", what)
	}
	return nil
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
