//go:build unix

package pgtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ownerEnv makes this test binary a process that starts a server and waits to be
// killed.
const ownerEnv = "SIGNALBOX_PGTEST_OWNER"

func TestMain(m *testing.M) {
	if os.Getenv(ownerEnv) != "" {
		owner()
		return
	}
	Main(m)
}

func owner() {
	s, err := Start(context.Background(), Config{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(s.URL("postgres"), s.folder.path)
	select {}
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer conn.Close(context.Background())
	var got string
	if err := conn.QueryRow(t.Context(), sql).Scan(&got); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return got
}

func exec1(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestKilledServerComesBackWithCommittedRows(t *testing.T) {
	s := New(t, Config{Durable: true, TLS: true, Settings: map[string]string{"max_connections": "17"}})
	url := s.URL("postgres")
	if got := query(t, url, "show max_connections"); got != "17" {
		t.Errorf("max_connections = %s, want 17", got)
	}
	if got := query(t, url, "show fsync"); got != "on" {
		t.Errorf("fsync = %s, want on", got)
	}
	if got := query(t, url, "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()"); got != "true" {
		t.Errorf("connection has ssl = %s, want true", got)
	}
	exec1(t, url, "create table t (x text); insert into t values ('kept')")

	// A backend that computes, and so does not look whether the postmaster lives.
	busy, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close(context.Background())
	cut := make(chan error)
	go func() {
		_, err := busy.Exec(context.Background(), "select count(*) from generate_series(1, 1e10)")
		cut <- err
	}()
	s.Kill()
	s.Kill()
	if err := <-cut; err == nil {
		t.Error("a query outlived the server")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := query(t, url, "select x from t"); got != "kept" {
		t.Errorf("after Kill and Restart the row is %q, want \"kept\"", got)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", s.Addr()); err == nil {
		t.Error("a stopped server accepts connections")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := s.Command(t.Context(), "postgres", "psql", "-XAtc", "select x from t").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "kept" {
		t.Errorf("psql over verify-full: %q, %v", out, err)
	}
}

func TestSharedDatabasesAreSeparate(t *testing.T) {
	a, b := Shared(t), Shared(t)
	if a.Server != b.Server || a.Name == b.Name {
		t.Fatalf("got databases %q and %q on servers %p and %p", a.Name, b.Name, a.Server, b.Server)
	}
	exec1(t, a.URL(), "create table only_here ()")
	if got := query(t, b.URL(), "select coalesce(to_regclass('only_here')::text, 'absent')"); got != "absent" {
		t.Errorf("a table of one database is seen in the other: %s", got)
	}
}

func TestPasswordIsRequired(t *testing.T) {
	d := Shared(t)
	wrong := strings.Replace(d.URL(), d.Password, "wrong", 1)
	if conn, err := pgx.Connect(t.Context(), wrong); err == nil {
		conn.Close(context.Background())
		t.Error("a wrong password was accepted")
	}
}

func TestServerDiesWithItsOwner(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a child that its parent died")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ownerEnv+"=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url, folder, _ := strings.Cut(strings.TrimSpace(line), " ")
	// Logged in, and not only connected: a backend that waits for a client's first
	// word is left alone by an immediate shutdown.
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("owner said %q: %v", line, err)
	}
	defer conn.Close(context.Background())

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := conn.WaitForNotification(ctx); ctx.Err() != nil {
		t.Fatalf("the server outlived its owner by a minute: %v", err)
	}
	sweep()
	if _, err := os.Stat(folder + "/owner"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a dead owner is still there: %v", err)
	}
}

func TestMissingPostgreSQLSaysWhatToRun(t *testing.T) {
	t.Setenv("SIGNALBOX_PG_BIN", t.TempDir())
	_, err := Start(t.Context(), Config{})
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "make setup") {
		t.Errorf("got %v, want ErrNotInstalled with what to run", err)
	}
}
