// Package prooftest makes small logs for tests: it seals entries, builds and
// signs the tree and writes it as c2sp.org/tlog-tiles, with the same libraries
// that verify it.
//
// The one thing to know before using it: a [Log] keeps no promise. It takes
// whatever it is given, so that tests can build logs that break one.
package prooftest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/signalbox-dev/signalbox/proof"
)

// A Log is a log in memory. It is not safe for concurrent use.
type Log struct {
	Origin string
	Key    string      // the verifier key, in the note format
	Signer note.Signer // signs checkpoints
	Now    time.Time   // the time of the next entry; advanced by 1 ms with each

	t      testing.TB
	leaves [][]byte
	hashes []tlog.Hash // stored hashes, in the order of package tlog
	ids    uint64
}

// New gives an empty log whose key comes from its origin alone.
func New(t testing.TB, origin string) *Log {
	t.Helper()
	seed := sha256.Sum256([]byte("prooftest " + origin))
	skey, vkey, err := note.GenerateKey(bytes.NewReader(seed[:]), origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return &Log{Origin: origin, Key: vkey, Signer: signer, Now: time.UnixMilli(1_763_900_000_000).UTC(), t: t}
}

// Trust trusts the log's key for the log's origin.
func (l *Log) Trust() proof.Trust {
	l.t.Helper()
	p, err := proof.ParseKey(l.Key, "")
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// NewID gives an id that the log has not given before.
func (l *Log) NewID() string {
	l.ids++
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	id := bytes.Repeat([]byte("0"), 26)
	for i, n := 9, uint64(l.Now.UnixMilli()); n > 0; i, n = i-1, n/32 {
		id[i] = digits[n%32]
	}
	for i, n := 25, l.ids; n > 0; i, n = i-1, n/32 {
		id[i] = digits[n%32]
	}
	return string(id)
}

// Add seals an entry under a new id at the time Now, appends it, and gives its
// id.
func (l *Log) Add(body proof.Body, hidden proof.Hidden) string {
	l.t.Helper()
	id := l.NewID()
	leaf, err := proof.Seal(proof.Header{ID: id, Time: l.Now}, body, hidden)
	if err != nil {
		l.t.Fatal(err)
	}
	l.AddLeaf(leaf.Bytes)
	l.Now = l.Now.Add(time.Millisecond)
	return id
}

// AddLeaf appends any bytes and gives their index.
func (l *Log) AddLeaf(leaf []byte) int64 {
	l.t.Helper()
	n := int64(len(l.leaves))
	stored, err := tlog.StoredHashes(n, leaf, l.reader())
	if err != nil {
		l.t.Fatal(err)
	}
	l.leaves = append(l.leaves, leaf)
	l.hashes = append(l.hashes, stored...)
	return n
}

// Size is the number of entries.
func (l *Log) Size() int64 { return int64(len(l.leaves)) }

// Leaf gives the entry at index.
func (l *Log) Leaf(index int64) []byte { return l.leaves[index] }

func (l *Log) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hs := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			if x >= int64(len(l.hashes)) {
				return nil, fmt.Errorf("hash %d of %d", x, len(l.hashes))
			}
			hs[i] = l.hashes[x]
		}
		return hs, nil
	})
}

// Checkpoint gives the signed tree head of the first size entries.
func (l *Log) Checkpoint(size int64) []byte {
	l.t.Helper()
	root, err := tlog.TreeHash(size, l.reader())
	if err != nil {
		l.t.Fatal(err)
	}
	c := torchwood.Checkpoint{Origin: l.Origin, Tree: tlog.Tree{N: size, Hash: root}}
	signed, err := note.Sign(&note.Note{Text: c.String()}, l.Signer)
	if err != nil {
		l.t.Fatal(err)
	}
	return signed
}

// Proof gives the c2sp.org/tlog-proof of the entry at index.
func (l *Log) Proof(index int64) []byte {
	l.t.Helper()
	p, err := tlog.ProveRecord(l.Size(), index, l.reader())
	if err != nil {
		l.t.Fatal(err)
	}
	return proof.FormatProof(index, p, l.Checkpoint(l.Size()))
}

// Write publishes the whole log in dir: bundles, tiles, and the checkpoint
// last.
func (l *Log) Write(dir string) {
	l.t.Helper()
	for _, t := range tlog.NewTiles(torchwood.TileHeight, 0, l.Size()) {
		data, err := tlog.ReadTileData(t, l.reader())
		if err != nil {
			l.t.Fatal(err)
		}
		l.write(dir, torchwood.TilePath(t), data)
		if t.L != 0 {
			continue
		}
		var bundle []byte
		for i := range t.W {
			if bundle, err = torchwood.AppendTileEntry(bundle, l.leaves[t.N*torchwood.TileWidth+int64(i)]); err != nil {
				l.t.Fatal(err)
			}
		}
		t.L = -1
		l.write(dir, torchwood.TilePath(t), bundle)
	}
	l.write(dir, "checkpoint", l.Checkpoint(l.Size()))
}

func (l *Log) write(dir, path string, data []byte) {
	l.t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		l.t.Fatal(err)
	}
}
