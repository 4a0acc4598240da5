package pgwire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// headerSize is a message's type byte and its length.
const headerSize = 5

// firstBuffer is what a connection's buffers begin with, and shrink back to.
const firstBuffer = 8 << 10

// errTooLong is wrapped by the error for a message above the limit.
var errTooLong = errors.New("message is longer than the gate takes")

// frames reads a stream of protocol messages. Several messages may be looked
// at before they are dropped, so that they can be forwarded in one piece. What
// at and raw give is valid until the next call of at, which may move it.
type frames struct {
	src        io.Reader
	buf        []byte
	start, end int  // buf[start:end] was read and not dropped
	limit      int  // longest message
	server     bool // what comes is a server's: each type has its least length
}

// leastBody is how long the body of a server's message is at least, by type. What
// reads a message relies on it. Types that are not here may be empty, or are
// refused by whoever gets them.
var leastBody = [256]int{
	'Z': 1,         // ReadyForQuery: the transaction's status
	'C': 1,         // CommandComplete: a tag, which is terminated
	'E': 1, 'N': 1, // ErrorResponse, NoticeResponse: the end of the fields
	'S': 2,                 // ParameterStatus: two strings
	'D': 2, 'T': 2, 't': 2, // DataRow, RowDescription, ParameterDescription: a count
	'G': 3, 'H': 3, 'W': 3, // CopyIn-, CopyOut-, CopyBothResponse: format and count
	'R': 4, 'V': 4, 'A': 6, 'v': 8, // Authentication, FunctionCall, Notification, Negotiate
	'K': 8, // BackendKeyData
}

// at gives type and size, header included, of the message that begins off
// bytes after what was dropped, and waits until all of it is there.
func (f *frames) at(off int) (typ byte, size int, err error) {
	typ, size, err = f.head(off)
	if err != nil {
		return 0, 0, err
	}
	for f.end-f.start < off+size {
		if err := f.fill(off + size); err != nil {
			return 0, 0, err
		}
	}
	return typ, size, nil
}

// head is as at, but waits for the header only.
func (f *frames) head(off int) (typ byte, size int, err error) {
	for f.end-f.start < off+headerSize {
		if err := f.fill(off + headerSize); err != nil {
			return 0, 0, err
		}
	}
	h := f.buf[f.start+off:]
	n := binary.BigEndian.Uint32(h[1:])
	if n < 4 {
		return 0, 0, fmt.Errorf("message %q says that it is %d bytes long", h[0], n)
	}
	if uint64(n) > uint64(f.limit) {
		return 0, 0, fmt.Errorf("message %q of %d bytes, the limit is %d: %w", h[0], n, f.limit, errTooLong)
	}
	if f.server && int(n)-4 < leastBody[h[0]] {
		return 0, 0, fmt.Errorf("message %q with a body of %d bytes: %w", h[0], n-4, errShort)
	}
	return h[0], int(n) + 1, nil
}

// whole reports whether a whole message is there at off, without reading.
func (f *frames) whole(off int) bool {
	have := f.end - f.start - off
	if have < headerSize {
		return false
	}
	n := binary.BigEndian.Uint32(f.buf[f.start+off+1:])
	return uint64(n) < uint64(have)
}

// raw gives n bytes at off, or what is there of them.
func (f *frames) raw(off, n int) []byte {
	return f.buf[f.start+off : min(f.start+off+n, f.end)]
}

// body gives the body of the message of this size at off.
func (f *frames) body(off, size int) []byte {
	return f.buf[f.start+off+headerSize : f.start+off+size]
}

// drop forgets n bytes, or all if there are fewer, and gives how many.
func (f *frames) drop(n int) int {
	n = min(n, f.end-f.start)
	f.start += n
	if f.start == f.end {
		f.start, f.end = 0, 0
		if cap(f.buf) > 8*firstBuffer {
			f.buf = nil // one long message must not be paid for by an idle connection
		}
	}
	return n
}

// buffered is how many bytes were read and not dropped.
func (f *frames) buffered() int { return f.end - f.start }

// fill reads once, with room for need bytes in all.
func (f *frames) fill(need int) error {
	if f.start > 0 && f.start+max(need, firstBuffer/2) > len(f.buf) {
		f.end = copy(f.buf, f.buf[f.start:f.end])
		f.start = 0
	}
	if need > len(f.buf) {
		// Grow by doubling and not at once to what a header claims: the bytes
		// must come before memory is given for them.
		size := min(max(need, firstBuffer), max(firstBuffer, 2*len(f.buf)))
		grown := make([]byte, size)
		f.end = copy(grown, f.buf[f.start:f.end])
		f.start, f.buf = 0, grown
	}
	if f.end == len(f.buf) {
		return f.fill(need) // was grown, but not far enough: cannot loop, for it doubles
	}
	n, err := f.src.Read(f.buf[f.end:])
	f.end += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	if err == io.EOF && f.end > f.start {
		return io.ErrUnexpectedEOF
	}
	return err
}

// outbox gathers messages for one side so that they leave in few writes. The
// first error of a write sticks and ends the connection.
type outbox struct {
	dst    io.Writer
	buf    []byte
	err    error
	writes atomic.Uint64 // that have begun and ended; odd while one is under way
}

// outboxLimit is how much is gathered before it is written.
const outboxLimit = 16 << 10

func (o *outbox) write(p []byte) {
	if len(o.buf)+len(p) > outboxLimit {
		o.flush()
		if len(p) >= outboxLimit {
			o.send(p)
			return
		}
	}
	o.buf = append(o.buf, p...)
}

func (o *outbox) flush() error {
	if len(o.buf) > 0 {
		o.send(o.buf)
	}
	o.buf = o.buf[:0]
	return o.err
}

func (o *outbox) send(p []byte) {
	if o.err == nil {
		o.writes.Add(1)
		_, o.err = o.dst.Write(p)
		o.writes.Add(1)
	}
}
