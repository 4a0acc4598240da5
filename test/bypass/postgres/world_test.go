package postgres

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/gate/pgwire"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/test/oracle"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

//go:embed shop.sql
var shop string

// Roles of the servers that are attacked. The gate's is a member of the owner, as
// the gate's page tells people to have it.
const (
	ownerRole = "app_owner"
	gateRole  = "signalbox_gate"
	password  = "of-the-gate"
)

// A world is a server with a shop on it, a Signalbox in front of it, and those who
// watch. Attacks are played in it one after the other.
type world struct {
	t      testing.TB
	server *pgtest.Server
	house  *gatetest.House
	name   string // of the database
	dir    string // where the server may write
	gates  map[string]*net.TCPAddr
	log    *gatetest.LogBuffer // what the gates logged
	oracle *oracle.Oracle
	root   *pgx.Conn // a superuser's
	ear    *pgx.Conn // listens
	heard  []string  // by ear
	busy   *pgconn.PgConn
	pid    uint32 // of busy
	before string // the rest of the server, as restSQL tells it

	credential string // of the attack that is being played
	session    signalbox.SessionID
	as         string
	people     int
}

// channels are those that somebody listens to.
var channels = []string{"alarm", "orders", "log"}

func newWorld(t testing.TB) *world {
	t.Helper()
	server := pgtest.New(t, pgtest.Config{Settings: map[string]string{"max_connections": "100",
		"max_prepared_transactions": "5", "wal_level": "logical", "autovacuum": "off", "log_min_messages": "log", "log_min_error_statement": "panic"}})
	w := &world{t: t, server: server, house: gatetest.NewHouse(t), log: &gatetest.LogBuffer{}}
	w.must(w.exec("postgres", fmt.Sprintf("CREATE ROLE %s; CREATE ROLE %s LOGIN PASSWORD '%s' IN ROLE %[1]s", ownerRole, gateRole, password)))
	w.must(w.exec("postgres", "CREATE DATABASE shop OWNER "+ownerRole))
	w.must(w.exec("shop", "SET ROLE "+ownerRole+";"+shop+"RESET ROLE;"+byRoot))
	dir, err := os.MkdirTemp("", "bypass")
	w.must(err)
	w.dir = dir
	w.must(os.Chmod(dir, 0o777))
	t.Cleanup(func() { os.RemoveAll(dir) })
	w.rebuild()
	return w
}

// byRoot is what a superuser left in the shop.
const byRoot = `
	ANALYZE; SET log_min_messages = error; CREATE EXTENSION dblink; CREATE EXTENSION tablefunc; CREATE EXTENSION postgres_fdw;
	CREATE FUNCTION definer() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM public.settings; SELECT 1';
	CREATE TABLE roots (id int); INSERT INTO roots VALUES (1);
	CREATE FUNCTION open_door() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS
		$$ BEGIN EXECUTE 'ALTER ROLE signalbox_gate SUPERUSER'; RETURN 1; END $$;`

// rebuild makes the world's database anew, with gates of its own.
func (w *world) rebuild() {
	w.t.Helper()
	ctx := context.Background()
	if w.root != nil {
		// The next slot would wait for what is prepared.
		left, err := w.root.Query(ctx, "SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts WHERE database = current_database()")
		w.must(err)
		undo, err := pgx.CollectRows(left, pgx.RowTo[string])
		w.must(err)
		for _, sql := range undo {
			_, err := w.root.Exec(ctx, sql)
			w.must(err)
		}
		_, err = w.root.Exec(ctx, "SELECT pg_terminate_backend($1), pg_drop_replication_slot($2)", w.pid, w.name)
		w.must(err)
		w.root.Close(ctx)
		w.oracle.Close()
		w.ear.Close(ctx)
	}
	w.people++
	w.name = "shop_" + strconv.Itoa(w.people)
	w.must(w.exec("postgres", "CREATE DATABASE "+w.name+" TEMPLATE shop OWNER "+ownerRole))
	var err error
	w.root, err = pgx.Connect(ctx, w.server.URL(w.name))
	w.must(err)
	_, err = w.root.Exec(ctx, "SET statement_timeout = '30s'")
	w.must(err)
	listening, err := pgx.ParseConfig(w.server.URL(w.name))
	w.must(err)
	listening.RuntimeParams["application_name"] = "ear"
	listening.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) {
		w.heard = append(w.heard, "notification of "+n.Channel)
	}
	w.ear, err = pgx.ConnectConfig(ctx, listening)
	w.must(err)
	for _, c := range channels {
		_, err := w.ear.Exec(ctx, "LISTEN "+c)
		w.must(err)
	}
	_, err = w.root.Exec(ctx, "SELECT pg_create_logical_replication_slot($1, 'test_decoding')", w.name)
	w.must(err)
	w.gates = map[string]*net.TCPAddr{}
	for as, up := range map[string]pgwire.Upstream{
		"":          {User: gateRole, Password: password},
		"superuser": {User: pgtest.User, Password: w.server.Password},
	} {
		up.Host, up.Port, up.Database, up.SSLMode = "127.0.0.1", w.server.Port, w.name, "disable"
		g, err := pgwire.New(pgwire.Config{
			Config: gate.Config{Gate: control.Gate{Name: w.name + as, Environment: signalbox.Production},
				Interlock: w.house.Interlock(), Logger: slog.New(slog.NewTextHandler(w.log, nil))},
			Upstream: up,
		})
		w.must(err)
		w.gates[as] = gatetest.Serve(w.t, g).(*net.TCPAddr)
	}
	w.startBusy()
	w.oracle = oracle.Postgres(w.t, w.server.URL(w.name), oracle.Ledger(w.house.Log))
	w.before, err = w.rest()
	w.must(err)
}

// startBusy has a backend of the gate's own role do long work that is nobody's to
// end. It is not the gate's, and is elsewhere, for its snapshot would keep indexes
// from being built.
func (w *world) startBusy() {
	w.t.Helper()
	var err error
	w.busy, err = pgconn.Connect(context.Background(), fmt.Sprintf(
		"postgres://%s:%s@127.0.0.1:%d/postgres?application_name=busy", gateRole, password, w.server.Port))
	w.must(err)
	w.pid = w.busy.PID()
	w.busy.Frontend().SendQuery(&pgproto3.Query{String: "SELECT pg_sleep(36000)"})
	w.must(w.busy.Frontend().Flush())
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p := player{stage: w}
	p.until(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'busy' AND state = 'active' AND query LIKE '%36000%')")
	if p.hung != "" {
		w.t.Fatal("the busy backend does not begin")
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) exec(database, sql string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, w.server.URL(database))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	return err
}

// enter makes a newcomer whose session the next attack has.
func (w *world) enter(as, who string) {
	w.t.Helper()
	w.as = as
	w.people++
	name := "mallory" + strconv.Itoa(w.people)
	ctx := context.Background()
	n := interlock.NewSession{}
	caller := w.house.Person("root")
	if who == "automation" {
		n.Automation = name
	} else {
		_, _, err := w.house.Lock.AddPerson(ctx, caller, name, nil, false)
		w.must(err)
		caller = w.house.Person(name)
		if who == "agent" {
			n.Agent = "kiro"
		}
	}
	s, credentials, err := w.house.Lock.OpenSession(ctx, caller, n, []string{w.name + as})
	w.must(err)
	w.session, w.credential = s.ID, credentials[w.name+as]
}

func (w *world) dial(ctx context.Context, params map[string]string) (*pgconn.PgConn, error) {
	return dial(ctx, fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", w.session, w.credential, w.gates[w.as],
		w.name), params)
}

func (w *world) approve(ctx context.Context, hold string) error {
	for _, n := range []string{"bob", "carol"} {
		_, err := w.house.Lock.Answer(ctx, w.house.Person(n), hold, true, "looks right")
		if err != nil && !errors.Is(err, approval.ErrNotOpen) { // bob may have been enough
			return err
		}
	}
	return nil
}

func (w *world) halt(ctx context.Context) error {
	return w.house.Lock.Halt(ctx, w.house.Person("root"), control.HaltSession, string(w.session), "enough")
}

func (w *world) aside(ctx context.Context, sql string) (err error) {
	w.oracle.Aside(w.t, func() { _, err = w.root.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol) })
	if err == nil {
		w.before, err = w.rest()
	}
	return err
}

func (w *world) ask(ctx context.Context, sql string) (string, error) {
	var got any
	err := w.root.QueryRow(ctx, sql, pgx.QueryExecModeSimpleProtocol).Scan(&got)
	return fmt.Sprint(got), err
}

// gates' backends are those that are neither ours nor the busy one.
const gatesBackends = `FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
	AND application_name NOT IN ('busy', 'ear', 'oracle') AND pid <> pg_backend_pid()`

func (w *world) kill(ctx context.Context) error {
	_, err := w.root.Exec(ctx, "SELECT pg_terminate_backend(pid) "+gatesBackends)
	return err
}

func (w *world) fill(text string) string {
	text = strings.NewReplacer("{dir}", w.dir, "{dsn}", w.server.URL(w.name), "{name}", w.name, "{cr}", "\r",
		"{port}", strconv.Itoa(w.server.Port), "{password}", w.server.Password).Replace(text)
	for {
		before, after, ok := strings.Cut(text, "{pad:")
		if !ok {
			return text
		}
		n, rest, _ := strings.Cut(after, "}")
		size, err := strconv.Atoi(n)
		if err != nil {
			return text
		}
		text = before + strings.Repeat("x", size) + rest
	}
}

// restSQL tells what the oracle's pictures do not: what is in the log of changes
// beside changes of rows, statistics that were reset, settings in force.
const restSQL = `SELECT string_agg(what, E'\n' ORDER BY what) FROM (
	SELECT 'statistics reset at ' || stats_reset FROM pg_stat_database WHERE stats_reset IS NOT NULL AND datname LIKE 'shop%'
	UNION ALL SELECT 'statistics of ' || 'bgwriter reset at ' || stats_reset FROM pg_stat_bgwriter
	UNION ALL SELECT 'setting ' || name || ' = ' || setting FROM pg_settings WHERE context IN ('sighup', 'postmaster')) of (what)`

func (w *world) rest() (string, error) {
	return w.ask(context.Background(), restSQL)
}

// A verdict is what became of the world.
type verdict struct {
	wrong   []string // what nobody admitted, and what nobody named
	changed bool     // something differs on which other attacks build
	script  []string
}

// run plays an attack and looks at what became of the world.
func (w *world) run(a attack) verdict {
	w.t.Helper()
	w.enter(a.as, a.who)
	p := play(context.Background(), w, a.steps)
	v := w.look(a)
	v.script = p.script
	v.changed = v.changed || slices.ContainsFunc(a.steps, func(s step) bool { return s.verb == "aside" })
	if p.hung != "" {
		v.wrong = append(v.wrong, p.hung)
	}
	return v
}

// look judges the world when all of the attack's connections are closed.
func (w *world) look(a attack) (v verdict) {
	w.t.Helper()
	wrong := func(format string, args ...any) { v.wrong = append(v.wrong, fmt.Sprintf(format, args...)) }
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	end := player{stage: w}
	if end.until(ctx, "SELECT NOT EXISTS (SELECT "+gatesBackends+")"); end.hung != "" {
		left, _ := w.ask(context.Background(), "SELECT string_agg(concat_ws(' ', pid, state, query), E'\\n') "+gatesBackends)
		wrong("connections of the gate to the server outlive the attack's to the gate:\n%s", left)
		w.kill(context.Background())
	}
	f, err := w.oracle.Judge()
	if err != nil {
		wrong("%v", err)
		v.changed = true
		return v
	}
	for _, x := range f.Violations {
		wrong("%s", x)
	}
	for _, what := range slices.Sorted(maps.Keys(f.Changes)) {
		if !a.allows(what, f.Changes[what]) {
			wrong("policy lets no agent do this unapproved: %s, %+d rows", what, f.Changes[what])
		}
		v.changed = v.changed || what != "content of table public.log"
	}
	w.oracle.Accept(w.t)
	ctx = context.Background()
	if now, err := w.rest(); err != nil || now != w.before {
		wrong("the rest of the server differs (%v):\n%s", err, difference(w.before, now))
		w.before = now
	}
	for _, said := range w.messages(ctx) {
		if !slices.Contains(a.may, said) {
			wrong("%s", said)
		}
	}
	if state, err := w.ask(ctx, fmt.Sprintf("SELECT coalesce((SELECT state || ' ' || query FROM pg_stat_activity WHERE pid = %d), 'is gone')", w.pid)); err != nil || state != "active SELECT pg_sleep(36000)" {
		wrong("somebody else's backend %s (%v)", state, err)
		w.startBusy()
	}
	if found, err := filepath.Glob(filepath.Join(w.dir, "*")); err != nil || len(found) > 0 {
		wrong("files were written: %v %v", found, err)
		for _, name := range found {
			os.RemoveAll(name)
		}
	}
	return v
}

// messages gives what was sent past tables: notifications, and messages in the log
// of changes.
func (w *world) messages(ctx context.Context) (all []string) {
	_, err := w.ear.Exec(ctx, "SELECT 1") // what came is told before its answer
	w.must(err)
	all, w.heard = w.heard, nil
	got, err := w.ask(ctx, fmt.Sprintf("SELECT coalesce(string_agg(data, E'\\n'), '') FROM pg_logical_slot_get_changes('%s', NULL, NULL) WHERE data LIKE 'message:%%'", w.name))
	w.must(err)
	for line := range strings.Lines(got) {
		all = append(all, "message in the log of changes: "+strings.TrimSpace(line))
	}
	return all
}

func difference(was, is string) string {
	var b bytes.Buffer
	old, now := strings.Split(was, "\n"), strings.Split(is, "\n")
	for _, l := range old {
		if !slices.Contains(now, l) {
			fmt.Fprintf(&b, "\t- %s\n", l)
		}
	}
	for _, l := range now {
		if !slices.Contains(old, l) {
			fmt.Fprintf(&b, "\t+ %s\n", l)
		}
	}
	return b.String()
}
