package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/gate"
)

func (p *program) sessionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "session",
		Short: "See, start and end sessions",
		Long: `A session is a bounded piece of somebody's work: of an agent that acts for you,
of an automation, or your own. It has credentials of its own, which are worth
nothing once it has ended. ` + "`signalbox run`" + ` starts one for a single command.`,
		Example: `  signalbox session list
  signalbox session start --agent claude --ttl 1h --json
  signalbox session end 01k9xb…`,
		RunE: group,
	}
	c.AddCommand(p.sessionListCommand(), p.sessionStartCommand(), p.sessionEndCommand())
	return c
}

func (p *program) sessionListCommand() *cobra.Command {
	var all bool
	c := p.printsData(&cobra.Command{
		Use:   "list",
		Short: "List sessions",
		Example: `  signalbox session list
  signalbox session list --all --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			ss, err := api.Sessions(cmd.Context(), all)
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(ss)
			}
			rows := make([][]string, len(ss))
			for i, s := range ss {
				state := left(s.Expires)
				if !s.Ended.IsZero() {
					state = "ended"
				}
				rows[i] = []string{string(s.ID), s.Actor.String(), s.Purpose, strings.Join(s.Gates, ","),
					clock(s.Started), state}
			}
			return p.table([]string{"session", "who", "purpose", "gates", "since", "left"}, rows)
		},
	})
	c.Flags().BoolVar(&all, "all", false, "those that have ended too")
	return c
}

// sessionFlags are those of every command that opens a session.
type sessionFlags struct {
	agent, automation, purpose string
	gates                      []string
	ttl                        time.Duration
	wait                       bool
}

func (f *sessionFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.agent, "agent", "", "name of the agent that acts for you")
	c.Flags().StringVar(&f.automation, "automation", "",
		"name of an automation, which acts for nobody (administrators only)")
	c.Flags().StringVar(&f.purpose, "purpose", "", "what it is for, shown to approvers")
	c.Flags().StringSliceVar(&f.gates, "gate", nil, "gates it may use (default all)")
	c.Flags().DurationVar(&f.ttl, "ttl", 0, "how long it lasts (default the server's)")
	c.Flags().BoolVar(&f.wait, "wait", false,
		"what a PostgreSQL client sends outside of a transaction waits in the gate for its approvals")
}

// plain reports whether nothing was said of what the session shall be.
func (f *sessionFlags) plain() bool {
	return f.agent == "" && f.automation == "" && f.purpose == "" && len(f.gates) == 0 && f.ttl == 0
}

func (f *sessionFlags) request() client.NewSession {
	n := client.NewSession{Agent: f.agent, Automation: f.automation, Purpose: f.purpose, Gates: f.gates, Wait: f.wait}
	if f.ttl > 0 {
		n.TTL = f.ttl.String()
	}
	return n
}

func (p *program) sessionStartCommand() *cobra.Command {
	var f sessionFlags
	var format string
	c := p.printsData(&cobra.Command{
		Use:   "start",
		Short: "Start a session and print its credentials",
		Long: `For work that ` + "`signalbox run`" + ` cannot start: in a container, on another machine,
in a shell that you have open. Without --agent and --automation the session is your
own. Whoever has the credentials works in the session until it ends; they are
printed here, and stand in no file.

With --env it prints the environment that ` + "`signalbox run`" + ` gives its command: as
shell (to be evaluated), dotenv or json. Authorities and AWS's configuration stand
in files under your configuration folder, named by the variables; who works
elsewhere needs them there, or takes --json, which has all of it.

` + "`signalbox run --session ID`" + ` runs a command in it, ` + "`signalbox session end ID`" + ` ends it.`,
		Example: `  signalbox session start --agent claude --purpose "ticket 4711" --ttl 1h
  eval "$(signalbox session start --agent claude --env)"
  signalbox session start --agent claude --env=dotenv > agent.env
  signalbox session start --automation deploy --gate orders --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			write, ok := formats[format]
			switch {
			case format != "" && !ok:
				return usage("--env %s: there are shell, dotenv and json", format)
			case format != "" && p.json:
				return usage("--env and --json are two answers: choose one (--env=json)")
			}
			api, err := p.client()
			if err != nil {
				return err
			}
			gates, err := api.Gates(cmd.Context())
			if err != nil {
				return err
			}
			if err := p.usable(gates, f.gates); err != nil {
				return err
			}
			o, err := api.OpenSession(cmd.Context(), f.request())
			if err != nil {
				return err
			}
			if p.json {
				told, err := p.access(gates, o, "")
				if err != nil {
					return err
				}
				return p.printJSON(struct {
					client.OpenedSession
					Gates []gate.Access `json:"gates"`
				}{o, told})
			}
			folder, err := sessionFolder(o.Session.ID)
			if err != nil {
				return err
			}
			told, err := p.access(gates, o, folder)
			if err != nil {
				return err
			}
			if format != "" {
				vars, err := p.variables(api.URL(), told, o, gate.Folder{Path: folder})
				if err != nil {
					return err
				}
				return write(p, vars)
			}
			pairs := []string{"session", string(o.Session.ID), "who", o.Session.Actor.String(), "until",
				clock(o.Session.Expires), "API token", o.Credentials["api"]}
			for _, a := range told {
				k, err := p.kindOf(a.Name, a.Kind)
				if err != nil {
					return err
				}
				pairs = append(pairs, "gate "+a.Name, k.Text(a), "  authority", a.CAFile)
			}
			return p.fields(pairs...)
		},
	})
	f.register(c)
	c.Flags().StringVar(&format, "env", "", "print an environment: shell, dotenv or json")
	c.Flags().Lookup("env").NoOptDefVal = "shell"
	return c
}

// formats print variables for those who read them.
var formats = map[string]func(*program, []variable) error{
	"shell": func(p *program, vars []variable) error {
		return p.lines(vars, func(v variable) (string, error) {
			return "export " + v.name + "=" + singleQuoted(v.value), nil
		})
	},
	"dotenv": func(p *program, vars []variable) error {
		return p.lines(vars, func(v variable) (string, error) {
			switch {
			case !strings.ContainsAny(v.value, " \t#$\\`'") && !strings.HasPrefix(v.value, `"`):
				return v.name + "=" + v.value, nil // readers differ in what quotes mean
			case !strings.Contains(v.value, "'"):
				return v.name + "='" + v.value + "'", nil
			}
			return "", fmt.Errorf("%s cannot be written as dotenv", v.name)
		})
	},
	"json": func(p *program, vars []variable) error {
		object := make(map[string]string, len(vars))
		for _, v := range vars {
			object[v.name] = v.value
		}
		return p.printJSON(object)
	},
}

// lines prints a line for each variable, or nothing at all.
func (p *program) lines(vars []variable, line func(variable) (string, error)) error {
	var b strings.Builder
	for _, v := range vars {
		if strings.ContainsAny(v.value, "\n\r\x00") {
			return fmt.Errorf("%s has more than one line", v.name)
		}
		text, err := line(v)
		if err != nil {
			return err
		}
		b.WriteString(text + "\n")
	}
	_, err := io.WriteString(p.stdout, b.String())
	return err
}

// singleQuoted is what a POSIX shell reads as value.
func singleQuoted(value string) string {
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// sessionFolder makes the folder for a session's files, which hold no secrets.
func sessionFolder(id signalbox.SessionID) (string, error) {
	dir, err := configFolder()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "sessions", filepath.Base(string(id)))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("folder for the session's authorities: %w", err)
	}
	return dir, nil
}

func (p *program) sessionEndCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "end SESSION…",
		Short: "End sessions: their credentials are worth nothing from then on",
		Example: `  signalbox session end 01k9xb                       the first characters will do
  signalbox session end $SIGNALBOX_SESSION`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			for _, ref := range slices.Compact(args) {
				id, err := sessionID(cmd.Context(), api, ref)
				if err != nil {
					return err
				}
				if err := api.EndSession(cmd.Context(), signalbox.SessionID(id)); err != nil {
					return err
				}
				if dir, err := configFolder(); err == nil {
					// Authorities of gates, if it was started here; nothing depends on it.
					_ = os.RemoveAll(filepath.Join(dir, "sessions", filepath.Base(id)))
				}
				if err := p.say("Session %s has ended.", signalbox.Visible(id)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
