package proof

import (
	"slices"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// A holdState is what the log said about a hold so far.
type holdState struct {
	Hold
	yes       []Approval
	answered  time.Time // when the last yes or the confirmation came
	confirmed bool
	expires   Millis // of the permit, as the last answer or confirmation says
	ended     string // why it is over; empty while it is not
}

// hold takes a new hold.
func (c *promiseCheck) hold(b *Hold) {
	if _, again := c.holds[b.Hold]; again {
		c.violation("P4", "hold %s was opened before", b.Hold)
		return
	}
	c.session(b.Session, b.Actor, b.Gate)
	if b.Verdict.Decision != signalbox.Hold {
		c.violation("P4", "hold %s was opened on the verdict %q", b.Hold, b.Verdict.Decision)
	}
	if b.Digest.IsZero() {
		c.violation("P4", "hold %s is bound to nothing", b.Hold)
	}
	c.holds[b.Hold] = &holdState{Hold: *b}
}

// current gives a hold that is not over, or nil.
func (c *promiseCheck) current(id, what string) *holdState {
	h := c.holds[id]
	switch {
	case h == nil:
		c.missing("P4", "%s hold %s, which is not in the log before it", what, id)
		return nil
	case h.ended != "":
		c.violation("P4", "%s hold %s, which was %s", what, id, h.ended)
		return nil
	}
	return h
}

func (c *promiseCheck) approval(b *Approval) {
	h := c.current(b.Hold, "answers")
	if h == nil {
		return
	}
	_, enrolled := c.users[b.By]
	switch {
	case b.Answer == No:
		h.ended = "refused by " + b.By
		return
	case b.Answer != Yes:
		c.violation("P5", "answer %q to hold %s is neither yes nor no", b.Answer, b.Hold)
		return
	case b.By == h.Actor.Person():
		c.violation("P5", "%s approves hold %s, which %s asked for", b.By, b.Hold, h.Actor)
		return
	case !enrolled && !c.partial:
		c.violation("P5", "%s approves hold %s and is not enrolled", b.By, b.Hold)
		return
	case b.Digest != h.Digest:
		c.violation("P4", "%s approves %s, hold %s is %s", b.By, b.Digest.Short(), b.Hold, h.Digest.Short())
		return
	case c.now.After(h.Expires.Time().Add(clockSkew)):
		c.violation("P4", "%s approves hold %s after it expired at %s", b.By, b.Hold,
			h.Expires.Time().Format(time.RFC3339))
		return
	case h.Verdict.Presence && !b.Presence:
		c.violation("P5", "%s approves hold %s without proof of presence", b.By, b.Hold)
		return
	}
	if slices.ContainsFunc(h.yes, func(a Approval) bool { return a.By == b.By }) {
		c.note(Warning, "P5", "%s approves hold %s again: counted once", b.By, b.Hold)
		return
	}
	h.yes = append(h.yes, *b)
	h.answered, h.expires = c.now, b.Expires
}

func (c *promiseCheck) confirmation(b *Confirmation) {
	h := c.current(b.Hold, "confirms")
	if h == nil {
		return
	}
	if b.By != h.Actor.Person() {
		c.violation("P5", "%s confirms hold %s, which %s asked for", b.By, b.Hold, h.Actor)
		return
	}
	h.confirmed = true
	h.answered, h.expires = c.now, b.Expires
}

// endHold takes the end of a hold. That a hold ends twice is no fault: an expiry
// may be noticed after a withdrawal.
func (c *promiseCheck) endHold(id, why string) {
	switch h := c.holds[id]; {
	case h == nil:
		c.missing("P4", "ends hold %s, which is not in the log before it", id)
	case h.ended == "":
		h.ended = why
	}
}

// permit checks that an intent may use up the permit of the hold that it names
// (promises P4 and P5): approved, not over, the same request of the same
// session, and never before.
func (c *promiseCheck) permit(b *Intent) {
	h := c.current(b.Hold, "uses")
	if h == nil {
		return
	}
	h.ended = "used by intent " + c.id
	switch {
	case b.Session != h.Session || b.Actor != h.Actor:
		c.violation("P4", "%s (session %s) uses hold %s of %s (session %s)", b.Actor, b.Session, b.Hold, h.Actor,
			h.Session)
	case b.Gate != h.Gate || b.Target != h.Target || b.Environment != h.Environment:
		c.violation("P4", "hold %s is for %s at gate %s, used for %s at gate %s", b.Hold, h.Target, h.Gate, b.Target,
			b.Gate)
	case b.Digest != h.Digest:
		c.violation("P4", "executes %s, hold %s approved %s", b.Digest.Short(), b.Hold, h.Digest.Short())
	}
	if ends := h.ends(); c.now.After(ends.Add(clockSkew)) {
		c.violation("P4", "uses hold %s after it expired at %s", b.Hold, ends.Format(time.RFC3339))
	}
	if b.Verdict.Decision == signalbox.Hold &&
		(!slices.Equal(b.Verdict.Requires, h.Verdict.Requires) ||
			!slices.Equal(b.Verdict.Policies, h.Verdict.Policies)) {
		c.violation("P4", "policy asks for %q now (%q), hold %s was opened for %q (%q)", b.Verdict.Requires,
			b.Verdict.Policies, b.Hold, h.Verdict.Requires, h.Verdict.Policies)
	}
	c.ceiling(b, h)
	c.requirements(b.Hold, h)
}

// unsay takes back what a human said with credentials that are worth nothing now.
func (h *holdState) unsay(name string) {
	if h.ended != "" {
		return
	}
	h.yes = slices.DeleteFunc(h.yes, func(a Approval) bool { return a.By == name })
	if name == h.Actor.Person() {
		h.confirmed = false
	}
}

// ends is when the hold's permit ends: as the answer that completed it says,
// else when the hold does.
func (h *holdState) ends() time.Time {
	if h.expires != 0 {
		return h.expires.Time()
	}
	return h.Expires.Time()
}

// ceiling checks that what was measured before execution is not more than what
// was approved. An intent may carry other actions of the same transaction
// besides, so that only equal lists are compared.
func (c *promiseCheck) ceiling(b *Intent, h *holdState) {
	if !slices.EqualFunc(b.Actions, h.Actions, func(x, y Action) bool {
		return x.Verb == y.Verb && x.Native == y.Native && x.Fingerprint == y.Fingerprint
	}) {
		return
	}
	for i, a := range b.Actions {
		approved, now := h.Actions[i].Impact, a.Impact
		if approved.Count >= 0 && (now.Count > approved.Count || now.Dependants > approved.Dependants) {
			c.violation("P4", "%s touches %d (and %d dependants), hold %s approved %d (and %d)", a.Native, now.Count,
				now.Dependants, b.Hold, approved.Count, approved.Dependants)
		}
	}
}

// requirements checks that enough distinct humans said yes, by the groups they
// are in now.
func (c *promiseCheck) requirements(id string, h *holdState) {
	if h.Verdict.Confirm && !h.confirmed {
		c.violation("P5", "hold %s was used without the confirmation of %s", id, h.Actor.Person())
	}
	if len(h.Verdict.Requires) == 0 && !h.Verdict.Confirm {
		c.violation("P5", "hold %s required nobody", id)
	}
	yes := make([]signalbox.Approver, 0, len(h.yes))
	names := make([]string, 0, len(h.yes))
	for _, a := range h.yes {
		groups, enrolled := c.users[a.By]
		if !enrolled && c.partial {
			return
		}
		yes = append(yes, signalbox.Approver{Name: a.By, Groups: groups})
		names = append(names, a.By)
	}
	for _, text := range h.Verdict.Requires {
		r, err := signalbox.ParseRequirement(text)
		switch {
		case err != nil:
			c.violation("P5", "hold %s: %v", id, err)
		case !r.Satisfied(yes):
			c.violation("P5", "hold %s was used on the approval of %q, which is not %s", id, names, r)
		}
	}
}

// approvedBefore reports whether the hold got its last yes before time t.
func (c *promiseCheck) approvedBefore(id string, t time.Time) bool {
	h := c.holds[id]
	return h != nil && len(h.yes) > 0 && h.answered.Before(t)
}
