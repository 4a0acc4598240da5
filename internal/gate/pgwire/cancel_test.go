package pgwire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
)

// onlyKey gives the cancel request of the gate's only connection.
func onlyKey(t *testing.T, g *Gate) []byte {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(c.key.pid)), c.key.secret)
	}
	t.Fatal("the gate has no connection")
	return nil
}

// The cancel key does not reach statements of the gate's own, however often it is
// shown.
func TestCancelsHitOnlyTheClientsStatements(t *testing.T) {
	b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Ceiling = 100 })
	b.direct(t, shop)
	r, err := dialRaw(b, t, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.query("SELECT 1")
	key := onlyKey(t, b.gate)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				b.gate.cancelRequest(nil, key)
			}
		}
	}()
	deadline := time.Now().Add(2 * time.Second)
	for time.Now().Before(deadline) {
		for _, sql := range []string{"VACUUM settings", "DELETE FROM tree WHERE id = 1",
			"SELECT table_to_xml('evil', true, false, '')"} {
			if got := r.query(sql); strings.Contains(got, "END") {
				t.Fatalf("%s: %s", sql, got)
			}
		}
	}
	close(stop)
	<-stopped
	if got := strings.TrimSpace(b.direct(t, kept, "-At")); got != keptAnswer {
		t.Errorf("notes, tree, settings, doors, large objects are %s, want %s", got, keptAnswer)
	}
}

// A COMMIT that the server has confirmed is done, and one whose answer is the end
// of the connection is unknown: never failed.
func TestTerminatedCommitIsNeverFailed(t *testing.T) {
	b := newTestGate(t, nil)
	b.direct(t, "CREATE TABLE log (id int)")
	want := 0
	for i := range 60 {
		r, err := dialRaw(b, t, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.Clear()
		r.query("BEGIN")
		r.query(fmt.Sprintf("INSERT INTO log VALUES (%d)", i))
		pid := strings.TrimSpace(b.direct(t, "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'", "-At"))
		killed := make(chan error, 1)
		go func() {
			_, err := run(b.db.Command(t.Context(), b.db.Name, "psql", "-X", "-q", "-c",
				fmt.Sprintf("SELECT pg_terminate_backend(%s)", pid)), "")
			killed <- err
		}()
		r.run("COMMIT")
		r.sync()
		if err := <-killed; err != nil {
			t.Fatal(err)
		}
		there := strings.TrimSpace(b.direct(t, fmt.Sprintf("SELECT count(*) FROM log WHERE id = %d", i), "-At"))
		if said := strings.Join(b.Entries(), ", "); there == "1" && strings.Contains(said, "outcome failed") ||
			there == "0" && strings.Contains(said, "outcome done") {
			t.Errorf("rows: %s, and the log says %s", there, said)
		}
		if there == "1" {
			want++
		}
	}
	if got := strings.TrimSpace(b.direct(t, "SELECT count(*) FROM log", "-At")); got != fmt.Sprint(want) {
		t.Errorf("%s rows, want %d", got, want)
	}
}

func TestConclude(t *testing.T) {
	lost := &lostError{err: errors.New("reset")}
	cases := map[string]struct {
		p     pump
		err   error
		final bool
		want  signalbox.Result
	}{
		"answered":           {pump{rows: 1}, nil, true, signalbox.Done},
		"refused":            {pump{code: "23505", errored: true}, nil, true, signalbox.Failed},
		"lost behind COMMIT": {pump{}, lost, true, signalbox.ResultUnknown},
		"terminated behind COMMIT": {pump{code: "57P01", fatal: true}, errFatal, true,
			signalbox.ResultUnknown},
		"terminated when it had committed": {pump{code: "57P01", fatal: true, final: true}, errFatal, true,
			signalbox.Done},
		"terminated before COMMIT": {pump{code: "57P01", fatal: true}, errFatal, false, signalbox.Failed},
		"lost before COMMIT":       {pump{}, lost, false, signalbox.Failed},
		"refused, then terminated": {pump{code: "23505", errored: true, fatal: true}, errFatal, true,
			signalbox.Failed},
		"a statement complete, not yet COMMIT": {pump{commands: 1, code: "57P01", fatal: true}, errFatal, true,
			signalbox.ResultUnknown},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out, _, _ := conclude(&c.p, c.err, c.final)
			if out.Result != c.want {
				t.Errorf("%s, want %s", out.Result, c.want)
			}
		})
	}
}
