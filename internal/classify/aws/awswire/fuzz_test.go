package awswire

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// check decodes twice and expects the same, an error of a known kind, and of what
// the input knows nothing that Unknown does not know.
func check(t *testing.T, o *Operation, r Request) map[string]any {
	t.Helper()
	got, err := Decode(o, r)
	again, err2 := Decode(o, r)
	if !reflect.DeepEqual(got, again) || (err == nil) != (err2 == nil) {
		t.Fatalf("%v, %v and then %v, %v", got, err, again, err2)
	}
	if err != nil {
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrDuplicate) {
			t.Fatalf("an error of no kind: %v", err)
		}
		return nil
	}
	if unknown := o.Unknown(got); len(unknown) > 0 {
		t.Fatalf("decoded as known: %v", unknown)
	}
	return got
}

// FuzzRequest identifies and decodes requests of all protocols.
func FuzzRequest(f *testing.F) {
	for _, s := range []struct{ signing, method, host, path, query, header, body string }{
		{"s3", "DELETE", "gate.test", "/b/k", "uploadId=1", "", ""},
		{"s3", "PUT", "b.gate.test", "/a%2Fb//", "cors", "Content-Type: application/xml",
			"<CORSConfiguration><CORSRule><ID>1</ID></CORSRule></CORSConfiguration>"},
		{"s3", "PUT", "gate.test", "/b/k", "x-amz-copy-source=%2Fo%2Fk", "X-Amz-Meta-A: b", ""},
		{"s3", "GET", "1.gate.test", "/v20180820/jobs", "", "X-Amz-Account-Id: 1", ""},
		{"ec2", "POST", "gate.test", "/", "", "Content-Type: application/x-www-form-urlencoded",
			"Action=TerminateInstances&Version=2016-11-15&InstanceId.1=i"},
		{"sqs", "POST", "gate.test", "/1/q", "", "", "Action=SendMessage&Version=2012-11-05&MessageAttribute.1.Name=n"},
		{"dynamodb", "POST", "gate.test", "/", "", "X-Amz-Target: DynamoDB_20120810.PutItem",
			`{"TableName":"t","Item":{"a":{"M":{"b":{"S":"c"}}}}}`},
		{"monitoring", "POST", "gate.test", "/service/GraniteServiceVersion20100801/operation/PutMetricData", "",
			"Smithy-Protocol: rpc-v2-cbor", "\xa1iNamespacean"},
		{"lambda", "POST", "gate.test", "/2015-03-31/functions/f/invocations", "Qualifier=1",
			"X-Amz-Invocation-Type: Event", "{}"},
		{"workspaces-web", "PUT", "gate.test", "/portals/arn:a/b/userSettings", "userSettingsArn=a", "", ""},
		{"lex", "PUT", "models.lex.gate.test", "/bots/b/versions/%24LATEST", "", "", "{}"},
		{"", "POST", "gate.test", "/", "", "", "Action=AssumeRoleWithWebIdentity&Version=2011-06-15"},
	} {
		f.Add(s.signing, s.method, s.host, s.path, s.query, s.header, s.body)
	}
	f.Fuzz(func(t *testing.T, signing, method, host, path, query, header, body string) {
		r := Request{Method: method, Host: host, Path: path, RawQuery: query, Header: http.Header{},
			Body: []byte(body), SigningName: signing, GateHosts: []string{"gate.test"}}
		for line := range strings.SplitSeq(header, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				r.Header.Add(name, value)
			}
		}
		o, err := Identify(r)
		if (o == nil) != (err != nil) {
			t.Fatalf("%v, %v", o, err)
		}
		if err != nil {
			if !errors.Is(err, ErrUnknownOperation) && !errors.Is(err, ErrMalformed) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		check(t, o, r)
	})
}

// backAndForth decodes a body for the operation and, when Encode can write what
// was decoded, expects to read the same from that.
func backAndForth(t *testing.T, o *Operation, r Request, p Protocol) {
	t.Helper()
	got := check(t, o, r)
	if got == nil || got[""] != nil {
		return
	}
	out, err := encode(o, got, "us-east-1", "http://gate.test", p)
	if err != nil {
		return // something required is lacking, or null
	}
	again, err := Decode(o, received(t, out, o.Service.SigningName))
	if diff := cmp.Diff(got, again); err != nil || diff != "" {
		t.Fatalf("%v (-first +again):\n%s", err, diff)
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"TableName":"t","Item":{"a":{"M":{"b":{"L":[{"S":"c"},{"BOOL":true},{"NULL":null}]}}},"n":{"N":"1"},"b":{"B":"AA=="}}}`,
		`{"TableName":"t","TableName":"u","Item":{}}`,
		`{"Item":{"a":{"SS":[]}},"New":[1,{"x":null}],"TableName":"\u0074\ud800"}`, `[]`, `{`,
	} {
		f.Add([]byte(s))
	}
	o, _ := Find("dynamodb", "PutItem")
	f.Fuzz(func(t *testing.T, body []byte) {
		r := parseRequest("POST / ; X-Amz-Target: DynamoDB_20120810.PutItem", "dynamodb")
		r.Body = body
		backAndForth(t, o, r, JSON)
	})
}

func FuzzCBOR(f *testing.F) {
	for _, s := range []string{
		"\xa2iNamespaceanjMetricData\x81\xa3jMetricNameamiTimestamp\xc1\x1a\x65\x53\xf1\x00eValue\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00",
		"\xbf\x69Namespace\x7f\x61a\x61b\xff\xff", "\xa1aX\x9f\x01\x20\xf4\xf6\xf9\x3c\x00\x41a\xff",
		"\xa1iNamespacean\x00", "\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
	} {
		f.Add([]byte(s))
	}
	o, _ := Find("monitoring", "PutMetricData")
	f.Fuzz(func(t *testing.T, body []byte) {
		r := parseRequest("POST /service/GraniteServiceVersion20100801/operation/PutMetricData ; Smithy-Protocol: rpc-v2-cbor", "monitoring")
		r.Body = body
		backAndForth(t, o, r, CBOR)
	})
}

func FuzzForm(f *testing.F) {
	for _, s := range []string{
		"StackName=s&Parameters.member.1.ParameterKey=k&Parameters.member.1.ParameterValue=v&Capabilities.member.2=b&Capabilities.member.1=a&NotificationARNs=",
		"StackName=s&StackName=t", "StackName=s&Tags.member.1.Key=%zz",
		"StackName=s&Tags.member.01.Key=a&Tags.1.Key=b&a.b.c=d", "StackName=s&TimeoutInMinutes=+7&DisableRollback=TRUE",
	} {
		f.Add([]byte(s))
	}
	o, _ := Find("cloudformation", "CreateStack")
	f.Fuzz(func(t *testing.T, body []byte) {
		r := parseRequest("POST / ; Content-Type: application/x-www-form-urlencoded", "cloudformation")
		r.Body = append([]byte("Action=CreateStack&Version=2010-05-15&"), body...)
		got := check(t, o, r)
		if got != nil && got["StackName"] != nil && got["StackName"] != "" &&
			strings.Count(string(body), "StackName=") == 0 && !strings.ContainsAny(string(body), "%") {
			t.Fatalf("a name from nowhere: %v", got)
		}
	})
}

func FuzzXML(f *testing.F) {
	for _, s := range []string{
		"<LifecycleConfiguration xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Rule><ID>1</ID><Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>" +
			"<Status>Enabled</Status><Expiration><Days>1</Days></Expiration><Transition><Days>2</Days></Transition><Transition/></Rule></LifecycleConfiguration>",
		"<LifecycleConfiguration><Rule><ID>1</ID><ID>2</ID></Rule></LifecycleConfiguration>",
		"<!DOCTYPE a><LifecycleConfiguration/>", "<LifecycleConfiguration>&lt;</LifecycleConfiguration>", "<a><b>",
	} {
		f.Add([]byte(s))
	}
	o, _ := Find("s3", "PutBucketLifecycleConfiguration")
	f.Fuzz(func(t *testing.T, body []byte) {
		r := parseRequest("PUT /bucket?lifecycle", "s3")
		r.Body = body
		check(t, o, r)
	})
}

// FuzzAnswer reads answers, which come from a service and not from an agent.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "text/xml", []byte("<DescribeInstancesResponse><reservationSet><item/></reservationSet></DescribeInstancesResponse>"))
	f.Add(400, "text/xml", []byte("<Response><Errors><Error><Code>x</Code></Error></Errors></Response>"))
	f.Add(200, "application/x-amz-json-1.0", []byte(`{"Table":{"ItemCount":1}}`))
	f.Add(200, "application/cbor", []byte("\xa1lMetricAlarms\x80"))
	var ops []*Operation
	for _, n := range [][2]string{{"ec2", "DescribeInstances"}, {"dynamodb", "DescribeTable"},
		{"monitoring", "DescribeAlarms"}, {"s3", "ListObjectVersions"}, {"lambda", "GetFunction"},
		{"s3", "GetBucketLocation"}} {
		o, _ := Find(n[0], n[1])
		ops = append(ops, o)
	}
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		for _, o := range ops {
			a, err := ReadAnswer(o, status, http.Header{"Content-Type": {contentType}}, body)
			var e *ServiceError
			if status >= 300 && !errors.As(err, &e) {
				t.Fatalf("status %d: %v", status, err)
			}
			a.Keys()
		}
	})
}
