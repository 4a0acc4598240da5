// Package e2e_test plays whole stories with real servers, real databases and
// real clients: two Signalbox processes' worth of replicas on one PostgreSQL,
// psql and pgx in front, another PostgreSQL behind.
package e2e_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/gate/pgwire"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/proof"
	"github.com/signalbox-dev/signalbox/test/oracle"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// A house is replicas of Signalbox before one target, with people.
type house struct {
	t        *testing.T
	target   *pgtest.Database
	oracle   *oracle.Oracle
	replicas []*server.Server
	configs  []config.Config
	tokens   map[string]string
}

// build starts n replicas: on PostgreSQL if there is more than one, else on
// SQLite.
func build(t *testing.T, n int, change func(*config.Config)) *house {
	t.Helper()
	h := &house{t: t, target: pgtest.Shared(t), tokens: map[string]string{}}
	h.sql("CREATE TABLE orders (id int PRIMARY KEY, note text)",
		"INSERT INTO orders SELECT n, 'secret-' || n FROM generate_series(1, 500) n",
		"CREATE TABLE lines (id int PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE)",
		"INSERT INTO lines SELECT n, 1 + n % 5 FROM generate_series(1, 1000) n")
	dir := t.TempDir()
	// When the replicas have stopped, all that they did is in the log: nothing else
	// may have happened to the target.
	t.Cleanup(func() {
		if h.oracle != nil {
			h.oracle.Check(t)
		}
	})
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	up, err := url.Parse(h.target.URL())
	if err != nil {
		t.Fatal(err)
	}
	password, _ := up.User.Password()
	shared := config.Config{
		Listen: "127.0.0.1:0", MasterKey: secret.Source{File: write("master", hex.EncodeToString(make([]byte, 32)))},
		Log: config.Log{Origin: "test.example/e2e", Key: filepath.Join(dir, "log.key"), Publish: 50 * time.Millisecond},
		Gates: []config.Gate{{
			Name: "orders", Kind: "postgres", Environment: signalbox.Production, Listen: "127.0.0.1:0",
			Settings: &pgwire.Settings{Upstream: pgwire.Server{Host: "127.0.0.1", Port: h.target.Port,
				Database: h.target.Name, User: up.User.Username(),
				Password: secret.Source{File: write("password", password)}, TLS: "disable"}},
		}},
	}
	if n > 1 {
		shared.Database.URL = secret.Source{File: write("database", pgtest.Shared(t).URL())}
	}
	if change != nil {
		change(&shared)
	}
	for i := range n {
		c := shared
		c.Data, c.Replica = filepath.Join(dir, fmt.Sprintf("data%d", i)), fmt.Sprintf("r%d", i)
		h.configs = append(h.configs, c)
		h.replicas = append(h.replicas, nil)
		h.start(i)
	}
	e, err := h.as(0, "").Login(t.Context(), client.Login{Code: h.replicas[0].Code(), Name: "root"})
	if err != nil {
		t.Fatal(err)
	}
	h.tokens["root"] = e.Token
	for name, groups := range map[string][]string{"alice": nil, "bob": {"sre"}, "carol": {"sre"}} {
		e, err := h.as(0, "root").AddPerson(t.Context(), client.NewPerson{Name: name, Groups: groups})
		if err != nil {
			t.Fatal(err)
		}
		h.tokens[name] = e.Token
	}
	h.oracle = oracle.Postgres(t, h.target.URL(), func(ctx context.Context) ([]proof.Entry, error) {
		folder := proof.Folder(os.DirFS(filepath.Join(h.configs[0].Data, "log")))
		return oracle.Published(folder, h.replicas[0].Verifier(), "test.example/e2e")(ctx)
	})
	return h
}

func (h *house) start(i int) {
	h.t.Helper()
	s, err := server.Start(h.t.Context(), h.configs[i].Defaults(),
		slog.New(slog.NewTextHandler(h.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		h.t.Fatal(err)
	}
	h.replicas[i] = s
	h.t.Cleanup(s.Close)
}

func (h *house) sql(statements ...string) {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.target.URL())
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	h.aside(func() {
		for _, s := range statements {
			if _, err := conn.Exec(h.t.Context(), s); err != nil {
				h.t.Fatalf("%s: %v", s, err)
			}
		}
	})
}

// aside is for what changes the target past the gate, as part of the test.
func (h *house) aside(f func()) {
	h.t.Helper()
	if h.oracle == nil {
		f()
		return
	}
	h.oracle.Aside(h.t, f)
}

// number asks the target itself, not through a gate.
func (h *house) number(query string) (n int) {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.target.URL())
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(h.t.Context(), query).Scan(&n); err != nil {
		h.t.Fatalf("%s: %v", query, err)
	}
	return n
}

func (h *house) as(replica int, name string) *client.Client {
	h.t.Helper()
	c, err := client.New(client.Config{URL: h.replicas[replica].URL(), Token: h.tokens[name]})
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// agent opens a session of an agent for a human.
func (h *house) agent(name, human string) client.OpenedSession {
	h.t.Helper()
	s, err := h.as(0, human).OpenSession(h.t.Context(), client.NewSession{Agent: name})
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// dsn is how a session's driver reaches the gate of a replica.
func (h *house) dsn(replica int, s client.OpenedSession, extra string) string {
	g := h.replicas[replica].Gates()[0]
	return fmt.Sprintf("host=%s port=%d user=%s password=%s dbname=%s sslmode=require %s", g.Host, g.Port,
		s.Session.ID, s.Credentials["orders"], h.target.Name, extra)
}

func (h *house) connect(replica int, s client.OpenedSession) *pgx.Conn {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), h.dsn(replica, s, ""))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// psql runs a real psql of a session; its output holds both streams.
func (h *house) psql(replica int, s client.OpenedSession, args ...string) (string, error) {
	h.t.Helper()
	g := h.replicas[replica].Gates()[0]
	cmd := exec.CommandContext(h.t.Context(), "psql",
		append([]string{"-X", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"}, args...)...)
	cmd.Env = append(os.Environ(), "PGHOST="+g.Host, fmt.Sprintf("PGPORT=%d", g.Port), "PGUSER="+string(s.Session.ID),
		"PGPASSWORD="+s.Credentials["orders"], "PGDATABASE="+h.target.Name, "PGSSLMODE=require")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// open gives the one open hold, as seen by a replica.
func (h *house) open(replica int) client.Hold {
	h.t.Helper()
	holds, err := h.as(replica, "bob").Holds(h.t.Context(), "open", 10)
	if err != nil || len(holds) != 1 {
		h.t.Fatalf("open holds: %+v, %v", holds, err)
	}
	return holds[0]
}

func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !is() {
		if ctx.Err() != nil {
			t.Fatalf("never: %s", what)
		}
	}
}

// Two replicas: held on one, approved on the other, run on the first, once.
func TestTwoReplicasOneHold(t *testing.T) {
	h := build(t, 2, nil)
	s := h.agent("kiro", "alice")
	if out, err := h.psql(0, s, "-c", "SELECT count(*) FROM orders"); err != nil || !strings.Contains(out, "500") {
		t.Fatalf("a read: %v\n%s", err, out)
	}
	out, err := h.psql(0, s, "-c", "DROP TABLE lines")
	if err == nil || !strings.Contains(out, "SB001") || !strings.Contains(out, "HINT") {
		t.Fatalf("DROP TABLE was not held: %v\n%s", err, out)
	}
	hold := h.open(1)
	if !strings.Contains(out, hold.ID) {
		t.Errorf("the error does not name the hold %s:\n%s", hold.ID, out)
	}
	for _, n := range []string{"bob", "carol"} {
		if _, err := h.as(1, n).Answer(t.Context(), hold.ID, true, ""); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := h.psql(0, s, "-c", "DROP TABLE lines"); err != nil {
		t.Fatalf("approved: %v\n%s", err, out)
	}
	if n := h.number("SELECT count(*) FROM pg_class WHERE relname = 'lines'"); n != 0 {
		t.Error("the table is still there")
	}
	h.sql("CREATE TABLE lines (id int)")
	if out, err := h.psql(1, s, "-c", "DROP TABLE lines"); err == nil {
		t.Errorf("the permit was used twice:\n%s", out)
	}
}

// A halt on one replica reaches writes, reads and open transactions on the
// other.
func TestP9HaltReachesTheOtherReplicasClients(t *testing.T) {
	h := build(t, 2, nil)
	s := h.agent("kiro", "alice")
	conn := h.connect(1, s)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "UPDATE orders SET note = 'gone' WHERE id = 1"); err != nil {
		t.Fatal(err)
	}
	if err := h.as(0, "bob").Halt(t.Context(),
		client.Halt{Scope: "session", Name: string(s.Session.ID), Reason: "odd"}); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err == nil {
		t.Error("COMMIT went through after the halt")
	}
	if n := h.number("SELECT count(*) FROM orders WHERE note = 'gone'"); n != 0 {
		t.Error("the open transaction was not rolled back")
	}
	eventually(t, "reads are refused", func() bool {
		_, err := conn.Exec(t.Context(), "SELECT 1")
		return err != nil
	})
	if _, err := pgx.Connect(t.Context(), h.dsn(1, s, "")); err == nil {
		t.Error("a halted session logged in again")
	}
}

// The statement that looks scoped and is not: measured, undone, held, data
// unchanged; cascades count.
func TestCeilingCountsCascadesAndUndoes(t *testing.T) {
	h := build(t, 1, nil)
	conn := h.connect(0, h.agent("kiro", "alice"))
	// One order by its key; two hundred lines go with it.
	_, err := conn.Exec(t.Context(), "DELETE FROM orders WHERE id = 1")
	if code(err) != "SB001" {
		t.Fatalf("got %v, want it held", err)
	}
	if n := h.number("SELECT count(*) FROM lines WHERE order_id = 1"); n != 200 {
		t.Errorf("%d lines left, want all 200", n)
	}
	hold := h.open(0)
	if _, err := h.as(0, "bob").Answer(t.Context(), hold.ID, true, ""); err != nil {
		t.Fatal(err)
	}
	if hold = must(h.as(0, "bob").Hold(t.Context(), hold.ID)); hold.Status == "open" {
		if _, err := h.as(0, "carol").Answer(t.Context(), hold.ID, true, ""); err != nil {
			t.Fatal(err)
		}
	}
	if tag, err := conn.Exec(t.Context(), "DELETE FROM orders WHERE id = 1"); err != nil || tag.String() != "DELETE 1" {
		t.Fatalf("approved: %q, %v", tag, err)
	}
	if n := h.number("SELECT count(*) FROM lines"); n != 800 {
		t.Errorf("%d lines left, want 800", n)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Promise P1 and P10: everything above is in a log that the auditor's
// verification accepts, and nothing secret is in it.
func TestP10TheLogTellsItAllAndVerifies(t *testing.T) {
	h := build(t, 1, nil)
	s := h.agent("kiro", "alice")
	conn := h.connect(0, s)
	for _, q := range []string{
		"SELECT note FROM orders WHERE note = 'secret-77'",
		"UPDATE orders SET note = 'secret-new' WHERE id = 2",
		"DROP TABLE lines",
		"INSERT INTO orders VALUES (2, 'secret-dup')",
	} {
		conn.Exec(t.Context(), q) // what becomes of each is below
	}
	conn.Close(t.Context())
	h.replicas[0].Close()
	trust, err := proof.ParseKey(h.replicas[0].Verifier(), "test.example/e2e")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	report, err := proof.VerifyLog(t.Context(), proof.Folder(os.DirFS(filepath.Join(h.configs[0].Data, "log"))),
		trust, proof.Options{
			Entry: func(_ int64, e proof.Entry) error {
				switch b := e.Body.(type) {
				case *proof.Intent:
					kinds = append(kinds, "intent "+b.Actions[0].Native)
				case *proof.Outcome:
					kinds = append(kinds, "outcome "+string(b.Result)+b.Code)
				case *proof.Hold:
					kinds = append(kinds, "hold "+b.Actions[0].Native)
				case *proof.Reads:
					kinds = append(kinds, fmt.Sprintf("reads %d", b.Statements))
				}
				return nil
			},
		})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Errorf("the auditor finds: %s", f)
	}
	told := strings.Join(kinds, ", ")
	for _, want := range []string{"reads 1", "intent UPDATE", "outcome done", "hold DROP TABLE", "intent INSERT",
		"outcome failed23505"} {
		if !strings.Contains(told, want) {
			t.Errorf("the log tells %s; want %q in it", told, want)
		}
	}
	if strings.Index(told, "reads 1") > strings.Index(told, "outcome done") {
		t.Errorf("the log tells %s; want the reads before what was written after them", told)
	}
	err = filepath.WalkDir(filepath.Join(h.configs[0].Data, "log"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if data := must(os.ReadFile(path)); strings.Contains(string(data), "secret-") {
			t.Errorf("%s holds a literal", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A restart in the middle: the hold and its approval are still there.
// Promise P4: rows that another transaction commits while an approved statement, in
// a transaction of its own, waits for the table's lock.
func TestP4ApprovedInATransactionIsLookedAtUnderItsLock(t *testing.T) {
	h := build(t, 1, nil)
	s := h.agent("kiro", "alice")
	conn := h.connect(0, s)
	approve := func() client.Hold {
		hold := h.open(0)
		for _, name := range []string{"bob", "carol"} {
			if _, err := h.as(0, name).Answer(t.Context(), hold.ID, true, ""); err != nil {
				t.Fatal(err)
			}
		}
		if hold = must(h.as(0, "bob").Hold(t.Context(), hold.ID)); hold.Status == "open" {
			hold = must(h.as(0, "alice").Confirm(t.Context(), hold.ID))
		}
		if hold.Status != "approved" {
			t.Fatalf("hold is %s: %s", hold.Status, hold.Missing)
		}
		return hold
	}
	drop := func() error {
		return pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "DROP TABLE lines")
			return err
		})
	}
	for _, change := range []string{
		"INSERT INTO lines SELECT n, 1 FROM generate_series(2001, 3000) n",
		"CREATE TABLE parts (id int REFERENCES lines)",
	} {
		if err := drop(); code(err) != "SB001" {
			t.Fatalf("got %v, want it held", err)
		}
		hold := approve()
		other, err := pgx.Connect(t.Context(), h.target.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close(context.Background())
		for _, sql := range []string{"BEGIN", change} {
			if _, err := other.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error, 1)
		go func() { done <- drop() }()
		eventually(t, "the statement waits for the lock", func() bool {
			return h.number("SELECT count(*) FROM pg_locks WHERE relation = 'lines'::regclass AND NOT granted") > 0
		})
		h.aside(func() {
			if _, err := other.Exec(t.Context(), "COMMIT"); err != nil {
				t.Fatal(err)
			}
		})
		if err := <-done; code(err) != "SB001" {
			t.Fatalf("%s meanwhile: got %v, want it held again", change, err)
		}
		if dead := must(h.as(0, "bob").Hold(t.Context(), hold.ID)); dead.Status != "dead" {
			t.Errorf("%s meanwhile: the permit is %s", change, dead.Status)
		}
		if again := h.open(0); again.ID == hold.ID {
			t.Error("no other hold was opened")
		}
		if n := h.number("SELECT count(*) FROM lines"); n < 1000 {
			t.Fatalf("%d lines left", n)
		}
		if change[0] == 'I' {
			// Undisturbed, what was approved anew runs.
			approve()
			if err := drop(); err != nil {
				t.Fatal(err)
			}
			h.sql("CREATE TABLE lines (id int PRIMARY KEY)", "INSERT INTO lines SELECT generate_series(1, 1000)")
		}
	}
}

func TestHoldsSurviveARestart(t *testing.T) {
	h := build(t, 1, nil)
	s := h.agent("kiro", "alice")
	if _, err := h.psql(0, s, "-c", "TRUNCATE lines"); err == nil {
		t.Fatal("TRUNCATE was not held")
	}
	hold := h.open(0)
	if _, err := h.as(0, "bob").Answer(t.Context(), hold.ID, true, ""); err != nil {
		t.Fatal(err)
	}
	h.replicas[0].Close()
	h.start(0)
	if _, err := h.as(0, "carol").Answer(t.Context(), hold.ID, true, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := h.as(0, "alice").Confirm(t.Context(), hold.ID); err != nil {
		t.Fatal(err) // everything at once: the agent's human must say that he means it
	}
	h.replicas[0].Close()
	h.start(0)
	if out, err := h.psql(0, s, "-c", "TRUNCATE lines"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := h.number("SELECT count(*) FROM lines"); n != 0 {
		t.Errorf("%d lines left", n)
	}
}

// What an agent that wants its way can do with the credential that it has.
func TestP5AnAgentsCredentialOpensNothing(t *testing.T) {
	h := build(t, 1, nil)
	s := h.agent("kiro", "alice")
	if _, err := h.psql(0, s, "-c", "DROP TABLE lines"); err == nil {
		t.Fatal("DROP TABLE was not held")
	}
	hold := h.open(0)
	h.tokens["agent"] = s.Credentials["api"]
	agent := h.as(0, "agent")
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"approve":     func() error { _, err := agent.Answer(ctx, hold.ID, true, ""); return err },
		"confirm":     func() error { _, err := agent.Confirm(ctx, hold.ID); return err },
		"mint":        func() error { _, err := agent.OpenSession(ctx, client.NewSession{}); return err },
		"enrol":       func() error { _, err := agent.AddPerson(ctx, client.NewPerson{Name: "mallory"}); return err },
		"policy":      func() error { _, err := agent.ProposePolicy(ctx, client.NewPolicy{}); return err },
		"resume":      func() error { return agent.Resume(ctx, client.Resume{Scope: "all"}) },
		"unfreeze":    func() error { return agent.EndFreeze(ctx, "x", "") },
		"break-glass": func() error { _, err := agent.StartBreakGlass(ctx, client.BreakGlass{}); return err },
		"erase":       func() error { return agent.EraseEntry(ctx, hold.ID, "") },
	} {
		if err := call(); !client.IsStatus(err, 403) && !client.IsStatus(err, 422) {
			t.Errorf("%s: %v, want it forbidden", name, err)
		}
	}
	// Neither is a gate's credential good for the API, nor the API's for a gate.
	h.tokens["agent"] = s.Credentials["orders"]
	if _, err := h.as(0, "agent").Whoami(ctx); !client.IsStatus(err, 401) {
		t.Errorf("a gate's credential at the API: %v", err)
	}
	s.Credentials["orders"] = s.Credentials["api"]
	if _, err := pgx.Connect(ctx, h.dsn(0, s, "")); err == nil {
		t.Error("the API's credential opened the gate")
	}
}
