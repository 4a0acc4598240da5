package signalbox_test

import (
	"os"
	"os/exec"
	"testing"
)

// What git ignores is not tracked: a tracked .cache, be it the link of a second
// working tree, takes the place of the real one at the next merge.
func TestNothingIgnoredIsTracked(t *testing.T) {
	if _, err := os.Stat(".git"); os.IsNotExist(err) {
		return // an unpacked archive: nothing is tracked
	}
	out, err := exec.Command("git", "ls-files", "--cached", "--ignored", "--exclude-standard").CombinedOutput()
	if err != nil {
		t.Fatalf("git ls-files: %v\n%s", err, out)
	}
	if len(out) > 0 {
		t.Errorf("ignored and yet tracked; take them out with git rm --cached:\n%s", out)
	}
}
