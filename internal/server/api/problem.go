package api

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/server/identity"
)

// A problem is an error as callers see it (RFC 9457).
type problem struct{ client.Problem }

// GetStatus implements [huma.StatusError].
func (p *problem) GetStatus() int { return p.Status }

// ContentType implements [huma.ContentTypeFilter].
func (p *problem) ContentType(string) string { return "application/problem+json" }

// Error implements error.
func (p *problem) Error() string { return p.Problem.Error() }

func newProblem(status int, detail, hint string) *problem {
	return &problem{client.Problem{Status: status, Title: http.StatusText(status), Detail: detail, Hint: hint}}
}

// statuses is the one place where an error becomes a status. The first that
// matches counts. What is not here is internal: callers learn nothing of it
// but that it was logged.
var statuses = []struct {
	err    error
	status int
	hint   string
}{
	{identity.ErrMissing, http.StatusUnauthorized, "log in with `signalbox login`, or set SIGNALBOX_TOKEN"},
	{session.ErrCredential, http.StatusUnauthorized,
		"it was revoked, has ended or was never valid: log in with `signalbox login`"},
	{identity.ErrCode, http.StatusUnauthorized,
		"look for the newest code in the server's output; an administrator adds people with `signalbox user add`"},
	{identity.ErrTooMany, http.StatusTooManyRequests, ""},
	{interlock.ErrNotHuman, http.StatusForbidden, "only a human can do this, with a credential of his own"},
	{interlock.ErrNotAdmin, http.StatusForbidden, "ask an administrator"},
	{interlock.ErrAnother, http.StatusForbidden,
		"ask an administrator or an approver who neither stopped it nor is held back by it"},
	{interlock.ErrNotYours, http.StatusForbidden, "its owner or an administrator can"},
	{interlock.ErrInvalid, http.StatusUnprocessableEntity, ""},
	{interlock.ErrExists, http.StatusConflict, ""},
	{approval.ErrOwn, http.StatusForbidden, "ask somebody else"},
	{approval.ErrLiveAgent, http.StatusForbidden, ""},
	{approval.ErrNoGroup, http.StatusForbidden, "ask somebody in one of the groups"},
	{approval.ErrPresence, http.StatusForbidden, ""},
	{approval.ErrTwice, http.StatusConflict, ""},
	{approval.ErrNotOpen, http.StatusConflict, "look at it with `signalbox hold show`"},
	{interlock.ErrNotFound, http.StatusNotFound, ""},
	{ledger.ErrNotFound, http.StatusNotFound, ""},
	{ledger.ErrErased, http.StatusGone, ""},
	{ledger.ErrStale, http.StatusConflict, "somebody else changed it at the same time: look again"},
	{ledger.ErrFull, http.StatusServiceUnavailable, "nothing was done; the server's operator must make room"},
	{interlock.ErrUnavailable, http.StatusServiceUnavailable, "nothing was done; see the server's diagnostics"},
	{ledger.ErrClosed, http.StatusServiceUnavailable, "the server is stopping"},
	{ledger.ErrUnknown, http.StatusServiceUnavailable, "look whether it was done before doing it again"},
	{ledger.ErrClock, http.StatusServiceUnavailable, "set the clock of the server's machine"},
	{ledger.ErrTampered, http.StatusServiceUnavailable, "the log refuses all work: see the server's diagnostics"},
}

// fail turns an error into what the caller is told.
func (a *api) fail(op string, err error) error {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	var mistake *policy.Error
	if errors.As(err, &mistake) {
		return newProblem(http.StatusUnprocessableEntity, err.Error(), "check the set with `signalbox policy check`")
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			if s.status >= 500 {
				a.Logger.Error("request failed", "operation", op, "error", err)
			}
			return newProblem(s.status, err.Error(), s.hint)
		}
	}
	a.Logger.Error("request failed", "operation", op, "error", err)
	return newProblem(http.StatusInternalServerError, "something went wrong inside the server",
		"see the server's diagnostics")
}

// write answers with a problem outside of an operation's handler.
func write(ctx huma.Context, p *problem) {
	ctx.SetHeader("Content-Type", "application/problem+json")
	if p.Status == http.StatusUnauthorized {
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="signalbox"`)
	}
	ctx.SetStatus(p.Status)
	// An error here means that the caller has gone.
	_ = json.NewEncoder(ctx.BodyWriter()).Encode(p.Problem)
}
