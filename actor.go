package signalbox

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ActorKind says what sort of actor acts.
type ActorKind string

// The kinds of actors.
const (
	Human      ActorKind = "human"      // a person with an enrolled identity
	Agent      ActorKind = "agent"      // an AI agent acting for a human
	Automation ActorKind = "automation" // a pipeline or a scheduled job
)

// An Actor is who acts. For is set for agents alone: the human that the agent
// acts for, whose rights bound the agent's.
type Actor struct {
	Kind ActorKind `json:"kind"`
	Name string    `json:"name"`
	For  string    `json:"for,omitempty"`
}

// String gives "agent claude for alice", "human bob", "automation ci".
func (a Actor) String() string {
	s := string(a.Kind) + " " + a.Name
	if a.For != "" {
		s += " for " + a.For
	}
	return s
}

// Person is the human behind the actor: the human himself, or the one an agent
// acts for. Empty for an automation.
func (a Actor) Person() string {
	switch a.Kind {
	case Human:
		return a.Name
	case Agent:
		return a.For
	}
	return ""
}

// Validate reports what is wrong with the actor's form: an unknown kind, an
// unusable name, an agent without its human.
func (a Actor) Validate() error {
	if err := ValidName("actor", a.Name); err != nil {
		return err
	}
	switch a.Kind {
	case Agent:
		if a.For == "" {
			return fmt.Errorf("agent %q acts for nobody: an agent needs the human it acts for", a.Name)
		}
		return ValidName("human", a.For)
	case Human, Automation:
		if a.For != "" {
			return fmt.Errorf("%s %q cannot act for %q: only an agent acts for a human", a.Kind, a.Name, a.For)
		}
		return nil
	}
	return fmt.Errorf("actor kind %q is none of human, agent, automation", a.Kind)
}

// ValidName refuses names that could be mistaken for others when shown or
// parsed: empty, longer than 64 bytes, or with anything but letters a-z A-Z,
// digits, and . _ @ + - inside. What says in the error what was being named.
func ValidName(what, name string) error {
	if name == "" || len(name) > 64 {
		return fmt.Errorf("%s name %q: must have 1 to 64 characters", what, name)
	}
	for i, r := range name {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || i > 0 &&
			strings.ContainsRune("._@+-", r)
		if !ok {
			return fmt.Errorf("%s name %q: character %q is not allowed (letters, digits and . _ @ + -, beginning with a letter or digit)", what, name, r)
		}
	}
	return nil
}

// SessionID names a session. It is not a secret.
type SessionID string

// A Session is a bounded piece of an actor's work, with its own credentials
// and its own memory of what it did.
type Session struct {
	ID      SessionID `json:"id"`
	Actor   Actor     `json:"actor"`
	By      string    `json:"by,omitempty"` // the human who opened it, and was given its credentials
	ByEpoch int64     `json:"-"`            // of his credentials then: when they die, the session does
	Purpose string    `json:"purpose,omitempty"`
	Gates   []string  `json:"gates,omitempty"` // gates it may use; empty means all
	Started time.Time `json:"started"`
	Expires time.Time `json:"expires"`
	Ended   time.Time `json:"ended,omitzero"` // zero while it may still be used
	// Wait says that what is held waits in the gate for its approvals, where the
	// gate's clients have the patience.
	Wait bool `json:"wait,omitempty"`
}

// Usable reports why the session may not be used at gate at time now, or nil.
func (s Session) Usable(gate string, now time.Time) error {
	switch {
	case !s.Ended.IsZero():
		return fmt.Errorf("session %s was ended at %s: start another with `signalbox run`", s.ID,
			s.Ended.UTC().Format(time.RFC3339))
	case !now.Before(s.Expires):
		return fmt.Errorf("session %s expired at %s: start another with `signalbox run`", s.ID,
			s.Expires.UTC().Format(time.RFC3339))
	case len(s.Gates) > 0 && !slices.Contains(s.Gates, gate):
		return fmt.Errorf("session %s may not use gate %q: it was opened for %s", s.ID, gate,
			strings.Join(s.Gates, ", "))
	}
	return nil
}
