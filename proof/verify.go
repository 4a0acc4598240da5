package proof

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// Options are for [VerifyLog]. The zero value verifies everything, silently.
type Options struct {
	// Progress, if not nil, is called now and then with the number of entries
	// verified and their total, always from the same goroutine.
	Progress func(done, total int64)

	// From is the number of entries that need not be read again because an
	// earlier run read them. Their hashes still are verified against the root,
	// so that they cannot have changed if the caller compares the earlier
	// checkpoint (see [VerifyConsistency]). What refers to them is not judged.
	From int64

	// Entry, if not nil, is called with every entry read, in order. An error
	// ends the verification.
	Entry func(index int64, e Entry) error
}

// maxListed bounds each list in a report; the counts are always of all.
const maxListed = 1000

// A Report is what [VerifyLog] found in a log whose tree and signatures are
// good.
type Report struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Root   string `json:"root"` // in base64, as in the checkpoint
	From   int64  `json:"from,omitempty"`

	Bundles int64          `json:"bundles"` // bundles of entries read
	Tiles   int64          `json:"tiles"`   // hash tiles compared
	Entries map[Kind]int64 `json:"entries"` // entries read, by type
	First   time.Time      `json:"first,omitzero"`
	Last    time.Time      `json:"last,omitzero"`

	// Open are the intents without an outcome: being executed when the
	// checkpoint was signed, or left by a process that died. The first 1000.
	Open      []OpenIntent `json:"open,omitempty"`
	OpenCount int64        `json:"open_count"`
	// Unknown counts the intents whose outcome is unknown and was not resolved
	// later.
	Unknown int64 `json:"unknown"`

	// Findings are what does not keep the promises, in the order of the log.
	// The first 1000.
	Findings   []Finding `json:"findings,omitempty"`
	Violations int64     `json:"violations"`
	Warnings   int64     `json:"warnings"`
}

// OK reports that no promise was seen broken. Warnings do not count.
func (r Report) OK() bool { return r.Violations == 0 }

// An OpenIntent is an intent without an outcome.
type OpenIntent struct {
	Index  int64     `json:"index"`
	Intent string    `json:"intent"`
	Time   time.Time `json:"time"`
	Lease  string    `json:"lease,omitempty"`
}

// A Severity says how grave a finding is.
type Severity string

// The severities.
const (
	Violation Severity = "violation" // a promise is broken
	Warning   Severity = "warning"   // unusual, or cannot be judged from the log
)

// A Finding is one entry that does not fit with those before it.
type Finding struct {
	Severity Severity `json:"severity"`
	Index    int64    `json:"index"`
	Entry    string   `json:"entry,omitempty"`   // its id
	Promise  string   `json:"promise,omitempty"` // the promise concerned: "P5"
	Text     string   `json:"text"`
}

// String gives the finding on one line.
func (f Finding) String() string {
	s := fmt.Sprintf("%s at %d", f.Severity, f.Index)
	if f.Promise != "" {
		s += " (" + f.Promise + ")"
	}
	return s + ": " + f.Text
}

// VerifyLog verifies a whole log: the checkpoint's signatures, every bundle of
// entries and every tile up to its root, and that the entries fit together as
// the system promises. It reads the log once, as a stream; its memory grows by
// about 40 bytes per entry, for the ids.
//
// An error means that the log could not be read, or is not what its checkpoint
// signs: then nothing of it can be relied upon, and the report tells only how
// far the verification came. What the entries themselves show is in the
// report's findings.
func VerifyLog(ctx context.Context, src Source, trust Trust, opt Options) (Report, error) {
	signed, err := src.Read(ctx, checkpointPath)
	if err != nil {
		return Report{}, fmt.Errorf("read checkpoint: %w", err)
	}
	head, err := OpenCheckpoint(trust, signed)
	if err != nil {
		return Report{}, err
	}
	if opt.From < 0 || opt.From > head.N {
		return Report{}, fmt.Errorf("cannot verify from entry %d: the log has %d", opt.From, head.N)
	}
	check := newPromiseCheck(head.Origin, trust, opt.From > 0)
	report := &check.report
	report.Origin, report.Size, report.Root, report.From = head.Origin, head.N, head.Hash.String(), opt.From
	tree := treeCheck{src: src}

	err = readBundles(ctx, src, head.N, opt.From, func(b bundle) error {
		for _, h := range b.hashes {
			if err := tree.add(ctx, h); err != nil {
				return err
			}
		}
		if len(b.entries) > 0 {
			report.Bundles++
		}
		for i, e := range b.entries {
			index := b.start + int64(i)
			if index < opt.From {
				continue
			}
			check.entry(index, e.entry, e.err)
			if opt.Entry != nil && e.err == nil {
				if err := opt.Entry(index, e.entry); err != nil {
					return err
				}
			}
		}
		report.Tiles = tree.tiles
		if opt.Progress != nil {
			opt.Progress(b.start+int64(len(b.hashes)), head.N)
		}
		return nil
	})
	if err != nil {
		return check.report, err
	}
	root, err := tree.root(ctx)
	if err != nil {
		return check.report, err
	}
	report.Tiles = tree.tiles
	if root != head.Hash {
		return check.report, fmt.Errorf("the entries' root is %s, the checkpoint signs %s", root, head.Hash)
	}
	check.finish()
	return check.report, nil
}

// A bundle is up to 256 consecutive leaves of the log: their hashes, and the
// entries where they were asked for.
type bundle struct {
	start   int64
	hashes  []tlog.Hash
	entries []decoded
	err     error
}

type decoded struct {
	entry Entry
	err   error
}

// readBundles reads a log of size entries from the left and gives its bundles
// in order. Reading, hashing and decoding run ahead on other goroutines, all of
// which have ended when it returns. Bundles that lie wholly before from are
// taken from the hash tiles, without entries.
func readBundles(ctx context.Context, src Source, size, from int64, each func(bundle) error) error {
	ctx, cancel := context.WithCancel(ctx)
	ahead := 2 * runtime.GOMAXPROCS(0)
	queue := make(chan chan bundle, ahead)
	go func() {
		defer close(queue)
		for start := int64(0); start < size; start += torchwood.TileWidth {
			result := make(chan bundle, 1)
			select {
			case queue <- result:
			case <-ctx.Done():
				return
			}
			go func() {
				width := min(size-start, torchwood.TileWidth)
				result <- readBundle(ctx, src, start, int(width), start+width <= from)
			}()
		}
	}()
	// Drained to the end in any case: then every goroutine has sent its result.
	defer func() {
		cancel()
		for result := range queue {
			<-result
		}
	}()
	for result := range queue {
		b := <-result
		if b.err != nil {
			return b.err
		}
		if err := each(b); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func readBundle(ctx context.Context, src Source, start int64, width int, hashesOnly bool) bundle {
	b := bundle{start: start, hashes: make([]tlog.Hash, 0, width)}
	t := tlog.Tile{H: torchwood.TileHeight, L: -1, N: start / torchwood.TileWidth, W: width}
	if hashesOnly {
		t.L = 0
	}
	data, err := readTile(ctx, src, t)
	if err != nil {
		b.err = fmt.Errorf("read entries from %d on: %w", start, err)
		return b
	}
	if hashesOnly {
		if len(data) != width*tlog.HashSize {
			b.err = fmt.Errorf("tile %s has %d bytes, want %d", torchwood.TilePath(t), len(data), width*tlog.HashSize)
			return b
		}
		for i := range width {
			b.hashes = append(b.hashes, tlog.Hash(data[i*tlog.HashSize:][:tlog.HashSize]))
		}
		return b
	}
	b.entries = make([]decoded, 0, width)
	for i := range width {
		var leaf []byte
		if leaf, data, err = torchwood.ReadTileEntry(data); err != nil {
			b.err = fmt.Errorf("bundle %s: entry %d: %w", torchwood.TilePath(t), i, err)
			return b
		}
		e, err := Decode(leaf)
		b.hashes = append(b.hashes, tlog.RecordHash(leaf))
		b.entries = append(b.entries, decoded{e, err})
	}
	if len(data) > 0 {
		b.err = fmt.Errorf("bundle %s: %d bytes after its last entry", torchwood.TilePath(t), len(data))
	}
	return b
}
