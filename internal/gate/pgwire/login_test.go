package pgwire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
)

// libpq's TLS modes, its channel binding, and what it must refuse.
func TestTLSModes(t *testing.T) {
	b := newTestGate(t, nil)
	other := newCertificateFile(t)
	cases := []struct {
		name string
		env  []string
		want string // "on" or "off": encrypted; otherwise a part of the error
	}{
		{"disable", []string{"PGSSLMODE=disable"}, "off"},
		{"allow", []string{"PGSSLMODE=allow"}, "off"},
		{"prefer", []string{"PGSSLMODE=prefer"}, "on"},
		{"require", []string{"PGSSLMODE=require"}, "on"},
		{"verify-ca", []string{"PGSSLMODE=verify-ca", "PGSSLROOTCERT=" + b.root}, "on"},
		{"verify-full", []string{"PGSSLMODE=verify-full", "PGSSLROOTCERT=" + b.root}, "on"},
		{"verify-full by name", []string{"PGSSLMODE=verify-full", "PGSSLROOTCERT=" + b.root, "PGHOST=localhost"}, "on"},
		{"verify-full with another root", []string{"PGSSLMODE=verify-full", "PGSSLROOTCERT=" + other},
			"certificate verify failed"},
		{"channel binding", []string{"PGSSLMODE=require", "PGCHANNELBINDING=require"}, "on"},
		{"no channel binding", []string{"PGSSLMODE=require", "PGCHANNELBINDING=disable"}, "on"},
		{"channel binding without TLS", []string{"PGSSLMODE=disable", "PGCHANNELBINDING=require"}, "channel binding"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cmd := b.psqlCommand("human-alice", "-At", "-c", `\conninfo`, "-c", "SELECT 42")
			cmd.Env = append(cmd.Env, c.env...)
			out, err := run(cmd, "")
			switch c.want {
			case "on", "off":
				if err != nil || !strings.Contains(out, "42") ||
					strings.Contains(out, "SSL connection") != (c.want == "on") {
					t.Errorf("%v\n%s", err, out)
				}
			default:
				if err == nil || !strings.Contains(out, c.want) {
					t.Errorf("%v\n%s", err, out)
				}
			}
		})
	}
	for _, mode := range []string{"sslmode=require", "sslmode=verify-full&sslrootcert=" + b.root,
		"sslmode=require&sslnegotiation=direct", "sslmode=require&channel_binding=require"} {
		conn, err := pgx.Connect(t.Context(), strings.Replace(b.url("human-alice"), "sslmode=disable", mode, 1))
		if err != nil {
			t.Errorf("pgx %s: %v", mode, err)
			continue
		}
		var n int
		if err := conn.QueryRow(t.Context(), "SELECT 7").Scan(&n); err != nil || n != 7 {
			t.Errorf("pgx %s: %d, %v", mode, n, err)
		}
		conn.Close(t.Context())
	}
}

func newCertificateFile(t *testing.T) string {
	_, pem := gatetest.Certificate(t)
	return pemFile(t, pem)
}

func TestRequireTLS(t *testing.T) {
	b := newTestGate(t, func(c *Config, _ *gatetest.Script) { c.RequireTLS = true })
	if _, err := pgx.Connect(t.Context(), b.url("human-alice")); code(err) != "28000" &&
		!strings.Contains(fmt.Sprint(err), "28000") {
		t.Errorf("without TLS: %v", err)
	}
	if _, err := pgx.Connect(t.Context(), strings.Replace(b.url("human-alice"), "disable", "require", 1)); err != nil {
		t.Error(err)
	}
}

// Wrong passwords, unknown sessions and sessions that have ended look alike,
// and are answered slowly after a while.
func TestWrongPasswords(t *testing.T) {
	b := newTestGate(t, nil)
	b.gate.logins.pause = time.Millisecond
	messages := make(map[string]bool)
	for _, user := range []string{"human-alice", "human-gone", "nobody"} {
		url := fmt.Sprintf("postgres://%s:wrong@%s:%d/%s?sslmode=disable", user, b.host, b.port, b.db.Name)
		_, err := pgx.Connect(t.Context(), url)
		if err == nil {
			t.Fatalf("%s came in", user)
		}
		text := err.Error()
		messages[text[strings.Index(text, "FATAL"):]] = true
	}
	if len(messages) != 1 {
		t.Errorf("answers differ: %v", messages)
	}
	url := fmt.Sprintf("postgres://human-alice:wrong@%s:%d/%s?sslmode=disable", b.host, b.port, b.db.Name)
	turned := false
	for range 15 {
		_, err := pgx.Connect(t.Context(), url)
		turned = turned || strings.Contains(fmt.Sprint(err), "too many failed log-ins")
	}
	if !turned {
		t.Error("never turned away")
	}
	// However many fail, from here and with this name: a right password passes.
	for range 100 {
		pgx.Connect(t.Context(), url)
	}
	b.gate.logins.pause = time.Hour // so that nothing right may be slowed
	for _, user := range []string{"human-alice", "human-bob"} {
		conn, err := pgx.Connect(t.Context(), b.url(user))
		if err != nil {
			t.Errorf("%s is locked out: %v", user, err)
			continue
		}
		conn.Close(t.Context())
	}
}

func TestStartupRefusals(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, "CREATE TABLE t (a int)")
	cases := map[string]struct{ query, want string }{
		"another database":   {"database=nowhere", "3D000"},
		"replication":        {"replication=database", "0A000"},
		"bad option":         {"options=-d", "22023"},
		"agent's own switch": {"options=-c%20default_transaction_read_only%3Doff", StateDenied},
	}
	for name, c := range cases {
		conn, err := pgx.Connect(t.Context(), b.url("agent-kiro", c.query))
		if err == nil {
			_, err = conn.Exec(t.Context(), "SELECT 1")
		}
		if !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	conn := b.connect(t, "human-alice", "timezone=Asia%2FTokyo", "options=-c%20statement_timeout%3D5000")
	var zone, timeout string
	if err := conn.QueryRow(t.Context(), "SELECT current_setting('timezone'), current_setting('statement_timeout')").Scan(&zone, &timeout); err != nil || zone != "Asia/Tokyo" || timeout != "5s" {
		t.Errorf("%s %s %v", zone, timeout, err)
	}
}

// wire is a client that speaks byte by byte.
type wire struct {
	t *testing.T
	net.Conn
}

func (b *testGate) wire(t *testing.T) wire {
	conn, err := net.Dial("tcp", net.JoinHostPort(b.host, strconv.Itoa(b.port)))
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() { conn.Close() })
	return wire{t, conn}
}

func startup(version uint32, fields ...string) []byte {
	body := binary.BigEndian.AppendUint32(nil, version)
	for _, f := range fields {
		body = append(append(body, f...), 0)
	}
	body = append(body, 0)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)
}

func TestBadStartups(t *testing.T) {
	b := newTestGate(t, nil)
	cases := map[string]struct {
		send []byte
		want string
	}{
		"http":               {[]byte("GET / HTTP/1.1\r\n\r\n"), ""},
		"protocol 2":         {startup(2<<16, "user", "x"), "0A000"},
		"protocol 4":         {startup(4<<16, "user", "x"), "0A000"},
		"no user":            {startup(3<<16, "database", "x"), "28000"},
		"cut short":          {startup(3<<16, "user"), "08P01"},
		"too long":           {[]byte{0, 1, 0, 0, 0, 3, 0, 0}, ""},
		"too short":          {[]byte{0, 0, 0, 4, 0, 3, 0, 0}, ""},
		"newer protocol":     {startup(3<<16|2, "user", "human-alice", "_pq_.x", "1"), "v\x00"},
		"cancel of nothing":  {append([]byte{0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e}, 1, 2, 3, 4, 5, 6, 7, 8), ""},
		"GSS then protocol":  {append([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30}, startup(2<<16, "user", "x")...), "N"},
		"password too early": {append(startup(3<<16, "user", "human-alice"), 'Q', 0, 0, 0, 5, 0), "R"},
	}
	for name, c := range cases {
		w := b.wire(t)
		if _, err := w.Write(c.send); err != nil {
			t.Fatal(err)
		}
		if name == "newer protocol" {
			head := make([]byte, 1)
			if _, err := io.ReadFull(w, head); err != nil || head[0] != 'v' {
				t.Errorf("%s: %q, %v", name, head, err)
			}
			continue
		}
		got, _ := io.ReadAll(w)
		if !bytes.Contains(got, []byte(c.want)) || c.want == "" && len(got) > 0 {
			t.Errorf("%s: answered %q, want %q", name, got, c.want)
		}
	}
}

// Messages that are not PostgreSQL's end the connection with an error, and
// nothing of them is forwarded.
func TestMalformedMessages(t *testing.T) {
	b := newTestGate(t, func(c *Config, _ *gatetest.Script) { c.MaxMessage = 1 << 20 })
	cases := map[string]struct {
		send []byte
		want string
	}{
		"unknown type":        {[]byte{'!', 0, 0, 0, 4}, "08P01"},
		"length below four":   {[]byte{'Q', 0, 0, 0, 3}, "08P01"},
		"too long":            {[]byte{'Q', 0x10, 0, 0, 0}, "54000"},
		"query without end":   {[]byte{'Q', 0, 0, 0, 6, 'a', 'b'}, "08P01"},
		"empty query message": {[]byte{'Q', 0, 0, 0, 4}, "08P01"},
		"bind cut short":      {[]byte{'B', 0, 0, 0, 6, 0, 'x', 'S', 0, 0, 0, 4}, "08P01"},
		"parse cut short":     {[]byte{'P', 0, 0, 0, 7, 0, 'x', 0, 'S', 0, 0, 0, 4}, "08P01"},
		"function call":       {append([]byte{'F', 0, 0, 0, 14, 0, 0, 0, 1}, 0, 0, 0, 0, 0, 0), "0A000"},
		"our own name":        {appendSync(appendParse(nil, "signalbox probe", "SELECT 1", nil)), "42939"},
	}
	for name, c := range cases {
		conn, err := pgx.Connect(t.Context(), b.url("human-alice"))
		if err != nil {
			t.Fatal(err)
		}
		// Or pgconn, when a write took long, goes on reading in the background.
		if err := conn.PgConn().SyncConn(t.Context()); err != nil {
			t.Fatal(err)
		}
		h, err := conn.PgConn().Hijack()
		if err != nil {
			t.Fatal(err)
		}
		h.Conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := h.Conn.Write(append(c.send, 'X', 0, 0, 0, 4)); err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(h.Conn)
		if !bytes.Contains(got, []byte(c.want)) {
			t.Errorf("%s: answered %q, want %s", name, got, c.want)
		}
		h.Conn.Close()
	}
}

// Idle clients cost the gate little.
func TestIdleConnectionsAreCheap(t *testing.T) {
	const n = 30
	b := newTestGate(t, nil)
	// Heap and stacks: what the process has of the system besides, the race
	// detector's shadow above all, is not the gate's.
	inUse := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse)
	}
	before := inUse()
	for i := range n {
		conn, err := pgx.Connect(context.Background(), b.url("human-alice"))
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conn.PgConn().Conn().Close()
	}
	// The client's side lives in this process too: what is measured is above
	// what the gate takes.
	each := (inUse() - before) / n
	t.Logf("%d idle connections, client and gate: %d kB each", n, each>>10)
	if each > 120<<10 {
		t.Errorf("%d kB each", each>>10)
	}
}

// What is wrong with the server, or with a setting, is told at the log-in, in the
// server's own code, and nothing that names the server or the gate's role.
func TestLogInTellsWhatIsWrong(t *testing.T) {
	cases := map[string]struct {
		code, message string // of the server
		want, words   string // told
	}{
		"starts up":            {"57P03", "the database system is starting up", "57P03", "is starting up"},
		"shuts down":           {"57P03", "the database system is shutting down", "57P03", "is shutting down"},
		"full":                 {"53300", `too many connections for role "gatekeeper"`, "53300", "as many connections"},
		"a bad setting":        {"22023", `invalid value for parameter "DateStyle": "x"`, "22023", `"DateStyle": "x"`},
		"an unknown setting":   {"42704", `unrecognized configuration parameter "x"`, "42704", `parameter "x"`},
		"a forbidden setting":  {"42501", `permission denied to set parameter "x"`, "42501", `parameter "x"`},
		"the gate's password":  {"28P01", `password authentication failed for user "gatekeeper"`, "08006", "let it in"},
		"the gate's address":   {"28000", `no pg_hba.conf entry for host "10.0.0.1", user "gatekeeper"`, "08006", "let it in"},
		"the gate's privilege": {"42501", `permission denied for database "gatekeeper"`, "08006", "let it in"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newFakeServer(t, func(conn net.Conn) {
				conn.Read(make([]byte, 4096))
				conn.Write((&refusal{severity: "FATAL", code: c.code, message: c.message}).encode())
				conn.Close()
			})
			b := newTestGate(t, func(c *Config, _ *gatetest.Script) { s.behind(c) })
			_, err := pgx.Connect(t.Context(), b.url("agent-kiro"))
			told := (*pgconn.PgError)(nil)
			if !errors.As(err, &told) {
				t.Fatal(err)
			}
			if all := fmt.Sprint(told, told.Detail, told.Hint); told.Code != c.want || told.Severity != "FATAL" ||
				!strings.Contains(all, c.words) || strings.Contains(all, "gatekeeper") || strings.Contains(all, "10.0.0.1") {
				t.Errorf("told %s", all)
			}
		})
	}
}

// A client is told of the server's own parameters and process.
func TestLogInTellsTheTruth(t *testing.T) {
	b := newTestGate(t, nil)
	for _, who := range []string{"human-alice", "agent-kiro"} {
		conn := b.connect(t, who, "options=-c%20DateStyle%3DGerman", "timezone=Asia%2FTokyo")
		for name, want := range map[string]string{
			"DateStyle": "German, DMY", "TimeZone": "Asia/Tokyo", "default_transaction_read_only": "off",
		} {
			if got := conn.PgConn().ParameterStatus(name); got != want {
				t.Errorf("%s: %s is %q, want %q", who, name, got, want)
			}
		}
		var pid uint32
		if err := conn.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil || pid != conn.PgConn().PID() {
			t.Errorf("%s: the server's process is %d, told %d: %v", who, pid, conn.PgConn().PID(), err)
		}
	}
	for query, want := range map[string]string{
		"DateStyle=nonsense": "22023", "options=-c%20nonsense%3D1": "42501",
	} {
		if _, err := pgx.Connect(t.Context(), b.url("agent-kiro", query)); code(fatal(err)) != want {
			t.Errorf("%s: %v, want %s", query, err, want)
		}
	}
}
