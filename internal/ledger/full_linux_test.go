package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// TestDiskFull gives a child process a small file system of its own.
func TestDiskFull(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SIGNALBOX_LEDGER_CHILD=full", "SIGNALBOX_LEDGER_DIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || strings.Contains(string(out), "mount a file system of our own") {
		t.Skipf("this machine lets nobody mount a file system: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// fillDisk appends until the disk is full, makes room, and goes on.
func fillDisk(dir string) error {
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount a file system of our own: %w", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		return fmt.Errorf("mount a file system of our own: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := store.Open(ctx, store.Config{Path: filepath.Join(dir, "data"), Logger: quiet})
	if err != nil {
		return err
	}
	defer s.Close()
	key, err := ledger.LoadOrCreateKey(filepath.Join(dir, "log.key"), origin)
	if err != nil {
		return err
	}
	folder, err := ledger.OpenFolder(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	l, err := ledger.Open(ctx, ledger.Config{Store: s, Shelf: s, Blobs: folder, Key: key, Interval: 20 * time.Millisecond, Logger: quiet})
	if err != nil {
		return err
	}
	defer l.Close()

	acked := map[int64][]byte{}
	commit := func(i int) error {
		b := ledger.Batch{Records: []ledger.Record{{ID: fmt.Sprint(i), Leaf: fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", 2000)), Key: []byte("k"), Payload: make([]byte, 2000)}}}
		r, err := l.Commit(ctx, b)
		if err == nil {
			acked[r.Index] = b.Records[0].Leaf
		}
		return err
	}
	n := 0
	for ; n < 10; n++ {
		if err := commit(n); err != nil {
			return fmt.Errorf("with room on the disk: %w", err)
		}
	}
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		return err
	}
	for chunk := make([]byte, 64<<10); len(chunk) > 0; {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
	f.Close()
	var full error
	for ; full == nil && n < 10000; n++ {
		full = commit(n)
	}
	if full == nil || errors.Is(full, ledger.ErrUnknown) || !strings.Contains(full.Error(), "full") {
		return fmt.Errorf("error of a full disk: got %v", full)
	}
	fmt.Printf("after %d entries: %v\n", len(acked), full)
	if _, err := l.Entry(ctx, 0); err != nil {
		return fmt.Errorf("read while full: %w", err)
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	for i := range 50 {
		if err := commit(20000 + i); err != nil {
			return fmt.Errorf("with room again: %w", err)
		}
	}
	size, _, err := l.Head(ctx)
	if err != nil {
		return err
	}
	if size != int64(len(acked)) {
		return fmt.Errorf("size %d with %d acknowledged", size, len(acked))
	}
	if err := l.Wait(ctx, size-1); err != nil {
		return err
	}
	for idx, leaf := range acked {
		row, err := l.Entry(ctx, idx)
		if err != nil || string(row.Leaf) != string(leaf) {
			return fmt.Errorf("entry %d: %v", idx, err)
		}
	}
	l.Close()
	l, err = ledger.Open(ctx, ledger.Config{Store: s, Shelf: s, Blobs: folder, Key: key, Logger: quiet}) // checks all
	if err != nil {
		return err
	}
	l.Close()
	fmt.Printf("and went on to %d entries\n", size)
	return nil
}
