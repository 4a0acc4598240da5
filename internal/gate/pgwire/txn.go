package pgwire

import (
	"fmt"

	"github.com/signalbox-dev/signalbox/internal/gate"
)

// A phase says where a transaction stands, as far as the gate has to do with it.
// doc.go says what may be sent in each.
type phase uint8

// The phases.
const (
	none         phase = iota // nothing is provisional
	implicit                  // part of an implicit transaction has run, and its Sync is due
	ours                      // a block of the gate's around the client's implicit transaction
	oursReading               // the same, READ ONLY behind a savepoint of the gate's
	block                     // a block of the client's
	blockReading              // the same, READ ONLY behind a savepoint of the gate's
	failed                    // a block of the client's, in which the server refuses all but its end
	committing                // the COMMIT of a client's block is being decided: refused, it becomes a ROLLBACK
	phaseCount
)

var phaseNames = [phaseCount]string{
	"none", "implicit", "ours", "ours, reading", "block", "block, reading", "failed", "committing",
}

func (p phase) String() string {
	if p < phaseCount {
		return phaseNames[p]
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// phaseAfter are the phases to which each may change. A transaction that has ended
// begins again with none, from wherever it was.
var phaseAfter = [phaseCount][]phase{
	none:         {implicit, ours, block, failed},
	implicit:     {none, ours},
	ours:         {oursReading, block, committing},
	oursReading:  {ours, blockReading, committing},
	block:        {blockReading, failed, committing, none},
	blockReading: {block, failed, committing, none},
	failed:       {block, none},
	committing:   {},
}

// reading reports whether a savepoint of the gate's keeps what runs from writing.
func (p phase) reading() bool { return p == oursReading || p == blockReading }

// own reports whether the block is the gate's.
func (p phase) own() bool { return p == ours || p == oursReading }

// A txn is what is provisional on the server. COMMIT is the action: until then
// nothing of it has happened, and one intent lists it all.
type txn struct {
	phase      phase
	admissions []gate.Admission // of what was executed, reads left out
	claims     []claim          // of the same, one for each
	undone     []claim          // of what a ROLLBACK TO has undone
	atOnce     []claim          // of what ran in it under an intent of its own: see executeAtOnce
	savepoints []savepoint
	changed    int64 // rows that the server reported as changed
	from       int64 // statements sent to the server before it began

	// As the server told before the first write; see takeBase.
	base  map[uint32]touchedRelation // rows counted; nil: not asked
	began string                     // which transaction it is

	// What its end may change back.
	names   bool // what names mean was changed in it
	objects bool // and objects may have been changed
	renamed bool // and been given other names
}

type savepoint struct {
	name       string
	admissions int // how many came before it
}

// to changes the phase. One that the table does not have is a defect of the gate,
// and ends the connection: the server then rolls back.
func (t *txn) to(next phase) {
	if t.phase == next {
		return
	}
	for _, p := range phaseAfter[t.phase] {
		if p == next {
			t.phase = next
			return
		}
	}
	panic(fmt.Sprintf("transaction: %s cannot follow %s", next, t.phase))
}

// reported takes in the server's transaction status, and gives the phase.
func (t *txn) reported(status byte) phase {
	switch p := t.phase; status {
	case 'I':
		if p == block || p == blockReading || p == failed {
			t.to(none) // the server ended it for reasons of its own
		}
	case 'T':
		if p == none || p == failed {
			t.to(block)
		}
	case 'E':
		if p == none || p == block || p == blockReading {
			t.to(failed)
		}
	}
	return t.phase
}

// flushed notes that part of an implicit transaction runs before its Sync.
func (t *txn) flushed() {
	if t.phase == none {
		t.to(implicit)
	}
}

// synced notes that a Sync has ended an implicit transaction.
func (t *txn) synced() {
	if t.phase == implicit {
		t.to(none)
	}
}

// read makes the block READ ONLY for what comes next, or writable again, and gives
// the statements that do so on the server.
func (t *txn) read(only bool) []string {
	switch {
	case only == t.phase.reading():
		return nil
	case only && t.phase == ours:
		t.to(oursReading)
	case only:
		t.to(blockReading)
	case t.phase == oursReading:
		t.to(ours)
	default:
		t.to(block)
	}
	if only {
		return beginReading
	}
	return endReading
}

// Reads of an agent run READ ONLY within a transaction that may write, too, so
// that the server itself keeps to the verdict: behind a savepoint of ours, which
// is released before anything else is forwarded. Nothing that runs behind it can
// make it writable again: PostgreSQL refuses that in a subtransaction.
var (
	beginReading = []string{`SAVEPOINT "signalbox read"`, setReadOnly}
	endReading   = []string{`RELEASE SAVEPOINT "signalbox read"`}
)

const setReadOnly = "SET LOCAL transaction_read_only = on"

// add notes an admitted request that was forwarded: its effects are provisional.
func (t *txn) add(a gate.Admission, cl claim) {
	t.admissions = append(t.admissions, a)
	t.claims = append(t.claims, cl)
}

// take gives what was admitted so far, for an intent: from here on the
// transaction's end decides nothing about it.
func (t *txn) take() []gate.Admission {
	as := t.admissions
	t.admissions = nil
	return as
}

// limited reports whether touched rows must be measured before COMMIT.
func (t *txn) limited() bool {
	for _, a := range t.admissions {
		if a.Limited() {
			return true
		}
	}
	return false
}

// mark notes a SAVEPOINT of the client's.
func (t *txn) mark(name string) {
	t.savepoints = append(t.savepoints, savepoint{name, len(t.admissions)})
}

// find gives the index of the last savepoint of a name, or -1.
func (t *txn) find(name string) int {
	for i := len(t.savepoints) - 1; i >= 0; i-- {
		if t.savepoints[i].name == name {
			return i
		}
	}
	return -1
}

// release notes a RELEASE of the client's.
func (t *txn) release(name string) {
	if i := t.find(name); i >= 0 {
		t.savepoints = t.savepoints[:i]
	}
}

// rollbackTo notes a ROLLBACK TO of the client's. It gives what was undone; ok is
// false when there is no such savepoint.
func (t *txn) rollbackTo(name string) (undone []gate.Admission, ok bool) {
	i := t.find(name)
	if i < 0 {
		return nil, false
	}
	n := t.savepoints[i].admissions
	undone = t.admissions[n:]
	t.admissions = t.admissions[:n]
	t.undone = append(t.undone, t.claims[n:]...)
	t.claims = t.claims[:n:n]
	t.savepoints = t.savepoints[:i+1]
	return undone, true
}

// unmeasured is the name under which changes stand that the server reported
// but did not count: those of foreign tables, and by triggers of views.
const unmeasured = "(not counted by table)"

// touched gives the rows by which now exceeds the base, by table; those of
// PostgreSQL's own tables apart.
func (t *txn) touched(now map[uint32]touchedRelation) (touched, system map[string]int64) {
	touched, system = make(map[string]int64), make(map[string]int64)
	var total int64
	for id, n := range now {
		rows := n.rows - t.base[id].rows
		if rows < 0 {
			rows = n.rows // cannot be: nothing is reported within a transaction
		}
		switch {
		case rows == 0:
		case id < firstUser:
			system[n.name] += rows
		default:
			total += rows
			if !n.temp {
				touched[n.name] += rows
			}
		}
	}
	if t.changed > total {
		touched[unmeasured] = t.changed - total
	}
	return touched, system
}
