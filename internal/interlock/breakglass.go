package interlock

import (
	"context"
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

// MaxBreakGlass is how long a break-glass window may be open.
const MaxBreakGlass = time.Hour

const (
	maxBreakGlassVerbs = 3  // of a break-glass window
	minReason          = 10 // letters and digits of its reason
)

// hasWords reports whether a reason tells others something: two words at least.
func hasWords(reason string) bool {
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

// BreakGlass opens a window in which the caller's own sessions get through freezes
// and past holds: at named gates, with named verbs, for [MaxBreakGlass] at most.
// It lifts neither halts nor denials, and everything is recorded as ever.
func (i *Interlock) BreakGlass(ctx context.Context, c Caller, g control.BreakGlass) (control.BreakGlass, error) {
	if c.Person == nil {
		return g, ErrNotHuman
	}
	now := i.now()
	g.ID, g.By, g.From, g.Ended = newID(now), c.Person.Name, now, time.Time{}
	switch {
	case !hasWords(g.Reason):
		return g, fmt.Errorf("%w: break-glass needs a reason that tells others something: two words at least, like \"incident 4711\"", ErrInvalid)
	case len(g.Gates) == 0 || len(g.Verbs) == 0:
		return g, fmt.Errorf("%w: break-glass needs named gates and verbs", ErrInvalid)
	case len(g.Verbs) > maxBreakGlassVerbs:
		return g, fmt.Errorf("%w: break-glass is for %d verbs at most: name those that the emergency needs",
			ErrInvalid, maxBreakGlassVerbs)
	case !g.Expires.After(now) || g.Expires.Sub(now) > MaxBreakGlass:
		return g, fmt.Errorf("%w: break-glass lasts at most %s", ErrInvalid, MaxBreakGlass)
	}
	for _, v := range g.Verbs {
		if !slices.Contains(signalbox.Verbs(), v) || v == signalbox.Read {
			return g, fmt.Errorf("%w: verb %q is none of create, update, execute, permission, safeguard, delete, replace", ErrInvalid, v)
		}
	}
	i.log.Warn("BREAK-GLASS", "by", g.By, "gates", g.Gates, "verbs", g.Verbs, "until", g.Expires)
	return g, i.changeControl(ctx, "break the glass", by(c), func(*snapshot) (ledger.Batch, error) {
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
	return i.changeControl(ctx, "end a break-glass", by(c), func(s *snapshot) (ledger.Batch, error) {
		if !slices.ContainsFunc(s.BreakGlass, func(g control.BreakGlass) bool { return g.ID == id }) {
			return ledger.Batch{}, fmt.Errorf("break-glass %q: %w", id, ErrNotFound)
		}
		record, err := seal(now, newID(now), proof.BreakGlassEnd{ID: id, By: c.Person.Name}, nil)
		return ledger.Batch{Changes: i.state.EndBreakGlass(id, now), Records: []ledger.Record{record}}, err
	})
}
