package control

import (
	"slices"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// A BreakGlass is a window of time in which one human gets through freezes and
// past holds, at named gates with named verbs. It lifts neither halts nor
// denials, and it is recorded and reviewed.
type BreakGlass struct {
	ID      string           `json:"id"`
	By      string           `json:"by"`
	Gates   []string         `json:"gates"` // never empty
	Verbs   []signalbox.Verb `json:"verbs"` // never empty
	Reason  string           `json:"reason"`
	From    time.Time        `json:"from"`
	Expires time.Time        `json:"expires"`
	Ended   time.Time        `json:"ended,omitzero"` // when somebody ended it early
}

// Opens reports whether the window lets the actions through: of its own human,
// in a session of his own (never an agent's), at a named gate, with named verbs
// alone. Reads need not be named.
func (b BreakGlass) Opens(s signalbox.Session, gate string, actions []signalbox.Action, now time.Time) bool {
	if s.Actor.Kind != signalbox.Human || s.Actor.Name != b.By || !b.Ended.IsZero() ||
		now.Before(b.From) || !now.Before(b.Expires) || !slices.Contains(b.Gates, gate) {
		return false
	}
	for _, a := range actions {
		if a.Verb != signalbox.Read && !slices.Contains(b.Verbs, a.Verb) {
			return false
		}
	}
	return true
}
