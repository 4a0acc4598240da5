package pgwire

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// A socket is a connection whose reads and writes are system calls of which the
// scheduler is not told. It need not be: the descriptor never blocks, so there
// is no processor to take away from the call meanwhile. Telling it costs a
// quarter of all that the gate spends on a short query, most of that in the
// scheduler's supervisor, which is kept awake by calls that are preempted.
//
// One goroutine may read and one may write at a time. All else, deadlines and
// waiting included, is the connection's own.
type socket struct {
	net.Conn
	raw syscall.RawConn

	// Of the read and of the write at hand: kept here, and the functions with
	// them, so that a call allocates nothing.
	read, write struct {
		p    []byte
		n    int
		err  syscall.Errno
		call func(fd uintptr) bool
	}
}

// direct gives conn with cheaper reads and writes, if it is a socket.
func direct(conn net.Conn) net.Conn {
	sc, ok := conn.(syscall.Conn) // not one under TLS
	if !ok {
		return conn
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return conn
	}
	s := &socket{Conn: conn, raw: raw}
	s.read.call = func(fd uintptr) bool {
		n, err := readOnce(fd, s.read.p)
		s.read.n, s.read.err = n, err
		return err != syscall.EAGAIN
	}
	s.write.call = func(fd uintptr) bool {
		for s.write.n < len(s.write.p) {
			n, err := writeOnce(fd, s.write.p[s.write.n:])
			if err != 0 {
				s.write.err = err
				return err != syscall.EAGAIN
			}
			s.write.n += n
		}
		return true
	}
	return s
}

// Read implements [net.Conn].
func (s *socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.read.p = p
	err := s.raw.Read(s.read.call)
	s.read.p = nil
	switch {
	case err != nil:
		return 0, err // not read: it was closed, or its deadline is past
	case s.read.err != 0:
		return 0, os.NewSyscallError("read", s.read.err)
	case s.read.n == 0:
		return 0, io.EOF
	}
	return s.read.n, nil
}

// Write implements [net.Conn].
func (s *socket) Write(p []byte) (int, error) {
	s.write.p, s.write.n, s.write.err = p, 0, 0
	err := s.raw.Write(s.write.call)
	s.write.p = nil
	if err == nil && s.write.n < len(p) {
		err = os.NewSyscallError("write", s.write.err)
	}
	return s.write.n, err
}

// CloseWrite tells the other side that nothing more comes.
func (s *socket) CloseWrite() error {
	if w, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}
