package interlock_test

import (
	"testing"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/proof"
)

// An intent under a permit says what was found at the target just before, and not
// what the request shows by itself: one table, which holds no row.
func TestIntentSaysWhatWasFound(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s := h.agent("kiro", "alice")
	x := &target{impact: signalbox.Impact{Count: 0, Scope: signalbox.ScopeAll, Measured: true}}
	r := dropTable(s, "empty")
	hold := held(t, second(h.lock.Do(t.Context(), r, x))).Hold.ID
	h.approve(hold, "bob", "carol")
	if err := second(h.lock.Do(t.Context(), r, x)); err != nil {
		t.Fatal(err)
	}
	for _, e := range h.entries() {
		if in, ok := e.Body.(*proof.Intent); ok {
			if got := in.Actions[0].Impact; got.Count != 0 || !got.Measured {
				t.Errorf("the intent says %+v", got)
			}
		}
	}
}
