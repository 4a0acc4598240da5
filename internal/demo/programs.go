package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// An answer is what a program printed, on both its outputs in the order in
// which it came, and its exit code.
type answer struct {
	text string
	code int
}

// patience is how long a program may take. Nothing in a story takes a tenth of
// it; a program that does not come back is a step that does not behave.
const patience = 30 * time.Second

var errPatience = fmt.Errorf("no answer within %v", patience)

// run runs a program made with ctx. An exit code that is not zero is no error
// here.
func run(ctx context.Context, cmd *exec.Cmd) (answer, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return outcome(ctx, cmd, out.Bytes(), err)
}

// outcome makes an answer of how a program ended.
func outcome(ctx context.Context, cmd *exec.Cmd, text []byte, err error) (answer, error) {
	a := answer{text: strings.TrimRight(string(text), " \n")}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		a.code, err = exit.ExitCode(), nil
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // it was killed
		}
		return a, fmt.Errorf("run %s: %w", filepath.Base(cmd.Path), err)
	}
	return a, nil
}

// judge runs one of the programs.
func judge(ctx context.Context, program string, args ...string) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = 2 * time.Second
	return run(ctx, cmd)
}
