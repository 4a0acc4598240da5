package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
)

func (p *program) holdCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "hold",
		Short: "See and answer what waits for approval",
		Long: `A hold is a request that waits for approvals. It shows what the gate found out
about it, and the whole request. An approval is bound to exactly that: when the
request, the target or the impact is another, it is worth nothing. The first
characters of its id will do to name a hold, as many as make it clear.`,
		Example: `  signalbox hold list
  signalbox hold show 01K9XB…
  signalbox hold approve 01K9XB… --comment "as announced"`,
		RunE: group,
	}
	c.AddCommand(p.holdListCommand(), p.holdShowCommand(),
		p.holdAnswerCommand(true), p.holdAnswerCommand(false),
		p.holdWaitCommand(), p.holdConfirmCommand(), p.holdWithdrawCommand())
	return c
}

func (p *program) holdListCommand() *cobra.Command {
	var status string
	var all bool
	var limit int
	c := p.printsData(&cobra.Command{
		Use:   "list",
		Short: "List what waits for approval",
		Example: `  signalbox hold list
  signalbox hold list --all --json
  signalbox hold list --status approved`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			if all {
				status = ""
			}
			hs, err := api.Holds(cmd.Context(), status, limit)
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(hs)
			}
			rows := make([][]string, len(hs))
			for i, h := range hs {
				rows[i] = []string{h.ID, h.Status, h.Actor.String(), what(h), h.Gate, needs(h), left(h.Expires)}
			}
			return p.table([]string{"hold", "status", "who", "what", "gate", "needs", "left"}, rows)
		},
	})
	c.Flags().StringVar(&status, "status", "open", "open, approved, used, refused, withdrawn, expired or dead")
	c.Flags().BoolVar(&all, "all", false, "whatever the status")
	c.Flags().IntVar(&limit, "limit", 100, "how many at most")
	return c
}

// what names the request by its gravest action.
func what(h client.Hold) string {
	if len(h.Actions) == 0 {
		return ""
	}
	a := h.Actions[signalbox.Gravest(h.Actions)]
	s := a.Native
	if len(a.Resources) > 0 {
		s += " " + a.Resources[0].Name
	}
	if n := len(h.Actions) + len(a.Resources) - 2; n > 0 && len(a.Resources) > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}

func needs(h client.Hold) string {
	parts := slices.Clone(h.Verdict.Requires)
	if h.Verdict.Confirm {
		parts = append(parts, "the requester's confirmation")
	}
	return strings.Join(parts, " and ")
}

func (p *program) holdShowCommand() *cobra.Command {
	return p.printsData(&cobra.Command{
		Use:     "show HOLD",
		Short:   "Show all that an approver must see",
		Example: "  signalbox hold show 01K9XB…",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			id, err := holdID(cmd.Context(), api, args[0])
			if err != nil {
				return err
			}
			h, err := api.Hold(cmd.Context(), id)
			if err != nil {
				return err
			}
			return p.showHold(h)
		},
	})
}

// showHold shows what the gate found out first, then what the requester wrote,
// quoted and labelled.
func (p *program) showHold(h client.Hold) error {
	if p.json {
		return p.printJSON(h)
	}
	missing := ""
	if h.Status == "open" {
		missing = h.Missing
	}
	err := p.fields(
		"hold", h.ID+"  "+h.Status, "why", h.Why,
		"who", fmt.Sprintf("%s (session %s)", h.Actor, h.Session),
		"for", purpose(h),
		"where", fmt.Sprintf("%s (%s), %s", h.Gate, h.Environment, h.Target),
		"held because", fmt.Sprintf("%s (%s)", h.Verdict.Reason, strings.Join(h.Verdict.Policies, ", ")),
		"needs", needs(h), "still missing", missing,
		"until", fmt.Sprintf("%s (%s)", clock(h.Expires), left(h.Expires)), "executed as", h.Intent,
	)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("\n" + p.bold("What the gate found out") + "\n")
	fmt.Fprintf(&b, "  - it would touch %s\n", h.Ceiling.Words(h.Actions))
	for _, a := range h.Actions {
		fmt.Fprintf(&b, "  - %s: %s", a.Verb, signalbox.Visible(a.Native))
		for _, r := range a.Resources {
			fmt.Fprintf(&b, " %s", signalbox.Visible(r.Name))
		}
		b.WriteString("\n")
	}
	for _, f := range h.Facts {
		fmt.Fprintf(&b, "  - %s\n", signalbox.Visible(f))
	}
	for _, f := range h.State {
		fmt.Fprintf(&b, "  - bound to %s = %s\n", signalbox.Visible(f.Name), signalbox.Visible(f.Value))
	}
	fmt.Fprintf(&b, "\n%s\n%s", p.bold("What "+signalbox.Visible(h.Actor.String())+" sent (its own words, whole)"),
		quoted(h.Request))
	if len(h.Answers) > 0 {
		b.WriteString("\n" + p.bold("Answers") + "\n")
		for _, a := range h.Answers {
			fmt.Fprintf(&b, "  - %s by %s at %s %s\n", yesNo(a.Yes), a.By, clock(a.At), signalbox.Visible(a.Comment))
		}
	}
	_, err = io.WriteString(p.stdout, b.String())
	return err
}

// purpose is what the requester says that it is for: his words, marked as such.
func purpose(h client.Hold) string {
	if h.Purpose == "" {
		return ""
	}
	return "“" + h.Purpose + "” (the requester's own words)"
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func (p *program) holdAnswerCommand(yes bool) *cobra.Command {
	name, short := "deny", "Say no to a hold, which ends it"
	if yes {
		name, short = "approve", "Say yes to a hold"
	}
	var comment string
	c := p.printsData(&cobra.Command{
		Use:   name + " HOLD",
		Short: short,
		Example: fmt.Sprintf(`  signalbox hold %s 01K9XB…
  signalbox hold %s 01K9XB… --comment "discussed in the change meeting"`, name, name),
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			id, err := holdID(cmd.Context(), api, args[0])
			if err != nil {
				return err
			}
			h, err := api.Answer(cmd.Context(), id, yes, comment)
			if err != nil {
				return err
			}
			return p.sayHold(h)
		},
	})
	c.Flags().StringVar(&comment, "comment", "", "what to tell the others")
	return c
}

// sayHold says in a line how a hold stands now.
func (p *program) sayHold(h client.Hold) error {
	if p.json {
		return p.printJSON(h)
	}
	switch h.Status {
	case "open":
		return p.say("Hold %s is open: it still needs %s.", h.ID, signalbox.Visible(h.Missing))
	case "approved":
		return p.say("Hold %s is approved until %s: sent again by its session, the request runs once.", h.ID,
			clock(h.Expires))
	}
	why := ""
	if h.Why != "" {
		why = ": " + signalbox.Visible(h.Why)
	}
	return p.say("Hold %s is %s%s.", h.ID, h.Status, why)
}

func (p *program) holdWaitCommand() *cobra.Command {
	var timeout time.Duration
	c := p.printsData(&cobra.Command{
		Use:   "wait HOLD",
		Short: "Wait until a hold is answered",
		Long: `Wait ends when the hold is no longer open. The exit code is 0 if it was approved,
3 if it was refused, withdrawn or is worth nothing any more, and 4 if it is still
open when the time is over.`,
		Example: `  signalbox hold wait 01K9XB… && psql -c 'DROP TABLE orders'
  signalbox hold wait 01K9XB… --timeout 10m`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			id, err := holdID(cmd.Context(), api, args[0])
			if err != nil {
				return err
			}
			h, err := waitHold(cmd.Context(), api, id, timeout)
			if err != nil {
				return err
			}
			if err := p.sayHold(h); err != nil {
				return err
			}
			switch h.Status {
			case "open":
				return exitError(exitHeld)
			case "approved", "used":
				return nil
			}
			return exitError(exitDenied)
		},
	})
	c.Flags().DurationVar(&timeout, "timeout", 0, "how long to wait at most (default: as long as it takes)")
	return c
}

// waitHold polls until the hold is no longer open or the time is over.
func waitHold(ctx context.Context, api *client.Client, id string, timeout time.Duration) (client.Hold, error) {
	const poll = 25 * time.Second
	end := time.Now().Add(timeout)
	for {
		d := poll
		if timeout > 0 {
			d = max(min(d, time.Until(end)), 0)
		}
		h, err := api.WaitHold(ctx, id, d.Round(time.Millisecond))
		if err != nil || h.Status != "open" || timeout > 0 && !time.Now().Before(end) {
			return h, err
		}
	}
}

func (p *program) holdConfirmCommand() *cobra.Command {
	return p.printsData(&cobra.Command{
		Use:     "confirm HOLD",
		Short:   "Confirm that you mean your own request",
		Long:    "Some policies want the requester's word besides approvals. It never counts as one.",
		Example: "  signalbox hold confirm 01K9XB…",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			id, err := holdID(cmd.Context(), api, args[0])
			if err != nil {
				return err
			}
			h, err := api.Confirm(cmd.Context(), id)
			if err != nil {
				return err
			}
			return p.sayHold(h)
		},
	})
}

func (p *program) holdWithdrawCommand() *cobra.Command {
	return p.printsData(&cobra.Command{
		Use:     "withdraw HOLD",
		Short:   "Take a request back",
		Long:    "For the session that asked, and for its human.",
		Example: "  signalbox hold withdraw 01K9XB…",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			id, err := holdID(cmd.Context(), api, args[0])
			if err != nil {
				return err
			}
			h, err := api.Withdraw(cmd.Context(), id)
			if err != nil {
				return err
			}
			return p.sayHold(h)
		},
	})
}
