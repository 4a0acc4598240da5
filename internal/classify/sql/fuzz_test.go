package sql

import (
	"os"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox"
)

func seeds(f *testing.F) {
	b, err := os.ReadFile("testdata/statements.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "##") {
			f.Add(line)
		}
	}
	for _, s := range []string{"", " ;; ", "--", "/*", "SELECT 'a' 'b'", "SELECT 'a'\n'b'",
		"select 1e5, .5, 1., 0xff, 1_000, 5e", "SELECT a<-5, a- -5, a@-1, 1-- x\n+2",
		"SELECT $1::int, $$a$$, $x$b$x$, a$b, a.\"B\"", "SELECT U&\"d\\0061\" UESCAPE '!'",
		"SELECT x'1F', b'01', n'a', E'\\'', e'\\\\'"} {
		f.Add(s)
	}
}

// Whatever the text: an answer, a shape that holds no literal, a lexer that
// agrees with PostgreSQL's, and the same answer from the cache.
func FuzzClassify(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		r := Classify(text, nil)
		if len(r.Statements) == 0 && strings.Trim(text, "; \t\n\r\f\v") != "" && !strings.Contains(text, "--") &&
			!strings.Contains(text, "/*") {
			t.Errorf("%q: no statement", text)
		}
		for _, s := range r.Statements {
			if s.Action.Verb == "" || s.Action.Native == "" {
				t.Errorf("%q: empty action %+v", text, s.Action)
			}
			for _, a := range s.Actions() {
				if a.Verb != signalbox.Read && s.ReadOnly {
					t.Errorf("%q: read only, and yet %s", text, a.Verb)
				}
			}
		}
		for _, l := range r.Literals {
			if inner := strings.Trim(l, "'$ "); len(inner) > 6 && strings.Contains(r.Shape, l) &&
				strings.HasPrefix(l, "'") {
				t.Errorf("%q: shape %q shows %q", text, r.Shape, l)
			}
		}
		agree(t, text)
		c := NewCache(CacheConfig{})
		c.Classify(text, nil)
		again := c.Classify(text, nil)
		if again.Shape != r.Shape || len(again.Statements) != len(r.Statements) {
			t.Errorf("%q: the cache answers otherwise", text)
		}
	})
}

// A writer put anywhere into a text must show.
func FuzzInjected(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "victim") {
			return
		}
		for _, with := range []string{
			text + "; DELETE FROM victim",
			"DELETE FROM victim; " + text,
			"WITH v AS (DELETE FROM victim RETURNING 1) " + text,
			"SELECT * FROM (SELECT refund(1)) victim, (" + text + ") x",
			"EXPLAIN ANALYZE WITH v AS (DELETE FROM victim) " + text,
		} {
			// The writer may stand in a comment or a string: only what the lexer
			// sees as a word counts.
			seen := false
			for _, tok := range lex(with, nil) {
				seen = seen || tok.kind == tokWord && with[tok.start:tok.end] == "victim"
			}
			if !seen {
				continue
			}
			r := Classify(with, nil)
			grave := false
			for _, a := range r.Actions() {
				grave = grave || a.Verb == signalbox.Delete || a.Verb == signalbox.Execute ||
					a.Verb == signalbox.Safeguard
			}
			if !grave {
				t.Errorf("%q: %+v", with, r.Actions())
			}
		}
	})
}
