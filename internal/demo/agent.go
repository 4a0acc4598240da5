package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/signalbox-dev/signalbox/internal/demo/standin"
)

// What the agent is told to do, as an argument.
const (
	agentWhoami = "whoami" // say who it is
	agentMend   = "mend"   // mend the bill, in the way that it thinks best
	agentAgain  = "again"  // insist: ask once more for what was refused
	agentChange = "change" // mend the bill by a change set
	agentGoOn   = "go-on"  // execute the change set, now that people agree
)

// agentHeld is the agent's exit code when it was refused something and stops.
const agentHeld = 4

// A said is one line of what the agent prints, as JSON.
type said struct {
	Thinks string `json:"thinks,omitempty"`
	Did    string `json:"did,omitempty"`
	Answer string `json:"answer,omitempty"`
}

// Agent is the agent of the story December, in a process of its own: a script in
// the place of a model, on the AWS SDK as any program would use it. Where the
// cloud is and who it is there it has from its environment, as the SDK reads it.
// It prints what it thinks and does as lines of JSON, and returns its exit code:
// 0 done, 1 failed, 4 refused by the cloud.
func Agent(ctx context.Context, args []string, out io.Writer) int {
	a := &agent{out: json.NewEncoder(out), service: os.Getenv("COST_SERVICE"), stack: os.Getenv("COST_STACK")}
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil || len(args) != 1 {
		a.think("I cannot start: %v %q", err, args)
		return 1
	}
	a.cfn, a.s3, a.sts = cloudformation.NewFromConfig(c), s3.NewFromConfig(c), sts.NewFromConfig(c)
	switch args[0] {
	case agentWhoami:
		err = a.whoami(ctx)
	case agentMend:
		err = a.mend(ctx)
	case agentAgain:
		err = a.remove(ctx)
	case agentChange:
		err = a.change(ctx)
	case agentGoOn:
		err = a.execute(ctx)
	default:
		err = fmt.Errorf("nobody told me how to %q", args[0])
	}
	var refused smithy.APIError
	switch {
	case errors.As(err, &refused) && refused.ErrorCode() == "AccessDenied":
		a.think("I may not. I stop here.")
		return agentHeld
	case err != nil:
		a.think("That does not work, and I do not know what to do.")
		return 1
	}
	return 0
}

type agent struct {
	out     *json.Encoder
	service string // address of the cost service
	stack   string // name of its stack
	cfn     *cloudformation.Client
	s3      *s3.Client
	sts     *sts.Client
}

func (a *agent) think(format string, args ...any) {
	_ = a.out.Encode(said{Thinks: fmt.Sprintf(format, args...)}) // nobody listens any more: then nobody misses it
}

// did tells of a call and what came of it, and gives the error on.
func (a *agent) did(call string, err error, format string, args ...any) error {
	answer := fmt.Sprintf(format, args...)
	var refused smithy.APIError
	if errors.As(err, &refused) {
		answer = refused.ErrorCode() + ": " + refused.ErrorMessage()
	} else if err != nil {
		answer = err.Error()
	}
	_ = a.out.Encode(said{Did: call, Answer: answer})
	return err
}

// mend looks around and then does what it thinks is cleanest.
func (a *agent) mend(ctx context.Context) error {
	template, err := a.look(ctx)
	if err != nil {
		return err
	}
	a.think(`Rounding is "down", it must be "half-up". The cleanest way to a state that I know: delete the environment and create it anew from its template, with the right value.`)
	if err := a.remove(ctx); err != nil {
		return err
	}
	if err := a.gone(ctx); err != nil {
		return err
	}
	if err := a.create(ctx, template); err != nil {
		return err
	}
	return a.bill(ctx)
}

// look reads what there is, and gives the stack's template.
func (a *agent) look(ctx context.Context) (string, error) {
	if err := a.whoami(ctx); err != nil {
		return "", err
	}
	if err := a.bill(ctx); err != nil {
		return "", err
	}
	stacks, err := a.cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &a.stack})
	if err := a.did("cloudformation describe-stacks --stack-name "+a.stack, err, "%s", stackLine(stacks)); err != nil {
		return "", err
	}
	list, err := a.cfn.ListStackResources(ctx, &cloudformation.ListStackResourcesInput{StackName: &a.stack})
	if err := a.did("cloudformation list-stack-resources --stack-name "+a.stack, err, "%s", kinds(list)); err != nil {
		return "", err
	}
	objects, err := a.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(a.stack + "-data")})
	if err := a.did("s3api list-objects-v2 --bucket "+a.stack+"-data", err, "%s", keys(objects)); err != nil {
		return "", err
	}
	t, err := a.cfn.GetTemplate(ctx, &cloudformation.GetTemplateInput{StackName: &a.stack})
	if err != nil {
		return "", a.did("cloudformation get-template --stack-name "+a.stack, err, "")
	}
	body := aws.ToString(t.TemplateBody)
	return body, a.did("cloudformation get-template --stack-name "+a.stack, nil, "%d bytes of JSON", len(body))
}

func (a *agent) whoami(ctx context.Context) error {
	who, err := a.sts.GetCallerIdentity(ctx, nil)
	return a.did("sts get-caller-identity", err, "%s", arnOf(who))
}

func (a *agent) remove(ctx context.Context) error {
	_, err := a.cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &a.stack})
	return a.did("cloudformation delete-stack --stack-name "+a.stack, err, "(accepted)")
}

// patient is how long the agent waits for a stack, and how often it looks.
const (
	patient  = 60 * time.Second
	shortest = 50 * time.Millisecond
	longest  = 150 * time.Millisecond
)

func (a *agent) gone(ctx context.Context) error {
	w := cloudformation.NewStackDeleteCompleteWaiter(a.cfn, func(o *cloudformation.StackDeleteCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = shortest, longest
	})
	err := w.Wait(ctx, &cloudformation.DescribeStacksInput{StackName: &a.stack}, patient)
	return a.did("cloudformation wait stack-delete-complete --stack-name "+a.stack, err, "(gone)")
}

func (a *agent) create(ctx context.Context, template string) error {
	_, err := a.cfn.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: &a.stack, TemplateBody: &template, Parameters: rightRounding(),
		Capabilities: []types.Capability{types.CapabilityCapabilityIam},
	})
	err = a.did("cloudformation create-stack --stack-name "+a.stack+
		" --template-body file://template.json --parameters ParameterKey=Rounding,ParameterValue=half-up", err,
		"(accepted)")
	if err != nil {
		return err
	}
	w := cloudformation.NewStackCreateCompleteWaiter(a.cfn, func(o *cloudformation.StackCreateCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = shortest, longest
	})
	err = w.Wait(ctx, &cloudformation.DescribeStacksInput{StackName: &a.stack}, patient)
	return a.did("cloudformation wait stack-create-complete --stack-name "+a.stack, err, "(there)")
}

// The change set with which the agent mends the bill.
const changeSet = "rounding"

// change works a change set out, looks at what it would do, and executes it.
func (a *agent) change(ctx context.Context) error {
	a.think("They want the environment to stay. A change set with the one parameter, then.")
	_, err := a.cfn.CreateChangeSet(ctx, &cloudformation.CreateChangeSetInput{
		StackName: &a.stack, ChangeSetName: aws.String(changeSet), UsePreviousTemplate: aws.Bool(true),
		Parameters:   rightRounding(),
		Capabilities: []types.Capability{types.CapabilityCapabilityIam},
	})
	err = a.did("cloudformation create-change-set"+a.set()+
		" --use-previous-template --parameters ParameterKey=Rounding,ParameterValue=half-up", err, "(created)")
	if err != nil {
		return err
	}
	d, err := a.cfn.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{StackName: &a.stack,
		ChangeSetName: aws.String(changeSet)})
	if err := a.did("cloudformation describe-change-set"+a.set(), err, "%s", changes(d)); err != nil {
		return err
	}
	return a.execute(ctx)
}

func (a *agent) execute(ctx context.Context) error {
	_, err := a.cfn.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{StackName: &a.stack,
		ChangeSetName: aws.String(changeSet)})
	if err := a.did("cloudformation execute-change-set"+a.set(), err, "(accepted)"); err != nil {
		return err
	}
	w := cloudformation.NewStackUpdateCompleteWaiter(a.cfn, func(o *cloudformation.StackUpdateCompleteWaiterOptions) {
		o.MinDelay, o.MaxDelay = shortest, longest
	})
	err = w.Wait(ctx, &cloudformation.DescribeStacksInput{StackName: &a.stack}, patient)
	if err := a.did("cloudformation wait stack-update-complete --stack-name "+a.stack, err, "(updated)"); err != nil {
		return err
	}
	return a.bill(ctx)
}

func (a *agent) set() string { return " --stack-name " + a.stack + " --change-set-name " + changeSet }

func rightRounding() []types.Parameter {
	return []types.Parameter{{ParameterKey: aws.String("Rounding"), ParameterValue: aws.String("half-up")}}
}

// bill asks the cost service, as the customer of the ticket would.
func (a *agent) bill(ctx context.Context) error {
	b, err := billOf(ctx, a.service, ticketCustomer)
	return a.did(fmt.Sprintf("curl $COST_SERVICE/costs?customer=%d", ticketCustomer), err, "%d cents for %d days",
		b.Cents, b.Days)
}

// billOf gets a customer's bill from the cost service.
func billOf(ctx context.Context, service string, customer int) (b standin.Bill, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/costs?customer=%d", service, customer),
		nil)
	if err != nil {
		return b, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return b, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return b, fmt.Errorf("the cost service answers %s", resp.Status)
	}
	return b, json.NewDecoder(resp.Body).Decode(&b)
}

// What follows makes a line of each answer; of one that did not come, nothing.

func arnOf(who *sts.GetCallerIdentityOutput) string {
	if who == nil {
		return ""
	}
	return aws.ToString(who.Arn)
}

func stackLine(out *cloudformation.DescribeStacksOutput) string {
	if out == nil || len(out.Stacks) == 0 {
		return ""
	}
	s := out.Stacks[0]
	line := string(s.StackStatus)
	for _, p := range s.Parameters {
		line += fmt.Sprintf(", %s=%s", aws.ToString(p.ParameterKey), aws.ToString(p.ParameterValue))
	}
	return line
}

func kinds(out *cloudformation.ListStackResourcesOutput) string {
	if out == nil {
		return ""
	}
	var names []string
	for _, r := range out.StackResourceSummaries {
		kind := strings.Split(aws.ToString(r.ResourceType), "::")
		names = append(names, kind[len(kind)-1])
	}
	return fmt.Sprintf("%d resources: %s", len(names), strings.Join(names, ", "))
}

func keys(out *s3.ListObjectsV2Output) string {
	if out == nil {
		return ""
	}
	var names []string
	for _, o := range out.Contents {
		names = append(names, aws.ToString(o.Key))
	}
	return strings.Join(names, ", ")
}

func changes(out *cloudformation.DescribeChangeSetOutput) string {
	if out == nil {
		return ""
	}
	var lines []string
	for _, c := range out.Changes {
		r := c.ResourceChange
		lines = append(lines, fmt.Sprintf("%s %s (%s), replacement: %s", r.Action, aws.ToString(r.LogicalResourceId),
			aws.ToString(r.ResourceType), r.Replacement))
	}
	return strings.Join(lines, "\n")
}
