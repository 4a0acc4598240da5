//go:build !unix

package store

import (
	"errors"
	"os"
)

// lockFile refuses: without a lock that dies with its process, two daemons
// could sequence one log.
func lockFile(string) (*os.File, error) {
	return nil, errors.New("SQLite is supported on Unix systems only; use PostgreSQL")
}
