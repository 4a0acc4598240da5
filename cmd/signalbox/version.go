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
			v := thisVersion()
			if p.json {
				return p.printJSON(v)
			}
			_, err := fmt.Fprintln(p.stdout, v)
			return err
		},
	})
}

// version says what this program was built from.
type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"` // by what is not committed
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisVersion() version {
	v := version{Version: server.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Revision = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	return v
}

// String is the version for people.
func (v version) String() string {
	text := "signalbox " + v.Version
	if v.Revision != "" {
		text += " at " + v.Revision[:min(len(v.Revision), 12)]
	}
	if v.Modified {
		text += ", changed since"
	}
	return fmt.Sprintf("%s (%s, %s)", text, v.Go, v.Platform)
}
