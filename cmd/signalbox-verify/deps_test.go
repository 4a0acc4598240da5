package main

import (
	"go/build"
	"slices"
	"strings"
	"testing"
)

// An auditor must be able to read all that he links: two packages of ours, and
// the libraries for trees, notes and tiles. The sources are read, because the
// test cache knows nothing of what `go list` would read.
func TestLinksOnlyWhatAuditorsNeed(t *testing.T) {
	const module = "github.com/signalbox-dev/signalbox"
	may := map[string][]string{
		".":           {module, module + "/proof"},
		"../../proof": {module, "filippo.io/torchwood", "golang.org/x/mod/sumdb/note", "golang.org/x/mod/sumdb/tlog"},
		"../..":       {},
	}
	for dir, allowed := range may {
		p, err := build.Default.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range p.Imports {
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") && !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s", dir, path)
			}
		}
	}
}
