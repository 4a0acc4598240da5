package aws_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws"
	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
)

func call(t testing.TB, service, operation, parameters string) []signalbox.Action {
	t.Helper()
	c := aws.Call{Service: service, Operation: operation, Region: "eu-central-1", Account: "111122223333", Payload: -1}
	if parameters != "" {
		d := json.NewDecoder(strings.NewReader(parameters))
		d.UseNumber()
		if err := d.Decode(&c.Parameters); err != nil {
			t.Fatal(err)
		}
	}
	return aws.Classify(c)
}

var update = flag.Bool("update", false, "write what is into testdata")

// Each line of testdata/calls.txt is a call and what is made of it: verbs,
// traits, resources, impact. It was reviewed by hand; a change of it is a change
// of behaviour.
func TestGolden(t *testing.T) {
	const name = "testdata/calls.txt"
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var now, want strings.Builder
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		fmt.Fprintln(&want, line)
		head, _, _ := strings.Cut(line, " => ")
		if line == "" || strings.HasPrefix(line, "#") {
			fmt.Fprintln(&now, line)
			continue
		}
		words := strings.SplitN(head, " ", 3)
		words = append(words, "", "")
		fmt.Fprintf(&now, "%s => %s\n", head, summary(call(t, words[0], words[1], words[2])))
	}
	if *update {
		if err := os.WriteFile(name, []byte(now.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(strings.Split(want.String(), "\n"), strings.Split(now.String(), "\n")); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func summary(actions []signalbox.Action) string {
	var verbs []string
	for _, a := range actions {
		v := string(a.Verb)
		if a.Native == "iam:PassRole" {
			v = "pass"
		}
		verbs = append(verbs, v)
	}
	a := actions[0]
	var resources []string
	for _, r := range a.Resources {
		s := r.Type + "/" + r.Name
		if !r.Whole {
			s += "~"
		}
		resources = append(resources, s)
	}
	count := fmt.Sprint(a.Impact.Count)
	if a.Impact.Count == signalbox.CountUnknown {
		count = "?"
	}
	slices.Sort(a.Traits)
	return fmt.Sprintf("%s %v %s %s:%s", strings.Join(verbs, "+"), a.Traits, strings.Join(resources, ","),
		a.Impact.Scope, count)
}

// P8: what nobody knows is the worst.
func TestUnknownIsWorst(t *testing.T) {
	for _, tt := range [][2]string{{"s3", "ListEverything"}, {"", ""}, {"nosuch", "GetThing"}, {"s3", "listbuckets"}} {
		got := call(t, tt[0], tt[1], "")
		if len(got) != 1 || got[0].Verb != signalbox.Execute || !got[0].Has(signalbox.TraitUnparsed) ||
			!got[0].Has(signalbox.TraitUnscoped) {
			t.Errorf("%v: got %+v, want the worst", tt, got)
		}
	}
}

func TestUnknownMemberIsNotUnderstood(t *testing.T) {
	for _, parameters := range []string{
		`{"Bucket":"b","DryRun":true}`, // the model has none
		`{"Bucket":"b","bucket":"c"}`,
		`{"Bucket":{"Name":"b"}}`,
		`{"Bucket":"b","":["Colour"]}`,
	} {
		for _, a := range call(t, "s3", "DeleteBucket", parameters) {
			if a.Verb != signalbox.Delete || !a.Has(signalbox.TraitUnparsed) {
				t.Errorf("%s: got %+v, want a delete that was not understood", parameters, a)
			}
		}
	}
	if got := call(t, "s3", "ListObjectsV2", `{"Bucket":"b","Colour":"red"}`); got[0].Verb != signalbox.Read ||
		got[0].Has(signalbox.TraitUnparsed) {
		t.Errorf("a read with a member that the model does not know: got %+v", got)
	}
}

// Of several rules the worst counts, whatever stands before or after it.
func TestTheWorstOfAListCounts(t *testing.T) {
	for name, lists := range map[string][2]string{
		"lifecycle": {`{"Status":"Enabled","Filter":{"Prefix":"orders/"},"Expiration":{"Days":3}}`,
			`{"Status":"Enabled","Filter":{"Prefix":"decoy/"},"Expiration":{"Days":400}}`},
		"transition": {`{"Status":"Enabled","Filter":{"Prefix":""},"Transitions":[{"Days":0,"StorageClass":"DEEP_ARCHIVE"}]}`,
			`{"Status":"Enabled","Filter":{"Prefix":""},"Transitions":[{"Days":90,"StorageClass":"STANDARD_IA"}]}`},
	} {
		for _, both := range []string{lists[0] + "," + lists[1], lists[1] + "," + lists[0]} {
			alone := call(t, "s3", "PutBucketLifecycleConfiguration",
				`{"Bucket":"b","LifecycleConfiguration":{"Rules":[`+lists[0]+`]}}`)[0]
			got := call(t, "s3", "PutBucketLifecycleConfiguration",
				`{"Bucket":"b","LifecycleConfiguration":{"Rules":[`+both+`]}}`)[0]
			if got.Impact.Reversible && !alone.Impact.Reversible {
				t.Errorf("%s: can be undone, with a decoy beside it", name)
			}
			for _, trait := range alone.Traits {
				if !got.Has(trait) {
					t.Errorf("%s: a decoy takes %q away: %v", name, trait, got.Traits)
				}
			}
		}
	}
	images := func(rules ...string) signalbox.Action {
		text, _ := json.Marshal(`{"rules":[` + strings.Join(rules, ",") + `]}`)
		return call(t, "api.ecr", "PutLifecyclePolicy", `{"repositoryName":"r","lifecyclePolicyText":`+string(text)+
			`}`)[0]
	}
	few, many := `{"selection":{"tagStatus":"any","countNumber":6}}`, `{"selection":{"tagStatus":"any","countNumber":100}}`
	if images(few, many).Impact.Reversible || images(many, few).Impact.Reversible || !images(many).Impact.Reversible {
		t.Error("images: the last rule counts, and not the worst")
	}
}

func TestDryRunOnlyWhereTheModelHasIt(t *testing.T) {
	got := call(t, "ec2", "TerminateInstances", `{"InstanceIds":["i-1"],"DryRun":true}`)
	if got[0].Verb != signalbox.Read {
		t.Errorf("a dry run: got %+v", got)
	}
	for _, parameters := range []string{`{"InstanceIds":["i-1"],"DryRun":false}`,
		`{"InstanceIds":["i-1"],"DryRun":"true"}`, `{"InstanceIds":["i-1"],"dryrun":true}`} {
		if got := call(t, "ec2", "TerminateInstances", parameters); got[0].Verb != signalbox.Delete {
			t.Errorf("%s: got %+v, want a delete", parameters, got)
		}
	}
}

// Keys and destinations of another account are for its people.
func TestAnotherAccounts(t *testing.T) {
	for operation, parameters := range map[string]string{
		"ec2:CopySnapshot":           `{"SourceRegion":"eu-central-1","SourceSnapshotId":"snap-1","KmsKeyId":"arn:aws:kms:eu-central-1:%s:key/1"}`,
		"s3:PutBucketEncryption":     `{"Bucket":"b","ServerSideEncryptionConfiguration":{"Rules":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"aws:kms","KMSMasterKeyID":"arn:aws:kms:eu-central-1:%s:key/1"}}]}}`,
		"monitoring:PutMetricAlarm":  `{"AlarmName":"a","AlarmActions":["arn:aws:sns:eu-central-1:111122223333:ours","arn:aws:sns:eu-central-1:%s:ops"]}`,
		"logs:PutSubscriptionFilter": `{"logGroupName":"g","filterName":"f","filterPattern":"","destinationArn":"arn:aws:logs:eu-central-1:%s:destination:x"}`,
	} {
		service, name, _ := strings.Cut(operation, ":")
		has := func(account string) bool {
			got := call(t, service, name, strings.ReplaceAll(parameters, "%s", account))
			return slices.ContainsFunc(got, func(a signalbox.Action) bool { return a.Verb == signalbox.Permission })
		}
		if has("111122223333") || !has("999999999999") {
			t.Errorf("%s: our own is a matter of rights %v, another's %v", operation, has("111122223333"),
				has("999999999999"))
		}
	}
}

// Every operation of the table has an answer, with nothing given and with a
// value for each member that is required.
func TestEveryOperation(t *testing.T) {
	for _, s := range awswire.Services() {
		for _, o := range s.Operations() {
			required := map[string]any{}
			for _, m := range o.Required() {
				required[m] = "x"
			}
			for _, p := range []map[string]any{nil, {}, required} {
				check(t, aws.Classify(aws.Call{Service: s.Name, Operation: o.Name, Parameters: p, Payload: -1}))
			}
		}
	}
}

func check(t *testing.T, actions []signalbox.Action) {
	t.Helper()
	if len(actions) == 0 {
		t.Fatal("no action")
	}
	for _, a := range actions {
		if !slices.Contains(signalbox.Verbs(), a.Verb) || a.Native == "" || len(a.Resources) == 0 || a.Reason == "" ||
			a.Impact.Scope == "" || a.Fingerprint == "" && !a.Has(signalbox.TraitUnparsed) {
			t.Fatalf("incomplete: %+v", a)
		}
		for _, r := range a.Resources {
			if r.Type == "" || r.Name == "" {
				t.Fatalf("a resource without type or name: %+v", a)
			}
		}
		if (a.Verb == signalbox.Delete || a.Verb == signalbox.Replace) && a.Impact.Reversible {
			t.Fatalf("a reversible %s: %+v", a.Verb, a)
		}
	}
}

// A shape is shown and logged in the clear: no value is in it, nor a key that
// the caller made up.
func TestShapeHasNoValues(t *testing.T) {
	const hidden = "hunter2"
	for _, tt := range [][3]string{
		{"rds", "CreateDBInstance", `{"DBInstanceIdentifier":"x","MasterUserPassword":"hunter2"}`},
		{"lambda", "UpdateFunctionConfiguration",
			`{"FunctionName":"f","Environment":{"Variables":{"hunter2":"hunter2"}}}`},
		{"dynamodb", "PutItem", `{"TableName":"t","Item":{"hunter2":{"S":"hunter2"}}}`},
		{"s3", "PutObject", `{"Bucket":"b","Key":"hunter2","Metadata":{"hunter2":"hunter2"},"hunter2":1}`},
	} {
		for _, a := range call(t, tt[0], tt[1], tt[2]) {
			if strings.Contains(a.Shape, hidden) {
				t.Errorf("%s: %s", tt[1], a.Shape)
			}
		}
	}
	one := call(t, "s3", "GetObject", `{"Bucket":"a","Key":"1"}`)[0].Fingerprint
	other := call(t, "s3", "GetObject", `{"Key":"2","Bucket":"b"}`)[0].Fingerprint
	if one != other || one == call(t, "s3", "GetObject", `{"Bucket":"a","Key":"1","VersionId":"v"}`)[0].Fingerprint {
		t.Error("a fingerprint names the shape of a call, and nothing else")
	}
}

// Secrets never reach what is logged in the clear.
func TestReasonsHaveNoSecrets(t *testing.T) {
	for _, tt := range [][3]string{
		{"rds", "ModifyDBInstance", `{"DBInstanceIdentifier":"x","MasterUserPassword":"hunter2"}`},
		{"secretsmanager", "PutSecretValue", `{"SecretId":"x","SecretString":"hunter2"}`},
		{"lambda", "UpdateFunctionConfiguration", `{"FunctionName":"f","Environment":{"Variables":{"KEY":"hunter2"}}}`},
		{"iam", "PutUserPolicy", `{"UserName":"u","PolicyName":"p","PolicyDocument":"{hunter2"}`},
		{"cloudformation", "CreateStack", `{"StackName":"s","TemplateBody":"hunter2: ["}`},
	} {
		for _, a := range call(t, tt[0], tt[1], tt[2]) {
			if strings.Contains(fmt.Sprintf("%+v", a), "hunter2") {
				t.Errorf("%s: %+v", tt[1], a)
			}
		}
	}
}

// What any JSON makes of any operation: an answer, whole.
func FuzzClassify(f *testing.F) {
	f.Add("s3", "DeleteObjects", `{"Bucket":"b","Delete":{"Objects":[{"Key":"k"}]}}`)
	f.Add("iam", "PutUserPolicy", `{"UserName":"u","PolicyName":"p","PolicyDocument":"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}]}"}`)
	f.Add("cloudformation", "UpdateStack", `{"StackName":"s","TemplateBody":"Resources:\n  A:\n    Type: AWS::S3::Bucket\n    Properties: !Sub x\n"}`)
	f.Add("dynamodb", "BatchExecuteStatement", `{"Statements":[{"Statement":"DELETE FROM t WHERE id='1'"}]}`)
	f.Add("ec2", "AuthorizeSecurityGroupIngress",
		`{"GroupId":"sg-1","IpPermissions":[{"IpRanges":[{"CidrIp":"0.0.0.0/0"}]}]}`)
	f.Add("route53", "ChangeResourceRecordSets", `{"ChangeBatch":{"Changes":[{"Action":"UPSERT"}]}}`)
	f.Add("ssm", "SendCommand", `{"Targets":[{"Values":[]}],"":["x"]}`)
	f.Add("autoscaling", "UpdateAutoScalingGroup", `{"MinSize":1e999,"Tags":[[[[]]]]}`)
	f.Fuzz(func(t *testing.T, service, operation, parameters string) {
		var p map[string]any
		d := json.NewDecoder(strings.NewReader(parameters))
		d.UseNumber()
		if err := d.Decode(&p); err != nil {
			p = map[string]any{"PolicyDocument": parameters, "TemplateBody": parameters, "Statement": parameters,
				"Policy": parameters, "lifecyclePolicyText": parameters}
		}
		actions := aws.Classify(aws.Call{Service: service, Operation: operation, Parameters: p, Payload: -1})
		check(t, actions)
		if _, known := awswire.Find(service, operation); !known && !actions[0].Has(signalbox.TraitUnparsed) {
			t.Fatalf("an unknown operation: %+v", actions)
		}
	})
}
