package interlock

import (
	"fmt"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
)

// A Case is all that a decision rests on besides the policies.
type Case struct {
	Session signalbox.Session
	Gate    Gate
	Actions []signalbox.Action
	Groups  []string       // of the human behind the actor
	Views   []session.View // what memory says of each action; one per action
	Control Control
	Now     time.Time
	Minimum   signalbox.Verdict // joined to what policies say, if it has a decision
}

// Decide is the whole judgement of a request, and pure: halts and freezes
// first, then the policies for each action, the strictest of all. glass is the
// id of the break-glass window that let it through, or "".
//
// It serves requests ([Interlock.Do]), `explain`, and replay.
func Decide(set *policy.Set, c Case) (v signalbox.Verdict, glass string) {
	if h := c.Control.Halted(c.Session, c.Gate.Name); h != nil {
		return deny("halt", "%s is halted by %s since %s: nothing goes through until it is resumed", haltName(*h), h.By, h.At.UTC().Format(time.RFC3339)), ""
	}
	if set == nil {
		return deny("no-policy", "no policy set is active"), ""
	}
	if len(c.Actions) == 0 || len(c.Views) != len(c.Actions) {
		return deny("no-action", "a request without actions cannot be judged"), ""
	}
	reads := true
	for _, a := range c.Actions {
		reads = reads && a.Verb == signalbox.Read
	}
	opened := c.Control.Opened(c.Session, c.Gate.Name, c.Actions, c.Now)
	minimum := c.minimum()
	if minimum.Decision != "" {
		opened = nil // what rules over policies themselves has no way round
	}
	if f := c.Control.Frozen(c.Gate.Environment, c.Gate.Name, c.Now); f != nil && !reads && opened == nil {
		return deny("freeze", "frozen until %s by %s (freeze %s): only reads go through; `signalbox break-glass` is the way for an emergency", f.Until.UTC().Format(time.RFC3339), f.By, f.ID), ""
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
	switch {
	case v.Decision == signalbox.Hold && opened != nil:
		return signalbox.Verdict{
			Decision: signalbox.Allow,
			Policies: []string{"break-glass"},
			Reason:   fmt.Sprintf("break-glass %s of %s: %s", opened.ID, opened.By, opened.Reason),
		}, opened.ID
	case v.Decision == signalbox.Allow && opened != nil && !reads:
		return v, opened.ID // it was needed for the freeze, or will be reviewed for nothing
	case v.Decision == signalbox.Hold && v.Presence:
		d := deny("presence", "policy wants the approvers' presence proved, and nobody has a passkey enrolled (%s)", v.Reason)
		d.Policies = append(d.Policies, v.Policies...)
		return d, ""
	}
	return v, ""
}

func deny(id, format string, args ...any) signalbox.Verdict {
	return signalbox.Verdict{Decision: signalbox.Deny, Policies: []string{id}, Reason: fmt.Sprintf(format, args...)}
}

func haltName(h Halt) string {
	if h.Scope == HaltAll {
		return "everything"
	}
	return fmt.Sprintf("%s %s", h.Scope, h.Name)
}
