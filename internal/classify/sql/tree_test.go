package sql

import (
	"os"
	"strings"
	"testing"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"

	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// sameTree holds what we read of a text against what the parser's own package
// gives.
func sameTree(t *testing.T, text string) {
	t.Helper()
	if tooMuch(text, lex(text, nil)) != "" {
		return
	}
	want, wantErr := pg.Parse(text)
	got, err := pgtree.Parse(text)
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("%q: error %v, want %v", text, err, wantErr)
	}
	if err != nil {
		return
	}
	if !proto.Equal(&pg.ParseResult{Version: want.GetVersion(), Stmts: got}, want) {
		t.Fatalf("%q:\n got %v\nwant %v", text, got, want.GetStmts())
	}
}

func TestTree(t *testing.T) {
	b, err := os.ReadFile("testdata/statements.txt")
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(string(b)) {
		sameTree(t, text)
	}
	for _, text := range []string{
		"", ";;", "SELECT 1; ; SELECT 2", "SELECT -0, 0, 2147483647, 2147483648, -2147483648, 1e400, 0x7fffffff, '', \"x\", true, false, NULL, B'0', X'f'",
		`SELECT E'\x01\b\f\n\r\t\"\\\'<>\x7f é', U&'\0001\2028', '"\', '{}[],:null'`, "SELECT 'é\u2028', \"\u00e9\"",
		"SELECT '\xff'", "SELECT 1 -- \xff", "SELECT E'\\xff'",
		"CREATE TRIGGER t BEFORE INSERT OR UPDATE OF a ON b EXECUTE FUNCTION f()",
		"DROP FUNCTION f(int, OUT a text), g", "SELECT f(*), f(VARIADIC a), count(*) FILTER (WHERE true)",
		"CREATE OPERATOR + (LEFTARG = NONE)", "DROP OPERATOR + (NONE, int)", "COPY t FROM STDIN WITH (FORMAT csv, NULL '')", "SELECT ALL a FROM b", "SELECT DISTINCT a FROM b", "CREATE GLOBAL TEMP TABLE a (b int)",
		"ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES b ON DELETE SET NULL (a) MATCH FULL", "UPDATE t SET (a, b) = (SELECT 1, 2)", "selec", "SELECT '", "SELECT 1::numeric(10, 2)[3][]", "SET a = -1.5, x, 'y'",
	} {
		sameTree(t, text)
	}
}

// The tree that we read is the one that the parser's own package gives.
func FuzzTree(f *testing.F) {
	seeds(f)
	f.Fuzz(sameTree)
}
