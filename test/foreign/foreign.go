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

	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Fsck has Tessera check the whole log at source, a folder or an http(s) URL,
// against the log's verifier key: every entry, every tile, the root, and the
// signature.
//
// The caller's ctx needs a deadline: each of Tessera's workers leaves at the first
// corrupt resource that it meets, and when all have left, its check waits for
// ever. A log that is not checked in time counts as not verified.
func Fsck(ctx context.Context, source, vkey string) error {
	verifier, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return fmt.Errorf("verifier key: %w", err)
	}
	fetcher, err := open(source)
	if err != nil {
		return err
	}
	check := fsck.New(verifier.Name(), verifier, fetcher, hashBundle, fsck.Opts{N: 8})
	result := make(chan error, 1)
	go func() { result <- check.Check(ctx) }()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("fsck did not end in time: %w", ctx.Err())
	}
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
