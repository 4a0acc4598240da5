package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

// localConfig is read from the working folder where no other file is named.
const localConfig = "signalbox.yaml"

func (p *program) serveCommand() *cobra.Command {
	var file, listen, data string
	var replaceMaster, acceptClock, lower bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server: gates, API, console and log",
		Long: `Serve runs until it is interrupted. It is configured by the file that --config or
$SIGNALBOX_CONFIG names, or by ./signalbox.yaml. Without any it is a working local
server: it listens on this machine alone, at port 7420, and keeps everything in
./signalbox-data. docs/configuration.md describes the file.

While nobody is enrolled it prints a one-time code for the first administrator.`,
		Example: `  signalbox serve
  signalbox serve --config signalbox.yaml
  signalbox serve --listen 127.0.0.1:8000 --data /var/tmp/signalbox`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				file = os.Getenv("SIGNALBOX_CONFIG")
			}
			if _, err := os.Stat(localConfig); file == "" && err == nil {
				file = localConfig
				fmt.Fprintf(p.stderr, "signalbox: configured by %s here\n", localConfig)
			}
			c, err := p.serverConfig(file, listen, data)
			if err != nil {
				return err
			}
			c.ReplaceMaster, c.AcceptClock, c.LowerProtection = replaceMaster, acceptClock, lower
			s, err := server.Start(cmd.Context(), c, newLogger(c.Logging, p.stderr))
			if err != nil {
				return err
			}
			defer s.Close()
			if err := p.announce(s, c); err != nil {
				return err
			}
			<-cmd.Context().Done()
			return nil
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration file (default $SIGNALBOX_CONFIG, ./signalbox.yaml, or none)")
	c.Flags().StringVar(&listen, "listen", "", "address of API and console, instead of the configured one")
	c.Flags().StringVar(&data, "data", "", "data folder, instead of the configured one")
	c.Flags().BoolVar(&replaceMaster, "replace-master-key", false,
		"accept another master key than the database was begun with: every credential dies, and a one-time code is printed")
	c.Flags().BoolVar(&acceptClock, "accept-clock", false,
		"accept this machine's clock though the log's last commit was later, after a clock that was ahead was set right")
	c.Flags().BoolVar(&lower, "lower-protection", false,
		"accept settings that protect production less than those recorded: it is entered in the log, and refused while another server of the database lives")
	return c
}

func (p *program) serverConfig(file, listen, data string) (config.Config, error) {
	if file == "" {
		c := config.Config{Kinds: p.kinds, Data: data, Listen: listen}
		here, err := os.Getwd()
		if err != nil {
			return c, err
		}
		c = c.Resolve(here).Defaults()
		if !config.Loopback(c.Listen) {
			return c, hinted{fmt.Errorf("--listen %s can be reached from other machines", c.Listen),
				"that takes a configuration file with tls"}
		}
		return c, nil
	}
	if data != "" {
		abs, err := filepath.Abs(data) // from here, and not from the file's folder
		if err != nil {
			return config.Config{}, err
		}
		data = abs
	}
	c, err := config.ReadWith(file, p.kinds, func(c *config.Config) {
		if data != "" {
			c.Data = data // before what lies in it by default
		}
	})
	if err != nil {
		return c, err
	}
	if listen != "" {
		c.Listen = listen
		if !config.Loopback(listen) && !c.TLS.Set() && !c.Plaintext {
			return c, hinted{fmt.Errorf("--listen %s can be reached from other machines without TLS", listen),
				"give tls in the configuration file"}
		}
	}
	return c, nil
}

func newLogger(l config.Logging, w io.Writer) *slog.Logger {
	var level slog.Level
	// The configuration was checked; what is not known is info.
	_ = level.UnmarshalText([]byte(l.Level))
	options := &slog.HandlerOptions{Level: level}
	if l.Format == "text" || l.Format == "" && terminal(w) {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// announce tells whoever started the server what to do next.
func (p *program) announce(s *server.Server, c config.Config) error {
	var b strings.Builder
	data, err := filepath.Abs(c.Data)
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "Signalbox %s serves at %s\n", server.Version, s.URL())
	fmt.Fprintf(&b, "  data folder  %s (its keys are the crown jewels: back it up, show it to nobody)\n", data)
	fmt.Fprintf(&b, "  log key      %s\n", s.Verifier())
	for _, g := range s.Gates() {
		fmt.Fprintf(&b, "  gate         %s (%s, %s) at %s:%d, in front of %s\n", g.Name, g.Kind, g.Environment,
			g.Host, g.Port, g.Target)
	}
	if len(c.Gates) == 0 {
		fmt.Fprint(&b, `
No gate is open yet. To put one in front of a PostgreSQL database, write
signalbox.yaml here and start again:

  gates:
    - name: orders
      kind: postgres
      environment: production          # or staging, development
      upstream:
        host: db.internal
        database: orders
        user: signalbox                # a role that is no superuser
        password: {env: ORDERS_PASSWORD}
`)
	}
	if _, err := io.WriteString(p.stdout, b.String()); err != nil {
		return err
	}
	if s.Code() != "" {
		// Standard output is more often kept, and seen by others.
		_, err = fmt.Fprintf(p.stderr, `
Nobody has a credential yet. Become the first administrator (the code works once):

  signalbox login --server %s --name YOU --group sre --code %s

`, s.URL(), s.Code())
	}
	return err
}
