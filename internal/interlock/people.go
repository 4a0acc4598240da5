package interlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// A Caller is who calls a method for people, proved by a credential. Exactly
// one of the two is set; the zero Caller may do nothing.
type Caller struct {
	Person  *session.Person
	Session *signalbox.Session
}

// Name is who it is, for records.
func (c Caller) Name() string {
	switch {
	case c.Person != nil:
		return c.Person.Name
	case c.Session != nil:
		return "session/" + string(c.Session.ID)
	}
	return ""
}

// Errors of the methods for people.
var (
	// ErrNotHuman: a session's credential called what is for humans alone
	// (promise P5).
	ErrNotHuman = errors.New("only a human's own credential may do this, never a session's")
	// ErrNotAdmin: the human is not an administrator.
	ErrNotAdmin = errors.New("only an administrator may do this")
	// ErrNotYours: it belongs to somebody else.
	ErrNotYours = errors.New("it belongs to somebody else")
	// ErrInvalid: the arguments make no sense; the message says which.
	ErrInvalid = errors.New("invalid")
	// ErrExists: there is such a thing already.
	ErrExists = errors.New("exists already")
)

// APIGate is the name under which a session's credential for the API is minted.
const APIGate = "api"

// Identify tells whose credential this is. For everything that is not valid
// now it returns [session.ErrCredential] alone.
func (i *Interlock) Identify(ctx context.Context, credential string) (Caller, error) {
	kind, subject, err := session.Parse(credential)
	if err != nil {
		return Caller{}, err
	}
	if kind == session.KindPerson {
		c, err := i.current(ctx)
		if err != nil {
			return Caller{}, err
		}
		p, ok := c.people[subject]
		if err := i.Minter.Check(session.Claim{Kind: kind, Subject: subject, Gate: APIGate, Epoch: p.Epoch}, credential); err != nil || !ok {
			return Caller{}, session.ErrCredential
		}
		return Caller{Person: &p}, nil
	}
	row, err := i.State.Session(ctx, signalbox.SessionID(subject))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Caller{}, fmt.Errorf("%w: session: %w", ErrUnavailable, err)
	}
	if cerr := i.Minter.Check(session.Claim{Kind: kind, Subject: subject, Gate: APIGate, Epoch: row.Epoch}, credential); cerr != nil || err != nil {
		return Caller{}, session.ErrCredential
	}
	if !row.Ended.IsZero() || !i.Now().Before(row.Expires) {
		return Caller{}, session.ErrCredential
	}
	return Caller{Session: &row.Session}, nil
}

// Authenticate gives the session of this id and the credential that it must
// prove at the gate. The error says why it may not be used, for the operator's
// log; the client must not learn more than that log-in failed.
func (i *Interlock) Authenticate(ctx context.Context, gate string, id signalbox.SessionID) (signalbox.Session, string, error) {
	row, err := i.State.Session(ctx, id)
	if err != nil {
		return signalbox.Session{}, "", err
	}
	if err := row.Usable(gate, i.Now()); err != nil {
		return signalbox.Session{}, "", err
	}
	c, err := i.current(ctx)
	if err != nil {
		return signalbox.Session{}, "", err
	}
	if h := c.Halted(row.Session, gate); h != nil {
		return signalbox.Session{}, "", fmt.Errorf("%s is halted by %s", haltName(*h), h.By)
	}
	if p := row.Actor.Person(); p != "" {
		if _, ok := c.people[p]; !ok {
			return signalbox.Session{}, "", fmt.Errorf("%s is no longer enrolled", p)
		}
	}
	credential := i.Minter.Mint(session.Claim{Kind: session.KindSession, Subject: string(id), Gate: gate, Epoch: row.Epoch})
	return row.Session, credential, nil
}

// A NewSession is what a session shall be. Without Agent and Automation it is
// the caller's own.
type NewSession struct {
	Agent      string        // name of an agent that acts for the caller
	Automation string        // name of an automation; administrators only
	Purpose    string        // shown to approvers
	Gates      []string      // gates it may use; empty: all
	TTL        time.Duration // default 8 hours, at most 24
}

// Limits of a session's life.
const (
	DefaultTTL = 8 * time.Hour
	MaxTTL     = 24 * time.Hour
	maxPurpose = 1000 // bytes
)

// OpenSession opens a session and mints its credentials: one for each gate
// that it names (all of them if it names none), and one for the API under
// [APIGate]. They are given once and stored nowhere.
func (i *Interlock) OpenSession(ctx context.Context, c Caller, n NewSession, gates []string) (signalbox.Session, map[string]string, error) {
	fail := func(err error) (signalbox.Session, map[string]string, error) { return signalbox.Session{}, nil, err }
	if c.Person == nil {
		return fail(ErrNotHuman)
	}
	actor := signalbox.Actor{Kind: signalbox.Human, Name: c.Person.Name}
	switch {
	case n.Agent != "" && n.Automation != "":
		return fail(fmt.Errorf("%w: a session is an agent's or an automation's, not both", ErrInvalid))
	case n.Agent != "":
		actor = signalbox.Actor{Kind: signalbox.Agent, Name: n.Agent, For: c.Person.Name}
	case n.Automation != "":
		if !c.Person.Admin {
			return fail(fmt.Errorf("open a session for an automation: %w", ErrNotAdmin))
		}
		actor = signalbox.Actor{Kind: signalbox.Automation, Name: n.Automation}
	}
	if err := actor.Validate(); err != nil {
		return fail(fmt.Errorf("%w: %w", ErrInvalid, err))
	}
	if n.TTL == 0 {
		n.TTL = DefaultTTL
	}
	if n.TTL < 0 || n.TTL > MaxTTL {
		return fail(fmt.Errorf("%w: a session lives at most %s, not %s", ErrInvalid, MaxTTL, n.TTL))
	}
	if len(n.Purpose) > maxPurpose {
		return fail(fmt.Errorf("%w: purpose of %d bytes, at most %d", ErrInvalid, len(n.Purpose), maxPurpose))
	}
	for _, g := range n.Gates {
		if !slices.Contains(gates, g) {
			return fail(fmt.Errorf("%w: there is no gate %q (there are: %s)", ErrInvalid, g, strings.Join(gates, ", ")))
		}
	}
	now := i.Now()
	row := SessionRow{Epoch: 1, Session: signalbox.Session{
		ID: signalbox.SessionID(strings.ToLower(newID(now))), Actor: actor, Purpose: n.Purpose,
		Gates: n.Gates, Started: now, Expires: now.Add(n.TTL),
	}}
	record, err := seal(now, newID(now), proof.SessionStart{
		Session: row.ID, Actor: actor, Gates: n.Gates, Expires: proof.At(row.Expires), By: c.Person.Name,
	}, proof.Hidden{"purpose": n.Purpose})
	if err != nil {
		return fail(err)
	}
	if err := i.commit(ctx, "open a session", ledger.Batch{Changes: i.State.AddSession(row), Records: []ledger.Record{record}}); err != nil {
		return fail(err)
	}
	usable := n.Gates
	if len(usable) == 0 {
		usable = gates
	}
	credentials := make(map[string]string, len(usable)+1)
	for _, g := range append(slices.Clone(usable), APIGate) {
		credentials[g] = i.Minter.Mint(session.Claim{Kind: session.KindSession, Subject: string(row.ID), Gate: g, Epoch: row.Epoch})
	}
	return row.Session, credentials, nil
}

// EndSession ends a session: at once for writes, within a second for reads. What
// it has asked for is withdrawn with it. A session may end itself, a human his
// own and his agents', an administrator any.
func (i *Interlock) EndSession(ctx context.Context, c Caller, id signalbox.SessionID) error {
	row, err := i.State.Session(ctx, id)
	if err != nil {
		return fmt.Errorf("session %q: %w", id, err)
	}
	switch {
	case c.Session != nil && c.Session.ID == id:
	case c.Person != nil && (c.Person.Admin || row.Actor.Person() == c.Person.Name):
	case c.Session != nil:
		return ErrNotHuman
	default:
		return fmt.Errorf("end session %s of %s: %w", id, row.Actor, ErrNotYours)
	}
	if !row.Ended.IsZero() {
		return nil // what was asked for is so
	}
	now := i.Now()
	reason := "ended"
	if c.Person != nil && row.Actor.Person() != c.Person.Name {
		reason = "revoked"
	}
	record, err := seal(now, newID(now), proof.SessionEnd{Session: id, By: c.Name(), Reason: reason}, nil)
	if err != nil {
		return err
	}
	return i.raise(ctx, "end a session", func(*snapshot) (ledger.Batch, error) {
		b := ledger.Batch{Changes: i.State.EndSession(id, now), Records: []ledger.Record{record}}
		for _, status := range []approval.Status{approval.Open, approval.Approved} {
			holds, err := i.State.Holds(ctx, status, 1000)
			if err != nil {
				return b, fmt.Errorf("%w: holds: %w", ErrUnavailable, err)
			}
			for _, h := range holds {
				if h.Session != id || len(b.Records) == ledger.MaxRecords {
					continue // those beyond expire by themselves: see expireHolds
				}
				taken, err := seal(now, newID(now), proof.Withdrawal{Hold: h.ID, By: c.Name()}, nil)
				if err != nil {
					return b, err
				}
				b.Changes = append(b.Changes, i.State.MoveHold(h.ID, status, approval.Withdrawn, time.Time{}, "", "its session was ended by "+c.Name())...)
				b.Records = append(b.Records, taken)
			}
		}
		return b, nil
	})
}

// Answer is a human's yes or no to a hold. The yes that satisfies it makes it a
// permit; a no ends it (the requester's own no withdraws it).
func (i *Interlock) Answer(ctx context.Context, c Caller, id string, yes bool, comment string) (approval.Hold, error) {
	if c.Person == nil {
		return approval.Hold{}, ErrNotHuman
	}
	for range maxTries {
		h, err := i.answer(ctx, c.Person.Name, id, yes, comment)
		if !errors.Is(err, ledger.ErrStale) {
			return h, err
		}
		if err := i.reread(ctx); err != nil {
			return h, fmt.Errorf("%w: control state: %w", ErrUnavailable, err)
		}
	}
	return approval.Hold{}, fmt.Errorf("%w: the hold kept changing, try again", ErrUnavailable)
}

func (i *Interlock) answer(ctx context.Context, name, id string, yes bool, comment string) (approval.Hold, error) {
	c, err := i.current(ctx)
	if err != nil {
		return approval.Hold{}, err
	}
	p, ok := c.people[name] // as he is now, not as he logged in
	if !ok {
		return approval.Hold{}, session.ErrCredential
	}
	h, err := i.State.Hold(ctx, id)
	if err != nil {
		return h, fmt.Errorf("hold %q: %w", id, err)
	}
	now := i.Now()
	voter := approval.Voter{Name: p.Name, Groups: p.Groups}
	if yes {
		if voter.LiveAgents, err = i.liveAgents(ctx, p.Name, now); err != nil {
			return h, err
		}
	}
	if err := h.MayAnswer(voter, yes, i.AllowLiveAgents, now); err != nil {
		return h, err
	}
	answer := approval.Answer{By: p.Name, Yes: yes, Comment: comment, At: now}
	b := ledger.Batch{Changes: i.State.RequireEpoch(c.Epoch)}
	b.Changes = append(b.Changes, i.State.RequireLive(id, approval.Open, now)...)
	b.Changes = append(b.Changes, i.State.AddAnswer(id, answer)...)
	body := proof.Approval{Hold: id, By: p.Name, Answer: proof.No, Digest: h.Digest}
	h.Answers = append(slices.Clone(h.Answers), answer)
	switch {
	case yes:
		body.Answer = proof.Yes
		if ok, _ := h.Satisfied(c.groups); ok {
			h.Status, h.Expires = approval.Approved, now.Add(i.permitTime(h))
			body.Expires = proof.At(h.Expires)
			b.Changes = append(b.Changes, i.State.MoveHold(id, approval.Open, approval.Approved, h.Expires, "", "")...)
		}
	default:
		h.Status, h.Why = approval.Refused, "no from "+p.Name
		if comment != "" {
			h.Why += ": " + comment
		}
		if p.Name == h.Actor.Person() {
			return h, i.withdraw(ctx, h, p.Name, comment)
		}
		b.Changes = append(b.Changes, i.State.MoveHold(id, approval.Open, approval.Refused, time.Time{}, "", h.Why)...)
	}
	record, err := seal(now, newID(now), body, proof.Hidden{"comment": comment})
	if err != nil {
		return h, err
	}
	b.Records = []ledger.Record{record}
	if err := i.commit(ctx, "record an answer", b); err != nil {
		return h, err
	}
	i.seen(ctx)
	return h, nil
}

// seen makes what was just committed part of this process's next decision.
// Failing is no harm: it will be seen within a second.
func (i *Interlock) seen(ctx context.Context) {
	if err := i.reread(ctx); err != nil {
		i.Logger.Warn("committed, and the new control state could not be read yet", "error", err)
	}
}

func (i *Interlock) permitTime(h approval.Hold) time.Duration {
	if h.Verdict.Expires > 0 {
		return h.Verdict.Expires
	}
	return i.PermitTime
}

// liveAgents lists the sessions of agents that act for a human now.
func (i *Interlock) liveAgents(ctx context.Context, name string, now time.Time) ([]signalbox.SessionID, error) {
	rows, err := i.State.Sessions(ctx, true, now)
	if err != nil {
		return nil, fmt.Errorf("%w: sessions: %w", ErrUnavailable, err)
	}
	var live []signalbox.SessionID
	for _, s := range rows {
		if s.Actor.Kind == signalbox.Agent && s.Actor.For == name {
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
	h, err := i.State.Hold(ctx, id)
	if err != nil {
		return h, fmt.Errorf("hold %q: %w", id, err)
	}
	now := i.Now()
	switch {
	case h.Actor.Person() != c.Person.Name:
		return h, fmt.Errorf("confirm hold %s of %s: %w", id, h.Actor, ErrNotYours)
	case h.Status != approval.Open || !now.Before(h.Expires):
		return h, fmt.Errorf("hold %s is %s: %w", id, h.Status, approval.ErrNotOpen)
	case !h.Verdict.Confirm || h.Confirmed:
		return h, nil
	}
	s, err := i.current(ctx)
	if err != nil {
		return h, err
	}
	h.Confirmed = true
	b := ledger.Batch{Changes: i.State.RequireEpoch(s.Epoch)}
	b.Changes = append(b.Changes, i.State.ConfirmHold(id)...)
	if ok, _ := h.Satisfied(s.groups); ok {
		h.Status, h.Expires = approval.Approved, now.Add(i.permitTime(h))
		b.Changes = append(b.Changes, i.State.MoveHold(id, approval.Open, approval.Approved, h.Expires, "", "")...)
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
	i.seen(ctx)
	return h, nil
}

// Withdraw takes a request back: by the session that made it, or its human.
func (i *Interlock) Withdraw(ctx context.Context, c Caller, id string) (approval.Hold, error) {
	h, err := i.State.Hold(ctx, id)
	if err != nil {
		return h, fmt.Errorf("hold %q: %w", id, err)
	}
	switch {
	case c.Session != nil && c.Session.ID == h.Session:
	case c.Person != nil && h.Actor.Person() == c.Person.Name:
	default:
		return h, fmt.Errorf("withdraw hold %s of %s: %w", id, h.Actor, ErrNotYours)
	}
	h.Status = approval.Withdrawn
	return h, i.withdraw(ctx, h, c.Name(), "")
}

func (i *Interlock) withdraw(ctx context.Context, h approval.Hold, by, reason string) error {
	now := i.Now()
	was, err := i.State.Hold(ctx, h.ID)
	if err != nil {
		return err
	}
	if was.Status.Final() {
		return fmt.Errorf("hold %s is %s: %w", h.ID, was.Status, approval.ErrNotOpen)
	}
	record, err := seal(now, newID(now), proof.Withdrawal{Hold: h.ID, By: by}, proof.Hidden{"reason": reason})
	if err != nil {
		return err
	}
	return i.commit(ctx, "withdraw a hold", ledger.Batch{
		Changes: i.State.MoveHold(h.ID, was.Status, approval.Withdrawn, time.Time{}, "", "withdrawn by "+by),
		Records: []ledger.Record{record},
	})
}

// AddPerson enrols a human, or changes one's groups and rights. It gives the
// credential for API and command line, the only time that it is shown.
func (i *Interlock) AddPerson(ctx context.Context, c Caller, name string, groups []string, admin bool) (session.Person, string, error) {
	if err := needAdmin(c); err != nil {
		return session.Person{}, "", err
	}
	return i.putPerson(ctx, c.Person.Name, name, groups, admin, false)
}

// Bootstrap enrols the first human, an administrator, while nobody is
// enrolled. Whoever may call it proved a one-time code.
func (i *Interlock) Bootstrap(ctx context.Context, name string, groups []string) (session.Person, string, error) {
	return i.putPerson(ctx, "bootstrap", name, groups, true, true)
}

func (i *Interlock) putPerson(ctx context.Context, by, name string, groups []string, admin, first bool) (session.Person, string, error) {
	fail := func(err error) (session.Person, string, error) { return session.Person{}, "", err }
	if err := signalbox.ValidName("human", name); err != nil {
		return fail(fmt.Errorf("%w: %w", ErrInvalid, err))
	}
	for _, g := range groups {
		if err := signalbox.ValidName("group", g); err != nil {
			return fail(fmt.Errorf("%w: %w", ErrInvalid, err))
		}
	}
	groups = slices.Clone(groups)
	slices.Sort(groups)
	groups = slices.Compact(groups)
	now := i.Now()
	var p session.Person
	err := i.raise(ctx, "enrol", func(s *snapshot) (ledger.Batch, error) {
		if first && len(s.people) > 0 {
			return ledger.Batch{}, fmt.Errorf("people are enrolled already: an administrator must do it: %w", ErrExists)
		}
		op := "add"
		p = session.Person{Name: name, Groups: groups, Admin: admin, Epoch: 1, Added: now}
		if old, ok := s.people[name]; ok {
			op = "change"
			p.Epoch, p.Added = old.Epoch+1, old.Added // a new credential: the old one must die
		}
		record, err := seal(now, newID(now), proof.User{Name: name, Groups: groups, By: by, Op: op}, nil)
		return ledger.Batch{Changes: i.State.PutPerson(p), Records: []ledger.Record{record}}, err
	})
	if err != nil {
		return fail(err)
	}
	return p, i.Minter.Mint(session.Claim{Kind: session.KindPerson, Subject: name, Gate: APIGate, Epoch: p.Epoch}), nil
}

// RemovePerson ends a human's enrolment: credentials, sessions at gates and
// approvals not yet redeemed are worth nothing from now on.
func (i *Interlock) RemovePerson(ctx context.Context, c Caller, name string) error {
	if err := needAdmin(c); err != nil {
		return err
	}
	if name == c.Person.Name {
		return fmt.Errorf("%w: you cannot remove yourself: another administrator must", ErrInvalid)
	}
	now := i.Now()
	return i.raise(ctx, "remove", func(s *snapshot) (ledger.Batch, error) {
		p, ok := s.people[name]
		if !ok {
			return ledger.Batch{}, fmt.Errorf("human %q: %w", name, ErrNotFound)
		}
		record, err := seal(now, newID(now), proof.User{Name: name, Groups: p.Groups, By: c.Person.Name, Op: "remove"}, nil)
		return ledger.Batch{Changes: i.State.RemovePerson(name), Records: []ledger.Record{record}}, err
	})
}

// Erase deletes the hidden fields of entry idx, which has this id, for good.
// The log and every proof stay valid.
func (i *Interlock) Erase(ctx context.Context, c Caller, idx int64, id, reason string) error {
	if err := needAdmin(c); err != nil {
		return err
	}
	now := i.Now()
	record, err := seal(now, newID(now), proof.Erase{Index: idx, Entry: id, By: c.Person.Name}, proof.Hidden{"reason": reason})
	if err != nil {
		return err
	}
	b := ledger.Batch{Changes: []ledger.Statement{ledger.Erase(idx)}, Records: []ledger.Record{record}}
	h, err := i.State.Hold(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return err
	case !h.Status.Final():
		return fmt.Errorf("%w: hold %s is %s: withdraw it first", ErrInvalid, id, h.Status)
	default:
		b.Changes = append(b.Changes, i.State.EraseHold(id)...)
	}
	err = i.commit(ctx, "erase", b)
	if errors.Is(err, ledger.ErrStale) {
		return fmt.Errorf("entry %d: %w", idx, ledger.ErrErased)
	}
	return err
}

func needAdmin(c Caller) error {
	switch {
	case c.Person == nil:
		return ErrNotHuman
	case !c.Person.Admin:
		return fmt.Errorf("%s: %w", c.Person.Name, ErrNotAdmin)
	}
	return nil
}

// commit commits a batch; errors other than [ledger.ErrStale] mean that
// Signalbox cannot do it now.
func (i *Interlock) commit(ctx context.Context, what string, b ledger.Batch) error {
	_, err := i.Ledger.Commit(ctx, b)
	if err != nil && !errors.Is(err, ledger.ErrStale) {
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, what, err)
	}
	return err
}

// raise commits a change of the control state: make's batch, and the next
// epoch, so that every decision under way is taken again. make is called again
// with a fresh snapshot when somebody else was quicker. When raise returns
// without an error, this process decides by the new state.
func (i *Interlock) raise(ctx context.Context, what string, make func(*snapshot) (ledger.Batch, error)) error {
	for range maxTries {
		c, err := i.current(ctx)
		if err != nil {
			return err
		}
		b, err := make(c)
		if err != nil {
			return err
		}
		b.Changes = append(i.State.RaiseEpoch(c.Epoch), b.Changes...)
		err = i.commit(ctx, what, b)
		i.seen(ctx)
		if !errors.Is(err, ledger.ErrStale) {
			return err
		}
	}
	return fmt.Errorf("%w: %s: the control state kept changing, try again", ErrUnavailable, what)
}
