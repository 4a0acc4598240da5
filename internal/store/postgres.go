package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/signalbox-dev/signalbox/internal/store/db"
)

// Keys of the advisory locks, beside the hash of the schema's name.
const (
	lockMigrate = 1
	lockPublish = 2
)

// postgres keeps everything in one schema of a PostgreSQL database.
type postgres struct {
	pool   *pgxpool.Pool
	schema string
	tell   func()
	log    *slog.Logger

	stop    context.CancelFunc // ends the listener; stopped waits for it
	stopped sync.WaitGroup

	mu        sync.Mutex
	candidate *pgx.Conn // for the publishing lock
	leads     bool      // candidate holds it
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

func openPostgres(ctx context.Context, cfg Config, w *watchers) (_ *postgres, err error) {
	if !schemaName.MatchString(cfg.Schema) {
		return nil, fmt.Errorf("schema %q: must be small letters, digits and _", cfg.Schema)
	}
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, errors.New("its URL cannot be parsed") // the cause would quote the password
	}
	// Bounds on how long one stuck client, or one stuck statement, can keep
	// the head lock from everybody.
	for name, value := range map[string]string{
		"application_name":                    "signalbox",
		"search_path":                         cfg.Schema,
		"lock_timeout":                        "5s",
		"statement_timeout":                   "30s",
		"idle_in_transaction_session_timeout": "10s",
		"default_transaction_isolation":       "read committed",
		"client_encoding":                     "UTF8",
	} {
		pc.ConnConfig.RuntimeParams[name] = value
	}
	if pc.ConnConfig.ConnectTimeout == 0 {
		pc.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	pc.AfterConnect = durable
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, err
	}
	p := &postgres{pool: pool, schema: cfg.Schema, tell: w.tell, log: cfg.Logger}
	if err := p.prepare(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	listening, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	p.stopped.Add(1)
	go p.listen(listening)
	return p, nil
}

// durable makes sure that a commit on this connection is on disk when it is
// answered, whatever the database's default is.
func durable(ctx context.Context, conn *pgx.Conn) error {
	var level string
	if err := conn.QueryRow(ctx, "SHOW synchronous_commit").Scan(&level); err != nil {
		return fmt.Errorf("read synchronous_commit: %w", err)
	}
	if level == "off" {
		if _, err := conn.Exec(ctx, "SET synchronous_commit = on"); err != nil {
			return fmt.Errorf("set synchronous_commit: %w", err)
		}
	}
	return nil
}

// prepare makes the schema, checks that it is ours and migrates it, one
// replica at a time.
func (p *postgres) prepare(ctx context.Context) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var fsync string
	if err := conn.QueryRow(ctx, "SHOW fsync").Scan(&fsync); err != nil {
		return fmt.Errorf("read fsync: %w", err)
	}
	if fsync != "on" {
		p.log.Warn("PostgreSQL runs with fsync = off: a power cut loses what it acknowledged, and damages the log")
	}
	if _, err := conn.Exec(ctx, "SET lock_timeout = '60s'"); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1, hashtext($2))", lockMigrate, p.schema); err != nil {
		return fmt.Errorf("wait for another replica to migrate: %w", err)
	}
	defer func() {
		// The setting and the lock go with the connection.
		conn.Conn().Close(context.WithoutCancel(ctx))
	}()
	if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{p.schema}.Sanitize()); err != nil {
		return fmt.Errorf("create schema %q: %w", p.schema, err)
	}
	rows, err := conn.Query(ctx, "SELECT tablename::text FROM pg_catalog.pg_tables WHERE schemaname = $1 ORDER BY tablename", p.schema)
	if err != nil {
		return fmt.Errorf("read its tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("read its tables: %w", err)
	}
	sqldb := stdlib.OpenDBFromPool(p.pool)
	defer sqldb.Close()
	return migrate(ctx, goose.DialectPostgres, sqldb, tables)
}

func (p *postgres) reads() db.DBTX  { return p.pool }
func (p *postgres) writes() db.DBTX { return p.pool }

// Lead implements [ledger.Shelf] with an advisory lock on a connection of its
// own, which a replica that does not lead keeps to try again.
func (p *postgres) Lead(ctx context.Context) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.candidate != nil
	leads, err := p.lead(ctx)
	if err != nil && kept && ctx.Err() == nil {
		// The connection was from before, and the server may have restarted
		// since: a new one tells.
		leads, err = p.lead(ctx)
	}
	return leads, err
}

// lead asks once. The caller holds p.mu.
func (p *postgres) lead(ctx context.Context) (bool, error) {
	if p.candidate == nil {
		conn, err := pgx.ConnectConfig(ctx, p.pool.Config().ConnConfig)
		if err != nil {
			return false, fmt.Errorf("connect: %w", err)
		}
		p.candidate, p.leads = conn, false
	}
	var err error
	if p.leads {
		err = p.candidate.Ping(ctx)
	} else {
		err = p.candidate.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, hashtext($2))", lockPublish,
			p.schema).Scan(&p.leads)
	}
	if err != nil {
		p.candidate.Close(context.WithoutCancel(ctx)) // and the lock with it
		p.candidate, p.leads = nil, false
		return false, fmt.Errorf("publishing lock: %w", err)
	}
	return p.leads, nil
}

// listen tells the watchers of this process what other replicas notify. While
// there is no connection it tells them every second, for they may have missed
// something.
func (p *postgres) listen(ctx context.Context) {
	defer p.stopped.Done()
	for ctx.Err() == nil {
		err := p.listenOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		p.log.Warn("listening for changes by other replicas was interrupted", "error", err)
		p.tell()
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

func (p *postgres) listenOnce(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, p.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{p.channel()}.Sanitize()); err != nil {
		return err
	}
	for {
		p.tell() // after LISTEN: what came before it was not heard
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}

// channel is what the replicas of this schema notify each other on.
func (p *postgres) channel() string { return "signalbox_" + p.schema }

func (p *postgres) close() {
	p.stop()
	p.stopped.Wait()
	p.mu.Lock()
	if p.candidate != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		p.candidate.Close(ctx)
		cancel()
		p.candidate, p.leads = nil, false
	}
	p.mu.Unlock()
	p.pool.Close()
}

// isLost reports whether an error means that the connection is gone.
func isLost(conn *pgxpool.Conn, err error) bool {
	var e *pgconn.PgError
	return conn.Conn().IsClosed() || errors.As(err, &e) && (e.Code[:2] == "57" || e.Code[:2] == "08")
}
