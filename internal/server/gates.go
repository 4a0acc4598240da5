package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

// shutdownTime is how long clients may take to let go when a gate closes.
const shutdownTime = 5 * time.Second

func (s *Server) openGates() error {
	if len(s.config.Gates) == 0 {
		return nil
	}
	ca, err := openAuthority(s.config.Data)
	if err != nil {
		return err
	}
	for _, g := range s.config.Gates {
		if err := s.openGate(g, ca); err != nil {
			return fmt.Errorf("gate %q: %w", g.Name, err)
		}
	}
	return nil
}

func (s *Server) openGate(g config.Gate, ca *authority) error {
	kind, err := s.config.KindOf(g)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", g.Listen)
	if err != nil {
		return err
	}
	told, err := tell(g, l.Addr())
	if err != nil {
		l.Close()
		return err
	}
	var pair tls.Certificate
	if g.TLS.Set() {
		pair, err = loadCertificate(g.TLS)
	} else {
		told.CA = string(ca.pem)
		names := []string{told.Host}
		if kind.Subdomains && net.ParseIP(told.Host) == nil {
			names = append(names, "*."+told.Host)
		}
		pair, err = ca.issue(names...)
	}
	if err != nil {
		l.Close()
		return fmt.Errorf("certificate: %w", err)
	}
	p, err := g.Settings.Open(s.gateConfig(g,
		&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}))
	if err != nil {
		l.Close()
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.guarded("gate", func() {
			if err := p.Serve(context.Background(), l); err != nil {
				s.log.Error("gate ended", "gate", g.Name, "error", err)
			}
		})
	}()
	s.later(func() {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
		if err := p.Shutdown(ctx); err != nil {
			s.log.Warn("gate cut its clients", "gate", g.Name, "error", err)
		}
		<-done
	})
	s.open.Lock()
	s.open.gates = append(s.open.gates, told)
	s.open.Unlock()
	s.log.Info("gate open", "gate", g.Name, "kind", g.Kind, "environment", string(g.Environment), "address",
		l.Addr().String(), "target", told.Target)
	return nil
}

// gateConfig is what a gate is told whatever its kind.
func (s *Server) gateConfig(g config.Gate, t *tls.Config) gate.Config {
	return gate.Config{
		Gate: control.Gate{
			Name: g.Name, Target: g.Settings.Target(), Environment: g.Environment, Wait: g.Wait,
			Ceiling: control.Ceiling{Request: g.Ceiling.Request, Total: g.Ceiling.Total},
		},
		Interlock:  gate.Through(s.interlock, s.decisions),
		Hosts:      hostsOf(g),
		TLS:        t,
		RequireTLS: !config.Loopback(g.Listen),
		ReadEach:   g.Reads == config.ReadsEach,
		HoldURL:    func(id string) string { return s.url + "/holds/" + id },
		Now:        s.ledger.Now,
		Panicked:   s.decisions.panicked,
		Logger:     s.log,
	}
}

// tell says how clients reach a gate that listens at addr.
func tell(g config.Gate, addr net.Addr) (client.Gate, error) {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return client.Gate{}, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return client.Gate{}, err
	}
	if named, _, err := net.SplitHostPort(g.Listen); err == nil && net.ParseIP(named) == nil {
		host = named // as the operator wrote it
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if g.Advertise != "" {
		host = g.Advertise
	}
	var more gate.Access
	g.Settings.Tell(&more)
	return client.Gate{
		Name: g.Name, Kind: g.Kind, Environment: g.Environment, Target: g.Settings.Target(),
		Host: host, Port: n, Database: more.Database, Region: more.Region,
	}, nil
}

// hostsOf gives the names that clients reach a gate by.
func hostsOf(g config.Gate) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if host, _, err := net.SplitHostPort(g.Listen); err == nil && net.ParseIP(host) == nil {
		hosts = append(hosts, host)
	}
	if g.Advertise != "" {
		hosts = append(hosts, g.Advertise)
	}
	return hosts
}

// Gates lists the open gates as their clients must know them.
func (s *Server) Gates() []client.Gate {
	s.open.Lock()
	defer s.open.Unlock()
	return append([]client.Gate{}, s.open.gates...)
}
