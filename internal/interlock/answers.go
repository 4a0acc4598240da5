package interlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// Answer is a human's yes or no to a hold. The yes that satisfies it makes it a
// permit; a no ends it (the requester's own no withdraws it).
func (i *Interlock) Answer(ctx context.Context, c Caller, id string, yes bool, comment string) (approval.Hold, error) {
	if c.Person == nil {
		return approval.Hold{}, ErrNotHuman
	}
	for range maxTries {
		h, err := i.answer(ctx, c, id, yes, comment)
		if !errors.Is(err, ledger.ErrStale) {
			return h, err
		}
		if err := i.refreshSnapshot(ctx); err != nil {
			return h, fmt.Errorf("%w: control state: %w", ErrUnavailable, err)
		}
	}
	return approval.Hold{}, fmt.Errorf("%w: the hold kept changing, try again", ErrUnavailable)
}

func (i *Interlock) answer(ctx context.Context, who Caller, id string, yes bool,
	comment string) (approval.Hold, error) {
	c, err := i.authorized(ctx, by(who))
	if err != nil {
		return approval.Hold{}, err
	}
	p := c.people[who.Person.Name] // as he is now, not as he logged in
	h, err := i.state.Hold(ctx, id)
	if err != nil {
		return h, err // it names the hold
	}
	now := i.now()
	voter := approval.Voter{Name: p.Name, Epoch: p.Epoch, Groups: p.Groups}
	if yes {
		if voter.LiveAgents, err = i.liveAgents(ctx, p.Name, now); err != nil {
			return h, err
		}
	}
	if err := h.MayAnswer(voter, yes, i.config.AllowLiveAgents, now); err != nil {
		return h, err
	}
	answer := approval.Answer{By: p.Name, Epoch: p.Epoch, Yes: yes, Comment: comment, At: now}
	b := ledger.Batch{Changes: append(i.conditions(by(who)), i.state.RequireEpoch(c.Epoch)...)}
	b.Changes = append(b.Changes, i.state.RequireLive(id, approval.Open, now)...)
	b.Changes = append(b.Changes, i.state.AddAnswer(id, answer)...)
	body := proof.Approval{Hold: id, By: p.Name, Answer: proof.No, Digest: h.Digest}
	// What was said in his name with credentials that were revoked since, he may
	// say otherwise.
	earlier := func(a approval.Answer) bool { return a.By == p.Name }
	h.Answers = append(slices.DeleteFunc(slices.Clone(h.Answers), earlier), answer)
	switch {
	case yes:
		body.Answer = proof.Yes
		if ok, _ := h.Satisfied(c.voter); ok {
			h.Status, h.Expires = approval.Approved, now.Add(i.permitTime(h))
			body.Expires = proof.At(h.Expires)
			b.Changes = append(b.Changes, i.state.MoveHold(id, approval.Open, approval.Approved, h.Expires, "", "")...)
		}
	default:
		h.Status, h.Why = approval.Refused, "no from "+p.Name
		if comment != "" {
			h.Why += ": " + comment
		}
		if p.Name == h.Actor.Person() || p.Name == h.By {
			return h, i.withdraw(ctx, who, h, comment)
		}
		b.Changes = append(b.Changes, i.state.MoveHold(id, approval.Open, approval.Refused, time.Time{}, "", h.Why)...)
	}
	record, err := seal(now, newID(now), body, proof.Hidden{"comment": comment})
	if err != nil {
		return h, err
	}
	b.Records = []ledger.Record{record}
	if err := i.commit(ctx, "record an answer", b); err != nil {
		return h, err
	}
	i.refreshAfterCommit(ctx)
	return h, nil
}

// refreshAfterCommit makes what was just committed part of this process's next decision.
// Failing is no harm: it will be seen within a second.
func (i *Interlock) refreshAfterCommit(ctx context.Context) {
	if err := i.refreshSnapshot(ctx); err != nil {
		i.log.Warn("committed, and the new control state could not be read yet", "error", err)
	}
}

func (i *Interlock) permitTime(h approval.Hold) time.Duration {
	if h.Verdict.Expires > 0 {
		return h.Verdict.Expires
	}
	return i.config.PermitTime
}

// liveAgents lists the sessions of agents that act for a human now, and of
// automations whose credentials he was given.
func (i *Interlock) liveAgents(ctx context.Context, name string, now time.Time) ([]signalbox.SessionID, error) {
	rows, err := i.state.Sessions(ctx, true, now)
	if err != nil {
		return nil, fmt.Errorf("%w: sessions: %w", ErrUnavailable, err)
	}
	var live []signalbox.SessionID
	for _, s := range rows {
		if s.Actor.Kind == signalbox.Agent && s.Actor.For == name || s.Actor.Kind == signalbox.Automation &&
			s.By == name {
			live = append(live, s.ID)
		}
	}
	return live, nil
}

// Confirm is the requester's own word that he means it, where policy wants one
// besides approvals. It never counts as an approval.
func (i *Interlock) Confirm(ctx context.Context, c Caller, id string) (approval.Hold, error) {
	if c.Person == nil {
		return approval.Hold{}, ErrNotHuman
	}
	s, err := i.authorized(ctx, by(c))
	if err != nil {
		return approval.Hold{}, err
	}
	h, err := i.state.Hold(ctx, id)
	if err != nil {
		return h, err // it names the hold
	}
	now := i.now()
	switch {
	case h.Actor.Person() != c.Person.Name:
		return h, fmt.Errorf("confirm hold %s of %s: %w", id, h.Actor, ErrNotYours)
	case h.Status != approval.Open || !now.Before(h.Expires):
		return h, fmt.Errorf("hold %s is %s: %w", id, h.Status, approval.ErrNotOpen)
	case !h.Verdict.Confirm || h.Confirmed && h.ConfirmedEpoch == c.Person.Epoch:
		return h, nil
	}
	h.Confirmed, h.ConfirmedEpoch = true, c.Person.Epoch
	b := ledger.Batch{Changes: append(i.conditions(by(c)), i.state.RequireEpoch(s.Epoch)...)}
	b.Changes = append(b.Changes, i.state.ConfirmHold(id, c.Person.Epoch)...)
	if ok, _ := h.Satisfied(s.voter); ok {
		h.Status, h.Expires = approval.Approved, now.Add(i.permitTime(h))
		b.Changes = append(b.Changes, i.state.MoveHold(id, approval.Open, approval.Approved, h.Expires, "", "")...)
	}
	body := proof.Confirmation{Hold: id, By: c.Person.Name}
	if h.Status == approval.Approved {
		body.Expires = proof.At(h.Expires)
	}
	record, err := seal(now, newID(now), body, nil)
	if err != nil {
		return h, err
	}
	b.Records = []ledger.Record{record}
	if err := i.commit(ctx, "record a confirmation", b); err != nil {
		return h, err
	}
	i.refreshAfterCommit(ctx)
	return h, nil
}

// Withdraw takes a request back: by the session that made it, or its human.
func (i *Interlock) Withdraw(ctx context.Context, c Caller, id string) (approval.Hold, error) {
	h, err := i.state.Hold(ctx, id)
	if err != nil {
		return h, err // it names the hold
	}
	switch {
	case c.Session != nil && c.Session.ID == h.Session:
	case c.Person != nil && h.Actor.Person() == c.Person.Name:
	default:
		return h, fmt.Errorf("withdraw hold %s of %s: %w", id, h.Actor, ErrNotYours)
	}
	h.Status = approval.Withdrawn
	return h, i.withdraw(ctx, c, h, "")
}

func (i *Interlock) withdraw(ctx context.Context, c Caller, h approval.Hold, reason string) error {
	now, who := i.now(), c.Name()
	was, err := i.state.Hold(ctx, h.ID)
	if err != nil {
		return err
	}
	if was.Status.Final() {
		return fmt.Errorf("hold %s is %s: %w", h.ID, was.Status, approval.ErrNotOpen)
	}
	record, err := seal(now, newID(now), proof.Withdrawal{Hold: h.ID, By: who}, proof.Hidden{"reason": reason})
	if err != nil {
		return err
	}
	err = i.commitAs(ctx, "withdraw a hold", by(c), func(*snapshot) (ledger.Batch, error) {
		return ledger.Batch{
			Changes: i.state.MoveHold(h.ID, was.Status, approval.Withdrawn, time.Time{}, "", "withdrawn by "+who),
			Records: []ledger.Record{record},
		}, nil
	})
	if err != nil {
		return err
	}
	// A crash here leaves a refusal in memory: later changes are looked at more
	// closely than need be.
	m, err := i.lockMemory(ctx, Request{Session: signalbox.Session{ID: was.Session, Actor: was.Actor},
		Gate: control.Gate{Target: was.Target}}, true)
	if err != nil {
		i.log.Warn("a withdrawn request is still remembered", "hold", h.ID, "error", err)
		return nil
	}
	defer m.unlock()
	for _, s := range m {
		s.data.Memory.Withdraw(was.Actions)
		s.dirty = true
	}
	return nil
}
