package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
)

// checkpointName is the file that says what is published, written last.
const checkpointName = "checkpoint"

// publishAll publishes at every interval, and at once when somebody waits.
func (l *Log) publishAll() {
	defer l.stopped.Done()
	tick := time.NewTicker(l.cfg.Interval)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-tick.C:
		case <-l.wake:
		case <-l.ctx.Done():
			return
		}
		_, err := l.Publish(l.ctx)
		switch {
		case l.ctx.Err() != nil:
			return
		case err != nil && !failing: // said once, not every second
			l.cfg.Logger.Error("publishing the log fails, trying again", "error", err)
		case err == nil && failing:
			l.cfg.Logger.Info("publishing the log works again")
		}
		failing = err != nil
	}
}

// Wait returns when entry idx stands under a published checkpoint, which it
// asks for at once.
func (l *Log) Wait(ctx context.Context, idx int64) error {
	for {
		l.mu.Lock()
		size, moved := l.shown.N, l.moved
		l.mu.Unlock()
		if idx < size {
			return nil
		}
		if err := l.Err(); err != nil {
			return err
		}
		select {
		case l.wake <- struct{}{}:
		default:
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("wait for entry %d to be published: %w", idx, ctx.Err())
		case <-l.ctx.Done():
			return ErrClosed
		}
	}
}

// Published gives the size that is published and its signed checkpoint.
func (l *Log) Published() (size int64, checkpoint []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shown.N, l.note
}

// Publish takes one publishing step and gives the size then published. The
// leading replica moves the published row up to the head; every replica brings
// its own files up to the published row.
func (l *Log) Publish(ctx context.Context) (int64, error) {
	l.publish.Lock()
	defer l.publish.Unlock()
	size, err := l.step(ctx)
	if err != nil {
		l.stopIf(err)
		return size, fmt.Errorf("publish: %w", err)
	}
	return size, nil
}

func (l *Log) step(ctx context.Context) (int64, error) {
	if p := l.broken.Load(); p != nil {
		return 0, *p
	}
	shown, note, err := l.readShown()
	if err != nil {
		return 0, err
	}
	old, err := l.cfg.Shelf.Published(ctx)
	if err != nil {
		return shown.N, err
	}
	leads, err := l.cfg.Shelf.Lead(ctx)
	if err != nil {
		return shown.N, err
	}
	next := old
	if leads {
		h, err := l.cfg.Store.Head(ctx)
		if err != nil {
			return shown.N, err
		}
		if h.Size < old.Size {
			return shown.N, fmt.Errorf("head has size %d, but %d were published: %w", h.Size, old.Size, ErrTampered)
		}
		if h.Size > old.Size || len(old.Checkpoint) == 0 {
			next = Published{Size: h.Size, Checkpoint: h.Checkpoint}
		}
	}
	if len(next.Checkpoint) == 0 {
		return shown.N, nil // the leader has not published anything yet
	}
	c, err := l.cfg.Key.open(next.Checkpoint)
	if err != nil {
		return shown.N, err
	}
	if c.N != next.Size || c.N < shown.N || c.N == shown.N && note != nil && c.Hash != shown.Hash {
		return shown.N, fmt.Errorf("published files show size %d root %v, the database has size %d root %v: %w",
			shown.N, shown.Hash, c.N, c.Hash, ErrTampered)
	}
	if err := l.derive(ctx, shown.Tree, c.Tree); err != nil {
		return shown.N, err
	}
	// A crash up to here leaves files that no checkpoint refers to yet; the
	// next step writes the same bytes again.
	if next.Size != old.Size || len(old.Checkpoint) == 0 {
		moved, err := l.cfg.Shelf.Publish(ctx, old.Size, next)
		if err != nil {
			return shown.N, err
		}
		if !moved {
			return shown.N, nil // another replica was first: follow it next time
		}
	}
	// A crash here leaves the row ahead of the file: the next step starts from
	// the file and ends here again.
	if note == nil || c.N > shown.N {
		if err := l.cfg.Blobs.Put(ctx, checkpointName, next.Checkpoint); err != nil {
			return shown.N, err
		}
		if err := l.cfg.Blobs.Sync(ctx); err != nil {
			return shown.N, err
		}
		l.show(c, next.Checkpoint)
		l.prune(ctx, shown.N, c.N)
	} else {
		l.show(shown, note)
	}
	return c.N, nil
}

// show makes c the checkpoint that proofs are made against.
func (l *Log) show(c torchwood.Checkpoint, note []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.N < l.shown.N || c.N == l.shown.N && l.note != nil {
		return
	}
	l.shown, l.note = c, note
	close(l.moved)
	l.moved = make(chan struct{})
}

// readShown reads and verifies the checkpoint file; a zero checkpoint and nil
// if there is none. A file of another log is never overwritten.
func (l *Log) readShown() (torchwood.Checkpoint, []byte, error) {
	var c torchwood.Checkpoint
	note, err := fs.ReadFile(l.cfg.Blobs, checkpointName)
	if errors.Is(err, fs.ErrNotExist) {
		c.Hash, _ = tlog.TreeHash(0, nil)
		return c, nil, nil
	}
	if err != nil {
		return c, nil, fmt.Errorf("read published checkpoint: %w", err)
	}
	if c, err = l.cfg.Key.open(note); err != nil {
		return c, nil, fmt.Errorf("published file %q: %w", checkpointName, err)
	}
	return c, note, nil
}

// publishedHashes reads the hashes of a published tree out of its tiles, each
// authenticated against the root.
func (l *Log) publishedHashes(ctx context.Context, t tlog.Tree) (tlog.HashReader, error) {
	tiles, err := torchwood.NewTileFS(l.cfg.Blobs)
	if err != nil {
		return nil, err
	}
	return torchwood.TileHashReaderWithContext(ctx, t, tiles), nil
}

// derive writes the bundles and tiles that are in tree to and not in tree
// from, durably. All are computed from the entries' bytes, and only after
// these were found to hash to the signed root.
func (l *Log) derive(ctx context.Context, from, to tlog.Tree) error {
	if from.N == to.N {
		return nil
	}
	hashes, err := l.publishedHashes(ctx, from)
	if err != nil {
		return err
	}
	t := grow(from.N, hashes)
	kept, err := l.rehash(ctx, t, to)
	if err != nil && from.N > 0 && !errors.Is(err, ErrTampered) && ctx.Err() == nil {
		// The published files are damaged or gone. Rows have all that is
		// needed to write them anew.
		l.cfg.Logger.Warn("published tiles cannot be read, writing all of them again", "error", err)
		from, t = tlog.Tree{}, grow(0, nil)
		kept, err = l.rehash(ctx, t, to)
	}
	if err != nil {
		return err
	}
	// Several at once: a disk syncs them together, S3 takes them in parallel.
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(l.cfg.Uploads)
	put := func(tile tlog.Tile, data []byte) {
		g.Go(func() error { return l.cfg.Blobs.Put(gctx, torchwood.TilePath(tile), data) })
	}
	err = l.bundles(gctx, t, from.N, kept, put)
	if err == nil {
		err = tiles(t, from.N, put)
	}
	if failed := g.Wait(); failed != nil { // and so err may be that gctx ended
		return failed
	}
	if err != nil {
		return err
	}
	return l.cfg.Blobs.Sync(ctx)
}

// tiles puts the hash tiles that are new since size from.
func tiles(t *tree, from int64, put func(tlog.Tile, []byte)) error {
	for _, tile := range tlog.NewTiles(torchwood.TileHeight, from, t.size) {
		data, err := tlog.ReadTileData(tile, t)
		if err != nil {
			return fmt.Errorf("tile %s: %w", torchwood.TilePath(tile), err)
		}
		put(tile, data)
	}
	return nil
}

// keep bounds the bytes of entries that rehash holds for bundles to write.
const keep = 32 << 20

// bundleStart is the first entry of the bundle that entry idx stands in.
func bundleStart(idx int64) int64 { return idx / torchwood.TileWidth * torchwood.TileWidth }

// rehash grows t by the rows up to the tree that was signed, and alarms if
// they are not the rows that were signed. It gives the leaves that it read,
// from the start of the bundle in which the growth begins: all of them, or as
// many as may be kept in memory.
func (l *Log) rehash(ctx context.Context, t *tree, to tlog.Tree) (kept [][]byte, err error) {
	if _, err := t.edge(); err != nil { // the old tiles, before any row
		return nil, err
	}
	next, weight := bundleStart(t.size), 0
	var indexes []int64
	for i := next; i < t.size; i++ {
		indexes = append(indexes, tlog.StoredHashIndex(0, i))
	}
	old, err := t.ReadHashes(indexes) // of the first bundle's older entries
	if err != nil {
		return nil, err
	}
	err = l.cfg.Store.Rows(ctx, next, to.N, func(r Row) error {
		if r.Index != next {
			return fmt.Errorf("entry %d is missing: %w", next, ErrTampered)
		}
		next++
		hash := tlog.RecordHash(r.Leaf)
		if len(old) > 0 {
			if hash != old[0] {
				return fmt.Errorf("entry %d is not what was signed: %w", r.Index, ErrTampered)
			}
			old = old[1:]
		} else if err := t.add(hash); err != nil {
			return err
		}
		if weight += len(r.Leaf); weight <= keep {
			kept = append(kept, r.Leaf)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if t.size != to.N {
		return nil, fmt.Errorf("entry %d is missing: %w", t.size, ErrTampered)
	}
	if root, err := t.root(); err != nil || root != to.Hash {
		return nil, fmt.Errorf("entries hash to root %v at size %d, signed is %v: %w", root, to.N, to.Hash, ErrTampered)
	}
	return kept, nil
}

// bundles puts the entry bundles that hold entries from index from on. The
// first may begin with entries that an earlier, partial one held already. kept
// are the leaves that rehash read; what it did not keep is read again.
func (l *Log) bundles(ctx context.Context, t *tree, from int64, kept [][]byte, put func(tlog.Tile, []byte)) error {
	next := bundleStart(from)
	var bundle []byte
	add := func(leaf []byte) (err error) {
		if bundle, err = torchwood.AppendTileEntry(bundle, leaf); err != nil {
			return fmt.Errorf("entry %d: %w", next, err)
		}
		width := next%torchwood.TileWidth + 1
		if width == torchwood.TileWidth || next+1 == t.size {
			put(tlog.Tile{H: torchwood.TileHeight, L: -1, N: next / torchwood.TileWidth, W: int(width)}, bundle)
			bundle = make([]byte, 0, len(bundle))
		}
		next++
		return nil
	}
	for _, leaf := range kept {
		if err := add(leaf); err != nil {
			return err
		}
	}
	if next == t.size {
		return nil
	}
	return l.cfg.Store.Rows(ctx, next, t.size, func(r Row) error {
		// Compared again, for these bytes are the ones that go out.
		want, err := t.ReadHashes([]int64{tlog.StoredHashIndex(0, r.Index)})
		if err != nil {
			return err
		}
		if tlog.RecordHash(r.Leaf) != want[0] {
			return fmt.Errorf("entry %d is not what was signed: %w", r.Index, ErrTampered)
		}
		return add(r.Leaf)
	})
}

// prune removes the partial tiles of those that became full between two
// published sizes, as c2sp.org/tlog-tiles permits. What it leaves behind
// (a crash, an error) is waste and harmless.
func (l *Log) prune(ctx context.Context, from, to int64) {
	for level := -1; level < 8; level++ {
		height := torchwood.TileHeight * max(level, 0)
		low, high := from>>height, to>>height // complete hashes at this level
		for n := low / torchwood.TileWidth; n < high/torchwood.TileWidth; n++ {
			dir := torchwood.TilePath(tlog.Tile{H: torchwood.TileHeight, L: level, N: n, W: torchwood.TileWidth}) + ".p"
			names, err := fs.ReadDir(l.cfg.Blobs, dir)
			if err != nil {
				continue // most never had a partial one
			}
			for _, name := range names {
				if err := l.cfg.Blobs.Remove(ctx, dir+"/"+name.Name()); err != nil {
					l.cfg.Logger.Debug("partial tile stays", "name", dir+"/"+name.Name(), "error", err)
				}
			}
		}
	}
}
