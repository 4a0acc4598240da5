package ledger_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/internal/store/storetest"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

const origin = "log.example/test"

var quiet = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) {
	if role := os.Getenv("SIGNALBOX_LEDGER_CHILD"); role != "" {
		child(role) // does not return
	}
	pgtest.Main(m)
}

// onBoth runs a test on an empty database of each kind.
func onBoth(t *testing.T, test func(t *testing.T, cfg store.Config)) {
	t.Run("SQLite", func(t *testing.T) { test(t, store.Config{Path: t.TempDir(), Logger: quiet}) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, store.Config{URL: pgtest.Shared(t).URL(), Logger: quiet}) })
}

// A world is a log with all that it stands on. It can be closed and opened
// again, as after a crash.
type world struct {
	t      *testing.T
	name   string // in ids of records: several worlds may follow on one database
	dir    string
	db     store.Config
	key    *ledger.Key
	folder *ledger.Folder

	// Put between the log and what it stands on when it is opened next.
	aroundStore func(ledger.Store) ledger.Store
	aroundShelf func(ledger.Shelf) ledger.Shelf
	aroundBlobs func(ledger.Blobs) ledger.Blobs
	config      ledger.Config // further settings

	store *store.Store
	log   *ledger.Log

	serial atomic.Int64
	mu     sync.Mutex
	acked  storetest.Acked
}

func newWorld(t *testing.T, db store.Config) *world {
	t.Helper()
	w := &world{t: t, name: rand.Text(), dir: t.TempDir(), db: db, acked: storetest.Acked{}}
	var err error
	if w.key, err = ledger.LoadOrCreateKey(filepath.Join(w.dir, "log.key"), origin); err != nil {
		t.Fatal(err)
	}
	if w.folder, err = ledger.OpenFolder(filepath.Join(w.dir, "log")); err != nil {
		t.Fatal(err)
	}
	w.config = ledger.Config{Logger: quiet, Interval: time.Hour, Uploads: 1}
	t.Cleanup(w.close)
	return w
}

func (w *world) tryOpen() error {
	w.t.Helper()
	ctx := context.Background()
	var err error
	if w.store == nil {
		if w.store, err = store.Open(ctx, w.db); err != nil {
			return err
		}
	}
	cfg := w.config
	cfg.Store, cfg.Shelf, cfg.Blobs, cfg.Key = w.store, w.store, w.folder, w.key
	if w.aroundStore != nil {
		cfg.Store = w.aroundStore(cfg.Store)
	}
	if w.aroundShelf != nil {
		cfg.Shelf = w.aroundShelf(cfg.Shelf)
	}
	if w.aroundBlobs != nil {
		cfg.Blobs = w.aroundBlobs(cfg.Blobs)
	}
	w.log, err = ledger.Open(ctx, cfg)
	return err
}

func (w *world) open() {
	w.t.Helper()
	if err := w.tryOpen(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) close() {
	if w.log != nil {
		w.log.Close()
		w.log = nil
	}
	if w.store != nil {
		w.store.Close()
		w.store = nil
	}
}

// reopen opens the log as after a crash, and checks what the crash left before
// anything repairs it.
func (w *world) reopen() {
	w.t.Helper()
	w.close()
	w.aroundStore, w.aroundShelf, w.aroundBlobs = nil, nil, nil
	var err error
	if w.store, err = store.Open(context.Background(), w.db); err != nil {
		w.t.Fatal(err)
	}
	if h, err := w.store.Head(context.Background()); err != nil {
		w.t.Fatal(err)
	} else if len(h.Checkpoint) > 0 { // else it crashed before there was a log
		w.check()
	}
	w.open()
}

// batch makes a batch of n records that was never made before.
func (w *world) batch(n int) ledger.Batch {
	var b ledger.Batch
	for range n {
		i := w.serial.Add(1)
		b.Records = append(b.Records, ledger.Record{ID: fmt.Sprintf("%s-%d", w.name, i),
			Leaf: fmt.Appendf(nil, "leaf %d of %s", i, w.name)})
	}
	return b
}

// commit commits and remembers what was acknowledged.
func (w *world) commit(b ledger.Batch) (ledger.Receipt, error) {
	r, err := w.log.Commit(context.Background(), b)
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		for i, rec := range b.Records {
			w.acked[r.Index+int64(i)] = rec.Leaf
		}
	}
	return r, err
}

func (w *world) mustCommit(n int) ledger.Receipt {
	w.t.Helper()
	r, err := w.commit(w.batch(n))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) mustPublish() {
	w.t.Helper()
	if _, err := w.log.Publish(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) check() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	storetest.CheckLog(w.t, w.store, w.store, w.folder, w.key.Verifier(), w.acked)
}

// works checks that the log takes entries and publishes them.
func (w *world) works() {
	w.t.Helper()
	r := w.mustCommit(2)
	w.mustPublish()
	w.check()
	if size, _ := w.log.Published(); size != r.Size {
		w.t.Errorf("published size = %d, want %d", size, r.Size)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want one that wraps %v", err, want)
	}
}
