package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Blobs keep the published form of the log, by slash-separated names. They can
// be lost as a whole: the rows have everything.
type Blobs interface {
	fs.FS
	// Put keeps data under the name, replacing what was there. A reader sees
	// the old or the new content, never a part. After a power cut before Sync
	// it may be either.
	Put(ctx context.Context, name string, data []byte) error
	// Sync makes durable whatever was put before.
	Sync(ctx context.Context) error
	// Remove deletes what is there under the name, if anything.
	Remove(ctx context.Context, name string) error
}

// A Folder keeps blobs as files. Create it with [OpenFolder].
type Folder struct {
	fs.FS
	path string

	mu    sync.Mutex
	dirty map[string]bool // directories with names that may not be durable
}

var _ Blobs = (*Folder)(nil)

// OpenFolder uses the folder at path, and makes it if it is not there.
func OpenFolder(path string) (*Folder, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("open log folder: %w", err)
	}
	return &Folder{FS: os.DirFS(path), path: path, dirty: make(map[string]bool)}, nil
}

// Put implements [Blobs]: a temporary file beside it, synced and renamed. A
// crash leaves at most a temporary file.
func (f *Folder) Put(_ context.Context, name string, data []byte) (err error) {
	if !fs.ValidPath(name) {
		return fmt.Errorf("write %q: not a valid name", name)
	}
	path := filepath.Join(f.path, filepath.FromSlash(name))
	dir := filepath.Dir(path)
	if err := f.makeDir(dir); err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	tmp, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Chmod(0o644) // the log is public
	}
	if err == nil {
		err = tmp.Sync()
	}
	if closed := tmp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	f.mu.Lock()
	f.dirty[dir] = true
	f.mu.Unlock()
	return nil
}

// Sync implements [Blobs]: the contents were synced one by one, so what is left
// is each directory, once for all that was put into it.
func (f *Folder) Sync(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for dir := range f.dirty {
		// Without the directory there is nothing in it to be kept: it became
		// empty and was removed.
		if err := syncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sync %q: %w", dir, err)
		}
		delete(f.dirty, dir)
	}
	return nil
}

// Remove implements [Blobs]. A directory that became empty goes too.
func (f *Folder) Remove(_ context.Context, name string) error {
	if !fs.ValidPath(name) {
		return fmt.Errorf("remove %q: not a valid name", name)
	}
	path := filepath.Join(f.path, filepath.FromSlash(name))
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	os.Remove(filepath.Dir(path)) // fails unless empty
	return nil
}

// makeDir makes dir and its parents below the folder, each durable in its own
// parent before the next is made.
func (f *Folder) makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil || dir == f.path {
		return err
	}
	if err := f.makeDir(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
