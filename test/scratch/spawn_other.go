//go:build unix && !linux

package scratch

import (
	"os/exec"
	"syscall"
)

// Spawn starts cmd and returns a channel that is closed when it has ended.
//
// BUG: outside Linux nothing ends the server when this process is killed; stop
// it by its process id.
func Spawn(cmd *exec.Cmd, _ syscall.Signal) (<-chan struct{}, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan struct{}) // closed by the goroutine below
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	return done, nil
}
