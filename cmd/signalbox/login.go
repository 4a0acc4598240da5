package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server"
)

// logins is what the login file holds.
type logins struct {
	Current string           `json:"current"` // address of the server used last
	Servers map[string]login `json:"servers"` // by address
}

type login struct {
	Name  string `json:"name"`
	Token string `json:"token"`
	CA    string `json:"ca,omitempty"` // PEM
}

// configFolder is $SIGNALBOX_CONFIG_DIR, or signalbox in the user's
// configuration folder ($XDG_CONFIG_HOME).
func configFolder() (string, error) {
	if dir := os.Getenv("SIGNALBOX_CONFIG_DIR"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", hinted{fmt.Errorf("your configuration folder: %w", err), "set SIGNALBOX_CONFIG_DIR"}
	}
	return filepath.Join(dir, "signalbox"), nil
}

func loginFile() (string, error) {
	dir, err := configFolder()
	return filepath.Join(dir, "login.json"), err
}

func readLogins() (logins, error) {
	l := logins{Servers: map[string]login{}}
	name, err := loginFile()
	if err != nil {
		return l, err
	}
	data, err := secret.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("login file: %w", err)
	}
	if err := json.Unmarshal(data, &l); err != nil || l.Servers == nil {
		return l, hinted{fmt.Errorf("login file %q is damaged", name), "delete it and log in again"}
	}
	return l, nil
}

func (l logins) write() error {
	name, err := loginFile()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("login file: %w", err)
	}
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	// Replaced whole, so that a crash leaves the old one.
	tmp, err := os.CreateTemp(filepath.Dir(name), ".login-*") // 0600
	if err != nil {
		return fmt.Errorf("login file: %w", err)
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if _, err := tmp.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("login file: %w", err)
	}
	if err := tmp.Sync(); err != nil {
		return fmt.Errorf("login file: %w", err)
	}
	return os.Rename(tmp.Name(), name)
}

// address is the server that is meant: --server, $SIGNALBOX_SERVER, that of the
// last login, or the default.
func (p *program) address(l logins) string {
	for _, a := range []string{p.server, os.Getenv("SIGNALBOX_SERVER"), l.Current} {
		if a != "" {
			return strings.TrimRight(a, "/")
		}
	}
	return client.DefaultURL
}

// client gives a client with the caller's credential: $SIGNALBOX_TOKEN, or the
// one that login has stored for this server.
func (p *program) client() (*client.Client, error) {
	token := os.Getenv("SIGNALBOX_TOKEN")
	l, err := readLogins()
	if err != nil && token == "" {
		return nil, err
	}
	at := p.address(l)
	c := client.Config{URL: at, Token: token, Agent: "signalbox/" + server.Version}
	stored := l.Servers[at]
	if token == "" {
		c.Token = stored.Token
	}
	if file := os.Getenv("SIGNALBOX_CA_FILE"); file != "" {
		if c.CA, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("SIGNALBOX_CA_FILE: %w", err)
		}
	} else {
		c.CA = []byte(stored.CA)
	}
	if c.Token == "" {
		return nil, hinted{fmt.Errorf("not logged in at %s", at),
			"log in with `signalbox login`, or set SIGNALBOX_TOKEN"}
	}
	return client.New(c)
}

func (p *program) loginCommand() *cobra.Command {
	var name, code, ca string
	var groups []string
	c := &cobra.Command{
		Use:   "login",
		Short: "Log in: store your token for the command line",
		Long: `Log in asks for your token, which an administrator gave you, and stores it in
login.json in your configuration folder, readable by you alone. Input is taken
from the terminal without echo, or from standard input.

The first administrator gives the one-time code instead, which the server prints
while nobody is enrolled, and with --name says who he is.`,
		Example: `  signalbox login                                         asks for your token
  signalbox login --name alice --group sre                the first time: asks for the code
  signalbox login --server https://signalbox.example.com < token.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := readLogins()
			if err != nil {
				return err
			}
			at := p.address(l)
			var authority []byte
			if ca != "" {
				if authority, err = os.ReadFile(ca); err != nil {
					return fmt.Errorf("--ca: %w", err)
				}
			}
			secret := code
			if secret == "" {
				if secret, err = p.secret("Token or one-time code for " + at + ": "); err != nil {
					return err
				}
			}
			var who client.Person
			if strings.HasPrefix(secret, "sba_") {
				if name == "" {
					return usage("a one-time code enrols the first administrator: say who with --name")
				}
				open, err := client.New(client.Config{URL: at, CA: authority})
				if err != nil {
					return err
				}
				e, err := open.Login(cmd.Context(), client.Login{Code: secret, Name: name, Groups: groups})
				if err != nil {
					return err
				}
				who, secret = e.Person, e.Token
			} else {
				closed, err := client.New(client.Config{URL: at, CA: authority, Token: secret})
				if err != nil {
					return err
				}
				caller, err := closed.Whoami(cmd.Context())
				switch {
				case err != nil:
					return err
				case caller.Person == nil:
					return hinted{errors.New("that is a session's credential"),
						"people log in with a token of their own"}
				}
				who = *caller.Person
			}
			l.Servers[at] = login{Name: who.Name, Token: secret, CA: string(authority)}
			l.Current = at
			if err := l.write(); err != nil {
				return err
			}
			return p.say("%s is logged in at %s.", who.Name, at)
		},
	}
	c.Flags().StringVar(&name, "name", "", "your name, with a one-time code")
	c.Flags().StringVar(&code, "code", "", "the one-time code; it is spent at once, so that others seeing it does not matter")
	c.Flags().StringSliceVar(&groups, "group", nil, "your groups, with a one-time code")
	c.Flags().StringVar(&ca, "ca", "", "PEM file of the authority that signed the server's certificate")
	return c
}

// secret reads a line that nobody else shall see.
func (p *program) secret(prompt string) (string, error) {
	if f, ok := p.stdin.(*os.File); ok && terminal(f) {
		fmt.Fprint(p.stderr, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(p.stderr)
		if err != nil {
			return "", fmt.Errorf("read token: %w", err)
		}
		return strings.TrimSpace(string(b)), nil
	}
	line, err := bufio.NewReader(p.stdin).ReadString('\n')
	if line = strings.TrimSpace(line); line == "" {
		if err == nil {
			err = errors.New("an empty line")
		}
		return "", hinted{fmt.Errorf("no token on standard input: %w", err), "give it there, or run it in a terminal"}
	}
	return line, nil
}

func (p *program) whoamiCommand() *cobra.Command {
	var show bool
	c := p.printsData(&cobra.Command{
		Use:   "whoami",
		Short: "Say who you are to the server",
		Example: `  signalbox whoami
  signalbox whoami --token          print your token, to log in at the console`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if show {
				l, err := readLogins()
				if err != nil {
					return err
				}
				in, ok := l.Servers[p.address(l)]
				if !ok {
					return hinted{fmt.Errorf("not logged in at %s", p.address(l)), "log in with `signalbox login`"}
				}
				_, err = fmt.Fprintln(p.stdout, in.Token)
				return err
			}
			api, err := p.client()
			if err != nil {
				return err
			}
			who, err := api.Whoami(cmd.Context())
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(who)
			}
			if s := who.Session; s != nil {
				return p.fields("session", string(s.ID), "actor", s.Actor.String(), "purpose", s.Purpose,
					"gates", strings.Join(s.Gates, ", "), "until", clock(s.Expires), "server", api.URL())
			}
			admin := ""
			if who.Person.Admin {
				admin = "yes"
			}
			return p.fields("name", who.Person.Name, "groups", strings.Join(who.Person.Groups, ", "), "administrator",
				admin, "server", api.URL())
		},
	})
	c.Flags().BoolVar(&show, "token", false, "print the stored token alone")
	return c
}

// quoted shows text that others wrote as a block in which every line is marked.
func quoted(text string) string {
	var b strings.Builder
	for _, line := range signalbox.VisibleLines(text) {
		b.WriteString("  | " + line + "\n")
	}
	return b.String()
}
