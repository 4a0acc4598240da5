package pgwire

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
)

// What drivers send, message by message, is answered through the gate as it is
// directly. A script is a list of lines: a message to send, its fields with | between
// them, or "<" and the types of messages of which one must come before it goes on.
//
//	P name|text   B portal|statement|parameters…   D kind|name   C kind|name
//	E portal|rows   H (Flush)   S (Sync)   Q text   d data   c (CopyDone)   f reason
var conversations = []struct {
	name, script string
	// humans says that an agent's differs: each of its messages is followed by a Sync
	// in a block of the gate's.
	humans bool
}{
	{name: "described before it is bound", script: `
P |INSERT INTO js VALUES ($1)
D S|
H
<nT
B ||7
E |0
S
<Z`},
	{name: "described before it is bound, by name", script: `
P s1|INSERT INTO js VALUES ($1) RETURNING i
D S|s1
H
<nT
B |s1|7
E |0
S
<Z
B |s1|8
E |0
C S|s1
S
<Z`},
	{name: "described, and bound behind another Flush", script: `
P |INSERT INTO js VALUES ($1)
D S|
H
<nT
B ||7
H
<2
E |0
H
<C
S
<Z`},
	{name: "a read described before it is bound", script: `
P |SELECT i FROM js WHERE i < $1 ORDER BY i
D S|
H
<nT
B ||3
E |0
S
<Z`},
	{name: "described in a transaction", script: `
Q BEGIN
<Z
P |INSERT INTO js VALUES ($1)
D S|
H
<nT
B ||7
E |0
S
<Z
Q COMMIT
<Z`},
	{name: "described in a transaction, and not run", script: `
Q BEGIN
<Z
P |INSERT INTO js VALUES ($1)
D S|
S
<Z
Q PREPARE p AS UPDATE js SET i = i
<Z
Q EXPLAIN (COSTS off) DELETE FROM js WHERE i = 1
<Z
Q COMMIT
<Z`},
	{name: "rows are locked, and a write described", script: `
Q BEGIN
<Z
Q SELECT i FROM js WHERE i = 1 FOR UPDATE
<Z
P s|INSERT INTO js VALUES ($1)
D S|s
S
<Z
B |s|7
E |0
S
<Z
Q COMMIT
<Z`},
	{name: "two writes behind one Sync, flushed between", script: `
P |INSERT INTO js VALUES ($1)
B ||7
E |0
H
<C
B ||8
E |0
S
<Z`},
	{name: "the second of two writes fails", script: `
P |INSERT INTO js VALUES ($1)
B ||7
E |0
H
<C
B ||1
E |0
S
<Z`},
	{name: "a portal goes on behind a Flush", script: `
P |INSERT INTO js SELECT generate_series(11,15) RETURNING i
B p|
E p|2
H
<s
E p|0
S
<Z`},
	{name: "a suspended portal is left by a Sync", script: `
P |INSERT INTO js SELECT generate_series(11,15) RETURNING i
B p|
E p|2
S
<Z
E p|0
S
<Z`},
	{name: "a suspended portal, closed", script: `
P |INSERT INTO js SELECT generate_series(11,15) RETURNING i
B p|
E p|2
H
<s
C P|p
S
<Z`},
	{name: "a suspended portal in a transaction", script: `
Q BEGIN
<Z
P |INSERT INTO js SELECT generate_series(11,15) RETURNING i
B p|
E p|2
S
<Z
E p|2
S
<Z
E p|0
S
<Z
Q COMMIT
<Z`},
	{name: "a read in portions", script: `
P |SELECT i FROM js ORDER BY i
B |
E |2
H
<s
E |2
H
<s
E |0
S
<Z`},
	{name: "COPY in", script: `
P |COPY js FROM STDIN
B |
E |0
S
<G
d 21\n22\n
c
S
<Z`},
	{name: "COPY in behind a Flush", script: `
P |COPY js FROM STDIN
B |
E |0
H
<G
d 21\n22\n
c
S
<Z`},
	{name: "COPY in without waiting", script: `
P |COPY js FROM STDIN
B |
E |0
d 21\n
c
S
<Z`},
	{name: "COPY in, prepared", script: `
P s|COPY js FROM STDIN
D S|s
S
<Z
B |s
E |0
S
<G
d 21\n
d 22\n
c
S
<Z
Q SELECT 1
<Z`},
	{name: "COPY in that fails early", script: `
P |COPY js FROM STDIN
B |
E |0
S
<G
d word\n
<E
d 22\n
c
S
<Z
Q SELECT 1
<Z`},
	{name: "COPY in that fails behind its end", script: `
P |COPY js FROM STDIN
B |
E |0
S
<G
d 1\n
c
S
<Z`},
	{name: "COPY in that the client gives up", script: `
P |COPY js FROM STDIN
B |
E |0
S
<G
d 31\n
f no more
S
<Z`},
	{name: "COPY in within a transaction", script: `
Q BEGIN
<Z
P |COPY js FROM STDIN
B |
E |0
S
<G
d 31\n
c
S
<Z
Q COMMIT
<Z`},
	{name: "COPY in that fails within a transaction", script: `
Q BEGIN
<Z
P |COPY js FROM STDIN
B |
E |0
S
<G
d word\n
<E
d 31\n
c
S
<Z
Q ROLLBACK
<Z`},
	{name: "COPY in by a simple query, failing early", script: `
Q COPY js FROM STDIN
<G
d word\n
<E
d 31\n
c
<Z
Q SELECT 1
<Z`},
	{name: "COPY out", script: `
P |COPY js TO STDOUT
B |
E |0
S
<Z`},
	{name: "nothing", script: `
P |
B |
E |0
S
<Z`},
	{name: "a semicolon", script: `
P |;
D S|
B |
D P|
E |1
S
<Z`},
	{name: "a comment, prepared", script: `
P ping|-- ping
D S|ping
S
<Z
B |ping
E |0
S
<Z
B |ping
E |0
S
<Z`},
	{name: "nothing, described first", script: `
P |
D S|
H
<nT
B |
E |0
S
<Z`},
	{name: "nothing within a transaction", script: `
Q BEGIN
<Z
P |
B |
E |0
S
<Z
P |INSERT INTO js VALUES (7)
B |
E |0
P |
B |
E |0
S
<Z
Q COMMIT
<Z
Q
<Z`},
	{name: "nothing beside a write", script: `
P |INSERT INTO js VALUES (7)
B |
E |0
P |
B |
E |0
S
<Z`},
	{name: "an error of Parse without a Flush", script: `
P |SELEKT 1
<E
S
<Z`},
	{name: "an error of Parse within a transaction, without a Flush", script: `
Q BEGIN
<Z
Q SAVEPOINT s
<Z
P |SELECT * FROM nowhere
D S|
<E
S
<Z
Q ROLLBACK TO SAVEPOINT s
<Z
Q COMMIT
<Z`},
	{name: "savepoints around each statement", script: `
Q BEGIN
<Z
Q SAVEPOINT postgrex_query
P |INSERT INTO js VALUES ($1)
D S|
H
<n
B ||1
E |0
H
<E
S
Q ROLLBACK TO SAVEPOINT postgrex_query
<Z
<Z
Q RELEASE SAVEPOINT postgrex_query
<Z
P |INSERT INTO js VALUES (9)
B |
E |0
S
<Z
Q COMMIT
<Z`},
	{name: "formats that are not as many as the parameters", script: `
P |INSERT INTO js VALUES ($1)
F ||0,0,0|7
E |0
S
<Z
Q SELECT 1
<Z`},
	{name: "parameters that are not as many as in the statement", script: `
P |INSERT INTO js VALUES ($1)
B ||7|8
E |0
S
<Z`},
	{name: "a statement that is not there", script: `
B |nowhere
E |0
S
<Z
E nowhere|0
S
<Z
D S|nowhere
S
<Z
D P|nowhere
S
<Z
C S|nowhere
S
<Z`},
	{name: "a notification to oneself", script: `
Q LISTEN c
<Z
Q NOTIFY c, 'one'
<Z
P |NOTIFY c, 'two'
B |
E |0
S
<Z
Q BEGIN
<Z
Q NOTIFY c, 'three'
<Z
Q COMMIT
<Z`},
	{name: "a time-out between messages", humans: true, script: `
Q SET statement_timeout = 100
<Z
P |INSERT INTO js VALUES (7)
B |
H
<2
<E
E |0
H
S
<Z
Q SELECT 1
<Z`},
	{name: "a pipeline of Syncs", script: `
P |INSERT INTO js VALUES ($1)
B ||7
E |0
S
B ||1
E |0
S
B ||8
E |0
S
<Z
<Z
<Z`},
	{name: "statements of a batch, described", script: `
P |INSERT INTO js VALUES ($1)
B ||7
D P|
E |0
P |SELECT count(*) FROM js
B |
D P|
E |0
S
<Z`},
	{name: "Syncs and Flushes alone", script: `
H
S
<Z
S
H
<Z
Q SELECT 1
<Z`},
	{name: "a cursor by SQL over a portal", script: `
Q BEGIN
<Z
P |SELECT i FROM js ORDER BY i
B p|
S
<Z
Q FETCH 1 FROM p
<Z
Q MOVE 1 IN p
<Z
E p|1
S
<Z
Q CLOSE p
<Z
Q COMMIT
<Z`},
	{name: "a transaction by the extended protocol", script: `
P |BEGIN
B |
E |0
S
<Z
P |INSERT INTO js VALUES (7)
D S|
B |
E |0
S
<Z
P |COMMIT
B |
E |0
S
<Z`},
	{name: "a transaction in one pipeline", script: `
P |BEGIN
B |
E |0
P |INSERT INTO js VALUES ($1)
B ||7
E |0
P |COMMIT
B |
E |0
S
<Z`},
	{name: "a transaction, flushed after each", script: `
P |BEGIN
B |
E |0
H
<C
P |INSERT INTO js VALUES ($1)
B ||7
E |0
H
<C
P |COMMIT
B |
E |0
H
<C
S
<Z`},
	{name: "settings are told", script: `
Q SET application_name = 'x'
<Z
Q SET datestyle = 'German'
<Z
Q BEGIN
<Z
Q SET LOCAL timezone = 'Asia/Tokyo'
<Z
Q ROLLBACK
<Z`},
}

// line sends one line of a conversation.
func line(f *pgproto3.Frontend, s string) {
	typ, rest, _ := strings.Cut(s, " ")
	rest = strings.ReplaceAll(rest, `\n`, "\n")
	fields := append(strings.Split(rest, "|"), "", "")
	var values [][]byte
	for _, v := range fields[2:max(2, len(fields)-2)] {
		values = append(values, []byte(v))
	}
	switch typ {
	case "P":
		f.SendParse(&pgproto3.Parse{Name: fields[0], Query: fields[1]})
	case "B":
		f.SendBind(&pgproto3.Bind{DestinationPortal: fields[0], PreparedStatement: fields[1], Parameters: values})
	case "F": // a Bind with formats
		formats := make([]int16, strings.Count(fields[2], ",")+1)
		f.SendBind(&pgproto3.Bind{DestinationPortal: fields[0], PreparedStatement: fields[1],
			ParameterFormatCodes: formats, Parameters: values[1:]})
	case "D":
		f.SendDescribe(&pgproto3.Describe{ObjectType: fields[0][0], Name: fields[1]})
	case "C":
		f.Send(&pgproto3.Close{ObjectType: fields[0][0], Name: fields[1]})
	case "E":
		n, _ := strconv.Atoi(fields[1])
		f.SendExecute(&pgproto3.Execute{Portal: fields[0], MaxRows: uint32(n)})
	case "H":
		f.Send(&pgproto3.Flush{})
	case "S":
		f.SendSync(&pgproto3.Sync{})
	case "Q":
		f.SendQuery(&pgproto3.Query{String: rest})
	case "d":
		f.Send(&pgproto3.CopyData{Data: []byte(rest)})
	case "c":
		f.Send(&pgproto3.CopyDone{})
	case "f":
		f.Send(&pgproto3.CopyFail{Message: rest})
	default:
		panic("no such message: " + s)
	}
}

// said tells a message of the server's in short.
func said(m pgproto3.BackendMessage) string {
	switch m := m.(type) {
	case *pgproto3.ErrorResponse:
		return m.Severity + "(" + m.Code + ")"
	case *pgproto3.NoticeResponse:
		return "notice(" + m.Code + ")"
	case *pgproto3.CommandComplete:
		return "complete(" + string(m.CommandTag) + ")"
	case *pgproto3.ReadyForQuery:
		return "ready(" + string(m.TxStatus) + ")"
	case *pgproto3.DataRow:
		return fmt.Sprintf("row%s", m.Values)
	case *pgproto3.ParameterStatus:
		return m.Name + "=" + m.Value
	case *pgproto3.NotificationResponse:
		return "notification(" + m.Payload + ")"
	case *pgproto3.RowDescription:
		return fmt.Sprintf("columns(%d)", len(m.Fields))
	case *pgproto3.ParameterDescription:
		return fmt.Sprintf("parameters%d", m.ParameterOIDs)
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3.")
}

// typeOf gives the type byte by which a script waits for a message.
func typeOf(m pgproto3.BackendMessage) byte {
	b, err := m.Encode(nil)
	if err != nil || len(b) == 0 {
		return 0
	}
	return b[0]
}

// converse plays a conversation and gives what was answered.
func converse(t *testing.T, url, script string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return []string{err.Error()}
	}
	if err := conn.PgConn().SyncConn(t.Context()); err != nil {
		t.Fatal(err)
	}
	h, err := conn.PgConn().Hijack()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Conn.Close()
	h.Conn.SetDeadline(time.Now().Add(5 * time.Second))
	var answers []string
	for _, l := range strings.Split(strings.TrimSpace(script), "\n") {
		if l[0] != '<' {
			line(h.Frontend, l)
			continue
		}
		if err := h.Frontend.Flush(); err != nil {
			return append(answers, err.Error())
		}
		for came := byte(0); came == 0 || !strings.Contains(l[1:], string(came)) && came != 'Z'; {
			m, err := h.Frontend.Receive()
			if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
				return append(answers, "nothing more came for "+l)
			} else if err != nil {
				return append(answers, "END")
			}
			came = typeOf(m)
			if e, ok := m.(*pgproto3.ErrorResponse); ok && strings.HasPrefix(e.Message, "signalbox: ") {
				t.Log(e.Message, e.Detail)
			}
			answers = append(answers, said(m))
		}
	}
	return answers
}

func TestConversationsAreAsDirect(t *testing.T) {
	const reset = "SET lock_timeout = '5s'; CREATE TABLE IF NOT EXISTS js (i int PRIMARY KEY); TRUNCATE js; INSERT INTO js VALUES (1), (2), (3)"
	const rows = "SELECT string_agg(i::text, ' ' ORDER BY i) FROM js"
	for _, c := range conversations {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newTestGate(t, func(_ *Config, s *gatetest.Script) { s.Ceiling = 100 })
			b.direct(t, reset)
			var want []string
			b.oracle.Aside(t, func() { want = converse(t, b.db.URL(), c.script) })
			left := b.direct(t, rows, "-At")
			for _, who := range []string{"human-alice", "agent-kiro"} {
				if c.humans && who == "agent-kiro" {
					continue
				}
				b.direct(t, reset)
				got := converse(t, b.url(who), c.script)
				expect := strings.Join(want, "\n")
				if g := strings.Join(got, "\n"); g != expect {
					t.Errorf("%s:\n%s\n\nwant:\n%s", who, g, expect)
				}
				if now := b.direct(t, rows, "-At"); now != left {
					t.Errorf("%s: rows are %swant %s", who, now, left)
				}
			}
		})
	}
}
