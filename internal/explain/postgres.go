package explain

import (
	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// A backend is the imagined PostgreSQL session of a scenario.
type backend struct{}

func newBackend() *backend { return &backend{} }

func (b *backend) classify(text string) ([]signalbox.Action, func()) {
	actions := sql.Classify(text, nil).Actions()
	if len(actions) == 0 {
		actions = []signalbox.Action{{Verb: signalbox.Read, Native: "empty", Impact: signalbox.Impact{Scope: signalbox.ScopeOne, Reversible: true}, Reason: "does nothing"}}
	}
	return actions, func() {}
}
