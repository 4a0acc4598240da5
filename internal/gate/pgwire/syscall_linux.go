//go:build !race

package pgwire

import (
	"syscall"
	"unsafe"
)

// readOnce and writeOnce make one system call on a descriptor that does not
// block. The error is zero if there is none.

func readOnce(fd uintptr, p []byte) (int, syscall.Errno) { return transfer(syscall.SYS_READ, fd, p) }

func writeOnce(fd uintptr, p []byte) (int, syscall.Errno) { return transfer(syscall.SYS_WRITE, fd, p) }

func transfer(trap, fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, _, err := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		if err == 0 {
			return int(n), 0
		}
		if err != syscall.EINTR {
			return 0, err
		}
	}
}
