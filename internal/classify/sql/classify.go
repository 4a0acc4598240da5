package sql

import "github.com/signalbox-dev/signalbox"

// MaxText is the longest text that is parsed, in bytes. Longer ones are worst.
const MaxText = 1 << 20

// Classify says what a text of SQL does. cat is what names mean on the backend
// that would run it, nil if that is not known. It never fails: what cannot be
// understood comes back as one statement of [KindUnknown] whose action is
// [signalbox.Worst]. It is safe for concurrent use.
func Classify(text string, cat *Catalog) Result {
	return Result{Statements: []Statement{{Action: signalbox.Worst("SQL", "not classified yet"), Text: text}}, Shape: "?", Fingerprint: "?"}
}
