package interlock

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// A Watch tells a gate when a session must stop.
type Watch struct {
	session signalbox.Session
	gate    string
	done    chan struct{}
	once    sync.Once
	err     error // set before done is closed
	drop    func()
}

// Done is closed when the session was halted, ended or has expired.
func (w *Watch) Done() <-chan struct{} { return w.done }

// Err says why, once Done is closed.
func (w *Watch) Err() error {
	select {
	case <-w.done:
		return w.err
	default:
		return nil
	}
}

// Release ends the watch. It may be called twice.
func (w *Watch) Release() { w.drop() }

func (w *Watch) stop(err error) {
	w.once.Do(func() {
		w.err = err
		close(w.done)
	})
}

// Watch tells when session s must stop at gate: at most a second after it was
// halted or ended, on whatever replica (promise P9).
func (i *Interlock) Watch(s signalbox.Session, gate string) *Watch {
	w := &Watch{session: s, gate: gate, done: make(chan struct{})}
	i.watches.add(w)
	if c := i.snapshot.Load(); c != nil {
		i.watches.check(w, c, i.now(), nil)
	}
	return w
}

// watches holds those who want to know of changes.
type watches struct {
	mu   sync.Mutex
	all  map[*Watch]bool
	wait chan struct{} // closed at the next change
}

func (w *watches) init() {
	w.all = make(map[*Watch]bool)
	w.wait = make(chan struct{})
}

func (w *watches) add(x *Watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all[x] = true
	x.drop = func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, x)
	}
}

// next gives a channel that is closed after the next look at the state.
func (w *watches) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wait
}

func (w *watches) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.wait)
	w.wait = make(chan struct{})
}

// sweep stops the watches whose session must stop.
func (w *watches) sweep(ctx context.Context, i *Interlock) {
	w.mu.Lock()
	list := make([]*Watch, 0, len(w.all))
	for x := range w.all {
		list = append(list, x)
	}
	w.mu.Unlock()
	if len(list) == 0 {
		return
	}
	c, now := i.snapshot.Load(), i.now()
	live := make(map[signalbox.SessionID]bool)
	rows, err := i.state.Sessions(ctx, true, now)
	if err != nil {
		i.log.Error("sessions cannot be read", "error", err)
		live = nil // the control state alone decides; requests are refused anyhow
	}
	for _, r := range rows {
		live[r.ID] = true
	}
	for _, x := range list {
		w.check(x, c, now, live)
	}
}

func (w *watches) check(x *Watch, c *snapshot, now time.Time, live map[signalbox.SessionID]bool) {
	if h := c.Halted(x.session, x.gate); h != nil {
		x.stop(fmt.Errorf("%s was halted by %s", h.What(), h.By))
		return
	}
	if err := x.session.Usable(x.gate, now); err != nil {
		x.stop(err)
		return
	}
	if err := c.checkOpener(x.session); err != nil {
		x.stop(err)
		return
	}
	if live != nil && !live[x.session.ID] {
		x.stop(fmt.Errorf("session %s was ended", x.session.ID))
	}
}
