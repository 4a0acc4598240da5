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
	stormBurst  = 50              // refusals recorded each, at once
	stormEvery  = time.Second     // one more
	holdsBurst  = 30              // holds opened at once
	holdsEvery  = 5 * time.Second // one more
	stormReport = 10 * time.Second
	maxBuckets  = 8192
)

// storms keeps what is turned away from filling the log.
type storms struct {
	mu      sync.Mutex
	buckets map[string]*bucket
	counts  map[string]*proof.Storm
}

// A bucket is a token bucket that fills with time.
type bucket struct {
	tokens float64
	at     time.Time
}

func (s *storms) init() {
	s.buckets = make(map[string]*bucket)
	s.counts = make(map[string]*proof.Storm)
}

// bucket gives a bucket filled up to now; nil when there is no room for another.
// Callers hold s.mu.
func (s *storms) bucket(key string, burst float64, every time.Duration, now time.Time) *bucket {
	b := s.buckets[key]
	if b == nil {
		if len(s.buckets) >= maxBuckets {
			for k, old := range s.buckets {
				if now.Sub(old.at) > time.Hour {
					delete(s.buckets, k)
				}
			}
			if len(s.buckets) >= maxBuckets {
				return nil
			}
		}
		b = &bucket{tokens: burst, at: now}
		s.buckets[key] = b
	}
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(burst, b.tokens+float64(d)/float64(every))
	}
	b.at = now
	return b
}

// refusal reports whether a refusal may be recorded; if not, it is counted.
func (s *storms) refusal(r Request, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.bucket("refusal/"+string(r.Session.ID), stormBurst, stormEvery, now); b != nil && b.tokens >= 1 {
		b.tokens--
		return true
	}
	s.count(r.Gate.Name, r.Session.ID, "refusals", now)
	return false
}

// holds reports an error when the human's sessions have opened too many holds of
// late. A hold counts when it was opened: see opened.
func (s *storms) holds(r Request, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.bucket("hold/"+ownerOf(r.Session.Actor), holdsBurst, holdsEvery, now); b != nil && b.tokens >= 1 {
		return nil
	}
	s.count(r.Gate.Name, r.Session.ID, "holds", now)
	return fmt.Errorf("too many requests that need approval: wait %s", holdsEvery)
}

// opened counts a hold.
func (s *storms) opened(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.buckets["hold/"+ownerOf(r.Session.Actor)]; b != nil {
		b.tokens--
	}
}

func (s *storms) count(gate string, session signalbox.SessionID, what string, now time.Time) {
	key := gate + "\x00" + string(session) + "\x00" + what
	c := s.counts[key]
	if c == nil {
		if len(s.counts) >= maxBuckets {
			session = "" // too many sessions to tell apart
			key = gate + "\x00\x00" + what
			if c = s.counts[key]; c != nil {
				c.Count++
				c.To = proof.At(now)
				return
			}
		}
		c = &proof.Storm{Gate: gate, Session: session, What: what, From: proof.At(now)}
		s.counts[key] = c
	}
	c.Count++
	c.To = proof.At(now)
}

// CountLogins lets a gate account for failed log-ins that it turned away.
func (i *Interlock) CountLogins(gate string, session signalbox.SessionID) {
	i.storms.mu.Lock()
	defer i.storms.mu.Unlock()
	i.storms.count(gate, session, "logins", i.now())
}

// flush records the counts that are old enough, or all.
func (s *storms) flush(ctx context.Context, i *Interlock, all bool) error {
	now := i.now()
	s.mu.Lock()
	var due []*proof.Storm
	for k, c := range s.counts {
		if all || now.Sub(c.From.Time()) >= stormReport {
			due = append(due, c)
			delete(s.counts, k)
		}
	}
	s.mu.Unlock()
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
