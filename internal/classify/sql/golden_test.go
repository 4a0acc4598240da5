package sql

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden file anew")

// The judgement of every text in testdata/statements.txt, to be read in review.
func TestJudgements(t *testing.T) {
	in, err := os.ReadFile("testdata/statements.txt")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(in)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "##") {
			fmt.Fprintln(&b, line)
			continue
		}
		fmt.Fprintln(&b, line)
		for _, s := range Classify(line, nil).Statements {
			for i, a := range s.Actions() {
				fmt.Fprintf(&b, "    %s %s", a.Verb, a.Native)
				for _, r := range a.Resources {
					fmt.Fprintf(&b, " [%s]", r)
				}
				fmt.Fprintf(&b, " %s", a.Impact.Scope)
				if a.Impact.Count >= 0 {
					fmt.Fprintf(&b, " n=%d", a.Impact.Count)
				}
				if a.Impact.Reversible {
					fmt.Fprint(&b, " reversible")
				}
				for _, t := range a.Traits {
					fmt.Fprintf(&b, " +%s", t)
				}
				if i == 0 && s.ReadOnly {
					fmt.Fprint(&b, " readonly")
				}
				if i == 0 && s.Lone {
					fmt.Fprint(&b, " lone")
				}
				if a.Form != "" {
					fmt.Fprintf(&b, " = %s", a.Form)
				}
				fmt.Fprintln(&b)
			}
		}
	}
	const golden = "testdata/judgements.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("judgements differ from %s (-want +got); run with -update when they should:\n%s", golden, d)
	}
}
