package gate

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Failures limits how often strangers may try to be somebody. A right proof is
// never asked about: strangers who fail, from the same address or with the same
// name, must not keep anybody out. It is safe for concurrent use.
type Failures struct {
	limits []FailureLimit

	mu     sync.Mutex
	counts map[string]*failure
	swept  time.Time
}

// A FailureLimit is how many failures of one kind are answered at once. They are
// forgiven with time: all of them in a minute.
type FailureLimit struct {
	ByAddress bool // counted for one address
	ByName    bool // counted for one name
	Burst     int
}

type failure struct {
	limit *rate.Limiter
	last  time.Time
}

const (
	maxFailures = 8192 // remembered: strangers choose their names
	forgiveness = time.Minute
)

// GateFailures are the limits of gates: for one name from one address, for one
// address, and for one name from wherever.
func GateFailures() *Failures {
	return NewFailures(
		FailureLimit{ByAddress: true, ByName: true, Burst: 10},
		FailureLimit{ByAddress: true, Burst: 50},
		FailureLimit{ByName: true, Burst: 100},
	)
}

// NewFailures makes limits that nobody has come near yet.
func NewFailures(limits ...FailureLimit) *Failures {
	return &Failures{limits: limits, counts: make(map[string]*failure)}
}

func (l FailureLimit) key(address, name string) string {
	switch {
	case l.ByAddress && l.ByName:
		return address + "\x00" + name
	case l.ByAddress:
		return address
	default:
		return "\x00" + name
	}
}

// TooMany reports whether too many have failed of late from an address or with a
// name.
func (f *Failures) TooMany(address, name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.counts) == 0 {
		return false
	}
	for _, l := range f.limits {
		if c := f.counts[l.key(address, name)]; c != nil && c.limit.Tokens() < 1 {
			return true
		}
	}
	return false
}

// Add counts a failure.
func (f *Failures) Add(address, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if len(f.counts) >= maxFailures || now.Sub(f.swept) > forgiveness {
		f.sweep(now)
	}
	for _, l := range f.limits {
		key := l.key(address, name)
		c := f.counts[key]
		if c == nil {
			c = &failure{limit: rate.NewLimiter(rate.Every(forgiveness/time.Duration(l.Burst)), l.Burst)}
			f.counts[key] = c
		}
		c.limit.Allow()
		c.last = now
	}
}

// sweep drops what is forgiven; and everything, if there is no room then. The
// caller holds f.mu.
func (f *Failures) sweep(now time.Time) {
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
