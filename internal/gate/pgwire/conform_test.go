package pgwire

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock"
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
					b := newBench(t, nil)
					b.direct(t, "CREATE TABLE t (a int)")
					conn := b.connect(t, actor)
					return gatetest.Subject{
						Read:   func(ctx context.Context) error { return do(ctx, conn, "SELECT a FROM t") },
						Change: func(ctx context.Context) error { return do(ctx, conn, change) },
						Effects: func(context.Context) (int, error) {
							return strconv.Atoi(strings.TrimSpace(b.direct(t, "SELECT count(*) FROM t", "-At")))
						},
						Journal: func() []gatetest.Entry {
							var list []gatetest.Entry
							for _, e := range b.entries("admit", "abandon", "spend", "refused") {
								word, _, _ := strings.Cut(e, " ")
								list = append(list, gatetest.Entry(word))
							}
							return list
						},
						Decide: func(d signalbox.Decision) {
							b.mu.Lock()
							defer b.mu.Unlock()
							b.script.decide, b.script.failing = nil, nil
							switch d {
							case signalbox.Hold:
								b.script.decide = holding(change)
							case signalbox.Deny:
								b.script.decide = func(r interlock.Request) error {
									if strings.Contains(r.Text, change) {
										return &interlock.DeniedError{Verdict: signalbox.Verdict{Reason: "no"}}
									}
									return nil
								}
							case "":
								b.script.failing = fmt.Errorf("%w: disk full", interlock.ErrUnavailable)
							}
						},
						Held:   func(err error) bool { return code(err) == StateHeld },
						Denied: func(err error) bool { return code(err) == StateDenied },
						Halt:   b.halt,
					}
				})
			})
		}
	}
}
