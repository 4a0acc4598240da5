//go:build unix && !linux

package pgtest

import "os/exec"

// spawn starts cmd and returns a channel that is closed when it has ended.
//
// BUG: outside Linux nothing ends the server when this process is killed; stop
// it by the process id in its folder's data/postmaster.pid.
func spawn(cmd *exec.Cmd) (<-chan struct{}, error) {
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
