package explain_test

import (
	"strings"
	"testing"
)

// TestAlternativesPass: each alternative that an agent is told passes itself, with all
// the steps that it names.
func TestAlternativesPass(t *testing.T) {
	c := config(t)
	for _, x := range []struct {
		held, says string
		passes     []string
	}{
		{"CREATE INDEX i ON orders (note)", "CREATE INDEX CONCURRENTLY", []string{"CREATE INDEX CONCURRENTLY i ON orders (note)"}},
		{"CREATE UNIQUE INDEX i ON orders (note)", "CREATE UNIQUE INDEX CONCURRENTLY",
			[]string{"CREATE UNIQUE INDEX CONCURRENTLY i ON orders (note)"}},
		{"REINDEX INDEX i", "REINDEX INDEX CONCURRENTLY", []string{"REINDEX INDEX CONCURRENTLY i"}},
		{"REINDEX TABLE orders", "REINDEX TABLE CONCURRENTLY", []string{"REINDEX TABLE CONCURRENTLY orders"}},
		{"REFRESH MATERIALIZED VIEW v", "REFRESH MATERIALIZED VIEW CONCURRENTLY",
			[]string{"REFRESH MATERIALIZED VIEW CONCURRENTLY v"}},
		{"VACUUM FULL orders", "plain VACUUM", []string{"VACUUM orders"}},
		{"ALTER TABLE orders ADD COLUMN x uuid DEFAULT gen_random_uuid()", "ADD COLUMN without the default",
			[]string{"ALTER TABLE orders ADD COLUMN x uuid",
				"ALTER TABLE orders ALTER COLUMN x SET DEFAULT gen_random_uuid()",
				"UPDATE orders SET x = gen_random_uuid() WHERE id IN (1, 2, 3)"}},
		{"ALTER TABLE orders ADD COLUMN x int NOT NULL", "with a constant DEFAULT",
			[]string{"ALTER TABLE orders ADD COLUMN x int NOT NULL DEFAULT 0", "ALTER TABLE orders ADD COLUMN y int"}},
		{"ALTER TABLE orders ADD COLUMN x int UNIQUE", "UNIQUE USING INDEX",
			[]string{"ALTER TABLE orders ADD COLUMN x int", "CREATE UNIQUE INDEX CONCURRENTLY i ON orders (x)",
				"ALTER TABLE orders ADD CONSTRAINT u UNIQUE USING INDEX i"}},
		{"ALTER TABLE orders ADD CONSTRAINT u UNIQUE (x)", "UNIQUE USING INDEX",
			[]string{"CREATE UNIQUE INDEX CONCURRENTLY i ON orders (x)",
				"ALTER TABLE orders ADD CONSTRAINT u UNIQUE USING INDEX i"}},
		{"ALTER TABLE orders ADD CONSTRAINT c CHECK (n > 0)", "CHECK … NOT VALID",
			[]string{"ALTER TABLE orders ADD CONSTRAINT c CHECK (n > 0) NOT VALID",
				"ALTER TABLE orders VALIDATE CONSTRAINT c"}},
		{"ALTER TABLE orders ADD FOREIGN KEY (c) REFERENCES customers (id)", "FOREIGN KEY … NOT VALID",
			[]string{"ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (c) REFERENCES customers (id) NOT VALID",
				"ALTER TABLE orders VALIDATE CONSTRAINT f"}},
		{"CREATE OR REPLACE VIEW v AS SELECT 1 AS a", "CREATE VIEW under a new name",
			[]string{"CREATE VIEW v2 AS SELECT 1 AS a"}},
		{"UPDATE orders SET note = 'x'", "an UPDATE of a few rows by key",
			[]string{"UPDATE orders SET note = 'x' WHERE id IN (1, 2, 3)",
				"UPDATE orders SET note = 'x' WHERE id IN (SELECT id FROM orders WHERE note IS NULL LIMIT 10)"}},
		{"UPDATE orders SET note = 'x' WHERE made < now()", "an UPDATE of a few rows by key", nil},
		{"UPDATE orders SET note = 'x' WHERE id BETWEEN 1 AND 100", "an UPDATE of a few rows by key", nil},
		{"DELETE FROM orders WHERE made < now()", "a DELETE of one row by its key",
			[]string{"DELETE FROM orders WHERE id = 7"}},
		{"INSERT INTO orders SELECT * FROM old", "an INSERT of a few rows",
			[]string{"INSERT INTO orders VALUES (1), (2)", "INSERT INTO orders SELECT * FROM old LIMIT 10"}},
		{"LOCK TABLE orders IN ACCESS EXCLUSIVE MODE", "SELECT … FOR UPDATE",
			[]string{"SELECT * FROM orders WHERE id = 1 FOR UPDATE"}},
		// Nothing that would pass is known, or the way there is not the delivered policies' to give.
		{"DROP TABLE orders", "", nil},
		{"TRUNCATE orders", "", nil},
		{"DELETE FROM audit_log", "", nil},
	} {
		answers, _ := run(t, c, line(x.held)+"\n")
		got := answers[0].Results[0]
		_, says, offered := strings.Cut(got.Reason, "; instead, this passes: ")
		if got.Verdict != "hold" || !strings.Contains(says, x.says) || offered != (x.says != "") {
			t.Errorf("%s: %s, %s", x.held, got.Verdict, got.Reason)
		}
		if reasons, _, _ := strings.Cut(got.Reason, "; instead"); strings.Count(reasons, "; ") > 1 {
			t.Errorf("%s: more than two reasons: %s", x.held, reasons)
		}
		for _, passes := range x.passes {
			answers, _ := run(t, c, line(passes)+"\n")
			if got := answers[0].Results[0]; got.Verdict != "allow" {
				t.Errorf("%s: offered %s, which is not let through: %s, %s", x.held, passes, got.Verdict, got.Reason)
			}
		}
	}
}
