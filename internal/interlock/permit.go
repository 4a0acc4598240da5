package interlock

import (
	"fmt"
	"sync"

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

	approved *approval.Hold // behind it, or nil
	ceiling  int64          // rows in this request; <0: none
	spend    func(touched map[string]int64) error

	mu    sync.Mutex
	spent bool
}

// Still reports why what the executor finds now, holding the target's locks, is
// not what was approved; "" when it is, or when nothing had to be approved.
func (p *Permit) Still(now signalbox.Impact, state signalbox.State) string {
	if p.approved == nil {
		return ""
	}
	_, detail := differs(*p.approved, now, state)
	return detail
}

// Spend checks rows touched, by resource and with those reached by cascades,
// against the ceiling: the approved impact, or what the gate grants to changes
// that nobody approved. It returns an [*OverrunError] when they are too many;
// then everything must be undone. It may be called once.
func (p *Permit) Spend(touched map[string]int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spent {
		return fmt.Errorf("permit for intent %s was spent already", p.Intent)
	}
	p.spent = true
	var total int64
	for _, n := range touched {
		total += n
	}
	if p.ceiling >= 0 && total > p.ceiling {
		return &OverrunError{
			Reason:  fmt.Sprintf("%d rows touched, the ceiling is %d", total, p.ceiling),
			Touched: touched,
		}
	}
	if p.spend != nil {
		return p.spend(touched)
	}
	return nil
}

// limited reports whether changes of this kind run under a measured ceiling:
// those of agents in production. An environment that is not known to be
// milder counts as production.
func limited(r Request) bool {
	if r.Session.Actor.Kind != signalbox.Agent {
		return false
	}
	return r.Gate.Environment != signalbox.Staging && r.Gate.Environment != signalbox.Development
}
