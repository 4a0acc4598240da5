package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

func (p *program) runCommand() *cobra.Command {
	var f sessionFlags
	var human, sameUser, quiet bool
	var forWhom string
	c := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGUMENT…]",
		Short: "Run a command in a session, with its tools pointed at the gates",
		Long: `Run opens a session for an agent that acts for you, runs the command in it and
ends the session with it. PostgreSQL tools that the command starts reach the gate
by themselves (PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, PGSSLMODE,
PGSSLROOTCERT), and so do the AWS CLI and SDKs (AWS_ENDPOINT_URL and virtual
credentials; AWS_CONFIG_FILE with a profile for each gate). With several gates of
a kind choose one by --gate, or read SIGNALBOX_GATES. Your own token, and what
would lead around the gates, is taken out of the command's environment.

What runs as your own user can still read your files, your login among them: run
agents that you do not trust in a container, or as another user.`,
		Example: `  signalbox run -- claude
  signalbox run --agent kiro --purpose "ticket 4711" --ttl 1h -- kiro-cli
  signalbox run --gate orders -- psql -c 'SELECT count(*) FROM orders'
  signalbox run --human -- psql`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if human && (f.agent != "" || f.automation != "") {
				return usage("--human is a session of your own: it goes without --agent and --automation")
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
			if err := p.apart(ctx, api, gates, sameUser); err != nil {
				return err
			}
			o, err := api.OpenSession(ctx, f.request())
			if err != nil {
				return err
			}
			// Ended whatever happens to this command, but kill -9; then its time
			// ends it.
			defer func() {
				end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
				defer cancel()
				if err := api.EndSession(end, o.Session.ID); err != nil {
					fmt.Fprintf(p.stderr, "signalbox: session %s is still open until %s: %v\n", o.Session.ID, clock(o.Session.Expires), err)
				}
			}()
			if !quiet {
				fmt.Fprintf(p.stderr, "signalbox: session %s of %s until %s\n", o.Session.ID, o.Session.Actor, clock(o.Session.Expires))
			}
			folder, err := os.MkdirTemp("", "signalbox-run-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(folder)
			env, err := p.environment(os.Environ(), api.URL(), gates, o, folder)
			if err != nil {
				return err
			}
			child := &exec.Cmd{Path: path, Args: args, Env: env, Stdin: p.stdin, Stdout: p.stdout, Stderr: p.stderr}
			return runChild(child)
		},
	}
	f.register(c)
	c.Flags().BoolVar(&human, "human", false, "a session of your own, not an agent's")
	c.Flags().StringVar(&forWhom, "for", "", "the human acted for: yourself, as a check that you are who you think")
	c.Flags().BoolVar(&sameUser, "allow-same-user", false, "run beside production although the server runs as your own user: the command could then read the server's keys")
	c.Flags().BoolVar(&quiet, "quiet", false, "say nothing about the session")
	c.Flags().SetInterspersed(false)
	return c
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
		return hinted{&client.Problem{Status: 403, Detail: "a session cannot start others"}, "a human does it, outside of the session"}
	case name != "" && name != who.Person.Name:
		return hinted{&client.Problem{Status: 403, Detail: fmt.Sprintf("you are %s: an agent acts for the human who starts it, not for %s", who.Person.Name, name)},
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
func (p *program) apart(ctx context.Context, api *client.Client, gates []client.Gate, allowed bool) error {
	s, err := api.Server(ctx)
	if err != nil {
		return err
	}
	u, err := url.Parse(api.URL())
	if err != nil || !here(ctx, u.Hostname()) || s.User < 0 || s.User != os.Getuid() && os.Getuid() != 0 {
		return err
	}
	if slices.ContainsFunc(gates, func(g client.Gate) bool { return config.IsProduction(g.Environment) }) && !allowed {
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

// ours and postgres are the variables of the caller that the command must not
// see: his credentials, and whatever leads PostgreSQL tools around the gate.
var ours = []string{"SIGNALBOX_TOKEN", "SIGNALBOX_SERVER", "SIGNALBOX_CONFIG", "SIGNALBOX_CONFIG_DIR", "SIGNALBOX_SESSION", "SIGNALBOX_GATES", "SIGNALBOX_CA_FILE"}

var postgres = []string{
	"PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGDATABASE", "PGSERVICE", "PGSERVICEFILE",
	"PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLCRL", "PGSSLCRLDIR", "PGSSLSNI", "PGSSLNEGOTIATION",
	"PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION", "PGSSLCERTMODE", "PGREQUIRESSL", "PGREQUIREPEER", "PGREQUIREAUTH",
	"PGCHANNELBINDING", "PGGSSENCMODE", "PGKRBSRVNAME", "PGGSSLIB", "PGGSSDELEGATION", "PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS",
}

// environment is the command's: the caller's without his credentials, and with
// those of the session.
func (p *program) environment(caller []string, server string, gates []client.Gate, o client.OpenedSession, folder string) ([]string, error) {
	told, err := gateList(gates, o, folder)
	if err != nil {
		return nil, err
	}
	ofKind := func(kind string) []gateAccess {
		return slices.DeleteFunc(slices.Clone(told), func(g gateAccess) bool { return g.Kind != kind })
	}
	accounts := ofKind("aws")
	var env []string
	for _, v := range caller {
		name, value, _ := strings.Cut(v, "=")
		if slices.Contains(ours, name) || slices.Contains(postgres, name) || len(accounts) > 0 && leadsAroundAWS(name) {
			continue
		}
		if strings.HasPrefix(value, "postgres://") || strings.HasPrefix(value, "postgresql://") {
			fmt.Fprintf(p.stderr, "signalbox: %s is set and leads around the gate: take it out if it leads to production\n", name)
		}
		env = append(env, v)
	}
	set := func(name, value string) { env = append(env, name+"="+value) }
	set("SIGNALBOX_SERVER", server)
	set("SIGNALBOX_SESSION", string(o.Session.ID))
	set("SIGNALBOX_TOKEN", o.Credentials["api"])
	var list strings.Builder
	if err := writeJSON(&list, told, ""); err != nil {
		return nil, err
	}
	set("SIGNALBOX_GATES", strings.TrimSpace(list.String()))
	vars, err := p.awsEnvironment(accounts, folder)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		set(name, vars[name])
	}
	switch databases := ofKind("postgres"); len(databases) {
	case 0:
		if len(accounts) == 0 {
			fmt.Fprintln(p.stderr, "signalbox: no gate is open for this session")
		}
	case 1:
		g := databases[0]
		set("PGHOST", g.Host)
		set("PGPORT", fmt.Sprint(g.Port))
		set("PGUSER", g.User)
		set("PGPASSWORD", g.Password)
		if g.Database != "" {
			set("PGDATABASE", g.Database)
		}
		set("PGSSLMODE", "verify-full")
		set("PGSSLROOTCERT", g.CAFile)
		set("PGGSSENCMODE", "disable")
	default:
		fmt.Fprintln(p.stderr, "signalbox: there are several PostgreSQL gates: choose one with --gate, or read SIGNALBOX_GATES")
	}
	return env, nil
}

// gateAccess is how SIGNALBOX_GATES tells of a gate.
type gateAccess struct {
	Name        string                `json:"name"`
	Kind        string                `json:"kind"`
	Environment signalbox.Environment `json:"environment"`
	Host        string                `json:"host"`
	Port        int                   `json:"port"`
	Database    string                `json:"database,omitempty"`
	URL         string                `json:"url,omitempty"`    // of a gate for AWS
	Region      string                `json:"region,omitempty"` // of a gate for AWS
	User        string                `json:"user"`             // for AWS, the access key id
	Password    string                `json:"password"`         // for AWS, the secret access key
	CAFile      string                `json:"ca_file"`
}

// systemCAs is where Debian and its kin keep the authorities of the system.
// libpq before 16 does not know of "system".
const systemCAs = "/etc/ssl/certs/ca-certificates.crt"

func gateList(gates []client.Gate, o client.OpenedSession, folder string) ([]gateAccess, error) {
	out := []gateAccess{}
	for i, g := range gates {
		a := gateAccess{
			Name: g.Name, Kind: g.Kind, Environment: g.Environment, Host: g.Host, Port: g.Port, Database: g.Database,
			User: string(o.Session.ID), Password: o.Credentials[g.Name], Region: g.Region,
		}
		if g.Kind == "aws" {
			a.User, a.URL = accessKey(o), "https://"+net.JoinHostPort(g.Host, fmt.Sprint(g.Port))
		}
		switch {
		case g.CA != "":
			a.CAFile = filepath.Join(folder, fmt.Sprintf("ca%d.pem", i))
			if err := os.WriteFile(a.CAFile, []byte(g.CA), 0o644); err != nil {
				return nil, err
			}
		default:
			a.CAFile = "system"
			if _, err := os.Stat(systemCAs); err == nil {
				a.CAFile = systemCAs
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// runChild runs the command to its end and gives its exit code as an
// [exitError]. Signals go on to it, but not those that a terminal has sent to
// it already.
func runChild(child *exec.Cmd) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	shared := terminal(child.Stdin)
	if err := child.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- child.Wait() }()
	for {
		select {
		case s := <-signals:
			if shared && (s == os.Interrupt || s == syscall.SIGQUIT) {
				continue // the terminal sends these to the whole foreground group
			}
			// An error means that it has just ended.
			_ = child.Process.Signal(s)
		case err := <-done:
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				return err
			}
			if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
				return exitError(128 + int(status.Signal()))
			}
			return exitError(exit.ExitCode())
		}
	}
}
