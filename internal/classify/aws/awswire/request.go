package awswire

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A Request is an HTTP request as it came.
type Request struct {
	Method   string
	Host     string      // without port
	Path     string      // still escaped
	RawQuery string      // still escaped
	Header   http.Header // with canonical names
	Body     []byte      // without transfer and chunk encodings; empty when it streams

	// SigningName and Region are of the credential scope, verified. Empty when
	// the request is not signed.
	SigningName, Region string

	// GateHosts are the names under which the gate is known, without port.
	// What Host has before one of them is a bucket of S3 or another host prefix.
	// Without GateHosts, Host tells nothing.
	GateHosts []string
}

// Bounds of what is decoded. More is ErrMalformed.
const (
	maxDepth  = 128     // a document that DynamoDB takes, 32 levels deep, is more than 64 here
	maxValues = 1 << 20 // members, elements and parameters of one request
)

var (
	// ErrMalformed is for requests that do not follow their protocol or the
	// operation's shapes.
	ErrMalformed = errors.New("malformed request")
	// ErrDuplicate is for requests that say something twice, so that two readers
	// may understand two things.
	ErrDuplicate = errors.New("said twice")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

func duplicate(path string) error { return fmt.Errorf("%w: %q", ErrDuplicate, path) }

// A request is a Request with its query taken apart.
type request struct {
	*Request
	query []pair
}

func (r *Request) parse() (request, error) {
	query, err := parsePairs(r.RawQuery)
	return request{r, query}, err
}

// param gives the first query parameter called name.
func (q request) param(name string) (string, bool) {
	for _, p := range q.query {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}

// header gives a header by its canonical name, which in a presigned request may stand in the query.
func (q request) header(name string) (string, bool) {
	if v := q.Header[name]; len(v) > 0 {
		return v[0], true
	}
	if hoisted(name) {
		for _, p := range q.query {
			if strings.EqualFold(p.name, name) {
				return p.value, true
			}
		}
	}
	return "", false
}

// hoisted reports whether presigning moves the header into the query.
func hoisted(name string) bool { return len(name) > 6 && strings.EqualFold(name[:6], "x-amz-") }

// protocolParams are query parameters that speak of the request and not of what
// is asked: those of a presigned request, and the operation's name that SDKs add.
var protocolParams = []string{
	"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature",
	"X-Amz-Security-Token", "X-Amz-Content-Sha256", "X-Amz-User-Agent", "x-id",
}

// parsePairs takes a query or a form apart, strictly.
func parsePairs(s string) ([]pair, error) {
	if s == "" {
		return nil, nil
	}
	n := strings.Count(s, "&") + 1
	if n > maxValues {
		return nil, malformed("more than %d parameters", maxValues)
	}
	pairs := make([]pair, 0, n)
	for p := range strings.SplitSeq(s, "&") {
		if p == "" {
			continue
		}
		name, value, _ := strings.Cut(p, "=")
		// Some readers end a parameter at a semicolon, some do not.
		if strings.IndexByte(p, ';') >= 0 {
			return nil, malformed("a semicolon in a query that is not escaped")
		}
		name, err := unescape(name)
		if err != nil {
			return nil, err
		}
		if value, err = unescape(value); err != nil {
			return nil, err
		}
		pairs = append(pairs, pair{name, value})
	}
	return pairs, nil
}

func unescape(s string) (string, error) {
	if !strings.ContainsAny(s, "%+") {
		return s, nil
	}
	plain, err := url.QueryUnescape(s)
	if err != nil {
		return "", malformed("a query with the escape %q", string(err.(url.EscapeError)))
	}
	return plain, nil
}

// prefix gives what Host has before one of the gate's names, without the dot
// between; ok is false when Host is none of the gate's.
func (r *Request) prefix() (prefix string, ok bool) {
	if len(r.GateHosts) == 0 {
		return "", true
	}
	host := strings.ToLower(r.Host)
	if slices.ContainsFunc(r.GateHosts, func(h string) bool { return strings.EqualFold(h, host) }) {
		return "", true
	}
	for _, h := range r.GateHosts {
		if before, ok := strings.CutSuffix(host, "."+strings.ToLower(h)); ok && before != "" {
			return before, true
		}
	}
	return "", false
}
