package proof

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDocumentIsComplete keeps docs/entries.md what the source says: it is made
// of the doc comments of the types and fields in this package, with the golden
// entries as examples. Write it with -update.
func TestDocumentIsComplete(t *testing.T) {
	types := parseTypes(t)
	var b strings.Builder
	b.WriteString(`# Entries of the log

<!-- Made from the source of package proof by ` + "`go test ./proof -update`" + `; do not edit. -->

Each entry of the log is one JSON object of at most 65,535 bytes. It begins with

| field | |
|---|---|
| ` + "`v`" + ` | version of the format: 1 |
| ` + "`type`" + ` | one of the types below |
| ` + "`id`" + ` | a ULID, unique in the log |
| ` + "`time`" + ` | when the entry was made, in milliseconds since 1970 UTC |

then come the fields of its type, in the order given here. An entry is made before it is put in order, by one of several
processes: its time may be up to 30 seconds before that of the entry before it. The order is the log's. Times are in
milliseconds since 1970 UTC, digests are SHA-256 in hexadecimal, and a field that is empty is left out unless it is
marked *always*.

*Hidden* fields are not in the entry: it ends with ` + "`_sd_alg`" + ` and with ` + "`_sd`" + `, their salted digests in the manner of
RFC 9901, mixed with decoys. Whoever keeps the log can disclose one field with proof, or erase it for good without
breaking any proof; how to check a disclosure with openssl alone is told by ` + "`signalbox-verify help field`" + `.
`)
	shown := make(map[string]bool)
	var parts []string
	for _, k := range Kinds() {
		body, err := NewBody(k)
		if err != nil {
			t.Fatal(err)
		}
		typ := reflect.TypeOf(body).Elem()
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", k, sentence(types[typ.Name()].doc))
		writeFields(t, &b, typ, types)
		parts = append(parts, nested(typ, shown)...)
		if hidden := HiddenNames(k); len(hidden) > 0 {
			fmt.Fprintf(&b, "\nMay be hidden: `%s`.\n", strings.Join(hidden, "`, `"))
		}
		example, err := os.ReadFile(filepath.Join("testdata", goldenFile(k)))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "\n```json\n%s```\n", example)
	}
	b.WriteString("\n# Parts of entries\n")
	for _, name := range parts {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", name, sentence(types[name].doc))
		writeFields(t, &b, types[name].typ, types)
	}

	path := filepath.Join("..", "docs", "entries.md")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (write it with -update)", err)
	}
	if diff := cmp.Diff(string(have), b.String()); diff != "" {
		t.Errorf("%s is stale, write it with -update (-have +want):\n%s", path, diff)
	}
}

type documented struct {
	doc    string
	fields map[string]string // doc by Go name
	typ    reflect.Type
}

// parseTypes reads the doc comments of all structs of this package and of
// package signalbox.
func parseTypes(t *testing.T) map[string]*documented {
	t.Helper()
	types := make(map[string]*documented)
	for _, pattern := range []string{"../*.go", "*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range parsed.Decls {
				g, ok := decl.(*ast.GenDecl)
				if !ok || g.Tok != token.TYPE {
					continue
				}
				for _, spec := range g.Specs {
					s, ok := spec.(*ast.TypeSpec).Type.(*ast.StructType)
					if !ok {
						continue
					}
					d := &documented{doc: g.Doc.Text(), fields: make(map[string]string)}
					for _, f := range s.Fields.List {
						doc := f.Doc.Text()
						if doc == "" {
							doc = f.Comment.Text()
						}
						for _, name := range f.Names {
							d.fields[name.Name] = doc
						}
					}
					types[spec.(*ast.TypeSpec).Name.Name] = d
				}
			}
		}
	}
	// The words explain the fields of an actor in one go; a table wants each.
	types["Actor"].fields = map[string]string{
		"Kind": "human, agent or automation",
		"Name": "the actor's name in the system",
		"For":  "the human that an agent acts for",
	}
	return types
}

// nested lists the structs that a body is made of, each once in all.
func nested(typ reflect.Type, shown map[string]bool) (names []string) {
	for i := range typ.NumField() {
		ft := typ.Field(i).Type
		for ft.Kind() == reflect.Slice {
			ft = ft.Elem()
		}
		if ft.Kind() != reflect.Struct || shown[ft.Name()] {
			continue
		}
		shown[ft.Name()] = true
		names = append(names, ft.Name())
		names = append(names, nested(ft, shown)...)
	}
	return names
}

func writeFields(t *testing.T, b *strings.Builder, typ reflect.Type, types map[string]*documented) {
	t.Helper()
	b.WriteString("| field | | |\n|---|---|---|\n")
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		doc := types[typ.Name()].fields[f.Name]
		if name == "" || doc == "" {
			t.Errorf("%s.%s has no name in JSON or no doc comment", typ.Name(), f.Name)
		}
		always := "always"
		if strings.Contains(opts, "omit") {
			always = ""
		}
		elem := f.Type
		for elem.Kind() == reflect.Slice {
			elem = elem.Elem()
		}
		if elem.Kind() == reflect.Struct {
			if types[elem.Name()] == nil {
				t.Fatalf("%s.%s: type %s is not documented", typ.Name(), f.Name, elem.Name())
			}
			types[elem.Name()].typ = elem
			doc = strings.TrimSpace(doc) + fmt.Sprintf(" See %s below.", elem.Name())
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, always, cell(doc))
	}
}

// cell makes a doc comment fit into a table, without the links of Go.
func cell(doc string) string {
	doc = strings.Join(strings.Fields(doc), " ")
	return strings.NewReplacer("|", "\\|", "[", "", "]", "").Replace(doc)
}

// sentence is a comment without the links of Go.
func sentence(doc string) string {
	return strings.TrimSpace(strings.NewReplacer("[", "", "]", "").Replace(doc))
}
