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
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// ErrHalted is wrapped by errors that say that a halt is in force.
var ErrHalted = errors.New("halted")

// A halted says of whom, and by whom.
type halted struct{ control.Halt }

func (h *halted) Error() string { return fmt.Sprintf("%s was halted by %s", h.Halt.What(), h.By) }
func (h *halted) Unwrap() error { return ErrHalted }

// Authenticate gives the session of this id and the credential that it must
// prove at the gate. The error says why it may not be used, for the operator's
// log; the client must not learn more than that log-in failed. There are two
// that it may learn, and that are no failures of its own: what wraps
// [ErrUnavailable]; and, when it has proved the credential, which is given
// nevertheless, what wraps [ErrHalted].
func (i *Interlock) Authenticate(ctx context.Context, gate string,
	id signalbox.SessionID) (signalbox.Session, string, error) {
	// Before the session: in an outage all names are answered alike.
	c, err := i.current(ctx)
	if err != nil {
		return signalbox.Session{}, "", err
	}
	row, err := i.state.Session(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return signalbox.Session{}, "", fmt.Errorf("%w: session: %w", ErrUnavailable, err)
	}
	if err != nil {
		return signalbox.Session{}, "", err
	}
	if err := row.Usable(gate, i.now()); err != nil {
		return signalbox.Session{}, "", err
	}
	if err := i.checkOpener(ctx, row.Session); err != nil {
		return signalbox.Session{}, "", err
	}
	credential := i.minter.Mint(session.Claim{Kind: session.KindSession, Subject: string(id), Gate: gate,
		Epoch: row.Epoch})
	if h := c.Halted(row.Session, gate); h != nil {
		return row.Session, credential, &halted{*h}
	}
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
	Wait       bool          // what is held waits in the gate for its approvals
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
func (i *Interlock) OpenSession(ctx context.Context, c Caller, n NewSession, gates []string) (signalbox.Session,
	map[string]string, error) {
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
	now := i.now()
	row := SessionRow{Epoch: 1, Session: signalbox.Session{
		ID: signalbox.SessionID(strings.ToLower(newID(now))), Actor: actor, By: c.Person.Name,
		ByEpoch: c.Person.Epoch, Purpose: n.Purpose,
		Gates: n.Gates, Started: now, Expires: now.Add(n.TTL), Wait: n.Wait,
	}}
	record, err := seal(now, newID(now), proof.SessionStart{
		Session: row.ID, Actor: actor, Gates: n.Gates, Expires: proof.At(row.Expires), By: c.Person.Name,
	}, proof.Hidden{"purpose": n.Purpose})
	if err != nil {
		return fail(err)
	}
	a := by(c)
	a.admin = n.Automation != ""
	err = i.commitAs(ctx, "open a session", a, func(*snapshot) (ledger.Batch, error) {
		return ledger.Batch{Changes: i.state.AddSession(row), Records: []ledger.Record{record}}, nil
	})
	if err != nil {
		return fail(err)
	}
	return row.Session, i.credentials(row, gates), nil
}

// credentials mints those of a session: the same each time.
func (i *Interlock) credentials(row SessionRow, gates []string) map[string]string {
	usable := row.Gates
	if len(usable) == 0 {
		usable = gates
	}
	credentials := make(map[string]string, len(usable)+1)
	for _, g := range append(slices.Clone(usable), APIGate) {
		credentials[g] = i.minter.Mint(session.Claim{Kind: session.KindSession, Subject: string(row.ID), Gate: g,
			Epoch: row.Epoch})
	}
	return credentials
}

// Credentials gives the credentials of a session once more, to the human who
// opened it and was given them then, while it may be used.
func (i *Interlock) Credentials(ctx context.Context, c Caller, id signalbox.SessionID,
	gates []string) (signalbox.Session, map[string]string, error) {
	fail := func(err error) (signalbox.Session, map[string]string, error) { return signalbox.Session{}, nil, err }
	if c.Person == nil || c.Session != nil {
		return fail(ErrNotHuman)
	}
	row, err := i.state.Session(ctx, id)
	if err != nil {
		return fail(err)
	}
	if row.By != c.Person.Name {
		return fail(fmt.Errorf("credentials of session %s, which %s opened: %w", id, row.By, ErrNotYours))
	}
	if now := i.now(); !row.Ended.IsZero() || !now.Before(row.Expires) {
		return fail(fmt.Errorf("%w: session %s has ended or expired: start another", ErrInvalid, id))
	}
	return row.Session, i.credentials(row, gates), nil
}

// LiveHolds lists what a session has asked for and may still come of it: its open
// and approved holds, newest first.
func (i *Interlock) LiveHolds(ctx context.Context, id signalbox.SessionID) ([]approval.Hold, error) {
	row, err := i.state.Session(ctx, id)
	if err != nil {
		return nil, err
	}
	holds, err := i.state.LiveHolds(ctx, ownerOf(row.Actor))
	return slices.DeleteFunc(holds, func(h approval.Hold) bool { return h.Session != id }), err
}

// EndSession ends a session: at once for writes, within a second for reads. What
// it has asked for is withdrawn with it. A session may end itself, a human his
// own and his agents', an administrator any.
func (i *Interlock) EndSession(ctx context.Context, c Caller, id signalbox.SessionID) error {
	row, err := i.state.Session(ctx, id)
	if err != nil {
		return err // it names the session
	}
	switch {
	case c.Session != nil && c.Session.ID == id:
	case c.Person != nil && (c.Person.Admin || row.Actor.Person() == c.Person.Name || row.By == c.Person.Name):
	case c.Session != nil:
		return ErrNotHuman
	default:
		return fmt.Errorf("end session %s of %s: %w", id, row.Actor, ErrNotYours)
	}
	if !row.Ended.IsZero() {
		return nil // what was asked for is so
	}
	now := i.now()
	reason, who := "ended", by(c)
	if c.Person != nil && row.Actor.Person() != c.Person.Name && row.By != c.Person.Name {
		reason, who.admin = "revoked", true
	}
	return i.changeControl(ctx, "end a session", who, func(*snapshot) (ledger.Batch, error) {
		b := ledger.Batch{Vital: true}
		again, err := i.state.Session(ctx, id)
		if err != nil || !again.Ended.IsZero() {
			return b, err // somebody was quicker: nothing is left to do
		}
		err = i.endSessions(ctx, &b, []SessionRow{row}, c.Name(), reason, now)
		return b, err
	})
}

// maxEnded bounds the sessions that are ended in one batch, so that there is room
// for what they have asked for. Those beyond end with their opener's credentials.
const maxEnded = 64

// endSessionsOf adds to a batch the end of all that a person has opened.
func (i *Interlock) endSessionsOf(ctx context.Context, b *ledger.Batch, person, by string, now time.Time) error {
	rows, err := i.state.OpenSessionsOf(ctx, person, now, maxEnded)
	if err != nil {
		return fmt.Errorf("%w: sessions: %w", ErrUnavailable, err)
	}
	return i.endSessions(ctx, b, rows, by, "revoked", now)
}

// endSessions adds to a batch the end of sessions, and the withdrawal of what
// they have asked for.
func (i *Interlock) endSessions(ctx context.Context, b *ledger.Batch, rows []SessionRow, by, reason string,
	now time.Time) error {
	ended := make(map[signalbox.SessionID]bool, len(rows))
	for _, row := range rows {
		record, err := seal(now, newID(now), proof.SessionEnd{Session: row.ID, By: by, Reason: reason}, nil)
		if err != nil {
			return err
		}
		b.Changes = append(b.Changes, i.state.EndSession(row.ID, now)...)
		b.Records = append(b.Records, record)
		ended[row.ID] = true
	}
	if len(rows) == 0 {
		return nil
	}
	for _, status := range []approval.Status{approval.Open, approval.Approved} {
		holds, err := i.state.Holds(ctx, status, 1000)
		if err != nil {
			return fmt.Errorf("%w: holds: %w", ErrUnavailable, err)
		}
		for _, h := range holds {
			if !ended[h.Session] || len(b.Records) >= ledger.MaxRecords-1 {
				continue // those beyond expire by themselves: see expireHolds
			}
			taken, err := seal(now, newID(now), proof.Withdrawal{Hold: h.ID, By: by}, nil)
			if err != nil {
				return err
			}
			b.Changes = append(b.Changes, i.state.MoveHold(h.ID, status, approval.Withdrawn, time.Time{}, "",
				"its session was ended by "+by)...)
			b.Records = append(b.Records, taken)
		}
	}
	return nil
}
