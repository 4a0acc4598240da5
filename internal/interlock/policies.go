package interlock

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// Statuses of a stored policy set.
const (
	PolicyActive   = "active"
	PolicyProposed = "proposed"
	PolicyRefused  = "refused"
	PolicyPast     = "past"
)

// policyFolder is who proposes when the policy folder changes.
const policyFolder = "policy-folder"

// LoadPolicy puts the set that the operator configured into force. The very
// first set is active at once. A changed one is active at once, too, unless a
// production gate is configured: then it is a proposal, and a hold waits for
// approvals. A bad set is refused with an error that says where, and the
// active one stays. proposed is true when the set now waits.
func (i *Interlock) LoadPolicy(ctx context.Context, files []policy.File) (proposed bool, err error) {
	return i.changePolicy(ctx, nil, signalbox.Actor{Kind: signalbox.Automation, Name: policyFolder}, files)
}

// ProposePolicy is [Interlock.LoadPolicy] on a human's behalf.
func (i *Interlock) ProposePolicy(ctx context.Context, c Caller, files []policy.File) (proposed bool, err error) {
	if err := needAdmin(c); err != nil {
		return false, err
	}
	return i.changePolicy(ctx, byAdmin(c), signalbox.Actor{Kind: signalbox.Human, Name: c.Person.Name}, files)
}

func (i *Interlock) changePolicy(ctx context.Context, a *authority, by signalbox.Actor,
	files []policy.File) (bool, error) {
	set, err := policy.Load(files)
	if err != nil {
		return false, err
	}
	c, err := i.authorized(ctx, a)
	if err != nil {
		return false, err
	}
	if set.Version() == c.Policy {
		return false, nil
	}
	row, err := i.state.PolicySet(ctx, set.Version())
	known := err == nil
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, fmt.Errorf("%w: policy sets: %w", ErrUnavailable, err)
	}
	if c.set == nil || !i.gated(c) {
		err := i.activate(ctx, a, by.String(), set.Version(), files, "", signalbox.Digest{})
		if !errors.Is(err, errGated) {
			return false, err
		}
		// A production gate was opened meanwhile, perhaps at another replica.
		if c, err = i.authorized(ctx, a); err != nil {
			return false, err
		}
	}
	if known && row.Status == PolicyRefused {
		return false, fmt.Errorf("policy set %s was refused before: change it", set.Version().Short())
	}
	if !known {
		if err := i.propose(ctx, a, by, set.Version(), files); err != nil {
			return false, err
		}
	}
	_, err = i.Do(ctx, policyRequest(by, set.Version(), i.describe(c, set, files)),
		&policyChange{i: i, version: set.Version()})
	if held := (*HeldError)(nil); errors.As(err, &held) {
		return true, nil
	}
	return false, err
}

// describe says what a proposal changes, for the approvers.
func (i *Interlock) describe(c *snapshot, set *policy.Set, files []policy.File) string {
	var b strings.Builder
	fmt.Fprintf(&b, "policy set %s, instead of %s\n", set.Version(), c.set.Version())
	old := map[string][]byte{}
	if row, err := i.state.PolicySet(context.Background(), c.Policy); err == nil {
		var was []policy.File
		if json.Unmarshal(row.Files, &was) == nil {
			for _, f := range was {
				old[f.Name] = f.Data
			}
		}
	}
	for _, f := range files {
		was, had := old[f.Name]
		delete(old, f.Name)
		switch {
		case !had:
			fmt.Fprintf(&b, "\nnew file %s:\n%s\n", f.Name, f.Data)
		case string(was) != string(f.Data):
			fmt.Fprintf(&b, "\nchanged file %s, now:\n%s\n", f.Name, f.Data)
		}
	}
	for _, name := range sortedKeys(old) {
		fmt.Fprintf(&b, "\nremoved file %s, was:\n%s\n", name, old[name])
	}
	return b.String()
}

// policyRequest is the change of policy as a request like any other: weakening
// a safeguard of production, always held.
func policyRequest(by signalbox.Actor, version signalbox.Digest, text string) Request {
	return Request{
		Session: signalbox.Session{ID: signalbox.SessionID("policy-" + strings.ToLower(by.Name)), Actor: by,
			Expires: forever},
		Gate: control.Gate{Name: proof.OwnGate, Protocol: proof.OwnGate, Target: "policy",
			Environment: signalbox.Production},
		Actions: []signalbox.Action{{
			Verb: signalbox.Safeguard, Native: "change policy",
			Resources: []signalbox.Resource{{Type: "policy set", Name: version.Short(), Whole: true}},
			Impact:    signalbox.Impact{Count: 1, Scope: signalbox.ScopeAll, Reversible: true},
		}},
		Canonical: proof.CanonicalDigest("signalbox/policy/1", proof.Text("version", version.String())),
		Text:      text,
		Minimum: signalbox.Verdict{
			Decision: signalbox.Hold, Policies: []string{"policy-change"}, Requires: []string{"2 of sre"},
			Reason: "policies decide everything else: a change of them needs approval",
		},
	}
}

// policyChange carries out an approved change of policy.
type policyChange struct {
	i       *Interlock
	version signalbox.Digest
	was     signalbox.Digest // the active set, as last looked at
}

// Probe tells the set that would be replaced: an approval is for this step, not
// for one from whatever is active later.
func (p *policyChange) Probe(ctx context.Context) (signalbox.Impact, signalbox.State, error) {
	c, err := p.i.current(ctx)
	if err != nil {
		return signalbox.Impact{}, nil, err
	}
	p.was = c.Policy
	return signalbox.Impact{Count: 1, Scope: signalbox.ScopeAll, Reversible: true, Measured: true},
		signalbox.State{{Name: "active policy set", Value: c.Policy.String()}}, nil
}

// Prepare implements [Executor]: the set becomes active only in the place of the
// one that was looked at.
func (p *policyChange) Prepare(context.Context) Prepared { return Prepared{Atomic: !p.was.IsZero()} }

// Execute makes the set active.
func (p *policyChange) Execute(ctx context.Context, permit *Permit) (signalbox.Outcome, error) {
	row, err := p.i.state.PolicySet(ctx, p.version)
	if err != nil {
		return signalbox.Outcome{Result: signalbox.Failed, Detail: err.Error()}, nil
	}
	var files []policy.File
	if err := json.Unmarshal(row.Files, &files); err != nil {
		return signalbox.Outcome{Result: signalbox.Failed, Detail: err.Error()}, nil
	}
	err = p.i.activate(ctx, nil, row.By, p.version, files, permit.Hold, p.was)
	if errors.Is(err, errOtherPolicy) {
		return signalbox.Outcome{Result: signalbox.Failed, Detail: err.Error()}, nil
	}
	if err != nil {
		return signalbox.Outcome{}, err
	}
	return signalbox.Outcome{Result: signalbox.Done, Rows: 1}, nil
}

// gated reports whether policies change by approval alone: because of a gate
// here, or because the state says that one stands or stood before production.
func (i *Interlock) gated(c *snapshot) bool { return c.Production || i.config.PolicyGate }

// errGated says that a set cannot become active without an approval.
var errGated = errors.New("policies change by approval")

func (i *Interlock) propose(ctx context.Context, a *authority, by signalbox.Actor, version signalbox.Digest,
	files []policy.File) error {
	now := i.now()
	b, err := i.policyBatch(by.String(), version, files, PolicyProposed, "")
	if err != nil {
		return err
	}
	data, err := json.Marshal(files)
	if err != nil {
		return err
	}
	b.Changes = i.state.AddPolicySet(PolicyRow{Version: version, Files: data, Status: PolicyProposed, By: by.String(),
		At: now})
	return i.commitAs(ctx, "propose policies", a, func(*snapshot) (ledger.Batch, error) { return b, nil })
}

var errOtherPolicy = errors.New("another policy set than the one that was looked at is active by now: propose the change again")

// activate makes a set the active one, on every replica at this entry: in the
// place of the set was, or of any if that is zero.
func (i *Interlock) activate(
	ctx context.Context, a *authority, by string, version signalbox.Digest, files []policy.File, hold string,
	was signalbox.Digest,
) error {
	return i.changeControl(ctx, "activate policies", a, func(c *snapshot) (ledger.Batch, error) {
		if !was.IsZero() && c.Policy != was {
			return ledger.Batch{}, errOtherPolicy
		}
		if hold == "" && !c.Policy.IsZero() && i.gated(c) {
			return ledger.Batch{}, errGated
		}
		_, err := i.state.PolicySet(ctx, version)
		known := err == nil
		if err != nil && !errors.Is(err, ErrNotFound) {
			return ledger.Batch{}, fmt.Errorf("%w: policy sets: %w", ErrUnavailable, err)
		}
		b, err := i.policyBatch(by, version, files, PolicyActive, hold)
		if err != nil {
			return b, err
		}
		if !c.Policy.IsZero() {
			b.Changes = append(b.Changes, i.state.MovePolicy(c.Policy, PolicyPast)...)
		}
		if known {
			b.Changes = append(b.Changes, i.state.MovePolicy(version, PolicyActive)...)
		} else {
			data, err := json.Marshal(files)
			if err != nil {
				return b, err
			}
			b.Changes = append(b.Changes, i.state.AddPolicySet(PolicyRow{Version: version, Files: data,
				Status: PolicyActive, By: by, At: i.now()})...)
		}
		b.Changes = append(b.Changes, i.state.SetPolicy(version)...)
		return b, nil
	})
}

func (i *Interlock) policyBatch(by string, version signalbox.Digest, files []policy.File, status,
	hold string) (ledger.Batch, error) {
	now := i.now()
	body := proof.Policy{Version: version, By: by, Status: status, Hold: hold}
	for _, f := range files {
		body.Files = append(body.Files, proof.PolicyFile{Name: f.Name, SHA256: signalbox.Digest(sha256.Sum256(f.Data))})
	}
	slices.SortFunc(body.Files, func(a, b proof.PolicyFile) int { return strings.Compare(a.Name, b.Name) })
	record, err := seal(now, newID(now), body, hidePolicy(files))
	return ledger.Batch{Records: []ledger.Record{record}}, err
}

// maxPolicyText is how long a policy set may be that is kept with its entry, in
// bytes: far below what a record can hide.
const maxPolicyText = 256 << 10

func hidePolicy(files []policy.File) proof.Hidden {
	content, n := make(map[string]string, len(files)), 0
	for _, f := range files {
		content[f.Name] = string(f.Data)
		n += len(f.Data)
	}
	if n > maxPolicyText {
		return nil
	}
	return proof.Hidden{"content": content}
}

// redeemPolicies carries out approved proposals, and closes refused ones.
func (i *Interlock) redeemPolicies(ctx context.Context) error {
	if c := i.snapshot.Load(); c == nil || !i.gated(c) {
		return nil
	}
	rows, err := i.state.PolicySets(ctx)
	if err != nil {
		return fmt.Errorf("policy sets: %w", err)
	}
	for _, row := range rows {
		if row.Status != PolicyProposed {
			continue
		}
		if err := i.redeemPolicy(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

func (i *Interlock) redeemPolicy(ctx context.Context, row PolicyRow) error {
	kind, name, _ := strings.Cut(row.By, " ")
	r := policyRequest(signalbox.Actor{Kind: signalbox.ActorKind(kind), Name: name}, row.Version, "")
	h, err := i.state.HoldByRetryKey(ctx, i.retryKeyOf(r))
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("hold of policy set %s: %w", row.Version.Short(), err)
	case h.Status == "approved":
		r.Text = h.Request
		_, err := i.Do(ctx, r, &policyChange{i: i, version: row.Version})
		if held := (*HeldError)(nil); errors.As(err, &held) {
			return nil // the permit died: it waits again
		}
		return err
	case h.Status.Final():
		now := i.now()
		record, err := seal(now, newID(now), proof.Policy{Version: row.Version, By: row.By, Status: PolicyRefused,
			Hold: h.ID}, nil)
		if err != nil {
			return err
		}
		err = i.commit(ctx, "refuse policies",
			ledger.Batch{Changes: i.state.MovePolicy(row.Version, PolicyRefused), Records: []ledger.Record{record}})
		if errors.Is(err, ledger.ErrStale) {
			return nil
		}
		return err
	}
	return nil
}
