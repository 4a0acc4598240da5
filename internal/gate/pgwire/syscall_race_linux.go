//go:build race

package pgwire

import "syscall"

// The race detector learns from these calls of package syscall, and from no
// others, that what one side of a connection did came before what the other
// side does next.

func readOnce(fd uintptr, p []byte) (int, syscall.Errno) { return transfer(syscall.Read, fd, p) }

func writeOnce(fd uintptr, p []byte) (int, syscall.Errno) { return transfer(syscall.Write, fd, p) }

func transfer(call func(int, []byte) (int, error), fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, err := call(int(fd), p)
		if err == nil {
			return n, 0
		}
		if err != syscall.EINTR {
			return 0, err.(syscall.Errno)
		}
	}
}
