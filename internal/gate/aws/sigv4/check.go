package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

// harmless are the x-amz-* headers that need not be covered by the signature:
// those that are bound by it in another way, or that no service acts upon.
var harmless = []string{"x-amz-content-sha256", "x-amz-date", "x-amz-security-token", "x-amz-user-agent",
	"x-amz-trace-id", "x-amz-cf-id"}

// Check verifies that the request was signed with secret, and not too long ago.
// payload is the SHA-256 in hexadecimal of the body that came; it is looked at
// only if s.Payload is empty. It takes the same time wherever a wrong signature
// differs. The error is an [*Error].
func (s *Signature) Check(r *http.Request, secret, payload string, now time.Time) error {
	if s.Payload != "" {
		payload = s.Payload
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if !strings.HasPrefix(lower, "x-amz-") || slices.Contains(s.Headers, lower) ||
			slices.Contains(harmless, lower) {
			continue
		}
		return problem(Unsigned, "header %q came with the request and is not covered by its signature", lower)
	}
	canonical, err := s.canonical(r, payload)
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(canonical))
	toSign := algorithm + "\n" + s.Time.Format(timeFormat) + "\n" + s.scope() + "\n" + hex.EncodeToString(digest[:])
	if subtle.ConstantTimeCompare(mac(s.key(secret), toSign), s.signature) != 1 {
		return problem(Mismatch, "the signature is not that of this request: check the secret access key, and that nothing between client and gate changes the request")
	}
	// Only whoever has the secret learns what time it is here.
	switch age := now.Sub(s.Time); {
	case s.Presigned && age > s.Expires:
		return problem(Expired, "the presigned URL was good until %s", s.ValidUntil().UTC().Format(time.RFC3339))
	case age < -maxSkew || !s.Presigned && age > maxSkew:
		return problem(Skewed, "signed at %s, and it is %s here: set the client's clock",
			s.Time.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

func (s *Signature) scope() string {
	return s.Time.Format(dayFormat) + "/" + s.Region + "/" + s.Service + "/aws4_request"
}

// key derives the signing key of a secret for the scope.
func (s *Signature) key(secret string) []byte {
	return signingKey(secret, s.Time.Format(dayFormat), s.Region, s.Service)
}

func signingKey(secret, day, region, service string) []byte {
	k := mac([]byte("AWS4"+secret), day)
	k = mac(k, region)
	k = mac(k, service)
	return mac(k, "aws4_request")
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
