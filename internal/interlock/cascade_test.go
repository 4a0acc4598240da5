package interlock_test

import (
	"testing"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// A cascade that is larger than the estimate is approved once more, with what was
// measured, and runs then: the next look at the target finds no more than that.
func TestOverrunOfACascadeLeadsSomewhere(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	ctx := t.Context()
	x.impact = signalbox.Impact{Count: 200, Dependants: 1, Scope: signalbox.ScopeSome, Measured: true}
	x.touched = map[string]int64{"public.p": 200, "public.c": 200}
	r := updateRow(s, 1)
	r.Actions[0].Verb, r.Actions[0].Native, r.Actions[0].Traits = signalbox.Delete, "DELETE", nil
	r.Actions[0].Impact = signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeSome}
	first := held(t, second(h.lock.Do(ctx, r, x))).Hold
	h.approve(first.ID, "bob", "carol")
	again := held(t, second(h.lock.Do(ctx, r, x))).Hold
	if c := again.Ceiling; again.ID == first.ID || c.Count+c.Dependants != 400 || c.Dependants != 1 {
		t.Fatalf("after the overrun: %+v", c)
	}
	h.approve(again.ID, "bob", "carol")
	if _, err := h.lock.Do(ctx, r, x); err != nil || x.count() != 1 {
		t.Errorf("approved with what was measured: %v, executed %d", err, x.count())
	}
}
