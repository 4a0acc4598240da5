//go:build unix

package pgtest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// TB is what we need of testing.TB. Naming it here keeps the testing package,
// and its flags, out of the programs that use [Start].
type TB interface {
	Helper()
	Cleanup(func())
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
}

// New starts a server for one test and closes it when the test ends. When the
// test failed, the end of the server's log is printed.
func New(tb TB, config Config) *Server {
	tb.Helper()
	s, err := startWithin(time.Minute, config)
	if err != nil {
		tb.Fatalf("start PostgreSQL: %v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			log := s.Log()
			tb.Logf("end of PostgreSQL's log:\n%s", log[max(0, len(log)-4000):])
		}
		s.Close()
	})
	return s
}

// Database is one empty database on a server that other tests use too: do not
// stop it, and do not change roles or settings of the whole server.
type Database struct {
	*Server
	// Name is the database's name.
	Name string
}

// URL returns the connection URL of the database.
func (d *Database) URL() string { return d.Server.URL(d.Name) }

// shared is the one server of this test binary. It is a global because a test
// binary is the thing that shares; nothing outside tests calls Shared.
var shared struct {
	once   sync.Once
	server *Server
	err    error
	count  atomic.Int64
}

// Shared returns a fresh database on the server that all tests of this binary
// share, started at the first call. The database is dropped when the test ends.
//
// The server ends with the process whatever happens. So that its folder goes at
// once too, and not at the next start, give the package
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
func Shared(tb TB) *Database {
	tb.Helper()
	shared.once.Do(func() {
		shared.server, shared.err = startWithin(time.Minute,
			Config{Settings: map[string]string{"max_connections": "300"}})
	})
	if shared.err != nil {
		tb.Fatalf("start PostgreSQL: %v", shared.err)
	}
	d := &Database{Server: shared.server, Name: fmt.Sprintf("test_%d", shared.count.Add(1))}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := d.CreateDB(ctx, d.Name); err != nil {
		tb.Fatalf("create a test database: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := d.DropDB(ctx, d.Name); err != nil {
			tb.Logf("drop the test database: %v", err)
		}
	})
	return d
}

// Main runs the tests of m, closes the shared server and exits. Call it from
// TestMain.
func Main(m interface{ Run() int }) {
	code := m.Run()
	if shared.server != nil {
		shared.server.Close()
	}
	os.Exit(code)
}

func startWithin(limit time.Duration, config Config) (*Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return Start(ctx, config)
}
