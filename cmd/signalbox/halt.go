package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox/client"
)

// scopeFlags say what a halt stops. Exactly one must be given: nobody halts
// everything by forgetting a flag.
type scopeFlags struct {
	session, actor, gate string
	all                  bool
}

func (f *scopeFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.session, "session", "", "a session")
	c.Flags().StringVar(&f.actor, "actor", "", "an agent or automation by its name, or a human with all his agents")
	c.Flags().StringVar(&f.gate, "gate", "", "a gate")
	c.Flags().BoolVar(&f.all, "all", false, "everything")
	c.MarkFlagsMutuallyExclusive("session", "actor", "gate", "all")
	c.MarkFlagsOneRequired("session", "actor", "gate", "all")
}

func (f *scopeFlags) scope() (scope, name string) {
	switch {
	case f.session != "":
		return "session", f.session
	case f.actor != "":
		return "actor", f.actor
	case f.gate != "":
		return "gate", f.gate
	}
	return "all", ""
}

func (p *program) haltCommand() *cobra.Command {
	var f scopeFlags
	var reason string
	c := &cobra.Command{
		Use:   "halt",
		Short: "Stop a session, an actor, a gate or everything, now",
		Long: `Halt is the kill switch. Changes stop at once, reads within a second; open
transactions are rolled back and connections cut. It holds until somebody
resumes. Every human may halt.`,
		Example: `  signalbox halt --session 01k9xb…
  signalbox halt --actor claude --reason "it loops"
  signalbox halt --all
  signalbox halt list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			scope, name := f.scope()
			if err := api.Halt(cmd.Context(), client.Halt{Scope: scope, Name: name, Reason: reason}); err != nil {
				return err
			}
			return p.say("Halted: %s.", strings.TrimSpace(scope+" "+name))
		},
	}
	f.register(c)
	c.Flags().StringVar(&reason, "reason", "", "why")
	c.AddCommand(p.printsData(&cobra.Command{
		Use:     "list",
		Short:   "List the halts in force",
		Example: "  signalbox halt list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			hs, err := api.Halts(cmd.Context())
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(hs)
			}
			rows := make([][]string, len(hs))
			for i, h := range hs {
				rows[i] = []string{h.Scope, h.Name, h.By, clock(h.At), h.Reason}
			}
			return p.table([]string{"scope", "name", "by", "since", "reason"}, rows)
		},
	}))
	return c
}

func (p *program) resumeCommand() *cobra.Command {
	var f scopeFlags
	var reason string
	c := &cobra.Command{
		Use:   "resume",
		Short: "Take a halt back",
		Long:  "Name what was halted. One of everything takes an administrator.",
		Example: `  signalbox resume --session 01k9xb…
  signalbox resume --all --reason "the loop is fixed"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			scope, name := f.scope()
			if err := api.Resume(cmd.Context(), client.Resume{Scope: scope, Name: name, Reason: reason}); err != nil {
				return err
			}
			return p.say("Resumed: %s.", strings.TrimSpace(scope+" "+name))
		},
	}
	f.register(c)
	c.Flags().StringVar(&reason, "reason", "", "why")
	return c
}
