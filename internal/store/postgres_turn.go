package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store/db"
)

// Entries and secrets of many batches go in with one statement each. Their
// indexes follow the head row, which is locked but not yet known when this is
// sent. The arrays, of one length, are unnested in the select list, where
// nothing is copied into a tuplestore as it is in FROM.
const (
	addEntries = `INSERT INTO entry (idx, id, leaf)
SELECT h.size + unnest($1::bigint[]), unnest($2::text[]), unnest($3::bytea[]) FROM head h WHERE h.id = 1`
	addSecrets = `INSERT INTO secret (idx, key, payload)
SELECT h.size + unnest($1::bigint[]), unnest($2::bytea[]), unnest($3::bytea[]) FROM head h WHERE h.id = 1`
)

// readClock gives the server's clock in milliseconds.
const readClock = `SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint`

var lockHead = record(1, func(ctx context.Context, q *db.Queries) { q.LockHead(ctx) }).SQL

// postgresTurn is the sequencer's transaction on PostgreSQL. When all batches
// go through it takes two round trips: one that begins, locks the head row,
// and carries everything out in one savepoint; one that writes the new head
// and commits. Only when a batch fails is the work done in smaller savepoints.
type postgresTurn struct {
	p    *postgres
	conn *pgxpool.Conn
	head ledger.Head
	now  time.Time // of the server
	errs []error
	news bool
}

// Begin implements [ledger.Store].
func (p *postgres) Begin(ctx context.Context, batches []ledger.Batch) (ledger.Turn, error) {
	t, lost, err := p.begin(ctx, batches)
	if err != nil && lost && ctx.Err() == nil {
		// A pool keeps connections that died while idle, as after a restart of
		// the server. Nothing was committed, so doing it again is safe.
		p.pool.Reset()
		t, _, err = p.begin(ctx, batches)
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (p *postgres) begin(ctx context.Context, batches []ledger.Batch) (_ *postgresTurn, lost bool, err error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("connect: %w", err)
	}
	t := &postgresTurn{p: p, conn: conn, errs: make([]error, len(batches))}
	if err := t.applyAll(ctx, batches); err != nil {
		lost := isLost(conn, err)
		t.Rollback()
		return nil, lost, fullPostgres(err)
	}
	t.news = news(batches, t.errs)
	return t, false, nil
}

// applyAll carries out the batches, in chunks that grow while they succeed. A
// batch is found to fail only as the first of a chunk: then the state is
// exactly that of the batches before it that went through.
func (t *postgresTurn) applyAll(ctx context.Context, batches []ledger.Batch) error {
	var place int64 // of the next record, after the head's size
	done, size := 0, max(len(batches), 1)
	begun := false
	for done < len(batches) || !begun {
		chunk := batches[done:min(done+size, len(batches))]
		at, own, err := t.try(ctx, !begun, place, chunk)
		switch {
		case err == nil:
			begun = true
		case !t.misfit(err) || len(chunk) == 0:
			return err
		default: // in an open transaction it costs all since the savepoint
			at, own = -1, err
		}
		switch {
		case own == nil:
			for _, b := range chunk {
				place += int64(len(b.Records))
			}
			done += len(chunk)
			size = min(2*size, len(batches))
			if done < len(batches) {
				if err := t.simple(ctx, "RELEASE SAVEPOINT chunk; SAVEPOINT chunk"); err != nil {
					return err
				}
			}
			continue
		case at == 0 || len(chunk) == 1:
			t.errs[done] = own
			done++
			size = 1
		case at > 0:
			size = at // those before it, which went through
		default:
			size = len(chunk) / 2 // it cannot be told which
		}
		// Alone, not in the next pipeline: nothing can be prepared while the
		// transaction is failed.
		undo := "ROLLBACK TO SAVEPOINT chunk"
		if !begun {
			undo = "ROLLBACK" // nothing was begun; this only warns
		}
		if err := t.simple(ctx, undo); err != nil {
			return err
		}
	}
	return nil
}

// misfit reports whether a statement of the chunk could not be prepared. (An
// argument that does not fit its parameter costs pgx the connection, and so
// the whole group; generated code cannot produce one.)
func (t *postgresTurn) misfit(err error) bool {
	var preparing pgx.ErrPreprocessingBatch
	return errors.As(err, &preparing) && isOwnPostgres(err) && !t.conn.Conn().IsClosed()
}

// try sends a chunk in one round trip. If a batch fails, own is its error and
// at its place in the chunk, or -1 if that cannot be told. Then, and only
// then, the savepoint has to be rolled back to.
func (t *postgresTurn) try(ctx context.Context, first bool, place int64, chunk []ledger.Batch) (at int, own,
	err error) {
	var b pgx.Batch
	if first {
		b.Queue("BEGIN")
		b.Queue(lockHead)
		b.Queue(readClock)
		b.Queue("SAVEPOINT chunk")
	}
	entries, secrets := gather(place, chunk)
	for _, batch := range chunk {
		for _, c := range batch.Changes {
			b.Queue(c.SQL, c.Args...)
		}
	}
	if len(entries.places) > 0 {
		b.Queue(addEntries, entries.places, entries.ids, entries.leaves)
	}
	if len(secrets.places) > 0 {
		b.Queue(addSecrets, secrets.places, secrets.keys, secrets.payloads)
	}

	res := t.conn.SendBatch(ctx, &b)
	defer func() {
		// After an own error, Close repeats it.
		if closed := res.Close(); err == nil && own == nil && closed != nil {
			err = closed
		}
	}()
	if first {
		if _, err := res.Exec(); err != nil {
			return 0, nil, fmt.Errorf("begin: %w", err)
		}
		var size, at int64
		var edge, checkpoint []byte
		if err := res.QueryRow().Scan(&size, &edge, &checkpoint, &at); err != nil {
			return 0, nil, fmt.Errorf("lock head: %w", err)
		}
		if t.head, err = headOf(size, edge, checkpoint, at); err != nil {
			return 0, nil, err
		}
		var clock int64
		if err := res.QueryRow().Scan(&clock); err != nil {
			return 0, nil, fmt.Errorf("read clock: %w", err)
		}
		t.now = moment(clock)
		if _, err := res.Exec(); err != nil {
			return 0, nil, fmt.Errorf("savepoint: %w", err)
		}
	}
	for i, batch := range chunk {
		for _, c := range batch.Changes {
			tag, err := res.Exec()
			if err != nil {
				if !isOwnPostgres(err) {
					return 0, nil, fmt.Errorf("%s: %w", firstLine(c.SQL), err)
				}
				if own == nil {
					return i, fmt.Errorf("%s: %w", firstLine(c.SQL), err), nil
				}
				return at, own, nil // the earlier one came first
			}
			if n := tag.RowsAffected(); own == nil && c.Rows != ledger.AnyRows && n != c.Rows {
				at, own = i, stale(c, n)
			}
		}
	}
	if own != nil {
		return at, own, nil
	}
	if len(entries.places) > 0 {
		if _, err := res.Exec(); err != nil {
			var e *pgconn.PgError
			switch {
			case errors.As(err, &e) && e.ConstraintName == "entry_id":
				return -1, fmt.Errorf("record: %w", ledger.ErrDuplicate), nil
			case errors.As(err, &e) && e.ConstraintName == "entry_pkey":
				return 0, nil, fmt.Errorf("there are entries beyond the head: %w", ledger.ErrTampered)
			}
			return 0, nil, fmt.Errorf("append records: %w", err)
		}
	}
	if len(secrets.places) > 0 {
		if _, err := res.Exec(); err != nil {
			return 0, nil, fmt.Errorf("keep what entries hide: %w", err)
		}
	}
	return 0, nil, nil
}

type columns struct {
	places         []int64
	ids            []string
	leaves         [][]byte
	keys, payloads [][]byte
}

// gather turns the records of a chunk into columns.
func gather(place int64, chunk []ledger.Batch) (entries, secrets columns) {
	for _, b := range chunk {
		for _, r := range b.Records {
			entries.places = append(entries.places, place)
			entries.ids = append(entries.ids, r.ID)
			entries.leaves = append(entries.leaves, r.Leaf)
			if r.Key != nil || r.Payload != nil {
				secrets.places = append(secrets.places, place)
				secrets.keys = append(secrets.keys, orEmpty(r.Key))
				secrets.payloads = append(secrets.payloads, orEmpty(r.Payload))
			}
			place++
		}
	}
	return entries, secrets
}

// simple runs a statement without preparing it.
func (t *postgresTurn) simple(ctx context.Context, query string) error {
	if _, err := t.conn.Conn().PgConn().Exec(ctx, query).ReadAll(); err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	return nil
}

// Head implements [ledger.Turn].
func (t *postgresTurn) Head() ledger.Head { return t.head }

// Clock implements [ledger.Turn].
func (t *postgresTurn) Clock() time.Time { return t.now }

// Errs implements [ledger.Turn].
func (t *postgresTurn) Errs() []error { return t.errs }

// Commit implements [ledger.Turn].
func (t *postgresTurn) Commit(ctx context.Context, h ledger.Head) (err error) {
	var b pgx.Batch
	set := setHead(h)
	b.Queue(set.SQL, set.Args...)
	if t.news {
		b.Queue("SELECT pg_notify($1, '')", t.p.channel())
	}
	b.Queue("COMMIT")
	res := t.conn.SendBatch(ctx, &b)
	tag, err := res.Exec()
	if err == nil && tag.RowsAffected() != 1 {
		err = fmt.Errorf("%d head rows in place of one: %w", tag.RowsAffected(), ledger.ErrTampered)
	}
	if err == nil && t.news {
		_, err = res.Exec()
	}
	if err == nil {
		tag, err = res.Exec()
		if err == nil && tag.String() != "COMMIT" {
			err = fmt.Errorf("server answered %q to COMMIT", tag)
		}
	}
	if closed := res.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("commit: %w", fullPostgres(err))
	}
	t.conn.Release()
	t.conn = nil
	if t.news {
		t.p.tell()
	}
	return nil
}

// Rollback implements [ledger.Turn].
func (t *postgresTurn) Rollback() {
	if t.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if t.conn.Conn().IsClosed() || t.simple(ctx, "ROLLBACK") != nil {
		t.conn.Conn().Close(ctx) // the server rolls back when it sees it go
	}
	t.conn.Release()
	t.conn = nil
}

// fullPostgres says what to do if err is that the server's disk is full.
func fullPostgres(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == "53100" {
		return fmt.Errorf("%w: make room on the disk of the PostgreSQL server: %w", ledger.ErrFull, err)
	}
	return err
}

// isOwnPostgres reports whether an error is the fault of the statement: wrong
// data, a constraint, a wrong name. Anything else (a time-out, a full disk, a
// lost connection) concerns the whole transaction.
func isOwnPostgres(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		// Found wrong before it was sent, such as an argument that does not
		// fit; or the connection broke, and then the next step says so.
		return false
	}
	switch e.Code[:2] {
	case "21", "22", "23", "42", "P0":
		return true
	}
	return false
}
