package oracle_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/test/oracle"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// A listener is a test that only writes down how it failed.
type listener struct {
	testing.TB
	failed []string
}

func (l *listener) Helper() {}
func (l *listener) Errorf(format string, a ...any) {
	l.failed = append(l.failed, fmt.Sprintf(format, a...))
}
func (l *listener) Fatalf(format string, a ...any) { l.TB.Fatalf(format, a...) }

func run(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

var setUp = []string{
	"CREATE TABLE orders (id int PRIMARY KEY, note text)",
	"INSERT INTO orders SELECT n, 'n' FROM generate_series(1, 50) n",
	"CREATE TABLE lines (id serial PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE)",
	"INSERT INTO lines (order_id) SELECT n FROM generate_series(1, 50) n",
	"CREATE TABLE audit (what text)",
	"CREATE VIEW cheap AS SELECT * FROM orders",
	"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
	"CREATE TYPE mood AS ENUM ('sad', 'glad')",
}

func action(verb signalbox.Verb, native, kind string, names ...string) signalbox.Action {
	a := signalbox.Action{Verb: verb, Native: native}
	for _, n := range names {
		a.Resources = append(a.Resources, signalbox.Resource{Type: kind, Name: n})
	}
	return a
}

func done(rows int64, touched ...string) *signalbox.Outcome {
	o := &signalbox.Outcome{Result: signalbox.Done, Rows: rows}
	for _, n := range touched {
		if o.Touched == nil {
			o.Touched = map[string]int64{}
		}
		o.Touched[n] = rows
	}
	return o
}

func TestOracle(t *testing.T) {
	failed := &signalbox.Outcome{Result: signalbox.Failed}
	unknown := &signalbox.Outcome{Result: signalbox.ResultUnknown, Rows: signalbox.CountUnknown}
	update := action(signalbox.Update, "UPDATE", "table", "public.orders")
	remove := action(signalbox.Delete, "DELETE", "table", "public.orders")
	for _, c := range []struct {
		name    string
		sql     string
		actions []signalbox.Action
		outcome *signalbox.Outcome
		want    []string // in the failures; nil: none
	}{
		{name: "nothing"},
		{name: "read", sql: "SELECT * FROM orders"},
		{name: "row behind the gate", sql: "UPDATE orders SET note = 'x' WHERE id = 1",
			want: []string{"content of table public.orders", "no intent names it"}},
		{name: "row under another's intent", sql: "UPDATE orders SET note = 'x' WHERE id = 1",
			actions: []signalbox.Action{action(signalbox.Update, "UPDATE", "table", "public.lines")},
			outcome: done(1), want: []string{"content of table public.orders"}},
		{name: "row named", sql: "UPDATE orders SET note = 'x' WHERE id = 1", actions: []signalbox.Action{update},
			outcome: done(1)},
		{name: "row of unknown outcome", sql: "UPDATE orders SET note = 'x' WHERE id = 1",
			actions: []signalbox.Action{update}, outcome: unknown},
		{name: "row without outcome", sql: "DELETE FROM lines WHERE id = 1",
			actions: []signalbox.Action{action(signalbox.Delete, "DELETE", "table", "public.lines")}},
		{name: "failed yet gone", sql: "DELETE FROM orders WHERE id = 1", actions: []signalbox.Action{remove},
			outcome: failed, want: []string{"content of table public.orders", "outcome says failed"}},
		{name: "cascade", sql: "DELETE FROM orders WHERE id = 1", actions: []signalbox.Action{remove},
			outcome: done(1, "public.orders", "public.lines")},
		{name: "cascade not counted", sql: "DELETE FROM orders WHERE id = 1", actions: []signalbox.Action{remove},
			outcome: done(1)},
		{name: "more than told", sql: "DELETE FROM orders WHERE id < 5", actions: []signalbox.Action{remove},
			outcome: done(1), want: []string{"content of table public.orders", "account for 1 rows"}},
		{name: "code counted", sql: "DELETE FROM lines WHERE id < 5",
			actions: []signalbox.Action{action(signalbox.Execute, "CALL FUNCTION", "unknown", "*")},
			outcome: done(4, "public.lines")},
		{name: "code that was not counted", sql: "DELETE FROM lines WHERE id < 5",
			actions: []signalbox.Action{action(signalbox.Execute, "CALL FUNCTION", "unknown", "*")}, outcome: done(4)},
		{name: "code counted elsewhere", sql: "DELETE FROM lines WHERE id < 5",
			actions: []signalbox.Action{action(signalbox.Execute, "CALL FUNCTION", "unknown", "*")},
			outcome: done(4, "public.audit"), want: []string{"content of table public.lines", "no intent names it"}},
		{name: "code counted to less", sql: "DELETE FROM lines WHERE id < 5",
			actions: []signalbox.Action{action(signalbox.Execute, "CALL FUNCTION", "unknown", "*")},
			outcome: done(2, "public.lines"), want: []string{"content of table public.lines", "account for 2 rows"}},
		{name: "more than touched", sql: "DELETE FROM lines WHERE id < 5", actions: []signalbox.Action{remove},
			outcome: done(1, "public.orders", "public.lines"),
			want:    []string{"content of table public.lines", "account for 1 rows"}},
		{name: "none told", sql: "UPDATE orders SET note = 'x'", actions: []signalbox.Action{update},
			outcome: done(0), want: []string{"account for 0 rows"}},
		{name: "touched by a trigger", sql: "UPDATE orders SET note = 'x' WHERE id = 1; INSERT INTO audit VALUES ('x')", actions: []signalbox.Action{update}, outcome: done(1, "public.orders", "public.audit")},
		{name: "untold by a trigger", sql: "UPDATE orders SET note = 'x' WHERE id = 1; INSERT INTO audit VALUES ('x')", actions: []signalbox.Action{update}, outcome: done(1, "public.orders"), want: []string{"public.audit"}},
		{name: "definition under an update", sql: "ALTER TABLE orders ADD more int",
			actions: []signalbox.Action{update}, outcome: done(1), want: []string{"table public.orders changed"}},
		{name: "definition named", sql: "ALTER TABLE orders ADD more int DEFAULT 7",
			actions: []signalbox.Action{action(signalbox.Update, "ALTER TABLE", "table", "public.orders")},
			outcome: done(0)},
		{name: "index named by its table", sql: "CREATE INDEX i ON orders (note)",
			actions: []signalbox.Action{action(signalbox.Create, "CREATE INDEX", "table", "public.orders")},
			outcome: done(0)},
		{name: "table named", sql: "CREATE TABLE fresh (id serial PRIMARY KEY, m mood CHECK (m > 'sad'))",
			actions: []signalbox.Action{action(signalbox.Create, "CREATE TABLE", "table", "public.fresh")},
			outcome: done(0)},
		{name: "table", sql: "CREATE TABLE fresh (id serial PRIMARY KEY)",
			want: []string{"table public.fresh is new", "sequence public.fresh_id_seq is new"}},
		{name: "drop cascades", sql: "DROP TABLE orders CASCADE",
			actions: []signalbox.Action{action(signalbox.Delete, "DROP TABLE", "table", "public.orders")},
			outcome: done(0)},
		{name: "drop of another", sql: "DROP TABLE orders CASCADE",
			actions: []signalbox.Action{action(signalbox.Delete, "DROP TABLE", "table", "public.lines")},
			outcome: done(0), want: []string{"table public.orders is gone", "view public.cheap is gone"}},
		{name: "drop and create again", sql: "DROP TABLE audit; CREATE TABLE audit (what text)",
			want: []string{"table public.audit is gone", "table public.audit is new"}},
		{name: "truncate named", sql: "TRUNCATE lines RESTART IDENTITY",
			actions: []signalbox.Action{action(signalbox.Delete, "TRUNCATE", "table", "public.lines")},
			outcome: done(0)},
		{name: "truncate of nothing", sql: "TRUNCATE audit", want: []string{"storage of table public.audit"}},
		{name: "sequence", sql: "SELECT nextval('lines_id_seq')",
			want: []string{"position of sequence public.lines_id_seq"}},
		{name: "sequence not called", sql: "SELECT setval('lines_id_seq', 50, false)",
			want: []string{"position of sequence public.lines_id_seq"}},
		{name: "sequence of a failed insert", sql: "SELECT nextval('lines_id_seq')",
			actions: []signalbox.Action{action(signalbox.Create, "INSERT", "table", "public.lines")}, outcome: failed},
		{name: "sequence named", sql: "SELECT setval('lines_id_seq', 7)",
			actions: []signalbox.Action{action(signalbox.Update, "SETVAL", "sequence", "public.lines_id_seq")},
			outcome: done(1)},
		{name: "sequence's definition", sql: "ALTER SEQUENCE lines_id_seq INCREMENT 7",
			want: []string{"sequence public.lines_id_seq changed", "seqincrement"}},
		{name: "role setting", sql: "CREATE ROLE oracle_r; ALTER ROLE oracle_r SET search_path = x",
			want: []string{"role oracle_r is new", "search_path=x"}},
		{name: "database setting", sql: "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = x', current_database()); END $$", want: []string{"database test_", "search_path=x"}},
		{name: "role's password", sql: "ALTER ROLE oracle_r PASSWORD 'x'",
			want: []string{"role oracle_r changed", "rolpassword"}},
		{name: "membership", sql: "GRANT pg_monitor TO oracle_r",
			want: []string{"role pg_monitor is new: oracle_r false"}},
		{name: "membership named", sql: "REVOKE pg_monitor FROM oracle_r",
			actions: []signalbox.Action{action(signalbox.Permission, "REVOKE", "role", "oracle_r")}, outcome: done(0)},
		{name: "role dropped", sql: "DROP ROLE oracle_r", want: []string{"role oracle_r is gone"}},
		{name: "function", sql: "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
			want: []string{"function public.f() changed", "SELECT 2"}},
		{name: "function named", sql: "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
			actions: []signalbox.Action{action(signalbox.Execute, "CREATE FUNCTION", "function", "public.f")},
			outcome: done(0)},
		{name: "function of PostgreSQL's", sql: "ALTER FUNCTION lower(text) STABLE; ALTER FUNCTION lower(text) IMMUTABLE", want: []string{"catalog pg_proc changed"}},
		{name: "large object", sql: "SELECT lo_from_bytea(0, 'x')", want: []string{"content of large object"}},
		{name: "grant", sql: "GRANT SELECT ON orders TO PUBLIC",
			want: []string{"table public.orders changed", "relacl"}},
		{name: "grant on a column", sql: "GRANT SELECT (note) ON orders TO PUBLIC",
			want: []string{"table public.orders changed"}},
		{name: "grant named by schema", sql: "GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC",
			actions: []signalbox.Action{action(signalbox.Permission, "GRANT", "schema", "public")}, outcome: done(0)},
		{name: "trigger off", sql: "ALTER TABLE orders DISABLE TRIGGER ALL", want: nil},
		{name: "row security", sql: "ALTER TABLE orders ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON orders USING (true)", want: []string{"policy p on public.orders is new", "relrowsecurity"}},
		{name: "rule", sql: "CREATE RULE r AS ON INSERT TO audit DO INSTEAD NOTHING",
			want: []string{"rule r on public.audit"}},
		{name: "enum", sql: "ALTER TYPE mood ADD VALUE 'mad'",
			want: []string{"type public.mood changed", "sad,glad,mad"}},
		{name: "comment", sql: "COMMENT ON TABLE orders IS 'x'", want: []string{"comment public.orders"}},
		{name: "comment named", sql: "COMMENT ON COLUMN orders.id IS 'x'",
			actions: []signalbox.Action{action(signalbox.Update, "COMMENT", "table", "public.orders")},
			outcome: done(0)},
		{name: "publication", sql: "CREATE PUBLICATION p FOR TABLE orders",
			want: []string{"publication p is new", "publication relation"}},
		{name: "extension", sql: "CREATE EXTENSION pg_trgm", want: []string{"extension pg_trgm"}},
		{name: "extension named", sql: "CREATE EXTENSION pg_trgm",
			actions: []signalbox.Action{action(signalbox.Create, "CREATE EXTENSION", "extension", "pg_trgm")},
			outcome: done(0)},
		{name: "system setting", sql: "ALTER SYSTEM SET work_mem = '5MB'",
			want: []string{"setting work_mem is new: 5MB"}},
		{name: "system setting gone", sql: "ALTER SYSTEM RESET work_mem", want: []string{"setting work_mem is gone"}},
		{name: "temporary", sql: "CREATE TEMP TABLE x (id serial PRIMARY KEY); CREATE INDEX ON x (id); INSERT INTO x DEFAULT VALUES; CREATE FUNCTION pg_temp.g() RETURNS int LANGUAGE sql AS 'SELECT 1'"},
		{name: "kept house", sql: "ANALYZE; VACUUM orders"},
		{name: "approved code", sql: "UPDATE orders SET note = 'x'; CREATE TABLE fresh ()",
			actions: []signalbox.Action{signalbox.Worst("DO", "")}, outcome: done(0)},
		{name: "failed code", sql: "UPDATE orders SET note = 'x'",
			actions: []signalbox.Action{signalbox.Worst("DO", "")}, outcome: failed,
			want: []string{"content of table public.orders"}},
		{name: "installed code", sql: "UPDATE orders SET note = 'x'",
			actions: []signalbox.Action{{Verb: signalbox.Execute, Native: "CREATE FUNCTION",
				Traits:    []signalbox.Trait{signalbox.TraitOpaque, signalbox.TraitDeferred},
				Resources: []signalbox.Resource{{Type: "function", Name: "public.f"}}}}, outcome: done(0),
			want: []string{"content of table public.orders"}},
		{name: "quoted", sql: `CREATE TABLE "Odd Name" ("a b" int)`,
			actions: []signalbox.Action{action(signalbox.Create, "CREATE TABLE", "table", "public.Odd Name")},
			outcome: done(0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := pgtest.Shared(t)
			run(t, db.URL(), setUp...)
			var journal oracle.Journal
			o := oracle.Postgres(t, db.URL(), journal.Entries)
			if len(c.actions) > 0 {
				id := journal.Intent(c.actions)
				if c.outcome != nil {
					journal.Outcome(id, *c.outcome)
				}
			}
			if c.sql != "" {
				statements := strings.Split(c.sql, "; ")
				if strings.HasPrefix(c.sql, "DO ") {
					statements = []string{c.sql}
				}
				run(t, db.URL(), statements...)
			}
			o.Hasten()
			l := &listener{TB: t}
			o.Check(l)
			told := strings.Join(l.failed, "\n")
			for _, want := range c.want {
				if !strings.Contains(told, want) {
					t.Errorf("want %q in:\n%s", want, told)
				}
			}
			if c.want == nil && told != "" {
				t.Errorf("want no failure, got:\n%s", told)
			}
		})
	}
}

func TestCost(t *testing.T) {
	db := pgtest.Shared(t)
	run(t, db.URL(), setUp...)
	var journal oracle.Journal
	o := oracle.Postgres(t, db.URL(), journal.Entries)
	at := time.Now()
	for range 20 {
		o.Check(t)
	}
	t.Logf("a picture takes %s", time.Since(at)/20)
}
