package interlock_test

import (
	"testing"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/policies"
)

// BenchmarkDecide is the judgement of one small update of an agent: halts and
// freezes, memory, and the policies for the agent and for its human.
func BenchmarkDecide(b *testing.B) {
	files, err := policies.Default()
	if err != nil {
		b.Fatal(err)
	}
	set, err := policy.Load(files)
	if err != nil {
		b.Fatal(err)
	}
	s := signalbox.Session{ID: "s", Actor: signalbox.Actor{Kind: signalbox.Agent, Name: "kiro", For: "alice"}}
	r := updateRow(s, 1)
	c := control.Case{Session: s, Gate: orders, Actions: r.Actions, Groups: []string{"sre"},
		Views: make([]session.View, 1)}
	b.ReportAllocs()
	for b.Loop() {
		if v, _ := control.Decide(set, c); v.Decision != signalbox.Allow {
			b.Fatal(v)
		}
	}
}
