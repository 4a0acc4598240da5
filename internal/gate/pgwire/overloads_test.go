package pgwire

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// TestOverloadsOfUsersTypes defines operators, functions and casts whose code leaves
// a trace, and compares what PostgreSQL runs with what the text was taken for: what
// ran must have been seen, and what cannot run must not be a false alarm.
func TestOverloadsOfUsersTypes(t *testing.T) {
	b := newTestGate(t, nil)
	defer b.oracle.Rebase(t) // the test itself changes the target
	b.direct(t, `CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION pg_trgm;
CREATE EXTENSION pgcrypto; CREATE EXTENSION isn;
CREATE TABLE plain (id int PRIMARY KEY, name varchar(20), note text, at date, mail citext, tags hstore, path ltree);
INSERT INTO plain VALUES (1, 'a', 'b', now(), 'C', 'k=>v', 'x.y');
CREATE TABLE ran (n int);
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE FUNCTION evil(mood, mood) RETURNS bool LANGUAGE plpgsql AS $$BEGIN INSERT INTO ran VALUES (1); RETURN true; END$$;
CREATE OPERATOR = (LEFTARG = mood, RIGHTARG = mood, FUNCTION = evil);
CREATE OPERATOR >= (LEFTARG = mood, RIGHTARG = mood, FUNCTION = evil);
CREATE FUNCTION lower(mood) RETURNS text LANGUAGE plpgsql AS $$BEGIN INSERT INTO ran VALUES (2); RETURN 'x'; END$$;
CREATE FUNCTION status(mood) RETURNS text LANGUAGE plpgsql AS $$BEGIN INSERT INTO ran VALUES (3); RETURN 'x'; END$$;
CREATE DOMAIN weather AS mood;
CREATE TYPE pair AS (one mood, two int);
CREATE TABLE people (id int PRIMARY KEY, name text, feels mood);
INSERT INTO people VALUES (1, 'ann', 'sad'), (2, 'bob', 'glad');
CREATE VIEW moods AS SELECT id, feels AS m FROM people;
CREATE TABLE nested (id int PRIMARY KEY, w weather, p pair, many mood[]);
INSERT INTO nested VALUES (1, 'sad', ROW('sad', 1), ARRAY['sad']::mood[]);
CREATE FUNCTION owner(people) RETURNS text LANGUAGE plpgsql AS $$BEGIN INSERT INTO ran VALUES (4); RETURN 'x'; END$$;
CREATE FUNCTION note(plain) RETURNS text LANGUAGE plpgsql AS $$BEGIN INSERT INTO ran VALUES (5); RETURN 'x'; END$$;
CREATE TYPE money2 AS (cents int);
CREATE TABLE costs (id int PRIMARY KEY, cost money2);
INSERT INTO costs VALUES (1, ROW(5)), (2, ROW(6));
CREATE FUNCTION cents(money2) RETURNS int LANGUAGE plpgsql AS $$BEGIN INSERT INTO ran VALUES (6); RETURN 1; END$$;
CREATE CAST (money2 AS int) WITH FUNCTION cents(money2) AS IMPLICIT`)
	c := newBackend(t, b)
	f, err := c.server.readFacts(nil)
	if err != nil {
		t.Fatal(err)
	}
	catalog := f.catalog(0).Seal().As("db", "alice", false, []string{"public"}, nil)
	server, err := pgx.Connect(t.Context(), b.db.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close(context.Background())

	for text, held := range map[string]bool{
		// Nothing of a user's type is near.
		"SELECT * FROM plain WHERE id = 1":                                             false,
		"SELECT * FROM plain WHERE name = 'a' AND note = 'b' AND at >= '2026-01-01'":   false,
		"SELECT * FROM plain WHERE (id, name) >= (1, 'a') AND id BETWEEN 0 AND 5":      false,
		"SELECT lower(name), upper(note) FROM plain WHERE lower(note) = 'b'":           false,
		"SELECT CASE id WHEN 1 THEN 'x' ELSE 'y' END FROM plain":                       false,
		"SELECT * FROM plain WHERE id IN (1, 2) AND id = ANY ('{1,2}')":                false,
		"SELECT * FROM plain p JOIN (SELECT id FROM plain) q USING (id)":               false,
		"SELECT * FROM plain WHERE id IN (SELECT id FROM plain WHERE name = 'a')":      false,
		"WITH w AS (SELECT id AS i FROM plain) SELECT * FROM w WHERE i = 1":            false,
		"SELECT * FROM plain WHERE mail = 'c' AND tags -> 'k' = 'v' AND path <@ 'x'":   false,
		"SELECT * FROM plain WHERE note % 'b' AND note ILIKE 'B'":                      false,
		"SELECT gen_random_uuid(), digest('x', 'sha256') FROM plain WHERE id = 1":      false,
		"SELECT p.status FROM (SELECT 1 AS status) p":                                  false,
		"SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace": false,
		"SELECT $1::int = id FROM plain":                                               false,
		// One is.
		"SELECT * FROM people WHERE feels = 'sad'":                                          true,
		"SELECT * FROM people WHERE feels >= 'sad' OR feels = ANY ('{sad}')":                true,
		"SELECT * FROM people WHERE feels BETWEEN 'sad' AND 'glad'":                         true,
		"SELECT CASE feels WHEN 'sad' THEN 1 END FROM people":                               true,
		"SELECT 1 FROM people WHERE feels IN ('sad', 'glad')":                               true,
		"SELECT 1 FROM people WHERE feels IN (SELECT feels FROM people)":                    true,
		"SELECT 1 FROM people a JOIN people b USING (feels)":                                true,
		"SELECT 1 FROM people a NATURAL JOIN people b":                                      true,
		"SELECT NULLIF(feels, 'sad') FROM people":                                           true,
		"SELECT feels IS DISTINCT FROM 'sad' FROM people":                                   true,
		"SELECT lower(feels) FROM people":                                                   true,
		"SELECT * FROM moods WHERE m = 'sad'":                                               true,
		"WITH w AS (SELECT feels AS i FROM people) SELECT * FROM w WHERE i = 'sad'":         true,
		"SELECT * FROM (SELECT feels AS id FROM people) x WHERE id = 'sad'":                 true,
		"SELECT 'sad'::mood = 'glad'":                                                       true,
		"SELECT mood 'sad' = 'glad'":                                                        true,
		"SELECT * FROM nested WHERE w = 'sad'":                                              true,
		"SELECT * FROM nested WHERE (p).one = 'sad'":                                        true,
		"SELECT * FROM nested WHERE many[1] = 'sad'":                                        true,
		"SELECT u FROM nested, unnest(many) u WHERE u = 'sad'":                              true,
		"SELECT (NULL::people).feels = 'sad'":                                               true,
		"SELECT (json_populate_record(NULL::people, '{\"feels\":\"sad\"}')).feels = 'sad'":  true,
		"SELECT * FROM json_to_recordset('[{\"a\":\"sad\"}]') AS x(a mood) WHERE a = 'sad'": true,
		"SELECT status(feels) FROM people":                                                  true,
		"SELECT (feels).status FROM people":                                                 true,
		"SELECT p.owner FROM people p":                                                      true,
		"SELECT p.name FROM people p":                                                       false,
		"SELECT cost + 1 FROM costs":                                                        true,
		"SELECT feels OPERATOR(public.=) 'sad' FROM people":                                 true,
		"DELETE FROM people WHERE feels = 'sad'":                                            true,
		"UPDATE people SET name = 'x' FROM nested n WHERE n.w = feels":                      true,
	} {
		r := sql.Classify(text, catalog)
		seen := false
		for _, a := range r.Actions() {
			seen = seen || a.Verb == signalbox.Execute
		}
		if seen != held {
			t.Errorf("%s: taken for user code: %v", text, seen)
		}
		tx, err := server.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var ran int
		var args []any
		if r.Statements[0].Params > 0 {
			args = []any{1}
		}
		if rows, err := tx.Query(t.Context(), text, args...); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if rows.Close(); rows.Err() != nil {
			t.Errorf("%s: %v", text, rows.Err())
		} else if err := tx.QueryRow(t.Context(), "SELECT count(*) FROM ran").Scan(&ran); err != nil {
			t.Fatal(err)
		} else if ran > 0 && !seen {
			t.Errorf("%s: user code ran unseen", text)
		}
		tx.Rollback(t.Context())
	}
	for _, typ := range []string{"mood", "mood[]"} {
		var id uint32
		if err := server.QueryRow(t.Context(), "SELECT $1::regtype::oid", typ).Scan(&id); err != nil {
			t.Fatal(err)
		}
		const text = "SELECT x FROM unnest($1) x WHERE x = x"
		if a := sql.Classify(text, catalog.Declare([]uint32{id})).Statements[0].Action; a.Verb != signalbox.Execute {
			t.Errorf("with a parameter of type %s: %s", typ, a.Verb)
		}
		if a := sql.Classify(text, catalog.Declare([]uint32{1007})).Statements[0].Action; a.Verb != signalbox.Read {
			t.Errorf("with a parameter of type integer[]: %s", a.Verb)
		}
	}
}
