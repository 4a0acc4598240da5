package proof

import (
	"context"
	"fmt"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// A treeCheck computes a Merkle tree from its leaf hashes, in order, and
// compares every tile that results with the one published. It keeps one tile
// per level.
type treeCheck struct {
	src    Source
	levels [][]tlog.Hash // the tile being filled, per level
	done   []int64       // full tiles before it, per level
	tiles  int64         // tiles compared
}

// add takes the next leaf hash.
func (c *treeCheck) add(ctx context.Context, h tlog.Hash) error { return c.push(ctx, 0, h) }

func (c *treeCheck) push(ctx context.Context, level int, h tlog.Hash) error {
	if level == len(c.levels) {
		c.levels = append(c.levels, make([]tlog.Hash, 0, torchwood.TileWidth))
		c.done = append(c.done, 0)
	}
	c.levels[level] = append(c.levels[level], h)
	if len(c.levels[level]) < torchwood.TileWidth {
		return nil
	}
	if err := c.compare(ctx, level); err != nil {
		return err
	}
	root := perfect(c.levels[level])
	c.levels[level] = c.levels[level][:0]
	c.done[level]++
	return c.push(ctx, level+1, root)
}

// compare reads the published tile in place of the one filled at level.
func (c *treeCheck) compare(ctx context.Context, level int) error {
	want := c.levels[level]
	t := tlog.Tile{H: torchwood.TileHeight, L: level, N: c.done[level], W: len(want)}
	got, err := readTile(ctx, c.src, t)
	if err != nil {
		return fmt.Errorf("read tile: %w", err)
	}
	c.tiles++
	if len(got) != len(want)*tlog.HashSize {
		return fmt.Errorf("tile %s has %d bytes, want %d", torchwood.TilePath(t), len(got), len(want)*tlog.HashSize)
	}
	for i, h := range want {
		if tlog.Hash(got[i*tlog.HashSize:][:tlog.HashSize]) != h {
			return fmt.Errorf("tile %s: hash %d is not the one of what lies below it", torchwood.TilePath(t), i)
		}
	}
	return nil
}

// root compares the partial tiles that are left and gives the root hash.
func (c *treeCheck) root(ctx context.Context) (tlog.Hash, error) {
	if len(c.levels) == 0 {
		return tlog.TreeHash(0, nil)
	}
	var root *tlog.Hash
	for level, hashes := range c.levels {
		if len(hashes) == 0 {
			continue
		}
		if err := c.compare(ctx, level); err != nil {
			return tlog.Hash{}, err
		}
		// From the right: the smallest subtree is joined to the next bigger
		// one on its left, as RFC 6962 section 2.1 splits a tree.
		for n := len(hashes); n > 0; {
			width := n & -n
			sub := perfect(hashes[n-width : n])
			if root != nil {
				sub = tlog.NodeHash(sub, *root)
			}
			root = &sub
			n -= width
		}
	}
	return *root, nil
}

// perfect gives the root of a tree of a power of two of hashes.
func perfect(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return tlog.NodeHash(perfect(hashes[:half]), perfect(hashes[half:]))
}
