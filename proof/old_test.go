package proof_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/signalbox-dev/signalbox/proof"
)

// The log in testdata/log-1 was written by the program as it was before entries
// had references, directions and parents: a held deletion, its refusal and a
// change, from the December story. It verifies for ever.
func TestLogOfTheFirstFormVerifies(t *testing.T) {
	dir := filepath.Join("testdata", "log-1")
	key, err := os.ReadFile(filepath.Join(dir, "log.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := proof.ParseKey(string(key), "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := proof.VerifyLog(t.Context(), proof.Folder(os.DirFS(dir)), trust, proof.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Violations > 0 || r.Warnings > 0 {
		t.Errorf("%d violations, %d warnings", r.Violations, r.Warnings)
	}
	if r.Size != 18 || r.Entries[proof.KindIntent] == 0 || r.Entries[proof.KindRefusal] == 0 {
		t.Errorf("%d entries: %v", r.Size, r.Entries)
	}
}
