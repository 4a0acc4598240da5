package pgwire

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
)

// saidSchema has tables below a hundred rows, so that ceilings are the numbers
// themselves.
const saidSchema = `CREATE TABLE customers (id int PRIMARY KEY, region int, note text); INSERT INTO customers SELECT n, n % 3, 'x' FROM generate_series(1, 30) n;
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE ON UPDATE CASCADE, n int); INSERT INTO orders SELECT n, 1 + n % 30, n FROM generate_series(1, 60) n;
CREATE TABLE items (id int PRIMARY KEY, o int REFERENCES orders ON DELETE CASCADE); INSERT INTO items SELECT n, 1 + n % 60 FROM generate_series(1, 90) n;
CREATE TABLE contacts (id int PRIMARY KEY, customer int REFERENCES customers ON DELETE SET NULL ON UPDATE SET NULL); INSERT INTO contacts SELECT n, n FROM generate_series(1, 20) n;
CREATE TABLE invoices (id int PRIMARY KEY, customer int DEFAULT 30 REFERENCES customers ON DELETE SET DEFAULT); INSERT INTO invoices SELECT n, 20 + n FROM generate_series(1, 5) n;
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON DELETE CASCADE); INSERT INTO tree SELECT n, nullif(n / 2, 0) FROM generate_series(1, 40) n;
CREATE TABLE plain (id int PRIMARY KEY); INSERT INTO plain SELECT generate_series(1, 15);
CREATE TABLE points (id int PRIMARY KEY, p int REFERENCES plain); INSERT INTO points SELECT n, n FROM generate_series(1, 8) n;
CREATE TABLE days (d int PRIMARY KEY, note text) PARTITION BY RANGE (d); CREATE TABLE days_a PARTITION OF days FOR VALUES FROM (0) TO (20); CREATE TABLE days_b PARTITION OF days FOR VALUES FROM (20) TO (99); INSERT INTO days SELECT generate_series(1, 40);
CREATE TABLE hours (h int PRIMARY KEY, d int REFERENCES days ON DELETE CASCADE); INSERT INTO hours SELECT n, 1 + n % 40 FROM generate_series(1, 50) n;
CREATE TABLE base (id int, note text); INSERT INTO base SELECT generate_series(1, 12); CREATE TABLE derived () INHERITS (base); INSERT INTO derived SELECT generate_series(1, 7);
CREATE VIEW seen AS SELECT id, region FROM customers; CREATE VIEW above AS SELECT id FROM seen; CREATE MATERIALIZED VIEW kept AS SELECT id FROM above; CREATE VIEW writable AS SELECT id, note FROM customers; ANALYZE`

// A look is what is there: rows by table, and the names of views.
type look struct {
	rows  map[string]map[string]bool
	views []string
	keys  []string
}

func lookAt(t *testing.T, tx pgx.Tx) look {
	t.Helper()
	l := look{rows: make(map[string]map[string]bool)}
	strings := func(sql string) []string {
		rows, err := tx.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for _, name := range strings("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition") {
		l.rows["public."+name] = make(map[string]bool)
		only := "ONLY "
		if name == "days" {
			only = ""
		}
		for _, v := range strings("SELECT concat(tableoid, ctid, xmin) FROM " + only + name) {
			l.rows["public."+name][v] = true
		}
	}
	l.views = strings("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')")
	l.keys = strings("SELECT conname FROM pg_constraint WHERE contype = 'f' AND conparentid = 0")
	return l
}

var (
	holdsFact = regexp.MustCompile(`(?m)^(\S+) holds (\d+) rows now \(counted\)`)
	viewFact  = regexp.MustCompile(`view ([a-z]+)`)
)

// TestWhatIsSaidHappens executes each kind of statement that the prober tells
// something of, on the database itself, and compares: rows by table, what goes with
// them, what stays, and which views and constraints go.
func TestWhatIsSaidHappens(t *testing.T) {
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Decide = gatetest.Holding("") })
	b.direct(t, saidSchema)
	own, err := pgx.Connect(t.Context(), b.db.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close(t.Context())
	for _, text := range []string{
		"DELETE FROM customers WHERE id < 30", "DELETE FROM customers WHERE id <= 10", "DELETE FROM customers WHERE region = 9",
		"DELETE FROM orders WHERE n > 30", "DELETE FROM items", "DELETE FROM tree WHERE id = 2", "DELETE FROM tree WHERE id IN (4, 5)",
		"DELETE FROM ONLY base", "DELETE FROM base WHERE id < 5", "DELETE FROM days WHERE d > 10", "DELETE FROM days_a WHERE d > 10",
		"DELETE FROM customers USING orders WHERE orders.customer = customers.id AND orders.n < 9",
		"DELETE FROM orders; DELETE FROM items", "DELETE FROM points",
		"UPDATE customers SET note = 'y'", "UPDATE customers SET note = 'y' WHERE region = 1", "UPDATE customers SET id = id + 100 WHERE id > 25",
		"UPDATE orders SET customer = NULL WHERE n < 10", "UPDATE orders SET n = 1, customer = 3", "UPDATE days SET note = 'x' WHERE d < 30",
		"UPDATE base SET note = 'x'", "UPDATE writable SET note = 'z' WHERE id < 4", "UPDATE tree SET up = NULL",
		"UPDATE orders SET n = c.region FROM customers c WHERE c.id = orders.customer AND c.region = 2",
		"INSERT INTO plain SELECT id + 100 FROM customers", "INSERT INTO plain VALUES (101), (102), (103)", "INSERT INTO items (id, o) SELECT id + 1000, id FROM orders WHERE n < 7",
		"TRUNCATE items", "TRUNCATE tree", "TRUNCATE plain CASCADE", "TRUNCATE customers CASCADE", "TRUNCATE days CASCADE", "TRUNCATE base",
		"TRUNCATE plain, points", "TRUNCATE ONLY base",
		"DROP TABLE items", "DROP TABLE customers CASCADE", "DROP TABLE orders CASCADE", "DROP TABLE plain CASCADE", "DROP TABLE days CASCADE",
		"DROP TABLE base CASCADE", "DROP TABLE points, items", "DROP VIEW above CASCADE", "DROP MATERIALIZED VIEW kept", "DROP VIEW writable",
		"EXPLAIN ANALYZE DELETE FROM customers WHERE id <= 10",
	} {
		t.Run(text, func(t *testing.T) {
			conn := b.connect(t, "agent-kiro")
			defer conn.Close(t.Context())
			if _, err := conn.Exec(t.Context(), text, pgx.QueryExecModeSimpleProtocol); code(err) != StateHeld {
				t.Fatal(err)
			}
			said := b.Probed.Impact
			if b.Probed.Err != nil {
				t.Fatal(b.Probed.Err)
			}
			tx, err := own.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(t.Context())
			before := lookAt(t, tx)
			if _, err := tx.Exec(t.Context(), text, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatal(err)
			}
			if d := compare(text, said, before, lookAt(t, tx)); len(d) > 0 {
				t.Errorf("%s\nsaid: %+v\n%s", strings.Join(d, "\n"), said, strings.Join(said.Facts, "\n"))
			}
		})
	}
}

// compare gives what was said and is not so.
func compare(text string, said signalbox.Impact, before, after look) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	facts := strings.Join(said.Facts, "\n")
	shown := make(map[string]int64)
	for _, s := range said.Shares {
		if s.Resource == "public.days_a" {
			s.Resource, s.Total = "public.days", 0
		}
		if s.Count == signalbox.CountUnknown {
			delete(before.rows, s.Resource) // nothing was said
			continue
		}
		shown[s.Resource] += s.Count
		if s.Total > 0 && s.Verb != signalbox.Create && s.Total != int64(len(before.rows[s.Resource])) &&
			s.Resource != "public.base" {
			bad("%s: of %d, there were %d", s.Resource, s.Total, len(before.rows[s.Resource]))
		}
	}
	goes := make(map[string]string)
	for _, m := range holdsFact.FindAllStringSubmatch(facts, -1) {
		goes[m[1]] = m[2]
	}
	for name, rows := range before.rows {
		gone, added := int64(0), int64(0)
		for v := range rows {
			if !after.rows[name][v] {
				gone++
			}
		}
		for v := range after.rows[name] {
			if !rows[v] {
				added++
			}
		}
		touched := max(gone, added)
		if name == "public.base" { // and what inherits from it is told with it
			for v := range before.rows["public.derived"] {
				if len(said.Shares) > 0 && !after.rows["public.derived"][v] {
					touched++
				}
			}
		}
		if name == "public.derived" && len(said.Shares) > 0 {
			continue
		}
		want := shown[name]
		if n, all := goes[name]; all {
			if want = int64(len(rows)); n != fmt.Sprint(want) {
				bad("%s: said to hold %s, there were %d", name, n, want)
			}
		}
		if touched != want {
			bad("%s: %d said, %d touched", name, want, touched)
		}
	}
	if !strings.HasPrefix(text, "DROP") {
		return wrong
	}
	var listed []string
	for _, m := range viewFact.FindAllStringSubmatch(facts, -1) {
		listed = append(listed, m[1])
	}
	for _, v := range before.views {
		if gone := !slices.Contains(after.views, v); gone && !slices.Contains(listed, v) &&
			!strings.Contains(text, v) {
			bad("view %s goes and was not said to", v)
		}
	}
	for _, k := range before.keys {
		if gone := !slices.Contains(after.keys, k); gone && strings.Contains(text, "CASCADE") &&
			!strings.Contains(facts, k) && !strings.Contains(text, strings.Split(k, "_")[0]) {
			bad("constraint %s goes and was not said to", k)
		}
	}
	if strings.Contains(facts, "rows deleted with it") {
		bad("it deletes no rows of others")
	}
	if said.Reversible {
		bad("nothing brings it back")
	}
	return wrong
}
