package aws

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/aws/sigv4"
)

// The codes of the gate's own answers that no service of AWS has.
const (
	// CodeUnknown says that a request was forwarded and nobody can say what came
	// of it. Its status is 501, which SDKs do not try again by themselves.
	CodeUnknown = "SignalboxOutcomeUnknown"
	// CodeUnavailable says that nothing was done. Its status is 503, which SDKs
	// try again.
	CodeUnavailable = "SignalboxUnavailable"
)

// A refusal is an answer of the gate itself, in the shape of the service that
// was meant.
type refusal struct {
	status  int
	code    string
	message string
	problem sigv4.Problem // instead of status and code: services name it differently
}

func (r *refusal) Error() string { return r.message }

// problemKey is the problem of a request whose access key is not known.
const problemKey = -1

func malformed(format string, args ...any) error {
	return &refusal{status: http.StatusBadRequest, code: "MalformedRequest", message: fmt.Sprintf(format, args...)}
}

var errWait = &refusal{status: http.StatusTooManyRequests, code: "TooManyRequestsException",
	message: "too many requests with wrong signatures came from here: wait a minute"}

// refuse tells the client an error. When part of an answer went out already, it
// cuts the connection, so that nobody takes the part for the whole.
func (x *exchange) refuse(err error) {
	if errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler)
	}
	r := x.refused(err)
	if r.problem != 0 {
		r = x.translate(r)
	}
	wire := x.wire
	if wire.Header == nil { // refused before it was brought into one form
		wire = awswire.Request{Method: x.r.Method, Header: x.r.Header}
		if x.sig != nil {
			wire.SigningName = x.sig.Service
		}
	}
	body := awswire.WriteError(wire, x.op, x.w.Header(), r.status, r.code, "signalbox: "+r.message, x.id)
	if r.status == http.StatusServiceUnavailable {
		x.w.Header().Set("Retry-After", "1")
	}
	if x.r.ProtoMajor == 1 && x.line.isCut() {
		// Nothing more can be read from the connection: the client must not send
		// its next request on it.
		x.w.Header().Set("Connection", "close")
	}
	x.told = true
	x.w.WriteHeader(r.status)
	if x.r.Method != http.MethodHead {
		// The client may have gone: there is nobody to tell.
		_, _ = x.w.Write(body)
	}
}

// refused turns what went wrong into what the client is told.
func (x *exchange) refused(err error) *refusal {
	var (
		own    *refusal
		signed *sigv4.Error
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &signed):
		return &refusal{problem: signed.Problem, message: signed.Message}
	}
	if r, ok := x.g.Refuse(err); ok {
		return encoded(r)
	}
	switch {
	case errors.Is(err, awswire.ErrMalformed), errors.Is(err, awswire.ErrDuplicate):
		return &refusal{status: http.StatusBadRequest, code: "MalformedRequest", message: err.Error()}
	case x.ctx != nil && x.ctx.Err() != nil:
		return &refusal{status: http.StatusForbidden, code: "AccessDenied", message: "the session was stopped: " +
			err.Error()}
	}
	x.g.Logger.Error("refused because of an error", "gate", x.g.Config.Gate.Name, "error", err)
	return &refusal{status: http.StatusServiceUnavailable, code: CodeUnavailable,
		message: "the gate could not serve the request. Nothing was done."}
}

// encoded puts a refusal of the interlock into a status and a code.
func encoded(r gate.Refusal) *refusal {
	switch r.Kind {
	case gate.Held:
		message := r.Reason + "."
		if r.URL != "" {
			message += " " + r.URL
		}
		message += fmt.Sprintf(" Wait with %s, then send the same request again; it is %s.", r.Wait(), r.Status())
		return &refusal{status: http.StatusForbidden, code: "AccessDenied", message: message}
	case gate.Denied:
		message := r.Reason
		if by := r.DecidedBy(); by != "" {
			message += " (" + by + ")"
		}
		if r.Record != "" {
			message += ". Recorded as " + r.Record + "."
		}
		return &refusal{status: http.StatusForbidden, code: "AccessDenied", message: message}
	case gate.Unknown:
		return &refusal{status: http.StatusNotImplemented, code: CodeUnknown,
			message: fmt.Sprintf("the request was forwarded, and nobody can say what came of it (intent %s): look at the target before sending it again", r.Intent)}
	}
	return &refusal{status: http.StatusServiceUnavailable, code: CodeUnavailable, message: r.Reason +
		". Nothing was done."}
}

// translate gives a problem with a signature the code that the service's clients
// know it by.
func (x *exchange) translate(r *refusal) *refusal {
	status, code := http.StatusForbidden, ""
	protocol, s3 := awswire.JSON, x.sig != nil && s3Like(x.sig.Service)
	if o := x.anyOperation(); o != nil {
		protocol = o.Service.Protocol
	}
	xml := protocol == awswire.Query || protocol == awswire.EC2 || protocol == awswire.RestXML
	switch r.problem {
	case sigv4.Missing:
		status, code = http.StatusForbidden, "MissingAuthenticationToken"
	case sigv4.Incomplete:
		status, code = http.StatusBadRequest, "IncompleteSignature"
	case sigv4.Unsupported:
		status, code = http.StatusBadRequest, "InvalidRequest"
	case sigv4.Skewed:
		code = "RequestTimeTooSkewed"
	case sigv4.Expired, sigv4.Unsigned:
		code = "AccessDenied"
	case sigv4.BadContent:
		status, code = http.StatusBadRequest, "XAmzContentSHA256Mismatch"
	case problemKey:
		switch {
		case s3:
			code = "InvalidAccessKeyId"
		case protocol == awswire.EC2:
			status, code = http.StatusUnauthorized, "AuthFailure"
		case xml:
			code = "InvalidClientTokenId"
		default:
			code = "UnrecognizedClientException"
		}
	default:
		code = "SignatureDoesNotMatch"
		if !xml {
			code = "InvalidSignatureException"
		}
	}
	return &refusal{status: status, code: code, message: r.message}
}

// anyOperation gives an operation of the service that was signed for, by whose
// protocol errors are called before it is known which one was asked for. It is
// nil when the request names no service that the table has.
func (x *exchange) anyOperation() *awswire.Operation {
	if x.sig == nil {
		return nil
	}
	return firstOperations()[x.sig.Service]
}
