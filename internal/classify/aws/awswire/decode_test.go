package awswire

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const asForm = "Content-Type: application/x-www-form-urlencoded | Body: "

// TestDecode is about requests that say things in ways that readers may
// understand differently. What other clients send is in TestBotocore.
func TestDecode(t *testing.T) {
	const (
		table   = "POST / ; X-Amz-Target: DynamoDB_20120810.UpdateTable | Body: "
		ec2     = "POST / ; " + asForm + "Action=TerminateInstances&Version=2016-11-15"
		filters = "POST / ; " + asForm + "Action=DescribeInstances&Version=2016-11-15"
		rds     = "POST / ; " + asForm + "Action=DeleteDBInstance&Version=2014-10-31"
		sqs     = "POST /1/q ; " + asForm + "Action=SendMessage&Version=2012-11-05"
		cors    = "PUT /b?cors ; Body: "
		alarms  = "POST /service/GraniteServiceVersion20100801/operation/DeleteAlarms ; Smithy-Protocol: rpc-v2-cbor | Body: "
		mib     = 1 << 20
	)
	type m = map[string]any
	for _, c := range []struct {
		signing, request string
		want             any // parameters, or ErrDuplicate or ErrMalformed
	}{
		// JSON.
		{"dynamodb", table + `{"TableName":"t","DeletionProtectionEnabled":false}`,
			m{"TableName": "t", "DeletionProtectionEnabled": false}},
		{"dynamodb", table + `{"TableName":"t","TableName":"u"}`, ErrDuplicate},
		{"dynamodb", table + `{"TableName":"t","\u0054ableName":"u"}`, ErrDuplicate},
		{"dynamodb", table + `{"TableName":null,"TableName":"u"}`, ErrDuplicate},
		{"dynamodb", table + `{"New":1,"New":2}`, ErrDuplicate},
		{"dynamodb", table + `{"TableNam":"t","New":{"a":[1,{"a":2}]}}`, m{"": []string{"New", "TableNam"}}},
		{"dynamodb", table + `{"tableName":"t"}`, ErrMalformed},
		{"dynamodb", table + `{"TableName":"t","SSESpecification":{"enabled":true}}`, ErrMalformed},
		{"dynamodb", table + `{"TableName":"t","SSESpecification":{"Enabled":true,"X":0}}`,
			m{"TableName": "t", "SSESpecification": m{"Enabled": true}, "": []string{"SSESpecification.X"}}},
		{"dynamodb", table + `{"TableName":null}`, m{}},
		{"dynamodb", table + `{"DeletionProtectionEnabled":"false"}`, ErrMalformed},
		{"dynamodb", table + `{"DeletionProtectionEnabled":0}`, ErrMalformed},
		{"dynamodb", table + `{"ProvisionedThroughput":{"ReadCapacityUnits":12345678901234567890}}`,
			m{"ProvisionedThroughput": m{"ReadCapacityUnits": json.Number("12345678901234567890")}}},
		{"dynamodb", table + `{"ProvisionedThroughput":{"ReadCapacityUnits":1.5}}`, ErrMalformed},
		{"dynamodb", table + `{"ProvisionedThroughput":[]}`, ErrMalformed},
		{"dynamodb", table + `{"TableName":"t"} {}`, ErrMalformed},
		{"dynamodb", table + `{"TableName":"t"`, ErrMalformed},
		{"dynamodb", table + `[]`, ErrMalformed},
		{"dynamodb", table + `null`, ErrMalformed},
		{"dynamodb", table + "{\"TableName\":\"\xff\"}", ErrMalformed},
		{"dynamodb", table + `{"New":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, ErrMalformed},
		{"dynamodb", table + `{"New":[` + strings.Repeat("0,", mib) + `0]}`, ErrMalformed},
		{"dynamodb", table, m{}},
		{"dynamodb", "POST /?x=1 ; X-Amz-Target: DynamoDB_20120810.ListTables | Body: {}", m{"": []string{"?x"}}},
		// Forms.
		{"ec2", ec2 + "&InstanceId.1=i-1&InstanceId.2=i-2", m{"InstanceIds": []any{"i-1", "i-2"}}},
		{"ec2", ec2 + "&InstanceId.7=i-7&InstanceId.3=i-3", m{"InstanceIds": []any{"i-3", "i-7"}}},
		{"ec2", ec2 + "&InstanceId.10=i-10&InstanceId.9=i-9", m{"InstanceIds": []any{"i-9", "i-10"}}},
		{"ec2", ec2 + "&InstanceId.1=i-1&InstanceId.1=i-2", ErrDuplicate},
		{"ec2", ec2 + "&InstanceId.1=i-1&InstanceId%2E1=i-2", ErrDuplicate},
		{"ec2", ec2 + "&InstanceId.1=i-1&InstanceId.01=i-2",
			m{"InstanceIds": []any{"i-1"}, "": []string{"InstanceId.01"}}},
		{"ec2", ec2 + "&InstanceId.1.x=i-1", m{"InstanceIds": []any{nil}, "": []string{"InstanceId.1.x"}}},
		{"ec2", ec2 + "&instanceId.1=i-1", m{"": []string{"instanceId.1"}}},
		{"ec2", ec2 + "&InstanceId=i-1", ErrMalformed},
		{"ec2", ec2 + "&DryRun=true&DryRun=false", ErrDuplicate},
		{"ec2", ec2 + "&DryRun=maybe", ErrMalformed},
		{"ec2", ec2 + "&DryRun=True", ErrMalformed}, // true to some readers, and false to others
		{"ec2", ec2 + "&action=DescribeInstances", ErrMalformed},
		{"ec2", ec2 + "&Action=DescribeInstances", ErrDuplicate},
		{"ec2", ec2 + "&DryRun=true;InstanceId.1=i", ErrMalformed},
		{"ec2", ec2 + "&DryRun=%zz", ErrMalformed},
		{"ec2", ec2 + "&" + strings.Repeat("a.", 1000) + "=", ErrMalformed},
		{"ec2", "POST /?Action=DescribeInstances&Version=2016-11-15 ; " + asForm + "Action=TerminateInstances",
			ErrDuplicate},
		{"ec2", "POST /?Action=DescribeInstances&Version=2016-11-15 ; Content-Type: text/plain | Body: Action=TerminateInstances", ErrMalformed},
		{"ec2", "GET /?Action=DescribeInstances&Version=2016-11-15 ; Body: Action=TerminateInstances",
			m{"": []string{"(body)"}}},
		{"ec2", "GET /?Action=DescribeInstances&Version=2016-11-15&X-Amz-Algorithm=x&X-Amz-Signature=y", m{}},
		{"ec2", filters + "&Filter.1.Name=vpc-id&Filter.1.Value.1=v&Filter.2.Name=x",
			m{"Filters": []any{m{"Name": "vpc-id", "Values": []any{"v"}}, m{"Name": "x"}}}},
		{"rds", rds + "&DBInstanceIdentifier=d&SkipFinalSnapshot=true",
			m{"DBInstanceIdentifier": "d", "SkipFinalSnapshot": true}},
		{"rds", rds + "&SkipFinalSnapshot=", ErrMalformed},
		{"rds", "POST / ; Content-Type: application/x-www-form-urlencoded; charset=utf-8 | Body: Action=ModifyDBInstance&Version=2014-10-31", m{}},
		{"rds", "POST / ; Content-Type: application/x-www-form-urlencoded; charset=ibm037 | Body: Action=ModifyDBInstance&Version=2014-10-31", ErrMalformed},
		{"dynamodb", "POST / ; X-Amz-Target: DynamoDB_20120810.ListTables | Content-Type: application/x-amz-json-1.0; charset=utf-16 | Body: {}", ErrMalformed},
		{"rds", "POST / ; " + asForm + "Action=ModifyDBInstance&Version=2014-10-31&VpcSecurityGroupIds=&BackupRetentionPeriod=%2B007", m{"VpcSecurityGroupIds": []any{}, "BackupRetentionPeriod": json.Number("7")}},
		{"rds", "POST / ; " + asForm + "Action=ModifyDBInstance&Version=2014-10-31&VpcSecurityGroupIds.1=a",
			m{"": []string{"VpcSecurityGroupIds.1"}}},
		{"rds", "POST / ; " + asForm + "Action=ModifyDBInstance&Version=2014-10-31&BackupRetentionPeriod=99999999999999999999", ErrMalformed},
		{"sqs", sqs + "&MessageBody=b", m{"QueueUrl": "/1/q", "MessageBody": "b"}},
		{"sqs", sqs + "&QueueUrl=https://gate.test/1/q&MessageBody=b&MessageAttribute.1.Name=n&MessageAttribute.1.Value.DataType=String",
			m{"QueueUrl": "https://gate.test/1/q", "MessageBody": "b",
				"MessageAttributes": m{"n": m{"DataType": "String"}}}},
		{"sqs", sqs + "&QueueUrl=https://gate.test/2/other", ErrDuplicate},
		{"sqs", sqs + "&MessageAttribute.1.Name=n&MessageAttribute.2.Name=n", ErrDuplicate},
		{"sqs", sqs + "&MessageAttribute.1.Value.DataType=String", ErrMalformed},
		// REST.
		{"s3", "DELETE /b/a%2Fb%20c/%C3%BC+?versionId=1", m{"Bucket": "b", "Key": "a/b c/ü+", "VersionId": "1"}},
		{"s3", "DELETE /b//k//", m{"Bucket": "b", "Key": "/k//"}},
		{"s3", "DELETE /k ; Host: my.bucket.gate.test", m{"Bucket": "my.bucket", "Key": "k"}},
		{"s3", "DELETE /b/k?versionId=1&versionId=2", ErrDuplicate},
		{"s3", "DELETE /b/k?tagging&tagging", ErrDuplicate},
		{"s3", "GET /b/k?new=1 ; X-Amz-New: 2 | X-Amz-Date: 3 | X-Amz-Checksum-Sha9: 4",
			m{"Bucket": "b", "Key": "k", "": []string{"?new", "x-amz-new"}}},
		{"s3", "DELETE /b/k ; X-Amz-Bypass-Governance-Retention: true",
			m{"Bucket": "b", "Key": "k", "BypassGovernanceRetention": true}},
		{"s3", "DELETE /b/k?x-amz-bypass-governance-retention=true", ErrMalformed},
		{"lambda", "POST /2015-03-31/functions/f/invocations?X-Amz-Invocation-Type=DryRun", ErrMalformed},
		{"lambda", "POST /2015-03-31/functions/f/invocations?%58-aMz-Invocation-Type=DryRun", ErrMalformed},
		{"s3", "DELETE /b/k?x-amz-bypass-governance-retention=false ; X-Amz-Bypass-Governance-Retention: true",
			ErrMalformed},
		{"s3", "DELETE /b/k ; X-Amz-Mfa: 1 | X-Amz-Mfa: 2", ErrDuplicate},
		{"s3", "PUT /b/k ; X-Amz-Meta-Who: me | X-Amz-Meta-Why-Not: x | Content-Encoding: gzip | Body: not gzip",
			m{"Bucket": "b", "Key": "k", "Metadata": m{"who": "me", "why-not": "x"}, "ContentEncoding": "gzip"}},
		{"s3", "PUT /b/k ; X-Amz-Meta-Who: me | X-Amz-Meta-Who: you", ErrDuplicate},
		{"s3", "PUT /b?policy ; Body: {\"Statement\":[]}", m{"Bucket": "b", "Policy": `{"Statement":[]}`}},
		{"s3", cors + "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>",
			m{"Bucket": "b", "CORSConfiguration": m{"CORSRules": []any{m{"AllowedMethods": []any{"GET"},
				"AllowedOrigins": []any{"*"}}}}}},
		{"s3", cors + "<CORSConfiguration><CORSRule><ID>1</ID><ID>2</ID></CORSRule></CORSConfiguration>", ErrDuplicate},
		{"s3", cors + "<CORSConfiguration><New a='b'><x/></New></CORSConfiguration>",
			m{"Bucket": "b", "CORSConfiguration": m{}, "": []string{"New"}}},
		{"s3", cors + "<Other/>", m{"Bucket": "b", "CORSConfiguration": m{}, "": []string{"<Other>"}}},
		{"s3", cors + "<CORSConfiguration>text</CORSConfiguration>", ErrMalformed},
		{"s3", cors + "<CORSConfiguration xmlns='http://a'><CORSRule><ID>1</ID></CORSRule></CORSConfiguration>",
			m{"Bucket": "b", "CORSConfiguration": m{"CORSRules": []any{m{"ID": "1"}}}}},
		{"s3", cors + "<CORSConfiguration xmlns='http://a'><x:CORSRule xmlns:x='http://b'><ID>1</ID></x:CORSRule></CORSConfiguration>", ErrMalformed},
		{"s3", cors + "<CORSConfiguration><x:CORSRule/></CORSConfiguration>", ErrMalformed},
		{"s3", cors + "<CORSConfiguration><!-- one --><CORSRule><!-- two --><ID>1</ID></CORSRule></CORSConfiguration>", m{"Bucket": "b", "CORSConfiguration": m{"CORSRules": []any{m{"ID": "1"}}}}},
		{"s3", cors + "<CORSConfiguration><CORSRule><ID>a<!-- -->b</ID></CORSRule></CORSConfiguration>", ErrMalformed},
		{"s3", cors + "<CORSConfiguration>", ErrMalformed},
		{"s3", cors + "<CORSConfiguration/><CORSConfiguration/>", ErrMalformed},
		{"s3", cors + "<!DOCTYPE x [<!ENTITY a 'b'>]><CORSConfiguration/>", ErrMalformed},
		{"s3", cors + "<CORSConfiguration>&a;</CORSConfiguration>", ErrMalformed},
		{"s3", cors + "<?php x?><CORSConfiguration/>", ErrMalformed},
		{"s3", cors + "<?xml version='1.0' encoding='utf-16'?><CORSConfiguration/>", ErrMalformed},
		{"s3", cors + strings.Repeat("<a>", 1000) + strings.Repeat("</a>", 1000), ErrMalformed},
		{"s3", cors + "junk", ErrMalformed},
		{"s3", "DELETE /b ; Body: x", m{"Bucket": "b", "": []string{"(body)"}}},
		{"s3", "GET /v20180820/jobs?jobStatuses=a&jobStatuses=b ; X-Amz-Account-Id: 1",
			m{"AccountId": "1", "JobStatuses": []any{"a", "b"}}},
		{"s3", "GET /v20180820/jobs ; X-Amz-Account-Id: 1 | Host: 2.gate.test", ErrDuplicate},
		{"lambda", "DELETE /2015-03-31/functions/f?Qualifier=3", m{"FunctionName": "f", "Qualifier": "3"}},
		{"lambda", "POST /2015-03-31/functions/f/invocations ; X-Amz-Invocation-Type: Event | Body: {}",
			m{"FunctionName": "f", "InvocationType": "Event", "Payload": "e30="}},
		{"lambda", `PUT /2015-03-31/functions/f/configuration ; Body: {"Timeout":3,"FunctionName":"g"}`,
			m{"FunctionName": "f", "Timeout": json.Number("3"), "": []string{"FunctionName"}}},
		{"route53", "POST /2013-04-01/hostedzone/Z/rrset/ ; Body: <ChangeResourceRecordSetsRequest xmlns='https://route53.amazonaws.com/doc/2013-04-01/'><ChangeBatch><Changes><Change><Action>DELETE</Action>" +
			"<ResourceRecordSet><Name>a.</Name><TTL> 60 </TTL></ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>",
			m{"HostedZoneId": "Z", "ChangeBatch": m{"Changes": []any{m{"Action": "DELETE",
				"ResourceRecordSet": m{"Name": "a.", "TTL": json.Number("60")}}}}}},
		// CBOR.
		{"monitoring", alarms + "\xa1jAlarmNames\x81aa", m{"AlarmNames": []any{"a"}}},
		{"monitoring", alarms + "\xbf\x6aAlarmNames\x9f\x7f\x61a\x61b\xff\xff\xff", m{"AlarmNames": []any{"ab"}}},
		{"monitoring", alarms + "\xa2jAlarmNames\x80jAlarmNames\x81aa", ErrDuplicate},
		{"monitoring", alarms + "\xa1aX\xa1aY\x01", m{"": []string{"X"}}},
		{"monitoring", alarms + "\xa1jalarmNames\x81aa", ErrMalformed},
		{"monitoring", alarms + "\xa1jAlarmNames\x81\x01", ErrMalformed},
		{"monitoring", alarms + "\xa1\x01\x01", ErrMalformed},
		{"monitoring", alarms + "\xa1jAlarmNames\x9b\xff\xff\xff\xff\xff\xff\xff\xff", ErrMalformed},
		{"monitoring", alarms + "\xa1jAlarmNames\x81\x7b\xff\xff\xff\xff\xff\xff\xff\xff", ErrMalformed},
		{"monitoring", alarms + "\xa0\xa0", ErrMalformed},
		{"monitoring", alarms + "\xa1aX" + strings.Repeat("\x81", 1000) + "\x01", ErrMalformed},
		{"monitoring", alarms + "\xa1aX" + strings.Repeat("\xc1", 1000) + "\x01", ErrMalformed},
		{"monitoring", alarms + "\xa1aX\xff", ErrMalformed},
		{"monitoring", alarms + "\xa1aX\x7f\x41a\xff", ErrMalformed},
		{"monitoring", alarms + "\xa1jAlarmNames\x81\x61\xff", ErrMalformed},
	} {
		name, _, _ := strings.Cut(c.request, "\n")
		if len(name) > 200 {
			name = name[:200]
		}
		r := parseRequest(c.request, c.signing)
		o, err := Identify(r)
		if errors.Is(err, ErrMalformed) && c.want == ErrMalformed {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := Decode(o, r)
		if want, ok := c.want.(error); ok {
			if !errors.Is(err, want) {
				t.Errorf("%q: %v, %v, want %v", name, got, err, want)
			}
			continue
		}
		if diff := cmp.Diff(c.want, any(got)); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got)\n%s", name, err, diff)
		}
	}
}

// TestDecodeGzip is about bodies that SDKs compress, as PutMetricData.
func TestDecodeGzip(t *testing.T) {
	pack := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte(s))
		z.Close()
		return b.String()
	}
	r := parseRequest("POST / ; X-Amz-Target: GraniteServiceVersion20100801.DeleteAlarms | Content-Encoding: gzip",
		"monitoring")
	o := mustFind(t, "monitoring", "DeleteAlarms")
	r.Body = []byte(pack(`{"AlarmNames":["a"]}`))
	got, err := Decode(o, r)
	if diff := cmp.Diff(map[string]any{"AlarmNames": []any{"a"}}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for _, body := range []string{"{}", pack("{}")[:10], pack(strings.Repeat(" ", maxInflated+1))} {
		r.Body = []byte(body)
		if got, err := Decode(o, r); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.20q: %v, %v", body, got, err)
		}
	}
	// What is forwarded is what was read.
	r.Body = []byte(pack(`{"AlarmNames":["a"]}`))
	plain, err := Plain(o, r)
	if err != nil || string(plain.Body) != `{"AlarmNames":["a"]}` || plain.Header.Get("Content-Encoding") != "" ||
		r.Header.Get("Content-Encoding") == "" {
		t.Errorf("plain: %q, %v, %v", plain.Body, plain.Header, err)
	}
	// A form says in its compressed form what it does, and nowhere else: not in the
	// file name that gzip keeps.
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Name = "&Action=DescribeAlarms&Version=2010-08-01&"
	z.Write([]byte("Action=DeleteAlarms&Version=2010-08-01&AlarmNames.member.1=a"))
	z.Close()
	form := parseRequest("POST / ; Content-Type: application/x-www-form-urlencoded | Content-Encoding: gzip",
		"monitoring")
	form.Body = b.Bytes()
	if o, err := Identify(form); err != nil || o.Name != "DeleteAlarms" {
		t.Errorf("a compressed form: %v, %v", o, err)
	}
	put := parseRequest("PUT /b/k ; Content-Encoding: gzip | Body: not gzip", "s3")
	if got, err := Plain(mustFind(t, "s3", "PutObject"), put); err != nil || string(got.Body) != "not gzip" ||
		got.Header.Get("Content-Encoding") == "" {
		t.Errorf("an object: %q, %v, %v", got.Body, got.Header, err)
	}
	r.Header.Set("Content-Encoding", "br")
	if got, err := Decode(o, r); !errors.Is(err, ErrMalformed) {
		t.Errorf("brotli: %v, %v", got, err)
	}
}

func TestShapes(t *testing.T) {
	terminate := mustFind(t, "ec2", "TerminateInstances")
	if !terminate.DryRun() || mustFind(t, "s3", "DeleteBucket").DryRun() {
		t.Error("DryRun")
	}
	if got := mustFind(t, "ec2", "RunInstances").Tokens(); !cmp.Equal(got, []string{"ClientToken"}) {
		t.Errorf("tokens of RunInstances: %v", got)
	}
	if name, ok := mustFind(t, "s3", "PutObject").Streaming(); !ok || name != "Body" {
		t.Errorf("PutObject streams %q", name)
	}
	if name, ok := mustFind(t, "s3", "PutBucketPolicy").Streaming(); ok {
		t.Errorf("PutBucketPolicy streams %q", name)
	}
	run := mustFind(t, "ec2", "RunInstances")
	for _, path := range [][]string{{"BlockDeviceMappings", "Ebs", "DeleteOnTermination"}, {"ImageId"}, {}} {
		if !run.Member(path...) {
			t.Errorf("RunInstances has no %v", path)
		}
	}
	if run.Member("BlockDeviceMappings", "Ebs", "Nonsense") || run.Member("ImageId", "x") ||
		!mustFind(t, "dynamodb", "PutItem").Member("Item", "any", "S") {
		t.Error("Member")
	}
	got := terminate.Unknown(map[string]any{"InstanceIds": []any{"i"}, "Force": true,
		"DryRun": map[string]any{"x": 1}, "": []string{"y"}})
	if want := []string{"DryRun.x", "Force"}; !cmp.Equal(got, want) {
		t.Errorf("unknown: %v, want %v", got, want)
	}
	if got := mustFind(t, "s3", "DeleteObject").Required(); !cmp.Equal(got, []string{"Bucket", "Key"}) {
		t.Errorf("required of DeleteObject: %v", got)
	}
	if o := mustFind(t, "sts", "AssumeRoleWithWebIdentity"); !o.Unsigned || mustFind(t, "sts", "AssumeRole").Unsigned {
		t.Error("Unsigned")
	}
}

func TestEncodeRefuses(t *testing.T) {
	type m = map[string]any
	for _, c := range []struct {
		service, operation string
		params             m
	}{
		{"ec2", "TerminateInstances", m{}},
		{"ec2", "TerminateInstances", m{"InstanceIds": "i-1"}},
		{"ec2", "TerminateInstances", m{"InstanceIds": []any{1}}},
		{"ec2", "TerminateInstances", m{"InstanceIds": []any{"i"}, "Force": true}},
		{"s3", "DeleteObject", m{"Bucket": "b", "Key": ""}},
		{"s3", "PutObject", m{"Bucket": "b", "Key": "k", "Body": "not base64!"}},
		{"dynamodb", "UpdateTable", m{"TableName": "t", "DeletionProtectionEnabled": "false"}},
		{"s3-control", "ListJobs", m{"AccountId": "evil.test/"}},
	} {
		if r, err := Encode(mustFind(t, c.service, c.operation), c.params, "us-east-1", ""); err == nil {
			t.Errorf("%s:%s %v: %s", c.service, c.operation, c.params, r.URL)
		}
	}
	r, err := Encode(mustFind(t, "s3-control", "ListJobs"), m{"AccountId": "123456789012"}, "eu-west-1", "")
	if err != nil || r.URL.Host != "123456789012.s3-control.eu-west-1.amazonaws.com" {
		t.Errorf("host prefix: %v, %v", r, err)
	}
}
