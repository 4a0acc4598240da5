package store

import (
	"context"
	"sync"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store/db"
)

// watchers are those who want to know when the control state, a session, a
// person or a hold changes. The zero value is ready.
type watchers struct {
	mu     sync.Mutex
	chans  map[chan struct{}]bool
	closed bool
}

// tell wakes everybody. A watcher that has not yet taken up the last news gets
// the two as one.
func (w *watchers) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.chans {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (w *watchers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for c := range w.chans {
		delete(w.chans, c)
		close(c)
	}
}

// Changes implements [interlock.State]. In this process the news comes right
// after the commit; from another, through PostgreSQL's NOTIFY, some
// milliseconds later. When the connection that listens is lost there is news
// at once and every second, because something may have been missed.
func (s *Store) Changes(ctx context.Context) <-chan struct{} {
	w := &s.watchers
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		close(c)
		return c
	}
	if w.chans == nil {
		w.chans = make(map[chan struct{}]bool)
	}
	w.chans[c] = true
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.chans[c] {
			delete(w.chans, c)
			close(c)
		}
	})
	return c
}

// newsworthy are the statements after which [Store.Changes] tells. A halt, a
// freeze, a policy, a change of people: all raise the control epoch.
var newsworthy = func() map[string]bool {
	set := make(map[string]bool)
	for _, query := range []func(context.Context, *db.Queries){
		func(ctx context.Context, q *db.Queries) { q.RaiseEpoch(ctx, 0) },
		func(ctx context.Context, q *db.Queries) { q.EndSession(ctx, db.EndSessionParams{}) },
		func(ctx context.Context, q *db.Queries) { q.AddHold(ctx, db.AddHoldParams{}) },
		func(ctx context.Context, q *db.Queries) { q.AddAnswer(ctx, db.AddAnswerParams{}) },
		func(ctx context.Context, q *db.Queries) { q.ConfirmHold(ctx, db.ConfirmHoldParams{}) },
		func(ctx context.Context, q *db.Queries) { q.MoveHold(ctx, db.MoveHoldParams{}) },
		func(ctx context.Context, q *db.Queries) { q.AddHalt(ctx, db.AddHaltParams{}) },
		func(ctx context.Context, q *db.Queries) { q.RemoveHalt(ctx, db.RemoveHaltParams{}) },
		func(ctx context.Context, q *db.Queries) { q.AddFreeze(ctx, db.AddFreezeParams{}) },
		func(ctx context.Context, q *db.Queries) { q.EndFreeze(ctx, db.EndFreezeParams{}) },
		func(ctx context.Context, q *db.Queries) { q.AddBreakGlass(ctx, db.AddBreakGlassParams{}) },
		func(ctx context.Context, q *db.Queries) { q.EndBreakGlass(ctx, db.EndBreakGlassParams{}) },
		func(ctx context.Context, q *db.Queries) { q.SetPolicy(ctx, "") },
		func(ctx context.Context, q *db.Queries) { q.PutPerson(ctx, db.PutPersonParams{}) },
		func(ctx context.Context, q *db.Queries) { q.RemovePerson(ctx, "") },
	} {
		set[record(ledger.AnyRows, query).SQL] = true
	}
	return set
}()

// news reports whether any batch that went through is worth telling.
func news(batches []ledger.Batch, errs []error) bool {
	for i, b := range batches {
		if errs[i] != nil {
			continue
		}
		for _, s := range b.Changes {
			if newsworthy[s.SQL] {
				return true
			}
		}
	}
	return false
}
