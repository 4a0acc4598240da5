package ledger_test

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
)

// tamper changes the database behind our back.
func tamper(t *testing.T, db store.Config, query string) {
	t.Helper()
	ctx := context.Background()
	if db.URL != "" {
		conn, err := pgx.Connect(ctx, db.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, "SET search_path = signalbox"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(ctx, query); err != nil {
			t.Fatal(err)
		}
		return
	}
	conn, err := sql.Open("sqlite", filepath.Join(db.Path, "signalbox.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Exec(query); err != nil {
		t.Fatal(err)
	}
}

// What was changed after it was published is found at the next start.
func TestTamperedDatabaseIsRefusedAtStart(t *testing.T) {
	onBoth(t, func(t *testing.T, db store.Config) {
		keys := t.TempDir()
		for name, query := range map[string]string{
			"entry changed":          "UPDATE entry SET leaf = 'forged' WHERE idx = 3",
			"entry removed":          "DELETE FROM entry WHERE idx = 3",
			"last entry removed":     "DELETE FROM entry WHERE idx = 11",
			"entries swapped":        "UPDATE entry SET leaf = CASE idx WHEN 3 THEN (SELECT leaf FROM entry WHERE idx = 4) ELSE (SELECT leaf FROM entry WHERE idx = 3) END WHERE idx IN (3, 4)",
			"head set back":          "UPDATE head SET size = 10",
			"edge changed":           "UPDATE head SET edge = substr(edge, 33) || substr(edge, 1, 32)",
			"edge cut":               "UPDATE head SET edge = substr(edge, 2)",
			"checkpoint changed":     "UPDATE head SET checkpoint = 'forged'",
			"checkpoint from before": "UPDATE head SET checkpoint = (SELECT checkpoint FROM published)",
			"published ahead":        "UPDATE published SET size = 99",
		} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, db)
				w.keyIn(keys)
				if err := w.tryOpen(); err != nil {
					t.Fatal(err)
				}
				for _, id := range []string{"a", "b", "c", "d"} {
					b := w.batch(3)
					for i := range b.Records {
						b.Records[i].ID = id + b.Records[i].ID
					}
					if _, err := w.commit(b); err != nil {
						t.Fatal(err)
					}
					if id == "b" {
						w.mustPublish()
					}
				}
				w.close()
				tamper(t, db, query)
				err := w.tryOpen()
				wantErr(t, err, ledger.ErrTampered)
				w.close()
				wipe(t, db)
			})
		}
	})
}

func wipe(t *testing.T, db store.Config) {
	if db.URL != "" {
		tamper(t, db, "DROP SCHEMA signalbox CASCADE")
		return
	}
	for _, name := range []string{"signalbox.db", "signalbox.db-wal", "signalbox.db-shm"} {
		os.Remove(filepath.Join(db.Path, name))
	}
}

// What is changed under a running log is found before it is published, or
// built upon; then nothing works any more until a person has looked.
func TestTamperedDatabaseStopsTheLog(t *testing.T) {
	for name, c := range map[string]struct {
		query   string
		publish bool // found by the publisher, else by the sequencer
	}{
		"unpublished entry changed": {"UPDATE entry SET leaf = 'forged' WHERE idx = 5", true},
		"published entry changed":   {"UPDATE entry SET leaf = 'forged' WHERE idx = 1", true},
		"entry removed":             {"DELETE FROM entry WHERE idx = 5", true},
		"head set back":             {"UPDATE head SET size = 0, edge = '', checkpoint = (SELECT checkpoint FROM published)", false},
		"checkpoint forged":         {"UPDATE head SET checkpoint = 'forged'", false},
		"entry beyond the head":     {"INSERT INTO entry (idx, id, leaf) VALUES (6, 'extra', 'extra')", false},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, db store.Config) {
				w := newWorld(t, db)
				var alarm error
				w.config.Alarm = func(err error) { alarm = err }
				w.open()
				w.mustCommit(3)
				w.mustPublish()
				w.mustCommit(3)
				tamper(t, db, c.query)
				var err error
				if c.publish {
					_, err = w.log.Publish(context.Background())
				} else {
					_, err = w.commit(w.batch(1))
				}
				wantErr(t, err, ledger.ErrTampered)
				wantErr(t, alarm, ledger.ErrTampered)
				wantErr(t, w.log.Err(), ledger.ErrTampered)
				_, err = w.commit(w.batch(1))
				wantErr(t, err, ledger.ErrTampered)
				_, err = w.log.Publish(context.Background())
				wantErr(t, err, ledger.ErrTampered)
				if size, _ := w.log.Published(); size != 3 {
					t.Errorf("published size = %d, want 3", size)
				}
			})
		})
	}
}

func TestOlderCopyRestoredIsFound(t *testing.T) {
	db := store.Config{Path: t.TempDir(), Logger: quiet}
	w := newWorld(t, db)
	w.open()
	w.mustCommit(3)
	w.close()
	path := filepath.Join(db.Path, "signalbox.db")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w.open()
	w.mustCommit(3)
	w.mustPublish()
	w.close()
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	os.Remove(path + "-wal")
	err = w.tryOpen()
	wantErr(t, err, ledger.ErrTampered)
	if err == nil || !strings.Contains(err.Error(), "older copy") {
		t.Errorf("error %v does not say what may have happened", err)
	}
}

func TestForeignKeyIsRefused(t *testing.T) {
	w := newWorld(t, store.Config{Path: t.TempDir(), Logger: quiet})
	w.open()
	w.works()
	w.close()
	for _, c := range []struct{ name, origin, says string }{
		{"another.key", origin, "signed by key"},
		{"other-log.key", "other.example/log", `log "log.example/test"`},
	} {
		key, err := ledger.LoadOrCreateKey(filepath.Join(w.dir, c.name), c.origin)
		if err != nil {
			t.Fatal(err)
		}
		ours := w.key
		w.key = key
		err = w.tryOpen()
		wantErr(t, err, ledger.ErrForeign)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("error %v does not say %q", err, c.says)
		}
		w.close()
		w.key = ours
	}
	// Files of another log under our database.
	other := newWorld(t, store.Config{Path: t.TempDir(), Logger: quiet})
	other.open()
	other.works()
	w.folder = other.folder
	wantErr(t, w.tryOpen(), ledger.ErrForeign)
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.key")
	key, err := ledger.LoadOrCreateKey(path, origin)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file has mode %v, %v", info.Mode(), err)
	}
	again, err := ledger.LoadOrCreateKey(path, origin)
	if err != nil || again.Verifier() != key.Verifier() || !strings.HasPrefix(key.Verifier(), origin+"+") {
		t.Errorf("read again: %v, %v; want %v", again, err, key)
	}
	_, err = ledger.LoadOrCreateKey(path, "other.example/log")
	wantErr(t, err, ledger.ErrForeign)
	secret, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := map[string]string{
		"not a key":  "hello",
		"truncated":  string(secret[:len(secret)-9]),
		"wrong hash": strings.Replace(string(secret), "+", "+x", 3),
		"empty":      "",
	}
	for name, data := range broken {
		bad := filepath.Join(t.TempDir(), "bad.key")
		if err := os.WriteFile(bad, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ledger.LoadOrCreateKey(bad, origin)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if len(data) > 20 && strings.Contains(err.Error(), data[len(data)-20:]) {
			t.Errorf("%s: error shows the secret", name)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.LoadOrCreateKey(path, origin); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by others: %v", err)
	}
	for _, bad := range []string{"", "a b", "a+b"} {
		if _, err := ledger.LoadOrCreateKey(filepath.Join(t.TempDir(), "k"), bad); err == nil {
			t.Errorf("origin %q accepted", bad)
		}
	}
}

func TestHandler(t *testing.T) {
	w := newWorld(t, store.Config{Path: t.TempDir(), Logger: quiet})
	w.open()
	w.mustCommit(256)
	w.mustCommit(4)
	w.mustPublish()
	write(t, filepath.Join(w.dir, "log", "private"), "not for you")
	server := httptest.NewServer(http.StripPrefix("/log", ledger.Handler(w.folder)))
	defer server.Close()
	for _, c := range []struct {
		method, path string
		status       int
		kind, cache  string
	}{
		{"GET", "/log/checkpoint", 200, "text/plain; charset=utf-8", "no-cache"},
		{"HEAD", "/log/checkpoint", 200, "text/plain; charset=utf-8", "no-cache"},
		{"GET", "/log/tile/0/000", 200, "application/octet-stream", "public, max-age=604800, immutable"},
		{"GET", "/log/tile/entries/001.p/4", 200, "application/octet-stream", "public, max-age=604800, immutable"},
		{"GET", "/log/tile/0/009", 404, "", ""},
		{"GET", "/log/private", 404, "", ""},
		{"GET", "/log/", 404, "", ""},
		{"GET", "/log/tile/0/", 404, "", ""},
		{"GET", "/log/tile/0/..%2f..%2fprivate", 404, "", ""},
		{"POST", "/log/checkpoint", 405, "", ""},
	} {
		req, err := http.NewRequest(c.method, server.URL+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != c.status {
			t.Errorf("%s %s = %d, want %d", c.method, c.path, res.StatusCode, c.status)
		}
		if c.status != 200 {
			continue
		}
		if got := res.Header.Get("Content-Type"); got != c.kind {
			t.Errorf("%s: Content-Type %q, want %q", c.path, got, c.kind)
		}
		if got := res.Header.Get("Cache-Control"); got != c.cache {
			t.Errorf("%s: Cache-Control %q, want %q", c.path, got, c.cache)
		}
		if (len(body) == 0) != (c.method == "HEAD") {
			t.Errorf("%s %s: %d bytes", c.method, c.path, len(body))
		}
	}
}
