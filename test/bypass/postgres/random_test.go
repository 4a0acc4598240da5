package postgres

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	bypassTime = flag.Duration("time", 0, "how long the random attacker goes on; default: 20s")
	seed       = flag.Uint64("seed", 0, "what the random attacker begins with; default: the time")
)

// A deck is what the random attacker draws its moves from. {k} is a small number,
// {s} a name of a savepoint, {p} one of a statement or portal.
var deck = struct {
	begins, ends, small, destroys, hides, names, settings, deeds []string
}{
	begins: []string{"BEGIN", "BEGIN READ WRITE", "START TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SAVEPOINT {s}",
		"SAVEPOINT {s}", "BEGIN READ ONLY"},
	ends: []string{"COMMIT", "COMMIT", "END", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "ROLLBACK TO {s}", "RELEASE {s}",
		"ROLLBACK", "PREPARE TRANSACTION 'p{k}'", "COMMIT PREPARED 'p{k}'"},
	small: []string{"INSERT INTO log VALUES ({k})", "SELECT {k}", "SELECT * FROM log LIMIT 1", "SELECT 1/0",
		"SELECT * FROM scratch WHERE id = {k} FOR UPDATE", "SELEC", "VACUUM scratch",
		"SELECT table_to_xml('log', true, false, '')"},
	destroys: []string{"DELETE FROM notes", "DELETE FROM tree WHERE id = 1", "DROP TABLE settings", "TRUNCATE log CASCADE",
		"SELECT wipe()", "SELECT imm({k})", "SELECT definer()", "INSERT INTO big_late VALUES ({k})",
		"INSERT INTO big_trigger VALUES ({k})", "UPDATE orders SET note = 'x'", "ALTER TABLE settings DROP COLUMN v",
		"ALTER TABLE notes ENABLE ROW LEVEL SECURITY", "SELECT setval('numbers', {k})", "SELECT lo_unlink(4242)",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'busy'", "CALL away()",
		"SELECT * FROM deep", "WITH d AS (DELETE FROM notes RETURNING id) SELECT * FROM d", "COPY (SELECT wipe()) TO STDOUT",
		"SELECT pg_logical_emit_message(false, 'x', 'y')", "DO 'BEGIN DELETE FROM notes; END'",
		"UPDATE customers SET id = 100 + {k} WHERE id = 1"},
	hides: []string{"EXECUTE {p}", "EXPLAIN ANALYZE EXECUTE {p}", "FETCH ALL {p}", "MOVE ALL {p}",
		"SELECT cursor_to_xml('{p}', 100, true, false, '')", "SELECT table_to_xml('evil', true, false, '')",
		"SELECT query_to_xml('SELECT wipe()', true, false, '')", "CREATE TEMP TABLE t{k} AS EXECUTE {p}",
		"DECLARE {p} CURSOR FOR SELECT table_to_xml('evil', true, false, '')", "CLOSE {p}",
		"DECLARE {p} CURSOR WITH HOLD FOR SELECT table_to_xml('evil', true, false, '')",
		"SELECT table_to_xml('evil', true, false, '') FROM scratch WHERE id = {k} FOR UPDATE"},
	names: []string{"CREATE TEMP TABLE notes (id int)", "CREATE TEMP TABLE settings (k int, v text)", "DROP TABLE settings",
		"DISCARD ALL", "DISCARD TEMP", "DEALLOCATE {p}", "PREPARE {p} AS DELETE FROM notes", "PREPARE {p} AS SELECT wipe()",
		"PREPARE {p} AS SELECT {k}", "PREPARE {p} AS TRUNCATE notes", "CREATE TEMP VIEW v{k} AS SELECT * FROM notes",
		"DELETE FROM v{k}", "SET search_path = other", "SET search_path = pg_temp, public", "RESET search_path",
		"SELECT set_config('search_path', 'other', false)", "SET LOCAL search_path = other", "DROP TABLE notes",
		"ALTER TABLE settings RENAME TO gone"},
	settings: []string{"SET default_transaction_read_only = off", "SET transaction_read_only = off", "SET statement_timeout = {k}",
		"SELECT set_config('transaction_read_only', 'off', true)", "SET track_counts = off", "RESET ALL",
		"SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "SET CONSTRAINTS ALL DEFERRED", "SET lock_timeout = {k}",
		"SET idle_in_transaction_session_timeout = 1", "RESET statement_timeout"},
	deeds: []string{"cancel", "cancel", "hangup", "kill", "terminate"},
}

// mayHappen is what policy lets pass of what the attacker tries.
var mayHappen = []string{"content of table public.log", "content of table other.log"}

// draw gives the steps of one random attack.
func draw(r *rand.Rand) []step {
	pick := func(list []string) string {
		text := list[r.IntN(len(list))]
		text = strings.ReplaceAll(text, "{k}", fmt.Sprint(1+r.IntN(3)))
		text = strings.ReplaceAll(text, "{s}", []string{"a", "b", `"signalbox read"`}[r.IntN(3)])
		return strings.ReplaceAll(text, "{p}", []string{"p", "q"}[r.IntN(2)])
	}
	statement := func() string {
		list := [][]string{deck.begins, deck.ends, deck.ends, deck.small, deck.small, deck.destroys, deck.destroys,
			deck.hides, deck.hides, deck.names, deck.settings}[r.IntN(11)]
		text := pick(list)
		for r.IntN(6) == 0 {
			text += "; " + pick(deck.small)
		}
		return text
	}
	var steps []step
	open := map[int]bool{} // units without their Sync
	conns := 1 + r.IntN(2)
	for range 3 + r.IntN(25) {
		s := step{conn: 1 + r.IntN(conns)}
		do := func(verb, text string) {
			// Behind an error PostgreSQL skips all up to a Sync, a Query as well.
			if strings.EqualFold(verb, "Q") && open[s.conn] {
				steps = append(steps, step{conn: s.conn, verb: "s"})
			}
			open[s.conn] = slices.Contains([]string{"X", "P", "B", "E", "C", "H"}, verb)
			s.verb, s.text = verb, text
			steps = append(steps, s)
		}
		name := []string{"-", "p", "q"}[r.IntN(3)]
		switch n := r.IntN(40); {
		case n < 14:
			do("Q", statement())
		case n < 20:
			do("X", statement())
		case n < 24:
			do("P", name+" "+statement())
		case n < 27:
			do("B", name+" "+[]string{"-", "p", "q"}[r.IntN(3)])
		case n < 29:
			do("E", name+[]string{"", " 1"}[r.IntN(2)])
		case n < 33:
			do("S", "")
		case n < 34:
			do("s", "")
		case n < 35:
			do("H", "")
		case n < 36:
			do("C", []string{"S ", "P "}[r.IntN(2)]+name)
		case n < 37:
			do("q", statement())
		default:
			do(pick(deck.deeds), "")
		}
	}
	// All that is due is waited for, so that nothing is cut that may still come.
	for c := 1; c <= conns; c++ {
		steps = append(steps, step{conn: c, verb: "S"})
	}
	return steps
}

// TestRandomAttacker plays attacks that it draws, and makes shorter what it finds.
func TestRandomAttacker(t *testing.T) {
	if *only != "" {
		t.Skip("only some attacks are wanted")
	}
	limit, begin := *bypassTime, *seed
	if limit == 0 {
		limit = 20 * time.Second
	}
	if begin == 0 {
		begin = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", begin)
	w := newWorld(t)
	played := 0
	for end := time.Now().Add(limit); time.Now().Before(end); played++ {
		r := rand.New(rand.NewPCG(begin, uint64(played)))
		a := attack{id: fmt.Sprintf("random-%d-%d", begin, played), why: "drawn at random", who: "agent", may: mayHappen,
			steps: draw(r)}
		v := w.run(a)
		if v.changed || len(v.wrong) > 0 {
			w.rebuild()
		}
		if len(v.wrong) == 0 {
			continue
		}
		a.steps = w.shrink(a, time.Now().Add(time.Minute))
		t.Errorf("%s\n%s\n\nin short:\n\n%s", strings.Join(v.wrong, "\n"), strings.Join(v.script, "\n"), a)
		if !*all {
			break
		}
	}
	t.Logf("%d attacks", played)
}

// shrink leaves out steps as long as what is left still does something wrong.
func (w *world) shrink(a attack, end time.Time) []step {
	w.oracle.Hasten()
	steps := a.steps
	for size := max(1, len(steps)/2); size >= 1; size /= 2 {
		for at := 0; at+size <= len(steps) && time.Now().Before(end); {
			a.steps = slices.Delete(slices.Clone(steps), at, at+size)
			v := w.run(a)
			if v.changed || len(v.wrong) > 0 {
				w.rebuild()
				w.oracle.Hasten()
			}
			if len(v.wrong) > 0 {
				steps = a.steps
			} else {
				at += size
			}
		}
	}
	return steps
}
