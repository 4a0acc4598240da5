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

// gateKinds are the protocols that gates speak. A new kind of gate is a line
// here, and its name among those that package config knows.
var gateKinds = map[string]func(*Server, config.Gate, *tls.Config) (protocol, error){
	"aws":      awsGate,
	"postgres": postgresGate,
}

// A protocol serves the clients of one gate.
type protocol interface {
	// Serve accepts clients until the gate is shut down.
	Serve(ctx context.Context, l net.Listener) error
	// Shutdown refuses new clients, waits for those connected until ctx ends,
	// and cuts them.
	Shutdown(ctx context.Context) error
}

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
	open, ok := gateKinds[g.Kind]
	if !ok {
		return fmt.Errorf("kind %q is not known", g.Kind)
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
		if g.Kind == "aws" && net.ParseIP(told.Host) == nil {
			names = append(names, "*."+told.Host) // buckets
		}
		pair, err = ca.issue(names...)
	}
	if err != nil {
		l.Close()
		return fmt.Errorf("certificate: %w", err)
	}
	p, err := open(s, g, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
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
	s.log.Info("gate open", "gate", g.Name, "kind", g.Kind, "environment", string(g.Environment), "address", l.Addr().String(), "target", told.Target)
	return nil
}

// gateConfig is what a gate is told whatever its kind.
func (s *Server) gateConfig(g config.Gate, t *tls.Config) gate.Config {
	return gate.Config{
		Gate: control.Gate{
			Name: g.Name, Target: target(g), Environment: g.Environment, Wait: g.Wait,
			Ceiling: control.Ceiling{Request: g.Ceiling.Request, Total: g.Ceiling.Total},
		},
		Interlock:  gate.Through(s.interlock, s.decisions),
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
	return client.Gate{
		Name: g.Name, Kind: g.Kind, Environment: g.Environment, Target: target(g),
		Host: host, Port: n, Database: g.Upstream.Database, Region: g.Upstream.Region,
	}, nil
}

// target names what stands behind a gate: part of every digest and entry.
func target(g config.Gate) string {
	if g.Kind == "aws" {
		return "aws://" + g.Upstream.Account
	}
	return fmt.Sprintf("%s://%s/%s", g.Kind, net.JoinHostPort(g.Upstream.Host, strconv.Itoa(g.Upstream.Port)), g.Upstream.Database)
}

// Gates lists the open gates as their clients must know them.
func (s *Server) Gates() []client.Gate {
	s.open.Lock()
	defer s.open.Unlock()
	return append([]client.Gate{}, s.open.gates...)
}
