package control

import (
	"fmt"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
)

// A Case is everything that a decision rests upon besides the policies.
type Case struct {
	Session signalbox.Session
	Gate    Gate
	Actions []signalbox.Action
	Groups  []string       // of the human behind the actor
	Views   []session.View // what memory says of each action; one for each action
	Control State
	Now     time.Time
	// Minimum is the least strict verdict that the request may get: it is joined to
	// that of the policies. None if it has no decision.
	Minimum signalbox.Verdict
}

// Ids of the denials that bind even what was approved, see [Binding].
const (
	denyHalt     = "halt"
	denyFreeze   = "freeze"
	denyNoPolicy = "no-policy"
)

// Binding reports whether a denial by the policy of this id applies to a request
// that people have approved. The others are superseded by the approval.
func Binding(id string) bool { return id == denyHalt || id == denyFreeze || id == denyNoPolicy }

// Decide gives the verdict on a request: halts and freezes first, then the
// policies for each action, of which the strictest counts. breakGlassID is the
// id of the break-glass window that let the request through, or "".
func Decide(set *policy.Set, c Case) (v signalbox.Verdict, breakGlassID string) {
	if h := c.Control.Halted(c.Session, c.Gate.Name); h != nil {
		return Deny(denyHalt, "%s is halted by %s since %s: nothing goes through until it is resumed",
			h.What(), h.By, h.At.UTC().Format(time.RFC3339)), ""
	}
	if set == nil {
		return Deny(denyNoPolicy, "no policy set is active"), ""
	}
	if len(c.Actions) == 0 || len(c.Views) != len(c.Actions) {
		return Deny("no-action", "a request without actions cannot be judged"), ""
	}
	reads := true
	for _, a := range c.Actions {
		reads = reads && a.Verb == signalbox.Read
	}
	opened := c.Control.Opened(c.Session, c.Gate.Name, c.Actions, c.Now)
	minimum := c.Least()
	if minimum.Decision != "" {
		opened = nil // break-glass does not lift a minimum: it protects the rules themselves
	}
	if f := c.Control.Frozen(c.Gate.Environment, c.Gate.Name, c.Now); f != nil && !reads && opened == nil {
		return Deny(denyFreeze, "frozen until %s by %s (freeze %s): only reads go through; `signalbox break-glass` is the way for an emergency",
			f.Until.UTC().Format(time.RFC3339), f.By, f.ID), ""
	}
	r := policy.Request{
		Actor:       c.Session.Actor,
		Groups:      c.Groups,
		Gate:        c.Gate.Name,
		Protocol:    c.Gate.Protocol,
		Target:      c.Gate.Target,
		Environment: c.Gate.Environment,
		Session:     c.Session.ID,
		Purpose:     c.Session.Purpose,
		BreakGlass:  opened != nil,
		Now:         c.Now,
	}
	for n, a := range c.Actions {
		r.Action, r.Memory = a, policy.Memory(c.Views[n])
		one := set.Decide(r)
		if n == 0 {
			v = one
		} else {
			v = v.And(one)
		}
	}
	if minimum.Decision != "" {
		v = v.And(minimum)
	}
	v = set.Brief(v)
	v.Reason += instead(c, v)
	switch {
	case v.Decision == signalbox.Hold && opened != nil:
		return signalbox.Verdict{
			Decision: signalbox.Allow,
			Policies: []string{"break-glass"},
			Reason:   fmt.Sprintf("break-glass %s of %s: %s", opened.ID, opened.By, opened.Reason),
		}, opened.ID
	case v.Decision == signalbox.Allow && opened != nil && !reads:
		// The window was needed for a freeze, or not at all. Whoever reviews it sees
		// every change that was made while it was open.
		return v, opened.ID
	case v.Decision == signalbox.Hold && v.Presence:
		d := Deny("presence", "policy wants the approvers' presence proved, and nobody has a passkey enrolled (%s)",
			v.Reason)
		d.Policies = append(d.Policies, v.Policies...)
		return d, ""
	}
	return v, ""
}

// Deny returns a denial by the policy of this id. Its reason is formatted as by
// [fmt.Sprintf].
func Deny(id, format string, args ...any) signalbox.Verdict {
	return signalbox.Verdict{Decision: signalbox.Deny, Policies: []string{id}, Reason: fmt.Sprintf(format, args...)}
}
