package policy_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/policies"
)

func defaults(t testing.TB) *policy.Set {
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

func schema(t testing.TB) policy.File {
	t.Helper()
	files, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	return files[slices.IndexFunc(files, func(f policy.File) bool { return strings.HasSuffix(f.Name, ".cedarschema") })]
}

func load(t testing.TB, text string) *policy.Set {
	t.Helper()
	set, err := policy.Load([]policy.File{schema(t), {Name: "a.cedar", Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

const permitAll = `@id("all") permit (principal, action, resource);` + "\n"

func agent() policy.Request {
	return policy.Request{
		Actor:       signalbox.Actor{Kind: signalbox.Agent, Name: "claude", For: "alice"},
		Environment: signalbox.Production,
		Gate:        "g", Protocol: "postgres", Target: "t",
		Action: signalbox.Action{
			Verb:      signalbox.Update,
			Resources: []signalbox.Resource{{Type: "table", Name: "orders"}},
			Impact:    signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne},
		},
	}
}

func TestNoPermitDenies(t *testing.T) {
	set := load(t, `@id("reads") permit (principal, action == Action::"read", resource);`)
	v := set.Decide(agent())
	if v.Decision != signalbox.Deny || v.Reason == "" {
		t.Errorf("got %+v, want a denial with its reason", v)
	}
}

func TestForbidDeniesBeforeItHolds(t *testing.T) {
	set := load(t, permitAll+`
		@id("h") @hold("1 of sre") @reason("asks") forbid (principal, action, resource);
		@id("d") @reason("never") forbid (principal, action, resource);`)
	v := set.Decide(agent())
	want := signalbox.Verdict{Decision: signalbox.Deny, Policies: []string{"d"}, Reason: "never (d)"}
	if d := cmp.Diff(want, v); d != "" {
		t.Error(d)
	}
}

func TestHoldsAreJoined(t *testing.T) {
	set := load(t, permitAll+`
		@id("a") @hold("1 of sre") @expires("1h") @reason("one") forbid (principal, action, resource);
		@id("b") @hold("2 of sre") @expires("10m") @reason("two") forbid (principal, action, resource);
		@id("c") @hold("1 of dba or 1 of cto") @presence @reason("three") forbid (principal, action, resource);
		@id("d") @confirm @reason("four") forbid (principal, action, resource);
		@id("e") @hold("9 of board") @reason("not asked") forbid (principal, action == Action::"read", resource);`)
	r := agent()
	r.Actor = signalbox.Actor{Kind: signalbox.Human, Name: "alice"}
	v := set.Decide(r)
	want := signalbox.Verdict{
		Decision: signalbox.Hold, Policies: []string{"a", "b", "c", "d"},
		Requires: []string{"1 of dba or 1 of cto", "2 of sre"},
		Confirm:  true, Presence: true, Expires: 10 * 60e9, Reason: "one (a); two (b); three (c); four (d)",
	}
	if d := cmp.Diff(want, v); d != "" {
		t.Error(d)
	}
}

// P3: an agent's verdict is never weaker than its own or its human's.
func TestP3AgentIsBoundByItsHuman(t *testing.T) {
	for _, tt := range []struct {
		name, policies string
		want           signalbox.Decision
		requires       []string
	}{
		{"both are asked", `
			@id("a") @hold("1 of sre") @reason("agents ask") forbid (principal is Agent, action, resource);
			@id("h") @hold("1 of dba") @reason("people ask") forbid (principal is Human, action, resource);`, signalbox.Hold, []string{"1 of dba", "1 of sre"}},
		{"the human may not", `@id("h") @reason("not alice") forbid (principal == Human::"alice", action, resource);`,
			signalbox.Deny, nil},
		{"the human's group may not", `@id("h") @reason("not them") forbid (principal in Group::"interns", action, resource);`, signalbox.Deny, nil},
		{"the agent may not", `@id("a") @reason("not it") forbid (principal == Agent::"claude", action, resource);`,
			signalbox.Deny, nil},
		{"an exemption of the human's group is not the agent's", `
			@id("a") @hold("1 of sre") @reason("agents ask") forbid (principal, action, resource) unless { principal in Group::"interns" };`, signalbox.Hold, []string{"1 of sre"}},
		{"break-glass is not the agent's", `
			@id("a") @hold("1 of sre") @reason("ask") forbid (principal, action, resource) unless { context.breakGlass };`, signalbox.Hold, []string{"1 of sre"}},
		{"an exemption for people alone", `
			@id("a") @hold("1 of sre") @reason("ask") forbid (principal is Human, action, resource) unless { !principal.byAgent };`, signalbox.Hold, []string{"1 of sre"}},
		{"through its human", `
			@id("a") @reason("not for alice") forbid (principal is Agent, action, resource) when { principal.human == Human::"alice" };`, signalbox.Deny, nil},
		{"nobody asks", ``, signalbox.Allow, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := agent()
			r.Groups, r.BreakGlass = []string{"interns"}, true
			v := load(t, permitAll+tt.policies).Decide(r)
			if v.Decision != tt.want || !slices.Equal(v.Requires, tt.requires) {
				t.Errorf("got %+v, want %s requiring %q", v, tt.want, tt.requires)
			}
		})
	}
}

func TestP3PermitForPeopleDoesNotServeTheirAgents(t *testing.T) {
	set := load(t, `@id("people") permit (principal is Human, action, resource);`)
	r := agent()
	if v := set.Decide(r); v.Decision != signalbox.Deny {
		t.Errorf("an agent went through on its human's permit: %+v", v)
	}
	r.Actor = signalbox.Actor{Kind: signalbox.Human, Name: "alice"}
	if v := set.Decide(r); v.Decision != signalbox.Allow {
		t.Errorf("got %+v, want allow", v)
	}
}

// P6: an evaluation error denies, whatever else the set says. Arithmetic that
// overflows is the error that no validation finds beforehand.
func TestP6EvaluationErrorDenies(t *testing.T) {
	overflow := `{ context.count + 9223372036854775807 > 0 }`
	for effect, text := range map[string]string{
		"permit": `@id("broken") permit (principal, action, resource) when ` + overflow + `;`,
		"forbid": `@id("broken") @reason("r") forbid (principal, action, resource) when ` + overflow + `;`,
		"hold": `@id("broken") @hold("1 of sre") @reason("r") forbid (principal, action, resource) when ` +
			overflow + `;`,
	} {
		v := load(t, permitAll+text).Decide(agent())
		if v.Decision != signalbox.Deny || !slices.Equal(v.Policies, []string{"broken"}) {
			t.Errorf("a broken %s: got %+v, want a denial that names it", effect, v)
		}
	}
}

func TestEveryResourceIsJudged(t *testing.T) {
	set := load(t, permitAll+`@id("payroll") @reason("no") forbid (principal, action, resource) when { resource.name like "*payroll*" };`)
	r := agent()
	if v := set.Decide(r); v.Decision != signalbox.Allow {
		t.Fatalf("got %+v, want allow", v)
	}
	r.Action.Resources = append(r.Action.Resources, signalbox.Resource{Type: "table", Name: "hr.payroll"})
	if v := set.Decide(r); v.Decision != signalbox.Deny {
		t.Errorf("the second table was not judged: %+v", v)
	}
	permits := load(t, `@id("orders") permit (principal, action, resource) when { resource.name == "orders" };`)
	if v := permits.Decide(r); v.Decision != signalbox.Deny {
		t.Errorf("a permit for one table served another: %+v", v)
	}
	r.Action.Resources = make([]signalbox.Resource, 1001)
	if v := set.Decide(r); v.Decision != signalbox.Deny {
		t.Errorf("more resources than are judged: got %+v, want deny", v)
	}
}

// P8: an action that names nothing is about everything.
func TestP8NoResourceIsEverything(t *testing.T) {
	set := load(t, `@id("orders") permit (principal, action, resource) when { resource.name == "orders" };`)
	r := agent()
	r.Action.Resources = nil
	if v := set.Decide(r); v.Decision != signalbox.Deny {
		t.Errorf("got %+v, want deny", v)
	}
}

func TestUnknownWordsDeny(t *testing.T) {
	set := load(t, permitAll)
	for name, spoil := range map[string]func(*policy.Request){
		"verb":         func(r *policy.Request) { r.Action.Verb = "improve" },
		"no verb":      func(r *policy.Request) { r.Action.Verb = "" },
		"actor":        func(r *policy.Request) { r.Actor.Kind = "robot" },
		"nobody":       func(r *policy.Request) { r.Actor = signalbox.Actor{} },
		"lonely agent": func(r *policy.Request) { r.Actor.For = "" },
	} {
		r := agent()
		spoil(&r)
		if v := set.Decide(r); v.Decision != signalbox.Deny || v.Reason == "" {
			t.Errorf("%s: got %+v, want a denial with its reason", name, v)
		}
	}
}

func TestVersion(t *testing.T) {
	s := schema(t)
	a := policy.File{Name: "a.cedar", Data: []byte(permitAll)}
	b := policy.File{Name: "b.cedar", Data: []byte(`@id("b") permit (principal, action, resource);`)}
	version := func(files ...policy.File) signalbox.Digest {
		set, err := policy.Load(files)
		if err != nil {
			t.Fatal(err)
		}
		return set.Version()
	}
	if version(s, a, b) != version(b, s, a) {
		t.Error("the order of files changed the version")
	}
	renamed := a
	renamed.Name = "c.cedar"
	if version(s, a, b) == version(s, renamed, b) {
		t.Error("another file name gave the same version")
	}
	changed := a
	changed.Data = append(slices.Clone(a.Data), "// more\n"...)
	if version(s, a, b) == version(s, changed, b) {
		t.Error("other bytes gave the same version")
	}
}

func TestLoadNamesFilePolicyAndLine(t *testing.T) {
	forbid := func(annotations string) string {
		return permitAll + annotations + ` forbid (principal, action, resource);`
	}
	for _, tt := range []struct {
		name, text, policy string
		line               int
		msg                string
	}{
		{"syntax", permitAll + "permit (principal, action,, resource);", "", 2, "parse"},
		{"unclosed string", permitAll + `@id("x`, "", 2, ""},
		{"no id", permitAll + "\npermit (principal, action, resource);", "", 3, "no @id"},
		{"bad id", permitAll + `@id("a b") permit (principal, action, resource);`, "a b", 2, "not allowed"},
		{"id twice", permitAll + permitAll, "all", 2, "used before, at a.cedar:1"},
		{"unknown annotation", forbid(`@id("x") @reason("r") @hodl("2 of sre")`), "x", 2, "@hodl is not known"},
		{"no reason", forbid(`@id("x")`), "x", 2, "no @reason"},
		{"hold of nobody", forbid(`@id("x") @reason("r") @hold`), "x", 2, "@hold"},
		{"hold grammar", forbid(`@id("x") @reason("r") @hold("two of sre")`), "x", 2, "two"},
		{"hold on permit", `@id("x") @hold("2 of sre") permit (principal, action, resource);`, "x", 1, "with forbid"},
		{"expires alone", forbid(`@id("x") @reason("r") @expires("1h")`), "x", 2, "@hold beside"},
		{"presence without hold", forbid(`@id("x") @reason("r") @confirm @presence`), "x", 2, "@presence"},
		{"expires grammar", forbid(`@id("x") @reason("r") @hold("1 of sre") @expires("soon")`), "x", 2, "soon"},
		{"expires too long", forbid(`@id("x") @reason("r") @hold("1 of sre") @expires("200h")`), "x", 2, "200h"},
		{"confirm with value", forbid(`@id("x") @reason("r") @confirm("yes")`), "x", 2, "no value"},
		{"unknown attribute", permitAll + "\n" +
			`@id("x") permit (principal, action, resource) when { context.colour == "red" };`, "x", 3, "colour"},
		{"unknown action", `@id("x") permit (principal, action == Action::"destory", resource);`, "x", 1, "destory"},
		{"unknown type", `@id("x") permit (principal is Robot, action, resource);`, "x", 1, "Robot"},
		{"wrong type", `@id("x") permit (principal, action, resource) when { context.count == "many" };`, "x", 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := []policy.File{schema(t), {Name: "a.cedar", Data: []byte(tt.text)}}
			found := policy.Check(files)
			if len(found) == 0 {
				t.Fatal("was loaded")
			}
			e := found[0]
			if e.File != "a.cedar" || e.Policy != tt.policy || e.Line != tt.line || !strings.Contains(e.Msg, tt.msg) {
				t.Errorf("got %v (policy %q, line %d), want policy %q, line %d and %q", e, e.Policy, e.Line,
					tt.policy, tt.line, tt.msg)
			}
			_, err := policy.Load(files)
			if !errors.As(err, &e) {
				t.Errorf("Load gave %v, not an *Error", err)
			}
		})
	}
}

func TestLoadRefusesSets(t *testing.T) {
	s := schema(t)
	good := policy.File{Name: "a.cedar", Data: []byte(permitAll)}
	lacking := policy.File{Name: "s.cedarschema",
		Data: []byte(strings.Replace(string(s.Data), "native: String,", "", 1))}
	for name, files := range map[string][]policy.File{
		"nothing":        nil,
		"no schema":      {good},
		"no policies":    {s},
		"empty policies": {s, {Name: "a.cedar"}},
		"two schemas":    {s, {Name: "t.cedarschema", Data: s.Data}, good},
		"same name":      {s, good, good},
		"foreign file":   {s, good, {Name: "README.md"}},
		"broken schema":  {{Name: "s.cedarschema", Data: []byte("entity Human in [Nothing];")}, good},
		"schema syntax":  {{Name: "s.cedarschema", Data: []byte("entity;")}, good},
		"other schema":   {lacking, good},
	} {
		if _, err := policy.Load(files); err == nil {
			t.Errorf("%s: was loaded", name)
		}
	}
}

func TestDecideConcurrently(t *testing.T) {
	set := defaults(t)
	var wg sync.WaitGroup
	want := set.Decide(agent())
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if d := cmp.Diff(want, set.Decide(agent())); d != "" {
					t.Error(d)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestTestRefusesFiles(t *testing.T) {
	set := load(t, permitAll)
	const good = `
tests:
  - name: fine
    actor: {human: alice}
    environment: production
    action: {verb: read}
    expect: {verdict: allow}
`
	report, err := set.Test([]policy.File{{Name: "t.yaml", Data: []byte(good)}})
	if err != nil || report.Passed != 1 || len(report.Failed) != 0 {
		t.Fatalf("got %+v, %v", report, err)
	}
	report, err = set.Test([]policy.File{{Name: "t.yaml",
		Data: []byte(strings.Replace(good, "verdict: allow", "verdict: deny", 1))}})
	if err != nil || len(report.Failed) != 1 || report.Failed[0].Line != 3 ||
		!strings.HasPrefix(report.Failed[0].String(), "t.yaml:3: fine: want deny, got allow by all") {
		t.Errorf("got %+v, %v", report, err)
	}
	for name, text := range map[string]string{
		"empty":             "",
		"no tests":          "tests: []",
		"not yaml":          "tests: [",
		"unknown field":     good + "    colour: red\n",
		"unknown verb":      strings.Replace(good, "verb: read", "verb: improve", 1),
		"unknown verdict":   strings.Replace(good, "verdict: allow", "verdict: maybe", 1),
		"unknown scope":     strings.Replace(good, "verb: read", "verb: read, scope: few", 1),
		"two actors":        strings.Replace(good, "human: alice", "human: alice, automation: ci", 1),
		"no actor":          strings.Replace(good, "human: alice", "", 1),
		"agent of nobody":   strings.Replace(good, "human: alice", "agent: claude", 1),
		"no name":           strings.Replace(good, "name: fine", "groups: []", 1),
		"no environment":    strings.Replace(good, "environment: production", "groups: []", 1),
		"unknown in memory": good + "    memory: {colour: 1}\n",
	} {
		if report, err := set.Test([]policy.File{{Name: "t.yaml", Data: []byte(text)}}); err == nil {
			t.Errorf("%s: was read: %+v", name, report)
		}
	}
}

// Whatever the files hold, loading ends with a set or with errors that name
// the file, and what was loaded decides.
func FuzzLoad(f *testing.F) {
	f.Add(permitAll)
	f.Add("permit (principal, action,, resource);")
	f.Add(`@id("x") @confirm @reason("r") forbid (principal in Group::"g", action in [Action::"read"], resource in Target::"t");`)
	f.Add(permitAll + `@id("x") @hold("1 of a and (2 of b or 1 of c)") @expires("1h") @presence @reason("r") forbid (principal, action, resource) unless { context.count * 2 > 4 };`)
	s := schema(f)
	f.Fuzz(func(t *testing.T, text string) {
		set, err := policy.Load([]policy.File{s, {Name: "a.cedar", Data: []byte(text)}})
		if err != nil {
			for _, e := range policy.Check([]policy.File{s, {Name: "a.cedar", Data: []byte(text)}}) {
				if e.Msg == "" || e.File != "a.cedar" && e.Msg != "the set has no policies" {
					t.Fatalf("an error that helps nobody: %+v", e)
				}
			}
			return
		}
		if v := set.Decide(agent()); v.Decision != signalbox.Allow && v.Decision != signalbox.Hold &&
			v.Decision != signalbox.Deny {
			t.Fatalf("no decision: %+v", v)
		}
	})
}
