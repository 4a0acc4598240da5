package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store/db"
)

// record gives the statement that a generated query executes, with the number
// of rows that it must affect or return. So a change is written in SQL once
// and checked by the generator, whether it runs at once or in a batch.
func record(rows int64, query func(context.Context, *db.Queries)) ledger.Statement {
	r := recorder{}
	query(context.Background(), db.New(&r))
	if r.calls != 1 {
		panic("store: a recorded query must be one statement")
	}
	r.statement.Rows = rows
	return r.statement
}

// recorder is a database that remembers the statement and does nothing.
type recorder struct {
	statement ledger.Statement
	calls     int
}

func (r *recorder) note(query string, args []any) {
	r.statement = ledger.Statement{SQL: query, Args: args}
	r.calls++
}

func (r *recorder) Exec(_ context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	r.note(query, args)
	return pgconn.CommandTag{}, nil
}

func (r *recorder) Query(_ context.Context, query string, args ...any) (pgx.Rows, error) {
	r.note(query, args)
	return nil, pgx.ErrNoRows // generated code returns it, and record drops it
}

func (r *recorder) QueryRow(_ context.Context, query string, args ...any) pgx.Row {
	r.note(query, args)
	return noRow{}
}

type noRow struct{}

func (noRow) Scan(...any) error { return pgx.ErrNoRows }
