package interlock

import (
	"context"
	"errors"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/ledger"
)

// ErrNotFound is returned by a [Reader] when there is no such thing.
var ErrNotFound = errors.New("not found")

// State is where interlock keeps everything but the log. The store implements it.
//
// What is transactional: a change happens in the batch of the ledger that has its
// statements, together with the batch's entries, or not at all. A caller reads,
// decides by what he has read, and commits statements that hold only while that is
// still so. When it is not, [Ledger] answers [ledger.ErrStale], nothing was done,
// and he reads again. Two reads are two moments: nothing but the conditions of a
// batch ties them together.
type State interface {
	Reader
	Statements

	// KeepMaster keeps value in place of was (nil: of nothing), if that is what is
	// kept, and returns what is kept then. It is the one change without a batch: it
	// is needed before there is a log. It is atomic, so that of servers that start at
	// once all get the same.
	KeepMaster(ctx context.Context, was, value []byte) ([]byte, error)
	// Changes delivers a value soon after the control state, a hold or a session may
	// have changed, in this process or another. Values may be merged or spurious. The
	// channel is closed when ctx ends.
	Changes(ctx context.Context) <-chan struct{}
}

// Reader is what interlock, and who shows people what there is, reads of the
// state. Each method sees everything that was committed before it was called, and
// does not wait for a batch that is being committed. For what is not there the
// methods that look for one thing return an error that wraps [ErrNotFound].
type Reader interface {
	// Control returns the control state. It is cheap enough for once a second, and
	// for each time that Changes says so.
	Control(ctx context.Context) (control.State, error)

	// Sessions.

	Session(ctx context.Context, id signalbox.SessionID) (SessionRow, error)
	// Sessions lists sessions, newest first. With live: those neither ended nor
	// expired at now, whose opener has the credentials that he had then.
	Sessions(ctx context.Context, live bool, now time.Time) ([]SessionRow, error)
	// OpenSessionsOf lists the sessions that a person has opened and nobody has
	// ended, whatever became of him.
	OpenSessionsOf(ctx context.Context, person string, now time.Time, limit int) ([]SessionRow, error)
	// Console returns a log-in at the console by its secret's hash.
	Console(ctx context.Context, hash string) (ConsoleRow, error)

	// People.

	Person(ctx context.Context, name string) (session.Person, error)
	People(ctx context.Context) ([]session.Person, error)

	// Holds.

	Hold(ctx context.Context, id string) (approval.Hold, error)
	// HoldByRetryKey returns the newest hold with this key, whatever its status.
	HoldByRetryKey(ctx context.Context, key string) (approval.Hold, error)
	// Holds lists holds, newest first, of this status ("" for all).
	Holds(ctx context.Context, status approval.Status, limit int) ([]approval.Hold, error)
	// LiveHolds lists the open and approved holds of a person (or automation),
	// newest first.
	LiveHolds(ctx context.Context, owner string) ([]approval.Hold, error)
	// OpenHolds counts the open holds of a person (or automation).
	OpenHolds(ctx context.Context, owner string) (int, error)

	// Intents, and the memory of what was done.

	Intent(ctx context.Context, id string) (IntentRow, error)
	// LastIntent returns the newest intent with this retry key.
	LastIntent(ctx context.Context, retryKey string) (IntentRow, error)
	// Orphans lists open intents whose owner's lease ended before now.
	Orphans(ctx context.Context, now time.Time, limit int) ([]IntentRow, error)
	// IntentsSince lists a subject's intents opened at or after at, oldest
	// first. A subject is "session/" and a session's id, or what
	// [IntentRow.Subject] holds.
	IntentsSince(ctx context.Context, subject string, at time.Time) ([]IntentRow, error)
	Memory(ctx context.Context, subject string) (MemoryRow, error)

	// Policies.

	PolicySet(ctx context.Context, version signalbox.Digest) (PolicyRow, error)
	PolicySets(ctx context.Context) ([]PolicyRow, error)

	// Replicas, and the settings that they agree upon.

	// Protection returns what SetProtection kept last, "" before.
	Protection(ctx context.Context) (string, error)
	// Replicas lists the replicas but self whose leases end after now.
	Replicas(ctx context.Context, self string, now time.Time) ([]ReplicaRow, error)
}

// Statements gives the statements that change the state. A method changes
// nothing: its statements do, when a batch with them is committed. They make the
// whole batch fail with [ledger.ErrStale] when what they rest upon does not hold:
// the Require methods are such conditions and nothing else, and of the others
// each says what makes it stale. A method that says nothing is never stale.
type Statements interface {
	// The control state.

	// RequireEpoch is met only while the control epoch is this one. It is in
	// every batch that lets something through: a halt, a freeze, a policy or a
	// change of people in between makes it stale.
	RequireEpoch(epoch int64) []ledger.Statement
	// RaiseEpoch moves the control epoch from seen to seen+1; stale unless it is seen.
	RaiseEpoch(seen int64) []ledger.Statement
	// AddHalt replaces a halt of the same scope and name.
	AddHalt(control.Halt) []ledger.Statement
	// RemoveHalt is stale if there is no such halt.
	RemoveHalt(scope control.HaltScope, name string) []ledger.Statement
	AddFreeze(control.Freeze) []ledger.Statement
	// EndFreeze is stale if the freeze has been ended already.
	EndFreeze(id string, at time.Time) []ledger.Statement
	AddBreakGlass(control.BreakGlass) []ledger.Statement
	// EndBreakGlass is stale if the window has been ended already.
	EndBreakGlass(id string, at time.Time) []ledger.Statement

	// Sessions.

	// RequireSession is met only while the session lives, as Sessions has it.
	RequireSession(id signalbox.SessionID, now time.Time) []ledger.Statement
	AddSession(SessionRow) []ledger.Statement
	// EndSession is stale if the session has been ended already.
	EndSession(id signalbox.SessionID, at time.Time) []ledger.Statement
	AddConsole(ConsoleRow) []ledger.Statement
	// SeeConsole notes when a log-in at the console was last used; stale if it has ended.
	SeeConsole(hash string, now time.Time) []ledger.Statement
	// EndConsole is stale if the log-in has ended.
	EndConsole(hash string) []ledger.Statement

	// People.

	// RequirePerson is met only while the person is enrolled with this epoch; with
	// admin, as an administrator.
	RequirePerson(name string, epoch int64, admin bool) []ledger.Statement
	// PutPerson adds a person, or replaces the one of that name.
	PutPerson(session.Person) []ledger.Statement
	// RemovePerson is stale if there is no such person.
	RemovePerson(name string) []ledger.Statement

	// Holds.

	// RequireLive is met only while the hold has status and expires after now.
	RequireLive(hold string, status approval.Status, now time.Time) []ledger.Statement
	// AddHold is stale while another hold of the same retry key is open or
	// approved: one hold per session, target and digest.
	AddHold(h approval.Hold, owner string) []ledger.Statement
	// AddAnswer is stale unless the hold is open and this human has not answered
	// with this epoch. It replaces what he answered with an earlier one.
	AddAnswer(hold string, a approval.Answer) []ledger.Statement
	// ConfirmHold is stale unless the hold is open.
	ConfirmHold(hold string, epoch int64) []ledger.Statement
	// MoveHold changes the status; stale unless it is from. expires replaces
	// the expiry unless zero; intent and why are recorded.
	MoveHold(hold string, from, to approval.Status, expires time.Time, intent, why string) []ledger.Statement
	// EraseHold drops what a hold hides: request, facts, state, salt. Stale if there
	// is no such hold.
	EraseHold(hold string) []ledger.Statement

	// Intents, and the memory of what was done.

	AddIntent(IntentRow) []ledger.Statement
	// SettleIntent gives an intent its final status; stale unless it has the status
	// from.
	SettleIntent(id string, from, to IntentStatus, at time.Time, touched map[string]int64) []ledger.Statement
	// PutMemory replaces a subject's memory; stale unless its version is seen
	// (0: there is none yet).
	PutMemory(subject string, seen int64, row MemoryRow) []ledger.Statement

	// The log.

	// EraseSecret deletes what an entry hides; stale if there is nothing (any
	// more). It goes in one batch with the record that says so.
	EraseSecret(idx int64) []ledger.Statement

	// Policies.

	// AddPolicySet adds a set, or gives the one that is there already this status.
	AddPolicySet(PolicyRow) []ledger.Statement
	// SetPolicy makes a set the active one; stale if there is no such set.
	SetPolicy(version signalbox.Digest) []ledger.Statement
	// MovePolicy changes a set's status; stale if there is no such set.
	MovePolicy(version signalbox.Digest, status string) []ledger.Statement

	// Replicas, and the settings that they agree upon.

	// Lease says that a replica lives until expires.
	Lease(replica string, expires time.Time) []ledger.Statement
	// Register is Lease, and says by which settings the replica works.
	Register(replica string, expires time.Time, settings string) []ledger.Statement
	// RequireAlone is met only while no other replica has a lease.
	RequireAlone(self string, now time.Time) []ledger.Statement
	// RequireSettings is met only while no other replica that has a lease works by
	// other settings.
	RequireSettings(self, settings string, now time.Time) []ledger.Statement
	// SetProtection keeps what protects production; stale unless was is what is
	// kept.
	SetProtection(was, protection string, production bool) []ledger.Statement
}
