// Package forms reads lists of reviewed forms: what somebody has looked at and
// found small and reversible, with his reason. What stands on no list is
// unreviewed, however harmless it looks.
//
// A list is a text with one form on each line, and blank lines and comments:
//
//	# Indexes that keep nobody from writing.
//	CREATE INDEX concurrently [if-not-exists] [unique]   "others go on writing; DROP INDEX CONCURRENTLY undoes it"
//
// A form is the words of a [signalbox.Action.Form]. Words in brackets may be there
// or not; all others must be, in this order, and no word besides.
package forms

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Mistake is a line that is not understood. It says what to write instead.
type Mistake struct {
	Line int
	Msg  string
}

// An Entry is one line of a list.
type Entry struct {
	Form   string // as it stands there, brackets included
	Reason string
	Line   int

	words    []string // that must be there
	optional []string
}

// A List is a set of reviewed forms. It is not changed after [Parse], and safe for
// concurrent use. The nil List has no form.
type List struct {
	entries []Entry
	exact   map[string]bool
	open    map[string][]*Entry // those with words in brackets, by their first word
}

// maxLine bounds a line, so that people can read it.
const maxLine = 1000

// Parse reads a list. With mistakes there is no list.
func Parse(data []byte) (*List, []Mistake) {
	if !utf8.Valid(data) {
		return nil, []Mistake{{0, "is not UTF-8 text"}}
	}
	l := &List{exact: map[string]bool{}, open: map[string][]*Entry{}}
	seen := map[string]int{}
	var mistakes []Mistake
	n := 0
	for line := range strings.SplitSeq(string(data), "\n") {
		n++
		line = strings.TrimSuffix(line, "\r")
		if text := strings.TrimSpace(line); text == "" || text[0] == '#' {
			continue
		}
		e, err := parseLine(line)
		if err == nil && seen[e.Form] > 0 {
			err = fmt.Errorf("the form stands in line %d already: remove one of the two", seen[e.Form])
		}
		if err != nil {
			mistakes = append(mistakes, Mistake{n, err.Error()})
			continue
		}
		e.Line, seen[e.Form] = n, n
		l.entries = append(l.entries, e)
	}
	if mistakes != nil {
		return nil, mistakes
	}
	for i := range l.entries {
		e := &l.entries[i]
		if len(e.optional) == 0 {
			l.exact[e.Form] = true
			continue
		}
		l.open[e.words[0]] = append(l.open[e.words[0]], e)
	}
	return l, nil
}

const layout = `want the form and then the reason in quotes, as: ANALYZE "only reads the table"`

func parseLine(line string) (Entry, error) {
	strange := func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }
	if len(line) > maxLine {
		return Entry{}, fmt.Errorf("is longer than %d bytes: shorten the reason", maxLine)
	}
	if strings.ContainsFunc(line, strange) {
		return Entry{}, fmt.Errorf("holds a character that cannot be seen: type the line anew")
	}
	line = strings.TrimSpace(line)
	rest, ok := strings.CutSuffix(line, `"`)
	at := strings.LastIndexByte(rest, '"')
	if !ok || at < 0 {
		return Entry{}, fmt.Errorf("has no reason: %s", layout)
	}
	e := Entry{Reason: strings.TrimSpace(rest[at+1:])}
	if e.Reason == "" {
		return Entry{}, fmt.Errorf("the reason is empty: say why the form is small and reversible")
	}
	words := strings.Fields(rest[:at])
	e.Form = strings.Join(words, " ")
	if len(words) == 0 {
		return Entry{}, fmt.Errorf("has no form: %s", layout)
	}
	if words[0] != strings.ToUpper(words[0]) || !unicode.IsUpper(rune(words[0][0])) {
		return Entry{}, fmt.Errorf("a form begins with the statement in capitals, as CREATE INDEX: " +
			"copy it from the verdict's reason")
	}
	for _, w := range words {
		if strings.HasPrefix(strings.TrimPrefix(w, "["), "other(") {
			return Entry{}, fmt.Errorf("%s stands for what Signalbox has no word for: it cannot be reviewed", w)
		}
		inner, bracket := strings.CutPrefix(w, "[")
		if !bracket {
			e.words = append(e.words, w)
			continue
		}
		inner, bracket = strings.CutSuffix(inner, "]")
		if !bracket || inner == "" || strings.ContainsAny(inner, "[]") {
			return Entry{}, fmt.Errorf("%q: want one word in brackets, as [if-not-exists]", w)
		}
		e.optional = append(e.optional, inner)
	}
	if words[0] == "CALL" && strings.Contains(e.Form, " sha256:") && !SaysWhat(e.Form) {
		return Entry{}, fmt.Errorf("say what the function does: end the form with the word reads, or changes")
	}
	for i, w := range e.optional {
		if slices.Contains(e.words, w) || slices.Contains(e.optional[:i], w) {
			return Entry{}, fmt.Errorf("the word %q stands there twice: remove one", w)
		}
	}
	return e, nil
}

// Has reports whether a form is reviewed. The empty form never is.
func (l *List) Has(form string) bool {
	if l == nil || form == "" {
		return false
	}
	if l.exact[form] {
		return true
	}
	first, _, _ := strings.Cut(form, " ")
	for _, e := range l.open[first] {
		if e.covers(form) {
			return true
		}
	}
	return false
}

func (e *Entry) covers(form string) bool {
	need := e.words
	for w := range strings.SplitSeq(form, " ") {
		switch {
		case len(need) > 0 && w == need[0]:
			need = need[1:]
		case !slices.Contains(e.optional, w):
			return false
		}
	}
	return len(need) == 0
}

// Entries lists the forms in the order of their lines.
func (l *List) Entries() []Entry {
	if l == nil {
		return nil
	}
	return slices.Clone(l.entries)
}
