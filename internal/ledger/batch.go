package ledger

import (
	"errors"
	"fmt"
)

// Limits on what one caller may hand in. MaxLeaf is the format's own limit:
// c2sp.org/tlog-tiles gives an entry's length in 16 bits.
const (
	MaxLeaf    = 1<<16 - 1 // bytes of one leaf
	MaxPayload = 1 << 20   // bytes of one record's payload
	MaxRecords = 256       // records of one batch
	MaxChanges = 1024      // statements of one batch
)

// AnyRows as [Statement.Rows] sets no condition.
const AnyRows int64 = -1

// A Statement is one prepared change of state, or a condition on it. It is
// carried out under the head lock, so it must be short and must not wait.
type Statement struct {
	SQL  string // portable SQL with $1, $2 … for Args, one statement
	Args []any  // string, []byte, int64 or bool, of the type of its parameter
	// Rows is how many rows the statement must affect, or return for a SELECT;
	// any other number makes the batch stale. [AnyRows] accepts all.
	Rows int64
}

// A Record is one log entry, and the secret that opens its hidden fields. The
// secret is kept beside the log, never in it, so that it can be erased
// (see [Erase]) without breaking a proof.
type Record struct {
	ID      string // unique in the log; who asks twice gets [ErrDuplicate]
	Leaf    []byte // what is hashed into the tree and published, 1 to MaxLeaf bytes
	Key     []byte // opens the payload's fields; nil if the entry hides nothing
	Payload []byte // the hidden fields
}

// A Batch is what one caller wants committed as a whole or not at all.
type Batch struct {
	Changes []Statement // in order
	Records []Record    // appended in order, next to each other
	// Vital is for what must be recorded though the disk is full or the clock is
	// wrong, such as outcomes and halts: it may use what [Reserve] holds, and
	// goes with the time of the head. Anything else is refused then, with
	// [ErrFull] or [ErrClock].
	Vital bool
}

// A Receipt says where a batch's records stand and under which checkpoint.
type Receipt struct {
	Index      int64  // of the first record; equal to Size if there was none
	Size       int64  // of the tree that the checkpoint signs
	Checkpoint []byte // signed note, c2sp.org/tlog-checkpoint
}

// Errors of [Log.Commit] that a caller decides by. All but ErrUnknown mean
// that nothing of the batch was done.
var (
	// ErrStale: a statement did not affect as many rows as it must. The state
	// changed since it was read: read it again and decide again.
	ErrStale = errors.New("state changed since it was read")
	// ErrDuplicate: a record of this id is in the log already.
	ErrDuplicate = errors.New("a record with this id is in the log already")
	// ErrUnknown: the batch may have been committed or not, and the database
	// could not be asked. Never act on it as if it had been.
	ErrUnknown = errors.New("not known whether it was committed")
	// ErrFull: there is no room on the disk of the database.
	ErrFull = errors.New("the disk of the database is full")
	// ErrClock: this machine's clock is behind the time of the last commit, or
	// ahead of it and of the database's clock.
	ErrClock = errors.New("clock of this machine is not that of the log")
	// ErrTampered: the database does not hold what was signed. The log refuses
	// all work until a person has looked at it.
	ErrTampered = errors.New("log does not match its signed checkpoint")
	// ErrNotFound: no such entry.
	ErrNotFound = errors.New("no such log entry")
	// ErrErased: the entry hides nothing, or its secret was erased.
	ErrErased = errors.New("secret is not there: erased, or never hidden")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("log is closed")
)

// check refuses what no database should be asked to do.
func (b Batch) check() error {
	if len(b.Records) > MaxRecords || len(b.Changes) > MaxChanges {
		return fmt.Errorf("batch of %d records and %d changes: at most %d and %d", len(b.Records), len(b.Changes),
			MaxRecords, MaxChanges)
	}
	seen := make(map[string]bool, len(b.Records))
	for _, r := range b.Records {
		switch {
		case r.ID == "" || len(r.ID) > 128:
			return fmt.Errorf("record id %q: must have 1 to 128 bytes", r.ID)
		case seen[r.ID]:
			return fmt.Errorf("record id %q twice in one batch: %w", r.ID, ErrDuplicate)
		case len(r.Leaf) == 0 || len(r.Leaf) > MaxLeaf:
			return fmt.Errorf("record %q: leaf of %d bytes, must have 1 to %d", r.ID, len(r.Leaf), MaxLeaf)
		case len(r.Payload) > MaxPayload || len(r.Key) > 1024:
			return fmt.Errorf("record %q: payload of %d and key of %d bytes, at most %d and 1024", r.ID,
				len(r.Payload), len(r.Key), MaxPayload)
		}
		seen[r.ID] = true
	}
	for _, s := range b.Changes {
		if s.SQL == "" {
			return errors.New("batch has an empty statement")
		}
		for i, a := range s.Args {
			switch a.(type) {
			case string, []byte, int64, bool:
			default:
				return fmt.Errorf("statement %q: argument %d is a %T; must be string, []byte, int64 or bool", s.SQL,
					i+1, a)
			}
		}
	}
	return nil
}

// weight is roughly how many bytes the batch sends to the database.
func (b Batch) weight() int {
	n := 0
	for _, s := range b.Changes {
		n += len(s.SQL) + 32*len(s.Args)
		for _, a := range s.Args {
			switch a := a.(type) {
			case string:
				n += len(a)
			case []byte:
				n += len(a)
			}
		}
	}
	for _, r := range b.Records {
		n += len(r.Leaf) + len(r.Key) + len(r.Payload) + 64
	}
	return n
}
