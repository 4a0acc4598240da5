package signalbox_test

import (
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox"
)

func TestVisible(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"DROP TABLE orders", "DROP TABLE orders"},
		{"Größe 値 🚂", "Größe 値 🚂"},
		{"a\nb\r\tc", `a\nb\r\tc`},
		{"\x1b[2J\x07", `\x1b[2J\x07`},
		{"c1 \u009b31m", `c1 \x9b31m`},
		{"user\u202etxt.exe", `user\u202etxt.exe`},
		{"\u2066left\u2069 \u200b\u200d\ufeff \u061c", `\u2066left\u2069 \u200b\u200d\ufeff \u061c`},
		{"DROP\u00a0TABLE\u3000x", `DROP\xa0TABLE\u3000x`},
		{"one\u2028two", `one\u2028two`},
		{"filler \u3164 \u115f \u2800", `filler \u3164 \u115f \u2800`},
		{"smuggled \U000e0041\U000e0100\ufe0f", `smuggled \U000e0041\U000e0100\ufe0f`},
		{"private \ue000 \U0010fffd", `private \ue000 \U0010fffd`},
		{"bad \xff\xc0 utf", `bad \xff\xc0 utf`},
		{"replacement \ufffd itself", "replacement \ufffd itself"},
		{`back\slash`, `back\slash`},
	} {
		if got := signalbox.Visible(tt.in); got != tt.want {
			t.Errorf("Visible(%+q): got %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestVisibleLines(t *testing.T) {
	got := signalbox.VisibleLines("SELECT 1\r\n\tFROM t\u202e\n\n-- approved by bob\n")
	want := []string{"SELECT 1", `    FROM t\u202e`, "", "-- approved by bob"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Whatever goes in, what comes out is one line of printable UTF-8, and showing
// it twice changes nothing.
func FuzzVisible(f *testing.F) {
	for _, seed := range []string{"", "SELECT 1", "a\nb", "\x1b]0;x\x07", "\u202e\u2066", "\xff", "\U000e0041"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := signalbox.Visible(s)
		if !utf8.ValidString(v) {
			t.Fatalf("%q gives %q, which is not UTF-8", s, v)
		}
		for _, r := range v {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q gives %q, in which %U is not printable", s, v, r)
			}
		}
		if again := signalbox.Visible(v); again != v {
			t.Fatalf("%q gives %q, which gives %q", s, v, again)
		}
	})
}
