package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"

	"github.com/signalbox-dev/signalbox/internal/store/db"
	"github.com/signalbox-dev/signalbox/internal/store/litepgx"
)

// applicationID marks a SQLite file as ours in its header: "Sgbx".
const applicationID = 0x53676278

// sqlite keeps everything in one file.
type sqlite struct {
	write *sql.DB // one connection: SQLite has one writer at a time anyway
	read  *sql.DB
	lock  *os.File // held while open
	tell  func()

	folder string // of the file

	statements statements // of write
}

func openSQLite(ctx context.Context, cfg Config, w *watchers) (_ *sqlite, err error) {
	path := cfg.Path
	if !strings.HasSuffix(path, ".db") {
		// Secrets of hidden fields are in there: for the owner alone.
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, err
		}
		path = filepath.Join(path, "signalbox.db")
	}
	s := &sqlite{tell: w.tell, folder: filepath.Dir(path)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.lock, err = lockFile(path + ".lock"); err != nil {
		return nil, err
	}
	if err := cfg.Locked(); err != nil {
		return nil, err
	}
	if err := createFile(path); err != nil {
		return nil, err
	}
	// synchronous=FULL syncs the write-ahead log at every commit. secure_delete
	// overwrites what is erased, here and when the log is written back.
	if s.write, err = sql.Open("sqlite", dsn(path, "_txlock=immediate",
		"journal_mode(WAL)", "synchronous(FULL)", "fullfsync(ON)", "foreign_keys(ON)", "busy_timeout(5000)",
		"secure_delete(ON)", "wal_autocheckpoint(1000)")); err != nil {
		return nil, err
	}
	s.write.SetMaxOpenConns(1)
	s.write.SetMaxIdleConns(1)
	s.write.SetConnMaxLifetime(0)
	s.statements.db = s.write
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	if s.read, err = sql.Open("sqlite", dsn(path, "mode=ro", "query_only(ON)", "busy_timeout(5000)")); err != nil {
		return nil, err
	}
	s.read.SetMaxOpenConns(8)
	s.read.SetMaxIdleConns(8)
	return s, nil
}

func dsn(path, option string, pragmas ...string) string {
	q := url.Values{"_pragma": pragmas}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + option + "&" + q.Encode()
}

// createFile makes the file, for its owner alone, and refuses one that is not
// a SQLite database before SQLite sees it.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	const magic = "SQLite format 3\x00"
	head := make([]byte, len(magic))
	n, err := f.ReadAt(head, 0)
	if n > 0 && string(head[:n]) != magic {
		return fmt.Errorf("%w: it is no SQLite file at all", ErrForeign)
	}
	if n == 0 && err != nil {
		// New, or empty: its name must be durable before anything in it is.
		return syncDir(filepath.Dir(path))
	}
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("others can read it (mode %04o): it holds secrets; chmod 600 it", info.Mode().Perm())
	}
	return nil
}

// prepare checks that the file is ours and migrates it.
func (s *sqlite) prepare(ctx context.Context) error {
	tables, err := s.tables(ctx)
	if err != nil {
		return err
	}
	var id int64
	if err := s.write.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return fmt.Errorf("read application id: %w", err)
	}
	if len(tables) > 0 && id != applicationID || id != 0 && id != applicationID {
		return fmt.Errorf("%w: it belongs to another program (application id %#x, %d tables)", ErrForeign, id,
			len(tables))
	}
	if id == 0 {
		if _, err := s.write.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
			return fmt.Errorf("mark the file as ours: %w", err)
		}
	}
	return migrate(ctx, goose.DialectSQLite3, s.write, tables)
}

func (s *sqlite) tables(ctx context.Context) ([]string, error) {
	rows, err := s.write.QueryContext(ctx, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("read its tables: %w", err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

func (s *sqlite) reads() db.DBTX  { return litepgx.Wrap(s.read) }
func (s *sqlite) writes() db.DBTX { return litepgx.Wrap(s.write) }

// Lead implements [ledger.Shelf]: the file lock says that there is nobody else.
func (s *sqlite) Lead(context.Context) (bool, error) { return true, nil }

func (s *sqlite) close() {
	if s.read != nil {
		s.read.Close()
	}
	if s.write != nil {
		s.statements.close()
		s.write.Close()
	}
	if s.lock != nil {
		s.lock.Close() // and with it the lock
	}
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	return nil
}
