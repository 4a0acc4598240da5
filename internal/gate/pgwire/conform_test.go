package pgwire

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
)

// Every actor, by every protocol and in transactions of its own, keeps what all
// gates promise.
func TestConforms(t *testing.T) {
	change := "INSERT INTO t VALUES (1)"
	ways := map[string]func(ctx context.Context, c *pgx.Conn, sql string) error{
		"simple": func(ctx context.Context, c *pgx.Conn, sql string) error {
			_, err := c.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
			return err
		},
		"extended": func(ctx context.Context, c *pgx.Conn, sql string) error {
			_, err := c.Exec(ctx, sql, pgx.QueryExecModeExec)
			return err
		},
		"prepared": func(ctx context.Context, c *pgx.Conn, sql string) error {
			_, err := c.Exec(ctx, sql, pgx.QueryExecModeCacheStatement)
			return err
		},
		"transaction": func(ctx context.Context, c *pgx.Conn, sql string) error {
			return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, sql)
				return err
			})
		},
	}
	for name, do := range ways {
		for _, actor := range []string{"human-alice", "agent-kiro"} {
			t.Run(name+" by "+actor, func(t *testing.T) {
				gatetest.Exercise(t, func(t *testing.T) gatetest.Subject {
					b := newTestGate(t, nil)
					b.direct(t, "CREATE TABLE t (a int)")
					conn := b.connect(t, actor)
					return gatetest.Subject{
						Read:   func(ctx context.Context) error { return do(ctx, conn, "SELECT a FROM t") },
						Change: func(ctx context.Context) error { return do(ctx, conn, change) },
						Effects: func(context.Context) (int, error) {
							return strconv.Atoi(strings.TrimSpace(b.direct(t, "SELECT count(*) FROM t", "-At")))
						},
						Script: b.Script,
						Held:   func(err error) bool { return code(err) == StateHeld },
						Denied: func(err error) bool { return code(err) == StateDenied },
					}
				})
			})
		}
	}
}
