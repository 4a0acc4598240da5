package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate/pgwire"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

func postgresGate(s *Server, g config.Gate, t *tls.Config) (protocol, error) {
	up := pgwire.Upstream{
		Host: g.Upstream.Host, Port: g.Upstream.Port, Database: g.Upstream.Database, User: g.Upstream.User,
		SSLMode: g.Upstream.TLS, RootCA: g.Upstream.CA, Auth: g.Upstream.Auth,
	}
	if g.Upstream.Password.Set() {
		var err error
		if up.Password, err = g.Upstream.Password.Read(); err != nil {
			return nil, fmt.Errorf("password: %w", err)
		}
	}
	return pgwire.New(pgwire.Config{
		Gate: control.Gate{
			Name: g.Name, Target: target(g), Environment: g.Environment, Wait: g.Wait, Patient: true,
			Ceiling: control.Ceiling{Request: g.Ceiling.Request, Total: g.Ceiling.Total},
		},
		Interlock:   judged{pgwire.Through(s.interlock), s.decisions, g.Name},
		Upstream:    up,
		TLS:         t,
		RequireTLS:  !config.Loopback(g.Listen),
		ReadEach:    g.Reads == config.ReadsEach,
		ExactCounts: g.Count == config.CountExact,
		HoldURL:     func(id string) string { return s.url + "/holds/" + id },
		Panicked:    s.decisions.panicked,
		Logger:      s.log,

		MaxPerSession: g.MaxConnections,
	})
}

// judged counts a gate's decisions and measures how long they take.
type judged struct {
	pgwire.Interlock
	decisions *decisions
	gate      string
}

// Admit implements [pgwire.Interlock].
func (j judged) Admit(ctx context.Context, r interlock.Request, x pgwire.Executor) (pgwire.Admission, error) {
	began := time.Now()
	a, err := j.Interlock.Admit(ctx, r, x)
	j.decisions.seconds.Observe(time.Since(began).Seconds())
	j.decisions.count(j.gate, err)
	return a, err
}

// Do implements [pgwire.Interlock]. How long the target and people took is no
// measure of the decision.
func (j judged) Do(ctx context.Context, r interlock.Request, x pgwire.Executor) (signalbox.Outcome, error) {
	out, err := j.Interlock.Do(ctx, r, x)
	j.decisions.count(j.gate, err)
	return out, err
}
