package sql

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/forms"
)

// messages lists every kind of node of the grammar.
func messages() map[string]protoreflect.Message {
	all := map[string]protoreflect.Message{}
	fields := (&pg.Node{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		n := (&pg.Node{}).ProtoReflect()
		all[string(fields.Get(i).Message().Name())] = n.NewField(fields.Get(i)).Message()
	}
	return all
}

// setField gives a field some value that is not its default.
func setField(m protoreflect.Message, f protoreflect.FieldDescriptor) {
	scalar := func() protoreflect.Value {
		switch f.Kind() {
		case protoreflect.BoolKind:
			return protoreflect.ValueOfBool(true)
		case protoreflect.EnumKind:
			values := f.Enum().Values()
			return protoreflect.ValueOfEnum(values.Get(values.Len()-1).Number() + 1) // of a later grammar
		case protoreflect.Int32Kind:
			return protoreflect.ValueOfInt32(7)
		case protoreflect.Int64Kind:
			return protoreflect.ValueOfInt64(7)
		case protoreflect.Uint32Kind:
			return protoreflect.ValueOfUint32(7)
		case protoreflect.Uint64Kind:
			return protoreflect.ValueOfUint64(7)
		case protoreflect.StringKind:
			return protoreflect.ValueOfString("zz")
		}
		panic(f.FullName())
	}
	switch {
	case f.IsList() && f.Message() != nil:
		m.Mutable(f).List().AppendMutable()
	case f.IsList():
		m.Mutable(f).List().Append(scalar())
	case f.Message() != nil:
		m.Set(f, m.NewField(f))
	default:
		m.Set(f, scalar())
	}
}

// Each field of each statement, and of each node that statements are made of,
// changes the form when it is set, or the table says why it does not matter. A
// field that the table does not name makes the form one that nobody can review.
func TestEveryFieldHasAWord(t *testing.T) {
	named := map[string]bool{}
	for kind, empty := range messages() {
		if !strings.HasSuffix(kind, "Stmt") && !nested[kind] && kind != "AlterTableCmd" {
			continue
		}
		bare := formOf(empty.Interface(), "X")
		fields := empty.Descriptor().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			key := kind + "." + string(f.Name())
			p, known := parts[key]
			named[key] = known
			m := empty.New()
			setField(m, f)
			form := formOf(m.Interface(), "X")
			switch {
			case p.silent != "":
				if form != bare {
					t.Errorf("%s is silent, and makes %q", key, form)
				}
			case !known:
				if !strings.Contains(form, "other("+string(f.Name())+")") {
					t.Errorf("%s is in no table, and makes %q", key, form)
				}
			case form == bare && !p.nest && p.by == nil:
				t.Errorf("%s changes nothing", key)
			case f.Enum() != nil && !strings.Contains(form, "other("):
				t.Errorf("%s with a value of a later grammar makes %q", key, form)
			}
			// An empty node, or one of a kind that does not belong there, is not passed over.
			if p.nest && f.IsList() {
				if !strings.Contains(form, "other(node)") {
					t.Errorf("%s holds an empty node, and makes %q", key, form)
				}
			}
		}
	}
	for key := range parts {
		if !named[key] {
			t.Errorf("%s: the grammar has no such field", key)
		}
	}
}

// What a later grammar has and ours does not is seen too.
func TestUnknownFieldsAreSeen(t *testing.T) {
	x := &pg.CheckPointStmt{}
	x.ProtoReflect().SetUnknown([]byte{0x78, 0x01}) // field 15 is 1
	if form := formOf(x, "CHECKPOINT"); form != "CHECKPOINT other(CheckPointStmt)" {
		t.Errorf("got %q", form)
	}
}

func TestShippedForms(t *testing.T) {
	list, mistakes := forms.Parse(reviewedForms)
	for _, m := range mistakes {
		t.Errorf("reviewed.txt:%d: %s", m.Line, m.Msg)
	}
	var seen []string
	for line := range strings.Lines(statements(t)) {
		for _, a := range Classify(line, nil).Actions() {
			seen = append(seen, a.Form)
		}
	}
	for _, e := range list.Entries() {
		// Words stand in the order in which forms have them: a line that is out of
		// order would match nothing.
		var must []string
		for w := range strings.FieldsSeq(e.Form) {
			if w[0] != '[' && strings.ToUpper(w) != w {
				must = append(must, w)
			}
		}
		if !slices.IsSorted(must) {
			t.Errorf("reviewed.txt:%d: write %q in the order of the alphabet", e.Line, must)
		}
		one, _ := forms.Parse([]byte(fmt.Sprintf("%s \"x\"\n", e.Form)))
		if !slices.ContainsFunc(seen, one.Has) {
			t.Errorf("reviewed.txt:%d: no statement of testdata has the form %s", e.Line, e.Form)
		}
	}
}

func statements(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/statements.txt")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// No form has a name, a literal or another word of the text.
func TestFormsShowNothingOfTheText(t *testing.T) {
	for _, text := range []string{
		`ALTER TABLE zzone ADD COLUMN zztwo text DEFAULT 'zzthree' CHECK (zztwo <> 'zzfour')`,
		`CREATE TABLE zz (a zztype, CONSTRAINT zzc CHECK (a > 4242)) WITH (zzoption = 'zzvalue') TABLESPACE zzspace`,
		`CREATE INDEX zz ON zz USING zzam (a zzclass (zzopt = 1)) WITH (zzopt = 2)`,
		`ALTER ROLE zz SET zzsetting = 'zzvalue'`,
		`GRANT zzprivilege ON zz TO zzrole`,
		`ALTER SYSTEM SET zz.zz = 'zz'`,
		`COMMENT ON TABLE zz IS 'zz'`,
		`VACUUM (zzoption 4242) zz`,
		`CREATE EXTENSION zzextension SCHEMA zz`,
		`NOTIFY zz, 'zz'`,
		`CREATE TYPE zz AS ENUM ('zz')`,
		`SET zzsetting = 'zz'`,
	} {
		for _, a := range Classify(text, nil).Actions() {
			if a.Form == "" || strings.Contains(a.Form, "zz") || strings.Contains(a.Form, "4242") {
				t.Errorf("%s: form %q", text, a.Form)
			}
		}
	}
}

func TestForms(t *testing.T) {
	for text, want := range map[string]string{
		"ALTER TABLE t ADD COLUMN a int":                                "ALTER TABLE ADD COLUMN",
		"ALTER TABLE t ADD COLUMN a int DEFAULT random()":               "! ALTER TABLE ADD COLUMN default(volatile)",
		"ALTER TABLE t ADD COLUMN a int DEFAULT pg_catalog.random()":    "! ALTER TABLE ADD COLUMN default(volatile)",
		"ALTER TABLE t ADD COLUMN a timestamptz DEFAULT now() NOT NULL": "ALTER TABLE ADD COLUMN default(stable) not-null",
		"ALTER TABLE t ADD COLUMN a int NOT NULL":                       "! ALTER TABLE ADD COLUMN not-null",
		"ALTER TABLE t ADD CHECK (false) NOT VALID":                     "! ALTER TABLE ADD CONSTRAINT check(other) not-valid",
		"ALTER TABLE t ADD CHECK (a > 0) NOT VALID":                     "ALTER TABLE ADD CONSTRAINT check(usual) not-valid",
		"ALTER TABLE t ADD CHECK (a > 0)":                               "! ALTER TABLE ADD CONSTRAINT check(usual)",
		"CREATE INDEX ON t (a)":                                         "! CREATE INDEX",
		"CREATE INDEX CONCURRENTLY ON t (a)":                            "CREATE INDEX concurrently",
		"ALTER ROLE r SET statement_timeout = 1":                        "! ALTER ROLE SET statement_timeout",
		"GRANT SELECT (a), UPDATE ON t TO r, PUBLIC":                    "! GRANT SELECT UPDATE columns on-table public",
		"ALTER TYPE e RENAME VALUE 'a' TO 'b'":                          "! ALTER TYPE RENAME VALUE",
		"ALTER TABLE t ENABLE ROW LEVEL SECURITY":                       "! ALTER TABLE ENABLE ROW LEVEL SECURITY",
		"SELECT * INTO n FROM t":                                        "CREATE TABLE AS",
		"SELECT 1":                                                      "",
		"UPDATE t SET a = 1 WHERE id = 1":                               "",
		"PREPARE p AS DELETE FROM t":                                    "",
		"EXPLAIN ANALYZE DELETE FROM t":                                 "",
		"CREATE SCHEMA s CREATE TABLE a (b int) CREATE INDEX ON a (b)":  "CREATE SCHEMA",
		"CREATE TABLE n PARTITION OF t DEFAULT":                         "! CREATE TABLE default-partition partition-of",
		"CREATE VIEW v AS SELECT 1":                                     "CREATE VIEW",
		"CREATE OR REPLACE VIEW v AS SELECT 1":                          "! CREATE OR REPLACE VIEW",
		"ALTER TABLE t SET (toast.autovacuum_enabled = off)":            "! ALTER TABLE SET no-autovacuum_enabled",
		"REINDEX (CONCURRENTLY false) INDEX i":                          "! REINDEX index no-concurrently",
		"VACUUM (FULL 0, VERBOSE) t":                                    "VACUUM no-full verbose",
		"CREATE EXTENSION timescaledb":                                  "! CREATE EXTENSION untrusted",
		"CREATE EXTENSION dblink":                                       "! CREATE EXTENSION other(extension)",
		"CREATE SEQUENCE s START 0 MINVALUE 0":                          "CREATE SEQUENCE minvalue start",
		"CREATE SEQUENCE s NO CYCLE NO MAXVALUE":                        "CREATE SEQUENCE maxvalue no-cycle",
	} {
		a := Classify(text, nil).Statements[0].Action
		got := a.Form
		if a.Has(signalbox.TraitUnreviewed) {
			got = "! " + got
		}
		if got != want {
			t.Errorf("%s:\n got %q\nwant %q", text, got, want)
		}
	}
}

// Checks that real rows pass, and checks that stop everybody.
func TestUsualChecks(t *testing.T) {
	check := func(expression string) string {
		form := ""
		for _, a := range Classify("ALTER TABLE t ADD CHECK ("+expression+") NOT VALID", nil).Actions() {
			form += a.Form
		}
		return form
	}
	for _, usual := range []string{"a > 0", "a >= 0", "a >= 0.0", "a IS NOT NULL", "a IN ('x', 'y')",
		"a = ANY (ARRAY['x','y'])",
		"length(a) <= 255", "char_length(a) > 0", "a BETWEEN 0 AND 100", "a >= 0 AND a <= 100", "a < b", "a <> b",
		"a <> ''", "a IS NOT NULL AND b IS NOT NULL", "a > 0 OR b IS NOT NULL"} {
		if !strings.Contains(check(usual), "check(usual)") {
			t.Errorf("%s is %q", usual, check(usual))
		}
	}
	for _, odd := range []string{"false", "1 = 0", "NULL", "a <> a", "a < a", "a > 1000000", "a < 0",
		"a <= 0", "a IS NULL",
		"a = 1", "a IN ('x')", "a IN (NULL, NULL)", "NOT (a > 0)", "a > 0 AND false", "a > 0 AND a < -1",
		"length(a) < 0",
		"a BETWEEN 5 AND 1", "a BETWEEN 100 AND 1000", "a > 0 AND a IS NULL", "a < now()", "f(a)",
		"a ~ '^$'", "a < '2020-01-01'",
		"a @> b", "a OPERATOR(s.>) 0", "true"} {
		if !strings.Contains(check(odd), "check(other)") {
			t.Errorf("%s is %q", odd, check(odd))
		}
	}
}

// A relation that is made in front of another of its name changes what statements
// of everybody mean.
func TestNewRelationsInFrontOfOthers(t *testing.T) {
	cat := &Catalog{SearchPath: []string{"ann", "public"}, Relations: map[string]Relation{
		"public.orders": {Schema: "public", Name: "orders", Kind: 'r'},
		"ann.notes":     {Schema: "ann", Name: "notes", Kind: 'r'},
	}}
	cat.Seal()
	for text, want := range map[string]bool{
		"CREATE TABLE orders (id int)":                true,
		"CREATE TABLE ann.orders (id int)":            true,
		"CREATE VIEW ann.orders AS SELECT 1":          true,
		"CREATE OR REPLACE VIEW orders AS SELECT 1":   true,
		"CREATE TABLE orders AS SELECT 1 AS id":       true,
		"SELECT 1 AS id INTO ann.orders":              true,
		"CREATE SEQUENCE orders":                      true,
		"CREATE TABLE other (id int)":                 false,
		"CREATE TABLE public.notes (id int)":          false,
		"CREATE TABLE elsewhere.orders (id int)":      false,
		"CREATE TEMP TABLE orders (id int)":           false,
		"CREATE TABLE IF NOT EXISTS public.orders ()": false,
	} {
		if got := Classify(text, cat).Statements[0].Action.Has(signalbox.TraitRename); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}

// Nobody waits for a table that the same text has made.
func TestTablesOfTheText(t *testing.T) {
	for text, want := range map[string]bool{
		"CREATE TABLE n (a int); CREATE INDEX ON n (a)":                                                 true,
		"CREATE TABLE n (a int); INSERT INTO n VALUES (1); CREATE UNIQUE INDEX i ON n (a)":              true,
		"CREATE TABLE s.n (a int); ALTER TABLE s.n ADD CHECK (a < 0); CREATE INDEX ON s.n (a)":          true,
		"CREATE TABLE n (a int); ALTER TABLE n ADD FOREIGN KEY (a) REFERENCES b (id)":                   true,
		"CREATE TABLE n (a int); ALTER TABLE n ADD FOREIGN KEY (a) REFERENCES b (id) ON DELETE CASCADE": false,
		"CREATE TABLE n (a int); ALTER TABLE n ENABLE ROW LEVEL SECURITY":                               false,
		"CREATE TABLE IF NOT EXISTS n (a int); CREATE INDEX ON n (a)":                                   false,
		"CREATE TABLE n (a int); CREATE INDEX ON m (a)":                                                 false,
		"CREATE TABLE s.n (a int); CREATE INDEX ON n (a)":                                               false,
		"CREATE TABLE n (a int); ROLLBACK; CREATE INDEX ON n (a)":                                       false,
		"CREATE TABLE n (a int); SET search_path = x; CREATE INDEX ON n (a)":                            false,
		"CREATE TABLE n (a int); DROP TABLE n; CREATE INDEX ON n (a)":                                   false,
		"CREATE TABLE n (a int); ALTER TABLE n RENAME TO m; CREATE INDEX ON n (a)":                      false,
		"CREATE TABLE n (a int); SELECT f(); CREATE INDEX ON n (a)":                                     false,
		"CREATE INDEX ON n (a); CREATE TABLE n (a int)":                                                 false,
	} {
		all := Classify(text, nil).Statements
		s := all[len(all)-1]
		if s.Action.Native == "CREATE TABLE" {
			s = all[0]
		}
		if got := !s.Action.Has(signalbox.TraitUnreviewed); got != want {
			t.Errorf("%s: reviewed = %t, form %q", text, got, s.Action.Form)
		}
	}
}
