package pgwire

import (
	"context"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
	"github.com/signalbox-dev/signalbox/internal/forms"
)

var updateSignatures = flag.Bool("update-signatures", false, "add the functions of this server to signatures.txt")

// TestSignatures: all that this server has in pg_catalog was reviewed. Functions that
// it should not have are told by name.
func TestSignatures(t *testing.T) {
	b := newTestGate(t, nil)
	c := newBackend(t, b)
	var lines []string
	for _, row := range c.must(t, builtinsSQL) {
		lines = append(lines, row[0])
	}
	if *updateSignatures {
		const file = "../../classify/sql/signatures.txt"
		old, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var head strings.Builder
		for line := range strings.Lines(string(old)) {
			if strings.HasPrefix(line, "#") {
				head.WriteString(line)
			} else if line = strings.TrimSpace(line); line != "" {
				lines = append(lines, line)
			}
		}
		slices.Sort(lines)
		text := head.String() + strings.Join(slices.Compact(lines), "\n") + "\n"
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if names := sql.Unlisted(lines); len(names) > 0 {
		t.Errorf("nobody has reviewed: %v", slices.Sorted(maps.Keys(names)))
	}
	more := append(lines, "9999 upper(text, text) text", "9998 brandnew() void")
	if names := slices.Collect(maps.Keys(sql.Unlisted(more))); len(names) != 2 {
		t.Errorf("others than those that were reviewed: %v", names)
	}
	cat := (&sql.Catalog{Unlisted: sql.Unlisted(more)}).Seal()
	for text, want := range map[string]signalbox.Verb{
		"SELECT upper('x')": signalbox.Execute, "SELECT pg_catalog.upper('x')": signalbox.Execute,
		"SELECT ('x'::text).upper": signalbox.Execute, "SELECT brandnew()": signalbox.Execute,
		"SELECT lower('x')": signalbox.Read, "SELECT t.upper FROM t": signalbox.Read,
	} {
		if a := sql.Classify(text, cat).Statements[0].Action; a.Verb != want {
			t.Errorf("%s: %s", text, a.Verb)
		}
	}
}

// TestReviewedFunctions: a function whose body an operator has read is what he says
// of it, until anything is changed about it.
func TestReviewedFunctions(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, `CREATE TABLE notes (id int); INSERT INTO notes VALUES (1), (2);
CREATE FUNCTION total(int) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM notes WHERE id > $1';
CREATE FUNCTION total(text) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM notes';
CREATE FUNCTION add_note(int) RETURNS int LANGUAGE sql AS 'INSERT INTO notes VALUES ($1) RETURNING id';
CREATE VIEW totals AS SELECT total(0)`)
	conn := b.connect(t, "agent-kiro")
	admitted := func(text string, args ...any) signalbox.Action {
		t.Helper()
		b.Mu.Lock()
		b.Requests = nil
		b.Mu.Unlock()
		conn.Exec(t.Context(), text, args...)
		b.Mu.Lock()
		defer b.Mu.Unlock()
		if len(b.Requests) == 0 {
			t.Fatalf("%s: nothing was decided", text)
		}
		all := b.Requests[len(b.Requests)-1].Actions
		return all[signalbox.Gravest(all)]
	}
	simple := pgx.QueryExecModeSimpleProtocol
	total, add := admitted("SELECT total(1)", simple), admitted("SELECT add_note(3)", simple)
	for _, a := range []signalbox.Action{total, add} {
		if a.Verb != signalbox.Execute || !strings.HasPrefix(a.Form, "CALL public.") || !strings.Contains(a.Form, " sha256:") {
			t.Fatalf("unreviewed: %s %q", a.Verb, a.Form)
		}
	}
	if text := admitted("SELECT total('x'::text)", simple); text.Form != "" && strings.Contains(text.Form, "(text)") {
		t.Logf("other overload: %s", text.Form)
	}
	review := func(lines ...string) {
		t.Helper()
		list, mistakes := forms.Parse([]byte(strings.Join(lines, "\n")))
		if mistakes != nil {
			t.Fatal(mistakes)
		}
		b.Mu.Lock()
		b.Reviewed = list
		b.Mu.Unlock()
	}
	reads := total.Form + ` reads "counts notes"`
	review(reads, add.Form+` changes "adds one"`)
	if a := admitted("SELECT add_note(4)", simple); a.Verb != signalbox.Update || a.Form != add.Form+" changes" {
		t.Errorf("reviewed as a change: %s %q", a.Verb, a.Form)
	}
	// Of the two overloads one was read: which is meant, the gate does not ask.
	if a := admitted("SELECT total(1)", simple); a.Verb != signalbox.Execute {
		t.Errorf("with another overload: %s", a.Verb)
	}
	b.direct(t, "DROP FUNCTION total(text)")
	b.gate.catalogs.mu.Lock()
	b.gate.catalogs.checked = b.gate.catalogs.checked.Add(-catalogLife)
	b.gate.catalogs.mu.Unlock()
	for _, text := range []string{"SELECT total(1)", "SELECT * FROM totals"} {
		if a := admitted(text, simple); a.Verb != signalbox.Read {
			t.Errorf("%s: reviewed as a read: %s %q", text, a.Verb, a.Form)
		}
	}
	// A read it is for the server too, whatever somebody wrote of it.
	review(add.Form + ` reads "wrong"`)
	if a := admitted("SELECT add_note(5)", simple); a.Verb != signalbox.Read {
		t.Errorf("wrongly reviewed: %s", a.Verb)
	}
	direct, err := pgx.Connect(t.Context(), b.db.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(context.Background())
	var n int
	if err := direct.QueryRow(t.Context(), "SELECT count(*) FROM notes WHERE id = 5").Scan(&n); err != nil || n != 0 {
		t.Errorf("a change reviewed as a read was made: %d %v", n, err)
	}
	// Whatever is changed about it, it is another function.
	for _, change := range []string{
		"CREATE OR REPLACE FUNCTION total(int) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 1::bigint'",
		"ALTER FUNCTION total(int) SECURITY DEFINER", "ALTER FUNCTION total(int) SET search_path = 'x'",
		"ALTER FUNCTION total(int) VOLATILE",
	} {
		review(reads)
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tx.Exec(t.Context(), change)
		if a := admitted("SELECT total(1)", simple); a.Verb != signalbox.Execute || a.Form == total.Form {
			t.Errorf("after %s: %s %q", change, a.Verb, a.Form)
		}
		tx.Rollback(t.Context())
		if a := admitted("SELECT total(1)", simple); a.Verb != signalbox.Read {
			t.Errorf("after the roll-back of %s: %s", change, a.Verb)
		}
	}
	review()
	if a := admitted("SELECT total(1)", simple); a.Verb != signalbox.Execute {
		t.Errorf("off the list: %s", a.Verb)
	}
}
