package demo

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

// A stage is what every story is played on: a server with one gate, people,
// and an agent's session.
type stage struct {
	folder string
	server *server.Server
	said   diagnostics

	gate    client.Gate
	bob     person // of the on-call group sre, administrator
	carol   person // of sre
	alice   person // a developer, for whom the agent works
	session client.OpenedSession
	kiro    *client.Client // with the session's own credential
	root    string         // file with the authority of the gate's certificate
}

// A person is a human of the story.
type person struct {
	*client.Client
	name  string
	token string
}

// clear makes the folder of everything else. strike removes it.
func (s *stage) clear() (err error) {
	s.folder, err = os.MkdirTemp("", "signalbox-demo-")
	return err
}

// open starts the server with its one gate, enrols people and opens alice's
// session for the agent. What it has started when it fails, strike ends.
func (p *play) open(ctx context.Context, gate config.Gate, purpose string) (err error) {
	p.server, err = server.Start(ctx, config.Config{
		Data: filepath.Join(p.folder, "data"), Listen: "127.0.0.1:0",
		Log:   config.Log{Publish: 200 * time.Millisecond},
		Gates: []config.Gate{gate},
	}.Resolve(p.folder).Defaults(), slog.New(slog.NewTextHandler(&p.said, nil)))
	if err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	p.result.Console, p.result.Log.Verifier = p.server.URL(), p.server.Verifier()
	if err := p.enrol(ctx); err != nil {
		return fmt.Errorf("enrol people: %w", err)
	}
	return p.hire(ctx, gate.Name, purpose)
}

// strike removes all that was built.
func (s *stage) strike() {
	if s.server != nil {
		s.server.Close()
	}
	if s.folder != "" {
		// The next line of the story is that nothing is left; if that is not so,
		// it lies in the system's folder for temporary files.
		_ = os.RemoveAll(s.folder)
	}
}

// enrol makes bob the first administrator, with the server's one-time code,
// and has him enrol the others.
func (s *stage) enrol(ctx context.Context) error {
	open, err := client.New(client.Config{URL: s.server.URL()})
	if err != nil {
		return err
	}
	e, err := open.Login(ctx, client.Login{Code: s.server.Code(), Name: "bob", Groups: []string{"sre"}})
	if err != nil {
		return err
	}
	if s.bob, err = s.person(e); err != nil {
		return err
	}
	for _, p := range []struct {
		who   *person
		name  string
		group string
	}{{&s.carol, "carol", "sre"}, {&s.alice, "alice", "developers"}} {
		e, err := s.bob.AddPerson(ctx, client.NewPerson{Name: p.name, Groups: []string{p.group}})
		if err != nil {
			return err
		}
		if *p.who, err = s.person(e); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) person(e client.Enrolment) (person, error) {
	c, err := client.New(client.Config{URL: s.server.URL(), Token: e.Token})
	return person{Client: c, name: e.Person.Name, token: e.Token}, err
}

// hire opens alice's session for the agent, as `signalbox run` would.
func (s *stage) hire(ctx context.Context, gateName, purpose string) error {
	var err error
	s.session, err = s.alice.OpenSession(ctx, client.NewSession{
		Agent: "kiro", Purpose: purpose, Gates: []string{gateName}, TTL: "1h",
	})
	if err != nil {
		return fmt.Errorf("open the agent's session: %w", err)
	}
	if s.kiro, err = client.New(client.Config{URL: s.server.URL(), Token: s.session.Credentials["api"]}); err != nil {
		return err
	}
	for _, g := range s.server.Gates() {
		if g.Name == gateName {
			s.gate = g
		}
	}
	if s.gate.Name == "" {
		return fmt.Errorf("the server has no gate %q", gateName)
	}
	s.root = filepath.Join(s.folder, "gate.pem")
	return os.WriteFile(s.root, []byte(s.gate.CA), 0o600)
}

// diagnostics keeps the last of what the server logs.
type diagnostics struct {
	mu   sync.Mutex
	text []byte
}

// maxDiagnostics is how much is kept, in bytes.
const maxDiagnostics = 64 << 10

// Write implements [io.Writer].
func (d *diagnostics) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text = append(d.text, p...)
	if extra := len(d.text) - maxDiagnostics; extra > 0 {
		d.text = bytes.Clone(d.text[extra:])
	}
	return len(p), nil
}

// last gives the last n lines.
func (d *diagnostics) last(n int) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(d.text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
