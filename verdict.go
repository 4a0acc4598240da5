package signalbox

import (
	"slices"
	"strings"
	"time"
)

// A Decision is the heart of a verdict. The zero value denies.
type Decision string

// The decisions.
const (
	Allow Decision = "allow"
	Hold  Decision = "hold"
	Deny  Decision = "deny"
)

// strictness orders decisions; anything that is not allow or hold denies.
func (d Decision) strictness() int {
	switch d {
	case Allow:
		return 0
	case Hold:
		return 1
	}
	return 2
}

// A Verdict is what policy says of a request, and why. The zero value denies.
type Verdict struct {
	Decision Decision `json:"verdict"`
	// Policies are the ids of the policies that decided, sorted.
	Policies []string `json:"policies"`
	// Requires lists what a hold needs, all of it: "2 of sre". Sorted.
	Requires []string `json:"requires,omitempty"`
	// Confirm wants the requester's own confirmation besides.
	Confirm bool `json:"confirm,omitempty"`
	// Presence wants every approver's presence proved (a passkey).
	Presence bool `json:"presence,omitempty"`
	// Expires is how long an approval stays good; 0 means the default.
	Expires time.Duration `json:"expires,omitempty"`
	// Reason is for people.
	Reason string `json:"reason,omitempty"`
}

// And joins two verdicts so that both are satisfied: the stricter decision,
// every requirement of both, the earliest expiry (promise P3). Where one is
// stricter, only its policies and reason are kept, for they decided; a hold's
// requirements vanish in a denial.
func (v Verdict) And(o Verdict) Verdict {
	switch a, b := v.Decision.strictness(), o.Decision.strictness(); {
	case a > b:
		return v.normal()
	case a < b:
		return o.normal()
	}
	j := Verdict{
		Decision: v.Decision,
		Policies: union(v.Policies, o.Policies),
		Requires: union(v.Requires, o.Requires),
		Confirm:  v.Confirm || o.Confirm,
		Presence: v.Presence || o.Presence,
		Expires:  v.Expires,
		Reason:   v.Reason,
	}
	if j.Expires == 0 || o.Expires != 0 && o.Expires < j.Expires {
		j.Expires = o.Expires
	}
	if o.Reason != "" && !strings.Contains(j.Reason, o.Reason) {
		if j.Reason != "" {
			j.Reason += "; "
		}
		j.Reason += o.Reason
	}
	return j.normal()
}

// SameRequirements reports whether two verdicts were decided by the same
// policies and ask for the same. A permit survives a policy change only then
// (promise P4).
func (v Verdict) SameRequirements(o Verdict) bool {
	return v.Decision == o.Decision && v.Confirm == o.Confirm && v.Presence == o.Presence &&
		slices.Equal(v.Policies, o.Policies) && slices.Equal(v.Requires, o.Requires)
}

func (v Verdict) normal() Verdict {
	if v.Decision.strictness() == 2 {
		v.Decision = Deny
	}
	if v.Decision != Hold {
		v.Requires, v.Confirm, v.Presence, v.Expires = nil, false, false, 0
	}
	return v
}

func union(a, b []string) []string {
	u := append(slices.Clone(a), b...)
	slices.Sort(u)
	return slices.Compact(u)
}
