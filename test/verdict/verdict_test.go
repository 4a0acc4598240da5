// Package verdict holds what running gates decide against what `explain` says of
// the same requests: a gate refuses nothing, and lets nothing through, that
// explain would not.
package verdict

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/explain"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/policies"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// all plays every scenario. A scenario on PostgreSQL takes a tenth of a second, so
// that one in four is played otherwise.
var all = flag.Bool("all", false, "play every scenario")

// A scenario is a line of the corpus, as far as gates need it.
type scenario struct {
	ID    string
	Actor struct {
		Agent, For, Human, Automation string
	}
	Environment signalbox.Environment
	Freeze      bool
	Requests    []request
}

type request struct {
	Gate string

	SQL string

	Service, Operation, Region string
	Parameters                 json.RawMessage
}

// A verdict is what is compared.
type verdict struct {
	Decision signalbox.Decision `json:"verdict"`
	Policies []string           `json:"policies"`
	Requires []string           `json:"requires"`
	Reason   string             `json:"reason"`
}

// A result is what explain says of a request.
type result struct {
	verdict
	Resources []struct{ Type, Name string }
}

// An explained scenario has the verdicts of explain.
type explained struct {
	scenario
	want []result
}

// scenarios reads those of the corpus whose requests are all for one gate, with
// what explain says of each.
func scenarios(t *testing.T, gateName string) []explained {
	t.Helper()
	files, err := filepath.Glob("../corpus/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	if more := os.Getenv("SIGNALBOX_CORPUS"); more != "" {
		others, err := filepath.Glob(more)
		if err != nil || len(others) == 0 {
			t.Fatalf("no corpus at %s: %v", more, err)
		}
		files = append(files, others...)
	}
	set := policySet(t)
	var all []explained
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := explain.Run(t.Context(), explain.Config{Policy: set, Readers: gate.Readers(server.Kinds())},
			bytes.NewReader(data), &out); err != nil {
			t.Fatal(err)
		}
		answers := json.NewDecoder(&out)
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, explain.MaxLine)
		for lines.Scan() {
			var s explained
			var answer struct {
				ID      string
				Results []result
			}
			if err := errors.Join(json.Unmarshal(lines.Bytes(), &s.scenario), answers.Decode(&answer)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if answer.ID != s.ID {
				t.Fatalf("%s: the answer to %q is for %q", name, s.ID, answer.ID)
			}
			s.want = answer.Results
			other := slices.ContainsFunc(s.Requests, func(r request) bool { return r.Gate != gateName })
			// Who declared a freeze and when stands in the reason.
			if !other && !s.Freeze {
				all = append(all, s)
			}
		}
	}
	return all
}

func policySet(t *testing.T) *policy.Set {
	t.Helper()
	files, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// An observer is an interlock that keeps what it decided.
type observer struct {
	gate.Interlock
	mu       sync.Mutex
	verdicts []verdict
}

func (o *observer) Admit(ctx context.Context, r interlock.Request, x interlock.Executor) (gate.Admission, error) {
	a, err := o.Interlock.Admit(ctx, r, x)
	var held *interlock.HeldError
	var denied *interlock.DeniedError
	switch {
	case errors.As(err, &held):
		o.saw(held.Hold.Verdict, r)
	case errors.As(err, &denied):
		o.saw(denied.Verdict, r)
	case err == nil:
		o.saw(a.(*interlock.Admission).Verdict(), r)
	}
	return a, err
}

func (o *observer) Do(ctx context.Context, r interlock.Request, x interlock.Executor) (signalbox.Outcome, error) {
	a, err := o.Admit(ctx, r, x)
	if err != nil {
		return signalbox.Outcome{}, err
	}
	return o.Execute(ctx, []gate.Admission{a}, x)
}

func (o *observer) saw(v signalbox.Verdict, r interlock.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := verdict{v.Decision, append([]string{}, v.Policies...), append([]string{}, v.Requires...), v.Reason}
	if seen.Reason == "" {
		seen.Reason = r.Actions[signalbox.Gravest(r.Actions)].Reason
	}
	o.verdicts = append(o.verdicts, seen)
}

// take gives what was decided since it was last asked.
func (o *observer) take() []verdict {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.verdicts
	o.verdicts = nil
	return all
}

// house is a whole Signalbox, in which each scenario is played by people of its
// own: what one was refused counts against him.
type house struct {
	*gatetest.House
	t *testing.T
}

// open opens a scenario's session at a gate.
func (h house) open(s scenario, gateName string) (signalbox.SessionID, string) {
	h.t.Helper()
	name := strings.ToLower(s.ID)
	as := h.Person("root")
	n := interlock.NewSession{Agent: s.Actor.Agent, Automation: s.Actor.Automation}
	if s.Actor.Automation == "" {
		if _, _, err := h.Lock.AddPerson(h.t.Context(), as, name, nil, false); err != nil {
			h.t.Fatal(err)
		}
		as = h.Person(name)
	} else {
		n.Automation = name
	}
	session, credentials, err := h.Lock.OpenSession(h.t.Context(), as, n, []string{gateName})
	if err != nil {
		h.t.Fatal(err)
	}
	return session.ID, credentials[gateName]
}

// same compares what a gate decided of one request with what explain says. A gate
// may take a request in several parts; together they must come to the same.
func same(t *testing.T, s scenario, r request, want verdict, got []verdict) {
	t.Helper()
	var all verdict
	for n, v := range got {
		if n == 0 || grave(v.Decision) > grave(all.Decision) {
			all = v
		}
	}
	if len(want.Policies) > len(all.Policies) {
		// Statements that begin and end transactions are no request of their own.
		want.Policies = slices.DeleteFunc(want.Policies, func(p string) bool { return p == "reads" })
	}
	if d := cmp.Diff(want, all); d != "" {
		t.Errorf("%s: %s%s %s\n(-explain +gate, in %d parts)\n%s", s.ID, r.SQL, r.Operation, r.Parameters, len(got), d)
	}
}

func grave(d signalbox.Decision) int {
	return slices.Index([]signalbox.Decision{signalbox.Allow, signalbox.Hold, signalbox.Deny}, d)
}

// deadline bounds one request to a gate.
const deadline = 20 * time.Second
