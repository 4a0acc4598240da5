package sql

import (
	"strings"
	"testing"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// A literal, a comment, a body, a password never stands in a shape.
func TestShapeHidesLiterals(t *testing.T) {
	const marker = "hunter2"
	for _, text := range []string{
		"SELECT 'hunter2'", "SELECT E'\\thunter2'", "SELECT $$hunter2$$", "SELECT $a$ hunter2 $$ $a$",
		"SELECT U&'hunter2'",
		"SELECT N'hunter2'", "SELECT 1 -- hunter2", "SELECT /* /* hunter2 */ hunter2 */ 1", "SELECT 'a'\n'hunter2'",
		"SELECT 'it''s hunter2'",
		"CREATE ROLE bob PASSWORD 'hunter2'", "ALTER USER bob ENCRYPTED PASSWORD 'hunter2'", "DO $$ hunter2 $$",
		"DO LANGUAGE plpgsql 'hunter2'",
		"COPY a FROM PROGRAM 'hunter2'", "COPY a TO '/hunter2'", "COMMENT ON TABLE a IS 'hunter2'", "SET app.password = 'hunter2'", "SET app.password = hunter2",
		"SET app.password TO hunter2, \"hunter2\"", "SET LOCAL app.password TO hunter2; SELECT 1",
		"set session app.password=hunter2",
		"ALTER ROLE bob SET app.password = hunter2", "ALTER DATABASE d SET app.password TO hunter2", "ALTER SYSTEM SET app.password = hunter2",
		"ALTER FUNCTION f() SET app.password = hunter2", "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET app.password = hunter2 AS 'hunter2'",
		"CREATE USER MAPPING FOR bob SERVER s OPTIONS (user 'a', password 'hunter2')",
		"CREATE SUBSCRIPTION s CONNECTION 'password=hunter2' PUBLICATION p",
		"NOTIFY a, 'hunter2'", "PREPARE TRANSACTION 'hunter2'", "EXECUTE q('hunter2')",
		"SELECT set_config('a.b', 'hunter2', false)",
		"SECURITY LABEL ON TABLE a IS 'hunter2'",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $body$ SELECT 'hunter2' $body$", "SELECT 'hunter2",
		"SELECT $$hunter2",
		"hunter2", "SELECT 1 hunter2 hunter2 hunter2", "SELECT \"hunter2", "SELECT 1 /* hunter2",
		"SELECT interval 'hunter2'", "SELECT date 'hunter2'", "SELECT X'hunter2'",
		"SET TIME ZONE 'hunter2'", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; SET a.b = hunter2", "\x00hunter2", "SELECT '\xff hunter2'",
	} {
		r := Classify(text, nil)
		if strings.Contains(r.Shape, marker) {
			t.Errorf("%q: shape %q", text, r.Shape)
		}
		for _, a := range r.Actions() {
			if strings.Contains(a.Shape+a.Reason+a.Native, marker) {
				t.Errorf("%q: action shows it: %+v", text, a)
			}
		}
	}
}

func TestShape(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT  a,b FROM\n\tt -- x\nWHERE id=5":  "SELECT a,b FROM t WHERE id=?",
		"UPDATE t SET a = b WHERE c = $1":         "UPDATE t SET a = b WHERE c = $1",
		`SELECT "Ä b", 1.5e3, -7`:                 `SELECT "Ä b", ?, -?`,
		"SET search_path = app, public":           "SET search_path = ?, ?",
		"ALTER TABLE t ALTER c SET DEFAULT now()": "ALTER TABLE t ALTER c SET DEFAULT now()",
	} {
		if got := Classify(text, nil).Shape; got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
	same := func(a, b string, want bool) {
		t.Helper()
		if got := Classify(a, nil).Fingerprint == Classify(b, nil).Fingerprint; got != want {
			t.Errorf("same fingerprint of\n%s\n%s: %v, want %v", a, b, got, want)
		}
	}
	same("SELECT 1 FROM t WHERE a IN (1, 2, 3)", "select 2 from T where a in (5)", true)
	same("SELECT a FROM t", "SELECT b FROM t", false)
	same("SELECT a -- x\nFROM t", "SELECT a FROM/**/t", true)
	same("SELECT a FROM t", `SELECT "A" FROM t`, false)
}

func TestLiteralsInOrder(t *testing.T) {
	r := Classify("SELECT 'b', 1, $$c$$ FROM t WHERE x = 'a'", nil)
	if got := strings.Join(r.Literals, "|"); got != "'b'|1|$$c$$|'a'" {
		t.Errorf("literals %s", got)
	}
}

// agree checks our lexer against PostgreSQL's on a text that PostgreSQL parses:
// our tokens tile its tokens, and both call the same pieces literals.
func agree(t *testing.T, text string) {
	t.Helper()
	if strings.IndexByte(text, 0) >= 0 || len(text) > 10_000 {
		return
	}
	ours := lex(text, nil)
	if tooMuch(text, ours) != "" {
		return
	}
	if _, err := pg.Parse(text); err != nil {
		return
	}
	scan, err := pg.Scan(text)
	if err != nil {
		return
	}
	i := 0
	for _, tok := range scan.GetTokens() {
		literal := false
		switch tok.GetToken() {
		case pg.Token_SQL_COMMENT, pg.Token_C_COMMENT:
			continue
		case pg.Token_SCONST, pg.Token_USCONST, pg.Token_BCONST, pg.Token_XCONST, pg.Token_ICONST, pg.Token_FCONST:
			literal = true
		}
		start, end := int(tok.GetStart()), int(tok.GetEnd())
		piece := text[start:end]
		if i >= len(ours) || ours[i].start != start {
			t.Fatalf("%q: PostgreSQL sees %q at %d, we see %+v", text, piece, start, ours[min(i, len(ours)):])
		}
		for ; i < len(ours) && ours[i].start < end; i++ {
			if ours[i].end > end {
				t.Fatalf("%q: our token %q is longer than PostgreSQL's %q", text, text[ours[i].start:ours[i].end],
					piece)
			}
			if is := ours[i].kind == tokString || ours[i].kind == tokNumber; is != literal {
				t.Fatalf("%q: %q is literal: %v, PostgreSQL says %v", text, piece, is, literal)
			}
		}
	}
	if i != len(ours) {
		t.Fatalf("%q: we have more tokens: %q", text, text[ours[i].start:])
	}
}
