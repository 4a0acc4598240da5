package pgwire

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/test/oracle"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func password(id signalbox.SessionID) string { return gatetest.Password(string(id)) }

// first names a request by how it begins.
func first(r interlock.Request) string {
	text := strings.TrimSuffix(strings.Join(strings.Fields(r.Text), " "), ";")
	if len(text) > 60 {
		text = text[:60] + "…"
	}
	return text
}

// A testGate is a gate in front of a database of a real server.
type testGate struct {
	*gatetest.Script
	gate   *Gate
	oracle *oracle.Oracle
	db     *pgtest.Database
	host   string
	port   int
	root   string // file with the gate's certificate
}

// newTestGate starts a gate in front of a fresh database.
func newTestGate(t testing.TB, change func(*Config, *gatetest.Script)) *testGate {
	t.Helper()
	db := pgtest.Shared(t)
	s := &gatetest.Script{T: t, Name: first, Ceiling: -1, ProbeHeld: true}
	// Whatever the test is about: nothing may have happened that no intent names.
	o := oracle.Postgres(t, db.URL(), s.Log.Entries)
	t.Cleanup(func() { o.Check(t) })
	certificate, pem := gatetest.Certificate(t)
	config := Config{
		Config: gate.Config{
			Gate:      control.Gate{Name: "orders", Environment: signalbox.Production},
			Interlock: s,
			TLS:       &tls.Config{Certificates: []tls.Certificate{certificate}},
			HoldURL:   func(id string) string { return "http://signalbox.test/holds/" + id },
			Logger:    slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo})),
		},
		Upstream: Upstream{Host: "127.0.0.1", Port: db.Port, User: pgtest.User, Password: db.Password,
			Database: db.Name, SSLMode: "disable"},
	}
	if change != nil {
		change(&config, s)
	}
	g, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	addr := gatetest.Serve(t, g).(*net.TCPAddr)
	return &testGate{Script: s, gate: g, oracle: o, db: db, host: "127.0.0.1", port: addr.Port, root: pemFile(t, pem)}
}

// pemFile writes a certificate to a file.
func pemFile(t testing.TB, pem []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "root.crt")
	if err := os.WriteFile(name, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// url gives a connection URL for a session.
func (b *testGate) url(id string, extra ...string) string {
	query := strings.Join(append([]string{"sslmode=disable"}, extra...), "&")
	return fmt.Sprintf("postgres://%s:%s@%s:%d/%s?%s", id, password(signalbox.SessionID(id)), b.host, b.port,
		b.db.Name, query)
}

// psql runs psql through the gate, in the server's own version.
func (b *testGate) psql(t testing.TB, id, script string, args ...string) (string, error) {
	t.Helper()
	return run(b.psqlCommand(id, args...), script)
}

func (b *testGate) psqlCommand(id string, args ...string) *exec.Cmd {
	cmd := b.db.Command(context.Background(), b.db.Name, "psql",
		append([]string{"-X", "-q", "-v", "VERBOSITY=verbose"}, args...)...)
	cmd.Env = append(cmd.Env, "PGHOST="+b.host, "PGPORT="+strconv.Itoa(b.port), "PGUSER="+id, "PGPASSWORD="+
		password(signalbox.SessionID(id)))
	return cmd
}

// direct runs psql on the server itself.
func (b *testGate) direct(t testing.TB, script string, args ...string) string {
	t.Helper()
	var out string
	var err error
	b.oracle.Aside(t, func() {
		out, err = run(b.db.Command(context.Background(), b.db.Name, "psql",
			append([]string{"-X", "-q"}, args...)...), script)
	})
	if err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
	return out
}

func run(cmd *exec.Cmd, input string) (string, error) {
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &out
	err := cmd.Run()
	return out.String(), err
}

// connect opens a pgx connection through the gate.
func (b *testGate) connect(t testing.TB, id string, extra ...string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), b.url(id, extra...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// eventually waits until something is so, for ten seconds at most.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !so(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after ten seconds it is not so that %s", what)
		}
	}
}

// running waits until the server runs a statement that has some words.
func (b *testGate) running(t testing.TB, words string) {
	t.Helper()
	sql := "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%" + words +
		"%' AND state = 'active' AND pid <> pg_backend_pid()"
	eventually(t, "the server runs "+words, func() bool { return b.direct(t, sql, "-At") == "1\n" })
}
