package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

func newWorldOnPostgreSQL(t *testing.T) *world {
	return newWorld(t, store.Config{URL: pgtest.Shared(t).URL(), Logger: quiet})
}

// A fault makes the k-th durable step fail, in one of two ways: it did not
// happen, or it happened and we were not told. From then on all steps fail
// without happening, as if the process had died, unless once is set.
type fault struct {
	at       int64
	happens  bool
	once     bool
	steps    atomic.Int64
	tripped  atomic.Bool
	cut      chan struct{} // closed when it trips
	lastStep atomic.Value
}

var errFault = errors.New("injected fault")

// step runs a durable step, or not.
func (f *fault) step(name string, do func() error) error {
	if f.tripped.Load() && !f.once {
		return fmt.Errorf("%s: %w (dead)", name, errFault)
	}
	if f.steps.Add(1)-1 != f.at {
		return do()
	}
	f.lastStep.Store(name)
	f.tripped.Store(true)
	close(f.cut)
	if f.happens {
		if err := do(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: %w", name, errFault)
}

type faultyStore struct {
	ledger.Store
	f *fault
}

func (s faultyStore) Begin(ctx context.Context, b []ledger.Batch) (ledger.Turn, error) {
	if s.f.tripped.Load() && !s.f.once {
		return nil, fmt.Errorf("begin: %w (dead)", errFault)
	}
	turn, err := s.Store.Begin(ctx, b)
	return faultyTurn{turn, s.f}, err
}

type faultyTurn struct {
	ledger.Turn
	f *fault
}

func (t faultyTurn) Commit(ctx context.Context, h ledger.Head) error {
	return t.f.step("commit", func() error { return t.Turn.Commit(ctx, h) })
}

type faultyShelf struct {
	ledger.Shelf
	f *fault
}

func (s faultyShelf) Publish(ctx context.Context, old int64, p ledger.Published) (moved bool, err error) {
	err = s.f.step("publish", func() (err error) { moved, err = s.Shelf.Publish(ctx, old, p); return err })
	return moved, err
}

type faultyBlobs struct {
	ledger.Blobs
	f *fault
}

func (b faultyBlobs) Put(ctx context.Context, name string, data []byte) error {
	return b.f.step("put "+name, func() error { return b.Blobs.Put(ctx, name, data) })
}

func (b faultyBlobs) Sync(ctx context.Context) error {
	return b.f.step("sync", func() error { return b.Blobs.Sync(ctx) })
}

func (b faultyBlobs) Remove(ctx context.Context, name string) error {
	return b.f.step("remove "+name, func() error { return b.Blobs.Remove(ctx, name) })
}

func (w *world) inject(f *fault) {
	w.aroundStore = func(s ledger.Store) ledger.Store { return faultyStore{s, f} }
	w.aroundShelf = func(s ledger.Shelf) ledger.Shelf { return faultyShelf{s, f} }
	w.aroundBlobs = func(b ledger.Blobs) ledger.Blobs { return faultyBlobs{b, f} }
}

// TestCrashAtEveryDurableStep fails step k for k = 0, 1, 2 … until there is no
// such step, in both ways, then opens the log again and checks everything.
func TestCrashAtEveryDurableStep(t *testing.T) {
	onBoth(t, func(t *testing.T, db store.Config) {
		seen := map[string]bool{}
		for _, happens := range []bool{false, true} {
			for k := int64(0); ; k++ {
				cfg := db
				if cfg.Path != "" {
					cfg.Path = t.TempDir()
				} else {
					cfg.Schema = fmt.Sprintf("crash_%v_%d", happens, k)
				}
				w := newWorld(t, cfg)
				w.config.Resolve = 50 * time.Millisecond
				f := &fault{at: k, happens: happens, cut: make(chan struct{})}
				w.inject(f)
				if err := w.tryOpen(); err == nil {
					// Errors are what is tested; what was acknowledged counts.
					for _, n := range []int{3, 255} {
						if _, err := w.commit(w.batch(n)); err != nil && !errors.Is(err, errFault) &&
							!errors.Is(err, ledger.ErrUnknown) {
							t.Errorf("step %d: %v", k, err)
						}
						w.log.Publish(context.Background())
					}
				}
				tripped := f.tripped.Load()
				if tripped {
					seen[f.lastStep.Load().(string)] = true
				}
				w.reopen()
				w.works()
				w.close()
				if t.Failed() {
					t.Fatalf("step %d (%v), happened = %v", k, f.lastStep.Load(), happens)
				}
				if !tripped {
					break
				}
			}
		}
		for _, step := range []string{"commit", "publish", "put checkpoint", "put tile/entries/000", "put tile/0/000",
			"put tile/1/000.p/1", "put tile/entries/001.p/2", "remove tile/0/000.p/3"} {
			if !seen[step] {
				t.Errorf("no crash at step %q; crashed at %v", step, seen)
			}
		}
	})
}

// One lost answer, and the database is there to ask: the caller gets the truth.
func TestLostAnswerIsLookedUp(t *testing.T) {
	onBoth(t, func(t *testing.T, db store.Config) {
		keys := t.TempDir()
		for _, happens := range []bool{false, true} {
			w := newWorld(t, db)
			w.keyIn(keys) // one log for both rounds
			f := &fault{at: 1, happens: happens, once: true, cut: make(chan struct{})}
			if happens {
				f.at = 0 // the log has begun already
			}
			w.aroundStore = func(s ledger.Store) ledger.Store { return faultyStore{s, f} }
			w.open()
			b := w.batch(2)
			for i := range b.Records {
				b.Records[i].ID = fmt.Sprintf("%v-%d", happens, i)
			}
			r, err := w.commit(b)
			idx, findErr := w.log.Find(context.Background(), b.Records[0].ID)
			if happens && (err != nil || findErr != nil || idx != r.Index) {
				t.Errorf("it happened: receipt %d, %v; found %d, %v", r.Index, err, idx, findErr)
			}
			if !happens {
				wantErr(t, err, errFault)
				wantErr(t, findErr, ledger.ErrNotFound)
				if errors.Is(err, ledger.ErrUnknown) {
					t.Error("unknown, though the database could be asked")
				}
			}
			w.works()
			w.close()
		}
	})
}

// keyIn takes the key in dir, for several worlds on one database.
func (w *world) keyIn(dir string) {
	w.t.Helper()
	key, err := ledger.LoadOrCreateKey(filepath.Join(dir, "log.key"), origin)
	if err != nil {
		w.t.Fatal(err)
	}
	w.key = key
}

// Nobody can be asked: the caller is told just that.
func TestUnknownIsSaid(t *testing.T) {
	w := newWorld(t, store.Config{Path: t.TempDir(), Logger: quiet})
	w.config.Resolve = 50 * time.Millisecond
	f := &fault{at: 1, happens: true, cut: make(chan struct{})}
	w.inject(f)
	w.open()
	_, err := w.commit(w.batch(1))
	wantErr(t, err, ledger.ErrUnknown)
	wantErr(t, err, errFault)
	w.reopen()
	w.works()
}

// stuckStore lets Begin wait for a token.
type stuckStore struct {
	ledger.Store
	entered, leave chan struct{}
}

func (s stuckStore) Begin(ctx context.Context, b []ledger.Batch) (ledger.Turn, error) {
	if len(b) > 0 {
		s.entered <- struct{}{}
		<-s.leave
	}
	return s.Store.Begin(ctx, b)
}

func TestCancelledCallerDoesNotHurtOthers(t *testing.T) {
	w := newWorld(t, store.Config{Path: t.TempDir(), Logger: quiet})
	w.config.Queue = 2
	stuck := stuckStore{entered: make(chan struct{}), leave: make(chan struct{})}
	w.aroundStore = func(s ledger.Store) ledger.Store { stuck.Store = s; return stuck }
	w.open()

	type result struct {
		r   ledger.Receipt
		err error
	}
	start := func(ctx context.Context, b ledger.Batch) chan result {
		c := make(chan result, 1)
		go func() {
			r, err := w.log.Commit(ctx, b)
			c <- result{r, err}
		}()
		return c
	}
	ctx, cancel := context.WithCancel(context.Background())
	taken := w.batch(1)
	first := start(ctx, taken)
	<-stuck.entered // taken up
	waiting, kept := w.batch(1), w.batch(1)
	second := start(ctx, waiting)
	third := start(context.Background(), kept)
	for w.log.Waiting() < 2 {
		runtime.Gosched()
	}
	// The queue is full now: one more waits outside.
	fourth := start(ctx, w.batch(1))
	cancel()
	got := <-first
	wantErr(t, got.err, ledger.ErrUnknown)
	wantErr(t, got.err, context.Canceled)
	for _, c := range []chan result{second, fourth} {
		got := <-c
		wantErr(t, got.err, context.Canceled)
		if errors.Is(got.err, ledger.ErrUnknown) {
			t.Errorf("%v: it was never taken up", got.err)
		}
	}
	stuck.leave <- struct{}{}
	<-stuck.entered
	stuck.leave <- struct{}{}
	if got := <-third; got.err != nil || got.r.Index != 1 {
		t.Errorf("third = %+v", got)
	}
	ids := context.Background()
	if _, err := w.log.Find(ids, taken.Records[0].ID); err != nil {
		t.Errorf("the batch that was taken up: %v", err)
	}
	_, err := w.log.Find(ids, waiting.Records[0].ID)
	wantErr(t, err, ledger.ErrNotFound)
	w.reopen()
}

func TestClosedLogAnswersEverybody(t *testing.T) {
	w := newWorld(t, store.Config{Path: t.TempDir(), Logger: quiet})
	w.open()
	errs := make(chan error)
	const writers = 50
	for range writers {
		go func() {
			for {
				if _, err := w.commit(w.batch(1)); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	w.mustCommit(1)
	w.log.Close()
	w.log.Close()
	for range writers {
		wantErr(t, <-errs, ledger.ErrClosed)
	}
	wantErr(t, w.log.Wait(context.Background(), 1<<40), ledger.ErrClosed)
	w.reopen()
	w.works()
}

func TestDatabaseLostAndBack(t *testing.T) {
	server := pgtest.New(t, pgtest.Config{Durable: true})
	w := newWorld(t, store.Config{URL: server.URL("postgres"), Logger: quiet})
	w.config.Resolve = time.Second
	w.config.Interval = 50 * time.Millisecond
	w.open()
	for round, end := range []func(){func() { server.Kill() }, func() {
		if err := server.Stop(); err != nil {
			t.Fatal(err)
		}
	}} {
		w.works()
		// Writers go on until the database is gone from under them.
		const writers = 8
		errs := make(chan error)
		written := make(chan struct{}, 50)
		for range writers {
			go func() {
				for {
					if _, err := w.commit(w.batch(1)); err != nil {
						errs <- err
						return
					}
					select {
					case written <- struct{}{}:
					default:
					}
				}
			}()
		}
		for range cap(written) {
			<-written
		}
		end()
		for range writers {
			if err := <-errs; errors.Is(err, ledger.ErrStale) || errors.Is(err, ledger.ErrTampered) ||
				errors.Is(err, ledger.ErrDuplicate) {
				t.Errorf("round %d: %v is not what happened", round, err)
			}
		}
		if _, err := w.commit(w.batch(1)); err == nil {
			t.Errorf("round %d: committed without a database", round)
		}
		if err := server.Restart(context.Background()); err != nil {
			t.Fatal(err)
		}
		w.works() // by itself
	}
}
