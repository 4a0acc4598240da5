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

// Whoever calls was let in when the head of his request arrived. Until his
// change commits he may be removed, revoked or lose a right, here or at another
// replica. So what he may is asked again before each try, and is a condition of
// the batch itself.

// An authority is in whose name a change is made. Nil is Signalbox's own.
type authority struct {
	caller Caller
	admin  bool // the change takes an administrator
}

// by is the authority of whoever calls.
func by(c Caller) *authority { return &authority{caller: c} }

// byAdmin is [by] for what takes an administrator.
func byAdmin(c Caller) *authority { return &authority{caller: c, admin: true} }

// check says why the authority does not stand under the snapshot, or nil.
func (a *authority) check(s *snapshot) error {
	switch {
	case a == nil:
		return nil
	case a.caller.Person != nil && a.caller.Session == nil:
		p, ok := s.people[a.caller.Person.Name]
		if !ok || p.Epoch != a.caller.Person.Epoch {
			return session.ErrCredential
		}
		if a.admin && !p.Admin {
			return fmt.Errorf("%s: %w", p.Name, ErrNotAdmin)
		}
		return nil
	case a.caller.Session != nil && a.caller.Person == nil && !a.admin:
		if s.checkOpener(*a.caller.Session) != nil {
			return session.ErrCredential
		}
		return nil
	}
	return ErrNotHuman
}

// conditions are the authority as part of a batch.
func (i *Interlock) conditions(a *authority) []ledger.Statement {
	switch {
	case a == nil:
		return nil
	case a.caller.Person != nil:
		return slices.Clone(i.state.RequirePerson(a.caller.Person.Name, a.caller.Person.Epoch, a.admin))
	}
	return slices.Clone(i.state.RequireSession(a.caller.Session.ID, i.now()))
}

// authorized gives a snapshot under which the authority stands. Before it says
// that there is none, it looks anew: perhaps somebody was enrolled at another
// replica since.
func (i *Interlock) authorized(ctx context.Context, a *authority) (*snapshot, error) {
	s, err := i.current(ctx)
	if err != nil {
		return nil, err
	}
	if a.check(s) == nil {
		return s, nil
	}
	if err := i.refreshSnapshot(ctx); err != nil {
		return nil, fmt.Errorf("%w: control state: %w", ErrUnavailable, err)
	}
	s = i.snapshot.Load()
	return s, a.check(s)
}

// commitAs commits make's batch once, under the authority. It returns
// [ledger.ErrStale] when another condition than the authority did not hold.
func (i *Interlock) commitAs(ctx context.Context, what string, a *authority,
	make func(*snapshot) (ledger.Batch, error)) error {
	s, err := i.authorized(ctx, a)
	if err != nil {
		return err
	}
	b, err := make(s)
	if err != nil {
		return err
	}
	b.Changes = append(i.conditions(a), b.Changes...)
	err = i.commit(ctx, what, b)
	if errors.Is(err, ledger.ErrStale) {
		i.refreshAfterCommit(ctx)
		if _, gone := i.authorized(ctx, a); gone != nil {
			return gone
		}
	}
	return err
}

// changeControl commits a change of the control state: make's batch, and the next
// epoch, so that every decision under way is taken again. make is called again
// with a fresh snapshot when somebody else was quicker. When changeControl returns
// without an error, this process decides by the new state.
func (i *Interlock) changeControl(ctx context.Context, what string, a *authority,
	make func(*snapshot) (ledger.Batch, error)) error {
	for range maxTries {
		err := i.commitAs(ctx, what, a, func(s *snapshot) (ledger.Batch, error) {
			b, err := make(s)
			b.Changes = append(slices.Clone(i.state.RaiseEpoch(s.Epoch)), b.Changes...)
			return b, err
		})
		if !errors.Is(err, ledger.ErrStale) {
			if err == nil {
				i.refreshAfterCommit(ctx)
			}
			return err
		}
	}
	return fmt.Errorf("%w: %s: the control state kept changing, try again", ErrUnavailable, what)
}

// checkOpener says why a session is worth nothing because of who opened it, or nil:
// it lives no longer than his enrolment, and than the credentials he had then.
func (s *snapshot) checkOpener(x signalbox.Session) error {
	p, ok := s.people[x.By]
	switch {
	case !ok:
		return fmt.Errorf("%q, who opened session %s, is not enrolled, or no longer", x.By, x.ID)
	case p.Epoch != x.ByEpoch:
		return fmt.Errorf("session %s was opened with credentials of %s that were revoked: start another with `signalbox run`", x.ID, x.By)
	}
	return nil
}

// mayAsk is [snapshot.checkOpener] for a request. A change of policies comes from no
// session that is kept: its proposal was a batch with an authority.
func (s *snapshot) mayAsk(r Request) error {
	if r.Gate.Name == proof.OwnGate && r.Minimum.Decision == signalbox.Hold {
		return nil
	}
	return s.checkOpener(r.Session)
}

// checkOpener is [snapshot.checkOpener], by a newer snapshot before it says no.
func (i *Interlock) checkOpener(ctx context.Context, x signalbox.Session) error {
	c, err := i.current(ctx)
	if err != nil {
		return err
	}
	if c.checkOpener(x) == nil {
		return nil
	}
	if err := i.refreshSnapshot(ctx); err != nil {
		return fmt.Errorf("%w: control state: %w", ErrUnavailable, err)
	}
	return i.snapshot.Load().checkOpener(x)
}

// voter gives the groups of a human who answered with this epoch, and false when
// his answer counts no more.
func (s *snapshot) voter(name string, epoch int64) ([]string, bool) {
	p, ok := s.people[name]
	return p.Groups, ok && p.Epoch == epoch
}

// Voter tells whether what a human said with the credentials of this epoch
// counts now, and gives his groups.
func (i *Interlock) Voter(ctx context.Context) func(name string, epoch int64) ([]string, bool) {
	return func(name string, epoch int64) ([]string, bool) {
		p, err := i.state.Person(ctx, name)
		return p.Groups, err == nil && p.Epoch == epoch
	}
}
