package pgwire

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// TestTextTooLongToJudge: the refusal says what is too long, and is no failure to
// record it.
func TestTextTooLongToJudge(t *testing.T) {
	b := newTestGate(t, nil)
	conn := b.connect(t, "agent-kiro")
	text := "SELECT '" + strings.Repeat("x", sql.MaxText) + "'"
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec} {
		_, err := conn.Exec(t.Context(), text, mode)
		refused := (*pgconn.PgError)(nil)
		if !errors.As(err, &refused) || refused.Code != "54000" || !strings.Contains(refused.Message, "1048576 bytes") {
			t.Errorf("%v: %v", mode, err)
		}
	}
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Error(err)
	}
}
