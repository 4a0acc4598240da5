// Signalbox-verify checks, without trusting the system that wrote it, a log in
// the c2sp.org/tlog-tiles format, the proof of one entry, a disclosed field, and
// that a log continues what was seen of it before. It links the packages
// signalbox and proof alone.
//
// Run it without arguments, or `signalbox-verify help COMMAND`, for examples.
//
// The exit code is 0 if everything was verified, 1 if it was not, and 2 if the
// command was not understood.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes one command and gives its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := dispatch(ctx, args, terminal{stdin, stdout, stderr})
	var u usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &u):
		fmt.Fprintf(stderr, "signalbox-verify: %v\n", err)
		return 2
	}
	fmt.Fprintf(stderr, "signalbox-verify: %v\n", err)
	return 1
}
