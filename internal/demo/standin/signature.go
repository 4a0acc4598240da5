package standin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	// maxBody is more than any request here needs.
	maxBody = 16 << 20
	// skew is how far a client's clock may be off, as at AWS.
	skew = 5 * time.Minute
)

// signed is a request that was signed by somebody who is known.
type signed struct {
	service string // that the signature is for; also set where it is wrong
	caller  string // ARN
	body    []byte
}

// verify reads a request and checks its Signature Version 4, by signing the
// same request anew with AWS's own signer and comparing. Of a chunked body
// (aws-chunked) the signature of the head is verified, those of the chunks are
// not.
func (c *Cloud) verify(r *http.Request) (q signed, err error) {
	auth, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return q, &refusal{http.StatusForbidden, "MissingAuthenticationToken",
			"the stand-in cloud takes requests signed by AWS4-HMAC-SHA256 in the Authorization header alone"}
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(auth, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	if len(scope) != 5 {
		return q, &refusal{http.StatusBadRequest, "IncompleteSignature",
			fmt.Sprintf("credential %q has no scope", fields["Credential"])}
	}
	q.service = scope[3]
	caller, credential, known := c.who(scope[0])
	if !known || r.Header.Get("X-Amz-Security-Token") != credential.SessionToken {
		return q, &refusal{http.StatusForbidden, "InvalidClientTokenId",
			"the security token included in the request is invalid"}
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > skew || scope[1] != at.Format("20060102") {
		return q, &refusal{http.StatusForbidden, "SignatureDoesNotMatch",
			fmt.Sprintf("signature of %q expired or not yet current", r.Header.Get("X-Amz-Date"))}
	}
	if q.body, err = io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody)); err != nil {
		return q, &refusal{http.StatusBadRequest, "RequestTimeout", "the body did not arrive whole"}
	}
	sum := sha256.Sum256(q.body)
	hash := hex.EncodeToString(sum[:])
	declared := r.Header.Get("X-Amz-Content-Sha256")
	chunked := strings.HasPrefix(declared, "STREAMING-")
	switch {
	case chunked || declared == "UNSIGNED-PAYLOAD":
		hash = declared
	case declared != "" && declared != hash:
		return q, &refusal{http.StatusBadRequest, "XAmzContentSHA256Mismatch",
			"the body is not the one that was signed"}
	}
	again := &http.Request{Method: r.Method, Host: r.Host, Header: http.Header{}, URL: &url.URL{
		Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery,
	}}
	for name := range strings.SplitSeq(fields["SignedHeaders"], ";") {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = r.ContentLength
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = q.service == "s3" })
	if err := signer.SignHTTP(r.Context(), credential, again, hash, q.service, scope[2], at); err != nil {
		return q, err
	}
	_, want, _ := strings.Cut(again.Header.Get("Authorization"), "Signature=")
	if subtle.ConstantTimeCompare([]byte(want), []byte(fields["Signature"])) != 1 {
		return q, &refusal{http.StatusForbidden, "SignatureDoesNotMatch",
			"the signature is not that of the secret access key"}
	}
	if chunked {
		if q.body, err = dechunk(q.body); err != nil {
			return q, &refusal{http.StatusBadRequest, "IncompleteBody", err.Error()}
		}
	}
	q.caller = caller
	return q, nil
}

// dechunk takes the frames off an aws-chunked body.
func dechunk(framed []byte) ([]byte, error) {
	var body []byte
	for {
		head, rest, ok := strings.Cut(string(framed), "\r\n")
		size, _, _ := strings.Cut(head, ";")
		var n int
		if _, err := fmt.Sscanf(size, "%x", &n); err != nil || !ok || n < 0 || len(rest) < n {
			return nil, fmt.Errorf("chunk %q does not hold what it says", size)
		}
		if n == 0 {
			return body, nil // trailers follow
		}
		body = append(body, rest[:n]...)
		framed = []byte(strings.TrimPrefix(rest[n:], "\r\n"))
	}
}
