//go:build unix

package cloud_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/demo/standin"
	awsgate "github.com/signalbox-dev/signalbox/internal/gate/aws"
	"github.com/signalbox-dev/signalbox/test/awstest"
)

// A table that an agent deletes in production: the command line shows
// AccessDenied with the hold; approved by two, the same command runs, once.
func TestHeldApprovedOnce(t *testing.T) {
	h, servers := before(t, signalbox.Production, awstest.DynamoDB)
	direct := func(args ...string) {
		t.Helper()
		s := session{h, servers[awstest.DynamoDB].AccessKeyID, servers[awstest.DynamoDB].SecretAccessKey}
		out, err := s.direct(servers[awstest.DynamoDB].URL, args...)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	table := func() {
		t.Helper()
		direct("dynamodb", "create-table", "--table-name", "orders", "--billing-mode", "PAY_PER_REQUEST",
			"--attribute-definitions", "AttributeName=id,AttributeType=S", "--key-schema",
			"AttributeName=id,KeyType=HASH")
	}
	table()
	direct("dynamodb", "put-item", "--table-name", "orders", "--item", `{"id":{"S":"1"}}`)
	s := h.session()
	s.runs(`"S": "1"`, "dynamodb", "get-item", "--table-name", "orders", "--key", `{"id":{"S":"1"}}`)
	s.runs("ItemCount", "dynamodb", "describe-table", "--table-name", "orders")
	remove := []string{"dynamodb", "delete-table", "--table-name", "orders"}
	out, err := s.cli(remove...)
	if err == nil {
		t.Fatalf("it was not held:\n%s", out)
	}
	hold := h.isHeld(out)
	if facts := strings.Join(hold.Facts, "\n"); !strings.Contains(facts, "orders") {
		t.Errorf("approvers see %q", facts)
	}
	s.runs("orders", "dynamodb", "list-tables")
	h.approve(hold, 2)
	s.runs("DELETING", remove...)
	if out := s.runs("TableNames", "dynamodb", "list-tables"); strings.Contains(out, "orders") {
		t.Errorf("the table is still there:\n%s", out)
	}
	// The same once more, on a table of the same name, is a new request.
	table()
	out, err = s.cli(remove...)
	if err == nil {
		t.Fatalf("the permit was used twice:\n%s", out)
	}
	if again := h.isHeld(out); again.ID == hold.ID {
		t.Errorf("hold %s was used and is open again", hold.ID)
	}
}

// A new user is a matter of rights, in the query protocol with XML errors, and
// one approval. Who one is here, the gate itself answers.
func TestIAMAndIdentity(t *testing.T) {
	h, _ := before(t, signalbox.Production, awstest.IAM)
	s := h.session()
	s.runs("assumed-role/signalbox/", "sts", "get-caller-identity")
	s.runs("Users", "iam", "list-users")
	create := []string{"iam", "create-user", "--user-name", "mallory"}
	out, err := s.cli(create...)
	if err == nil {
		t.Fatalf("it was not held:\n%s", out)
	}
	h.approve(h.isHeld(out), 1)
	s.runs("mallory", create...)
	s.runs("mallory", "iam", "list-users")

	c := iam.NewFromConfig(s.sdk())
	users, err := c.ListUsers(t.Context(), nil)
	h.must(err)
	if len(users.Users) != 1 || *users.Users[0].UserName != "mallory" {
		t.Errorf("users: %+v", users.Users)
	}
	// Keys that work past the gate are nothing for an agent, approved or not.
	_, err = c.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: aws.String("mallory")})
	if code(err) != "AccessDenied" {
		t.Errorf("an access key: %v", err)
	}
	_, err = sts.NewFromConfig(s.sdk()).GetSessionToken(t.Context(), nil)
	if code(err) != "AccessDenied" {
		t.Errorf("a session token: %v", err)
	}
}

// AssumeRole is done by the gate: the agent gets a credential that is good at
// the gate alone, and acts as the role behind it. (The stand-in cloud stands in
// for STS here, as no server can be had that assumes roles.)
func TestAssumeRole(t *testing.T) {
	cloud, err := standin.Start(standin.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cloud.Close)
	h := build(t, signalbox.Production, awsgate.Account{
		Region: standin.Region, Endpoint: cloud.URL(), Credentials: awsgate.Key{AccessKeyID: cloud.AccessKeyID},
	}, cloud.SecretAccessKey)
	s := h.session()
	c := s.sdk()
	c.Region = standin.Region
	assume := func() (*sts.AssumeRoleOutput, error) {
		return sts.NewFromConfig(c).AssumeRole(t.Context(), &sts.AssumeRoleInput{
			RoleArn:         aws.String("arn:aws-cn:iam::" + standin.Account + ":role/reader"),
			RoleSessionName: aws.String("kiro"),
		})
	}
	out, err := assume()
	if code(err) == "AccessDenied" {
		h.approve(h.isHeld(err.Error()), 1)
		out, err = assume()
	}
	h.must(err)
	got := *out.Credentials
	if !strings.HasPrefix(*got.AccessKeyId, "SBXR") ||
		strings.Contains(*got.SessionToken+*got.SecretAccessKey, cloud.SecretAccessKey) {
		t.Errorf("the credential %s is not the gate's own", *got.AccessKeyId)
	}
	c.Credentials = credentials.NewStaticCredentialsProvider(*got.AccessKeyId, *got.SecretAccessKey, *got.SessionToken)
	_, err = cloudformation.NewFromConfig(c).ListStacks(t.Context(), nil)
	h.must(err)
	reader := standin.Event{Caller: "arn:aws-cn:sts::" + standin.Account + ":assumed-role/reader/",
		Operation: "cloudformation:ListStacks"}
	if !slices.ContainsFunc(cloud.Trail(), func(e standin.Event) bool {
		return e.Operation == reader.Operation && strings.HasPrefix(e.Caller, reader.Caller)
	}) {
		t.Errorf("the cloud saw nobody list stacks as the role: %+v", cloud.Trail())
	}
	// At the cloud itself it is worth nothing.
	c.BaseEndpoint = aws.String(cloud.URL())
	_, err = cloudformation.NewFromConfig(c).ListStacks(t.Context(), nil)
	if code(err) != "InvalidClientTokenId" {
		t.Errorf("past the gate: %v", err)
	}
	// Another account's roles are not this gate's.
	_, err = sts.NewFromConfig(s.sdk()).AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws-cn:iam::999999999999:role/reader"), RoleSessionName: aws.String("kiro"),
	})
	if code(err) != "AccessDenied" {
		t.Errorf("a role of another account: %v", err)
	}
}
