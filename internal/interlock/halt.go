package interlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// Halt stops everything in a scope. Writes stop at once, because the control epoch
// is a condition of their intent; reads and open transactions, on any replica,
// within a second. Every human may halt, and a session may halt itself. What is
// halted already stays halted in the name of who was first.
func (i *Interlock) Halt(ctx context.Context, c Caller, scope control.HaltScope, name, reason string) error {
	if c.Person == nil && !(c.Session != nil && scope == control.HaltSession && name == string(c.Session.ID)) {
		return ErrNotHuman
	}
	if err := checkScope(scope, name); err != nil {
		return err
	}
	h := control.Halt{Scope: scope, Name: name, By: c.Name(), Reason: reason, At: i.now()}
	return i.changeControl(ctx, "halt", by(c), func(s *snapshot) (ledger.Batch, error) {
		kept := h
		if n := slices.IndexFunc(s.Halts, h.Same); n >= 0 {
			kept = s.Halts[n] // or whoever halts it again could resume it in place of the first
		}
		record, err := seal(h.At, newID(h.At), proof.Halt{Scope: proof.Scope(scope), Name: name, By: h.By},
			proof.Hidden{"reason": reason})
		return ledger.Batch{Changes: i.state.AddHalt(kept), Records: []ledger.Record{record}, Vital: true}, err
	})
}

// Resume ends a halt. The caller must be an approver or an administrator (for a
// halt of everything, an administrator), and neither who began it nor the human of
// an agent that it stops: see [snapshot.mayEnd]. Sessions whose connections were
// closed must connect again.
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
	return i.changeControl(ctx, "resume", who, func(s *snapshot) (ledger.Batch, error) {
		n := slices.IndexFunc(s.Halts, control.Halt{Scope: scope, Name: name}.Same)
		if n < 0 {
			return ledger.Batch{}, fmt.Errorf("no such halt: %s: %w", strings.TrimSpace(string(scope)+" "+name),
				ErrNotFound)
		}
		stopped, err := i.stoppedBy(ctx, s.Halts[n])
		if err != nil {
			return ledger.Batch{}, err
		}
		if err := s.mayEnd(c.Person.Name, s.Halts[n].By, stopped); err != nil {
			return ledger.Batch{}, fmt.Errorf("resume %s: %w", s.Halts[n].What(), err)
		}
		record, err := seal(now, newID(now), proof.Resume{Scope: proof.Scope(scope), Name: name, By: c.Name()},
			proof.Hidden{"reason": reason})
		return ledger.Batch{Changes: i.state.RemoveHalt(scope, name), Records: []ledger.Record{record}}, err
	})
}

// mayEnd returns why a human may not end a halt or a freeze early, or nil. Anybody
// may begin one alone. Ending it takes an administrator, or a member of a group
// that policies ask, who is none of those that it stops, and where there is
// production, not who began it. Without production who began it may end it, and so
// may the only human that there is.
func (s *snapshot) mayEnd(name, begun string, stopped []string) error {
	if !s.Production && (name == begun || len(s.people) == 1) {
		return nil
	}
	switch p := s.people[name]; {
	case slices.Contains(stopped, name):
		return fmt.Errorf("%s is whom it holds back: %w", name, ErrAnother)
	case name == begun:
		return fmt.Errorf("%s began it, and it concerns production: %w", name, ErrAnother)
	case !p.Admin && !slices.ContainsFunc(p.Groups, s.approves):
		return fmt.Errorf("%s is neither an administrator nor in a group that approves: %w", name, ErrAnother)
	}
	return nil
}

// approves reports whether policies ask members of the group.
func (s *snapshot) approves(group string) bool {
	return s.set != nil && slices.Contains(s.set.Groups(), group)
}

// stoppedBy lists the humans whom a halt stops: those whose session or agent it
// names, and whoever has ever had an agent of that name.
func (i *Interlock) stoppedBy(ctx context.Context, h control.Halt) ([]string, error) {
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
