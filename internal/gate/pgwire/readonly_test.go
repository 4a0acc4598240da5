package pgwire

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

// An agent's reads run READ ONLY. What PostgreSQL lets pass in such a transaction
// even so is listed here, for each version that there is, tried as superuser: all of
// it is no read to the classifier, so that policy decides, or bounded by something
// that is named.
func TestWhatReadOnlyLetsPass(t *testing.T) {
	const decided = "" // it is no read: policy decides
	statements := []struct {
		sql    string
		passes bool
		bound  string // what bounds it, if it passes as a read
		old    bool   // it passes up to version 15 alone
	}{
		{"SELECT lo_create(4711)", true, decided, true},
		{"SELECT lo_from_bytea(4712, 'x')", true, decided, true},
		{"SELECT lo_put(4710, 0, 'y')", true, decided, true},
		{"SELECT lo_unlink(4710)", true, decided, true},
		{"SELECT lo_import('/etc/hostname')", true, decided, true},
		{"NOTIFY c, 'x'", true, decided, false},
		{"SELECT pg_notify('c', 'x')", true, decided, false},
		{"LISTEN c", true, "maxChannels", false},
		{"SELECT pg_logical_emit_message(false, 'a', 'b')", true, decided, false},
		{"LOCK TABLE t IN ACCESS EXCLUSIVE MODE", true, decided, false},
		{"LOCK TABLE t IN ACCESS SHARE MODE", true, "Limits.Transaction", false},
		{"SELECT pg_advisory_lock(1)", true, "Limits.Transaction", false},
		{"SELECT pg_advisory_xact_lock(1)", true, "Limits.Transaction", false},
		{"SELECT pg_sleep(0)", true, "Limits.Statement", false},
		{"ANALYZE t", true, decided, false},
		{"REINDEX TABLE t", true, decided, false},
		{"CLUSTER t USING t_pkey", true, decided, false},
		{"CHECKPOINT", true, decided, false},
		{"LOAD 'plpgsql'", true, decided, false},
		{"SELECT pg_reload_conf()", true, decided, false},
		{"SELECT pg_stat_reset()", true, decided, false},
		{"SELECT pg_switch_wal()", true, decided, false},
		{"SELECT pg_create_restore_point('a')", true, decided, false},
		{"SELECT pg_create_physical_replication_slot('a')", true, decided, false},
		{"SELECT pg_terminate_backend(0)", true, decided, false},
		{"SELECT pg_export_snapshot()", true, "Limits.Transaction", false},
		{"SELECT txid_current()", true, "an id is all that it takes", false},
		{"COPY t TO PROGRAM 'cat >/dev/null'", true, decided, false},
		{"COPY t TO '/dev/null'", true, decided, false},
		{"PREPARE TRANSACTION 'x'", true, decided, false},
		{"SET ROLE app", true, "the role's own rights", false},
		{"DO 'BEGIN END'", true, decided, false},
		{"DISCARD TEMP", true, "the session's own", false},

		{"SELECT nextval('s')", false, "", false},
		{"SELECT setval('s', 7)", false, "", false},
		{"SELECT * FROM t FOR UPDATE", false, "", false},
		{"SELECT * FROM t FOR KEY SHARE", false, "", false},
		{"INSERT INTO t VALUES (9)", false, "", false},
		{"UPDATE t SET a = 1", false, "", false},
		{"DELETE FROM t", false, "", false},
		{"MERGE INTO t USING t AS u ON t.a = u.a WHEN MATCHED THEN DELETE", false, "", false},
		{"COPY t FROM PROGRAM 'echo 5'", false, "", false},
		{"EXPLAIN ANALYZE DELETE FROM t", false, "", false},
		{"DO 'BEGIN DELETE FROM t; END'", false, "", false},
		{"TRUNCATE t", false, "", false},
		{"CREATE TABLE u (a int)", false, "", false},
		{"CREATE TEMP TABLE u (a int)", false, "", false},
		{"SELECT * INTO u FROM t", false, "", false},
		{"REFRESH MATERIALIZED VIEW m", false, "", false},
		{"COMMENT ON TABLE t IS 'x'", false, "", false},
		{"GRANT SELECT ON t TO PUBLIC", false, "", false},
		{"ALTER ROLE app SET work_mem = '1MB'", false, "", false},
		{"SECURITY LABEL ON TABLE t IS 'x'", false, "", false},
		{"CREATE EXTENSION hstore", false, "", false},
		{"IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c", false, "", false},
		{"SET LOCAL transaction_read_only = off", false, "", false}, // behind a savepoint, or after a query
	}
	for _, s := range statements {
		if !s.passes {
			continue
		}
		if read := onlyReads(s.sql); read != (s.bound != decided) {
			t.Errorf("%s: the classifier takes it for a read: %v, and it is bounded by %q", s.sql, read, s.bound)
		}
	}
	for _, version := range append([]string{""}, pgtest.Versions...) {
		t.Run("PostgreSQL "+version, func(t *testing.T) {
			t.Parallel()
			server := pgtest.New(t, pgtest.Config{Version: version,
				Settings: map[string]string{"max_prepared_transactions": "10", "wal_level": "logical"}})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			url := server.URL("postgres")
			if version == "" && major(t, server) > 15 {
				version = "newer"
			}
			for _, s := range statements {
				conn, err := pgx.Connect(ctx, url)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Exec(ctx, `BEGIN; SET LOCAL client_min_messages = error;
DROP TABLE IF EXISTS t CASCADE; CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1);
CREATE SEQUENCE IF NOT EXISTS s; CREATE MATERIALIZED VIEW IF NOT EXISTS m AS SELECT a FROM t;
SELECT lo_create(4710) WHERE NOT EXISTS (SELECT FROM pg_largeobject_metadata WHERE oid = 4710); COMMIT`,
					pgx.QueryExecModeSimpleProtocol); err != nil {
					t.Fatal(err)
				}
				_, err = conn.Exec(ctx, "BEGIN READ ONLY; SELECT 1; "+s.sql, pgx.QueryExecModeSimpleProtocol)
				if passes := err == nil; passes != (s.passes && !(s.old && version != "")) {
					t.Errorf("%s: passes: %v (%v)", s.sql, passes, err)
				}
				conn.Exec(ctx, "ROLLBACK")
				conn.Exec(ctx, "ROLLBACK PREPARED 'x'")
				conn.Exec(ctx, "SELECT pg_drop_replication_slot('a')")
				conn.Close(ctx)
			}
		})
	}
}

// onlyReads reports whether an agent's statement would be forwarded as a read.
func onlyReads(text string) bool {
	for _, a := range sql.Classify(text, nil).Actions() {
		quiet := a.Has(signalbox.TraitSession)
		if a.Verb != signalbox.Read && !quiet || strings.HasPrefix(a.Native, "PREPARE TRANSACTION") {
			return false
		}
	}
	return true
}

func major(t *testing.T, server *pgtest.Server) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int / 10000").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
