//go:build unix

package awstest

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

func config(s *Server, secret string) aws.Config {
	return aws.Config{
		Region: Region, BaseEndpoint: &s.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKeyID, secret, ""),
	}
}

// Each server answers AWS's own client, and those that verify signatures do.
func TestServers(t *testing.T) {
	ctx := t.Context()
	for _, c := range []struct {
		kind     Kind
		call     func(aws.Config) error
		verifies string // the code for a wrong secret
	}{
		{S3, func(c aws.Config) error {
			_, err := s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true }).ListBuckets(ctx, nil)
			return err
		}, "SignatureDoesNotMatch"},
		{IAM, func(c aws.Config) error {
			_, err := sts.NewFromConfig(c).GetCallerIdentity(ctx, nil)
			return err
		}, "SignatureDoesNotMatch"},
		{DynamoDB, func(c aws.Config) error {
			_, err := dynamodb.NewFromConfig(c).ListTables(ctx, nil)
			return err
		}, ""},
		{Queues, func(c aws.Config) error {
			_, err := sqs.NewFromConfig(c).ListQueues(ctx, nil)
			return err
		}, ""},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			s := New(t, c.kind)
			if err := c.call(config(s, s.SecretAccessKey)); err != nil {
				t.Fatal(err)
			}
			err := c.call(config(s, "wrong"))
			var refused smithy.APIError
			if got := errors.As(err, &refused); c.verifies != "" && (!got || refused.ErrorCode() != c.verifies) {
				t.Errorf("a wrong secret: %v, want %s", err, c.verifies)
			}
			folder := s.Folder
			s.Close()
			s.Close()
			if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is left behind", folder)
			}
			if err := c.call(config(s, s.SecretAccessKey)); err == nil {
				t.Error("it answers after Close")
			}
		})
	}
}

// The command line that a user would type.
func TestCLI(t *testing.T) {
	cli, err := CLI(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := New(t, S3)
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), cli, append([]string{"--endpoint-url", s.URL}, args...)...)
		cmd.Env = Environ(t.TempDir(), s.AccessKeyID, s.SecretAccessKey)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("aws %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("s3api", "create-bucket", "--bucket", "there")
	if out := run("s3", "ls"); !strings.Contains(out, "there") {
		t.Errorf("s3 ls says %q", out)
	}
}

// What is missing says what to do.
func TestNotInstalled(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, kind := range []Kind{S3, DynamoDB} {
		if _, err := Start(t.Context(), kind); !errors.Is(err, ErrNotInstalled) ||
			!strings.Contains(err.Error(), "make setup") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
