package pgtree

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Every kind of node and every field of it is read, but those of numbers that
// only PostgreSQL's planner writes, which are refused.
func TestTreeComplete(t *testing.T) {
	kinds := (&pg.Node{}).ProtoReflect().Descriptor().Fields()
	planned := 0
	for i := range kinds.Len() {
		kind := kinds.Get(i)
		fields := kind.Message().Fields()
		for k := range fields.Len() {
			f := fields.Get(k)
			n := &pg.Node{}
			m := n.ProtoReflect().Mutable(kind).Message()
			value := something(m, f)
			m.Set(f, value)
			b, err := protojson.Marshal(n)
			if err != nil {
				t.Fatal(err)
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, b); err != nil {
				t.Fatal(err)
			}
			r := treeReader{s: compact.String()}
			got := r.node()
			if f.IsList() && f.Message() == nil || f.Kind() == protoreflect.DoubleKind ||
				f.Kind() == protoreflect.Uint64Kind || f.Kind() == protoreflect.Int64Kind {
				planned++
				if r.err == nil && !proto.Equal(got, n) {
					t.Errorf("%s.%s: %s read as %v", kind.Name(), f.Name(), compact.String(), got)
				}
				continue
			}
			if r.err != nil || r.i != len(r.s) || !proto.Equal(got, n) {
				t.Errorf("%s.%s: %s read as %v: %v", kind.Name(), f.Name(), compact.String(), got, r.err)
			}
		}
	}
	if planned > 15 {
		t.Errorf("%d fields are not read: look which", planned)
	}
}

// something gives a value for a field that is not its default.
func something(m protoreflect.Message, f protoreflect.FieldDescriptor) protoreflect.Value {
	one := func() protoreflect.Value {
		switch f.Kind() {
		case protoreflect.BoolKind:
			return protoreflect.ValueOfBool(true)
		case protoreflect.EnumKind:
			return protoreflect.ValueOfEnum(f.Enum().Values().Get(f.Enum().Values().Len() - 1).Number())
		case protoreflect.Int32Kind:
			return protoreflect.ValueOfInt32(-7)
		case protoreflect.Uint32Kind:
			return protoreflect.ValueOfUint32(1<<32 - 1)
		case protoreflect.Int64Kind:
			return protoreflect.ValueOfInt64(-7)
		case protoreflect.Uint64Kind:
			return protoreflect.ValueOfUint64(7)
		case protoreflect.DoubleKind, protoreflect.FloatKind:
			return protoreflect.ValueOfFloat64(1.5)
		case protoreflect.StringKind:
			return protoreflect.ValueOfString("a \"b\" \\ \n é")
		}
		if f.Message().Name() == "Node" {
			return protoreflect.ValueOfMessage((&pg.Node{Node: &pg.Node_Integer{Integer: &pg.Integer{Ival: 3}}}).ProtoReflect())
		}
		return protoreflect.ValueOfMessage(found[f.Message().FullName()].ProtoReflect().New())
	}
	if !f.IsList() {
		return one()
	}
	list := m.NewField(f).List()
	list.Append(one())
	list.Append(one())
	return protoreflect.ValueOfList(list)
}

// What the parser does not write is refused, whatever it may mean.
func TestTreeRefused(t *testing.T) {
	const good = `{"version":170007,"stmts":[{"stmt":{"SelectStmt":{"targetList":[{"ResTarget":{"val":{"A_Const":{"ival":{"ival":1},"location":7}},"location":7}}],"limitOption":"LIMIT_OPTION_DEFAULT","op":"SETOP_NONE"}}}]}`
	if s, err := readTree(good); err != nil || len(s) != 1 {
		t.Fatalf("%v: %v", s, err)
	}
	for i := range good {
		if _, err := readTree(good[:i]); err == nil {
			t.Errorf("accepts the first %d bytes", i)
		}
	}
	for old, replaced := range map[string]string{
		`"location":7}}`: `"location":7,}}`, `"location"`: `"Location"`, `:7}`: `:"7"}`,
		`"SETOP_NONE"`: `"SETOP_OTHER"`, `"A_Const"`: `"A_Cons"`, `{"ival":1}`: `null`,
		`[{"ResTarget"`: `[,{"ResTarget"`, `"version"`: ` "version"`, `"stmts":[`: `"stmts":[]}[`,
		`:1}`: `:99999999999}`, `{"stmt":`: `{,"stmt":`, `"op":`: `"op"`, `:{"ival"`: `{"ival"`,
	} {
		bad := strings.Replace(good, old, replaced, 1)
		if bad == good {
			t.Fatalf("%s is not there", old)
		}
		if _, err := readTree(bad); err == nil {
			t.Errorf("accepts %s", bad)
		}
	}
	deep := strings.Repeat(`{"List":{"items":[`, maxTree) + strings.Repeat(`]}}`, maxTree)
	r := treeReader{s: deep}
	if r.node(); r.err == nil {
		t.Error("accepts any depth")
	}
}

// Children must know every message below a statement, and miss no field.
func TestChildrenComplete(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	var visit func(protoreflect.MessageDescriptor)
	visit = func(d protoreflect.MessageDescriptor) {
		if seen[d.FullName()] {
			return
		}
		seen[d.FullName()] = true
		m := messageOf(t, d)
		if d.Name() != "Node" && !Children(m, func(any) {}) {
			t.Errorf("children does not know %s", d.Name())
		}
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			if f.Message() == nil {
				continue
			}
			visit(f.Message())
			if d.Name() == "Node" {
				continue
			}
			// A message in this field alone must be visited.
			m := messageOf(t, d)
			child := filled(t, f.Message())
			if f.IsList() {
				m.ProtoReflect().Mutable(f).List().Append(protoreflect.ValueOfMessage(child))
			} else {
				m.ProtoReflect().Set(f, protoreflect.ValueOfMessage(child))
			}
			visits := 0
			Children(m, func(any) { visits++ })
			if visits != 1 {
				t.Errorf("%s.%s: visited %d times", d.Name(), f.Name(), visits)
			}
		}
	}
	visit((&pg.RawStmt{}).ProtoReflect().Descriptor())
}

func filled(t *testing.T, d protoreflect.MessageDescriptor) protoreflect.Message {
	if d.Name() == "Node" {
		return (&pg.Node{Node: &pg.Node_Integer{Integer: &pg.Integer{}}}).ProtoReflect()
	}
	return messageOf(t, d).ProtoReflect()
}

func messageOf(t *testing.T, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	if d.Name() == "RawStmt" {
		return &pg.RawStmt{}
	}
	if d.Name() == "Node" {
		return &pg.Node{}
	}
	m, ok := found[d.FullName()]
	if !ok {
		t.Fatalf("no message %s", d.FullName())
	}
	return m.ProtoReflect().New().Interface()
}

// found holds one message of each type reachable from a node.
var found = func() map[protoreflect.FullName]proto.Message {
	all := map[protoreflect.FullName]proto.Message{}
	var visit func(m protoreflect.Message)
	visit = func(m protoreflect.Message) {
		if _, ok := all[m.Descriptor().FullName()]; ok {
			return
		}
		all[m.Descriptor().FullName()] = m.Interface()
		fs := m.Descriptor().Fields()
		for i := range fs.Len() {
			if f := fs.Get(i); f.Message() != nil {
				if f.IsList() {
					visit(m.NewField(f).List().NewElement().Message())
				} else {
					visit(m.NewField(f).Message())
				}
			}
		}
	}
	visit((&pg.RawStmt{}).ProtoReflect())
	return all
}()
