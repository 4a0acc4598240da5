package interlock

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// Halt pulls the kill switch. Writes stop at once, in the transaction of their
// intent; reads and open transactions on any replica within a second. Every
// human may; a session may halt itself.
func (i *Interlock) Halt(ctx context.Context, c Caller, scope HaltScope, name, reason string) error {
	if c.Person == nil && !(c.Session != nil && scope == HaltSession && name == string(c.Session.ID)) {
		return ErrNotHuman
	}
	if err := checkScope(scope, name); err != nil {
		return err
	}
	h := Halt{Scope: scope, Name: name, By: c.Name(), Reason: reason, At: i.Now()}
	return i.raise(ctx, "halt", func(*snapshot) (ledger.Batch, error) {
		record, err := seal(h.At, newID(h.At), proof.Halt{Scope: proof.Scope(scope), Name: name, By: h.By}, proof.Hidden{"reason": reason})
		return ledger.Batch{Changes: i.State.AddHalt(h), Records: []ledger.Record{record}, Vital: true}, err
	})
}

// Resume takes a halt back. Humans only; what stops everything, administrators
// only. Sessions that were cut must connect again.
func (i *Interlock) Resume(ctx context.Context, c Caller, scope HaltScope, name, reason string) error {
	switch {
	case c.Person == nil:
		return ErrNotHuman
	case scope == HaltAll && !c.Person.Admin:
		return fmt.Errorf("resume everything: %w", ErrNotAdmin)
	}
	if err := checkScope(scope, name); err != nil {
		return err
	}
	now := i.Now()
	return i.raise(ctx, "resume", func(s *snapshot) (ledger.Batch, error) {
		if !slices.ContainsFunc(s.Halts, func(h Halt) bool { return h.Scope == scope && h.Name == name }) {
			return ledger.Batch{}, fmt.Errorf("no such halt: %s: %w", strings.TrimSpace(string(scope)+" "+name), ErrNotFound)
		}
		record, err := seal(now, newID(now), proof.Resume{Scope: proof.Scope(scope), Name: name, By: c.Name()}, proof.Hidden{"reason": reason})
		return ledger.Batch{Changes: i.State.RemoveHalt(scope, name), Records: []ledger.Record{record}}, err
	})
}

func checkScope(scope HaltScope, name string) error {
	switch scope {
	case HaltAll:
		if name != "" {
			return fmt.Errorf("%w: a halt of everything has no name", ErrInvalid)
		}
		return nil
	case HaltSession, HaltActor, HaltGate:
		if name == "" {
			return fmt.Errorf("%w: which %s?", ErrInvalid, scope)
		}
		return nil
	}
	return fmt.Errorf("%w: scope %q is none of session, actor, gate, all", ErrInvalid, scope)
}

// MaxBreakGlass is how long a break-glass window may be open.
const MaxBreakGlass = time.Hour

// StartFreeze opens a window in which nobody changes anything (promise P7):
// now, unless From is set.
func (i *Interlock) StartFreeze(ctx context.Context, c Caller, f Freeze) (Freeze, error) {
	if c.Person == nil {
		return f, ErrNotHuman
	}
	now := i.Now()
	if f.From.IsZero() {
		f.From = now
	}
	f.ID, f.By, f.Ended = newID(now), c.Person.Name, time.Time{}
	if !f.Until.After(f.From) || !f.Until.After(now) {
		return f, fmt.Errorf("%w: a freeze must end after it begins, and later than now", ErrInvalid)
	}
	return f, i.raise(ctx, "freeze", func(*snapshot) (ledger.Batch, error) {
		record, err := seal(now, newID(now), proof.FreezeStart{
			Freeze: f.ID, Environments: f.Environments, Gates: f.Gates,
			From: proof.At(f.From), Until: proof.At(f.Until), By: f.By,
		}, proof.Hidden{"reason": f.Reason})
		return ledger.Batch{Changes: i.State.AddFreeze(f), Records: []ledger.Record{record}, Vital: true}, err
	})
}

// EndFreeze ends a freeze before its time. Humans only.
func (i *Interlock) EndFreeze(ctx context.Context, c Caller, id, reason string) error {
	if c.Person == nil {
		return ErrNotHuman
	}
	now := i.Now()
	return i.raise(ctx, "end a freeze", func(s *snapshot) (ledger.Batch, error) {
		if !slices.ContainsFunc(s.Freezes, func(f Freeze) bool { return f.ID == id }) {
			return ledger.Batch{}, fmt.Errorf("freeze %q: %w", id, ErrNotFound)
		}
		record, err := seal(now, newID(now), proof.FreezeEnd{Freeze: id, By: c.Person.Name}, proof.Hidden{"reason": reason})
		return ledger.Batch{Changes: i.State.EndFreeze(id, now), Records: []ledger.Record{record}}, err
	})
}

// BreakGlass opens the loud way through freezes and holds: for the caller's
// own sessions, at named gates, with named verbs, for an hour at most. It
// never lifts a halt or a denial, and never the recording.
func (i *Interlock) BreakGlass(ctx context.Context, c Caller, g BreakGlass) (BreakGlass, error) {
	if c.Person == nil {
		return g, ErrNotHuman
	}
	now := i.Now()
	g.ID, g.By, g.From, g.Ended = newID(now), c.Person.Name, now, time.Time{}
	switch {
	case strings.TrimSpace(g.Reason) == "":
		return g, fmt.Errorf("%w: break-glass needs a reason", ErrInvalid)
	case len(g.Gates) == 0 || len(g.Verbs) == 0:
		return g, fmt.Errorf("%w: break-glass needs named gates and verbs", ErrInvalid)
	case !g.Expires.After(now) || g.Expires.Sub(now) > MaxBreakGlass:
		return g, fmt.Errorf("%w: break-glass lasts at most %s", ErrInvalid, MaxBreakGlass)
	}
	for _, v := range g.Verbs {
		if !slices.Contains(signalbox.Verbs(), v) || v == signalbox.Read {
			return g, fmt.Errorf("%w: verb %q is none of create, update, execute, permission, safeguard, delete, replace", ErrInvalid, v)
		}
	}
	i.Logger.Warn("BREAK-GLASS", "by", g.By, "gates", g.Gates, "verbs", g.Verbs, "until", g.Expires)
	return g, i.raise(ctx, "break the glass", func(*snapshot) (ledger.Batch, error) {
		record, err := seal(now, newID(now), proof.BreakGlassStart{
			ID: g.ID, By: g.By, Gates: g.Gates, Verbs: g.Verbs, Expires: proof.At(g.Expires),
		}, proof.Hidden{"reason": g.Reason})
		return ledger.Batch{Changes: i.State.AddBreakGlass(g), Records: []ledger.Record{record}}, err
	})
}

// EndBreakGlass closes a window before its time: any human may.
func (i *Interlock) EndBreakGlass(ctx context.Context, c Caller, id string) error {
	if c.Person == nil {
		return ErrNotHuman
	}
	now := i.Now()
	return i.raise(ctx, "end a break-glass", func(s *snapshot) (ledger.Batch, error) {
		if !slices.ContainsFunc(s.BreakGlass, func(g BreakGlass) bool { return g.ID == id }) {
			return ledger.Batch{}, fmt.Errorf("break-glass %q: %w", id, ErrNotFound)
		}
		record, err := seal(now, newID(now), proof.BreakGlassEnd{ID: id, By: c.Person.Name}, nil)
		return ledger.Batch{Changes: i.State.EndBreakGlass(id, now), Records: []ledger.Record{record}}, err
	})
}

// Control gives the control state as last read, at most a second old.
func (i *Interlock) Control(ctx context.Context) (Control, error) {
	c, err := i.current(ctx)
	if err != nil {
		return Control{}, err
	}
	return c.Control, nil
}
