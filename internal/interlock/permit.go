package interlock

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
)

// A Permit is the right to execute one recorded intent, once.
type Permit struct {
	Intent string // id of the intent's log entry
	Hold   string // the approved hold behind it, or ""
	// Limited says that the touched rows must be measured and given to Spend
	// before the effects are made final.
	Limited bool
	// Own is how many rows the target says that the statements touched themselves,
	// cascades and triggers left out. An executor that knows sets it before it
	// calls Spend: where code of unknown effect runs besides, no other number can
	// be held against what was approved.
	Own int64
	// Still reports why what the executor finds now, holding the target's locks, is
	// not what was approved; "" when it is, or when nothing had to be approved.
	Still func(now signalbox.Impact, state signalbox.State) string
	// Spend checks rows touched, by resource and with those reached by cascades,
	// against the ceiling: the approved impact, or what the gate grants to changes
	// that nobody approved. It returns an [*OverrunError] when they are too many;
	// then everything must be undone. It may be called once.
	Spend func(touched map[string]int64) error
}

// still compares what an executor finds with what was approved, if anything was.
func still(approved *approval.Hold) func(signalbox.Impact, signalbox.State) string {
	return func(now signalbox.Impact, state signalbox.State) string {
		if approved == nil {
			return ""
		}
		_, detail := differs(*approved, now, state)
		return detail
	}
}

// A ceiling is what one intent may touch.
type ceiling struct {
	approved *signalbox.Impact // as people saw it; nil if nobody had to approve anything
	granted  int64             // rows besides, for what nobody approved; <0 for any number
	// account is charged with what was granted and not approved; nil for nothing.
	account func(touched map[string]int64) error
}

// spend makes the permit's Spend. It may be called once.
func (p *Permit) spend(c ceiling) func(map[string]int64) error {
	var spent atomic.Bool
	return func(touched map[string]int64) error {
		if spent.Swap(true) {
			return fmt.Errorf("permit for intent %s was spent already", p.Intent)
		}
		rest := touched
		if c.approved != nil {
			rest = beyond(*c.approved, touched, p.Own)
		}
		if n := sum(rest); c.granted >= 0 && n > c.granted {
			return &OverrunError{Reason: c.exceeded(rest, touched, n), Touched: touched}
		}
		if c.account == nil {
			return nil
		}
		err := c.account(rest)
		if over := (*OverrunError)(nil); errors.As(err, &over) {
			over.Touched = touched // all of it is shown to approvers
		}
		return err
	}
}

// exceeded says what was too much, for the agent and for approvers.
func (c ceiling) exceeded(rest, touched map[string]int64, n int64) string {
	if c.approved == nil || len(c.approved.Shares) == 0 {
		limit := c.granted
		if c.approved != nil {
			limit += c.approved.Count + c.approved.Dependants
		}
		return fmt.Sprintf("%d rows touched, the ceiling is %d", sum(touched), limit)
	}
	if c.granted > 0 {
		return fmt.Sprintf("%d rows touched besides what was approved, the ceiling is %d", n, c.granted)
	}
	var parts []string
	for _, name := range sortedKeys(rest) {
		parts = append(parts, fmt.Sprintf("%d rows of %s, approved %d", touched[name], name,
			touched[name]-rest[name]))
	}
	return "touched " + strings.Join(parts, "; ")
}

// beyond gives what was touched and not approved, by resource. Resources of which
// approvers were told that nobody knows how much of them is touched have no ceiling
// of their own. Where code of unknown effect runs besides, what it touches cannot be
// told from the rest: there the statements' own rows are held against the ceiling.
func beyond(approved signalbox.Impact, touched map[string]int64, own int64) map[string]int64 {
	rest := make(map[string]int64)
	switch {
	case approved.Open && approved.Count != signalbox.CountUnknown && own > approved.Count:
		rest[ownRows] = own - approved.Count
	case approved.Open:
	case len(approved.Shares) == 0:
		if n := sum(touched) - approved.Count - approved.Dependants; n > 0 &&
			approved.Count != signalbox.CountUnknown {
			rest[allRows] = n
		}
	default:
		left := make(map[string]int64)
		for _, s := range approved.Shares {
			if s.Count == signalbox.CountUnknown || left[s.Resource] == signalbox.CountUnknown {
				left[s.Resource] = signalbox.CountUnknown
				continue
			}
			left[s.Resource] += s.Count
		}
		for _, name := range sortedKeys(touched) {
			resource := shareOf(approved, name)
			n := left[resource]
			if n == signalbox.CountUnknown {
				continue
			}
			if touched[name] > n {
				rest[name] = touched[name] - n
			}
			left[resource] = max(n-touched[name], 0)
		}
	}
	return rest
}

// Names of what is beyond a ceiling that is not one of a resource.
const (
	allRows = "(all)"
	ownRows = "(the statements' own)"
)

// shareOf names the resource of an impact under which the target counts a name.
func shareOf(i signalbox.Impact, name string) string {
	for _, s := range i.Shares {
		if slices.Contains(s.Parts, name) {
			return s.Resource
		}
	}
	return name
}

func sum(touched map[string]int64) (total int64) {
	for _, n := range touched {
		total += n
	}
	return total
}

// limited reports whether changes of this kind run under a measured ceiling:
// those of agents in production.
func limited(r Request) bool {
	return r.Session.Actor.Kind == signalbox.Agent && r.Gate.Environment.Production()
}
