package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// agentEnv is what `signalbox run` gives to the agent's programs: where the
// gate is, and the session's credential for it. The database's own password is
// not among it, since no agent has it.
func (o *orders) agentEnv() []string {
	return append(cleanEnv(),
		"PGHOST="+o.gate.Host, "PGPORT="+strconv.Itoa(o.gate.Port), "PGDATABASE="+o.gate.Database,
		"PGUSER="+string(o.session.Session.ID), "PGPASSWORD="+o.session.Credentials[gateName],
		"PGSSLMODE=verify-full", "PGSSLROOTCERT="+o.root, "PGPASSFILE="+os.DevNull, "PGSERVICEFILE="+os.DevNull,
	)
}

// directEnv leads past the gate, to the database itself.
func (o *orders) directEnv() []string { return append(cleanEnv(), o.postgres.Env(database)...) }

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
func (o *orders) command(ctx context.Context, env []string, args ...string) *exec.Cmd {
	cmd := o.postgres.Command(ctx, database, "psql", append([]string{"-X", "-v", "VERBOSITY=verbose"}, args...)...)
	cmd.Env = env
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// psql runs one statement in a psql of its own.
func (o *orders) psql(ctx context.Context, env []string, sql string, args ...string) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	return run(ctx, o.command(ctx, env, append(args, "-c", sql)...))
}

// A terminal is a psql that stays, as in front of somebody who types.
type terminal struct {
	ctx    context.Context // ends with its cancel, or when it took too long
	cancel context.CancelFunc

	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader
}

// terminal starts a psql that reads what typed writes.
func (o *orders) terminal(ctx context.Context, env []string) (*terminal, error) {
	t := &terminal{}
	t.ctx, t.cancel = context.WithTimeoutCause(ctx, patience, errPatience)
	t.cmd = o.command(t.ctx, env)
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
