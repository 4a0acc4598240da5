package policy

import (
	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/signalbox-dev/signalbox"
)

// A fact is one attribute that policies can ask for, as the schema has it.
type fact struct {
	name  cedar.String
	value func(*Request) cedar.Value
}

func record(facts []fact, r *Request) cedar.Record {
	m := make(cedar.RecordMap, len(facts))
	for _, f := range facts {
		m[f.name] = f.value(r)
	}
	return cedar.NewRecord(m)
}

// Facts that need care when verdicts are kept.
const (
	factTraits cedar.String = "traits"
	factNow    cedar.String = "now"
)

// contextFacts are the attributes of the context.
var contextFacts = []fact{
	{"session", func(r *Request) cedar.Value { return cedar.String(r.Session) }},
	{"purpose", func(r *Request) cedar.Value { return cedar.String(r.Purpose) }},
	{"gate", func(r *Request) cedar.Value { return cedar.String(r.Gate) }},
	{"protocol", func(r *Request) cedar.Value { return cedar.String(r.Protocol) }},
	{"environment", func(r *Request) cedar.Value { return cedar.String(r.Environment) }},
	{"tier", func(r *Request) cedar.Value { return cedar.String(Tier(r.Environment)) }},
	{"native", func(r *Request) cedar.Value { return cedar.String(r.Action.Native) }},
	{factTraits, traits},
	{"scope", func(r *Request) cedar.Value { return cedar.String(r.Action.Impact.Reach()) }},
	{"count", func(r *Request) cedar.Value { return cedar.Long(max(r.Action.Impact.Count, 0)) }},
	{"countKnown", func(r *Request) cedar.Value { return cedar.Boolean(r.Action.Impact.Count >= 0) }},
	{"measured", func(r *Request) cedar.Value { return cedar.Boolean(r.Action.Impact.Measured) }},
	{"total", func(r *Request) cedar.Value { return cedar.Long(r.Action.Impact.Total) }},
	{"dependants", func(r *Request) cedar.Value { return cedar.Long(r.Action.Impact.Dependants) }},
	{"reversible", func(r *Request) cedar.Value { return cedar.Boolean(r.Action.Impact.Reversible) }},
	{"breakGlass", func(r *Request) cedar.Value {
		return cedar.Boolean(r.BreakGlass &&
			r.Actor.Kind == signalbox.Human)
	}},
	{factNow, func(r *Request) cedar.Value { return cedar.NewDatetime(r.Now) }},
	{"memory", func(*Request) cedar.Value { return memoryUID }},
}

// memoryFacts are the attributes of context.memory.
var memoryFacts = []fact{
	{"changes", func(r *Request) cedar.Value { return cedar.Long(r.Memory.Changes) }},
	{"reads", func(r *Request) cedar.Value { return cedar.Long(r.Memory.Reads) }},
	{"pages", func(r *Request) cedar.Value { return cedar.Long(r.Memory.Pages) }},
	{"deletes", func(r *Request) cedar.Value { return cedar.Long(r.Memory.Deletes) }},
	{"refused", func(r *Request) cedar.Value { return cedar.Long(r.Memory.Refused) }},
	{"credentialsRead", func(r *Request) cedar.Value { return cedar.Long(r.Memory.CredentialsRead) }},
	{"identityChanges", func(r *Request) cedar.Value { return cedar.Long(r.Memory.IdentityChanges) }},
	{"identitiesBeside", func(r *Request) cedar.Value { return cedar.Long(r.Memory.IdentitiesBeside) }},
	{"safeguardsWeakened", func(r *Request) cedar.Value { return cedar.Long(r.Memory.SafeguardsWeakened) }},
	{"safeguardsRefused", func(r *Request) cedar.Value { return cedar.Long(r.Memory.SafeguardsRefused) }},
	{"escalationsRefused", func(r *Request) cedar.Value { return cedar.Long(r.Memory.EscalationsRefused) }},
	{"refusedHere", func(r *Request) cedar.Value { return cedar.Long(r.Memory.RefusedHere) }},
	{"deletesHere", func(r *Request) cedar.Value { return cedar.Long(r.Memory.DeletesHere) }},
	{"rowsDeletedHere", func(r *Request) cedar.Value { return cedar.Long(r.Memory.RowsDeletedHere) }},
	{"updatesHere", func(r *Request) cedar.Value { return cedar.Long(r.Memory.UpdatesHere) }},
	{"rowsUpdatedHere", func(r *Request) cedar.Value { return cedar.Long(r.Memory.RowsUpdatedHere) }},
	{"createsHere", func(r *Request) cedar.Value { return cedar.Long(r.Memory.CreatesHere) }},
	{"rowsCreatedHere", func(r *Request) cedar.Value { return cedar.Long(r.Memory.RowsCreatedHere) }},
	{"repeatsHere", func(r *Request) cedar.Value { return cedar.Long(r.Memory.RepeatsHere) }},
	{"repeatsBeside", func(r *Request) cedar.Value { return cedar.Long(r.Memory.RepeatsBeside) }},
	{"deletedBeside", func(r *Request) cedar.Value { return cedar.Long(r.Memory.DeletedBeside) }},
	{"createdHere", func(r *Request) cedar.Value { return cedar.Boolean(r.Memory.CreatedHere) }},
	{"changedHere", func(r *Request) cedar.Value { return cedar.Boolean(r.Memory.ChangedHere) }},
	{"deletedHere", func(r *Request) cedar.Value { return cedar.Boolean(r.Memory.DeletedHere) }},
	{"renamedHere", func(r *Request) cedar.Value { return cedar.Boolean(r.Memory.RenamedHere) }},
	{"onlyCopy", func(r *Request) cedar.Value { return cedar.Boolean(r.Memory.OnlyCopy) }},
	{"overflow", func(r *Request) cedar.Value { return cedar.Boolean(r.Memory.Overflow) }},
}

var memoryUID = cedar.EntityUID{Type: typeMemory, ID: "session"}

func traits(r *Request) cedar.Value {
	values := make([]cedar.Value, len(r.Action.Traits))
	for n, t := range r.Action.Traits {
		values[n] = cedar.String(t)
	}
	return cedar.NewSet(values...)
}

// A lookout collects which attributes policies ask for. Cedar names attributes
// in the text of a policy alone, never by a computed value, so what does not
// appear there is not missed. A policy that takes the context as a whole needs
// all of it.
type lookout struct {
	names map[cedar.String]bool
	whole bool
}

func (l *lookout) scan(p *ast.Policy) {
	for _, c := range p.Conditions {
		accesses, contexts := 0, 0
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			switch n := n.(type) {
			case ast.NodeTypeAccess:
				l.names[n.Value] = true
				accesses += isContext(n.Arg)
			case ast.NodeTypeHas:
				l.names[n.Value] = true
				accesses += isContext(n.Arg)
			case ast.NodeTypeVariable:
				contexts += isContext(n)
			}
			return true
		})
		// A mention of the context that is not the left side of a dot or of `has`.
		l.whole = l.whole || contexts > accesses
	}
}

func isContext(n ast.IsNode) int {
	if v, ok := n.(ast.NodeTypeVariable); ok && v.Name == "context" {
		return 1
	}
	return 0
}

// pick gives the facts that are asked for.
func (l *lookout) pick(facts []fact) []fact {
	if l.whole {
		return facts
	}
	var picked []fact
	for _, f := range facts {
		if l.names[f.name] {
			picked = append(picked, f)
		}
	}
	return picked
}
