package server_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

// Each kind is whole, and its settings can stand beside what all gates have.
func TestKindsAreWhole(t *testing.T) {
	taken := map[string]string{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[config.Gate]()) {
		taken[f.Tag.Get("yaml")] = "all gates"
	}
	names := map[string]bool{}
	for _, k := range server.Kinds() {
		if err := signalbox.ValidName("kind", k.Name); err != nil || names[k.Name] {
			t.Errorf("%q: the name is not valid or taken: %v", k.Name, err)
		}
		names[k.Name] = true
		if k.Title == "" || k.Settings == nil || k.Text == nil || k.Variables == nil || k.Explain == nil {
			t.Errorf("%s: something is missing", k.Name)
			continue
		}
		s := reflect.TypeOf(k.Settings())
		if s.Kind() != reflect.Pointer || s.Elem().Kind() != reflect.Struct {
			t.Errorf("%s: settings are a %s", k.Name, s)
			continue
		}
		for _, f := range reflect.VisibleFields(s.Elem()) {
			if by := taken[f.Tag.Get("yaml")]; by != "" {
				t.Errorf("%s: key %q is one of %s", k.Name, f.Tag.Get("yaml"), by)
			}
		}
		wellTagged(t, k.Name, s.Elem())
	}
}

// wellTagged wants a key for each field, and secrets and files where the
// configuration finds them.
func wellTagged(t *testing.T, path string, s reflect.Type) {
	t.Helper()
	for i := range s.NumField() {
		f := s.Field(i)
		key := f.Tag.Get("yaml")
		if key == "" || key == "-" {
			t.Errorf("%s: field %s has no key", path, f.Name)
		}
		switch {
		case f.Type == reflect.TypeFor[secret.Source](), f.Type == reflect.TypeFor[gate.File]():
		case f.Type.Kind() == reflect.Struct:
			wellTagged(t, path+"."+key, f.Type)
		case f.Type.Kind() == reflect.Map, f.Type.Kind() == reflect.Slice, f.Type.Kind() == reflect.Pointer:
			if f.Type.Elem().Kind() != reflect.String || f.Type.Elem() == reflect.TypeFor[gate.File]() {
				t.Errorf("%s.%s: a %s could hold a secret or a file that nobody finds", path, key, f.Type)
			}
		}
	}
}

// Nothing of the server, of explain or of the command line names a kind: what they
// must know of it they are told.
func TestNobodyNamesKinds(t *testing.T) {
	root := filepath.Join("..", "..")
	// What belongs to one kind, or sets up gates of one.
	own := regexp.MustCompile(`^(internal/(gate|classify)/[^/]+|internal/demo|test|bench|tools)/`)
	except := map[string]string{
		"internal/interlock/policy/check.go": "the default of a policy test, which docs/policy.md promises",
	}
	var names []string
	for _, k := range server.Kinds() {
		names = append(names, k.Name)
	}
	seen := 0
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, file)
		name = filepath.ToSlash(name)
		if d.IsDir() {
			if base := d.Name(); base == "testdata" || strings.HasPrefix(base, ".") && base != ".." {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || except[name] != "" ||
			own.MatchString(name) {
			return nil
		}
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		seen++
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && slices.Contains(names, text) {
					t.Errorf("%s names the kind %q", files.Position(lit.Pos()), text)
				}
			}
			return true
		})
		return nil
	})
	if err != nil || seen < 100 {
		t.Fatalf("%d files read: %v", seen, err)
	}
}
