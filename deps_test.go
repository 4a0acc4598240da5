package signalbox_test

import (
	"fmt"
	"go/build"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/signalbox-dev/signalbox"

// lattice says who of ours may import whom. In "a < b", b may import a and all
// that a may. A name is a folder, "." the root, and x/* each folder below x,
// whatever its depth. What stands on one side of a < does not import one
// another: so siblings stay strangers.
const lattice = `
	# The words, and what an auditor links.
	. < proof
	proof < internal/ledger
	proof < cmd/signalbox-verify
	. < client

	# What is it? Pure: no I/O, no policy.
	. < internal/forms
	internal/forms < internal/classify/*
	internal/classify/aws/awswire < internal/classify/aws
	internal/classify/sql/pgtree < internal/classify/sql

	# What happens to it: rules that are pure values, then the one function.
	. < internal/interlock/policy, internal/interlock/approval, internal/interlock/session
	internal/forms < internal/interlock/policy
	internal/interlock/policy, internal/interlock/session < internal/interlock/control
	internal/interlock/control, internal/interlock/approval < internal/interlock
	internal/classify/*, internal/ledger < internal/interlock
	internal/interlock/policy < policies

	# Where it enters, and what would happen if it did.
	. < internal/secret
	internal/interlock, internal/secret < internal/gate
	internal/gate < internal/gate/*
	internal/classify/aws < internal/gate/aws/probe
	internal/gate/aws/sigv4, internal/gate/aws/probe < internal/gate/aws
	internal/interlock/control < internal/explain
	internal/explain < internal/gate

	# Where state is kept: it implements what its consumers declare.
	internal/interlock < internal/store/*
	internal/store/* < internal/store

	# What people see. Only the server puts a store under the rest.
	internal/interlock, internal/gate, internal/explain, client < internal/server/*
	internal/server/identity < internal/server/api, internal/server/console
	internal/server/*, internal/store, internal/gate, internal/gate/*, policies < internal/server
	internal/demo/standin < internal/demo
	internal/server, client, test/pgtest < internal/demo
	internal/demo < cmd/signalbox

	# Helpers of tests, which import what they help with.
	proof < proof/prooftest
	internal/server, test/pgtest, test/awstest < bench
	internal/server < test/regress, test/e2e, test/cloud, test/verdict, test/drivers, test/bypass/postgres
	internal/ledger < test/oracle
	internal/demo/standin < test/cloud
	. < test/crash, test/fuzzcorpus
	. < test/scratch, internal/demo/standin
	test/scratch < test/pgtest, test/awstest
`

// others says who may import which module of others. Prefixes match whole path
// elements; x/* as above. A module that is not here may not be imported: arguing
// for it here is part of adding it.
var others = map[string][]string{
	"github.com/cedar-policy/cedar-go":    {"internal/interlock/policy"},
	"github.com/pganalyze/pg_query_go/v6": {"internal/classify/sql", "internal/classify/sql/pgtree"},
	"google.golang.org/protobuf":          {"internal/classify/sql", "internal/classify/sql/pgtree"},
	"github.com/aws/smithy-go":            {"internal/demo"},
	"golang.org/x/mod": {"proof", "proof/prooftest", "internal/ledger", "internal/store",
		"internal/store/*", "cmd/signalbox-verify"},
	"filippo.io/torchwood": {"proof", "proof/prooftest", "internal/ledger", "cmd/signalbox-verify"},
	"github.com/jackc/pgx/v5": {"internal/store", "internal/store/*", "internal/gate/pgwire",
		"internal/demo", "test/*", "bench"},
	"modernc.org/sqlite":          {"internal/store", "internal/store/*", "bench"},
	"github.com/pressly/goose/v3": {"internal/store", "internal/store/*"},
	"github.com/aws/aws-sdk-go-v2": {"internal/gate/aws", "internal/gate/aws/*", "internal/demo",
		"internal/demo/*", "test/*", "bench"},
	"github.com/xdg-go/scram":          {"internal/gate/pgwire"},
	"github.com/danielgtaylor/huma/v2": {"internal/server/api"},
	"github.com/goccy/go-yaml": {"internal/interlock/policy", "internal/classify/aws", "internal/server",
		"internal/server/*"},
	"github.com/oklog/ulid/v2": {"internal/interlock", "internal/interlock/*", "internal/server",
		"internal/server/*", "internal/gate/pgwire", "internal/gate/aws", "bench"},
	"github.com/prometheus/client_golang": {"internal/server", "internal/server/*"},
	"github.com/spf13/cobra":              {"cmd/signalbox"},
	"golang.org/x/sync":                   {"internal/*", "cmd/signalbox", "bench"},
	"golang.org/x/term":                   {"cmd/signalbox"},
	"golang.org/x/time":                   {"internal/gate", "internal/server", "internal/server/*"},
	"golang.org/x/crypto":                 {"internal/gate/pgwire"},
}

// inTests may be imported by the tests of any package, and by packages that are
// for tests, whose names end so: real counterparties and real stores instead of
// mocks, what compares, and what drives command lines.
var inTests = []string{
	"github.com/google/go-cmp",
	"github.com/rogpeppe/go-internal/testscript",
	modulePath + "/test/awstest",
	modulePath + "/test/pgtest",
	modulePath + "/test/oracle",
	modulePath + "/proof/prooftest",
	modulePath + "/internal/gate",
	modulePath + "/internal/gate/gatetest",
	modulePath + "/internal/store",
	modulePath + "/internal/interlock/policy",
	modulePath + "/policies",
	"github.com/aws/aws-sdk-go-v2",
	"github.com/aws/smithy-go",
	"github.com/jackc/pgx/v5",
	"modernc.org/sqlite",
	"golang.org/x/mod",
	"filippo.io/torchwood",
}

// inTestsOf may be imported by the tests of one package. The server alone lists the
// kinds of gate, and what is made to know none by name is tested with them all.
var inTestsOf = map[string]string{
	"internal/explain":       modulePath + "/internal/server",
	"internal/server/config": modulePath + "/internal/server",
}

// TestImports reads every package of the module from its source. It does not ask
// `go list`: what a child process reads is not part of a test's cache key, and
// the test would stay green from the cache.
func TestImports(t *testing.T) {
	pkgs := packages(t)
	allowed := closure(t, pkgs)
	for _, dir := range slices.Sorted(maps.Keys(pkgs)) {
		p := pkgs[dir]
		if _, ok := allowed[dir]; !ok {
			t.Errorf("%s has no rule: decide where it stands and say so in the lattice of deps_test.go", dir)
			continue
		}
		for _, imp := range p.Imports {
			if strings.HasSuffix(p.Name, "test") && isForTests(imp) {
				continue
			}
			if why := forbidden(dir, imp, allowed[dir]); why != "" {
				t.Errorf("%s imports %s: %s", dir, imp, why)
			}
		}
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			if imp == importPath(dir) || isForTests(imp) || imp == inTestsOf[dir] {
				continue
			}
			if why := forbidden(dir, imp, allowed[dir]); why != "" {
				t.Errorf("a test of %s imports %s: %s", dir, imp, why)
			}
		}
	}
}

// TestImportsOfVerifier keeps the auditor's program small: of ours it links the
// words and the proofs, and nothing that a gate or a server needs.
func TestImportsOfVerifier(t *testing.T) {
	pkgs := packages(t)
	const verifier = "cmd/signalbox-verify"
	if _, ok := pkgs[verifier]; !ok {
		t.Fatalf("no package %s", verifier)
	}
	linked := map[string]bool{}
	var link func(dir string)
	link = func(dir string) {
		if linked[dir] {
			return
		}
		linked[dir] = true
		for _, imp := range pkgs[dir].Imports {
			if ours, ok := folderOf(imp); ok {
				link(ours)
			}
		}
	}
	link(verifier)
	delete(linked, verifier)
	got := slices.Sorted(maps.Keys(linked))
	if want := []string{".", "proof"}; !slices.Equal(got, want) {
		t.Errorf("%s links %v of ours, want %v", verifier, got, want)
	}
}

// TestImportsHaveUniqueNames lets a name mean one package. Leaves that are named
// for a protocol may share it between the questions that are asked about it.
func TestImportsHaveUniqueNames(t *testing.T) {
	byName := map[string][]string{}
	for dir, p := range packages(t) {
		if p.Name != "main" {
			byName[p.Name] = append(byName[p.Name], dir)
		}
	}
	for name, dirs := range byName {
		slices.Sort(dirs)
		leaves := 0
		for _, dir := range dirs {
			if parent := path.Dir(dir); parent == "internal/classify" || parent == "internal/gate" {
				leaves++
			}
		}
		if len(dirs) > 1 && leaves != len(dirs) {
			t.Errorf("package name %s is used by %v", name, dirs)
		}
	}
}

// TestLatticeRejects proves that the rules can fail.
func TestLatticeRejects(t *testing.T) {
	pkgs := packages(t)
	allowed := closure(t, pkgs)
	for _, c := range []struct{ dir, imp string }{
		{".", "golang.org/x/mod/sumdb/note"},
		{".", modulePath + "/proof"},
		{"proof", modulePath + "/internal/ledger"},
		{"internal/interlock/approval", modulePath + "/internal/interlock/session"},
		{"internal/interlock/approval", "github.com/cedar-policy/cedar-go"},
		{"internal/interlock/control", modulePath + "/internal/ledger"},
		{"internal/explain", modulePath + "/internal/interlock"},
		{"internal/ledger", "github.com/jackc/pgx/v5/pgxpool"},
		{"internal/ledger", "example.com/unheard/of"},
	} {
		if forbidden(c.dir, c.imp, allowed[c.dir]) == "" {
			t.Errorf("%s may import %s", c.dir, c.imp)
		}
	}
}

// forbidden says why the package in dir may not import imp; empty when it may.
func forbidden(dir, imp string, allowed map[string]bool) string {
	if first, _, _ := strings.Cut(imp, "/"); !strings.Contains(first, ".") {
		return "" // standard library
	}
	if ours, ok := folderOf(imp); ok {
		if allowed[ours] {
			return ""
		}
		return "not below it in the lattice"
	}
	for module, users := range others {
		if !under(imp, module) {
			continue
		}
		for _, user := range users {
			if matches(dir, user) {
				return ""
			}
		}
		return fmt.Sprintf("only %v may", users)
	}
	return "a module without a rule"
}

// closure turns the lattice into the set of our folders that each may import.
func closure(t *testing.T, pkgs map[string]*build.Package) map[string]map[string]bool {
	t.Helper()
	expand := func(list string) []string {
		var dirs []string
		for name := range strings.SplitSeq(list, ",") {
			name = strings.TrimSpace(name)
			if !strings.HasSuffix(name, "/*") {
				dirs = append(dirs, name)
				continue
			}
			for dir := range pkgs {
				if matches(dir, name) {
					dirs = append(dirs, dir)
				}
			}
		}
		return dirs
	}
	below := map[string]map[string]bool{}
	add := func(dir string) map[string]bool {
		if below[dir] == nil {
			below[dir] = map[string]bool{}
		}
		return below[dir]
	}
	for line := range strings.Lines(lattice) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		lower, upper, ok := strings.Cut(line, "<")
		if !ok {
			t.Fatalf("lattice: no < in %q", line)
		}
		for _, up := range expand(upper) {
			for _, low := range expand(lower) {
				add(up)[low] = true
				add(low)
			}
		}
	}
	for changed := true; changed; {
		changed = false
		for dir, lows := range below {
			for low := range maps.Clone(lows) {
				for lower := range below[low] {
					if !lows[lower] {
						lows[lower], changed = true, true
					}
				}
			}
			if lows[dir] {
				t.Fatalf("lattice: %s is below itself", dir)
			}
		}
	}
	return below
}

// packages reads the packages of this module from their source, by folder.
// Nested modules have rules of their own.
func packages(t *testing.T) map[string]*build.Package {
	t.Helper()
	found := map[string]*build.Package{}
	err := filepath.WalkDir(".", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if dir != "." {
			if name := d.Name(); name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				return filepath.SkipDir
			}
		}
		p, err := build.ImportDir(dir, 0)
		if _, empty := err.(*build.NoGoError); empty {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		found[filepath.ToSlash(dir)] = p
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func importPath(dir string) string { return path.Join(modulePath, dir) }

// folderOf returns the folder of one of our import paths.
func folderOf(imp string) (string, bool) {
	if imp == modulePath {
		return ".", true
	}
	return strings.CutPrefix(imp, modulePath+"/")
}

// matches reports whether dir is name, or is below x when name is x/*.
func matches(dir, name string) bool {
	if parent, ok := strings.CutSuffix(name, "/*"); ok {
		return strings.HasPrefix(dir, parent+"/")
	}
	return dir == name
}

func isForTests(imp string) bool {
	return slices.ContainsFunc(inTests, func(prefix string) bool { return under(imp, prefix) })
}

func under(imp, prefix string) bool { return imp == prefix || strings.HasPrefix(imp, prefix+"/") }
