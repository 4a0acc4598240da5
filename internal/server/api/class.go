package api

import "github.com/signalbox-dev/signalbox/internal/interlock"

// A Class says who may call an operation.
type Class int

// The classes, from the widest to the narrowest. The zero value is none of
// them: an operation without a class is not served.
const (
	Anyone  Class = iota + 1 // no credential needed
	Session                  // every credential: a session's too, which sees and touches only what is its own
	Human                    // a human's credential
	Admin                    // that of a human who may enrol people and change policies
)

// String names the class, for people.
func (c Class) String() string {
	switch c {
	case Anyone:
		return "anyone"
	case Session:
		return "session"
	case Human:
		return "human"
	case Admin:
		return "admin"
	}
	return "nobody"
}

// Classes says who may call each operation, by its id. It is the whole of
// promise P5 at the API: no session's credential reaches an operation that
// approves, mints credentials, changes policy, resumes or ends a freeze. An
// operation that is not here is not served.
func Classes() map[string]Class {
	return map[string]Class{
		"login": Anyone, // the one-time code is its own proof

		// What a session may know and do for itself.
		"whoami":             Session,
		"server":             Session,
		"list-gates":         Session,
		"explain":            Session,
		"show-hold":          Session, // its own
		"wait-hold":          Session, // its own
		"withdraw-hold":      Session, // its own
		"show-session":       Session, // itself
		"end-session":        Session, // itself
		"list-session-holds": Session, // its own
		"log-head":           Session, // the log is public, served under /log/
		"list-entries":       Session,
		"show-entry":         Session,
		"prove-entry":        Session,

		// What only people do.
		"list-holds":          Human,
		"approve-hold":        Human,
		"deny-hold":           Human,
		"confirm-hold":        Human,
		"list-sessions":       Human,
		"open-session":        Human,
		"session-credentials": Human,
		"list-halts":          Human,
		"halt":                Human,
		"resume":              Human,
		"list-freezes":        Human,
		"start-freeze":        Human,
		"end-freeze":          Human,
		"list-break-glass":    Human,
		"start-break-glass":   Human,
		"end-break-glass":     Human,
		"list-people":         Human,
		"list-policies":       Human,
		"show-policy":         Human,

		// What only administrators do.
		"add-person":     Admin,
		"revoke-person":  Admin,
		"remove-person":  Admin,
		"propose-policy": Admin,
		"disclose-entry": Admin,
		"erase-entry":    Admin,
	}
}

// admits reports whether a caller may call operations of the class.
func (c Class) admits(who interlock.Caller) bool {
	switch c {
	case Session:
		return who.Person != nil || who.Session != nil
	case Human:
		return who.Person != nil && who.Session == nil
	case Admin:
		return who.Person != nil && who.Session == nil && who.Person.Admin
	}
	return false // Anyone is not asked; everything else is nobody
}
