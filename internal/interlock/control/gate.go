package control

import (
	"time"

	"github.com/signalbox-dev/signalbox"
)

// A Gate is what a decision rests upon of the gate that a request came through.
// It comes from configuration, never from the caller.
type Gate struct {
	Name        string
	Protocol    string // "postgres", "aws" …
	Target      string // what the gate protects: part of every digest
	Environment signalbox.Environment
	// Wait is how long a held request waits for approvals before it is answered.
	// Default 0: it is answered at once.
	Wait time.Duration
	// Patient says that the gate's clients wait for an answer without a limit of
	// their own, so that sessions may choose to wait (see [signalbox.Session.Wait]).
	Patient bool
	// Ceiling bounds what an agent's change may touch in production although
	// policy allows it.
	Ceiling Ceiling
}

// A Ceiling bounds the rows (or objects) touched by changes of agents that were
// allowed without approval. A limit that is not positive stands for its default.
type Ceiling struct {
	Request int64 // by one request, cascades included; default [DefaultCeilingRequest]
	Total   int64 // by one human's agents on one resource in 24 hours; default [DefaultCeilingTotal]
}

// Defaults of a [Ceiling].
const (
	DefaultCeilingRequest = 100
	DefaultCeilingTotal   = 1000
)

// WithDefaults returns the ceiling with its defaults filled in.
func (c Ceiling) WithDefaults() Ceiling {
	if c.Request <= 0 {
		c.Request = DefaultCeilingRequest
	}
	if c.Total <= 0 {
		c.Total = DefaultCeilingTotal
	}
	return c
}
