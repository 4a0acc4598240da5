// Package storetest holds what every store must do, whatever database is
// behind it, and the one check of a log's invariants that all tests share.
//
// The one thing to know: [Exercise] is the contract of [ledger.Store],
// [ledger.Shelf] and [interlock.State] in executable form.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/signalbox-dev/signalbox/internal/ledger"
)

// Acked is what callers were told: index → leaf.
type Acked map[int64][]byte

// CheckLog checks every invariant of a log, with the verification code of
// others: rows are contiguous and hash to the root that the head's checkpoint
// signs; everything acknowledged is there with its bytes; what is published is
// signed, not ahead of the head, consistent with it, and its bundles and tiles
// are those of the rows.
func CheckLog(t testing.TB, store ledger.Store, shelf ledger.Shelf, blobs fs.FS, vkey string, acked Acked) {
	t.Helper()
	ctx := context.Background()
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(verifier.Name()),
		torchwood.SingleVerifierPolicy(verifier))

	published, err := shelf.Published(ctx)
	if err != nil {
		t.Fatal(err)
	}
	head, err := store.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var hashes hashList
	var leaves [][]byte
	ids := map[string]bool{}
	if err := store.Rows(ctx, 0, 1<<62, func(r ledger.Row) error {
		if r.Index != int64(len(leaves)) {
			t.Errorf("row %d follows row %d", r.Index, len(leaves)-1)
		}
		if ids[r.ID] {
			t.Errorf("row %d: id %q is there twice", r.Index, r.ID)
		}
		ids[r.ID] = true
		if r.Index >= head.Size {
			return nil // committed after the head was read
		}
		leaves = append(leaves, r.Leaf)
		more, err := tlog.StoredHashes(r.Index, r.Leaf, &hashes)
		hashes = append(hashes, more...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if int64(len(leaves)) != head.Size {
		t.Fatalf("%d rows below a head of size %d", len(leaves), head.Size)
	}
	for idx, leaf := range acked {
		if idx >= head.Size {
			t.Errorf("acknowledged entry %d is lost: size is %d", idx, head.Size)
		} else if !bytes.Equal(leaf, leaves[idx]) {
			t.Errorf("acknowledged entry %d has other bytes", idx)
		}
	}
	root := func(size int64) tlog.Hash {
		h, err := tlog.TreeHash(size, &hashes)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	open := func(what string, checkpoint []byte, size int64) {
		c, _, err := torchwood.VerifyCheckpoint(checkpoint, policy)
		if err != nil {
			t.Fatalf("checkpoint of %s: %v", what, err)
		}
		if c.N != size || c.Hash != root(size) {
			t.Errorf("checkpoint of %s signs size %d root %v, rows give size %d root %v", what, c.N, c.Hash, size,
				root(size))
		}
	}
	open("the head", head.Checkpoint, head.Size)
	if edge, _ := hashes.ReadHashes(torchwood.RightEdge(head.Size)); len(edge) != len(head.Edge) {
		t.Errorf("head has an edge of %d hashes, want %d", len(head.Edge), len(edge))
	}
	if len(published.Checkpoint) > 0 {
		if published.Size > head.Size {
			t.Fatalf("published size %d is ahead of the head's %d", published.Size, head.Size)
		}
		open("the published row", published.Checkpoint, published.Size)
	}

	shown, err := fs.ReadFile(blobs, "checkpoint")
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := torchwood.VerifyCheckpoint(shown, policy)
	if err != nil {
		t.Fatalf("published checkpoint: %v", err)
	}
	if c.N > published.Size {
		t.Errorf("published file shows size %d, the row %d", c.N, published.Size)
	}
	open("the published file", shown, c.N)
	checkTiles(t, blobs, c, policy, shown, leaves)
}

// checkTiles reads the published log back as an outsider does.
func checkTiles(t testing.TB, blobs fs.FS, c torchwood.Checkpoint, policy torchwood.Policy, shown []byte,
	leaves [][]byte) {
	t.Helper()
	ctx := context.Background()
	tiles, err := torchwood.NewTileFS(blobs)
	if err != nil {
		t.Fatal(err)
	}
	client, err := torchwood.NewClient(tiles)
	if err != nil {
		t.Fatal(err)
	}
	var seen int64
	for idx, entry := range client.AllEntries(ctx, c.Tree, 0) {
		if !bytes.Equal(entry, leaves[idx]) {
			t.Errorf("published entry %d has other bytes than its row", idx)
		}
		seen++
	}
	if err := client.Err(); err != nil {
		t.Fatalf("read published entries: %v", err)
	}
	if seen != c.N {
		t.Errorf("%d published entries under a checkpoint of size %d", seen, c.N)
	}
	hashes := torchwood.TileHashReaderWithContext(ctx, c.Tree, tiles)
	for _, idx := range []int64{0, c.N / 2, c.N - 1} {
		if idx < 0 || c.N == 0 {
			continue
		}
		p, err := tlog.ProveRecord(c.N, idx, hashes)
		if err != nil {
			t.Fatalf("prove entry %d: %v", idx, err)
		}
		if err := torchwood.VerifyProof(policy, tlog.RecordHash(leaves[idx]),
			torchwood.FormatProof(idx, p, shown)); err != nil {
			t.Errorf("proof of entry %d: %v", idx, err)
		}
	}
}

// hashList is all stored hashes of a log, by index.
type hashList []tlog.Hash

func (l *hashList) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hashes[i] = (*l)[index]
	}
	return hashes, nil
}
