package interlock

import (
	"sync"
	"time"
)

// outcomesEvery is how long outcomes that nobody waits for gather, so that they
// do not each take a commit of the ledger that an intent then waits for. A crash
// in that time leaves their intents unknown.
const outcomesEvery = 5 * time.Millisecond

// A coalescer lets goroutines that come within a time go on together, so that
// what they commit next goes into the same commit.
type coalescer struct {
	mu   sync.Mutex
	next chan struct{} // closed when those who wait go on; nil while there are none
}

// wait returns outcomesEvery after the first of those who wait together came.
func (c *coalescer) wait() {
	c.mu.Lock()
	if c.next == nil {
		next := make(chan struct{})
		c.next = next
		time.AfterFunc(outcomesEvery, func() {
			c.mu.Lock()
			c.next = nil
			c.mu.Unlock()
			close(next)
		})
	}
	next := c.next
	c.mu.Unlock()
	<-next
}
