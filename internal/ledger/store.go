package ledger

import (
	"context"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// A Head is the one row that orders the log: how many entries there are, what
// is needed to append, and what was signed.
type Head struct {
	Size       int64
	Edge       []tlog.Hash // stored hashes at torchwood.RightEdge(Size)
	Checkpoint []byte      // signed note; empty only before the first start
	Time       time.Time   // highest time of any commit, in milliseconds
}

// Published is the checkpoint that is, or is about to be, shown to the world.
type Published struct {
	Size       int64
	Checkpoint []byte
}

// A Row is one committed entry.
type Row struct {
	Index int64
	ID    string
	Leaf  []byte
}

// A Store keeps the rows. Its methods may be called concurrently. Every
// replica of a deployment has a Store on the same database.
type Store interface {
	// Begin opens a transaction, locks the head row against every other
	// transaction of any replica, and carries out the batches in order: each
	// batch's changes, then its records at the indexes that follow the head
	// and the records before it. A batch that fails is undone alone.
	//
	// The turn's Errs has one element per batch: nil; an error wrapping
	// [ErrStale] or [ErrDuplicate]; or the statement's own error. An error
	// from Begin itself means that nothing was done and nothing is open.
	Begin(ctx context.Context, batches []Batch) (Turn, error)
	// Head reads the head row without locking it.
	Head(ctx context.Context) (Head, error)
	// Find gives the index of the record with this id, or [ErrNotFound].
	Find(ctx context.Context, id string) (int64, error)
	// Rows calls yield with the committed rows from ≤ index < to, in order
	// and as far as they are there, until it returns an error. The row's
	// bytes belong to yield.
	Rows(ctx context.Context, from, to int64, yield func(Row) error) error
	// Secret gives what was kept beside entry idx, or [ErrErased].
	Secret(ctx context.Context, idx int64) (key, payload []byte, err error)
}

// A Turn is an open transaction that holds the head lock.
type Turn interface {
	// Head is the head row as it was when the lock was taken.
	Head() Head
	// Clock is the database's own clock, read after the turn began; the zero
	// time where the database has none but this machine's.
	Clock() time.Time
	// Errs is what became of each batch, in the order given.
	Errs() []error
	// Commit writes the new head and commits, durably. After an error the
	// caller must not assume either outcome.
	Commit(ctx context.Context, h Head) error
	// Rollback undoes everything. It does nothing after Commit.
	Rollback()
}

// A Shelf keeps the published row and says who may move it.
type Shelf interface {
	// Published reads the published row; the zero value if there is none yet.
	Published(ctx context.Context) (Published, error)
	// Publish replaces the row if its size is still old, and reports whether
	// it did. It is durable when it returns.
	Publish(ctx context.Context, old int64, p Published) (bool, error)
	// Lead reports whether this process is the one that publishes. It stays
	// so until it closes its store or loses its connection. That two might
	// believe it at once is harmless: Publish decides.
	Lead(ctx context.Context) (bool, error)
}
