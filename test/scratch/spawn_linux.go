package scratch

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Spawn starts cmd so that it gets the signal when this process dies, and
// returns a channel that is closed when cmd and all that hold its standard error
// have ended.
//
// The kernel sends the signal when the *thread* that forked ends, not the
// process, and Go ends threads as it likes. Hence one goroutine is locked to
// its thread, forks, and stays until the child is gone.
func Spawn(cmd *exec.Cmd, signal syscall.Signal) (<-chan struct{}, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = signal
	started := make(chan error)
	done := make(chan struct{}) // closed by the goroutine below
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			// A killed server is an error here and no news to anybody.
			_ = cmd.Wait()
		}
		close(done)
	}()
	return done, <-started
}
