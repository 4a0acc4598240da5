package sql

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// MaxText is the longest text that is parsed, in bytes. Longer ones are worst.
const MaxText = 1 << 20

// maxDepth bounds our own walk over a parse tree.
const maxDepth = 4000

// Classify says what a text of SQL does. cat is what names mean on the backend
// that would run it, nil if that is not known. It never fails: what cannot be
// understood comes back as one statement of [KindUnknown] whose action is
// [signalbox.Worst]. It is safe for concurrent use.
func Classify(text string, cat *Catalog) Result {
	var r Result
	inTurn(text, func() {
		var buf [128]token
		r, _, _ = classify(text, cat, lexed(text, buf[:0]), nil)
	})
	return r
}

func lexed(text string, buf []token) []token {
	if len(text) > MaxText {
		return nil
	}
	return lex(text, buf)
}

// classify is Classify with what callers within the package know besides.
// steady reports that no constant of the text had a say in the result, so that
// another text that differs in constants alone has the same one. alone reports
// that no prepared statement of a session had one.
func classify(text string, cat *Catalog, tokens []token, lookup lookup) (r Result, steady, alone bool) {
	if len(text) > MaxText {
		return unparsed(text, fmt.Sprintf("text of %d bytes is too long to be judged: the limit is %d", len(text),
			MaxText)), false, true
	}
	if strings.IndexByte(text, 0) >= 0 {
		// The parser would stop there, and nobody knows where the server would.
		return unparsed(text, "text holds a zero byte"), false, true
	}
	if why := tooMuch(text, tokens); why != "" {
		return unparsed(text, why), false, true
	}
	statements, err := pgtree.Parse(text)
	if err != nil {
		return unparsed(text, err.Error()), false, true
	}
	f := shapeOf(text, statementTokens(text, tokens))
	r = Result{Shape: f.shape, Fingerprint: f.fingerprint, Literals: f.literals}
	steady = true
	batch := newBatch(cat, lookup)
	for _, raw := range statements {
		from, to := int(raw.GetStmtLocation()), len(text)
		if n := int(raw.GetStmtLen()); n > 0 {
			to = from + n
		}
		if from < 0 || from > to || to > len(text) {
			return unparsed(text, "the parser gave impossible positions"), false, true
		}
		s, st := batch.statement(raw.GetStmt())
		s.Text, s.Offset = trim(text, from, to)
		s.tellInner()
		s.Action.Shape, s.Action.Fingerprint = r.Shape, r.Fingerprint
		for i := range s.More {
			s.More[i].Shape, s.More[i].Fingerprint = r.Shape, r.Fingerprint
		}
		r.Statements = append(r.Statements, s)
		steady = steady && st
	}
	return r, steady, !batch.asked
}

// trim gives text[from:to] without the blanks around it, and where that begins.
func trim(text string, from, to int) (string, int) {
	part := strings.TrimLeftFunc(text[from:to], unicode.IsSpace)
	return strings.TrimRightFunc(part, unicode.IsSpace), to - len(part)
}

// tellInner gives what stands inside of a statement's own text its text.
func (s *Statement) tellInner() {
	if s.Inner == nil {
		return
	}
	from := -1
	switch {
	case s.Kind == KindPrepare:
		from = behindWord(s.Text, "AS")
	case s.Kind == KindDeclare:
		from = behindWord(s.Text, "FOR")
	default:
		from = behindExplain(s.Text)
	}
	if from < 0 {
		return
	}
	s.Inner.Text, _ = trim(s.Text, from, len(s.Text))
	s.Inner.tellInner()
}

// behindWord finds where the first of a keyword ends, one that neither names nor
// types can be without quotes.
func behindWord(text, keyword string) int {
	var buf [128]token
	for _, t := range lex(text, buf[:0]) {
		if t.kind == tokWord && isWord(text[t.start:t.end], keyword) {
			return t.end
		}
	}
	return -1
}

// behindExplain finds where EXPLAIN and its options end; -1 for another command.
func behindExplain(text string) int {
	var buf [128]token
	end, open := -1, 0
	for i, t := range lex(text, buf[:0]) {
		word := text[t.start:t.end]
		switch {
		case i == 0 && !isWord(word, "EXPLAIN"):
			return -1
		case i == 0, open == 0 && (isWord(word, "ANALYZE") || isWord(word, "ANALYSE") || isWord(word, "VERBOSE")):
		case i == 1 && word == "(", open > 0 && word == "(":
			// A query in parentheses has no options before it.
			if i == 1 && explainsQuery(text[t.end:]) {
				return end
			}
			open++
		case word == ")" && open > 0:
			open--
		case open > 0:
		default:
			return end
		}
		end = t.end
	}
	return end
}

// explainsQuery reports whether what follows EXPLAIN ( is a query.
func explainsQuery(text string) bool {
	var buf [128]token
	for _, t := range lex(text, buf[:0]) {
		switch word := text[t.start:t.end]; {
		case word == "(":
		case isWord(word, "SELECT"), isWord(word, "WITH"), isWord(word, "VALUES"), isWord(word, "TABLE"):
			return true
		default:
			return false
		}
	}
	return false
}

// unparsed is the result for a text that nobody understood. Even its words
// could be secrets (a pasted key): nothing of it is shown.
func unparsed(text, why string) Result {
	const shape = "(not understood)"
	a := signalbox.Worst("SQL", "not understood")
	a.Shape = shape
	a.Fingerprint = "unparsed"
	return Result{
		Statements:  []Statement{{Action: a, Text: text}},
		Shape:       shape,
		Fingerprint: a.Fingerprint,
		Literals:    []string{text},
		Err:         why,
	}
}

// A batch is the statements of one text, judged in order: an earlier one may
// change what a later one means.
type batch struct {
	cat      *Catalog
	path     []string              // effective search path; nil with a nil catalog
	unsure   bool                  // the text changed what names mean in a way that cannot be followed
	temp     map[string]bool       // temporary tables that the text makes
	views    map[string]bool       // temporary views that the text makes: what is behind them is not followed
	stale    bool                  // the text may have removed temporary tables that the catalog has
	made     map[string]bool       // lasting tables that the text surely makes, as written: nobody uses them yet
	funcs    map[string]bool       // functions created in this text, bare names
	prepared map[string]*Statement // nil for one that the text forgets again
	cursors  map[string]*Statement // likewise
	lookup   lookup
	asked    bool // an EXECUTE or FETCH was judged by what the session knows, or does not
}

// lookup asks the session what a name stands for: a prepared statement or, with
// cursor, an open portal.
type lookup func(name string, cursor bool) (Statement, bool)

func newBatch(cat *Catalog, lookup lookup) *batch {
	b := &batch{cat: cat, lookup: lookup}
	if cat != nil {
		b.path = cat.SearchPath
	}
	return b
}

// statement judges a statement of the text.
func (b *batch) statement(n *pg.Node) (Statement, bool) {
	s, steady := b.judge(n)
	if !keepsTemporary(s) {
		// Whatever could have removed or renamed a temporary table, or have undone
		// its creation: the same name may mean a lasting one from here on.
		b.temp, b.stale = nil, true
	}
	if !keepsMade(s) {
		b.made = nil
	}
	if s.Runs != nil {
		b.ran(s.Real())
	}
	return s, steady
}

// ran notes that a statement was run by another, which judged it without a trace:
// what names and prepared statements mean afterwards is not followed.
func (b *batch) ran(real *Statement) {
	switch real.Kind {
	case KindQuery, KindWrite, KindExplain, KindShow, KindCopyIn, KindCopyOut:
		if real.Name == "" { // no set_config
			return
		}
	}
	b.unsure, b.prepared, b.cursors, b.lookup = true, nil, nil, nil
	b.asked = true
}

// inner judges a statement that is not run now, or runs inside another: it
// leaves no trace in the batch.
func (b *batch) inner(n *pg.Node) (Statement, bool) {
	sandbox := *b
	s, steady := sandbox.judge(n)
	b.asked = b.asked || sandbox.asked
	return s, steady
}

func (b *batch) judge(n *pg.Node) (Statement, bool) {
	j := &judge{batch: b, readOnly: true}
	j.s.Kind = KindUtility
	j.top(pgtree.Unwrap(n))
	return j.finish(), !j.looked
}

// keepsTemporary reports whether temporary tables surely survive a statement.
func keepsTemporary(s Statement) bool {
	for _, a := range s.Actions() {
		if a.Verb == signalbox.Execute {
			return false
		}
	}
	switch s.Real().Kind {
	case KindQuery, KindWrite, KindExplain, KindShow, KindCopyIn, KindCopyOut, KindDeclare, KindFetch, KindPrepare:
		return true
	case KindUtility:
		switch s.Action.Native {
		case "CREATE TABLE", "CREATE TABLE AS", "CREATE INDEX", "ANALYZE", "COMMENT":
			return true
		}
	}
	return false
}

// A judge collects what one statement does.
type judge struct {
	*batch
	s        Statement
	effects  []signalbox.Action
	inside   map[int]bool // those of effects that came from an expression
	reads    []string
	writes   []string
	traits   []signalbox.Trait // of the reading itself
	scopes   []map[string]bool // names of CTEs that hide relations, innermost last
	row      *pg.Node          // the constant that the query's column "name" is equal to, if it is to one
	values   Families          // of users' types whose values may come in
	uses     []use             // effects that depend on them
	params   int
	depth    int
	looked   bool // a constant had a say
	readOnly bool
	settled  bool // the reads of this statement need no action of their own
	ranges   bool // the statement reads or writes relations, or functions in their place
	many     bool // a function that takes a lock is called for each of many values
	native   string
	worst    string
}

// constant notes that the value of a constant has a say in the verdict.
func (j *judge) constant() { j.looked = true }

// effect adds something that the statement does.
func (j *judge) effect(a signalbox.Action) *signalbox.Action {
	if a.Verb != signalbox.Read {
		j.readOnly = false
	}
	if j.depth > 0 {
		if j.inside == nil {
			j.inside = map[int]bool{}
		}
		j.inside[len(j.effects)] = true
	}
	j.effects = append(j.effects, a)
	return &j.effects[len(j.effects)-1]
}

// unknown gives up on the statement.
func (j *judge) unknown(why string) {
	if j.worst == "" {
		j.worst = why
	}
	j.readOnly = false
}

func (j *judge) finish() Statement {
	j.manyLocks()
	j.chooses()
	s := j.s
	s.Params = j.params
	slices.Sort(j.reads)
	slices.Sort(j.writes)
	s.Reads = slices.Compact(j.reads)
	s.Writes = slices.Compact(j.writes)
	s.ReadOnly = j.readOnly
	if j.worst != "" {
		s.Kind = KindUnknown
		s.ReadOnly = false
		s.Action = signalbox.Worst("SQL", j.worst)
		return s
	}
	if len(j.effects) == 0 || s.Kind == KindQuery && !j.settled {
		read := signalbox.Action{
			Verb:      signalbox.Read,
			Native:    cmpOr(j.native, "SELECT"),
			Resources: tables(s.Reads),
			Impact:    signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeSome, Reversible: true},
			Traits:    j.traits,
			Reason:    "reads",
		}
		j.effects = append(j.effects, read)
	} else if len(j.traits) > 0 {
		for _, t := range j.traits {
			j.effects[0].Traits = addTrait(j.effects[0].Traits, t)
		}
	}
	for i := range j.effects {
		if a := &j.effects[i]; a.Has(signalbox.TraitCopy) {
			a.Resources = withSources(a.Resources, s.Reads)
		}
	}
	g := signalbox.Gravest(j.effects)
	s.Action = j.effects[g]
	for i, a := range j.effects {
		if i != g && (a.Verb != signalbox.Read || len(a.Traits) > 0 || a.Form != "") {
			s.More = append(s.More, a)
		}
	}
	return s
}

// withSources names what a copy was made from, after the copy: whoever remembers
// both can tell when the copy has become the only one.
func withSources(copied []signalbox.Resource, reads []string) []signalbox.Resource {
	all := copied[:len(copied):len(copied)]
	for _, source := range tables(reads) {
		if len(copied) > 0 && source.Name != copied[0].Name {
			all = append(all, source)
		}
	}
	return all
}

func tables(names []string) []signalbox.Resource {
	rs := make([]signalbox.Resource, 0, len(names))
	for _, n := range names {
		rs = append(rs, signalbox.Resource{Type: "table", Name: n})
	}
	return rs
}

func addTrait(ts []signalbox.Trait, t signalbox.Trait) []signalbox.Trait {
	if slices.Contains(ts, t) {
		return ts
	}
	return append(ts, t)
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
