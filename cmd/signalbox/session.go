package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
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
				rows[i] = []string{string(s.ID), s.Actor.String(), s.Purpose, strings.Join(s.Gates, ","), clock(s.Started), state}
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
}

func (f *sessionFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.agent, "agent", "", "name of the agent that acts for you")
	c.Flags().StringVar(&f.automation, "automation", "", "name of an automation, which acts for nobody (administrators only)")
	c.Flags().StringVar(&f.purpose, "purpose", "", "what it is for, shown to approvers")
	c.Flags().StringSliceVar(&f.gates, "gate", nil, "gates it may use (default all)")
	c.Flags().DurationVar(&f.ttl, "ttl", 0, "how long it lasts (default the server's)")
}

func (f *sessionFlags) request() client.NewSession {
	n := client.NewSession{Agent: f.agent, Automation: f.automation, Purpose: f.purpose, Gates: f.gates}
	if f.ttl > 0 {
		n.TTL = f.ttl.String()
	}
	return n
}

func (p *program) sessionStartCommand() *cobra.Command {
	var f sessionFlags
	c := p.printsData(&cobra.Command{
		Use:   "start",
		Short: "Start a session and print its credentials",
		Long: `For work that ` + "`signalbox run`" + ` cannot start, in a container or on another machine.
Without --agent and --automation the session is your own. The credentials are
printed this once; whoever has them works in the session until it ends.`,
		Example: `  signalbox session start --agent claude --purpose "ticket 4711" --ttl 1h
  signalbox session start --automation deploy --gate orders --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			o, err := api.OpenSession(cmd.Context(), f.request())
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(o)
			}
			gates, err := api.Gates(cmd.Context())
			if err != nil {
				return err
			}
			pairs := []string{"session", string(o.Session.ID), "who", o.Session.Actor.String(), "until", clock(o.Session.Expires), "API token", o.Credentials["api"]}
			for _, g := range gates {
				if password := o.Credentials[g.Name]; password != "" {
					pairs = append(pairs, "gate "+g.Name, fmt.Sprintf("%s:%d database %s user %s password %s", g.Host, g.Port, g.Database, o.Session.ID, password))
				}
			}
			return p.fields(pairs...)
		},
	})
	f.register(c)
	return c
}

func (p *program) sessionEndCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "end SESSION…",
		Short: "End sessions: their credentials are worth nothing from then on",
		Example: `  signalbox session end 01k9xb…
  signalbox session end $SIGNALBOX_SESSION`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			for _, id := range slices.Compact(args) {
				if err := api.EndSession(cmd.Context(), signalbox.SessionID(id)); err != nil {
					return err
				}
				if err := p.say("Session %s has ended.", signalbox.Visible(id)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
