package interlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// Halt pulls the kill switch. Writes stop at once, in the transaction of their
// intent; reads and open transactions on any replica within a second. Every
// human may; a session may halt itself. What is halted already stays so, in the
// name of whoever was first.
func (i *Interlock) Halt(ctx context.Context, c Caller, scope control.HaltScope, name, reason string) error {
	if c.Person == nil && !(c.Session != nil && scope == control.HaltSession && name == string(c.Session.ID)) {
		return ErrNotHuman
	}
	if err := checkScope(scope, name); err != nil {
		return err
	}
	h := control.Halt{Scope: scope, Name: name, By: c.Name(), Reason: reason, At: i.now()}
	return i.raise(ctx, "halt", by(c), func(s *snapshot) (ledger.Batch, error) {
		kept := h
		if n := slices.IndexFunc(s.Halts, h.Same); n >= 0 {
			kept = s.Halts[n] // else whoever pulls again could let go in its stead
		}
		record, err := seal(h.At, newID(h.At), proof.Halt{Scope: proof.Scope(scope), Name: name, By: h.By}, proof.Hidden{"reason": reason})
		return ledger.Batch{Changes: i.state.AddHalt(kept), Records: []ledger.Record{record}, Vital: true}, err
	})
}

// Resume takes a halt back. It takes an approver or an administrator (for what
// stops everything, an administrator) who neither pulled it nor has the agent
// that it stops: see [snapshot.mayLetGo]. Sessions that were cut must connect
// again.
func (i *Interlock) Resume(ctx context.Context, c Caller, scope control.HaltScope, name, reason string) error {
	if c.Person == nil {
		return ErrNotHuman
	}
	if err := checkScope(scope, name); err != nil {
		return err
	}
	now := i.now()
	who := by(c)
	who.admin = scope == control.HaltAll
	return i.raise(ctx, "resume", who, func(s *snapshot) (ledger.Batch, error) {
		n := slices.IndexFunc(s.Halts, control.Halt{Scope: scope, Name: name}.Same)
		if n < 0 {
			return ledger.Batch{}, fmt.Errorf("no such halt: %s: %w", strings.TrimSpace(string(scope)+" "+name), ErrNotFound)
		}
		gains, err := i.gains(ctx, s.Halts[n])
		if err != nil {
			return ledger.Batch{}, err
		}
		if err := s.mayLetGo(c.Person.Name, s.Halts[n].By, gains); err != nil {
			return ledger.Batch{}, fmt.Errorf("resume %s: %w", s.Halts[n].What(), err)
		}
		record, err := seal(now, newID(now), proof.Resume{Scope: proof.Scope(scope), Name: name, By: c.Name()}, proof.Hidden{"reason": reason})
		return ledger.Batch{Changes: i.state.RemoveHalt(scope, name), Records: []ledger.Record{record}}, err
	})
}

// mayLetGo says why a human may not take back early what was stopped, or nil.
// Stopping is one person's act. Letting go takes somebody whose word counts
// (an administrator, or a member of a group that policies ask), other than whom
// it holds back, and where there is production, other than who stopped it.
// Without production he who stopped may let go, and so may he who is alone.
func (s *snapshot) mayLetGo(name, begun string, gains []string) error {
	if !s.Production && (name == begun || len(s.people) == 1) {
		return nil
	}
	switch p := s.people[name]; {
	case slices.Contains(gains, name):
		return fmt.Errorf("%s is whom it holds back: %w", name, ErrAnother)
	case name == begun:
		return fmt.Errorf("%s began it, and it concerns production: %w", name, ErrAnother)
	case !p.Admin && !slices.ContainsFunc(p.Groups, s.asked):
		return fmt.Errorf("%s is neither an administrator nor in a group that approves: %w", name, ErrAnother)
	}
	return nil
}

// asked reports whether policies ask members of the group.
func (s *snapshot) asked(group string) bool {
	return s.set != nil && slices.Contains(s.set.Groups(), group)
}

// gains lists the humans whom a halt holds back: whose session or agent it
// stops, whoever has ever had one of that name.
func (i *Interlock) gains(ctx context.Context, h control.Halt) ([]string, error) {
	var rows []SessionRow
	var err error
	switch h.Scope {
	case control.HaltSession:
		var row SessionRow
		if row, err = i.state.Session(ctx, signalbox.SessionID(h.Name)); err == nil {
			rows = append(rows, row)
		} else if errors.Is(err, ErrNotFound) {
			err = nil
		}
	case control.HaltActor:
		rows, err = i.state.Sessions(ctx, false, i.now())
		rows = slices.DeleteFunc(rows, func(r SessionRow) bool { return !h.Stops(r.Session, "") })
	}
	if err != nil {
		return nil, fmt.Errorf("%w: sessions: %w", ErrUnavailable, err)
	}
	names := []string{}
	if h.Scope == control.HaltActor {
		names = append(names, h.Name)
	}
	for _, r := range rows {
		names = append(names, r.Actor.Person(), r.By)
	}
	return names, nil
}

func checkScope(scope control.HaltScope, name string) error {
	switch scope {
	case control.HaltAll:
		if name != "" {
			return fmt.Errorf("%w: a halt of everything has no name", ErrInvalid)
		}
		return nil
	case control.HaltSession, control.HaltActor, control.HaltGate:
		if name == "" {
			return fmt.Errorf("%w: which %s?", ErrInvalid, scope)
		}
		return nil
	}
	return fmt.Errorf("%w: scope %q is none of session, actor, gate, all", ErrInvalid, scope)
}

// MaxBreakGlass is how long a break-glass window may be open.
const MaxBreakGlass = time.Hour

const (
	maxGlassVerbs = 3  // of a break-glass window
	minReason     = 10 // letters and digits of its reason
)

// says reports whether a reason has words in it.
func says(reason string) bool {
	words, letters := 0, 0
	for word := range strings.FieldsFuncSeq(reason, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		n := utf8.RuneCountInString(word)
		letters += n
		if n > 1 {
			words++
		}
	}
	return words >= 2 && letters >= minReason
}

// StartFreeze opens a window in which nobody changes anything (promise P7):
// now, unless From is set.
func (i *Interlock) StartFreeze(ctx context.Context, c Caller, f control.Freeze) (control.Freeze, error) {
	if c.Person == nil {
		return f, ErrNotHuman
	}
	now := i.now()
	if f.From.IsZero() {
		f.From = now
	}
	f.ID, f.By, f.Ended = newID(now), c.Person.Name, time.Time{}
	if !f.Until.After(f.From) || !f.Until.After(now) {
		return f, fmt.Errorf("%w: a freeze must end after it begins, and later than now", ErrInvalid)
	}
	return f, i.raise(ctx, "freeze", by(c), func(*snapshot) (ledger.Batch, error) {
		record, err := seal(now, newID(now), proof.FreezeStart{
			Freeze: f.ID, Environments: f.Environments, Gates: f.Gates,
			From: proof.At(f.From), Until: proof.At(f.Until), By: f.By,
		}, proof.Hidden{"reason": f.Reason})
		return ledger.Batch{Changes: i.state.AddFreeze(f), Records: []ledger.Record{record}, Vital: true}, err
	})
}

// EndFreeze ends a freeze before its time. It takes whom [snapshot.mayLetGo]
// names.
func (i *Interlock) EndFreeze(ctx context.Context, c Caller, id, reason string) error {
	if c.Person == nil {
		return ErrNotHuman
	}
	now := i.now()
	return i.raise(ctx, "end a freeze", by(c), func(s *snapshot) (ledger.Batch, error) {
		n := slices.IndexFunc(s.Freezes, func(f control.Freeze) bool { return f.ID == id })
		if n < 0 {
			return ledger.Batch{}, fmt.Errorf("freeze %q: %w", id, ErrNotFound)
		}
		if err := s.mayLetGo(c.Person.Name, s.Freezes[n].By, nil); err != nil {
			return ledger.Batch{}, fmt.Errorf("end freeze %s: %w", id, err)
		}
		record, err := seal(now, newID(now), proof.FreezeEnd{Freeze: id, By: c.Person.Name}, proof.Hidden{"reason": reason})
		return ledger.Batch{Changes: i.state.EndFreeze(id, now), Records: []ledger.Record{record}}, err
	})
}

// BreakGlass opens the loud way through freezes and holds: for the caller's
// own sessions, at named gates, with named verbs, for an hour at most. It
// never lifts a halt or a denial, and never the recording.
func (i *Interlock) BreakGlass(ctx context.Context, c Caller, g control.BreakGlass) (control.BreakGlass, error) {
	if c.Person == nil {
		return g, ErrNotHuman
	}
	now := i.now()
	g.ID, g.By, g.From, g.Ended = newID(now), c.Person.Name, now, time.Time{}
	switch {
	case !says(g.Reason):
		return g, fmt.Errorf("%w: break-glass needs a reason that tells others something: two words at least, like \"incident 4711\"", ErrInvalid)
	case len(g.Gates) == 0 || len(g.Verbs) == 0:
		return g, fmt.Errorf("%w: break-glass needs named gates and verbs", ErrInvalid)
	case len(g.Verbs) > maxGlassVerbs:
		return g, fmt.Errorf("%w: break-glass is for %d verbs at most: name those that the emergency needs", ErrInvalid, maxGlassVerbs)
	case !g.Expires.After(now) || g.Expires.Sub(now) > MaxBreakGlass:
		return g, fmt.Errorf("%w: break-glass lasts at most %s", ErrInvalid, MaxBreakGlass)
	}
	for _, v := range g.Verbs {
		if !slices.Contains(signalbox.Verbs(), v) || v == signalbox.Read {
			return g, fmt.Errorf("%w: verb %q is none of create, update, execute, permission, safeguard, delete, replace", ErrInvalid, v)
		}
	}
	i.log.Warn("BREAK-GLASS", "by", g.By, "gates", g.Gates, "verbs", g.Verbs, "until", g.Expires)
	return g, i.raise(ctx, "break the glass", by(c), func(*snapshot) (ledger.Batch, error) {
		record, err := seal(now, newID(now), proof.BreakGlassStart{
			ID: g.ID, By: g.By, Gates: g.Gates, Verbs: g.Verbs, Expires: proof.At(g.Expires),
		}, proof.Hidden{"reason": g.Reason})
		return ledger.Batch{Changes: i.state.AddBreakGlass(g), Records: []ledger.Record{record}}, err
	})
}

// EndBreakGlass closes a window before its time: any human may.
func (i *Interlock) EndBreakGlass(ctx context.Context, c Caller, id string) error {
	if c.Person == nil {
		return ErrNotHuman
	}
	now := i.now()
	return i.raise(ctx, "end a break-glass", by(c), func(s *snapshot) (ledger.Batch, error) {
		if !slices.ContainsFunc(s.BreakGlass, func(g control.BreakGlass) bool { return g.ID == id }) {
			return ledger.Batch{}, fmt.Errorf("break-glass %q: %w", id, ErrNotFound)
		}
		record, err := seal(now, newID(now), proof.BreakGlassEnd{ID: id, By: c.Person.Name}, nil)
		return ledger.Batch{Changes: i.state.EndBreakGlass(id, now), Records: []ledger.Record{record}}, err
	})
}

// Control gives the control state as last read, at most a second old.
func (i *Interlock) Control(ctx context.Context) (control.State, error) {
	c, err := i.current(ctx)
	if err != nil {
		return control.State{}, err
	}
	return c.State, nil
}
