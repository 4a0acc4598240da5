package drivers

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/gate/pgwire"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

var all = flag.Bool("all", false, "run every client, not only those that start quickly")

func TestMain(m *testing.M) { pgtest.Main(m) }

// limit is how long one script may take.
const limit = 2 * time.Minute

// modules is where `make drivers-setup` puts what npm has.
const modules = "../../.cache/drivers/node_modules"

// clients are the programs whose ordinary work must pass. A program without a command
// is part of the tests.
var clients = []struct {
	name    string
	command []string
	slow    bool // to start
}{
	{name: "pgx"},
	{name: "psql", command: []string{"psql", "-X", "-q", "-f", "scripts/psql_work.sql"}},
	// A superuser's pg_dump reads the passwords of subscriptions, which is held.
	{name: "pg_dump", command: []string{"pg_dump", "--no-owner", "--no-subscriptions"}},
	{name: "psycopg2", command: []string{"/usr/bin/python3", "scripts/psycopg2_work.py"}},
	{name: "psycopg", command: []string{"/usr/bin/python3", "scripts/psycopg3_work.py"}},
	{name: "asyncpg", command: []string{"/usr/bin/python3", "scripts/asyncpg_work.py"}},
	{name: "node pg", command: []string{"node", "scripts/node_pg.js"}},
	{name: "postgres.js", command: []string{"node", "scripts/postgresjs.js"}},
	{name: "pgjdbc", command: []string{"java", "-cp", "/usr/share/java/postgresql.jar", "scripts/Jdbc.java"}, slow: true},
	{name: "Django", command: []string{"/usr/bin/python3", "scripts/django_work.py"}, slow: true},
	{name: "SQLAlchemy", command: []string{"/usr/bin/python3", "scripts/sqlalchemy_work.py"}, slow: true},
	{name: "ActiveRecord", command: []string{"/usr/bin/ruby", "scripts/activerecord_work.rb"}, slow: true},
}

// Ordinary work is answered as it is directly, and its rows are there.
func TestOrdinaryWork(t *testing.T) {
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			if c.slow && !*all {
				t.Skip("starts slowly: run `make drivers`")
			}
			work := func(env []string) string { return run(t, env, c.command) }
			if c.command == nil {
				work = func(env []string) string { return pgxWork(t, env) }
			}
			direct, through := database(t), database(t)
			want := work(environment(direct.Port, direct.Name, pgtest.User, direct.Password))
			if want == "" {
				t.Fatal("it says nothing")
			}
			user, password, port := gated(t, through)
			got := work(environment(port, through.Name, user, password))
			if got != want {
				t.Errorf("through the gate:\n%s\ndirectly:\n%s", got, want)
			}
			if got, want := rows(t, through), rows(t, direct); got != want {
				t.Errorf("rows through the gate:\n%s\ndirectly:\n%s", differing(got, want), differing(want, got))
			}
		})
	}
}

// database makes one with what is there before the work begins.
func database(t *testing.T) *pgtest.Database {
	t.Helper()
	db := pgtest.Shared(t)
	cmd := db.Command(t.Context(), db.Name, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "scripts/schema.sql")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return db
}

// gated puts a gate of production in front of a database, and opens an agent's session.
func gated(t *testing.T, db *pgtest.Database) (user, password string, port int) {
	t.Helper()
	h := gatetest.NewHouse(t)
	g, err := pgwire.New(pgwire.Config{
		Config: gate.Config{Gate: control.Gate{Name: "shop", Environment: signalbox.Production}, Interlock: h.Interlock()},
		Upstream: pgwire.Upstream{Host: "127.0.0.1", Port: db.Port, User: pgtest.User, Password: db.Password,
			Database: db.Name, SSLMode: "disable"},
	})
	if err != nil {
		t.Fatal(err)
	}
	addr := gatetest.Serve(t, g).(*net.TCPAddr)
	s, credential := h.Open("kiro", "alice", "shop")
	return string(s.ID), credential, addr.Port
}

// environment tells a client of libpq's kind where to connect.
func environment(port int, name, user, password string) []string {
	return []string{"PGHOST=127.0.0.1", "PGPORT=" + strconv.Itoa(port), "PGDATABASE=" + name, "PGUSER=" + user,
		"PGPASSWORD=" + password, "PGSSLMODE=disable", "PGPASSFILE=/dev/null", "PGSERVICEFILE=/dev/null"}
}

// run runs a program and gives what it wrote.
func run(t *testing.T, env, command []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	node, err := filepath.Abs(modules)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), append(env, "NODE_PATH="+node, "LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1")...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%v: run `make drivers-setup`", err)
	} else if err != nil {
		t.Errorf("%s: %v\n%s", command, err, said.Bytes())
	}
	if t.Failed() || said.Len() > 0 {
		t.Logf("%s: beside its answers it said\n%s", command, said.Bytes())
	}
	return withoutKeys(string(out))
}

// withoutKeys leaves out the random words with which pg_dump fences its output.
func withoutKeys(s string) string {
	lines := strings.Split(s, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool {
		return strings.HasPrefix(l, `\restrict `) || strings.HasPrefix(l, `\unrestrict `)
	}), "\n")
}

// rows gives what is in a database, by the server itself.
func rows(t *testing.T, db *pgtest.Database) string {
	t.Helper()
	out, err := db.Command(t.Context(), db.Name, "pg_dump", "--no-owner", "--inserts").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(withoutKeys(string(out)), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// differing gives the lines of a that b does not have.
func differing(a, b string) string {
	there := make(map[string]bool)
	for l := range strings.Lines(b) {
		there[l] = true
	}
	var lines []string
	for l := range strings.Lines(a) {
		if !there[l] {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "")
}

// pgxWork is the work of a program with pgx, the driver of most programs in Go.
func pgxWork(t *testing.T, env []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var said strings.Builder
	conn, err := pgx.Connect(ctx, strings.ToLower(strings.NewReplacer("PGPASSFILE=/dev/null", "", "PGSERVICEFILE=/dev/null", "",
		"PGDATABASE", "dbname", "PG", "").Replace(strings.Join(env[:3], " ")))+" sslmode=disable user="+
		strings.TrimPrefix(env[3], "PGUSER=")+" password="+strings.TrimPrefix(env[4], "PGPASSWORD="))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	note := func(what any, err error) {
		if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
			fmt.Fprintln(&said, what, pg.Code)
		} else {
			fmt.Fprintln(&said, what, err)
		}
	}
	for i := range 3 {
		note(conn.Exec(ctx, "UPDATE orders SET note = $1 WHERE id = $2", "p", i+1))
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		note(tx.Exec(ctx, "INSERT INTO customers (email) VALUES ($1)", "pgx@example.com"))
		note("nested", pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO customers (email) VALUES ($1)", "pgx@example.com")
			return err
		}))
		var id int64
		note(id, tx.QueryRow(ctx, "SELECT id FROM customers WHERE email = $1 FOR UPDATE", "pgx@example.com").Scan(&id))
		note(tx.Exec(ctx, "UPDATE customers SET name = 'G' WHERE id = $1", id))
		return nil
	})
	note("transaction", err)
	batch := &pgx.Batch{}
	for i := range 20 {
		batch.Queue("INSERT INTO orders (customer_id, total) VALUES ($1, $2)", 1, i)
	}
	note("batch", conn.SendBatch(ctx, batch).Close())
	note(conn.Exec(ctx, "CREATE TEMP TABLE incoming (payload jsonb)"))
	note(conn.CopyFrom(ctx, pgx.Identifier{"incoming"}, []string{"payload"},
		pgx.CopyFromSlice(20, func(i int) ([]any, error) { return []any{map[string]int{"g": i}}, nil })))
	note("ping", conn.Ping(ctx))
	return said.String()
}
