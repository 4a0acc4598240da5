package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
)

func (p *program) breakGlassCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "break-glass",
		Short: "Go through a freeze or past a hold, loudly and for a short time",
		Long: `Break-glass lets you, in a session of your own and never an agent, do named
kinds of things at named gates through freezes and holds. It needs a reason, ends
by itself, is recorded and reviewed, and lifts no halt.`,
		Example: `  signalbox break-glass start --gate orders --verb update --reason "incident 4711: wrong prices"
  signalbox run --human -- psql
  signalbox break-glass end 01K9XB…`,
		RunE: group,
	}
	c.AddCommand(p.breakGlassStartCommand(), p.breakGlassEndCommand(), p.breakGlassListCommand())
	return c
}

func (p *program) breakGlassStartCommand() *cobra.Command {
	var gates, verbs []string
	var reason string
	var ttl time.Duration
	c := p.printsData(&cobra.Command{
		Use:     "start",
		Short:   "Break the glass",
		Example: `  signalbox break-glass start --gate orders --verb update,delete --reason "incident 4711" --ttl 30m`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := client.BreakGlass{Gates: gates, Reason: reason, Expires: time.Now().Add(ttl)}
			for _, v := range verbs {
				b.Verbs = append(b.Verbs, signalbox.Verb(v))
			}
			api, err := p.client()
			if err != nil {
				return err
			}
			started, err := api.StartBreakGlass(cmd.Context(), b)
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(started)
			}
			return p.say("Break-glass %s: %s at %s until %s, for sessions of your own (signalbox run --human).",
				started.ID, strings.Join(verbs, ", "), strings.Join(gates, ", "), clock(started.Expires))
		},
	})
	c.Flags().StringSliceVar(&gates, "gate", nil, "gates")
	c.Flags().StringSliceVar(&verbs, "verb", nil, "create, update, execute, permission, safeguard, delete, replace")
	c.Flags().StringVar(&reason, "reason", "", "why")
	c.Flags().DurationVar(&ttl, "ttl", 15*time.Minute, "how long, at most 1h")
	for _, f := range []string{"gate", "verb", "reason"} {
		// The flag is there.
		_ = c.MarkFlagRequired(f)
	}
	return c
}

func (p *program) breakGlassEndCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "end ID",
		Short:   "Close a break-glass window before its time",
		Example: "  signalbox break-glass end 01K9XB…",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			if err := api.EndBreakGlass(cmd.Context(), args[0]); err != nil {
				return err
			}
			return p.say("Break-glass %s has ended.", signalbox.Visible(args[0]))
		},
	}
}

func (p *program) breakGlassListCommand() *cobra.Command {
	return p.printsData(&cobra.Command{
		Use:     "list",
		Short:   "List the break-glass windows that have not ended",
		Example: "  signalbox break-glass list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			bs, err := api.BreakGlasses(cmd.Context())
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(bs)
			}
			rows := make([][]string, len(bs))
			for i, b := range bs {
				var verbs []string
				for _, v := range b.Verbs {
					verbs = append(verbs, string(v))
				}
				rows[i] = []string{b.ID, b.By, strings.Join(verbs, ","), strings.Join(b.Gates, ","), left(b.Expires),
					b.Reason}
			}
			return p.table([]string{"id", "by", "verbs", "gates", "left", "reason"}, rows)
		},
	})
}
