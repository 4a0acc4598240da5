package postgres

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox/test/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var (
	all  = flag.Bool("all", false, "play every attack, with either role of the gate, and straight to a server too")
	only = flag.String("only", "", "play the attacks whose id begins with it")
	tell = flag.Bool("tell", false, "tell what was answered")
)

// chosen gives the attacks that are to be played. Without -all it is one in
// share.
func chosen(t *testing.T, share int) (list []attack, open []string) {
	t.Helper()
	every, open, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for n, a := range every {
		if strings.HasPrefix(a.id, *only) && (*all || *only != "" || n%share == 0) {
			list = append(list, a)
		}
	}
	return list, open
}

// share is how many attacks there are for each that make test plays.
const share = 4

func TestAttacks(t *testing.T) {
	list, open := chosen(t, share)
	w := newWorld(t)
	for _, a := range list {
		play := func(t *testing.T) {
			v := w.run(a)
			known := slices.Contains(open, a.id)
			switch {
			case len(v.wrong) == 0 && known:
				t.Errorf("this hole is closed: take %s out of open.txt", a.id)
			case len(v.wrong) > 0 && known:
				t.Logf("known to succeed:\n%s", strings.Join(v.wrong, "\n"))
			case len(v.wrong) > 0:
				t.Errorf("%s\n%s", strings.Join(v.wrong, "\n"), strings.Join(v.script, "\n"))
			case *tell:
				t.Logf("%s\n%s", a.why, strings.Join(v.script, "\n"))
			}
			if v.changed {
				w.rebuild()
			}
		}
		t.Run(a.kind+"/"+a.id, play)
		if *all && a.as == "" {
			a.as = "superuser"
			t.Run(a.kind+"/"+a.id+"/superuser", play)
		}
	}
}

// A straightStage has no gate: what an attack does there is what the gate is to
// prevent.
type straightStage struct {
	*world
	as string
}

func (s straightStage) dial(ctx context.Context, params map[string]string) (*pgconn.PgConn, error) {
	if s.as == "superuser" {
		return dial(ctx, s.server.URL(s.name), params)
	}
	return dial(ctx, fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s", gateRole, password, s.server.Port, s.name), params)
}

func (s straightStage) approve(context.Context, string) error { return nil }
func (s straightStage) halt(context.Context) error            { return nil }

// An attack that would do nothing without a gate proves nothing.
func TestAttacksAreReal(t *testing.T) {
	if !*all && *only == "" {
		t.Skip("played by make bypass")
	}
	list, _ := chosen(t, 1)
	w := newWorld(t)
	for _, a := range list {
		if a.harmless != "" {
			continue
		}
		t.Run(a.kind+"/"+a.id, func(t *testing.T) {
			p := play(t.Context(), straightStage{w, a.as}, a.steps)
			w.oracle.Hasten()
			v := w.look(a)
			if len(v.wrong) == 0 {
				t.Errorf("it has no effect straight to a server:\n%s", strings.Join(p.script, "\n"))
			}
			w.rebuild()
		})
	}
}
