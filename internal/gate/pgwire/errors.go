package pgwire

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/signalbox-dev/signalbox/internal/gate"
)

// SQLSTATEs of our own. Class SB belongs to nobody: PostgreSQL leaves classes
// that begin with I to Z to others.
const (
	// StateHeld says that the statement waits for approvals. DETAIL names the
	// hold; the same bytes sent again after approval run once.
	StateHeld = "SB001"
	// StateUnavailable says that Signalbox could not decide or record.
	StateUnavailable = "SB002"
	// StateUnknown is PostgreSQL's transaction_resolution_unknown.
	StateUnknown = "08007"
)

// An unreachableError says that the server cannot be reached or lets the gate
// not in. What agents are told of it names neither user, nor host, nor port; the
// whole is in the log.
type unreachableError struct{ err error }

func (e *unreachableError) Error() string {
	if pg := (*pgconn.PgError)(nil); errors.As(e.err, &pg) {
		return fmt.Sprintf("the server behind this gate does not let it in (SQLSTATE %s)", pg.Code)
	}
	return "the server behind this gate cannot be reached"
}

func (e *unreachableError) Unwrap() error { return e.err }

// unreachable logs why the server cannot be reached, and gives what may be told.
func (g *Gate) unreachable(err error) error {
	g.Logger.Error("server behind the gate cannot be reached", "gate", g.Config.Gate.Name, "server", g.Upstream,
		"error", err)
	return &unreachableError{err}
}

// notConnected is what a client is told at its log-in when it cannot be connected to
// the server: the server's own code and words where they concern the client, and
// nothing that names the server or the gate's role there.
func (c *conn) notConnected(err error) *refusal {
	const way = "Its operator finds the cause in Signalbox's log."
	r := refusal{code: "08006", message: plainly(err), hint: way}
	unreachable, pg := (*unreachableError)(nil), (*pgconn.PgError)(nil)
	c.mu.Lock()
	cut := c.reason
	c.mu.Unlock()
	switch own := c.refusalOf(err); {
	case cut != nil:
		r = refusal{code: "57P01", message: cut.Error()}
	case own != nil:
		r = *own
	case !errors.As(err, &unreachable) || !errors.As(err, &pg):
	case pg.Code == "53300":
		r = refusal{code: pg.Code, message: "the server behind this gate has as many connections as it takes",
			hint: "Close connections that are not in use, or try again."}
	case strings.HasPrefix(pg.Code, "57P"): // it starts up or shuts down
		r = refusal{code: pg.Code, message: pg.Message, hint: "Try again."}
	case strings.HasPrefix(pg.Code, "22"), pg.Code == "42704", strings.HasPrefix(pg.Code, "42501") &&
		strings.Contains(pg.Message, "parameter"): // a setting of the client's
		r = refusal{code: pg.Code, message: pg.Message}
	}
	r.severity = "FATAL"
	return &r
}

// plainly gives an error's text without the addresses that errors of the network
// carry.
func plainly(err error) string {
	if e := (*unreachableError)(nil); errors.As(err, &e) {
		return e.Error()
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

// StateDenied is PostgreSQL's insufficient_privilege.
const StateDenied = "42501"

// A refusal is an error that the gate itself tells a client.
type refusal struct {
	severity, code, message, detail, hint string
}

func (r *refusal) Error() string { return r.message }

func (r *refusal) encode() []byte {
	severity := r.severity
	if severity == "" {
		severity = "ERROR"
	}
	e := &pgproto3.ErrorResponse{
		Severity: severity, SeverityUnlocalized: severity, Code: r.code,
		Message: "signalbox: " + r.message, Detail: r.detail, Hint: r.hint,
	}
	b, err := e.Encode(nil)
	if err != nil {
		return nil // only a message over 1 GiB cannot be encoded
	}
	return b
}

// refusalOf turns what interlock said into what the client is told. It gives nil
// for an error that is not a refusal.
func (c *conn) refusalOf(err error) *refusal {
	var (
		own    *refusal
		server *askError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &server):
		c.log.Error("refused because the server did not answer the gate", "error", err)
		return &refusal{code: StateUnavailable, message: server.Error(), hint: "Nothing was done."}
	}
	if r, ok := c.g.Refuse(err); ok {
		return encoded(r, c.client.status != 'I')
	}
	return nil
}

// encoded puts a refusal of the interlock into a SQLSTATE and its fields.
func encoded(r gate.Refusal, inTransaction bool) *refusal {
	switch r.Kind {
	case gate.Held:
		refuse := &refusal{code: StateHeld, message: r.Reason,
			detail: fmt.Sprintf("Hold %s, %s.", r.Hold.ID, r.Status())}
		if r.URL != "" {
			refuse.detail += " " + r.URL
		}
		refuse.hint = fmt.Sprintf("Wait with %s, then send the same statement again.", r.Wait())
		if inTransaction {
			refuse.hint = fmt.Sprintf("Roll back. Wait with %s, then send the same transaction again.", r.Wait())
		}
		return refuse
	case gate.Denied:
		refuse := &refusal{code: StateDenied, message: r.Reason}
		if len(r.Policy) > 0 {
			refuse.detail = fmt.Sprintf("Decided by %s.", strings.Join(r.Policy, ", "))
		}
		if r.Record != "" {
			refuse.detail += " Recorded as " + r.Record + "."
		}
		return refuse
	case gate.Unknown:
		return &refusal{code: StateUnknown, message: r.Reason, hint: "Look before you repeat it."}
	}
	return &refusal{code: StateUnavailable, message: r.Reason,
		hint: "Nothing was done. Try again; Signalbox's operator finds the cause in its log."}
}
