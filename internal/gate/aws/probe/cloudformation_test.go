package probe

import (
	"fmt"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws"
)

const describeShop = `<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks><member>
<StackName>shop</StackName><StackId>arn:aws:cloudformation:eu-west-1:1:stack/shop/%s</StackId><StackStatus>CREATE_COMPLETE</StackStatus>
<EnableTerminationProtection>false</EnableTerminationProtection>
<Outputs><member><OutputKey>Bus</OutputKey><ExportName>shop-bus</ExportName></member></Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`

const importsShop = `<ListImportsResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><ListImportsResult><Imports><member>billing</member><member>mail</member></Imports></ListImportsResult></ListImportsResponse>`

const templateShop = `<GetTemplateResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><GetTemplateResult><TemplateBody>
Resources:
  Db:
    Type: AWS::RDS::DBInstance
    DeletionPolicy: Snapshot
  Files:
    Type: AWS::S3::Bucket
    DeletionPolicy: Retain
  Api:
    Type: AWS::Lambda::Function
</TemplateBody></GetTemplateResult></GetTemplateResponse>`

// resourcesShop gives a page of the stack's resources.
func resourcesShop(next string, names ...string) string {
	kinds := map[string]string{"Db": "AWS::RDS::DBInstance", "Files": "AWS::S3::Bucket", "Api": "AWS::Lambda::Function"}
	var b strings.Builder
	b.WriteString(`<ListStackResourcesResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><ListStackResourcesResult><StackResourceSummaries>`)
	for _, n := range names {
		fmt.Fprintf(&b, "<member><LogicalResourceId>%s</LogicalResourceId><PhysicalResourceId>%s-1</PhysicalResourceId><ResourceType>%s</ResourceType><ResourceStatus>CREATE_COMPLETE</ResourceStatus></member>", n, n, kinds[n])
	}
	b.WriteString("</StackResourceSummaries>")
	if next != "" {
		b.WriteString("<NextToken>" + next + "</NextToken>")
	}
	b.WriteString("</ListStackResourcesResult></ListStackResourcesResponse>")
	return b.String()
}

func shop(t *testing.T, id string) *standIn {
	return &standIn{t: t, answers: map[string]string{
		"cloudformation:DescribeStacks":     fmt.Sprintf(describeShop, id),
		"cloudformation:ListStackResources": resourcesShop("more", "Db", "Files") + "\n--\n" + resourcesShop("", "Api"),
		"cloudformation:ListImports":        importsShop,
		"cloudformation:GetTemplate":        templateShop,
	}}
}

func TestDeleteStack(t *testing.T) {
	call := aws.Call{Service: "cloudformation", Operation: "DeleteStack", Region: "eu-west-1",
		Parameters: map[string]any{"StackName": "shop"}}
	impact, state, err := Probe(t.Context(), shop(t, "a"), call,
		signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeAll})
	if err != nil {
		t.Fatal(err)
	}
	want(t, impact, state, []string{"has 3 resources",
		"2 resources would be deleted; kept: Files; a snapshot made of: Db.", "billing, mail",
		"Termination protection is off"}, "stack/shop/a", "3 with hash")
	if impact.Count != 2 || impact.Total != 3 || impact.Dependants != 2 || impact.Reversible ||
		impact.Scope != signalbox.ScopeAll {
		t.Errorf("impact %+v", impact)
	}
	// A stack of the same name that was made later is another one.
	_, later, err := Probe(t.Context(), shop(t, "b"), call, signalbox.Impact{})
	if err != nil {
		t.Fatal(err)
	}
	if state.Equal(later) {
		t.Error("two stacks of one name have the same state")
	}
	gone := &standIn{t: t, answers: map[string]string{"cloudformation:DescribeStacks": "error ValidationError"}}
	impact, state, err = Probe(t.Context(), gone, call, signalbox.Impact{})
	if err != nil {
		t.Fatal(err)
	}
	want(t, impact, state, []string{"There is no stack"}, "absent")
}

func TestUpdateStackLeavesOut(t *testing.T) {
	call := aws.Call{Service: "cloudformation", Operation: "UpdateStack", Region: "eu-west-1",
		Parameters: map[string]any{
			"StackName": "shop", "TemplateBody": `{"Resources":{"Api":{"Type":"AWS::Lambda::Function"},"Files":{"Type":"AWS::SQS::Queue"}}}`}}
	impact, state, err := Probe(t.Context(), shop(t, "a"), call,
		signalbox.Impact{Count: signalbox.CountUnknown, Reversible: true})
	if err != nil {
		t.Fatal(err)
	}
	want(t, impact, state, []string{"leaves out 1: Db (AWS::RDS::DBInstance)",
		"another type to Files (AWS::S3::Bucket to AWS::SQS::Queue)"}, "stack/shop/a")
	if impact.Count != 2 || impact.Reversible {
		t.Errorf("impact %+v", impact)
	}
}

func TestExecuteChangeSetIsJudgedByItsContents(t *testing.T) {
	describe := func(action, replacement string) *standIn {
		return &standIn{t: t, answers: map[string]string{"cloudformation:DescribeChangeSet": fmt.Sprintf(`<DescribeChangeSetResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeChangeSetResult>
<ChangeSetId>arn:cs</ChangeSetId><StackId>arn:shop</StackId><StackName>shop</StackName><Status>CREATE_COMPLETE</Status><ExecutionStatus>AVAILABLE</ExecutionStatus>
<Changes><member><Type>Resource</Type><ResourceChange><Action>%s</Action><LogicalResourceId>Db</LogicalResourceId><PhysicalResourceId>db-1</PhysicalResourceId>
<ResourceType>AWS::RDS::DBInstance</ResourceType><Replacement>%s</Replacement></ResourceChange></member></Changes></DescribeChangeSetResult></DescribeChangeSetResponse>`, action, replacement)}}
	}
	call := aws.Call{Service: "cloudformation", Operation: "ExecuteChangeSet",
		Parameters: map[string]any{"StackName": "shop", "ChangeSetName": "cs"}}
	mild, state, err := Probe(t.Context(), describe("Modify", "False"), call, signalbox.Impact{})
	if err != nil {
		t.Fatal(err)
	}
	want(t, mild, state, []string{"changes in place 1: Db"}, "arn:cs", "arn:shop")
	if !mild.Reversible || mild.Count != 1 {
		t.Errorf("impact %+v", mild)
	}
	grave, other, err := Probe(t.Context(), describe("Modify", "True"), call, signalbox.Impact{Reversible: true})
	if err != nil {
		t.Fatal(err)
	}
	want(t, grave, other, []string{"replaces 1: Db"})
	if grave.Reversible || state.Equal(other) {
		t.Errorf("impact %+v, and the state is the same: %t", grave, state.Equal(other))
	}
}
