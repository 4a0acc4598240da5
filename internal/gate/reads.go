package gate

import (
	"crypto/sha256"
	"hash"
	"slices"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/proof"
)

const (
	// readsEvery is how old a read gets before it must be on its way to the log.
	readsEvery = 500 * time.Millisecond
	// maxShapes bounds the shapes told apart in one summary.
	maxShapes = 64
	// maxShape bounds how much of a shape is recorded, in bytes.
	maxShape = 400
	// maxUnrecorded bounds the summaries kept while the log takes none.
	maxUnrecorded = 32
)

// Reads sums up what one session reads at one gate. It is recorded when it is due,
// and before anything that the session changes. What cannot be recorded is kept
// for the next time: nothing is left out of the counts. It is safe for concurrent
// use.
type Reads struct {
	place  proof.Reads // with the session, actor and gate
	record func([]proof.Reads) error

	own        *Counter
	mu         sync.Mutex // guards all below; taken before a counter's
	counters   []*Counter // own among them
	unrecorded []proof.Reads
	failed     time.Time // when recording last failed
	inFlight   []*recording
	attempts   sync.WaitGroup // to record
}

// A recording is summaries on their way to the log.
type recording struct {
	sums []proof.Reads
	done chan struct{} // closed when they are durable, or not known to be
	err  error         // set before
}

// newReads makes an empty summary of a session at a gate, which place names. record
// returns when what it was given is
// durable; an error says that it is not known to be.
func newReads(place proof.Reads, record func([]proof.Reads) error) *Reads {
	r := &Reads{place: place, record: record}
	r.own = r.Counter()
	return r
}

// Add counts one read, as [Counter.Add] does, of a session that has no connections
// of its own.
func (r *Reads) Add(now time.Time, fingerprint, shape, text string, parameters []byte, rows int64) {
	r.own.Add(now, fingerprint, shape, text, parameters, rows)
}

// A Counter counts the reads of one connection, or of whatever else comes one
// after another, so that connections of a session do not wait for each other.
type Counter struct {
	mu         sync.Mutex
	closed     bool
	began      time.Time // when the first was counted, by the clock that does not jump
	from, to   time.Time
	statements int64
	rows       int64
	shapes     map[string]*proof.ShapeCount // by fingerprint
	omitted    map[string]bool
	hash       hash.Hash
}

// Counter gives a new counter, whose reads are part of the summary.
func (r *Reads) Counter() *Counter {
	c := &Counter{}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counters = append(r.counters, c)
	return c
}

// Close says that nothing more will be counted. What was is still recorded.
func (c *Counter) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

// Add counts one read with its shape, and the rows that it answered. text and
// parameters are what make it that read and no other: their hash goes into the
// summary's.
func (c *Counter) Add(now time.Time, fingerprint, shape, text string, parameters []byte, rows int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.statements == 0 {
		c.from, c.began = now, time.Now()
	}
	c.to = now
	c.statements++
	c.rows += rows
	if c.hash == nil {
		c.hash = sha256.New()
		c.shapes = make(map[string]*proof.ShapeCount)
	}
	var end [1]byte
	c.hash.Write([]byte(text))
	c.hash.Write(end[:])
	c.hash.Write(parameters)
	c.hash.Write(end[:])
	s := c.shapes[fingerprint]
	if s == nil {
		if len(c.shapes) >= maxShapes {
			if c.omitted == nil {
				c.omitted = make(map[string]bool)
			}
			if len(c.omitted) < 10*maxShapes {
				c.omitted[fingerprint] = true
			}
			return
		}
		if len(shape) > maxShape {
			shape = shape[:maxShape] + "…"
		}
		s = &proof.ShapeCount{Fingerprint: fingerprint, Shape: shape}
		c.shapes[fingerprint] = s
	}
	s.Count++
	s.Rows += rows
}

// addTo empties c into sum, and reports whether c is closed.
func (c *Counter) addTo(sum *proof.Reads, digest hash.Hash) (closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.statements == 0 {
		return c.closed
	}
	if from := proof.At(c.from); sum.Statements == 0 || from < sum.From {
		sum.From = from
	}
	sum.To = max(sum.To, proof.At(c.to))
	sum.Statements += c.statements
	sum.Rows += c.rows
	sum.Omitted += len(c.omitted)
	for _, s := range c.shapes {
		sum.Shapes = append(sum.Shapes, *s)
	}
	digest.Write(c.hash.Sum(nil))
	c.statements, c.rows, c.shapes, c.omitted, c.hash = 0, 0, nil, nil, nil
	return c.closed
}

// due reports whether c has reads that are old enough to be recorded.
func (c *Counter) due() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.statements > 0 && (c.closed || time.Since(c.began) >= readsEvery)
}

// Due reports whether there is something that must be recorded now.
func (r *Reads) Due() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.unrecorded) > 0 && time.Since(r.failed) >= readsEvery || slices.ContainsFunc(r.counters, (*Counter).due)
}

// Flush begins to record what was counted, and gives a function that waits until
// all that was counted before the call is durable. Several may be under way at
// once: what is counted meanwhile does not wait.
func (r *Reads) Flush() (wait func() error) {
	f, earlier := r.take()
	if f != nil {
		earlier = append(earlier, f)
		r.attempts.Go(func() { r.done(f, r.record(f.salted())) })
	}
	return func() error { return r.await(earlier) }
}

// Close records what is left, and waits for what is under way.
func (r *Reads) Close() error {
	err := r.Flush()()
	r.attempts.Wait()
	return err
}

// A Taken is what was counted, in the hands of a caller who has it recorded with
// the intent of a write.
type Taken struct {
	// Sums are the summaries as the log gets them.
	Sums []proof.Reads

	reads   *Reads
	own     *recording // nil: there was nothing to take
	earlier []*recording
	once    sync.Once
}

// Take takes all that was counted. Done must be called.
func (r *Reads) Take() *Taken {
	t := &Taken{reads: r}
	if t.own, t.earlier = r.take(); t.own != nil {
		t.Sums = t.own.salted()
	}
	return t
}

// Done says what came of it; only the first call counts. With an error it is not
// known to be recorded, and is kept for the next time.
func (t *Taken) Done(err error) {
	t.once.Do(func() {
		if t.own != nil {
			t.reads.done(t.own, err)
		}
	})
}

// Earlier waits until what others had under way when t was taken is durable.
func (t *Taken) Earlier() error { return t.reads.await(t.earlier) }

// take takes what was counted and what could not be recorded before; f is nil if
// there is nothing. Whoever calls it sees to it that done is called for f.
// earlier is what others record.
func (r *Reads) take() (f *recording, earlier []*recording) {
	r.mu.Lock()
	defer r.mu.Unlock()
	earlier = slices.Clone(r.inFlight)
	sums := r.unrecorded
	r.unrecorded = nil
	sum, digest := r.place, sha256.New()
	r.counters = slices.DeleteFunc(r.counters, func(c *Counter) bool { return c.addTo(&sum, digest) })
	if sum.Statements > 0 {
		sum.Shapes = mergeShapes(sum.Shapes, &sum.Omitted)
		sum.Hash = signalbox.Digest(digest.Sum(nil))
		sums = append(sums, sum)
	}
	if len(sums) == 0 {
		return nil, earlier
	}
	f = &recording{sums: sums, done: make(chan struct{})}
	r.inFlight = append(r.inFlight, f)
	return f, earlier
}

// done ends a recording. What is not known to be recorded is kept.
func (r *Reads) done(f *recording, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight = slices.DeleteFunc(r.inFlight, func(o *recording) bool { return o == f })
	if err != nil {
		r.failed = time.Now()
		for _, sum := range f.sums {
			r.keep(sum)
		}
	}
	f.err = err
	close(f.done)
}

// await waits until what others record is durable. What was to be recorded
// with a write that was refused is recorded by itself.
func (r *Reads) await(others []*recording) error {
	for {
		lost := false
		for _, f := range others {
			<-f.done
			lost = lost || f.err != nil
		}
		if !lost {
			return nil
		}
		var f *recording
		if f, others = r.take(); f != nil {
			err := r.record(f.salted())
			r.done(f, err)
			if err != nil {
				return err
			}
		}
	}
}

// salted gives the summaries as the log gets them: a hash over statements could be
// guessed from.
func (f *recording) salted() []proof.Reads {
	sums := slices.Clone(f.sums)
	for n := range sums {
		sums[n].Hash = proof.Commit(proof.NewSalt(), sums[n].Hash)
	}
	return sums
}

// keep keeps what could not be recorded for the next attempt. The caller holds
// r.mu.
func (r *Reads) keep(sum proof.Reads) {
	if len(r.unrecorded) < maxUnrecorded {
		r.unrecorded = append(r.unrecorded, sum)
		return
	}
	last := &r.unrecorded[maxUnrecorded-1]
	last.From, last.To = min(last.From, sum.From), max(last.To, sum.To)
	last.Statements += sum.Statements
	last.Rows += sum.Rows
	last.Omitted += sum.Omitted + len(sum.Shapes)
	both := sha256.New()
	both.Write(last.Hash[:])
	both.Write(sum.Hash[:])
	last.Hash = signalbox.Digest(both.Sum(nil))
}

// mergeShapes adds up counts of the same shape, the most frequent first.
func mergeShapes(shapes []proof.ShapeCount, omitted *int) []proof.ShapeCount {
	at := make(map[string]int, len(shapes))
	merged := shapes[:0:0]
	for _, s := range shapes {
		if i, ok := at[s.Fingerprint]; ok {
			merged[i].Count += s.Count
			merged[i].Rows += s.Rows
			continue
		}
		at[s.Fingerprint] = len(merged)
		merged = append(merged, s)
	}
	slices.SortStableFunc(merged, func(a, b proof.ShapeCount) int { return int(b.Count - a.Count) })
	if len(merged) > maxShapes {
		*omitted += len(merged) - maxShapes
		merged = merged[:maxShapes]
	}
	return merged
}
