package sql

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCounting(t *testing.T) {
	cat := shop()
	for _, c := range []struct {
		text   string
		want   string // "": it cannot be counted
		params []int
	}{
		{"DELETE FROM orders WHERE id < 10", "SELECT pg_catalog.count(*) FROM (SELECT 1 FROM orders WHERE id < 10) counted", nil},
		{"DELETE FROM ONLY orders", "SELECT pg_catalog.count(*) FROM (SELECT 1 FROM ONLY orders) counted", nil},
		{"UPDATE orders SET a = $1, b = $2 WHERE id = $3 RETURNING *",
			"SELECT pg_catalog.count(*) FROM (SELECT 1 FROM orders WHERE id = $3) counted", []int{3}},
		{"UPDATE orders AS o SET a = l.a FROM lines l WHERE l.order_id = o.id AND l.a > $2",
			"SELECT pg_catalog.count(*) FROM (SELECT DISTINCT o.tableoid, o.ctid FROM orders o, lines l WHERE l.order_id = o.id AND l.a > $2) counted", []int{2}},
		{"DELETE FROM public.orders USING lines WHERE lines.order_id = orders.id",
			"SELECT pg_catalog.count(*) FROM (SELECT DISTINCT orders.tableoid, orders.ctid FROM public.orders, lines WHERE lines.order_id = orders.id) counted", nil},
		{"WITH old AS (SELECT id FROM lines) DELETE FROM orders WHERE id IN (SELECT id FROM old)",
			"SELECT pg_catalog.count(*) FROM (WITH old AS (SELECT id FROM lines) SELECT 1 FROM orders WHERE id IN (SELECT id FROM old)) counted", nil},
		{"INSERT INTO orders SELECT * FROM lines WHERE a = $1",
			"SELECT pg_catalog.count(*) FROM (SELECT * FROM lines WHERE a = $1) counted", []int{1}},
		{"INSERT INTO orders VALUES (1), (2)", "", nil},
		{"MERGE INTO orders USING lines ON lines.a = orders.id WHEN MATCHED THEN DELETE", "", nil},
		// It would run code, or write, before anybody approved it.
		{"DELETE FROM orders WHERE app.refund(id)", "", nil},
		{"DELETE FROM orders WHERE pg_terminate_backend(id)", "", nil},
		{"DELETE FROM orders WHERE id = nextval('s')", "", nil},
		{"DELETE FROM orders WHERE set_config('role', 'x', false) = ''", "", nil},
		{"DELETE FROM orders WHERE pg_read_file('/etc/passwd') = ''", "", nil},
		{"DELETE FROM orders WHERE id === 1", "", nil},
		{"DELETE FROM orders USING spy WHERE true", "", nil},
		{"WITH gone AS (DELETE FROM lines RETURNING id) DELETE FROM orders WHERE id IN (SELECT id FROM gone)", "", nil},
		{"DELETE FROM orders WHERE id IN (SELECT id FROM lines FOR UPDATE)", "", nil},
		{"DROP TABLE orders", "", nil},
		{"SELECT 1", "", nil},
		{"DELETE FROM orders; DELETE FROM lines", "", nil},
		{"DELETE FROM", "", nil},
	} {
		got, params, ok := Counting(c.text, cat)
		if got != c.want || ok != (c.want != "") || !cmp.Equal(params, c.params) {
			t.Errorf("%s:\ngot  %q %v %t\nwant %q %v", c.text, got, params, ok, c.want, c.params)
		}
	}
}
