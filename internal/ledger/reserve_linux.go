package ledger

import (
	"errors"
	"os"
	"syscall"
)

// allocate gives the file size bytes of disk.
func allocate(f *os.File, size int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EOPNOTSUPP):
			return write(f, size)
		default:
			return err
		}
	}
}
