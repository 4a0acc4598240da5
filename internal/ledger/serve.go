package ledger

import (
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"filippo.io/torchwood"
)

// Handler serves the published log as c2sp.org/tlog-tiles asks for it:
// "checkpoint" and "tile/…" below the path it is mounted at (with
// [http.StripPrefix]). Anything else is not found. Everybody may read it: it
// holds commitments in place of what is hidden.
func Handler(blobs fs.FS) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the log is read only", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/")
		kind, cache := "application/octet-stream", "public, max-age=604800, immutable"
		if name == checkpointName {
			kind, cache = "text/plain; charset=utf-8", "no-cache"
		} else if _, err := torchwood.ParseTilePath(name); err != nil {
			http.NotFound(w, r)
			return
		}
		data, err := fs.ReadFile(blobs, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			// A partial tile is removed once it is full; clients then ask for
			// the full one.
			http.NotFound(w, r)
			return
		case err != nil:
			http.Error(w, "cannot read the log", http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Cache-Control", cache)
		h.Set("Content-Length", strconv.Itoa(len(data)))
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method == http.MethodGet {
			w.Write(data) // an error here is the client's going away
		}
	})
}
