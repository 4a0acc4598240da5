//go:build unix

package awstest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// CLI gives the path of an aws-cli of version 2.
func CLI(ctx context.Context) (string, error) {
	for _, name := range []string{"/usr/bin/aws", "/usr/local/bin/aws", "aws"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, path, "--version").Output()
		if err == nil && strings.HasPrefix(string(out), "aws-cli/2.") {
			return path, nil
		}
	}
	return "", fmt.Errorf("aws-cli 2: %w", ErrNotInstalled)
}

// Environ is our environment without what leads AWS's tools anywhere else, and
// with a credential. folder is a home in which they find nothing.
func Environ(folder, id, secret string) []string {
	var env []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "TF_") && name != "HOME" {
			env = append(env, e)
		}
	}
	return append(env, "HOME="+folder, "AWS_ACCESS_KEY_ID="+id, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_REGION="+Region,
		"AWS_DEFAULT_REGION="+Region,
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_PAGER=", "AWS_MAX_ATTEMPTS=2")
}
