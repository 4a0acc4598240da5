package demo

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox/client"
)

// agent has kiro run one statement in a psql, through the gate.
func (o *orders) agent(ctx context.Context, s *Step, sql string) (answer, error) {
	a, err := o.psql(ctx, o.agentEnv(), sql)
	o.line(s, "kiro", `psql -c "`+sql+`"`, a.text)
	return a, err
}

// direct asks the database itself, past the gate, and wants that it answers so.
func (o *orders) direct(ctx context.Context, s *Step, sql, want string) error {
	a, err := o.psql(ctx, o.directEnv(), sql, "-A", "-t")
	if err != nil {
		return err
	}
	o.line(s, "the database itself", `psql -c "`+sql+`"`, a.text)
	if a.code != 0 || a.text != want {
		return fmt.Errorf("the database says %q, it should be %q", a.text, want)
	}
	return nil
}

// agentWants has kiro run a statement that must succeed with this in the output.
func (o *orders) agentWants(ctx context.Context, s *Step, sql, want string) error {
	a, err := o.agent(ctx, s, sql)
	if err != nil {
		return err
	}
	if a.code != 0 || !strings.Contains(a.text, want) {
		return fmt.Errorf("psql printed %q with exit code %d, it should print %q", a.text, a.code, want)
	}
	return nil
}

// agentIsHeld has kiro run a statement that must be held, and gives the hold.
func (o *orders) agentIsHeld(ctx context.Context, s *Step, sql string) (client.Hold, error) {
	a, err := o.agent(ctx, s, sql)
	if err != nil {
		return client.Hold{}, err
	}
	return o.held(ctx, a)
}

// held wants that psql was told of a hold, as the protocol tells it: SQLSTATE,
// DETAIL with the hold and its page, HINT. It gives the hold.
func (o *orders) held(ctx context.Context, a answer) (client.Hold, error) {
	for _, part := range []string{"ERROR:  SB001", "DETAIL:  Hold ", o.server.URL() + "/holds/", "HINT:  "} {
		if a.code == 0 || !strings.Contains(a.text, part) {
			return client.Hold{}, fmt.Errorf("psql ended with %d and says nothing like %q: it should be held", a.code,
				part)
		}
	}
	_, rest, _ := strings.Cut(a.text, "DETAIL:  Hold ")
	id, _, _ := strings.Cut(rest, ",")
	h, err := o.bob.Hold(ctx, id)
	if err != nil {
		return h, fmt.Errorf("the hold that psql names: %w", err)
	}
	if h.Status != "open" {
		return h, fmt.Errorf("hold %s is %s, it should be open", h.ID, h.Status)
	}
	if page := h.URL; len(o.result.Holds) == 0 || o.result.Holds[len(o.result.Holds)-1] != page {
		o.result.Holds = append(o.result.Holds, page)
	}
	return h, nil
}

// asleep waits until the agent's pg_sleep runs in the database.
func (o *orders) asleep(ctx context.Context) error {
	conn, err := pgconn.Connect(ctx, o.postgres.URL(database))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return until(ctx, "the agent's statement to run", func(ctx context.Context) (bool, error) {
		r, err := conn.Exec(ctx, "SELECT FROM pg_stat_activity WHERE usename = '"+role+
			"' AND wait_event = 'PgSleep'").ReadAll()
		return err == nil && len(r[0].Rows) == 1, err
	})
}
