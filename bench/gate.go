//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/gate/pgwire"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

// A house is Signalbox as a user would run it: the default policies, SQLite, one
// production gate, a session of a human.
type house struct {
	home    string
	server  *server.Server
	gate    client.Gate
	session client.OpenedSession
}

// open starts a house with a gate. The caller closes it.
func open(ctx context.Context, out io.Writer, gate config.Gate) (h *house, err error) {
	h = &house{}
	defer func() {
		if err != nil {
			h.close()
			err = fmt.Errorf("gate: %w", err)
		}
	}()
	if h.home, err = os.MkdirTemp("", "signalbox-gate-"); err != nil {
		return h, err
	}
	gate.Name, gate.Environment, gate.Listen = "bench", signalbox.Production, "127.0.0.1:0"
	c := config.Config{Data: h.home, Listen: "127.0.0.1:0", Gates: []config.Gate{gate}}
	h.server, err = server.Start(ctx, c.Defaults(),
		slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return h, err
	}
	h.gate = h.server.Gates()[0]
	nobody, err := client.New(client.Config{URL: h.server.URL()})
	if err != nil {
		return h, err
	}
	alice, err := nobody.Login(ctx, client.Login{Code: h.server.Code(), Name: "alice", Groups: []string{"sre"}})
	if err != nil {
		return h, err
	}
	her, err := client.New(client.Config{URL: h.server.URL(), Token: alice.Token})
	if err != nil {
		return h, err
	}
	h.session, err = her.OpenSession(ctx, client.NewSession{Purpose: "measure"})
	return h, err
}

func (h *house) close() {
	if h.server != nil {
		h.server.Close()
	}
	if h.home != "" {
		os.RemoveAll(h.home)
	}
}

// startGate puts Signalbox in front of a PostgreSQL server.
func startGate(ctx context.Context, out io.Writer, behind *pgtest.Server) (route, error) {
	if err := os.Setenv("SIGNALBOX_BENCH_PASSWORD", behind.Password); err != nil {
		return route{}, err
	}
	h, err := open(ctx, out, config.Gate{
		Kind: "postgres",
		Settings: &pgwire.Settings{Upstream: pgwire.Server{
			Host: "127.0.0.1", Port: behind.Port, User: pgtest.User, Database: "bench", TLS: "disable",
			Password: secret.Source{Env: "SIGNALBOX_BENCH_PASSWORD"},
		}},
	})
	if err != nil {
		return route{}, err
	}
	return route{name: "Signalbox", pid: os.Getpid(), close: h.close, env: append(behind.Env("bench"),
		"PGHOST="+h.gate.Host, "PGPORT="+strconv.Itoa(h.gate.Port), "PGUSER="+string(h.session.Session.ID),
		"PGPASSWORD="+h.session.Credentials["bench"],
	)}, nil
}
