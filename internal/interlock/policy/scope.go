package policy

import (
	"slices"

	"github.com/cedar-policy/cedar-go"
	cedarast "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/signalbox-dev/signalbox"
)

func (r *rule) ast() *ast.Policy { return (*ast.Policy)(r.policy.AST()) }

// looksAtResource reports whether a policy's answer can depend on which
// resource it is asked about.
func looksAtResource(p *ast.Policy) bool {
	if _, all := p.Resource.(ast.ScopeTypeAll); !all {
		return true
	}
	found := false
	for _, c := range p.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			if v, ok := n.(ast.NodeTypeVariable); ok && v.Name == "resource" {
				found = true
			}
			return !found
		})
	}
	return found
}

// concerns reports whether a policy's scope can match a principal of a type
// and a verb. When in doubt it can.
func (r *rule) concerns(principal cedar.EntityType, verb signalbox.Verb) bool {
	p := r.ast()
	switch s := p.Principal.(type) {
	case ast.ScopeTypeEq:
		if s.Entity.Type != principal {
			return false
		}
	case ast.ScopeTypeIs:
		if s.Type != principal {
			return false
		}
	case ast.ScopeTypeIsIn:
		if s.Type != principal {
			return false
		}
	}
	family := append([]cedar.EntityUID{actionUID(string(verb))}, actionFamily(verb)...)
	switch s := p.Action.(type) {
	case ast.ScopeTypeEq:
		return s.Entity == family[0]
	case ast.ScopeTypeIn:
		return slices.Contains(family, s.Entity)
	case ast.ScopeTypeInSet:
		return slices.ContainsFunc(s.Entities, func(e cedar.EntityUID) bool { return slices.Contains(family, e) })
	}
	return true
}

// withoutScope gives the policy without what concerns has answered in full: the
// action, and a principal's type. They would be asked at every decision else.
func (r *rule) withoutScope() *cedar.Policy {
	p := *r.ast()
	p.Action = ast.ScopeTypeAll{}
	if _, is := p.Principal.(ast.ScopeTypeIs); is {
		p.Principal = ast.ScopeTypeAll{}
	}
	return cedar.NewPolicyFromAST((*cedarast.Policy)(&p))
}
