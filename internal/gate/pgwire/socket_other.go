//go:build !linux

package pgwire

import "net"

// direct gives conn as it is: reads and writes that the scheduler is not told of
// are made on Linux alone.
func direct(conn net.Conn) net.Conn { return conn }
