package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/signalbox-dev/signalbox"
)

// Longest time that @expires may give an approval.
const maxExpires = 7 * 24 * time.Hour

// annotations reads what a policy asks for:
//
//	@id("name")          required, and unique in the set
//	@reason("text")      for people; required with forbid
//	@hold("2 of sre")    a forbid that opens a hold, see [signalbox.ParseRequirement]
//	@confirm             a hold that the requester must confirm; alone or beside @hold
//	@presence            every approver proves presence; beside @hold
//	@expires("15m")      how long an approval is good; beside @hold or @confirm
//
// Any other annotation is an error, for a misspelt one would ask for nothing.
func (l *loader) annotations(r *rule) {
	fail := func(format string, args ...any) { l.fail(r.file, r.line, r.id, format, args...) }
	notes := r.policy.Annotations()
	for name := range notes {
		switch name {
		case "id", "reason", "hold", "confirm", "presence", "expires":
		default:
			fail("annotation @%s is not known: want @id, @reason, @hold, @confirm, @presence or @expires", name)
		}
	}

	if err := signalbox.ValidName("policy", r.id); err != nil {
		if _, given := notes["id"]; !given {
			err = fmt.Errorf("has no @id")
		}
		fail("%v", err)
	} else if first := l.ids[r.id]; first != nil {
		fail("@id is used before, at %s:%d", first.file, first.line)
	}
	l.ids[r.id] = r

	hold, isHold := notes["hold"]
	confirm, isConfirm := notes["confirm"]
	presence, isPresence := notes["presence"]
	expires, isExpires := notes["expires"]
	for name, value := range map[string]cedar.String{"confirm": confirm, "presence": presence} {
		if value != "" {
			fail("@%s takes no value, has %q", name, value)
		}
	}

	r.terms = signalbox.Verdict{Policies: []string{r.id}, Reason: told(string(notes["reason"]), r.id), Confirm: isConfirm,
		Presence: isPresence}
	switch {
	case r.policy.Effect() == cedar.Permit:
		r.effect, r.terms.Decision = permits, signalbox.Allow
		if isHold || isConfirm || isPresence || isExpires {
			fail("@hold, @confirm, @presence and @expires stand with forbid, not with permit")
		}
		return
	case isHold || isConfirm:
		r.effect, r.terms.Decision = holds, signalbox.Hold
	default:
		r.effect, r.terms.Decision = forbids, signalbox.Deny
		if isExpires || isPresence {
			fail("@presence and @expires need @hold beside them: this forbid denies")
		}
	}
	if strings.TrimSpace(r.terms.Reason) == "" {
		fail("has no @reason: people are shown it")
	}
	if isHold {
		need, err := signalbox.ParseRequirement(string(hold))
		if err != nil {
			fail("@hold: %v", err)
		}
		r.terms.Requires = []string{need.String()}
	}
	if isPresence && !isHold {
		fail("@presence is the approvers': it needs @hold beside it")
	}
	if isExpires {
		d, err := time.ParseDuration(string(expires))
		if err != nil || d <= 0 || d > maxExpires {
			fail("@expires(%q): want a duration up to %s, such as \"15m\" or \"8h\"", expires, maxExpires)
		}
		r.terms.Expires = d
	}
}
