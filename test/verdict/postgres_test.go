package verdict

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/gate/pgwire"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

func TestPostgres(t *testing.T) {
	h := house{gatetest.NewHouse(t), t}
	o := &observer{Interlock: h.Interlock()}
	db := pgtest.Shared(t)
	gates := map[signalbox.Environment]*net.TCPAddr{}
	judged := 0
	for _, s := range scenarios(t, "postgres") {
		addr := gates[s.Environment]
		if addr == nil {
			addr = startPostgres(t, o, s.Environment, db)
			gates[s.Environment] = addr
		}
		id, password := h.open(s.scenario, "postgres")
		conn, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", id, password, addr, db.Name))
		if err != nil {
			t.Fatalf("%s: %v", s.ID, err)
		}
		for n, r := range s.Requests {
			o.take()
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			_, err := conn.Exec(ctx, r.SQL, pgx.QueryExecModeSimpleProtocol)
			cancel()
			t.Logf("%s: %v", s.ID, err)
			same(t, s.scenario, r, s.want[n], o.take())
			judged++
		}
		conn.Close(t.Context())
	}
	t.Logf("%d requests were judged by both", judged)
}

func startPostgres(t *testing.T, o *observer, env signalbox.Environment, db *pgtest.Database) *net.TCPAddr {
	t.Helper()
	g, err := pgwire.New(pgwire.Config{
		Config:   gate.Config{Gate: interlock.Gate{Name: "postgres", Environment: env}, Interlock: o},
		Upstream: pgwire.Upstream{Host: "127.0.0.1", Port: db.Port, User: pgtest.User, Password: db.Password, Database: db.Name, SSLMode: "disable"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return gatetest.Serve(t, g).(*net.TCPAddr)
}
