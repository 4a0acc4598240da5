package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// An answer is what a program printed, on both its outputs in the order in
// which it came, and its exit code.
type answer struct {
	text string
	code int
}

// agentEnv is what `signalbox run` gives to the agent's programs: where the
// gate is, and the session's credential for it. The database's own password is
// not among it, since no agent has it.
func (s *stage) agentEnv() []string {
	return append(cleanEnv(),
		"PGHOST="+s.gate.Host, "PGPORT="+strconv.Itoa(s.gate.Port), "PGDATABASE="+s.gate.Database,
		"PGUSER="+string(s.session.Session.ID), "PGPASSWORD="+s.session.Credentials[gateName],
		"PGSSLMODE=verify-full", "PGSSLROOTCERT="+s.root, "PGPASSFILE="+os.DevNull, "PGSERVICEFILE="+os.DevNull,
	)
}

// directEnv leads past the gate, to the database itself.
func (s *stage) directEnv() []string { return append(cleanEnv(), s.postgres.Env(database)...) }

// cleanEnv is our environment without what the user set for libpq and psql.
func cleanEnv() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PG") && !strings.HasPrefix(e, "PSQL") {
			env = append(env, e)
		}
	}
	return append(env, "PAGER=cat", "LC_ALL=C")
}

// command gives a psql that is killed when ctx ends. Verbose errors show the
// SQLSTATE, by which programs decide.
func (s *stage) command(ctx context.Context, env []string, args ...string) *exec.Cmd {
	cmd := s.postgres.Command(ctx, database, "psql", append([]string{"-X", "-v", "VERBOSITY=verbose"}, args...)...)
	cmd.Env = env
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// patience is how long a program may take. Nothing in a story takes a tenth of
// it; a program that does not come back is a step that does not behave.
const patience = 30 * time.Second

var errPatience = fmt.Errorf("no answer within %v", patience)

// psql runs one statement in a psql of its own.
func (s *stage) psql(ctx context.Context, env []string, sql string, args ...string) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	return run(ctx, s.command(ctx, env, append(args, "-c", sql)...))
}

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

// A terminal is a psql that stays, as in front of somebody who types.
type terminal struct {
	ctx    context.Context // ends with its cancel, or when it took too long
	cancel context.CancelFunc

	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader
}

// open starts a psql that reads what typed writes.
func (s *stage) open(ctx context.Context, env []string) (*terminal, error) {
	t := &terminal{}
	t.ctx, t.cancel = context.WithTimeoutCause(ctx, patience, errPatience)
	t.cmd = s.command(t.ctx, env)
	var err error
	if t.in, err = t.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	t.cmd.Stderr = t.cmd.Stdout // one pipe for both, so that they come in order
	t.out = out
	if err := t.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start psql: %w", err)
	}
	return t, nil
}

// typed writes lines to psql.
func (t *terminal) typed(lines ...string) error {
	_, err := io.WriteString(t.in, strings.Join(lines, "\n")+"\n")
	return err
}

// kill ends psql if nothing else did.
func (t *terminal) kill() {
	t.cancel()
	_ = t.cmd.Wait() // an error if end has waited: then all is well
}

// end reads to the end of psql's output and waits for its exit.
func (t *terminal) end() (answer, error) {
	text, err := io.ReadAll(t.out)
	if err != nil {
		return answer{}, fmt.Errorf("read from psql: %w", err)
	}
	return outcome(t.ctx, t.cmd, text, t.cmd.Wait())
}
