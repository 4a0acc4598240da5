//go:build unix

package cloud_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/test/awstest"
)

// OpenTofu keeps its state in S3 through the gate, with its lock file: init,
// plan, apply, and a lock that somebody else holds.
func TestOpenTofusStateAndLock(t *testing.T) {
	program, err := awstest.Program("tofu")
	if err != nil {
		t.Fatal(err)
	}
	h, servers := before(t, signalbox.Development, awstest.S3)
	s := h.session()
	c := s3.NewFromConfig(s.sdk(), pathStyle)
	_, err = c.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("state")})
	h.must(err)
	dir := t.TempDir()
	write := func(value string) {
		t.Helper()
		h.must(os.WriteFile(filepath.Join(dir, "main.tf"), fmt.Appendf(nil, `
terraform {
  backend "s3" {
    bucket                      = "state"
    key                         = "env/prod.tfstate"
    region                      = %q
    endpoints                   = { s3 = %q }
    custom_ca_bundle            = %q
    use_lockfile                = true
    use_path_style              = true
    skip_credentials_validation = true
    skip_requesting_account_id  = true
  }
}
resource "terraform_data" "one" { input = %q }
`, awstest.Region, s.endpoint(), s.ca, value), 0o600))
	}
	tofu := func(args ...string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append([]string{"-chdir=" + dir}, args...)...)
		cmd.Env = append(awstest.Environ(t.TempDir(), s.id, s.secret), "TF_CLI_CONFIG_FILE="+os.DevNull,
			"TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	wants := func(want string, args ...string) {
		t.Helper()
		if out, err := tofu(args...); err != nil || !strings.Contains(out, want) {
			t.Fatalf("tofu %v: %v, want %q in\n%s", args, err, want, out)
		}
	}
	state := filepath.Join(servers[awstest.S3].Folder, "data", "state", "env", "prod.tfstate")

	write("first value")
	wants("successfully initialized", "init", "-no-color", "-input=false")
	wants("1 to add", "plan", "-no-color", "-input=false", "-out=plan")
	wants("1 added", "apply", "-no-color", "-input=false", "plan")
	if !bytes.Contains(h.read(state), []byte("first value")) {
		t.Error("the state that the server has does not hold the value")
	}
	if _, err := os.Stat(state + ".tflock"); !os.IsNotExist(err) {
		t.Errorf("the lock file is left behind: %v", err)
	}

	// Somebody else's lock: the write on condition that nothing is there fails.
	write("second value")
	_, err = c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("state"),
		Key:  aws.String("env/prod.tfstate.tflock"),
		Body: strings.NewReader(`{"ID":"somebody","Operation":"OperationTypeApply","Who":"bob@laptop","Version":"1.12.6","Created":"2026-01-01T00:00:00Z","Path":"state/env/prod.tfstate"}`)})
	h.must(err)
	if out, err := tofu("apply", "-no-color", "-input=false", "-auto-approve"); err == nil ||
		!strings.Contains(out, "Error acquiring the state lock") || !strings.Contains(out, "bob@laptop") {
		t.Fatalf("applied under somebody else's lock: %v\n%s", err, out)
	}
	wants("unlocked", "force-unlock", "-force", "somebody")
	wants("1 changed", "apply", "-no-color", "-input=false", "-auto-approve")
	if !bytes.Contains(h.read(state), []byte("second value")) {
		t.Error("the state that the server has does not hold the second value")
	}
}
