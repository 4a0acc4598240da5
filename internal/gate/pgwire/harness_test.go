package pgwire

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/proof"
	"github.com/signalbox-dev/signalbox/test/oracle"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// A script stands in for interlock where a test is about the wire: it decides
// by a function of the test, and keeps a journal of what it was told.
type script struct {
	t       testing.TB
	decide  func(interlock.Request) error // nil: all is admitted
	ceiling int64                         // rows for agents in one intent; <0: none
	waits   chan struct{}                 // Do waits for it when decide refuses

	log oracle.Journal // what the target is held against

	mu       sync.Mutex
	journal  []string
	sums     []proof.Reads
	refuse   atomic.Pointer[error] // the next Carry fails with it, and nothing is recorded
	outcomes []signalbox.Outcome
	halts    []chan struct{}
	failing  error // Reads and Carry fail with it
	halted   bool  // no intent comes to be any more, as with the real one
	login    error // Authenticate gives it with everything else
	probes   bool  // every request is probed, as if it had a permit
	// meanwhile is called between a probe and what it is for.
	meanwhile func()
	probed    struct {
		impact signalbox.Impact
		state  signalbox.State
		err    error
	}
}

func (s *script) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal = append(s.journal, fmt.Sprintf(format, args...))
}

// entries gives the journal so far, without what begins with one of skip.
func (s *script) entries(skip ...string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
next:
	for _, e := range s.journal {
		for _, p := range skip {
			if strings.HasPrefix(e, p) {
				continue next
			}
		}
		list = append(list, e)
	}
	return list
}

func (s *script) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal, s.outcomes = nil, nil
}

// Sessions of the tests: the id tells the kind of actor. Passwords are derived.
func (s *script) Authenticate(_ context.Context, gate string, id signalbox.SessionID) (signalbox.Session, string, error) {
	kind, name, ok := strings.Cut(string(id), "-")
	if !ok || name == "gone" {
		return signalbox.Session{}, "", fmt.Errorf("session %s has ended", id)
	}
	a := signalbox.Actor{Kind: signalbox.ActorKind(kind), Name: name}
	if a.Kind == signalbox.Agent {
		a.For = "alice"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return signalbox.Session{ID: id, Actor: a, Started: time.Now(), Expires: time.Now().Add(time.Hour)}, password(id), s.login
}

func password(id signalbox.SessionID) string { return "sbs_" + string(id) + "_secret" }

func (s *script) Watch(signalbox.Session, string) (<-chan struct{}, func() error, func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	halt := make(chan struct{})
	s.halts = append(s.halts, halt)
	return halt, func() error { return errors.New("halted by bob: enough") }, func() {}
}

// halt stops all sessions.
func (s *script) halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halted = true
	for _, h := range s.halts {
		close(h)
	}
	s.halts = nil
}

func (s *script) CountLogin(_ string, id signalbox.SessionID) { s.note("turned away %s", id) }

type scripted struct {
	r       interlock.Request
	limited bool
}

func (a *scripted) Limited() bool { return a.limited }
func (a *scripted) Read() bool {
	for _, action := range a.r.Actions {
		if action.Verb != signalbox.Read {
			return false
		}
	}
	return true
}

func (s *script) Admit(ctx context.Context, r interlock.Request, x Executor) (Admission, error) {
	if len(r.Actions) == 0 || r.Canonical.IsZero() {
		s.t.Errorf("request without actions or digest: %q", r.Text)
	}
	s.mu.Lock()
	decide := s.decide
	s.mu.Unlock()
	if decide != nil {
		if err := decide(r); err != nil {
			s.note("refused %s", first(r.Text))
			held := (*interlock.HeldError)(nil)
			if errors.As(err, &held) {
				s.probed.impact, s.probed.state, s.probed.err = x.Probe(ctx)
			}
			return nil, err
		}
	}
	if s.probes {
		s.probed.impact, s.probed.state, s.probed.err = x.Probe(ctx)
		if s.meanwhile != nil {
			s.meanwhile()
		}
	}
	a := &scripted{r: r}
	a.limited = r.Session.Actor.Kind == signalbox.Agent && r.Gate.Environment == signalbox.Production && !a.Read()
	if !a.Read() {
		s.note("admit %s", first(r.Text))
	}
	return a, nil
}

func first(text string) string {
	text = strings.TrimSuffix(strings.Join(strings.Fields(text), " "), ";")
	if len(text) > 60 {
		text = text[:60] + "…"
	}
	return text
}

// Recheck compares with what Admit found. What differs is held from then on.
func (s *script) Recheck(_ context.Context, a Admission, now signalbox.Impact, state signalbox.State) (bool, error) {
	d := s.probed.state.Diff(state)
	if d == "" {
		d = approval.Within(s.probed.impact, now)
	}
	if d == "" {
		return true, nil
	}
	s.note("dead %s: %s", first(a.(*scripted).r.Text), d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decide = holding("")
	return false, nil
}

func (s *script) Carry(ctx context.Context, as []Admission, read []proof.Reads, x Executor) (signalbox.Outcome, error) {
	s.mu.Lock()
	failing := s.failing
	if s.halted {
		failing = &interlock.DeniedError{Verdict: signalbox.Verdict{Decision: signalbox.Deny, Reason: "halted by bob: enough"}}
	}
	s.mu.Unlock()
	if failing != nil {
		return signalbox.Outcome{}, failing
	}
	if refuse := s.refuse.Swap(nil); refuse != nil {
		return signalbox.Outcome{}, *refuse
	}
	if len(read) > 0 {
		if err := s.Reads(ctx, read); err != nil {
			return signalbox.Outcome{}, err
		}
	}
	var texts []string
	p := Permit{}
	if s.probes {
		approved := s.probed
		p.Still = func(now signalbox.Impact, state signalbox.State) string {
			if d := approved.state.Diff(state); d != "" {
				return d
			}
			return approval.Within(approved.impact, now)
		}
	}
	for _, a := range as {
		texts = append(texts, first(a.(*scripted).r.Text))
		p.Limited = p.Limited || a.Limited()
	}
	s.note("intent %s", strings.Join(texts, " | "))
	var actions []signalbox.Action
	for _, a := range as {
		actions = append(actions, a.(*scripted).r.Actions...)
	}
	id := s.log.Intent(actions)
	p.Spend = func(touched map[string]int64) error {
		var total int64
		for _, n := range touched {
			total += n
		}
		s.note("spend %v", touched)
		if p.Limited && s.ceiling >= 0 && total > s.ceiling {
			return &interlock.OverrunError{Reason: fmt.Sprintf("%d rows touched, the ceiling is %d", total, s.ceiling), Touched: touched}
		}
		return nil
	}
	out, err := x.Execute(ctx, p)
	over := (*interlock.OverrunError)(nil)
	switch {
	case errors.As(err, &over):
		s.note("outcome failed overrun")
		s.log.Outcome(id, signalbox.Outcome{Result: signalbox.Failed})
		return out, &interlock.HeldError{Hold: approval.Hold{ID: "01OVERRUN", Status: approval.Open, Verdict: signalbox.Verdict{Decision: signalbox.Hold, Reason: over.Error(), Requires: []string{"1 of sre"}}}}
	case err != nil:
		s.note("outcome unknown")
		s.log.Outcome(id, signalbox.Outcome{Result: signalbox.ResultUnknown, Rows: signalbox.CountUnknown})
		return out, &interlock.UnknownError{Intent: "01INTENT", Err: err}
	}
	s.mu.Lock()
	s.outcomes = append(s.outcomes, out)
	s.mu.Unlock()
	s.log.Outcome(id, out)
	s.note("outcome %s %s", out.Result, out.Code)
	return out, nil
}

func (s *script) Do(ctx context.Context, r interlock.Request, x Executor) (signalbox.Outcome, error) {
	a, err := s.Admit(ctx, r, x)
	if err != nil && s.waits != nil {
		select {
		case <-s.waits:
			s.mu.Lock()
			s.decide = nil
			s.mu.Unlock()
			a, err = s.Admit(ctx, r, x)
		case <-ctx.Done():
			return signalbox.Outcome{}, ctx.Err()
		}
	}
	if err != nil {
		return signalbox.Outcome{}, err
	}
	return s.Carry(ctx, []Admission{a}, nil, x)
}

func (s *script) Abandon(as []Admission) {
	for _, a := range as {
		s.note("abandon %s", first(a.(*scripted).r.Text))
	}
}

func (s *script) Reads(_ context.Context, sums []proof.Reads) error {
	for _, sum := range sums {
		s.note("reads %d", sum.Statements)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing != nil {
		return s.failing
	}
	s.sums = append(s.sums, sums...)
	return nil
}

func (s *script) ReadEach(_ context.Context, a Admission) error {
	s.note("read %s", first(a.(*scripted).r.Text))
	return nil
}

// holding holds requests whose text contains one of these.
func holding(parts ...string) func(interlock.Request) error {
	return func(r interlock.Request) error {
		for _, p := range parts {
			if strings.Contains(r.Text, p) {
				return &interlock.HeldError{Hold: approval.Hold{
					ID: "01HOLD", Status: approval.Open, Expires: time.Unix(2e9, 0),
					Verdict: signalbox.Verdict{Decision: signalbox.Hold, Reason: "destroys a table", Requires: []string{"2 of sre"}},
				}}
			}
		}
		return nil
	}
}

// A bench is a gate in front of a database of a real server.
type bench struct {
	*script
	gate   *Gate
	oracle *oracle.Oracle
	db     *pgtest.Database
	host   string
	port   int
	root   string // file with the gate's certificate
}

// newBench starts a gate in front of a fresh database.
func newBench(t testing.TB, change func(*Config, *script)) *bench {
	t.Helper()
	db := pgtest.Shared(t)
	s := &script{t: t, ceiling: -1}
	// Whatever the test is about: nothing may have happened that no intent names.
	o := oracle.Postgres(t, db.URL(), s.log.Entries)
	t.Cleanup(func() { o.Check(t) })
	certificate, root := newCertificate(t)
	config := Config{
		Gate:      control.Gate{Name: "orders", Environment: signalbox.Production},
		Interlock: s,
		Upstream:  Upstream{Host: "127.0.0.1", Port: db.Port, User: pgtest.User, Password: db.Password, Database: db.Name, SSLMode: "disable"},
		TLS:       &tls.Config{Certificates: []tls.Certificate{certificate}},
		HoldURL:   func(id string) string { return "http://signalbox.test/holds/" + id },
		Logger:    slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	if change != nil {
		change(&config, s)
	}
	g, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		g.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return &bench{script: s, gate: g, oracle: o, db: db, host: "127.0.0.1", port: l.Addr().(*net.TCPAddr).Port, root: root}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func newCertificate(t testing.TB) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gate"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "root.crt")
	if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, root
}

// url gives a connection URL for a session.
func (b *bench) url(id string, extra ...string) string {
	query := strings.Join(append([]string{"sslmode=disable"}, extra...), "&")
	return fmt.Sprintf("postgres://%s:%s@%s:%d/%s?%s", id, password(signalbox.SessionID(id)), b.host, b.port, b.db.Name, query)
}

// psql runs psql through the gate, in the server's own version.
func (b *bench) psql(t testing.TB, id, script string, args ...string) (string, error) {
	t.Helper()
	return run(b.psqlCommand(id, args...), script)
}

func (b *bench) psqlCommand(id string, args ...string) *exec.Cmd {
	cmd := b.db.Command(context.Background(), b.db.Name, "psql", append([]string{"-X", "-q", "-v", "VERBOSITY=verbose"}, args...)...)
	cmd.Env = append(cmd.Env, "PGHOST="+b.host, "PGPORT="+strconv.Itoa(b.port), "PGUSER="+id, "PGPASSWORD="+password(signalbox.SessionID(id)))
	return cmd
}

// direct runs psql on the server itself.
func (b *bench) direct(t testing.TB, script string, args ...string) string {
	t.Helper()
	var out string
	var err error
	b.oracle.Aside(t, func() {
		out, err = run(b.db.Command(context.Background(), b.db.Name, "psql", append([]string{"-X", "-q"}, args...)...), script)
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
func (b *bench) connect(t testing.TB, id string, extra ...string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), b.url(id, extra...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}
