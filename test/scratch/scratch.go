// Package scratch is what servers that are thrown away have in common: a
// process that ends with ours, a free port, and the folder of the source in which
// test/setup keeps what it built.
package scratch

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// FreePort picks a free port of the loopback interface, below those that the
// kernel gives to clients, so that no outgoing connection takes it before the
// server does, or while the server is down. Somebody else still may: try again.
func FreePort() (int, error) {
	const low, high = 15000, 32000
	for range 100 {
		n, err := rand.Int(rand.Reader, big.NewInt(high-low))
		if err != nil {
			return 0, fmt.Errorf("choose a port: %w", err)
		}
		port := low + int(n.Int64())
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, fmt.Errorf("choose a port: none free between %d and %d", low, high)
}

// Source is the folder of Signalbox's source that we were started in or below;
// empty when we were started elsewhere.
func Source() string {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if text, rerr := os.ReadFile(filepath.Join(dir, "go.mod")); rerr == nil &&
			bytes.HasPrefix(text, []byte("module github.com/signalbox-dev/signalbox\n")) {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return ""
}
