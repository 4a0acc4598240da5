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

func (i *Interlock) execute(ctx context.Context, as []*Admission, x Executor) (signalbox.Outcome, error) {
	if len(as) == 0 {
		return signalbox.Outcome{}, fmt.Errorf("%w: nothing was admitted", ErrUnavailable)
	}
	in, err := i.prepare(ctx, as, x)
	if err != nil {
		return signalbox.Outcome{}, err
	}
	// From here on the intent is durable. A crash leaves it open until the
	// lease ends, and then unknown.
	out, err := i.forward(ctx, in, as, x)

	over := (*OverrunError)(nil)
	switch {
	case errors.As(err, &over):
		out = signalbox.Outcome{Result: signalbox.Failed, Code: overrunPolicy, Detail: over.Error(), Rows: 0,
			Reference: out.Reference}
	case err != nil:
		out = signalbox.Outcome{
			Result: signalbox.ResultUnknown, Detail: err.Error(), Rows: signalbox.CountUnknown, Touched: out.Touched,
			Reference: out.Reference,
		}
	case out.Result != signalbox.Done && out.Result != signalbox.Failed:
		err = errors.New("the gate could not tell what came of it")
		out.Result = signalbox.ResultUnknown
	}

	if in.hold || over != nil || err != nil {
		// Under a permit, success is the client's only when the outcome is
		// durable. A refusal and an unknown are told no earlier either.
		if rerr := i.conclude(context.WithoutCancel(ctx), in.id, out); rerr != nil {
			i.concludeLater(in.id, out)
			if err == nil {
				return out, &UnknownError{Intent: in.id,
					Err: fmt.Errorf("it was executed (%s), and the outcome could not be recorded: %w", out.Result,
						rerr)}
			}
		}
	} else {
		i.concludeLater(in.id, out)
	}

	switch {
	case over != nil:
		i.memories.forget(as[0].request) // what was counted was undone
		return signalbox.Outcome{}, i.overran(ctx, as, over)
	case err != nil:
		return out, &UnknownError{Intent: in.id, Err: err}
	}
	return out, nil
}

// errInterrupted is what is known of an intent while it is being recorded.
var errInterrupted = errors.New("the intent was not recorded")

// prepare asks the executor how it stands, and makes the intent durable. What it
// was to record with the intent it is told of in any case: others wait for it.
func (i *Interlock) prepare(ctx context.Context, as []*Admission, x Executor) (in intended, err error) {
	prepared := x.Prepare(ctx)
	err = errInterrupted // so it stays if there is a panic
	if prepared.Recorded != nil {
		defer func() { prepared.Recorded(err) }()
	}
	return i.intend(ctx, as, prepared)
}

// An intended is an intent that is durable.
type intended struct {
	id   string
	hold bool // under a permit
}

// intend makes one intent durable for all the admissions, and redeems their
// permits in the same transaction. What was read stands before it in the log.
func (i *Interlock) intend(ctx context.Context, as []*Admission, prepared Prepared) (intended, error) {
	c, err := i.current(ctx)
	if err != nil {
		return intended{}, err
	}
	now := i.now()
	r := as[0].request
	in := intended{id: newID(now)}
	row := IntentRow{
		ID: in.id, Session: r.Session.ID, Subject: subjectsOf(r)[1],
		Gate: r.Gate.Name, Target: r.Gate.Target, Replica: i.config.Replica,
		RetryKey: i.retryKeyOf(r), Status: IntentOpen, Opened: now,
	}
	b := ledger.Batch{Changes: slices.Clone(i.state.RequireEpoch(c.Epoch))}
	isNotable := false
	for _, a := range as {
		if a.epoch != c.Epoch {
			if err := i.stillAdmitted(ctx, c, a); err != nil {
				return intended{}, err
			}
		}
		row.Actions = append(row.Actions, a.request.Actions...)
		isNotable = isNotable || a.notable
		if a.hold != nil {
			if in.hold {
				return intended{}, &DeniedError{Verdict: control.Deny("one-permit",
					"a transaction may use one approval, and this one needs %s and %s: commit in between", row.Hold,
					a.hold.ID)}
			}
			in.hold = true
			row.Hold = a.hold.ID
			b.Changes = append(b.Changes, i.state.RequireLive(a.hold.ID, approval.Approved, now)...)
			b.Changes = append(b.Changes, i.state.MoveHold(a.hold.ID, approval.Approved, approval.Used, time.Time{},
				in.id, "")...)
		}
	}
	retries := i.retriesOf(ctx, row.RetryKey, isNotable)
	record, err := intentRecord(in.id, as, c, row, prepared, retries, i.config.Replica, now)
	if err != nil {
		return intended{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if len(record.Payload) > ledger.MaxPayload {
		return intended{}, &DeniedError{Verdict: control.Deny("record-size",
			"the record of these %d changes would be %d bytes long, the limit is %d: make fewer changes, or shorter ones, in one transaction",
			len(row.Actions), len(record.Payload), ledger.MaxPayload)}
	}
	if b.Records, err = readsRecords(prepared.Reads, now); err != nil {
		return intended{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	b.Records = append(b.Records, record)
	b.Changes = append(b.Changes, i.state.AddIntent(row)...)

	if isNotable {
		m, lerr := i.lockMemory(ctx, r, true)
		if lerr != nil {
			return intended{}, lerr
		}
		defer m.unlock()
		err = i.commitWithMemory(ctx, m, b, now)
	} else {
		_, err = i.ledger.Commit(ctx, b)
	}
	if err != nil {
		return intended{}, i.notIntended(ctx, in.id, err)
	}
	return in, nil
}

// notIntended turns a failed commit of an intent into what the caller does
// next. Nothing is forwarded in any case.
func (i *Interlock) notIntended(ctx context.Context, id string, err error) error {
	if errors.Is(err, ledger.ErrStale) {
		if rerr := i.refreshSnapshot(ctx); rerr != nil {
			return fmt.Errorf("%w: control state: %w", ErrUnavailable, rerr)
		}
		return errAgain
	}
	// The commit may have happened although we were not told. Nothing was
	// forwarded, so if the intent is there, it has failed.
	i.concludeLater(id, signalbox.Outcome{Result: signalbox.Failed, Code: "not-forwarded",
		Detail: "the intent was not known to be durable, so nothing was forwarded"})
	return fmt.Errorf("%w: record the intent: %w", ErrUnavailable, err)
}

// stillAdmitted decides an admission again after the control state has moved
// since it was given.
func (i *Interlock) stillAdmitted(ctx context.Context, c *snapshot, a *Admission) error {
	r := a.request
	row, err := i.state.Session(ctx, r.Session.ID)
	if err != nil {
		return fmt.Errorf("%w: session: %w", ErrUnavailable, err)
	}
	if err := row.Usable(r.Gate.Name, i.now()); err != nil {
		return &DeniedError{Verdict: control.Deny("session", "%v", err)}
	}
	if err := c.mayAsk(r); err != nil {
		return &DeniedError{Verdict: control.Deny("session", "%v", err)}
	}
	m, err := i.lockMemory(ctx, r, false)
	if err != nil {
		return err
	}
	views := m.views(r.Actions, i.now())
	m.unlock()
	v, breakGlassID := c.decide(r, views, i.now())
	switch {
	case slices.ContainsFunc(v.Policies, control.Binding):
		return i.refuse(ctx, c, a, v)
	case a.hold != nil:
		if reason, _ := i.invalid(c, a, *a.hold); reason != "" {
			return errAgain
		}
	case v.Decision != signalbox.Allow:
		return errAgain
	}
	a.epoch, a.policy, a.breakGlassID = c.Epoch, c.set, breakGlassID
	return nil
}

// retriesOf gives the last intent of the same bytes when its outcome is
// unknown, so that the two are linked. Looked up for notable requests alone:
// the rest are too many.
func (i *Interlock) retriesOf(ctx context.Context, key string, isNotable bool) string {
	if !isNotable {
		return ""
	}
	last, err := i.state.LastIntent(ctx, key)
	if err != nil || last.Status != IntentUnknown {
		return "" // not found, or not to be had: the link is for people's convenience
	}
	return last.ID
}

// forward calls the executor with the permit for the intent.
func (i *Interlock) forward(ctx context.Context, in intended, as []*Admission, x Executor) (out signalbox.Outcome,
	err error) {
	p := &Permit{Intent: in.id}
	var approved *approval.Hold
	var most ceiling
	for _, a := range as {
		if a.hold != nil {
			p.Hold, approved = a.hold.ID, a.hold
		}
		if !a.limited {
			continue
		}
		p.Limited = true
		if a.hold != nil {
			most.approved = &a.hold.Ceiling
			continue
		}
		r := a.request
		most.granted = r.Gate.Ceiling.WithDefaults().Request
		most.account = func(touched map[string]int64) error {
			m, err := i.lockMemory(context.WithoutCancel(ctx), r, false)
			if err != nil {
				return err
			}
			defer m.unlock()
			return m.spend(touched, r.Gate.Ceiling.WithDefaults().Total, i.now())
		}
	}
	if !p.Limited {
		most.granted = -1
	}
	p.Still, p.Spend = still(approved), p.spend(most)
	defer func() {
		if v := recover(); v != nil {
			// Our own defect, in the middle of something that was forwarded
			// perhaps: nobody knows. It is for the gate to end the connection or
			// the request whose state is not to be trusted any more.
			i.concludeLater(in.id, signalbox.Outcome{Result: signalbox.ResultUnknown,
				Detail: fmt.Sprint("panic: ", v), Rows: signalbox.CountUnknown})
			panic(v)
		}
	}()
	return x.Execute(ctx, p)
}

// overran opens a hold for what went beyond its ceiling and was undone.
func (i *Interlock) overran(ctx context.Context, as []*Admission, over *OverrunError) error {
	// People are asked about the last change: its bytes are the ones that
	// will come again. All that the transaction touched is in the facts.
	var a *Admission
	for _, candidate := range as {
		if candidate.limited {
			a = candidate
		}
	}
	if a == nil {
		return over // an executor that measured what it was not asked to
	}
	facts := []string{"Rolled back: " + over.Reason + "."}
	for _, name := range sortedKeys(over.Touched) {
		facts = append(facts, fmt.Sprintf("Measured: %d rows of %s.", over.Touched[name], name))
	}
	shown := a.request.Actions[signalbox.Gravest(a.request.Actions)].Impact
	measured := &signalbox.Impact{Count: sum(over.Touched), Scope: shown.Scope, Reversible: shown.Reversible,
		Measured: true, Facts: facts, Shares: measuredShares(over.Touched)}
	if over.Touched == nil {
		measured = nil // it did not come to be measured
	}
	used := ""
	for _, candidate := range as {
		if candidate.hold != nil {
			used = fmt.Sprintf("the approval of hold %s is used up, %s: nothing was done", candidate.hold.ID,
				over.Reason)
		}
	}
	for range maxTries {
		c, err := i.current(ctx)
		if err != nil {
			return err
		}
		if h, err := i.state.HoldByRetryKey(ctx, i.retryKeyOf(a.request)); err == nil &&
			h.Status == approval.Refused && i.now().Before(h.Expires) {
			return &DeniedError{Verdict: control.Deny("refused", "rolled back, and refused by people (hold %s): %s",
				h.ID, h.Why)}
		}
		again := *a
		again.hold, again.epoch = nil, c.Epoch
		if a.hold == nil {
			again.verdict = signalbox.Verdict{
				Decision: signalbox.Hold, Policies: []string{overrunPolicy},
				Requires: []string{overrunRequires},
				Reason:   "it touched more than the ceiling and was rolled back: " + over.Reason,
			}
		}
		err = i.openHold(ctx, c, &again, nil, measured)
		if !errors.Is(err, ledger.ErrStale) {
			return afterApproval(err, used)
		}
		// The same request overran before, and its hold is open.
		if h, herr := i.state.HoldByRetryKey(ctx, i.retryKeyOf(a.request)); herr == nil && !h.Status.Final() {
			return &HeldError{Hold: h, Before: used}
		}
		if err := i.refreshSnapshot(ctx); err != nil {
			return fmt.Errorf("%w: control state: %w", ErrUnavailable, err)
		}
	}
	return over
}

// measuredShares makes what was measured a ceiling for the next approval.
func measuredShares(touched map[string]int64) []signalbox.Share {
	var shares []signalbox.Share
	for _, name := range sortedKeys(touched) {
		shares = append(shares, signalbox.Share{Resource: name, Verb: signalbox.Update, Count: touched[name]})
	}
	return shares
}

// afterApproval has the error of a new hold say what became of the approval before.
func afterApproval(err error, before string) error {
	if held := (*HeldError)(nil); errors.As(err, &held) {
		held.Before = before
	}
	return err
}

// conclude records an outcome. When the intent was settled by somebody else,
// who could only say unknown, the truth is appended as a resolution.
func (i *Interlock) conclude(ctx context.Context, intent string, out signalbox.Outcome) error {
	now := i.now()
	status := map[signalbox.Result]IntentStatus{signalbox.Done: IntentDone, signalbox.Failed: IntentFailed}[out.Result]
	if status == "" {
		status = IntentUnknown
		out.Result = signalbox.ResultUnknown
	}
	record, err := outcomeRecord(intent, out, now)
	if err != nil {
		return err
	}
	_, err = i.ledger.Commit(ctx, ledger.Batch{
		Changes: i.state.SettleIntent(intent, IntentOpen, status, now, out.Touched),
		Records: []ledger.Record{record},
		Vital:   true,
	})
	if !errors.Is(err, ledger.ErrStale) {
		return err
	}
	row, err := i.state.Intent(ctx, intent)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil // the intent itself never became durable
	case err != nil:
		return err
	case row.Status != IntentUnknown || out.Result == signalbox.ResultUnknown:
		return nil // it has this outcome: an earlier try was committed
	}
	// It may have taken long to get here. The truth is sealed with the time when
	// it is recorded, and written once: only over unknown.
	now = i.now()
	record, err = seal(now, newID(now), proof.Resolution{Intent: intent, Result: out.Result, Code: out.Code,
		Rows: out.Rows, By: i.config.Replica}, hideOutcome(out))
	if err != nil {
		return err
	}
	_, err = i.ledger.Commit(ctx, ledger.Batch{
		Changes: i.state.SettleIntent(intent, IntentUnknown, status, now, out.Touched),
		Records: []ledger.Record{record},
		Vital:   true,
	})
	if errors.Is(err, ledger.ErrStale) {
		return nil // an earlier try was committed, whose answer was lost
	}
	return err
}

// concludeLater records an outcome without holding up the reply, trying until
// it succeeds or the process ends. If it ends first, the intent becomes
// unknown.
func (i *Interlock) concludeLater(intent string, out signalbox.Outcome) {
	i.pending.Go(func() {
		i.outcomes.wait()
		wait := 10 * time.Millisecond
		for try := 0; ; try++ {
			err := i.guarded("record an outcome", func() error { return i.conclude(context.Background(), intent, out) })
			if err == nil {
				return
			}
			if try == 0 {
				i.log.Error("outcome not recorded yet", "intent", intent, "result", string(out.Result), "error", err)
			}
			if errors.Is(err, ledger.ErrClosed) || i.closing(wait) {
				i.log.Error("outcome lost: the intent will become unknown", "intent", intent, "result",
					string(out.Result))
				return
			}
			wait = min(2*wait, 2*time.Second)
		}
	})
}
