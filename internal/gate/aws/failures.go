package aws

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// failures limits how often strangers may try to be somebody. Who signs rightly
// is never limited.
type failures struct {
	mu     sync.Mutex
	counts map[string]*failure
	swept  time.Time
}

type failure struct {
	limit *rate.Limiter
	last  time.Time
}

const (
	maxFailures = 8192 // remembered: strangers choose their names
	forgiveness = time.Minute
)

func newFailures() *failures { return &failures{counts: make(map[string]*failure)} }

// failureKeys are what failures are counted by, and how many of each are let
// through in a row: from one address with one key, from one address, and of one
// key from wherever. They are forgiven with time, so that nobody is locked out
// for long by somebody else's attempts.
func failureKeys(from, key string) [3]failureKey {
	return [3]failureKey{{from + "\x00" + key, 10}, {from, 50}, {"\x00" + key, 100}}
}

type failureKey struct {
	key   string
	burst int
}

// may reports whether another signature may be looked at.
func (f *failures) may(from, key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.counts) == 0 {
		return true
	}
	for _, k := range failureKeys(from, key) {
		if c := f.counts[k.key]; c != nil && c.limit.Tokens() < 1 {
			return false
		}
	}
	return true
}

func (f *failures) failed(from, key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if len(f.counts) >= maxFailures {
		f.sweep(now)
	}
	for _, k := range failureKeys(from, key) {
		c := f.counts[k.key]
		if c == nil {
			c = &failure{limit: rate.NewLimiter(rate.Every(forgiveness/time.Duration(k.burst)), k.burst)}
			f.counts[k.key] = c
		}
		c.limit.Allow()
		c.last = now
	}
}

// forget drops what is forgiven, now and then.
func (f *failures) forget(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.swept) > forgiveness {
		f.sweep(now)
	}
}

// sweep drops what is forgiven; and everything, if there is no room then.
func (f *failures) sweep(now time.Time) {
	f.swept = now
	for key, c := range f.counts {
		if now.Sub(c.last) > forgiveness {
			delete(f.counts, key)
		}
	}
	if len(f.counts) >= maxFailures {
		clear(f.counts)
	}
}
