package policy

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox"
)

func defaultSet(t testing.TB) *Set {
	t.Helper()
	files, err := Files(os.DirFS("../../../policies"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// plainly decides as the documentation says it, with all facts, all policies
// in full, and Cedar's own authorizer in two passes.
func plainly(s *Set, r Request) signalbox.Verdict {
	v := plainlyAs(s, r, r.Actor, false)
	if r.Actor.Kind == signalbox.Agent {
		v = v.And(plainlyAs(s, r, signalbox.Actor{Kind: signalbox.Human, Name: r.Actor.For}, true))
	}
	v.Requires = withoutCovered(v.Requires)
	return v
}

func plainlyAs(s *Set, r Request, as signalbox.Actor, byAgent bool) signalbox.Verdict {
	w := newWorld(&r, &shelf{contextFacts: contextFacts, memoryFacts: memoryFacts})
	w.become(as, byAgent)
	resources := r.Action.Resources
	if len(resources) == 0 {
		resources = everything
	}
	var v signalbox.Verdict
	for i, resource := range resources {
		w.look(resource)
		one := plainlyOne(s, w)
		if i == 0 {
			v = one
		} else {
			v = v.And(one)
		}
	}
	return v
}

func plainlyOne(s *Set, w *world) signalbox.Verdict {
	set := func(keep func(*rule) bool) (*cedar.PolicySet, map[cedar.PolicyID]*rule) {
		ps, rules := cedar.NewPolicySet(), make(map[cedar.PolicyID]*rule)
		for _, r := range s.rules {
			if keep(r) {
				ps.Add(cedar.PolicyID(r.id), r.policy)
				rules[cedar.PolicyID(r.id)] = r
			}
		}
		return ps, rules
	}
	gather := func(d cedar.Diagnostic, rules map[cedar.PolicyID]*rule) (v signalbox.Verdict) {
		for i, reason := range d.Reasons {
			if terms := rules[reason.PolicyID].terms; i == 0 {
				v = terms
			} else {
				v = v.And(terms)
			}
		}
		return v
	}
	first, rules := set(func(r *rule) bool { return r.effect != holds })
	decision, diagnostic := cedar.Authorize(first, w, w.request())
	if len(diagnostic.Errors) > 0 {
		panic(diagnostic.Errors)
	}
	allowed := gather(diagnostic, rules)
	if decision != cedar.Allow {
		if len(diagnostic.Reasons) == 0 {
			return signalbox.Verdict{Decision: signalbox.Deny, Reason: "no policy permits it"}
		}
		return allowed
	}
	second, rules := set(func(r *rule) bool { return r.effect != forbids })
	decision, diagnostic = cedar.Authorize(second, w, w.request())
	if decision == cedar.Allow {
		return allowed
	}
	return gather(diagnostic, rules)
}

// The index, the stripped scopes, the picked facts and the kept verdicts must
// not change a single verdict.
func TestDecideAgreesWithPlainCedar(t *testing.T) {
	files, err := Files(os.DirFS("../../../policies"))
	if err != nil {
		t.Fatal(err)
	}
	// These look at resources and at the time, so that nothing is kept.
	each := File{"each.cedar", []byte(`
		@id("payroll") @reason("payroll is not for agents")
		forbid (principal is Agent, action in [Action::"destroy", Action::"update"], resource) when { resource.name like "*payroll*" };
		@id("crew") @hold("1 of dba") @expires("10m") @reason("not the crew's")
		forbid (principal in Group::"crew", action, resource in Target::"t2") unless { resource.whole && context.count > 3 };
		@id("late") @reason("not after the end of time")
		forbid (principal, action, resource) when { context.now > datetime("2100-01-01") };
	`)}
	// These look at who asks, and verdicts are kept.
	once := File{"once.cedar", []byte(`
		@id("nobody") @reason("not by hand")
		forbid (principal == Human::"mallory", action, resource);
		@id("crew") @hold("1 of dba") @reason("not the crew's")
		forbid (principal in Group::"crew", action == Action::"update", resource) when { context.count > 3 && context.gate == "g" };
		@id("for-mallory") @reason("not for him")
		forbid (principal is Agent, action == Action::"create", resource) when { principal.human == Human::"mallory" };
		@id("by-agents") @hold("1 of cto") @reason("people stand for their agents")
		forbid (principal is Human, action == Action::"execute", resource) when { principal.byAgent };
	`)}
	for name, extra := range map[string]File{"each": each, "once": once} {
		t.Run(name, func(t *testing.T) { agreesWithPlainCedar(t, append(slices.Clone(files), extra)) })
	}
}

func agreesWithPlainCedar(t *testing.T, files []File) {
	set, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	pick := func(n int) int { return rnd.IntN(n) }
	allTraits := []signalbox.Trait{
		signalbox.TraitUnparsed, signalbox.TraitCredentials, signalbox.TraitIdentity, signalbox.TraitHostFile,
		signalbox.TraitOpaque, signalbox.TraitDeferred,
		signalbox.TraitUnscoped, signalbox.TraitRange, signalbox.TraitBulk, signalbox.TraitByKey,
		signalbox.TraitCascade, signalbox.TraitDataLoss, signalbox.TraitRename,
		signalbox.TraitCopy, signalbox.TraitDerived, signalbox.TraitTemporary, signalbox.TraitSession,
		signalbox.TraitTransaction, signalbox.TraitTop, signalbox.TraitMaintenance,
		signalbox.TraitInterrupts, signalbox.TraitDial, signalbox.TraitPublic, signalbox.TraitAdmin,
	}
	seen := map[signalbox.Decision]int{}
	for range 1500 {
		r := Request{
			Actor: []signalbox.Actor{{Kind: signalbox.Agent, Name: "a", For: "alice"},
				{Kind: signalbox.Agent, Name: "a", For: "mallory"}, {Kind: signalbox.Human, Name: "alice"},
				{Kind: signalbox.Human, Name: "mallory"}, {Kind: signalbox.Automation, Name: "ci"}}[pick(5)],
			Groups: [][]string{nil, {"crew"}, {"sre", "crew"}}[pick(3)],
			Gate:   "g", Protocol: "postgres", Target: []string{"t1", "t2"}[pick(2)],
			Environment: []signalbox.Environment{"production", "staging", "development", "prod-eu"}[pick(4)],
			BreakGlass:  pick(4) == 0,
			Now:         time.Unix(1_800_000_000, 0),
			Action: signalbox.Action{
				Verb: signalbox.Verbs()[pick(8)],
				Impact: signalbox.Impact{Count: int64(pick(10)) - 1,
					Scope: []signalbox.Scope{"one", "some", "all", "unknown", ""}[pick(5)]},
			},
			Memory: Memory{RefusedHere: int64(pick(2)), DeletesHere: int64(pick(9)), UpdatesHere: int64(pick(9)),
				OnlyCopy: pick(9) == 0, RenamedHere: pick(9) == 0, EscalationsRefused: int64(max(0, pick(9)-7)),
				Overflow: pick(20) == 0},
		}
		for range pick(4) {
			r.Action.Traits = append(r.Action.Traits, allTraits[pick(len(allTraits))])
		}
		for range pick(3) {
			r.Action.Resources = append(r.Action.Resources,
				signalbox.Resource{Type: "table", Name: []string{"orders", "payroll_2026"}[pick(2)],
					Whole: pick(2) == 0})
		}
		got, want := set.Decide(r), plainly(set, r)
		if d := cmp.Diff(got, set.Decide(r)); d != "" {
			t.Fatalf("%+v\nasked again (-first +second)\n%s", r, d)
		}
		got.Reason, want.Reason = "", "" // joined in another order
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("%+v\n(-plain +decide)\n%s", r, d)
		}
		seen[got.Decision]++
	}
	for _, d := range []signalbox.Decision{signalbox.Allow, signalbox.Hold, signalbox.Deny} {
		if seen[d] < 20 {
			t.Errorf("%d of the random requests were decided %q: too few to tell anything", seen[d], d)
		}
	}
}

// A verdict must not give access to the set's own memory.
func TestDecideGivesCopies(t *testing.T) {
	set := defaultSet(t)
	r := Request{
		Actor:       signalbox.Actor{Kind: signalbox.Automation, Name: "ci"},
		Environment: signalbox.Production,
		Action:      signalbox.Action{Verb: signalbox.Delete, Impact: signalbox.Impact{Scope: signalbox.ScopeOne}},
	}
	first := set.Decide(r)
	want := slices.Clone(first.Policies)
	first.Policies[0], first.Requires[0] = "changed", "changed"
	if again := set.Decide(r); !slices.Equal(again.Policies, want) || again.Requires[0] == "changed" {
		t.Errorf("the set was changed through a verdict: %+v", again)
	}
}

func TestMemoIsBounded(t *testing.T) {
	set := defaultSet(t)
	r := Request{
		Actor:       signalbox.Actor{Kind: signalbox.Human, Name: "alice"},
		Environment: signalbox.Production,
		Action:      signalbox.Action{Verb: signalbox.Read},
	}
	for i := range 3 * maxVerdicts {
		r.Groups = []string{fmt.Sprintf("group%d", i)}
		if v := set.Decide(r); v.Decision != signalbox.Allow {
			t.Fatalf("got %+v", v)
		}
	}
	if n := len(set.memo.verdicts); n == 0 || n > maxVerdicts {
		t.Errorf("%d verdicts are kept, want 1 to %d", n, maxVerdicts)
	}
}
