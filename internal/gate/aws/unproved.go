package aws

import (
	"net/http"
	"sync"
)

// An unprovedBodies bounds the bodies that must be read before it can be proved
// whose they are. It counts what came, and not what was announced. When it is
// full, a body is given up: from where the most came, the one that waits longest.
// So whoever fills it stands in his own way alone.
type unprovedBodies struct {
	limit int64 // bytes

	mu     sync.Mutex
	used   int64
	bodies map[*unproved]struct{}
	count  int64 // of bodies that ever came
}

// An unproved is one body.
type unproved struct {
	from   string
	bytes  int64
	number int64 // in the order of coming
	gone   bool
	giveUp func(error)
}

var errUnproved = &refusal{status: http.StatusServiceUnavailable, code: "SlowDown",
	message: "the gate holds as many bodies of unproved requests as it may, and most came from here: send x-amz-content-sha256, or try again"}

func newUnprovedBodies(limit int64) *unprovedBodies {
	return &unprovedBodies{limit: limit, bodies: make(map[*unproved]struct{})}
}

// add adds a body that came from somewhere. giveUp is called if it must go, and
// must not call u.
func (u *unprovedBodies) add(from string, giveUp func(error)) *unproved {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.count++
	b := &unproved{from: from, number: u.count, giveUp: giveUp}
	u.bodies[b] = struct{}{}
	return b
}

// grow takes n bytes more. It reports false for a body that was given up.
func (u *unprovedBodies) grow(b *unproved, n int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if b.gone {
		return false
	}
	b.bytes += n
	u.used += n
	for u.used > u.limit {
		worst := u.worst()
		u.drop(worst)
		worst.giveUp(errUnproved)
	}
	return !b.gone
}

// worst gives the body that must go. The caller holds u.mu.
func (u *unprovedBodies) worst() *unproved {
	sums := map[string]int64{}
	for b := range u.bodies {
		sums[b.from] += b.bytes
	}
	var worst *unproved
	for b := range u.bodies {
		if b.bytes == 0 {
			continue
		}
		if worst == nil || sums[b.from] > sums[worst.from] || sums[b.from] == sums[worst.from] &&
			b.number < worst.number {
			worst = b
		}
	}
	return worst
}

// drop takes a body out. The caller holds u.mu.
func (u *unprovedBodies) drop(b *unproved) {
	b.gone = true
	u.used -= b.bytes
	delete(u.bodies, b)
}

// remove is for a body that was read.
func (u *unprovedBodies) remove(b *unproved) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !b.gone {
		u.drop(b)
	}
}
