package sql

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox"
)

func shop() *Catalog {
	return (&Catalog{
		Database: "shop", Role: "app", SearchPath: []string{"app", "public"},
		Relations: map[string]Relation{
			"public.orders": {OID: 10, Schema: "public", Name: "orders", Kind: 'r',
				Keys: [][]string{{"id"}, {"region", "number"}}, Cascades: []string{"public.lines"}},
			"public.lines": {OID: 11, Schema: "public", Name: "lines", Kind: 'r',
				Keys: [][]string{{"order_id", "line"}}},
			"app.orders_view": {OID: 12, Schema: "app", Name: "orders_view", Kind: 'v',
				Base: []string{"public.orders"}, Triggers: true},
			"app.spy": {OID: 13, Schema: "app", Name: "spy", Kind: 'v',
				Base: []string{"pg_catalog.pg_authid"}, Calls: []string{"app.refund"}},
			"pg_temp.scratch":  {OID: 14, Schema: "pg_temp", Name: "scratch", Kind: 'r', Temporary: true},
			"public.scratch":   {OID: 15, Schema: "public", Name: "scratch", Kind: 'r'},
			"app.customers":    {OID: 16, Schema: "app", Name: "customers", Kind: 'r', Keys: [][]string{{"email"}}},
			"public.customers": {OID: 17, Schema: "public", Name: "customers", Kind: 'r', Keys: [][]string{{"id"}}},
		},
		Functions: map[string][]Function{
			"app.refund":            {{OID: 100, Volatility: 'v'}},
			"public.similarity":     {{OID: 101, Volatility: 'i', Extension: "pg_trgm"}},
			"public.upper":          {{OID: 102, Volatility: 'i'}},
			"public.digest":         {{OID: 103, Volatility: 'i'}},
			"public.gen_salt":       {{OID: 104, Volatility: 'v', Extension: "pgcrypto", SecurityDefiner: true}},
			"app.uuid_generate_v4x": {{OID: 105, Volatility: 'i'}},
		},
		Operators: map[string][]Operator{"===": {{Args: Families{0, 0}}}, "+": {{Args: Families{0, 0}}}},
		Types:     map[string]Type{"app.email": {OID: 200, Kind: 'd', Checks: true}, "app.mood": {OID: 201, Kind: 'e'}},
	}).Seal()
}

func TestCatalogResolves(t *testing.T) {
	cat := shop()
	for _, c := range []struct {
		text     string
		verb     signalbox.Verb
		scope    signalbox.Scope
		trait    signalbox.Trait // one that must be there, "" for none
		resource string          // one that must be there
		id       string
		writes   string
	}{
		{"SELECT * FROM orders", signalbox.Read, signalbox.ScopeSome, "", "public.orders", "", ""},
		{"UPDATE orders SET a = 1 WHERE id = 5", signalbox.Update, signalbox.ScopeOne, signalbox.TraitByKey,
			"public.orders", "10", "public.lines,public.orders"},
		{"UPDATE orders SET a = 1 WHERE region = 'eu' AND number = 7", signalbox.Update, signalbox.ScopeOne,
			signalbox.TraitByKey, "public.orders", "10", "public.lines,public.orders"},
		{"UPDATE orders SET a = 1 WHERE region = 'eu'", signalbox.Update, signalbox.ScopeSome, "", "public.orders",
			"10", "public.lines,public.orders"},
		{"UPDATE lines SET a = 1 WHERE id = 5", signalbox.Update, signalbox.ScopeSome, "", "public.lines", "11",
			"public.lines"},
		{"DELETE FROM orders WHERE id = 5", signalbox.Delete, signalbox.ScopeOne, signalbox.TraitCascade,
			"public.lines", "", "public.lines,public.orders"},
		{"UPDATE customers SET a = 1 WHERE id = 5", signalbox.Update, signalbox.ScopeSome, "", "app.customers", "16",
			"app.customers"},
		{"UPDATE public.customers SET a = 1 WHERE id = 5", signalbox.Update, signalbox.ScopeOne, signalbox.TraitByKey,
			"public.customers", "17", "public.customers"},
		{"SET search_path = public; UPDATE customers SET a = 1 WHERE id = 5", signalbox.Update, signalbox.ScopeOne,
			signalbox.TraitByKey, "public.customers", "17", "public.customers"},
		{"SELECT set_config('search_path', 'public', false); UPDATE customers SET a = 1 WHERE id = 5",
			signalbox.Update, signalbox.ScopeOne, signalbox.TraitByKey, "public.customers", "17", "public.customers"},
		{"UPDATE orders_view SET a = 1 WHERE id = 5", signalbox.Update, signalbox.ScopeOne, signalbox.TraitOpaque,
			"public.orders", "", "app.orders_view,public.orders"},
		{"SELECT * FROM spy", signalbox.Execute, signalbox.ScopeUnknown, signalbox.TraitOpaque, "app.refund", "", ""},
		{"UPDATE spy SET a = 1 WHERE id = 5 RETURNING b", signalbox.Execute, signalbox.ScopeUnknown,
			signalbox.TraitOpaque, "app.refund", "", "app.spy,pg_catalog.pg_authid"},
		{"COMMIT; DROP TABLE customers", signalbox.Delete, signalbox.ScopeOne, "", "customers", "", "customers"},
		{"ROLLBACK TO s; DROP TABLE customers", signalbox.Delete, signalbox.ScopeOne, "", "customers", "", "customers"},
		{"SELECT o.refund FROM orders o", signalbox.Execute, signalbox.ScopeUnknown, signalbox.TraitOpaque, "refund",
			"100", ""},
		{"SELECT (o).refund FROM orders o", signalbox.Execute, signalbox.ScopeUnknown, signalbox.TraitOpaque,
			"refund", "100", ""},
		{"SELECT o.total FROM orders o", signalbox.Read, signalbox.ScopeSome, "", "public.orders", "", ""},
		{"DROP TABLE scratch", signalbox.Delete, signalbox.ScopeOne, signalbox.TraitTemporary, "pg_temp.scratch",
			"14", "pg_temp.scratch"},
		{"DROP TABLE public.scratch", signalbox.Delete, signalbox.ScopeOne, "", "public.scratch", "15",
			"public.scratch"},
		{"SELECT refund(1)", signalbox.Execute, signalbox.ScopeUnknown, signalbox.TraitOpaque, "refund", "100", ""},
		{"SELECT similarity('a', 'b')", signalbox.Read, signalbox.ScopeSome, "", "", "", ""},
		{"SELECT digest('a', 'b')", signalbox.Execute, signalbox.ScopeUnknown, signalbox.TraitOpaque, "digest", "103",
			""},
		{"SELECT gen_salt('bf')", signalbox.Execute, signalbox.ScopeUnknown, signalbox.TraitOpaque, "gen_salt", "104",
			""},
		{"SELECT word_similarity('a', 'b')", signalbox.Execute, signalbox.ScopeUnknown, signalbox.TraitOpaque,
			"word_similarity", "", ""},
		{"SELECT lower('a')", signalbox.Read, signalbox.ScopeSome, "", "", "", ""},
		{"SELECT upper('a')", signalbox.Execute, signalbox.ScopeUnknown, signalbox.TraitOpaque, "upper", "102", ""},
		{"SELECT pg_catalog.upper('a')", signalbox.Read, signalbox.ScopeSome, "", "", "", ""},
		{"SELECT 1 - 2", signalbox.Read, signalbox.ScopeSome, "", "", "", ""},
		{"SELECT 1 + 2", signalbox.Execute, signalbox.ScopeUnknown, signalbox.TraitOpaque, "+", "", ""},
		{"SELECT 1 OPERATOR(pg_catalog.+) 2", signalbox.Read, signalbox.ScopeSome, "", "", "", ""},
		{"SELECT a === b FROM orders", signalbox.Execute, signalbox.ScopeUnknown, signalbox.TraitOpaque, "===", "", ""},
		{"SELECT 'a'::email", signalbox.Execute, signalbox.ScopeUnknown, signalbox.TraitOpaque, "email", "", ""},
		{"SELECT 'a'::app.email", signalbox.Execute, signalbox.ScopeUnknown, signalbox.TraitOpaque, "app.email", "",
			""},
		{"SELECT 'a'::mood", signalbox.Read, signalbox.ScopeSome, "", "", "", ""},
	} {
		r := Classify(c.text, cat)
		s := r.Statements[len(r.Statements)-1]
		a := s.Action
		if a.Verb != c.verb || a.Impact.Scope != c.scope || c.trait != "" && !a.Has(c.trait) ||
			strings.Join(s.Writes, ",") != c.writes {
			t.Errorf("%s: %s %s %v writes %v", c.text, a.Verb, a.Impact.Scope, a.Traits, s.Writes)
		}
		if c.trait == "" && (a.Has(signalbox.TraitByKey) || a.Has(signalbox.TraitTemporary)) {
			t.Errorf("%s: traits %v", c.text, a.Traits)
		}
		if c.resource != "" && !slices.ContainsFunc(a.Resources, func(r signalbox.Resource) bool {
			return r.Name == c.resource && (c.id == "" || r.ID == c.id)
		}) {
			t.Errorf("%s: resources %+v, want %s %s", c.text, a.Resources, c.resource, c.id)
		}
	}
}

// After a text may have removed this session's temporary table, its name may
// mean the lasting one.
func TestTemporaryHidesNothing(t *testing.T) {
	cat := shop()
	for _, text := range []string{
		"DROP TABLE scratch; DROP TABLE scratch",
		"ALTER TABLE scratch RENAME TO other; DROP TABLE scratch",
		"DISCARD TEMP; DROP TABLE scratch",
		"COMMIT; DROP TABLE scratch",
		"DO 'x'; DROP TABLE scratch",
		"SET search_path = public, pg_temp; DROP TABLE scratch",
	} {
		r := Classify(text, cat)
		if last := r.Statements[len(r.Statements)-1].Action; last.Has(signalbox.TraitTemporary) {
			t.Errorf("%s: %+v", text, last)
		}
	}
}

func TestSeal(t *testing.T) {
	a, b := shop(), shop()
	if a.Version == 0 || a.Version != b.Version {
		t.Errorf("versions %d and %d of the same contents", a.Version, b.Version)
	}
	r := b.Relations["public.orders"]
	r.Triggers = true
	b.Relations["public.orders"] = r
	if b.Seal(); a.Version == b.Version {
		t.Error("one version for two contents")
	}
}

// TestSealSeesEveryField: a field that is added must be in the version too.
func TestSealSeesEveryField(t *testing.T) {
	base := Catalog{
		Relations: map[string]Relation{"a.b": {}}, Functions: map[string][]Function{"a.b": {{}}},
		Operators: map[string][]Operator{}, Types: map[string]Type{"a.b": {}},
	}
	plain := base.Seal().Version
	set := func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Bool:
			v.SetBool(true)
		case reflect.String:
			v.SetString("x")
		case reflect.Uint8, reflect.Uint32:
			v.SetUint(7)
		case reflect.Int:
			v.SetInt(7)
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		case reflect.Map:
			m := reflect.MakeMap(v.Type())
			m.SetMapIndex(reflect.ValueOf("x.y"), reflect.Zero(v.Type().Elem()))
			v.Set(m)
		default:
			t.Fatalf("%s: set it here", v.Type())
		}
	}
	check := func(name string, c Catalog) {
		if c.Seal().Version == plain {
			t.Errorf("%s is not in the version", name)
		}
	}
	each := func(typ reflect.Type, f func(i int, name string)) {
		for i := range typ.NumField() {
			if field := typ.Field(i); field.IsExported() && field.Name != "Version" {
				f(i, typ.Name()+"."+field.Name)
			}
		}
	}
	each(reflect.TypeFor[Catalog](), func(i int, name string) {
		c := base
		set(reflect.ValueOf(&c).Elem().Field(i))
		check(name, c)
	})
	each(reflect.TypeFor[Relation](), func(i int, name string) {
		var r Relation
		set(reflect.ValueOf(&r).Elem().Field(i))
		c := base
		c.Relations = map[string]Relation{"a.b": r}
		check(name, c)
	})
	each(reflect.TypeFor[Function](), func(i int, name string) {
		var f Function
		set(reflect.ValueOf(&f).Elem().Field(i))
		c := base
		c.Functions = map[string][]Function{"a.b": {f}}
		check(name, c)
	})
	each(reflect.TypeFor[Type](), func(i int, name string) {
		var typ Type
		set(reflect.ValueOf(&typ).Elem().Field(i))
		c := base
		c.Types = map[string]Type{"a.b": typ}
		check(name, c)
	})
	as := base.As("db", "role", true, []string{"public"}, nil)
	if again := base.As("db", "role", true, []string{"public"}, nil); as.Version != again.Version || as.Version == plain {
		t.Errorf("versions %d, %d as somebody, %d as nobody", as.Version, again.Version, plain)
	}
}

func TestStatementFields(t *testing.T) {
	for _, c := range []struct {
		text string
		want Statement
	}{
		{"SELECT $1, $3", Statement{Kind: KindQuery, Params: 3}},
		{"SET LOCAL work_mem TO '64MB'", Statement{Kind: KindSet, Name: "work_mem", Value: "64MB", Local: true}},
		{"SET search_path TO a, \"B\"", Statement{Kind: KindSet, Name: "search_path", Value: "a, B"}},
		{"RESET work_mem", Statement{Kind: KindSet, Name: "work_mem"}},
		{"SAVEPOINT a", Statement{Kind: KindSavepoint, Name: "a"}},
		{"PREPARE q AS SELECT $2", Statement{Kind: KindPrepare, Name: "q"}},
		{"COPY t FROM STDIN", Statement{Kind: KindCopyIn}},
		{"COPY t TO STDOUT", Statement{Kind: KindCopyOut}},
		{"COPY t TO '/x'", Statement{Kind: KindUtility}},
		{"EXPLAIN SELECT 1", Statement{Kind: KindExplain}},
		{"EXPLAIN ANALYZE SELECT 1", Statement{Kind: KindQuery}},
		{"SELECT nextval('s')", Statement{Kind: KindWrite}},
		{"COMMIT AND CHAIN", Statement{Kind: KindCommit}},
		{"LISTEN c", Statement{Kind: KindListen, Name: "c"}},
	} {
		s := Classify(c.text, nil).Statements[0]
		if s.Kind != c.want.Kind || s.Name != c.want.Name || s.Value != c.want.Value || s.Local != c.want.Local ||
			s.Params != c.want.Params {
			t.Errorf("%s: kind %d name %q value %q local %v params %d", c.text, s.Kind, s.Name, s.Value, s.Local,
				s.Params)
		}
	}
	if r := Classify(" -- nothing\n;;", nil); len(r.Statements) != 0 || r.Err != "" || !r.ReadOnly() {
		t.Errorf("empty text: %+v", r)
	}
	r := Classify("SELECT 1 ; /* x */ SELECT 2", nil)
	if len(r.Statements) != 2 || r.Statements[0].Text != "SELECT 1" ||
		!strings.HasSuffix(r.Statements[1].Text, "SELECT 2") {
		t.Errorf("pieces %+v", r.Statements)
	}
}
