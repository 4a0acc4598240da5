package proof

import "github.com/signalbox-dev/signalbox"

// A Start is the first leaf of a log.
type Start struct {
	// Origin is the log's name, as in its checkpoints.
	Origin string `json:"origin"`
	// Key is the log's public key in the note format.
	Key string `json:"key"`
	// Version is the version of the product that opened the log.
	Version string `json:"version"`
	// Previous is the checkpoint of the log that this one continues, where
	// there is one. Reserved: nothing writes it yet.
	Previous string `json:"previous,omitempty"`
}

// A SessionStart opens a session. Hidden: its purpose.
type SessionStart struct {
	// Session is the session's id.
	Session signalbox.SessionID `json:"session"`
	// Actor is who acts in it, and for whom.
	Actor signalbox.Actor `json:"actor"`
	// Gates are the gates it may use; left out for all.
	Gates []string `json:"gates,omitempty"`
	// Expires is when it ends by itself.
	Expires Millis `json:"expires"`
	// By is who opened it, where it is not the actor's human.
	By string `json:"by,omitempty"`
}

// A SessionEnd ends a session before its time.
type SessionEnd struct {
	// Session is the session's id.
	Session signalbox.SessionID `json:"session"`
	// By is who ended it.
	By string `json:"by"`
	// Reason is "ended", or "revoked" where another human than its own ended it.
	Reason string `json:"reason"`
}

// A Scope says what a halt stops.
type Scope string

// The scopes of a halt.
const (
	ScopeSession Scope = "session"
	ScopeActor   Scope = "actor" // an actor, and every agent that acts for him
	ScopeGate    Scope = "gate"
	ScopeAll     Scope = "all"
)

// A Halt is the kill switch: from here on nothing in its scope is executed
// until a [Resume] of the same scope and name (promise P9). Hidden: the reason.
type Halt struct {
	// Scope is session, actor, gate or all.
	Scope Scope `json:"scope"`
	// Name is whose; left out for all.
	Name string `json:"name,omitempty"`
	// By is the human who pulled it.
	By string `json:"by"`
}

// A Resume takes back a halt. Hidden: the reason.
type Resume struct {
	// Scope is the scope of the halt taken back.
	Scope Scope `json:"scope"`
	// Name is the name of the halt taken back.
	Name string `json:"name,omitempty"`
	// By is the human who resumed.
	By string `json:"by"`
}

// A FreezeStart opens a window in which nobody changes anything (promise P7).
// Hidden: the reason.
type FreezeStart struct {
	// Freeze is the freeze's id.
	Freeze string `json:"freeze"`
	// Environments that are frozen; left out together with gates for all.
	Environments []signalbox.Environment `json:"environments,omitempty"`
	// Gates that are frozen.
	Gates []string `json:"gates,omitempty"`
	// From is when it begins; left out for at once.
	From Millis `json:"from,omitempty"`
	// Until is when it ends by itself; left out for never.
	Until Millis `json:"until,omitempty"`
	// By is the human who froze.
	By string `json:"by"`
}

// A FreezeEnd ends a freeze before its time. Hidden: the reason.
type FreezeEnd struct {
	// Freeze is the freeze's id.
	Freeze string `json:"freeze"`
	// By is the human who ended it.
	By string `json:"by"`
}

// A BreakGlassStart opens the loud way through: a human's session, named gates
// and verbs, a short time. It never lifts a halt. Hidden: the reason.
type BreakGlassStart struct {
	// ID is the window's id.
	ID string `json:"window"`
	// By is the human who broke the glass.
	By string `json:"by"`
	// Session is the session that may go through; left out for any of his own.
	// Reserved: nothing writes it yet.
	Session signalbox.SessionID `json:"session,omitempty"`
	// Gates that are opened.
	Gates []string `json:"gates,omitempty"`
	// Verbs that are let through.
	Verbs []signalbox.Verb `json:"verbs,omitempty"`
	// Expires is when it closes by itself.
	Expires Millis `json:"expires"`
}

// A BreakGlassEnd closes it before its time. It hides nothing: its digests are
// decoys.
type BreakGlassEnd struct {
	// ID is the window's id.
	ID string `json:"window"`
	// By is the human who closed it.
	By string `json:"by"`
}

// A User entry enrols, changes, revokes or removes a human. Approvals are counted
// against these: what he said before his epoch was raised counts no more.
type User struct {
	// Name is the human's name in the system.
	Name string `json:"name"`
	// Groups are the groups he is in from here on, sorted.
	Groups []string `json:"groups,omitempty"`
	// By is who did it.
	By string `json:"by"`
	// Op is "add", "change", "revoke" (new credentials alone) or "remove".
	Op string `json:"op"`
	// Admin says that he is an administrator from here on: may enrol people and
	// change policies. Entries without an epoch do not tell.
	Admin bool `json:"admin,omitempty"`
	// Epoch is that of his credentials from here on. None of his name has had it.
	Epoch int64 `json:"epoch,omitempty"`
	// Changed says what is different from before: "credentials", "groups",
	// "administrator: given", "administrator: taken".
	Changed []string `json:"changed,omitempty"`
}

// A Login entry says that a human logged in to the console, or out.
type Login struct {
	// Name is the human.
	Name string `json:"name"`
	// Op is "in" or "out".
	Op string `json:"op"`
}

// A Disclosing entry says that hidden fields of an entry were shown to somebody.
type Disclosing struct {
	// Index is the entry's place in the log.
	Index int64 `json:"index"`
	// Entry is the entry's id.
	Entry string `json:"entry"`
	// By is the human who was shown them.
	By string `json:"by"`
	// Fields are the names of the fields.
	Fields []string `json:"fields,omitempty"`
}

// A Settings entry says by which settings a server begins to work.
type Settings struct {
	// Replica is the server.
	Replica string `json:"replica"`
	// Version is the version of the product.
	Version string `json:"version"`
	// Op is "start", or "lower" where an operator accepted settings that protect
	// less than those before.
	Op string `json:"op"`
	// Production says that policies change by approval alone, because a gate
	// stands or stood before production.
	Production bool `json:"production,omitempty"`
	// AllowLiveAgents says that a human may approve in production while an agent
	// session acts for him.
	AllowLiveAgents bool `json:"allow_live_agents,omitempty"`
	// PermitTime is how long an approval stays good where policies do not say, in
	// milliseconds.
	PermitTime int64 `json:"permit_time"`
	// HoldTime is how long a hold waits for answers, in milliseconds.
	HoldTime int64 `json:"hold_time"`
	// OpenHolds is how many holds one human may have open.
	OpenHolds int64 `json:"open_holds"`
	// Gates are the server's gates, sorted by name.
	Gates []GateSetting `json:"gates,omitempty"`
	// Omitted counts gates that are not listed.
	Omitted int `json:"omitted,omitempty"`
	// Changed says what is different from what was recorded before.
	Changed []string `json:"changed,omitempty"`
}

// A GateSetting is one gate of a server.
type GateSetting struct {
	// Name is the gate's name.
	Name string `json:"name"`
	// Protocol is what it speaks.
	Protocol string `json:"protocol"`
	// Environment is where its target stands.
	Environment signalbox.Environment `json:"environment"`
	// Target is what stands behind it.
	Target string `json:"target,omitempty"`
	// Reads is "summary" or "each".
	Reads string `json:"reads,omitempty"`
	// CeilingRequest bounds the rows that one request of an agent may touch in
	// production without approval.
	CeilingRequest int64 `json:"ceiling_request,omitempty"`
	// CeilingTotal bounds those of one human's agents in a day.
	CeilingTotal int64 `json:"ceiling_total,omitempty"`
}

// A Policy entry says that a policy set was proposed, became active, or was
// refused. Hidden: its files' content by name, unless they are longer than 256
// KiB together.
type Policy struct {
	// Version is the hash of the set.
	Version signalbox.Digest `json:"version"`
	// By is who changed it, or the replica that read the folder.
	By string `json:"by"`
	// Status is "proposed", "active" or "refused".
	Status string `json:"status"`
	// Files are the files of the set with their SHA-256, sorted by name.
	Files []PolicyFile `json:"files,omitempty"`
	// Hold is the hold under which a proposal became active.
	Hold string `json:"hold,omitempty"`
}

// A PolicyFile is one file of a policy set.
type PolicyFile struct {
	// Name is its path inside the set.
	Name string `json:"name"`
	// SHA256 is the hash of its content.
	SHA256 signalbox.Digest `json:"sha256"`
}

// An Erase says that the hidden fields of an entry were deleted. Hidden: the
// reason.
type Erase struct {
	// Index is the entry's place in the log.
	Index int64 `json:"index"`
	// Entry is the entry's id.
	Entry string `json:"entry"`
	// By is the human who erased.
	By string `json:"by"`
}

// A Recovery says that a replica took over from one whose lease had ended, and
// how many of its intents became unknown.
type Recovery struct {
	// Replica is the replica that recovered.
	Replica string `json:"replica"`
	// Lost is the replica whose intents were open.
	Lost string `json:"lost,omitempty"`
	// Unknown counts the intents whose outcome became unknown.
	Unknown int64 `json:"unknown"`
}

// Kind gives [KindStart].
func (Start) Kind() Kind { return KindStart }

// Kind gives [KindSessionStart].
func (SessionStart) Kind() Kind { return KindSessionStart }

// Kind gives [KindSessionEnd].
func (SessionEnd) Kind() Kind { return KindSessionEnd }

// Kind gives [KindHalt].
func (Halt) Kind() Kind { return KindHalt }

// Kind gives [KindResume].
func (Resume) Kind() Kind { return KindResume }

// Kind gives [KindFreezeStart].
func (FreezeStart) Kind() Kind { return KindFreezeStart }

// Kind gives [KindFreezeEnd].
func (FreezeEnd) Kind() Kind { return KindFreezeEnd }

// Kind gives [KindBreakGlassStart].
func (BreakGlassStart) Kind() Kind { return KindBreakGlassStart }

// Kind gives [KindBreakGlassEnd].
func (BreakGlassEnd) Kind() Kind { return KindBreakGlassEnd }

// Kind gives [KindUser].
func (User) Kind() Kind { return KindUser }

// Kind gives [KindLogin].
func (Login) Kind() Kind { return KindLogin }

// Kind gives [KindDisclosing].
func (Disclosing) Kind() Kind { return KindDisclosing }

// Kind gives [KindSettings].
func (Settings) Kind() Kind { return KindSettings }

// Kind gives [KindPolicy].
func (Policy) Kind() Kind { return KindPolicy }

// Kind gives [KindErase].
func (Erase) Kind() Kind { return KindErase }

// Kind gives [KindRecovery].
func (Recovery) Kind() Kind { return KindRecovery }
