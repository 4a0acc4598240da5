package aws

import (
	"regexp"
	"strings"

	"github.com/signalbox-dev/signalbox"
)

// Code need not come with a call. An image, a version, a branch or a function is
// named, and runs afterwards: who says what is run, runs it.

func codeRules(rules map[string]rule) {
	rules["autoscaling:PutScalingPolicy"] = scalingPolicy
	rules["application-autoscaling:PutScalingPolicy"] = scalingPolicy
	rules["elasticmapreduce:PutAutoScalingPolicy"] = scalingPolicy
	rules["autoscaling:CompleteLifecycleAction"] = func(j *judge) {
		if !strings.EqualFold(j.p.text("LifecycleActionResult"), "CONTINUE") {
			j.set(signalbox.Delete, "has the group give the instance up")
			j.impact.Reversible = false
		}
	}
	rules["cognito-idp:CreateUserPool"] = poolTriggers
	rules["cognito-idp:UpdateUserPool"] = poolTriggers
}

// poolTriggers weighs the functions that a user pool runs.
func poolTriggers(j *judge) {
	if len(j.p.sub("LambdaConfig")) > 0 {
		j.raise(signalbox.Execute, "has functions run when somebody logs in", signalbox.TraitDeferred)
	}
}

// runnable are the parts of ARNs that name what can be run, by service.
var runnable = map[string]string{
	"lambda": "", "states": "", "codebuild": "", "batch": "", "automate": "", "swf": "", "codepipeline": "",
	"ssm":           "document automation-definition opsitem-group",
	"ecs":           "task-definition",
	"imagebuilder":  "component image",
	"bedrock":       "agent agent-alias flow",
	"bedrock-agent": "",
}

// codeMember are members that name code which is kept elsewhere.
var codeMember = regexp.MustCompile(`(?i)^(lambda(function)?(arn|config|uri)|(authorizer)?function(arn|uri)|actiongroupexecutor|rotationlambdaarn|authorizeruri|codehookspecification|taskdefinitionarn)$`)

// named reports whether a member names something that will run, and that is not
// the call's own matter. What is only watched, labelled or ended does not run.
func (j *judge) named(path []string, s string) bool {
	switch {
	case j.verb == signalbox.Delete || j.verb == signalbox.Read || j.service == "iam" || j.service == "kms" ||
		tagging(j.name):
		return false
	case codeMember.MatchString(path[len(path)-1]) && strings.HasPrefix(s, "arn:"):
		return true
	case len(path) == 1 && strings.EqualFold(path[0], "ResourceArn"):
		return false // what a setting is about
	}
	a, ok := readARN(s)
	if !ok || a.service == j.service {
		return false
	}
	kinds, runs := runnable[a.service]
	if !runs || kinds == "" {
		return runs
	}
	kind, _, _ := strings.Cut(strings.ReplaceAll(a.resource, ":", "/"), "/")
	for _, k := range strings.Fields(kinds) {
		if k == kind {
			return true
		}
	}
	return false
}

// scalingPolicy weighs what a policy does by itself: a target is kept from both
// sides, steps down and fixed sizes take away. The worst of all steps counts.
func scalingPolicy(j *judge) {
	steps := []params{j.p, j.p.sub("StepScalingPolicyConfiguration")}
	for _, s := range steps[:2] {
		steps = append(steps, s.structs("StepAdjustments")...)
	}
	exact := strings.EqualFold(j.p.text("AdjustmentType"), "ExactCapacity") ||
		strings.EqualFold(j.p.text("StepScalingPolicyConfiguration", "AdjustmentType"), "ExactCapacity")
	for _, s := range steps {
		n, given := s.number("ScalingAdjustment")
		switch {
		case given && exact:
			j.interrupt("sets a size by itself, whatever is needed")
		case given && n < 0:
			j.interrupt("takes away by itself")
		}
	}
	for _, r := range j.p.structs("AutoScalingPolicy", "Rules") {
		c := r.sub("Action", "SimpleScalingPolicyConfiguration")
		if n, _ := c.number("ScalingAdjustment"); n < 0 ||
			strings.EqualFold(c.text("AdjustmentType"), "EXACT_CAPACITY") {
			j.interrupt("takes away by itself")
		}
	}
}
