package interlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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
	// ErrAnother: what was stopped is let go by somebody else.
	ErrAnother = errors.New("it takes somebody else to let it go")
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
		if err := i.minter.Check(session.Claim{Kind: kind, Subject: subject, Gate: APIGate, Epoch: p.Epoch},
			credential); err != nil || !ok {
			return Caller{}, session.ErrCredential
		}
		return Caller{Person: &p}, nil
	}
	row, err := i.state.Session(ctx, signalbox.SessionID(subject))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Caller{}, fmt.Errorf("%w: session: %w", ErrUnavailable, err)
	}
	if cerr := i.minter.Check(session.Claim{Kind: kind, Subject: subject, Gate: APIGate, Epoch: row.Epoch},
		credential); cerr != nil || err != nil {
		return Caller{}, session.ErrCredential
	}
	if !row.Ended.IsZero() || !i.now().Before(row.Expires) {
		return Caller{}, session.ErrCredential
	}
	if err := i.checkOpener(ctx, row.Session); err != nil {
		if errors.Is(err, ErrUnavailable) {
			return Caller{}, err
		}
		return Caller{}, session.ErrCredential
	}
	return Caller{Session: &row.Session}, nil
}

// AddPerson enrols a human, or changes one's groups and rights. It gives the
// credential for API and command line, the only time that it is shown.
func (i *Interlock) AddPerson(ctx context.Context, c Caller, name string, groups []string,
	admin bool) (session.Person, string, error) {
	if err := needAdmin(c); err != nil {
		return session.Person{}, "", err
	}
	return i.putPerson(ctx, byAdmin(c), c.Person.Name, name, groups, admin)
}

// Bootstrap enrols the first human, an administrator, while nobody is
// enrolled or can be, because the master key was replaced. Whoever may call it proved a one-time code.
func (i *Interlock) Bootstrap(ctx context.Context, name string, groups []string) (session.Person, string, error) {
	return i.putPerson(ctx, nil, "bootstrap", name, groups, true)
}

func (i *Interlock) putPerson(ctx context.Context, a *authority, by, name string, groups []string,
	admin bool) (session.Person, string, error) {
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
	now := i.now()
	var p session.Person
	err := i.changeControl(ctx, "enrol", a, func(s *snapshot) (ledger.Batch, error) {
		if a == nil && len(s.people) > 0 && !i.replaced {
			return ledger.Batch{}, fmt.Errorf("people are enrolled already: an administrator must do it: %w", ErrExists)
		}
		body := proof.User{Name: name, Groups: groups, By: by, Op: "add", Admin: admin}
		p = session.Person{Name: name, Groups: groups, Admin: admin, Epoch: s.nextEpoch(name), Added: now}
		b := ledger.Batch{}
		if old, ok := s.people[name]; ok {
			if old.Admin && !admin && !s.otherAdmin(name) {
				return b, fmt.Errorf("%w: %s is the only administrator: make somebody else one first", ErrInvalid, name)
			}
			body.Op, body.Changed = "change", changed(old, p)
			p.Added = old.Added
			if err := i.endSessionsOf(ctx, &b, name, by, now); err != nil {
				return b, err
			}
		} else if err := s.distinct(name); err != nil {
			return b, err
		}
		body.Epoch = p.Epoch
		return i.withRecord(b, i.state.PutPerson(p), body, now)
	})
	if err != nil {
		return fail(err)
	}
	return p, i.minter.Mint(session.Claim{Kind: session.KindPerson, Subject: name, Gate: APIGate, Epoch: p.Epoch}), nil
}

// nextEpoch gives an epoch for a person that none of that name has had or will
// have again: each change of people takes the next control epoch, and that only
// grows, whoever is removed.
func (s *snapshot) nextEpoch(name string) int64 { return max(s.Epoch, s.people[name].Epoch) + 1 }

func (s *snapshot) otherAdmin(name string) bool {
	for _, p := range s.people {
		if p.Admin && p.Name != name {
			return true
		}
	}
	return false
}

// changed says what is different of a person, besides his credentials.
func changed(old, now session.Person) []string {
	what := []string{"credentials"}
	if !slices.Equal(old.Groups, now.Groups) {
		what = append(what, "groups")
	}
	switch {
	case now.Admin && !old.Admin:
		what = append(what, "administrator: given")
	case old.Admin && !now.Admin:
		what = append(what, "administrator: taken")
	}
	return what
}

// withRecord adds changes and the entry that tells them to a batch.
func (i *Interlock) withRecord(b ledger.Batch, changes []ledger.Statement, body proof.Body,
	now time.Time) (ledger.Batch, error) {
	record, err := seal(now, newID(now), body, nil)
	b.Changes = append(slices.Clone(changes), b.Changes...)
	b.Records = append([]ledger.Record{record}, b.Records...)
	return b, err
}

// RevokePerson makes a human's credentials worthless, with everything that was
// done with them and not yet carried out: sessions that he opened, answers and
// confirmations. It gives him new ones.
func (i *Interlock) RevokePerson(ctx context.Context, c Caller, name string) (session.Person, string, error) {
	if err := needAdmin(c); err != nil {
		return session.Person{}, "", err
	}
	now := i.now()
	var p session.Person
	err := i.changeControl(ctx, "revoke", byAdmin(c), func(s *snapshot) (ledger.Batch, error) {
		b := ledger.Batch{Vital: true}
		var ok bool
		if p, ok = s.people[name]; !ok {
			return b, fmt.Errorf("human %q: %w", name, ErrNotFound)
		}
		p.Epoch = s.nextEpoch(name)
		if err := i.endSessionsOf(ctx, &b, name, c.Name(), now); err != nil {
			return b, err
		}
		return i.withRecord(b, i.state.PutPerson(p), proof.User{
			Name: name, Groups: p.Groups, By: c.Person.Name, Op: "revoke", Admin: p.Admin, Epoch: p.Epoch,
			Changed: []string{"credentials"},
		}, now)
	})
	if err != nil {
		return session.Person{}, "", err
	}
	return p, i.minter.Mint(session.Claim{Kind: session.KindPerson, Subject: name, Gate: APIGate, Epoch: p.Epoch}), nil
}

// RemovePerson ends a human's enrolment: credentials, sessions and approvals not
// yet redeemed are worth nothing from now on, and stay so if the name is enrolled
// again.
func (i *Interlock) RemovePerson(ctx context.Context, c Caller, name string) error {
	if err := needAdmin(c); err != nil {
		return err
	}
	if name == c.Person.Name {
		return fmt.Errorf("%w: you cannot remove yourself: another administrator must", ErrInvalid)
	}
	now := i.now()
	return i.changeControl(ctx, "remove", byAdmin(c), func(s *snapshot) (ledger.Batch, error) {
		b := ledger.Batch{Vital: true}
		p, ok := s.people[name]
		if !ok {
			return b, fmt.Errorf("human %q: %w", name, ErrNotFound)
		}
		if err := i.endSessionsOf(ctx, &b, name, c.Name(), now); err != nil {
			return b, err
		}
		body := proof.User{Name: name, Groups: p.Groups, By: c.Person.Name, Op: "remove"}
		if p.Admin {
			body.Changed = []string{"administrator: taken"}
		}
		return i.withRecord(b, i.state.RemovePerson(name), body, now)
	})
}

// Erase deletes the hidden fields of entry idx, which has this id, for good.
// The log and every proof stay valid.
func (i *Interlock) Erase(ctx context.Context, c Caller, idx int64, id, reason string) error {
	if err := needAdmin(c); err != nil {
		return err
	}
	now := i.now()
	record, err := seal(now, newID(now), proof.Erase{Index: idx, Entry: id, By: c.Person.Name},
		proof.Hidden{"reason": reason})
	if err != nil {
		return err
	}
	b := ledger.Batch{Changes: i.state.EraseSecret(idx), Records: []ledger.Record{record}}
	h, err := i.state.Hold(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return err
	case !h.Status.Final():
		return fmt.Errorf("%w: hold %s is %s: withdraw it first", ErrInvalid, id, h.Status)
	default:
		b.Changes = append(b.Changes, i.state.EraseHold(id)...)
	}
	err = i.commitAs(ctx, "erase", byAdmin(c), func(*snapshot) (ledger.Batch, error) { return b, nil })
	if errors.Is(err, ledger.ErrStale) {
		return fmt.Errorf("entry %d: %w", idx, ledger.ErrErased)
	}
	return err
}

// Disclosed records that the caller is shown these hidden fields of entry idx,
// which has this id. Nobody may be shown them before it returns without an error.
func (i *Interlock) Disclosed(ctx context.Context, c Caller, idx int64, id string, fields []string) error {
	if err := needAdmin(c); err != nil {
		return err
	}
	now := i.now()
	return i.commitAs(ctx, "record a disclosure", byAdmin(c), func(*snapshot) (ledger.Batch, error) {
		return i.withRecord(ledger.Batch{}, nil,
			proof.Disclosing{Index: idx, Entry: id, By: c.Person.Name, Fields: fields}, now)
	})
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
	_, err := i.ledger.Commit(ctx, b)
	return unavailable(what, err)
}

// unavailable wraps a commit's error in [ErrUnavailable], but for
// [ledger.ErrStale].
func unavailable(what string, err error) error {
	if err != nil && !errors.Is(err, ledger.ErrStale) {
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, what, err)
	}
	return err
}
