package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	lite "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store/db"
	"github.com/signalbox-dev/signalbox/internal/store/litepgx"
)

// The statements of the sequencer itself, in SQLite's words.
var (
	addEntry = litepgx.SQL(record(1, func(ctx context.Context,
		q *db.Queries) {
		q.AddEntry(ctx, db.AddEntryParams{})
	}).SQL)
	addSecret = litepgx.SQL(record(1, func(ctx context.Context,
		q *db.Queries) {
		q.AddSecret(ctx, db.AddSecretParams{})
	}).SQL)

	manyEntries = multiply(addEntry)
	manySecrets = multiply(addSecret)
)

const (
	savepoint  = "SAVEPOINT batch"
	release    = "RELEASE batch"
	rollbackTo = "ROLLBACK TO batch"
)

// many is how many rows go in with one statement, if there are as many.
const many = 32

// multiply makes an INSERT of many rows out of one of a row with three columns.
func multiply(query string) string {
	const one = "(?1, ?2, ?3)"
	if !strings.HasSuffix(query, one) {
		panic("store: not an insert of three columns: " + query)
	}
	var b strings.Builder
	b.WriteString(query)
	for i := 1; i < many; i++ {
		fmt.Fprintf(&b, ", (?%d, ?%d, ?%d)", 3*i+1, 3*i+2, 3*i+3)
	}
	return b.String()
}

// sqliteTurn is the sequencer's transaction on SQLite: BEGIN IMMEDIATE is the
// head lock.
type sqliteTurn struct {
	s    *sqlite
	tx   *sql.Tx
	head ledger.Head
	errs []error
	news bool
}

// Begin implements [ledger.Store]. Most groups go through as a whole, and are
// tried so. One in which a batch fails is rolled back and done again with a
// savepoint for each batch.
func (s *sqlite) Begin(ctx context.Context, batches []ledger.Batch) (ledger.Turn, error) {
	// A context that can end would cost a goroutine for each statement, and
	// none of them waits for anything but the disk.
	ctx = context.WithoutCancel(ctx)
	for _, b := range batches {
		for _, c := range b.Changes {
			// Before the transaction: the one connection is busy from then on.
			s.statements.prepare(ctx, litepgx.SQL(c.SQL))
		}
	}
	for _, q := range []string{addEntry, addSecret, manyEntries, manySecrets, savepoint, release, rollbackTo} {
		s.statements.prepare(ctx, q)
	}

	t, err := s.begin(ctx, len(batches))
	if err != nil {
		return nil, err
	}
	if err = t.applyAll(ctx, batches); err != nil && isOwn(err) {
		t.Rollback()
		if t, err = s.begin(ctx, len(batches)); err != nil {
			return nil, err
		}
		err = t.applyEach(ctx, batches)
	}
	if err != nil {
		t.Rollback()
		return nil, s.full(err)
	}
	t.news = news(batches, t.errs)
	return t, nil
}

// full says what to do if err is that the disk is full. Growing the shared
// memory file has an error of its own for it.
func (s *sqlite) full(err error) error {
	var e *lite.Error
	if errors.As(err, &e) && (e.Code() == codes.SQLITE_FULL || e.Code() == codes.SQLITE_IOERR_SHMSIZE) {
		return fmt.Errorf("%w: make room in %q: %w", ledger.ErrFull, s.folder, err)
	}
	return err
}

// begin takes the head lock and reads the head.
func (s *sqlite) begin(ctx context.Context, batches int) (*sqliteTurn, error) {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	t := &sqliteTurn{s: s, tx: tx, errs: make([]error, batches)}
	h, err := db.New(litepgx.Wrap(tx)).Head(ctx)
	if err == nil {
		t.head, err = headOf(h.Size, h.Edge, h.Checkpoint, h.Time)
	}
	if err != nil {
		t.Rollback()
		return nil, fmt.Errorf("read head: %w", err)
	}
	return t, nil
}

// applyAll carries out all batches: their changes in order, then all their
// records. At the first error it stops, and all has to be undone.
func (t *sqliteTurn) applyAll(ctx context.Context, batches []ledger.Batch) error {
	records := 0
	for _, b := range batches {
		if err := t.change(ctx, b.Changes); err != nil {
			return err
		}
		records += len(b.Records)
	}
	entries, secrets := make([]any, 0, 3*records), []any(nil)
	next := t.head.Size
	for _, b := range batches {
		for _, r := range b.Records {
			entries = append(entries, next, r.ID, r.Leaf)
			if r.Key != nil || r.Payload != nil {
				secrets = append(secrets, next, orEmpty(r.Key), orEmpty(r.Payload))
			}
			next++
		}
	}
	if err := t.insert(ctx, manyEntries, addEntry, entries); err != nil {
		return fmt.Errorf("append records: %w", err)
	}
	if err := t.insert(ctx, manySecrets, addSecret, secrets); err != nil {
		return fmt.Errorf("keep what entries hide: %w", err)
	}
	return nil
}

// insert inserts rows of three columns.
func (t *sqliteTurn) insert(ctx context.Context, several, one string, args []any) error {
	for len(args) > 0 {
		query, n := one, 3
		if len(args) >= 3*many {
			query, n = several, 3*many
		}
		if _, err := t.run(ctx, query, args[:n]); err != nil {
			return err
		}
		args = args[n:]
	}
	return nil
}

// applyEach carries out the batches one by one. An error is that the whole
// transaction is lost.
func (t *sqliteTurn) applyEach(ctx context.Context, batches []ledger.Batch) (lost error) {
	next := t.head.Size
	for i, b := range batches {
		if t.errs[i], lost = t.apply(ctx, next, b); lost != nil {
			return lost
		}
		if t.errs[i] == nil {
			next += int64(len(b.Records))
		}
	}
	return nil
}

// apply carries out one batch in a savepoint. The first error is the batch's
// own; the second says that the whole transaction is lost.
func (t *sqliteTurn) apply(ctx context.Context, first int64, b ledger.Batch) (own, lost error) {
	if err := t.exec(ctx, savepoint); err != nil {
		return nil, err
	}
	if own = t.carryOut(ctx, first, b); own == nil {
		return nil, t.exec(ctx, release)
	}
	if !isOwn(own) {
		return nil, own
	}
	if err := t.exec(ctx, rollbackTo); err != nil {
		return nil, err
	}
	return own, t.exec(ctx, release)
}

func (t *sqliteTurn) carryOut(ctx context.Context, next int64, b ledger.Batch) error {
	if err := t.change(ctx, b.Changes); err != nil {
		return err
	}
	for _, r := range b.Records {
		if _, err := t.run(ctx, addEntry, []any{next, r.ID, r.Leaf}); err != nil {
			return entryError(r.ID, next, err)
		}
		if r.Key != nil || r.Payload != nil {
			if _, err := t.run(ctx, addSecret, []any{next, orEmpty(r.Key), orEmpty(r.Payload)}); err != nil {
				return fmt.Errorf("keep what entry %d hides: %w", next, err)
			}
		}
		next++
	}
	return nil
}

func (t *sqliteTurn) change(ctx context.Context, changes []ledger.Statement) error {
	for _, c := range changes {
		rows, err := t.run(ctx, litepgx.SQL(c.SQL), c.Args)
		if err != nil {
			return fmt.Errorf("%s: %w", firstLine(c.SQL), err)
		}
		if c.Rows != ledger.AnyRows && rows != c.Rows {
			return stale(c, rows)
		}
	}
	return nil
}

// run executes a statement and counts the rows it affected or returned.
func (t *sqliteTurn) run(ctx context.Context, query string, args []any) (int64, error) {
	stmt := t.s.statements.get(query)
	if strings.HasPrefix(afterComment(query), "SELECT") {
		var rows *sql.Rows
		var err error
		if stmt != nil {
			rows, err = t.tx.StmtContext(ctx, stmt).QueryContext(ctx, args...)
		} else {
			rows, err = t.tx.QueryContext(ctx, query, args...)
		}
		if err != nil {
			return 0, err
		}
		defer rows.Close()
		var n int64
		for rows.Next() {
			n++
		}
		return n, rows.Err()
	}
	var res sql.Result
	var err error
	if stmt != nil {
		res, err = t.tx.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	} else {
		res, err = t.tx.ExecContext(ctx, query, args...)
	}
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (t *sqliteTurn) exec(ctx context.Context, query string) error {
	if _, err := t.run(ctx, query, nil); err != nil {
		return fmt.Errorf("%s: %w", strings.ToLower(query), err)
	}
	return nil
}

// Head implements [ledger.Turn].
func (t *sqliteTurn) Head() ledger.Head { return t.head }

// Clock implements [ledger.Turn]. SQLite's clock is this machine's.
func (t *sqliteTurn) Clock() time.Time { return time.Time{} }

// Errs implements [ledger.Turn].
func (t *sqliteTurn) Errs() []error { return t.errs }

// Commit implements [ledger.Turn].
func (t *sqliteTurn) Commit(ctx context.Context, h ledger.Head) error {
	set := setHead(h)
	rows, err := t.run(context.WithoutCancel(ctx), litepgx.SQL(set.SQL), set.Args)
	if err != nil {
		return fmt.Errorf("write head: %w", t.s.full(err))
	}
	if rows != 1 {
		return fmt.Errorf("write head: %d rows in place of one: %w", rows, ledger.ErrTampered)
	}
	if err := t.tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", t.s.full(err))
	}
	if t.news {
		t.s.tell()
	}
	return nil
}

// Rollback implements [ledger.Turn].
func (t *sqliteTurn) Rollback() { t.tx.Rollback() }

// isOwn reports whether an error concerns the one batch: SQLite undoes the
// statement alone. After any other (disk full, I/O, memory) it may have rolled
// back everything.
func isOwn(err error) bool {
	if errors.Is(err, ledger.ErrStale) || errors.Is(err, ledger.ErrDuplicate) {
		return true
	}
	if errors.Is(err, ledger.ErrTampered) {
		return false
	}
	var e *lite.Error
	if !errors.As(err, &e) {
		return true // an argument that cannot be bound
	}
	switch e.Code() & 0xff {
	case codes.SQLITE_CONSTRAINT, codes.SQLITE_ERROR, codes.SQLITE_MISMATCH, codes.SQLITE_RANGE, codes.SQLITE_TOOBIG:
		return true
	}
	return false
}

// entryError tells the two constraints on an entry apart: its id was there
// before, or its index, which must not be.
func entryError(id string, idx int64, err error) error {
	var e *lite.Error
	if errors.As(err, &e) && e.Code()&0xff == codes.SQLITE_CONSTRAINT {
		switch {
		case strings.Contains(e.Error(), "entry.idx"):
			return fmt.Errorf("there is an entry %d beyond the head: %w", idx, ledger.ErrTampered)
		case strings.Contains(e.Error(), "entry.id"):
			return fmt.Errorf("record %q: %w", id, ledger.ErrDuplicate)
		}
	}
	return fmt.Errorf("append record %q: %w", id, err)
}

// stale says which condition did not hold, without its arguments: they may be
// secret.
func stale(c ledger.Statement, rows int64) error {
	return fmt.Errorf("%s: %d rows, must be %d: %w", firstLine(c.SQL), rows, c.Rows, ledger.ErrStale)
}

// firstLine names a statement: generated ones begin with a comment that does.
func firstLine(query string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(query), "\n")
	line = strings.TrimPrefix(line, "-- name: ")
	if len(line) > 80 {
		line = line[:80]
	}
	return line
}

// afterComment gives a statement without the comments that it begins with.
func afterComment(query string) string {
	for {
		query = strings.TrimSpace(query)
		if !strings.HasPrefix(query, "--") {
			return query
		}
		_, query, _ = strings.Cut(query, "\n")
	}
}

func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
