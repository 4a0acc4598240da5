package proof_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/proof"
	"github.com/signalbox-dev/signalbox/proof/prooftest"
)

var (
	policyDigest  = proof.CanonicalDigest("test/policy")
	requestDigest = proof.CanonicalDigest("test/request")
	claude        = signalbox.Actor{Kind: signalbox.Agent, Name: "claude", For: "alice"}
	alice         = signalbox.Actor{Kind: signalbox.Human, Name: "alice"}
)

// A story is a log of one approved DROP TABLE, told step by step so that a test
// can change one step, leave it out or put another before it.
type story struct {
	steps []step
}

type step struct {
	name string
	tell func(l *prooftest.Log)
}

func (s *story) add(name string, tell func(l *prooftest.Log)) {
	s.steps = append(s.steps, step{name, tell})
}

// instead replaces a step; nil leaves it out.
func (s *story) instead(name string, tell func(l *prooftest.Log)) {
	i := s.find(name)
	if tell == nil {
		s.steps = slices.Delete(s.steps, i, i+1)
		return
	}
	s.steps[i].tell = tell
}

// before puts another step before a step.
func (s *story) before(name string, tell func(l *prooftest.Log)) {
	s.steps = slices.Insert(s.steps, s.find(name), step{"inserted", tell})
}

func (s *story) find(name string) int {
	i := slices.IndexFunc(s.steps, func(x step) bool { return x.name == name })
	if i < 0 {
		panic("no step " + name)
	}
	return i
}

func add(b proof.Body) func(*prooftest.Log) { return func(l *prooftest.Log) { l.Add(b, nil) } }

func dropActions() []proof.Action {
	return []proof.Action{{Verb: signalbox.Delete, Native: "DROP TABLE",
		Impact: proof.Impact{Count: 1200, Scope: signalbox.ScopeAll, Measured: true}}}
}

func holdOf(l *prooftest.Log) proof.Hold {
	return proof.Hold{
		Hold: "h-1", Session: "s-1", Actor: claude, Gate: "orders-db", Target: "postgres:orders",
		Environment: signalbox.Production,
		Actions:     dropActions(), Verdict: proof.Verdict{Decision: signalbox.Hold, Policies: []string{"destructive"},
			Requires: []string{"2 of sre"}},
		Policy: policyDigest, Digest: requestDigest, Expires: proof.At(l.Now.Add(time.Hour)),
	}
}

func yes(by string) proof.Approval {
	return proof.Approval{Hold: "h-1", By: by, Answer: proof.Yes, Digest: requestDigest}
}

func dropIntent() proof.Intent {
	return proof.Intent{
		Session: "s-1", Actor: claude, Gate: "orders-db", Target: "postgres:orders", Environment: signalbox.Production,
		Actions: dropActions(), Verdict: proof.Verdict{Decision: signalbox.Hold, Policies: []string{"destructive"},
			Requires: []string{"2 of sre"}},
		Policy: policyDigest, Hold: "h-1", Digest: requestDigest,
	}
}

func allowed() proof.Intent {
	return proof.Intent{
		Session: "s-1", Actor: claude, Gate: "orders-db", Target: "postgres:orders", Environment: signalbox.Production,
		Actions: []proof.Action{{Verb: signalbox.Update, Native: "UPDATE",
			Impact: proof.Impact{Count: 1, Scope: signalbox.ScopeOne}}},
		Verdict: proof.Verdict{Decision: signalbox.Allow}, Policy: policyDigest, Digest: requestDigest,
	}
}

// run adds an intent and its outcome.
func run(in proof.Intent, result signalbox.Result) func(*prooftest.Log) {
	return func(l *prooftest.Log) {
		id := l.Add(in, nil)
		l.Add(proof.Outcome{Intent: id, Result: result}, nil)
	}
}

func goodStory() *story {
	s := new(story)
	s.add("start", func(l *prooftest.Log) { l.Add(proof.Start{Origin: l.Origin, Key: l.Key, Version: "v0.0.0"}, nil) })
	s.add("policy", add(proof.Policy{Version: policyDigest, By: "alice", Status: "active"}))
	for _, name := range []string{"alice", "bob", "carol"} {
		s.add("user "+name, add(proof.User{Name: name, Groups: []string{"sre"}, By: "alice", Op: "add"}))
	}
	s.add("user dave", add(proof.User{Name: "dave", Groups: []string{"dba"}, By: "alice", Op: "add"}))
	s.add("session", func(l *prooftest.Log) {
		l.Add(proof.SessionStart{Session: "s-1", Actor: claude, Gates: []string{"orders-db"},
			Expires: proof.At(l.Now.Add(8 * time.Hour))}, nil)
	})
	s.add("hold", func(l *prooftest.Log) { l.Add(holdOf(l), nil) })
	s.add("bob", add(yes("bob")))
	s.add("carol", add(yes("carol")))
	s.add("intent", run(dropIntent(), signalbox.Done))
	s.add("more", run(allowed(), signalbox.Done))
	s.add("end", add(proof.SessionEnd{Session: "s-1", By: "alice", Reason: "ended"}))
	return s
}

func verify(t *testing.T, s *story, opt proof.Options) proof.Report {
	t.Helper()
	l := prooftest.New(t, "log.example.org/2026")
	for _, step := range s.steps {
		step.tell(l)
	}
	dir := t.TempDir()
	l.Write(dir)
	r, err := proof.VerifyLog(t.Context(), proof.Folder(os.DirFS(dir)), l.Trust(), opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGoodStoryHasNoFindings(t *testing.T) {
	r := verify(t, goodStory(), proof.Options{})
	if len(r.Findings) != 0 || !r.OK() || r.OpenCount != 0 || r.Unknown != 0 {
		t.Errorf("%+v", r)
	}
	want := map[proof.Kind]int64{"start": 1, "policy": 1, "user": 4, "session.start": 1, "session.end": 1, "hold": 1,
		"approval": 2, "intent": 2, "outcome": 2}
	if diff := cmp.Diff(want, r.Entries); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// Each case breaks one promise in the good story, and is found as such.
func TestBrokenPromisesAreFound(t *testing.T) {
	change := func(f func(*proof.Intent)) func(*prooftest.Log) {
		in := dropIntent()
		f(&in)
		return run(in, signalbox.Done)
	}
	changeHold := func(f func(*proof.Hold)) func(*prooftest.Log) {
		return func(l *prooftest.Log) {
			h := holdOf(l)
			f(&h)
			l.Add(h, nil)
		}
	}
	later := func(d time.Duration) func(*prooftest.Log) { return func(l *prooftest.Log) { l.Now = l.Now.Add(d) } }
	for _, c := range []struct {
		name    string
		promise string
		text    string
		edit    func(s *story)
	}{
		{"outcome of nothing", "P2", "not in the log before it",
			func(s *story) { s.before("end", add(proof.Outcome{Intent: "01JDCPW5E0000000000000000A"})) }},
		{"second outcome", "P2", "second outcome", func(s *story) {
			s.before("end", func(l *prooftest.Log) {
				id := l.Add(allowed(), nil)
				l.Add(proof.Outcome{Intent: id, Result: signalbox.Done}, nil)
				l.Add(proof.Outcome{Intent: id, Result: signalbox.Failed}, nil)
			})
		}},
		{"outcome of no intent", "P2", "not an intent", func(s *story) {
			s.before("end", func(l *prooftest.Log) {
				id := l.Add(proof.Recovery{Replica: "r"}, nil)
				l.Add(proof.Outcome{Intent: id, Result: signalbox.Done}, nil)
			})
		}},
		{"guessed result", "P2", "none of done", func(s *story) { s.before("end", run(allowed(), "probably")) }},
		{"resolution of what was done", "P2", "not unknown", func(s *story) {
			s.before("end", func(l *prooftest.Log) {
				id := l.Add(allowed(), nil)
				l.Add(proof.Outcome{Intent: id, Result: signalbox.Done}, nil)
				l.Add(proof.Resolution{Intent: id, Result: signalbox.Failed}, nil)
			})
		}},
		{"two resolutions", "P2", "not unknown", func(s *story) {
			s.before("end", func(l *prooftest.Log) {
				id := l.Add(allowed(), nil)
				l.Add(proof.Outcome{Intent: id, Result: signalbox.ResultUnknown}, nil)
				l.Add(proof.Resolution{Intent: id, Result: signalbox.Failed}, nil)
				l.Add(proof.Resolution{Intent: id, Result: signalbox.Done}, nil)
			})
		}},

		{"hold needed", "P4", "names none", func(s *story) {
			s.instead("intent",
				change(func(in *proof.Intent) { in.Hold = "" }))
		}},
		{"hold unknown", "P4", "not in the log before it",
			func(s *story) { s.instead("intent", change(func(in *proof.Intent) { in.Hold = "h-2" })) }},
		{"permit used twice", "P4", "used by intent",
			func(s *story) { s.before("end", run(dropIntent(), signalbox.Done)) }},
		{"another request", "P4", "approved", func(s *story) {
			s.instead("intent", change(func(in *proof.Intent) { in.Digest = proof.CanonicalDigest("other") }))
		}},
		{"another target", "P4", "is for postgres:orders",
			func(s *story) { s.instead("intent", change(func(in *proof.Intent) { in.Target = "postgres:cards" })) }},
		{"another session", "P4", "session s-2", func(s *story) {
			s.before("intent", func(l *prooftest.Log) {
				l.Add(proof.SessionStart{Session: "s-2", Actor: claude, Expires: proof.At(l.Now.Add(time.Hour))}, nil)
			})
			s.instead("intent", change(func(in *proof.Intent) { in.Session = "s-2" }))
		}},
		{"above the ceiling", "P4", "touches 1201", func(s *story) {
			s.instead("intent", change(func(in *proof.Intent) { in.Actions[0].Impact.Count = 1201 }))
		}},
		{"more dependants", "P4", "3 dependants", func(s *story) {
			s.instead("intent", change(func(in *proof.Intent) { in.Actions[0].Impact.Dependants = 3 }))
		}},
		{"other requirements now", "P4", "policy asks for", func(s *story) {
			s.instead("intent", change(func(in *proof.Intent) { in.Verdict.Requires = []string{"1 of sre"} }))
		}},
		{"expired by time", "P4", "after it expired", func(s *story) { s.before("intent", later(61*time.Minute)) }},
		{"permit expired by time", "P4", "after it expired", func(s *story) {
			s.instead("carol", func(l *prooftest.Log) {
				a := yes("carol")
				a.Expires = proof.At(l.Now.Add(15 * time.Minute))
				l.Add(a, nil)
			})
			s.before("intent", later(16*time.Minute))
		}},
		{"expired", "P4", "expired", func(s *story) { s.before("intent", add(proof.Expiry{Hold: "h-1"})) }},
		{"withdrawn", "P4", "withdrawn by alice",
			func(s *story) { s.before("intent", add(proof.Withdrawal{Hold: "h-1", By: "alice"})) }},
		{"dead", "P4", "because of its state",
			func(s *story) { s.before("intent", add(proof.Dead{Hold: "h-1", Reason: "state"})) }},
		{"a no", "P4", "refused by dave", func(s *story) {
			s.before("intent", add(proof.Approval{Hold: "h-1", By: "dave", Answer: proof.No, Digest: requestDigest}))
		}},
		{"opened twice", "P4", "opened before",
			func(s *story) { s.before("bob", func(l *prooftest.Log) { l.Add(holdOf(l), nil) }) }},
		{"bound to nothing", "P4", "bound to nothing", func(s *story) {
			s.instead("hold", changeHold(func(h *proof.Hold) { h.Digest = signalbox.Digest{} }))
		}},
		{"approval of another digest", "P4", "carol approves", func(s *story) {
			a := yes("carol")
			a.Digest = proof.CanonicalDigest("other")
			s.instead("carol", add(a))
		}},
		{"late approval", "P4", "after it expired", func(s *story) {
			s.instead("hold", changeHold(func(h *proof.Hold) { h.Expires = 1 }))
		}},
		{"under a policy that is not active", "P4", "is active", func(s *story) {
			s.before("more", add(proof.Policy{Version: proof.CanonicalDigest("new"), By: "bob", Status: "active"}))
		}},

		{"too few", "P5", "is not 2 of sre", func(s *story) { s.instead("carol", nil) }},
		{"the same human twice", "P5", "is not 2 of sre", func(s *story) { s.instead("carol", add(yes("bob"))) }},
		{"human of the agent", "P5", "alice approves", func(s *story) { s.instead("carol", add(yes("alice"))) }},
		{"the agent itself", "P5", "claude approves", func(s *story) { s.instead("carol", add(yes("claude"))) }},
		{"not enrolled", "P5", "mallory approves", func(s *story) { s.instead("carol", add(yes("mallory"))) }},
		{"of another group", "P5", "is not 2 of sre", func(s *story) { s.instead("carol", add(yes("dave"))) }},
		{"removed before redemption", "P5", "is not 2 of sre",
			func(s *story) { s.before("intent", add(proof.User{Name: "carol", By: "alice", Op: "remove"})) }},
		{"left the group before redemption", "P5", "is not 2 of sre", func(s *story) {
			s.before("intent", add(proof.User{Name: "carol", Groups: []string{"dba"}, By: "alice", Op: "change"}))
		}},
		{"no presence", "P5", "without proof of presence", func(s *story) {
			s.instead("hold", changeHold(func(h *proof.Hold) { h.Verdict.Presence = true }))
		}},
		{"no confirmation", "P5", "without the confirmation of alice", func(s *story) {
			s.instead("hold", changeHold(func(h *proof.Hold) { h.Verdict.Confirm = true }))
		}},
		{"confirmation of another", "P5", "bob confirms",
			func(s *story) { s.before("intent", add(proof.Confirmation{Hold: "h-1", By: "bob"})) }},
		{"requires nobody", "P5", "required nobody", func(s *story) {
			s.instead("hold", changeHold(func(h *proof.Hold) { h.Verdict.Requires = nil }))
		}},
		{"requires what cannot be read", "P5", "requirement", func(s *story) {
			s.instead("hold", changeHold(func(h *proof.Hold) { h.Verdict.Requires = []string{"everybody"} }))
		}},
		{"session never started", "P5", "never started", func(s *story) { s.instead("session", nil) }},
		{"session ended", "P5", "had ended", func(s *story) {
			s.before("more", add(proof.SessionEnd{Session: "s-1", By: "alice", Reason: "revoked"}))
		}},
		{"session expired", "P5", "had expired", func(s *story) { s.before("more", later(9*time.Hour)) }},
		{"session of another", "P5", "acts as", func(s *story) {
			in := allowed()
			in.Actor.For = "bob"
			s.instead("more", run(in, signalbox.Done))
		}},
		{"session at another gate", "P5", "may not use gate", func(s *story) {
			in := allowed()
			in.Gate = "cards-db"
			s.instead("more", run(in, signalbox.Done))
		}},
		{"agent at Signalbox itself", "P5", "may not use gate", func(s *story) {
			in := allowed()
			in.Gate = proof.OwnGate
			s.instead("more", run(in, signalbox.Done))
		}},

		{"executed though denied", "P6", "verdict \"deny\"", func(s *story) {
			in := allowed()
			in.Verdict.Decision = signalbox.Deny
			s.instead("more", run(in, signalbox.Done))
		}},
		{"executed without verdict", "P6", "verdict \"\"", func(s *story) {
			in := allowed()
			in.Verdict = proof.Verdict{}
			s.instead("more", run(in, signalbox.Done))
		}},

		{"freeze", "P7", "under freeze f-1", func(s *story) {
			s.before("more", add(proof.FreezeStart{Freeze: "f-1",
				Environments: []signalbox.Environment{signalbox.Production}, By: "bob"}))
		}},
		{"freeze of everything", "P7", "under freeze f-1",
			func(s *story) { s.before("more", add(proof.FreezeStart{Freeze: "f-1", By: "bob"})) }},
		{"break-glass by an agent", "P7", "goes through", func(s *story) {
			s.before("more", func(l *prooftest.Log) {
				l.Add(proof.BreakGlassStart{ID: "b-1", By: "bob", Expires: proof.At(l.Now.Add(time.Hour))}, nil)
			})
			in := allowed()
			in.BreakGlass = "b-1"
			s.instead("more", run(in, signalbox.Done))
		}},
		{"break-glass that is not open", "P7", "is not open", func(s *story) {
			in := allowed()
			in.BreakGlass = "b-1"
			s.instead("more", run(in, signalbox.Done))
		}},

		{"halt of the session", "P9", `session "s-1" is halted`,
			func(s *story) { s.before("more", add(proof.Halt{Scope: proof.ScopeSession, Name: "s-1", By: "bob"})) }},
		{"halt of the agent", "P9", `actor "claude" is halted`,
			func(s *story) { s.before("more", add(proof.Halt{Scope: proof.ScopeActor, Name: "claude", By: "bob"})) }},
		{"halt of the human", "P9", `actor "alice" is halted`,
			func(s *story) { s.before("more", add(proof.Halt{Scope: proof.ScopeActor, Name: "alice", By: "bob"})) }},
		{"halt of the gate", "P9", `gate "orders-db" is halted`, func(s *story) {
			s.before("more", add(proof.Halt{Scope: proof.ScopeGate, Name: "orders-db", By: "bob"}))
		}},
		{"halt of everything", "P9", "everything is halted",
			func(s *story) { s.before("more", add(proof.Halt{Scope: proof.ScopeAll, By: "bob"})) }},
		{"reads long after a halt", "P9", "everything is halted", func(s *story) {
			s.before("end", func(l *prooftest.Log) {
				l.Add(proof.Halt{Scope: proof.ScopeAll, By: "bob"}, nil)
				l.Now = l.Now.Add(2 * time.Second)
				l.Add(proof.Reads{Session: "s-1", Actor: claude, Gate: "orders-db", From: proof.At(l.Now),
					To: proof.At(l.Now)}, nil)
			})
		}},
		{"resume of what was not halted", "P9", "was not halted",
			func(s *story) { s.before("end", add(proof.Resume{Scope: proof.ScopeAll, By: "bob"})) }},

		{"not an entry", "P10", "decode entry",
			func(s *story) { s.before("end", func(l *prooftest.Log) { l.AddLeaf([]byte("hello")) }) }},
		{"erased later entry", "P11", "does not come before",
			func(s *story) { s.before("end", add(proof.Erase{Index: 999, By: "bob"})) }},

		{"observation of nobody", "", "of no source", func(s *story) {
			s.before("end", func(l *prooftest.Log) { l.Add(proof.Observation{Seen: proof.At(l.Now)}, nil) })
		}},
		{"observation from the future", "", "after it was recorded", func(s *story) {
			s.before("end", func(l *prooftest.Log) {
				l.Add(proof.Observation{Source: "hook", Seen: proof.At(l.Now.Add(time.Hour))}, nil)
			})
		}},
		{"observation in no session", "", "never started", func(s *story) {
			s.before("end", func(l *prooftest.Log) {
				l.Add(proof.Observation{Source: "hook", Seen: proof.At(l.Now), Session: "s-9"}, nil)
			})
		}},
		{"observation of another", "", "in the session of", func(s *story) {
			other := signalbox.Actor{Kind: signalbox.Human, Name: "bob"}
			s.before("end", func(l *prooftest.Log) {
				l.Add(proof.Observation{Source: "hook", Seen: proof.At(l.Now), Session: "s-1", Actor: other}, nil)
			})
		}},
		{"observation of no intent", "", "which is not in the log before it", func(s *story) {
			s.before("end", func(l *prooftest.Log) {
				l.Add(proof.Observation{Source: "log", Seen: proof.At(l.Now), Intent: "01JDCPW5E0000000000000000Z"},
					nil)
			})
		}},
		{"direction that is not known", "", "direction \"sideways\"", func(s *story) {
			in := allowed()
			in.Direction = "sideways"
			s.instead("more", run(in, signalbox.Done))
		}},
		{"direction that is left out", "", "direction \"forward\"", func(s *story) {
			in := allowed()
			in.Direction = "forward"
			s.instead("more", run(in, signalbox.Done))
		}},
		{"part of nothing", "", "not named", func(s *story) {
			in := allowed()
			in.Parent = proof.Parent{Stage: "canary"}
			s.instead("more", run(in, signalbox.Done))
		}},
		{"id used twice", "", "was used before", func(s *story) {
			s.before("end", func(l *prooftest.Log) { l.AddLeaf(l.Leaf(2)); l.Now = l.Now.Add(time.Second) })
		}},
		{"no start", "", `of type "policy"`, func(s *story) { s.instead("start", nil) }},
		{"started twice", "", "starts once", func(s *story) {
			s.before("end", func(l *prooftest.Log) { l.Add(proof.Start{Origin: l.Origin, Key: l.Key}, nil) })
		}},
		{"started as another", "", "was started as", func(s *story) {
			s.instead("start", func(l *prooftest.Log) { l.Add(proof.Start{Origin: "other", Key: l.Key}, nil) })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := goodStory()
			c.edit(s)
			r := verify(t, s, proof.Options{})
			if r.OK() {
				t.Errorf("no violation found; findings: %v", r.Findings)
			}
			if !slices.ContainsFunc(r.Findings, func(f proof.Finding) bool {
				return f.Severity == proof.Violation && f.Promise == c.promise && strings.Contains(f.Text, c.text)
			}) {
				t.Errorf("no violation of %q with %q among %v", c.promise, c.text, r.Findings)
			}
		})
	}
}

// The order is the log's, not the clocks': a process that stalled, or whose clock
// was wrong, breaks no promise. The auditor is told.
func TestClocksInDisorderAreAWarning(t *testing.T) {
	s := goodStory()
	s.before("end", func(l *prooftest.Log) { l.Now = l.Now.Add(-time.Hour) })
	r := verify(t, s, proof.Options{})
	if !r.OK() || !slices.ContainsFunc(r.Findings, func(f proof.Finding) bool {
		return f.Severity == proof.Warning && strings.Contains(f.Text, "is before that of the entry before it")
	}) {
		t.Errorf("findings: %v", r.Findings)
	}
}

// What looks alike and is in order.
func TestKeptPromisesAreNotFound(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(s *story)
	}{
		{"unknown, then resolved, then retried", func(s *story) {
			s.before("end", func(l *prooftest.Log) {
				id := l.Add(allowed(), nil)
				l.Add(proof.Outcome{Intent: id, Result: signalbox.ResultUnknown}, nil)
				in := allowed()
				in.Retries = id
				run(in, signalbox.Done)(l)
				l.Add(proof.Resolution{Intent: id, Result: signalbox.Failed, By: "bob"}, nil)
			})
		}},
		{"a revert of a rollout, and observations under a halt", func(s *story) {
			s.before("end", func(l *prooftest.Log) {
				in := allowed()
				in.Direction, in.Parent = proof.Revert, proof.Parent{Rollout: "r-1", Stage: "canary", Target: "eu"}
				id := l.Add(in, nil)
				l.Add(proof.Outcome{Intent: id, Result: signalbox.Done}, nil)
				l.Add(proof.Halt{Scope: proof.ScopeAll, By: "bob"}, nil)
				l.Add(proof.Observation{Source: "hook", Seen: proof.At(l.Now), Session: "s-1", Actor: claude}, nil)
				l.Add(proof.Observation{Source: "log", Seen: proof.At(l.Now), As: "app", Intent: id}, nil)
			})
		}},
		{"halted and resumed", func(s *story) {
			s.before("more", add(proof.Halt{Scope: proof.ScopeAll, By: "bob"}))
			s.before("more", add(proof.Resume{Scope: proof.ScopeAll, By: "bob"}))
		}},
		{"halt of others", func(s *story) {
			for _, h := range []proof.Halt{{Scope: proof.ScopeActor, Name: "codex"},
				{Scope: proof.ScopeGate, Name: "cards-db"}, {Scope: proof.ScopeSession, Name: "s-2"}} {
				s.before("more", add(h))
			}
		}},
		{"reads in flight at a halt", func(s *story) {
			s.before("end", func(l *prooftest.Log) {
				from := proof.At(l.Now)
				l.Add(proof.Halt{Scope: proof.ScopeAll, By: "bob"}, nil)
				l.Now = l.Now.Add(1500 * time.Millisecond)
				l.Add(proof.Reads{Session: "s-1", Actor: claude, Gate: "orders-db", From: from, To: proof.At(l.Now)},
					nil)
			})
		}},
		{"freeze elsewhere, later, and over", func(s *story) {
			s.before("more", func(l *prooftest.Log) {
				l.Add(proof.FreezeStart{Freeze: "f-1", Environments: []signalbox.Environment{signalbox.Staging},
					By: "bob"}, nil)
				l.Add(proof.FreezeStart{Freeze: "f-2", From: proof.At(l.Now.Add(time.Hour)), By: "bob"}, nil)
				l.Add(proof.FreezeStart{Freeze: "f-3", Until: proof.At(l.Now.Add(time.Minute)), By: "bob"}, nil)
				l.Add(proof.FreezeStart{Freeze: "f-4", By: "bob"}, nil)
				l.Add(proof.FreezeEnd{Freeze: "f-4", By: "bob"}, nil)
				l.Now = l.Now.Add(time.Minute)
			})
		}},
		{"break-glass by its human", func(s *story) {
			s.before("end", func(l *prooftest.Log) {
				l.Add(proof.SessionStart{Session: "s-2", Actor: alice, Expires: proof.At(l.Now.Add(time.Hour))}, nil)
				l.Add(proof.FreezeStart{Freeze: "f-1", By: "bob"}, nil)
				l.Add(proof.BreakGlassStart{ID: "b-1", By: "alice", Gates: []string{"orders-db"},
					Verbs: []signalbox.Verb{signalbox.Update}, Expires: proof.At(l.Now.Add(time.Hour))}, nil)
				in := allowed()
				in.Session, in.Actor, in.BreakGlass = "s-2", alice, "b-1"
				run(in, signalbox.Done)(l)
			})
		}},
		{"change of policy under its own hold", func(s *story) {
			s.before("end", func(l *prooftest.Log) {
				h := holdOf(l)
				h.Hold, h.Session, h.Actor, h.Gate, h.Target = "h-2", "policy-alice", alice, proof.OwnGate, "policy"
				h.Verdict.Requires = []string{"1 of sre"}
				l.Add(h, nil)
				a := yes("bob")
				a.Hold = "h-2"
				l.Add(a, nil)
				in := dropIntent()
				in.Session, in.Actor, in.Gate, in.Target, in.Hold, in.Verdict = h.Session, h.Actor, h.Gate, h.Target, h.Hold, h.Verdict
				id := l.Add(in, nil)
				l.Add(proof.Policy{Version: proof.CanonicalDigest("new"), By: "alice", Status: "active", Hold: "h-2"},
					nil)
				l.Add(proof.Outcome{Intent: id, Result: signalbox.Done}, nil)
			})
		}},
		{"confirmed after the approvals", func(s *story) {
			s.instead("hold", func(l *prooftest.Log) {
				h := holdOf(l)
				h.Verdict.Confirm = true
				l.Add(h, nil)
			})
			s.before("intent", func(l *prooftest.Log) {
				l.Now = l.Now.Add(50 * time.Minute)
				l.Add(proof.Confirmation{Hold: "h-1", By: "alice", Expires: proof.At(l.Now.Add(15 * time.Minute))}, nil)
				l.Now = l.Now.Add(14 * time.Minute)
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := goodStory()
			c.edit(s)
			if r := verify(t, s, proof.Options{}); len(r.Findings) != 0 {
				t.Errorf("findings: %v", r.Findings)
			}
		})
	}
}

func TestOpenIntentsAreListed(t *testing.T) {
	s := goodStory()
	in := allowed()
	in.Lease = "replica-1"
	s.before("end", add(in))
	s.before("end", run(allowed(), signalbox.ResultUnknown))
	r := verify(t, s, proof.Options{})
	if !r.OK() || r.OpenCount != 1 || len(r.Open) != 1 || r.Open[0].Lease != "replica-1" || r.Unknown != 1 {
		t.Errorf("%+v", r)
	}
}

// Read from the middle, what lies before is not missed.
func TestVerifyFromTheMiddle(t *testing.T) {
	s := goodStory()
	for n := range 300 {
		s.before("hold", add(proof.Storm{Gate: "orders-db", What: "logins", Count: int64(n), From: 1, To: 2}))
	}
	if r := verify(t, s, proof.Options{}); len(r.Findings) != 0 {
		t.Fatalf("from the beginning: %v", r.Findings)
	}
	for _, from := range []int64{1, 2, 5, 7, 255, 256, 257, 306, 307, 308, 309, 310, 311, 312, 313, 314, 315} {
		r := verify(t, s, proof.Options{From: from})
		if len(r.Findings) != 0 {
			t.Errorf("from %d: %v", from, r.Findings)
		}
	}
}

func TestEntriesAreGivenInOrder(t *testing.T) {
	var got []string
	r := verify(t, goodStory(), proof.Options{Entry: func(index int64, e proof.Entry) error {
		got = append(got, fmt.Sprint(index, " ", e.Body.Kind()))
		return nil
	}})
	if int64(len(got)) != r.Size || got[0] != "0 start" || got[7] != "7 hold" {
		t.Errorf("%q", got)
	}
}
