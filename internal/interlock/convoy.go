package interlock

import (
	"sync"
	"time"
)

// outcomesEvery is how long outcomes that nobody waits for gather, so that they
// do not each take a commit of the ledger that an intent then waits for. It is
// as much longer that a crash leaves an intent unknown.
const outcomesEvery = 5 * time.Millisecond

// A convoy has those who join within a time leave together.
type convoy struct {
	mu    sync.Mutex
	leave chan struct{} // closed when those who joined go; nil while there are none
}

// join waits until the convoy leaves, outcomesEvery after its first joined.
func (c *convoy) join() {
	c.mu.Lock()
	if c.leave == nil {
		leave := make(chan struct{})
		c.leave = leave
		time.AfterFunc(outcomesEvery, func() {
			c.mu.Lock()
			c.leave = nil
			c.mu.Unlock()
			close(leave)
		})
	}
	leave := c.leave
	c.mu.Unlock()
	<-leave
}
