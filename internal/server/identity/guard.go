// Package identity finds out who calls the API or looks at the console.
//
// The one thing to know: a credential that is valid is never turned away by
// the limit on invalid ones. Credentials have 160 random bits, so the limit
// does not protect against guessing; it keeps failures from costing much, and
// an agent that fails on purpose must not lock its human out.
package identity

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
)

// Errors of a [Guard] besides [session.ErrCredential].
var (
	// ErrMissing says that no credential was given at all.
	ErrMissing = errors.New("no credential was given")
	// ErrTooMany says that too many invalid credentials came from one address.
	ErrTooMany = errors.New("too many invalid credentials from this address: wait a minute")
	// ErrCode says that a one-time code is not valid, or not any more.
	ErrCode = errors.New("the one-time code is not valid: it works once, until the server restarts, and only while nobody is enrolled")
)

// Interlock is what a guard asks.
type Interlock interface {
	// Identify gives who a credential stands for, or session.ErrCredential.
	Identify(ctx context.Context, credential string) (interlock.Caller, error)
	// ConsoleCaller gives who a log-in at the console stands for, or
	// session.ErrCredential.
	ConsoleCaller(ctx context.Context, secret string) (interlock.Caller, error)
	// Bootstrap enrols the first administrator while nobody is enrolled.
	Bootstrap(ctx context.Context, name string, groups []string) (session.Person, string, error)
}

// Config says what a Guard works with.
type Config struct {
	Interlock Interlock
	Failures  int          // invalid credentials an address may show in a minute. Default 30.
	Logger    *slog.Logger // Default: discards.
}

// A Guard is safe for concurrent use.
type Guard struct {
	Config
	code code

	failures *gate.Failures
}

// New makes a guard.
func New(c Config) *Guard {
	if c.Failures <= 0 {
		c.Failures = 30
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Guard{Config: c, failures: gate.NewFailures(gate.FailureLimit{ByAddress: true, Burst: c.Failures})}
}

// Bearer gives the credential in a request's Authorization header, or "".
func Bearer(header string) string {
	scheme, credential, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(credential)
}

// Address gives the address that a request came from, without its port.
func Address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Identify says who the credential stands for. from is the address that it
// came from.
func (g *Guard) Identify(ctx context.Context, from, credential string) (interlock.Caller, error) {
	if credential == "" {
		return interlock.Caller{}, ErrMissing
	}
	c, err := g.Interlock.Identify(ctx, credential)
	return g.known(from, c, err)
}

// IdentifyConsole is [Guard.Identify] for what a console's cookie holds.
func (g *Guard) IdentifyConsole(ctx context.Context, from, secret string) (interlock.Caller, error) {
	if secret == "" {
		return interlock.Caller{}, ErrMissing
	}
	c, err := g.Interlock.ConsoleCaller(ctx, secret)
	return g.known(from, c, err)
}

func (g *Guard) known(from string, c interlock.Caller, err error) (interlock.Caller, error) {
	if errors.Is(err, session.ErrCredential) {
		return interlock.Caller{}, g.failed(from, "credential", err)
	}
	return c, err
}

// failed counts a failure and gives the error to answer with.
func (g *Guard) failed(from, what string, err error) error {
	if g.failures.TooMany(from, "") {
		return ErrTooMany
	}
	g.failures.Add(from, "")
	g.Logger.Warn("invalid "+what, "from", from)
	return err
}
