// Package config reads the one configuration file of a server.
//
// The one thing to know before using it: the file is strict. A key that is not
// known, a value of the wrong kind, a secret written into the file: each is
// refused with its line and a hint, all of them at once, and nothing is started
// with half of a configuration. Secrets come from environment variables or from
// files that only their owner can read (see [secret.Source]).
//
// docs/configuration.md describes the file field by field.
package config

import (
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/secret"
)

// The ports that are used where nothing else is said.
const (
	DefaultListen     = "127.0.0.1:7420" // API, console, log
	DefaultGateListen = "127.0.0.1:7432" // the first gate; the others count upwards
)

// A Config is what a server is told. The zero value, after [Config.Defaults],
// is a working local server: SQLite in ./signalbox-data, loopback only, no
// gates.
type Config struct {
	// Data is the folder of everything that the server keeps: database, keys,
	// certificates, the published log. Default ./signalbox-data, or the folder
	// signalbox-data beside the configuration file.
	Data string `yaml:"data"`
	// Listen is the address of API, console and log. Default 127.0.0.1:7420.
	Listen string `yaml:"listen"`
	// URL is how people reach the server; it stands in the messages that name a
	// hold. Default http(s):// and the address listened at.
	URL string `yaml:"url"`
	// TLS serves API and console over HTTPS. Without it they may be reached
	// from this machine alone, unless Plaintext says otherwise.
	TLS TLS `yaml:"tls"`
	// Plaintext allows HTTP on an address that other machines reach, for a
	// server behind a proxy that ends TLS. Default false.
	Plaintext bool `yaml:"plaintext"`
	// Replica names this server among others on the same database. Default the
	// host's name.
	Replica string `yaml:"replica"`

	// Database is where state and log entries are kept. Default SQLite in Data.
	Database Database `yaml:"database"`
	// MasterKey is the secret that all credentials derive from: 32 bytes in
	// hexadecimal. Default the file master.key in Data, made on first start.
	MasterKey secret.Source `yaml:"master_key"`
	// ReplaceMaster accepts a master key other than that which the database was
	// begun with. It is asked for once, at the start, and never in the file.
	ReplaceMaster bool `yaml:"-" json:"-"`
	// AcceptClock takes this machine's clock for right though the log's last
	// commit was later. It is asked for once, at the start, and never in the file.
	AcceptClock bool `yaml:"-" json:"-"`
	// LowerProtection accepts settings that protect production less than those
	// that were recorded. It is asked for once, at the start, and never in the file.
	LowerProtection bool `yaml:"-" json:"-"`
	// Policies is the folder of the policy set. Default the built-in set.
	Policies string `yaml:"policies"`

	Approvals Approvals `yaml:"approvals"`
	Log       Log       `yaml:"log"`
	Logging   Logging   `yaml:"logging"`
	Limits    Limits    `yaml:"limits"`
	Metrics   Metrics   `yaml:"metrics"`

	// Kinds are the kinds of gate that there are. Default all that the server has.
	Kinds []gate.Kind `yaml:"-" json:"-"`
	// Gates are the entrances, one for each target.
	Gates []Gate `yaml:"gates"`
}

// TLS names a certificate and its key, both PEM files.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"` // must be readable by its owner alone
}

// Set reports whether a certificate is configured.
func (t TLS) Set() bool { return t != TLS{} }

// Database says where state is kept. Zero is SQLite in the data folder.
type Database struct {
	// URL is a postgres:// URL; it may hold a password, so it is a secret.
	URL secret.Source `yaml:"url"`
	// Reserve is how many bytes of the disk SQLite keeps for outcomes, halts
	// and the like, when there is no room for anything else. Default 64 MiB.
	Reserve int64 `yaml:"reserve"`
}

// Approvals are the operator's rules about who may approve.
type Approvals struct {
	// AllowLiveAgents lets a human approve in production while an agent's
	// session acts for him. Default false: the agent could be using his hand.
	AllowLiveAgents bool `yaml:"allow_live_agents"`
	// HoldTime is how long a hold waits for answers. Default 24h.
	HoldTime time.Duration `yaml:"hold_time"`
	// PermitTime is how long an approval stays good where the policy does not
	// say. Default 15m.
	PermitTime time.Duration `yaml:"permit_time"`
}

// Log is about the transparency log.
type Log struct {
	// Origin is the log's name, in every checkpoint: like
	// signalbox.example.com/2026. Default a random name under signalbox.local.
	Origin string `yaml:"origin"`
	// Key is the file of the log's signing key. Default log.key in Data, made
	// on first start.
	Key string `yaml:"key"`
	// Publish is how long committed entries wait at most until the tiles and
	// the checkpoint are published. Default 1s.
	Publish time.Duration `yaml:"publish"`
}

// Logging is about the server's own diagnostics on standard error.
type Logging struct {
	Format string `yaml:"format"` // "text" or "json". Default text on a terminal, json otherwise.
	Level  string `yaml:"level"`  // "debug", "info", "warn" or "error". Default info.
}

// Limits bound what callers may cost.
type Limits struct {
	// Body is the largest request to the API in bytes. Default 4 MiB.
	Body int64 `yaml:"body"`
	// Failures is how many invalid credentials an address may show in a minute
	// before it is told to wait. Default 30.
	Failures int `yaml:"failures"`
	// OpenHolds is how many holds one human's sessions may have open. Default 20.
	OpenHolds int `yaml:"open_holds"`
}

// Metrics is about /metrics.
type Metrics struct {
	// Off does not serve /metrics. Default false.
	Off bool `yaml:"off"`
	// Listen serves /metrics at an address of its own instead of beside the
	// API. Default empty.
	Listen string `yaml:"listen"`
}

// A Gate is an entrance that speaks the protocol of one target.
type Gate struct {
	// Name is how people and policies call the gate. It must be unique.
	Name string `yaml:"name"`
	// Kind is the protocol, by the name of its [gate.Kind].
	Kind string `yaml:"kind"`
	// Environment is where the target stands: production, staging, development
	// or a name of your own, which counts as production. It must be given.
	Environment signalbox.Environment `yaml:"environment"`
	// Listen is the gate's address. Default 127.0.0.1:7432 and upwards, in the
	// order of the file.
	Listen string `yaml:"listen"`
	// TLS is the gate's certificate. Default one for localhost and the
	// listening host, signed by the authority ca.pem in Data.
	TLS TLS `yaml:"tls"`
	// Advertise is the host name that clients connect to, where it is not the
	// host of Listen. A default certificate is made for it.
	Advertise string `yaml:"advertise"`
	// Wait is how long a held request outside a transaction waits for its
	// approvals before the client is told that it is held. Default 0.
	Wait time.Duration `yaml:"wait"`
	// Reads is "summary" (reads are recorded as summaries, at most one second
	// late) or "each" (every read is recorded before its answer is released).
	// Default summary.
	Reads string `yaml:"reads"`
	// Ceiling bounds what agents' changes may touch without approval.
	Ceiling Ceiling `yaml:"ceiling"`

	// Settings are what gates of this kind are told besides, as the kind makes
	// them. Their keys stand among the others.
	Settings gate.Settings `yaml:"-"`
}

// The ways to record reads.
const (
	ReadsSummary = "summary"
	ReadsEach    = "each"
)

// A Ceiling bounds rows touched by an agent's changes in production that
// nobody approved; beyond it they are rolled back and held.
type Ceiling struct {
	Request int64 `yaml:"request"` // by one request, cascades included. Default 100.
	Total   int64 `yaml:"total"`   // by one human's agents on one table in 24 hours. Default 1000.
}
