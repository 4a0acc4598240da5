package pgwire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// Ways in which an agent had rows destroyed that no intent named, or had one
// thing judged and another run. The stand-in for interlock holds what destroys,
// as the default policies do, and has a ceiling of 100 rows. The target is asked
// what became of it.

const shop = `
	CREATE TABLE notes (id int PRIMARY KEY, body text);
	INSERT INTO notes SELECT g, 'note ' || g FROM generate_series(1, 300) g;
	CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree ON DELETE CASCADE);
	INSERT INTO tree VALUES (1, NULL);
	INSERT INTO tree SELECT g, 1 FROM generate_series(2, 400) g;
	CREATE TABLE settings (k int); INSERT INTO settings SELECT generate_series(1, 50);
	CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 10);
	CREATE TABLE log (id int);
	CREATE SCHEMA other; CREATE TABLE other.log (id int);
	CREATE FUNCTION wipe() RETURNS int LANGUAGE sql VOLATILE AS 'DELETE FROM public.notes; SELECT 1';
	CREATE FUNCTION imm(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
		$$ BEGIN EXECUTE 'DELETE FROM public.notes'; RETURN $1; END $$;
	CREATE VIEW evil AS SELECT public.wipe() AS w;
	CREATE TABLE doors (id int);
	CREATE FUNCTION clean() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM public.notes; RETURN NULL; END';
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON doors DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION clean();`

// kept is what must be there after each attempt.
const kept = `SELECT (SELECT count(*) FROM notes), (SELECT count(*) FROM tree), to_regclass('public.settings') IS NOT NULL
	AND (SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('public.settings') AND attnum > 0 AND NOT attisdropped) = 1,
	(SELECT count(*) FROM doors), (SELECT count(*) FROM pg_largeobject_metadata)`

const keptAnswer = "300|400|t|0|0"

// destroys holds what the default policies hold, as far as these attempts go.
func destroys(r interlock.Request) error {
	for _, a := range r.Actions {
		switch {
		case a.Has(signalbox.TraitTemporary), a.Has(signalbox.TraitByKey) && a.Verb == signalbox.Delete:
		case a.Verb.Gravity() >= signalbox.Execute.Gravity(), strings.HasPrefix(a.Native, "LOCK"):
			return gatetest.Holding("")(r)
		}
	}
	return nil
}

func (r *raw) flush() { r.f.Send(&pgproto3.Flush{}) }

func (r *raw) run(sql string) {
	r.parse("", sql)
	r.bind("", "")
	r.execute("")
}

func TestNothingIsDestroyedUnrecorded(t *testing.T) {
	loop := func(times int, f func(i int)) {
		for i := range times {
			f(i)
		}
	}
	cases := map[string]func(r *raw){
		"EXECUTE of a COMMIT": func(r *raw) {
			r.parse("c", "COMMIT")
			r.sync()
			r.query("BEGIN")
			r.query("DELETE FROM tree WHERE id = 1")
			r.query("EXECUTE c")
		},
		"EXECUTE of a COMMIT AND CHAIN by the extended protocol": func(r *raw) {
			r.parse("c", "COMMIT AND CHAIN")
			r.sync()
			r.query("BEGIN")
			r.query("DELETE FROM tree WHERE id = 1")
			r.run("EXECUTE c")
			r.sync()
		},
		"EXECUTE of a COMMIT, all in one unit": func(r *raw) {
			r.query("BEGIN")
			r.parse("c", "COMMIT")
			r.run("DELETE FROM tree WHERE id = 1")
			r.run("EXECUTE c")
			r.sync()
		},
		"EXECUTE of a COMMIT that the gate was made to forget": func(r *raw) {
			r.parse("c", "COMMIT")
			r.sync()
			r.query("SELECT 1/0; DEALLOCATE c")
			r.query("BEGIN")
			r.query("DELETE FROM tree WHERE id = 1")
			r.query("EXECUTE c")
		},
		"EXPLAIN ANALYZE of such an EXECUTE": func(r *raw) {
			r.parse("c", "COMMIT")
			r.sync()
			r.query("BEGIN")
			r.query("DELETE FROM tree WHERE id = 1")
			r.query("EXPLAIN ANALYZE EXECUTE c")
		},
		"a change of a table that EXECUTE of a SAVEPOINT hides": func(r *raw) {
			r.parse("s", "SAVEPOINT a")
			r.sync()
			r.query("BEGIN")
			r.query("SAVEPOINT a")
			r.query("ALTER TABLE settings ADD COLUMN x int")
			r.query("EXECUTE s")
			r.query("ROLLBACK TO a")
			r.query("INSERT INTO log VALUES (1)")
			r.query("COMMIT")
		},
		"EXECUTE of a FETCH of a bound statement": func(r *raw) {
			r.query("BEGIN")
			r.parse("d", "DELETE FROM notes RETURNING id")
			r.parse("f", "FETCH ALL x")
			r.bind("x", "d")
			r.sync()
			r.query("EXECUTE f")
			r.query("COMMIT")
		},
		"a temporary table dropped twice in one unit": func(r *raw) {
			r.query("CREATE TEMP TABLE settings (k int)")
			r.run("DROP TABLE settings")
			r.run("DROP TABLE settings")
			r.sync()
		},
		"a temporary table discarded and truncated in one unit": func(r *raw) {
			r.query("CREATE TEMP TABLE notes (k int)")
			r.run("DISCARD TEMP")
			r.run("TRUNCATE notes CASCADE")
			r.sync()
		},
		"a temporary table dropped and altered in one unit of a block": func(r *raw) {
			r.query("BEGIN")
			r.query("CREATE TEMP TABLE settings (k int, x int)")
			r.run("DROP TABLE settings")
			r.run("ALTER TABLE settings DROP COLUMN k")
			r.sync()
			r.query("COMMIT")
		},
		"temporary tables over two flushes": func(r *raw) {
			r.query("CREATE TEMP TABLE settings (k int)")
			r.run("DROP TABLE settings")
			r.flush()
			r.run("DROP TABLE settings")
			r.sync()
		},
		"a statement prepared anew under its name in one unit": func(r *raw) {
			r.query("PREPARE p AS SELECT 1")
			r.query("BEGIN")
			r.query("SELECT * FROM orders FOR UPDATE")
			r.run("DEALLOCATE p")
			r.run("PREPARE p AS DELETE FROM notes")
			r.run("EXECUTE p")
			r.sync()
			r.query("COMMIT")
		},
		"a protocol's statement prepared anew by PREPARE in one unit": func(r *raw) {
			r.parse("p", "SELECT 1")
			r.sync()
			r.query("BEGIN")
			r.run("DEALLOCATE p")
			r.run("PREPARE p AS DELETE FROM notes")
			r.bind("", "p")
			r.execute("")
			r.sync()
			r.query("COMMIT")
		},
		"a bound statement run by cursor_to_xml": func(r *raw) {
			r.parse("d", "DELETE FROM notes RETURNING id")
			r.parse("cx", "SELECT cursor_to_xml('x', 1000, true, false, '') FROM orders WHERE id = 1 FOR UPDATE")
			r.bind("x", "d")
			r.bind("y", "cx")
			r.execute("y")
			r.sync()
		},
		"a bound statement run by cursor_to_xml in a block": func(r *raw) {
			r.query("BEGIN")
			r.parse("d", "DELETE FROM notes RETURNING id")
			r.bind("x", "d")
			r.sync()
			r.query("SELECT cursor_to_xml('x', 1000, true, false, '')")
			r.query("INSERT INTO log VALUES (1)")
			r.query("COMMIT")
		},
		"a bound call of a function": func(r *raw) {
			r.query("BEGIN")
			r.parse("z", "SELECT imm(1)")
			r.bind("zp", "z")
			r.sync()
			r.query("INSERT INTO log VALUES (1)")
			r.query("COMMIT")
		},
		"a view that calls a function, read as XML beside a row lock": func(r *raw) {
			r.query("SELECT table_to_xml('evil', true, false, '') FROM orders WHERE id = 1 FOR UPDATE")
		},
		"a view that calls a function, read as XML in a block": func(r *raw) {
			r.query("BEGIN")
			r.query("SELECT table_to_xml('evil', true, false, '')")
			r.query("INSERT INTO log VALUES (1)")
			r.query("COMMIT")
		},
		"the same behind an INSERT": func(r *raw) {
			r.query("BEGIN")
			r.query("INSERT INTO log VALUES (1)")
			r.query("SELECT table_to_xml('evil', true, false, '')")
			r.query("COMMIT")
		},
		"the same as a cursor that is fetched from": func(r *raw) {
			r.query("BEGIN")
			r.query("DECLARE c CURSOR FOR SELECT table_to_xml('evil', true, false, '')")
			r.query("INSERT INTO log VALUES (1)")
			r.query("FETCH ALL c")
			r.query("COMMIT")
		},
		"the same as a portal that is executed later": func(r *raw) {
			r.query("BEGIN")
			r.parse("x", "SELECT table_to_xml('evil', true, false, '')")
			r.bind("x", "x")
			r.sync()
			r.query("INSERT INTO log VALUES (1)")
			r.execute("x")
			r.sync()
			r.query("COMMIT")
		},
		"a cursor WITH HOLD": func(r *raw) {
			r.query("BEGIN")
			r.query("INSERT INTO log VALUES (1)")
			r.query("DECLARE c CURSOR WITH HOLD FOR SELECT table_to_xml('evil', true, false, '')")
			r.query("COMMIT")
		},
		"a cursor WITH HOLD beside an INSERT in one text": func(r *raw) {
			r.query("DECLARE c CURSOR WITH /**/ HOLD FOR SELECT table_to_xml('evil', true, false, ''); INSERT INTO log VALUES (1)")
		},
		"a cursor WITH HOLD beside an INSERT in one unit": func(r *raw) {
			r.run("DECLARE c CURSOR WITH HOLD FOR SELECT table_to_xml('evil', true, false, '')")
			r.run("INSERT INTO log VALUES (1)")
			r.sync()
		},
		"a deferred trigger": func(r *raw) {
			r.query("INSERT INTO doors VALUES (1)")
		},
		"a deferred trigger in a block": func(r *raw) {
			r.query("BEGIN")
			r.query("INSERT INTO doors VALUES (1)")
			r.query("COMMIT")
		},
		"the default of READ ONLY switched off by a bound statement": func(r *raw) {
			r.query("BEGIN")
			r.parse("o", "SELECT set_config('default_transaction_read_only', 'off', false)")
			r.bind("o", "o")
			r.sync()
			r.query("SELECT cursor_to_xml('o', 1000, true, false, '')")
			r.query("COMMIT")
			loop(3, func(int) { r.query("SELECT table_to_xml('evil', true, false, '')") })
		},
		"a savepoint of the gate's own": func(r *raw) {
			r.query("BEGIN")
			r.query(`SAVEPOINT "signalbox read"`)
			r.query("SELECT 1")
			r.query(`ROLLBACK TO "signalbox read"`)
			r.query("SELECT table_to_xml('evil', true, false, '')")
			r.query("INSERT INTO log VALUES (1)")
			r.query("COMMIT")
		},
		"row locks through a view that calls a function": func(r *raw) {
			r.query("BEGIN")
			r.query("SELECT * FROM evil FOR UPDATE")
			r.query("INSERT INTO log VALUES (1)")
			r.query("COMMIT")
		},
	}
	for name, play := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(_ *Config, s *gatetest.Script) { s.Decide, s.Ceiling = destroys, 100 })
			b.direct(t, shop)
			r, err := dialRaw(b, t, nil)
			if err != nil {
				t.Fatal(err)
			}
			play(r)
			if got := strings.TrimSpace(b.direct(t, kept, "-At")); got != keptAnswer {
				t.Errorf("notes, tree, settings, doors, large objects are %s, want %s: %q", got, keptAnswer, b.Entries("reads"))
			}
		})
	}
}

// What names mean is looked at between the statements of a unit, so that each is
// charged to and recorded under the table that it changes.
func TestEachStatementOfAUnitIsJudgedWhenItRuns(t *testing.T) {
	for _, kind := range []string{"agent-kiro", "human-alice"} {
		t.Run(kind, func(t *testing.T) {
			var classified []string
			b := newBench(t, func(_ *Config, s *gatetest.Script) {
				s.Decide = func(r interlock.Request) error {
					for _, a := range r.Actions {
						if a.Verb == signalbox.Create {
							classified = append(classified, fmt.Sprint(a.Resources[0]))
						}
					}
					return nil
				}
			})
			b.direct(t, shop)
			r, err := dialRawAs(b, t, kind, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.run("SELECT set_config('search_path', 'other', false)")
			r.run("INSERT INTO log VALUES (1)")
			if got := r.sync(); got != "SELECT 1 INSERT 0 1" {
				t.Errorf("answer: %s", got)
			}
			if len(classified) != 1 || !strings.Contains(classified[0], "other.log") {
				t.Errorf("the INSERT was judged as one into %v", classified)
			}
			if got := strings.TrimSpace(b.direct(t, "SELECT (SELECT count(*) FROM other.log), (SELECT count(*) FROM public.log)", "-At")); got != "1|0" {
				t.Errorf("rows in other.log and public.log: %s", got)
			}
			if got := r.query("SELECT 1"); got != "SELECT 1" {
				t.Errorf("afterwards: %s", got)
			}
		})
	}
}

// Work that is not an attack goes on as before.
func TestOrdinaryWorkOfAgents(t *testing.T) {
	type step struct{ sql, want string }
	cases := map[string][]step{
		"savepoints around a duplicate": {
			{"BEGIN", "BEGIN"}, {"SAVEPOINT s", "SAVEPOINT"}, {"INSERT INTO orders VALUES (1)", "23505"},
			{"ROLLBACK TO s", "ROLLBACK"}, {"COMMIT", "COMMIT"},
		},
		"the same, and a write": {
			{"BEGIN", "BEGIN"}, {"SAVEPOINT s", "SAVEPOINT"}, {"INSERT INTO orders VALUES (1)", "23505"},
			{"ROLLBACK TO s", "ROLLBACK"}, {"SELECT 1", "SELECT 1"}, {"INSERT INTO orders VALUES (11)", "INSERT 0 1"}, {"COMMIT", "COMMIT"},
		},
		"reads and writes by turns": {
			{"BEGIN", "BEGIN"}, {"SELECT count(*) FROM notes", "SELECT 1"}, {"INSERT INTO log VALUES (1)", "INSERT 0 1"},
			{"SELECT count(*) FROM log", "SELECT 1"}, {"SAVEPOINT a", "SAVEPOINT"}, {"SELECT 1", "SELECT 1"},
			{"UPDATE log SET id = 2 WHERE id = 1", "UPDATE 1"}, {"ROLLBACK TO a", "ROLLBACK"}, {"SELECT 1", "SELECT 1"},
			{"RELEASE a", "RELEASE"}, {"COMMIT", "COMMIT"},
		},
		"a read that fails behind a savepoint": {
			{"BEGIN", "BEGIN"}, {"SAVEPOINT a", "SAVEPOINT"}, {"SELECT 1/0", "22012"}, {"ROLLBACK TO a", "ROLLBACK"},
			{"SELECT 1", "SELECT 1"}, {"INSERT INTO log VALUES (1)", "INSERT 0 1"}, {"COMMIT", "COMMIT"},
		},
		"isolation first": {
			{"BEGIN", "BEGIN"}, {"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET"}, {"SELECT 1", "SELECT 1"}, {"COMMIT", "COMMIT"},
		},
		"cursors": {
			{"BEGIN", "BEGIN"}, {"DECLARE c CURSOR FOR SELECT * FROM orders", "DECLARE CURSOR"}, {"FETCH 2 FROM c", "FETCH 2"},
			{"INSERT INTO log VALUES (1)", "INSERT 0 1"}, {"FETCH 2 FROM c", "FETCH 2"}, {"CLOSE c", "CLOSE CURSOR"}, {"COMMIT", "COMMIT"},
		},
		"a cursor WITH HOLD by itself": {
			{"DECLARE c CURSOR WITH HOLD FOR SELECT * FROM orders", "DECLARE CURSOR"}, {"FETCH 2 FROM c", "FETCH 2"},
		},
		"row locks": {
			{"SELECT * FROM orders WHERE id = 1 FOR UPDATE", "SELECT 1"},
			{"BEGIN", "BEGIN"}, {"SELECT * FROM orders WHERE id = 1 FOR UPDATE SKIP LOCKED", "SELECT 1"}, {"COMMIT", "COMMIT"},
			{"BEGIN", "BEGIN"}, {"SELECT * FROM orders WHERE id = 1 FOR UPDATE", "SELECT 1"}, {"INSERT INTO log VALUES (1)", "INSERT 0 1"}, {"COMMIT", "COMMIT"},
		},
		"prepared by name": {
			{"PREPARE p AS SELECT * FROM orders WHERE id = $1", "PREPARE"}, {"EXECUTE p(1)", "SELECT 1"}, {"EXPLAIN ANALYZE EXECUTE p(1)", "EXPLAIN"},
			{"BEGIN", "BEGIN"}, {"EXECUTE p(2)", "SELECT 1"}, {"COMMIT", "COMMIT"},
		},
		"temporary tables": {
			{"CREATE TEMP TABLE mine (id int)", "CREATE TABLE"}, {"INSERT INTO mine VALUES (1)", "INSERT 0 1"},
			{"BEGIN", "BEGIN"}, {"INSERT INTO mine VALUES (2)", "INSERT 0 1"}, {"SELECT * FROM mine", "SELECT 2"}, {"COMMIT", "COMMIT"},
		},
	}
	for name, steps := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, protocol := range []string{"simple", "extended"} {
				b := newBench(t, func(_ *Config, s *gatetest.Script) { s.Decide, s.Ceiling = destroys, 100 })
				b.direct(t, shop)
				r, err := dialRaw(b, t, nil)
				if err != nil {
					t.Fatal(err)
				}
				for i, s := range steps {
					var got string
					if protocol == "simple" {
						got = r.query(s.sql)
					} else {
						r.run(s.sql)
						got = r.sync()
					}
					if got != s.want {
						t.Errorf("%s, step %d, %s: %s, want %s", protocol, i, s.sql, got, s.want)
						break
					}
				}
			}
		})
	}
}

// A driver that describes a statement before it binds it can write.
func TestDescribeFirst(t *testing.T) {
	b := newBench(t, func(_ *Config, s *gatetest.Script) { s.Ceiling = 100 })
	b.direct(t, shop)
	r, err := dialRaw(b, t, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.parse("", "INSERT INTO log VALUES (7)")
	r.f.Send(&pgproto3.Describe{ObjectType: 'S'})
	r.flush()
	if err := r.f.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 3 { // ParseComplete, ParameterDescription, NoData
		if _, err := r.f.Receive(); err != nil {
			t.Fatal(err)
		}
	}
	r.bind("", "")
	r.execute("")
	if got := r.sync(); got != "INSERT 0 1" {
		t.Errorf("answer: %s", got)
	}
}

// The cancel key does not reach statements of the gate's own, however often it is
// shown.
func TestCancelsHitOnlyTheClientsStatements(t *testing.T) {
	b := newBench(t, func(_ *Config, s *gatetest.Script) { s.Ceiling = 100 })
	b.direct(t, shop)
	r, err := dialRaw(b, t, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.query("SELECT 1")
	key := onlyKey(t, b.gate)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				b.gate.cancelRequest(nil, key)
			}
		}
	}()
	deadline := time.Now().Add(2 * time.Second)
	for time.Now().Before(deadline) {
		for _, sql := range []string{"VACUUM settings", "DELETE FROM tree WHERE id = 1", "SELECT table_to_xml('evil', true, false, '')"} {
			if got := r.query(sql); strings.Contains(got, "END") {
				t.Fatalf("%s: %s", sql, got)
			}
		}
	}
	close(stop)
	<-stopped
	if got := strings.TrimSpace(b.direct(t, kept, "-At")); got != keptAnswer {
		t.Errorf("notes, tree, settings, doors, large objects are %s, want %s", got, keptAnswer)
	}
}

// onlyKey gives the cancel request of the gate's only connection.
func onlyKey(t *testing.T, g *Gate) []byte {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(c.key.pid)), c.key.secret)
	}
	t.Fatal("the gate has no connection")
	return nil
}

// A COMMIT that the server has confirmed is done, and one whose answer is the end
// of the connection is unknown: never failed.
func TestTerminatedCommitIsNeverFailed(t *testing.T) {
	b := newBench(t, nil)
	b.direct(t, "CREATE TABLE log (id int)")
	want := 0
	for i := range 60 {
		r, err := dialRaw(b, t, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.Clear()
		r.query("BEGIN")
		r.query(fmt.Sprintf("INSERT INTO log VALUES (%d)", i))
		pid := strings.TrimSpace(b.direct(t, "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'", "-At"))
		killed := make(chan error, 1)
		go func() {
			_, err := run(b.db.Command(t.Context(), b.db.Name, "psql", "-X", "-q", "-c", fmt.Sprintf("SELECT pg_terminate_backend(%s)", pid)), "")
			killed <- err
		}()
		r.run("COMMIT")
		r.sync()
		if err := <-killed; err != nil {
			t.Fatal(err)
		}
		there := strings.TrimSpace(b.direct(t, fmt.Sprintf("SELECT count(*) FROM log WHERE id = %d", i), "-At"))
		if said := strings.Join(b.Entries(), ", "); there == "1" && strings.Contains(said, "outcome failed") || there == "0" && strings.Contains(said, "outcome done") {
			t.Errorf("rows: %s, and the log says %s", there, said)
		}
		if there == "1" {
			want++
		}
	}
	if got := strings.TrimSpace(b.direct(t, "SELECT count(*) FROM log", "-At")); got != fmt.Sprint(want) {
		t.Errorf("%s rows, want %d", got, want)
	}
}

func TestConclude(t *testing.T) {
	lost := &lostError{err: errors.New("reset")}
	cases := map[string]struct {
		p     pump
		err   error
		final bool
		want  signalbox.Result
	}{
		"answered":                             {pump{rows: 1}, nil, true, signalbox.Done},
		"refused":                              {pump{code: "23505", errored: true}, nil, true, signalbox.Failed},
		"lost behind COMMIT":                   {pump{}, lost, true, signalbox.ResultUnknown},
		"terminated behind COMMIT":             {pump{code: "57P01", fatal: true}, errFatal, true, signalbox.ResultUnknown},
		"terminated when it had committed":     {pump{code: "57P01", fatal: true, final: true}, errFatal, true, signalbox.Done},
		"terminated before COMMIT":             {pump{code: "57P01", fatal: true}, errFatal, false, signalbox.Failed},
		"lost before COMMIT":                   {pump{}, lost, false, signalbox.Failed},
		"refused, then terminated":             {pump{code: "23505", errored: true, fatal: true}, errFatal, true, signalbox.Failed},
		"a statement complete, not yet COMMIT": {pump{commands: 1, code: "57P01", fatal: true}, errFatal, true, signalbox.ResultUnknown},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out, _, _ := conclude(&c.p, c.err, c.final)
			if out.Result != c.want {
				t.Errorf("%s, want %s", out.Result, c.want)
			}
		})
	}
}

// A unit holds so many statements and no more, and says so.
func TestUnitsAreBounded(t *testing.T) {
	b := newBench(t, func(_ *Config, s *gatetest.Script) { s.Ceiling = -1 })
	b.direct(t, "CREATE TABLE log (id int)")
	r, err := dialRaw(b, t, nil)
	if err != nil {
		t.Fatal(err)
	}
	send := func(n int) string {
		r.parse("i", "INSERT INTO log VALUES (1)")
		for range n {
			r.bind("", "i")
			r.execute("")
		}
		r.close('S', "i")
		return r.sync()
	}
	if got := send(maxActs); strings.Count(got, "INSERT 0 1") != maxActs {
		t.Errorf("at the limit: %.80s", got)
	}
	if got := send(maxActs + 1); got != "54000" {
		t.Errorf("above the limit: %.80s", got)
	}
	if got := strings.TrimSpace(b.direct(t, "SELECT count(*) FROM log", "-At")); got != fmt.Sprint(maxActs) {
		t.Errorf("%s rows, want %d", got, maxActs)
	}
}

// What a text calls is not run while the text is only looked at.
func TestProbesRunNothing(t *testing.T) {
	b := newBench(t, func(_ *Config, s *gatetest.Script) { s.Decide, s.Ceiling = destroys, 100 })
	b.direct(t, shop+`CREATE FUNCTION mark() RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT pg_catalog.lo_create(0)::int $$`)
	r, err := dialRaw(b, t, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"BEGIN", "DELETE FROM notes WHERE id = mark()", "ROLLBACK", "DELETE FROM notes WHERE id = imm(1)", "EXPLAIN DELETE FROM notes WHERE id = imm(1)"} {
		r.query(sql)
	}
	if got := strings.TrimSpace(b.direct(t, kept, "-At")); got != keptAnswer {
		t.Errorf("notes, tree, settings, doors, large objects are %s, want %s: %q", got, keptAnswer, b.Entries("reads"))
	}
}

// The server's own log has what intent and outcome refer to.
func TestReferenceIsTheServers(t *testing.T) {
	b := newBench(t, func(_ *Config, s *gatetest.Script) { s.Ceiling = 100 })
	b.direct(t, "CREATE TABLE log (id int)")
	conn := b.connect(t, "agent-kiro")
	for _, sql := range []string{"INSERT INTO log VALUES (1)", "BEGIN", "INSERT INTO log VALUES (2)", "COMMIT"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	session := strings.TrimSpace(b.direct(t, `SELECT to_hex(trunc(EXTRACT(EPOCH FROM backend_start))::bigint) || '.' || to_hex(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'oracle'`, "-At"))
	ids := strings.Fields(b.direct(t, "SELECT xmin FROM log ORDER BY id", "-At"))
	b.Mu.Lock()
	defer b.Mu.Unlock()
	if len(b.Outcomes) != 2 || len(ids) != 2 {
		t.Fatalf("outcomes %+v, transactions %q", b.Outcomes, ids)
	}
	for i, out := range b.Outcomes {
		found := map[string]string{}
		for _, f := range out.Reference {
			found[f.Name] = f.Value
		}
		if found[signalbox.RefSession] != session || found[signalbox.RefTransaction] != ids[i] || found[signalbox.RefStatements] < "1" {
			t.Errorf("reference %v, want session %s and transaction %s", out.Reference, session, ids[i])
		}
	}
}

// An agent's connection whose READ ONLY default is lifted by anything but the
// gate ends, with what is open on it.
func TestLostReadOnlyEndsTheConnection(t *testing.T) {
	b := newBench(t, func(_ *Config, s *gatetest.Script) { s.Ceiling = 100 }) // all is allowed
	b.direct(t, shop)
	r, err := dialRaw(b, t, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.query("BEGIN")
	r.query("INSERT INTO log VALUES (1)")
	got := r.query("SELECT set_config('default_transaction_read_only', 'off', false)")
	if !strings.Contains(got, StateDenied) {
		t.Errorf("answer: %s", got)
	}
	r.query("COMMIT")
	if got := strings.TrimSpace(b.direct(t, "SELECT count(*) FROM log", "-At")); got != "0" {
		t.Errorf("%s rows were committed behind it", got)
	}
}
