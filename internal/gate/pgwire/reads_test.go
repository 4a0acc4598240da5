package pgwire

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

func TestReadsAreSummed(t *testing.T) {
	b := newTestGate(t, nil)
	conn := b.connect(t, "human-alice")
	ctx := t.Context()
	for i := range 10 {
		var n int
		if err := conn.QueryRow(ctx, "SELECT generate_series(1, $1::int) LIMIT 1", i+1).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(ctx, "SELECT generate_series(1, 5)", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(2 * time.Second)
	var statements, rows int64
	for statements < 11 && time.Now().Before(deadline) {
		statements, rows = 0, 0
		b.Mu.Lock()
		for _, s := range b.Sums {
			statements += s.Statements
			rows += s.Rows
			if s.Hash.IsZero() || len(s.Shapes) == 0 || s.Session != "human-alice" || s.Actor.Kind != signalbox.Human {
				t.Errorf("summary %+v", s)
			}
		}
		b.Mu.Unlock()
	}
	if statements != 11 || rows != 15 {
		t.Errorf("%d statements with %d rows, want 11 with 15", statements, rows)
	}
}

// What was read goes into the log beside the write that was refused, and not
// with it; and whoever waits for those reads waits for that.
func TestReadsOutliveTheirWrite(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, "CREATE TABLE t (a int)")
	conn := b.connect(t, "human-alice")
	ctx := t.Context()
	if _, err := conn.Exec(ctx, "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	refusal := error(&interlock.DeniedError{Verdict: signalbox.Verdict{Decision: signalbox.Deny,
		Reason: "the world changed"}})
	b.RefuseNext.Store(&refusal)
	if _, err := conn.Exec(ctx, "INSERT INTO t VALUES (1)"); code(err) != StateDenied {
		t.Fatalf("refused write: %v", err)
	}
	if _, err := conn.Exec(ctx, "INSERT INTO t VALUES (2)"); err != nil {
		t.Fatal(err)
	}
	got := b.Entries()
	if reads, outcome := slices.Index(got, "reads 1"), slices.Index(got, "outcome done "); reads < 0 ||
		outcome < reads {
		t.Errorf("journal: %q", got)
	}

	// Another's write has the reads aboard, and fails while we wait for them.
	b.Clear()
	if _, err := conn.Exec(ctx, "SELECT 2"); err != nil {
		t.Fatal(err)
	}
	at := b.gate.sessions.Known("human-alice")
	defer b.gate.sessions.Leave(at, false)
	taken := at.Reads.Take()
	if len(taken.Sums) != 1 {
		t.Fatalf("taken: %v", taken.Sums)
	}
	recorded := make(chan error, 1)
	wait := at.Reads.Flush()
	go func() { recorded <- wait() }()
	taken.Done(refusal)
	if err := <-recorded; err != nil {
		t.Fatal(err)
	}
	if got := b.Entries(); !slices.Contains(got, "reads 1") {
		t.Errorf("journal: %q", got)
	}
}
