package pgwire

import (
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
)

// What a deletion takes with it is shown before people approve, and what they
// approved is enough for it to run.
func TestCascadeIsShownAndRuns(t *testing.T) {
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Decide = gatetest.Holding("DELETE", "UPDATE", "DROP") })
	b.direct(t, `CREATE TABLE p (id int PRIMARY KEY, note text); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE);
CREATE TABLE g (c int REFERENCES c ON DELETE CASCADE); CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON DELETE CASCADE);
INSERT INTO p SELECT n FROM generate_series(1, 1000) n; INSERT INTO c SELECT n, n FROM generate_series(1, 1000) n;
INSERT INTO g SELECT 1 + n % 1000 FROM generate_series(1, 3000) n; INSERT INTO tree SELECT n, nullif(n / 2, 0) FROM generate_series(1, 400) n; ANALYZE`)
	for _, x := range []struct {
		sql             string
		count, with, of int64
		facts, notThese []string
	}{
		{"DELETE FROM p WHERE id <= 200", 200, 800, 1000,
			[]string{"With them, 200 of 1000 rows of public.c are deleted (counted)", "With them, 600 of 3000 rows of public.g"}, nil},
		{"DELETE FROM p", 1000, 4000, 1000, []string{"Deletes 1000 of 1000 rows of public.p (counted)", "3000 of 3000 rows of public.g"}, nil},
		{"EXPLAIN ANALYZE DELETE FROM p WHERE id <= 200", 200, 800, 1000, nil, nil},
		{"DELETE FROM tree WHERE id = 1", 400, 0, 400, nil, nil},
		{"UPDATE p SET note = 'x' WHERE id <= 200", 200, 0, 1000, nil, []string{"foreign key"}},
		{"DROP TABLE p CASCADE", 1000, 1, 1000, []string{"the rows stay"}, []string{"rows deleted with it"}},
	} {
		conn := b.connect(t, "agent-kiro")
		if _, err := conn.Exec(t.Context(), x.sql); code(err) != StateHeld {
			t.Fatalf("%s: %v", x.sql, err)
		}
		conn.Close(t.Context())
		p := b.Probed
		if p.Err != nil {
			t.Fatalf("%s: %v", x.sql, p.Err)
		}
		i := p.Impact
		if i.Count < x.count || i.Count > x.count+x.count/10+1 || i.Dependants < x.with || i.Dependants > x.with+
			x.with/10+10 || i.Total != x.of {
			t.Errorf("%s: %d of %d, with %d", x.sql, i.Count, i.Total, i.Dependants)
		}
		facts := strings.Join(i.Facts, "\n")
		for _, f := range x.facts {
			if !strings.Contains(facts, f) {
				t.Errorf("%s: no fact %q in:\n%s", x.sql, f, facts)
			}
		}
		for _, f := range x.notThese {
			if strings.Contains(facts, f) {
				t.Errorf("%s: fact %q in:\n%s", x.sql, f, facts)
			}
		}
	}
	conn := b.connect(t, "agent-kiro")
	defer conn.Close(t.Context())
	conn.Exec(t.Context(), "DELETE FROM p WHERE id <= 200")
	b.Mu.Lock() // approved
	b.Decide, b.Ceiling, b.Probing = nil, b.Probed.Impact.Count+b.Probed.Impact.Dependants, true
	b.Mu.Unlock()
	if _, err := conn.Exec(t.Context(), "DELETE FROM p WHERE id <= 200"); err != nil {
		t.Errorf("approved: %v", err)
	}
	if left := b.direct(t, "SELECT (SELECT count(*) FROM p), (SELECT count(*) FROM c), (SELECT count(*) FROM g)",
		"-At"); left != "800|800|2400\n" {
		t.Errorf("left: %s", left)
	}
}

// Extensions bring operators and functions beside PostgreSQL's own: what reads
// goes on reading. What a user puts beside them is a user's.
func TestExtensionsDoNotCloseTheGate(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, `CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION pg_trgm; CREATE EXTENSION pgcrypto;
CREATE EXTENSION "uuid-ossp"; CREATE EXTENSION btree_gist; CREATE EXTENSION intarray; CREATE EXTENSION cube; CREATE EXTENSION isn; CREATE EXTENSION unaccent;
CREATE TABLE t (id int PRIMARY KEY, mail citext, note text, tags hstore, path ltree); INSERT INTO t VALUES (1, 'A@b', 'note', 'a=>1', 'a.b');
CREATE VIEW v AS SELECT id, lower(note) AS note FROM t WHERE mail = 'a@B'::citext`)
	reads := []string{
		"SELECT * FROM t WHERE id = 1", "SELECT * FROM t WHERE mail = 'a@b'", "SELECT 'a'::citext", "SELECT note % 'not' FROM t", "SELECT id % 2 FROM t",
		"SELECT gen_random_uuid()", "SELECT replace(note, 'a', 'b') FROM t", "SELECT max(mail), min(id) FROM t",
		"SELECT tags -> 'a', path <@ 'a' FROM t",
		"SELECT id + 1, id < 2, id <> 3, note || 'x' FROM t", "SELECT * FROM v WHERE note LIKE 'n%'",
		"SELECT similarity(note, 'x'), unaccent(note) FROM t",
	}
	classify := func(text string) []string {
		b.Clear()
		conn := b.connect(t, "agent-kiro")
		defer conn.Close(t.Context())
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		return b.Entries("read")
	}
	for _, text := range reads {
		if got := classify(text); len(got) > 0 {
			t.Errorf("%s: %q", text, got)
		}
	}
	// Through the gate, so that it looks at once.
	conn := b.connect(t, "human-alice")
	defer conn.Close(t.Context())
	for _, text := range []string{`CREATE FUNCTION lower(text) RETURNS text LANGUAGE sql AS $$SELECT 'mine'$$;
CREATE FUNCTION same(int, int) RETURNS bool LANGUAGE sql AS $$SELECT true$$;
CREATE OPERATOR public.= (leftarg = int, rightarg = int, function = same); CREATE OPERATOR public.=== (leftarg = int, rightarg = int, function = same); CREATE VIEW w AS SELECT id FROM t WHERE id === 1;
ALTER ROLE CURRENT_USER SET search_path = public, pg_catalog`, "SELECT 1"} {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"SELECT * FROM w", "SELECT * FROM t WHERE id = 1", "SELECT lower(note) FROM t"} {
		if got := classify(text); len(got) == 0 {
			t.Errorf("%s counts as a read although a user's own stands before PostgreSQL's", text)
		}
	}
}
