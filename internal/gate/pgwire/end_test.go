package pgwire

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
)

func TestListenReachesIdleClient(t *testing.T) {
	b := newTestGate(t, nil)
	conn := b.connect(t, "human-alice")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := conn.Exec(ctx, "LISTEN news"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		b.direct(t, fmt.Sprintf("NOTIFY news, '%d'", i))
		n, err := conn.WaitForNotification(ctx)
		if err != nil || n.Payload != fmt.Sprint(i) {
			t.Fatalf("notification %d: %+v, %v", i, n, err)
		}
		var one int
		if err := conn.QueryRow(ctx, "SELECT 1").Scan(&one); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCancelReachesTheRightBackend(t *testing.T) {
	b := newTestGate(t, nil)
	bystander := b.connect(t, "human-bob")
	slow := make(chan error, 1)
	go func() {
		_, err := bystander.Exec(t.Context(), "SELECT pg_sleep(1.5)")
		slow <- err
	}()
	conn := b.connect(t, "human-alice")
	errs := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), "SELECT pg_sleep(20)")
		errs <- err
	}()
	deadline := time.Now().Add(10 * time.Second)
	for {
		if time.Now().After(deadline) {
			t.Fatal("not cancelled")
		}
		if err := conn.PgConn().CancelRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-errs:
			if code(err) != "57014" {
				t.Errorf("cancelled query: %v", err)
			}
			if err := <-slow; err != nil {
				t.Errorf("bystander: %v", err)
			}
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestHaltCutsWithinASecond(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, "CREATE TABLE t (a int)")
	idle := b.connect(t, "human-alice")
	open := b.connect(t, "human-alice")
	running := b.connect(t, "human-alice")
	ctx := t.Context()
	tx, err := open.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 1)
	began := make(chan struct{})
	go func() {
		close(began)
		_, err := running.Exec(ctx, "SELECT pg_sleep(30)")
		errs <- err
	}()
	<-began
	b.running(t, "pg_sleep(30)")
	start := time.Now()
	b.Halt()
	if err := <-errs; code(err) != "57P01" || !strings.Contains(err.Error(), "halted by bob") {
		t.Errorf("running: %v", err)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("running statement ended after %v", d)
	}
	if err := tx.Commit(ctx); err == nil {
		t.Error("committed after the halt")
	}
	if _, err := idle.Exec(ctx, "SELECT 1"); err == nil {
		t.Error("idle connection still works")
	}
	for b.direct(t, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND state = 'active' AND pid <> pg_backend_pid()", "-At") != "0\n" {
		if time.Since(start) > 3*time.Second {
			t.Fatal("the statement still runs on the server")
		}
	}
	if got := b.direct(t, "SELECT count(*) FROM t", "-At"); got != "0\n" {
		t.Errorf("rows %s", got)
	}
}

func TestWaitForApproval(t *testing.T) {
	b := newTestGate(t, func(c *Config, s *gatetest.Script) {
		c.Gate.Wait = time.Minute
		s.Decide, s.Waits = gatetest.Holding("DROP TABLE"), make(chan struct{})
	})
	b.direct(t, "CREATE TABLE t (a int)")
	conn := b.connect(t, "agent-kiro")
	errs := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), "DROP TABLE t")
		errs <- err
	}()
	close(b.Waits)
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	// In a transaction it would hold the database's locks: it never waits.
	b.Mu.Lock()
	b.Script.Decide = gatetest.Holding("CREATE TABLE")
	b.Mu.Unlock()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "CREATE TABLE u (a int)"); code(err) != StateHeld {
		t.Errorf("in a transaction: %v", err)
	}
}

// Nothing runs for a client that gave up while it waited.
func TestWaitingClientGoesAway(t *testing.T) {
	b := newTestGate(t, func(c *Config, s *gatetest.Script) {
		c.Gate.Wait = time.Minute
		s.Decide, s.Waits = gatetest.Holding("DROP TABLE"), make(chan struct{})
	})
	b.direct(t, "CREATE TABLE t (a int)")
	conn := b.connect(t, "agent-kiro")
	errs := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "DROP TABLE t", pgx.QueryExecModeSimpleProtocol)
		errs <- err
	}()
	eventually(t, "the request is held", func() bool { return len(b.Entries()) > 0 })
	conn.PgConn().Conn().Close()
	<-errs
	close(b.Waits)
	// Its connection ends, with an intent that was not forwarded or without any.
	eventually(t, "the connection ends", func() bool {
		b.gate.mu.Lock()
		defer b.gate.mu.Unlock()
		return len(b.gate.conns) == 0
	})
	if entries := b.Entries("reads"); strings.Contains(strings.Join(entries, " "), "outcome done") {
		t.Errorf("journal %q", entries)
	}
	b.direct(t, "SELECT * FROM t")
}

// What the server's own connection says when it breaks off: unknown, if the
// effects may have become final.
func TestServerLostMidStatement(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, "CREATE TABLE t (a int)")
	ctx := t.Context()
	conn := b.connect(t, "human-alice")
	kill := func() {
		b.running(t, "pg_sleep(31)")
		b.gate.mu.Lock()
		defer b.gate.mu.Unlock()
		for c := range b.gate.conns {
			c.mu.Lock()
			c.server.conn.Close()
			c.mu.Unlock()
		}
	}
	errs := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, "INSERT INTO t SELECT 1 FROM pg_sleep(31)")
		errs <- err
	}()
	kill()
	if err := <-errs; code(err) != "08007" {
		t.Errorf("lost in the middle: %v", err)
	}
	if got := b.Entries("reads"); got[len(got)-1] != "outcome unknown" {
		t.Errorf("journal: %q", got)
	}
	if conn.PgConn().IsClosed() == false {
		t.Error("the client's connection is still open")
	}
	b.Clear()
	b.direct(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(31)%' AND pid <> pg_backend_pid()", "-At")
	// An agent's runs in a block of our own: before its COMMIT, loss is failure.
	agent := b.connect(t, "agent-kiro")
	go func() {
		_, err := agent.Exec(ctx, "INSERT INTO t SELECT 1 FROM pg_sleep(31)")
		errs <- err
	}()
	kill()
	if err := <-errs; code(err) != "08006" {
		t.Errorf("lost before COMMIT: %v", err)
	}
	if got := b.Entries("reads"); got[len(got)-1] != "outcome failed 08006" {
		t.Errorf("journal: %q", got)
	}
	b.direct(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(31)%' AND pid <> pg_backend_pid()", "-At")
}
