package sql

import (
	"strings"
	"testing"
)

// Deep and long texts must neither crash the parser's C code nor our own walk.
func TestHostile(t *testing.T) {
	const n = 50_000
	r := strings.Repeat
	for name, text := range map[string]string{
		"parentheses":    "SELECT " + r("(", n) + "1" + r(")", n),
		"open only":      "SELECT " + r("(", n),
		"brackets":       "SELECT " + r("ARRAY[", n) + "1" + r("]", n),
		"plus":           "SELECT 1" + r("+1", n),
		"not":            "SELECT " + r("NOT ", n) + "true",
		"minus":          "SELECT " + r("- ", n) + "1",
		"cast":           "SELECT 1" + r("::int", n),
		"is null":        "SELECT 1" + r(" IS NULL", n),
		"is distinct":    "SELECT 1" + r(" IS DISTINCT FROM 1", n/2),
		"collate":        "SELECT 'a'" + r(` COLLATE "C"`, n/2),
		"at time zone":   "SELECT now()" + r(" AT TIME ZONE 'UTC'", n/4),
		"at local":       "SELECT now()" + r(" AT LOCAL", n/2),
		"concat":         "SELECT 'a'" + r("||'a'", n),
		"and":            "SELECT true" + r(" AND true", n),
		"or":             "SELECT true" + r(" OR true", n),
		"and or":         "SELECT true" + r(" AND true OR true", n/2),
		"union":          "SELECT 1" + r(" UNION SELECT 1", n/2),
		"union commas":   "SELECT 1, 2" + r(" UNION ALL SELECT 1, 2", n/4),
		"except":         "SELECT 1" + r(" EXCEPT SELECT 1", n/2),
		"intersect":      "SELECT 1" + r(" INTERSECT SELECT 1", n/2),
		"join":           "SELECT * FROM a" + r(" JOIN a ON true", n/4),
		"cross join":     "SELECT * FROM a" + r(" CROSS JOIN a", n/4),
		"natural join":   "SELECT * FROM a, b" + r(" NATURAL JOIN a", n/4),
		"case":           "SELECT " + r("CASE WHEN true THEN ", n/4) + "1" + r(" END", n/4),
		"case when":      "SELECT " + r("CASE WHEN ", n/4),
		"sub select":     "SELECT " + r("(SELECT ", n/4) + "1" + r(")", n/4),
		"from select":    r("SELECT * FROM (", n/4) + "SELECT 1" + r(") x", n/4),
		"with":           r("WITH a AS (", n/4) + "SELECT 1" + r(") SELECT 1", n/4),
		"function":       "SELECT " + r("f(", n) + r(")", n),
		"row":            "SELECT " + r("ROW(", n) + r(")", n),
		"like":           "SELECT 'a'" + r(" LIKE 'a'", n/2),
		"subscript":      "SELECT a" + r("[1]", n),
		"field":          "SELECT (a)" + r(".b", n),
		"between":        "SELECT 1" + r(" BETWEEN 1 AND 1", n/4),
		"in":             "SELECT 1" + r(" IN (1)", n/4),
		"atomic":         r("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC ", n/10),
		"if":             r("EXPLAIN ", n),
		"operator any":   "SELECT 1" + r(" = ANY (a)", n/4),
		"arrow":          "SELECT a" + r("->'b'", n/2),
		"custom":         "SELECT 1" + r(" OPERATOR(pg_catalog.+) 1", n/8),
		"unary":          "SELECT " + r("@ ", n) + "1",
		"statements":     r("SELECT 1;", n),
		"semicolons":     r(";", n),
		"values":         "INSERT INTO a VALUES (1)" + r(",(-1)", n),
		"names":          "SELECT " + r("a.", n) + "b",
		"escape":         "SELECT 'a'" + r(" LIKE 'a' ESCAPE 'b'", n/10),
		"xml":            "SELECT " + r("xmlconcat(", n/4) + "1" + r(")", n/4),
		"grouping":       "SELECT 1 FROM a GROUP BY " + r("GROUPING SETS (", n/8) + "b" + r(")", n/8),
		"json":           "SELECT " + r("JSON_OBJECT('a': ", n/8) + "1" + r(")", n/8),
		"schema":         r("CREATE SCHEMA a ", n/8),
		"nested comment": r("/*", n) + r("*/", n) + " SELECT 1",
		"open comment":   r("/*", n),
		"isnull":         "SELECT 1" + r(" ISNULL", n/2),
		"is document":    "SELECT 1" + r(" IS DOCUMENT", n/2),
		"is json":        "SELECT 1" + r(" IS JSON", n/2),
		"over":           "SELECT " + r("f() OVER (ORDER BY ", n/8),
		"setof":          "SELECT 1::" + r("SETOF ", n/8) + "int",
		"operators":      "SELECT 1 " + r("+", n) + " 1",
		"comments":       r("/**/", n) + "SELECT 1",
		"stars":          "/" + r("*", n) + "/ SELECT 1",
		"targets":        "UPDATE t SET (a" + r(",a", n) + ") = (SELECT 1" + r(",1", n) + ")",
		"targets nested": r("WITH x AS (UPDATE t SET (a, b) = (", 60) + "SELECT 1" + r(")) SELECT 1", 60),
		"too long":       "SELECT '" + r("a", MaxText) + "'",
	} {
		t.Run(name, func(t *testing.T) {
			if res := Classify(text, nil); len(res.Statements) == 0 && name != "semicolons" {
				t.Errorf("no statement")
			}
		})
	}
}

// The tree of an assignment to several columns has its source once for each.
func TestSourcesCopied(t *testing.T) {
	nested := func(depth int, targets string) string {
		return strings.Repeat("WITH x AS (UPDATE t SET "+targets+" = (", depth) + "SELECT 1" +
			strings.Repeat(")) SELECT 1", depth)
	}
	for text, want := range map[string]bool{
		nested(3, "(a, b)"):                         false,
		nested(60, "(a)"):                           false,
		nested(60, "a"):                             false,
		nested(18, "(a, b)"):                        true,
		nested(18, "(a[1],b)"):                      true,
		nested(18, "c = 1, ( /* , */ a , \"(\" ) "): true,
		"UPDATE t SET (a, b, c) = (1, 2, 3), (d, e) = (SELECT 1, 2) WHERE (a, b) = (1, 2) RETURNING (a, b) = (1, 2)": false,
		"UPDATE t SET (a, b, c) = (v.x, v.y, v.z) FROM (VALUES (1, 2, 3, 4)" +
			strings.Repeat(", (1, 2, 3, 4)", 20_000) + ") v (k, x, y, z)": false,
		"UPDATE t SET (a, b, c) = (1, 2, 3) WHERE k IN (1" + strings.Repeat(", 1", 100_000) +
			")": false,
		"INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET (a" + strings.Repeat(", a", 1000) + ") = (1" +
			strings.Repeat(", a", 1000) + ")": true,
		"SELECT (a, b, c) = (1, 2, 3)" + strings.Repeat(", (a, b, c) = (1, 2, 3)",
			5000): false,
	} {
		if got := copiedWork(text, lex(text, nil)); got != want {
			t.Errorf("%.100s: %t, want %t", text, got, want)
		}
	}
}
