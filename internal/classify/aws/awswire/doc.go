// Package awswire knows what calls of AWS's APIs look like on the wire: which
// operation of which service an HTTP request is, what its parameters are, and
// the reverse: a call as a request, an answer as values, a refusal in the
// service's own shape.
//
// All of it follows from one table, compiled from AWS's published API models
// and embedded. The table is older than AWS. What it does not know, an operation
// or a member, is said and never guessed: Identify answers
// ErrUnknownOperation, and Decode lists unknown members under the key "".
//
// The package is pure. All functions may be called at the same time from several
// goroutines. Requests are untrusted: malformed ones are errors, with the depth
// and size of everything bounded.
package awswire

//go:generate go run gen.go
