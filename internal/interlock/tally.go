package interlock

import (
	"context"
	"crypto/sha256"
	"hash"
	"slices"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/proof"
)

const (
	// tallyEvery is how old a read gets before it must be on its way to the log.
	tallyEvery = 500 * time.Millisecond
	// tallyShapes bounds the shapes told apart in one summary.
	tallyShapes = 64
	// tallyKept bounds the summaries kept while the log takes none.
	tallyKept = 32
)

// A Tally sums up what one session reads at one gate, for gates whose sessions
// have no connection of their own. Whoever owns it records it when it is due, and
// before anything that the session changes. It is safe for concurrent use.
type Tally struct {
	place  proof.Reads // with the session, actor and gate
	record func(context.Context, proof.Reads) error

	mu       sync.Mutex // guards all below
	sum      proof.Reads
	first    time.Time // of sum
	shapes   map[string]int
	omitted  map[string]bool
	hash     hash.Hash
	kept     []proof.Reads // could not be recorded yet
	flights  []*tallyFlight
	attempts sync.WaitGroup
}

// A tallyFlight is a summary on its way to the log.
type tallyFlight struct {
	done chan struct{} // closed when it is durable, or failed
	err  error         // set before
}

// NewTally makes an empty tally, to be recorded by record, which returns when
// the summary is durable.
func NewTally(s signalbox.Session, g control.Gate, record func(context.Context, proof.Reads) error) *Tally {
	return &Tally{record: record, place: proof.Reads{
		Session: s.ID, Actor: s.Actor, Gate: g.Name, Target: g.Target, Environment: g.Environment,
	}}
}

// Add counts one read of the shape that an action has. statement is what makes
// it that read and no other; its hash goes into the summary's.
func (t *Tally) Add(now time.Time, a signalbox.Action, statement []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sum.Statements == 0 {
		t.sum, t.first = t.place, now
		t.sum.From = proof.At(now)
		t.shapes, t.omitted, t.hash = make(map[string]int), nil, sha256.New()
	}
	t.sum.To = max(t.sum.To, proof.At(now))
	t.sum.Statements++
	t.hash.Write(statement)
	t.hash.Write([]byte{0})
	if n, ok := t.shapes[a.Fingerprint]; ok {
		t.sum.Shapes[n].Count++
		return
	}
	if len(t.sum.Shapes) >= tallyShapes {
		if t.omitted == nil {
			t.omitted = make(map[string]bool)
		}
		if len(t.omitted) < 10*tallyShapes {
			t.omitted[a.Fingerprint] = true
		}
		return
	}
	shape := a.Shape
	if len(shape) > 400 {
		shape = shape[:400] + "…"
	}
	t.shapes[a.Fingerprint] = len(t.sum.Shapes)
	t.sum.Shapes = append(t.sum.Shapes, proof.ShapeCount{Fingerprint: a.Fingerprint, Shape: shape, Count: 1})
}

// Due reports whether there is something that must be recorded now.
func (t *Tally) Due(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sum.Statements > 0 && now.Sub(t.first) >= tallyEvery || len(t.kept) > 0
}

// Flush begins to record what was counted and gives a function that waits until
// all that was counted before the call is durable. Several may be under way at
// once. What cannot be recorded is kept for the next time; nothing is left out
// of the counts.
func (t *Tally) Flush(ctx context.Context) (wait func() error) {
	ctx = context.WithoutCancel(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, sum := range t.take() {
		land := t.depart(sum)
		t.attempts.Go(func() { land(caught(func() error { return t.record(ctx, sealed(sum)) })) })
	}
	return arrived(slices.Clone(t.flights))
}

// Depart gives what was counted to a caller who records it himself, with the
// intent of a write, and says by land what came of it: with an error, it is kept
// for the next time. ahead waits, as the function that Flush gives, for what was
// on its way before. land must be called, and only its first call counts.
func (t *Tally) Depart() (aboard []proof.Reads, land func(error), ahead func() error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ahead = arrived(slices.Clone(t.flights))
	sums := t.take()
	if len(sums) == 0 {
		return nil, func(error) {}, ahead
	}
	for _, sum := range sums {
		aboard = append(aboard, sealed(sum))
	}
	down := t.depart(sums...)
	var once sync.Once
	return aboard, func(err error) { once.Do(func() { down(err) }) }, ahead
}

// take gives all that nobody is recording yet. The caller holds t.mu.
func (t *Tally) take() []proof.Reads {
	sums := t.kept
	t.kept = nil
	if t.sum.Statements > 0 {
		t.sum.Omitted = len(t.omitted)
		t.sum.Hash = signalbox.Digest(t.hash.Sum(nil))
		slices.SortStableFunc(t.sum.Shapes, func(a, b proof.ShapeCount) int { return int(b.Count - a.Count) })
		sums = append(sums, t.sum)
		t.sum = proof.Reads{}
	}
	return sums
}

// sealed is a summary as the log has it.
func sealed(sum proof.Reads) proof.Reads {
	sum.Hash = proof.Commit(proof.NewSalt(), sum.Hash)
	return sum
}

// depart notes that the summaries are on their way, until land is called. The
// caller holds t.mu; land takes it.
func (t *Tally) depart(sums ...proof.Reads) (land func(error)) {
	f := &tallyFlight{done: make(chan struct{})}
	t.flights = append(t.flights, f)
	return func(err error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		f.err = err
		t.flights = slices.DeleteFunc(t.flights, func(o *tallyFlight) bool { return o == f })
		if err != nil {
			for _, sum := range sums {
				t.keep(sum)
			}
		}
		close(f.done)
	}
}

// arrived waits for flights.
func arrived(flights []*tallyFlight) func() error {
	return func() error {
		var err error
		for _, f := range flights {
			<-f.done
			if f.err != nil {
				err = f.err
			}
		}
		return err
	}
}

// Close records what is left, once, and waits for what is under way.
func (t *Tally) Close(ctx context.Context) error {
	err := t.Flush(ctx)()
	t.attempts.Wait()
	return err
}

// keep keeps what could not be recorded for the next attempt. The caller holds
// t.mu.
func (t *Tally) keep(sum proof.Reads) {
	if len(t.kept) < tallyKept {
		t.kept = append(t.kept, sum)
		return
	}
	last := &t.kept[tallyKept-1]
	last.From, last.To = min(last.From, sum.From), max(last.To, sum.To)
	last.Statements += sum.Statements
	last.Omitted += sum.Omitted + len(sum.Shapes)
	both := sha256.New()
	both.Write(last.Hash[:])
	both.Write(sum.Hash[:])
	last.Hash = signalbox.Digest(both.Sum(nil))
}
