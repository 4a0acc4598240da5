package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store/db"
)

// Config says where the database is.
type Config struct {
	// URL is a PostgreSQL connection string, postgres://user@host/database.
	// Empty: SQLite at Path.
	URL string
	// Path is a folder for SQLite's files, made if it is not there, or the
	// database file itself if it ends in ".db".
	Path string
	// Schema is the PostgreSQL schema that belongs to Signalbox alone.
	// Default "signalbox".
	Schema string
	// Locked is called when the lock of a SQLite file is held, before the file is
	// opened: for what must not be touched while another process has it. Its error
	// is that of Open. Default: nothing.
	Locked func() error
	// Logger gets what operators must see. Default slog.Default().
	Logger *slog.Logger
}

// Errors of [Open] that a person must decide about.
var (
	// ErrForeign: the file, folder or schema holds something else.
	ErrForeign = errors.New("is not a Signalbox database")
	// ErrNewer: the database was written by a newer Signalbox.
	ErrNewer = errors.New("database is of a newer version of Signalbox")
	// ErrInUse: another process has the SQLite database open.
	ErrInUse = errors.New("database is in use by another process")
)

// A Store is an open database. All methods may be called concurrently.
type Store struct {
	engine
	log *slog.Logger

	watchers watchers
	closing  sync.Once
}

var (
	_ ledger.Store    = (*Store)(nil)
	_ ledger.Shelf    = (*Store)(nil)
	_ interlock.State = (*Store)(nil)
)

// engine is what differs between the two databases.
type engine interface {
	// reads and writes are for single statements outside the sequencer's
	// transaction. What reads sees was committed before.
	reads() db.DBTX
	writes() db.DBTX
	Begin(ctx context.Context, batches []ledger.Batch) (ledger.Turn, error)
	Lead(ctx context.Context) (bool, error)
	close()
}

// Open opens the database, makes it if it is not there, and brings its tables
// up to this version. It refuses one that is foreign, newer or in use.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Locked == nil {
		cfg.Locked = func() error { return nil }
	}
	if cfg.Schema == "" {
		cfg.Schema = "signalbox"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s := &Store{log: cfg.Logger}
	var err error
	switch {
	case cfg.URL != "" && cfg.Path != "":
		return nil, errors.New("open store: give a PostgreSQL URL or a SQLite path, not both")
	case strings.HasPrefix(cfg.URL, "postgres://"), strings.HasPrefix(cfg.URL, "postgresql://"):
		s.engine, err = openPostgres(ctx, cfg, &s.watchers)
		if err != nil {
			return nil, fmt.Errorf("open store %s: %w", redact(cfg.URL), err)
		}
	case cfg.URL != "":
		return nil, fmt.Errorf("open store: URL must begin with postgres://")
	case cfg.Path != "":
		s.engine, err = openSQLite(ctx, cfg, &s.watchers)
		if err != nil {
			return nil, fmt.Errorf("open store %q: %w", cfg.Path, err)
		}
	default:
		return nil, errors.New("open store: give a PostgreSQL URL or a SQLite path")
	}
	return s, nil
}

// redact gives a connection string without its password and parameters.
func redact(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "postgres://…" // the error would quote the password
	}
	u.RawQuery = ""
	return u.Redacted()
}

// Close releases the database. Close the ledger first. It may be called twice.
func (s *Store) Close() {
	s.closing.Do(func() {
		s.watchers.close()
		s.engine.close()
	})
}

func (s *Store) read() *db.Queries { return db.New(s.reads()) }

// headOf makes a head of its columns.
func headOf(size int64, edge, checkpoint []byte, at int64) (ledger.Head, error) {
	h := ledger.Head{Size: size, Checkpoint: checkpoint, Time: moment(at)}
	if len(edge)%tlog.HashSize != 0 {
		return h, fmt.Errorf("head row: edge of %d bytes: %w", len(edge), ledger.ErrTampered)
	}
	for ; len(edge) > 0; edge = edge[tlog.HashSize:] {
		h.Edge = append(h.Edge, tlog.Hash(edge[:tlog.HashSize]))
	}
	return h, nil
}

// setHead is the statement that writes a head.
func setHead(h ledger.Head) ledger.Statement {
	edge := make([]byte, 0, len(h.Edge)*tlog.HashSize)
	for _, hash := range h.Edge {
		edge = append(edge, hash[:]...)
	}
	return record(1, func(ctx context.Context, q *db.Queries) {
		q.SetHead(ctx, db.SetHeadParams{Size: h.Size, Edge: edge, Checkpoint: orEmpty(h.Checkpoint),
			Time: millis(h.Time)})
	})
}
