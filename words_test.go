package signalbox

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestZeroValuesAreTheCautiousOnes(t *testing.T) {
	if v := (Verdict{}).And(Verdict{Decision: Allow}); v.Decision != Deny {
		t.Errorf("the zero verdict decides %q", v.Decision)
	}
	if s := (Impact{}).Reach(); s != ScopeUnknown {
		t.Errorf("the zero scope reads %q", s)
	}
	if g := Verb("improve").Gravity(); g <= Replace.Gravity() {
		t.Errorf("an unknown verb has gravity %d", g)
	}
	if r := (Requirement{}); r.Satisfied([]Approver{{Name: "bob", Groups: []string{"sre"}}}) {
		t.Error("the zero requirement is satisfied")
	}
	if err := (Actor{}).Validate(); err == nil {
		t.Error("the zero actor is valid")
	}
	if err := (Session{}).Usable("g", time.Now()); err == nil {
		t.Error("the zero session is usable")
	}
}

// Promise P3: the conjunction of all requirements of both, the earliest expiry.
func TestP3VerdictsJoinToTheStricter(t *testing.T) {
	allow := Verdict{Decision: Allow, Policies: []string{"a"}}
	two := Verdict{Decision: Hold, Policies: []string{"p"}, Requires: []string{"2 of sre"}, Expires: time.Hour,
		Reason: "one"}
	dba := Verdict{Decision: Hold, Policies: []string{"q"}, Requires: []string{"1 of dba"}, Expires: time.Minute,
		Confirm: true, Reason: "two"}
	no := Verdict{Decision: Deny, Policies: []string{"d"}, Requires: []string{"1 of sre"}}

	both := two.And(dba)
	if both.Decision != Hold || !slices.Equal(both.Requires, []string{"1 of dba", "2 of sre"}) ||
		!slices.Equal(both.Policies, []string{"p", "q"}) || both.Expires != time.Minute || !both.Confirm ||
		both.Reason != "one; two" {
		t.Errorf("two holds join to %+v", both)
	}
	for _, v := range []Verdict{allow, two, dba, no, {}, {Decision: "maybe"}} {
		for _, o := range []Verdict{allow, two, dba, no, {}, {Decision: "maybe"}} {
			j, k := v.And(o), o.And(v)
			if !j.SameRequirements(k) {
				t.Errorf("And depends on the order: %+v, %+v", j, k)
			}
			if j.Decision.strictness() != max(v.Decision.strictness(), o.Decision.strictness()) {
				t.Errorf("%+v and %+v join to %+v", v, o, j)
			}
			if j.Decision == Deny && len(j.Requires) > 0 {
				t.Errorf("a denial that approvals could lift: %+v", j)
			}
		}
	}
}

func TestGravestNamesARequest(t *testing.T) {
	read := Action{Verb: Read, Impact: Impact{Scope: ScopeAll}}
	one := Action{Verb: Delete, Impact: Impact{Scope: ScopeOne}}
	all := Action{Verb: Delete, Impact: Impact{Scope: ScopeAll}}
	odd := Action{Verb: "improve"}
	for _, c := range []struct {
		in   []Action
		want int
	}{
		{[]Action{read}, 0},
		{[]Action{read, one}, 1},
		{[]Action{one, all, read}, 1},
		{[]Action{all, one}, 0},
		{[]Action{all, odd}, 1},
		{[]Action{read, Worst("?", "")}, 1},
	} {
		if got := Gravest(c.in); got != c.want {
			t.Errorf("Gravest(%v) = %d, want %d", c.in, got, c.want)
		}
	}
}

func TestNamesThatCouldDeceiveAreRefused(t *testing.T) {
	for _, good := range []string{"alice", "a", "ci-2", "bob@example.com", strings.Repeat("x", 64)} {
		if err := ValidName("human", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "-rf", "a b", "al\u0456ce", "a\u202eb", "a\nb", "a/b", "a_\x00",
		strings.Repeat("x", 65)} {
		if err := ValidName("human", bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestActorKnowsWhoseHandItIs(t *testing.T) {
	for _, c := range []struct {
		a      Actor
		ok     bool
		person string
	}{
		{Actor{Human, "alice", ""}, true, "alice"},
		{Actor{Agent, "kiro", "alice"}, true, "alice"},
		{Actor{Automation, "ci", ""}, true, ""},
		{Actor{Agent, "kiro", ""}, false, ""},
		{Actor{Human, "alice", "bob"}, false, "alice"},
		{Actor{Automation, "ci", "bob"}, false, ""},
		{Actor{"robot", "r", ""}, false, ""},
	} {
		if err := c.a.Validate(); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.a, err)
		}
		if got := c.a.Person(); got != c.person {
			t.Errorf("%+v is the hand of %q, want %q", c.a, got, c.person)
		}
	}
}

func TestStateDiffNamesWhatChanged(t *testing.T) {
	a := State{{"oid", "1"}, {"owner", "app"}}
	for _, c := range []struct {
		b    State
		want string
	}{
		{State{{"oid", "1"}, {"owner", "app"}}, ""},
		{State{{"oid", "2"}, {"owner", "app"}}, "oid"},
		{State{{"oid", "1"}}, "owner is gone"},
		{State{{"oid", "1"}, {"owner", "app"}, {"view", "v"}}, "view is new"},
		{nil, "oid is gone"},
	} {
		got := a.Diff(c.b)
		if (got == "") != a.Equal(c.b) || !strings.HasPrefix(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("Diff(%v) = %q, want %q", c.b, got, c.want)
		}
	}
}

func TestDigestText(t *testing.T) {
	d := Digest{1, 2, 0xff}
	text, _ := d.MarshalText()
	var back Digest
	if err := back.UnmarshalText(text); err != nil || back != d || len(d.Short()) != 12 {
		t.Errorf("%s, %v", text, err)
	}
	for _, bad := range []string{"", "00", strings.Repeat("g", 64), strings.Repeat("0", 66)} {
		if err := back.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
