package policies_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/policies"
)

func TestDefaultPassesItsTests(t *testing.T) {
	files, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := policies.Tests()
	if err != nil {
		t.Fatal(err)
	}
	report, err := set.Test(tests)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Failed {
		t.Error(f)
	}
	if report.Passed < 40 {
		t.Errorf("%d tests passed, want at least 40: were they read?", report.Passed)
	}
}

func TestFolderGetsTheSchema(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "own.cedar"), []byte(`@id("all") permit (principal, action, resource);`), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := policies.Folder(dir)
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != 1 {
		t.Errorf("got %d policies, want the one of the folder alone", set.Len())
	}
	if _, err := policies.Folder(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing folder was read")
	}
}
