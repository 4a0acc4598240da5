// Package litepgx lets queries that were generated for pgx run on SQLite
// through database/sql.
//
// The one thing to know: it rewrites the little that differs in the SQL that
// this project allows itself (see [SQL]) and leaves types to database/sql, so
// columns are integers, booleans, text and bytes, and times are integers.
package litepgx

import (
	"context"
	"database/sql"
	"errors"
	"regexp"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A Querier is what *sql.DB, *sql.Conn and *sql.Tx have in common.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// DBTX is a Querier in the form that generated code wants. It is as safe for
// concurrent use as its Querier.
type DBTX struct{ q Querier }

// Wrap gives q in the form that generated code wants.
func Wrap(q Querier) *DBTX { return &DBTX{q: q} }

// Exec runs a statement. The tag tells the rows affected and nothing else.
func (d *DBTX) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	res, err := d.q.ExecContext(ctx, SQL(query), args...)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	return tag(n), nil
}

// Query runs a statement that returns rows.
func (d *DBTX) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	r, err := d.q.QueryContext(ctx, SQL(query), args...)
	if err != nil {
		return nil, err
	}
	return &rows{rows: r}, nil
}

// QueryRow runs a statement that returns one row.
func (d *DBTX) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	return d.q.QueryRowContext(ctx, SQL(query), args...)
}

// rows implements of [pgx.Rows] what generated code calls. The interface is
// embedded, and nil, because pgx adds methods to it from time to time.
type rows struct {
	pgx.Rows
	rows *sql.Rows
	err  error
}

func (r *rows) Next() bool             { return r.rows.Next() }
func (r *rows) Scan(dest ...any) error { return r.rows.Scan(dest...) }
func (r *rows) Err() error             { return errors.Join(r.rows.Err(), r.err) }
func (r *rows) Close()                 { r.err = r.rows.Close() }

// tag spells a number of rows as PostgreSQL does, for pgconn to read.
func tag(n int64) pgconn.CommandTag {
	var digits [20]byte
	i := len(digits)
	for {
		i--
		digits[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			break
		}
	}
	return pgconn.NewCommandTag("UPDATE " + string(digits[i:]))
}

var (
	parameter = regexp.MustCompile(`\$(\d+)`)
	cast      = regexp.MustCompile(`::[a-z]+`)
	rowLock   = regexp.MustCompile(`\s+FOR UPDATE(\s+SKIP LOCKED)?`)
	rewritten sync.Map // string → string; as many as there are generated queries
)

// SQL rewrites a statement for SQLite: $1 becomes ?1, since SQLite takes $1
// for a name and numbers names by first appearance; ::casts are dropped, since
// values have types of their own; row locks are dropped, since a SQLite write
// transaction excludes all others. No string literal in our statements holds
// any of these.
func SQL(query string) string {
	if s, ok := rewritten.Load(query); ok {
		return s.(string)
	}
	s := parameter.ReplaceAllString(query, `?$1`)
	s = cast.ReplaceAllString(s, "")
	s = strings.TrimSpace(rowLock.ReplaceAllString(s, ""))
	rewritten.Store(query, s)
	return s
}
