package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws"
	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
)

// A standIn is an account that answers with what a test wrote down, in the
// service's own wire format: no server of these services can be had here. Every
// question must be one that the API's model accepts.
type standIn struct {
	t       *testing.T
	answers map[string]string // by "service:Operation", of several in turn separated by "\n--\n"
	asked   []string
}

func (s *standIn) Call(_ context.Context, service, operation, region string,
	params map[string]any) (awswire.Answer, error) {
	op, ok := awswire.Find(service, operation)
	if !ok {
		s.t.Errorf("asked for %s:%s, which is not in the table", service, operation)
		return awswire.Answer{}, errors.New("no such operation")
	}
	if _, err := awswire.Encode(op, params, region, "http://127.0.0.1:1"); err != nil {
		s.t.Errorf("%s:%s cannot be asked with %v: %v", service, operation, params, err)
	}
	name := op.Service.Name + ":" + operation
	s.asked = append(s.asked, name)
	body, ok := s.answers[name]
	if !ok {
		return awswire.Answer{}, &awswire.ServiceError{Status: 403, Code: "AccessDenied",
			Message: "the stand-in was told nothing of " + name}
	}
	if first, rest, more := strings.Cut(body, "\n--\n"); more {
		body, s.answers[name] = first, rest
	}
	status := 200
	if code, ok := strings.CutPrefix(body, "error "); ok {
		return awswire.Answer{}, &awswire.ServiceError{Status: 400, Code: code, Message: "it does not exist"}
	}
	return awswire.ReadAnswer(op, status, http.Header{}, []byte(body))
}

// Every prober is for an operation that there is.
func TestProbersAreForOperations(t *testing.T) {
	for name := range probers {
		service, operation, _ := strings.Cut(name, ":")
		found := slices.ContainsFunc(awswire.FindAll(service, operation), func(o *awswire.Operation) bool {
			return o.Service.SigningName == service
		})
		if !found {
			t.Errorf("prober for %s, which is not in the table", name)
		}
	}
}

func TestNoProber(t *testing.T) {
	shown := signalbox.Impact{Count: 3}
	impact, state, err := Probe(t.Context(), &standIn{t: t}, aws.Call{Service: "sqs", Operation: "PurgeQueue"}, shown)
	if !errors.Is(err, ErrNoProber) || impact.Count != 3 || state != nil {
		t.Errorf("impact %v, state %v, error %v", impact, state, err)
	}
}

// What the account does not tell is an error, and never reads as harmless.
func TestRefusedQuestions(t *testing.T) {
	for name := range probers {
		service, operation, _ := strings.Cut(name, ":")
		call := aws.Call{Service: service, Operation: operation, Region: "eu-west-1",
			Parameters: filled(t, service, operation)}
		s := &standIn{t: t}
		impact, state, err := Probe(t.Context(), s, call, signalbox.Impact{Count: signalbox.CountUnknown})
		if len(s.asked) == 0 {
			if err == nil {
				t.Errorf("%s: nothing was asked, and it was called measured", name)
			}
			continue
		}
		if err == nil && name != "iam:DeleteAccessKey" && name != "iam:UpdateAccessKey" {
			t.Errorf("%s: every question was refused, and it says %v, %v", name, impact, state)
		}
	}
}

// filled gives parameters for a call: the texts and lists that probers read.
func filled(t *testing.T, service, operation string) map[string]any {
	o, ok := awswire.Find(service, operation)
	if !ok {
		t.Fatalf("no %s:%s", service, operation)
	}
	p := map[string]any{}
	for _, name := range []string{
		"StackName", "ChangeSetName", "StackSetName", "Bucket", "Key", "TableName", "BackupArn",
		"DBInstanceIdentifier", "DBClusterIdentifier",
		"DBSnapshotIdentifier", "DBClusterSnapshotIdentifier", "InstanceId", "VolumeId", "SnapshotId", "ImageId",
		"VpcId", "SubnetId", "GroupId",
		"AssociationId", "RouteTableId", "RoleName", "UserName", "PolicyArn", "GroupName", "InstanceProfileName",
		"AccessKeyId", "KeyId", "AliasName",
		"HostedZoneId", "Id", "HealthCheckId", "FunctionName", "UUID", "service", "cluster", "name", "clusterName",
		"nodegroupName",
		"AutoScalingGroupName", "Name", "TrailName", "ConfigurationRecorderName", "DetectorId", "BackupVaultName",
		"RecoveryPointArn", "BackupPlanId",
		"AlarmName", "logGroupName", "TemplateBody",
	} {
		if o.Member(name) {
			p[name] = "x-1"
		}
	}
	for _, name := range []string{"InstanceIds", "AlarmNames", "FlowLogIds"} {
		if o.Member(name) {
			p[name] = []any{"x-1"}
		}
	}
	switch operation {
	case "DeleteObjects":
		p["Delete"] = map[string]any{"Objects": []any{map[string]any{"Key": "a"}}}
	case "ChangeResourceRecordSets":
		p["ChangeBatch"] = map[string]any{"Changes": []any{map[string]any{"Action": "DELETE",
			"ResourceRecordSet": map[string]any{"Name": "a", "Type": "A"}}}}
	}
	return p
}

// want checks that facts say something, and the state binds something.
func want(t *testing.T, impact signalbox.Impact, state signalbox.State, facts []string, bound ...string) {
	t.Helper()
	all := strings.Join(impact.Facts, "\n")
	for _, f := range facts {
		if !strings.Contains(all, f) {
			t.Errorf("facts do not say %q:\n%s", f, all)
		}
	}
	said := fmt.Sprint(state)
	for _, b := range bound {
		if !strings.Contains(said, b) {
			t.Errorf("state %s does not bind %q", said, b)
		}
	}
	if !impact.Measured {
		t.Error("it is not called measured")
	}
}
