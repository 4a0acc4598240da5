// Package control holds the control state, and the decision on a request under
// it. The control state is what people do to a running system at once, beside
// the policies: halts, freezes and break-glass windows.
//
// Everything here is a value or a rule: no I/O, no clock, no store. What a
// decision rests upon is given in a [Case], so that a running gate, a dry run
// and a replay of the log decide by the same function, [Decide].
package control

import (
	"time"

	"github.com/signalbox-dev/signalbox"
)

// A State is the control state at one moment. The zero State stops nothing and
// has no policy, so that nothing is allowed under it.
type State struct {
	// Epoch counts the changes: every halt, freeze, break-glass window, policy and
	// change of people raises it. What was decided under an earlier epoch is
	// decided again before it is recorded.
	Epoch      int64
	Policy     signalbox.Digest // version of the active policy set; zero before the first
	Halts      []Halt
	Freezes    []Freeze     // those that nobody has ended
	BreakGlass []BreakGlass // those that nobody has ended
	// Production says that a gate stands or stood before production, at any
	// replica. Policies then change by approval.
	Production bool
}

// Halted returns the halt that stops a session at a gate, or nil.
func (c State) Halted(s signalbox.Session, gate string) *Halt {
	for i := range c.Halts {
		if c.Halts[i].Stops(s, gate) {
			return &c.Halts[i]
		}
	}
	return nil
}

// Frozen returns the freeze in force at a gate at the time now, or nil.
func (c State) Frozen(env signalbox.Environment, gate string, now time.Time) *Freeze {
	for i := range c.Freezes {
		if c.Freezes[i].Binds(env, gate, now) {
			return &c.Freezes[i]
		}
	}
	return nil
}

// Opened returns the break-glass window that lets the actions through, or nil.
func (c State) Opened(s signalbox.Session, gate string, actions []signalbox.Action, now time.Time) *BreakGlass {
	for i := range c.BreakGlass {
		if c.BreakGlass[i].Opens(s, gate, actions, now) {
			return &c.BreakGlass[i]
		}
	}
	return nil
}
