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
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// maxTries bounds how often a request is decided again because what it rested
// upon changed between reading and committing. A request that loses as often as
// this is refused, not let through.
const maxTries = 8

// errAgain says that nothing was done because the state changed: decide again.
var errAgain = errors.New("state changed: decide again")

// admit is the path of a decision: a verdict by the present control state, and
// then the admission, a recorded refusal, a hold, or the permit of an earlier
// one. See hold.go for holds and redeem.go for permits.
func (i *Interlock) admit(ctx context.Context, r Request, x Executor) (*Admission, error) {
	if a := i.repeats.find(r, i.snapshot.Load(), i.now()); a != nil {
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
		if err := i.refreshSnapshot(ctx); err != nil {
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

// tryAdmit decides once. It returns [ledger.ErrStale] when what it decided by
// changed before the decision was recorded.
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
	a := &Admission{request: r, x: x, epoch: c.Epoch, policy: c.set, notable: notable(r.Actions)}

	mem, err := i.lockMemory(ctx, r, a.notable)
	if err != nil {
		return nil, err
	}
	i.repeats.flush(r, func(reads []signalbox.Action) { mem.note(reads, signalbox.Allow, now) })
	views := mem.views(r.Actions, now)
	a.verdict, a.breakGlassID = c.decide(r, views, now)
	if a.verdict.Decision == signalbox.Allow {
		// Remembered before anybody else decides: two requests at once cannot
		// both be the last that a budget allows.
		mem.note(r.Actions, signalbox.Allow, now)
	}
	mem.unlock()

	switch a.verdict.Decision {
	case signalbox.Allow:
		if limited(r) && !a.Read() {
			a.limited = true
			if len(c.permits) > 0 && c.permits[i.retryKeyOf(r)] {
				return i.admitByPermit(ctx, c, a, views) // approved after an overrun
			}
		}
		i.repeats.add(a, c)
		return a, nil
	case signalbox.Hold:
		return i.admitByPermit(ctx, c, a, views)
	}
	if !slices.ContainsFunc(a.verdict.Policies, control.Binding) {
		// Memory has grown since the hold was opened, by that very hold among
		// others. It must not undo what people have approved since.
		h, err := i.state.HoldByRetryKey(ctx, i.retryKeyOf(r))
		if err == nil && h.Status == approval.Approved && now.Before(h.Expires) {
			return i.admitByPermit(ctx, c, a, views)
		}
	}
	return nil, i.refuse(ctx, c, a, a.verdict)
}

// admitWithoutPermit goes on for a request that has no permit: it opens a hold
// where the verdict wants one.
func (i *Interlock) admitWithoutPermit(ctx context.Context, c *snapshot, a *Admission,
	views []session.View) (*Admission, error) {
	switch a.verdict.Decision {
	case signalbox.Allow:
		return a, nil
	case signalbox.Hold:
		return nil, i.openHold(ctx, c, a, views, nil)
	}
	return nil, i.refuse(ctx, c, a, a.verdict)
}

// decide gives the verdict on a request under the snapshot, for what memory says
// of its actions.
func (s *snapshot) decide(r Request, views []session.View, now time.Time) (v signalbox.Verdict, breakGlassID string) {
	groups, _ := s.groups(r.Session.Actor.Person())
	return control.Decide(s.set, control.Case{
		Session: r.Session,
		Gate:    r.Gate,
		Actions: r.Actions,
		Groups:  groups,
		Views:   views,
		Control: s.State,
		Now:     now,
		Minimum: r.Minimum,
	})
}

// refuse records a denial and returns it as a [*DeniedError]. In a flood of them
// it is only counted.
func (i *Interlock) refuse(ctx context.Context, c *snapshot, a *Admission, v signalbox.Verdict) error {
	r, now := a.request, i.now()
	denied := &DeniedError{Verdict: v}
	if !i.floods.mayRecordRefusal(r, now) {
		return denied
	}
	a.verdict = v
	record, err := refusalRecord(a, versionOf(c.set), now)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	err = i.commitNoted(ctx, "record a refusal", r, signalbox.Deny, ledger.Batch{Records: []ledger.Record{record}}, now)
	if err != nil {
		return err
	}
	denied.Record = record.ID
	return denied
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

// retryKeyOf gives the key by which the hold of the same bytes sent again is
// found. It is keyed, so that the database does not give away requests that are
// easy to guess.
func (i *Interlock) retryKeyOf(r Request) string {
	return proof.RetryKey(i.retryKey, r.Session.ID, r.Gate.Name+"\x00"+r.Gate.Target, r.Canonical).String()
}
