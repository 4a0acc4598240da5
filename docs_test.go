package signalbox_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// The page that says which tests keep which promise must not name a test that
// is gone.
func TestPromisesNameTests(t *testing.T) {
	page, err := os.ReadFile("docs/promises.md")
	if err != nil {
		t.Fatal(err)
	}
	promises := 0
	for _, row := range strings.Split(string(page), "\n") {
		if !strings.HasPrefix(row, "| **P") {
			continue
		}
		promises++
		_, tests, _ := strings.Cut(row[1:], "|")
		named := 0
		for _, part := range strings.Split(tests, "·") {
			folder := regexp.MustCompile("`([^`]+)`").FindStringSubmatch(part)
			if folder == nil {
				continue
			}
			source := sources(t, folder[1])
			for _, name := range regexp.MustCompile(`Test\w+`).FindAllString(part, -1) {
				named++
				if !strings.Contains(source, "func "+name+"(t *testing.T)") {
					t.Errorf("docs/promises.md names %s in %s, which is not there", name, folder[1])
				}
			}
		}
		if named == 0 && !strings.Contains(row, "Not built yet") {
			t.Errorf("no test is named in %q", row)
		}
	}
	if promises != 12 {
		t.Errorf("%d promises in docs/promises.md, want 12", promises)
	}
}

func sources(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s: %v", folder, err)
	}
	var all strings.Builder
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String()
}

// maxLine is the longest line of prose and code, in characters: what fits beside
// another file. Tables, code blocks and what cannot be broken are as they are.
const maxLine = 120

func TestDocumentsHaveShortLines(t *testing.T) {
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(name, ".md") {
			return nil
		}
		page, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		block := false
		for n, line := range strings.Split(string(page), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				block = !block
			}
			switch {
			case block, strings.HasPrefix(line, "|"), strings.HasPrefix(line, "    "):
			case utf8.RuneCountInString(line) > maxLine && strings.Contains(strings.TrimSpace(line[:maxLine]), " "):
				t.Errorf("%s:%d: %d characters, want at most %d", name, n+1, utf8.RuneCountInString(line), maxLine)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
