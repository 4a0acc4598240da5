package signalbox_test

import (
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox"
)

func TestRequirementSatisfied(t *testing.T) {
	ann := signalbox.Approver{Name: "ann", Groups: []string{"sre"}}
	bob := signalbox.Approver{Name: "bob", Groups: []string{"sre", "dba"}}
	cat := signalbox.Approver{Name: "cat", Groups: []string{"dba"}}
	dan := signalbox.Approver{Name: "dan"}
	for _, tt := range []struct {
		text string
		yes  []signalbox.Approver
		want bool
	}{
		{"1 of sre", nil, false},
		{"1 of sre", []signalbox.Approver{dan}, false},
		{"1 of sre", []signalbox.Approver{cat}, false},
		{"1 of sre", []signalbox.Approver{ann}, true},
		{"2 of sre", []signalbox.Approver{ann}, false},
		{"2 of sre", []signalbox.Approver{ann, ann}, false},
		{"2 of sre", []signalbox.Approver{ann, bob}, true},
		{"1 of sre and 1 of dba", []signalbox.Approver{bob}, false},
		{"1 of sre and 1 of dba", []signalbox.Approver{bob, ann}, true},
		{"1 of sre and 1 of dba", []signalbox.Approver{bob, cat}, true},
		{"1 of dba and 1 of sre", []signalbox.Approver{bob, cat}, true},
		{"1 of sre and 1 of dba", []signalbox.Approver{ann, dan}, false},
		{"1 of sre and 1 of sre", []signalbox.Approver{ann}, false},
		{"1 of sre and 1 of sre", []signalbox.Approver{ann, bob}, true},
		{"2 of sre and 1 of dba", []signalbox.Approver{ann, bob}, false},
		{"2 of sre and 1 of dba", []signalbox.Approver{ann, bob, cat}, true},
		{"2 of sre or 1 of dba", []signalbox.Approver{cat}, true},
		{"2 of sre or 1 of dba", []signalbox.Approver{ann}, false},
		{"2 of sre or 1 of sre and 1 of dba", []signalbox.Approver{ann, cat}, true},
		{"(2 of sre or 1 of sre) and 1 of dba", []signalbox.Approver{ann, cat}, true},
		{"(2 of sre or 1 of dba) and 1 of dba", []signalbox.Approver{bob, cat}, true},
		{"(2 of sre or 1 of dba) and 1 of dba", []signalbox.Approver{ann, bob}, false},
	} {
		r, err := signalbox.ParseRequirement(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Satisfied(tt.yes); got != tt.want {
			t.Errorf("%q with %v: got %t, want %t", tt.text, tt.yes, got, tt.want)
		}
	}
	if (signalbox.Requirement{}).Satisfied([]signalbox.Approver{ann, bob}) {
		t.Error("the zero requirement was satisfied")
	}
	nobody := signalbox.Approver{Groups: []string{"sre"}}
	if r, _ := signalbox.ParseRequirement("1 of sre"); r.Satisfied([]signalbox.Approver{nobody}) {
		t.Error("an approver without a name counted")
	}
}

func TestRequirementMissing(t *testing.T) {
	ann := signalbox.Approver{Name: "ann", Groups: []string{"sre"}}
	bob := signalbox.Approver{Name: "bob", Groups: []string{"sre", "dba"}}
	cat := signalbox.Approver{Name: "cat", Groups: []string{"dba"}}
	dan := signalbox.Approver{Name: "dan"}
	for _, tt := range []struct {
		text string
		yes  []signalbox.Approver
		want string
	}{
		{"2 of sre", nil, "2 of sre"},
		{"2 of sre", []signalbox.Approver{dan, cat}, "2 of sre"},
		{"2 of sre", []signalbox.Approver{ann}, "1 more of sre (2 of sre)"},
		{"2 of sre", []signalbox.Approver{ann, ann}, "1 more of sre (2 of sre)"},
		{"2 of sre", []signalbox.Approver{ann, bob}, ""},
		{"3 of sre", []signalbox.Approver{ann}, "2 more of sre (3 of sre)"},
		{"1 of sre and 1 of dba", []signalbox.Approver{ann}, "1 of dba (1 of sre and 1 of dba)"},
		{"2 of sre and 1 of dba", []signalbox.Approver{bob, cat}, "1 more of sre (2 of sre and 1 of dba)"},
		{"2 of sre or 1 of dba", []signalbox.Approver{ann}, "1 more of sre or 1 of dba (2 of sre or 1 of dba)"},
		{"(2 of sre or 2 of dba) and 1 of ops", []signalbox.Approver{cat},
			"1 more of dba and 1 of ops or 1 of ops and 2 of sre ((2 of sre or 2 of dba) and 1 of ops)"},
	} {
		r, err := signalbox.ParseRequirement(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Missing(tt.yes); got != tt.want {
			t.Errorf("%q with %v: got %q, want %q", tt.text, tt.yes, got, tt.want)
		}
	}
}

func TestParseRequirementRefuses(t *testing.T) {
	for _, text := range []string{
		"", " ", "sre", "2", "2 of", "of sre", "0 of sre", "-1 of sre", "02 of sre", "10 of sre", "+1 of sre",
		"2 sre", "2 of sre and", "2 of sre or",
		"and 2 of sre", "2 of sre 1 of dba", "(2 of sre", "2 of sre)", "()", "2 of sre, 1 of dba", "2 OF sre",
		"2 of s/e", "2 of and", "1 of of",
		strings.Repeat("(", 20) + "1 of sre" + strings.Repeat(")", 20),
		strings.TrimSuffix(strings.Repeat("9 of sre and ", 4), " and "),
		strings.TrimSuffix(strings.Repeat("(1 of a or 1 of b) and ", 7), " and "),
		strings.Repeat(" ", 600) + "1 of sre",
	} {
		if r, err := signalbox.ParseRequirement(text); err == nil {
			t.Errorf("%q was read as %q", text, r)
		}
	}
}

func TestRequirementText(t *testing.T) {
	r, err := signalbox.ParseRequirement("  2   of sre or( 1 of dba and 1 of sre )")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.String(), "2 of sre or (1 of dba and 1 of sre)"; got != want {
		t.Errorf("String: got %q, want %q", got, want)
	}
	if got, want := strings.Join(r.Groups(), ","), "dba,sre"; got != want {
		t.Errorf("Groups: got %q, want %q", got, want)
	}
}

func TestRequirementCovers(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"2 of sre", "1 of sre", true},
		{"1 of sre", "2 of sre", false},
		{"2 of sre", "2 of sre", true},
		{"2 of sre", "1 of dba", false},
		{"1 of sre and 1 of dba", "1 of dba", true},
		{"2 of sre or 1 of dba", "1 of sre", false},
		{"2 of sre or 1 of sre and 1 of dba", "1 of sre", true},
		{"2 of sre", "1 of sre or 1 of dba", false},
	} {
		a, _ := signalbox.ParseRequirement(tt.a)
		b, _ := signalbox.ParseRequirement(tt.b)
		if got := a.Covers(b); got != tt.want {
			t.Errorf("%q covers %q: got %t, want %t", tt.a, tt.b, got, tt.want)
		}
	}
}

// What was read once reads again from its own text, with the same meaning, and
// more people never hurt.
func FuzzParseRequirement(f *testing.F) {
	for _, seed := range []string{"2 of sre", "1 of sre and 1 of dba", "(2 of a or 1 of b) and 1 of c", "((1 of a))",
		"1 of a or 1 of b or 9 of c"} {
		f.Add(seed, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text string, who uint8) {
		r, err := signalbox.ParseRequirement(text)
		if err != nil {
			return
		}
		again, err := signalbox.ParseRequirement(r.String())
		if err != nil || again.String() != r.String() {
			t.Fatalf("%q reads again as %q: %v", r, again, err)
		}
		var yes []signalbox.Approver
		before := false
		for i := range 8 {
			groups := r.Groups()
			if who>>i&1 == 0 && len(groups) > 0 {
				groups = groups[i%len(groups):]
			}
			yes = append(yes, signalbox.Approver{Name: string(rune('a' + i)), Groups: groups})
			now := r.Satisfied(yes)
			if now != (r.Missing(yes) == "") {
				t.Errorf("%q: satisfied %t, missing %q", text, now, r.Missing(yes))
			}
			if before && !now {
				t.Fatalf("%q: one more approver undid it: %v", r, yes)
			}
			if now != again.Satisfied(yes) {
				t.Fatalf("%q and its own text disagree", r)
			}
			before = now
		}
	})
}
