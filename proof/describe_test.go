package proof_test

import (
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/proof"
)

// Every kind of entry has words of its own, on one line.
func TestDescribe(t *testing.T) {
	for _, k := range proof.Kinds() {
		b, err := proof.NewBody(k)
		if err != nil {
			t.Fatal(err)
		}
		got := proof.Describe(proof.Entry{Body: b})
		if got == "" || got == string(k) || strings.Contains(got, "%!") || strings.Contains(got, "\n") {
			t.Errorf("%s: got %q", k, got)
		}
	}
	forged := &proof.SessionEnd{Session: "s\n\u202e", By: "bob", Reason: "ended"}
	if got, want := proof.Describe(proof.Entry{Body: forged}), `session s\n\u202e ended by bob`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
