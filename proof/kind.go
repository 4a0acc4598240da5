package proof

import (
	"fmt"
	"slices"
)

// A Kind is the type of an entry, as written in its "type" field.
type Kind string

// The kinds of entries. The Go type of each one's fields bears the same name.
const (
	KindStart           Kind = "start"
	KindSessionStart    Kind = "session.start"
	KindSessionEnd      Kind = "session.end"
	KindIntent          Kind = "intent"
	KindOutcome         Kind = "outcome"
	KindResolution      Kind = "resolution"
	KindRefusal         Kind = "refusal"
	KindHold            Kind = "hold"
	KindApproval        Kind = "approval"
	KindConfirmation    Kind = "confirmation"
	KindWithdrawal      Kind = "withdrawal"
	KindExpiry          Kind = "expiry"
	KindDead            Kind = "dead"
	KindReads           Kind = "reads"
	KindRead            Kind = "read"
	KindHalt            Kind = "halt"
	KindResume          Kind = "resume"
	KindFreezeStart     Kind = "freeze.start"
	KindFreezeEnd       Kind = "freeze.end"
	KindBreakGlassStart Kind = "breakglass.start"
	KindBreakGlassEnd   Kind = "breakglass.end"
	KindUser            Kind = "user"
	KindPolicy          Kind = "policy"
	KindStorm           Kind = "storm"
	KindObservation     Kind = "observation"
	KindErase           Kind = "erase"
	KindRecovery        Kind = "recovery"
	KindLogin           Kind = "login"
	KindDisclosing      Kind = "disclosing"
	KindSettings        Kind = "settings"
)

// A Body is the fields of one kind of entry: [Intent], [Outcome] and so on.
// Both the struct and a pointer to it are bodies; [Decode] and [NewBody] give
// pointers.
type Body interface {
	// Kind is the kind of entry that these fields belong to.
	Kind() Kind
}

// A form is what the format says of one kind.
type form struct {
	kind   Kind
	body   func() Body
	hidden []string // names that may be hidden, sorted
	hides  bool     // entries of this kind end with digests, of decoys if of nothing else
}

// forms lists every kind in the order in which docs/entries.md shows them.
var forms = []form{
	{KindStart, func() Body { return new(Start) }, nil, false},
	{KindSessionStart, func() Body { return new(SessionStart) }, []string{"purpose"}, true},
	{KindSessionEnd, func() Body { return new(SessionEnd) }, nil, false},
	{KindIntent, func() Body { return new(Intent) },
		[]string{"all_actions", "parameters", "reference", "request", "salt"}, true},
	{KindOutcome, func() Body { return new(Outcome) }, []string{"detail", "reference"}, true},
	{KindResolution, func() Body { return new(Resolution) }, []string{"detail", "reference"}, true},
	{KindRefusal, func() Body { return new(Refusal) },
		[]string{"all_actions", "parameters", "reason", "request", "salt"}, true},
	{KindHold, func() Body { return new(Hold) },
		[]string{"all_actions", "facts", "parameters", "request", "salt", "state"}, true},
	{KindApproval, func() Body { return new(Approval) }, []string{"comment"}, true},
	{KindConfirmation, func() Body { return new(Confirmation) }, nil, false},
	{KindWithdrawal, func() Body { return new(Withdrawal) }, []string{"reason"}, true},
	{KindExpiry, func() Body { return new(Expiry) }, nil, false},
	{KindDead, func() Body { return new(Dead) }, []string{"detail"}, true},
	{KindReads, func() Body { return new(Reads) }, nil, true},
	{KindRead, func() Body { return new(Read) }, []string{"all_actions", "parameters", "request", "salt"}, true},
	{KindHalt, func() Body { return new(Halt) }, []string{"reason"}, true},
	{KindResume, func() Body { return new(Resume) }, []string{"reason"}, true},
	{KindFreezeStart, func() Body { return new(FreezeStart) }, []string{"reason"}, true},
	{KindFreezeEnd, func() Body { return new(FreezeEnd) }, []string{"reason"}, true},
	{KindBreakGlassStart, func() Body { return new(BreakGlassStart) }, []string{"reason"}, true},
	{KindBreakGlassEnd, func() Body { return new(BreakGlassEnd) }, nil, true},
	{KindUser, func() Body { return new(User) }, nil, false},
	{KindPolicy, func() Body { return new(Policy) }, []string{"content"}, true},
	{KindObservation, func() Body { return new(Observation) },
		[]string{"all_actions", "parameters", "reference", "request"}, true},
	{KindStorm, func() Body { return new(Storm) }, nil, false},
	{KindErase, func() Body { return new(Erase) }, []string{"reason"}, true},
	{KindRecovery, func() Body { return new(Recovery) }, nil, false},
	{KindLogin, func() Body { return new(Login) }, []string{"from"}, true},
	{KindDisclosing, func() Body { return new(Disclosing) }, nil, false},
	{KindSettings, func() Body { return new(Settings) }, nil, false},
}

// Kinds lists every kind of entry that this version knows.
func Kinds() []Kind {
	ks := make([]Kind, len(forms))
	for i, f := range forms {
		ks[i] = f.kind
	}
	return ks
}

// NewBody gives a pointer to the empty body of kind k, or an error naming a
// kind that this version does not know.
func NewBody(k Kind) (Body, error) {
	f, err := formOf(k)
	if err != nil {
		return nil, err
	}
	return f.body(), nil
}

// HiddenNames lists the names that may be hidden in an entry of kind k, sorted.
func HiddenNames(k Kind) []string {
	f, err := formOf(k)
	if err != nil {
		return nil
	}
	return slices.Clone(f.hidden)
}

func formOf(k Kind) (form, error) {
	for _, f := range forms {
		if f.kind == k {
			return f, nil
		}
	}
	return form{}, fmt.Errorf("entry type %q is not known to this version", k)
}
