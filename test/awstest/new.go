//go:build unix

package awstest

import (
	"context"
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
func New(tb TB, kind Kind) *Server {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := Start(ctx, kind)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			log := s.Log()
			tb.Logf("end of the log of %s:\n%s", kind, log[max(0, len(log)-4000):])
		}
		s.Close()
	})
	return s
}
