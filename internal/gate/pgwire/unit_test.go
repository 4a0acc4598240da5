package pgwire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

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
			{"ROLLBACK TO s", "ROLLBACK"}, {"SELECT 1", "SELECT 1"}, {"INSERT INTO orders VALUES (11)", "INSERT 0 1"},
			{"COMMIT", "COMMIT"},
		},
		"reads and writes by turns": {
			{"BEGIN", "BEGIN"}, {"SELECT count(*) FROM notes", "SELECT 1"},
			{"INSERT INTO log VALUES (1)", "INSERT 0 1"},
			{"SELECT count(*) FROM log", "SELECT 1"}, {"SAVEPOINT a", "SAVEPOINT"}, {"SELECT 1", "SELECT 1"},
			{"UPDATE log SET id = 2 WHERE id = 1", "UPDATE 1"}, {"ROLLBACK TO a", "ROLLBACK"}, {"SELECT 1", "SELECT 1"},
			{"RELEASE a", "RELEASE"}, {"COMMIT", "COMMIT"},
		},
		"a read that fails behind a savepoint": {
			{"BEGIN", "BEGIN"}, {"SAVEPOINT a", "SAVEPOINT"}, {"SELECT 1/0", "22012"}, {"ROLLBACK TO a", "ROLLBACK"},
			{"SELECT 1", "SELECT 1"}, {"INSERT INTO log VALUES (1)", "INSERT 0 1"}, {"COMMIT", "COMMIT"},
		},
		"isolation first": {
			{"BEGIN", "BEGIN"}, {"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET"}, {"SELECT 1", "SELECT 1"},
			{"COMMIT", "COMMIT"},
		},
		"cursors": {
			{"BEGIN", "BEGIN"}, {"DECLARE c CURSOR FOR SELECT * FROM orders", "DECLARE CURSOR"},
			{"FETCH 2 FROM c", "FETCH 2"},
			{"INSERT INTO log VALUES (1)", "INSERT 0 1"}, {"FETCH 2 FROM c", "FETCH 2"}, {"CLOSE c", "CLOSE CURSOR"},
			{"COMMIT", "COMMIT"},
		},
		"a cursor WITH HOLD by itself": {
			{"DECLARE c CURSOR WITH HOLD FOR SELECT * FROM orders", "DECLARE CURSOR"}, {"FETCH 2 FROM c", "FETCH 2"},
		},
		"row locks": {
			{"SELECT * FROM orders WHERE id = 1 FOR UPDATE", "SELECT 1"},
			{"BEGIN", "BEGIN"}, {"SELECT * FROM orders WHERE id = 1 FOR UPDATE SKIP LOCKED", "SELECT 1"}, {"COMMIT",
				"COMMIT"},
			{"BEGIN", "BEGIN"}, {"SELECT * FROM orders WHERE id = 1 FOR UPDATE",
				"SELECT 1"}, {"INSERT INTO log VALUES (1)", "INSERT 0 1"}, {"COMMIT", "COMMIT"},
		},
		"prepared by name": {
			{"PREPARE p AS SELECT * FROM orders WHERE id = $1", "PREPARE"}, {"EXECUTE p(1)",
				"SELECT 1"}, {"EXPLAIN ANALYZE EXECUTE p(1)", "EXPLAIN"},
			{"BEGIN", "BEGIN"}, {"EXECUTE p(2)", "SELECT 1"}, {"COMMIT", "COMMIT"},
		},
		"temporary tables": {
			{"CREATE TEMP TABLE mine (id int)", "CREATE TABLE"}, {"INSERT INTO mine VALUES (1)", "INSERT 0 1"},
			{"BEGIN", "BEGIN"}, {"INSERT INTO mine VALUES (2)", "INSERT 0 1"}, {"SELECT * FROM mine", "SELECT 2"},
			{"COMMIT", "COMMIT"},
		},
	}
	for name, steps := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, protocol := range []string{"simple", "extended"} {
				b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Decide, s.Ceiling = destroys, 100 })
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
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Ceiling = 100 })
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

// What names mean is looked at between the statements of a unit, so that each is
// charged to and recorded under the table that it changes.
func TestEachStatementOfAUnitIsJudgedWhenItRuns(t *testing.T) {
	for _, kind := range []string{"agent-kiro", "human-alice"} {
		t.Run(kind, func(t *testing.T) {
			var classified []string
			b := newTestGate(t, func(_ *Config, s *gatetest.Script) {
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
			if got := strings.TrimSpace(b.direct(t,
				"SELECT (SELECT count(*) FROM other.log), (SELECT count(*) FROM public.log)", "-At")); got != "1|0" {
				t.Errorf("rows in other.log and public.log: %s", got)
			}
			if got := r.query("SELECT 1"); got != "SELECT 1" {
				t.Errorf("afterwards: %s", got)
			}
		})
	}
}

// A unit holds so many statements and no more, and says so.
func TestUnitsAreBounded(t *testing.T) {
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Ceiling = -1 })
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

// The server's own log has what intent and outcome refer to.
func TestReferenceIsTheServers(t *testing.T) {
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Ceiling = 100 })
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
		if found[signalbox.RefSession] != session || found[signalbox.RefTransaction] != ids[i] ||
			found[signalbox.RefStatements] < "1" {
			t.Errorf("reference %v, want session %s and transaction %s", out.Reference, session, ids[i])
		}
	}
}
