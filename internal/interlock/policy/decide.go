package policy

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/forms"
)

// place is what the policies are indexed by: who asks for what.
type place struct {
	principal cedar.EntityType
	verb      signalbox.Verb
}

// A shelf has the policies whose scope can match at one place, by effect. Those
// that look at the resource are asked once for each resource of an action, the
// others once.
type shelf struct {
	once, each [3]ruleList // indexed by effect

	// What the policies of this shelf ask for. An agent's shelf counts those of
	// its human's too, for both decisions are taken on the same facts.
	contextFacts, memoryFacts []fact
	// lasting says that a verdict can be kept, see memo.
	lasting bool
}

// A ruleList is a [cedar.PolicyIterator].
type ruleList []*rule

func (l ruleList) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, r := range l {
			if !yield(cedar.PolicyID(r.id), r.shelved) {
				return
			}
		}
	}
}

func (l ruleList) find(id cedar.PolicyID) *rule {
	for _, r := range l {
		if r.id == string(id) {
			return r
		}
	}
	return nil
}

func (s *Set) shelve() {
	s.index = make(map[place]*shelf)
	for _, verb := range signalbox.Verbs() {
		for _, principal := range []cedar.EntityType{typeHuman, typeAgent, typeAutomation} {
			sh, asked := &shelf{}, lookout{names: make(map[cedar.String]bool)}
			for _, r := range s.rules {
				if principal == typeAgent && r.concerns(typeHuman, verb) {
					asked.scan(r.ast())
				}
				if !r.concerns(principal, verb) {
					continue
				}
				asked.scan(r.ast())
				list := &sh.once[r.effect]
				if r.perResource {
					list = &sh.each[r.effect]
				}
				*list = append(*list, r)
			}
			sh.contextFacts, sh.memoryFacts = asked.pick(contextFacts), asked.pick(memoryFacts)
			s.index[place{principal, verb}] = sh
		}
	}
	for at, sh := range s.index {
		sh.lasting = sh.lasts()
		if at.principal == typeAgent {
			sh.lasting = sh.lasting && s.index[place{typeHuman, at.verb}].lasts()
		}
	}
}

// maxResources is how many resources of one action are judged. A request that
// names more is denied rather than judged in part.
const maxResources = 1000

// Decide gives the verdict on one action. For an agent it is decided twice, as
// the agent and as the human that it acts for, and both verdicts must be
// satisfied: an agent never gets more than its human, and the human's
// exemptions are not the agent's (promise P3).
//
// Two passes make one verdict, since Cedar names forbids only once one matches:
// what a forbid without @hold matches, or no permit does, is denied; else the
// matching forbids with @hold are joined, so that all of them are satisfied.
// An evaluation error in any policy denies (promise P6).
//
// An action whose form the set has as reviewed is judged without
// [signalbox.TraitUnreviewed].
func (s *Set) Decide(r Request) signalbox.Verdict {
	if err := r.Actor.Validate(); err != nil {
		return signalbox.Verdict{Decision: signalbox.Deny, Reason: err.Error()}
	}
	if !slices.Contains(signalbox.Verbs(), r.Action.Verb) {
		return signalbox.Verdict{Decision: signalbox.Deny, Reason: fmt.Sprintf("verb %q is not known", r.Action.Verb)}
	}
	if n := len(r.Action.Resources); n > maxResources {
		return signalbox.Verdict{Decision: signalbox.Deny,
			Reason: fmt.Sprintf("names %d resources: at most %d are judged at once", n, maxResources)}
	}
	if r.Action.Has(signalbox.TraitUnreviewed) && s.Reviewed(r.Action.Form) {
		r.Action.Traits = slices.DeleteFunc(slices.Clone(r.Action.Traits),
			func(t signalbox.Trait) bool { return t == signalbox.TraitUnreviewed })
	}
	if s.keepsBooks(r.Action) {
		r.Action.Traits = []signalbox.Trait{signalbox.TraitMaintenance, signalbox.TraitByKey}
		r.Action.Impact.Scope = signalbox.ScopeOne
	}
	if forms.SaysWhat(r.Action.Form) && !s.Reviewed(r.Action.Form) {
		// Classified by a list that had it: without, it is a call of unknown effect.
		r.Action.Verb = signalbox.Execute
		r.Action.Traits = append(slices.Clone(r.Action.Traits), signalbox.TraitOpaque, signalbox.TraitUnreviewed)
	}
	sh := s.index[place{principalType(r.Actor.Kind), r.Action.Verb}]
	var buf [512]byte
	key := sh.key(&r, buf[:0])
	v, known := s.memo.get(key)
	if key == nil || !known {
		v = s.judge(&r, sh)
		if key != nil {
			s.memo.put(key, v)
		}
	}
	// Copies, because the set's own slices must not get into other hands.
	v.Policies, v.Requires = slices.Clone(v.Policies), slices.Clone(v.Requires)
	v.Reason = strings.ReplaceAll(v.Reason, formHere, cmp.Or(r.Action.Form, "this"))
	return v
}

// rowsOf begins the form of tables in which tools keep their own books: which
// migrations have run, who runs one.
const rowsOf = "ROWS OF "

// rowsAlone are the traits of an action that does no more than change rows. TRUNCATE
// is one that nobody has reviewed for tables at large.
var rowsAlone = []signalbox.Trait{signalbox.TraitUnscoped, signalbox.TraitRange, signalbox.TraitBulk,
	signalbox.TraitByKey, signalbox.TraitDataLoss, signalbox.TraitUnreviewed}

// keepsBooks reports whether an action changes rows of listed tables and does nothing
// else.
func (s *Set) keepsBooks(a signalbox.Action) bool {
	switch a.Native {
	case "INSERT", "UPDATE", "DELETE", "TRUNCATE":
	default:
		return false
	}
	if s.reviewed == nil || len(a.Resources) == 0 ||
		slices.ContainsFunc(a.Traits, func(t signalbox.Trait) bool { return !slices.Contains(rowsAlone, t) }) {
		return false
	}
	return !slices.ContainsFunc(a.Resources, func(r signalbox.Resource) bool {
		return r.Type != "table" || !s.Reviewed(rowsOf+r.Name[strings.LastIndexByte(r.Name, '.')+1:])
	})
}

// formHere is what a reason may say in the place of the action's form.
const formHere = "{form}"

func (s *Set) judge(r *Request, sh *shelf) signalbox.Verdict {
	w := newWorld(r, sh)
	w.become(r.Actor, false)
	v := s.decideAs(w)
	if r.Actor.Kind == signalbox.Agent {
		w.become(signalbox.Actor{Kind: signalbox.Human, Name: r.Actor.For}, true)
		v = v.And(s.decideAs(w))
	}
	v.Requires = withoutCovered(v.Requires)
	return v
}

// everything is what an action that names no resource is taken to touch.
var everything = []signalbox.Resource{{Type: "unknown", Name: "*", Whole: true}}

func (s *Set) decideAs(w *world) signalbox.Verdict {
	sh := s.index[place{w.principal.Type, w.req.Action.Verb}]
	resources := w.req.Action.Resources
	if len(resources) == 0 {
		resources = everything
	}
	t := joined{permitted: true}
	w.look(resources[0])
	allowed := t.ask(sh.once[permits], w)
	t.ask(sh.once[forbids], w)
	t.ask(sh.once[holds], w)
	if len(sh.each[permits])+len(sh.each[forbids])+len(sh.each[holds]) == 0 {
		t.permitted = allowed
		return t.verdict()
	}
	for _, r := range resources {
		w.look(r)
		here := t.ask(sh.each[permits], w)
		t.ask(sh.each[forbids], w)
		t.ask(sh.each[holds], w)
		t.permitted = t.permitted && (allowed || here)
	}
	return t.verdict()
}

// A joined is what all the policies say about one principal.
type joined struct {
	permitted          bool // some permit matched, for every resource
	allow, hold, deny  signalbox.Verdict
	allows, held, over bool
}

// ask evaluates policies of one effect and reports whether any matched.
func (t *joined) ask(rules ruleList, w *world) bool {
	if len(rules) == 0 {
		return false
	}
	_, diagnostic := cedar.Authorize(rules, w, w.request())
	for _, e := range diagnostic.Errors {
		t.refuse(signalbox.Verdict{
			Policies: []string{string(e.PolicyID)},
			Reason:   fmt.Sprintf("policy %q could not be evaluated: %s", e.PolicyID, e.Message),
		})
	}
	for _, reason := range diagnostic.Reasons {
		r := rules.find(reason.PolicyID)
		switch r.effect {
		case permits:
			join(&t.allow, &t.allows, r.terms)
		case holds:
			join(&t.hold, &t.held, r.terms)
		case forbids:
			t.refuse(r.terms)
		}
	}
	return len(diagnostic.Reasons) > 0
}

func (t *joined) refuse(v signalbox.Verdict) {
	v.Decision = signalbox.Deny
	join(&t.deny, &t.over, v)
}

func join(into *signalbox.Verdict, any *bool, v signalbox.Verdict) {
	if *any {
		*into = into.And(v)
		return
	}
	*into, *any = v, true
}

func (t *joined) verdict() signalbox.Verdict {
	switch {
	case t.over:
		return t.deny
	case !t.permitted:
		return signalbox.Verdict{Decision: signalbox.Deny, Reason: "no policy permits it"}
	case t.held:
		return t.hold
	}
	return t.allow
}

// withoutCovered drops the requirements that another one includes, so that
// people read "2 of sre" and not "1 of sre, 2 of sre".
func withoutCovered(requires []string) []string {
	if len(requires) < 2 {
		return requires
	}
	parsed := make([]signalbox.Requirement, len(requires))
	for i, text := range requires {
		// They were parsed when the set was loaded.
		parsed[i], _ = signalbox.ParseRequirement(text)
	}
	var kept []string
	for i := range parsed {
		covered := slices.ContainsFunc(parsed,
			func(o signalbox.Requirement) bool { return o.Covers(parsed[i]) && !parsed[i].Covers(o) })
		if !covered {
			kept = append(kept, requires[i])
		}
	}
	return kept
}
