package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/secret"
)

// Read reads a configuration file, fills in defaults and checks it. Its gates are
// of the kinds given. Its error is of type [Errors] when the file has mistakes.
// Relative paths in the file start at the file's folder.
func Read(file string, kinds []gate.Kind) (Config, error) { return ReadWith(file, kinds, nil) }

// ReadWith is [Read] with what the command line says instead: change is called
// before anything is derived from what it may change.
func ReadWith(file string, kinds []gate.Kind, change func(*Config)) (Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	return parse(file, data, kinds, change)
}

// Parse is [Read] of a file whose content is at hand.
func Parse(file string, data []byte, kinds []gate.Kind) (Config, error) {
	return parse(file, data, kinds, nil)
}

func parse(file string, data []byte, kinds []gate.Kind, change func(*Config)) (Config, error) {
	p := &reading{file: file, kinds: kinds, at: map[string]*token.Position{}}
	c := Config{Kinds: kinds}
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		return Config{}, p.yaml(err)
	}
	var docs []ast.Node
	for _, d := range tree.Docs {
		if d.Body != nil && d.Body.Type() != ast.CommentType && d.Body.Type() != ast.CommentGroupType {
			docs = append(docs, d.Body)
		}
	}
	switch len(docs) {
	case 0: // nothing but comments: the defaults
	case 1:
		p.walk(docs[0], "", shape{Type: reflect.TypeFor[Config]()})
		if len(p.errs) > 0 {
			break
		}
		if err := p.decode(docs[0], &c); err != nil {
			return Config{}, p.yaml(err)
		}
	default:
		p.failAt(docs[1].GetToken().Position, "a second document",
			"one file holds one configuration: remove the line ---")
	}
	if len(p.errs) > 0 {
		p.errs.sort()
		return Config{}, p.errs
	}
	if change != nil {
		change(&c)
	}
	c = c.Resolve(filepath.Dir(file)).Defaults()
	p.check(c)
	if len(p.errs) > 0 {
		p.errs.sort()
		return Config{}, p.errs
	}
	return c, nil
}

// reading is one file being read.
type reading struct {
	file    string
	kinds   []gate.Kind
	at      map[string]*token.Position // of each key: "gates[0].listen"
	written []ast.Node                 // the gates
	foreign []foreign
	errs    Errors
}

// decode reads what walk has found to be well written. The library is not strict
// any more, since it does not know the keys of a gate's kind.
func (p *reading) decode(n ast.Node, c *Config) error {
	if err := yaml.NodeToValue(n, c); err != nil {
		return err
	}
	for i, n := range p.written {
		k, known := p.kindOf(n)
		if !known {
			continue // check says so
		}
		s := k.Settings()
		if err := yaml.NodeToValue(n, s); err != nil {
			return err
		}
		c.Gates[i].Settings = s
	}
	return nil
}

// fail notes a mistake at a key, or at the nearest thing around it that is
// written in the file.
func (p *reading) fail(path, message, hint string) {
	for path != "" && p.at[path] == nil {
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	p.failAt(p.at[path], message, hint)
}

func (p *reading) failAt(at *token.Position, message, hint string) {
	e := Error{File: p.file, Message: message, Hint: hint}
	if at != nil {
		e.Line, e.Column = at.Line, at.Column
	}
	p.errs = append(p.errs, e)
}

// yaml turns an error of the YAML library into ours. Its own text is not
// passed on whole, since it quotes the source, and with it perhaps a secret
// that does not belong there.
func (p *reading) yaml(err error) error {
	var y yaml.Error
	if !errors.As(err, &y) {
		p.failAt(nil, "not readable as YAML", "")
		return p.errs
	}
	var at *token.Position
	if t := y.GetToken(); t != nil {
		at = t.Position
	}
	message, hint := y.GetMessage(), ""
	var kind *yaml.TypeError
	var over *yaml.OverflowError
	var node *yaml.UnexpectedNodeTypeError
	switch {
	case errors.As(err, &kind):
		message = "wrong kind of value: want " + kindName(kind.DstType)
	case errors.As(err, &over):
		message = "number is out of range"
	case errors.As(err, &node):
		message = "wrong kind of value"
	case strings.Contains(message, "tab") || strings.Contains(message, "'\\t'"):
		hint = "YAML is indented with spaces"
	}
	p.failAt(at, message, hint)
	return p.errs
}

func kindName(t reflect.Type) string {
	if t == nil {
		return "another"
	}
	switch {
	case t.PkgPath() == "time" && t.Name() == "Duration":
		return "a duration such as 30s or 5m"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		return "a whole number"
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Map:
		return "keys and values"
	case t.Kind() == reflect.Slice:
		return "a list (lines that begin with -)"
	}
	return "text"
}

// walk compares what is written with what is known, so that every unknown key
// is found at once and with a hint, and remembers where each key stands. Where more
// than one shape is given, all are structs whose keys stand beside each other.
func (p *reading) walk(n ast.Node, path string, shapes ...shape) {
	t := shapes[0].Type
	switch n := n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		p.failAt(n.GetToken().Position, "anchors, aliases and tags are not read here", "write the value itself")
		return
	case *ast.NullNode:
		return
	}
	switch t.Kind() {
	default:
		p.scalar(n, t, path)
	case reflect.Struct:
		entries, ok := mapping(n)
		if !ok {
			p.failAt(n.GetToken().Position, fmt.Sprintf("%s: wrong kind of value: want %s", orTop(path), kindName(t)),
				secretHint(t))
			return
		}
		p.fields(entries, path, shapes)
	case reflect.Map:
		entries, ok := mapping(n)
		if !ok {
			p.failAt(n.GetToken().Position, fmt.Sprintf("%s: wrong kind of value: want %s", path, kindName(t)), "")
			return
		}
		for _, e := range entries {
			key := e.Key.GetToken()
			at := path + "." + key.Value
			p.at[at] = key.Position
			p.walk(e.Value, at, shape{Type: t.Elem()})
		}
	case reflect.Slice:
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			p.failAt(n.GetToken().Position, fmt.Sprintf("%s: wrong kind of value: want %s", orTop(path), kindName(t)),
				"")
			return
		}
		for i, v := range seq.Values {
			at := fmt.Sprintf("%s[%d]", path, i)
			p.at[at] = v.GetToken().Position
			if entries, ok := mapping(v); ok && len(entries) > 0 {
				p.at[at] = entries[0].Key.GetToken().Position // not the colon
			}
			if t.Elem() == reflect.TypeFor[Gate]() {
				p.written = append(p.written, v)
				p.walk(v, at, p.gateShapes(v)...)
				continue
			}
			p.walk(v, at, shape{Type: t.Elem()})
		}
	}
}

// scalar refuses a value that the library could not take, naming its key.
func (p *reading) scalar(n ast.Node, t reflect.Type, path string) {
	v, ok := n.(ast.ScalarNode)
	if ok {
		text := v.GetToken().Value
		var err error
		switch {
		case t == reflect.TypeFor[time.Duration]():
			_, err = time.ParseDuration(text)
		case t.Kind() == reflect.Bool:
			ok = v.Type() == ast.BoolType
		case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
			_, err = strconv.ParseInt(text, 10, 64)
		}
		ok = ok && err == nil
	}
	if !ok {
		p.failAt(n.GetToken().Position, fmt.Sprintf("%s: wrong kind of value: want %s", path, kindName(t)), "")
	}
}

func (p *reading) fields(entries []*ast.MappingValueNode, path string, shapes []shape) {
	known := map[string][]shape{}
	var names []string
	open := false
	for _, s := range shapes {
		open = open || s.open
		for i := range s.NumField() {
			name := s.Field(i).Tag.Get("yaml")
			if name == "-" {
				continue // not of the file
			}
			if known[name] == nil {
				names = append(names, name)
			}
			known[name] = append(known[name], shape{s.Field(i).Type, s.kind, s.open})
		}
	}
	seen := map[string]bool{}
	for _, e := range entries {
		key := e.Key.GetToken()
		name := key.Value
		at := strings.TrimPrefix(path+"."+name, ".")
		switch {
		case known[name] == nil && open:
		case known[name] == nil:
			hint := "known here: " + strings.Join(names, ", ")
			if n := nearest(name, names); n != "" {
				hint = fmt.Sprintf("did you mean %q?", n)
			}
			p.failAt(key.Position, fmt.Sprintf("unknown key %q", at), hint)
		case seen[name]:
			p.failAt(key.Position, fmt.Sprintf("key %q stands here twice", at), "remove one of them")
		default:
			seen[name] = true
			p.at[at] = key.Position
			p.field(e.Value, at, known[name])
		}
	}
}

// field walks a key's value. The first shape decides what the value is; the others
// count where it is keys and values like the first's.
func (p *reading) field(n ast.Node, at string, shapes []shape) {
	first := shapes[0]
	if first.kind != "" {
		// Reported by check, but what is in it must be well written here.
		f := foreign{path: at, node: n, typ: first.Type}
		for _, s := range shapes {
			f.kinds = append(f.kinds, s.kind)
		}
		p.foreign = append(p.foreign, f)
	}
	beside := []shape{{Type: first.Type, open: first.open}}
	for _, s := range shapes[1:] {
		if first.kind == "" && first.Kind() == reflect.Struct && s.Kind() == reflect.Struct {
			beside = append(beside, s)
		}
	}
	p.walk(n, at, beside...)
}

func mapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func secretHint(t reflect.Type) string {
	if t == reflect.TypeFor[secret.Source]() {
		return "secrets do not stand in this file: write {env: NAME} or {file: PATH}"
	}
	return ""
}

func orTop(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}
