package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

func (p *program) runCommand() *cobra.Command {
	var f sessionFlags
	var human, sameUser, quiet bool
	var forWhom, existing string
	var keep []string
	c := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT…]",
		Short: "Run a command in a session, with its tools pointed at the gates",
		Long: `Run opens a session for an agent that acts for you, runs the command in it and
ends the session with it. PostgreSQL tools that the command starts reach the gate
by themselves (PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, PGSSLMODE,
PGSSLROOTCERT), and so do the AWS CLI and SDKs (AWS_ENDPOINT_URL and virtual
credentials; AWS_CONFIG_FILE with a profile for each gate). With several gates of
a kind choose one by --gate, or read SIGNALBOX_GATES.

When the session ends, what it has asked for is withdrawn with it. So that people
can answer, --wait lasts until they have:

  - what a PostgreSQL client sends outside of a transaction waits in the gate, and
    goes on by itself once it is approved, and once only;
  - in a transaction nothing waits, for it would hold the database's locks, and
    AWS's clients give up after a minute. Such a command fails with the hold. Then
    run waits, and STARTS THE COMMAND AGAIN, WHOLE: what it did before it was held,
    it does again.

Who is asked, the hold's page and what it would touch are told on standard error.
Ctrl-C takes back what is held. The exit code is then 4, and 3 when people said no;
else it is the command's own.

With --session, run uses a session that you have started, and leaves it open.

Your own token, credentials of other systems (GITHUB_TOKEN, KUBECONFIG, AWS_…,
SSH_AUTH_SOCK …) and what leads around the gates are taken out of the command's
environment; --keep-env NAME keeps one.

What runs as your own user can still read your files, your login among them: run
agents that you do not trust in a container, or as another user.`,
		Example: `  signalbox run -- claude
  signalbox run --wait -- psql -c 'DROP TABLE orders_2019'
  signalbox run --agent kiro --purpose "ticket 4711" --ttl 1h -- kiro-cli
  signalbox run --gate orders -- psql -c 'SELECT count(*) FROM orders'
  signalbox run --keep-env SSH_AUTH_SOCK -- claude
  signalbox run --human -- psql`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if human && (f.agent != "" || f.automation != "") {
				return usage("--human is a session of your own: it goes without --agent and --automation")
			}
			if existing != "" && (human || !f.plain()) {
				return usage("--session is a session that there is already: it goes without --agent, --automation, --human, --purpose, --gate and --ttl")
			}
			for _, name := range keep {
				if strings.HasPrefix(strings.ToUpper(name), "SIGNALBOX_") {
					return usage("--keep-env %s: with your own token a command could answer its own requests", name)
				}
			}
			if f.agent == "" && f.automation == "" && !human {
				f.agent = agentName(args[0])
			}
			path, err := exec.LookPath(args[0])
			if err != nil {
				return err
			}
			api, err := p.client()
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if err := forThisHuman(ctx, api, forWhom); err != nil {
				return err
			}
			gates, err := chosen(ctx, api, f.gates)
			if err != nil {
				return err
			}
			if err := p.usable(gates, nil); err != nil {
				return err
			}
			server, err := api.Server(ctx)
			if err != nil {
				return err
			}
			if err := p.apart(ctx, api.URL(), server, gates, sameUser); err != nil {
				return err
			}
			o, end, err := p.enter(ctx, api, f, existing)
			if err != nil {
				return err
			}
			defer end()
			if !quiet {
				fmt.Fprintf(p.stderr, "signalbox: session %s of %s until %s\n", o.Session.ID, o.Session.Actor,
					clock(o.Session.Expires))
			}
			folder, err := os.MkdirTemp("", "signalbox-run-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(folder)
			told, err := p.access(gates, o, folder)
			if err != nil {
				return err
			}
			vars, err := p.variables(api.URL(), told, o, gate.Folder{Path: folder, Secrets: true})
			if err != nil {
				return err
			}
			env, removed := p.environment(os.Environ(), vars, server.Secrets, keep)
			if len(removed) > 0 && !quiet {
				fmt.Fprintf(p.stderr, "signalbox: taken out of the command's environment: %s (--keep-env NAME keeps one)\n", signalbox.Visible(strings.Join(removed, ", ")))
			}
			start := func() *exec.Cmd {
				return &exec.Cmd{Path: path, Args: args, Env: env, Stdin: p.stdin, Stdout: p.stdout, Stderr: p.stderr}
			}
			if !f.wait {
				return exitCode(runChild(start(), nil))
			}
			if !quiet {
				fmt.Fprintln(p.stderr, "signalbox: --wait: if the command fails with something held, it is started again, whole, once people have said yes")
			}
			return p.runAndWait(ctx, api, o.Session, start)
		},
	}
	f.register(c)
	c.Flags().Lookup("wait").Usage = "wait until people have answered what is held; a command that fails meanwhile is started again, whole"
	c.Flags().BoolVar(&human, "human", false, "a session of your own, not an agent's")
	c.Flags().StringVar(&existing, "session", "", "use this session of yours, and leave it open")
	c.Flags().StringVar(&forWhom, "for", "", "the human acted for: yourself, as a check that you are who you think")
	c.Flags().StringSliceVar(&keep, "keep-env", nil,
		"leave these variables in the command's environment, although they may lead around the gates")
	c.Flags().BoolVar(&sameUser, "allow-same-user", false,
		"run beside production although the server runs as your own user: the command could then read the server's keys")
	c.Flags().BoolVar(&quiet, "quiet", false, "say nothing about the session")
	c.Flags().SetInterspersed(false)
	return c
}

// enter opens a session, or takes one that there is. end ends what was opened.
func (p *program) enter(ctx context.Context, api *client.Client, f sessionFlags,
	existing string) (o client.OpenedSession, end func(), err error) {
	if existing != "" {
		id, err := sessionID(ctx, api, existing)
		if err != nil {
			return o, nil, err
		}
		o, err = api.Credentials(ctx, id)
		return o, func() {}, err
	}
	o, err = api.OpenSession(ctx, f.request())
	// Ended whatever happens to this command, but kill -9; then its time ends it.
	return o, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := api.EndSession(end, o.Session.ID); err != nil {
			fmt.Fprintf(p.stderr, "signalbox: session %s is still open until %s: %v\n", o.Session.ID,
				clock(o.Session.Expires), err)
		}
	}, err
}

// agentName is what an agent is called that nobody named: its command.
func agentName(command string) string {
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && signalbox.ValidName("agent", "a"+string(r)) == nil {
			return r
		}
		return '-'
	}, filepath.Base(command))
	name = strings.TrimLeft(name, "._@+-")
	if name = name[:min(len(name), 64)]; name == "" {
		return "agent"
	}
	return name
}

func forThisHuman(ctx context.Context, api *client.Client, name string) error {
	who, err := api.Whoami(ctx)
	switch {
	case err != nil:
		return err
	case who.Person == nil:
		return hinted{&client.Problem{Status: 403, Detail: "a session cannot start others"},
			"a human does it, outside of the session"}
	case name != "" && name != who.Person.Name:
		return hinted{&client.Problem{Status: 403,
			Detail: fmt.Sprintf("you are %s: an agent acts for the human who starts it, not for %s", who.Person.Name,
				name)},
			name + " starts it, logged in as " + name}
	}
	return nil
}

// chosen gives the gates that the session may use.
func chosen(ctx context.Context, api *client.Client, names []string) ([]client.Gate, error) {
	gates, err := api.Gates(ctx)
	if err != nil || len(names) == 0 {
		return gates, err
	}
	for _, n := range names {
		if !slices.ContainsFunc(gates, func(g client.Gate) bool { return g.Name == n }) {
			var have []string
			for _, g := range gates {
				have = append(have, g.Name)
			}
			return nil, hinted{fmt.Errorf("there is no gate %q", n), "there are: " + strings.Join(have, ", ")}
		}
	}
	return slices.DeleteFunc(gates, func(g client.Gate) bool { return !slices.Contains(names, g.Name) }), nil
}

// apart refuses to run beside a production gate what could read the server's
// own keys, because it runs as the same user of the same machine, or as root.
func (p *program) apart(ctx context.Context, at string, s client.Server, gates []client.Gate, allowed bool) error {
	u, err := url.Parse(at)
	if err != nil || !here(ctx, u.Hostname()) || s.User < 0 || s.User != os.Getuid() && os.Getuid() != 0 {
		return err
	}
	if slices.ContainsFunc(gates, func(g client.Gate) bool { return g.Environment.Production() }) && !allowed {
		return hinted{errors.New("the server runs on this machine as your own user (or you are root), beside a gate to production: the command could read its keys, and every promise would be void"),
			"run the server as another user or elsewhere; --allow-same-user runs the command all the same"}
	}
	fmt.Fprintln(p.stderr, "signalbox: the command could read the server's keys: fit for trying it out, not for production")
	return nil
}

// here reports whether host is this machine, as far as can be told.
func here(ctx context.Context, host string) bool {
	if config.Loopback(host) {
		return true
	}
	names, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return false
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(own, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && slices.Contains(names, n.IP.String())
	})
}

// runChild runs the command to its end and gives its exit code. Signals go on to
// it, but not those that a terminal has sent to it already. At a Ctrl-C
// interrupted is called, if there is one.
func runChild(child *exec.Cmd, interrupted func()) (int, error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	shared := terminal(child.Stdin)
	if err := child.Start(); err != nil {
		return exitFailed, err
	}
	done := make(chan error, 1)
	go func() { done <- child.Wait() }()
	for {
		select {
		case s := <-signals:
			if s == os.Interrupt && interrupted != nil {
				interrupted()
			}
			if shared && (s == os.Interrupt || s == syscall.SIGQUIT) {
				continue // the terminal sends these to the whole foreground group
			}
			// An error means that it has just ended.
			_ = child.Process.Signal(s)
		case err := <-done:
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				return exitDone, err
			}
			if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
				return 128 + int(status.Signal()), nil
			}
			return exit.ExitCode(), nil
		}
	}
}

// exitCode makes an error of a command's exit code.
func exitCode(code int, err error) error {
	if err != nil || code == exitDone {
		return err
	}
	return exitError(code)
}
