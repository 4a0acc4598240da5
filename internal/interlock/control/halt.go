package control

import (
	"fmt"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// HaltScope says what a halt stops.
type HaltScope string

// The scopes of a halt.
const (
	HaltSession HaltScope = "session"
	HaltActor   HaltScope = "actor" // an agent's or automation's name, or a human's with all his agents
	HaltGate    HaltScope = "gate"
	HaltAll     HaltScope = "all"
)

// A Halt stops reads and writes of everything in its scope until somebody
// resumes it.
type Halt struct {
	Scope  HaltScope `json:"scope"`
	Name   string    `json:"name,omitempty"` // empty for all
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Stops reports whether the halt stops a session at a gate. A scope that is not
// known stops everything.
func (h Halt) Stops(s signalbox.Session, gate string) bool {
	switch h.Scope {
	case HaltSession:
		return string(s.ID) == h.Name
	case HaltActor:
		return s.Actor.Name == h.Name || s.Actor.Person() == h.Name
	case HaltGate:
		return gate == h.Name
	}
	return true
}

// Same reports whether both halts stop the same: their scope and name are equal.
func (h Halt) Same(o Halt) bool { return h.Scope == o.Scope && h.Name == o.Name }

// What names what the halt stops, for people: "everything", or "gate orders".
func (h Halt) What() string {
	if h.Scope == HaltAll {
		return "everything"
	}
	return fmt.Sprintf("%s %s", h.Scope, h.Name)
}
