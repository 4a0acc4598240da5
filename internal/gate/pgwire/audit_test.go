package pgwire

import (
	"strings"
	"testing"
)

// What runs along with a statement and is seen by no classifier: the catalog does
// not tell of it, or the gate does not ask. Whatever it writes is found before the
// COMMIT, undone, and put before people. The stand-in for interlock allows
// everything.
func TestWhatNothingAdmittedExplainsIsUndone(t *testing.T) {
	const evil = `CREATE TABLE victim (id int); INSERT INTO victim SELECT generate_series(1, 500);
CREATE TABLE plain (id int, n int);
CREATE FUNCTION evil() RETURNS int LANGUAGE plpgsql AS 'BEGIN DELETE FROM victim; RETURN 1; END';
CREATE FUNCTION evil_immutable(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN evil(); END';
CREATE FUNCTION evil_object() RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM lo_create(4711); RETURN 1; END';
CREATE FUNCTION evil_event() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM victim; END';
CREATE FUNCTION evil_catalog() RETURNS int LANGUAGE plpgsql
 AS 'BEGIN COMMENT ON TABLE victim IS ''was here''; RETURN 1; END';
`
	for name, c := range map[string]struct{ setup, play string }{
		"a default": {"ALTER TABLE plain ALTER n SET DEFAULT evil()", "INSERT INTO plain (id) VALUES (1)"},
		"a default, in a block": {"ALTER TABLE plain ALTER n SET DEFAULT evil()",
			"BEGIN; INSERT INTO plain (id) VALUES (1); COMMIT"},
		"a default, behind a savepoint": {"ALTER TABLE plain ALTER n SET DEFAULT evil()",
			"BEGIN; SAVEPOINT a; DELETE FROM victim WHERE id = 1; ROLLBACK TO a; INSERT INTO plain (id) VALUES (1); COMMIT"},
		"an index's expression": {"CREATE INDEX ON plain (evil_immutable(id))", "INSERT INTO plain VALUES (1, 1)"},
		"a check":               {"ALTER TABLE plain ADD CHECK (evil() = 1)", "INSERT INTO plain VALUES (1, 1)"},
		"a generated column": {"ALTER TABLE plain ADD g int GENERATED ALWAYS AS (evil_immutable(id)) STORED",
			"INSERT INTO plain VALUES (1, 1)"},
		"an event trigger": {"CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION evil_event()",
			"CREATE TABLE another (id int)"},
		"a large object": {"ALTER TABLE plain ALTER n SET DEFAULT evil_object()", "INSERT INTO plain (id) VALUES (1)"},
		"a comment":      {"ALTER TABLE plain ALTER n SET DEFAULT evil_catalog()", "INSERT INTO plain (id) VALUES (1)"},
		"a partition's key": {"CREATE TABLE parts (id int) PARTITION BY RANGE (evil_immutable(id)); CREATE TABLE part PARTITION OF parts DEFAULT",
			"INSERT INTO parts VALUES (7)"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestGate(t, nil)
			b.direct(t, evil+c.setup)
			before := b.picture(t)
			out, err := b.psql(t, "agent-kiro", c.play)
			if err != nil && !strings.Contains(out, "signalbox") {
				t.Logf("psql: %v", err)
			}
			if !strings.Contains(out, "nothing admitted") {
				t.Errorf("the client is told: %s", out)
			}
			if after := b.picture(t); after != before {
				t.Errorf("before: %s\nafter:  %s", before, after)
			}
		})
	}
}

// picture tells what the attacks above are after.
func (b *testGate) picture(t *testing.T) string {
	t.Helper()
	return b.direct(t, `SELECT (SELECT count(*) FROM victim), (SELECT count(*) FROM plain),
 (SELECT count(*) FROM pg_largeobject_metadata), obj_description('victim'::regclass), to_regclass('another')`, "-At")
}

// What is admitted, and what comes with it, is explained: nothing of it is an alarm.
func TestWhatIsAdmittedIsExplained(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, `CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE grandchild (child int REFERENCES child ON DELETE SET NULL);
CREATE TABLE parts (id int, v text) PARTITION BY LIST (id);
CREATE TABLE part1 PARTITION OF parts FOR VALUES IN (1); CREATE TABLE part2 PARTITION OF parts FOR VALUES IN (2);
CREATE TABLE base (id int); CREATE TABLE heir () INHERITS (base); CREATE VIEW look AS SELECT * FROM base;
CREATE TABLE audited (id int); CREATE TABLE trail (id int);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO trail VALUES (NEW.id); RETURN NEW; END';
CREATE TRIGGER note AFTER INSERT ON audited FOR EACH ROW EXECUTE FUNCTION note();
CREATE TABLE ruled (id int); CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO trail VALUES (NEW.id);
CREATE MATERIALIZED VIEW kept AS SELECT * FROM parent; CREATE UNIQUE INDEX ON kept (id);
INSERT INTO parent SELECT generate_series(1, 9); INSERT INTO child SELECT g, g FROM generate_series(1, 9) g;
INSERT INTO grandchild SELECT generate_series(1, 9); INSERT INTO base VALUES (1); INSERT INTO heir VALUES (1);
CREATE SEQUENCE numbers; CREATE TABLE serial (id serial PRIMARY KEY, long text);`)
	for _, text := range []string{
		"DELETE FROM parent WHERE id = 1",
		"UPDATE parent SET id = 20 WHERE id = 2",
		"INSERT INTO parts VALUES (1, 'a'), (2, 'b')",
		"UPDATE parts SET id = 2 WHERE id = 1",
		"UPDATE base SET id = 2",
		"UPDATE look SET id = 3",
		"INSERT INTO audited VALUES (1)",
		"INSERT INTO ruled VALUES (1)",
		"INSERT INTO serial (long) VALUES (repeat('x', 100000))",
		"SELECT nextval('numbers')",
		"WITH gone AS (DELETE FROM parent WHERE id = 3 RETURNING id) INSERT INTO serial (long) SELECT id FROM gone",
		"BEGIN; SAVEPOINT a; INSERT INTO base VALUES (7); ROLLBACK TO a; INSERT INTO audited VALUES (2); COMMIT",
		"BEGIN; CREATE TEMP TABLE t AS SELECT * FROM parent; INSERT INTO t VALUES (99); DROP TABLE t; COMMIT",
		"BEGIN; ALTER TABLE child ADD COLUMN note text; UPDATE child SET note = 'x' WHERE id = 4; COMMIT",
		"BEGIN; ALTER TABLE child RENAME TO kid; DELETE FROM kid WHERE id = 5; COMMIT",
		"CREATE TABLE made AS SELECT * FROM parent", "SELECT * INTO made2 FROM parent",
		"BEGIN; CREATE TABLE made3 (id int REFERENCES parent); INSERT INTO made3 VALUES (6); COMMIT",
		"TRUNCATE made", "DROP TABLE made", "COMMENT ON TABLE parent IS 'x'", "ANALYZE parent",
		"REFRESH MATERIALIZED VIEW kept", "REFRESH MATERIALIZED VIEW CONCURRENTLY kept",
		"CREATE INDEX ON base (id)", "ALTER TABLE base ADD CONSTRAINT k CHECK (id > 0) NOT VALID",
		"ALTER TABLE parts DETACH PARTITION part2", "ALTER TABLE parts ATTACH PARTITION part2 FOR VALUES IN (2)",
		"SELECT lo_create(4712)", "SELECT lo_put(4712, 0, 'abc')", "SELECT lo_unlink(4712)",
		"SELECT * FROM base FOR UPDATE", "BEGIN; SELECT * FROM base FOR UPDATE; UPDATE base SET id = 9; COMMIT",
		"COPY base FROM STDIN;\n1\n2\n\\.\n",
		"MERGE INTO base USING parent p ON base.id = p.id WHEN NOT MATCHED THEN INSERT VALUES (p.id)",
		"INSERT INTO parent VALUES (30) ON CONFLICT (id) DO UPDATE SET id = 31",
		"DO $$ BEGIN DELETE FROM trail; END $$",
		"BEGIN; DO $$ BEGIN INSERT INTO trail VALUES (1); END $$; INSERT INTO base VALUES (1); COMMIT",
		"BEGIN; LOCK TABLE base; COMMIT", "NOTIFY c, 'x'", "GRANT SELECT ON base TO CURRENT_USER",
		"CREATE TYPE mood AS ENUM ('a')", "ALTER TYPE mood ADD VALUE 'b'", "CREATE SCHEMA s", "DROP SCHEMA s",
		"SET LOCAL work_mem = '8MB'", "EXPLAIN ANALYZE UPDATE base SET id = 4", "CLUSTER serial USING serial_pkey",
		"PREPARE q AS INSERT INTO base VALUES (1); EXECUTE q", "BEGIN; DECLARE c CURSOR FOR SELECT * FROM base; FETCH c; COMMIT",
	} {
		out, err := b.psql(t, "agent-kiro", text, "-v", "ON_ERROR_STOP=1")
		if err != nil || strings.Contains(out, "ERROR") {
			t.Errorf("%s: %v\n%s", text, err, out)
		}
	}
}
