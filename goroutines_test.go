package signalbox_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A started is what starts goroutines in one file, as somebody has reviewed it:
// how many places, who waits for each or what ends it, and what becomes of a
// panic. A goroutine that outlives the request or the connection that it works
// for acts in nobody's name, and a panic in one ends the process.
type started struct {
	places int
	why    string
}

// goroutines are the files in which something is started that runs beside.
var goroutines = map[string]started{
	"internal/gate/reads.go":    {1, "a summary being recorded, which Reads.Close waits for; its panic is an error"},
	"internal/gate/sessions.go": {3, "a session's watch, and summaries being recorded, which Sessions.Close waits for"},

	"internal/gate/aws/forward.go":  {1, "a timer that ends the sending of one request, stopped before that ends"},
	"internal/gate/aws/gate.go":     {2, "the sweep, in the gate's group; the end of listening, stopped by Serve"},
	"internal/gate/aws/lifetime.go": {1, "calls a function when a context ends; whoever asked for it waits; guarded"},
	"internal/gate/aws/listen.go":   {3, "the gate's group; greetings of connections, in the listener's; one that waits for it"},

	"internal/gate/pgwire/end.go":    {1, "cancels what a cut connection runs, two seconds at most; the gate's group; guarded"},
	"internal/gate/pgwire/gate.go":   {6, "clients, the care of idle ones and the greeting: groups that Shutdown waits for, each guarded; the end of a session, for one connection, stopped when that leaves, guarded; the end of listening, stopped by Serve; the wait itself"},
	"internal/gate/pgwire/copy.go":   {1, "listens to the server during a COPY, which waits for it; guarded"},
	"internal/gate/pgwire/limits.go": {1, "cancels a statement that runs for too long, two seconds at most; the gate's group; guarded"},
	"internal/gate/pgwire/watch.go":  {1, "watches an idle connection, which dismisses it and waits; guarded"},

	"internal/interlock/execute.go":   {1, "an outcome that nobody waits for; Close waits; guarded"},
	"internal/interlock/coalesce.go":  {1, "closes a channel after 5 ms"},
	"internal/interlock/interlock.go": {3, "the two loops, which Close waits for, each round guarded; Close's own patience"},

	"internal/server/api/explain.go": {1, "ends explain with the server, stopped before the request ends"},
	"internal/server/api/holds.go":   {1, "ends a long poll with the server, stopped before the request ends"},
	"internal/server/gates.go":       {1, "serves a gate; Close waits; guarded"},
	"internal/server/server.go":      {3, "background work, HTTP and the probe of the log; Close waits for each; guarded"},
}

// TestGoroutinesHaveOwners finds everything that starts a goroutine where
// clients are served, and wants it reviewed.
func TestGoroutinesHaveOwners(t *testing.T) {
	found := map[string][]string{}
	for _, root := range []string{"internal/gate", "internal/interlock", "internal/server"} {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				if d.Name() == "testdata" || strings.HasSuffix(d.Name(), "test") {
					return filepath.SkipDir
				}
				return nil
			}
			if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return nil
			}
			places, err := starts(name, nil)
			if len(places) > 0 {
				found[filepath.ToSlash(name)] = places
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		want := goroutines[name]
		if len(found[name]) != want.places {
			t.Errorf("%s starts goroutines in %d places, of which %d are reviewed: who waits for each, what ends it, and what becomes of a panic?\n\t%s\nSay so in goroutines_test.go.",
				name, len(found[name]), want.places, strings.Join(found[name], "\n\t"))
		}
	}
	for name, s := range goroutines {
		if found[name] == nil {
			t.Errorf("%s starts nothing any more: take it out of goroutines_test.go", name)
		}
		if s.why == "" {
			t.Errorf("%s has no reason", name)
		}
	}
}

// TestGoroutinesAreFound proves that the search can find.
func TestGoroutinesAreFound(t *testing.T) {
	const source = `package p
import ("context"; "sync"; "time"; later "context")
func f() {
	go f()
	func() { go func() {}() }()
	time.AfterFunc(1, f)
	defer context.AfterFunc(nil, f)()
	later.AfterFunc(nil, f)
	var g sync.WaitGroup
	g.Go(f)
	var s struct{ g sync.WaitGroup }
	s.g.Go(func() {})
	start := s.g.Go
	start(f)
}`
	places, err := starts("p.go", []byte(source))
	if err != nil || len(places) != 8 {
		t.Errorf("found %q (%v), want 8 places", places, err)
	}
}

// starts gives the places in a file that start a goroutine. By its name alone:
// a method Go or a function AfterFunc, of whatever and even if it is not called
// at once, is one.
func starts(name string, source any) ([]string, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var places []string
	ast.Inspect(file, func(n ast.Node) bool {
		what := ""
		switch n := n.(type) {
		case *ast.GoStmt:
			what = "go"
		case *ast.SelectorExpr:
			if n.Sel.Name == "AfterFunc" || n.Sel.Name == "Go" {
				what = n.Sel.Name
			}
		}
		if what != "" {
			places = append(places, fmt.Sprintf("line %d: %s", files.Position(n.Pos()).Line, what))
		}
		return true
	})
	return places, nil
}
