// Package foreign has our log verified by programs that others wrote: Tessera's
// fsck, torchwood's spicy and proof verifier, and a shell script that needs
// nothing but openssl and coreutils.
//
// It is a module of its own, so that what these programs depend on is not asked
// of anybody who builds Signalbox. Its path lies below ours, and so it may import
// our internal packages.
package foreign

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// idle is how long Tessera may read nothing before we take it that it never will.
const idle = 30 * time.Second

// Fsck has Tessera check the whole log at source, a folder or an http(s) URL,
// against the log's verifier key: every entry, every tile, the root, and the
// signature. A log that cannot be checked to its end counts as not verified.
func Fsck(ctx context.Context, source, vkey string) error {
	return fsckLog(ctx, source, vkey, idle)
}

func fsckLog(ctx context.Context, source, vkey string, idle time.Duration) error {
	verifier, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return fmt.Errorf("verifier key: %w", err)
	}
	fetcher, err := open(source)
	if err != nil {
		return err
	}
	watched := &watchedFetcher{Fetcher: fetcher, read: make(chan struct{}, 1)}
	check := fsck.New(verifier.Name(), verifier, watched, hashBundle, fsck.Opts{N: 8})
	result := make(chan error, 1)
	go func() { result <- check.Check(ctx) }()

	// Each of Tessera's workers leaves at the first corrupt tile that it meets,
	// and when all have left, its producer waits for them for ever, whatever ctx
	// says. A check that reads nothing any more has met that fate.
	stuck := time.NewTimer(idle)
	defer stuck.Stop()
	for {
		select {
		case err := <-result:
			return err
		case <-watched.read:
			stuck.Reset(idle)
		case <-stuck.C:
			return fmt.Errorf("fsck read nothing for %v: much of the log is corrupt, or it cannot be reached", idle)
		case <-ctx.Done():
			return fmt.Errorf("fsck did not end: %w", ctx.Err())
		}
	}
}

// watchedFetcher tells of each read.
type watchedFetcher struct {
	fsck.Fetcher
	read chan struct{} // holds one token when something was read since it was last emptied
}

func (w *watchedFetcher) tell() {
	select {
	case w.read <- struct{}{}:
	default:
	}
}

// ReadTile implements fsck.Fetcher.
func (w *watchedFetcher) ReadTile(ctx context.Context, level, index uint64, partial uint8) ([]byte, error) {
	defer w.tell()
	return w.Fetcher.ReadTile(ctx, level, index, partial)
}

// ReadEntryBundle implements fsck.Fetcher.
func (w *watchedFetcher) ReadEntryBundle(ctx context.Context, index uint64, partial uint8) ([]byte, error) {
	defer w.tell()
	return w.Fetcher.ReadEntryBundle(ctx, index, partial)
}

func open(source string) (fsck.Fetcher, error) {
	if !strings.HasPrefix(source, "http://") && !strings.HasPrefix(source, "https://") {
		return client.FileFetcher{Root: source}, nil
	}
	base, err := url.Parse(strings.TrimSuffix(source, "/") + "/") // its paths are relative to this
	if err != nil {
		return nil, fmt.Errorf("log %q: %w", source, err)
	}
	fetcher, err := client.NewHTTPFetcher(base, nil)
	if err != nil {
		return nil, fmt.Errorf("log %q: %w", source, err)
	}
	return fetcher, nil
}

// hashBundle splits a bundle with Tessera's parser and hashes its entries as
// RFC 6962 says.
func hashBundle(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, fmt.Errorf("read entry bundle: %w", err)
	}
	hashes := make([][]byte, 0, len(b.Entries))
	for _, entry := range b.Entries {
		h := tlog.RecordHash(entry)
		hashes = append(hashes, h[:])
	}
	return hashes, nil
}
