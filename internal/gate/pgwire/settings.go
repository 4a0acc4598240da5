package pgwire

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/secret"
)

// Kind is the kind of gates for PostgreSQL.
var Kind = gate.Kind{
	Name:      "postgres",
	Title:     "PostgreSQL",
	Settings:  func() gate.Settings { return new(Settings) },
	Text:      text,
	Variables: variables,
	Leaks:     leaks,
	Harmless:  harmless,
	Explain:   reader,
}

// Settings are what a gate for PostgreSQL is told besides what all gates are.
type Settings struct {
	// Upstream is the server, with the credentials that only the gate knows.
	Upstream Server `yaml:"upstream"`
	// Count is "estimate" (a hold shows how many rows the planner expects a change
	// to touch) or "exact" (they are counted, by a SELECT of at most ten
	// seconds). Default estimate.
	Count string `yaml:"count"`
	// MaxConnections is how many connections one session may have open. Each may
	// have one to the server behind the gate. Default 32.
	MaxConnections int `yaml:"max_connections"`
	// Limits bound how long clients may keep what others wait for.
	Limits Limits `yaml:"limits"`
}

// The ways to tell how many rows a held change would touch.
const (
	CountEstimate = "estimate"
	CountExact    = "exact"
)

// A Server is a PostgreSQL server behind a gate.
type Server struct {
	Host     string        `yaml:"host"`     // name or address, or the folder of a Unix socket
	Port     int           `yaml:"port"`     // default 5432
	Database string        `yaml:"database"` // the database that clients reach; default the user's name
	User     string        `yaml:"user"`     // the role that the gate logs in as
	Password secret.Source `yaml:"password"` // default: none, for trust or peer authentication
	// TLS is "disable", "require" (encrypted, not authenticated), "verify-ca"
	// or "verify-full", as libpq's sslmode. Default verify-full; on a Unix
	// socket or a loopback address TLS is used where the server offers it.
	TLS string `yaml:"tls"`
	// Auth lists how the gate may prove itself to the server, as libpq's
	// require_auth: scram-sha-256, md5, password, none, with commas between. Default
	// scram-sha-256 where there is a password.
	Auth string `yaml:"auth"`
	// CA is a PEM file with the authorities that are trusted, for verify-ca and
	// verify-full. Default those of the system.
	CA gate.File `yaml:"ca"`
}

var _ gate.Settings = (*Settings)(nil)

// Defaults implements [gate.Settings].
func (s *Settings) Defaults() {
	if s.Count == "" {
		s.Count = CountEstimate
	}
	if s.MaxConnections == 0 {
		s.MaxConnections = defaultPerSession
	}
	s.Limits = s.Limits.withDefaults()
	u := &s.Upstream
	if u.Auth == "" && u.Password.Set() {
		u.Auth = defaultAuth
	}
	if u.Port == 0 {
		u.Port = defaultPort
	}
	if u.Database == "" {
		u.Database = u.User
	}
}

// Check implements [gate.Settings].
func (s *Settings) Check(r gate.Report) {
	r.OneOf("count", s.Count, CountEstimate, CountExact)
	if s.MaxConnections < 1 || s.MaxConnections > 4096 {
		r.Problem("max_connections", "must be between 1 and 4096", "")
	}
	u := s.Upstream
	if u.Host == "" {
		r.Problem("upstream.host", "missing", "name the host of the database server")
	}
	if u.User == "" {
		r.Problem("upstream.user", "missing", "name the database role that the gate logs in as")
	}
	if u.Port < 1 || u.Port > 65535 {
		r.Problem("upstream.port", strconv.Itoa(u.Port)+" is not a port", "")
	}
	r.OneOf("upstream.tls", u.TLS, "", "disable", "require", "verify-ca", "verify-full")
	for method := range strings.SplitSeq(u.Auth, ",") {
		r.OneOf("upstream.auth", method, "", "scram-sha-256", "md5", "password", "none")
	}
}

// Target implements [gate.Settings].
func (s *Settings) Target() string {
	u := s.Upstream
	return "postgres://" + net.JoinHostPort(u.Host, strconv.Itoa(u.Port)) + "/" + u.Database
}

// Tell implements [gate.Settings].
func (s *Settings) Tell(a *gate.Access) { a.Database = s.Upstream.Database }

// Open implements [gate.Settings].
func (s *Settings) Open(c gate.Config) (gate.Gate, error) {
	u := s.Upstream
	up := Upstream{Host: u.Host, Port: u.Port, Database: u.Database, User: u.User, SSLMode: u.TLS,
		RootCA: string(u.CA), Auth: u.Auth}
	if u.Password.Set() {
		var err error
		if up.Password, err = u.Password.Read(); err != nil {
			return nil, fmt.Errorf("password: %w", err)
		}
	}
	c.Gate.Patient = true
	c.MaxPerSession = s.MaxConnections
	return New(Config{Config: c, Upstream: up, Limits: s.Limits,
		ExactCounts: s.Count == CountExact})
}
