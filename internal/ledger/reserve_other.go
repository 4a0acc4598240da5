//go:build !linux

package ledger

import "os"

// allocate gives the file size bytes of disk.
func allocate(f *os.File, size int64) error { return write(f, size) }
