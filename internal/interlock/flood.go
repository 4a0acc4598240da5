package interlock

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// Limits of what one session may write into the log without getting anything
// done. What goes beyond is turned away just the same, and counted.
const (
	refusalsBurst = 50               // refusals recorded one by one, at once
	refusalsEvery = time.Second      // one more
	holdsBurst    = 30               // holds opened at once
	holdsEvery    = 5 * time.Second  // one more
	floodReport   = 10 * time.Second // how often those that were only counted are
	maxBuckets    = 8192
)

// floods keeps refusals, holds and failed log-ins from filling the log: of too
// many in a short time it counts those that are not recorded one by one. The
// entry that tells the counts is a [proof.Storm].
type floods struct {
	mu      sync.Mutex
	buckets map[string]*bucket
	counts  map[string]*proof.Storm
}

// A bucket is a token bucket that fills with time.
type bucket struct {
	tokens float64
	at     time.Time
}

func (f *floods) init() {
	f.buckets = make(map[string]*bucket)
	f.counts = make(map[string]*proof.Storm)
}

// bucket gives a bucket filled up to now; nil when there is no room for another.
// Callers hold f.mu.
func (f *floods) bucket(key string, burst float64, every time.Duration, now time.Time) *bucket {
	b := f.buckets[key]
	if b == nil {
		if len(f.buckets) >= maxBuckets {
			for k, old := range f.buckets {
				if now.Sub(old.at) > time.Hour {
					delete(f.buckets, k)
				}
			}
			if len(f.buckets) >= maxBuckets {
				return nil
			}
		}
		b = &bucket{tokens: burst, at: now}
		f.buckets[key] = b
	}
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(burst, b.tokens+float64(d)/float64(every))
	}
	b.at = now
	return b
}

// mayRecordRefusal reports whether a refusal is recorded by itself. If not, it is
// counted.
func (f *floods) mayRecordRefusal(r Request, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b := f.bucket("refusal/"+string(r.Session.ID), refusalsBurst, refusalsEvery, now); b != nil && b.tokens >= 1 {
		b.tokens--
		return true
	}
	f.count(r.Gate.Name, r.Session.ID, "refusals", now)
	return false
}

// mayOpenHold returns an error when the human's sessions have opened too many
// holds of late, and counts the attempt then. A hold counts when it was opened:
// see holdOpened.
func (f *floods) mayOpenHold(r Request, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b := f.bucket("hold/"+ownerOf(r.Session.Actor), holdsBurst, holdsEvery, now); b != nil && b.tokens >= 1 {
		return nil
	}
	f.count(r.Gate.Name, r.Session.ID, "holds", now)
	return fmt.Errorf("too many requests that need approval: wait %s", holdsEvery)
}

// holdOpened takes a hold that was opened from what may be opened.
func (f *floods) holdOpened(r Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b := f.buckets["hold/"+ownerOf(r.Session.Actor)]; b != nil {
		b.tokens--
	}
}

func (f *floods) count(gate string, session signalbox.SessionID, what string, now time.Time) {
	key := gate + "\x00" + string(session) + "\x00" + what
	c := f.counts[key]
	if c == nil {
		if len(f.counts) >= maxBuckets {
			session = "" // too many sessions to tell apart
			key = gate + "\x00\x00" + what
			if c = f.counts[key]; c != nil {
				c.Count++
				c.To = proof.At(now)
				return
			}
		}
		c = &proof.Storm{Gate: gate, Session: session, What: what, From: proof.At(now)}
		f.counts[key] = c
	}
	c.Count++
	c.To = proof.At(now)
}

// CountLogins lets a gate account for failed log-ins that it turned away.
func (i *Interlock) CountLogins(gate string, session signalbox.SessionID) {
	i.floods.mu.Lock()
	defer i.floods.mu.Unlock()
	i.floods.count(gate, session, "logins", i.now())
}

// flush records the counts that are old enough, or all.
func (f *floods) flush(ctx context.Context, i *Interlock, all bool) error {
	now := i.now()
	f.mu.Lock()
	var due []*proof.Storm
	for k, c := range f.counts {
		if all || now.Sub(c.From.Time()) >= floodReport {
			due = append(due, c)
			delete(f.counts, k)
		}
	}
	f.mu.Unlock()
	for len(due) > 0 {
		n := min(len(due), ledger.MaxRecords)
		b := ledger.Batch{Vital: true}
		for _, c := range due[:n] {
			record, err := seal(now, newID(now), *c, nil)
			if err != nil {
				return err
			}
			b.Records = append(b.Records, record)
		}
		if _, err := i.ledger.Commit(ctx, b); err != nil {
			return fmt.Errorf("record storm counts: %w", err)
		}
		due = due[n:]
	}
	return nil
}
