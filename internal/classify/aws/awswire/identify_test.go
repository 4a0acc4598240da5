package awswire

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// parseRequest reads "METHOD /path?query name: value | name: value".
func parseRequest(line, signing string) Request {
	line, headers, _ := strings.Cut(line, " ; ")
	method, target, _ := strings.Cut(line, " ")
	r := Request{Method: method, Host: "gate.test", Header: http.Header{}, SigningName: signing,
		GateHosts: []string{"gate.test"}}
	r.Path, r.RawQuery, _ = strings.Cut(target, "?")
	for h := range strings.SplitSeq(headers, " | ") {
		name, value, _ := strings.Cut(h, ": ")
		switch name {
		case "":
		case "Host":
			r.Host = value
		case "Body":
			r.Body = []byte(value)
		default:
			r.Header.Add(name, value)
		}
	}
	return r
}

func TestIdentify(t *testing.T) {
	const form = "Content-Type: application/x-www-form-urlencoded | Body: "
	for _, c := range []struct{ signing, request, want string }{
		// S3: what tells operations apart is in the query and in headers.
		{"s3", "GET /", "ListBuckets"},
		{"s3", "DELETE /b", "DeleteBucket"},
		{"s3", "DELETE /b/", "DeleteBucket"},
		{"s3", "DELETE /b?policy", "DeleteBucketPolicy"},
		{"s3", "DELETE /b?policy=", "DeleteBucketPolicy"},
		{"s3", "DELETE /b?frobnicate", ""},
		{"s3", "PUT /b/k?renameObject", ""},
		{"s3", "GET /b?frobnicate", "ListObjects"},
		{"s3", "DELETE /b/k", "DeleteObject"},
		{"s3", "DELETE /b/k?x-id=DeleteObject", "DeleteObject"},
		{"s3", "DELETE /b/k?x-id=AbortMultipartUpload", "DeleteObject"},
		{"s3", "DELETE /b/k/", "DeleteObject"},
		{"s3", "DELETE /b//", "DeleteObject"},
		{"s3", "DELETE /b//k//k", "DeleteObject"},
		{"s3", "DELETE /b/k?uploadId=1", "AbortMultipartUpload"},
		{"s3", "DELETE /b/k?UploadId=1", ""},
		{"s3", "DELETE /b/k?uploadId=", ""},
		{"s3", "DELETE /b/k?tagging", "DeleteObjectTagging"},
		{"s3", "DELETE /b/k?tagging&uploadId=1", ""},
		{"s3", "PUT /b?acl&policy", ""},
		{"s3", "PUT /b/k", "PutObject"},
		{"s3", "PUT /b/k ; X-Amz-Copy-Source: /o/k", "CopyObject"},
		{"s3", "PUT /b/k?x-amz-copy-source=%2Fo%2Fk&X-Amz-Algorithm=AWS4-HMAC-SHA256", "CopyObject"},
		{"s3", "PUT /b/k ; X-Amz-Copy-Source: ", ""},
		{"s3", "PUT /b/k?partNumber=1&uploadId=u", "UploadPart"},
		{"s3", "PUT /b/k?partNumber=1&uploadId=u ; X-Amz-Copy-Source: /o/k", "UploadPartCopy"},
		{"s3", "POST /b?delete", "DeleteObjects"},
		{"s3", "POST /b/k?uploads", "CreateMultipartUpload"},
		{"s3", "POST /b/k?uploadId=u", "CompleteMultipartUpload"},
		{"s3", "POST /b/k", ""},
		{"s3", "POST /b", ""}, // a browser's form
		{"s3", "GET /b?list-type=2&prefix=x", "ListObjectsV2"},
		{"s3", "GET /b?prefix=x", "ListObjects"},
		{"s3", "GET /b?lifecycle", "GetBucketLifecycleConfiguration"},
		{"s3", "delete /b", ""},
		{"s3", "DELETE /b/../o", ""},
		{"s3", "DELETE /b/%2e%2e/o", ""},
		{"s3", "DELETE /b/a/../../o", ""},
		{"s3", "DELETE /b/a/../o", "DeleteObject"},
		{"s3", "DELETE /../o", ""},
		{"s3", "DELETE //k", ""},
		{"s3", "DELETE /b/%zz", ""},
		{"s3express", "PUT /b/k", "PutObject"},
		// S3: the bucket may be in the host's name.
		{"s3", "DELETE / ; Host: b.gate.test", "DeleteBucket"},
		{"s3", "DELETE /k ; Host: b.c.gate.test", "DeleteObject"},
		{"s3", "DELETE /k ; Host: b.other.test", ""},
		{"s3", "DELETE /k ; Host: xgate.test", ""},
		{"s3-object-lambda", "POST /WriteGetObjectResponse ; Host: route.gate.test | X-Amz-Request-Route: route | X-Amz-Request-Token: t", "WriteGetObjectResponse"},
		// S3 Control is signed for as S3.
		{"s3", "GET /v20180820/jobs ; X-Amz-Account-Id: 123456789012", "ListJobs"},
		{"s3", "GET /v20180820/jobs ; X-Amz-Account-Id: 123456789012 | Host: 123456789012.gate.test", "ListJobs"},
		{"s3", "GET /v20180820/jobs", "GetObject"},
		{"s3", "DELETE /v20180820/accesspoint/x/scope ; X-Amz-Account-Id: 123456789012", ""},
		{"s3", "DELETE /v20180820/accesspoint/x ; X-Amz-Account-Id: 123456789012", "DeleteAccessPoint"},
		// The protocol json.
		{"dynamodb", "POST / ; X-Amz-Target: DynamoDB_20120810.DeleteTable", "DeleteTable"},
		{"dynamodb", "POST / ; X-Amz-Target: DynamoDB_20111205.DeleteTable", ""},
		{"dynamodb", "GET / ; X-Amz-Target: DynamoDB_20120810.DeleteTable", ""},
		{"dynamodb", "POST /x ; X-Amz-Target: DynamoDB_20120810.DeleteTable", ""},
		{"dynamodb", "POST / ; X-Amz-Target: DynamoDB_20120810.DropTable", ""},
		{"dynamodb", "POST / ; X-Amz-Target: DeleteTable", ""},
		{"dynamodb", "POST /", ""},
		{"kms", "POST / ; X-Amz-Target: DynamoDB_20120810.DeleteTable", ""},
		{"s3", "DELETE /b ; X-Amz-Target: DynamoDB_20120810.ListTables", ""},
		{"monitoring", "POST / ; X-Amz-Target: GraniteServiceVersion20100801.DeleteAlarms", "DeleteAlarms"},
		// Who looks at Content-Type or at Action first, finds nothing else.
		{"sqs", `POST / ; X-Amz-Target: AmazonSQS.ListQueues | Content-Type: application/x-www-form-urlencoded | Body: {"QueueNamePrefix":"&Action=PurgeQueue&Version=2012-11-05&QueueUrl=https://sqs/1/q&x="}`, ""},
		{"sqs", `POST / ; X-Amz-Target: AmazonSQS.ListQueues | Body: {"QueueNamePrefix":"&Action=PurgeQueue&Version=2012-11-05&QueueUrl=https://sqs/1/q&x="}`, ""},
		{"sqs", `POST / ; X-Amz-Target: AmazonSQS.ListQueues | Content-Type: application/x-amz-json-1.0 | Body: {}`,
			"ListQueues"},
		{"sqs", "POST /?Action=PurgeQueue&Version=2012-11-05&QueueUrl=q ; X-Amz-Target: AmazonSQS.ListQueues", ""},
		{"dynamodb", "POST / ; X-Amz-Target: DynamoDB_20120810.ListTables | Content-Type: text/xml | Body: {}", ""},
		{"monitoring", "POST /service/GraniteServiceVersion20100801/operation/DescribeAlarms?Action=DeleteAlarms ; Smithy-Protocol: rpc-v2-cbor", ""},
		{"monitoring", "POST /service/GraniteServiceVersion20100801/operation/DescribeAlarms ; Smithy-Protocol: rpc-v2-cbor | Content-Type: application/x-www-form-urlencoded", ""},
		{"elasticmapreduce", "POST / ; X-Amz-Target: ElasticMapReduce.TerminateJobFlows", "TerminateJobFlows"},
		// query and ec2.
		{"ec2", "POST / ; " + form + "Action=TerminateInstances&Version=2016-11-15", "TerminateInstances"},
		{"ec2", "GET /?Action=TerminateInstances&Version=2016-11-15", "TerminateInstances"},
		{"ec2", "POST / ; " + form + "%41ction=TerminateInstances&Version=2016-11-15", "TerminateInstances"},
		{"ec2", "POST / ; " + form + "Action=TerminateInstances", ""},
		{"ec2", "POST / ; " + form + "Action=TerminateInstances&Version=2099-01-01", ""},
		{"ec2", "POST / ; " + form + "Action=DropInstances&Version=2016-11-15", ""},
		{"ec2", "PUT /?Action=TerminateInstances&Version=2016-11-15", ""},
		{"ec2", "POST /x ; " + form + "Action=TerminateInstances&Version=2016-11-15", ""},
		{"ec2", "POST / ; Content-Type: text/plain | Body: Action=TerminateInstances&Version=2016-11-15", ""},
		{"elasticloadbalancing", "POST / ; " + form + "Action=DeleteLoadBalancer&Version=2012-06-01",
			"Elastic Load Balancing.DeleteLoadBalancer"},
		{"elasticloadbalancing", "POST / ; " + form + "Action=DeleteLoadBalancer&Version=2015-12-01",
			"Elastic Load Balancing v2.DeleteLoadBalancer"},
		{"rds", "POST / ; " + form + "Action=DeleteDBCluster&Version=2014-10-31", "RDS.DeleteDBCluster"},
		{"sqs", "POST /123456789012/q ; " + form + "Action=DeleteMessage&Version=2012-11-05", "DeleteMessage"},
		{"sqs", "POST / ; X-Amz-Target: AmazonSQS.DeleteMessage", "DeleteMessage"},
		{"", "POST / ; " + form + "Action=AssumeRoleWithWebIdentity&Version=2011-06-15", "AssumeRoleWithWebIdentity"},
		// REST with JSON.
		{"lambda", "GET /2015-03-31/functions", "ListFunctions"},
		{"lambda", "GET /2015-03-31/functions/", "ListFunctions"},
		{"lambda", "DELETE /2015-03-31/functions/f", "DeleteFunction"},
		{"lambda", "DELETE /2015-03-31/functions/arn%3Aaws%3Alambda%3Ax%2Fy", "DeleteFunction"},
		{"lambda", "DELETE /2015-03-31/functions/..", ""},
		{"lambda", "DELETE /2015-03-31/functions//f", ""},
		{"lambda", "DELETE /2015-03-31/functions/f/x/y", ""},
		{"lambda", "POST /2015-03-31/functions/f/invocations", "Invoke"},
		{"lex", "PUT /bots/b/versions/%24LATEST", "PutBot"},
		{"lex", "PUT /bots/b/versions/$LATEST", "PutBot"},
		{"apigateway", "DELETE /restapis/x", "API Gateway.DeleteRestApi"},
		{"apigateway", "DELETE /v2/apis/x", "ApiGatewayV2.DeleteApi"},
		{"ses", "DELETE /v2/email/identities/x", "SESv2.DeleteEmailIdentity"},
		{"ses", "POST / ; " + form + "Action=DeleteIdentity&Version=2010-12-01", "SES.DeleteIdentity"},
		{"workspaces-web", "PUT /portals/arn:aws:x/y/z/userSettings?userSettingsArn=a", "AssociateUserSettings"},
		{"eks", "DELETE /clusters/c", "DeleteCluster"},
		{"execute-api", "POST /@connections/x", "PostToConnection"},
		{"execute-api", "POST /prod/orders", ""},
		// Where services share their paths, the host name may tell.
		{"lex", "DELETE /bots/b ; Host: models.lex.gate.test", "Lex Model Building Service.DeleteBot"},
		// Unsigned by design, and not.
		{"", "GET /federation/credentials?account_id=1&role_name=r ; X-Amz-Sso_bearer_token: t", "GetRoleCredentials"},
		{"", "DELETE /2015-03-31/functions/f", ""},
		{"", "DELETE /b", ""},
		// CBOR.
		{"monitoring", "POST /service/GraniteServiceVersion20100801/operation/DeleteAlarms ; Smithy-Protocol: rpc-v2-cbor", "DeleteAlarms"},
		{"monitoring", "POST /service/GraniteServiceVersion20100801/operation/DeleteAlarms", ""},
		{"monitoring", "POST /service/GraniteServiceVersion20100801/operation/DeleteAlarms ; Smithy-Protocol: rpc-v3-json", ""},
		{"monitoring", "POST /service/DynamoDB_20120810/operation/DeleteTable ; Smithy-Protocol: rpc-v2-cbor", ""},
		{"no-such-service", "GET /", ""},
	} {
		o, err := Identify(parseRequest(c.request, c.signing))
		got := ""
		if o != nil {
			got = o.Name
			if strings.Contains(c.want, ".") {
				got = o.Service.ID + "." + o.Name
			}
		}
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s, signed for %q: %q (%v), want %q", c.request, c.signing, got, err, c.want)
		}
		if err != nil && !errors.Is(err, ErrUnknownOperation) && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: an error of no kind: %v", c.request, err)
		}
	}
}

// TestIdentifyInParallel lets the race detector see tables being filled.
func TestIdentifyInParallel(t *testing.T) {
	d, err := load(embedded)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, s := range d.services[:20] {
				for _, o := range s.Operations() {
					o.inputShape()
					o.DryRun()
				}
			}
		})
	}
	wg.Wait()
}

func TestLoadRefuses(t *testing.T) {
	for n := range 200 {
		if _, err := load(embedded[:len(embedded)*n/200]); err == nil {
			t.Fatalf("%d 200ths of the table load", n)
		}
	}
}

func BenchmarkIdentify(b *testing.B) {
	for _, c := range []struct{ name, signing, request string }{
		{"s3", "s3", "PUT /bucket/some/long/key?partNumber=1&uploadId=u ; Content-Type: x | X-Amz-Date: 1"},
		{"ec2", "ec2", "POST / ; Content-Type: application/x-www-form-urlencoded; charset=utf-8 | Body: Action=TerminateInstances&Version=2016-11-15&InstanceId.1=i-1"},
		{"dynamodb", "dynamodb", "POST / ; X-Amz-Target: DynamoDB_20120810.DeleteTable"},
		{"quicksight", "quicksight", "GET /accounts/1/namespaces/n/iam-policy-assignments/x"},
		{"sagemaker", "sagemaker", "POST / ; X-Amz-Target: SageMaker.DeleteModel"},
		{"iot", "iot", "DELETE /things/t"},
		{"unknown", "s3", "POST /b/k"},
	} {
		r := parseRequest(c.request, c.signing)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Identify(r)
			}
		})
	}
}
