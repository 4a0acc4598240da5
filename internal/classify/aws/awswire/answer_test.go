package awswire

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func mustFind(t testing.TB, service, operation string) *Operation {
	t.Helper()
	o, ok := Find(service, operation)
	if !ok {
		t.Fatalf("no %s:%s in the table", service, operation)
	}
	return o
}

// Answers as the services' documentation shows them, shortened.
func TestReadAnswer(t *testing.T) {
	read := func(service, operation, body string, h http.Header) Answer {
		t.Helper()
		a, err := ReadAnswer(mustFind(t, service, operation), 200, h, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := read("ec2", "DescribeInstances", `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>x</requestId>
		<reservationSet><item><ownerId>1</ownerId><instancesSet><item><instanceId>i-1</instanceId><launchTime>2026-01-02T03:04:05.000Z</launchTime>
		<ebsOptimized>true</ebsOptimized><amiLaunchIndex>3</amiLaunchIndex></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`, nil)
	i := a.List("Reservations")[0].List("Instances")[0]
	if i.Text("InstanceId") != "i-1" || !i.Bool("EbsOptimized") || i.Int("AmiLaunchIndex") != 3 {
		t.Errorf("EC2: %v", a)
	}
	if want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC); i.Time("LaunchTime") != want {
		t.Errorf("launched %v, want %v", i.Time("LaunchTime"), want)
	}
	a = read("cloudformation", "DescribeStackResources", `<DescribeStackResourcesResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
		<DescribeStackResourcesResult><StackResources><member><LogicalResourceId>Db</LogicalResourceId></member></StackResources></DescribeStackResourcesResult>
		</DescribeStackResourcesResponse>`, nil)
	if l := a.List("StackResources"); len(l) != 1 || l[0].Text("LogicalResourceId") != "Db" {
		t.Errorf("CloudFormation: %v", a)
	}
	a = read("s3", "ListObjectVersions", `<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>
		<Version><Key>a</Key><Size>7</Size></Version><Version><Key>b</Key></Version><DeleteMarker><Key>c</Key></DeleteMarker></ListVersionsResult>`, nil)
	if l := a.List("Versions"); len(l) != 2 || l[0].Int("Size") != 7 || len(a.List("DeleteMarkers")) != 1 ||
		!a.Has("IsTruncated") {
		t.Errorf("S3 versions: %v", a)
	}
	a = read("s3", "GetBucketLocation", `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">eu-west-1</LocationConstraint>`, nil)
	if a.Text("LocationConstraint") != "eu-west-1" {
		t.Errorf("S3 location: %v", a)
	}
	a = read("s3", "HeadObject", "", http.Header{"Content-Length": {"123"}, "X-Amz-Meta-Who": {"me"},
		"Last-Modified": {"Tue, 14 Nov 2023 22:13:20 GMT"}})
	if a.Int("ContentLength") != 123 || a.Text("Metadata", "who") != "me" ||
		a.Time("LastModified").Unix() != 1_700_000_000 {
		t.Errorf("S3 head: %v", a)
	}
	a = read("s3", "GetBucketPolicy", `{"Version":"2012-10-17"}`, nil)
	if a.Text("Policy") != `{"Version":"2012-10-17"}` {
		t.Errorf("S3 policy: %v", a)
	}
	a = read("dynamodb", "DescribeTable", `{"Table":{"TableName":"t","ItemCount":12,"New":{"x":[1]},"CreationDateTime":1.7e9,"DeletionProtectionEnabled":true}}`, nil)
	if a.Int("Table", "ItemCount") != 12 || !a.Bool("Table", "DeletionProtectionEnabled") ||
		a.Time("Table", "CreationDateTime").Unix() != 1_700_000_000 {
		t.Errorf("DynamoDB: %v", a)
	}
	a = read("lambda", "GetFunctionConcurrency", `{"ReservedConcurrentExecutions":5}`, nil)
	if a.Int("ReservedConcurrentExecutions") != 5 || a.Int("Missing", "x") != 0 || a.List("Missing") == nil &&
		len(a.List("Missing")) != 0 {
		t.Errorf("Lambda: %v", a)
	}
	body, err := appendCBOR(nil, mustFind(t, "monitoring", "DescribeAlarms").outputShape(),
		map[string]any{"MetricAlarms": []any{map[string]any{"AlarmName": "a", "ActionsEnabled": true}}}, "")
	if err != nil {
		t.Fatal(err)
	}
	a = read("monitoring", "DescribeAlarms", string(body), http.Header{"Content-Type": {"application/cbor"}})
	if l := a.List("MetricAlarms"); len(l) != 1 || l[0].Text("AlarmName") != "a" || !l[0].Bool("ActionsEnabled") {
		t.Errorf("CloudWatch in CBOR: %v", a)
	}
}

// TestErrors expects that what WriteError writes is what ReadAnswer reads, for
// every service in its own protocol and in the others that it speaks.
func TestErrors(t *testing.T) {
	want := ServiceError{403, "AccessDenied", `held: "x" <y> & z`}
	check := func(o *Operation, r Request) http.Header {
		t.Helper()
		h := http.Header{}
		body := WriteError(r, o, h, want.Status, want.Code, want.Message, "req-1")
		if got := h.Get("Content-Length"); got != strconv.Itoa(len(body)) {
			t.Errorf("%s: length %s of %d bytes", o.Service.ID, got, len(body))
		}
		_, err := ReadAnswer(o, 403, h, body)
		var e *ServiceError
		if !errors.As(err, &e) || *e != want {
			t.Errorf("%s: %v\n%s", o.Service.ID, err, body)
		}
		return h
	}
	for _, s := range Services() {
		check(s.Operations()[0], Request{})
	}
	h := check(mustFind(t, "monitoring", "DeleteAlarms"),
		parseRequest("POST / ; Smithy-Protocol: rpc-v2-cbor", "monitoring"))
	if h.Get("Smithy-Protocol") != "rpc-v2-cbor" {
		t.Errorf("in CBOR: %v", h)
	}
	for _, c := range []struct{ signing, request, contentType, begin string }{
		{"s3", "FROB /b/k", "application/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>"},
		{"ec2", "POST /", "text/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response>"},
		{"sqs", "POST / ; Content-Type: application/x-www-form-urlencoded", "text/xml",
			"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ErrorResponse"},
		{"dynamodb", "POST / ; X-Amz-Target: X.Y", "application/x-amz-json-1.0", "{"},
		{"monitoring", "POST / ; X-Amz-Target: X.Y", "application/x-amz-json-1.0", "{"},
		{"", "POST / ; Smithy-Protocol: rpc-v2-cbor", "application/cbor", "\xa2"},
		{"", "GET /", "application/json", "{"},
	} {
		h := http.Header{}
		body := WriteError(parseRequest(c.request, c.signing), nil, h, 403, "AccessDenied", "who are you", "r")
		if !strings.HasPrefix(string(body), c.begin) || h.Get("Content-Type") != c.contentType {
			t.Errorf("%s for nobody: %v\n%s", c.request, h, body)
		}
	}
	for _, c := range []struct {
		service, operation string
		status             int
		header             http.Header
		body               string
		want               ServiceError
	}{
		{"dynamodb", "DeleteTable", 400, nil,
			`{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no"}`,
			ServiceError{400, "ResourceNotFoundException", "no"}},
		{"lambda", "GetFunction", 404, http.Header{"X-Amzn-Errortype": {"ResourceNotFoundException:http://internal.amazon.com/"}}, `{"Message":"no"}`, ServiceError{404, "ResourceNotFoundException", "no"}},
		{"s3", "HeadBucket", 404, nil, "", ServiceError{404, "NotFound", ""}},
		{"s3", "CopyObject", 200, nil, "<Error><Code>InternalError</Code><Message>again</Message></Error>",
			ServiceError{200, "InternalError", "again"}},
		{"iam", "GetRole", 404, nil, "<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>no</Message></Error></ErrorResponse>", ServiceError{404, "NoSuchEntity", "no"}},
		{"ec2", "RunInstances", 503, nil, "<html>busy", ServiceError{503, "ServiceUnavailable", ""}},
	} {
		_, err := ReadAnswer(mustFind(t, c.service, c.operation), c.status, c.header, []byte(c.body))
		var e *ServiceError
		if !errors.As(err, &e) || *e != c.want {
			t.Errorf("%s:%s: %v, want %v", c.service, c.operation, err, c.want)
		}
	}
}
