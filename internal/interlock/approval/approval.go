// Package approval holds the rules of holds, approvals and permits: who may
// say yes, when a hold is satisfied, when a permit may be redeemed. Pure values
// and rules, no I/O.
//
// The one thing to know: a permit is not a thing of its own. It is a hold whose
// status is [Approved], and redeeming it is the one conditional change from
// Approved to [Used], in the same transaction as the intent.
package approval

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// Status is where a hold stands.
type Status string

// The statuses. Open becomes Approved, Refused, Withdrawn or Expired; Approved
// becomes Used, Dead or Expired. Nothing leads back.
const (
	Open      Status = "open"      // waits for approvals
	Approved  Status = "approved"  // a permit: may be redeemed once until it expires
	Used      Status = "used"      // the permit was redeemed
	Refused   Status = "refused"   // somebody said no
	Withdrawn Status = "withdrawn" // the requester took it back
	Expired   Status = "expired"   // too late
	Dead      Status = "dead"      // what was approved is no longer what would happen
)

// Final reports whether nothing can come of the hold any more.
func (s Status) Final() bool { return s != Open && s != Approved }

// A Hold is a request waiting for approvals, with what the approvers must see.
type Hold struct {
	ID          string                `json:"id"`
	Session     signalbox.SessionID   `json:"session"`
	Actor       signalbox.Actor       `json:"actor"`
	By          string                `json:"by,omitempty"` // the human who opened the session
	Gate        string                `json:"gate"`
	Target      string                `json:"target"`
	Environment signalbox.Environment `json:"environment"`

	// What would be done. Request is the whole text as the client sent it;
	// Facts were derived by the gate and come first when shown.
	Actions []signalbox.Action `json:"actions"`
	Request string             `json:"request"`
	Facts   []string           `json:"facts,omitempty"`

	// What an approval is bound to: by equality to the digest of the canonical
	// request and to the state, as a ceiling to the impact (promise P4).
	Digest  signalbox.Digest `json:"digest"` // salted commitment, as logged
	Salt    []byte           `json:"-"`      // erasable, never shown
	State   signalbox.State  `json:"state,omitempty"`
	Ceiling signalbox.Impact `json:"ceiling"`

	Verdict signalbox.Verdict `json:"verdict"` // the requirements, and the policies that decided
	Policy  signalbox.Digest  `json:"policy"`  // version of the policy set

	Status    Status    `json:"status"`
	Why       string    `json:"why,omitempty"` // why it was refused or died
	Opened    time.Time `json:"opened"`
	Expires   time.Time `json:"expires"` // of the hold while open, of the permit once approved
	Confirmed bool      `json:"confirmed,omitempty"`
	// ConfirmedEpoch is that of the requester's credentials when he confirmed.
	ConfirmedEpoch int64    `json:"-"`
	Answers        []Answer `json:"answers,omitempty"`
	Intent         string   `json:"intent,omitempty"` // what redeemed it

	// Context is what the session's memory told when the hold was opened. When
	// policies change, the verdict is taken again with it.
	Context []byte `json:"-"`

	// RetryKey finds the hold when the same bytes come again. Keyed, kept in
	// the database and never in the log.
	RetryKey string `json:"-"`
}

// An Answer is one human's yes or no.
type Answer struct {
	By      string    `json:"by"`
	Epoch   int64     `json:"-"` // of his credentials then
	Yes     bool      `json:"yes"`
	Comment string    `json:"comment,omitempty"`
	At      time.Time `json:"at"`
}

// A Voter is an enrolled human who wants to answer.
type Voter struct {
	Name   string
	Epoch  int64 // of his credentials
	Groups []string
	// LiveAgents are the agent sessions that act for this human right now.
	// Whoever has one could be answering by its hand.
	LiveAgents []signalbox.SessionID
}

// Errors that say why an answer is refused.
var (
	ErrNotOpen   = errors.New("hold is not open")
	ErrOwn       = errors.New("nobody approves what he, or an agent acting for him, asked for")
	ErrTwice     = errors.New("this human has answered already")
	ErrLiveAgent = errors.New("an approver must not have a live agent session in production")
	ErrNoGroup   = errors.New("this human is in none of the groups that are asked")
	ErrPresence  = errors.New("this approval needs a proof of presence, and none can be given yet")
)

// MayAnswer reports why v may not give the answer at time now, or nil. A no is
// open to everybody enrolled who is not the requester's own side; a yes must
// besides come from a group that is asked, and not from somebody whose hand an
// agent could be using (promise P5). allowLiveAgents lifts the last rule where
// the operator decided so.
func (h Hold) MayAnswer(v Voter, yes bool, allowLiveAgents bool, now time.Time) error {
	switch {
	case h.Status != Open:
		return fmt.Errorf("hold %s is %s: %w", h.ID, h.Status, ErrNotOpen)
	case !now.Before(h.Expires):
		return fmt.Errorf("hold %s expired at %s: %w", h.ID, h.Expires.UTC().Format(time.RFC3339), ErrNotOpen)
	}
	for _, a := range h.Answers {
		if a.By == v.Name && a.Epoch == v.Epoch {
			return fmt.Errorf("%s, hold %s: %w", v.Name, h.ID, ErrTwice)
		}
	}
	if !yes {
		return nil // a no ends it, and the requester's own no is a withdrawal
	}
	if h.own(v.Name) {
		return fmt.Errorf("%s, hold %s of %s: %w", v.Name, h.ID, h.Actor, ErrOwn)
	}
	if h.Verdict.Presence {
		return fmt.Errorf("hold %s: %w", h.ID, ErrPresence)
	}
	if len(v.LiveAgents) > 0 && h.Environment.Production() &&
		!allowLiveAgents {
		return fmt.Errorf("%s has agent session %s, hold %s: %w (end it first: signalbox session end %s)", v.Name,
			v.LiveAgents[0], h.ID, ErrLiveAgent, v.LiveAgents[0])
	}
	asked, err := h.asks(v.Groups)
	if err != nil {
		return err
	}
	if !asked {
		return fmt.Errorf("%s, hold %s wants %v: %w", v.Name, h.ID, h.Verdict.Requires, ErrNoGroup)
	}
	return nil
}

// own reports whether a human stands on the requester's side: he asked, or the
// agent that acts for him did, or he was given the credentials of the session.
// The name that an agent goes by says nothing: whoever asks chooses it.
func (h Hold) own(name string) bool {
	return name == h.Actor.Person() || name == h.By
}

// asks reports whether any requirement counts a member of these groups.
func (h Hold) asks(groups []string) (bool, error) {
	for _, text := range h.Verdict.Requires {
		r, err := signalbox.ParseRequirement(text)
		if err != nil {
			return false, fmt.Errorf("hold %s: %w", h.ID, err)
		}
		for _, g := range r.Groups() {
			if slices.Contains(groups, g) {
				return true, nil
			}
		}
	}
	return false, nil
}

// Satisfied reports whether the answers so far meet every requirement, with
// the groups that the people are in now (membership is checked again at
// redemption, promise P5). groups gives a human's groups, and false for one
// who is no longer enrolled, or whose credentials are others than those of the
// epoch: what was said with revoked ones was perhaps not said by him. What is
// missing is told for people, as [signalbox.Requirement.Missing] does.
func (h Hold) Satisfied(groups func(name string, epoch int64) ([]string, bool)) (bool, string) {
	var yes []signalbox.Approver
	for _, a := range h.Answers {
		if !a.Yes || h.own(a.By) {
			continue
		}
		if g, ok := groups(a.By, a.Epoch); ok {
			yes = append(yes, signalbox.Approver{Name: a.By, Groups: g})
		}
	}
	if len(h.Verdict.Requires) == 0 && !h.Verdict.Confirm {
		return false, "the hold names no requirement that could be met" // fail closed
	}
	var missing []string
	for _, text := range h.Verdict.Requires {
		r, err := signalbox.ParseRequirement(text)
		if err != nil {
			return false, err.Error()
		}
		if !r.Satisfied(yes) {
			missing = append(missing, r.Missing(yes))
		}
	}
	if h.Verdict.Confirm {
		if _, ok := groups(h.Actor.Person(), h.ConfirmedEpoch); !ok || !h.Confirmed {
			missing = append(missing, "the requester's own confirmation")
		}
	}
	if len(missing) > 0 {
		return false, strings.Join(missing, " and ")
	}
	if h.Verdict.Presence {
		return false, ErrPresence.Error()
	}
	return true, ""
}

// Within reports why an impact measured now is more than what was approved, or
// "" when it is not. The approved impact is a ceiling: fewer is fine, more or
// unmeasured is not (promise P4).
func Within(approved, now signalbox.Impact) string {
	switch {
	case approved.Count == signalbox.CountUnknown:
		// Nobody could say how many; the approvers saw and accepted that. What
		// remains bound is the request, the target and the identity.
		return ""
	case now.Count == signalbox.CountUnknown:
		return fmt.Sprintf("approved for %d, and now it cannot be measured", approved.Count)
	case now.Count > approved.Count:
		return fmt.Sprintf("approved for %d, now it would touch %d", approved.Count, now.Count)
	case now.Dependants > approved.Dependants:
		return fmt.Sprintf("approved with %d dependants, now there are %d", approved.Dependants, now.Dependants)
	case approved.Reversible && !now.Reversible:
		return "approved as reversible, and now it is not"
	case now.Open && !approved.Open:
		return "code of unknown effect would run now, and none when it was approved"
	case len(approved.Shares) > 0 && !approved.Open:
		return withinShares(approved, now)
	}
	return ""
}

// withinShares reports which resource would be touched more than was approved.
func withinShares(approved, now signalbox.Impact) string {
	limit := shares(approved)
	counts := shares(now)
	for _, s := range now.Shares {
		most, shown := limit[s.Resource]
		switch n := counts[s.Resource]; {
		case !shown:
			return fmt.Sprintf("%s would be touched now, and was not shown", s.Resource)
		case most == signalbox.CountUnknown:
		case n == signalbox.CountUnknown:
			return fmt.Sprintf("approved for %d of %s, and now it cannot be measured", most, s.Resource)
		case n > most:
			return fmt.Sprintf("approved for %d of %s, now it would touch %d", most, s.Resource, n)
		}
	}
	return ""
}

// shares adds up an impact by resource. Unknown and anything is unknown.
func shares(i signalbox.Impact) map[string]int64 {
	all := make(map[string]int64)
	for _, s := range i.Shares {
		if n := all[s.Resource]; s.Count == signalbox.CountUnknown || n == signalbox.CountUnknown {
			all[s.Resource] = signalbox.CountUnknown
			continue
		}
		all[s.Resource] += s.Count
	}
	return all
}
