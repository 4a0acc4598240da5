package interlock

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// overrunPolicy is the id under which a hold stands that was opened because a
// ceiling was exceeded.
const overrunPolicy = "ceiling"

// overrunRequires is whose approval such a hold needs.
const overrunRequires = "1 of sre"

// overrun reports whether the hold was opened because a ceiling was exceeded.
func overrun(h approval.Hold) bool { return slices.Equal(h.Verdict.Policies, []string{overrunPolicy}) }

// openHold opens a hold and returns it as a [*HeldError], or refuses where nobody
// could approve. measured, when not nil, replaces what a probe would say of the
// impact. A crash before the commit leaves nothing, and one after it leaves the
// hold, which the same request sent again will find.
func (i *Interlock) openHold(ctx context.Context, c *snapshot, a *Admission, views []session.View,
	measured *signalbox.Impact) error {
	r, now := a.request, i.now()
	if r.Partial {
		return i.refuse(ctx, c, a, control.Deny("too-long",
			"the request is too long to be shown whole, so nobody can approve it: split it up"))
	}
	if err := i.floods.mayOpenHold(r, now); err != nil {
		return i.refuse(ctx, c, a, control.Deny("storm", "%v", err))
	}
	owner := ownerOf(r.Session.Actor)
	if n, err := i.state.OpenHolds(ctx, owner); err != nil {
		return fmt.Errorf("%w: count open holds: %w", ErrUnavailable, err)
	} else if n >= i.config.MaxOpenHolds {
		return i.refuse(ctx, c, a, control.Deny("too-many-holds",
			"%d requests of %s wait for approval already: withdraw some, or wait for answers", n, owner))
	}
	impact, state := i.probe(ctx, a)
	if measured != nil {
		measured.Facts = append(measured.Facts, impact.Facts...)
		measured.Total, measured.Reversible = impact.Total, impact.Reversible
		// What was measured is a sum. It is shown and bound in the same two parts
		// in which the next look at the target will tell it, neither less than
		// what that look would find: the permit would be dead at once.
		measured.Dependants = impact.Dependants
		measured.Count = max(measured.Count-impact.Dependants, impact.Count, 0)
		measured.Shares, measured.Open = atLeast(impact.Shares, measured.Shares), impact.Open
		impact = *measured
	}
	facts := impact.Facts
	impact.Facts = nil // kept once, where they can be erased
	if len(views) == 0 {
		views = make([]session.View, len(r.Actions))
	}
	told, err := json.Marshal(views)
	if err != nil {
		return fmt.Errorf("%w: encode memory: %w", ErrUnavailable, err)
	}
	h := approval.Hold{
		ID: newID(now), Session: r.Session.ID, Actor: r.Session.Actor, By: r.Session.By,
		Gate: r.Gate.Name, Target: r.Gate.Target, Environment: r.Gate.Environment,
		Actions: r.Actions, Request: r.Text, Facts: facts,
		Salt: proof.NewSalt(), State: state, Ceiling: impact,
		Verdict: a.verdict, Policy: versionOf(c.set), Context: told,
		Status: approval.Open, Opened: now, Expires: now.Add(i.config.HoldTime),
		RetryKey: i.retryKeyOf(r),
	}
	h.Digest = approvedDigest(h.Salt, r, h)

	record, err := holdRecord(h, r, now)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	b := ledger.Batch{Records: []ledger.Record{record}}
	b.Changes = append(b.Changes, i.state.RequireEpoch(c.Epoch)...)
	b.Changes = append(b.Changes, i.state.AddHold(h, owner)...)
	if err := i.commitNoted(ctx, "open a hold", r, signalbox.Hold, b, now); err != nil {
		return err // stale when a hold of the same request, or a halt, came first
	}
	i.floods.holdOpened(r)
	i.log.Info("held", "hold", h.ID, "actor", h.Actor.String(), "gate", h.Gate, "verb",
		string(h.Actions[signalbox.Gravest(h.Actions)].Verb), "requires", h.Verdict.Requires)
	return &HeldError{Hold: h}
}

// atLeast gives the shares that a look at the target told, each no less than what was
// measured. Where the look told none, what was measured is all.
func atLeast(told, measured []signalbox.Share) []signalbox.Share {
	told = slices.Clone(told)
next:
	for _, m := range measured {
		resource := shareOf(signalbox.Impact{Shares: told}, m.Resource)
		for n := range told {
			if told[n].Resource == resource {
				if told[n].Count != signalbox.CountUnknown {
					told[n].Count = max(told[n].Count, m.Count)
				}
				continue next
			}
		}
		told = append(told, m)
	}
	return told
}

// approvedDigest is what an approval is bound to: the request, where it goes,
// what it touches and everything that the approvers were shown (promise P4).
func approvedDigest(salt []byte, r Request, h approval.Hold) signalbox.Digest {
	state := make([]proof.Part, len(h.State))
	for n, f := range h.State {
		state[n] = proof.Text(f.Name, f.Value)
	}
	facts := make([]proof.Part, len(h.Facts))
	for n, f := range h.Facts {
		facts[n] = proof.Text("fact", f)
	}
	ceiling, err := json.Marshal(h.Ceiling)
	if err != nil {
		panic("interlock: impact cannot be encoded: " + err.Error()) // plain data
	}
	return proof.Commit(salt, proof.CanonicalDigest("signalbox/approval/1",
		proof.Bytes("request", r.Canonical[:]),
		proof.Text("session", string(r.Session.ID)),
		proof.Text("gate", r.Gate.Name),
		proof.Text("target", r.Gate.Target),
		proof.Text("environment", string(r.Gate.Environment)),
		proof.List("state", state...),
		proof.Bytes("ceiling", ceiling),
		proof.List("facts", facts...),
		proof.Text("shown", h.Request),
	))
}

// probe asks the executor what would be touched. What cannot be told is
// unknown, and said so to the approvers.
func (i *Interlock) probe(ctx context.Context, a *Admission) (signalbox.Impact, signalbox.State) {
	shown := a.request.Actions[signalbox.Gravest(a.request.Actions)].Impact
	impact, state, err := a.x.Probe(ctx)
	if err != nil {
		shown.Count, shown.Measured = signalbox.CountUnknown, false
		shown.Facts = append(slices.Clone(shown.Facts), "Impact could not be measured: "+err.Error())
		return shown, nil
	}
	return impact, state
}

// endPermit ends a permit that does not stand any more, for a reason that
// [Interlock.invalid] or differs gave.
func (i *Interlock) endPermit(ctx context.Context, h approval.Hold, reason, detail string) error {
	err := i.endHold(ctx, h, approval.Dead, reason+": "+detail, proof.Dead{Hold: h.ID, Reason: reason},
		proof.Hidden{"detail": detail})
	if err == nil {
		i.log.Info("permit died", "hold", h.ID, "reason", reason)
	}
	return err
}

// expireHold ends a hold or permit whose time is over.
func (i *Interlock) expireHold(ctx context.Context, h approval.Hold) error {
	return i.endHold(ctx, h, approval.Expired, "its time, or its session's, is over", proof.Expiry{Hold: h.ID}, nil)
}

// endHold moves a hold from the status that it was read with to a final one. It
// returns [ledger.ErrStale] when the hold was answered, used or ended meanwhile.
func (i *Interlock) endHold(ctx context.Context, h approval.Hold, to approval.Status, why string, body proof.Body,
	hidden proof.Hidden) error {
	now := i.now()
	record, err := seal(now, newID(now), body, hidden)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return i.commit(ctx, "end a hold", ledger.Batch{
		Changes: i.state.MoveHold(h.ID, h.Status, to, time.Time{}, "", why),
		Records: []ledger.Record{record},
	})
}
