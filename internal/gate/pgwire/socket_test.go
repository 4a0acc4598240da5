package pgwire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// pair gives both ends of a TCP connection, the first as the gate uses it.
func pair(t testing.TB) (net.Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	near = direct(near)
	t.Cleanup(func() { near.Close() })
	return near, far.(*net.TCPConn)
}

// More than the kernel's buffers hold goes through whole, both ways at once.
func TestDirectCarriesMoreThanBuffersHold(t *testing.T) {
	near, far := pair(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	echoed := make(chan error, 1)
	go func() {
		_, err := io.Copy(far, far)
		far.CloseWrite()
		echoed <- err
	}()
	wrote := make(chan error, 1)
	go func() {
		n, err := near.Write(sent)
		if err == nil && n != len(sent) {
			err = io.ErrShortWrite
		}
		wrote <- err
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(near, got); err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent) {
		t.Error("bytes came back changed")
	}
	near.Close()
	if err := <-echoed; err != nil {
		t.Error(err)
	}
}

func TestDirectEnds(t *testing.T) {
	near, far := pair(t)
	p := make([]byte, 8)
	near.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, err := near.Read(p); n != 0 || !timedOut(err) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read past its deadline: %d, %v", n, err)
	}
	near.SetReadDeadline(time.Time{})
	if _, err := far.Write([]byte("last")); err != nil {
		t.Fatal(err)
	}
	if err := far.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := io.ReadFull(near, p[:4]); n != 4 || err != nil {
		t.Errorf("last bytes: %d, %v", n, err)
	}
	if n, err := near.Read(p); n != 0 || err != io.EOF {
		t.Errorf("read at the end: %d, %v", n, err)
	}
	if n, err := near.Read(nil); n != 0 || err != nil {
		t.Errorf("read of nothing: %d, %v", n, err)
	}
	far.SetLinger(0)
	far.Close() // resets
	var err error
	for err == nil {
		_, err = near.Write(p) // the reset arrives at some time
	}
	if timedOut(err) {
		t.Errorf("write after a reset looks like a time-out: %v", err)
	}
	near.Close()
	if _, err := near.Read(p); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if _, err := near.Write(p); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
}

// A write that nobody reads to its end is ended by a deadline, and says how much
// left.
func TestDirectWriteDeadline(t *testing.T) {
	near, far := pair(t)
	begun := make(chan error, 1)
	go func() {
		_, err := far.Read(make([]byte, 1))
		near.SetWriteDeadline(time.Unix(1, 0))
		begun <- err
	}()
	n, err := near.Write(make([]byte, 64<<20))
	if !timedOut(err) || n == 0 || n == 64<<20 {
		t.Errorf("wrote %d: %v", n, err)
	}
	if err := <-begun; err != nil {
		t.Error(err)
	}
}
