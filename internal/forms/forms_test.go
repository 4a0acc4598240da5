package forms

import (
	"strings"
	"testing"
)

func TestFormsAreReviewedWordByWord(t *testing.T) {
	l, mistakes := Parse([]byte(`
# indexes
CREATE INDEX concurrently [unique] [if-not-exists]   "others go on writing"
ANALYZE	"reads"
CALL public.f(integer[], double precision) sha256:12ab reads "read by bob"
CALL public."odd name"() "a name in quotes"
`))
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	for form, want := range map[string]bool{
		"":                           false,
		"ANALYZE":                    true,
		"ANALYZE verbose":            false,
		"analyze":                    false,
		"CREATE INDEX":               false,
		"CREATE INDEX unique":        false,
		"CREATE INDEX concurrently":  true,
		"CREATE INDEX concurrently ": false,
		"CREATE INDEX if-not-exists concurrently unique":               true,
		"CREATE INDEX concurrently other(x)":                           false,
		"CREATE concurrently INDEX":                                    false,
		"CALL public.f(integer[], double precision) sha256:12ab reads": true,
		"CALL public.f(integer[], double precision)":                   false,
		`CALL public."odd name"()`:                                     true,
	} {
		if got := l.Has(form); got != want {
			t.Errorf("Has(%q) = %t", form, got)
		}
	}
	if n := len(l.Entries()); n != 4 {
		t.Errorf("%d entries", n)
	}
	if (*List)(nil).Has("ANALYZE") {
		t.Error("the nil list has a form")
	}
}

func TestMistakesNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"ANALYZE":                              "has no reason",
		`ANALYZE ""`:                           "reason is empty",
		`"why"`:                                "has no form",
		`analyze "why"`:                        "in capitals",
		`[ANALYZE] "why"`:                      "in capitals",
		`ANALYZE other(x) "why"`:               "cannot be reviewed",
		`ANALYZE [other(x)] "why"`:             "cannot be reviewed",
		`ANALYZE [verbose "why"`:               "one word in brackets",
		`ANALYZE [] "why"`:                     "one word in brackets",
		`ANALYZE verbose [verbose] "why"`:      "twice",
		"ANALYZE \"why\"\nANALYZE \"because\"": "stands in line 2 already",
		"ANALYZE\u202e \"why\"":                "cannot be seen",
		"ANALYZE \"" + strings.Repeat("x", 2000) + "\"": "longer than",
	} {
		l, mistakes := Parse([]byte("# head\n" + text))
		if l != nil || len(mistakes) != 1 || mistakes[0].Line < 2 || !strings.Contains(mistakes[0].Msg, want) {
			t.Errorf("%q: %v", text, mistakes)
		}
	}
	if _, mistakes := Parse([]byte("\xff")); len(mistakes) != 1 {
		t.Error("took what is no text")
	}
}
