package pgwire

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// A backend is the server's connection: what is asked of it, what it has reported,
// and what its names mean. It knows nothing of the client or of the interlock.
// The goroutine of the client's connection owns it; others may call cancel, close
// conn and set its deadlines.
type backend struct {
	conn   net.Conn // written to by write alone
	in     frames
	out    []byte // queued: what send will send
	pid    uint32
	secret []byte
	config *pgconn.Config
	tls    *tls.Config // that conn was negotiated with; nil without TLS
	log    *slog.Logger

	// unasked is given what the server says at any time: notices, notifications
	// and changed parameters. name is empty unless it is a parameter.
	unasked func(raw []byte, name, value string)
	closed  func() // told once that the connection is given up; may be nil

	// What it reported.
	sent     int64             // statements sent so far, ours and the client's
	session  string            // the id that the server's log has for it (%c); empty until it was asked
	timeline string            // of the server then; empty on a standby
	status   byte              // transaction status of the last ReadyForQuery
	params   map[string]string // as reported at its start
	readOnly bool              // reads run READ ONLY by default: the client is an agent
	lifted   bool              // the gate itself has lifted that default for a moment
	tampered *refusal          // the default was lifted by something else: the connection ends
	skips    bool              // after an error it skips to a Sync
	foreign  string            // why the server would read texts otherwise than the gate; see parameter

	// What its names mean.
	catalogs *catalogs // shared by all connections of the gate
	names    names
	prepared sql.Session // what EXECUTE and FETCH would run
	exact    bool        // probes count rows one by one
}

// maxAnswer bounds messages of the server that must be held whole. DataRow and
// CopyData are not among them.
const maxAnswer = 1 << 30

// connect dials the server and logs in. settings are the client's, and come
// after none of ours: what must hold is set last.
func (g *Gate) connect(ctx context.Context, settings []setting) (*backend, error) {
	config := g.dial.Copy()
	for _, s := range settings {
		config.RuntimeParams[s.name] = s.value
	}
	pg, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, g.unreachable(err)
	}
	// pgconn reads in the background when a write took long, and would go on to
	// eat what is ours.
	if err := pg.SyncConn(ctx); err != nil {
		pg.Close(ctx)
		return nil, g.unreachable(err)
	}
	h, err := pg.Hijack()
	if err != nil {
		pg.Close(ctx)
		return nil, g.unreachable(err)
	}
	h.Conn.SetDeadline(time.Time{})
	b := &backend{
		conn: direct(h.Conn), pid: h.PID, secret: h.SecretKey, config: config, tls: h.TLSConfig, log: g.Logger,
		status: h.TxStatus, params: h.ParameterStatuses,
		catalogs: g.catalogs, names: names{stale: true}, exact: g.ExactCounts,
		unasked: func([]byte, string, string) {},
	}
	b.in = frames{src: b.conn, limit: maxAnswer, server: true}
	return b, nil
}

// write is the one place where a message is sent to the server, after the log-in.
// What it is given comes from these alone, and doc.go says when each may:
//
//   - statements of the gate's own: queue, askQuestion, parse, forgetOwn, fail;
//   - what the client sent: forward, called by conn.send for what was admitted,
//     and by conn.copyData for the data of a COPY that was;
//   - a Sync or a Flush behind either, and the good-bye of close.
//
// A request to cancel goes over a connection of its own: see cancel.
func (b *backend) write(p []byte) error {
	_, err := b.conn.Write(p)
	return err
}

// send writes what was queued.
func (b *backend) send() error {
	err := b.write(b.out)
	if cap(b.out) > 64<<10 {
		b.out = nil
	}
	b.out = b.out[:0]
	if err != nil {
		return &lostError{err: fmt.Errorf("send to the server: %w", err)}
	}
	return nil
}

// forward queues messages of the client's, which run so many statements.
func (b *backend) forward(raw []byte, statements int) {
	b.out = append(b.out, raw...)
	b.sent += int64(statements)
}

// sync queues a Sync, which ends an implicit transaction.
func (b *backend) sync() { b.out = appendSync(b.out) }

// flush queues a Flush, which leaves an implicit transaction open.
func (b *backend) flush() { b.out = appendFlush(b.out) }

// close says good-bye and hangs up.
func (b *backend) close() {
	b.conn.SetWriteDeadline(time.Now().Add(time.Second))
	b.write([]byte{'X', 0, 0, 0, 4}) // it ends, whether the server hears it or not
	b.hangUp()
}

// hangUp gives the connection up without a word. It may be called again.
func (b *backend) hangUp() {
	b.conn.Close()
	if b.closed != nil {
		b.closed()
		b.closed = nil
	}
}

// A lostError says that the connection to the server broke.
type lostError struct {
	err     error
	unknown bool   // effects may have become final before it did
	settled string // how the server says, on another connection, that the transaction ended
}

func (e *lostError) Error() string {
	if e.settled != "" {
		return "connection to the server lost; it confirms that the transaction was " + e.settled
	}
	return "connection to the server lost: " + plainly(e.err)
}
func (e *lostError) Unwrap() error { return e.err }

// An answer is what came back for a statement of our own.
type answer struct {
	rows   [][]string
	tag    string // of its CommandComplete; empty: none came
	failed *pgproto3.ErrorResponse
}

// An askError says that the server refused a statement of the gate's own.
type askError struct{ response *pgproto3.ErrorResponse }

func (e *askError) Error() string {
	return fmt.Sprintf("the server refused a statement of the gate's own: %s (SQLSTATE %s)", e.response.Message,
		e.response.Code)
}

// ask runs statements of our own, all of which must succeed: the first that the
// server refuses is an [*askError], and those behind it have not run. Nothing of
// the client's may go on as if they had. See try for the rest.
func (b *backend) ask(sqls ...string) ([]answer, error) {
	answers, err := b.try(sqls...)
	if err != nil {
		return answers, err
	}
	if last := answers[len(answers)-1]; last.failed != nil {
		return answers, &askError{last.failed}
	}
	return answers, nil
}

// try runs statements of our own in the extended protocol, under names that
// leave the client's unnamed statement and portal alone, and ends with a Sync.
// Each is one statement; a failed one ends the row, and the caller must look
// for it. Outside of a transaction block they are one implicit transaction.
// Notices that come meanwhile go to the client. With an error, the answers that
// came before it are given.
func (b *backend) try(sqls ...string) ([]answer, error) {
	b.queue(sqls...)
	if err := b.send(); err != nil {
		return nil, err
	}
	return b.gather(len(sqls))
}

// queue puts statements of our own, and a Sync, before what is sent next.
func (b *backend) queue(sqls ...string) {
	for _, text := range sqls {
		b.out = appendParse(b.out, ownStatement, text, nil)
		b.out = appendBind(b.out, ownPortal, ownStatement, bindNothing)
		b.out = appendExecute(b.out, ownPortal)
		b.out = appendClose(b.out, 'P', ownPortal)
		b.out = appendClose(b.out, 'S', ownStatement)
	}
	b.sync()
	b.sent += int64(len(sqls))
}

// gather reads the answers to n queued statements.
func (b *backend) gather(n int) ([]answer, error) {
	answers := make([]answer, 0, n)
	for range n {
		a, err := b.collect(5)
		answers = append(answers, a)
		if err != nil {
			return answers, err
		}
		if a.failed != nil {
			if err := b.awaitReady(); err != nil {
				return answers, err
			}
			return answers, b.forgetOwn()
		}
	}
	return answers, b.awaitReady()
}

// forgetOwn closes a statement of our own that failed. It may have been parsed and
// bound: then its names are still taken, within a transaction block at least.
func (b *backend) forgetOwn() error {
	b.out = appendClose(b.out, 'P', ownPortal)
	b.out = appendClose(b.out, 'S', ownStatement)
	b.sync()
	if err := b.send(); err != nil {
		return err
	}
	if _, err := b.collect(2); err != nil {
		return err
	}
	return b.awaitReady()
}

// Names of our own at the server. Clients may not use names that begin so.
const (
	ownPrefix    = "signalbox "
	ownStatement = "signalbox probe"
	ownPortal    = "signalbox portal"
)

// collect reads the replies to n messages of our own, or to an error.
func (b *backend) collect(n int) (answer, error) {
	var a answer
	for n > 0 {
		typ, size, err := b.in.at(0)
		if err != nil {
			return a, &lostError{err: err}
		}
		switch body := b.in.body(0, size); typ {
		case 'D':
			row, err := decodeRow(body)
			if err != nil {
				return a, &lostError{err: err}
			}
			a.rows = append(a.rows, row)
		case 'E':
			if a.failed, err = decodeError(body); err != nil {
				return a, &lostError{err: err}
			}
			n = 0
		case 'C':
			a.tag = string(tagOf(b.in.raw(0, size)))
			n--
		case '1', '2', '3', 'I', 's', 'n':
			n--
		case 'N', 'A', 'S':
			b.aside(typ, size)
		case 'T', 't':
		default:
			return a, &lostError{err: fmt.Errorf("server sent %q where an answer to the gate's own statement was due",
				typ)}
		}
		b.in.drop(size)
	}
	return a, nil
}

// awaitReady reads up to ReadyForQuery. Errors on the way there were reported
// by whoever caused them.
func (b *backend) awaitReady() error {
	for {
		typ, size, err := b.in.at(0)
		if err != nil {
			return &lostError{err: err}
		}
		switch typ {
		case 'Z':
			b.status = b.in.body(0, size)[0]
			b.in.drop(size)
			return nil
		case 'N', 'A', 'S':
			b.aside(typ, size)
		}
		b.in.drop(size)
	}
}

// parameter notes settings under which an agent's connection cannot go on. Where
// the server would read a text differently from the classifier, nothing is
// forwarded from then on. Where the agent's reads would no longer be READ ONLY
// although the gate did not lift that, something ran that nobody decided: the
// connection ends, and what is open on it is rolled back.
func (b *backend) parameter(name, value string) {
	if !b.readOnly {
		return
	}
	switch {
	case name == readOnlyGUC && value != "on" && !b.lifted:
		b.tampered = errTampered
	case b.foreign != "":
	case name == "standard_conforming_strings" && value != "on",
		name == "client_encoding" && foreignEncodings[strings.ToUpper(value)]:
		b.foreign = fmt.Sprintf("%s is %s: the server reads statements differently from the gate", name, value)
	}
}

// errTampered ends a connection of which something that nobody decided has switched
// off what keeps reads from writing, or what counts and checks writes.
var errTampered = &refusal{
	severity: "FATAL", code: StateDenied,
	message: readOnlyGUC + ", track_counts or session_replication_role was changed behind the gate's back: the connection ends, and what was open is rolled back",
	hint:    "Report this to Signalbox's operator.",
}

// foreignEncodings are the client encodings in which a byte of a longer
// character can look like a quote or a backslash. The server itself cannot use
// them for its own storage, for the same reason.
var foreignEncodings = map[string]bool{
	"BIG5": true, "GB18030": true, "GBK": true, "JOHAB": true, "SHIFT_JIS_2004": true, "SHIFTJIS2004": true,
	"SJIS": true, "UHC": true,
}

// aside gives away what the server may send at any time: notices, notifications
// and changed parameters, of which it takes note.
func (b *backend) aside(typ byte, size int) {
	raw := b.in.raw(0, size)
	var name, value string
	if typ == 'S' {
		if n, rest, err := cstring(raw[headerSize:]); err == nil {
			if v, _, err := cstring(rest); err == nil {
				name, value = string(n), string(v)
				b.parameter(name, value)
			}
		}
	}
	b.unasked(raw, name, value)
}

// fail makes the transaction fail: a text that no server parses, under a name
// that no client has. It shows in the server's log for what it is.
func (b *backend) fail() error {
	b.out = appendParse(b.out, ownStatement, "signalbox refused a statement of this transaction", nil)
	b.sync()
	if err := b.send(); err != nil {
		return err
	}
	return b.awaitReady()
}

// parse has a text parsed, and only that. It gives the error with which the
// server refuses it, or nil, and the notices that came with the answer.
func (b *backend) parse(text string) (failed *pgproto3.ErrorResponse, notices []byte, err error) {
	b.out = appendParse(b.out, ownStatement, text, nil)
	b.out = appendClose(b.out, 'S', ownStatement)
	b.sync()
	if err := b.send(); err != nil {
		return nil, nil, err
	}
	unasked := b.unasked
	defer func() { b.unasked = unasked }()
	b.unasked = func(raw []byte, name, value string) {
		if raw[0] == 'N' {
			notices = append(notices, raw...)
			return
		}
		unasked(raw, name, value)
	}
	a, err := b.collect(2)
	if err == nil {
		err = b.awaitReady()
	}
	return a.failed, notices, err
}

// askQuietly is ask for something that must not disturb an open transaction: a
// failure is rolled back to where it was, and given as nil.
func (b *backend) askQuietly(sqls ...string) ([]answer, error) {
	guarded := b.status == 'T'
	if guarded {
		sqls = append(append([]string{`SAVEPOINT "signalbox probe"`}, sqls...),
			`ROLLBACK TO SAVEPOINT "signalbox probe"`, `RELEASE SAVEPOINT "signalbox probe"`)
	}
	answers, err := b.try(sqls...)
	if err != nil {
		return nil, err
	}
	if last := answers[len(answers)-1]; last.failed != nil {
		b.log.Error("question to the server failed", "code", last.failed.Code, "error", last.failed.Message)
		if guarded {
			if _, err := b.ask(`ROLLBACK TO SAVEPOINT "signalbox probe"`,
				`RELEASE SAVEPOINT "signalbox probe"`); err != nil {
				return nil, &lostError{err: err}
			}
		}
		return nil, nil
	}
	if guarded {
		answers = answers[1 : len(answers)-2]
	}
	return answers, nil
}
