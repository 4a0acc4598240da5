package pgwire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// panicking panics in the middle of what it is told to.
type panicking struct{ *gatetest.Script }

func (p panicking) Admit(ctx context.Context, r interlock.Request, x interlock.Executor) (gate.Admission, error) {
	if strings.Contains(r.Text, "judged") {
		panic("in the judgement")
	}
	a, err := p.Script.Admit(ctx, r, x)
	if err == nil && strings.Contains(r.Text, "executed") {
		a = halfway{a}
	}
	return a, err
}

func (p panicking) Do(ctx context.Context, r interlock.Request, x interlock.Executor) (signalbox.Outcome, error) {
	a, err := p.Admit(ctx, r, x)
	if err != nil {
		return signalbox.Outcome{}, err
	}
	return p.Execute(ctx, []gate.Admission{a}, x)
}

func (p panicking) Execute(ctx context.Context, as []gate.Admission, x interlock.Executor) (signalbox.Outcome, error) {
	if h, ok := as[0].(halfway); ok {
		as, x = []gate.Admission{h.Admission}, panickingExecutor{x}
	}
	return p.Script.Execute(ctx, as, x)
}

// halfway marks an admission whose execution panics.
type halfway struct{ gate.Admission }

// A panickingExecutor panics when half of it is done.
type panickingExecutor struct{ interlock.Executor }

func (x panickingExecutor) Execute(ctx context.Context, p *interlock.Permit) (signalbox.Outcome, error) {
	_, _ = x.Executor.Execute(ctx, p) // what it gives is lost with the panic
	panic("in the execution")
}

// A panic ends the connection in which it happened, and nothing else: told,
// counted, and what it was doing is known by nobody.
func TestPanicEndsOneConnection(t *testing.T) {
	var panics atomic.Int64
	b := newTestGate(t, func(c *Config, s *gatetest.Script) {
		c.Interlock = panicking{s}
		c.Panicked = func(string) { panics.Add(1) }
	})
	b.direct(t, "CREATE TABLE notes (id int, note text)")
	bystander := b.connect(t, "human-bob")
	if _, err := bystander.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ sql, code string }{
		{"INSERT INTO notes VALUES (1, 'judged')", "XX000"},
		{"INSERT INTO notes VALUES (1, 'executed')", "08007"},
	} {
		for _, user := range []string{"human-alice", "agent-kiro"} {
			before := panics.Load()
			conn := b.connect(t, user)
			_, err := conn.Exec(t.Context(), c.sql)
			if code(err) != c.code && !strings.Contains(err.Error(), c.code) {
				t.Errorf("%s, %s: %v, want %s", user, c.sql, err, c.code)
			}
			if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
				t.Errorf("%s, %s: the connection goes on", user, c.sql)
			}
			if panics.Load() != before+1 {
				t.Errorf("%s, %s: %d panics counted, want one", user, c.sql, panics.Load()-before)
			}
		}
	}
	if _, err := bystander.Exec(t.Context(), "SELECT 2"); err != nil {
		t.Errorf("a bystander: %v", err)
	}
	b.connect(t, "human-alice")
}

// Messages of a server that are too short for what they are end the connection,
// whenever they come.
func TestShortMessagesOfAServer(t *testing.T) {
	for typ := range 256 {
		if leastBody[typ] == 0 {
			continue
		}
		m := binary.BigEndian.AppendUint32([]byte{byte(typ)}, uint32(4+leastBody[typ]-1))
		m = append(m, make([]byte, leastBody[typ]-1)...)
		in := frames{src: bytes.NewReader(m), limit: maxAnswer, server: true}
		if _, _, err := in.at(0); !errors.Is(err, errShort) {
			t.Errorf("%c: %v", typ, err)
		}
	}
	bystanders := newTestGate(t, nil)
	bystander := bystanders.connect(t, "human-bob")
	for name, answer := range map[string][]byte{
		"ready without status":   {'Z', 0, 0, 0, 4},
		"row without count":      {'D', 0, 0, 0, 4},
		"row of too few":         {'D', 0, 0, 0, 6, 0, 0},
		"error without end":      {'E', 0, 0, 0, 4},
		"complete without tag":   {'C', 0, 0, 0, 4},
		"parameter of nothing":   {'S', 0, 0, 0, 4},
		"copy of nothing":        {'G', 0, 0, 0, 4},
		"length below the least": {'1', 0, 0, 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFakeServer(t, func(c net.Conn) { hostile(c, answer) })
			b := newTestGate(t, func(c *Config, _ *gatetest.Script) {
				s.behind(c)
				c.Upstream.Auth = "none"
			})
			for _, user := range []string{"human-alice", "agent-kiro"} {
				// The gate may ask the server at log-in already.
				conn, err := pgx.Connect(t.Context(), b.url(user))
				for _, sql := range []string{"BEGIN", "DELETE FROM notes", "COMMIT"} {
					if err == nil {
						_, err = conn.PgConn().Exec(t.Context(), sql).ReadAll()
					}
				}
				if err == nil {
					t.Errorf("%s: it worked", user)
				}
				if conn != nil {
					conn.Close(t.Context())
				}
			}
		})
	}
	if _, err := bystander.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("another gate's client: %v", err)
	}
}

// hostile logs the gate in, gives one answer to the first question, and hangs up.
func hostile(c net.Conn, answer []byte) {
	b := pgproto3.NewBackend(c, c)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
	for name, value := range map[string]string{"server_version": "15.0", "client_encoding": "UTF8",
		"standard_conforming_strings": "on"} {
		b.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
	}
	b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	b.Flush()
	for {
		m, err := b.Receive()
		if err != nil {
			return
		}
		switch m.(type) {
		case *pgproto3.Sync, *pgproto3.Query:
			c.Write(bytes.Repeat(answer, 4))
			return // or the gate would wait for what is missing
		}
	}
}
