package gate

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/proof"
)

// shelf takes summaries, or fails.
type shelf struct {
	mu   sync.Mutex
	sums []proof.Reads
	fail error
}

func (s *shelf) record(sums []proof.Reads) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.sums = append(s.sums, sums...)
	return nil
}

var place = proof.Reads{
	Session: "s1", Actor: signalbox.Actor{Kind: signalbox.Human, Name: "alice"},
	Gate: "orders", Target: "orders@db1", Environment: signalbox.Production,
}

func count(r *Reads, at time.Time, shape string) { r.Add(at, "f-"+shape, shape, shape, nil, 2) }

func TestReadsSumUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s shelf
		r := newReads(place, s.record)
		if r.Due() {
			t.Error("nothing is due")
		}
		// Connections count by themselves, and are summed up together.
		one, other := r.Counter(), r.Counter()
		now := time.UnixMilli(1_800_000_000_000)
		one.Add(now, "f-a", "a", "a", nil, 2)
		other.Add(now.Add(time.Millisecond), "f-b", "b", "b", nil, 2)
		one.Close()
		count(r, now.Add(2*time.Millisecond), "b")
		other.Close()
		if err := r.Flush()(); err != nil {
			t.Fatal(err)
		}
		if len(r.counters) != 1 {
			t.Errorf("%d counters are kept, want the session's own", len(r.counters))
		}
		want := place
		want.From, want.To = proof.At(now), proof.At(now.Add(2*time.Millisecond))
		want.Statements, want.Rows = 3, 6
		want.Shapes = []proof.ShapeCount{
			{Fingerprint: "f-b", Shape: "b", Count: 2, Rows: 4}, {Fingerprint: "f-a", Shape: "a", Count: 1, Rows: 2},
		}
		if d := cmp.Diff([]proof.Reads{want}, s.sums, cmpopts.IgnoreFields(proof.Reads{}, "Hash")); d != "" {
			t.Error(d)
		}
		if s.sums[0].Hash.IsZero() {
			t.Error("no hash over the statements")
		}
		count(r, now, "a")
		if r.Due() {
			t.Error("due at once")
		}
		time.Sleep(readsEvery)
		if !r.Due() {
			t.Error("not due in time")
		}
	})
}

// What the log does not take is kept and counted, whatever it is.
func TestReadsLoseNothing(t *testing.T) {
	synctest.Test(t, readsLoseNothing)
}

func readsLoseNothing(t *testing.T) {
	s := shelf{fail: errors.New("disk full")}
	r := newReads(place, s.record)
	now := time.Now()
	reads := 0
	for range 100 {
		for n := range 70 {
			count(r, now, fmt.Sprint("shape", n))
			reads++
		}
		if err := r.Flush()(); err == nil {
			t.Fatal("a failed record was taken for durable")
		}
	}
	if r.Due() {
		t.Error("what has just failed is tried again at once")
	}
	time.Sleep(readsEvery)
	if !r.Due() {
		t.Error("what was kept is not due")
	}
	s.mu.Lock()
	s.fail = nil
	s.mu.Unlock()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, sum := range s.sums {
		total += int(sum.Statements)
		if sum.Omitted < 6 {
			t.Errorf("omitted %d shapes, want at least 6", sum.Omitted)
		}
	}
	if total != reads || len(s.sums) > maxUnrecorded+1 {
		t.Errorf("%d reads in %d summaries, want %d", total, len(s.sums), reads)
	}
}

// Who records the counts himself says what came of it. Others wait for him, and
// record what came to nothing.
func TestReadsTaken(t *testing.T) {
	var s shelf
	r := newReads(place, s.record)
	count(r, time.Now(), "a")
	first := r.Take()
	if len(first.Sums) != 1 || first.Sums[0].Statements != 1 || first.Sums[0].Hash.IsZero() || first.Earlier() != nil {
		t.Fatalf("taken: %+v", first.Sums)
	}
	second := r.Take()
	if len(second.Sums) != 0 {
		t.Errorf("taken twice: %+v", second.Sums)
	}
	second.Done(nil)
	go first.Done(errors.New("lost"))
	if err := second.Earlier(); err != nil {
		t.Errorf("what was lost could not be recorded: %v", err)
	}
	first.Done(nil) // too late
	if len(s.sums) != 1 || s.sums[0].Statements != 1 || r.Due() {
		t.Errorf("recorded %+v", s.sums)
	}
}

// A flush waits for what another has begun.
func TestReadsWaitForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		done := make(chan bool, 1)
		r := newReads(place, func([]proof.Reads) error { <-release; return nil })
		count(r, time.Now(), "a")
		r.Flush()
		wait := r.Flush()
		go func() { done <- wait() == nil }()
		synctest.Wait()
		select {
		case <-done:
			t.Error("did not wait")
		default:
		}
		close(release)
		if !<-done {
			t.Error("not recorded")
		}
	})
}
