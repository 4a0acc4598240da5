package proof

import (
	"context"
	"encoding/binary"
	"io/fs"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// tiles serves the hash tiles of a tree from its stored hashes.
type tiles struct{ stored []tlog.Hash }

func (s tiles) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hs := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(s.stored)) {
			return nil, fs.ErrNotExist
		}
		hs[i] = s.stored[x]
	}
	return hs, nil
}

func (s tiles) Read(_ context.Context, path string) ([]byte, error) {
	t, err := torchwood.ParseTilePath(path)
	if err != nil {
		return nil, err
	}
	return tlog.ReadTileData(t, s)
}

// The tree that is computed as a stream is the one of package tlog, at every
// size up to three tiles and around the edges of the levels above; and every
// tile of it has been compared.
func TestTreeOfEverySize(t *testing.T) {
	const most = 65536 + 300
	var src tiles
	sizes := map[int64]bool{65535: true, 65536: true, 65537: true, 65792: true, 65793: true, most: true}
	for n := range int64(770) {
		sizes[n] = true
	}
	leaf := func(n int64) tlog.Hash { return tlog.RecordHash(binary.BigEndian.AppendUint64(nil, uint64(n))) }
	for size := int64(0); size <= most; size++ {
		if size > 0 {
			hs, err := tlog.StoredHashesForRecordHash(size-1, leaf(size-1), src)
			if err != nil {
				t.Fatal(err)
			}
			src.stored = append(src.stored, hs...)
		}
		if !sizes[size] {
			continue
		}
		tree := treeCheck{src: src}
		for n := range size {
			if err := tree.add(t.Context(), leaf(n)); err != nil {
				t.Fatalf("size %d: %v", size, err)
			}
		}
		got, err := tree.root(t.Context())
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		want, err := tlog.TreeHash(size, src)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("size %d: root %s, want %s", size, got, want)
		}
		if n := int64(len(tlog.NewTiles(torchwood.TileHeight, 0, size))); tree.tiles != n {
			t.Errorf("size %d: %d tiles compared, want %d", size, tree.tiles, n)
		}
	}
}
