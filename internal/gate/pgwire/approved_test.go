package pgwire

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

var (
	schemas    = flag.Int("approvals.schemas", 6, "random schemas of TestApprovedIsDone")
	schemaSeed = flag.Uint64("approvals.seed", 0, "seed of TestApprovedIsDone; 0: the clock")
)

// A houseGate is a gate in front of a real database and behind it a whole Signalbox,
// with people who approve.
type houseGate struct {
	*gatetest.House
	db   *pgtest.Database
	addr *net.TCPAddr
	gate *Gate
}

func newHouseGate(t testing.TB) *houseGate {
	t.Helper()
	h := &houseGate{House: gatetest.NewHouse(t), db: pgtest.Shared(t)}
	certificate, _ := gatetest.Certificate(t)
	g, err := New(Config{
		Config: gate.Config{
			Gate: control.Gate{Name: "orders", Protocol: "postgres", Target: h.db.Name,
				Environment: signalbox.Production},
			Interlock: h.Interlock(), TLS: &tls.Config{Certificates: []tls.Certificate{certificate}},
			HoldURL: func(id string) string { return "http://signalbox.test/holds/" + id },
		},
		Upstream: Upstream{Host: "127.0.0.1", Port: h.db.Port, User: pgtest.User, Password: h.db.Password,
			Database: h.db.Name, SSLMode: "disable"},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.gate = g
	h.addr = gatetest.Serve(t, g).(*net.TCPAddr)
	return h
}

// forgetNames has the gate look at the names anew: others changed them just now.
func (h *houseGate) forgetNames() {
	h.gate.catalogs.mu.Lock()
	defer h.gate.catalogs.mu.Unlock()
	h.gate.catalogs.checked = time.Time{}
}

// agent connects through the gate in a new session of an agent's.
func (h *houseGate) agent(t testing.TB) *pgx.Conn {
	t.Helper()
	s, credential := h.Open("kiro", "alice", "orders")
	conn, err := pgx.Connect(context.Background(), fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", s.ID,
		credential, h.addr, h.db.Name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// direct connects to the database itself.
func (h *houseGate) direct(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), h.db.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

var holdID = regexp.MustCompile(`Hold ([0-9A-Z]+),`)

// heldFor gives the hold that an error names; ok is false for any other error.
func (h *houseGate) heldFor(t testing.TB, err error) (hold approval.Hold, ok bool) {
	t.Helper()
	pg := (*pgconn.PgError)(nil)
	if !errors.As(err, &pg) || pg.Code != StateHeld {
		return hold, false
	}
	m := holdID.FindStringSubmatch(pg.Detail)
	if m == nil {
		t.Fatalf("no hold in %q", pg.Detail)
	}
	hold, err = h.Store.Hold(context.Background(), m[1])
	if err != nil {
		t.Fatal(err)
	}
	return hold, true
}

// approve has people say yes until the hold is a permit.
func (h *houseGate) approve(t testing.TB, hold approval.Hold) {
	t.Helper()
	if hold.Verdict.Confirm {
		if _, err := h.Lock.Confirm(context.Background(), h.Person("alice"), hold.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bob", "carol"} {
		if now, err := h.Store.Hold(context.Background(), hold.ID); err != nil {
			t.Fatal(err)
		} else if now.Status == approval.Open {
			h.Approve(hold.ID, name)
		}
	}
}

// versions gives the row versions of each table, which say what was touched.
func versions(t testing.TB, conn *pgx.Conn, tables []string) map[string]map[string]bool {
	t.Helper()
	all := make(map[string]map[string]bool)
	for _, name := range tables {
		rows, err := conn.Query(t.Context(), "SELECT concat(tableoid, ctid, xmin) FROM "+name)
		if err != nil {
			t.Fatal(err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		all["public."+name] = make(map[string]bool)
		for _, v := range list {
			all["public."+name][v] = true
		}
	}
	return all
}

// beyond says which table was touched more than a hold shows.
func beyond(shown signalbox.Impact, before, after map[string]map[string]bool) string {
	if shown.Open || shown.Count == signalbox.CountUnknown {
		return ""
	}
	for name, versions := range before {
		gone := int64(0)
		for v := range versions {
			if !after[name][v] {
				gone++
			}
		}
		limit := int64(0)
		for _, s := range shown.Shares {
			switch {
			case s.Resource != name:
			case s.Count == signalbox.CountUnknown:
				limit = 1 << 60
			default:
				limit += s.Count
			}
		}
		if len(shown.Shares) == 0 {
			limit = shown.Count + shown.Dependants
		}
		if gone > limit {
			return fmt.Sprintf("%d rows of %s, shown %d", gone, name, limit)
		}
	}
	return ""
}

// A randomShop is a random schema.
type randomShop struct {
	r      *rand.Rand
	tables []string
	ddl    []string
}

func (s *randomShop) pick(list ...string) string { return list[s.r.IntN(len(list))] }

func newRandomShop(r *rand.Rand) *randomShop {
	s := &randomShop{r: r}
	n := 2 + r.IntN(4)
	for i := range n {
		s.tables = append(s.tables, fmt.Sprintf("t%d", i))
	}
	add := func(format string, args ...any) { s.ddl = append(s.ddl, fmt.Sprintf(format, args...)) }
	add("DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC")
	for _, t := range s.tables {
		if r.IntN(4) == 0 {
			add("CREATE TABLE %[1]s (id int PRIMARY KEY, a int, b int DEFAULT 1) PARTITION BY RANGE (id); CREATE TABLE %[1]s_low PARTITION OF %[1]s FOR VALUES FROM (MINVALUE) TO (20); CREATE TABLE %[1]s_high PARTITION OF %[1]s FOR VALUES FROM (20) TO (MAXVALUE)", t)
		} else {
			add("CREATE TABLE %s (id int PRIMARY KEY, a int, b int DEFAULT 1)", t)
		}
		add("INSERT INTO %s SELECT n, n %% 7, n %% 3 FROM generate_series(1, %d) n", t, r.IntN(60))
	}
	actions := []string{"NO ACTION", "CASCADE", "CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT"}
	for k := range 1 + r.IntN(5) {
		child, parent := s.pick(s.tables...), s.pick(s.tables...)
		add("ALTER TABLE %[1]s ADD COLUMN r%[2]d int DEFAULT 1; UPDATE %[1]s SET r%[2]d = (SELECT p.id FROM %[3]s p WHERE p.id %% 9 = %[1]s.id %% 9 ORDER BY (p.id * 7 + %[1]s.id) %% 11 LIMIT 1)",
			child, k, parent)
		add("ALTER TABLE %s ADD FOREIGN KEY (r%d) REFERENCES %s ON DELETE %s ON UPDATE %s %s", child, k, parent,
			s.pick(actions...), s.pick(actions...), s.pick("", "", "DEFERRABLE INITIALLY DEFERRED"))
	}
	if r.IntN(3) == 0 {
		on, to := s.pick(s.tables...), s.pick(s.tables...)
		add("CREATE TABLE noted (what text)")
		add("CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO noted SELECT TG_OP FROM generate_series(1, 3); IF pg_trigger_depth() = 1 THEN UPDATE %s SET b = 9 WHERE id %% 5 = 0; END IF; RETURN NULL; END$$", to)
		if r.IntN(2) == 0 {
			add("CREATE TRIGGER note AFTER DELETE OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION note()", on)
		} else {
			add("CREATE CONSTRAINT TRIGGER note AFTER DELETE OR UPDATE ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note()", on)
		}
		s.tables = append(s.tables, "noted")
	}
	add("ANALYZE")
	return s
}

func (s *randomShop) statement() string {
	t := s.pick(s.tables...)
	if t == "noted" {
		return "DELETE FROM noted"
	}
	where := s.pick("", " WHERE id <= 10", " WHERE id > 5", " WHERE a = 3", " WHERE id IN (SELECT id FROM "+
		s.pick(s.tables[:2]...)+" WHERE b = 2)", " WHERE a > 100")
	return strings.ReplaceAll(s.pick(
		"DELETE FROM %"+where, "DELETE FROM %"+where, "DELETE FROM % x USING "+s.pick(s.tables[:2]...)+
			" y WHERE y.id = x.a", "UPDATE % SET id = id + 1000"+where, "UPDATE % SET a = a + 1"+where,
		"UPDATE % SET b = 7, a = NULL"+where, "TRUNCATE %", "TRUNCATE % CASCADE",
		"INSERT INTO % (id, a) SELECT id + 5000, a FROM %"+where,
		"INSERT INTO % (id, a) SELECT id, 4 FROM %"+where+" ON CONFLICT (id) DO UPDATE SET a = excluded.a",
		"DELETE FROM %; DELETE FROM "+s.pick(s.tables[:2]...), "DROP TABLE %", "DROP TABLE % CASCADE",
		"WITH d AS (DELETE FROM %"+where+" RETURNING id) SELECT count(*) FROM d",
		"ALTER TABLE % DROP COLUMN b", "MERGE INTO % USING (SELECT 1 AS k) s ON id <= 10 WHEN MATCHED THEN DELETE",
	), "%", t)
}

// TestApprovedIsDone: in random schemas with cascades of all kinds, triggers and
// deferred constraints, what a hold shows is approved, and then it is done in one
// round, or fails for a reason of the server's own. No more is touched than was
// shown.
func TestApprovedIsDone(t *testing.T) {
	seed := *schemaSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-approvals.seed=%d", seed)
	h := newHouseGate(t)
	own := h.direct(t)
	done := make(map[string]int)
	for i := range *schemas {
		s := newRandomShop(rand.New(rand.NewPCG(seed, uint64(i))))
		if _, err := own.Exec(t.Context(), strings.Join(s.ddl, ";\n"), pgx.QueryExecModeSimpleProtocol); err != nil {
			done["no schema"]++
			_, _ = own.Exec(t.Context(), "ROLLBACK")
			continue
		}
		h.forgetNames()
		conn := h.agent(t)
		for range 4 {
			text := s.statement()
			block := s.r.IntN(3) == 0
			mode := pgx.QueryExecModeSimpleProtocol
			if s.r.IntN(2) == 0 && !strings.Contains(text, ";") {
				mode = pgx.QueryExecModeExec
			}
			outcome := h.round(t, conn, own, s, text, block, mode)
			done[outcome]++
			if t.Failed() {
				t.Logf("schema %d:\n%s;\n%s", i, strings.Join(s.ddl, ";\n"), text)
				return
			}
			if strings.HasPrefix(text, "DROP") || strings.HasPrefix(text, "ALTER") {
				break
			}
		}
		conn.Close(context.Background())
	}
	t.Log(done)
	if done["approved, done"] == 0 {
		t.Error("nothing was approved and done: the test says nothing")
	}
}

// round sends a statement, approves what is held of it, and sends it again.
func (h *houseGate) round(t testing.TB, conn, own *pgx.Conn, s *randomShop, text string, block bool,
	mode pgx.QueryExecMode) string {
	send := func() error {
		if !block {
			_, err := conn.Exec(context.Background(), text, mode)
			return err
		}
		if _, err := conn.Exec(context.Background(), "BEGIN"); err != nil {
			return err
		}
		_, err := conn.Exec(context.Background(), text, mode)
		end := "COMMIT"
		if err != nil {
			end = "ROLLBACK"
		}
		if _, eerr := conn.Exec(context.Background(), end); err == nil {
			err = eerr
		}
		if conn.PgConn().TxStatus() != 'I' {
			_, _ = conn.Exec(context.Background(), "ROLLBACK")
		}
		return err
	}
	err := send()
	if err != nil && strings.Contains(err.Error(), "too many requests that need approval") {
		return "too many holds in a minute"
	}
	hold, held := h.heldFor(t, err)
	if !held {
		return "not held: " + code(err)
	}
	before := versions(t, own, s.tables)
	h.approve(t, hold)
	err = send()
	if again, ok := h.heldFor(t, err); ok && strings.Contains(strings.Join(hold.Facts, "\n"), "(the planner's estimate)") &&
		strings.Contains(err.Error(), "is used up, touched") {
		// An estimate was shown as one, and was wrong: now it was measured.
		hold = again
		h.approve(t, hold)
		err = send()
	}
	if again, heldAgain := h.heldFor(t, err); heldAgain {
		t.Errorf("held again, block %t: %v\nshown at first: %+v\n%s\nand then: %+v\n%s", block, err, hold.Ceiling,
			strings.Join(hold.Facts, "\n"), again.Ceiling, strings.Join(again.Facts, "\n"))
		return ""
	}
	if err != nil && strings.Contains(err.Error(), "too many requests that need approval") {
		return "too many holds in a minute"
	}
	if c := code(err); c == StateUnavailable || c == StateDenied || c == StateUnknown {
		t.Errorf("approved and refused, block %t: %v\nshown: %+v\n%s", block, err, hold.Ceiling,
			strings.Join(hold.Facts, "\n"))
		return ""
	}
	if err != nil {
		return "approved, the server's " + code(err)
	}
	if strings.HasPrefix(text, "DROP") {
		return "approved, done"
	}
	if why := beyond(hold.Ceiling, before, versions(t, own, s.tables)); why != "" {
		t.Errorf("touched %s, block %t:\n%s", why, block, strings.Join(hold.Facts, "\n"))
	}
	return "approved, done"
}
