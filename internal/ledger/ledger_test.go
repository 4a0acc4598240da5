package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
)

func TestCommitAndPublish(t *testing.T) {
	onBoth(t, func(t *testing.T, db store.Config) {
		ctx := context.Background()
		w := newWorld(t, db)
		w.open()
		w.check() // empty, and signed
		for _, n := range []int{1, 2, 250, 3, 256, 256, 256} {
			r := w.mustCommit(n)
			if r.Size != r.Index+int64(n) {
				t.Errorf("receipt of %d records: index %d, size %d", n, r.Index, r.Size)
			}
			if err := w.log.Wait(ctx, r.Size-1); err != nil {
				t.Fatal(err)
			}
			w.check()
		}
		proof, err := w.log.Proof(ctx, 700)
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := note.NewVerifier(w.log.Verifier())
		if err != nil {
			t.Fatal(err)
		}
		policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(origin), torchwood.SingleVerifierPolicy(verifier))
		if err := torchwood.VerifyProof(policy, tlog.RecordHash(w.acked[700]), proof); err != nil {
			t.Error(err)
		}
		if err := torchwood.VerifyProof(policy, tlog.RecordHash([]byte("other")), proof); err == nil {
			t.Error("proof holds for another leaf")
		}
		row, err := w.log.Entry(ctx, 700)
		if err != nil || string(row.Leaf) != string(w.acked[700]) {
			t.Errorf("entry 700 = %+v, %v", row, err)
		}
		if idx, err := w.log.Find(ctx, row.ID); idx != 700 || err != nil {
			t.Errorf("find = %d, %v", idx, err)
		}
		_, err = w.log.Entry(ctx, 1024)
		wantErr(t, err, ledger.ErrNotFound)
		_, err = w.log.Proof(ctx, 1024)
		wantErr(t, err, ledger.ErrNotFound)
		w.reopen()
		w.works()
	})
}

func TestManyWritersEachGetTheirOwnAnswer(t *testing.T) {
	onBoth(t, func(t *testing.T, db store.Config) {
		const writers, rounds = 256, 8
		w := newWorld(t, db)
		w.config.Interval = 10 * time.Millisecond // publish meanwhile
		w.open()
		var raised sync.Map // epoch → writer
		var wg sync.WaitGroup
		for n := range writers {
			wg.Go(func() {
				for round := range rounds {
					b := w.batch(1 + n%3)
					switch n % 4 {
					case 1: // all writers of this kind contend for one epoch
						b.Changes = w.store.RaiseEpoch(int64(1 + round))
					case 2: // never holds
						b.Changes = append(w.store.Lease("stale", time.Now()), w.store.RequireEpoch(-1)...)
					case 3:
						b.Changes = w.store.Lease(fmt.Sprint(n), time.Now())
					}
					_, err := w.commit(b)
					switch {
					case n%4 == 1 && err == nil:
						if other, twice := raised.LoadOrStore(round, n); twice {
							t.Errorf("epoch %d raised by both %d and %d", 1+round, other, n)
						}
					case n%4 == 1:
						wantErr(t, err, ledger.ErrStale)
					case n%4 == 2:
						wantErr(t, err, ledger.ErrStale)
					case err != nil:
						t.Errorf("writer %d: %v", n, err)
					}
				}
			})
		}
		wg.Wait()
		w.works()
		w.reopen()
	})
}

// A receipt's tree contains every earlier one, whatever the sizes between.
func TestEverySizeIsConsistentWithEveryOther(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	sizes := make([]int, 60)
	for i := range sizes {
		sizes[i] = 1 + random.IntN(20)
	}
	onBoth(t, func(t *testing.T, db store.Config) {
		w := newWorld(t, db)
		w.open()
		growInSteps(t, w, sizes)
	})
}

func FuzzBatchSizes(f *testing.F) {
	f.Add([]byte{1, 1, 1, 1})
	f.Add([]byte{255, 1, 255, 2})
	f.Add([]byte{3, 0, 9, 127, 128})
	f.Fuzz(func(t *testing.T, data []byte) {
		// Few batches cross tiles of 256 too, and the fuzzer takes ten seconds for a
		// deadlock.
		var sizes []int
		for _, b := range data[:min(len(data), 6)] {
			sizes = append(sizes, int(b))
		}
		w := newWorld(t, store.Config{Path: t.TempDir(), Logger: quiet})
		w.open()
		growInSteps(t, w, sizes)
	})
}

// growInSteps commits batches of the given sizes and compares all their trees.
func growInSteps(t *testing.T, w *world, sizes []int) {
	t.Helper()
	verifier, err := note.NewVerifier(w.log.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(origin), torchwood.SingleVerifierPolicy(verifier))
	var trees []tlog.Tree
	for _, n := range sizes {
		r := w.mustCommit(n)
		c, _, err := torchwood.VerifyCheckpoint(r.Checkpoint, policy)
		if err != nil {
			t.Fatal(err)
		}
		if c.N != r.Size || r.Index+int64(n) != r.Size {
			t.Fatalf("batch of %d: index %d, size %d, signed %d", n, r.Index, r.Size, c.N)
		}
		trees = append(trees, c.Tree)
		if n%5 == 0 {
			w.mustPublish()
		}
	}
	w.mustPublish()
	w.check()
	if len(trees) == 0 {
		return
	}
	tiles, err := torchwood.NewTileFS(w.folder)
	if err != nil {
		t.Fatal(err)
	}
	hashes := torchwood.TileHashReaderWithContext(context.Background(), trees[len(trees)-1], tiles)
	for i, old := range trees {
		for _, later := range trees[i:] {
			if old.N == 0 || old.N == later.N {
				continue
			}
			p, err := tlog.ProveTree(later.N, old.N, hashes)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckTree(p, later.N, later.Hash, old.N, old.Hash); err != nil {
				t.Errorf("tree of %d is not in that of %d: %v", old.N, later.N, err)
			}
		}
	}
}

func TestRefusedBeforeAnythingIsAsked(t *testing.T) {
	w := newWorld(t, store.Config{Path: t.TempDir(), Logger: quiet})
	w.open()
	leaf := []byte("leaf")
	many := w.batch(ledger.MaxRecords + 1)
	for name, b := range map[string]ledger.Batch{
		"no id":          {Records: []ledger.Record{{Leaf: leaf}}},
		"no leaf":        {Records: []ledger.Record{{ID: "a"}}},
		"leaf too long":  {Records: []ledger.Record{{ID: "a", Leaf: make([]byte, ledger.MaxLeaf+1)}}},
		"payload":        {Records: []ledger.Record{{ID: "a", Leaf: leaf, Payload: make([]byte, ledger.MaxPayload+1)}}},
		"id twice":       {Records: []ledger.Record{{ID: "a", Leaf: leaf}, {ID: "a", Leaf: leaf}}},
		"many records":   many,
		"no statement":   {Changes: []ledger.Statement{{}}},
		"wrong argument": {Changes: []ledger.Statement{{SQL: "SELECT $1", Args: []any{1}, Rows: 1}}},
	} {
		if _, err := w.commit(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := w.commit(ledger.Batch{Records: []ledger.Record{{ID: "a",
		Leaf: make([]byte, ledger.MaxLeaf)}}}); err != nil {
		t.Errorf("longest leaf: %v", err)
	}
	w.works()
}

func TestDuplicateIsTold(t *testing.T) {
	onBoth(t, func(t *testing.T, db store.Config) {
		w := newWorld(t, db)
		w.open()
		b := w.batch(2)
		if _, err := w.commit(b); err != nil {
			t.Fatal(err)
		}
		_, err := w.commit(b)
		wantErr(t, err, ledger.ErrDuplicate)
		w.works()
	})
}

func TestEraseKeepsProofs(t *testing.T) {
	onBoth(t, func(t *testing.T, db store.Config) {
		ctx := context.Background()
		w := newWorld(t, db)
		w.open()
		b := w.batch(1)
		b.Records[0].Key, b.Records[0].Payload = []byte("k"), []byte("secret")
		r, err := w.commit(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, payload, err := w.log.Disclose(ctx, r.Index); string(payload) != "secret" || err != nil {
			t.Errorf("disclose = %q, %v", payload, err)
		}
		erase := w.batch(1)
		erase.Changes = w.store.EraseSecret(r.Index)
		if _, err := w.commit(erase); err != nil {
			t.Fatal(err)
		}
		_, _, err = w.log.Disclose(ctx, r.Index)
		wantErr(t, err, ledger.ErrErased)
		again := w.batch(1)
		again.Changes = erase.Changes
		_, err = w.commit(again)
		wantErr(t, err, ledger.ErrStale)
		w.works()
	})
}

func TestPartialTilesGoWhenFull(t *testing.T) {
	w := newWorld(t, store.Config{Path: t.TempDir(), Logger: quiet})
	w.open()
	for range 30 {
		w.mustCommit(10)
		w.mustPublish()
		w.check()
	}
	for _, gone := range []string{"tile/entries/000.p", "tile/0/000.p"} {
		if _, err := fs.Stat(w.folder, gone); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", gone, err)
		}
	}
	for _, there := range []string{"tile/entries/000", "tile/0/000", "tile/entries/001.p/44", "tile/0/001.p/44",
		"tile/1/000.p/1"} {
		if _, err := fs.Stat(w.folder, there); err != nil {
			t.Error(err)
		}
	}
}

// TestPublishMoreThanIsHeldInMemory publishes more bytes at once than the
// publisher keeps between hashing entries and writing them.
func TestPublishMoreThanIsHeldInMemory(t *testing.T) {
	w := newWorld(t, store.Config{Path: t.TempDir(), Logger: quiet})
	w.open()
	w.mustCommit(3)
	w.mustPublish()
	for range 7 {
		var b ledger.Batch
		for range 100 { // 45 MB in all
			i := w.serial.Add(1)
			b.Records = append(b.Records, ledger.Record{ID: fmt.Sprintf("%s-%d", w.name, i),
				Leaf: fmt.Appendf(nil, "%065000d", i)})
		}
		if _, err := w.commit(b); err != nil {
			t.Fatal(err)
		}
	}
	w.mustPublish()
	w.check()
	w.works()
}

func TestPublishedFilesAreRebuilt(t *testing.T) {
	damage := map[string]func(t *testing.T, dir string){
		"folder lost": func(t *testing.T, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		},
		"tile altered": func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "tile/0/001.p/44"), strings.Repeat("x", 44*32))
		},
		"tile lost": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "tile/0/001.p/44")); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, harm := range damage {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, store.Config{Path: t.TempDir(), Logger: quiet})
			w.open()
			w.mustCommit(200)
			w.mustCommit(100)
			w.mustPublish()
			w.close()
			harm(t, filepath.Join(w.dir, "log"))
			w.open()
			w.works()
		})
	}
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTwoReplicas(t *testing.T) {
	w := newWorldOnPostgreSQL(t)
	w.config.Interval = 20 * time.Millisecond
	w.open()
	// The other replica: same database and key, own folder.
	other := &world{t: t, dir: t.TempDir(), db: w.db, key: w.key, config: w.config, acked: w.acked}
	folder, err := ledger.OpenFolder(filepath.Join(other.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	other.folder = folder
	other.open()
	t.Cleanup(other.close)

	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for n := range 40 {
		replica := w
		if n%2 == 1 {
			replica = other
		}
		wg.Go(func() {
			for i := range 10 {
				b := ledger.Batch{Records: []ledger.Record{{ID: fmt.Sprintf("%d-%d", n, i),
					Leaf: fmt.Appendf(nil, "leaf %d-%d", n, i)}}}
				if i == 5 {
					b.Changes = replica.store.RaiseEpoch(1) // one of all forty
				}
				r, err := replica.log.Commit(context.Background(), b)
				mu.Lock()
				switch {
				case err == nil:
					w.acked[r.Index] = b.Records[0].Leaf
					if i == 5 {
						won++
					}
				case i != 5 || !errors.Is(err, ledger.ErrStale):
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("epoch raised %d times", won)
	}
	size, _, err := w.log.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, replica := range []*world{w, other} {
		if err := replica.log.Wait(ctx, size-1); err != nil {
			t.Fatal(err)
		}
		replica.check()
	}
	// When the leader goes, the other takes over.
	w.close()
	r, err := other.log.Commit(ctx, ledger.Batch{Records: []ledger.Record{{ID: "after", Leaf: []byte("after")}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.log.Wait(ctx, r.Index); err != nil {
		t.Fatal(err)
	}
	other.check()
}
