package interlock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/proof"
)

func read(shape string) signalbox.Action {
	return signalbox.Action{Verb: signalbox.Read, Shape: shape, Fingerprint: "f-" + shape}
}

// shelf takes summaries, or fails.
type shelf struct {
	mu   sync.Mutex
	sums []proof.Reads
	fail error
}

func (s *shelf) record(_ context.Context, r proof.Reads) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.sums = append(s.sums, r)
	return nil
}

func TestTallySumsUp(t *testing.T) {
	var s shelf
	session := signalbox.Session{ID: "s1", Actor: signalbox.Actor{Kind: signalbox.Human, Name: "alice"}}
	tally := interlock.NewTally(session, orders, s.record)
	now := time.UnixMilli(1_800_000_000_000)
	if tally.Due(now) {
		t.Error("nothing is due")
	}
	for i, shape := range []string{"a", "b", "b"} {
		tally.Add(now.Add(time.Duration(i)*time.Millisecond), read(shape), []byte(shape))
	}
	if tally.Due(now.Add(100*time.Millisecond)) || !tally.Due(now.Add(time.Second)) {
		t.Error("due at the wrong time")
	}
	if err := tally.Flush(t.Context())(); err != nil {
		t.Fatal(err)
	}
	if tally.Due(now.Add(time.Hour)) {
		t.Error("still due")
	}
	want := []proof.Reads{{
		Session: "s1", Actor: session.Actor, Gate: orders.Name, Target: orders.Target, Environment: orders.Environment,
		From: proof.At(now), To: proof.At(now.Add(2 * time.Millisecond)), Statements: 3,
		Shapes: []proof.ShapeCount{{Fingerprint: "f-b", Shape: "b", Count: 2}, {Fingerprint: "f-a", Shape: "a", Count: 1}},
	}}
	if d := cmp.Diff(want, s.sums, cmpopts.IgnoreFields(proof.Reads{}, "Hash")); d != "" {
		t.Error(d)
	}
	if s.sums[0].Hash.IsZero() {
		t.Error("no hash over the statements")
	}
}

// What the log does not take is kept and counted, whatever it is.
func TestTallyLosesNothing(t *testing.T) {
	s := shelf{fail: errors.New("disk full")}
	tally := interlock.NewTally(signalbox.Session{ID: "s1"}, orders, s.record)
	now := time.Now()
	reads := 0
	for range 100 {
		for n := range 70 {
			tally.Add(now, read(fmt.Sprint("shape", n)), nil)
			reads++
		}
		if err := tally.Flush(t.Context())(); err == nil {
			t.Fatal("a failed record was taken for durable")
		}
	}
	if !tally.Due(now) {
		t.Error("what was kept is not due")
	}
	s.mu.Lock()
	s.fail = nil
	s.mu.Unlock()
	if err := tally.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, sum := range s.sums {
		total += int(sum.Statements)
		if sum.Omitted < 6 {
			t.Errorf("omitted %d shapes, want at least 6", sum.Omitted)
		}
	}
	if total != reads || len(s.sums) > 40 {
		t.Errorf("%d reads in %d summaries, want %d", total, len(s.sums), reads)
	}
}

// Who records the counts himself says what came of it; others wait for him.
func TestTallyDeparts(t *testing.T) {
	var s shelf
	tally := interlock.NewTally(signalbox.Session{ID: "s1"}, orders, s.record)
	tally.Add(time.Now(), read("a"), nil)
	aboard, land, ahead := tally.Depart()
	if len(aboard) != 1 || aboard[0].Statements != 1 || aboard[0].Hash.IsZero() || ahead() != nil {
		t.Fatalf("aboard: %+v", aboard)
	}
	none, landed, wait := tally.Depart()
	if len(none) != 0 {
		t.Errorf("twice aboard: %+v", none)
	}
	landed(nil)
	lost := errors.New("lost")
	go land(lost)
	if err := wait(); !errors.Is(err, lost) {
		t.Errorf("waited for what was lost: %v", err)
	}
	land(nil) // too late
	if !tally.Due(time.Now()) {
		t.Error("what was lost is not due")
	}
	if err := tally.Flush(t.Context())(); err != nil || len(s.sums) != 1 || s.sums[0].Statements != 1 {
		t.Errorf("%v, recorded %+v", err, s.sums)
	}
}

// A flush waits for what another has begun.
func TestTallyWaitsForFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		done := make(chan bool, 1)
		tally := interlock.NewTally(signalbox.Session{ID: "s1"}, orders, func(context.Context, proof.Reads) error { <-release; return nil })
		tally.Add(time.Now(), read("a"), nil)
		tally.Flush(t.Context())
		wait := tally.Flush(t.Context())
		go func() { wait(); done <- true }()
		synctest.Wait()
		select {
		case <-done:
			t.Error("did not wait")
		default:
		}
		close(release)
		<-done
	})
}
