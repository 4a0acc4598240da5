package interlock

import (
	"time"

	"github.com/signalbox-dev/signalbox"
)

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
