package pgwire

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// Our own outage and a halt are told as such, and are nobody's failed attempts.
func TestOutageAndHaltAtLogin(t *testing.T) {
	b := newTestGate(t, nil)
	b.gate.logins.pause = time.Hour
	tell := func(err error) { b.Mu.Lock(); b.Login = err; b.Mu.Unlock() }
	for range 20 {
		tell(fmt.Errorf("%w: the disk is gone", interlock.ErrUnavailable))
		if _, err := pgx.Connect(t.Context(), b.url("human-alice")); code(err) != StateUnavailable ||
			strings.Contains(err.Error(), "disk") {
			t.Fatalf("outage: %v", err)
		}
		tell(fmt.Errorf("gate orders was %w by bob", interlock.ErrHalted))
		if _, err := pgx.Connect(t.Context(), b.url("human-alice")); code(err) != "57P01" ||
			!strings.Contains(err.Error(), "halted by bob") {
			t.Fatalf("halt: %v", err)
		}
	}
	wrong := strings.Replace(b.url("human-alice"), password("human-alice"), "wrong", 1)
	if _, err := pgx.Connect(t.Context(), wrong); code(err) != "28P01" || strings.Contains(err.Error(), "halted") {
		t.Errorf("a halt is told without a proof: %v", err)
	}
	tell(nil)
	b.connect(t, "human-alice")
}

// Silent connections shut nobody out: the oldest make room.
func TestSilentConnectionsShutNobodyOut(t *testing.T) {
	b := newTestGate(t, func(c *Config, _ *gatetest.Script) { c.MaxStarting, c.MaxConnections = 8, 4 })
	silent := make([]wire, 20)
	for i := range silent {
		silent[i] = b.wire(t)
	}
	var n int
	if err := b.connect(t, "human-alice").QueryRow(t.Context(), "SELECT 1").Scan(&n); err != nil {
		t.Error(err)
	}
	if _, err := silent[0].Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) &&
		!strings.Contains(fmt.Sprint(err), "reset") {
		t.Errorf("the oldest silent connection is still there: %v", err)
	}
	for i := range 3 {
		b.connect(t, fmt.Sprintf("human-%d", i))
	}
	if _, err := pgx.Connect(t.Context(), b.url("human-more")); code(err) != "53300" ||
		!strings.Contains(err.Error(), "limit") {
		t.Errorf("one more than the gate takes: %v", err)
	}
}

// One session cannot use up the connections of the database.
func TestConnectionsOfOneSession(t *testing.T) {
	b := newTestGate(t, nil)
	for range 32 {
		b.connect(t, "agent-kiro")
	}
	if _, err := pgx.Connect(t.Context(), b.url("agent-kiro")); code(err) != "53300" ||
		!strings.Contains(err.Error(), "32 connections") || !strings.Contains(err.Error(), "max_connections") {
		t.Errorf("the 33rd: %v", err)
	}
	b.connect(t, "agent-claude")
}

// Strangers who guess keys use up nothing: a right cancel request gets through.
func TestCancelThroughAFlood(t *testing.T) {
	b := newTestGate(t, nil)
	conn := b.connect(t, "human-alice")
	for range 400 {
		w := b.wire(t)
		w.Write([]byte{0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 1, 2, 3, 4, 5, 6, 7, 8})
		w.Close()
	}
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "SELECT pg_sleep(60)")
		done <- err
	}()
	for b.direct(t, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND datname = current_database()", "-At") != "1\n" {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.PgConn().CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; code(err) != "57014" {
		t.Errorf("got %v, want it cancelled", err)
	}
}

// A cancel request goes under TLS when the connection does.
func TestCancelUnderTLS(t *testing.T) {
	certificate, _ := gatetest.Certificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan []byte, 1)
	go func() {
		first, _ := l.Accept() // the connection whose query is cancelled
		defer first.Close()
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		ask := make([]byte, 8)
		io.ReadFull(c, ask)
		if binary.BigEndian.Uint32(ask[4:]) != sslCode {
			got <- ask
			return
		}
		c.Write([]byte("S"))
		inside := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}})
		request := make([]byte, 16)
		io.ReadFull(inside, request)
		got <- request
		inside.Close()
	}()
	main, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer main.Close()
	u := &backend{conn: main, pid: 7, secret: []byte{1, 2, 3, 4}, tls: &tls.Config{InsecureSkipVerify: true}}
	u.config = &pgconn.Config{Host: "127.0.0.1", Port: uint16(l.Addr().(*net.TCPAddr).Port)}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := u.cancel(ctx); err != nil {
		t.Error(err)
	}
	if request := <-got; binary.BigEndian.Uint32(request[4:]) != cancelCode {
		t.Errorf("sent %x in the clear or in another form", request)
	}
}

// A fakeServer is a server behind the gate that does not play fair.
type fakeServer struct {
	net.Listener
	accepted chan struct{}
}

// newFakeServer serves each connection by f.
func newFakeServer(t *testing.T, f func(net.Conn)) *fakeServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{l, make(chan struct{}, 1000)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.accepted <- struct{}{}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
	return s
}

func (s *fakeServer) behind(c *Config) {
	c.Upstream.Host, c.Upstream.Port = "127.0.0.1", s.Addr().(*net.TCPAddr).Port
}

// The password goes to no server that asks for it in the clear, unless it is
// allowed.
func TestUpstreamAuthentication(t *testing.T) {
	for _, ask := range []pgproto3.BackendMessage{
		&pgproto3.AuthenticationCleartextPassword{}, &pgproto3.AuthenticationMD5Password{Salt: [4]byte{1, 2, 3, 4}},
		&pgproto3.AuthenticationOk{},
	} {
		said := make(chan string, 10)
		s := newFakeServer(t, func(c net.Conn) {
			b := pgproto3.NewBackend(c, c)
			if _, err := b.ReceiveStartupMessage(); err != nil {
				return
			}
			b.Send(ask)
			b.Flush()
			b.SetAuthType(pgproto3.AuthTypeCleartextPassword)
			if m, err := b.Receive(); err == nil {
				if p, ok := m.(*pgproto3.PasswordMessage); ok {
					said <- p.Password
				}
			}
		})
		up := func(auth string) Upstream {
			return Upstream{Host: "127.0.0.1", Port: s.Addr().(*net.TCPAddr).Port, User: "gate", Password: "s3cret",
				SSLMode: "disable", Auth: auth}
		}
		g := newTestGate(t, func(c *Config, _ *gatetest.Script) { c.Upstream = up("") }).gate
		if _, err := g.connect(t.Context(), nil); err == nil {
			t.Errorf("%T: connected", ask)
		}
		select {
		case p := <-said:
			t.Errorf("%T: told %q", ask, p)
		default:
		}
		if _, ok := ask.(*pgproto3.AuthenticationCleartextPassword); ok {
			g = newTestGate(t, func(c *Config, _ *gatetest.Script) { c.Upstream = up("scram-sha-256,password") }).gate
			g.connect(t.Context(), nil)
			if p := <-said; p != "s3cret" {
				t.Errorf("allowed, and told %q", p)
			}
		}
	}
}

// What clients are told of a server that cannot be reached names neither its
// user, nor its host, nor its port.
func TestUpstreamErrorsNameNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close() // nobody is there
	b := newTestGate(t, func(c *Config, _ *gatetest.Script) { c.Upstream.Port, c.Upstream.User = port, "gatekeeper" })
	silent := func(err error) {
		t.Helper()
		for _, secret := range []string{fmt.Sprint(port), "gatekeeper"} {
			if err == nil || strings.Contains(err.(interface{ Unwrap() error }).Unwrap().Error(), secret) {
				t.Errorf("told: %v", err)
			}
		}
		if code(err) != "08006" {
			t.Errorf("got %v, want 08006", err)
		}
	}
	_, err = pgx.Connect(t.Context(), b.url("agent-kiro"))
	silent(fatal(err))
}

// fatal gives the server's own words in an error of pgx, wrapped once.
func fatal(err error) error {
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		return fmt.Errorf("told: %w", pg)
	}
	return err
}

// Log-ins to a server that hangs wait for it each by itself, and end with the gate.
func TestHangingUpstreamQueuesNobody(t *testing.T) {
	s := newFakeServer(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	b := newTestGate(t, func(c *Config, _ *gatetest.Script) {
		s.behind(c)
		c.Upstream.ConnectTimeout = time.Hour
	})
	told := make(chan error, 3)
	for range cap(told) {
		go func() {
			_, err := pgx.Connect(context.Background(), b.url("human-alice"))
			told <- err
		}()
	}
	for range cap(told) {
		<-s.accepted
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.gate.Shutdown(ctx)
	for range cap(told) {
		if err := <-told; code(fatal(err)) != "57P01" {
			t.Errorf("told: %v", err)
		}
	}
}
