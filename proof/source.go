package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// A Source is where a log in c2sp.org/tlog-tiles is read from. Nothing that it
// gives is trusted.
type Source interface {
	// Read gives the resource at path, such as "checkpoint" or "tile/0/000".
	// It must refuse what is longer than [MaxResource], and be safe for
	// concurrent use. The error of a resource that is not there is
	// [fs.ErrNotExist].
	Read(ctx context.Context, path string) ([]byte, error)
}

// MaxResource is the longest resource of a log, in bytes: a bundle of 256
// entries of the greatest length.
const MaxResource = torchwood.TileWidth * (2 + MaxLeaf)

const checkpointPath = "checkpoint"

// Folder reads a log from a file system.
func Folder(f fs.FS) Source { return folder{f} }

type folder struct{ fs fs.FS }

func (d folder) Read(ctx context.Context, path string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := d.fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(path, f)
}

func readAll(path string, r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxResource+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(b) > MaxResource {
		return nil, fmt.Errorf("read %s: longer than %d bytes", path, MaxResource)
	}
	return b, nil
}

// Site reads a log over HTTP. A request that fails for reasons of the network
// or the server is tried three times. A nil client means one with a time-out of
// 30 seconds.
func Site(base string, client *http.Client) (Source, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("log address %q: want http://… or https://…", base)
	}
	if client == nil {
		client = &http.Client{Timeout: 30 * time.Second}
	}
	return &site{base: u, client: client}, nil
}

type site struct {
	base   *url.URL
	client *http.Client
}

func (s *site) Read(ctx context.Context, path string) ([]byte, error) {
	var err error
	for try := range 3 {
		if try > 0 {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(time.Duration(try) * 300 * time.Millisecond):
			}
		}
		var b []byte
		var again bool
		if b, again, err = s.get(ctx, path); err == nil || !again {
			return b, err
		}
	}
	return nil, err
}

func (s *site) get(ctx context.Context, path string) (b []byte, again bool, err error) {
	at := s.base.JoinPath(strings.Split(path, "/")...).String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, false, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, ctx.Err() == nil, err
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		b, err := readAll(path, resp.Body)
		return b, err != nil && ctx.Err() == nil, err
	case code == http.StatusNotFound || code == http.StatusGone:
		return nil, false, fmt.Errorf("read %s: %s: %w", at, resp.Status, fs.ErrNotExist)
	case code >= 500 || code == http.StatusTooManyRequests:
		return nil, true, fmt.Errorf("read %s: %s", at, resp.Status)
	default:
		return nil, false, fmt.Errorf("read %s: %s", at, resp.Status)
	}
}

// readTile reads a hash tile (level 0 and up), or a bundle of entries (level
// -1). A log that has grown meanwhile may serve the full tile only, in place of
// a partial one: its beginning is the same.
func readTile(ctx context.Context, src Source, t tlog.Tile) ([]byte, error) {
	b, err := src.Read(ctx, torchwood.TilePath(t))
	if err == nil || !errors.Is(err, fs.ErrNotExist) || t.W == torchwood.TileWidth {
		return b, err
	}
	full := t
	full.W = torchwood.TileWidth
	b, ferr := src.Read(ctx, torchwood.TilePath(full))
	if ferr != nil {
		return nil, err
	}
	if t.L >= 0 {
		if len(b) < t.W*tlog.HashSize {
			return nil, fmt.Errorf("%s: %d bytes are too few for %d hashes", torchwood.TilePath(full), len(b), t.W)
		}
		return b[:t.W*tlog.HashSize], nil
	}
	rest := b
	for range t.W {
		if _, rest, err = torchwood.ReadTileEntry(rest); err != nil {
			return nil, fmt.Errorf("%s: %w", torchwood.TilePath(full), err)
		}
	}
	return b[:len(b)-len(rest)], nil
}

// tileSource lets torchwood read tiles from a [Source].
type tileSource struct{ src Source }

func (s tileSource) ReadTiles(ctx context.Context, tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, t := range tiles {
		var err error
		if data[i], err = readTile(ctx, s.src, t); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (s tileSource) SaveTiles([]tlog.Tile, [][]byte) {}

func (s tileSource) ReadEndpoint(ctx context.Context, path string) ([]byte, error) {
	return s.src.Read(ctx, path)
}
