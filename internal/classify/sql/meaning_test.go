package sql

import (
	"testing"

	"github.com/signalbox-dev/signalbox"
)

// Functions that run what another statement, a cursor or a name stands for.
func TestFunctionsThatRun(t *testing.T) {
	cat := shop()
	for text, want := range map[string]signalbox.Verb{
		"SELECT cursor_to_xml('x', 1000, true, false, '')": signalbox.Execute,
		"SELECT cursor_to_xmlschema('x', true, false, '')": signalbox.Execute,
		"SELECT schema_to_xml('public', true, false, '')":  signalbox.Execute,
		"SELECT database_to_xml(true, false, '')":          signalbox.Execute,
		"SELECT query_to_xml('x', true, false, '')":        signalbox.Execute,
		"SELECT ts_stat('SELECT evil()')":                  signalbox.Execute,
		"SELECT domain_in('x', 1, -1)":                     signalbox.Execute,
		"SELECT pg_input_is_valid('x', 'app.email')":       signalbox.Execute,
		"SELECT table_to_xml('orders', true, false, '')":   signalbox.Read,
		"SELECT table_to_xml('spy', true, false, '')":      signalbox.Execute,
		"SELECT table_to_xml('app.spy', true, false, '')":  signalbox.Execute,
		"SELECT table_to_xml('SPY', true, false, '')":      signalbox.Execute,
		"SELECT table_to_xml('13', true, false, '')":       signalbox.Execute,
		"SELECT table_to_xml(13, true, false, '')":         signalbox.Execute,
		"SELECT table_to_xml($1, true, false, '')":         signalbox.Execute,
		"SELECT table_to_xml('nowhere', true, false, '')":  signalbox.Execute,
		"SELECT table_to_xmlschema('spy', true, false,'')": signalbox.Read,
	} {
		if a := Classify(text, cat).Statements[0].Action; a.Verb != want {
			t.Errorf("%s: %s %s", text, a.Verb, a.Native)
		}
	}
}

// A setting that is kept concerns every session to come.
func TestKeptSettings(t *testing.T) {
	for _, text := range []string{
		"ALTER ROLE gate SET statement_timeout = '1ms'", "ALTER ROLE ALL SET statement_timeout = '1ms'", "ALTER ROLE gate RESET work_mem",
		"ALTER ROLE gate IN DATABASE shop SET app.x = '1'", "ALTER DATABASE shop SET work_mem = '1MB'", "ALTER SYSTEM SET work_mem = '1MB'",
		"ALTER USER gate SET row_security TO on",
	} {
		if a := Classify(text, nil).Statements[0].Action; a.Verb == signalbox.Read || !a.Has(signalbox.TraitTop) {
			t.Errorf("%s: %s %v", text, a.Verb, a.Traits)
		}
	}
}

// A relation is temporary for what it holds, not for where its name stands.
func TestTemporaryViewsWriteThrough(t *testing.T) {
	cat := (&Catalog{
		SearchPath: []string{"public"},
		Relations: map[string]Relation{
			"public.products": {OID: 1, Schema: "public", Name: "products", Kind: 'r', Keys: [][]string{{"id"}}},
			"public.settings": {OID: 2, Schema: "public", Name: "settings", Kind: 'r'},
			"pg_temp.tv": {OID: 3, Schema: "pg_temp_3", Name: "tv", Kind: 'v', Base: []string{"public.products"},
				Temporary: true},
			"pg_temp.own": {OID: 4, Schema: "pg_temp_3", Name: "own", Kind: 'v',
				Base: []string{"pg_temp_3.scratch"}, Temporary: true},
			"pg_temp.scratch": {OID: 5, Schema: "pg_temp_3", Name: "scratch", Kind: 'r', Temporary: true},
			"pg_temp.ruled":   {OID: 6, Schema: "pg_temp_3", Name: "ruled", Kind: 'r', Rules: true, Temporary: true},
			"pg_temp.fires":   {OID: 7, Schema: "pg_temp_3", Name: "fires", Kind: 'r', Triggers: true, Temporary: true},
			"pg_temp.blind":   {OID: 8, Schema: "pg_temp_3", Name: "blind", Kind: 'v', Temporary: true},
			// Names by schema, as the gate gives both.
			"pg_temp_3.scratch": {OID: 5, Schema: "pg_temp_3", Name: "scratch", Kind: 'r', Temporary: true},
		},
	}).Seal()
	for text, want := range map[string]bool{
		"UPDATE tv SET stock = 0": false, "DELETE FROM tv": false, "INSERT INTO tv VALUES (1)": false,
		"UPDATE own SET a = 0": true, "DELETE FROM scratch": true, "DELETE FROM ruled": false, "DELETE FROM fires": false, "DELETE FROM blind": false,
		"CREATE TEMP VIEW v AS SELECT * FROM products; UPDATE v SET stock = 0": false,
		"CREATE TEMP TABLE n (a int); DELETE FROM n":                           true,
		"DROP VIEW tv":                       true,
		"CREATE TEMP TABLE settings (k int)": true,
	} {
		all := Classify(text, cat).Statements
		if a := all[len(all)-1].Action; a.Has(signalbox.TraitTemporary) != want {
			t.Errorf("%s: traits %v", text, a.Traits)
		}
	}
	for _, text := range []string{"CREATE TEMP TABLE settings (k int)", "CREATE TEMP TABLE settings AS SELECT 1",
		"CREATE TEMP VIEW settings AS SELECT 1", "SELECT 1 INTO TEMP settings"} {
		if a := Classify(text, cat).Statements[0].Action; len(a.Resources) == 0 ||
			a.Resources[0].Name != "pg_temp.settings" {
			t.Errorf("%s: %v", text, a.Resources)
		}
	}
}

// What a reviewed extension adds beside PostgreSQL's own changes nothing; what a
// user adds may.
func TestExtensionsBesideBuiltins(t *testing.T) {
	ext := func(name string) Function {
		return Function{OID: 7, Volatility: 'i', Language: "c", Extension: name}
	}
	cat := (&Catalog{
		SearchPath: []string{"public"},
		Relations: map[string]Relation{
			"public.v": {OID: 1, Schema: "public", Name: "v", Kind: 'v', Base: []string{"public.t"},
				Calls: []string{"public.citext_eq"}},
			"public.w": {OID: 2, Schema: "public", Name: "w", Kind: 'v', Base: []string{"public.t"},
				Calls: []string{"public.lower"}},
		},
		Functions: map[string][]Function{
			"public.citext_eq": {ext("citext")},
			"public.replace":   {{OID: 8, Volatility: 'i', Language: "sql", Extension: "citext"}},
			"public.translate": {{OID: 8, Volatility: 'i', Language: "sql", Extension: "citext"},
				{OID: 9, Volatility: 'i', Language: "sql"}},
			"public.gen_random_uuid": {{OID: 10, Volatility: 'v', Language: "c", Extension: "pgcrypto"}},
			"public.max":             {{OID: 11, Volatility: 'i', Language: "internal", Extension: "citext"}},
			"public.set_limit":       {{OID: 12, Volatility: 'v', Language: "c", Extension: "pg_trgm"}},
			"public.handmade":        {{OID: 13, Volatility: 'i', Language: "plpgsql", Extension: "citext"}},
			"public.strange":         {ext("somebodys")},
			"public.lower":           {{OID: 14, Volatility: 'i', Language: "sql"}},
			"public.pg_notify":       {ext("citext")},
		},
	}).Seal()
	for text, want := range map[string]signalbox.Verb{
		"SELECT citext_eq(a, b) FROM t": signalbox.Read, "SELECT replace(a, 'x', 'y') FROM t": signalbox.Read,
		"SELECT gen_random_uuid()": signalbox.Read, "SELECT max(a) FROM t": signalbox.Read,
		"SELECT * FROM v":                      signalbox.Read,
		"SELECT translate(a, 'x', 'y') FROM t": signalbox.Execute, "SELECT set_limit(0.1)": signalbox.Execute,
		"SELECT handmade(1)": signalbox.Execute,
		"SELECT strange(1)":  signalbox.Execute, "SELECT lower(a) FROM t": signalbox.Execute,
		"SELECT * FROM w":            signalbox.Execute,
		"SELECT pg_notify('a', 'b')": signalbox.Update,
	} {
		if a := Classify(text, cat).Statements[0].Action; a.Verb != want {
			t.Errorf("%s: %s %s", text, a.Verb, a.Native)
		}
	}
}

// PostgreSQL calls f(x) where x.f is no column, its own functions too.
func TestFunctionsWrittenAsColumns(t *testing.T) {
	for text, want := range map[string]signalbox.Verb{
		"SELECT (4242).pg_terminate_backend":                                  signalbox.Execute,
		"SELECT (16400::oid).lo_unlink":                                       signalbox.Delete,
		"SELECT (lo_create(0)).lo_unlink":                                     signalbox.Delete,
		"SELECT ('x'::text).pg_read_file":                                     signalbox.Execute,
		"SELECT ('orders_id_seq'::regclass).nextval":                          signalbox.Update,
		"SELECT (SELECT pid FROM pg_stat_activity LIMIT 1).pg_cancel_backend": signalbox.Execute,
		"SELECT (a).b, (a).btrim, t.system, t.name FROM t":                    signalbox.Read,
	} {
		for _, cat := range []*Catalog{nil, shop()} {
			if a := Classify(text, cat).Statements[0].Action; a.Verb != want {
				t.Errorf("%s: %s %s", text, a.Verb, a.Native)
			}
		}
	}
}
