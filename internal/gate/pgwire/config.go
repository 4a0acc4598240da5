package pgwire

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox/internal/gate"
)

// Config says what a gate stands in front of, and how strict it is. MaxPerSession
// is of connections, each of which may have one to the server: 32 if it is not
// given, for PostgreSQL's own default is 100 for everybody.
type Config struct {
	gate.Config
	// Upstream is the server behind the gate.
	Upstream Upstream

	// ExactCounts has the rows counted that a held change would touch, by a
	// SELECT of at most ten seconds, where the planner's estimate is shown
	// otherwise. Default false.
	ExactCounts bool
	// MaxStarting caps connections that have not logged in, and a quarter of it
	// those from one address. The oldest makes room for one more. Default 1024.
	MaxStarting int
	// MaxMessage is the longest message in bytes that must be held whole: a
	// query, or the parameters of one statement. Data of COPY streams and is
	// not bounded by it. Default 64 MiB.
	MaxMessage int
	// Limits bound how long clients may keep what others wait for.
	Limits Limits
	// LoginTimeout bounds a connection's start. Default 20 seconds.
	LoginTimeout time.Duration
}

// Upstream says how to reach the PostgreSQL server behind the gate. The user
// is the one credential that agents never see; it should own what they may
// change and be no superuser.
type Upstream struct {
	Host     string // name or address; a path beginning with / is a Unix socket's folder
	Port     int    // default 5432
	User     string
	Password string
	Database string // default: the user's name
	// SSLMode is as libpq's: disable, require, verify-ca, verify-full. Default
	// verify-full, except for sockets and loopback addresses: prefer.
	SSLMode string
	// RootCA is a file of certificates that the server's is checked against.
	// Default: the system's.
	RootCA string
	// Auth lists how the gate may prove itself to the server, as libpq's
	// require_auth does. Default scram-sha-256 where there is a password, so that
	// it goes to nobody who asks for it in the clear; else whatever is asked for.
	Auth string
	// ConnectTimeout bounds one attempt. Default 10 seconds.
	ConnectTimeout time.Duration
}

// Defaults that settings show and a gate that is made without them has too.
const (
	defaultPort       = 5432
	defaultAuth       = "scram-sha-256"
	defaultPerSession = 32
)

func (c Config) withDefaults() (Config, error) {
	if err := c.Complete(Kind.Name, defaultPerSession); err != nil {
		return c, err
	}
	if c.Upstream.Host == "" || c.Upstream.User == "" {
		return c, c.Wrap(errors.New("upstream needs host and user"))
	}
	if c.Upstream.Port == 0 {
		c.Upstream.Port = defaultPort
	}
	if c.Upstream.Database == "" {
		c.Upstream.Database = c.Upstream.User
	}
	if c.Upstream.SSLMode == "" {
		c.Upstream.SSLMode = "verify-full"
		if local(c.Upstream.Host) {
			c.Upstream.SSLMode = "prefer"
		}
	}
	if c.Upstream.ConnectTimeout <= 0 {
		c.Upstream.ConnectTimeout = 10 * time.Second
	}
	if c.Upstream.Auth == "" && c.Upstream.Password != "" {
		c.Upstream.Auth = defaultAuth
	}
	if c.Gate.Target == "" {
		c.Gate.Target = net.JoinHostPort(c.Upstream.Host, strconv.Itoa(c.Upstream.Port)) + "/" + c.Upstream.Database
	}
	c.Limits = c.Limits.withDefaults()
	if c.MaxStarting <= 0 {
		c.MaxStarting = 1024
	}
	if c.MaxMessage <= 0 {
		c.MaxMessage = 64 << 20
	}
	if c.LoginTimeout <= 0 {
		c.LoginTimeout = 20 * time.Second
	}
	return c, nil
}

// local reports whether host is this machine.
func local(host string) bool {
	if strings.HasPrefix(host, "/") || host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// dialConfig makes pgconn's configuration. Everything that could come from
// environment variables or files of the process is given, so that nothing does.
func (u Upstream) dialConfig() (*pgconn.Config, error) {
	settings := []string{
		"host", u.Host, "port", strconv.Itoa(u.Port), "user", u.User, "dbname", u.Database,
		"sslmode", u.SSLMode, "sslcert", "", "sslkey", "", "sslrootcert", u.RootCA,
		"passfile", os.DevNull, "servicefile", os.DevNull, "connect_timeout",
		strconv.Itoa(max(1, int(u.ConnectTimeout/time.Second))),
		"target_session_attrs", "any", "password", "x", "channel_binding", "prefer", "require_auth", u.Auth,
	}
	var s strings.Builder
	for i := 0; i < len(settings); i += 2 {
		if settings[i+1] == "" {
			continue
		}
		fmt.Fprintf(&s, "%s='%s' ", settings[i], strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(settings[i+1]))
	}
	c, err := pgconn.ParseConfig(s.String())
	if err != nil {
		return nil, fmt.Errorf("upstream %s:%d: %w", u.Host, u.Port, err)
	}
	c.Password, c.RequireAuth = u.Password, u.Auth
	c.RuntimeParams = map[string]string{}
	return c, nil
}

// LogValue keeps the password out of logs.
func (u Upstream) LogValue() slog.Value {
	return slog.StringValue(fmt.Sprintf("%s@%s:%d/%s", u.User, u.Host, u.Port, u.Database))
}
