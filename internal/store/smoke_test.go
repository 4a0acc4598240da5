package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/internal/store/storetest"
)

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s, err := store.Open(ctx, store.Config{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key, err := ledger.LoadOrCreateKey(filepath.Join(dir, "key"), "example.com/log")
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := ledger.OpenFolder(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(ctx, ledger.Config{Store: s, Shelf: s, Blobs: blobs, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	acked := storetest.Acked{}
	for i := range 700 {
		leaf := fmt.Appendf(nil, "leaf %d", i)
		r, err := l.Commit(ctx, ledger.Batch{Records: []ledger.Record{{ID: fmt.Sprint("r", i), Leaf: leaf}}})
		if err != nil {
			t.Fatal(err)
		}
		acked[r.Index] = leaf
		if i%100 == 99 {
			if err := l.Wait(ctx, r.Index); err != nil {
				t.Fatal(err)
			}
			storetest.CheckLog(t, s, s, blobs, key.Verifier(), acked)
		}
	}
}
