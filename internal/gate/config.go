package gate

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/signalbox-dev/signalbox/internal/interlock/control"
)

// Config is what every gate is told, whatever its protocol.
type Config struct {
	// Gate is what interlock knows of this gate: name, target, environment, wait
	// and ceiling. Its Protocol is set by the gate.
	Gate control.Gate
	// Interlock decides and records.
	Interlock Interlock

	// Hosts are the names that clients know the gate by. Default localhost, 127.0.0.1
	// and ::1.
	Hosts []string
	// TLS serves clients that use TLS. Nil: none can.
	TLS *tls.Config
	// RequireTLS refuses clients that do not use TLS. Default false, for the
	// loopback interface.
	RequireTLS bool
	// ReadEach records every read before its answer is released, instead of
	// summaries that are at most a second late.
	ReadEach bool
	// HoldURL gives the page of a hold, shown in errors. Default: none.
	HoldURL func(id string) string

	// MaxConnections caps client connections. Default 4096.
	MaxConnections int
	// MaxPerSession caps what one session is served at once: connections or
	// requests. The default is the gate's.
	MaxPerSession int

	// Now is the clock. Default [time.Now].
	Now func() time.Time
	// Panicked is told where a defect of our own was caught, for metrics.
	// Default: nobody.
	Panicked func(where string)
	// Logger gets what operators must know. Default: discards.
	Logger *slog.Logger
}

// Complete fills in the defaults for a gate of a protocol, or says what is
// missing.
func (c *Config) Complete(protocol string, maxPerSession int) error {
	c.Gate.Protocol = protocol
	switch {
	case c.Gate.Name == "":
		return fmt.Errorf("%s gate has no name", protocol)
	case c.Interlock == nil:
		return c.Wrap(errors.New("it has no interlock"))
	case c.RequireTLS && c.TLS == nil:
		return c.Wrap(errors.New("it requires TLS and has no certificate"))
	}
	if len(c.Hosts) == 0 {
		c.Hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	if c.TLS != nil {
		c.TLS = c.TLS.Clone()
		c.TLS.MinVersion = max(c.TLS.MinVersion, tls.VersionTLS12)
	}
	if c.HoldURL == nil {
		c.HoldURL = func(string) string { return "" }
	}
	if c.MaxConnections <= 0 {
		c.MaxConnections = 4096
	}
	if c.MaxPerSession <= 0 {
		c.MaxPerSession = maxPerSession
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Panicked == nil {
		c.Panicked = func(string) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Wrap says of which gate an error is.
func (c *Config) Wrap(err error) error {
	return fmt.Errorf("%s gate %q: %w", c.Gate.Protocol, c.Gate.Name, err)
}

// A Fault is a panic that was caught: a defect of the gate's own.
type Fault struct {
	Value any
	Stack []byte
	// Executing says that an intent was being executed: nobody knows how far.
	Executing bool
}

func (f *Fault) Error() string { return fmt.Sprintf("panic: %v", f.Value) }

// Guard calls f. A panic of f is logged and counted, and given as a [*Fault]: a
// defect must not end all gates, the API and the log with it.
func (c *Config) Guard(where string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = c.Caught(where, v)
		}
	}()
	return f()
}

// Caught accounts for a panic's value. It is called in the function that
// recovered, where the stack is whole; the stack has no values of a request.
func (c *Config) Caught(where string, v any) *Fault {
	f, ok := v.(*Fault)
	if !ok {
		f = &Fault{Value: v, Stack: debug.Stack()}
	}
	c.Panicked(where)
	c.Logger.Error("ALARM: a defect of the gate's own, report it", "gate", c.Gate.Name, "where", where,
		"panic", fmt.Sprint(f.Value), "stack", string(f.Stack))
	return f
}
