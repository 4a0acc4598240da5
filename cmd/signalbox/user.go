package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
)

func (p *program) userCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "user",
		Short: "Enrol people, who approve and let agents work",
		Example: `  signalbox user add bob --group sre
  signalbox user list
  signalbox user revoke bob`,
		RunE: group,
	}
	c.AddCommand(p.userAddCommand(), p.userListCommand(), p.userRevokeCommand(), p.userRemoveCommand())
	return c
}

func (p *program) userAddCommand() *cobra.Command {
	var n client.NewPerson
	c := p.printsData(&cobra.Command{
		Use:   "add NAME",
		Short: "Enrol a human and print his token",
		Long: `The token is printed this once. Hand it over in private: whoever has it is that
human. With --replace it changes somebody who is enrolled already, whose old
token is then worth nothing.`,
		Example: `  signalbox user add bob --group sre
  signalbox user add carol --group sre --group dba --admin
  signalbox user add bob --group sre,dba --replace`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n.Name = args[0]
			api, err := p.client()
			if err != nil {
				return err
			}
			e, err := api.AddPerson(cmd.Context(), n)
			if err != nil {
				if client.IsStatus(err, 409) {
					return hinted{err, fmt.Sprintf("to change %s and void the old token, add --replace", n.Name)}
				}
				return err
			}
			return p.showEnrolment(e)
		},
	})
	c.Flags().StringSliceVar(&n.Groups, "group", nil, "groups he approves for")
	c.Flags().BoolVar(&n.Admin, "admin", false, "may enrol people and change policies")
	c.Flags().BoolVar(&n.Replace, "replace", false, "change somebody who is enrolled already")
	return c
}

func (p *program) showEnrolment(e client.Enrolment) error {
	if p.json {
		return p.printJSON(e)
	}
	if err := p.fields("name", e.Person.Name, "groups", strings.Join(e.Person.Groups, ", "), "token",
		e.Token); err != nil {
		return err
	}
	fmt.Fprintln(p.stderr, "The token is shown this once. "+signalbox.Visible(e.Person.Name)+
		" logs in with: signalbox login")
	return nil
}

func (p *program) userListCommand() *cobra.Command {
	return p.printsData(&cobra.Command{
		Use:     "list",
		Short:   "List the enrolled people",
		Example: "  signalbox user list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			ps, err := api.People(cmd.Context())
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(ps)
			}
			rows := make([][]string, len(ps))
			for i, x := range ps {
				admin := ""
				if x.Admin {
					admin = "admin"
				}
				rows[i] = []string{x.Name, strings.Join(x.Groups, ","), admin, clock(x.Added)}
			}
			return p.table([]string{"name", "groups", "rights", "since"}, rows)
		},
	})
}

func (p *program) userRevokeCommand() *cobra.Command {
	return p.printsData(&cobra.Command{
		Use:     "revoke NAME",
		Short:   "End a human's sessions, void his token and print a new one",
		Example: "  signalbox user revoke bob",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			e, err := api.RevokePerson(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return p.showEnrolment(e)
		},
	})
}

func (p *program) userRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "Remove a human, with his approvals that were not yet used",
		Example: "  signalbox user remove bob",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			if err := api.RemovePerson(cmd.Context(), args[0]); err != nil {
				return err
			}
			return p.say("%s is removed.", signalbox.Visible(args[0]))
		},
	}
}
