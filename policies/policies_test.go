package policies_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/policies"
)

func TestDefaultPassesItsTests(t *testing.T) {
	files, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := policies.Tests()
	if err != nil {
		t.Fatal(err)
	}
	report, err := set.Test(tests)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Failed {
		t.Error(f)
	}
	if report.Passed < 40 {
		t.Errorf("%d tests passed, want at least 40: were they read?", report.Passed)
	}
}

func TestFolderGetsTheSchema(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "own.cedar"),
		[]byte(`@id("all") permit (principal, action, resource);`), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := policies.Folder(dir)
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != 1 {
		t.Errorf("got %d policies, want the one of the folder alone", set.Len())
	}
	if _, err := policies.Folder(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing folder was read")
	}
}

// The examples in the documentation must work.
func TestDocumentedExamples(t *testing.T) {
	doc, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	for i, example := range fenced(string(doc), "cedar") {
		files = append(files, policy.File{Name: fmt.Sprintf("example%d.cedar", i), Data: []byte(example)})
	}
	lists := fenced(string(doc), "text")
	if len(files) < 10 || len(lists) != 1 {
		t.Fatalf("%d files, %d lists: the examples were not found", len(files), len(lists))
	}
	files = slices.DeleteFunc(files, func(f policy.File) bool { return f.Name == policy.ReviewedFile })
	files = append(files, policy.File{Name: policy.ReviewedFile, Data: []byte(lists[0])})
	set, err := policy.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Forms()) != 2 {
		t.Errorf("%d reviewed forms in the documentation", len(set.Forms()))
	}
	tests := fenced(string(doc), "yaml")
	report, err := set.Test([]policy.File{{Name: "example.yaml", Data: []byte(strings.Join(tests, "\n"))}})
	if err != nil || report.Passed != 1 {
		t.Errorf("the test in the documentation: %+v, %v", report, err)
	}
}

func fenced(doc, language string) []string {
	var found []string
	for {
		_, rest, ok := strings.Cut(doc, "```"+language+"\n")
		if !ok {
			return found
		}
		block, after, _ := strings.Cut(rest, "```")
		found, doc = append(found, block), after
	}
}
