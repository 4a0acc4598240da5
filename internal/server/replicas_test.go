package server_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/gate/pgwire"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

// Two servers on one PostgreSQL: held at one, approved at the other, run at the
// first; a session halted at one is cut off at both.
func TestReplicas(t *testing.T) {
	ours, target := pgtest.Shared(t), pgtest.Shared(t)
	shared := t.TempDir()
	t.Setenv("STATE_URL", ours.URL())
	t.Setenv("MASTER_KEY", strings.Repeat("0123456789abcdef", 4))
	t.Setenv("TARGET_PASSWORD", target.Password)
	replica := func(name string) *server.Server {
		return start(t, func(c *config.Config) {
			c.Replica = name
			c.Database.URL = secret.Source{Env: "STATE_URL"}
			c.MasterKey = secret.Source{Env: "MASTER_KEY"}
			c.Log.Origin, c.Log.Key = "signalbox.test/replicas", filepath.Join(shared, "log.key")
			c.Gates = []config.Gate{{
				Name: "orders", Kind: "postgres", Environment: "production", Listen: "127.0.0.1:0",
				Settings: &pgwire.Settings{Upstream: pgwire.Server{Host: "127.0.0.1", Port: target.Port,
					Database: target.Name, User: pgtest.User, Password: secret.Source{Env: "TARGET_PASSWORD"}}},
			}}
		})
	}
	ctx := t.Context()
	one := replica("one")
	alice := enrol(t, one)
	two := replica("two")
	if two.Code() != "" {
		t.Error("the second server has a one-time code although somebody is enrolled")
	}
	bob, err := alice.AddPerson(ctx, client.NewPerson{Name: "bob", Groups: []string{"sre"}})
	if err != nil {
		t.Fatal(err)
	}
	carol, err := alice.AddPerson(ctx, client.NewPerson{Name: "carol", Groups: []string{"sre"}})
	if err != nil {
		t.Fatal(err)
	}
	o, err := alice.OpenSession(ctx, client.NewSession{Agent: "claude"})
	if err != nil {
		t.Fatal(err)
	}
	first, second := through(t, one, o), through(t, two, o)
	direct, err := pgx.Connect(ctx, target.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(ctx)
	if _, err := direct.Exec(ctx, "CREATE TABLE t (id int)"); err != nil { // not the session's own
		t.Fatal(err)
	}
	drop := "DROP TABLE t"
	h := held(t, first, alice, drop)
	for _, token := range []string{bob.Token, carol.Token} {
		if _, err := as(t, two, token).Answer(ctx, h.ID, true, ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := first.Exec(ctx, drop, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Errorf("approved at the other server: %v", err)
	}

	if err := as(t, two, bob.Token).Halt(ctx, client.Halt{Scope: "session", Name: string(o.Session.ID)}); err != nil {
		t.Fatal(err)
	}
	for name, conn := range map[string]*pgx.Conn{"first": first, "second": second} {
		if _, err := conn.Exec(ctx, "CREATE TABLE another (id int)"); err == nil {
			t.Errorf("halted, and yet at the %s server it goes on", name)
		}
	}
	// Both serve one log, under one key.
	if one.Verifier() != two.Verifier() {
		t.Error("two keys for one log")
	}
	a, err := alice.LogHead(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b, err := as(t, two, bob.Token).LogHead(ctx)
	if err != nil || a.Size != b.Size {
		t.Errorf("the log has %d entries at one server, %d at the other (%v)", a.Size, b.Size, err)
	}
}

// A server whose keys are not those of the database refuses to start.
func TestForeignKey(t *testing.T) {
	ours := pgtest.Shared(t)
	t.Setenv("STATE_URL", ours.URL())
	c := config.Config{Data: t.TempDir(), Listen: "127.0.0.1:0",
		Database: config.Database{URL: secret.Source{Env: "STATE_URL"}}, Log: config.Log{Origin: "signalbox.test/a"}}
	s, err := server.Start(t.Context(), c.Defaults(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	c.Data = t.TempDir()
	if s, err := server.Start(t.Context(), c.Defaults(), nil); err == nil ||
		!strings.Contains(err.Error(), "belongs to another log") {
		if err == nil {
			s.Close()
		}
		t.Errorf("another key: got %v", err)
	}
}

// A changed policy folder in front of production is a proposal; a bad one is
// refused and the old one stays.
func TestPolicyFolder(t *testing.T) {
	folder, data := t.TempDir(), t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, "all.cedar"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TARGET_PASSWORD", "none")
	again := func() (*server.Server, error) {
		c := config.Config{Data: data, Listen: "127.0.0.1:0", Policies: folder, Gates: []config.Gate{{
			Name: "orders", Kind: "postgres", Environment: "production", Listen: "127.0.0.1:0",
			Settings: &pgwire.Settings{Upstream: pgwire.Server{Host: "127.0.0.1", Port: 1, User: "nobody",
				Password: secret.Source{Env: "TARGET_PASSWORD"}}},
		}}}
		return server.Start(t.Context(), c.Defaults(), nil)
	}
	write("permit (")
	if s, err := again(); err == nil || !strings.Contains(err.Error(), "all.cedar") {
		if err == nil {
			s.Close()
		}
		t.Fatalf("a bad first set: got %v", err)
	}
	write(`@id("all") permit (principal, action, resource);`)
	s, err := again()
	if err != nil {
		t.Fatal(err)
	}
	token := enrolled(t, s)
	alice := as(t, s, token)
	first, err := alice.Policy(t.Context(), "active")
	if err != nil {
		t.Fatal(err)
	}
	s.Close()

	write(`@id("some") permit (principal, action, resource);`)
	if s, err = again(); err != nil {
		t.Fatal(err)
	}
	alice = as(t, s, token)
	active, err := alice.Policy(t.Context(), "active")
	if err != nil || active.Version != first.Version {
		t.Errorf("a changed folder: version %s is active, want %s as before (%v)", active.Version.Short(),
			first.Version.Short(), err)
	}
	hs, err := alice.Holds(t.Context(), "open", 10)
	if err != nil || len(hs) != 1 || hs[0].Target != "policy" || !strings.Contains(hs[0].Request, `@id("some")`) {
		t.Errorf("holds for the proposal: %+v, %v", hs, err)
	}
	s.Close()

	write("permit (")
	if s, err = again(); err != nil {
		t.Fatalf("a bad changed set: %v", err)
	}
	defer s.Close()
	if status, _ := get(t, s.URL()+"/readyz"); status != http.StatusOK {
		t.Errorf("not ready with the old set: %d", status)
	}
}
