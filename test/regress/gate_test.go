package regress

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/gate/pgwire"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

// TestThroughGate sends the files through a whole Signalbox that permits a person
// everything: it decides and records each statement, and must not show.
func TestThroughGate(t *testing.T) {
	compare(t, direct, route{name: "gate", env: throughGate, except: exceptGate})
}

// exceptGate are the files that a gate cannot pass unchanged.
var exceptGate = map[string]string{
	"largeobject": "psql moves large objects by calls of the fast path, which the gate refuses: it cannot tell what they do",
}

func throughGate(t *testing.T, upstream *pgtest.Server) []string {
	t.Helper()
	home := memoryDir(t)
	permit := filepath.Join(home, "policies")
	if err := os.Mkdir(permit, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(permit, "all.cedar"),
		[]byte("@id(\"all\")\npermit (principal, action, resource);\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(home, "password")
	if err := os.WriteFile(password, []byte(upstream.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config.Config{
		Data:     filepath.Join(home, "data"),
		Listen:   "127.0.0.1:0",
		Policies: permit,
		Gates: []config.Gate{{
			Name: "regress", Kind: "postgres", Environment: "production", Listen: "127.0.0.1:0",
			Settings: &pgwire.Settings{Upstream: pgwire.Server{
				Host: "127.0.0.1", Port: upstream.Port, Database: database,
				User: pgtest.User, Password: secret.Source{File: password}, TLS: "disable",
			}},
		}},
	}
	s, err := server.Start(t.Context(), c.Defaults(),
		slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)

	api := func(token string) *client.Client {
		c, err := client.New(client.Config{URL: s.URL(), Token: token})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	alice, err := api("").Login(t.Context(), client.Login{Code: s.Code(), Name: "alice", Groups: []string{"sre"}})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := api(alice.Token).OpenSession(t.Context(), client.NewSession{Purpose: "regression files"})
	if err != nil {
		t.Fatal(err)
	}
	gate := s.Gates()[0]
	ca := filepath.Join(home, "ca.pem")
	if err := os.WriteFile(ca, []byte(gate.CA), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{
		"PGHOST=" + gate.Host, "PGPORT=" + strconv.Itoa(gate.Port), "PGDATABASE=" + gate.Database,
		"PGUSER=" + string(opened.Session.ID), "PGPASSWORD=" + opened.Credentials[gate.Name],
		"PGSSLMODE=verify-full", "PGSSLROOTCERT=" + ca, "PGPASSFILE=/dev/null", "PGSERVICEFILE=/dev/null",
	}
}

// memoryDir makes a folder where writing is quick: 20,000 statements are recorded
// before they run and after, and nobody will read this log.
func memoryDir(t *testing.T) string {
	t.Helper()
	home, err := os.MkdirTemp("/dev/shm", "signalbox-regress-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	return home
}
