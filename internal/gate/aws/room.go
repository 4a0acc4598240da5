package aws

import (
	"net/http"
	"sync"
)

// A room is where bodies wait that must be read before it can be proved whose
// they are. It takes what came, and not what was announced. When it is full, it
// makes room by sending away: from where the most came, the one that waits
// longest. So whoever fills it stands in his own way alone.
type room struct {
	limit int64

	mu     sync.Mutex
	used   int64
	guests map[*guest]struct{}
	count  int64 // of guests that ever came
}

// A guest is one body in the room.
type guest struct {
	from  string
	bytes int64
	came  int64
	gone  bool
	leave func(error)
}

var errRoom = &refusal{status: http.StatusServiceUnavailable, code: "SlowDown",
	message: "the gate holds as many bodies of unproved requests as it may, and most came from here: send x-amz-content-sha256, or try again"}

func newRoom(limit int64) *room { return &room{limit: limit, guests: make(map[*guest]struct{})} }

// enter lets a body in that came from somewhere; leave is called if it is sent
// away, and must not call the room.
func (r *room) enter(from string, leave func(error)) *guest {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	g := &guest{from: from, came: r.count, leave: leave}
	r.guests[g] = struct{}{}
	return g
}

// grow takes n bytes more. It reports false for a guest that was sent away.
func (r *room) grow(g *guest, n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g.gone {
		return false
	}
	g.bytes += n
	r.used += n
	for r.used > r.limit {
		r.remove(r.heaviest(), errRoom)
	}
	return !g.gone
}

// heaviest gives the guest that must go.
func (r *room) heaviest() *guest {
	sums := map[string]int64{}
	for g := range r.guests {
		sums[g.from] += g.bytes
	}
	var worst *guest
	for g := range r.guests {
		if g.bytes == 0 {
			continue
		}
		if worst == nil || sums[g.from] > sums[worst.from] || sums[g.from] == sums[worst.from] && g.came < worst.came {
			worst = g
		}
	}
	return worst
}

// remove sends a guest away. The caller holds r.mu.
func (r *room) remove(g *guest, why error) {
	g.gone = true
	r.used -= g.bytes
	delete(r.guests, g)
	g.leave(why)
}

// out is for a guest that goes by itself.
func (r *room) out(g *guest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !g.gone {
		g.gone = true
		r.used -= g.bytes
		delete(r.guests, g)
	}
}
