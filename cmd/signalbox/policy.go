package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/policies"
)

func (p *program) policyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Check, test and change the policies",
		Example: `  signalbox policy check ./policies
  signalbox policy test ./policies
  signalbox policy propose ./policies`,
		RunE: group,
	}
	c.AddCommand(p.policyCheckCommand(), p.policyTestCommand(), p.policyListCommand(), p.policyShowCommand(),
		p.policyProposeCommand())
	return c
}

// folderFiles gives the policy files of a folder, or the built-in ones.
func folderFiles(args []string) ([]policy.File, error) {
	if len(args) == 0 {
		return policies.Default()
	}
	// A folder that is not there would read like an empty set.
	if info, err := os.Stat(args[0]); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%q is not a folder", args[0])
	}
	return policies.Folder(args[0])
}

// load compiles a set, and shows every mistake on a line of its own.
func (p *program) load(files []policy.File) (*policy.Set, error) {
	set, err := policy.Load(files)
	if err == nil {
		return set, nil
	}
	mistakes := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		mistakes = joined.Unwrap()
	}
	for _, m := range mistakes {
		p.complain(m.Error(), "")
	}
	return nil, exitError(exitFailed)
}

func (p *program) policyCheckCommand() *cobra.Command {
	return p.printsData(&cobra.Command{
		Use:   "check [FOLDER]",
		Short: "Check a policy set against its schema, without a server",
		Long: `Every mistake is named with file, line and policy, those in the folder's
reviewed.txt too. Without a folder it checks the built-in set.`,
		Example: `  signalbox policy check ./policies
  signalbox policy check`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := folderFiles(args)
			if err != nil {
				return err
			}
			set, err := p.load(files)
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(struct {
					Version  signalbox.Digest `json:"version"`
					Policies int              `json:"policies"`
					Reviewed int              `json:"reviewed"`
				}{set.Version(), set.Len(), len(set.Forms())})
			}
			if n := len(set.Forms()); n > 0 {
				return p.say("%d policies and %d reviewed forms are good: version %s", set.Len(), n, set.Version())
			}
			return p.say("%d policies are good: version %s", set.Len(), set.Version())
		},
	})
}

func (p *program) policyTestCommand() *cobra.Command {
	var tests string
	c := p.printsData(&cobra.Command{
		Use:   "test [FOLDER]",
		Short: "Run the tests of a policy set, without a server",
		Long: `Tests are the *.yaml files in the folder's subfolder tests: requests with the
verdicts that are expected. docs/policy.md describes them. Without a folder it
tests the built-in set.`,
		Example: `  signalbox policy test ./policies
  signalbox policy test ./policies --tests ./policies-tests`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := folderFiles(args)
			if err != nil {
				return err
			}
			set, err := p.load(files)
			if err != nil {
				return err
			}
			cases, err := testFiles(args, tests)
			if err != nil {
				return err
			}
			r, err := set.Test(cases)
			if err != nil {
				return err
			}
			if p.json {
				out := struct {
					Passed int      `json:"passed"`
					Failed []string `json:"failed"`
				}{Passed: r.Passed, Failed: []string{}}
				for _, f := range r.Failed {
					out.Failed = append(out.Failed, f.String())
				}
				if err := p.printJSON(out); err != nil {
					return err
				}
			} else {
				for _, f := range r.Failed {
					if err := p.say("%s", signalbox.Visible(f.String())); err != nil {
						return err
					}
				}
			}
			if n := len(r.Failed); n > 0 {
				return fmt.Errorf("%d of %d tests failed", n, n+r.Passed)
			}
			return p.say("%d tests passed.", r.Passed)
		},
	})
	c.Flags().StringVar(&tests, "tests", "", "folder of the tests (default FOLDER/tests)")
	return c
}

func testFiles(args []string, tests string) ([]policy.File, error) {
	if len(args) == 0 && tests == "" {
		return policies.Tests()
	}
	if tests == "" {
		tests = filepath.Join(args[0], "tests")
	}
	cases, err := policy.TestFiles(os.DirFS(tests))
	if err == nil && len(cases) == 0 {
		err = errors.New("no *.yaml files")
	}
	if err != nil {
		return nil, hinted{fmt.Errorf("tests in %q: %w", tests, err), "name the folder of the tests with --tests"}
	}
	return cases, nil
}

func (p *program) policyListCommand() *cobra.Command {
	return p.printsData(&cobra.Command{
		Use:     "list",
		Short:   "List the versions of the policy set",
		Example: "  signalbox policy list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			ps, err := api.Policies(cmd.Context())
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(ps)
			}
			rows := make([][]string, len(ps))
			for i, x := range ps {
				rows[i] = []string{x.Version.String(), x.Status, x.By, clock(x.At)}
			}
			return p.table([]string{"version", "status", "by", "at"}, rows)
		},
	})
}

func (p *program) policyShowCommand() *cobra.Command {
	var folder string
	c := p.printsData(&cobra.Command{
		Use:   "show [VERSION]",
		Short: "Show the policies in force, or those of a version",
		Example: `  signalbox policy show
  signalbox policy show --to ./policies          write them as files, to change them`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			version := "active"
			if len(args) > 0 {
				version = args[0]
			}
			set, err := api.Policy(cmd.Context(), version)
			if err != nil {
				return err
			}
			if folder != "" {
				return p.writePolicies(set, folder)
			}
			if p.json {
				return p.printJSON(set)
			}
			for _, f := range set.Files {
				if _, err := fmt.Fprintf(p.stdout, "// %s\n", signalbox.Visible(f.Name)); err != nil {
					return err
				}
				for _, line := range signalbox.VisibleLines(f.Text) {
					if _, err := io.WriteString(p.stdout, line+"\n"); err != nil {
						return err
					}
				}
			}
			return nil
		},
	})
	c.Flags().StringVar(&folder, "to", "", "write the files into this new folder instead")
	return c
}

func (p *program) writePolicies(set client.Policy, folder string) error {
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(folder) // a name from elsewhere leads nowhere else
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range set.Files {
		if err := root.WriteFile(f.Name, []byte(f.Text), 0o644); err != nil {
			return err
		}
	}
	return p.say("%d files of version %s are in %s.", len(set.Files), set.Version.Short(), folder)
}

func (p *program) policyProposeCommand() *cobra.Command {
	return p.printsData(&cobra.Command{
		Use:   "propose FOLDER",
		Short: "Hand a policy set to the server",
		Long: `For administrators. Where a gate stands before production the set becomes a
proposal that waits for approval like everything else; else it is active at once.`,
		Example: "  signalbox policy propose ./policies",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := folderFiles(args)
			if err != nil {
				return err
			}
			if _, err := p.load(files); err != nil {
				return err
			}
			var n client.NewPolicy
			for _, f := range files {
				n.Files = append(n.Files, client.PolicyFile{Name: f.Name, Text: string(f.Data)})
			}
			api, err := p.client()
			if err != nil {
				return err
			}
			set, err := api.ProposePolicy(cmd.Context(), n)
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(set)
			}
			if set.Status == "proposed" {
				return p.say("Version %s is proposed. It waits for approval: signalbox hold list", set.Version.Short())
			}
			return p.say("Version %s is %s.", set.Version.Short(), set.Status)
		},
	})
}
