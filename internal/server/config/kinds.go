package config

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/secret"
)

// A shape is what may be written at some place of the file.
type shape struct {
	reflect.Type
	kind string // of the gates that alone may have it, where this one is of another
	open bool   // more may be written, and nobody can say what
}

// foreign is a key that stands at a gate of another kind than those it is for.
type foreign struct {
	path  string
	kinds []string
	node  ast.Node
	typ   reflect.Type
}

// given reports whether the key says anything: not what it says where it is left
// out.
func (f foreign) given() bool {
	v := reflect.New(f.typ)
	return yaml.NodeToValue(f.node, v.Interface()) != nil || !v.Elem().IsZero()
}

// gateShapes gives what may be written at a gate: the keys of all gates, those of
// its kind, and, so that they are not taken for mistakes in writing, those of the
// other kinds. At a gate whose kind is not known, which check reports, any key may be
// right.
func (p *reading) gateShapes(n ast.Node) []shape {
	shapes := []shape{{Type: reflect.TypeFor[Gate]()}}
	own, known := p.kindOf(n)
	if known {
		shapes = append(shapes, shape{Type: settingsType(own)})
	}
	for _, k := range p.kinds {
		switch {
		case !known:
			shapes = append(shapes, shape{Type: settingsType(k), open: true})
		case k.Name != own.Name:
			shapes = append(shapes, shape{Type: settingsType(k), kind: k.Name})
		}
	}
	return shapes
}

// kindOf gives the kind of a gate as it is written. Not every gate has one.
func (p *reading) kindOf(n ast.Node) (gate.Kind, bool) {
	entries, _ := mapping(n)
	for _, e := range entries {
		var name string
		if e.Key.GetToken().Value == "kind" && yaml.NodeToValue(e.Value, &name) == nil {
			return findKind(p.kinds, name)
		}
	}
	return gate.Kind{}, false
}

func findKind(kinds []gate.Kind, name string) (gate.Kind, bool) {
	i := slices.IndexFunc(kinds, func(k gate.Kind) bool { return k.Name == name })
	if i < 0 {
		return gate.Kind{}, false
	}
	return kinds[i], true
}

func (p *reading) kindNames() []string {
	names := make([]string, len(p.kinds))
	for i, k := range p.kinds {
		names[i] = k.Name
	}
	return names
}

func settingsType(k gate.Kind) reflect.Type { return reflect.TypeOf(k.Settings()).Elem() }

// KindOf gives the kind of a gate. It is an error if there is no such kind, or if
// the gate's settings are none of that kind's.
func (c Config) KindOf(g Gate) (gate.Kind, error) {
	k, known := findKind(c.Kinds, g.Kind)
	switch {
	case !known:
		return k, fmt.Errorf("kind %q is not known", g.Kind)
	case reflect.TypeOf(g.Settings) != reflect.TypeOf(k.Settings()):
		return k, fmt.Errorf("settings are not those of kind %q", g.Kind)
	}
	return k, nil
}

// clone copies settings, so that what is done to the copy is not done to those.
func clone(s gate.Settings) gate.Settings {
	c := reflect.New(reflect.TypeOf(s).Elem())
	c.Elem().Set(reflect.ValueOf(s).Elem())
	return c.Interface().(gate.Settings)
}

// sources calls f with each secret and each name of a file in settings, a
// [*secret.Source] or a [*gate.File], and its key. They are found and not asked
// for: a secret that its kind forgot to name would be left in the environment of
// agents.
func sources(s gate.Settings, f func(key string, from any)) {
	visit(reflect.ValueOf(s).Elem(), "", f)
}

func visit(v reflect.Value, path string, f func(string, any)) {
	for i := range v.NumField() {
		key := path + v.Type().Field(i).Tag.Get("yaml")
		switch from := v.Field(i).Addr().Interface().(type) {
		case *secret.Source, *gate.File:
			f(key, from)
		default:
			if v.Field(i).Kind() == reflect.Struct {
				visit(v.Field(i), key+".", f)
			}
		}
	}
}
