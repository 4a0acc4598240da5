//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

// leafSize is about what an intent takes.
const leafSize = 1000

// An appender makes one entry durable.
type appender func(ctx context.Context, leaf []byte) error

// benchLog measures durable appends: a raw file under group commit, which is the
// least that durability costs here, and the ledger on both databases.
func benchLog(ctx context.Context, out io.Writer, length time.Duration) error {
	home, err := os.MkdirTemp("", "signalbox-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)

	raw, err := openRaw(filepath.Join(home, "raw"))
	if err != nil {
		return err
	}
	defer raw.close()

	lite, closeLite, err := openLedger(ctx, store.Config{Path: filepath.Join(home, "sqlite")}, filepath.Join(home, "a"))
	if err != nil {
		return err
	}
	defer closeLite()

	server, err := pgtest.Start(ctx, pgtest.Config{Durable: true})
	if err != nil {
		return err
	}
	defer server.Close()
	post, closePost, err := openLedger(ctx, store.Config{URL: server.URL("postgres")}, filepath.Join(home, "b"))
	if err != nil {
		return err
	}
	defer closePost()

	fmt.Fprintf(out, "Durable appends of %d bytes (raw: append and fdatasync under group commit, file not pre-filled)\n\n", leafSize)
	fmt.Fprintf(out, "%8s  %-10s %10s %10s %12s  %s\n", "writers", "on", "p50", "p99", "per second",
		"beside raw: p50, throughput")
	cases := []struct {
		name   string
		append appender
	}{{"raw", raw.append}, {"sqlite", lite}, {"postgres", post}}
	for _, writers := range []int{1, 16, 256} {
		if !strings.Contains(fmt.Sprint(writers, " writers"), onlyLoads) {
			continue
		}
		// In turns, so that what else the machine does meets all of them.
		results := make([]result, len(cases))
		for range turns {
			for i, c := range cases {
				if !strings.Contains(c.name, onlyRoutes) {
					continue
				}
				if err := results[i].measure(ctx, writers, length/turns, c.append); err != nil {
					return fmt.Errorf("%s with %d writers: %w", c.name, writers, err)
				}
			}
		}
		raw := results[0]
		for i, c := range cases {
			r := results[i]
			if len(r.took) == 0 {
				continue
			}
			beside := ""
			if i > 0 && len(raw.took) > 0 {
				beside = fmt.Sprintf("%.1f×, %.0f %%", float64(r.quantile(50))/float64(raw.quantile(50)),
					100*r.perSecond()/raw.perSecond())
			}
			fmt.Fprintf(out, "%8d  %-10s %10v %10v %12.0f  %s\n", writers, c.name,
				r.quantile(50).Round(10*time.Microsecond), r.quantile(99).Round(10*time.Microsecond), r.perSecond(),
				beside)
		}
	}
	fmt.Fprintln(out)
	return nil
}

// openLedger opens a ledger on a new store, publishing into a folder as a server
// does. Its records have ids of the kind that interlock gives, which follow the
// time and so stand together in an index.
func openLedger(ctx context.Context, cfg store.Config, home string) (appender, func(), error) {
	state, err := store.Open(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	key, err := ledger.LoadOrCreateKey(home+".key", "bench.example/log")
	if err != nil {
		state.Close()
		return nil, nil, err
	}
	folder, err := ledger.OpenFolder(home + ".log")
	if err != nil {
		state.Close()
		return nil, nil, err
	}
	log, err := ledger.Open(ctx, ledger.Config{Store: state, Shelf: state, Blobs: folder, Key: key})
	if err != nil {
		state.Close()
		return nil, nil, err
	}
	return func(ctx context.Context, leaf []byte) error {
			_, err := log.Commit(ctx, ledger.Batch{Records: []ledger.Record{{ID: ulid.Make().String(), Leaf: leaf}}})
			return err
		}, func() {
			log.Close()
			state.Close()
		}, nil
}

// turns is in how many parts each measurement is taken.
const turns = 3

// A result is how long each append took, and all of them together.
type result struct {
	took    []time.Duration
	elapsed time.Duration
}

func (r result) perSecond() float64 { return float64(len(r.took)) / r.elapsed.Seconds() }

func (r result) quantile(percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(r.took))
	return sorted[len(sorted)*percent/100]
}

// measure has writers append as fast as each gets its answer, and adds that to
// the result.
func (r *result) measure(ctx context.Context, writers int, length time.Duration, add appender) error {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	took := make([][]time.Duration, writers)
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	start := time.Now()
	for w := range writers {
		group.Go(func() {
			leaf := make([]byte, leafSize)
			_, _ = rand.Read(leaf) // never fails
			for ctx.Err() == nil {
				before := time.Now()
				if err := add(context.WithoutCancel(ctx), leaf); err != nil {
					failed.Store(&err)
					return
				}
				took[w] = append(took[w], time.Since(before))
			}
		})
	}
	group.Wait()
	r.elapsed += time.Since(start)
	if err := failed.Load(); err != nil {
		return *err
	}
	before := len(r.took)
	if r.took = slices.Concat(r.took, slices.Concat(took...)); len(r.took) == before {
		return errors.New("nothing was appended")
	}
	return nil
}

// rawLog is a file to which one goroutine appends whatever waits, then syncs once.
type rawLog struct {
	file  *os.File
	queue chan rawWrite
	done  chan struct{} // closed by the goroutine
}

type rawWrite struct {
	data   []byte
	answer chan error
}

func openRaw(path string) (*rawLog, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	r := &rawLog{file: file, queue: make(chan rawWrite, 4096), done: make(chan struct{})}
	go r.write()
	return r, nil
}

func (r *rawLog) append(_ context.Context, leaf []byte) error {
	w := rawWrite{leaf, make(chan error, 1)}
	r.queue <- w
	return <-w.answer
}

func (r *rawLog) write() {
	defer close(r.done)
	var buffer []byte
	var waiting []chan error
	for first := range r.queue {
		buffer, waiting = append(buffer[:0], first.data...), append(waiting[:0], first.answer)
		for range len(r.queue) {
			next := <-r.queue
			buffer, waiting = append(buffer, next.data...), append(waiting, next.answer)
		}
		_, err := r.file.Write(buffer)
		if err == nil {
			err = syscall.Fdatasync(int(r.file.Fd()))
		}
		for _, answer := range waiting {
			answer <- err
		}
	}
}

func (r *rawLog) close() {
	close(r.queue)
	<-r.done
	_ = r.file.Close()
}
