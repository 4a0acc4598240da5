package interlock_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/proof"
)

// The crash matrix. A child process plays a story (held, approved by two, run
// under the permit, and a change that needs no approval) and is killed with
// SIGKILL at its k-th step, for k = 0, 1, 2 … until no step is left. A step is
// the moment just before or just after a commit, or just before or after the
// target's effect, so that each durable step is seen in both ways: it did not
// happen, and it happened but nobody was told. The effect on the target is a
// line in a file. After each crash the house is opened again and everything
// that must hold is checked.

const crashEnv = "SIGNALBOX_TEST_CRASH"

// A crashPlan is what the parent tells the child.
type crashPlan struct {
	Step int
	Dir  string
	URL  string // PostgreSQL, or empty for SQLite in Dir
}

// A fuse kills the process at its step.
type fuse struct{ left int }

func (f *fuse) step() {
	if f.left == 0 {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // nothing happens after a kill
	}
	f.left--
}

// fusedLedger has a step before and after every commit that records something.
type fusedLedger struct {
	*ledger.Log
	fuse *fuse
}

func (l fusedLedger) Commit(ctx context.Context, b ledger.Batch) (ledger.Receipt, error) {
	if len(b.Records) == 0 {
		return l.Log.Commit(ctx, b)
	}
	l.fuse.step()
	r, err := l.Log.Commit(ctx, b)
	l.fuse.step()
	return r, err
}

// fileTarget's effect is a line in a file, with the name of what allowed it.
type fileTarget struct {
	path string
	fuse *fuse
}

func (x fileTarget) Probe(context.Context) (signalbox.Impact, signalbox.State, error) {
	return signalbox.Impact{Count: 1, Scope: signalbox.ScopeAll, Measured: true},
		signalbox.State{{Name: "oid", Value: "1"}}, nil
}

func (fileTarget) Prepare(context.Context) interlock.Prepared { return interlock.Prepared{} }

func (x fileTarget) Execute(_ context.Context, p *interlock.Permit) (signalbox.Outcome, error) {
	x.fuse.step()
	f, err := os.OpenFile(x.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(f, "%s\n", p.Intent)
	}
	if err != nil {
		return signalbox.Outcome{}, err
	}
	x.fuse.step()
	return signalbox.Outcome{Result: signalbox.Done, Rows: 1}, f.Close()
}

// play is the story, from wherever it stands.
func play(h *house, x interlock.Executor) error {
	ctx := h.t.Context()
	var s signalbox.Session
	name := filepath.Join(h.dir, "session")
	if data, err := os.ReadFile(name); err == nil {
		row, err := h.store.Session(ctx, signalbox.SessionID(data))
		if err != nil {
			return err
		}
		s = row.Session
	} else {
		s = h.agent("kiro", "alice")
		if err := os.WriteFile(name, []byte(s.ID), 0o600); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(patience); ; {
		_, err := h.lock.Do(ctx, dropTable(s, "orders"), x)
		if err == nil {
			break
		}
		waits := (*interlock.HeldError)(nil)
		if !errors.As(err, &waits) || time.Now().After(deadline) {
			return err
		}
		for _, n := range []string{"bob", "carol"} {
			_, err := h.lock.Answer(ctx, h.person(n), waits.Hold.ID, true, "")
			if err != nil && !errors.Is(err, approval.ErrTwice) && !errors.Is(err, approval.ErrNotOpen) {
				return err
			}
		}
	}
	// A table of its own for each run: no policy about loops is in the way.
	r := updateRow(s, 1)
	r.Actions[0].Resources[0].Name = "public.of_" + string(s.ID)
	_, err := h.lock.Do(ctx, r, x)
	return err
}

func TestCrashChild(t *testing.T) {
	told := os.Getenv(crashEnv)
	if told == "" {
		t.Skip("runs as the child of TestCrashAtEveryStep alone")
	}
	var plan crashPlan
	if err := json.Unmarshal([]byte(told), &plan); err != nil {
		t.Fatal(err)
	}
	f := &fuse{left: plan.Step}
	h := reopen(t, plan, f)
	if err := play(h, fileTarget{filepath.Join(plan.Dir, "target"), f}); err != nil {
		t.Fatal(err)
	}
}

func (p crashPlan) config() store.Config {
	if p.URL != "" {
		return store.Config{URL: p.URL}
	}
	return store.Config{Path: filepath.Join(p.Dir, "state")}
}

// reopen opens the house that a plan tells of, its ledger behind a fuse.
func reopen(t *testing.T, plan crashPlan, f *fuse) *house {
	t.Helper()
	h := &house{t: t, dir: plan.Dir, db: plan.config(), started: os.Getpid()}
	var err error
	if h.key, err = ledger.LoadOrCreateKey(filepath.Join(h.dir, "log.key"), "test.example/log"); err != nil {
		t.Fatal(err)
	}
	h.minter = newMinter(t)
	h.replica = h.start(func(c *interlock.Config) {
		c.Ledger = fusedLedger{c.Ledger.(*ledger.Log), f}
		c.Alone = true // the only process now, whatever the database
	})
	return h
}

func TestCrashAtEveryStep(t *testing.T) {
	databases(t, func(t *testing.T, db store.Config) {
		// One house, furnished once; every run begins with a copy of its story
		// not yet played: a new target file and a new session.
		h := newHouse(t, db)
		plan := crashPlan{Dir: h.dir, URL: db.URL}
		if db.Path != "" {
			// The child opens the same folder.
			if err := os.Symlink(db.Path, filepath.Join(h.dir, "state")); err != nil {
				t.Fatal(err)
			}
		}
		h.stop()
		for step := 0; ; step++ {
			plan.Step = step
			for _, leftover := range []string{"target", "session"} {
				os.Remove(filepath.Join(h.dir, leftover))
			}
			killed := runChild(t, plan)
			checkAfterCrash(t, plan, step)
			if !killed {
				if step < 15 {
					t.Errorf("the story had %d steps only: was it played?", step)
				}
				t.Logf("killed at each of %d steps", step)
				return
			}
		}
	})
}

func runChild(t *testing.T, plan crashPlan) (killed bool) {
	t.Helper()
	told, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$", "-test.v")
	cmd.Env = append(os.Environ(), crashEnv+"="+string(told))
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signal() == syscall.SIGKILL {
			return true
		}
	}
	if err != nil || !strings.Contains(string(out), "PASS: TestCrashChild") {
		t.Fatalf("child at step %d: %v\n%s", plan.Step, err, out)
	}
	return false
}

// checkAfterCrash opens the house again and checks all that must hold, plays
// the story to its end, and checks again.
func checkAfterCrash(t *testing.T, plan crashPlan, step int) {
	t.Helper()
	f := &fuse{left: 1 << 30}
	h := reopen(t, plan, f)
	defer h.stop()
	check := func(when string) {
		t.Helper()
		effects := map[string]int{}
		if data, err := os.ReadFile(filepath.Join(plan.Dir, "target")); err == nil {
			for _, intent := range strings.Fields(string(data)) {
				effects[intent]++
			}
		}
		intents, outcomes := map[string]*proof.Intent{}, map[string]signalbox.Result{}
		for _, e := range h.entries() {
			switch b := e.Body.(type) {
			case *proof.Intent:
				intents[e.ID] = b
			case *proof.Outcome:
				if _, twice := outcomes[b.Intent]; twice {
					t.Errorf("step %d, %s: intent %s has two outcomes", step, when, b.Intent)
				}
				outcomes[b.Intent] = b.Result
			}
		}
		for id, n := range effects {
			if n != 1 || intents[id] == nil {
				t.Errorf("step %d, %s: %d effects of intent %s, recorded: %v (P1)", step, when, n, id,
					intents[id] != nil)
			}
			if outcomes[id] == signalbox.Failed {
				t.Errorf("step %d, %s: intent %s had its effect and is recorded as failed (P2)", step, when, id)
			}
		}
		used := map[string]string{}
		for id, in := range intents {
			if outcomes[id] == "" {
				t.Errorf("step %d, %s: intent %s has no outcome (P2)", step, when, id)
			}
			if outcomes[id] == signalbox.Done && effects[id] == 0 && !isEarlier(h, in) {
				t.Errorf("step %d, %s: intent %s is done and had no effect (P2)", step, when, id)
			}
			if in.Hold == "" {
				continue
			}
			if used[in.Hold] != "" {
				t.Errorf("step %d, %s: permit %s was used by %s and %s (P4)", step, when, in.Hold, used[in.Hold], id)
			}
			used[in.Hold] = id
			hold, err := h.store.Hold(t.Context(), in.Hold)
			if err != nil || hold.Status != approval.Used || hold.Intent != id {
				t.Errorf("step %d, %s: hold %s is %s by %q, %v; its intent is %s", step, when, in.Hold, hold.Status,
					hold.Intent, err, id)
			}
		}
	}
	check("reopened")
	if err := play(h, fileTarget{filepath.Join(plan.Dir, "target"), f}); err != nil {
		t.Fatalf("step %d: played again: %v", step, err)
	}
	// Outcomes that do not hold up the reply are recorded when Close returns.
	lock := h.lock
	if err := lock.Close(); err != nil {
		t.Errorf("step %d: close: %v", step, err)
	}
	check("played to the end")
	verify(t, h, step)
}

// isEarlier reports whether an intent belongs to a run before this one, whose
// target file is gone.
func isEarlier(h *house, in *proof.Intent) bool {
	data, err := os.ReadFile(filepath.Join(h.dir, "session"))
	return err != nil || string(data) != string(in.Session)
}

// verify has the auditor's verification look at the published log.
func verify(t *testing.T, h *house, step int) {
	t.Helper()
	size, _, err := h.log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := h.log.Wait(ctx, size-1); err != nil {
		t.Fatalf("step %d: publish: %v", step, err)
	}
	report, err := verifyFolder(ctx, h.blobs, h.log.Verifier())
	if err != nil {
		t.Fatalf("step %d: verify: %v", step, err)
	}
	for _, f := range report.Findings {
		t.Errorf("step %d: auditor finds: %+v", step, f)
	}
}

func verifyFolder(ctx context.Context, folder, key string) (proof.Report, error) {
	trust, err := proof.ParseKey(key, "")
	if err != nil {
		return proof.Report{}, err
	}
	return proof.VerifyLog(ctx, proof.Folder(os.DirFS(folder)), trust, proof.Options{})
}
