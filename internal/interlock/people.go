package interlock

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/signalbox-dev/signalbox"
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

// AddPerson enrols a human, or changes one's groups and rights. It gives the
// credential for API and command line, the only time that it is shown.
func (i *Interlock) AddPerson(ctx context.Context, c Caller, name string, groups []string, admin bool) (session.Person, string, error) {
	if err := needAdmin(c); err != nil {
		return session.Person{}, "", err
	}
	return i.putPerson(ctx, c.Person.Name, name, groups, admin, false)
}

// Bootstrap enrols the first human, an administrator, while nobody is
// enrolled or can be, because the master key was replaced. Whoever may call it proved a one-time code.
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
		if first && len(s.people) > 0 && !i.replaced {
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
