package signalbox_test

import (
	"testing"

	"github.com/signalbox-dev/signalbox"
)

func TestImpactWords(t *testing.T) {
	code := []signalbox.Action{{Verb: signalbox.Read}, {Verb: signalbox.Execute}}
	for _, tt := range []struct {
		impact  signalbox.Impact
		actions []signalbox.Action
		want    string
	}{
		{signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne, Measured: true, Reversible: true}, nil, "1, reversible"},
		{signalbox.Impact{Count: 12, Total: 5000, Dependants: 3, Measured: true}, nil,
			"12 of 5000, with 3 dependants, cannot be undone"},
		{signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeAll}, nil,
			"an unknown number, everything that is there (not measured), cannot be undone"},
		{signalbox.Impact{Measured: true}, code, "0, and whatever the code does that it runs, cannot be undone"},
	} {
		if got := tt.impact.Words(tt.actions); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
