package pgwire

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
)

// TestExactCount asks for counts where statistics say something else, by every
// protocol, in a transaction and outside; nothing may have changed afterwards.
func TestExactCount(t *testing.T) {
	b := newTestGate(t, func(c *Config, s *gatetest.Script) {
		c.ExactCounts = true
		s.Decide = gatetest.Holding("DROP", "DELETE", "UPDATE", "INSERT", "TRUNCATE")
	})
	b.direct(t, `CREATE TABLE orders (id int PRIMARY KEY, note text); ANALYZE;
INSERT INTO orders SELECT n, 'note ' || n FROM generate_series(1, 1234) n;
CREATE TABLE lines (id bigint, order_id int REFERENCES orders ON DELETE CASCADE); INSERT INTO lines SELECT n, 1 + n % 50 FROM generate_series(1, 1000) n;
CREATE SEQUENCE called;
CREATE FUNCTION spy(int) RETURNS bool LANGUAGE sql AS $$SELECT nextval('called') > 0$$`)
	dump := func() string {
		return b.direct(t, "SELECT md5(string_agg(o::text, ',' ORDER BY id)) FROM orders o; SELECT count(*) FROM lines; SELECT is_called FROM called", "-At")
	}
	before := dump()
	ctx := t.Context()
	for _, c := range []struct {
		sql   string
		args  []any
		count int64 // <0: an estimate
		fact  string
	}{
		{"DELETE FROM orders WHERE id <= $1", []any{1001}, 1001, "Deletes 1001 of 1234 rows of public.orders (counted)"},
		{"UPDATE orders SET note = $1 WHERE id > $2", []any{"x", 1200}, 34, "Changes 34 of 1234 rows"},
		{"UPDATE orders SET note = $1 WHERE id > $2 AND note LIKE $3", []any{"x", 1200, "%121%"}, 10, "Changes 10 of 1234 rows"},
		{"UPDATE orders o SET note = 'x' FROM lines l WHERE l.order_id = o.id AND l.id > $1", []any{int64(0)}, 50,
			"Changes 50 of 1234 rows"},
		{"DELETE FROM orders WHERE id = ANY ($1)", []any{[]int32{1, 2, 3, 9999}}, 3, "Deletes 3 of 1234 rows"},
		{"WITH few AS (SELECT id FROM orders LIMIT 5) DELETE FROM orders WHERE id IN (SELECT id FROM few)", nil, 5,
			"Deletes 5 of 1234 rows"},
		{"INSERT INTO lines SELECT id, id FROM orders WHERE id % 2 = 0", nil, 617, "Adds 617 rows to public.lines (counted)"},
		{"UPDATE orders SET note = 'x'", nil, 1234, "Changes 1234 of 1234 rows of public.orders (counted)"},
		{"TRUNCATE orders, lines", nil, 2234, "public.lines holds 1000 rows now (counted)"},
		{"DELETE FROM orders WHERE spy(id)", nil, -1, "Not measured: it calls code of unknown effect"},
		{"DELETE FROM orders WHERE 1 / (id - 7) = 0", nil, -1, "(the planner's estimate)"},
	} {
		for _, block := range []bool{false, true} {
			for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec,
				pgx.QueryExecModeCacheStatement} {
				conn := b.connect(t, "agent-kiro")
				if block {
					if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := conn.Exec(ctx, c.sql, append([]any{mode}, c.args...)...); code(err) != StateHeld {
					t.Fatalf("%s: %v", c.sql, err)
				}
				p := b.Probed
				if p.Err != nil {
					t.Fatalf("%s: probe: %v", c.sql, p.Err)
				}
				if c.count >= 0 && p.Impact.Count != c.count || !p.Impact.Measured &&
					!strings.HasPrefix(c.fact, "Not measured") {
					t.Errorf("%v, block %t, %s: count %d, want %d", mode, block, c.sql, p.Impact.Count, c.count)
				}
				if facts := strings.Join(p.Impact.Facts, "\n"); !strings.Contains(facts, c.fact) {
					t.Errorf("%v, block %t, %s: no fact %q in:\n%s", mode, block, c.sql, c.fact, facts)
				}
				if block {
					if tag, err := conn.Exec(ctx, "COMMIT"); err != nil || tag.String() != "ROLLBACK" {
						t.Errorf("%s: the transaction ended by %s, %v", c.sql, tag, err)
					}
				}
				conn.Close(ctx)
			}
		}
	}
	if after := dump(); after != before {
		t.Errorf("counting changed something: %s, then %s", before, after)
	}
}

// TestExactCountIsTheCeiling: what was counted is approved, and not a row more.
func TestExactCountIsTheCeiling(t *testing.T) {
	b := newTestGate(t, func(c *Config, s *gatetest.Script) { c.ExactCounts, s.Probing = true, true })
	b.direct(t, "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000)")
	conn := b.connect(t, "agent-kiro")
	remove := func() error {
		return pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "DELETE FROM t WHERE a > 10")
			return err
		})
	}
	b.Meanwhile = func() { b.Meanwhile = nil; b.direct(t, "INSERT INTO t VALUES (1001)") }
	if err := remove(); code(err) != StateHeld ||
		!strings.Contains(strings.Join(b.Entries(), "\n"), "approved for 990, now it would touch 991") {
		t.Errorf("one row more: %v, %q", err, b.Entries())
	}
	b.Mu.Lock()
	b.Decide = nil
	b.Mu.Unlock()
	b.Meanwhile = func() { b.Meanwhile = nil; b.direct(t, "DELETE FROM t WHERE a = 1001") }
	if err := remove(); err != nil {
		t.Errorf("one row less: %v", err)
	}
	if left := b.direct(t, "SELECT count(*) FROM t", "-At"); left != "10\n" {
		t.Errorf("%s rows left", left)
	}
}
