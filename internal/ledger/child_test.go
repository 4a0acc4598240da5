package ledger_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// child is this test binary started again, to be killed.
func child(role string) {
	var err error
	switch role {
	case "append":
		err = appendUntilKilled(os.Getenv("SIGNALBOX_LEDGER_DIR"),
			store.Config{URL: os.Getenv("SIGNALBOX_LEDGER_URL"), Path: os.Getenv("SIGNALBOX_LEDGER_PATH"),
				Logger: quiet})
	case "full":
		err = fillDisk(os.Getenv("SIGNALBOX_LEDGER_DIR"))
	case "reserve":
		err = keepReserve(os.Getenv("SIGNALBOX_LEDGER_DIR"))
	default:
		err = fmt.Errorf("no role %q", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// appendUntilKilled prints every acknowledgement: index and leaf.
func appendUntilKilled(dir string, db store.Config) error {
	ctx := context.Background()
	s, err := store.Open(ctx, db)
	if err != nil {
		return err
	}
	key, err := ledger.LoadOrCreateKey(filepath.Join(dir, "log.key"), origin)
	if err != nil {
		return err
	}
	folder, err := ledger.OpenFolder(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	l, err := ledger.Open(ctx, ledger.Config{Store: s, Shelf: s, Blobs: folder, Key: key,
		Interval: 5 * time.Millisecond, Logger: quiet})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	errs := make(chan error)
	var out sync.Mutex
	for n := range 8 {
		go func() {
			for i := 0; ; i++ {
				b := ledger.Batch{Changes: s.Lease(fmt.Sprint(n), time.Now())}
				for k := range 1 + rand.IntN(3) {
					b.Records = append(b.Records, ledger.Record{ID: fmt.Sprintf("%d-%d-%d-%d", os.Getpid(), n, i, k),
						Leaf: fmt.Appendf(nil, "leaf %d %d %d of %d %s", n, i, k, os.Getpid(),
							strings.Repeat("x", rand.IntN(900)))})
				}
				r, err := l.Commit(ctx, b)
				if err != nil {
					errs <- err
					return
				}
				out.Lock()
				for k, rec := range b.Records {
					fmt.Println(r.Index+int64(k), base64.StdEncoding.EncodeToString(rec.Leaf), "acked")
				}
				out.Unlock()
			}
		}()
	}
	return <-errs
}

func TestKilledWhileAppending(t *testing.T) {
	onBoth(t, func(t *testing.T, db store.Config) {
		w := newWorld(t, db)
		for round := range 5 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "SIGNALBOX_LEDGER_CHILD=append", "SIGNALBOX_LEDGER_DIR="+w.dir,
				"SIGNALBOX_LEDGER_URL="+db.URL, "SIGNALBOX_LEDGER_PATH="+db.Path)
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			acked, until := 0, 100+rand.IntN(400)
			lines := bufio.NewScanner(out)
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				f := strings.Fields(lines.Text())
				if len(f) != 3 || f[2] != "acked" {
					continue // "ready", or cut off by the kill
				}
				idx, err := strconv.ParseInt(f[0], 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				if w.acked[idx], err = base64.StdEncoding.DecodeString(f[1]); err != nil {
					t.Fatal(err)
				}
				if acked++; acked == until {
					if err := cmd.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				}
			}
			cmd.Wait() // it was killed
			if acked < until {
				t.Fatalf("round %d: child ended by itself after %d entries", round, acked)
			}
			w.reopen()
			w.works()
			w.close()
		}
	})
}
