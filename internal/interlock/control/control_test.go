package control

import (
	"slices"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/policies"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func defaults(t *testing.T) *policy.Set {
	t.Helper()
	files, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// a makes the case of one actor's action in production.
func a(actor signalbox.Actor, action signalbox.Action) Case {
	return Case{
		Session: signalbox.Session{ID: "s1", Actor: actor, Started: noon, Expires: noon.Add(time.Hour)},
		Gate:    Gate{Name: "orders", Protocol: "postgres", Target: "orders@db1", Environment: signalbox.Production},
		Actions: []signalbox.Action{action}, Views: make([]session.View, 1), Now: noon,
	}
}

func TestDecide(t *testing.T) {
	agent := signalbox.Actor{Kind: signalbox.Agent, Name: "kiro", For: "alice"}
	human := signalbox.Actor{Kind: signalbox.Human, Name: "alice"}
	read := signalbox.Action{Verb: signalbox.Read, Native: "SELECT", Impact: signalbox.Impact{Scope: signalbox.ScopeOne}}
	drop := signalbox.Action{Verb: signalbox.Delete, Native: "DROP TABLE",
		Resources: []signalbox.Resource{{Type: "table", Name: "public.orders", Whole: true}},
		Impact:    signalbox.Impact{Count: 1, Scope: signalbox.ScopeAll}}
	setting, credentials := read, drop
	setting.Traits = []signalbox.Trait{signalbox.TraitSession, signalbox.TraitGateSetting}
	credentials.Traits = []signalbox.Trait{signalbox.TraitCredentials, signalbox.TraitPastGate}

	halted := State{Halts: []Halt{{Scope: HaltAll, By: "bob", At: noon}}}
	frozen := State{Freezes: []Freeze{{ID: "f1", From: noon, Until: noon.Add(time.Hour), By: "bob"}}}
	opened := State{BreakGlass: []BreakGlass{{ID: "b1", By: "alice", Reason: "fire", Gates: []string{"orders"},
		Verbs: signalbox.Verbs(), From: noon.Add(-time.Minute), Expires: noon.Add(time.Hour)}}}
	both := State{Freezes: frozen.Freezes, BreakGlass: opened.BreakGlass}

	for name, c := range map[string]struct {
		given  Case
		state  State
		want   signalbox.Decision
		policy string
	}{
		"a read":                                    {a(agent, read), State{}, signalbox.Allow, "reads"},
		"a read in a freeze":                        {a(agent, read), frozen, signalbox.Allow, "reads"},
		"a read in a halt":                          {a(agent, read), halted, signalbox.Deny, "halt"},
		"destruction":                               {a(agent, drop), State{}, signalbox.Hold, "production-agents-destroy"},
		"destruction in a freeze":                   {a(human, drop), frozen, signalbox.Deny, "freeze"},
		"a human's, behind broken glass":            {a(human, drop), opened, signalbox.Allow, "changes"},
		"the same in a freeze":                      {a(human, drop), both, signalbox.Allow, "changes"},
		"an agent's, behind broken glass":           {a(agent, drop), opened, signalbox.Hold, "production-agents-destroy"},
		"the gate's own setting":                    {a(agent, setting), State{}, signalbox.Deny, "gate-setting"},
		"the gate's own setting, a human's":         {a(human, setting), State{}, signalbox.Allow, "reads"},
		"credentials that work without the gate":    {a(agent, credentials), State{}, signalbox.Deny, "credentials-past-the-gate"},
		"credentials, and a halt":                   {a(agent, credentials), halted, signalbox.Deny, "halt"},
		"credentials that a human makes for itself": {a(human, credentials), State{}, signalbox.Hold, "production-people-destroy"},
	} {
		t.Run(name, func(t *testing.T) {
			c.given.Control = c.state
			v, glass := Decide(defaults(t), c.given)
			if through := len(c.state.BreakGlass) > 0 && c.want == signalbox.Allow; through != (glass != "") {
				t.Errorf("let through by window %q", glass)
			}
			if v.Decision != c.want || !slices.Contains(v.Policies, c.policy) {
				t.Errorf("%s by %v (%s), want %s by %s", v.Decision, v.Policies, v.Reason, c.want, c.policy)
			}
		})
	}
}

// What a gate's configuration rules out is no matter of policies or broken glass.
func TestMinimumIsJoined(t *testing.T) {
	human := signalbox.Actor{Kind: signalbox.Human, Name: "alice"}
	c := a(human, signalbox.Action{Verb: signalbox.Create, Native: "CREATE TABLE",
		Resources: []signalbox.Resource{{Type: "table", Name: "public.notes"}},
		Impact:    signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: true}})
	set := defaults(t)
	if v, _ := Decide(set, c); v.Decision != signalbox.Allow {
		t.Fatalf("without a minimum: %+v", v)
	}
	c.Minimum = Deny("other-account", "not here")
	c.Control.BreakGlass = []BreakGlass{{ID: "b1", By: "alice", Reason: "fire", Gates: []string{"orders"},
		Verbs: signalbox.Verbs(), From: noon.Add(-time.Minute), Expires: noon.Add(time.Hour)}}
	if v, glass := Decide(set, c); v.Decision != signalbox.Deny || !slices.Equal(v.Policies, []string{"other-account"}) || glass != "" {
		t.Errorf("%+v behind %q", v, glass)
	}
}

// In doubt, refuse.
func TestNothingIsDenied(t *testing.T) {
	c := a(signalbox.Actor{Kind: signalbox.Human, Name: "alice"}, signalbox.Action{Verb: signalbox.Read})
	if v, _ := Decide(nil, c); v.Decision != signalbox.Deny {
		t.Errorf("without policies: %+v", v)
	}
	c.Views = nil
	if v, _ := Decide(defaults(t), c); v.Decision != signalbox.Deny {
		t.Errorf("without memory: %+v", v)
	}
	c.Actions = nil
	if v, _ := Decide(defaults(t), c); v.Decision != signalbox.Deny {
		t.Errorf("without actions: %+v", v)
	}
}
