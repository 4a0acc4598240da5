package main

import (
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox/internal/demo"
)

func (p *program) demoCommand() *cobra.Command {
	var story string
	var noWait bool
	c := p.printsData(&cobra.Command{
		Use:   "demo",
		Short: "Re-enact the December incident, end to end",
		Long: `Demo starts a server of its own and plays a story with real clients in which
every step is checked. On a terminal it then stays until Ctrl-C, so that you can
look around; nothing is left behind. The story december, the default, needs nothing
installed: its cloud is a stand-in. Orders-database plays on a scratch PostgreSQL.
Stories: ` + strings.Join(demo.Stories(), ", ") + `.`,
		Example: `  signalbox demo
  signalbox demo --story orders-database --no-wait
  signalbox demo --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := demo.Config{Story: story, Out: p.stdout, Color: p.color(), Wait: terminal(p.stdout) && !noWait &&
				!p.json}
			if p.json {
				c.Out = p.stderr
			}
			// A reader that leaves early, like head, would end the process before it
			// has cleaned up. As it is, writing fails and ends the story.
			pipe := make(chan os.Signal, 1)
			signal.Notify(pipe, syscall.SIGPIPE)
			defer signal.Stop(pipe)
			r, err := demo.Run(cmd.Context(), c)
			if errors.Is(err, demo.ErrUnknownStory) {
				return usageError{err}
			}
			if p.json {
				if perr := p.printJSON(r); err == nil {
					err = perr
				}
			}
			return err
		},
	})
	c.AddCommand(&cobra.Command{
		Use:    "agent TASK",
		Short:  "The agent of the story december, in a process of its own",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if code := demo.Agent(cmd.Context(), args, p.stdout); code != 0 {
				return exitError(code)
			}
			return nil
		},
	})
	c.Flags().StringVar(&story, "story", demo.Stories()[0], "which story")
	c.Flags().BoolVar(&noWait, "no-wait", false, "end after the story, on a terminal too")
	return c
}
