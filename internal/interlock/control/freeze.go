package control

import (
	"slices"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// A Freeze is a window of time in which nothing is changed. Reads go through.
type Freeze struct {
	ID           string                  `json:"id"`
	Environments []signalbox.Environment `json:"environments,omitempty"` // empty: all
	Gates        []string                `json:"gates,omitempty"`        // empty: all
	From         time.Time               `json:"from"`
	Until        time.Time               `json:"until"`
	By           string                  `json:"by"`
	Reason       string                  `json:"reason,omitempty"`
	Ended        time.Time               `json:"ended,omitzero"` // when somebody ended it early
}

// Binds reports whether the freeze is in force at a gate at the time now.
func (f Freeze) Binds(env signalbox.Environment, gate string, now time.Time) bool {
	if !f.Ended.IsZero() || now.Before(f.From) || !now.Before(f.Until) {
		return false
	}
	return (len(f.Environments) == 0 || slices.Contains(f.Environments, env)) &&
		(len(f.Gates) == 0 || slices.Contains(f.Gates, gate))
}
