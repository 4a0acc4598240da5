package pgwire

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// An upstream is one connection to the server behind the gate. The connection
// of a client owns it; only cut and cancel may be called by others.
type upstream struct {
	conn   net.Conn
	in     frames
	out    []byte // what send will send
	pid    uint32
	secret []byte
	config *pgconn.Config
	tls    *tls.Config // that conn was negotiated with; nil without TLS

	sent    int64             // statements sent so far, ours and the client's
	session string            // the id that the server's log has for it (%c); empty until it was asked
	status  byte              // transaction status of the last ReadyForQuery
	params  map[string]string // as reported at its start
}

// maxAnswer bounds messages of the server that must be held whole. DataRow and
// CopyData are not among them.
const maxAnswer = 1 << 30

// connect dials the server and logs in. settings are the client's, and come
// after none of ours: what must hold is set last.
func (g *Gate) connect(ctx context.Context, settings []setting) (*upstream, error) {
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
	u := &upstream{conn: direct(h.Conn), pid: h.PID, secret: h.SecretKey, config: config, tls: h.TLSConfig, status: h.TxStatus, params: h.ParameterStatuses}
	u.in = frames{src: u.conn, limit: maxAnswer, server: true}
	return u, nil
}

// send writes what was gathered in out.
func (u *upstream) send() error {
	_, err := u.conn.Write(u.out)
	if cap(u.out) > 64<<10 {
		u.out = nil
	}
	u.out = u.out[:0]
	if err != nil {
		return fmt.Errorf("send to the server: %w", err)
	}
	return nil
}

// close says good-bye and hangs up.
func (u *upstream) close() {
	u.conn.SetWriteDeadline(time.Now().Add(time.Second))
	u.conn.Write([]byte{'X', 0, 0, 0, 4})
	u.conn.Close()
}

// A lostError says that the connection to the server broke.
type lostError struct{ err error }

func (e *lostError) Error() string { return "connection to the server lost: " + plainly(e.err) }
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
	return fmt.Sprintf("the server refused a statement of the gate's own: %s (SQLSTATE %s)", e.response.Message, e.response.Code)
}

// ask runs statements of our own, all of which must succeed: the first that the
// server refuses is an [*askError], and those behind it have not run. Nothing of
// the client's may go on as if they had. See try for the rest.
func (c *conn) ask(sqls ...string) ([]answer, error) {
	answers, err := c.try(sqls...)
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
// Each sql is one statement; a failed one ends the row, and the caller must look
// for it. Outside of a transaction block they are one implicit transaction.
// Notices that come meanwhile go to the client. With an error, the answers that
// came before it are given.
func (c *conn) try(sqls ...string) ([]answer, error) {
	c.queue(sqls...)
	if err := c.up.send(); err != nil {
		return nil, &lostError{err}
	}
	return c.gather(len(sqls))
}

// queue puts statements of our own, and a Sync, before what is sent next.
func (c *conn) queue(sqls ...string) {
	u := c.up
	for _, sql := range sqls {
		u.out = appendParse(u.out, ownStatement, sql, nil)
		u.out = appendBind(u.out, ownPortal, ownStatement, bindNothing)
		u.out = appendExecute(u.out, ownPortal)
		u.out = appendClose(u.out, 'P', ownPortal)
		u.out = appendClose(u.out, 'S', ownStatement)
	}
	u.out = appendSync(u.out)
	u.sent += int64(len(sqls))
}

// gather reads the answers to n queued statements.
func (c *conn) gather(n int) ([]answer, error) {
	answers := make([]answer, 0, n)
	for range n {
		a, err := c.collect(5)
		answers = append(answers, a)
		if err != nil {
			return answers, err
		}
		if a.failed != nil {
			if err := c.awaitReady(); err != nil {
				return answers, err
			}
			return answers, c.forgetOwn()
		}
	}
	return answers, c.awaitReady()
}

// forgetOwn closes a statement of our own that failed. It may have been parsed and
// bound: then its names are still taken, within a transaction block at least.
func (c *conn) forgetOwn() error {
	c.up.out = appendClose(c.up.out, 'P', ownPortal)
	c.up.out = appendClose(c.up.out, 'S', ownStatement)
	c.up.out = appendSync(c.up.out)
	if err := c.up.send(); err != nil {
		return &lostError{err}
	}
	if _, err := c.collect(2); err != nil {
		return err
	}
	return c.awaitReady()
}

// Names of our own at the server. Clients may not use names that begin so.
const (
	ownPrefix    = "signalbox "
	ownStatement = "signalbox probe"
	ownPortal    = "signalbox portal"
)

// collect reads the replies to n messages of our own, or to an error.
func (c *conn) collect(n int) (answer, error) {
	var a answer
	for n > 0 {
		typ, size, err := c.up.in.at(0)
		if err != nil {
			return a, &lostError{err}
		}
		switch body := c.up.in.body(0, size); typ {
		case 'D':
			row, err := decodeRow(body)
			if err != nil {
				return a, &lostError{err}
			}
			a.rows = append(a.rows, row)
		case 'E':
			if a.failed, err = decodeError(body); err != nil {
				return a, &lostError{err}
			}
			n = 0
		case 'C':
			a.tag = string(tagOf(c.up.in.raw(0, size)))
			n--
		case '1', '2', '3', 'I', 's', 'n':
			n--
		case 'N', 'A', 'S':
			c.aside(typ, size)
		case 'T', 't':
		default:
			return a, &lostError{fmt.Errorf("server sent %q where an answer to the gate's own statement was due", typ)}
		}
		c.up.in.drop(size)
	}
	return a, nil
}

// awaitReady reads up to ReadyForQuery. Errors on the way there were reported
// by whoever caused them.
func (c *conn) awaitReady() error {
	for {
		typ, size, err := c.up.in.at(0)
		if err != nil {
			return &lostError{err}
		}
		switch typ {
		case 'Z':
			c.up.status = c.up.in.body(0, size)[0]
			c.up.in.drop(size)
			return nil
		case 'N', 'A', 'S':
			c.aside(typ, size)
		}
		c.up.in.drop(size)
	}
}

// heed notes settings under which an agent's connection cannot go on. Where the
// server would read a text differently from the classifier, nothing is forwarded
// from then on. Where the agent's reads would no longer be READ ONLY although the
// gate did not lift that, something ran that was not judged: the connection ends,
// and what is open on it is rolled back.
func (c *conn) heed(name, value string) {
	if !c.agent() {
		return
	}
	switch {
	case name == readOnlyGUC && value != "on" && !c.lifted:
		c.tampered = errTampered
	case c.unread != "":
	case name == "standard_conforming_strings" && value != "on",
		name == "client_encoding" && foreignEncodings[strings.ToUpper(value)]:
		c.unread = fmt.Sprintf("%s is %s: the server reads statements differently from the gate", name, value)
	}
}

// errTampered ends a connection whose protection was switched off by something
// that was not judged.
var errTampered = &refusal{
	severity: "FATAL", code: StateDenied,
	message: readOnlyGUC + " was changed behind the gate's back: the connection ends, and what was open is rolled back",
	hint:    "Report this to Signalbox's operator.",
}

// foreignEncodings are the client encodings in which a byte of a longer
// character can look like a quote or a backslash. The server itself cannot use
// them for its own storage, for the same reason.
var foreignEncodings = map[string]bool{
	"BIG5": true, "GB18030": true, "GBK": true, "JOHAB": true, "SHIFT_JIS_2004": true, "SHIFTJIS2004": true, "SJIS": true, "UHC": true,
}

// aside passes on what the server may send at any time: notices, notifications
// and changed parameters.
func (c *conn) aside(typ byte, size int) {
	raw := c.up.in.raw(0, size)
	if typ == 'S' {
		if name, rest, err := cstring(raw[headerSize:]); err == nil {
			if value, _, err := cstring(rest); err == nil {
				c.heed(string(name), string(value))
				if c.hidden(string(name)) {
					return
				}
				c.told[string(name)] = string(value)
			}
		}
	}
	if typ == 'N' && c.mutes {
		c.muted = append(c.muted, raw...)
		return
	}
	c.out.write(raw)
}
