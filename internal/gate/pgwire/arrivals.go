package pgwire

import (
	"container/list"
	"context"
	"net"
	"sync"
)

// arrivals are connections that have not logged in: anybody's. None of them is
// refused for the number of the others, or silent ones would shut everybody out.
// The oldest makes room instead: of the same address, or of all.
type arrivals struct {
	max, perAddress int

	mu      sync.Mutex
	order   *list.List // of *arrival, the oldest first
	address map[string]int
}

// An arrival is one of them.
type arrival struct {
	conn   net.Conn
	from   string
	ctx    context.Context // ends when it must make room, or the gate closes
	cancel context.CancelFunc
	at     *list.Element // nil when it has logged in or gone; guarded by arrivals.mu
}

func newArrivals(limit int) *arrivals {
	return &arrivals{max: limit, perAddress: max(1, limit/4), order: list.New(), address: make(map[string]int)}
}

// add takes a connection in, and cuts another if there is no room. It reports
// whether it did.
func (r *arrivals) add(ctx context.Context, conn net.Conn) (a *arrival, crowded bool) {
	a = &arrival{conn: conn, from: remote(conn)}
	a.ctx, a.cancel = context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.address[a.from] >= r.perAddress {
		crowded = true
		for e := r.order.Front(); e != nil; e = e.Next() {
			if old := e.Value.(*arrival); old.from == a.from {
				r.cut(old)
				break
			}
		}
	}
	if r.order.Len() >= r.max {
		crowded = true
		r.cut(r.order.Front().Value.(*arrival))
	}
	a.at = r.order.PushBack(a)
	r.address[a.from]++
	return a, crowded
}

// done takes a connection out, because it has logged in or gone. It may be
// called twice.
func (r *arrivals) done(a *arrival) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(a)
}

// cutAll cuts all that are there.
func (r *arrivals) cutAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.order.Len() > 0 {
		r.cut(r.order.Front().Value.(*arrival))
	}
}

// cut ends a connection. The caller holds r.mu.
func (r *arrivals) cut(a *arrival) {
	r.remove(a)
	a.cancel()
	a.conn.Close()
}

func (r *arrivals) remove(a *arrival) {
	if a.at == nil {
		return
	}
	r.order.Remove(a.at)
	a.at = nil
	if r.address[a.from]--; r.address[a.from] == 0 {
		delete(r.address, a.from)
	}
}
