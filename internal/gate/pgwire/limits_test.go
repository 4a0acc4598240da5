package pgwire

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
)

// What an agent may keep others waiting for is bounded by the gate itself: the
// server's own settings are the agent's to change.
func TestAgentsAreBoundedInTime(t *testing.T) {
	const unbounded = "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0"
	short := func(c *Config, _ *gatetest.Script) {
		c.Limits = Limits{Statement: 200 * time.Millisecond, Lock: 100 * time.Millisecond,
			IdleInTransaction: 100 * time.Millisecond, Transaction: time.Minute}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, set := range []string{"SELECT 1", unbounded} {
		t.Run(set, func(t *testing.T) {
			b := newTestGate(t, short)
			b.direct(t, "CREATE TABLE t (a int)")
			conn := b.connect(t, "agent-kiro", "default_query_exec_mode=simple_protocol")
			if _, err := conn.Exec(ctx, set); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(ctx, "SELECT pg_sleep(30)"); code(err) != "57014" {
				t.Errorf("a statement without end: %v", err)
			}
			holder := b.connect(t, "human-alice")
			if _, err := holder.Exec(ctx, "BEGIN; LOCK TABLE t"); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(ctx, "SELECT * FROM t"); code(err) != "55P03" && code(err) != "57014" {
				t.Errorf("a wait without end: %v", err)
			}
			holder.Exec(ctx, "ROLLBACK")
			if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
				t.Fatal(err)
			}
			_, err := conn.PgConn().Conn().Read(make([]byte, 1)) // the error comes by itself
			eventually(t, "the transaction of an agent that is silent ends", func() bool {
				return b.direct(t, "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'", "-At") == "0\n"
			})
			_ = err
			// People are not bounded so.
			human := b.connect(t, "human-alice", "default_query_exec_mode=simple_protocol")
			if _, err := human.Exec(ctx, "SELECT pg_sleep(0.5)"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAgentsTransactionIsBounded(t *testing.T) {
	b := newTestGate(t, func(c *Config, _ *gatetest.Script) { c.Limits.Transaction = 300 * time.Millisecond })
	conn := b.connect(t, "agent-kiro", "default_query_exec_mode=simple_protocol")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := conn.Exec(ctx, "BEGIN")
	for err == nil {
		_, err = conn.Exec(ctx, "SELECT 1")
	}
	if code(err) != "25P04" || !strings.Contains(err.Error(), "300ms") {
		t.Errorf("after the limit: %v", err)
	}
}

// A client that takes nothing of its answer does not keep the server's connection,
// and its locks, for good.
func TestStalledClientIsCut(t *testing.T) {
	b := newTestGate(t, func(c *Config, _ *gatetest.Script) { c.Limits.Stalled = 300 * time.Millisecond })
	r, err := dialRawAs(b, t, "human-alice", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.f.Send(&pgproto3.Query{String: "BEGIN; SELECT repeat('x', 1000000) FROM generate_series(1, 1000)"})
	if err := r.f.Flush(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the answer has begun", func() bool {
		return b.direct(t, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'BEGIN; SELECT repeat%'", "-At") == "1\n"
	})
	eventually(t, "the server's connection of a stalled client is gone", func() bool {
		return b.direct(t, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'BEGIN; SELECT repeat%'", "-At") == "0\n"
	})
}

func TestRoomOfAConnection(t *testing.T) {
	b := newTestGate(t, nil)
	r, err := dialRawAs(b, t, "human-alice", nil)
	if err != nil {
		t.Fatal(err)
	}
	big := "SELECT 1 /*" + strings.Repeat("x", 1<<20-100) + "*/"
	for i := range 7 {
		r.parse(fmt.Sprint("big", i), big)
		if got := r.sync(); got != "" {
			t.Fatalf("%d: %s", i, got)
		}
	}
	r.parse("last", "SELECT 1 /*"+strings.Repeat("x", 1<<20-100)+"*/")
	r.sync()
	r.parse("beyond", big)
	if got := r.sync(); got != "53400" {
		t.Errorf("beyond: %s", got)
	}
	r.close('S', "big1")
	r.parse("beyond", big)
	if got := r.sync(); got != "" {
		t.Errorf("after a Close: %s", got)
	}
	r.query("DEALLOCATE ALL")
	for i := range maxPrepared + 1 {
		r.parse(fmt.Sprint("s", i), "SELECT 1")
		if i%100 == 0 || i >= maxPrepared-1 {
			if got := r.sync(); (got == "53400") != (i >= maxPrepared) {
				t.Fatalf("%d: %s", i, got)
			}
		}
	}
	for i := range maxChannels + 1 {
		if got := r.query(fmt.Sprint("LISTEN c", i)); (got == "53400") != (i >= maxChannels) {
			t.Fatalf("%d: %s", i, got)
		}
	}
	r.query("UNLISTEN *")
	if got := r.query("LISTEN another"); got != "LISTEN" {
		t.Errorf("after UNLISTEN: %s", got)
	}
	if got := r.query(strings.Repeat("SELECT 1;", maxActs+1)); got != "54000" {
		t.Errorf("a long text: %s", got)
	}
}

// The gate takes a share of the server's connections, and one session a share of
// these.
func TestShareOfTheServersConnections(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, "ALTER DATABASE "+b.db.Name+" CONNECTION LIMIT 8")
	ctx := t.Context()
	for i := range 4 {
		conn, err := pgx.Connect(ctx, b.url("human-alice"))
		if err == nil {
			defer conn.Close(ctx)
		}
		if i < 3 && err != nil || i == 3 && (code(err) != "53300" || !strings.Contains(err.Error(), "limit is 3")) {
			t.Errorf("connection %d: %v", i, err)
		}
		if i == 2 {
			b.connect(t, "human-bob") // another session's share is left
		}
	}
}

// The texts that take the parser most memory, sent by all connections of a session
// at once, do not take the process down, and keep nobody else waiting.
func TestLongTextsAreParsedInTurn(t *testing.T) {
	b := newTestGate(t, nil)
	text := "SELECT 1 FROM (VALUES " + strings.Repeat("(1),", (1<<20)/4-20) + "(1)) AS v LIMIT 0"
	conns := make([]*raw, 4)
	for i := range conns {
		r, err := dialRaw(b, t, nil)
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = r
	}
	runtime.GC()
	var peak atomic.Int64
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			peak.Store(max(peak.Load(), resident(t)))
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	var work sync.WaitGroup
	for _, r := range conns {
		work.Go(func() {
			r.query(text)
		})
	}
	other := b.connect(t, "human-alice")
	for range 50 {
		if _, err := other.Exec(t.Context(), "SELECT 1"); err != nil {
			t.Error(err)
		}
	}
	work.Wait()
	close(done)
	watch.Wait()
	t.Logf("%d MiB at most", peak.Load()>>20)
	if peak.Load() > 400<<20*raceMemory {
		t.Errorf("the process took %d MiB", peak.Load()>>20)
	}
}

// resident is how much memory the process has, in bytes.
func resident(t *testing.T) int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// The server's room for locks is not one agent's.
func TestAdvisoryLocksAreBounded(t *testing.T) {
	b := newTestGate(t, nil)
	r, err := dialRaw(b, t, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxAdvisory + 1 {
		if got := r.query(fmt.Sprintf("SELECT pg_advisory_lock(%d)", i)); (got == "53400") != (i >= maxAdvisory) {
			t.Fatalf("%d: %s", i, got)
		}
	}
	r.query("SELECT pg_advisory_unlock(1)")
	if got := r.query("SELECT pg_advisory_lock(1000)"); got != "SELECT 1" {
		t.Errorf("after one was given back: %s", got)
	}
	if got := r.query("SELECT pg_advisory_unlock_all()"); got != "SELECT 1" {
		t.Fatal(got)
	}
	for i := range 3 * maxAdvisory {
		if got := r.query("BEGIN; SELECT pg_advisory_xact_lock(7); COMMIT"); !strings.HasPrefix(got, "BEGIN SELECT 1 COMMIT") {
			t.Fatalf("%d: %s", i, got)
		}
	}
	if n := b.direct(t, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", "-At"); n != "0\n" {
		t.Errorf("%s locks are held", n)
	}
}
