package pgwire

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// BenchmarkMigration runs DDL in a database that has many objects already,
// straight and through the gate. One operation is one statement. The gate has to
// know what is there before it judges the next.
func BenchmarkMigration(b *testing.B) {
	for _, tables := range []int{100, 2000} {
		b.Run(fmt.Sprintf("tables=%d", tables), func(b *testing.B) {
			g := newTestGate(b, nil)
			g.direct(b, schemaOf(tables))
			direct, err := pgx.Connect(b.Context(), g.db.URL())
			if err != nil {
				b.Fatal(err)
			}
			defer direct.Close(context.Background())
			gate := g.connect(b, "human-alice")
			for _, block := range []bool{false, true} {
				b.Run(fmt.Sprintf("block=%t/direct", block), func(b *testing.B) { migrate(b, direct, block) })
				b.Run(fmt.Sprintf("block=%t/gate", block), func(b *testing.B) { migrate(b, gate, block) })
			}
		})
	}
}

// schemaOf makes tables with keys, defaults, references and views.
func schemaOf(tables int) string {
	var s strings.Builder
	s.WriteString("BEGIN; CREATE TABLE t0 (id int PRIMARY KEY, note text);\n")
	for i := range tables {
		fmt.Fprintf(&s, "CREATE TABLE t%d (id bigserial PRIMARY KEY, parent int REFERENCES t0 ON DELETE CASCADE, note text DEFAULT 'x', at timestamptz, UNIQUE (parent, at));\n", i+1)
		if i%10 == 0 {
			fmt.Fprintf(&s, "CREATE VIEW v%d AS SELECT * FROM t%d JOIN t0 USING (id, note);\n", i, i+1)
			fmt.Fprintf(&s, "CREATE FUNCTION f%d(int) RETURNS int LANGUAGE sql AS 'SELECT $1';\n", i)
		}
	}
	s.WriteString("COMMIT;\n")
	return s.String()
}

func migrate(b *testing.B, conn *pgx.Conn, block bool) {
	steps := []string{
		"CREATE TABLE made (id int PRIMARY KEY, note text)", "ALTER TABLE made ADD COLUMN more int",
		"CREATE INDEX ON made (more)", "COMMENT ON TABLE made IS 'made'", "DROP TABLE made",
	}
	ctx := b.Context()
	exec := func(sql string) {
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			b.Fatal(err)
		}
	}
	exec("DROP TABLE IF EXISTS made")
	b.ResetTimer()
	if block {
		exec("BEGIN")
	}
	for i := range b.N {
		exec(steps[i%len(steps)])
	}
	if block {
		exec("ROLLBACK")
	}
}
