package gate

import (
	"errors"
	"fmt"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
)

// A RefusalKind is why a request was not done, in the terms that clients act
// upon. How a protocol says it is the gate's: see its errors.go.
type RefusalKind string

// The kinds of refusals.
const (
	Held        RefusalKind = "held"        // waits for approvals; sent again after them, it runs once
	Denied      RefusalKind = "denied"      // by policy, or by a ceiling that was exceeded
	Unknown     RefusalKind = "unknown"     // forwarded, and nobody can say what came of it
	Unavailable RefusalKind = "unavailable" // Signalbox could not decide or record; nothing was done
)

// A Refusal is what a client is told, before it is put into the words of a
// protocol.
type Refusal struct {
	Kind   RefusalKind
	Reason string // for people, one sentence without the full stop

	Hold   approval.Hold // of Held
	URL    string        // of the hold's page, or ""
	Policy []string      // the policies that denied
	Record string        // id of the log entry of a denial; "" when it is only counted
	Intent string        // of Unknown
	// Retry says that the same request may be sent again: at once or later for
	// Unavailable, after the approvals for Held.
	Retry bool
}

// Refuse gives what a client is told of an error of the interlock. ok is false for
// any other error.
func (c *Config) Refuse(err error) (r Refusal, ok bool) {
	var (
		held    *interlock.HeldError
		denied  *interlock.DeniedError
		overran *interlock.OverrunError
		unknown *interlock.UnknownError
	)
	switch {
	case errors.As(err, &held):
		return Refusal{Kind: Held, Reason: held.Error(), Hold: held.Hold, URL: c.HoldURL(held.Hold.ID), Retry: true},
			true
	case errors.As(err, &denied):
		return Refusal{Kind: Denied, Reason: denied.Error(), Policy: denied.Verdict.Policies, Record: denied.Record},
			true
	case errors.As(err, &overran):
		return Refusal{Kind: Denied, Reason: overran.Error()}, true
	case errors.As(err, &unknown):
		return Refusal{Kind: Unknown, Reason: unknown.Error(), Intent: unknown.Intent}, true
	case errors.Is(err, interlock.ErrUnavailable):
		// What failed is for operators: it may name what clients must not know.
		c.Logger.Error("refused because it could not be decided or recorded", "gate", c.Gate.Name, "error", err)
		return Refusal{Kind: Unavailable, Reason: interlock.Unavailable(err), Retry: true}, true
	}
	return Refusal{}, false
}

// Status says how the hold stands and until when.
func (r Refusal) Status() string {
	return fmt.Sprintf("%s until %s", r.Hold.Status, r.Hold.Expires.UTC().Format("2006-01-02 15:04 MST"))
}

// Wait is the command that waits for the approvals.
func (r Refusal) Wait() string { return "`signalbox hold wait " + r.Hold.ID + "`" }

// DecidedBy names the policies that denied, or gives "".
func (r Refusal) DecidedBy() string {
	if len(r.Policy) == 0 {
		return ""
	}
	return "decided by " + strings.Join(r.Policy, ", ")
}
