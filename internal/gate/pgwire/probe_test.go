package pgwire

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
)

func TestProbe(t *testing.T) {
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) {
		s.Decide = gatetest.Holding("DROP", "DELETE", "UPDATE", "TRUNCATE")
	})
	b.direct(t, `CREATE TABLE orders (id int PRIMARY KEY, note text); INSERT INTO orders SELECT generate_series(1, 1234);
CREATE TABLE lines (id int REFERENCES orders ON DELETE CASCADE); CREATE VIEW v AS SELECT * FROM orders; ANALYZE;`)
	ctx := t.Context()
	cases := []struct {
		sql   string
		args  []any
		count int64
		facts []string
	}{
		{"DROP TABLE orders CASCADE", nil, 1300,
			[]string{"table public.orders (oid", "about 1234 rows", "holds 1234 rows now (counted)",
				"foreign key lines_id_fkey of lines (the rows stay,", "view v"}},
		{"TRUNCATE orders, lines", nil, 1300, []string{"public.lines", "public.orders"}},
		{"DELETE FROM orders WHERE id = $1", []any{7}, 1, []string{"Deletes 1 of 1234 rows of public.orders (counted)"}},
		{"DELETE FROM orders WHERE id <= $1", []any{100}, 100, []string{"Deletes 100 of 1234 rows"}},
		{"UPDATE orders SET note = 'x'", nil, 1300, []string{"Changes 1234 of 1234 rows of public.orders (counted)"}},
	}
	for _, block := range []bool{false, true} {
		for _, c := range cases {
			for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec,
				pgx.QueryExecModeCacheStatement} {
				conn := b.connect(t, "agent-kiro")
				var err error
				if block {
					tx, berr := conn.Begin(ctx)
					if berr != nil {
						t.Fatal(berr)
					}
					_, err = tx.Exec(ctx, c.sql, append([]any{mode}, c.args...)...)
				} else {
					_, err = conn.Exec(ctx, c.sql, append([]any{mode}, c.args...)...)
				}
				if code(err) != StateHeld {
					t.Fatalf("%s: %v", c.sql, err)
				}
				p := b.Probed
				if p.Err != nil {
					t.Fatalf("%s: probe: %v", c.sql, p.Err)
				}
				if n := p.Impact.Count; n < c.count*9/10 || n > c.count*11/10 || !p.Impact.Measured {
					t.Errorf("%v, %s: count %d (measured %v), want about %d", mode, c.sql, n, p.Impact.Measured,
						c.count)
				}
				facts := strings.Join(p.Impact.Facts, "\n")
				for _, f := range c.facts {
					if !strings.Contains(facts, f) {
						t.Errorf("%v, %s: no fact %q in:\n%s", mode, c.sql, f, facts)
					}
				}
				if len(p.State) < 3 {
					t.Errorf("%s: state %v", c.sql, p.State)
				}
				conn.Close(ctx)
			}
		}
	}
	// The identity is told: the same name again is not the same table.
	conn := b.connect(t, "agent-kiro")
	conn.Exec(ctx, "DROP TABLE orders CASCADE")
	before := b.Probed.State
	b.direct(t, "DROP TABLE lines; DROP VIEW v; ALTER TABLE orders RENAME TO old; CREATE TABLE orders (id int PRIMARY KEY, note text)")
	if _, err := conn.Exec(ctx, "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	again := b.connect(t, "agent-kiro")
	again.Exec(ctx, "DROP TABLE orders CASCADE")
	if d := before.Diff(b.Probed.State); d == "" {
		t.Error("another table of the same name has the same state")
	}
}

// What is approved is looked at again under a lock, in the transaction that
// acts on it.
func TestApprovedRunsUnderLock(t *testing.T) {
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Probing = true })
	b.direct(t, "CREATE TABLE t (a int); CREATE TABLE u (a int)")
	for _, actor := range []string{"human-alice", "agent-kiro"} {
		conn := b.connect(t, actor)
		for _, sql := range []string{"INSERT INTO t VALUES (1)", "ALTER TABLE t ADD COLUMN c_" + actor[:5] + " int",
			"CREATE INDEX CONCURRENTLY ON u (a)", "VACUUM u", "DELETE FROM t"} {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Errorf("%s: %s: %v", actor, sql, err)
			}
		}
	}
}
