package interlock

import (
	"fmt"
	"runtime/debug"
)

// A faultError says that there was a panic: a defect of our own.
type faultError struct {
	value any
	stack []byte
}

func (e *faultError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// caught calls f, and gives a panic of it as an error. It is for goroutines that
// are nobody's request: one that panics would end the process, and with it
// everybody's connections.
func caught(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &faultError{v, debug.Stack()}
		}
	}()
	return f()
}

// guarded is caught, logged and counted.
func (i *Interlock) guarded(where string, f func() error) error {
	err := caught(f)
	if e, ok := err.(*faultError); ok {
		i.config.Panicked(where)
		i.log.Error("ALARM: a defect of Signalbox's own", "where", where, "panic", fmt.Sprint(e.value), "stack",
			string(e.stack))
	}
	return err
}
