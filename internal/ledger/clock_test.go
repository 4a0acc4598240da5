package ledger_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

// An off is a clock that goes, and is wrong by as much as a test says.
type off struct{ by atomic.Int64 }

func (o *off) now() time.Time { return time.Now().Add(time.Duration(o.by.Load())) }

// A dial is a clock that stands still, and that a test sets.
type dial struct {
	mu sync.Mutex
	at time.Time
}

func (d *dial) set(at time.Time) { d.mu.Lock(); d.at = at; d.mu.Unlock() }
func (d *dial) now() time.Time   { d.mu.Lock(); defer d.mu.Unlock(); return d.at }

func (w *world) headTime() time.Time {
	w.t.Helper()
	h, err := w.store.Head(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return h.Time
}

func (w *world) vital() ledger.Batch {
	b := w.batch(1)
	b.Vital = true
	return b
}

// hourAgo is a time for tests to begin with that no database's clock is behind.
func hourAgo() time.Time { return time.Now().Add(-time.Hour).Truncate(time.Millisecond) }

func TestClock(t *testing.T) {
	onBoth(t, func(t *testing.T, db store.Config) {
		base := hourAgo()
		clock := &dial{at: base}
		w := newWorld(t, db)
		w.config.Now = clock.now
		w.open()
		clock.set(base.Add(10 * time.Second))
		w.mustCommit(1)
		clock.set(base.Add(9 * time.Second)) // within the skew: goes on, but not back
		w.mustCommit(1)
		if got, want := w.headTime(), base.Add(10*time.Second); !got.Equal(want) {
			t.Errorf("head time = %s, want %s", got, want)
		}
		if got, want := w.log.Now(), base.Add(10*time.Second); !got.Equal(want) {
			t.Errorf("Now = %s, want %s", got, want)
		}
		clock.set(base.Add(7 * time.Second))
		_, err := w.commit(w.batch(1))
		wantErr(t, err, ledger.ErrClock)
		w.reopen() // a restart does not forget
		_, err = w.commit(w.batch(1))
		wantErr(t, err, ledger.ErrClock)
		clock.set(base.Add(8 * time.Second))
		w.works()
	})
}

// What is vital passes whatever the clock says, and does not move the log's
// time.
func TestClockStopsNothingVital(t *testing.T) {
	onBoth(t, func(t *testing.T, db store.Config) {
		base := hourAgo()
		clock := &dial{at: base}
		w := newWorld(t, db)
		w.config.Now = clock.now
		w.open()
		w.mustCommit(1)
		for range 2 {
			clock.set(base.Add(-time.Hour))
			if _, err := w.commit(w.vital()); err != nil {
				t.Errorf("vital with the clock behind: %v", err)
			}
			if got := w.headTime(); !got.Equal(base) {
				t.Errorf("head time = %s, want %s", got, base)
			}
			_, err := w.commit(w.batch(1))
			wantErr(t, err, ledger.ErrClock)
			w.reopen()
		}
		clock.set(base)
		w.works()
	})
}

// One clock that is stepped forward stops nobody but itself: its time never
// gets into the head, so that others go on, and start again.
func TestClockAheadPoisonsNothing(t *testing.T) {
	db := store.Config{URL: pgtest.Shared(t).URL(), Logger: quiet}
	clock := &off{}
	wrong := newWorld(t, db)
	wrong.config.Now = clock.now
	wrong.open()
	wrong.mustCommit(1)
	clock.by.Store(int64(time.Hour))
	_, err := wrong.commit(wrong.batch(1))
	wantErr(t, err, ledger.ErrClock)
	if _, err := wrong.commit(wrong.vital()); err != nil {
		t.Errorf("vital with the clock ahead: %v", err)
	}
	if ahead := time.Until(wrong.log.Now()); ahead > time.Minute {
		t.Errorf("entries would be sealed %s ahead", ahead)
	}

	right := newWorld(t, db)
	right.key = wrong.key
	right.open()
	right.mustCommit(1)
	right.close()
	right.open()
	right.mustCommit(1)
	if ahead := time.Until(right.headTime()); ahead > time.Minute {
		t.Errorf("the head is %s ahead", ahead)
	}
	clock.by.Store(0)
	wrong.mustCommit(1)
}

// A log must not begin in the future either.
func TestClockAheadBeginsNothing(t *testing.T) {
	w := newWorld(t, store.Config{URL: pgtest.Shared(t).URL(), Logger: quiet})
	clock := &off{}
	clock.by.Store(int64(time.Hour))
	w.config.Now = clock.now
	wantErr(t, w.tryOpen(), ledger.ErrClock)
	clock.by.Store(0)
	w.open()
	w.works()
}

// A gatedStore lets a turn begin when it is told to.
type gatedStore struct {
	ledger.Store
	began, open chan struct{}
}

func (s gatedStore) Begin(ctx context.Context, b []ledger.Batch) (ledger.Turn, error) {
	s.began <- struct{}{}
	<-s.open
	return s.Store.Begin(ctx, b)
}

// In one group, what is vital is committed though the rest is refused.
func TestClockPartsAGroup(t *testing.T) {
	onBoth(t, func(t *testing.T, db store.Config) {
		base := hourAgo()
		clock := &dial{at: base}
		w := newWorld(t, db)
		w.config.Now = clock.now
		w.open()
		w.mustCommit(1)
		w.close()
		gate := gatedStore{began: make(chan struct{}), open: make(chan struct{})}
		w.aroundStore = func(s ledger.Store) ledger.Store { gate.Store = s; return gate }
		w.open()
		clock.set(base.Add(-time.Minute))
		errs := make(chan error, 4)
		commit := func(b ledger.Batch) { _, err := w.commit(b); errs <- err }
		go commit(w.vital())
		<-gate.began // the others wait, and make one group
		for _, b := range []ledger.Batch{w.batch(1), w.vital(), w.batch(1)} {
			go commit(b)
		}
		for w.log.Waiting() < 3 {
			if err := t.Context().Err(); err != nil {
				t.Fatal(err)
			}
		}
		go func() {
			for range gate.began {
			}
		}()
		close(gate.open)
		var done, refused int
		for range 4 {
			switch err := <-errs; {
			case err == nil:
				done++
			case errors.Is(err, ledger.ErrClock):
				refused++
			default:
				t.Error(err)
			}
		}
		if done != 2 || refused != 2 {
			t.Errorf("%d done, %d refused, want 2 and 2", done, refused)
		}
		w.log.Close()
		close(gate.began)
	})
}

// The documented way out, when a clock that was ahead has sealed something.
func TestAcceptClock(t *testing.T) {
	onBoth(t, func(t *testing.T, db store.Config) {
		clock := &off{}
		w := newWorld(t, db)
		w.config.Now = clock.now
		w.open()
		w.mustCommit(1)
		w.close()
		// Before servers looked at the database's clock, and with SQLite, the
		// log's time may have been carried forward.
		poison(t, db, time.Now().Add(time.Hour))
		w.open()
		_, err := w.commit(w.batch(1))
		wantErr(t, err, ledger.ErrClock)
		w.config.AcceptClock = true
		w.reopen()
		if ahead := time.Until(w.headTime()); ahead > time.Minute {
			t.Errorf("the head is still %s ahead", ahead)
		}
		w.works()
		w.config.AcceptClock = false
		w.reopen()
		w.works()
	})
}

// poison sets the head's time, as a server did whose clock was ahead.
func poison(t *testing.T, db store.Config, at time.Time) {
	t.Helper()
	s, err := store.Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	turn, err := s.Begin(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Rollback()
	h := turn.Head()
	h.Time = at
	if err := turn.Commit(t.Context(), h); err != nil {
		t.Fatal(err)
	}
}
