package standin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
)

const (
	stackName = "cost-explorer-prod"
	data      = stackName + "-data"
)

// A client is AWS's own clients for one cloud.
type client struct {
	t     *testing.T
	cloud *Cloud
	cfn   *cloudformation.Client
	s3    *s3.Client
}

func start(t *testing.T) *client {
	t.Helper()
	cloud, err := Start(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cloud.Close)
	config := clientConfig(cloud, cloud.SecretAccessKey)
	return &client{t: t, cloud: cloud, cfn: cloudformation.NewFromConfig(config),
		s3: s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })}
}

func clientConfig(cloud *Cloud, secret string) aws.Config {
	return aws.Config{
		Region: Region, BaseEndpoint: aws.String(cloud.URL()), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(cloud.AccessKeyID, secret, ""),
	}
}

func (c *client) put(name, key, body string) {
	c.t.Helper()
	_, err := c.s3.PutObject(c.t.Context(), &s3.PutObjectInput{Bucket: &name, Key: &key, Body: strings.NewReader(body)})
	c.must(err)
}

func (c *client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// furnish makes the stack of the story with the usage of one customer.
func (c *client) furnish() string {
	c.t.Helper()
	template, err := os.ReadFile("../december.json")
	c.must(err)
	_, err = c.s3.CreateBucket(c.t.Context(), &s3.CreateBucketInput{Bucket: aws.String(data)})
	c.must(err)
	c.put(data, "backup/usage.json", `{"customer":7,"day":1,"mills":1005}`+"\n"+`{"customer":7,"day":2,"mills":2005}`+
		"\n"+`{"customer":8,"day":1,"mills":10}`)
	_, err = c.cfn.CreateStack(c.t.Context(), &cloudformation.CreateStackInput{
		StackName: aws.String(stackName), TemplateBody: aws.String(string(template)),
		Capabilities: []types.Capability{types.CapabilityCapabilityIam},
	})
	c.must(err)
	return string(template)
}

// status gives the stack's status, or the code of the error.
func (c *client) status(name string) string {
	c.t.Helper()
	out, err := c.cfn.DescribeStacks(c.t.Context(), &cloudformation.DescribeStacksInput{StackName: &name})
	if err != nil {
		return code(err)
	}
	return string(out.Stacks[0].StackStatus)
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

// bill asks the cost service as a customer; 0 cents and false while it is down.
func (c *client) bill() (Bill, bool) {
	c.t.Helper()
	resp, err := http.Get(c.cloud.ServiceURL() + "/costs?customer=7")
	c.must(err)
	defer resp.Body.Close()
	var b Bill
	if resp.StatusCode != http.StatusOK {
		return b, false
	}
	c.must(json.NewDecoder(resp.Body).Decode(&b))
	return b, true
}

func (c *client) wantBill(cents int64) {
	c.t.Helper()
	if b, up := c.bill(); !up || b.Cents != cents || b.Days != 2 {
		c.t.Errorf("the bill is %+v (up: %v), want %d cents for 2 days", b, up, cents)
	}
}

func (c *client) wantDown() {
	c.t.Helper()
	if b, up := c.bill(); up {
		c.t.Errorf("the service answers %+v, it should be down", b)
	}
}

func TestSignatures(t *testing.T) {
	c := start(t)
	who, err := sts.NewFromConfig(clientConfig(c.cloud, c.cloud.SecretAccessKey)).GetCallerIdentity(t.Context(), nil)
	c.must(err)
	if *who.Account != Account || !strings.Contains(*who.Arn, "cost-explorer-operator") {
		t.Errorf("caller %s", *who.Arn)
	}
	if _, err := sts.NewFromConfig(clientConfig(c.cloud, "wrong")).GetCallerIdentity(t.Context(),
		nil); code(err) != "SignatureDoesNotMatch" {
		t.Errorf("wrong secret: %v", err)
	}
	resp, err := http.Get(c.cloud.URL() + "/")
	c.must(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("unsigned: %s", resp.Status)
	}
}

// Whoever assumes a role has a credential of its own, and the trail says whose
// act it was.
func TestRoles(t *testing.T) {
	c := start(t)
	config := clientConfig(c.cloud, c.cloud.SecretAccessKey)
	out, err := sts.NewFromConfig(config).AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws-cn:iam::111122223333:role/reader"), RoleSessionName: aws.String("kiro"),
	})
	c.must(err)
	temporary := *out.Credentials
	for token, want := range map[string]string{*temporary.SessionToken: "<nil>", "": "InvalidClientTokenId",
		"wrong": "InvalidClientTokenId"} {
		config.Credentials = credentials.NewStaticCredentialsProvider(*temporary.AccessKeyId,
			*temporary.SecretAccessKey, token)
		_, err := cloudformation.NewFromConfig(config).ListStacks(t.Context(), nil)
		if got := code(err); got != want {
			t.Errorf("token %q: %s, want %s", token, got, want)
		}
	}
	want := []Event{
		{"arn:aws-cn:sts::111122223333:assumed-role/cost-explorer-operator/alice", "sts:AssumeRole"},
		{"arn:aws-cn:sts::111122223333:assumed-role/reader/kiro", "cloudformation:ListStacks"},
	}
	if d := cmp.Diff(want, c.cloud.Trail()); d != "" {
		t.Error(d)
	}
}

// Deleted, the service is gone at once; made anew, it is back half a day later.
func TestDeleteAndCreateTakesHalfADay(t *testing.T) {
	c := start(t)
	template := c.furnish()
	c.wantDown()
	if got := c.status(stackName); got != "CREATE_IN_PROGRESS" {
		t.Errorf("status %s", got)
	}
	c.cloud.Pass(13 * time.Hour)
	c.wantBill(300)

	_, err := c.cfn.DeleteStack(t.Context(), &cloudformation.DeleteStackInput{StackName: aws.String(stackName)})
	c.must(err)
	c.cloud.Pass(10 * time.Minute)
	c.wantDown()
	if got := c.status(stackName); got != "DELETE_IN_PROGRESS" {
		t.Errorf("status %s", got)
	}
	c.cloud.Pass(20 * time.Minute)
	if got := c.status(stackName); got != "ValidationError" {
		t.Errorf("the deleted stack is still known by its name: %s", got)
	}
	_, err = c.cfn.CreateStack(t.Context(), &cloudformation.CreateStackInput{
		StackName: aws.String(stackName), TemplateBody: &template,
		Capabilities: []types.Capability{types.CapabilityCapabilityIam},
		Parameters:   []types.Parameter{{ParameterKey: aws.String("Rounding"), ParameterValue: aws.String("half-up")}},
	})
	c.must(err)
	c.cloud.Pass(11 * time.Hour)
	c.wantDown()
	c.cloud.Pass(2 * time.Hour)
	c.wantBill(302)
}

// A changed parameter changes what refers to it; the service goes on meanwhile.
func TestUpdateIsSmall(t *testing.T) {
	c := start(t)
	c.furnish()
	c.cloud.Pass(13 * time.Hour)
	update := &cloudformation.UpdateStackInput{
		StackName: aws.String(stackName), UsePreviousTemplate: aws.Bool(true),
		Capabilities: []types.Capability{types.CapabilityCapabilityIam},
		Parameters:   []types.Parameter{{ParameterKey: aws.String("Rounding"), ParameterValue: aws.String("half-up")}},
	}
	_, err := c.cfn.UpdateStack(t.Context(), update)
	c.must(err)
	c.wantBill(300)
	if got := c.status(stackName); got != "UPDATE_IN_PROGRESS" {
		t.Errorf("status %s", got)
	}
	c.cloud.Pass(time.Hour)
	c.wantBill(302)
	if got := c.status(stackName); got != "UPDATE_COMPLETE" {
		t.Errorf("status %s", got)
	}
	if _, err := c.cfn.UpdateStack(t.Context(), update); code(err) != "ValidationError" ||
		!strings.Contains(err.Error(), "No updates") {
		t.Errorf("the same again: %v", err)
	}
}

func TestChangeSets(t *testing.T) {
	c := start(t)
	c.furnish()
	c.cloud.Pass(13 * time.Hour)
	_, err := c.cfn.CreateChangeSet(t.Context(), &cloudformation.CreateChangeSetInput{
		StackName: aws.String(stackName), ChangeSetName: aws.String("rounding"), UsePreviousTemplate: aws.Bool(true),
		Capabilities: []types.Capability{types.CapabilityCapabilityIam},
		Parameters:   []types.Parameter{{ParameterKey: aws.String("Rounding"), ParameterValue: aws.String("half-up")}},
	})
	c.must(err)
	out, err := c.cfn.DescribeChangeSet(t.Context(),
		&cloudformation.DescribeChangeSetInput{StackName: aws.String(stackName), ChangeSetName: aws.String("rounding")})
	c.must(err)
	var got []string
	for _, change := range out.Changes {
		r := change.ResourceChange
		got = append(got, fmt.Sprint(r.Action, " ", *r.LogicalResourceId, " ", r.Replacement))
	}
	if d := cmp.Diff([]string{"Modify Service False", "Modify Task True"}, got); d != "" {
		t.Error(d)
	}
	c.wantBill(300)
	_, err = c.cfn.ExecuteChangeSet(t.Context(),
		&cloudformation.ExecuteChangeSetInput{StackName: aws.String(stackName), ChangeSetName: aws.String("rounding")})
	c.must(err)
	c.cloud.Pass(time.Hour)
	c.wantBill(302)
}

// What is meant to stay, stays; what protects, protects; what is in the way
// stops a deletion.
func TestDeletionIsRefusedOrPartial(t *testing.T) {
	c := start(t)
	template := `{"Resources": {
		"Kept": {"Type": "AWS::DynamoDB::Table", "DeletionPolicy": "Retain", "Properties": {"TableName": "kept"}},
		"Full": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "full"}},
		"Queue": {"Type": "AWS::SQS::Queue", "Properties": {}}}}`
	_, err := c.cfn.CreateStack(t.Context(), &cloudformation.CreateStackInput{
		StackName: aws.String("odd"), TemplateBody: &template, EnableTerminationProtection: aws.Bool(true),
	})
	c.must(err)
	c.cloud.Pass(time.Hour)
	remove := &cloudformation.DeleteStackInput{StackName: aws.String("odd")}
	if _, err := c.cfn.DeleteStack(t.Context(), remove); code(err) != "ValidationError" ||
		!strings.Contains(err.Error(), "TerminationProtection") {
		t.Errorf("protected: %v", err)
	}
	_, err = c.cfn.UpdateTerminationProtection(t.Context(),
		&cloudformation.UpdateTerminationProtectionInput{StackName: aws.String("odd"),
			EnableTerminationProtection: aws.Bool(false)})
	c.must(err)
	c.put("full", "a b+ü/ö", "x")
	_, err = c.cfn.DeleteStack(t.Context(), remove)
	c.must(err)
	c.cloud.Pass(time.Hour)
	if got := c.status("odd"); got != "DELETE_FAILED" {
		t.Errorf("status %s", got)
	}
	out, err := c.cfn.ListStackResources(t.Context(),
		&cloudformation.ListStackResourcesInput{StackName: aws.String("odd")})
	c.must(err)
	got := map[string]string{}
	for _, r := range out.StackResourceSummaries {
		got[*r.LogicalResourceId] = string(r.ResourceStatus)
	}
	if d := cmp.Diff(map[string]string{"Kept": "DELETE_SKIPPED", "Full": "DELETE_FAILED", "Queue": "DELETE_COMPLETE"},
		got); d != "" {
		t.Error(d)
	}
	_, err = c.s3.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String("full"),
		Delete: &s3types.Delete{Objects: []s3types.ObjectIdentifier{{Key: aws.String("a b+ü/ö")}}}})
	c.must(err)
	_, err = c.cfn.DeleteStack(t.Context(), remove)
	c.must(err)
	c.cloud.Pass(time.Hour)
	if got := c.status("odd"); got != "ValidationError" {
		t.Errorf("status %s", got)
	}
}

func TestObjects(t *testing.T) {
	c := start(t)
	ctx := t.Context()
	_, err := c.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(data)})
	c.must(err)
	for i := range 5 {
		c.put(data, fmt.Sprintf("logs/%d", i), "text")
	}
	got, err := c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(data), Key: aws.String("logs/0")})
	c.must(err)
	body := make([]byte, 4)
	if n, _ := got.Body.Read(body); string(body[:n]) != "text" {
		t.Errorf("body %q", body[:n])
	}
	got.Body.Close()
	pages := s3.NewListObjectsV2Paginator(c.s3, &s3.ListObjectsV2Input{Bucket: aws.String(data), MaxKeys: aws.Int32(2)})
	var keys []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.WithoutCancel(ctx))
		c.must(err)
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
	}
	if d := cmp.Diff([]string{"logs/0", "logs/1", "logs/2", "logs/3", "logs/4"}, keys); d != "" {
		t.Error(d)
	}
	if _, err := c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(data),
		Key: aws.String("none")}); code(err) != "NoSuchKey" {
		t.Errorf("no such key: %v", err)
	}
	if _, err := c.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String(data)}); code(err) != "BucketNotEmpty" {
		t.Errorf("not empty: %v", err)
	}
	if _, err := c.s3.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: aws.String(data)}); code(err) != "NotImplemented" {
		t.Errorf("what it does not know: %v", err)
	}
}
