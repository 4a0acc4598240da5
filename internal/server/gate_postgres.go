package server

import (
	"crypto/tls"
	"fmt"

	"github.com/signalbox-dev/signalbox/internal/gate/pgwire"
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
	c := pgwire.Config{
		Config:      s.gateConfig(g, t),
		Upstream:    up,
		ExactCounts: g.Count == config.CountExact,
	}
	c.Gate.Patient = true
	c.MaxPerSession = g.MaxConnections
	return pgwire.New(c)
}
