//go:build unix

package probe

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws"
	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
	"github.com/signalbox-dev/signalbox/test/awstest"
)

// A server is a real one that is asked with its own credential.
type server struct {
	t testing.TB
	*awstest.Server
}

func (s server) Call(ctx context.Context, service, operation, region string,
	params map[string]any) (awswire.Answer, error) {
	op, ok := awswire.Find(service, operation)
	if !ok {
		s.t.Fatalf("no %s:%s", service, operation)
	}
	req, err := awswire.Encode(op, params, region, s.URL)
	if err != nil {
		return awswire.Answer{}, err
	}
	var body []byte
	if req.Body != nil {
		if body, err = io.ReadAll(req.Body); err != nil {
			return awswire.Answer{}, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", hash)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	key := sdk.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey}
	if err := signer.SignHTTP(ctx, key, req, hash, op.Service.SigningName, awstest.Region, time.Now()); err != nil {
		return awswire.Answer{}, err
	}
	resp, err := http.DefaultClient.Do(req.WithContext(ctx))
	if err != nil {
		return awswire.Answer{}, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return awswire.Answer{}, err
	}
	return awswire.ReadAnswer(op, resp.StatusCode, resp.Header, answer)
}

func (s server) must(service, operation string, params map[string]any) awswire.Answer {
	s.t.Helper()
	a, err := s.Call(s.t.Context(), service, operation, awstest.Region, params)
	if err != nil {
		s.t.Fatalf("%s: %v", operation, err)
	}
	return a
}

func probed(t *testing.T, c Caller, service, operation string, params map[string]any) (signalbox.Impact,
	signalbox.State) {
	t.Helper()
	impact, state, err := Probe(t.Context(), c,
		aws.Call{Service: service, Operation: operation, Region: awstest.Region, Parameters: params},
		signalbox.Impact{Count: signalbox.CountUnknown, Reversible: true})
	if err != nil {
		t.Fatalf("probe %s: %v", operation, err)
	}
	return impact, state
}

func TestS3(t *testing.T) {
	s := server{t, awstest.New(t, awstest.S3)}
	s.must("s3", "CreateBucket", map[string]any{"Bucket": "files"})
	put := func(key, body string) {
		s.must("s3", "PutObject", map[string]any{"Bucket": "files", "Key": key,
			"Body": base64.StdEncoding.EncodeToString([]byte(body))})
	}
	put("a/1", "one")
	put("a/2 ü+", "two22")

	impact, state := probed(t, s, "s3", "DeleteObject", map[string]any{"Bucket": "files", "Key": "a/1"})
	want(t, impact, state, []string{`"a/1" has 3 bytes`, "Versioning is off"}, "object a/1")
	if impact.Count != 1 || impact.Reversible {
		t.Errorf("impact %+v", impact)
	}
	// Other content under the same key is not what was approved.
	put("a/1", "changed")
	if _, later := probed(t, s, "s3", "DeleteObject",
		map[string]any{"Bucket": "files", "Key": "a/1"}); later.Equal(state) {
		t.Error("a changed object has the same state")
	}
	impact, state = probed(t, s, "s3", "DeleteObject", map[string]any{"Bucket": "files", "Key": "missing"})
	want(t, impact, state, []string{"There is no object"}, "absent")

	impact, _ = probed(t, s, "s3", "DeleteBucket", map[string]any{"Bucket": "files"})
	want(t, impact, nil, []string{"holds 2 objects", "not empty"})
	if impact.Count != 2 || impact.Reversible {
		t.Errorf("impact %+v", impact)
	}
	impact, state = probed(t, s, "s3", "DeleteObjects",
		map[string]any{"Bucket": "files", "Delete": map[string]any{"Objects": []any{
			map[string]any{"Key": "a/1"}, map[string]any{"Key": "a/2 ü+"}}}})
	want(t, impact, state, []string{`"a/2 ü+" has 5 bytes`}, "object a/2 ü+")
	if impact.Count != 2 {
		t.Errorf("impact %+v", impact)
	}

	s.must("s3", "PutBucketVersioning", map[string]any{"Bucket": "files",
		"VersioningConfiguration": map[string]any{"Status": "Enabled"}})
	put("a/3", "three")
	impact, state = probed(t, s, "s3", "DeleteObject", map[string]any{"Bucket": "files", "Key": "a/3"})
	want(t, impact, state, []string{"The old version stays"}, "enabled")
	if !impact.Reversible {
		t.Errorf("impact %+v", impact)
	}
	impact, state = probed(t, s, "s3", "PutBucketPolicy", map[string]any{"Bucket": "files", "Policy": "{}"})
	want(t, impact, state, []string{"holds 3 objects", "policy"}, "files")
	impact, state = probed(t, s, "s3", "DeleteBucket", map[string]any{"Bucket": "nowhere"})
	want(t, impact, state, []string{"There is no bucket"}, "absent")
}

func TestDynamoDB(t *testing.T) {
	s := server{t, awstest.New(t, awstest.DynamoDB)}
	create := func() {
		s.must("dynamodb", "CreateTable", map[string]any{
			"TableName": "orders", "BillingMode": "PAY_PER_REQUEST",
			"KeySchema":            []any{map[string]any{"AttributeName": "id", "KeyType": "HASH"}},
			"AttributeDefinitions": []any{map[string]any{"AttributeName": "id", "AttributeType": "S"}},
		})
		for {
			status := s.must("dynamodb", "DescribeTable", map[string]any{"TableName": "orders"}).Text("Table",
				"TableStatus")
			if status == "ACTIVE" {
				return
			}
		}
	}
	create()
	for _, id := range []string{"1", "2", "3"} {
		s.must("dynamodb", "PutItem", map[string]any{"TableName": "orders",
			"Item": map[string]any{"id": map[string]any{"S": id}}})
	}
	impact, state := probed(t, s, "dynamodb", "DeleteTable", map[string]any{"TableName": "orders"})
	want(t, impact, state, []string{"has 3 items", "deletion protection is off"}, "table")
	if impact.Count != 3 || impact.Total != 3 || impact.Reversible {
		t.Errorf("impact %+v", impact)
	}
	impact, state = probed(t, s, "dynamodb", "DeleteTable", map[string]any{"TableName": "none"})
	want(t, impact, state, []string{"There is no table"}, "absent")
}

func TestIAM(t *testing.T) {
	s := server{t, awstest.New(t, awstest.IAM)}
	role := map[string]any{"RoleName": "web",
		"AssumeRolePolicyDocument": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`}
	s.must("iam", "CreateRole", role)
	impact, state := probed(t, s, "iam", "DeleteRole", map[string]any{"RoleName": "web"})
	want(t, impact, state, []string{"role/web", "last used"}, "role")
	if impact.Count != 1 {
		t.Errorf("impact %+v", impact)
	}
	// Deleted and made again, it is another role.
	s.must("iam", "DeleteRole", map[string]any{"RoleName": "web"})
	s.must("iam", "CreateRole", role)
	if _, later := probed(t, s, "iam", "DeleteRole", map[string]any{"RoleName": "web"}); later.Equal(state) {
		t.Errorf("the role made anew has the same state: %v", later)
	}
	s.must("iam", "CreateUser", map[string]any{"UserName": "deploy"})
	impact, state = probed(t, s, "iam", "DeleteUser", map[string]any{"UserName": "deploy"})
	want(t, impact, state, []string{"user/deploy"}, "user")
	impact, state = probed(t, s, "iam", "DeleteUser", map[string]any{"UserName": "nobody"})
	want(t, impact, state, []string{"There is no user"}, "absent")
	if !strings.Contains(state[0].Value, "absent") {
		t.Errorf("state %v", state)
	}
}
