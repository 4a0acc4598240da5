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

// ErrNotFound is returned by the reads of [State] when there is no such thing.
var ErrNotFound = errors.New("not found")

// State is what interlock reads, and the statements that it puts into batches
// for the ledger. The store implements it.
//
// Reads see everything that was committed before they began. They never block
// behind a batch being sequenced.
//
// The second half changes nothing: each method gives statements that will, when
// a batch with them is committed, and that make the batch fail with
// [ledger.ErrStale] when what they rest upon no longer holds.
type State interface {
	// KeepMaster keeps value in place of was (nil: of nothing), if that is what
	// is kept, and gives what is kept then: of servers that start at once all
	// get the same.
	KeepMaster(ctx context.Context, was, value []byte) ([]byte, error)

	// Control gives the control state. Cheap enough for once a second, and at
	// once when Changes says so.
	Control(ctx context.Context) (control.State, error)
	// Changes delivers a value soon after the control state, a hold or a
	// session may have changed, in this process or another; values may be
	// merged or spurious. Closed when ctx ends.
	Changes(ctx context.Context) <-chan struct{}

	Session(ctx context.Context, id signalbox.SessionID) (SessionRow, error)
	// Sessions lists sessions, newest first. With live: those neither ended nor
	// expired at now, whose opener has the credentials that he had then.
	Sessions(ctx context.Context, live bool, now time.Time) ([]SessionRow, error)
	// OpenSessionsOf lists the sessions that a person has opened and nobody has
	// ended, whatever became of him.
	OpenSessionsOf(ctx context.Context, person string, now time.Time, limit int) ([]SessionRow, error)
	Person(ctx context.Context, name string) (session.Person, error)
	People(ctx context.Context) ([]session.Person, error)

	Hold(ctx context.Context, id string) (approval.Hold, error)
	// HoldByRetryKey gives the newest hold with this key, whatever its status.
	HoldByRetryKey(ctx context.Context, key string) (approval.Hold, error)
	// Holds lists holds, newest first, of this status ("" for all).
	Holds(ctx context.Context, status approval.Status, limit int) ([]approval.Hold, error)
	// LiveHolds lists the open and approved holds of a person (or automation),
	// newest first.
	LiveHolds(ctx context.Context, owner string) ([]approval.Hold, error)
	// OpenHolds counts the open holds of a person (or automation).
	OpenHolds(ctx context.Context, owner string) (int, error)

	// Intent gives an intent; LastIntent the newest with this retry key.
	Intent(ctx context.Context, id string) (IntentRow, error)
	LastIntent(ctx context.Context, retryKey string) (IntentRow, error)
	// Orphans lists open intents whose owner's lease ended before now.
	Orphans(ctx context.Context, now time.Time, limit int) ([]IntentRow, error)
	// IntentsSince lists a subject's intents opened at or after at, oldest
	// first. A subject is "session/" and a session's id, or what
	// [IntentRow.Subject] holds.
	IntentsSince(ctx context.Context, subject string, at time.Time) ([]IntentRow, error)
	Memory(ctx context.Context, subject string) (MemoryRow, error)

	PolicySet(ctx context.Context, version signalbox.Digest) (PolicyRow, error)
	PolicySets(ctx context.Context) ([]PolicyRow, error)

	// Console gives a log-in at the console by its secret's hash.
	Console(ctx context.Context, hash string) (ConsoleRow, error)

	// Protection gives what was last set by SetProtection, "" before.
	Protection(ctx context.Context) (string, error)
	// Replicas lists the replicas but self whose leases end after now.
	Replicas(ctx context.Context, self string, now time.Time) ([]ReplicaRow, error)

	// RequireEpoch holds only while the control epoch is this one. It is in
	// every batch that lets something through: a halt, a freeze, a policy or a
	// change of people in between makes it stale.
	RequireEpoch(epoch int64) []ledger.Statement
	// RaiseEpoch moves the control epoch from seen to seen+1.
	RaiseEpoch(seen int64) []ledger.Statement

	// RequirePerson holds only while the person is enrolled with this epoch; with
	// admin, as an administrator.
	RequirePerson(name string, epoch int64, admin bool) []ledger.Statement
	// RequireSession holds only while the session lives, as Sessions has it.
	RequireSession(id signalbox.SessionID, now time.Time) []ledger.Statement

	AddSession(SessionRow) []ledger.Statement
	EndSession(id signalbox.SessionID, at time.Time) []ledger.Statement // stale if ended already
	PutPerson(session.Person) []ledger.Statement                        // adds or replaces
	RemovePerson(name string) []ledger.Statement

	// AddHold is stale while another hold of the same retry key is open or
	// approved: one hold per session, target and digest.
	AddHold(h approval.Hold, owner string) []ledger.Statement
	// AddAnswer holds only while the hold is open and this human has not answered
	// with this epoch. It replaces what he answered with an earlier one.
	AddAnswer(hold string, a approval.Answer) []ledger.Statement
	// ConfirmHold holds only while the hold is open.
	ConfirmHold(hold string, epoch int64) []ledger.Statement
	// MoveHold changes the status; stale unless it is from. expires replaces
	// the expiry unless zero; intent and why are recorded.
	MoveHold(hold string, from, to approval.Status, expires time.Time, intent, why string) []ledger.Statement
	// RequireLive holds only while the hold has status and expires after now.
	RequireLive(hold string, status approval.Status, now time.Time) []ledger.Statement
	// EraseHold drops what a hold hides: request, facts, state, salt.
	EraseHold(hold string) []ledger.Statement

	AddIntent(IntentRow) []ledger.Statement
	// SettleIntent holds only while the intent has the status from.
	SettleIntent(id string, from, to IntentStatus, at time.Time, touched map[string]int64) []ledger.Statement
	// PutMemory replaces a subject's memory; stale unless its version is seen
	// (0: there is none yet).
	PutMemory(subject string, seen int64, row MemoryRow) []ledger.Statement

	AddPolicySet(PolicyRow) []ledger.Statement
	SetPolicy(version signalbox.Digest) []ledger.Statement // makes it the active one
	MovePolicy(version signalbox.Digest, status string) []ledger.Statement

	AddHalt(control.Halt) []ledger.Statement // replaces one of the same scope and name
	RemoveHalt(scope control.HaltScope, name string) []ledger.Statement
	AddFreeze(control.Freeze) []ledger.Statement
	EndFreeze(id string, at time.Time) []ledger.Statement
	AddBreakGlass(control.BreakGlass) []ledger.Statement
	EndBreakGlass(id string, at time.Time) []ledger.Statement

	// Lease says that a replica lives until expires.
	Lease(replica string, expires time.Time) []ledger.Statement
	// Register is Lease, and says by which settings the replica works.
	Register(replica string, expires time.Time, settings string) []ledger.Statement
	// RequireAlone holds only while no other replica has a lease.
	RequireAlone(self string, now time.Time) []ledger.Statement
	// RequireSettings holds only while no other replica that has a lease works by
	// other settings.
	RequireSettings(self, settings string, now time.Time) []ledger.Statement
	// SetProtection keeps what protects production; stale unless was is what is
	// kept.
	SetProtection(was, protection string, production bool) []ledger.Statement

	AddConsole(ConsoleRow) []ledger.Statement
	SeeConsole(hash string, now time.Time) []ledger.Statement // stale if it has ended
	EndConsole(hash string) []ledger.Statement                // stale if it has ended
}

// A ConsoleRow is a log-in at the console as it is kept.
type ConsoleRow struct {
	Hash    string // of its secret
	Person  string
	Epoch   int64 // of the person's credentials
	Made    time.Time
	Seen    time.Time // last used, roughly
	Expires time.Time
}

// A ReplicaRow is a replica with its lease.
type ReplicaRow struct {
	Replica  string
	Expires  time.Time
	Settings string // "" for a program that did not say
}

// SessionRow is a session as it is kept.
type SessionRow struct {
	signalbox.Session
	Epoch int64 // of its credentials
}

// IntentStatus is where an intent stands.
type IntentStatus string

// The statuses of an intent. Open becomes one of the others; unknown may be
// followed by a resolution, which does not change the status.
const (
	IntentOpen    IntentStatus = "open"
	IntentDone    IntentStatus = "done"
	IntentFailed  IntentStatus = "failed"
	IntentUnknown IntentStatus = "unknown"
)

// IntentRow is an intent as it is kept beside its log entry.
type IntentRow struct {
	ID       string
	Session  signalbox.SessionID
	Subject  string // whose memory it belongs to besides the session's: "human/alice@orders"
	Gate     string
	Target   string
	Replica  string
	Hold     string
	RetryKey string
	Status   IntentStatus
	Opened   time.Time
	Settled  time.Time
	Actions  []signalbox.Action
	Touched  map[string]int64
}

// MemoryRow is a snapshot of a subject's memory.
type MemoryRow struct {
	Version int64
	At      time.Time // intents opened before At are in Data
	Data    []byte    // JSON of session.Memory
}

// PolicyRow is a policy set as it is kept.
type PolicyRow struct {
	Version signalbox.Digest
	Files   []byte // JSON: [{"name","data"}]
	Status  string // "active", "proposed", "refused", "past"
	By      string
	At      time.Time
}
