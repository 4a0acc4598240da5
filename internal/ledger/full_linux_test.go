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

// TestDiskFull: a full disk refuses, loses nothing and is left when there is
// room.
func TestDiskFull(t *testing.T) { onSmallDisk(t, "full") }

// TestDiskReserve: what is vital is recorded though the disk is full.
func TestDiskReserve(t *testing.T) { onSmallDisk(t, "reserve") }

// onSmallDisk gives a child process a small file system of its own.
func onSmallDisk(t *testing.T, role string) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SIGNALBOX_LEDGER_CHILD="+role, "SIGNALBOX_LEDGER_DIR="+t.TempDir())
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

// A diskful is a log on a small disk.
type diskful struct {
	dir   string
	size  int64 // of the reserve; 0: none
	store *store.Store
	blobs *ledger.Folder
	log   *ledger.Log
}

func mountSmall(dir, size string) error {
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount a file system of our own: %w", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		return fmt.Errorf("mount a file system of our own: %w", err)
	}
	return nil
}

func (d *diskful) open(ctx context.Context) (err error) {
	var reserve *ledger.Reserve
	if d.size > 0 {
		if reserve, err = ledger.OpenReserve(filepath.Join(d.dir, "reserve"), d.size); err != nil {
			return err
		}
	}
	if d.store, err = store.Open(ctx, store.Config{Path: filepath.Join(d.dir, "data"), Logger: quiet}); err != nil {
		return err
	}
	key, err := ledger.LoadOrCreateKey(filepath.Join(d.dir, "log.key"), origin)
	if err != nil {
		return err
	}
	if d.blobs, err = ledger.OpenFolder(filepath.Join(d.dir, "log")); err != nil {
		return err
	}
	d.log, err = ledger.Open(ctx, ledger.Config{Store: d.store, Shelf: d.store, Blobs: d.blobs, Key: key,
		Reserve: reserve, Interval: 20 * time.Millisecond, Logger: quiet})
	return err
}

func (d *diskful) close() {
	if d.log != nil {
		d.log.Close()
	}
	if d.store != nil {
		d.store.Close()
	}
}

// fill leaves no byte free, and gives the file that takes them all.
func (d *diskful) fill() (string, error) {
	f, err := os.OpenFile(filepath.Join(d.dir, "filler"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for chunk := make([]byte, 64<<10); len(chunk) > 0; {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
	return f.Name(), nil
}

// keepReserve records what is vital on a full disk, through a restart, and
// everything when there is room again.
func keepReserve(dir string) error {
	if err := mountSmall(dir, "32m"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d := &diskful{dir: dir, size: 16 << 20}
	defer func() { d.close() }()
	if err := d.open(ctx); err != nil {
		return err
	}
	n, acked := 0, map[int64]string{}
	commit := func(vital bool) error {
		n++
		leaf := fmt.Sprintf("%d %s", n, strings.Repeat("x", 2000))
		r, err := d.log.Commit(ctx, ledger.Batch{Records: []ledger.Record{{ID: fmt.Sprint(n), Leaf: []byte(leaf)}},
			Vital: vital})
		if err == nil {
			acked[r.Index] = leaf
		}
		return err
	}
	for range 10 {
		if err := commit(false); err != nil {
			return fmt.Errorf("with room on the disk: %w", err)
		}
	}
	// whole appends until the disk is full, and checks what is recorded then.
	whole := func(when string) error {
		var full error
		for i := 0; full == nil && i < 10000; i++ {
			full = commit(false)
		}
		if !errors.Is(full, ledger.ErrFull) || errors.Is(full, ledger.ErrUnknown) {
			return fmt.Errorf("error of a full disk, %s: got %v", when, full)
		}
		fmt.Printf("%s, after %d entries: %v\n", when, len(acked), full)
		for range 50 {
			if err := commit(true); err != nil {
				return fmt.Errorf("vital, %s: %w", when, err)
			}
			if err := commit(false); !errors.Is(err, ledger.ErrFull) || !strings.Contains(err.Error(), dir) {
				return fmt.Errorf("not vital, %s: got %v", when, err)
			}
		}
		return nil
	}
	filler, err := d.fill()
	if err != nil {
		return err
	}
	if err := whole("on a full disk"); err != nil {
		return err
	}
	d.close()
	if err := d.open(ctx); err != nil {
		return fmt.Errorf("start on a full disk: %w", err)
	}
	if err := whole("after a restart"); err != nil {
		return err
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	for {
		err := commit(false)
		if err == nil {
			break
		}
		if !errors.Is(err, ledger.ErrFull) {
			return fmt.Errorf("with room again: %w", err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("with room again: %w", err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "reserve")); err != nil || info.Size() != d.size ||
		info.Sys().(*syscall.Stat_t).Blocks*512 < d.size {
		return fmt.Errorf("the reserve is not held again: %v, %v", info, err)
	}
	// And again, now that it is held again.
	if _, err := d.fill(); err != nil {
		return err
	}
	if err := whole("when it is full again"); err != nil {
		return err
	}
	for idx, leaf := range acked {
		row, err := d.log.Entry(ctx, idx)
		if err != nil || string(row.Leaf) != leaf {
			return fmt.Errorf("entry %d: %v", idx, err)
		}
	}
	if size, _, err := d.log.Head(ctx); err != nil || size != int64(len(acked)) {
		return fmt.Errorf("size %d with %d acknowledged, %v", size, len(acked), err)
	}
	d.close()
	return d.open(ctx) // checks all
}

// fillDisk appends until the disk is full, makes room, and goes on.
func fillDisk(dir string) error {
	if err := mountSmall(dir, "8m"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d := &diskful{dir: dir}
	defer func() { d.close() }()
	if err := d.open(ctx); err != nil {
		return err
	}

	acked := map[int64][]byte{}
	commit := func(i int) error {
		b := ledger.Batch{Records: []ledger.Record{{ID: fmt.Sprint(i),
			Leaf: fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", 2000)), Key: []byte("k"),
			Payload: make([]byte, 2000)}}}
		r, err := d.log.Commit(ctx, b)
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
	filler, err := d.fill()
	if err != nil {
		return err
	}
	var full error
	for ; full == nil && n < 10000; n++ {
		full = commit(n)
	}
	if !errors.Is(full, ledger.ErrFull) || errors.Is(full, ledger.ErrUnknown) {
		return fmt.Errorf("error of a full disk: got %v", full)
	}
	fmt.Printf("after %d entries: %v\n", len(acked), full)
	if _, err := d.log.Entry(ctx, 0); err != nil {
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
	size, _, err := d.log.Head(ctx)
	if err != nil {
		return err
	}
	if size != int64(len(acked)) {
		return fmt.Errorf("size %d with %d acknowledged", size, len(acked))
	}
	if err := d.log.Wait(ctx, size-1); err != nil {
		return err
	}
	for idx, leaf := range acked {
		row, err := d.log.Entry(ctx, idx)
		if err != nil || string(row.Leaf) != string(leaf) {
			return fmt.Errorf("entry %d: %v", idx, err)
		}
	}
	d.close()
	if err := d.open(ctx); err != nil { // checks all
		return err
	}
	fmt.Printf("and went on to %d entries\n", size)
	return nil
}
