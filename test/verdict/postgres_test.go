package verdict

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/gate/pgwire"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

// stricter are the scenarios of which a running gate says more than explain, for it
// sees the database's catalog.
var stricter = map[string]string{
	"own-e-cursor-to-xml": "system tables are not in the snapshot of the catalog, so what a function reads there is not known",
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	h := house{gatetest.NewHouse(t), t}
	o := &observer{Interlock: h.Interlock()}
	db := pgtest.Shared(t)
	// A scenario's schema may bear the role's name. It would then stand in front of
	// public, and explain does not know that.
	direct, err := pgx.Connect(t.Context(), db.URL())
	if err != nil {
		t.Fatal(err)
	}
	_, err = direct.Exec(t.Context(), "ALTER DATABASE "+pgx.Identifier{db.Name}.Sanitize()+" SET search_path = public")
	direct.Close(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gates := map[signalbox.Environment]*net.TCPAddr{}
	judged := 0
	for n, s := range scenarios(t, "postgres") {
		if !*all && n%4 != 0 {
			continue
		}
		addr := gates[s.Environment]
		if addr == nil {
			addr = startPostgres(t, o, s.Environment, db)
			gates[s.Environment] = addr
		}
		createTables(t, db, s)
		id, password := h.open(s.scenario, "postgres")
		conn, err := pgx.Connect(t.Context(),
			fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", id, password, addr, db.Name))
		if err != nil {
			t.Fatalf("%s: %v", s.ID, err)
		}
		for n, r := range s.Requests {
			o.take()
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			_, err := conn.Exec(ctx, r.SQL, pgx.QueryExecModeSimpleProtocol)
			cancel()
			got := o.take()
			if len(got) == 0 && undecided(s.want[n].verdict, err) {
				continue
			}
			judged++
			if why := stricter[s.ID]; why != "" && grave(got[0].Decision) >= grave(s.want[n].Decision) {
				t.Logf("%s: %s", s.ID, why)
				continue
			}
			same(t, s.scenario, r, s.want[n].verdict, got)
		}
		conn.Close(t.Context())
	}
	t.Logf("%d requests were judged by both", judged)
	if judged < 100 || *all && judged < 440 {
		t.Error("too few were judged")
	}
}

// undecided reports whether a gate has nothing to decide: what the server itself
// does not understand, which it is asked before anybody is, and what only begins
// or ends a transaction, in which each statement is decided by itself.
func undecided(want verdict, err error) bool {
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		return pg.Code == "42601"
	}
	return err == nil && want.Decision == signalbox.Allow && want.Reason == "marks a transaction"
}

// createTables makes the tables that a scenario is about, as far as they do not
// exist, behind the gate's back.
func createTables(t *testing.T, db *pgtest.Database, s explained) {
	t.Helper()
	direct, err := pgx.Connect(t.Context(), db.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(t.Context())
	for _, w := range s.want {
		for _, r := range w.Resources {
			if r.Type != "table" || strings.ContainsAny(r.Name, "*%") || strings.HasPrefix(r.Name, "pg_") ||
				strings.HasPrefix(r.Name, "information_schema.") {
				continue
			}
			name := pgx.Identifier(strings.Split(r.Name, "."))
			if len(name) == 2 {
				if _, err := direct.Exec(t.Context(), "CREATE SCHEMA IF NOT EXISTS "+name[:1].Sanitize()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := direct.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS "+name.Sanitize()+
				" (id int PRIMARY KEY, weight int)"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func startPostgres(t *testing.T, o *observer, env signalbox.Environment, db *pgtest.Database) *net.TCPAddr {
	t.Helper()
	g, err := pgwire.New(pgwire.Config{
		Config: gate.Config{Gate: control.Gate{Name: "postgres", Environment: env}, Interlock: o},
		Upstream: pgwire.Upstream{Host: "127.0.0.1", Port: db.Port, User: pgtest.User, Password: db.Password,
			Database: db.Name, SSLMode: "disable"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return gatetest.Serve(t, g).(*net.TCPAddr)
}
