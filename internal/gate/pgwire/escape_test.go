package pgwire

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// Ways in which an agent could have a write run under the name of a read, or
// under no name at all: each sends messages that a driver never sends. The
// stand-in for interlock allows everything, so what must hold is that whatever
// changed a row was admitted as something that may, and is in an intent.

// A raw speaks the protocol message by message.
type raw struct {
	t *testing.T
	f *pgproto3.Frontend
}

func dialRaw(b *testGate, t *testing.T, params map[string]string) (*raw, error) {
	t.Helper()
	return dialRawAs(b, t, "agent-kiro", params)
}

func dialRawAs(b *testGate, t *testing.T, session string, params map[string]string) (*raw, error) {
	t.Helper()
	cfg, err := pgx.ParseConfig(b.url(session))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range params {
		cfg.RuntimeParams[k] = v
	}
	pg, err := pgconn.ConnectConfig(t.Context(), &cfg.Config)
	if err != nil {
		return nil, err
	}
	if err := pg.SyncConn(t.Context()); err != nil {
		t.Fatal(err)
	}
	h, err := pg.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Conn.Close() })
	return &raw{t, h.Frontend}, nil
}

// ready sends what is waiting and reads to the end of the answer.
func (r *raw) ready() string {
	r.t.Helper()
	if err := r.f.Flush(); err != nil {
		return "END"
	}
	var said []string
	for {
		m, err := r.f.Receive()
		if err != nil {
			return strings.Join(append(said, "END"), " ")
		}
		switch m := m.(type) {
		case *pgproto3.ErrorResponse:
			said = append(said, m.Code)
		case *pgproto3.CommandComplete:
			said = append(said, string(m.CommandTag))
		case *pgproto3.ReadyForQuery:
			return strings.Join(said, " ")
		}
	}
}

func (r *raw) query(sql string) string {
	r.f.Send(&pgproto3.Query{String: sql})
	return r.ready()
}

func (r *raw) sync() string {
	r.f.Send(&pgproto3.Sync{})
	return r.ready()
}

func (r *raw) parse(name, sql string) { r.f.Send(&pgproto3.Parse{Name: name, Query: sql}) }
func (r *raw) bind(portal, name string) {
	r.f.Send(&pgproto3.Bind{DestinationPortal: portal, PreparedStatement: name})
}
func (r *raw) execute(portal string) { r.f.Send(&pgproto3.Execute{Portal: portal}) }
func (r *raw) close(kind byte, name string) {
	r.f.Send(&pgproto3.Close{ObjectType: kind, Name: name})
}

func TestNothingRunsUnderAnotherName(t *testing.T) {
	long := strings.Repeat("a", 63)
	cases := map[string]struct {
		params map[string]string
		held   string // requests with this in their text are held
		play   func(r *raw)
	}{
		"a portal that outlives a simple query": {play: func(r *raw) {
			r.query("BEGIN")
			r.parse("s", "DELETE FROM orders")
			r.bind("p", "s")
			r.sync()
			r.query("SELECT 1")
			r.execute("p")
			r.sync()
			r.query("COMMIT")
		}},
		"a bound statement run by MOVE": {play: func(r *raw) {
			r.query("BEGIN")
			r.parse("s", "DELETE FROM orders RETURNING id")
			r.bind("p", "s")
			r.sync()
			r.query("MOVE ALL IN p")
			r.query("COMMIT")
		}},
		"a bound statement run by FETCH in the same unit": {play: func(r *raw) {
			r.query("BEGIN")
			r.parse("s", "DELETE FROM orders RETURNING id")
			r.bind("p", "s")
			r.parse("", "FETCH ALL IN p")
			r.bind("", "")
			r.execute("")
			r.sync()
			r.query("COMMIT")
		}},
		"PREPARE that failed and is believed": {play: func(r *raw) {
			r.query("PREPARE x AS DELETE FROM orders")
			r.query("PREPARE x AS SELECT 1")
			r.query("BEGIN")
			r.query("EXECUTE x")
			r.query("COMMIT")
		}},
		"PREPARE that remains of a text that failed": {play: func(r *raw) {
			r.query("PREPARE x AS SELECT 1")
			r.query("DEALLOCATE x; PREPARE x AS DELETE FROM orders; SELECT 1/0")
			r.query("BEGIN")
			r.query("EXECUTE x")
			r.query("COMMIT")
		}},
		"PREPARE bound by the extended protocol": {play: func(r *raw) {
			r.query("PREPARE x AS DELETE FROM orders")
			r.query("BEGIN")
			r.bind("", "x")
			r.execute("")
			r.parse("", "SELECT 1")
			r.bind("", "")
			r.execute("")
			r.sync()
			r.query("COMMIT")
		}},
		"a Parse that was refused and is believed": {held: "DROP", play: func(r *raw) {
			r.parse("s1", "DELETE FROM orders")
			r.sync()
			r.query("SELECT 1")
			r.parse("s1", "SELECT 1")
			r.parse("", "DROP TABLE orders")
			r.bind("", "")
			r.execute("")
			r.sync()
			r.query("BEGIN")
			r.bind("", "s1")
			r.execute("")
			r.sync()
			r.query("COMMIT")
		}},
		"names that the server cuts to the same": {play: func(r *raw) {
			r.parse(long+"1", "SELECT 1")
			r.close('S', long+"2")
			r.parse(long+"2", "DELETE FROM orders")
			r.sync()
			r.query("BEGIN")
			r.bind("", long+"1")
			r.execute("")
			r.sync()
			r.query("COMMIT")
		}},
		"a statement found inside of a comment": {play: func(r *raw) {
			r.query("BEGIN; /* SELECT 1; DELETE FROM orders; -- */\n ; SELECT 1; SELECT 2")
			r.query("COMMIT")
		}},
		"an encoding with quotes inside of characters": {params: map[string]string{"client_encoding": "SJIS"}, play: func(r *raw) {
			r.query("BEGIN")
			r.query("SELECT E'\u0081\\'; DELETE FROM orders; --'")
			r.query("COMMIT")
		}},
		"options in another spelling": {params: map[string]string{"Options": "-c standard_conforming_strings=off -c escape_string_warning=off"}, play: func(r *raw) {
			r.query("BEGIN")
			r.query(`SELECT 'a\', '; DELETE FROM orders; --'`)
			r.query("COMMIT")
		}},
		"a view made a moment ago and rolled back to": {play: func(r *raw) {
			r.query("BEGIN")
			r.query("CREATE VIEW v AS SELECT dangerous() AS d")
			r.query("SAVEPOINT s")
			r.query("ROLLBACK TO s")
			r.query("SELECT * FROM v")
			r.query("COMMIT")
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newTestGate(t, func(_ *Config, s *gatetest.Script) {
				if c.held != "" {
					s.Decide = gatetest.Holding(c.held)
				}
			})
			b.direct(t, `CREATE TABLE orders (id int PRIMARY KEY, n int); INSERT INTO orders SELECT g, g FROM generate_series(1, 500) g;
				CREATE FUNCTION dangerous() RETURNS int LANGUAGE sql AS 'DELETE FROM public.orders; SELECT 1'`)
			r, err := dialRaw(b, t, c.params)
			if err != nil {
				return // turned away at the door
			}
			c.play(r)
			if left := strings.TrimSpace(b.direct(t, "SELECT count(*) FROM orders", "-At")); left == "500" {
				return
			}
			for _, e := range b.Entries("reads") {
				if strings.HasPrefix(e, "intent ") {
					return // admitted as a change: here everything is allowed
				}
			}
			t.Errorf("rows are gone, and no intent tells of it: %q", b.Entries("reads"))
		})
	}
}

// What a ROLLBACK does not undo is recorded before it is forwarded, in a
// transaction too.
func TestIrrevocableIsCarriedAtOnce(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, "CREATE SEQUENCE s1; CREATE TABLE orders (id int)")
	r, err := dialRaw(b, t, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.query("BEGIN")
	if got := r.query("INSERT INTO orders VALUES (1)"); got != "INSERT 0 1" {
		t.Errorf("INSERT: %s", got)
	}
	if got := r.query("SELECT setval('s1', 4711)"); got != "SELECT 1" {
		t.Errorf("setval: %s", got)
	}
	r.query("ROLLBACK")
	journal := strings.Join(b.Entries("reads"), ", ")
	if !strings.Contains(journal, "intent SELECT setval") || strings.Contains(journal, "intent INSERT") ||
		!strings.Contains(journal, "abandon") {
		t.Errorf("journal: %s", journal)
	}
	// And it does not stand in the way of what the transaction does besides.
	r.query("BEGIN")
	r.query("INSERT INTO orders VALUES (2)")
	r.query("SELECT setval('s1', 4712)")
	if got := r.query("COMMIT"); got != "COMMIT" {
		t.Errorf("COMMIT: %s", got)
	}
	if n := strings.TrimSpace(b.direct(t, "SELECT string_agg(id::text, ',') FROM orders", "-At")); n != "2" {
		t.Errorf("orders holds %s, want 2", n)
	}
}

// A statement that runs outside of transactions takes nothing with it past a
// ceiling.
func TestLoneStatementHasNoCompany(t *testing.T) {
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Ceiling = 10 })
	b.direct(t, "CREATE TABLE orders (id int); INSERT INTO orders SELECT generate_series(1, 500)")
	r, err := dialRaw(b, t, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"VACUUM orders", "DELETE FROM orders WHERE id > 5"} {
		r.parse("", sql)
		r.bind("", "")
		r.execute("")
	}
	if got := r.sync(); !strings.Contains(got, "0A000") {
		t.Errorf("answer: %s", got)
	}
	if n := strings.TrimSpace(b.direct(t, "SELECT count(*) FROM orders", "-At")); n != "500" {
		t.Errorf("%s rows left of 500", n)
	}
	if got := r.query("VACUUM orders"); got != "VACUUM" {
		t.Errorf("alone: %s", got)
	}
}

// When a transaction ends, names mean again what they meant before it: what
// follows is judged, shown and bound as what it is.
func TestNamesAreReadAgainAfterATransaction(t *testing.T) {
	for name, before := range map[string]string{
		"SET LOCAL":                   "SET LOCAL search_path TO scratch",
		"a temporary table ON COMMIT": "CREATE TEMP TABLE orders (x int) ON COMMIT DROP",
	} {
		t.Run(name, func(t *testing.T) {
			var classified string
			b := newTestGate(t, func(_ *Config, s *gatetest.Script) {
				s.Decide = func(r interlock.Request) error {
					classified = fmt.Sprint(r.Actions[signalbox.Gravest(r.Actions)].Resources)
					return nil
				}
			})
			b.direct(t, "CREATE TABLE orders (id int); CREATE SCHEMA scratch; CREATE TABLE scratch.orders (id int)")
			r, err := dialRaw(b, t, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, sql := range []string{"BEGIN", before, "SELECT 1", "COMMIT", "DROP TABLE orders"} {
				r.query(sql)
			}
			if !strings.Contains(classified, "public.orders") {
				t.Errorf("DROP TABLE orders was judged as one of %s", classified)
			}
		})
	}
}

// An approval of EXECUTE is one of the statement that was prepared.
func TestExecuteIsBoundToItsStatement(t *testing.T) {
	var canonical []signalbox.Digest
	var shown []string
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) {
		s.Decide = func(r interlock.Request) error {
			if strings.HasPrefix(r.Text, "EXECUTE") {
				canonical, shown = append(canonical, r.Canonical), append(shown, r.Text)
			}
			return nil
		}
	})
	b.direct(t, "CREATE TABLE orders (id int)")
	conn, err := pgx.Connect(t.Context(), b.url("agent-kiro"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, sql := range []string{
		"PREPARE x AS DELETE FROM orders WHERE id = 1", "EXECUTE x", "DEALLOCATE x",
		"PREPARE x AS DELETE FROM orders WHERE id <> 1", "EXECUTE x",
	} {
		if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if len(canonical) != 2 || canonical[0] == canonical[1] || !strings.Contains(shown[0], "id = 1") {
		t.Errorf("digests %v of %q", canonical, shown)
	}
}
