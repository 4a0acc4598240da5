package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
)

func (p *program) freezeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "freeze",
		Short: "Begin, end and list windows in which nobody changes anything",
		Long: `A freeze binds everyone, administrators too. Reads go on. The way through is
` + "`signalbox break-glass`" + `.`,
		Example: `  signalbox freeze start --until 18h --reason "Black Friday"
  signalbox freeze list
  signalbox freeze end 01K9XB…`,
		RunE: group,
	}
	c.AddCommand(p.freezeStartCommand(), p.freezeEndCommand(), p.freezeListCommand())
	return c
}

// moment reads a time, or how long it is until then.
func moment(flag, text string) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return time.Now().Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, hinted{usage("--%s %q: neither a time nor a duration", flag, text),
			"write 2026-11-27T18:00:00Z, or 8h"}
	}
	return t, nil
}

func (p *program) freezeStartCommand() *cobra.Command {
	var from, until, reason string
	var environments, gates []string
	c := p.printsData(&cobra.Command{
		Use:   "start",
		Short: "Begin a freeze, now or later",
		Example: `  signalbox freeze start --until 4h
  signalbox freeze start --environment production --from 2026-11-27T00:00:00Z --until 2026-11-30T00:00:00Z --reason "Black Friday"
  signalbox freeze start --gate orders --until 30m`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := client.Freeze{Gates: gates, Reason: reason}
			for _, e := range environments {
				f.Environments = append(f.Environments, signalbox.Environment(e))
			}
			var err error
			if f.Until, err = moment("until", until); err != nil {
				return err
			}
			if from != "" {
				if f.From, err = moment("from", from); err != nil {
					return err
				}
			}
			api, err := p.client()
			if err != nil {
				return err
			}
			started, err := api.StartFreeze(cmd.Context(), f)
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(started)
			}
			return p.say("Freeze %s: %s, from %s until %s.", started.ID, frozen(started), clock(started.From),
				clock(started.Until))
		},
	})
	c.Flags().StringVar(&until, "until", "", "when it ends: a time, or a duration from now")
	c.Flags().StringVar(&from, "from", "", "when it begins (default now)")
	c.Flags().StringSliceVar(&environments, "environment", nil, "environments (default all)")
	c.Flags().StringSliceVar(&gates, "gate", nil, "gates (default all)")
	c.Flags().StringVar(&reason, "reason", "", "why")
	// The flag is there.
	_ = c.MarkFlagRequired("until")
	return c
}

func frozen(f client.Freeze) string {
	var parts []string
	for _, e := range f.Environments {
		parts = append(parts, string(e))
	}
	for _, g := range f.Gates {
		parts = append(parts, "gate "+g)
	}
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, ", ")
}

func (p *program) freezeEndCommand() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:     "end FREEZE",
		Short:   "End a freeze before its time",
		Example: "  signalbox freeze end 01K9XB… --reason \"sale is over\"",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			if err := api.EndFreeze(cmd.Context(), args[0], reason); err != nil {
				return err
			}
			return p.say("Freeze %s has ended.", signalbox.Visible(args[0]))
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why")
	return c
}

func (p *program) freezeListCommand() *cobra.Command {
	return p.printsData(&cobra.Command{
		Use:     "list",
		Short:   "List the freezes that have not ended",
		Example: "  signalbox freeze list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			fs, err := api.Freezes(cmd.Context())
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(fs)
			}
			rows := make([][]string, len(fs))
			for i, f := range fs {
				rows[i] = []string{f.ID, frozen(f), clock(f.From),
					fmt.Sprintf("%s (%s)", clock(f.Until), left(f.Until)), f.By, f.Reason}
			}
			return p.table([]string{"freeze", "what", "from", "until", "by", "reason"}, rows)
		},
	})
}
