package interlock

import (
	"context"
	"encoding/json"
	"errors"
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

// maxTries bounds how often a request is decided again because what it rested
// upon changed between reading and committing. Whoever loses as often as this
// is refused, not let through.
const maxTries = 8

// errAgain says that nothing was done because the world changed: decide again.
var errAgain = errors.New("state changed: decide again")

func (i *Interlock) admit(ctx context.Context, r Request, x Executor) (*Admission, error) {
	if a := i.known.repeated(r, i.snapshot.Load(), i.now()); a != nil {
		return a, nil
	}
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for range maxTries {
		a, err := i.tryAdmit(ctx, r, x)
		if !errors.Is(err, ledger.ErrStale) {
			return a, err
		}
		if err := i.reread(ctx); err != nil {
			return nil, fmt.Errorf("%w: control state: %w", ErrUnavailable, err)
		}
	}
	return nil, fmt.Errorf("%w: its state kept changing, try again", ErrUnavailable)
}

func (r Request) validate() error {
	switch {
	case len(r.Actions) == 0:
		return errors.New("request without actions")
	case r.Gate.Name == "" || r.Gate.Target == "" || r.Gate.Environment == "":
		return fmt.Errorf("gate %q has no name, target or environment", r.Gate.Name)
	case r.Session.ID == "":
		return errors.New("request without a session")
	}
	return r.Session.Actor.Validate()
}

func (i *Interlock) tryAdmit(ctx context.Context, r Request, x Executor) (*Admission, error) {
	c, err := i.current(ctx)
	if err != nil {
		return nil, err
	}
	now := i.now()
	if err := r.Session.Usable(r.Gate.Name, now); err != nil {
		return nil, &DeniedError{Verdict: control.Deny("session", "%v", err)}
	}
	if err := c.mayAsk(r); err != nil {
		return nil, &DeniedError{Verdict: control.Deny("session", "%v", err)}
	}
	groups, _ := c.groups(r.Session.Actor.Person())
	a := &Admission{request: r, x: x, epoch: c.Epoch, policy: c.set, ceiling: -1, notable: notable(r.Actions)}

	both, err := i.lock(ctx, r, a.notable)
	if err != nil {
		return nil, err
	}
	i.known.settle(r, func(reads []signalbox.Action) { both.note(reads, signalbox.Allow, now) })
	views := both.views(r.Actions, now)
	a.verdict, a.glass = control.Decide(c.set, control.Case{
		Session: r.Session, Gate: r.Gate, Actions: r.Actions, Groups: groups,
		Views: views, Control: c.State, Now: now, Minimum: r.Floor,
	})
	if a.verdict.Decision == signalbox.Allow {
		// Remembered before anybody else decides: two requests at once cannot
		// both be the last that a budget allows.
		both.note(r.Actions, signalbox.Allow, now)
	}
	both.unlock()

	switch a.verdict.Decision {
	case signalbox.Allow:
		if limited(r) && !a.Read() {
			a.limited = true
			a.ceiling = r.Gate.Ceiling.WithDefaults().Request
			if len(c.permits) > 0 && c.permits[i.retryKeyOf(r)] {
				return i.redeemable(ctx, c, a, views) // approved after an overrun
			}
		}
		i.known.keep(a, c)
		return a, nil
	case signalbox.Hold:
		return i.redeemable(ctx, c, a, views)
	}
	if !slices.ContainsFunc(a.verdict.Policies, control.Binding) {
		// Memory has grown since the hold was opened, by that very hold among
		// others. It must not undo what people have approved since.
		h, err := i.state.HoldByRetryKey(ctx, i.retryKeyOf(r))
		if err == nil && h.Status == approval.Approved && now.Before(h.Expires) {
			return i.redeemable(ctx, c, a, views)
		}
	}
	return nil, i.refuse(ctx, c, a)
}

// notable reports whether actions must be durable in memory together with
// their record: all but reads and small changes of rows.
func notable(actions []signalbox.Action) bool {
	return slices.ContainsFunc(actions, func(a signalbox.Action) bool {
		switch a.Verb {
		case signalbox.Read:
			return a.Has(signalbox.TraitIdentity)
		case signalbox.Create, signalbox.Update:
			return a.Has(signalbox.TraitRename) || a.Has(signalbox.TraitCopy) ||
				slices.ContainsFunc(a.Resources, func(r signalbox.Resource) bool { return r.Whole })
		}
		return true
	})
}

// retryKeyOf finds the hold of the same bytes sent again. Keyed, so that the
// database does not give away low-entropy requests.
func (i *Interlock) retryKeyOf(r Request) string {
	return proof.RetryKey(i.retryKey, r.Session.ID, r.Gate.Name+"\x00"+r.Gate.Target, r.Canonical).String()
}

// without goes on without a permit: it opens a hold where the verdict wants one.
func (i *Interlock) without(ctx context.Context, c *snapshot, a *Admission, views []session.View) (*Admission, error) {
	switch a.verdict.Decision {
	case signalbox.Allow:
		return a, nil
	case signalbox.Hold:
		return nil, i.open(ctx, c, a, views, nil)
	}
	return nil, i.refuse(ctx, c, a)
}

// redeemable looks for the permit of a request. Where the verdict wants one and
// there is none, it opens a hold, or names the one that is open.
func (i *Interlock) redeemable(ctx context.Context, c *snapshot, a *Admission, views []session.View) (*Admission, error) {
	r := a.request
	key := i.retryKeyOf(r)
	h, err := i.state.HoldByRetryKey(ctx, key)
	now := i.now()
	switch {
	case errors.Is(err, ErrNotFound):
		return i.without(ctx, c, a, views)
	case err != nil:
		return nil, fmt.Errorf("%w: look for a hold: %w", ErrUnavailable, err)
	case !h.Status.Final() && !now.Before(h.Expires):
		if err := i.expire(ctx, h); err != nil {
			return nil, err
		}
		return i.without(ctx, c, a, views)
	case h.Status == approval.Open && a.verdict.Decision == signalbox.Hold:
		return nil, &HeldError{Hold: h}
	case h.Status == approval.Refused && now.Before(h.Expires) && a.verdict.Decision == signalbox.Hold:
		// A no ends it: the same bytes are not put before people again.
		a.verdict = control.Deny("refused", "refused by people (hold %s): %s", h.ID, h.Why)
		return nil, i.refuse(ctx, c, a)
	case h.Status != approval.Approved:
		return i.without(ctx, c, a, views)
	}

	// A permit. Is it still for this? First what needs no look at the target.
	reason, detail := i.survives(c, a, h)
	var impact signalbox.Impact
	var state signalbox.State
	if reason == "" {
		impact, state = i.probe(ctx, a)
		reason, detail = differs(h, impact, state)
	}
	if reason != "" {
		if err := i.kill(ctx, h, reason, detail); err != nil {
			return nil, err
		}
		return i.without(ctx, c, a, views)
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
	if a.limited && h.Ceiling.Count != signalbox.CountUnknown {
		a.ceiling = h.Ceiling.Count + h.Ceiling.Dependants
	}
	if counted {
		return a, nil
	}
	both, err := i.lock(ctx, r, false)
	if err != nil {
		return nil, err
	}
	both.note(r.Actions, signalbox.Allow, now)
	both.unlock()
	return a, nil
}

// differs reports why a permit is dead for what was found at the target now: ""
// when it lives.
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

// survives reports why a permit is dead although the target was not looked at
// yet: "" when it lives.
func (i *Interlock) survives(c *snapshot, a *Admission, h approval.Hold) (reason, detail string) {
	r := a.request
	if h.Session != r.Session.ID || h.Gate != r.Gate.Name || h.Target != r.Gate.Target || h.Environment != r.Gate.Environment {
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
		groups, _ := c.groups(r.Session.Actor.Person())
		v, _ := control.Decide(c.set, control.Case{Session: r.Session, Gate: r.Gate, Actions: r.Actions, Groups: groups, Views: views, Control: c.State, Now: i.now(), Minimum: r.Floor})
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

// overrunPolicy is the id under which a hold stands that was opened because a
// ceiling was exceeded.
const overrunPolicy = "ceiling"

func overrun(h approval.Hold) bool { return slices.Equal(h.Verdict.Policies, []string{overrunPolicy}) }

// open opens a hold and returns it as a [*HeldError]. measured, when not nil,
// replaces what a probe would say of the impact.
func (i *Interlock) open(ctx context.Context, c *snapshot, a *Admission, views []session.View, measured *signalbox.Impact) error {
	r, now := a.request, i.now()
	if r.Partial {
		a.verdict = control.Deny("too-long", "the request is too long to be shown whole, so nobody can approve it: split it up")
		return i.refuse(ctx, c, a)
	}
	if err := i.storms.holds(r, now); err != nil {
		a.verdict = control.Deny("storm", "%v", err)
		return i.refuse(ctx, c, a)
	}
	owner := ownerOf(r.Session.Actor)
	if n, err := i.state.OpenHolds(ctx, owner); err != nil {
		return fmt.Errorf("%w: count open holds: %w", ErrUnavailable, err)
	} else if n >= i.config.MaxOpenHolds {
		a.verdict = control.Deny("too-many-holds", "%d requests of %s wait for approval already: withdraw some, or wait for answers", n, owner)
		return i.refuse(ctx, c, a)
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
	set := signalbox.Digest{}
	if c.set != nil {
		set = c.set.Version()
	}
	h := approval.Hold{
		ID: newID(now), Session: r.Session.ID, Actor: r.Session.Actor, By: r.Session.By,
		Gate: r.Gate.Name, Target: r.Gate.Target, Environment: r.Gate.Environment,
		Actions: r.Actions, Request: r.Text, Facts: facts,
		Salt: proof.NewSalt(), State: state, Ceiling: impact,
		Verdict: a.verdict, Policy: set, Context: told,
		Status: approval.Open, Opened: now, Expires: now.Add(i.config.HoldTime),
		RetryKey: i.retryKeyOf(r),
	}
	h.Digest = approvedDigest(h.Salt, r, h)

	record, err := holdRecord(h, r, now)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	both, err := i.lock(ctx, r, false)
	if err != nil {
		return err
	}
	defer both.unlock()
	both.note(r.Actions, signalbox.Hold, now)
	memory, err := both.save(i.state, now)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	b := ledger.Batch{Records: []ledger.Record{record}}
	b.Changes = append(b.Changes, i.state.RequireEpoch(c.Epoch)...)
	b.Changes = append(b.Changes, i.state.AddHold(h, owner)...)
	b.Changes = append(b.Changes, memory...)
	if _, err := i.ledger.Commit(ctx, b); err != nil {
		both.stale()
		if errors.Is(err, ledger.ErrStale) {
			return err // a hold of the same request, or a halt, came first
		}
		return fmt.Errorf("%w: open a hold: %w", ErrUnavailable, err)
	}
	both.saved()
	i.storms.opened(r)
	i.log.Info("held", "hold", h.ID, "actor", h.Actor.String(), "gate", h.Gate, "verb", string(h.Actions[signalbox.Gravest(h.Actions)].Verb), "requires", h.Verdict.Requires)
	return &HeldError{Hold: h}
}

// refuse records a denial and returns it as a [*DeniedError]. In a storm it is
// only counted.
func (i *Interlock) refuse(ctx context.Context, c *snapshot, a *Admission) error {
	r, now := a.request, i.now()
	denied := &DeniedError{Verdict: a.verdict}
	if !i.storms.refusal(r, now) {
		return denied
	}
	set := signalbox.Digest{}
	if c.set != nil {
		set = c.set.Version()
	}
	record, err := refusalRecord(a, set, now)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	both, err := i.lock(ctx, r, false)
	if err != nil {
		return err
	}
	defer both.unlock()
	both.note(r.Actions, signalbox.Deny, now)
	memory, err := both.save(i.state, now)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if _, err := i.ledger.Commit(ctx, ledger.Batch{Changes: memory, Records: []ledger.Record{record}}); err != nil {
		both.stale()
		if errors.Is(err, ledger.ErrStale) {
			return err
		}
		return fmt.Errorf("%w: record a refusal: %w", ErrUnavailable, err)
	}
	both.saved()
	denied.Record = record.ID
	return denied
}

// kill ends a permit for what is no longer what would happen.
func (i *Interlock) kill(ctx context.Context, h approval.Hold, reason, detail string) error {
	err := i.end(ctx, h, approval.Dead, reason+": "+detail, proof.Dead{Hold: h.ID, Reason: reason}, proof.Hidden{"detail": detail})
	if err == nil {
		i.log.Info("permit died", "hold", h.ID, "reason", reason)
	}
	return err
}

// expire ends a hold or permit whose time is over.
func (i *Interlock) expire(ctx context.Context, h approval.Hold) error {
	return i.end(ctx, h, approval.Expired, "its time, or its session's, is over", proof.Expiry{Hold: h.ID}, nil)
}

// end moves a hold from the status that it was read with to a final one.
func (i *Interlock) end(ctx context.Context, h approval.Hold, to approval.Status, why string, body proof.Body, hidden proof.Hidden) error {
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

// overrunRequires is whose approval a change beyond its ceiling needs.
const overrunRequires = "1 of sre"
