package pgwire

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
)

// TestP4WhatChangedMeanwhileIsNotApproved: between the look that admits an approved
// statement and its execution the world changes. It must not run, in a transaction
// of the client's or outside, by either protocol.
func TestP4WhatChangedMeanwhileIsNotApproved(t *testing.T) {
	changes := map[string]string{
		"another table of the name": "ALTER TABLE t RENAME TO old; CREATE TABLE t (a int)",
		"more rows":                 "INSERT INTO t SELECT generate_series(1, 1000)",
		"a dependant":               "CREATE VIEW v AS SELECT * FROM t",
		"another column":            "ALTER TABLE t ADD COLUMN b int",
		"another owner":             "ALTER TABLE t OWNER TO pg_database_owner",
	}
	for name, change := range changes {
		for _, block := range []bool{true, false} {
			for _, actor := range []string{"human-alice", "agent-kiro"} {
				for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec} {
					b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Probing = true })
					b.direct(t, "CREATE TABLE t (a int); INSERT INTO t VALUES (1); ANALYZE")
					conn := b.connect(t, actor)
					if block {
						if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
							t.Fatal(err)
						}
					}
					changed := false
					b.Meanwhile = func() {
						if !changed {
							changed = true
							b.direct(t, change)
						}
					}
					_, err := conn.Exec(t.Context(), "TRUNCATE t", mode)
					if code(err) != StateHeld || !changed {
						t.Errorf("%s, %s, block %t, %v: %v, want it held", name, actor, block, mode, err)
					}
					if block {
						if journal := strings.Join(b.Entries(), "\n"); !strings.Contains(journal,
							"dead TRUNCATE t") || strings.Contains(journal, "intent") {
							t.Errorf("%s, %s, %v: %s", name, actor, mode, journal)
						}
						if tag, err := conn.Exec(t.Context(), "COMMIT"); err != nil || tag.String() != "ROLLBACK" {
							t.Errorf("the transaction goes on: %s, %v", tag, err)
						}
					}
					if left := b.direct(t, "SELECT count(*) > 0 OR '"+name+"' LIKE 'another table%' FROM t",
						"-At"); left != "t\n" {
						t.Errorf("%s, %s, block %t: truncated", name, actor, block)
					}
					conn.Close(t.Context())
				}
			}
		}
	}
}

// TestLockOutlivesTheStatement: what an approved statement in a transaction acts on
// stays locked to the transaction's end.
func TestLockOutlivesTheStatement(t *testing.T) {
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Probing = true })
	b.direct(t, "CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE TABLE u (a int)")
	conn := b.connect(t, "human-alice")
	for _, sql := range []string{"BEGIN", "DELETE FROM t WHERE a = 1"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if locks := b.direct(t, "SELECT mode FROM pg_locks WHERE relation = 't'::regclass AND granted ORDER BY 1",
		"-At"); !strings.Contains(locks, "RowExclusiveLock") {
		t.Errorf("locks: %s", locks)
	}
	if _, err := conn.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	// What cannot be locked is refused, and the approval is not spent on it.
	b.Clear()
	for _, sql := range []string{"BEGIN", "SET LOCAL lock_timeout = '50ms'"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	other, err := pgx.Connect(t.Context(), b.db.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(t.Context())
	if _, err := other.Exec(t.Context(), "BEGIN; LOCK TABLE u IN ROW EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), "DROP TABLE u")
	if code(err) != StateUnavailable || !strings.Contains(err.Error(), "cannot be locked") {
		t.Errorf("got %v", err)
	}
	if journal := strings.Join(b.Entries(), "\n"); strings.Contains(journal, "dead") ||
		!strings.Contains(journal, "abandon DROP TABLE u") {
		t.Error(journal)
	}
	if tag, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil || tag.String() != "ROLLBACK" {
		t.Errorf("%s, %v", tag, err)
	}
}
