package pgwire

import (
	"context"
	"crypto/sha256"
	"hash"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/proof"
)

// Reads are summed up per connection and recorded per session: at most
// readsEvery after the first of them, and before the session's next write.
const readsEvery = 500 * time.Millisecond

// maxShapes bounds the shapes told apart in one summary.
const maxShapes = 64

// reads is what was read and not recorded yet.
type reads struct {
	mu         sync.Mutex
	from, to   time.Time
	statements int64
	rows       int64
	shapes     map[string]*proof.ShapeCount
	omitted    map[string]bool
	hash       hash.Hash
}

// add counts one read. text and tail are what it consisted of.
func (r *reads) add(now time.Time, fingerprint, shape, text string, tail []byte, rows int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.statements == 0 {
		r.from = now
	}
	r.to = now
	r.statements++
	r.rows += rows
	if r.hash == nil {
		r.hash = sha256.New()
		r.shapes = make(map[string]*proof.ShapeCount)
	}
	var sep [1]byte
	r.hash.Write([]byte(text))
	r.hash.Write(sep[:])
	r.hash.Write(tail)
	r.hash.Write(sep[:])
	s := r.shapes[fingerprint]
	if s == nil {
		if len(r.shapes) >= maxShapes {
			if r.omitted == nil {
				r.omitted = make(map[string]bool)
			}
			if len(r.omitted) < 10*maxShapes {
				r.omitted[fingerprint] = true
			}
			return
		}
		if len(shape) > 400 {
			shape = shape[:400] + "…"
		}
		s = &proof.ShapeCount{Fingerprint: fingerprint, Shape: shape}
		r.shapes[fingerprint] = s
	}
	s.Count++
	s.Rows += rows
}

// take empties r into sum.
func (r *reads) take(sum *proof.Reads, digest hash.Hash) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.statements == 0 {
		return
	}
	if from := proof.At(r.from); sum.Statements == 0 || from < sum.From {
		sum.From = from
	}
	if to := proof.At(r.to); to > sum.To {
		sum.To = to
	}
	sum.Statements += r.statements
	sum.Rows += r.rows
	sum.Omitted += len(r.omitted)
	for _, s := range r.shapes {
		sum.Shapes = append(sum.Shapes, *s)
	}
	digest.Write(r.hash.Sum(nil))
	r.statements, r.rows, r.shapes, r.omitted, r.hash = 0, 0, nil, nil, nil
}

func (r *reads) waiting() (bool, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.statements > 0, r.from
}

// account counts the reads of a request that was answered.
func (c *conn) account(r *request, p *pump) {
	now := time.Now()
	if len(c.expected) == 0 {
		a := r.Actions[0]
		c.reads.add(now, a.Fingerprint, a.Shape, r.Text, nil, p.rows)
		return
	}
	for i := range c.expected[:min(p.done, len(c.expected))] {
		e := &c.expected[i]
		if e.typ != 'E' || e.portal == nil || e.portal.judged == nil || e.portal.statement == nil {
			continue
		}
		j := e.portal.judged
		c.reads.add(now, j.Fingerprint, j.Shape, e.portal.statement.text, e.portal.tail, e.rows)
	}
}

// due reports whether the session has reads that must be recorded now.
func (g *Gate) readsDue(a *attendance, now time.Time) bool {
	for c := range a.conns {
		if some, from := c.reads.waiting(); some && now.Sub(from) >= readsEvery {
			return true
		}
	}
	return false
}

// A flight is summaries on their way to the log.
type flight struct {
	sums []proof.Reads
	done chan struct{} // closed when they are durable, or not known to be
	err  error         // set before
}

// sent gives the summaries as the log gets them.
func (f *flight) sent() []proof.Reads {
	sent := slices.Clone(f.sums)
	for i := range sent {
		sent[i].Hash = proof.Commit(proof.NewSalt(), sent[i].Hash)
	}
	return sent
}

// depart takes what a session has read and what could not be recorded before; f
// is nil if there is nothing. Whoever called it sees that f lands. ahead are the
// flights that others have under way.
func (g *Gate) depart(a *attendance) (f *flight, ahead []*flight) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ahead = slices.Clone(a.flights)
	sums := a.unrecorded
	a.unrecorded = nil
	if sum, ok := g.takeReads(a); ok {
		sums = append(sums, sum)
	}
	if len(sums) == 0 {
		return nil, ahead
	}
	f = &flight{sums: sums, done: make(chan struct{})}
	a.flights = append(a.flights, f)
	return f, ahead
}

// land ends a flight. What is not known to be recorded is kept.
func (a *attendance) land(f *flight, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.flights = slices.DeleteFunc(a.flights, func(o *flight) bool { return o == f })
	if err != nil {
		for _, sum := range f.sums {
			a.keep(sum)
		}
	}
	f.err = err
	close(f.done)
}

// flushReads begins to record what a session has read. When the flights have
// landed, all that was read before the call is durable: see landed. Connections
// of a session do not wait for each other's turn, their summaries travel
// together.
func (g *Gate) flushReads(a *attendance) []*flight {
	f, flights := g.depart(a)
	if f != nil {
		flights = append(flights, f)
		g.flushes.Go(func() { a.land(f, g.recordReads(f)) })
	}
	return flights
}

func (g *Gate) recordReads(f *flight) error {
	return g.Interlock.Reads(context.WithoutCancel(g.ctx), f.sent())
}

// landed waits until what the flights carry is durable. What travelled with a
// write that was refused is recorded by itself.
func (g *Gate) landed(a *attendance, flights []*flight) error {
	for {
		lost := false
		for _, f := range flights {
			<-f.done
			lost = lost || f.err != nil
		}
		if !lost {
			return nil
		}
		var f *flight
		if f, flights = g.depart(a); f != nil {
			err := g.recordReads(f)
			a.land(f, err)
			if err != nil {
				return err
			}
		}
	}
}

// maxUnrecorded bounds the summaries kept while the log takes none.
const maxUnrecorded = 32

// keep keeps what could not be recorded for the next attempt: nothing that was
// read is left out of the counts. The caller holds a.mu.
func (a *attendance) keep(sum proof.Reads) {
	if len(a.unrecorded) < maxUnrecorded {
		a.unrecorded = append(a.unrecorded, sum)
		return
	}
	last := &a.unrecorded[maxUnrecorded-1]
	last.To = max(last.To, sum.To)
	last.Statements += sum.Statements
	last.Rows += sum.Rows
	last.Omitted += sum.Omitted + len(sum.Shapes)
	both := sha256.New()
	both.Write(last.Hash[:])
	both.Write(sum.Hash[:])
	last.Hash = signalbox.Digest(both.Sum(nil))
}

// takeReads sums up what the connections of a session have read.
func (g *Gate) takeReads(a *attendance) (proof.Reads, bool) {
	sum := proof.Reads{
		Session: a.session.ID, Actor: a.session.Actor,
		Gate: g.Config.Gate.Name, Target: g.Config.Gate.Target, Environment: g.Config.Gate.Environment,
	}
	g.mu.Lock()
	members := make([]*conn, 0, len(a.conns))
	for c := range a.conns {
		members = append(members, c)
	}
	g.mu.Unlock()
	sort.Slice(members, func(i, j int) bool { return members[i].number < members[j].number })
	digest := sha256.New()
	for _, c := range members {
		c.reads.take(&sum, digest)
	}
	if sum.Statements == 0 {
		return sum, false
	}
	sum.Shapes = mergeShapes(sum.Shapes, &sum.Omitted)
	sum.Hash = signalbox.Digest(digest.Sum(nil))
	return sum, true
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
	sort.SliceStable(merged, func(i, j int) bool { return merged[i].Count > merged[j].Count })
	if len(merged) > maxShapes {
		*omitted += len(merged) - maxShapes
		merged = merged[:maxShapes]
	}
	return merged
}
