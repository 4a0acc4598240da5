package server

import (
	"crypto/tls"
	"fmt"

	"github.com/signalbox-dev/signalbox/internal/gate/pgwire"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

func postgresGate(s *Server, g config.Gate, t *tls.Config) (protocol, error) {
	up := pgwire.Upstream{
		Host: g.Upstream.Host, Port: g.Upstream.Port, Database: g.Upstream.Database, User: g.Upstream.User,
		SSLMode: g.Upstream.TLS, RootCA: g.Upstream.CA,
	}
	if g.Upstream.Password.Set() {
		var err error
		if up.Password, err = g.Upstream.Password.Read(); err != nil {
			return nil, fmt.Errorf("password: %w", err)
		}
	}
	return pgwire.New(pgwire.Config{
		Gate: interlock.Gate{
			Name: g.Name, Target: target(g), Environment: g.Environment, Wait: g.Wait,
			Ceiling: interlock.Ceiling{Request: g.Ceiling.Request, Total: g.Ceiling.Total},
		},
		Interlock:  pgwire.Through(s.interlock),
		Upstream:   up,
		TLS:        t,
		RequireTLS: !config.Loopback(g.Listen),
		ReadEach:   g.Reads == config.ReadsEach,
		HoldURL:    func(id string) string { return s.url + "/holds/" + id },
		Logger:     s.log,
	})
}
