package pgwire

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// newBackend gives a connection of the gate to its server, without a client.
func newBackend(t *testing.T, b *testGate) *conn {
	t.Helper()
	near, far := net.Pipe()
	go io.Copy(io.Discard, far) // notices
	t.Cleanup(func() { near.Close(); far.Close() })
	c := b.gate.newConn(near, signalbox.Session{ID: "human-alice",
		Actor: signalbox.Actor{Kind: signalbox.Human, Name: "alice"}})
	var err error
	if c.server, err = b.gate.connect(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.server.close)
	return c
}

func (c *conn) must(t *testing.T, sqls ...string) [][]string {
	t.Helper()
	answers, err := c.server.try(sqls...)
	if err != nil {
		t.Fatal(err)
	}
	last := answers[len(answers)-1]
	if last.failed != nil {
		t.Fatalf("%s: %s", sqls[len(answers)-1], last.failed.Message)
	}
	return last.rows
}

// ddl makes random definitions; %[1]d is a number that is used again and again.
var ddl = []string{
	"CREATE TABLE IF NOT EXISTS t%[1]d (id int PRIMARY KEY, parent int, note text)",
	"DROP TABLE IF EXISTS t%[1]d CASCADE",
	"ALTER TABLE IF EXISTS t%[1]d ADD COLUMN IF NOT EXISTS more int UNIQUE",
	"ALTER TABLE IF EXISTS t%[1]d DROP COLUMN IF EXISTS more",
	"ALTER TABLE IF EXISTS t%[1]d ADD FOREIGN KEY (parent) REFERENCES t%[2]d ON DELETE CASCADE",
	"ALTER TABLE IF EXISTS t%[1]d ENABLE ROW LEVEL SECURITY",
	"ALTER TABLE IF EXISTS t%[1]d DISABLE ROW LEVEL SECURITY",
	"ALTER TABLE IF EXISTS t%[1]d RENAME TO t%[2]d",
	"ALTER TABLE IF EXISTS t%[1]d SET SCHEMA other",
	"ALTER TABLE IF EXISTS other.t%[1]d SET SCHEMA public",
	"CREATE INDEX IF NOT EXISTS i%[1]d ON t%[2]d (note)",
	"CREATE UNIQUE INDEX IF NOT EXISTS u%[1]d ON t%[2]d (note, id)",
	"DROP INDEX IF EXISTS i%[1]d", "DROP INDEX IF EXISTS u%[1]d",
	"CREATE OR REPLACE VIEW v%[1]d AS SELECT id, f%[2]d(parent) FROM t%[2]d",
	"CREATE OR REPLACE VIEW v%[1]d AS SELECT id, f%[1]d(parent) FROM t%[2]d",
	"CREATE VIEW v%[1]d AS SELECT * FROM v%[2]d", "DROP VIEW IF EXISTS v%[1]d CASCADE",
	"CREATE OR REPLACE FUNCTION f%[1]d(int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1'",
	"CREATE OR REPLACE FUNCTION f%[1]d(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2'",
	"CREATE OR REPLACE FUNCTION f%[1]d(text) RETURNS int LANGUAGE sql AS 'SELECT 3'",
	"DROP FUNCTION IF EXISTS f%[1]d(text) CASCADE", "DROP FUNCTION IF EXISTS f%[1]d(int) CASCADE",
	"CREATE RULE r%[1]d AS ON INSERT TO t%[2]d DO NOTHING", "DROP RULE IF EXISTS r%[1]d ON t%[2]d",
	"CREATE TRIGGER g%[1]d BEFORE UPDATE ON t%[2]d FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", "DROP TRIGGER IF EXISTS g%[1]d ON t%[2]d",
	"CREATE DOMAIN d%[1]d AS int CHECK (f%[2]d(VALUE) > 0)", "CREATE DOMAIN d%[1]d AS int CHECK (VALUE > 0)",
	"DROP DOMAIN IF EXISTS d%[1]d CASCADE",
	"CREATE TYPE c%[1]d AS (a int)", "CREATE TYPE c%[1]d AS ENUM ('a')", "DROP TYPE IF EXISTS c%[1]d CASCADE",
	"CREATE OPERATOR ==%[3]s (LEFTARG = int, RIGHTARG = text, FUNCTION = texticregexeq)", "CREATE OPERATOR ~~%[3]s (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)",
	"CREATE CAST (c%[1]d AS int) WITH FUNCTION f%[2]d(int)",
	"CREATE TABLE p%[1]d (id int) PARTITION BY RANGE (id)",
	"CREATE TABLE part%[1]d PARTITION OF p%[2]d FOR VALUES FROM (%[1]d) TO (%[1]d + 1)",
	"DROP TABLE IF EXISTS p%[1]d CASCADE",
	"CREATE TEMPORARY TABLE t%[1]d (id int PRIMARY KEY)", "CREATE TEMPORARY VIEW tv%[1]d AS SELECT 1 AS one",
	"DROP TABLE IF EXISTS pg_temp.t%[1]d CASCADE",
	"CREATE SEQUENCE IF NOT EXISTS s%[1]d", "DROP SEQUENCE IF EXISTS s%[1]d",
	"CREATE SCHEMA s%[1]d CREATE TABLE inner_one (id int PRIMARY KEY)", "ALTER SCHEMA s%[1]d RENAME TO s%[2]d",
	"DROP SCHEMA IF EXISTS s%[1]d CASCADE",
	"CREATE EXTENSION IF NOT EXISTS citext", "DROP EXTENSION IF EXISTS citext CASCADE",
	"TRUNCATE t%[1]d", "ANALYZE", "VACUUM t%[1]d", "COMMENT ON TABLE t%[1]d IS 'x'",
}

func randomDDL(r *rand.Rand) string {
	i, j := r.IntN(4), r.IntN(4)
	text := ddl[r.IntN(len(ddl))]
	for verb, arg := range map[string]any{"%[1]d": i, "%[2]d": j, "%[3]s": []string{"#", "&", "|", "@"}[i]} {
		text = strings.ReplaceAll(text, verb, fmt.Sprint(arg))
	}
	return text
}

// TestFactsAreWhatIsThere changes objects at random, by others and by the
// connection itself, in transactions and outside, and compares what is brought up
// to date with what is read whole.
func TestFactsAreWhatIsThere(t *testing.T) {
	b := newTestGate(t, nil)
	defer b.oracle.Rebase(t) // the test itself changes the target
	b.direct(t, "CREATE SCHEMA other")
	c := newBackend(t, b)
	other, err := pgx.Connect(t.Context(), b.db.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))

	committed, err := c.server.readFacts(nil)
	if err != nil {
		t.Fatal(err)
	}
	done := map[bool]int{}
	try := func(own bool) string {
		text := randomDDL(r)
		if !own {
			// It waits for nobody's locks: those are the other's to keep.
			_, err := other.Exec(t.Context(), text, pgx.QueryExecModeSimpleProtocol)
			done[err == nil]++
			return fmt.Sprintf("other: %s: %v", text, err)
		}
		block := c.server.status == 'T'
		if block {
			c.must(t, "SAVEPOINT s")
		}
		answers, err := c.server.try(text)
		if err != nil {
			t.Fatal(err)
		}
		failed := answers[0].failed != nil
		if block && failed {
			c.must(t, "ROLLBACK TO SAVEPOINT s")
		}
		done[!failed]++
		return fmt.Sprintf("own: %s: %v", text, failed)
	}
	if _, err := other.Exec(t.Context(), "SET lock_timeout = '20ms'"); err != nil {
		t.Fatal(err)
	}
	for range 400 {
		var story []string
		switch r.IntN(4) {
		case 0:
			story = append(story, "BEGIN")
			c.must(t, "BEGIN")
			for range r.IntN(6) {
				if r.IntN(4) == 0 {
					story = append(story, "SAVEPOINT back")
					c.must(t, "SAVEPOINT back")
				}
				story = append(story, try(true), try(r.IntN(3) > 0))
				c.agree(t, committed, story)
				if strings.Contains(strings.Join(story, ""), "SAVEPOINT back") && r.IntN(3) == 0 {
					story = append(story, "ROLLBACK TO back")
					c.must(t, "ROLLBACK TO SAVEPOINT back")
					c.agree(t, committed, story)
				}
			}
			end := []string{"COMMIT", "ROLLBACK"}[r.IntN(2)]
			story = append(story, end)
			c.must(t, end)
		case 1:
			story = append(story, try(false), try(false))
		default:
			story = append(story, try(true))
		}
		committed = c.agree(t, committed, story)
	}
	t.Logf("%d statements succeeded, %d failed", done[true], done[false])
	if done[true] < 100 {
		t.Error("too few statements succeeded to say anything")
	}
}

// agree compares what is made of the facts before with what is there.
func (c *conn) agree(t *testing.T, before *facts, story []string) *facts {
	t.Helper()
	now, err := c.server.readFacts(before)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := c.server.readWhole()
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range now.parts {
		if p.sums != whole.parts[i].sums || len(p.rows) != len(whole.parts[i].rows) {
			t.Errorf("%s: sums %s, whole %s", sources[i].table, p.sums, whole.parts[i].sums)
		}
	}
	temp := oid(c.must(t, "SELECT pg_my_temp_schema()")[0][0])
	if d := cmp.Diff(whole.catalog(temp), now.catalog(temp), cmpopts.IgnoreUnexported(sql.Catalog{})); d != "" ||
		t.Failed() {
		t.Fatalf("after\n%s\nbrought up to date differs (-whole +now):\n%s", strings.Join(story, "\n"), d)
	}
	return now
}

// TestFactsShareWhatDidNotChange: a definition costs the parts that it touches.
func TestFactsShareWhatDidNotChange(t *testing.T) {
	b := newTestGate(t, nil)
	defer b.oracle.Rebase(t) // the test itself changes the target
	b.direct(t, "CREATE TABLE t (id int PRIMARY KEY); CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE VIEW v AS SELECT f(id) FROM t; CREATE DOMAIN d AS int CHECK (VALUE > 0)")
	c := newBackend(t, b)
	for _, step := range []struct {
		sql     string
		changes []int
	}{
		{"COMMENT ON TABLE t IS 'x'", nil},
		{"CREATE INDEX i ON t (id)", []int{classes}},
		{"DROP INDEX i", []int{classes}},
		{"CREATE UNIQUE INDEX u ON t (id)", []int{classes, keys}},
		{"CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 2'", []int{procedures}},
		{"DROP VIEW v", []int{classes, rules}},
		{"DROP DOMAIN d", []int{constraints, scalars}},
	} {
		before, err := c.server.readFacts(nil)
		if err != nil {
			t.Fatal(err)
		}
		c.must(t, step.sql)
		now := c.agree(t, before, []string{step.sql})
		var changes []int
		for i := range now.parts {
			if reflect.ValueOf(now.parts[i].rows).Pointer() != reflect.ValueOf(before.parts[i].rows).Pointer() {
				changes = append(changes, i)
			}
		}
		if d := cmp.Diff(step.changes, changes); d != "" {
			t.Errorf("%s: parts read again (-want +got):\n%s", step.sql, d)
		}
	}
}

// keysOf gives the keys of a table that all connections judge by.
func (b *testGate) keysOf(table string) ([][]string, bool) {
	b.gate.catalogs.mu.Lock()
	defer b.gate.catalogs.mu.Unlock()
	r, ok := b.gate.catalogs.shared.facts.catalog(0).Relations[table]
	return r.Keys, ok
}

func TestKeyOfRenamedColumn(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, "CREATE TABLE orders (id int PRIMARY KEY)")
	conn := b.connect(t, "human-alice")
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		sqls []string
		want string
	}{
		{[]string{"SELECT 1"}, "id"},
		{[]string{"ALTER TABLE orders RENAME COLUMN id TO one"}, "one"},
		{[]string{"BEGIN", "ALTER TABLE orders RENAME COLUMN one TO two", "COMMIT"}, "two"},
		{[]string{"DO 'BEGIN ALTER TABLE orders RENAME COLUMN two TO three; END'"}, "three"},
		{[]string{"BEGIN", "ALTER TABLE orders RENAME COLUMN three TO four", "SELECT 1", "ROLLBACK"}, "three"},
	} {
		for _, sql := range step.sqls {
			exec(sql)
		}
		exec("SELECT 1")
		if got, _ := b.keysOf("public.orders"); !cmp.Equal(got, [][]string{{step.want}}) {
			t.Errorf("after %q: keys %v, want %s", step.sqls, got, step.want)
		}
	}
}

// TestUncommittedIsNotShared: what one connection has not committed is nothing to
// judge others by, however long its transaction lasts.
func TestUncommittedIsNotShared(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, "CREATE TABLE orders (id int PRIMARY KEY)")
	conn := b.connect(t, "human-alice")
	long := func() { // longer than the snapshot is believed
		b.gate.catalogs.mu.Lock()
		defer b.gate.catalogs.mu.Unlock()
		b.gate.catalogs.checked = time.Time{}
	}
	for _, sql := range []string{"BEGIN", "CREATE TABLE mine (id int PRIMARY KEY)", "SELECT FROM mine",
		"SET LOCAL work_mem = '1MB'", "SELECT FROM mine", "SAVEPOINT s", "SELECT FROM mine"} {
		if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
		if _, there := b.keysOf("public.mine"); there {
			t.Fatalf("after %s: others judge by a table that is not committed", sql)
		}
		long()
	}
	if _, err := conn.Exec(t.Context(), "COMMIT", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT FROM mine", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	if _, there := b.keysOf("public.mine"); !there {
		t.Error("a committed table is not known")
	}
}
