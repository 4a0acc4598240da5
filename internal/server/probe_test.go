package server

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/internal/store"
)

func begun(t *testing.T, data string) *Server {
	t.Helper()
	s, err := Start(t.Context(), config.Config{Data: data, Listen: "127.0.0.1:0"}.Defaults(),
		slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Whoever goes away while the log is probed makes nobody else see it as broken.
func TestProbeIsNobodysRequest(t *testing.T) {
	s := begun(t, t.TempDir())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		_ = s.writable(gone) // what it says to one who has gone does not matter
		if err := s.writable(t.Context()); err != nil {
			t.Fatalf("the log cannot be written: %v", err)
		}
		s.probe.Lock()
		s.probe.at = s.probe.at.Add(-2 * probeLife)
		s.probe.Unlock()
	}
}

// A second server on the same folder touches nothing, the reserve of the disk
// least of all.
func TestSecondServerTouchesNothing(t *testing.T) {
	data := t.TempDir()
	begun(t, data)
	if err := os.Remove(filepath.Join(data, "log.origin")); err != nil {
		t.Fatal(err) // it would be made anew
	}
	look := func() map[string]int64 {
		files := map[string]int64{}
		list, err := os.ReadDir(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			info, err := f.Info()
			if err != nil {
				t.Fatal(err)
			}
			if f.Name() != "signalbox.db-wal" {
				files[f.Name()] = info.ModTime().UnixNano()
			}
		}
		return files
	}
	before := look()
	if _, ok := before["reserve"]; !ok {
		t.Fatalf("no reserve among %v", before)
	}
	_, err := Start(t.Context(), config.Config{Data: data, Listen: "127.0.0.1:0"}.Defaults(), nil)
	if !errors.Is(err, store.ErrInUse) {
		t.Fatalf("got %v, want %v", err, store.ErrInUse)
	}
	if d := cmp.Diff(before, look()); d != "" {
		t.Errorf("the folder was touched (-before +after):\n%s", d)
	}
}
