package store_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/internal/store/storetest"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func open(t *testing.T, cfg store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestSQLite(t *testing.T) {
	storetest.Exercise(t, func(t *testing.T) storetest.Store {
		return open(t, store.Config{Path: t.TempDir()})
	})
}

// quiet keeps warnings about scratch servers without fsync out of the tests.
var quiet = slog.New(slog.DiscardHandler)

func TestPostgreSQL(t *testing.T) {
	storetest.Exercise(t, func(t *testing.T) storetest.Store {
		return open(t, store.Config{URL: pgtest.Shared(t).URL(), Logger: quiet})
	})
}
