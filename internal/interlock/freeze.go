package interlock

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

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
	return f, i.changeControl(ctx, "freeze", by(c), func(*snapshot) (ledger.Batch, error) {
		record, err := seal(now, newID(now), proof.FreezeStart{
			Freeze: f.ID, Environments: f.Environments, Gates: f.Gates,
			From: proof.At(f.From), Until: proof.At(f.Until), By: f.By,
		}, proof.Hidden{"reason": f.Reason})
		return ledger.Batch{Changes: i.state.AddFreeze(f), Records: []ledger.Record{record}, Vital: true}, err
	})
}

// EndFreeze ends a freeze before its time. It takes whom [snapshot.mayEnd]
// names.
func (i *Interlock) EndFreeze(ctx context.Context, c Caller, id, reason string) error {
	if c.Person == nil {
		return ErrNotHuman
	}
	now := i.now()
	return i.changeControl(ctx, "end a freeze", by(c), func(s *snapshot) (ledger.Batch, error) {
		n := slices.IndexFunc(s.Freezes, func(f control.Freeze) bool { return f.ID == id })
		if n < 0 {
			return ledger.Batch{}, fmt.Errorf("freeze %q: %w", id, ErrNotFound)
		}
		if err := s.mayEnd(c.Person.Name, s.Freezes[n].By, nil); err != nil {
			return ledger.Batch{}, fmt.Errorf("end freeze %s: %w", id, err)
		}
		record, err := seal(now, newID(now), proof.FreezeEnd{Freeze: id, By: c.Person.Name},
			proof.Hidden{"reason": reason})
		return ledger.Batch{Changes: i.state.EndFreeze(id, now), Records: []ledger.Record{record}}, err
	})
}
