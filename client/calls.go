package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// Whoami says who the client's credential stands for.
func (c *Client) Whoami(ctx context.Context) (who Caller, err error) {
	return who, c.call(ctx, http.MethodGet, "/whoami", nil, &who)
}

// Server says what the server is.
func (c *Client) Server(ctx context.Context) (s Server, err error) {
	return s, c.call(ctx, http.MethodGet, "/server", nil, &s)
}

// Gates lists the server's gates.
func (c *Client) Gates(ctx context.Context) (gs []Gate, err error) {
	return gs, c.call(ctx, http.MethodGet, "/gates", nil, &gs)
}

// Login enrols the first administrator with the code that the server printed.
func (c *Client) Login(ctx context.Context, l Login) (e Enrolment, err error) {
	return e, c.call(ctx, http.MethodPost, "/login", l, &e)
}

// Explain judges scenarios, one JSON object a line, and gives one line for each.
func (c *Client) Explain(ctx context.Context, lines []byte) ([]byte, error) {
	return c.send(ctx, http.MethodPost, "/explain", "application/x-ndjson", bytes.NewReader(lines))
}

// Holds lists holds, newest first: of one status, or all with "".
func (c *Client) Holds(ctx context.Context, status string, limit int) (hs []Hold, err error) {
	q := url.Values{}
	if status != "" {
		q.Set("status", status)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return hs, c.call(ctx, http.MethodGet, "/holds?"+q.Encode(), nil, &hs)
}

// SessionHolds lists the open and approved holds of a session, newest first.
func (c *Client) SessionHolds(ctx context.Context, id signalbox.SessionID) (hs []Hold, err error) {
	return hs, c.call(ctx, http.MethodGet, "/sessions/"+url.PathEscape(string(id))+"/holds", nil, &hs)
}

// Hold gives one hold.
func (c *Client) Hold(ctx context.Context, id string) (h Hold, err error) {
	return h, c.call(ctx, http.MethodGet, "/holds/"+url.PathEscape(id), nil, &h)
}

// WaitHold gives the hold when it is no longer open, or as it is after d.
func (c *Client) WaitHold(ctx context.Context, id string, d time.Duration) (h Hold, err error) {
	ctx, cancel := context.WithTimeout(ctx, d+callTime)
	defer cancel()
	return h, c.call(ctx, http.MethodGet, fmt.Sprintf("/holds/%s/wait?timeout=%s", url.PathEscape(id), d), nil, &h)
}

// Answer says yes or no to a hold.
func (c *Client) Answer(ctx context.Context, id string, yes bool, comment string) (h Hold, err error) {
	what := "deny"
	if yes {
		what = "approve"
	}
	return h, c.call(ctx, http.MethodPost, "/holds/"+url.PathEscape(id)+"/"+what, Comment{comment}, &h)
}

// Confirm gives the requester's own confirmation of a hold.
func (c *Client) Confirm(ctx context.Context, id string) (h Hold, err error) {
	return h, c.call(ctx, http.MethodPost, "/holds/"+url.PathEscape(id)+"/confirm", nil, &h)
}

// Withdraw takes a request back.
func (c *Client) Withdraw(ctx context.Context, id string) (h Hold, err error) {
	return h, c.call(ctx, http.MethodPost, "/holds/"+url.PathEscape(id)+"/withdraw", nil, &h)
}

// Sessions lists sessions, newest first: those that may still be used, or all.
func (c *Client) Sessions(ctx context.Context, all bool) (ss []signalbox.Session, err error) {
	return ss, c.call(ctx, http.MethodGet, "/sessions?all="+strconv.FormatBool(all), nil, &ss)
}

// OpenSession opens a session.
func (c *Client) OpenSession(ctx context.Context, n NewSession) (o OpenedSession, err error) {
	return o, c.call(ctx, http.MethodPost, "/sessions", n, &o)
}

// Session gives one session.
func (c *Client) Session(ctx context.Context, id string) (s signalbox.Session, err error) {
	return s, c.call(ctx, http.MethodGet, "/sessions/"+url.PathEscape(id), nil, &s)
}

// Credentials gives the credentials of a session that the caller has opened.
func (c *Client) Credentials(ctx context.Context, id string) (o OpenedSession, err error) {
	return o, c.call(ctx, http.MethodPost, "/sessions/"+url.PathEscape(id)+"/credentials", nil, &o)
}

// EndSession ends a session.
func (c *Client) EndSession(ctx context.Context, id signalbox.SessionID) error {
	return c.call(ctx, http.MethodPost, "/sessions/"+url.PathEscape(string(id))+"/end", nil, nil)
}

// Halts lists the halts in force.
func (c *Client) Halts(ctx context.Context) (hs []Halt, err error) {
	return hs, c.call(ctx, http.MethodGet, "/halts", nil, &hs)
}

// Halt stops what h names.
func (c *Client) Halt(ctx context.Context, h Halt) error {
	return c.call(ctx, http.MethodPost, "/halts", h, nil)
}

// Resume takes a halt back.
func (c *Client) Resume(ctx context.Context, r Resume) error {
	return c.call(ctx, http.MethodPost, "/resume", r, nil)
}

// Freezes lists the freezes that have not ended.
func (c *Client) Freezes(ctx context.Context) (fs []Freeze, err error) {
	return fs, c.call(ctx, http.MethodGet, "/freezes", nil, &fs)
}

// StartFreeze begins a freeze.
func (c *Client) StartFreeze(ctx context.Context, f Freeze) (started Freeze, err error) {
	return started, c.call(ctx, http.MethodPost, "/freezes", f, &started)
}

// EndFreeze ends a freeze before its time.
func (c *Client) EndFreeze(ctx context.Context, id, reason string) error {
	return c.call(ctx, http.MethodPost, "/freezes/"+url.PathEscape(id)+"/end", Reason{reason}, nil)
}

// BreakGlasses lists the break-glass windows that have not ended.
func (c *Client) BreakGlasses(ctx context.Context) (bs []BreakGlass, err error) {
	return bs, c.call(ctx, http.MethodGet, "/break-glass", nil, &bs)
}

// StartBreakGlass opens a break-glass window for the calling human.
func (c *Client) StartBreakGlass(ctx context.Context, b BreakGlass) (started BreakGlass, err error) {
	return started, c.call(ctx, http.MethodPost, "/break-glass", b, &started)
}

// EndBreakGlass closes a break-glass window before its time.
func (c *Client) EndBreakGlass(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, "/break-glass/"+url.PathEscape(id)+"/end", nil, nil)
}

// People lists the enrolled humans.
func (c *Client) People(ctx context.Context) (ps []Person, err error) {
	return ps, c.call(ctx, http.MethodGet, "/people", nil, &ps)
}

// AddPerson enrols a human.
func (c *Client) AddPerson(ctx context.Context, n NewPerson) (e Enrolment, err error) {
	return e, c.call(ctx, http.MethodPost, "/people", n, &e)
}

// RevokePerson makes a human's token and the credentials of all his sessions
// worthless, and gives the token that replaces it.
func (c *Client) RevokePerson(ctx context.Context, name string) (e Enrolment, err error) {
	return e, c.call(ctx, http.MethodPost, "/people/"+url.PathEscape(name)+"/revoke", nil, &e)
}

// RemovePerson removes a human.
func (c *Client) RemovePerson(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/people/"+url.PathEscape(name), nil, nil)
}

// Policies lists the versions of the policy set, newest first.
func (c *Client) Policies(ctx context.Context) (ps []Policy, err error) {
	return ps, c.call(ctx, http.MethodGet, "/policies", nil, &ps)
}

// Policy gives one version with its files; "active" names the one in force.
func (c *Client) Policy(ctx context.Context, version string) (p Policy, err error) {
	return p, c.call(ctx, http.MethodGet, "/policies/"+url.PathEscape(version), nil, &p)
}

// ProposePolicy hands in a policy set.
func (c *Client) ProposePolicy(ctx context.Context, n NewPolicy) (p Policy, err error) {
	return p, c.call(ctx, http.MethodPost, "/policies", n, &p)
}

// LogHead gives the newest tree head.
func (c *Client) LogHead(ctx context.Context) (h LogHead, err error) {
	return h, c.call(ctx, http.MethodGet, "/log", nil, &h)
}

// Entries gives at most limit entries from index on, in order. A negative from
// counts from the end.
func (c *Client) Entries(ctx context.Context, from int64, limit int) (es []Entry, err error) {
	return es, c.call(ctx, http.MethodGet, fmt.Sprintf("/log/entries?from=%d&limit=%d", from, limit), nil, &es)
}

// Entry gives one entry by its id or index.
func (c *Client) Entry(ctx context.Context, ref string) (e Entry, err error) {
	return e, c.call(ctx, http.MethodGet, "/log/entries/"+url.PathEscape(ref), nil, &e)
}

// Proof proves one entry, named by id or index.
func (c *Client) Proof(ctx context.Context, ref string) (p Proof, err error) {
	return p, c.call(ctx, http.MethodGet, "/log/entries/"+url.PathEscape(ref)+"/proof", nil, &p)
}

// Disclose opens the hidden fields of one entry.
func (c *Client) Disclose(ctx context.Context, ref string) (ds []Disclosure, err error) {
	return ds, c.call(ctx, http.MethodPost, "/log/entries/"+url.PathEscape(ref)+"/disclose", nil, &ds)
}

// EraseEntry deletes what opens the hidden fields of one entry, for ever.
func (c *Client) EraseEntry(ctx context.Context, ref, reason string) error {
	return c.call(ctx, http.MethodPost, "/log/entries/"+url.PathEscape(ref)+"/erase", Reason{reason}, nil)
}

// IsStatus reports whether err is a [*Problem] with this HTTP status.
func IsStatus(err error, status int) bool {
	var p *Problem
	return errors.As(err, &p) && p.Status == status
}
