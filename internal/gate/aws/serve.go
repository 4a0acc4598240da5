package aws

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/aws/sigv4"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
)

// An exchange is one request of a client, and its answer.
type exchange struct {
	g  *Gate
	w  http.ResponseWriter
	r  *http.Request
	id string // of the request, told to the client

	ctx     context.Context // ends with the session, the client or the gate
	leave   context.CancelCauseFunc
	line    line
	source  *source       // the body, as it comes; nil until it is asked for
	session *gate.Session // that it claims to be of; nil: none that is known
	from    string        // the client's address
	proved  bool          // the claim is right, and the request has a place in the session
	sig     *sigv4.Signature
	secret  string // that the request is signed with
	role    *role  // that the session acts as here; nil: the gate's own identity

	op     *awswire.Operation // nil: unknown
	wire   awswire.Request    // in one way of escaping: what is judged and what is forwarded
	body   body
	answer *answer // of AWS; nil: none
	told   bool    // the client has been answered, in part at least
	// sentAll says that the whole body was sent before AWS answered.
	sentAll bool
}

func (g *Gate) serve(w http.ResponseWriter, r *http.Request) {
	x := &exchange{g: g, w: w, r: r, id: ulid.Make().String(), from: host(r.RemoteAddr)}
	x.line.control = http.NewResponseController(w)
	defer x.end()
	defer x.recoverPanic()
	if err := x.serve(); err != nil {
		x.refuse(err)
	}
}

// recoverPanic turns a defect into the end of this one request. What was forwarded
// has its outcome by then: see execution.Execute.
func (x *exchange) recoverPanic() {
	switch v := recover(); v {
	case nil:
	case http.ErrAbortHandler:
		panic(v)
	default:
		x.g.Caught("a request", v)
		if x.told || x.answer != nil {
			// Perhaps a part of it went out: nobody may take that for the whole.
			panic(http.ErrAbortHandler)
		}
		x.refuse(&refusal{status: http.StatusServiceUnavailable, code: CodeUnavailable,
			message: "a defect in the gate, which its log shows. Nothing was done."})
	}
}

// end leaves nothing behind that works for the request.
func (x *exchange) end() {
	if x.source != nil {
		x.source.end()
	}
	x.line.end()
	x.body.release()
	if x.answer != nil {
		x.answer.close()
	}
	if x.session != nil {
		x.g.sessions.Leave(x.session, x.proved)
	}
}

// serve is the request's life. Its error is told to the client by refuse.
func (x *exchange) serve() error {
	if err := x.wellFormed(); err != nil {
		return err
	}
	unsigned, err := x.authenticate()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(x.r.Context())
	defer cancel(nil)
	stopped := x.session.Context()
	defer x.g.during(stopped, func() { cancel(context.Cause(stopped)) })()
	x.ctx, x.leave = ctx, cancel
	// Only what waits for the client needs to be woken: forwarding has contexts
	// of its own.
	defer x.g.during(ctx, x.line.cutReading)()

	if err := x.normalize(); err != nil {
		return err
	}
	if err := x.takeBody(); err != nil {
		return err
	}
	if err := x.prove(x.body.sha256); err != nil {
		return err
	}
	return x.perform(unsigned)
}

// prove checks the request's signature and gives it a place among those of its
// session, once. payload is the hash of the body, if it must be known.
func (x *exchange) prove(payload string) error {
	if x.proved {
		return nil
	}
	if x.sig != nil {
		if err := x.sig.Check(x.r, x.secret, payload, x.g.Now()); err != nil {
			return x.failed(err)
		}
	}
	if !x.g.sessions.Admit(x.session) {
		return errBusy
	}
	x.proved = true
	if c, ok := x.r.Context().Value(connKey{}).(*counted); ok {
		c.proved.Store(true)
	}
	return nil
}

// wellFormed refuses what two readers could understand in two ways.
func (x *exchange) wellFormed() error {
	r := x.r
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return &refusal{status: http.StatusMethodNotAllowed, code: "MethodNotAllowed",
			message: fmt.Sprintf("method %q is none that AWS's services have", r.Method)}
	}
	switch {
	case r.URL.Host != "" || !strings.HasPrefix(r.RequestURI, "/"):
		return malformed("the request's target must be a path: the gate is no proxy")
	case len(r.Header["Content-Type"]) > 1:
		return malformed("header Content-Type stands more than once")
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.ContentLength != 0:
		return malformed("a %s request has a body", r.Method)
	case len(r.Header["Content-Encoding"]) > 1:
		return malformed("header Content-Encoding stands more than once")
	}
	return nil
}

// The access key ids of virtual credentials: a session's own, and those of a
// role that it has assumed. What follows is the session's id, in upper case.
const (
	sessionKey = "SBXA"
	roleKey    = "SBXR"
)

// authenticate finds the session that the request claims to be of. Nothing is
// proved yet unless it is unsigned, with a bearer token. Only what failed is
// limited: a right signature counts, whatever others behind the same address or
// under the same key did.
func (x *exchange) authenticate() (unsigned bool, err error) {
	if token, ok := strings.CutPrefix(x.r.Header.Get("Authorization"), "Bearer "); ok {
		return true, x.bearer(token)
	}
	if x.sig, err = sigv4.Parse(x.r); err != nil {
		return false, err
	}
	key := x.sig.Key
	id, isSession := strings.CutPrefix(key, sessionKey)
	if !isSession {
		var isRole bool
		if id, isRole = strings.CutPrefix(key, roleKey); !isRole {
			id = ""
		}
	}
	if id == "" {
		return false, x.turnAway(key, "", &refusal{problem: problemKey,
			message: fmt.Sprintf("access key %q is none of Signalbox: a session has keys that begin with %s (`signalbox run` sets them)", clip(key), sessionKey)})
	}
	if err := x.join(key, strings.ToLower(id)); err != nil {
		return false, err
	}
	x.secret = x.session.Credential
	if isSession {
		if x.sig.Token != "" {
			return false, x.failed(&sigv4.Error{Problem: sigv4.Mismatch,
				Message: "the session's own key has no security token"})
		}
		return false, nil
	}
	if x.role, err = openRole(x.session, x.sig.Token, x.g.Now()); err != nil {
		if errors.Is(err, errExpiredToken) {
			return false, err
		}
		return false, x.failed(err)
	}
	x.secret = x.role.secret
	return false, nil
}

// bearer is for operations that by design carry no signature.
func (x *exchange) bearer(token string) error {
	kind, id, err := session.Parse(token)
	if err != nil || kind != session.KindSession {
		return x.turnAway("", "", errBearer)
	}
	if err := x.join(id, id); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(x.session.Credential), []byte(token)) != 1 {
		return x.turnAway(id, id, errBearer)
	}
	return x.prove("")
}

var errBearer = &refusal{problem: problemKey,
	message: "the bearer token is not the credential of a session at this gate"}

func (x *exchange) join(key, id string) error {
	s, err := x.g.join(x.r.Context(), signalbox.SessionID(id))
	switch {
	case errors.Is(err, errSlow), errors.Is(err, interlock.ErrUnavailable):
		return err // our own outage is nobody's failed attempt
	case errors.Is(err, interlock.ErrHalted):
		return &refusal{status: http.StatusServiceUnavailable, code: CodeUnavailable, message: err.Error() +
			". Nothing was done."}
	case err != nil:
		x.g.Logger.Debug("aws session not joined", "gate", x.g.Config.Gate.Name, "from", x.from, "error", err)
		return x.turnAway(key, id, &refusal{problem: problemKey,
			message: "the session is not known here, or has ended: start another with `signalbox run`"})
	}
	x.session = s
	return nil
}

var errBusy = &refusal{status: http.StatusServiceUnavailable, code: "SlowDown",
	message: "too many requests of this session are being served: let the client make fewer at once"}

// maxLookups is how many sessions are looked up at once: strangers choose ids.
const maxLookups = 8

// join finds the session that a request claims to be of. Nothing is proved by it,
// and nothing of the session's taken: the caller compares the credential, and has
// the sessions admit the request then.
func (g *Gate) join(ctx context.Context, id signalbox.SessionID) (*gate.Session, error) {
	if s := g.sessions.Known(id); s != nil {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, g.HeaderTimeout)
	defer cancel()
	if err := g.lookups.Acquire(ctx, 1); err != nil {
		return nil, errSlow
	}
	s, credential, err := g.Interlock.Authenticate(ctx, g.Config.Gate.Name, id)
	g.lookups.Release(1)
	if err != nil {
		g.sessions.Stop(id, err)
		return nil, fmt.Errorf("the session may not be used: %w", err)
	}
	return g.sessions.Join(s, credential), nil
}

var errSlow = &refusal{status: http.StatusServiceUnavailable, code: "SlowDown",
	message: "the gate looks up as many sessions as it may: try again"}

// failed accounts for a request whose signature is not what it claims.
func (x *exchange) failed(err error) error {
	var e *sigv4.Error
	if errors.As(err, &e) && e.Problem != sigv4.Mismatch {
		return err // clocks and forms are no attempts to be somebody else
	}
	return x.turnAway(x.sig.Key, string(x.session.ID), err)
}

// turnAway accounts for a request that is not whose it claims to be. Who sends
// many is told nothing else, and neither log nor operators hear of each.
func (x *exchange) turnAway(key, id string, err error) error {
	if x.g.failures.TooMany(x.from, key) {
		x.g.Interlock.CountLogins(x.g.Config.Gate.Name, signalbox.SessionID(id))
		return errWait
	}
	x.g.failures.Add(x.from, key)
	x.g.Logger.Info("aws client turned away", "gate", x.g.Config.Gate.Name, "from", x.from, "session", id, "error", err)
	return err
}

func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// normalize brings the request into the one form that is both judged and
// forwarded.
func (x *exchange) normalize() error {
	r := x.r
	path := r.URL.EscapedPath()
	service, region := "", ""
	if x.sig != nil {
		service, region = x.sig.Service, x.sig.Region
	}
	// S3 keeps dots in keys; for everybody else they would name another path
	// there than here.
	if s3Like(service) {
		var err error
		if path, err = x.sig.CanonicalPath(path); err != nil {
			return err
		}
	} else if dots(path) {
		return malformed("the path has segments of dots")
	}
	query, err := sigv4.PlainQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	header := r.Header.Clone()
	for _, h := range dropped {
		header.Del(h)
	}
	for _, named := range r.Header["Connection"] {
		for name := range strings.SplitSeq(named, ",") {
			header.Del(strings.TrimSpace(name))
		}
	}
	if x.sig != nil && x.sig.Presigned {
		// Presigning moves headers into the query. They are headers again, so
		// that they are read once.
		if query, err = unhoist(query, header); err != nil {
			return err
		}
	}
	if (x.sig == nil || !x.sig.Presigned) && hasHoisted(query) {
		return malformed("a header (x-amz-*) stands in the query of a request that is no presigned URL: send it as a header")
	}
	x.wire = awswire.Request{
		Method: r.Method, Host: withoutPort(r.Host), Path: path, RawQuery: query, Header: header,
		SigningName: service, Region: region, GateHosts: x.g.Hosts,
	}
	return nil
}

// dropped are headers that speak of the connection or of the signature, and
// those that proxies and frameworks act upon.
var dropped = []string{
	"Authorization", "X-Amz-Date", "Date", "X-Amz-Security-Token",
	"Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade",
	"Expect", "Content-Length", "X-Http-Method-Override", "X-Http-Method", "X-Method-Override",
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Original-Url", "X-Rewrite-Url",
}

func unhoist(query string, header http.Header) (string, error) {
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		if len(name) < 6 || !strings.EqualFold(name[:6], "x-amz-") {
			kept = append(kept, part)
			continue
		}
		plain, err := unescape(value)
		if err != nil {
			return "", err
		}
		if strings.ContainsAny(plain, "\r\n\x00") {
			return "", malformed("query parameter %q holds a control character", name)
		}
		if _, twice := header[http.CanonicalHeaderKey(name)]; twice {
			return "", malformed("%s stands more than once, in the query or as a header", name)
		}
		header.Set(name, plain)
	}
	return strings.Join(kept, "&"), nil
}

// hasHoisted reports whether a query, in its plain form, holds a header. That
// belongs into presigned URLs alone: elsewhere one reader takes it for the header
// and another does not.
func hasHoisted(query string) bool {
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		plain, err := unescape(name)
		if err != nil || strings.HasPrefix(strings.ToLower(strings.TrimSpace(plain)), "x-amz-") {
			return true
		}
	}
	return false
}

// s3Like reports whether the service's paths are as they are.
func s3Like(service string) bool {
	return slices.Contains([]string{"s3", "s3-object-lambda", "s3-outposts", "s3express"}, service)
}

func dots(path string) bool {
	for seg := range strings.SplitSeq(path, "/") {
		plain, err := unescapePath(seg)
		if err != nil || plain == "." || plain == ".." {
			return true
		}
	}
	return false
}

func withoutPort(hostport string) string {
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		return h
	}
	return strings.Trim(hostport, "[]")
}
