package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

// program is one call of the command line.
type program struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	kinds  []gate.Kind // that there are

	server  string // flag: the server's address
	json    bool   // flag: print JSON
	started bool   // a command was understood and runs
}

// Exit codes, on which scripts rely.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitDenied = 3
	exitHeld   = 4
)

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "signalbox",
		Short: "Let agents work on production, and stay in control",
		Long: `Signalbox stands between agents and production. Agents reach targets through
gates; policy says what they may do; what destroys waits for people; everything
is recorded in a log that outsiders can verify.`,
		Example: `  signalbox demo                       see it at work
  signalbox serve                      start a server, here and now
  signalbox login --name alice         log in, with the code that it printed
  signalbox run -- claude              let an agent work, behind the gates
  signalbox hold list                  see what waits for approval
  signalbox hold approve HOLD          say yes to it`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              cobra.ArbitraryArgs,
		RunE:              group,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.Version = thisVersion().String()
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentFlags().StringVar(&p.server, "server", "",
		"server's address (default $SIGNALBOX_SERVER, that of the last login, or "+client.DefaultURL+")")
	root.AddGroup(
		&cobra.Group{ID: "work", Title: "Work:"},
		&cobra.Group{ID: "control", Title: "Stay in control:"},
		&cobra.Group{ID: "log", Title: "Look back:"},
		&cobra.Group{ID: "setup", Title: "Set up:"},
	)
	root.SetHelpCommandGroupID("setup")
	root.SetCompletionCommandGroupID("setup")
	add := func(id string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	add("work", p.runCommand(), p.explainCommand(), p.sessionCommand())
	add("control", p.holdCommand(), p.haltCommand(), p.resumeCommand(), p.freezeCommand(), p.breakGlassCommand())
	add("log", p.logCommand())
	add("setup", p.demoCommand(), p.serveCommand(), p.loginCommand(), p.whoamiCommand(), p.userCommand(),
		p.policyCommand(), p.versionCommand())
	p.mark(root)
	return root
}

// mark has every command say that it was understood, before it does anything:
// arguments, required flags and groups of flags have been checked by then.
func (p *program) mark(c *cobra.Command) {
	if body := c.RunE; body != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			p.started = true
			return body(c, args)
		}
	}
	for _, sub := range c.Commands() {
		p.mark(sub)
	}
}

// group runs a command that only has subcommands.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	err := usage("no command %q in `%s`", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return hinted{err, fmt.Sprintf("did you mean `%s %s`?", cmd.CommandPath(), near[0])}
	}
	return hinted{err, fmt.Sprintf("see `%s --help`", cmd.CommandPath())}
}

// printsData gives a command the --json flag.
func (p *program) printsData(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&p.json, "json", false, "print JSON")
	return c
}

// A usageError is a command line that was not understood.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// hinted is an error with what to do next.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// exitError ends the program with a code of its own, saying nothing more.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// exit says what went wrong, and what to do next, and gives the exit code.
func (p *program) exit(cmd *cobra.Command, err error) int {
	var code exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	}
	if errors.Is(err, context.Canceled) {
		p.complain("signalbox: interrupted", "")
		return exitFailed
	}
	result, hint := exitFailed, ""
	var h hinted
	if errors.As(err, &h) {
		hint = h.hint
	}
	var problem *client.Problem
	var away *client.Unreachable
	var mistakes config.Errors
	switch {
	case errors.As(err, &mistakes):
		for _, m := range mistakes {
			p.complain(m.Error(), m.Hint)
		}
		return exitFailed
	case errors.As(err, &usageError{}) || !p.started:
		result = exitUsage
		if hint == "" {
			hint = fmt.Sprintf("see `%s --help`", cmd.CommandPath())
		}
	case errors.As(err, &problem):
		if problem.Status == http.StatusForbidden {
			result = exitDenied
		}
		if hint == "" {
			hint = problem.Hint
		}
	case errors.As(err, &away):
		if hint == "" {
			hint = "is it running? Start one with `signalbox serve`, or name another with --server"
		}
	}
	p.complain("signalbox: "+err.Error(), hint)
	return result
}

// complain shows an error on standard error. Its text may come from elsewhere.
func (p *program) complain(text, hint string) {
	fmt.Fprintln(p.stderr, strings.Join(signalbox.VisibleLines(text), "\n"))
	if hint != "" {
		fmt.Fprintln(p.stderr, "  hint: "+signalbox.Visible(hint))
	}
}
