package interlock

import (
	"fmt"
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

// spend makes a permit's Spend for an intent: it may be called once, and allows
// up to ceiling rows (<0: any number) if account, where it is not nil, does.
func spend(intent string, ceiling int64, account func(touched map[string]int64) error) func(map[string]int64) error {
	var spent atomic.Bool
	return func(touched map[string]int64) error {
		if spent.Swap(true) {
			return fmt.Errorf("permit for intent %s was spent already", intent)
		}
		var total int64
		for _, n := range touched {
			total += n
		}
		if ceiling >= 0 && total > ceiling {
			return &OverrunError{
				Reason:  fmt.Sprintf("%d rows touched, the ceiling is %d", total, ceiling),
				Touched: touched,
			}
		}
		if account != nil {
			return account(touched)
		}
		return nil
	}
}

// limited reports whether changes of this kind run under a measured ceiling:
// those of agents in production.
func limited(r Request) bool {
	return r.Session.Actor.Kind == signalbox.Agent && r.Gate.Environment.Production()
}
