package ledger

import (
	"context"
	"fmt"
	"slices"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A tree is a Merkle tree that can be appended to, knowing of the old part
// only what its reader gives: the right edge is enough to append and to take
// the root.
type tree struct {
	size int64
	old  tlog.HashReader // stored hashes below base
	base int64           // index of fresh[0] among the stored hashes
	// Stored hashes of consecutive records follow one another, so a slice holds them.
	fresh []tlog.Hash
}

// grow gives a tree of the given size whose old part is read by old.
func grow(size int64, old tlog.HashReader) *tree {
	return &tree{size: size, old: old, base: tlog.StoredHashCount(size)}
}

// growEdge gives a tree of which only the right edge is known.
func growEdge(size int64, edge []tlog.Hash) (*tree, error) {
	indexes := torchwood.RightEdge(size)
	if len(indexes) != len(edge) {
		return nil, fmt.Errorf("right edge of %d hashes, a tree of size %d has %d: %w", len(edge), size, len(indexes),
			ErrTampered)
	}
	return grow(size, tlog.HashReaderFunc(func(want []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(want))
		for i, index := range want {
			at := slices.Index(indexes, index)
			if at < 0 {
				return nil, fmt.Errorf("hash %d is not on the right edge of size %d", index, size)
			}
			hashes[i] = edge[at]
		}
		return hashes, nil
	})), nil
}

// ReadHashes implements [tlog.HashReader].
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	var older []int64
	for i, index := range indexes {
		switch {
		case index < t.base:
			older = append(older, index)
		case index < t.base+int64(len(t.fresh)):
			hashes[i] = t.fresh[index-t.base]
		default:
			return nil, fmt.Errorf("hash %d is beyond a tree of size %d", index, t.size)
		}
	}
	if len(older) == 0 {
		return hashes, nil
	}
	read, err := t.old.ReadHashes(older)
	if err != nil {
		return nil, err
	}
	for i, index := range indexes {
		if index < t.base {
			hashes[i], read = read[0], read[1:]
		}
	}
	return hashes, nil
}

// add appends the record with this hash.
func (t *tree) add(h tlog.Hash) error {
	hashes, err := tlog.StoredHashesForRecordHash(t.size, h, t)
	if err != nil {
		return err
	}
	t.fresh = append(t.fresh, hashes...)
	t.size++
	return nil
}

// root is the RFC 6962 tree head.
func (t *tree) root() (tlog.Hash, error) { return tlog.TreeHash(t.size, t) }

// edge is what must be remembered to append later.
func (t *tree) edge() ([]tlog.Hash, error) { return t.ReadHashes(torchwood.RightEdge(t.size)) }

// sign makes the signed checkpoint of the tree.
func (t *tree) sign(key *Key) ([]byte, error) {
	root, err := t.root()
	if err != nil {
		return nil, err
	}
	text := torchwood.Checkpoint{Origin: key.Origin(), Tree: tlog.Tree{N: t.size, Hash: root}}.String()
	return note.Sign(&note.Note{Text: text}, key.signer)
}

// open verifies a signed checkpoint of ours. A checkpoint of another log or by
// another key is refused by name: taking it up would fork one of the two.
func (k *Key) open(checkpoint []byte) (torchwood.Checkpoint, error) {
	policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(k.Origin()),
		torchwood.SingleVerifierPolicy(k.verifier))
	c, _, err := torchwood.VerifyCheckpoint(checkpoint, policy)
	if err == nil {
		return c, nil
	}
	// Unverified text, read for the message alone.
	if n, unsigned := note.Open(checkpoint, note.VerifierList()); n != nil || unsigned != nil {
		if u, ok := unsigned.(*note.UnverifiedNoteError); ok {
			if found, parsed := torchwood.ParseCheckpoint(u.Note.Text); parsed == nil && found.Origin != k.Origin() {
				return c, fmt.Errorf("checkpoint is of log %q, this key is for %q: %w", found.Origin, k.Origin(),
					ErrForeign)
			}
			for _, s := range u.Note.UnverifiedSigs {
				if s.Name == k.Origin() && s.Hash != k.verifier.KeyHash() {
					return c, fmt.Errorf("checkpoint of log %q was signed by key %08x, ours is %08x: %w", k.Origin(),
						s.Hash, k.verifier.KeyHash(), ErrForeign)
				}
			}
		}
	}
	return c, fmt.Errorf("signature of the checkpoint: %w: %w", err, ErrTampered)
}

// check compares a head row with itself: its signature, and the root of its
// right edge against the one that was signed.
func (k *Key) check(h Head) error {
	c, err := k.open(h.Checkpoint)
	if err != nil {
		return fmt.Errorf("head row: %w", err)
	}
	if c.N != h.Size {
		return fmt.Errorf("head row says size %d, its checkpoint %d: %w", h.Size, c.N, ErrTampered)
	}
	t, err := growEdge(h.Size, h.Edge)
	if err != nil {
		return fmt.Errorf("head row: %w", err)
	}
	if root, err := t.root(); err != nil || root != c.Hash {
		return fmt.Errorf("head row: right edge gives root %v, signed is %v: %w", root, c.Hash, ErrTampered)
	}
	return nil
}

// verify rehashes all rows below the head and compares the roots at every size
// that was ever signed and is known here. It reads the whole log, at some
// hundred thousand entries a second.
func verify(ctx context.Context, store Store, h Head, signed ...torchwood.Checkpoint) error {
	c := grow(0, tlog.HashReaderFunc(func([]int64) ([]tlog.Hash, error) {
		return nil, fmt.Errorf("empty tree has no hashes")
	}))
	compare := func() error {
		for _, s := range signed {
			if s.N != c.size {
				continue
			}
			if root, err := c.root(); err != nil || root != s.Hash {
				return fmt.Errorf("entries 0 to %d hash to root %v, signed is %v: %w", s.N-1, root, s.Hash, ErrTampered)
			}
		}
		return nil
	}
	if err := compare(); err != nil {
		return err
	}
	err := store.Rows(ctx, 0, h.Size, func(r Row) error {
		if r.Index != c.size {
			return fmt.Errorf("entry %d is missing: %w", c.size, ErrTampered)
		}
		if err := c.add(tlog.RecordHash(r.Leaf)); err != nil {
			return err
		}
		if len(c.fresh) > 1<<16 { // the edge is enough, and keeps memory flat
			edge, err := c.edge()
			if err != nil {
				return err
			}
			if c, err = growEdge(c.size, edge); err != nil {
				return err
			}
		}
		return compare()
	})
	if err != nil {
		return err
	}
	if c.size != h.Size {
		return fmt.Errorf("entry %d is missing: %w", c.size, ErrTampered)
	}
	return nil
}
