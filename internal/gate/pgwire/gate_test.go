package pgwire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

func code(err error) string {
	pg := (*pgconn.PgError)(nil)
	if errors.As(err, &pg) {
		return pg.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// The intent comes before the effect, the outcome after it, reads before both.
func TestJournalOfAutocommit(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, "CREATE TABLE t (a int PRIMARY KEY)")
	conn := b.connect(t, "human-alice")
	ctx := t.Context()
	var n int
	if err := conn.QueryRow(ctx, "SELECT 1").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "INSERT INTO t VALUES ($1)", 7); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "INSERT INTO t VALUES ($1)", 7); code(err) != "23505" {
		t.Fatalf("second insert: %v", err)
	}
	want := []string{
		"admit INSERT INTO t VALUES ($1)", "reads 1", "intent INSERT INTO t VALUES ($1)", "outcome done ",
		"admit INSERT INTO t VALUES ($1)", "intent INSERT INTO t VALUES ($1)", "outcome failed 23505",
	}
	got := b.Entries()
	// What was read may be recorded beside the intent, but before its effect.
	if got[1] != "reads 1" && got[2] == "reads 1" {
		got[1], got[2] = got[2], got[1]
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if o := b.Outcomes[0]; o.Rows != 1 {
		t.Errorf("outcome %+v, want one row", o)
	}
}

func TestHeldOutsideOfTransaction(t *testing.T) {
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Decide = gatetest.Holding("DROP TABLE") })
	b.direct(t, "CREATE TABLE t (a int)")
	out, err := b.psql(t, "agent-kiro", "DROP TABLE t;\nSELECT 'still here';\n")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"ERROR:  SB001: signalbox: held, needs 2 of sre: destroys a <table>",
		"DETAIL:  Hold 01HOLD, open until", "http://signalbox.test/holds/01HOLD",
		"HINT:  Wait with `signalbox hold wait 01HOLD`", "still here"} {
		if !strings.Contains(out, want) {
			t.Errorf("psql does not say %q:\n%s", want, out)
		}
	}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeCacheStatement,
		pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeDescribeExec} {
		conn := b.connect(t, "agent-kiro")
		if _, err := conn.Exec(t.Context(), "DROP TABLE t", mode); code(err) != StateHeld {
			t.Errorf("%v: %v", mode, err)
		}
		var n int
		if err := conn.QueryRow(t.Context(), "SELECT 5").Scan(&n); err != nil || n != 5 {
			t.Errorf("%v: after a refusal: %d, %v", mode, n, err)
		}
	}
	b.direct(t, "SELECT * FROM t")
}

// A refusal inside a transaction makes the backend's transaction fail too.
func TestHeldInTransaction(t *testing.T) {
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeCacheStatement,
		pgx.QueryExecModeSimpleProtocol} {
		t.Run(mode.String(), func(t *testing.T) {
			b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Decide = gatetest.Holding("DROP TABLE") })
			b.direct(t, "CREATE TABLE t (a int)")
			conn := b.connect(t, "human-alice")
			ctx := t.Context()
			tx, err := conn.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(ctx, "INSERT INTO t VALUES (1)", mode); err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(ctx, "DROP TABLE t", mode); code(err) != StateHeld {
				t.Fatalf("drop: %v", err)
			}
			if s := conn.PgConn().TxStatus(); s != 'E' {
				t.Errorf("status %c, want E", s)
			}
			if _, err := tx.Exec(ctx, "SELECT 1", mode); code(err) != "25P02" {
				t.Errorf("after the refusal: %v", err)
			}
			if err := tx.Commit(ctx); err == nil {
				t.Error("the transaction was committed")
			}
			if got := b.direct(t, "SELECT count(*) FROM t", "-At"); got != "0\n" {
				t.Errorf("rows: %s", got)
			}
			for _, e := range b.Entries() {
				if strings.HasPrefix(e, "intent") {
					t.Errorf("journal has %q", e)
				}
			}
		})
	}
}

// An explicit transaction is one intent, recorded before its COMMIT.
func TestTransactionIsOneIntent(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, "CREATE TABLE t (a int)")
	for _, actor := range []string{"human-alice", "agent-kiro"} {
		b.Clear()
		script := `BEGIN;
INSERT INTO t VALUES (1);
SAVEPOINT a;
INSERT INTO t VALUES (2);
ROLLBACK TO a;
UPDATE t SET a = 3;
COMMIT;
`
		if out, err := b.psql(t, actor, script); err != nil || out != "" {
			t.Fatalf("%v\n%s", err, out)
		}
		want := []string{
			"admit INSERT INTO t VALUES (1)", "admit INSERT INTO t VALUES (2)", "abandon INSERT INTO t VALUES (2)", "admit UPDATE t SET a = 3",
			"intent INSERT INTO t VALUES (1) | UPDATE t SET a = 3",
		}
		if actor == "agent-kiro" {
			want = append(want, "spend map[public.t:4]") // what was rolled back to the savepoint counts, and row 1 of before
		}
		want = append(want, "outcome done ")
		got := b.Entries("reads")
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", actor, d)
		}
	}
}

func TestCeilingRollsBack(t *testing.T) {
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Ceiling = 5 })
	b.direct(t, `CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES parent ON DELETE CASCADE);
INSERT INTO parent SELECT generate_series(1,10); INSERT INTO child SELECT 1 FROM generate_series(1,100);`)
	count := func() string {
		return strings.TrimSpace(b.direct(t, "SELECT (SELECT count(*) FROM parent) || '+' || (SELECT count(*) FROM child)", "-At"))
	}
	ctx := t.Context()
	cases := []struct{ name, sql, want string }{
		{"small update", "UPDATE parent SET id = id WHERE id < 4", ""},
		{"large update", "UPDATE parent SET id = id", StateHeld},
		{"one row with cascades", "DELETE FROM parent WHERE id = 1", StateHeld},
		{"hidden in a CTE", "WITH d AS (DELETE FROM child RETURNING 1) SELECT count(*) FROM d", StateHeld},
		{"in a function", "DO $$ BEGIN DELETE FROM child; END $$", StateHeld},
		{"no rows", "DELETE FROM parent WHERE id = 77", ""},
	}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec,
		pgx.QueryExecModeCacheStatement} {
		conn := b.connect(t, "agent-kiro")
		for _, c := range cases {
			if _, err := conn.Exec(ctx, c.sql, mode); code(err) != c.want {
				t.Errorf("%v, %s: %v, want %s", mode, c.name, err, c.want)
			}
			if s := conn.PgConn().TxStatus(); s != 'I' {
				t.Errorf("%v, %s: status %c", mode, c.name, s)
			}
			if got := count(); got != "10+100" {
				t.Fatalf("%v, %s: %s rows", mode, c.name, got)
			}
		}
		tx, err := conn.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := tx.Exec(ctx, "UPDATE parent SET id = id WHERE id IN (4, 5)", mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Commit(ctx); code(err) != StateHeld {
			t.Errorf("%v: commit of 6 rows: %v", mode, err)
		}
		if s := conn.PgConn().TxStatus(); s != 'I' {
			t.Errorf("%v: status %c after a refused commit", mode, s)
		}
		if _, err := conn.CopyFrom(ctx, pgx.Identifier{"child"}, []string{"id"}, pgx.CopyFromSlice(6, func(int) ([]any, error) { return []any{2}, nil })); code(err) != StateHeld {
			t.Errorf("copy of 6 rows: %v", err)
		}
		if got := count(); got != "10+100" {
			t.Fatalf("%v: %s rows", mode, got)
		}
		if n, err := conn.CopyFrom(ctx, pgx.Identifier{"child"}, []string{"id"}, pgx.CopyFromSlice(1, func(int) ([]any, error) { return []any{2}, nil })); err != nil || n != 1 {
			t.Errorf("copy of 1 row: %d, %v", n, err)
		}
		b.direct(t, "DELETE FROM child WHERE id = 2")
	}
	for _, text := range []string{"BEGIN; UPDATE parent SET id = id; COMMIT;",
		"BEGIN; UPDATE parent SET id = id; COMMIT; SELECT 1;"} {
		out, _ := run(b.psqlCommand("agent-kiro", "-c", text), "")
		if !strings.Contains(out, "SB001") {
			t.Errorf("%s: %s", text, out)
		}
	}
	if out, err := run(b.psqlCommand("agent-kiro", "-c",
		"BEGIN; UPDATE parent SET id = id WHERE id = 3; COMMIT; SELECT 'fine'"), ""); err != nil ||
		!strings.Contains(out, "fine") {
		t.Errorf("%v %s", err, out)
	}
}

// An agent's reads run READ ONLY, whatever the classifier thinks of them.
func TestAgentReadsAreReadOnly(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, `CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE SEQUENCE s`)
	conn := b.connect(t, "agent-kiro")
	ctx := t.Context()
	var on string
	if err := conn.QueryRow(ctx, "SELECT current_setting('transaction_read_only')").Scan(&on); err != nil ||
		on != "on" {
		t.Errorf("read only: %q, %v", on, err)
	}
	for _, sql := range []string{"RESET ALL", "DISCARD ALL"} {
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if err := conn.QueryRow(ctx, "SHOW transaction_read_only",
			pgx.QueryExecModeSimpleProtocol).Scan(&on); err != nil || on != "on" {
			t.Errorf("after %s: %q, %v", sql, on, err)
		}
	}
	for _, sql := range []string{"SET default_transaction_read_only = off",
		"SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "SET track_counts = off"} {
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); code(err) != StateDenied {
			t.Errorf("%s: %v", sql, err)
		}
	}
	var a int
	if err := conn.QueryRow(ctx, "SELECT a FROM t FOR UPDATE").Scan(&a); err != nil {
		t.Errorf("row lock: %v", err)
	}
	if _, err := conn.Exec(ctx, "INSERT INTO t VALUES (nextval('s'))"); err != nil {
		t.Errorf("insert: %v", err)
	}
	if _, err := conn.Exec(ctx, "VACUUM t"); err != nil {
		t.Errorf("vacuum: %v", err)
	}
	if err := conn.QueryRow(ctx, "SHOW transaction_read_only",
		pgx.QueryExecModeSimpleProtocol).Scan(&on); err != nil || on != "on" {
		t.Errorf("after writes: %q, %v", on, err)
	}
	if s := conn.PgConn().ParameterStatus("default_transaction_read_only"); s == "on" {
		t.Error("the client is told of the gate's own setting")
	}
}

// Refusals in the middle of pipelines leave both sides of the same mind.
func TestPipelines(t *testing.T) {
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Decide = gatetest.Holding("DROP TABLE") })
	b.direct(t, "CREATE TABLE t (a int)")
	ctx := t.Context()
	for _, actor := range []string{"human-alice", "agent-kiro"} {
		conn := b.connect(t, actor)
		pipe := conn.PgConn().StartPipeline(ctx)
		pipe.SendQueryParams("INSERT INTO t VALUES (1)", nil, nil, nil, nil)
		pipe.SendPipelineSync()
		pipe.SendQueryParams("INSERT INTO t VALUES (2)", nil, nil, nil, nil)
		pipe.SendQueryParams("DROP TABLE t", nil, nil, nil, nil)
		pipe.SendQueryParams("INSERT INTO t VALUES (3)", nil, nil, nil, nil)
		pipe.SendPipelineSync()
		pipe.SendQueryParams("SELECT 5", nil, nil, nil, nil)
		pipe.SendPipelineSync()
		pipe.SendQueryParams("BEGIN", nil, nil, nil, nil)
		pipe.SendQueryParams("INSERT INTO t VALUES (4)", nil, nil, nil, nil)
		pipe.SendQueryParams("COMMIT", nil, nil, nil, nil)
		pipe.SendPipelineSync()
		if err := pipe.Flush(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for {
			res, err := pipe.GetResults()
			if err != nil {
				got = append(got, code(err))
				if len(got) > 20 {
					break
				}
				continue
			}
			switch r := res.(type) {
			case *pgconn.PipelineSync:
				got = append(got, "sync")
			case *pgconn.ResultReader:
				tag, err := r.Close()
				got = append(got, tag.String()+code(err))
			case nil:
				got = append(got, "end")
			}
			if res == nil {
				break
			}
		}
		want := []string{"INSERT 0 1", "sync", "SB001", "sync", "SELECT 1", "sync", "BEGIN", "INSERT 0 1", "COMMIT",
			"sync", "end"}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", actor, d)
		}
		if err := pipe.Close(); err != nil {
			t.Error(err)
		}
		if got := b.direct(t, "SELECT a FROM t ORDER BY a", "-At"); got != "1\n4\n" {
			t.Errorf("%s: rows %q", actor, got)
		}
		b.direct(t, "TRUNCATE t")
	}
}

func TestBatchAndCopy(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, "CREATE TABLE t (a int, b text)")
	ctx := t.Context()
	for _, actor := range []string{"human-alice", "agent-kiro"} {
		conn := b.connect(t, actor)
		batch := &pgx.Batch{}
		for i := range 500 {
			batch.Queue("INSERT INTO t VALUES ($1, $2)", i, strings.Repeat("x", 3000))
		}
		batch.Queue("SELECT count(*) FROM t")
		res := conn.SendBatch(ctx, batch)
		for range 500 {
			if _, err := res.Exec(); err != nil {
				t.Fatal(err)
			}
		}
		var n int
		if err := res.QueryRow().Scan(&n); err != nil || n != 500 {
			t.Errorf("%s: %d rows, %v", actor, n, err)
		}
		if err := res.Close(); err != nil {
			t.Error(err)
		}
		rows := make([][]any, 20000)
		for i := range rows {
			rows[i] = []any{i, fmt.Sprint("row ", i)}
		}
		if n, err := conn.CopyFrom(ctx, pgx.Identifier{"t"}, []string{"a", "b"},
			pgx.CopyFromRows(rows)); err != nil || n != 20000 {
			t.Fatalf("%s: copied %d, %v", actor, n, err)
		}
		var total, bytes int
		r, err := conn.Query(ctx, "SELECT a, b, repeat('y', 100000) FROM t LIMIT 300")
		if err != nil {
			t.Fatal(err)
		}
		for r.Next() {
			var a int
			var s, y string
			if err := r.Scan(&a, &s, &y); err != nil {
				t.Fatal(err)
			}
			total++
			bytes += len(y)
		}
		if r.Err() != nil || total != 300 || bytes != 300*100000 {
			t.Errorf("%s: %d rows, %d bytes, %v", actor, total, bytes, r.Err())
		}
		b.direct(t, "TRUNCATE t")
	}
}

func TestUnavailableRefuses(t *testing.T) {
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) {
		s.Failing = fmt.Errorf("%w: disk full", interlock.ErrUnavailable)
	})
	b.direct(t, "CREATE TABLE t (a int)")
	conn := b.connect(t, "human-alice")
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec} {
		if _, err := conn.Exec(t.Context(), "INSERT INTO t VALUES (1)", mode); code(err) != StateUnavailable ||
			strings.Contains(err.Error(), "disk") {
			t.Errorf("%v: %v", mode, err)
		}
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "INSERT INTO t VALUES (1)", mode); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); code(err) != StateUnavailable {
			t.Errorf("commit: %v", err)
		}
		if s := conn.PgConn().TxStatus(); s != 'I' {
			t.Errorf("status %c", s)
		}
	}
	if got := b.direct(t, "SELECT count(*) FROM t", "-At"); got != "0\n" {
		t.Errorf("rows %s", got)
	}
}

// A client that takes its time in the middle of a COPY is not idle: nobody else
// may listen to its server.
func TestCopyAtLeisure(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, "CREATE TABLE t (a int)")
	conn := b.connect(t, "human-alice")
	from, to := io.Pipe()
	go func() {
		for row := range 3 {
			fmt.Fprintln(to, row)
			<-time.After(3 * attendEvery) // attended to, were it idle
		}
		to.Close()
	}()
	tag, err := conn.PgConn().CopyFrom(t.Context(), from, "COPY t FROM STDIN")
	if err != nil || tag.RowsAffected() != 3 {
		t.Errorf("%v, %v", tag, err)
	}
}
