package proof

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// Millis is a time in an entry: milliseconds since 1970-01-01 UTC.
type Millis int64

// At gives t in milliseconds; the zero time is 0.
func At(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return Millis(t.UnixMilli())
}

// Time gives the time in UTC; 0 is the zero time.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

// An Action is what an entry says in the clear about one [signalbox.Action].
// It is a type of its own so that the log's format does not move when the
// words do, and so that nothing gets into the log by being added to a word.
type Action struct {
	// Verb is what kind of thing the action does.
	Verb signalbox.Verb `json:"verb"`
	// Native is the operation in the protocol's words: "DROP TABLE".
	Native string `json:"native"`
	// Resources are the things touched, in the classifier's order.
	Resources []signalbox.Resource `json:"resources,omitempty"`
	// Omitted counts resources left out because the entry would be too long;
	// the hidden field "all_actions" has them all.
	Omitted int `json:"omitted,omitempty"`
	// Merged counts further actions that this one stands for because the entry
	// would be too long: it bears their gravest verb. The hidden field
	// "all_actions" has them all.
	Merged int `json:"merged,omitempty"`
	// Impact is what it would touch.
	Impact Impact `json:"impact"`
	// Fingerprint names the request's shape.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Traits are the facts that policies ask about.
	Traits []signalbox.Trait `json:"traits,omitempty"`
}

// An Impact is what an entry says in the clear about a [signalbox.Impact]; the
// facts shown to approvers are hidden.
type Impact struct {
	// Count is the number of objects or rows, -1 if not known.
	Count int64 `json:"count"`
	// Scope is how much of the whole: one, some, all, unknown.
	Scope signalbox.Scope `json:"scope"`
	// Reversible says that it can be undone from what remains.
	Reversible bool `json:"reversible"`
	// Measured says that Count was taken at the live target.
	Measured bool `json:"measured,omitempty"`
	// Total is how many there are in all, where measured.
	Total int64 `json:"total,omitempty"`
	// Dependants counts what would be touched besides.
	Dependants int64 `json:"dependants,omitempty"`
}

// A Verdict is what an entry says about a [signalbox.Verdict].
type Verdict struct {
	// Decision is allow, hold or deny.
	Decision signalbox.Decision `json:"decision"`
	// Policies are the ids of the policies that decided, sorted.
	Policies []string `json:"policies,omitempty"`
	// Requires lists what a hold needs, all of it: "2 of sre".
	Requires []string `json:"requires,omitempty"`
	// Confirm wants the requester's own confirmation besides.
	Confirm bool `json:"confirm,omitempty"`
	// Presence wants every approver's presence proved.
	Presence bool `json:"presence,omitempty"`
	// Expires is how long an approval stays good, in milliseconds; left out
	// for the default.
	Expires int64 `json:"expires,omitempty"`
	// Reason is the policy's own text for people.
	Reason string `json:"reason,omitempty"`
}

// maxClearActions bounds the clear text of an entry's actions, in bytes, so
// that a request with very many of them can still be recorded.
const maxClearActions = 32 << 10

// ClearActions gives the part of actions that an entry shows. When the whole
// would be too long for an entry, resources and then actions are left out and
// counted; the caller hides the full list as "all_actions" in that case, which
// complete reports as false.
func ClearActions(actions []signalbox.Action) (clear []Action, complete bool) {
	complete = true
	budget := maxClearActions
	for i, a := range actions {
		c := Action{
			Verb:        a.Verb,
			Native:      a.Native,
			Fingerprint: a.Fingerprint,
			Traits:      slices.Clone(a.Traits),
			Impact: Impact{
				Count:      a.Impact.Count,
				Scope:      a.Impact.Reach(),
				Reversible: a.Impact.Reversible,
				Measured:   a.Impact.Measured,
				Total:      a.Impact.Total,
				Dependants: a.Impact.Dependants,
			},
		}
		budget -= size(c)
		if budget < 0 && i > 0 {
			rest := actions[i:]
			gravest := rest[signalbox.Gravest(rest)]
			clear = append(clear, Action{
				Verb:   gravest.Verb,
				Native: gravest.Native,
				Merged: len(rest),
				Impact: Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeUnknown},
			})
			return clear, false
		}
		for j, r := range a.Resources {
			if budget -= size(r); budget < 0 {
				c.Omitted = len(a.Resources) - j
				complete = false
				break
			}
			c.Resources = append(c.Resources, r)
		}
		clear = append(clear, c)
	}
	return clear, complete
}

// size is the length of v in an entry, near enough for a budget.
func size(v any) int {
	b, err := json.Marshal(v)
	if err != nil {
		return maxClearActions
	}
	return len(b)
}

// ClearVerdict gives the part of v that an entry shows: all of it.
func ClearVerdict(v signalbox.Verdict) Verdict {
	return Verdict{
		Decision: v.Decision,
		Policies: slices.Clone(v.Policies),
		Requires: slices.Clone(v.Requires),
		Confirm:  v.Confirm,
		Presence: v.Presence,
		Expires:  v.Expires.Milliseconds(),
		Reason:   v.Reason,
	}
}
