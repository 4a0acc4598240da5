package policy_test

import (
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/policies"
)

func BenchmarkDecide(b *testing.B) {
	set := defaults(b)
	base := policy.Request{
		Actor:       signalbox.Actor{Kind: signalbox.Agent, Name: "claude", For: "alice"},
		Groups:      []string{"dev", "oncall"},
		Gate:        "orders",
		Protocol:    "postgres",
		Target:      "orders",
		Environment: signalbox.Production,
		Memory:      policy.Memory{Reads: 12, Changes: 3, UpdatesHere: 1},
		Now:         time.Unix(1800000000, 0),
	}
	table := []signalbox.Resource{{Type: "table", Name: "public.orders"}}
	for name, a := range map[string]signalbox.Action{
		"read": {Verb: signalbox.Read, Native: "SELECT", Resources: table,
			Impact: signalbox.Impact{Count: -1, Scope: signalbox.ScopeSome, Reversible: true}},
		"update": {Verb: signalbox.Update, Native: "UPDATE", Resources: table,
			Impact: signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne},
			Traits: []signalbox.Trait{signalbox.TraitByKey}},
		"drop": {Verb: signalbox.Delete, Native: "DROP TABLE", Resources: table,
			Impact: signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne}},
	} {
		for _, actor := range []signalbox.Actor{base.Actor, {Kind: signalbox.Human, Name: "alice"}} {
			b.Run(name+"/"+string(actor.Kind), func(b *testing.B) {
				r := base
				r.Actor, r.Action = actor, a
				b.ReportAllocs()
				for b.Loop() {
					set.Decide(r)
				}
			})
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	files, err := policies.Default()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := policy.Load(files); err != nil {
			b.Fatal(err)
		}
	}
}
