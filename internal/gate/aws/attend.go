package aws

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/proof"
)

const (
	// attendEvery is how often sessions are looked after: it bounds how late
	// summaries of reads are begun.
	attendEvery = 100 * time.Millisecond
	// attendLife is how long a session without requests is remembered, and how
	// long it is believed that its credential is still good although nobody
	// said otherwise: halts and ends come by the watch.
	attendLife = time.Minute
)

// An attendance is a session with requests at this gate, of late.
type attendance struct {
	session    signalbox.Session
	credential string
	asked      time.Time // when it was authenticated
	ctx        context.Context
	cut        context.CancelCauseFunc
	done       <-chan struct{} // closed when the session must stop
	release    func()          // ends the watch
	tally      *interlock.Tally

	requests int       // proved, being served; guarded by Gate.mu
	visitors int       // that claim to be of it; guarded by Gate.mu
	last     time.Time // of a request; guarded by Gate.mu
}

var (
	errBusy    = errors.New("too many requests of this session are being served: let the client make fewer at once")
	errNoEntry = errors.New("the session may not be used")
)

// maxLookups is how many sessions are looked up at once: strangers choose ids.
const maxLookups = 8

// join finds the session that a request claims to be of. Nothing is proved by
// it, and nothing of the session's taken: the caller compares the credential, and
// calls enlist then. In any case it calls part.
func (g *Gate) join(ctx context.Context, id signalbox.SessionID) (*attendance, error) {
	now := time.Now()
	g.mu.Lock()
	a := g.sessions[id]
	if a != nil && !a.over() && now.Sub(a.asked) < attendLife {
		defer g.mu.Unlock()
		a.visitors++
		return a, nil
	}
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, g.HeaderTimeout)
	defer cancel()
	if err := g.lookups.Acquire(ctx, 1); err != nil {
		return nil, errSlow
	}
	s, credential, err := g.Interlock.Authenticate(ctx, g.Config.Gate.Name, id)
	g.lookups.Release(1)
	if err != nil {
		if a != nil {
			a.cut(err)
		}
		return nil, fmt.Errorf("%w: %w", errNoEntry, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	a = g.sessions[id]
	switch {
	case a == nil || a.over():
		a = g.attendTo(a, s, credential)
	case a.credential != credential:
		// The person's or the session's epoch was raised.
		a.cut(errors.New("the session's credential was replaced"))
		a = g.attendTo(a, s, credential)
	}
	a.asked = now
	a.visitors++
	return a, nil
}

// over reports whether the session must stop, or was forgotten here.
func (a *attendance) over() bool {
	select {
	case <-a.done:
		return true
	default:
		return a.ctx.Err() != nil
	}
}

// attendTo begins to watch a session. The caller holds g.mu.
func (g *Gate) attendTo(before *attendance, s signalbox.Session, credential string) *attendance {
	a := &attendance{session: s, credential: credential}
	if before != nil {
		before.release()
		a.tally = before.tally // what it read is still to be recorded
	} else {
		a.tally = interlock.NewTally(s, g.Config.Gate, func(ctx context.Context, sum proof.Reads) error { return g.Interlock.Reads(ctx, sum) })
	}
	a.ctx, a.cut = context.WithCancelCause(g.ctx)
	a.last = time.Now()
	done, why, release := g.Interlock.Watch(s, g.Config.Gate.Name)
	a.done, a.release = done, release
	g.sessions[s.ID] = a
	g.wg.Go(func() {
		defer g.caught("a session's watch")
		select {
		case <-done:
			a.cut(why())
		case <-a.ctx.Done():
		}
	})
	return a
}

// enlist counts a request that was proved to be of the session.
func (g *Gate) enlist(a *attendance) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.requests >= g.MaxPerSession {
		return errBusy
	}
	a.requests++
	a.last = time.Now()
	return nil
}

func (g *Gate) part(a *attendance, proved bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a.visitors--
	if proved {
		a.requests--
		a.last = time.Now()
	}
}

// attend records summaries that are due, and forgets sessions that have gone.
func (g *Gate) attend() {
	tick := time.NewTicker(attendEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-g.ctx.Done():
			return
		}
		g.lookAfter(time.Now())
	}
}

func (g *Gate) lookAfter(now time.Time) {
	defer g.caught("looking after sessions")
	var due []*attendance
	func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for id, a := range g.sessions {
			idle := a.visitors == 0 && (now.Sub(a.last) > attendLife || a.over())
			if a.tally.Due(now) {
				due = append(due, a)
			} else if idle {
				a.release()
				a.cut(errNoEntry)
				delete(g.sessions, id)
				g.wg.Go(func() {
					defer g.caught("a session's end")
					g.settle(a)
				})
			}
		}
	}()
	for _, a := range due {
		wait := a.tally.Flush(g.ctx)
		g.wg.Go(func() {
			defer g.caught("a summary of reads")
			if err := wait(); err != nil {
				g.unrecorded(a, err)
			}
		})
	}
	g.failures.forget(now)
	g.roles.forget(now)
}

// settle records what a session has read and nobody wrote down yet.
func (g *Gate) settle(a *attendance) {
	if err := a.tally.Close(g.ctx); err != nil {
		g.unrecorded(a, err)
	}
}

func (g *Gate) unrecorded(a *attendance, err error) {
	g.Logger.Error("reads could not be recorded", "session", string(a.session.ID), "gate", g.Config.Gate.Name, "error", err)
}

func (g *Gate) cutAll(why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.sessions {
		a.cut(why)
	}
}

// endAll settles all sessions at the end of the gate.
func (g *Gate) endAll() {
	g.mu.Lock()
	sessions := g.sessions
	g.sessions = make(map[signalbox.SessionID]*attendance)
	g.mu.Unlock()
	for _, a := range sessions {
		a.release()
		g.settle(a)
	}
}
