package pgwire

import (
	"strings"
	"testing"
)

// The same script gives the same bytes direct and through the gate.
func TestPsqlSameBytes(t *testing.T) {
	b := newTestGate(t, nil)
	scripts := map[string]string{
		"ddl and describe": `CREATE TABLE orders (id int PRIMARY KEY, note text NOT NULL DEFAULT 'x', at timestamptz);
CREATE VIEW v AS SELECT id FROM orders; CREATE INDEX ON orders (note);
\d orders
\d+ v
\dt
INSERT INTO orders VALUES (1, 'a', '2020-01-01'), (2, 'b', NULL);
SELECT * FROM orders;
SELECT * FROM v \gdesc
DROP TABLE orders CASCADE;`,
		"errors": `SELECT 1/0;
SELCT 1;
SELECT * FROM nowhere;
SELECT 1 +;
SELECT 'unfinished;
;
SELECT 1; SELECT 2/0; SELECT 3;
SELECT 1 \; SELECT 2/0 \; SELECT 3;
SELECT 4;`,
		"transactions": `CREATE TABLE t (a int);
BEGIN; INSERT INTO t VALUES (1); COMMIT;
BEGIN; INSERT INTO t VALUES (2); ROLLBACK;
BEGIN; INSERT INTO t VALUES (3); SAVEPOINT s; INSERT INTO t VALUES (4); ROLLBACK TO s; INSERT INTO t VALUES (5); RELEASE s; COMMIT AND CHAIN; INSERT INTO t VALUES (6); COMMIT;
BEGIN; SELECT 1/0; SELECT 1; COMMIT; SELECT * FROM t ORDER BY a;
BEGIN \; INSERT INTO t VALUES (7) \; COMMIT \; INSERT INTO t VALUES (8) \; SELECT 1/0;
SELECT * FROM t ORDER BY a;
COMMIT; ROLLBACK; BEGIN; BEGIN; END;
CREATE TABLE d (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);
BEGIN; INSERT INTO d VALUES (1), (1); COMMIT; SELECT * FROM d;
INSERT INTO d VALUES (2), (2);
START TRANSACTION ISOLATION LEVEL SERIALIZABLE; SHOW transaction_isolation; COMMIT;
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ; SHOW transaction_isolation;
DROP TABLE t, d;`,
		"copy": `CREATE TABLE c (a int, b text);
COPY c FROM STDIN;
1	one
2	two
\.
COPY c FROM STDIN;
x	bad
3	three
\.
COPY c TO STDOUT;
COPY c (a) TO STDOUT \; SELECT 5;
\copy c to '/dev/stdout' csv
BEGIN;
COPY c FROM STDIN;
9	nine
\.
ROLLBACK;
SELECT count(*) FROM c;
DROP TABLE c;`,
		"copy errors, pieces of transactions": `CREATE TABLE hm (a int, b int);
COPY hm FROM STDIN WITH (HEADER match);
x	y
1	2
\.
SELECT 'after';
SELECT 0 \; COPY hm TO STDOUT \; SELECT 1;
SELECT 0 \; COPY hm FROM STDIN \; COPY hm FROM STDIN \; SELECT 1;
1	1
\.
2	2
\.
COPY hm FROM STDIN;
1	1	1
2	2
\.
SELECT * FROM hm; DROP TABLE hm;
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; BEGIN; SET TRANSACTION READ WRITE; COMMIT; SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE;
BEGIN; SET TRANSACTION READ ONLY; SET TRANSACTION READ WRITE; COMMIT;
BEGIN; SET search_path TO pg_temp; CREATE TABLE x(a int); ROLLBACK;`,
		"prepare and cursors": `CREATE TABLE p (a int); PREPARE ins AS INSERT INTO p VALUES ($1); EXECUTE ins(1); EXECUTE ins(2);
PREPARE q AS SELECT * FROM p; EXECUTE q; DEALLOCATE q; EXECUTE q;
BEGIN; DECLARE cur CURSOR FOR SELECT generate_series(1,5); FETCH 2 FROM cur; MOVE 1 FROM cur; FETCH ALL FROM cur; CLOSE cur; COMMIT;
DISCARD ALL; EXECUTE ins(3); DROP TABLE p;`,
		"set, notices, notify": `SET client_min_messages = debug1; RESET client_min_messages; SET TimeZone = 'Asia/Tokyo'; SHOW TimeZone; SELECT '2020-01-01 00:00+00'::timestamptz;
DO $$ BEGIN RAISE NOTICE 'hello %', 1; RAISE WARNING 'w'; END $$;
CREATE TEMP TABLE tt (a int); INSERT INTO tt VALUES (1); SELECT * FROM tt; DROP TABLE IF EXISTS nothing_here;
SET search_path = pg_catalog; SHOW search_path; RESET ALL; SHOW search_path;
LISTEN ch; SELECT 1; UNLISTEN ch; VACUUM; EXPLAIN (COSTS OFF) SELECT 1;
SELECT generate_series(1, 3000);`,
	}
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			want, _ := run(b.db.Command(t.Context(), b.db.Name, "psql", "-X", "-a", "-v", "VERBOSITY=verbose"), script)
			cmd := b.psqlCommand("human-alice", "-a")
			cmd.Args = strings.Fields(strings.Replace(strings.Join(cmd.Args, " "), " -q ", " ", 1))
			got, _ := run(cmd, script)
			if got != want {
				t.Errorf("through the gate:\n%s\ndirect:\n%s", got, want)
			}
		})
	}
}
