package pgwire

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// Ways in which an agent had rows destroyed that no intent named, or had one
// thing judged and another run. The stand-in for interlock holds what destroys,
// as the default policies do, and has a ceiling of 100 rows. The target is asked
// what became of it.

const shop = `
	CREATE TABLE notes (id int PRIMARY KEY, body text);
	INSERT INTO notes SELECT g, 'note ' || g FROM generate_series(1, 300) g;
	CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree ON DELETE CASCADE);
	INSERT INTO tree VALUES (1, NULL);
	INSERT INTO tree SELECT g, 1 FROM generate_series(2, 400) g;
	CREATE TABLE settings (k int); INSERT INTO settings SELECT generate_series(1, 50);
	CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 10);
	CREATE TABLE log (id int);
	CREATE SCHEMA other; CREATE TABLE other.log (id int);
	CREATE FUNCTION wipe() RETURNS int LANGUAGE sql VOLATILE AS 'DELETE FROM public.notes; SELECT 1';
	CREATE FUNCTION imm(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
		$$ BEGIN EXECUTE 'DELETE FROM public.notes'; RETURN $1; END $$;
	CREATE VIEW evil AS SELECT public.wipe() AS w;
	CREATE TABLE doors (id int);
	CREATE FUNCTION clean() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM public.notes; RETURN NULL; END';
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON doors DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION clean();`

// kept is what must be there after each attempt.
const kept = `SELECT (SELECT count(*) FROM notes), (SELECT count(*) FROM tree), to_regclass('public.settings') IS NOT NULL
	AND (SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('public.settings') AND attnum > 0 AND NOT attisdropped) = 1,
	(SELECT count(*) FROM doors), (SELECT count(*) FROM pg_largeobject_metadata)`

const keptAnswer = "300|400|t|0|0"

// destroys holds what the default policies hold, as far as these attempts go.
func destroys(r interlock.Request) error {
	for _, a := range r.Actions {
		switch {
		case a.Has(signalbox.TraitTemporary), a.Has(signalbox.TraitByKey) && a.Verb == signalbox.Delete:
		case a.Verb.Gravity() >= signalbox.Execute.Gravity(), strings.HasPrefix(a.Native, "LOCK"):
			return gatetest.Holding("")(r)
		}
	}
	return nil
}

func (r *raw) flush() { r.f.Send(&pgproto3.Flush{}) }

func (r *raw) run(sql string) {
	r.parse("", sql)
	r.bind("", "")
	r.execute("")
}

func TestNothingIsDestroyedUnrecorded(t *testing.T) {
	loop := func(times int, f func(i int)) {
		for i := range times {
			f(i)
		}
	}
	cases := map[string]func(r *raw){
		"EXECUTE of a COMMIT": func(r *raw) {
			r.parse("c", "COMMIT")
			r.sync()
			r.query("BEGIN")
			r.query("DELETE FROM tree WHERE id = 1")
			r.query("EXECUTE c")
		},
		"EXECUTE of a COMMIT AND CHAIN by the extended protocol": func(r *raw) {
			r.parse("c", "COMMIT AND CHAIN")
			r.sync()
			r.query("BEGIN")
			r.query("DELETE FROM tree WHERE id = 1")
			r.run("EXECUTE c")
			r.sync()
		},
		"EXECUTE of a COMMIT, all in one unit": func(r *raw) {
			r.query("BEGIN")
			r.parse("c", "COMMIT")
			r.run("DELETE FROM tree WHERE id = 1")
			r.run("EXECUTE c")
			r.sync()
		},
		"EXECUTE of a COMMIT that the gate was made to forget": func(r *raw) {
			r.parse("c", "COMMIT")
			r.sync()
			r.query("SELECT 1/0; DEALLOCATE c")
			r.query("BEGIN")
			r.query("DELETE FROM tree WHERE id = 1")
			r.query("EXECUTE c")
		},
		"EXPLAIN ANALYZE of such an EXECUTE": func(r *raw) {
			r.parse("c", "COMMIT")
			r.sync()
			r.query("BEGIN")
			r.query("DELETE FROM tree WHERE id = 1")
			r.query("EXPLAIN ANALYZE EXECUTE c")
		},
		"a change of a table that EXECUTE of a SAVEPOINT hides": func(r *raw) {
			r.parse("s", "SAVEPOINT a")
			r.sync()
			r.query("BEGIN")
			r.query("SAVEPOINT a")
			r.query("ALTER TABLE settings ADD COLUMN x int")
			r.query("EXECUTE s")
			r.query("ROLLBACK TO a")
			r.query("INSERT INTO log VALUES (1)")
			r.query("COMMIT")
		},
		"EXECUTE of a FETCH of a bound statement": func(r *raw) {
			r.query("BEGIN")
			r.parse("d", "DELETE FROM notes RETURNING id")
			r.parse("f", "FETCH ALL x")
			r.bind("x", "d")
			r.sync()
			r.query("EXECUTE f")
			r.query("COMMIT")
		},
		"a temporary table dropped twice in one unit": func(r *raw) {
			r.query("CREATE TEMP TABLE settings (k int)")
			r.run("DROP TABLE settings")
			r.run("DROP TABLE settings")
			r.sync()
		},
		"a temporary table discarded and truncated in one unit": func(r *raw) {
			r.query("CREATE TEMP TABLE notes (k int)")
			r.run("DISCARD TEMP")
			r.run("TRUNCATE notes CASCADE")
			r.sync()
		},
		"a temporary table dropped and altered in one unit of a block": func(r *raw) {
			r.query("BEGIN")
			r.query("CREATE TEMP TABLE settings (k int, x int)")
			r.run("DROP TABLE settings")
			r.run("ALTER TABLE settings DROP COLUMN k")
			r.sync()
			r.query("COMMIT")
		},
		"temporary tables over two flushes": func(r *raw) {
			r.query("CREATE TEMP TABLE settings (k int)")
			r.run("DROP TABLE settings")
			r.flush()
			r.run("DROP TABLE settings")
			r.sync()
		},
		"a statement prepared anew under its name in one unit": func(r *raw) {
			r.query("PREPARE p AS SELECT 1")
			r.query("BEGIN")
			r.query("SELECT * FROM orders FOR UPDATE")
			r.run("DEALLOCATE p")
			r.run("PREPARE p AS DELETE FROM notes")
			r.run("EXECUTE p")
			r.sync()
			r.query("COMMIT")
		},
		"a protocol's statement prepared anew by PREPARE in one unit": func(r *raw) {
			r.parse("p", "SELECT 1")
			r.sync()
			r.query("BEGIN")
			r.run("DEALLOCATE p")
			r.run("PREPARE p AS DELETE FROM notes")
			r.bind("", "p")
			r.execute("")
			r.sync()
			r.query("COMMIT")
		},
		"a bound statement run by cursor_to_xml": func(r *raw) {
			r.parse("d", "DELETE FROM notes RETURNING id")
			r.parse("cx", "SELECT cursor_to_xml('x', 1000, true, false, '') FROM orders WHERE id = 1 FOR UPDATE")
			r.bind("x", "d")
			r.bind("y", "cx")
			r.execute("y")
			r.sync()
		},
		"a bound statement run by cursor_to_xml in a block": func(r *raw) {
			r.query("BEGIN")
			r.parse("d", "DELETE FROM notes RETURNING id")
			r.bind("x", "d")
			r.sync()
			r.query("SELECT cursor_to_xml('x', 1000, true, false, '')")
			r.query("INSERT INTO log VALUES (1)")
			r.query("COMMIT")
		},
		"a bound call of a function": func(r *raw) {
			r.query("BEGIN")
			r.parse("z", "SELECT imm(1)")
			r.bind("zp", "z")
			r.sync()
			r.query("INSERT INTO log VALUES (1)")
			r.query("COMMIT")
		},
		"a view that calls a function, read as XML beside a row lock": func(r *raw) {
			r.query("SELECT table_to_xml('evil', true, false, '') FROM orders WHERE id = 1 FOR UPDATE")
		},
		"a view that calls a function, read as XML in a block": func(r *raw) {
			r.query("BEGIN")
			r.query("SELECT table_to_xml('evil', true, false, '')")
			r.query("INSERT INTO log VALUES (1)")
			r.query("COMMIT")
		},
		"the same behind an INSERT": func(r *raw) {
			r.query("BEGIN")
			r.query("INSERT INTO log VALUES (1)")
			r.query("SELECT table_to_xml('evil', true, false, '')")
			r.query("COMMIT")
		},
		"the same as a cursor that is fetched from": func(r *raw) {
			r.query("BEGIN")
			r.query("DECLARE c CURSOR FOR SELECT table_to_xml('evil', true, false, '')")
			r.query("INSERT INTO log VALUES (1)")
			r.query("FETCH ALL c")
			r.query("COMMIT")
		},
		"the same as a portal that is executed later": func(r *raw) {
			r.query("BEGIN")
			r.parse("x", "SELECT table_to_xml('evil', true, false, '')")
			r.bind("x", "x")
			r.sync()
			r.query("INSERT INTO log VALUES (1)")
			r.execute("x")
			r.sync()
			r.query("COMMIT")
		},
		"a cursor WITH HOLD": func(r *raw) {
			r.query("BEGIN")
			r.query("INSERT INTO log VALUES (1)")
			r.query("DECLARE c CURSOR WITH HOLD FOR SELECT table_to_xml('evil', true, false, '')")
			r.query("COMMIT")
		},
		"a cursor WITH HOLD beside an INSERT in one text": func(r *raw) {
			r.query("DECLARE c CURSOR WITH /**/ HOLD FOR SELECT table_to_xml('evil', true, false, ''); INSERT INTO log VALUES (1)")
		},
		"a cursor WITH HOLD beside an INSERT in one unit": func(r *raw) {
			r.run("DECLARE c CURSOR WITH HOLD FOR SELECT table_to_xml('evil', true, false, '')")
			r.run("INSERT INTO log VALUES (1)")
			r.sync()
		},
		"a deferred trigger": func(r *raw) {
			r.query("INSERT INTO doors VALUES (1)")
		},
		"a deferred trigger in a block": func(r *raw) {
			r.query("BEGIN")
			r.query("INSERT INTO doors VALUES (1)")
			r.query("COMMIT")
		},
		"the default of READ ONLY switched off by a bound statement": func(r *raw) {
			r.query("BEGIN")
			r.parse("o", "SELECT set_config('default_transaction_read_only', 'off', false)")
			r.bind("o", "o")
			r.sync()
			r.query("SELECT cursor_to_xml('o', 1000, true, false, '')")
			r.query("COMMIT")
			loop(3, func(int) { r.query("SELECT table_to_xml('evil', true, false, '')") })
		},
		"a savepoint of the gate's own": func(r *raw) {
			r.query("BEGIN")
			r.query(`SAVEPOINT "signalbox read"`)
			r.query("SELECT 1")
			r.query(`ROLLBACK TO "signalbox read"`)
			r.query("SELECT table_to_xml('evil', true, false, '')")
			r.query("INSERT INTO log VALUES (1)")
			r.query("COMMIT")
		},
		"row locks through a view that calls a function": func(r *raw) {
			r.query("BEGIN")
			r.query("SELECT * FROM evil FOR UPDATE")
			r.query("INSERT INTO log VALUES (1)")
			r.query("COMMIT")
		},
	}
	for name, play := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Decide, s.Ceiling = destroys, 100 })
			b.direct(t, shop)
			r, err := dialRaw(b, t, nil)
			if err != nil {
				t.Fatal(err)
			}
			play(r)
			if got := strings.TrimSpace(b.direct(t, kept, "-At")); got != keptAnswer {
				t.Errorf("notes, tree, settings, doors, large objects are %s, want %s: %q", got, keptAnswer,
					b.Entries("reads"))
			}
		})
	}
}

// What a text calls is not run while the text is only looked at.
func TestProbesRunNothing(t *testing.T) {
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Decide, s.Ceiling = destroys, 100 })
	b.direct(t, shop+`CREATE FUNCTION mark() RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT pg_catalog.lo_create(0)::int $$`)
	r, err := dialRaw(b, t, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"BEGIN", "DELETE FROM notes WHERE id = mark()", "ROLLBACK",
		"DELETE FROM notes WHERE id = imm(1)", "EXPLAIN DELETE FROM notes WHERE id = imm(1)"} {
		r.query(sql)
	}
	if got := strings.TrimSpace(b.direct(t, kept, "-At")); got != keptAnswer {
		t.Errorf("notes, tree, settings, doors, large objects are %s, want %s: %q", got, keptAnswer, b.Entries("reads"))
	}
}

// An agent's connection whose READ ONLY default is lifted by anything but the
// gate ends, with what is open on it.
func TestLostReadOnlyEndsTheConnection(t *testing.T) {
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Ceiling = 100 }) // all is allowed
	b.direct(t, shop)
	r, err := dialRaw(b, t, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.query("BEGIN")
	r.query("INSERT INTO log VALUES (1)")
	got := r.query("SELECT set_config('default_transaction_read_only', 'off', false)")
	if !strings.Contains(got, StateDenied) {
		t.Errorf("answer: %s", got)
	}
	r.query("COMMIT")
	if got := strings.TrimSpace(b.direct(t, "SELECT count(*) FROM log", "-At")); got != "0" {
		t.Errorf("%s rows were committed behind it", got)
	}
}

// What runs behind a Flush is final with the Sync, whatever comes in between: it is
// not forgotten because something else ran by itself, or was only read.
func TestFlushedChangesHaveAnIntent(t *testing.T) {
	for _, c := range []struct {
		name, between string
		rows          string
	}{
		{"nothing", "", "1"},
		{"a read", "SELECT 1", "1"},
		{"code of unknown effect", "SELECT f()", "1"},
		{"a sequence", "SELECT setval('s', 7)", "1"},
		{"another change", "INSERT INTO t VALUES (2)", "2"},
		{"an error", "SELECT 1/0", "0"},
		{"an error of code", "SELECT f() / 0", "0"},
		{"what is held", "DROP TABLE t", "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Decide = gatetest.Holding("DROP TABLE") })
			b.direct(t, `CREATE TABLE t (a int); CREATE SEQUENCE s; CREATE FUNCTION f() RETURNS int VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'`)
			r, err := dialRawAs(b, t, "human-alice", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.run("INSERT INTO t VALUES (1)")
			r.flush()
			if c.between != "" {
				r.run(c.between)
				r.flush()
			}
			r.sync()
			if got := strings.TrimSpace(b.direct(t, "SELECT count(*) FROM t", "-At")); got != c.rows {
				t.Errorf("%s rows, want %s", got, c.rows)
			}
			journal := strings.Join(b.Entries(), "\n")
			if intent := strings.Contains(journal, "intent INSERT INTO t VALUES (1)"); intent != (c.rows != "0") {
				t.Errorf("journal:\n%s", journal)
			}
			if abandoned := strings.Contains(journal,
				"abandon INSERT INTO t VALUES (1)"); abandoned != (c.rows == "0") {
				t.Errorf("journal:\n%s", journal)
			}
		})
	}
}
