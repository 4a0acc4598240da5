package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox/internal/server"
)

func (p *program) versionCommand() *cobra.Command {
	return p.printsData(&cobra.Command{
		Use:     "version",
		Short:   "Say which version this is",
		Example: "  signalbox version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version  string `json:"version"`
				Revision string `json:"revision,omitempty"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{Version: server.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						v.Revision = s.Value
					}
				}
			}
			if p.json {
				return p.printJSON(v)
			}
			_, err := fmt.Fprintf(p.stdout, "signalbox %s (%s, %s)\n", v.Version, v.Go, v.Platform)
			return err
		},
	})
}
