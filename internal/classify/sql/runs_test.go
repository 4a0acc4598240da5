package sql

import (
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox"
)

// Whatever runs something else is judged as what it runs.
func TestRuns(t *testing.T) {
	var s Session
	for name, text := range map[string]string{
		"commit": "COMMIT", "chain": "COMMIT AND CHAIN", "save": "SAVEPOINT a",
		"lock": "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE",
		"path": "SET search_path = evil", "fetchall": "FETCH ALL x", "del": "DELETE FROM notes", "again": "EXECUTE commit",
		"loop": "EXECUTE loop", "drop": "DROP TABLE notes", "one": "SELECT 1",
	} {
		s.Prepared(name, Classify(text, nil).Statements[0], nil)
	}
	s.Prepared("byname", Classify("PREPARE byname AS DELETE FROM notes WHERE id = 1", nil).Statements[0], nil)
	s.Opened("x", Classify("DELETE FROM notes RETURNING id", nil).Statements[0], nil)
	s.Opened("c", Classify("DECLARE c CURSOR FOR SELECT 1 FROM plain", nil).Statements[0], nil)
	for _, c := range []struct {
		text   string
		kind   Kind // of the statement itself
		real   Kind
		native string
		verb   signalbox.Verb
	}{
		{"EXECUTE commit", KindExecute, KindCommit, "COMMIT", signalbox.Read},
		{"EXECUTE chain", KindExecute, KindCommit, "COMMIT", signalbox.Read},
		{"EXECUTE save", KindExecute, KindSavepoint, "SAVEPOINT", signalbox.Read},
		{"EXECUTE lock", KindExecute, KindUtility, "LOCK TABLE", signalbox.Update},
		{"EXECUTE path", KindExecute, KindSet, "SET", signalbox.Read},
		{"EXECUTE fetchall", KindExecute, KindWrite, "DELETE", signalbox.Delete},
		{"EXECUTE again", KindExecute, KindCommit, "COMMIT", signalbox.Read},
		{"EXECUTE loop", KindExecute, KindUnknown, "EXECUTE", signalbox.Execute},
		{"EXECUTE nobody", KindExecute, KindUnknown, "EXECUTE", signalbox.Execute},
		{"EXECUTE byname", KindExecute, KindWrite, "DELETE", signalbox.Delete},
		{"EXECUTE one", KindExecute, KindQuery, "SELECT", signalbox.Read},
		{"EXPLAIN ANALYZE EXECUTE commit", KindExecute, KindCommit, "COMMIT", signalbox.Read},
		{"EXPLAIN (ANALYZE, VERBOSE) EXECUTE del", KindExecute, KindWrite, "DELETE", signalbox.Delete},
		{"EXPLAIN (ANALYZE) DECLARE d CURSOR FOR SELECT 1", KindQuery, KindQuery, "SELECT", signalbox.Read},
		{"EXPLAIN ANALYZE DELETE FROM notes", KindWrite, KindWrite, "DELETE", signalbox.Delete},
		{"EXPLAIN DELETE FROM notes", KindExplain, KindExplain, "EXPLAIN", signalbox.Read},
		{"CREATE TABLE t AS EXECUTE del", KindUtility, KindWrite, "DELETE", signalbox.Delete},
		{"FETCH ALL x", KindFetch, KindWrite, "DELETE", signalbox.Delete},
		{"MOVE 5 IN x", KindFetch, KindWrite, "DELETE", signalbox.Delete},
		{"FETCH c", KindFetch, KindQuery, "SELECT", signalbox.Read},
		{"FETCH somebody", KindFetch, KindFetch, "FETCH", signalbox.Read},
		{"MOVE somebody", KindFetch, KindFetch, "MOVE", signalbox.Read},
		{"DECLARE d CURSOR WITH HOLD FOR SELECT f(1)", KindDeclare, KindWrite, "CALL FUNCTION", signalbox.Execute},
		{"PREPARE p AS DELETE FROM notes", KindPrepare, KindPrepare, "PREPARE", signalbox.Read},
		{"DECLARE z CURSOR FOR SELECT f(1); FETCH z", KindFetch, KindWrite, "CALL FUNCTION", signalbox.Execute},
		{"DECLARE x CURSOR FOR SELECT 1; FETCH x", KindFetch, KindQuery, "SELECT", signalbox.Read},
	} {
		all := s.Classify(c.text, nil, NewCache(CacheConfig{})).Statements
		got := all[len(all)-1]
		a := got.Action
		if got.Kind != c.kind || got.Real().Kind != c.real || a.Native != c.native || a.Verb != c.verb {
			t.Errorf("%s: kind %d, really %d, %s %s", c.text, got.Kind, got.Real().Kind, a.Verb, a.Native)
		}
		if got.Runs == nil && got.Kind == KindExecute {
			t.Errorf("%s: runs nothing", c.text)
		}
	}
	if d := Classify("DECLARE d CURSOR WITH HOLD FOR SELECT 1", nil).Statements[0]; !d.Hold ||
		d.Inner.Text != "SELECT 1" {
		t.Errorf("WITH HOLD: %+v", d)
	}
	if d := Classify("DECLARE d CURSOR FOR SELECT 1", nil).Statements[0]; d.Hold {
		t.Error("a plain cursor is held")
	}
	if r := s.Classify("EXECUTE del", nil, nil).Statements[0].Action.Reason; !strings.HasPrefix(r, "EXECUTE: ") {
		t.Errorf("reason %q does not tell what ran it", r)
	}
}

// What a text runs by EXECUTE can change what its later statements mean.
func TestRunsThenNames(t *testing.T) {
	cat := shop()
	var s Session
	for name, text := range map[string]string{"path": "SET search_path = public", "gone": "DISCARD TEMP",
		"undo": "ROLLBACK", "free": "DEALLOCATE q"} {
		s.Prepared(name, Classify(text, cat).Statements[0], cat)
	}
	for name := range s.prepared {
		r := s.Classify("EXECUTE "+name+"; DROP TABLE scratch", cat, nil)
		if a := r.Statements[1].Action; a.Has(signalbox.TraitTemporary) || a.Resources[0].Name != "scratch" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	s.Prepared("q", Classify("SELECT 1", cat).Statements[0], cat)
	if a := s.Classify("EXECUTE free; EXECUTE q", cat, nil).Statements[1].Action; a.Verb != signalbox.Execute {
		t.Errorf("forgotten by EXECUTE: %+v", a)
	}
}

func TestInnerText(t *testing.T) {
	c := NewCache(CacheConfig{})
	for text, want := range map[string]string{
		"EXPLAIN SELECT 1":                                "SELECT 1",
		"EXPLAIN SELECT 2":                                "SELECT 2",
		"explain analyze verbose DELETE FROM t":           "DELETE FROM t",
		"EXPLAIN (ANALYZE, BUFFERS off) /* x */ SELECT 3": "/* x */ SELECT 3",
		"EXPLAIN ((SELECT 4))":                            "((SELECT 4))",
		"EXPLAIN ANALYZE (SELECT 4)":                      "(SELECT 4)",
		`DECLARE "for" CURSOR FOR SELECT 5`:               "SELECT 5",
		`DECLARE "for" CURSOR FOR SELECT 6`:               "SELECT 6",
	} {
		s := c.Classify(text, nil).Statements[0]
		if s.Inner == nil || s.Inner.Text != want {
			t.Errorf("%s: %+v", text, s.Inner)
		}
		if s.Kind != KindExplain && s.Real().Text != want {
			t.Errorf("%s: runs %q", text, s.Real().Text)
		}
	}
}
