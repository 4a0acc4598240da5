package session

import (
	"slices"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// A refusal is one action that was held or denied and has not been done since; or
// one that weakened a protection with permission.
type refusal struct {
	At          time.Time `json:"at"`
	Native      string    `json:"native"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	Resources   []string  `json:"resources"`
	Escalation  bool      `json:"escalation,omitempty"` // asked for rights or another identity
	Safeguard   bool      `json:"safeguard,omitempty"`  // asked to weaken a protection
	Change      bool      `json:"change,omitempty"`     // was not a read
	// Confined says that what it asked for concerns its resources alone: a right on
	// one table, a trigger of it. Rights without limit, another identity and the
	// protections of everything concern whatever is done afterwards.
	Confined bool `json:"confined,omitempty"`
}

func refusalOf(a signalbox.Action, at time.Time) (r refusal, whole bool) {
	r = refusal{
		At: at, Native: a.Native, Fingerprint: a.Fingerprint,
		Escalation: a.Verb == signalbox.Permission || a.Has(signalbox.TraitIdentity),
		Safeguard:  a.Verb == signalbox.Safeguard,
		Change:     a.Verb != signalbox.Read,
		Confined:   confined(a),
	}
	for i, res := range a.Resources {
		if i == maxSources {
			return r, false
		}
		r.Resources = append(r.Resources, key(res))
	}
	return r, true
}

// confined reports whether rights or protections concern the resources that an
// action names, and those alone.
func confined(a signalbox.Action) bool {
	for _, t := range []signalbox.Trait{signalbox.TraitAdmin, signalbox.TraitIdentity, signalbox.TraitPublic,
		signalbox.TraitTop, signalbox.TraitUnscoped, signalbox.TraitBulk, signalbox.TraitPastGate} {
		if a.Has(t) {
			return false
		}
	}
	if a.Impact.Scope != signalbox.ScopeOne && a.Impact.Scope != signalbox.ScopeSome || len(a.Resources) == 0 {
		return false
	}
	if a.Verb == signalbox.Permission { // on something, and no membership
		return slices.ContainsFunc(a.Resources, func(r signalbox.Resource) bool {
			return r.Type != "role" && r.Type != "user" && r.Type != "group"
		})
	}
	return !slices.ContainsFunc(a.Resources, func(r signalbox.Resource) bool {
		switch r.Type {
		case "table", "view", "materialized view", "column", "trigger", "rule", "policy", "constraint":
			return false
		}
		return true
	})
}

func (m *Memory) noteRefused(a signalbox.Action, at time.Time) {
	m.Refused++
	r, whole := refusalOf(a, at)
	m.Overflow = m.Overflow || !whole
	// The same request sent again and again is one refusal: it must not push
	// others out.
	m.Refusals = slices.DeleteFunc(m.Refusals, func(old refusal) bool {
		return at.Sub(old.At) > Window || old.same(r)
	})
	if len(m.Refusals) == maxRefusals {
		m.Refusals = slices.Delete(m.Refusals, 0, 1)
		m.Overflow = true
	}
	m.Refusals = append(m.Refusals, r)
}

// noteWeakened remembers a protection that was weakened with permission.
func (m *Memory) noteWeakened(a signalbox.Action, at time.Time) {
	m.Safeguard++
	r, whole := refusalOf(a, at)
	r.Confined = r.Confined && whole
	m.Weakened = slices.DeleteFunc(m.Weakened, func(old refusal) bool { return old.same(r) })
	if len(m.Weakened) == maxSources {
		// Whatever was forgotten concerns everything.
		m.Weakened = slices.Delete(m.Weakened, 0, 1)
		m.Weakened[0].Confined = false
	}
	m.Weakened = append(m.Weakened, r)
}

func (r refusal) same(o refusal) bool {
	return r.Native == o.Native && r.Fingerprint == o.Fingerprint && slices.Equal(r.Resources, o.Resources)
}

// settle ends the refusals of an action that has now been let through.
func (m *Memory) settle(a signalbox.Action) {
	if len(m.Refusals) == 0 {
		return
	}
	done, _ := refusalOf(a, time.Time{})
	m.Refusals = slices.DeleteFunc(m.Refusals, done.same)
}

// Withdraw forgets the refusals of actions that whoever asked for them has taken
// back: nobody said no.
func (m *Memory) Withdraw(actions []signalbox.Action) {
	for _, a := range actions {
		m.settle(a)
	}
}

// seeRefusals tells which refusals and weakened protections concern an action.
func (m *Memory) seeRefusals(v *View, a signalbox.Action, at time.Time) {
	names := make([]string, len(a.Resources))
	for i, r := range a.Resources {
		names[i] = key(r)
	}
	for _, r := range m.Refusals {
		if at.Sub(r.At) > Window {
			continue
		}
		near := !r.Confined || r.near(names)
		if r.Escalation && near {
			v.EscalationsRefused++
		}
		if r.Safeguard && near {
			v.SafeguardsRefused++
		}
		if r.Change && slices.ContainsFunc(names, func(n string) bool { return slices.Contains(r.Resources, n) }) {
			v.RefusedHere++
		}
	}
	v.SafeguardsWeakened = max(m.Safeguard-int64(len(m.Weakened)), 0) // those that nothing is known of any more
	for _, r := range m.Weakened {
		if !r.Confined || r.near(names) {
			v.SafeguardsWeakened++
		}
	}
}

// near reports whether one of the resources is among a refusal's, is part of one, or
// has one as its part, whatever types they were named with.
func (r refusal) near(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		_, name, _ = strings.Cut(name, " ")
		return slices.ContainsFunc(r.Resources, func(other string) bool {
			_, other, _ = strings.Cut(other, " ")
			return name == other || other == "*" || name == "*" || strings.HasPrefix(name, other+".") ||
				strings.HasPrefix(other, name+".")
		})
	})
}

func cloned(refusals []refusal) []refusal {
	all := slices.Clone(refusals)
	for i := range all {
		all[i].Resources = slices.Clone(all[i].Resources)
	}
	return all
}
