package forms

import "strings"

// What an operator says of a function whose body he read: the last word of its form.
const (
	Reads   = " reads"
	Changes = " changes"
)

const call = "CALL "

// Call gives the form of a function's call, by the SHA-256 over what says what it
// does, without what somebody says of it. A function that was replaced has another
// form.
func Call(name, signature, sum string) string {
	return call + name + "(" + signature + ") sha256:" + sum
}

// SaysWhat reports whether a form says of a function what it does: then only its
// standing on a list makes that true.
func SaysWhat(form string) bool {
	return strings.HasPrefix(form, call) && (strings.HasSuffix(form, Reads) || strings.HasSuffix(form, Changes))
}
