package pgwire

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestP4WhatIsReadIsApproved: whatever the text reads is part of what was approved.
// When it changes between the approval and the statement, nothing is done, the agent
// is told why, and people are asked again. What does not change lets it run.
func TestP4WhatIsReadIsApproved(t *testing.T) {
	const schema = `DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC;
CREATE TABLE orders (id int PRIMARY KEY, tenant int, note text); INSERT INTO orders SELECT n, n % 4, 'x' FROM generate_series(1, 200) n;
CREATE TABLE picked (id int); INSERT INTO picked SELECT generate_series(1, 20);
CREATE TABLE items (id int, o int REFERENCES orders ON DELETE CASCADE);
CREATE VIEW old AS SELECT id FROM orders WHERE tenant = 1; CREATE VIEW older AS SELECT id FROM old;
CREATE FUNCTION pick() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
CREATE FUNCTION mine() RETURNS int LANGUAGE plpgsql STABLE AS $$BEGIN RETURN current_setting('app.tenant')::int; END$$;
CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER act AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION act(); ANALYZE`
	var h *houseGate
	var own *pgx.Conn
	for n, x := range []struct {
		before, text, change string
		session              bool // the change is the agent's own
		runs                 bool // and it changes nothing that is read
	}{
		{"SET app.tenant = '1'", "DELETE FROM orders WHERE tenant = current_setting('app.tenant')::int",
			"SET app.tenant = '2'", true, false},
		{"SELECT set_config('app.tenant', '1', false)", "DELETE FROM orders WHERE tenant = current_setting('App.Tenant', true)::int",
			"SELECT set_config('app.tenant', '2', false)", true, false},
		{"SET app.tenant = '1'", "DELETE FROM orders WHERE tenant = mine()", "SET app.tenant = '2'", true, false},
		{"SET app.which = 'app.tenant'; SET app.tenant = '1'",
			"DELETE FROM orders WHERE tenant = current_setting(current_setting('app.which'))::int",
			"SET app.tenant = '2'", true, false},
		{"CREATE TEMP TABLE few AS SELECT id FROM picked", "DELETE FROM orders WHERE id IN (SELECT id FROM few)",
			"UPDATE few SET id = id + 50", true, false},
		{"CREATE TEMP TABLE few AS SELECT id FROM picked", "DELETE FROM orders USING few WHERE few.id = orders.id",
			"INSERT INTO few VALUES (150)", true, false},
		{"CREATE TEMP TABLE few AS SELECT id FROM picked; CREATE TEMP VIEW seen AS SELECT id FROM few",
			"DELETE FROM orders WHERE id IN (SELECT id FROM seen)", "DELETE FROM few WHERE id = 1", true, false},
		{"", "DELETE FROM orders WHERE id IN (SELECT id FROM older)",
			"CREATE OR REPLACE VIEW old AS SELECT id FROM orders WHERE tenant = 2", false, false},
		{"", "DELETE FROM orders WHERE tenant = pick()",
			"CREATE OR REPLACE FUNCTION pick() RETURNS int LANGUAGE sql STABLE AS 'SELECT 2'", false, false},
		{"", "DELETE FROM orders WHERE tenant = pick()", "ALTER FUNCTION pick() SECURITY DEFINER", false, false},
		{"", "DELETE FROM orders WHERE tenant = 1",
			"CREATE OR REPLACE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN DELETE FROM picked; RETURN NULL; END$$",
			false, false},
		{"", "DELETE FROM orders WHERE tenant = 1", "ALTER TABLE orders DISABLE TRIGGER act", false, false},
		{"", "DELETE FROM orders WHERE tenant = 1",
			"CREATE TRIGGER more AFTER DELETE ON items FOR EACH ROW EXECUTE FUNCTION act()", false, false},
		{"", "DELETE FROM orders WHERE tenant = 1",
			"CREATE RULE also AS ON DELETE TO orders DO ALSO DELETE FROM picked", false, false},
		{"", "DELETE FROM orders WHERE tenant = 1",
			"ALTER TABLE orders ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON orders USING (tenant = 2)", false, false},
		{"", "DELETE FROM orders WHERE id IN (SELECT id FROM picked)",
			"ALTER TABLE picked RENAME TO gone; CREATE TABLE picked (id int); INSERT INTO picked SELECT generate_series(30, 40)", false, false},
		{"", "DELETE FROM orders WHERE id IN (SELECT id FROM picked)", "INSERT INTO picked VALUES (199)", false, false},
		{"", "DELETE FROM orders WHERE tenant = 1", "CREATE TABLE other (id int)", false, true},
		{"SET app.other = '1'", "DELETE FROM orders WHERE tenant = 1", "SET statement_timeout = '10s'", true, true},
		{"CREATE TEMP TABLE few AS SELECT id FROM picked", "DELETE FROM orders WHERE id IN (SELECT id FROM few)",
			"SELECT count(*) FROM few", true, true},
	} {
		if n%8 == 0 { // one human's agents may ask for so many approvals in a minute
			h = newHouseGate(t)
			own = h.direct(t)
		}
		if _, err := own.Exec(t.Context(), schema, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
		h.forgetNames()
		conn := h.agent(t)
		exec := func(sql string) {
			t.Helper()
			for _, s := range strings.Split(sql, "; ") {
				if _, err := conn.Exec(t.Context(), s, pgx.QueryExecModeSimpleProtocol); err != nil {
					t.Fatalf("%s: %s: %v", x.text, s, err)
				}
			}
		}
		if x.before != "" {
			exec(x.before)
		}
		_, err := conn.Exec(t.Context(), x.text)
		hold, held := h.heldFor(t, err)
		if !held {
			t.Errorf("%s: not held: %v", x.text, err)
			continue
		}
		h.approve(t, hold)
		if x.session {
			exec(x.change)
		} else if _, err := own.Exec(t.Context(), x.change, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
		_, err = conn.Exec(t.Context(), x.text)
		again, held := h.heldFor(t, err)
		if x.runs {
			if err != nil {
				t.Errorf("%s, then %s: %v", x.text, x.change, err)
			}
			continue
		}
		if !held || again.ID == hold.ID || !strings.Contains(err.Error(), hold.ID) {
			t.Errorf("%s, then %s: %v\nbound to %v", x.text, x.change, err, hold.State)
		}
		var left int
		if err := own.QueryRow(t.Context(), "SELECT count(*) FROM orders").Scan(&left); err != nil || left < 150 {
			t.Errorf("%s: %d orders left, %v", x.text, left, err)
		}
		conn.Close(t.Context())
	}
}

// TestTemporaryTablesHideNoCatalog: a temporary table by the name of one of
// PostgreSQL's own does not stand before it where the gate asks.
func TestTemporaryTablesHideNoCatalog(t *testing.T) {
	h := newHouseGate(t)
	own := h.direct(t)
	if _, err := own.Exec(t.Context(), `CREATE TABLE orders (id int PRIMARY KEY, tenant int); CREATE TABLE items (o int REFERENCES orders ON DELETE CASCADE);
INSERT INTO orders SELECT n, 1 FROM generate_series(1, 50) n; INSERT INTO items SELECT n FROM generate_series(1, 50) n`); err != nil {
		t.Fatal(err)
	}
	conn := h.agent(t)
	for _, name := range []string{"pg_constraint", "pg_proc", "pg_trigger", "pg_rewrite", "pg_depend"} {
		if _, err := conn.Exec(t.Context(), "CREATE TEMP TABLE "+name+" (LIKE pg_catalog."+name+")"); err != nil {
			t.Logf("%s: %v", name, err)
		}
	}
	_, err := conn.Exec(t.Context(), "DELETE FROM orders WHERE tenant = 1")
	hold, held := h.heldFor(t, err)
	if facts := strings.Join(hold.Facts, "\n"); !held || !strings.Contains(facts, "50 of 50 rows of public.items are deleted") {
		t.Errorf("%v\n%s", err, facts)
	}
}
