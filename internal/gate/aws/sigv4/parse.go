package sigv4

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The payload values of x-amz-content-sha256 that are no hash.
const (
	UnsignedPayload      = "UNSIGNED-PAYLOAD"
	StreamingSigned      = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamingSignedTrail = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	StreamingTrail       = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

	// EmptyPayload is the SHA-256 of nothing.
	EmptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeFormat = "20060102T150405Z"
	dayFormat  = "20060102"
	maxExpires = 7 * 24 * time.Hour
	maxSkew    = 5 * time.Minute
)

// A Signature is what a request says of its own signature. Nothing in it is
// proved before [Signature.Check].
type Signature struct {
	Key       string        // access key id
	Token     string        // security token; empty if none was sent
	Time      time.Time     // when it was signed
	Region    string        // of the credential scope
	Service   string        // of the credential scope: the signing name
	Headers   []string      // that are covered: lower case, sorted
	Presigned bool          // in the query, and so good for Expires
	Expires   time.Duration // of a presigned URL
	// Payload is what stands for the body in the signature: its SHA-256 in
	// hexadecimal, one of the constants of this package, or "" when the request
	// leaves it to be computed over the body that came.
	Payload string

	signature []byte
}

// Hashed reports whether Payload is a SHA-256 that the body must have.
func (s *Signature) Hashed() bool { return len(s.Payload) == 64 }

// Streaming reports whether the body is aws-chunked.
func (s *Signature) Streaming() bool { return strings.HasPrefix(s.Payload, "STREAMING-") }

// ValidUntil is when a presigned URL stops to be good; for signed headers the
// end of the skew that is allowed.
func (s *Signature) ValidUntil() time.Time {
	if s.Presigned {
		return s.Time.Add(s.Expires)
	}
	return s.Time.Add(maxSkew)
}

// Parse reads the signature of a request from its headers or its query. The
// error is an [*Error].
func Parse(r *http.Request) (*Signature, error) {
	authorization := r.Header["Authorization"]
	query, err := splitQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	var presigned, v2 bool
	for _, p := range query {
		switch p.name {
		case "X-Amz-Algorithm", "X-Amz-Signature", "X-Amz-Credential":
			presigned = true
		case "AWSAccessKeyId", "SignatureVersion":
			v2 = true
		}
	}
	switch {
	case len(authorization) > 1 || len(authorization) == 1 && presigned:
		return nil, problem(Incomplete, "the request is signed more than once: sign it in the Authorization header or in the query, and once")
	case len(authorization) == 1:
		return parseHeader(r, authorization[0])
	case presigned:
		return parseQuery(r, query)
	case v2:
		return nil, errV2
	}
	return nil, problem(Missing, "the request is not signed: use the access key and secret of a Signalbox session (`signalbox run` sets them)")
}

var errV2 = problem(Unsupported, "Signature Version 2 is not accepted, because it does not cover the whole request: let the client use Signature Version 4 (for aws-cli 1 `aws configure set default.s3.signature_version s3v4`)")

func parseHeader(r *http.Request, authorization string) (*Signature, error) {
	scheme, rest, _ := strings.Cut(authorization, " ")
	switch {
	case scheme == algorithm:
	case strings.HasPrefix(scheme, "AWS4-ECDSA"):
		return nil, errV4A
	case scheme == "AWS":
		return nil, errV2
	default:
		return nil, problem(Unsupported, "the Authorization header is no AWS Signature Version 4: it must begin with "+algorithm)
	}
	s := &Signature{}
	var credential, headers, signature string
	fields := map[string]*string{"Credential": &credential, "SignedHeaders": &headers, "Signature": &signature}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		field := fields[name]
		if !ok || field == nil || *field != "" || value == "" {
			return nil, problem(Incomplete, "the Authorization header must have Credential, SignedHeaders and Signature, each once")
		}
		*field = value
	}
	date, err := one(r.Header, "X-Amz-Date")
	if err != nil {
		return nil, err
	}
	if date == "" {
		if date, err = one(r.Header, "Date"); err != nil {
			return nil, err
		}
		if t, err := http.ParseTime(date); err == nil {
			date = t.UTC().Format(timeFormat)
		}
	}
	if s.Token, err = one(r.Header, "X-Amz-Security-Token"); err != nil {
		return nil, err
	}
	if s.Payload, err = payload(r.Header); err != nil {
		return nil, err
	}
	return s, s.read(credential, headers, signature, date)
}

var errV4A = problem(Unsupported, "Signature Version 4A is not accepted here: the gate works for one region at a time. Name a region and a bucket instead of a multi-region access point, or set AWS_SIGV4A_SIGNING_REGION_SET to nothing")

func parseQuery(r *http.Request, query []pair) (*Signature, error) {
	s := &Signature{Presigned: true}
	var scheme, credential, headers, signature, date, expires string
	fields := map[string]*string{
		"X-Amz-Algorithm": &scheme, "X-Amz-Credential": &credential, "X-Amz-SignedHeaders": &headers,
		"X-Amz-Signature": &signature,
		"X-Amz-Date":      &date, "X-Amz-Expires": &expires, "X-Amz-Security-Token": &s.Token,
		"X-Amz-Content-Sha256": &s.Payload,
	}
	for _, p := range query {
		if field := fields[p.name]; field != nil {
			if *field != "" {
				return nil, problem(Incomplete, "the query has %s twice", p.name)
			}
			*field = p.value
		}
	}
	switch {
	case strings.HasPrefix(scheme, "AWS4-ECDSA"):
		return nil, errV4A
	case scheme != algorithm:
		return nil, problem(Incomplete, "X-Amz-Algorithm must be "+algorithm)
	case expires == "":
		return nil, problem(Incomplete, "X-Amz-Expires is missing in the query")
	}
	n, err := strconv.ParseUint(expires, 10, 32)
	s.Expires = time.Duration(n) * time.Second
	if err != nil || s.Expires > maxExpires {
		return nil, problem(Incomplete, "X-Amz-Expires must be a number of seconds up to 604800 (seven days)")
	}
	if token, err := one(r.Header, "X-Amz-Security-Token"); err != nil {
		return nil, err
	} else if token != "" && s.Token != "" {
		return nil, problem(Incomplete, "the security token stands in the query and in a header")
	} else if token != "" {
		s.Token = token
	}
	declared, err := payload(r.Header)
	switch {
	case err != nil:
		return nil, err
	case s.Payload != "" && !validPayload(s.Payload):
		return nil, errPayload
	case s.Payload == "":
		s.Payload = declared
	}
	if err := s.read(credential, headers, signature, date); err != nil {
		return nil, err
	}
	if s.Payload == "" && s.singleEscape() {
		s.Payload = UnsignedPayload // as S3 has it, whatever the body
	}
	return s, nil
}

// payload reads x-amz-content-sha256.
func payload(h http.Header) (string, error) {
	v, err := one(h, "X-Amz-Content-Sha256")
	if err == nil && v != "" && !validPayload(v) {
		err = errPayload
	}
	return v, err
}

var errPayload = problem(Incomplete, "x-amz-content-sha256 must be the SHA-256 of the body in lower-case hexadecimal, "+UnsignedPayload+", "+StreamingSigned+", "+StreamingSignedTrail+" or "+StreamingTrail)

func validPayload(v string) bool {
	switch v {
	case UnsignedPayload, StreamingSigned, StreamingSignedTrail, StreamingTrail:
		return true
	}
	return len(v) == 64 && isHex(v)
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// read takes the parts that both ways of signing share.
func (s *Signature) read(credential, headers, signature, date string) error {
	// An access key id of ours has no slash, and neither has a region or service.
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || slices.Contains(scope, "") || scope[4] != "aws4_request" {
		return problem(Incomplete, "Credential must be KEY/YYYYMMDD/REGION/SERVICE/aws4_request")
	}
	s.Key, s.Region, s.Service = scope[0], scope[2], scope[3]
	var err error
	if s.Time, err = time.Parse(timeFormat, date); err != nil {
		return problem(Incomplete, "the time of signing is missing or is not written like 20060102T150405Z")
	}
	if scope[1] != s.Time.Format(dayFormat) {
		return problem(Incomplete, "the day in Credential is not that of the time of signing")
	}
	if len(signature) != 64 || !isHex(signature) {
		return problem(Incomplete, "the signature must have 64 hexadecimal digits")
	}
	s.signature, _ = hex.DecodeString(signature)
	s.Headers = strings.Split(headers, ";")
	for i, h := range s.Headers {
		if h == "" || h != strings.ToLower(h) || i > 0 && s.Headers[i-1] >= h {
			return problem(Incomplete, "SignedHeaders must be lower-case names, sorted, each once")
		}
	}
	if !slices.Contains(s.Headers, "host") {
		return problem(Unsigned, "the host header must be among SignedHeaders")
	}
	return nil
}

// one gives a header that may stand once at most.
func one(h http.Header, name string) (string, error) {
	switch v := h[name]; len(v) {
	case 0:
		return "", nil
	case 1:
		return v[0], nil
	}
	return "", problem(Incomplete, "header %s stands more than once", name)
}
