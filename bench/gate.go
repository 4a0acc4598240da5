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
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

// startGate puts Signalbox in front of the server, as a user would run it: the
// default policies, SQLite, a production gate, a session of a human.
func startGate(ctx context.Context, out io.Writer, behind *pgtest.Server) (route, error) {
	home, err := os.MkdirTemp("", "signalbox-gate-")
	if err != nil {
		return route{}, err
	}
	fail := func(err error) (route, error) {
		os.RemoveAll(home)
		return route{}, fmt.Errorf("gate: %w", err)
	}
	if err := os.Setenv("SIGNALBOX_BENCH_PASSWORD", behind.Password); err != nil {
		return fail(err)
	}
	c := config.Config{
		Data: home, Listen: "127.0.0.1:0",
		Gates: []config.Gate{{
			Name: "bench", Kind: "postgres", Environment: signalbox.Production, Listen: "127.0.0.1:0",
			Upstream: config.Upstream{
				Host: "127.0.0.1", Port: behind.Port, User: pgtest.User, Database: "bench", TLS: "disable",
				Password: config.Secret{Env: "SIGNALBOX_BENCH_PASSWORD"},
			},
		}},
	}
	s, err := server.Start(ctx, c.Defaults(), slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return fail(err)
	}
	stop := func() {
		s.Close()
		os.RemoveAll(home)
	}
	nobody, err := client.New(client.Config{URL: s.URL()})
	if err != nil {
		stop()
		return fail(err)
	}
	alice, err := nobody.Login(ctx, client.Login{Code: s.Code(), Name: "alice", Groups: []string{"sre"}})
	if err != nil {
		stop()
		return fail(err)
	}
	her, err := client.New(client.Config{URL: s.URL(), Token: alice.Token})
	if err != nil {
		stop()
		return fail(err)
	}
	opened, err := her.OpenSession(ctx, client.NewSession{Purpose: "measure"})
	if err != nil {
		stop()
		return fail(err)
	}
	gate := s.Gates()[0]
	return route{name: "Signalbox", pid: os.Getpid(), close: stop, env: append(behind.Env("bench"),
		"PGHOST="+gate.Host, "PGPORT="+strconv.Itoa(gate.Port), "PGUSER="+string(opened.Session.ID), "PGPASSWORD="+opened.Credentials["bench"],
	)}, nil
}
