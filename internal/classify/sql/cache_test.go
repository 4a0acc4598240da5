package sql

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
)

func TestCacheByTemplate(t *testing.T) {
	c := NewCache(CacheConfig{})
	c.Classify("SELECT a FROM t WHERE id = 1", nil)
	r := c.Classify("SELECT a FROM t WHERE id = 22;", nil)
	if got := c.Stats(); got != (CacheStats{Template: 1, Parsed: 1}) {
		t.Errorf("stats %+v", got)
	}
	if r.Statements[0].Text != "SELECT a FROM t WHERE id = 22" || len(r.Literals) != 1 || r.Literals[0] != "22" {
		t.Errorf("text %q, literals %q", r.Statements[0].Text, r.Literals)
	}
}

// Constants that decide must not be taken for one another.
func TestCacheConstantsThatDecide(t *testing.T) {
	for _, pair := range [][2]string{
		{"DELETE FROM t WHERE 1 = 2", "DELETE FROM t WHERE 1 = 1"},
		{"DELETE FROM t WHERE id BETWEEN 1 AND 10", "DELETE FROM t WHERE id BETWEEN 1 AND 9000000"},
		{"DELETE FROM t WHERE name LIKE 'abc'", "DELETE FROM t WHERE name LIKE '%'"},
		{"DELETE FROM t WHERE id IN (SELECT id FROM t LIMIT 5)",
			"DELETE FROM t WHERE id IN (SELECT id FROM t LIMIT 500000)"},
		{"SELECT set_config('work_mem', 'a', false)", "SELECT set_config('role', 'a', false)"},
		{"SET work_mem = '1'", "SET role = '1'"},
		{"SET row_security = 1", "SET row_security = 0"},
		{"DELETE FROM t WHERE id = ANY('{1}')", "DELETE FROM t WHERE id = ANY('{1,2}')"},
		{"DELETE FROM t WHERE 'f'", "DELETE FROM t WHERE 't'"},
		{"SELECT nextval('a')", "SELECT nextval('b')"},
		{"INSERT INTO t SELECT generate_series FROM generate_series(1, 3)",
			"INSERT INTO t SELECT generate_series FROM generate_series(1, 3000)"},
	} {
		c := NewCache(CacheConfig{})
		c.Classify(pair[0], nil)
		if d := cmp.Diff(Classify(pair[1], nil), c.Classify(pair[1], nil)); d != "" {
			t.Errorf("%s after %s (-fresh +cached):\n%s", pair[1], pair[0], d)
		}
	}
}

// For every text of the corpus: the cache says what a fresh judgement says, also
// after the same text with other constants.
func TestCacheAgrees(t *testing.T) {
	b, err := os.ReadFile("testdata/statements.txt")
	if err != nil {
		t.Fatal(err)
	}
	c := NewCache(CacheConfig{})
	swap := strings.NewReplacer("1", "77", "'x'", "'other'", "5", "1", "'a'", "'%'")
	for text := range strings.Lines(string(b)) {
		text = strings.TrimSpace(text)
		c.Classify(swap.Replace(text), nil)
		for range 2 {
			if d := cmp.Diff(Classify(text, nil), c.Classify(text, nil)); d != "" {
				t.Errorf("%s (-fresh +cached):\n%s", text, d)
			}
		}
	}
}

func TestCacheBounded(t *testing.T) {
	c := NewCache(CacheConfig{Entries: 10})
	for i := range 100 {
		c.Classify(fmt.Sprintf("SELECT a%d FROM t", i), nil)
	}
	if n := len(c.byKey); n != 10 || c.order.Len() != 10 {
		t.Errorf("%d entries", n)
	}
	c = NewCache(CacheConfig{Bytes: 5000})
	for i := range 100 {
		c.Classify(fmt.Sprintf("SELECT a%d FROM t", i), nil)
	}
	if c.held > 5000 || c.held == 0 {
		t.Errorf("%d bytes held", c.held)
	}
}

func TestCacheKeepsCatalogsApart(t *testing.T) {
	c := NewCache(CacheConfig{})
	plain := (&Catalog{SearchPath: []string{"public"}}).Seal()
	evil := (&Catalog{SearchPath: []string{"public"},
		Functions: map[string][]Function{"public.lower": {{OID: 1}}}}).Seal()
	const text = "SELECT lower(a) FROM t WHERE id = 1"
	for range 2 {
		if v := c.Classify(text, plain).Statements[0].Action.Verb; v != signalbox.Read {
			t.Errorf("plain: %s", v)
		}
		if v := c.Classify(text, evil).Statements[0].Action.Verb; v != signalbox.Execute {
			t.Errorf("shadowed: %s", v)
		}
	}
}

func TestCacheConcurrent(t *testing.T) {
	c := NewCache(CacheConfig{Entries: 20})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				text := fmt.Sprintf("UPDATE t%d SET a = %d WHERE id = %d", i%30, g, i)
				if r := c.Classify(text, nil); r.Statements[0].Text != text {
					t.Errorf("text %q", r.Statements[0].Text)
				}
			}
		})
	}
	wg.Wait()
}

// What is sent must be found where it stands, and not where a comment quotes it.
func TestOffsets(t *testing.T) {
	c := NewCache(CacheConfig{})
	for _, text := range []string{
		"BEGIN; /* SELECT 1; DELETE FROM orders; -- */\n ; SELECT 1; SELECT 2",
		"  SELECT 1 ;", "SELECT 2;", "\n\tSELECT 3", " \u00a0", "SELECT 'é' ;\n DELETE FROM t WHERE id = 1",
	} {
		for _, r := range []Result{Classify(text, nil), c.Classify(text, nil)} {
			end := 0
			for _, s := range r.Statements {
				if s.Offset < end || !strings.HasPrefix(text[s.Offset:], s.Text) {
					t.Errorf("%q: %q is not at %d", text, s.Text, s.Offset)
				}
				end = s.Offset + len(s.Text)
			}
		}
	}
}

// What PREPARE wraps keeps its constants, whatever was seen before it.
func TestPreparedText(t *testing.T) {
	c := NewCache(CacheConfig{})
	for text, want := range map[string]string{
		"PREPARE q AS DELETE FROM orders WHERE id = 1":          "DELETE FROM orders WHERE id = 1",
		"PREPARE q AS DELETE FROM orders WHERE id = 2":          "DELETE FROM orders WHERE id = 2",
		"PREPARE q (int) AS UPDATE t SET a = $1 WHERE n = 'it'": "UPDATE t SET a = $1 WHERE n = 'it'",
		`SELECT 1; prepare "as" /* as */ as SELECT 5 AS five ;`: "SELECT 5 AS five",
	} {
		all := c.Classify(text, nil).Statements
		s := all[len(all)-1]
		if s.Inner == nil || s.Inner.Text != want {
			t.Errorf("%s: %+v", text, s.Inner)
		}
	}
}

func TestReindexAlone(t *testing.T) {
	for text, want := range map[string]bool{
		"REINDEX TABLE t": false, "REINDEX (CONCURRENTLY) TABLE t": true, "REINDEX TABLE CONCURRENTLY t": true,
		"REINDEX (CONCURRENTLY false) TABLE t": false,
	} {
		if got := Classify(text, nil).Statements[0].Lone; got != want {
			t.Errorf("%s: lone %t", text, got)
		}
	}
}

func TestSessionPrepared(t *testing.T) {
	var s Session
	c := NewCache(CacheConfig{})
	verb := func(text string, cat *Catalog) signalbox.Verb {
		return s.Classify(text, cat, c).Statements[0].Action.Verb
	}
	if v := verb("EXECUTE q(1)", nil); v != signalbox.Execute {
		t.Errorf("unknown name: %s", v)
	}
	s.Prepared("q", Classify("PREPARE q AS DELETE FROM t WHERE id = $1", nil).Statements[0], nil)
	if v := verb("EXECUTE q(1)", nil); v != signalbox.Delete {
		t.Errorf("prepared: %s", v)
	}
	s.Prepared("p", Classify("SELECT lower(a) FROM t", nil).Statements[0], nil)
	if v := verb("EXECUTE p", nil); v != signalbox.Read {
		t.Errorf("parsed: %s", v)
	}
	evil := (&Catalog{Functions: map[string][]Function{"public.lower": {{OID: 1}}}}).Seal()
	if v := verb("EXECUTE p", evil); v != signalbox.Execute {
		t.Errorf("after the name was shadowed: %s", v)
	}
	if v := verb("EXECUTE p", nil); v == signalbox.Read {
		t.Log("judged without a catalog again")
	}
	s.Forget("q")
	if v := verb("EXECUTE q(1)", nil); v != signalbox.Execute {
		t.Errorf("forgotten: %s", v)
	}
	s.ForgetAll()
	if _, ok := s.Lookup("p", nil); ok {
		t.Error("all forgotten, and still there")
	}
}

const ordinary = "UPDATE orders SET status = 'paid', total = total + 5, note = 'called back' FROM customers c WHERE c.id = orders.customer_id AND orders.id = 12345 AND c.region = 'eu' RETURNING orders.id, orders.total, c.email"

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Classify(ordinary, nil)
	}
}

// The reference: what pg_query's own way from a text to its tree costs.
func BenchmarkParserAlone(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pg.Parse(ordinary); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCachedExact(b *testing.B) {
	c := NewCache(CacheConfig{})
	const text = "DELETE FROM t WHERE id BETWEEN 1 AND 10"
	c.Classify(text, nil)
	b.ReportAllocs()
	for b.Loop() {
		c.Classify(text, nil)
	}
}

func BenchmarkCachedTemplate(b *testing.B) {
	c := NewCache(CacheConfig{})
	c.Classify(ordinary, nil)
	other := strings.Replace(ordinary, "12345", "54321", 1)
	b.ReportAllocs()
	for b.Loop() {
		c.Classify(other, nil)
	}
}
