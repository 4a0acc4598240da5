package aws

import (
	"strings"
	"testing"
	"time"
)

func TestReadTemplate(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       template
	}{
		{"json", `{"Resources":{"A":{"Type":"AWS::S3::Bucket"},"B":{"Type":"AWS::SQS::Queue"}}}`, template{real: 2}},
		{"short forms", "Resources:\n  A:\n    Type: AWS::S3::Bucket\n    Properties:\n      BucketName: !Sub \"${X}-a\"\n      Tags: [!Ref T, !GetAtt A.B]\n", template{real: 1}},
		{"placeholder", "Resources:\n  A:\n    Type: AWS::CloudFormation::WaitConditionHandle\n", template{}},
		{"one parameter is a placeholder", `{"Resources":{"A":{"Type":"AWS::SSM::Parameter"}}}`, template{}},
		{"nothing", `{"Resources":{}}`, template{}},
		{"macro", "Transform: AWS::Serverless-2016-10-31\nResources:\n  A: {Type: AWS::SQS::Queue}\n",
			template{real: 1, macros: true}},
		{"macro inside", `{"Resources":{"A":{"Type":"AWS::SQS::Queue","Properties":{"Fn::Transform":{"Name":"x"}}}}}`,
			template{real: 1, macros: true}},
		{"macro inside, short", "Resources:\n  A:\n    Type: AWS::SQS::Queue\n    Properties: !Transform {Name: x}\n",
			template{real: 1, macros: true}},
		{"custom resource", `{"Resources":{"A":{"Type":"Custom::Thing"}}}`, template{real: 1, custom: true}},
		{"roles", `{"Resources":{"A":{"Type":"AWS::IAM::Role"}}}`, template{real: 1, iam: true}},
		{"start-up script", "Resources:\n  A:\n    Type: AWS::EC2::Instance\n    Properties:\n      UserData: !Base64 |\n        #!/bin/sh\n        reboot\n", template{real: 1, code: true}},
		{"open door", `{"Resources":{"A":{"Type":"AWS::EC2::SecurityGroup","Properties":{"SecurityGroupIngress":[{"CidrIp":"0.0.0.0/0","FromPort":22,"ToPort":22}]}}}}`, template{real: 1, public: true}},
		{"way out", `{"Resources":{"A":{"Type":"AWS::EC2::SecurityGroup","Properties":{"SecurityGroupEgress":[{"CidrIp":"0.0.0.0/0"}]}}}}`, template{real: 1}},
		{"bucket for everybody", `{"Resources":{"A":{"Type":"AWS::S3::BucketPolicy","Properties":{"PolicyDocument":{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}}}}}}`, template{real: 1, public: true}},
		{"admin", `{"Resources":{"A":{"Type":"AWS::IAM::Policy","Properties":{"PolicyDocument":{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}}}}}`, template{real: 1, iam: true, admin: true}},
	} {
		got, err := readTemplate(tt.body)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// What cannot be read for certain is an error, and so the worst.
func TestReadTemplateRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"empty":         "",
		"text":          "hello",
		"list":          "[1, 2]",
		"no resources":  `{"Parameters":{}}`,
		"cut off":       `{"Resources":{"A":{"Type":"x"`,
		"twice":         `{"Resources":{"A":{"Type":"AWS::SQS::Queue"}},"Resources":{}}`,
		"twice in YAML": "Resources:\n  A: {Type: AWS::SQS::Queue}\nResources: {}\n",
		"alias":         "Resources:\n  A: &a {Type: AWS::SQS::Queue}\n  B: *a\n",
		"merge":         "x: &a {Type: AWS::SQS::Queue}\nResources:\n  B:\n    <<: *a\n",
		"two documents": "Resources: {}\n---\nResources: {}\n",
		"long":          "Resources:\n" + strings.Repeat("  A: {Type: x}\n", 10_000),
		"deep":          strings.Repeat("[", 40_000),
		"deep mapping":  strings.Repeat("{a: ", 10_000),
	} {
		start := time.Now()
		if got, err := readTemplate(body); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s took %v", name, d)
		}
	}
}

func TestDocuments(t *testing.T) {
	for _, tt := range []struct {
		name, document          string
		admin, everybody, fails bool
	}{
		{name: "one action", document: `{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`},
		{name: "all", document: `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`, admin: true},
		{name: "a single statement", document: `{"Statement":{"Effect":"Allow","Action":["s3:*","*"],"Resource":["*"]}}`, admin: true},
		{name: "all of IAM", document: `{"Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}`,
			admin: true},
		{name: "a wildcard that covers a way to any right",
			document: `{"Statement":[{"Effect":"Allow","Action":"iam:Put*","Resource":"*"}]}`, admin: true},
		{name: "a wildcard in the middle", document: `{"Statement":[{"Effect":"Allow","Action":"i?m:*RolePolicy","Resource":"*"}]}`, admin: true},
		{name: "another case", document: `{"Statement":[{"Effect":"Allow","Action":"IAM:PASSROLE","Resource":"*"}]}`,
			admin: true},
		{name: "one role", document: `{"Statement":[{"Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::111122223333:role/web"}]}`},
		{name: "all but", document: `{"Statement":[{"Effect":"Allow","NotAction":"s3:*","Resource":"*"}]}`,
			admin: true},
		{name: "all resources but", document: `{"Statement":[{"Effect":"Allow","Action":"*","NotResource":"arn:aws:s3:::a"}]}`, admin: true},
		{name: "denied", document: `{"Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`},
		{name: "everybody", document: `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`, everybody: true},
		{name: "everybody, as AWS", document: `{"Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`, everybody: true},
		{name: "everybody but", document: `{"Statement":[{"Effect":"Allow","NotPrincipal":{"AWS":"arn:aws:iam::1:root"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}`, everybody: true},
		{name: "a service", document: `{"Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`},
		{name: "twice", document: `{"Statement":[],"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
			fails: true},
		{name: "twice inside", document: `{"Statement":[{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}]}`, fails: true},
		{name: "something behind it", document: `{"Statement":[]} {}`, fails: true},
		{name: "cut off", document: `{"Statement":[`, fails: true},
		{name: "deep", document: strings.Repeat(`{"a":`, 1000), fails: true},
	} {
		d, err := readDocument(tt.document)
		if (err != nil) != tt.fails {
			t.Errorf("%s: got error %v, want one: %t", tt.name, err, tt.fails)
			continue
		}
		admin, everybody := false, false
		for _, st := range d.Statements {
			admin = admin || len(st.Principals) == 0 && st.admin()
			everybody = everybody || st.everybody()
		}
		if admin != tt.admin || everybody != tt.everybody {
			t.Errorf("%s: got admin %t, everybody %t", tt.name, admin, everybody)
		}
	}
}

func TestWidth(t *testing.T) {
	for cidr, want := range map[string]int{
		"0.0.0.0/0": 32, "0.0.0.0/1": 31, "203.0.0.0/8": 24, "198.51.100.0/24": 8, "198.51.100.7/32": 0,
		"10.0.0.0/8": -1, "10.0.0.0/7": 25, "192.168.0.0/16": -1, "172.16.0.0/12": -1, "127.0.0.1/32": -1,
		"::/0": 28, "2001:db8::/48": 0, "fd00::/8": -1, "::ffff:0:0/96": 32, "all": -1, "": -1,
	} {
		got, ok := width(cidr)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%s: got %d, want %d", cidr, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	for name, want := range map[string]string{
		"DeleteDBInstance": "Delete DB Instance", "ListObjectsV2": "List Objects V2", "GetDNSSEC": "Get DNSSEC",
		"BatchGetItem": "Batch Get Item",
		"AttachVPCs":   "Attach VPCs", "CreateAPIKey": "Create API Key", "DescribeIpamByoasn": "Describe Ipam Byoasn",
		"": "",
	} {
		if got := strings.Join(words(name), " "); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
