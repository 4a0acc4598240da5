package store_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/internal/store/litepgx"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

func refused(t *testing.T, cfg store.Config, want error, says string) {
	t.Helper()
	s, err := store.Open(context.Background(), cfg)
	if err == nil {
		s.Close()
		t.Fatal("opened")
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("got error %v, want one that wraps %v", err, want)
	}
	if !strings.Contains(err.Error(), says) {
		t.Errorf("error %v does not say %q", err, says)
	}
}

func executeSQLite(t *testing.T, path, query string) {
	t.Helper()
	conn, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Exec(query); err != nil {
		t.Fatal(err)
	}
}

func executePostgres(t *testing.T, url, query string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, query); err != nil {
		t.Fatal(err)
	}
}

func TestSQLiteFilesThatAreNotOurs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some.db")
	if err := os.WriteFile(path, []byte("these are my notes, please keep them"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, store.Config{Path: path}, store.ErrForeign, "no SQLite file")
	if data, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(data), "these are my notes") {
		t.Errorf("the file was changed: %q, %v", data, err)
	}

	path = filepath.Join(t.TempDir(), "other.db")
	executeSQLite(t, path, "CREATE TABLE songs (title TEXT)")
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, store.Config{Path: path}, store.ErrForeign, "another program")
	executeSQLite(t, path, "INSERT INTO songs VALUES ('still there')")

	dir := t.TempDir()
	open(t, store.Config{Path: dir}).Close()
	executeSQLite(t, filepath.Join(dir, "signalbox.db"),
		"INSERT INTO signalbox_version (version_id, is_applied) VALUES (999, TRUE)")
	refused(t, store.Config{Path: dir}, store.ErrNewer, "version 999")

	dir = t.TempDir()
	open(t, store.Config{Path: dir}).Close()
	path = filepath.Join(dir, "signalbox.db")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, store.Config{Path: dir}, nil, "chmod 600")
}

func TestSQLiteIsLocked(t *testing.T) {
	dir := t.TempDir()
	first := open(t, store.Config{Path: dir})
	refused(t, store.Config{Path: dir}, store.ErrInUse, "another process")
	first.Close()
	first.Close()
	open(t, store.Config{Path: dir})
	info, err := os.Stat(filepath.Join(dir, "signalbox.db"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("database file has mode %v, %v", info.Mode(), err)
	}
}

func TestPostgreSQLSchemasThatAreNotOurs(t *testing.T) {
	url := pgtest.Shared(t).URL()
	executePostgres(t, url, "CREATE SCHEMA theirs; CREATE TABLE theirs.songs (title TEXT)")
	refused(t, store.Config{URL: url, Schema: "theirs", Logger: quiet}, store.ErrForeign, `"songs"`)

	open(t, store.Config{URL: url, Logger: quiet}).Close()
	executePostgres(t, url, "INSERT INTO signalbox.signalbox_version (version_id, is_applied) VALUES (999, TRUE)")
	refused(t, store.Config{URL: url, Logger: quiet}, store.ErrNewer, "version 999")
}

func TestPostgreSQLIsMadeSafe(t *testing.T) {
	url := pgtest.Shared(t).URL()
	executePostgres(t, url, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$")
	s := open(t, store.Config{URL: url, Logger: quiet})
	turn, err := s.Begin(context.Background(), []ledger.Batch{{Changes: []ledger.Statement{
		{SQL: "SELECT 1 WHERE current_setting('synchronous_commit') = 'on'", Rows: 1},
		{SQL: "SELECT 1 WHERE current_setting('lock_timeout') = '5s'", Rows: 1},
		{SQL: "SELECT 1 WHERE current_setting('idle_in_transaction_session_timeout') = '10s'", Rows: 1},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Rollback()
	if err := turn.Errs()[0]; err != nil {
		t.Error(err)
	}
}

func TestConfigMistakes(t *testing.T) {
	refused(t, store.Config{}, nil, "PostgreSQL URL or a SQLite path")
	refused(t, store.Config{URL: "postgres://a", Path: "b"}, nil, "not both")
	refused(t, store.Config{URL: "mysql://root:geheim@a/b"}, nil, "postgres://")
	refused(t, store.Config{URL: "postgres://app:geheim@127.0.0.1:1/x", Schema: "a b", Logger: quiet}, nil, "schema")
	for _, url := range []string{"postgres://app:geheim@127.0.0.1:1/x",
		"postgres://app:geheim@127.0.0.1:nonsense/x?sslmode=perhaps", "mysql://app:geheim@a/b"} {
		s, err := store.Open(context.Background(), store.Config{URL: url, Logger: quiet})
		if err == nil {
			s.Close()
			t.Errorf("%q opened", url)
		} else if strings.Contains(err.Error(), "geheim") {
			t.Errorf("error shows the password: %v", err)
		}
	}
}

func TestSQLForSQLite(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT $2, $1":                            "SELECT ?2, ?1",
		"SELECT a FROM b WHERE c = $1::bigint":     "SELECT a FROM b WHERE c = ?1",
		"SELECT a FROM b FOR UPDATE":               "SELECT a FROM b",
		"SELECT a FROM b\n FOR UPDATE SKIP LOCKED": "SELECT a FROM b",
		"LIMIT $12::text":                          "LIMIT ?12",
	} {
		if got := litepgx.SQL(query); got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
}
