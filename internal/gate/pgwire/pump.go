package pgwire

import (
	"errors"
	"fmt"
	"io"
)

// errFatal says that the server ended the connection and has told the client
// why.
var errFatal = errors.New("the server ended the connection")

// A pump passes the server's answer on to the client, message by message, and notes
// what came of it. It reads from the backend and writes to the frontend.
type pump struct {
	replies int  // how many replies end it; negative: ReadyForQuery does
	hold    bool // keep the last CommandComplete back, in held
	quiet   bool // keep ReadyForQuery from the client
	block   bool // in the extended protocol: an error ends it too

	expected []expectation // replies due in the extended protocol

	ready    bool   // ReadyForQuery came
	done     int    // replies that came
	rows     int64  // rows that the statements reported
	changed  int64  // of these, rows inserted, updated, deleted or merged
	code     string // SQLSTATE of the first error
	message  string // and its text; may hold values
	copied   bool   // data came in from the client
	fatal    bool   // the last error was the end of the connection
	errored  bool   // an error came that was not: what was provisional is undone
	final    bool   // the server said that it has committed, or has run all that it was sent
	commands int    // CommandCompletes that came
	portion  int64  // rows that came since the last of them, or the last portion's end
	held     []byte
}

// failed reports whether the server answered with an error.
func (p *pump) failed() bool { return p.code != "" }

// run pumps until ReadyForQuery, or until enough replies came. It returns only
// errors that end the connection.
func (p *pump) run(c *conn) error {
	in := &c.server.in
	for p.replies != 0 {
		if !in.whole(0) && len(c.client.out.buf) > 0 {
			// The server takes its time: what it said so far is for the client.
			c.client.flush()
		}
		typ, size, err := in.head(0)
		if err != nil {
			if p.fatal && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
				return errFatal
			}
			return &lostError{err: err}
		}
		if typ == 'D' {
			p.portion++
		}
		if (typ == 'D' || typ == 'd') && size > outboxLimit {
			p.release(c)
			if err := p.stream(c, size); err != nil {
				return err
			}
			continue
		}
		if _, _, err := in.at(0); err != nil {
			return &lostError{err: err}
		}
		raw := in.raw(0, size)
		switch typ {
		case 'D', 'd', 'T', 't', 'c', 'H':
		case 'Z':
			c.server.status = raw[headerSize]
			p.ready = true
			in.drop(size)
			if !p.quiet {
				c.ready()
			}
			return nil
		case 'C':
			p.commands++
			p.count(raw[headerSize:])
			if p.hold {
				p.release(c)
				p.held = append(p.held, raw...)
				p.reply()
				in.drop(size)
				continue
			}
			p.reply()
		case 's':
			p.suspended()
			p.reply()
		case '1', '2', '3', 'n', 'I':
			p.reply()
		case 'E':
			e, err := decodeError(raw[headerSize:])
			if err != nil {
				return &lostError{err: err}
			}
			if p.code == "" {
				p.code, p.message = e.Code, e.Message
			}
			p.fatal = e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC"
			p.errored = p.errored || !p.fatal
			if p.block && !p.fatal {
				p.replies = 0
			}
		case 'G':
			p.release(c)
			c.client.write(raw)
			in.drop(size)
			p.copied = true
			extended := p.block || len(p.expected) > 0
			if err := c.copyIn(extended); err != nil {
				return err
			}
			if extended {
				// The server took the Sync that followed for part of the
				// COPY and ignored it: the client must send another.
				p.block = true
				if p.replies < 0 {
					p.replies = len(p.expected) - p.done
				}
			}
			continue
		case 'N', 'A', 'S':
			p.release(c)
			c.server.aside(typ, size)
			in.drop(size)
			continue
		default:
			return &lostError{err: fmt.Errorf("server sent a message of type %q", typ)}
		}
		if typ != 'C' {
			p.release(c)
		}
		if typ == 'T' && p.describes() {
			p.reply()
		}
		c.client.write(raw)
		in.drop(size)
	}
	return nil
}

// describes reports whether a RowDescription is a reply of its own, to a
// Describe, and not the beginning of a simple query's answer.
func (p *pump) describes() bool { return len(p.expected) > 0 }

func (p *pump) reply() {
	p.done++
	if p.replies > 0 {
		p.replies--
	}
}

// release lets go what was held back: more has come after it.
func (p *pump) release(c *conn) {
	if len(p.held) > 0 {
		c.client.write(p.held)
		p.held = p.held[:0]
	}
}

// suspended notes the end of a portion. What the statement has changed beyond it
// is not told, and the CommandComplete of the last portion tells of that one alone.
func (p *pump) suspended() {
	if p.done < len(p.expected) && p.expected[p.done].portal != nil {
		e := &p.expected[p.done]
		e.rows, e.portal.suspended = p.portion, true
		p.rows += p.portion
		if e.portal.classified != nil && e.portal.classified.writes {
			p.changed += p.portion
		}
	}
	p.portion = 0
}

// count notes what a CommandComplete tells.
func (p *pump) count(tag []byte) {
	p.portion = 0
	n := commandRows(tag)
	if n < 0 {
		return
	}
	p.rows += n
	switch tag[0] {
	case 'I', 'U', 'D', 'M': // INSERT, UPDATE, DELETE, MERGE; not MOVE:
		if tag[0] != 'M' || len(tag) > 1 && tag[1] == 'E' {
			p.changed += n
		}
	case 'C': // COPY
		if p.copied {
			p.changed += n
		}
	}
	if p.done < len(p.expected) {
		p.expected[p.done].rows = n
		if portal := p.expected[p.done].portal; portal != nil {
			portal.suspended = false
		}
	}
}

// stream passes a long message on without holding it whole.
func (p *pump) stream(c *conn, size int) error {
	in := &c.server.in
	for size > 0 {
		if in.buffered() == 0 {
			if err := in.fill(1); err != nil {
				return &lostError{err: err}
			}
		}
		part := in.raw(0, size)
		c.client.write(part)
		size -= in.drop(len(part))
		if c.client.out.err != nil {
			return c.client.out.err
		}
	}
	return nil
}
