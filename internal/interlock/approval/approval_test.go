package approval

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// hold is one of an agent for alice in production that wants two of sre.
func hold() Hold {
	return Hold{
		ID: "H1", Actor: signalbox.Actor{Kind: signalbox.Agent, Name: "kiro", For: "alice"},
		Environment: signalbox.Production, Status: Open, Expires: now.Add(time.Hour),
		Verdict: signalbox.Verdict{Decision: signalbox.Hold, Requires: []string{"2 of sre"}},
	}
}

func TestP5WhoMayAnswer(t *testing.T) {
	sre := []string{"sre"}
	cases := map[string]struct {
		change func(*Hold)
		voter  Voter
		no     bool
		lax    bool
		want   error
	}{
		"a member":                    {voter: Voter{Name: "bob", Groups: sre}},
		"the agent's human":           {voter: Voter{Name: "alice", Groups: sre}, want: ErrOwn},
		"a human of the agent's name": {voter: Voter{Name: "kiro", Groups: sre}},
		"the human of his own request": {change: func(h *Hold) {
			h.Actor = signalbox.Actor{Kind: signalbox.Human,
				Name: "bob"}
		}, voter: Voter{Name: "bob", Groups: sre}, want: ErrOwn},
		"who opened an automation's session": {change: func(h *Hold) {
			h.Actor, h.By = signalbox.Actor{Kind: signalbox.Automation, Name: "ci"}, "bob"
		}, voter: Voter{Name: "bob", Groups: sre}, want: ErrOwn},
		"nobody's member":           {voter: Voter{Name: "eve"}, want: ErrNoGroup},
		"a member of another group": {voter: Voter{Name: "eve", Groups: []string{"dba"}}, want: ErrNoGroup},
		"a no from anybody":         {voter: Voter{Name: "eve"}, no: true},
		"the requester's own no":    {voter: Voter{Name: "alice"}, no: true},
		"twice": {change: func(h *Hold) { h.Answers = []Answer{{By: "bob", Yes: true}} },
			voter: Voter{Name: "bob", Groups: sre}, want: ErrTwice},
		"a no after a yes": {change: func(h *Hold) { h.Answers = []Answer{{By: "bob", Yes: true}} },
			voter: Voter{Name: "bob", Groups: sre}, no: true, want: ErrTwice},
		"too late": {change: func(h *Hold) { h.Expires = now },
			voter: Voter{Name: "bob", Groups: sre}, want: ErrNotOpen},
		"already approved": {change: func(h *Hold) { h.Status = Approved },
			voter: Voter{Name: "bob", Groups: sre}, want: ErrNotOpen},
		"withdrawn": {change: func(h *Hold) { h.Status = Withdrawn },
			voter: Voter{Name: "bob", Groups: sre}, want: ErrNotOpen},
		"with a live agent": {voter: Voter{Name: "bob", Groups: sre,
			LiveAgents: []signalbox.SessionID{"s"}}, want: ErrLiveAgent},
		"with a live agent, allowed": {voter: Voter{Name: "bob", Groups: sre,
			LiveAgents: []signalbox.SessionID{"s"}}, lax: true},
		"with a live agent, in staging": {change: func(h *Hold) { h.Environment = signalbox.Staging },
			voter: Voter{Name: "bob", Groups: sre, LiveAgents: []signalbox.SessionID{"s"}}},
		"with a live agent, where unsure": {change: func(h *Hold) { h.Environment = "moon" },
			voter: Voter{Name: "bob", Groups: sre, LiveAgents: []signalbox.SessionID{"s"}}, want: ErrLiveAgent},
		"presence, which nobody can give": {change: func(h *Hold) { h.Verdict.Presence = true },
			voter: Voter{Name: "bob", Groups: sre}, want: ErrPresence},
	}
	for name, c := range cases {
		h := hold()
		if c.change != nil {
			c.change(&h)
		}
		if err := h.MayAnswer(c.voter, !c.no, c.lax, now); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestP5SatisfiedByDistinctMembersAsTheyAreNow(t *testing.T) {
	everyone := map[string][]string{"alice": {"sre"}, "bob": {"sre"}, "carol": {"dba", "sre"}, "dan": {"dba"},
		"kiro": {"sre"}}
	groups := func(name string, epoch int64) ([]string, bool) {
		g, ok := everyone[name]
		return g, ok && epoch == 0
	}
	yes := func(names ...string) (a []Answer) {
		for _, n := range names {
			a = append(a, Answer{By: n, Yes: true})
		}
		return a
	}
	cases := map[string]struct {
		requires []string
		confirm  bool
		given    bool // the confirmation
		answers  []Answer
		want     bool
	}{
		"two of sre": {requires: []string{"2 of sre"}, answers: yes("bob", "carol"),
			want: true},
		"one is not two":                     {requires: []string{"2 of sre"}, answers: yes("bob")},
		"the same one twice":                 {requires: []string{"2 of sre"}, answers: yes("bob", "bob")},
		"the requester does not count":       {requires: []string{"2 of sre"}, answers: yes("alice", "bob")},
		"a human of the agent's name counts": {requires: []string{"2 of sre"}, answers: yes("kiro", "bob"), want: true},
		"nor what a thief said": {requires: []string{"1 of sre"},
			answers: []Answer{{By: "bob", Yes: true, Epoch: -1}}},
		"nor one who has left": {requires: []string{"2 of sre"}, answers: yes("zoe", "bob")},
		"nor a no":             {requires: []string{"1 of sre"}, answers: []Answer{{By: "bob"}}},
		"and takes two people": {requires: []string{"1 of sre and 1 of dba"}, answers: yes("carol")},
		"and finds who can do what": {requires: []string{"1 of sre and 1 of dba"},
			answers: yes("carol", "bob"), want: true},
		"or": {requires: []string{"2 of sre or 1 of dba"}, answers: yes("dan"),
			want: true},
		"every requirement of several": {requires: []string{"1 of sre", "1 of dba"}, answers: yes("bob")},
		"confirmation missing":         {requires: []string{"1 of sre"}, confirm: true, answers: yes("bob")},
		"confirmation given": {requires: []string{"1 of sre"}, confirm: true, given: true,
			answers: yes("bob"), want: true},
		"confirmation is never an approval":  {requires: []string{"1 of sre"}, confirm: true, given: true},
		"a hold that asks for nothing":       {answers: yes("bob", "carol")},
		"a requirement that cannot be read":  {requires: []string{"two of sre"}, answers: yes("bob", "carol")},
		"a requirement that cannot be empty": {requires: []string{""}, answers: yes("bob", "carol")},
	}
	for name, c := range cases {
		h := hold()
		h.Verdict.Requires, h.Verdict.Confirm, h.Confirmed, h.Answers = c.requires, c.confirm, c.given, c.answers
		got, missing := h.Satisfied(groups)
		if got != c.want || got == (missing != "") {
			t.Errorf("%s: got %v (missing %q), want %v", name, got, missing, c.want)
		}
	}
}

func TestWhatIsStillMissing(t *testing.T) {
	groups := func(string, int64) ([]string, bool) { return []string{"sre"}, true }
	h := hold()
	h.Verdict.Requires, h.Verdict.Confirm = []string{"2 of sre", "1 of dba"}, true
	h.Answers = []Answer{{By: "alice", Yes: true}, {By: "bob", Yes: true}} // alice asked, and does not count
	_, missing := h.Satisfied(groups)
	if want := "1 more of sre (2 of sre) and 1 of dba and the requester's own confirmation"; missing != want {
		t.Errorf("missing %q, want %q", missing, want)
	}
}

func TestP4ImpactIsACeiling(t *testing.T) {
	approved := signalbox.Impact{Count: 10, Dependants: 2, Reversible: true, Measured: true}
	cases := map[string]struct {
		now  signalbox.Impact
		dead string
	}{
		"the same":         {approved, ""},
		"fewer":            {signalbox.Impact{Count: 9, Reversible: true}, ""},
		"more":             {signalbox.Impact{Count: 11, Dependants: 2, Reversible: true}, "11"},
		"more dependants":  {signalbox.Impact{Count: 10, Dependants: 3, Reversible: true}, "3"},
		"not measurable":   {signalbox.Impact{Count: signalbox.CountUnknown, Reversible: true}, "cannot be measured"},
		"not undoable now": {signalbox.Impact{Count: 10, Dependants: 2}, "reversible"},
	}
	for name, c := range cases {
		if got := Within(approved, c.now); (got == "") != (c.dead == "") || !strings.Contains(got, c.dead) {
			t.Errorf("%s: got %q, want %q", name, got, c.dead)
		}
	}
	if got := Within(signalbox.Impact{Count: signalbox.CountUnknown}, signalbox.Impact{Count: 1 << 40}); got != "" {
		t.Errorf("approved without a count: %q", got)
	}
}
