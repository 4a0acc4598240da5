// Signalbox stands between agents and production: the server with its gates,
// and the command line of those who work with it.
//
// Run it without arguments, or `signalbox help COMMAND`, for examples. Exit
// codes: 0 done, 1 failed, 2 not understood, 3 denied, 4 held.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/signalbox-dev/signalbox/internal/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once, as it does by default.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and gives its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr, kinds: server.Kinds()}
	root := p.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return p.exit(root.ExecuteContextC(ctx))
}
