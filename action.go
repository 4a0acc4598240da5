package signalbox

import "fmt"

// A Verb says what kind of thing an action does to its resources.
type Verb string

// The verbs, from the mildest to the gravest (see [Verb.Gravity]).
const (
	Read       Verb = "read"       // observes, changes nothing
	Create     Verb = "create"     // adds something that was not there
	Update     Verb = "update"     // changes something in place
	Execute    Verb = "execute"    // runs code or commands whose effect cannot be seen from the request
	Permission Verb = "permission" // grants, revokes, changes identity or ownership
	Safeguard  Verb = "safeguard"  // weakens a protection: audit log, backup, row security, constraint, policy
	Delete     Verb = "delete"     // removes
	Replace    Verb = "replace"    // removes and creates again
)

// Verbs lists all verbs in the order of their gravity.
func Verbs() []Verb {
	return []Verb{Read, Create, Update, Execute, Permission, Safeguard, Delete, Replace}
}

// Gravity orders verbs from 0 ([Read]) upwards. A request with several actions
// is named by its gravest. An unknown verb is graver than all known ones.
func (v Verb) Gravity() int {
	for i, known := range Verbs() {
		if v == known {
			return i
		}
	}
	return len(Verbs())
}

// Environment is where a target stands. It comes from the configuration of the
// gate, never from the caller. Users may add names of their own; the default
// policy treats a name that it does not know as production.
type Environment string

// The environments that the default policy knows by name.
const (
	Production  Environment = "production"
	Staging     Environment = "staging"
	Development Environment = "development"
)

// Production reports whether the environment counts as production: whatever is not
// known to be milder.
func (e Environment) Production() bool { return e != Staging && e != Development }

// A Scope says how much of what is there an action touches.
type Scope string

// The scopes. ScopeUnknown is the zero value's meaning too: see [Impact.Reach].
const (
	ScopeOne     Scope = "one"     // a single object or row, named by its key
	ScopeSome    Scope = "some"    // a bounded selection
	ScopeAll     Scope = "all"     // everything: an empty, missing, wildcard or always-true selection
	ScopeUnknown Scope = "unknown" // cannot be told from what is known
)

// CountUnknown is the [Impact.Count] of an action whose count nobody knows.
const CountUnknown int64 = -1

// A Resource is one thing that an action touches, named as the protocol names
// it. ID is its identity where the target tells one (a PostgreSQL OID, a
// Kubernetes uid, an ARN): two resources of the same name at different times
// differ in it.
type Resource struct {
	Type  string `json:"type"`         // "table", "database", "role", "bucket" …
	Name  string `json:"name"`         // "public.orders"; "*" stands for all of the type
	Whole bool   `json:"whole"`        // the resource as such is meant, not a part of its content
	ID    string `json:"id,omitempty"` // identity at the target, empty when not known
}

// String gives "type name", for people.
func (r Resource) String() string { return r.Type + " " + r.Name }

// Impact is what an action would touch: as far as the request itself shows, or
// as the target told when it was probed.
type Impact struct {
	Count      int64 `json:"count"`      // objects or rows; [CountUnknown] if not known
	Scope      Scope `json:"scope"`      // how much of the whole
	Reversible bool  `json:"reversible"` // can be undone from what remains afterwards

	// Measured says that Count was counted or estimated at the live target.
	Measured bool `json:"measured,omitempty"`
	// Total is how many there are in all, where it was measured; 0 if not.
	Total int64 `json:"total,omitempty"`
	// Dependants counts what hangs on the resources and would be touched with
	// them: rows reached by cascades, views, foreign keys.
	Dependants int64 `json:"dependants,omitempty"`
	// Facts are sentences derived by the gate that an approver must see.
	Facts []string `json:"facts,omitempty"`

	// Shares says the same by resource, where the gate can tell: what the request
	// touches itself, then what it reaches. They are a ceiling each.
	Shares []Share `json:"shares,omitempty"`
	// Open says that code runs of which nobody can tell what it touches, triggers
	// perhaps: there may be more than Shares, Count and Dependants say.
	Open bool `json:"open,omitempty"`
}

// A Share is how much of one resource is touched.
type Share struct {
	Resource string `json:"resource"`
	Verb     Verb   `json:"verb"`
	Count    int64  `json:"count"`           // [CountUnknown] if nobody can tell
	Total    int64  `json:"total,omitempty"` // how many there are; 0 if not known
	// Parts are other names under which the target counts the same: partitions.
	Parts []string `json:"parts,omitempty"`
	// Reached says that it is touched by way of another resource: a cascade.
	Reached bool `json:"reached,omitempty"`
}

// Reach gives the scope, with the zero value read as unknown.
func (i Impact) Reach() Scope {
	switch i.Scope {
	case ScopeOne, ScopeSome, ScopeAll:
		return i.Scope
	}
	return ScopeUnknown
}

// A Trait is a fact about an action that policies ask about and that verb and
// impact do not tell.
type Trait string

// The traits that classifiers set.
const (
	TraitUnparsed    Trait = "unparsed"    // the request could not be understood: worst is assumed
	TraitCredentials Trait = "credentials" // hands out or reveals secrets
	TraitIdentity    Trait = "identity"    // changes as whom the session acts (SET ROLE)
	TraitHostFile    Trait = "hostfile"    // reads or writes files, or runs programs, on the target's host
	TraitOpaque      Trait = "opaque"      // runs code that the classifier cannot look into
	TraitDeferred    Trait = "deferred"    // installs code that acts later, unseen
	TraitUnscoped    Trait = "unscoped"    // selection missing or always true
	TraitRange       Trait = "range"       // selection open on one side, or a pattern: probably most of it
	TraitBulk        Trait = "bulk"        // touches many at once as far as the request shows
	TraitByKey       Trait = "bykey"       // selection is by equality with constants
	TraitCascade     Trait = "cascade"     // reaches dependants
	TraitDataLoss    Trait = "dataloss"    // destroys data though the verb is milder (a lossy type change)
	TraitRename      Trait = "rename"      // gives another name, or lets a name stand for something else
	TraitCopy        Trait = "copy"        // makes a copy of what is there
	TraitDerived     Trait = "derived"     // removes only what can be computed again (index, statistics, materialised view)
	TraitTemporary   Trait = "temporary"   // concerns objects of this session alone
	TraitSession     Trait = "session"     // changes settings of this session alone
	TraitTransaction Trait = "transaction" // begins, ends or marks a transaction
	TraitTop         Trait = "top"         // concerns a whole database, schema, cluster, account or host
	TraitMaintenance Trait = "maintenance" // keeps house without changing content (ANALYZE, VACUUM)
	TraitInterrupts  Trait = "interrupts"  // takes what serves out of service: a stop, a fail-over, capacity 0
	TraitDial        Trait = "dial"        // sets something that can be turned further: capacity, retention, a range of addresses
	TraitPublic      Trait = "public"      // opens something to everybody
	TraitAdmin       Trait = "admin"       // gives rights without limit, or the right to take them
	TraitPastGate    Trait = "pastgate"    // answers with credentials that work without the gate
	TraitGateSetting Trait = "gatesetting" // sets what the gate sets itself to hold an agent's session
	TraitUnreviewed  Trait = "unreviewed"  // nobody has looked at this form and found it small and reversible
)

// An Action is one attempt to observe or change production, in one normal form
// whatever the protocol. A classifier makes it; it is a value and is not
// changed afterwards, except that a probe may put a measured [Impact] in.
type Action struct {
	Verb      Verb       `json:"verb"`
	Native    string     `json:"native"` // the operation in the protocol's words: "DROP TABLE"
	Resources []Resource `json:"resources"`
	Impact    Impact     `json:"impact"`
	Traits    []Trait    `json:"traits,omitempty"`

	// Form is the operation with each part and option that it carries, in one line
	// as operators list it: "CREATE INDEX concurrently". It names no object and holds
	// no literal, unless a function's name is what was reviewed. Empty for reads and
	// for changes of rows.
	Form string `json:"form,omitempty"`

	// Shape is the request without its literals; Fingerprint names the shape.
	// Both may be shown and logged in the clear.
	Shape       string `json:"shape,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	// Reason says in a few words why the action was classified so.
	Reason string `json:"reason,omitempty"`
}

// Has reports whether the action has trait t.
func (a Action) Has(t Trait) bool {
	for _, have := range a.Traits {
		if have == t {
			return true
		}
	}
	return false
}

// Worst is the action for a request that could not be understood: code of
// unknown effect on everything, not reversible.
func Worst(native, reason string) Action {
	return Action{
		Verb:      Execute,
		Native:    native,
		Resources: []Resource{{Type: "unknown", Name: "*", Whole: true}},
		Impact:    Impact{Count: CountUnknown, Scope: ScopeUnknown},
		Traits:    []Trait{TraitUnparsed, TraitOpaque, TraitUnscoped},
		Reason:    reason,
	}
}

// Gravest gives the index of the action that names a request of several: the
// highest verb, then the widest scope. It panics on an empty slice, which no
// classifier returns.
func Gravest(actions []Action) int {
	if len(actions) == 0 {
		panic("signalbox: request without actions")
	}
	best := 0
	for i, a := range actions {
		b := actions[best]
		if g, h := a.Verb.Gravity(), b.Verb.Gravity(); g > h || g == h && width(a.Impact) > width(b.Impact) {
			best = i
		}
	}
	return best
}

func width(i Impact) int {
	switch i.Reach() {
	case ScopeOne:
		return 0
	case ScopeSome:
		return 1
	case ScopeUnknown:
		return 2
	}
	return 3
}

// A Fact is one named property of what a request touches, as the target told
// it: an OID, a schema, an owner, a list of dependants.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// State is the identity of what is touched, in a fixed order chosen by the
// gate. An approval is bound to it by equality: when any fact differs before
// execution, the approval is dead.
type State []Fact

// Equal reports whether two states are the same facts in the same order.
func (s State) Equal(o State) bool {
	if len(s) != len(o) {
		return false
	}
	for i := range s {
		if s[i] != o[i] {
			return false
		}
	}
	return true
}

// Diff names the first fact in which two states differ, for people; empty when
// they are equal.
func (s State) Diff(o State) string {
	for i := range max(len(s), len(o)) {
		switch {
		case i >= len(s):
			return fmt.Sprintf("%s is new: %q", o[i].Name, o[i].Value)
		case i >= len(o):
			return fmt.Sprintf("%s is gone: was %q", s[i].Name, s[i].Value)
		case s[i] != o[i]:
			return fmt.Sprintf("%s: was %q, is %q", s[i].Name, s[i].Value, o[i].Value)
		}
	}
	return ""
}
