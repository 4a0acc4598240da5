package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

const (
	gateName = "orders"
	database = "orders"
	role     = "signalbox" // the gate's own; no superuser
)

// A stage is what a story is played on: a PostgreSQL, a server with a gate in
// front of it, people, and an agent's session.
type stage struct {
	folder   string
	postgres *pgtest.Server
	server   *server.Server
	said     diagnostics

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

// set builds the stage. What it has built when it fails, strike removes.
func (s *stage) set(ctx context.Context) error {
	var err error
	if s.postgres, err = pgtest.Start(ctx, pgtest.Config{}); err != nil {
		return err
	}
	password := rand.Text()
	if err := s.furnish(ctx, password); err != nil {
		return fmt.Errorf("fill the database: %w", err)
	}
	secret := filepath.Join(s.folder, "orders.password")
	if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
		return err
	}
	s.server, err = server.Start(ctx, config.Config{
		Data: filepath.Join(s.folder, "data"), Listen: "127.0.0.1:0",
		Log: config.Log{Publish: 200 * time.Millisecond},
		Gates: []config.Gate{{
			Name: gateName, Kind: "postgres", Environment: "production", Listen: "127.0.0.1:0",
			Upstream: config.Upstream{
				Host: "127.0.0.1", Port: s.postgres.Port, Database: database,
				User: role, Password: config.Secret{File: secret},
			},
		}},
	}.Resolve(s.folder).Defaults(), slog.New(slog.NewTextHandler(&s.said, nil)))
	if err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	if err := s.enrol(ctx); err != nil {
		return fmt.Errorf("enrol people: %w", err)
	}
	return s.hire(ctx)
}

// strike removes all that set has built.
func (s *stage) strike() {
	if s.server != nil {
		s.server.Close()
	}
	if s.postgres != nil {
		s.postgres.Close()
	}
	if s.folder != "" {
		// The next line of the story is that nothing is left; if that is not so,
		// it lies in the system's folder for temporary files.
		_ = os.RemoveAll(s.folder)
	}
}

// The database's size: orders, and the invoices that refer to customer 7.
const (
	numberOfOrders  = 5000
	invoicesOfSeven = 300
)

// furnish makes the production database of a small shop.
func (s *stage) furnish(ctx context.Context, password string) error {
	// A role for the gate, which owns what agents may change and is no
	// superuser. The password is of our making: letters and digits.
	if err := execute(ctx, s.postgres.URL("postgres"),
		"CREATE ROLE "+role+" LOGIN PASSWORD '"+password+"'; ", "CREATE DATABASE "+database+" OWNER "+role+" TEMPLATE template0"); err != nil {
		return err
	}
	return execute(ctx, s.postgres.URL(database), fmt.Sprintf(`
SET ROLE %s;
CREATE TABLE customers (id int PRIMARY KEY, number text NOT NULL UNIQUE, name text NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, status text NOT NULL, cents int NOT NULL);
CREATE TABLE invoices (id int PRIMARY KEY, customer text NOT NULL REFERENCES customers (number) ON UPDATE CASCADE, cents int NOT NULL);
INSERT INTO customers SELECT i, 'C-' || i, 'Customer ' || i FROM generate_series(1, 50) i;
INSERT INTO orders SELECT i, 1 + i %% 50, CASE i WHEN 42 THEN 'pending' ELSE 'shipped' END, 100 * i FROM generate_series(1, %d) i;
INSERT INTO invoices SELECT i, 'C-7', 100 * i FROM generate_series(1, %d) i;
ANALYZE customers; ANALYZE orders; ANALYZE invoices;
RESET ROLE;
CREATE SCHEMA backup;
CREATE TABLE backup.orders AS SELECT * FROM orders`, role, numberOfOrders, invoicesOfSeven))
}

// execute runs SQL on the database itself, past the gate.
func execute(ctx context.Context, url string, statements ...string) error {
	conn, err := pgconn.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
			return err
		}
	}
	return nil
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
func (s *stage) hire(ctx context.Context) error {
	var err error
	s.session, err = s.alice.OpenSession(ctx, client.NewSession{
		Agent: "kiro", Purpose: "order 42 hangs: find out why and mend it", Gates: []string{gateName}, TTL: "1h",
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
