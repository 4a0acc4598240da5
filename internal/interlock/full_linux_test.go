package interlock_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// TestFullDiskStillTakesOutcomesAndHalts fills a real disk while an action is
// being executed.
func TestFullDiskStillTakesOutcomesAndHalts(t *testing.T) {
	if dir := os.Getenv("SIGNALBOX_SMALL_DISK"); dir != "" {
		onFullDisk(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "SIGNALBOX_SMALL_DISK="+t.TempDir())
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
}

func onFullDisk(t *testing.T, dir string) {
	err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	if err == nil {
		err = syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=40m")
	}
	if err != nil {
		t.Fatalf("mount a file system of our own: %v", err)
	}
	t.Setenv("TMPDIR", dir)
	h := build(t, &house{db: store.Config{Path: filepath.Join(t.TempDir(), "state")}, reserve: 16 << 20})
	ctx := t.Context()
	alice, kiro := h.human("alice"), h.agent("kiro", "alice")

	// Full in the middle of an action: its outcome must be recorded.
	filler := filepath.Join(dir, "filler")
	filling := newTarget()
	filling.execute = func(*interlock.Permit) (signalbox.Outcome, error) {
		f, err := os.Create(filler)
		if err != nil {
			return signalbox.Outcome{}, err
		}
		defer f.Close()
		for chunk := make([]byte, 64<<10); len(chunk) > 0; {
			if _, err := f.Write(chunk); err != nil {
				chunk = chunk[:len(chunk)/2]
			}
		}
		return signalbox.Outcome{Result: signalbox.Done, Rows: 1}, nil
	}
	out, err := h.lock.Do(ctx, updateRow(alice, 0), filling)
	if err != nil || out.Result != signalbox.Done {
		t.Fatalf("the action that was under way: %+v, %v", out, err)
	}
	x := newTarget()
	var refused error
	tried := 0
	for ; refused == nil && tried < 10000; tried++ {
		_, refused = h.lock.Do(ctx, updateRow(alice, tried), x)
	}
	if !errors.Is(refused, interlock.ErrUnavailable) || !errors.Is(refused, ledger.ErrFull) ||
		!strings.Contains(refused.Error(), dir) {
		t.Fatalf("an action on a full disk: got %v", refused)
	}
	if want := interlock.ErrUnavailable.Error() + ": " +
		ledger.ErrFull.Error(); interlock.Unavailable(refused) != want {
		t.Errorf("a client is told %q, want %q", interlock.Unavailable(refused), want)
	}
	if x.count() != tried-1 {
		t.Errorf("%d executed, %d recorded", x.count(), tried-1)
	}
	if _, err := h.lock.Do(ctx, dropTable(kiro, "orders"), x); !errors.Is(err, ledger.ErrFull) {
		t.Errorf("a hold on a full disk: got %v", err)
	}
	if err := h.lock.Halt(ctx, h.person("bob"), control.HaltActor, "kiro", "disk"); err != nil {
		t.Errorf("halt on a full disk: %v", err)
	}
	if err := h.lock.EndSession(ctx, h.person("alice"), kiro.ID); err != nil {
		t.Errorf("end of a session on a full disk: %v", err)
	}
	if err := h.lock.Resume(ctx, h.person("bob"), control.HaltActor, "kiro", "disk"); !errors.Is(err, ledger.ErrFull) {
		t.Errorf("resume on a full disk: got %v", err)
	}

	// A restart waits for the outcomes that nobody waited for, and takes its
	// lease. What was remembered besides is found again in the intents.
	if err := h.lock.Close(); err != nil && !errors.Is(err, ledger.ErrFull) {
		t.Error(err)
	}
	h.lock = nil
	h.log.Close()
	h.replica.store.Close()
	h.replica = h.start(nil)
	h.loadPolicies()
	for _, e := range []struct {
		kind string
		got  int
		want int
	}{
		{"intents", h.countKind("intent"), tried},
		{"outcomes", h.countKind("outcome"), tried},
		{"halts", h.countKind("halt"), 1},
	} {
		if e.got != e.want {
			t.Errorf("%d %s in the log, want %d", e.got, e.kind, e.want)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(20 * time.Second)
	for {
		_, err := h.lock.Do(ctx, updateRow(alice, tried), x)
		if err == nil {
			break
		}
		if !errors.Is(err, ledger.ErrFull) {
			t.Fatalf("with room again: %v", err)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("with room again: %v", err)
		}
	}
}
