package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox/internal/explain"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/policies"
)

func (p *program) explainCommand() *cobra.Command {
	var file, folder string
	c := &cobra.Command{
		Use:   "explain",
		Short: "Say what would happen, without a server or a target",
		Long: `Explain judges scenarios: one JSON object a line in, one a line out. Each request
of a scenario is judged as if earlier allowed ones had run and held ones had not
been approved. docs/policy.md describes the format. The exit code is 0 when
every line was judged.`,
		Example: `  echo '{"id":"1","actor":{"agent":"claude","for":"alice"},"environment":"production",
    "requests":[{"gate":"postgres","sql":"DROP TABLE orders"}]}' | tr -d '\n' | signalbox explain
  signalbox explain --file scenarios.jsonl --policies ./policies`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := policySet(folder)
			if err != nil {
				return err
			}
			in := p.stdin
			if file != "-" {
				f, err := os.Open(file)
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			} else if f, ok := in.(*os.File); ok && terminal(f) {
				fmt.Fprintln(p.stderr, "reading scenarios from the terminal, one a line; end with Ctrl-D")
			}
			sum, err := explain.Run(cmd.Context(), explain.Config{Policy: set, Readers: gate.Readers(p.kinds)}, in,
				p.stdout)
			if err != nil {
				return err
			}
			if sum.Bad > 0 {
				return fmt.Errorf("%d of %d lines could not be read", sum.Bad, sum.Bad+sum.Scenarios)
			}
			return nil
		},
	}
	c.Flags().StringVar(&file, "file", "-", "file of scenarios, - for standard input")
	c.Flags().StringVar(&folder, "policies", "", "policy folder (default the built-in policies)")
	c.Flags().Bool("json", true, "print JSON, as it always does")
	return c
}

// policySet compiles the set in folder, or the built-in one.
func policySet(folder string) (*policy.Set, error) {
	files, err := policies.Default()
	if folder != "" {
		files, err = policies.Folder(folder)
	}
	if err != nil {
		return nil, err
	}
	return policy.Load(files)
}
