package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
)

const reviewPolicy = `
@id("all") permit (principal, action, resource);
@id("unreviewed") @hold("1 of sre") @reason("nobody has reviewed this form: {form}")
forbid (principal is Agent, action, resource) when { context.traits.contains("unreviewed") };
`

func reviewing(t *testing.T, list string) *policy.Set {
	t.Helper()
	files := []policy.File{schema(t), {Name: "a.cedar", Data: []byte(reviewPolicy)}}
	if list != "" {
		files = append(files, policy.File{Name: policy.ReviewedFile, Data: []byte(list)})
	}
	set, err := policy.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestReviewedFormsLoseTheTrait(t *testing.T) {
	plain := reviewing(t, "")
	own := reviewing(t, `CREATE INDEX [unique] "small tables, says bob"`)
	if plain.Version() == own.Version() {
		t.Error("the list is not part of the version")
	}
	ask := func(s *policy.Set, form string) signalbox.Verdict {
		traits := []signalbox.Trait{signalbox.TraitDerived, signalbox.TraitUnreviewed}
		v := s.Decide(policy.Request{
			Actor: signalbox.Actor{Kind: signalbox.Agent, Name: "kiro", For: "ann"}, Environment: signalbox.Production,
			Action: signalbox.Action{Verb: signalbox.Create, Native: "CREATE INDEX", Form: form, Traits: traits},
		})
		if !slices.Equal(traits, []signalbox.Trait{signalbox.TraitDerived, signalbox.TraitUnreviewed}) {
			t.Error("the caller's traits were changed")
		}
		return v
	}
	for range 2 { // the second time from memory
		for form, want := range map[string]signalbox.Decision{
			"CREATE INDEX": signalbox.Allow, "CREATE INDEX unique": signalbox.Allow,
			"CREATE INDEX include": signalbox.Hold, "": signalbox.Hold,
		} {
			if v := ask(own, form); v.Decision != want {
				t.Errorf("%q: %+v", form, v)
			}
			if v := ask(plain, form); v.Decision != signalbox.Hold || form != "" && !strings.Contains(v.Reason, ": "+form+" (") {
				t.Errorf("%q without the list: %+v", form, v)
			}
		}
	}
}

func TestMistakesInTheListNameTheLine(t *testing.T) {
	found := policy.Check([]policy.File{schema(t), {Name: "a.cedar", Data: []byte(reviewPolicy)},
		{Name: policy.ReviewedFile, Data: []byte("# ours\nCREATE INDEX\nANALYZE \"reads\"\nANALYZE \"reads\"\n")}})
	if len(found) != 2 || found[0].File != policy.ReviewedFile || found[0].Line != 2 || found[1].Line != 4 {
		t.Errorf("found %v", found)
	}
}

// What a list said of a function is true as long as it stands on the list of the
// policies that decide.
func TestReviewedFunctionsNeedTheirLine(t *testing.T) {
	const form = "CALL public.total(integer) sha256:00 reads"
	ask := func(s *policy.Set) signalbox.Decision {
		return s.Decide(policy.Request{
			Actor: signalbox.Actor{Kind: signalbox.Agent, Name: "kiro", For: "ann"}, Environment: signalbox.Production,
			Action: signalbox.Action{Verb: signalbox.Read, Native: "CALL FUNCTION", Form: form},
		}).Decision
	}
	if d := ask(reviewing(t, form+` "counts"`)); d != signalbox.Allow {
		t.Errorf("on the list: %s", d)
	}
	if d := ask(reviewing(t, "")); d != signalbox.Hold {
		t.Errorf("off the list: %s", d)
	}
	found := policy.Check([]policy.File{schema(t), {Name: "a.cedar", Data: []byte(reviewPolicy)},
		{Name: policy.ReviewedFile, Data: []byte("CALL public.f() sha256:00 \"what?\"\n")}})
	if len(found) != 1 || found[0].Line != 1 || !strings.Contains(found[0].Msg, "reads") {
		t.Errorf("without a word on what it does: %v", found)
	}
}
