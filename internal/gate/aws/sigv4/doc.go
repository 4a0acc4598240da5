// Package sigv4 verifies requests that were signed with AWS Signature
// Version 4, and decodes, verifies and signs anew the bodies that are sent in
// signed or unsigned chunks ("aws-chunked").
//
// The one thing to know before using it: a signature proves who signed what,
// and nothing says that what was signed is all that was sent. So [Signature.Check]
// also refuses what could be added to a signed request on its way: headers that
// AWS gives a meaning (x-amz-*) and that were left out of the signature. A body
// is covered only as far as [Signature.Payload] says: see there.
//
// The rules are those of "Signature Version 4 for API requests" in the AWS IAM
// user guide, and of "Authenticating requests" in the Amazon S3 API reference.
// Signing whole requests is left to the AWS SDK; here are the parts that a
// verifier needs and that no SDK has.
package sigv4

import "fmt"

// A Problem says in what way a request is not acceptable. Services have
// different codes for the same problem, so the caller translates.
type Problem int

// The problems.
const (
	Missing     Problem = iota + 1 // not signed at all
	Incomplete                     // a signature that cannot be read or that lacks a part
	Unsupported                    // signed by another scheme: SigV2, SigV4A
	Skewed                         // signed too long ago, or in the future
	Expired                        // a presigned URL after its time
	Unsigned                       // a header that matters is not covered
	Mismatch                       // the signature is another
	BadContent                     // the body is not what was signed
)

// An Error is why a request is refused. Its text is for the client and holds
// no secret: neither a key nor the signature that was expected.
type Error struct {
	Problem Problem
	Message string
}

func (e *Error) Error() string { return e.Message }

func problem(p Problem, format string, args ...any) error {
	return &Error{Problem: p, Message: fmt.Sprintf(format, args...)}
}
