package sql

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// sameTree holds what we read of a text against what the parser's own package
// gives.
func sameTree(t *testing.T, text string) {
	t.Helper()
	if tooMuch(text, lex(text, nil)) != "" {
		return
	}
	want, wantErr := pg.Parse(text)
	got, err := parse(text)
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("%q: error %v, want %v", text, err, wantErr)
	}
	if err != nil {
		return
	}
	if !proto.Equal(&pg.ParseResult{Version: want.GetVersion(), Stmts: got}, want) {
		t.Fatalf("%q:\n got %v\nwant %v", text, got, want.GetStmts())
	}
}

func TestTree(t *testing.T) {
	b, err := os.ReadFile("testdata/statements.txt")
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(string(b)) {
		sameTree(t, text)
	}
	for _, text := range []string{
		"", ";;", "SELECT 1; ; SELECT 2", "SELECT -0, 0, 2147483647, 2147483648, -2147483648, 1e400, 0x7fffffff, '', \"x\", true, false, NULL, B'0', X'f'",
		`SELECT E'\x01\b\f\n\r\t\"\\\'<>\x7f é', U&'\0001\2028', '"\', '{}[],:null'`, "SELECT 'é\u2028', \"\u00e9\"",
		"SELECT '\xff'", "SELECT 1 -- \xff", "SELECT E'\\xff'",
		"CREATE TRIGGER t BEFORE INSERT OR UPDATE OF a ON b EXECUTE FUNCTION f()",
		"DROP FUNCTION f(int, OUT a text), g", "SELECT f(*), f(VARIADIC a), count(*) FILTER (WHERE true)",
		"CREATE OPERATOR + (LEFTARG = NONE)", "DROP OPERATOR + (NONE, int)", "COPY t FROM STDIN WITH (FORMAT csv, NULL '')", "SELECT ALL a FROM b", "SELECT DISTINCT a FROM b", "CREATE GLOBAL TEMP TABLE a (b int)",
		"ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES b ON DELETE SET NULL (a) MATCH FULL", "UPDATE t SET (a, b) = (SELECT 1, 2)", "selec", "SELECT '", "SELECT 1::numeric(10, 2)[3][]", "SET a = -1.5, x, 'y'",
	} {
		sameTree(t, text)
	}
}

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

// The tree that we read is the one that the parser's own package gives.
func FuzzTree(f *testing.F) {
	seeds(f)
	f.Fuzz(sameTree)
}
