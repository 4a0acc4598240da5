package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// pace is how often a customer asks.
const pace = 20 * time.Millisecond

// Customers ask a service for what they spent, one request after the other, for
// as long as they are there.
type customers struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the last request has ended

	mu    sync.Mutex
	tally tally
	since time.Time // first failure of what fails now; zero while it does not
}

// A tally is what customers met.
type tally struct {
	requests, failed int
	longest          time.Duration // the longest time from a failure to the next success
}

// arrive starts the customers of a service.
func arrive(ctx context.Context, service string) *customers {
	ctx, cancel := context.WithCancel(ctx)
	c := &customers{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		client := &http.Client{Timeout: 2 * time.Second}
		defer client.CloseIdleConnections()
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			ok := served(ctx, client, fmt.Sprintf("%s/costs?customer=%d", service, 1+n%numberOfCustomers))
			if ctx.Err() == nil {
				c.count(ok, time.Now())
			}
		}
	}()
	return c
}

// served reports whether a customer got an answer.
func served(ctx context.Context, client *http.Client, url string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK
}

func (c *customers) count(ok bool, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally.requests++
	switch {
	case !ok:
		c.tally.failed++
		if c.since.IsZero() {
			c.since = at
		}
		c.tally.longest = max(c.tally.longest, at.Sub(c.since))
	case !c.since.IsZero():
		c.tally.longest = max(c.tally.longest, at.Sub(c.since))
		c.since = time.Time{}
	}
}

// met gives what they met so far.
func (c *customers) met() tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tally
}

// leave ends them and gives what they met.
func (c *customers) leave() tally {
	c.cancel()
	<-c.done
	return c.met()
}
