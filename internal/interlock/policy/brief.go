package policy

import (
	"regexp"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
)

// briefly is how many reasons an agent is told. All the policies stand beside them.
const briefly = 2

// told gives a policy's reason as it stands in a verdict, with the policy's id.
func told(reason, id string) string {
	if reason == "" {
		return ""
	}
	return reason + " (" + id + ")"
}

// toldReason finds the reasons in a joined verdict's.
var toldReason = regexp.MustCompile(`(?s)(.*?) \(([A-Za-z0-9._-]+)\)(?:; |$)`)

// Brief keeps of a verdict's reasons the gravest, two at most: those whose policies
// ask for the most people come first.
func (s *Set) Brief(v signalbox.Verdict) signalbox.Verdict {
	found := toldReason.FindAllStringSubmatchIndex(v.Reason, -1)
	if len(found) == 0 || found[len(found)-1][1] != len(v.Reason) {
		return v // reasons of others stand in it
	}
	type reason struct {
		text   string
		weight int
	}
	var all []reason
	end := 0
	for _, m := range found {
		if m[0] != end {
			return v
		}
		end = m[1]
		all = append(all, reason{strings.TrimSuffix(v.Reason[m[0]:m[1]], "; "), s.weight(v.Reason[m[4]:m[5]])})
	}
	slices.SortStableFunc(all, func(a, b reason) int { return b.weight - a.weight })
	var texts []string
	for _, r := range all[:min(briefly, len(all))] {
		texts = append(texts, r.text)
	}
	v.Reason = strings.Join(texts, "; ")
	return v
}

// weight is how much the policy of an id asks for.
func (s *Set) weight(id string) int {
	n := 0
	for _, r := range s.rules {
		if r.id != id {
			continue
		}
		for _, text := range r.terms.Requires {
			if q, err := signalbox.ParseRequirement(text); err == nil {
				n += 2 * q.People()
			}
		}
		if r.terms.Confirm {
			n++
		}
		if r.terms.Decision == signalbox.Deny {
			n += 1000
		}
	}
	return n
}
