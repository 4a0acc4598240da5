package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A Reserve is room on a disk, held by a file of that size. While it is held,
// everything else can be used up and the database still has it: when the disk
// is full the file is removed, and only batches that are [Batch.Vital] are
// committed until it could be made again.
//
// It keeps its promise on file systems that give a file the blocks that it was
// allocated, and not on those that compress, or write elsewhere what is written
// again. Another program may be quicker to use what was given up.
type Reserve struct {
	path string
	size int64
}

// OpenReserve makes a reserve of size bytes with a file at path, beside the
// database. What an earlier process held is given up until [Open], so that the
// database can be opened though the disk is full.
func OpenReserve(path string, size int64) (*Reserve, error) {
	r := &Reserve{path: path, size: size}
	if err := r.give(); err != nil {
		return nil, fmt.Errorf("reserve of the disk: %w", err)
	}
	return r, nil
}

// hold takes the room, if that much and more is there.
func (r *Reserve) hold(more int64) (err error) {
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(r.path) // half of it would only be in the way
		}
	}()
	defer f.Close()
	if err := allocate(f, r.size+more); err != nil {
		return err
	}
	return f.Truncate(r.size)
}

// give gives the room up.
func (r *Reserve) give() error {
	if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// write allocates by writing, where there is no other way.
func write(f *os.File, size int64) error {
	chunk := make([]byte, 1<<20)
	for size > 0 {
		n, err := f.Write(chunk[:min(size, int64(len(chunk)))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return f.Sync()
}

// holdReserve takes the reserve at the start.
func (l *Log) holdReserve() {
	r := l.cfg.Reserve
	if r == nil {
		return
	}
	if err := r.hold(0); err != nil {
		l.full = true
		l.tried = time.Now()
		l.cfg.Logger.Error("no room for the reserve of the disk: until there is, only outcomes, halts and the like are recorded", "folder", filepath.Dir(r.path), "bytes", r.size, "error", err)
	}
}

// useReserve gives the reserve up for vital batches, and reports whether there
// was one.
func (l *Log) useReserve(cause error) bool {
	r := l.cfg.Reserve
	if r == nil || l.full {
		return false
	}
	l.full = true
	l.tried = time.Now()
	err := r.give()
	l.cfg.Logger.Error("the disk is full: until there is room, only outcomes, halts and the like are recorded",
		"folder", filepath.Dir(r.path), "reserve", r.size, "error", errors.Join(cause, err))
	return err == nil
}

// reserveAgain is how long after an attempt to hold the reserve comes the next.
const reserveAgain = time.Second

// withRoom gives the batches of a group that may be written, and refuses the
// others. While the reserve is given up it tries to hold it again: with a
// quarter more, so that not the next batch gives it up.
func (l *Log) withRoom(group []*pending) []*pending {
	if !l.full {
		return group
	}
	r := l.cfg.Reserve
	if time.Since(l.tried) >= reserveAgain {
		if r.hold(r.size/4) == nil {
			l.full = false
			l.cfg.Logger.Info("there is room on the disk again: everything is recorded", "folder", filepath.Dir(r.path))
			return group
		}
		l.tried = time.Now()
	}
	vital := group[:0:0]
	for _, p := range group {
		if p.batch.Vital {
			vital = append(vital, p)
			continue
		}
		p.done <- answer{err: fmt.Errorf("commit: %w: make room for %d MB in %q; until then only outcomes, halts and the like are recorded", ErrFull, (r.size+r.size/4)>>20, filepath.Dir(r.path))}
	}
	return vital
}
