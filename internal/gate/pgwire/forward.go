package pgwire

import "time"

// A work is a piece of what a client sent that is forwarded under one decision.
type work struct {
	raw      []byte // messages, without a Sync at their end
	simple   bool   // one Query message
	replies  int    // due in the extended protocol
	sync     bool   // the client's Sync follows
	control  bool   // begins, ends or marks a transaction
	readOnly bool   // can run in a READ ONLY transaction
	lone     bool   // cannot run in a transaction block
	copyIn   bool   // the client will send data
	reads    bool   // account for its rows as reads
	neutral  bool   // runs nothing: it only parses, describes or closes
	queries  bool   // nothing but queries: an agent's run READ ONLY, in a block too
	holds    bool   // declares a cursor WITH HOLD, which runs when the transaction ends
	commands int    // statements of a simple query
	executes int    // Executes of the extended protocol
	synced   bool   // a Sync of ours follows, of which the client learns nothing

	expected  []expectation // replies due in the extended protocol
	confirmed int           // how many of them came
}

// forward sends what needs no intent: an admitted read, or what runs nothing. It
// reports whether the server did it.
func (c *conn) forward(r *request, w *work) (bool, error) {
	p := &pump{replies: -1, quiet: true}
	if err := c.send(w, p); err != nil {
		return false, err
	}
	if w.reads && (r != nil || len(w.expected) > 0 && !w.neutral) {
		c.account(r, p)
	}
	if c.phase() == none && len(c.tx.admissions) > 0 {
		c.abandon() // the server rolled back for reasons of its own
	}
	return !p.failed(), nil
}

// send forwards the messages of w and pumps until they are answered. It is the
// only caller of backend.forward, and is called for what was admitted, for what
// runs nothing, and for what begins or ends a transaction.
//
// The order matters: what makes the block READ ONLY, or writable again, goes in
// the same write before the client's bytes, so that nothing runs in between, and
// its answer is read before any of theirs. A crash here leaves a transaction that
// the server rolls back, or, behind an intent, one whose outcome is unknown.
func (c *conn) send(w *work, p *pump) error {
	own := c.queueReading(w)
	p.expected = w.expected
	c.server.forward(w.raw, max(w.commands, w.executes))
	// In a transaction block a Sync ends nothing, and its answer tells the true
	// status. Only an implicit transaction must be kept open by a Flush.
	synced := w.sync || w.synced || w.control || c.server.status != 'I'
	if !w.simple {
		if synced {
			c.server.sync()
		} else {
			c.server.flush()
			p.replies, p.block = w.replies, true
			c.tx.flushed()
		}
	}
	if err := c.server.send(); err != nil {
		return err
	}
	if own > 0 {
		answers, err := c.server.gather(own)
		if err == nil && answers[len(answers)-1].failed != nil {
			err = &askError{answers[len(answers)-1].failed}
		}
		if err != nil {
			return &lostError{err: err} // what was sent behind it has run in another state than it was decided for
		}
	}
	c.cancellable(true)
	err := p.run(c)
	c.cancellable(false)
	if c.server.tampered != nil {
		return c.server.tampered
	}
	if err == nil && synced && !w.simple && !p.ready {
		// A COPY took the Sync. The client sends another if the first was its
		// own; if it was ours, so do we.
		if w.sync {
			c.awaitsSync = true
		} else {
			c.server.sync()
			if err := c.server.send(); err != nil {
				return err
			}
			p.replies, p.block = -1, false
			err = p.run(c)
		}
	}
	w.confirmed = p.done
	if p.failed() && !w.simple && !p.ready || p.failed() && !w.simple && !w.sync {
		c.client.skips, c.server.skips = true, !p.ready
	}
	if p.ready {
		c.tx.synced()
	}
	return err
}

// queueReading queues what makes the agent's block READ ONLY for w, or writable
// again, and gives the number of statements queued.
func (c *conn) queueReading(w *work) int {
	p := c.phase()
	if !c.agent() || c.server.status != 'T' || p == committing || w.neutral && !w.control {
		return 0
	}
	own := c.tx.read(w.queries && !w.control)
	if len(own) > 0 {
		c.server.queue(own...)
	}
	return len(own)
}

// cancellable notes whether a statement of the client's runs. When it returns, no
// cancel request of the client's is on its way any more.
func (c *conn) cancellable(runs bool) {
	c.cancels.Lock()
	c.running = runs
	c.cancels.Unlock()
	switch {
	case !c.agent():
	case runs:
		c.runs.Store(time.Now().UnixNano())
	default:
		c.runs.Store(0)
	}
}
