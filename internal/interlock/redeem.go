package interlock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
)

// A permit is an approved hold. It stands while what was approved is still what
// would happen, and is used once: in the transaction of the intent, see intend.

// admitByPermit looks for the permit of a request. Where the verdict wants one and
// there is none, it opens a hold, or names the one that is open.
func (i *Interlock) admitByPermit(ctx context.Context, c *snapshot, a *Admission,
	views []session.View) (*Admission, error) {
	r := a.request
	key := i.retryKeyOf(r)
	h, err := i.state.HoldByRetryKey(ctx, key)
	now := i.now()
	switch {
	case errors.Is(err, ErrNotFound):
		return i.admitWithoutPermit(ctx, c, a, views)
	case err != nil:
		return nil, fmt.Errorf("%w: look for a hold: %w", ErrUnavailable, err)
	case !h.Status.Final() && !now.Before(h.Expires):
		if err := i.expireHold(ctx, h); err != nil {
			return nil, err
		}
		return i.admitWithoutPermit(ctx, c, a, views)
	case h.Status == approval.Open && a.verdict.Decision == signalbox.Hold:
		return nil, &HeldError{Hold: h}
	case h.Status == approval.Refused && now.Before(h.Expires) && a.verdict.Decision == signalbox.Hold:
		// A no ends it: the same bytes are not put before people again.
		return nil, i.refuse(ctx, c, a, control.Deny("refused", "refused by people (hold %s): %s", h.ID, h.Why))
	case h.Status != approval.Approved:
		return i.admitWithoutPermit(ctx, c, a, views)
	}

	// A permit. Is it still for this? First what needs no look at the target.
	reason, detail := i.invalid(c, a, h)
	var impact signalbox.Impact
	var state signalbox.State
	if reason == "" {
		impact, state = i.probe(ctx, a)
		reason, detail = differs(h, impact, state)
	}
	if reason != "" {
		if err := i.endPermit(ctx, h, reason, detail); err != nil {
			return nil, err
		}
		a, err := i.admitWithoutPermit(ctx, c, a, views)
		return a, afterApproval(err, fmt.Sprintf("the approval of hold %s does not stand any more, %s", h.ID, detail))
	}
	counted := a.verdict.Decision == signalbox.Allow // by tryAdmit, already
	a.hold = &h
	if !overrun(h) {
		// The intent says what was found now, which the verifier holds against what
		// was approved: what the request shows by itself is no measure of it.
		a.request.Actions = slices.Clone(r.Actions)
		a.request.Actions[signalbox.Gravest(r.Actions)].Impact = impact
	}
	a.verdict = h.Verdict
	a.limited = limited(r) && !a.Read()
	if counted {
		return a, nil
	}
	m, err := i.lockMemory(ctx, r, false)
	if err != nil {
		return nil, err
	}
	m.note(r.Actions, signalbox.Allow, now)
	m.unlock()
	return a, nil
}

// differs reports why a permit does not stand for what was found at the target
// now; "" when it does.
func differs(h approval.Hold, now signalbox.Impact, state signalbox.State) (reason, detail string) {
	if d := h.State.Diff(state); d != "" {
		return "state", d
	}
	if d := approval.Within(h.Ceiling, now); d != "" && !overrun(h) {
		// What a hold after an overrun approves was measured, and will be
		// measured again before it is final: an estimate says nothing more.
		return "ceiling", d
	}
	return "", ""
}

// invalid reports why a permit does not stand, by what can be told without a look
// at the target; "" when it does.
func (i *Interlock) invalid(c *snapshot, a *Admission, h approval.Hold) (reason, detail string) {
	r := a.request
	if h.Session != r.Session.ID || h.Gate != r.Gate.Name || h.Target != r.Gate.Target ||
		h.Environment != r.Gate.Environment {
		return "session", "it was opened by another session or for another place"
	}
	if h.Digest != approvedDigest(h.Salt, r, h) {
		return "state", "the request is not the one that was approved"
	}
	if ok, missing := h.Satisfied(c.voter); !ok {
		return "membership", "not satisfied any more: " + missing
	}
	if c.set == nil || h.Policy != c.set.Version() {
		// Other policies now: take the verdict again, with the memory of then.
		var views []session.View
		if err := json.Unmarshal(h.Context, &views); err != nil {
			return "policy", "the verdict cannot be taken again: " + err.Error()
		}
		v, _ := c.decide(r, views, i.now())
		if overrun(h) {
			// Opened by a ceiling, not by policies: they must still allow it.
			if v.Decision != signalbox.Allow {
				return "policy", "policies changed, and now say " + string(v.Decision)
			}
		} else if !v.SameRequirements(h.Verdict) {
			return "policy", "policies changed, and now ask for something else"
		}
	}
	return "", ""
}
