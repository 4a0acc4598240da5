package aws

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
)

// A Call is one call of an operation of AWS's, as it was decoded or described.
type Call struct {
	// Service is the endpoint prefix ("monitoring"), or the signing name.
	Service   string
	Operation string // "DeleteStack"
	Region    string // "eu-central-1"; empty if not known
	Account   string // of the target, twelve digits; empty if not known

	// Parameters are the members in the API's names, with the types that
	// awswire.Decode gives: string, bool, json.Number, []any, map[string]any. It
	// keeps under "" the paths that the model does not know.
	Parameters map[string]any

	// Payload is the length in bytes of a streaming payload, which is not among
	// the parameters; -1 when it is not known.
	Payload int64
}

// Classify says what a call does. There is always at least one action: the
// first names the call, others are what it does besides. A call of an operation
// that the table does not have is [signalbox.Worst].
func Classify(c Call) []signalbox.Action {
	op, unknown, found := find(c)
	if !found {
		w := signalbox.Worst(clip(c.Service)+":"+clip(c.Operation),
			"the table of AWS's operations does not have it, so the worst is assumed; it may be newer than the table, which docs/gates/aws.md says how to make anew")
		return []signalbox.Action{w}
	}
	j := newJudge(c, op)
	if len(unknown) > 0 && j.verb != signalbox.Read {
		j.trait(signalbox.TraitUnparsed)
		j.say("the model does not know its member " + clip(unknown[0]) + ", which may be newer than the table")
	}
	actions := j.judge()
	for n := range actions {
		if a := &actions[n]; a.Verb == signalbox.Permission && a.Has(signalbox.TraitCredentials) {
			a.Traits = append(slices.Clip(a.Traits), signalbox.TraitPastGate)
		}
	}
	return actions
}

// clip keeps a caller's word short enough to be shown.
func clip(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}

// find gives the operation that a call means, and the members that it does not
// have. Generations of a service share names: the members tell them apart.
func find(c Call) (op *awswire.Operation, unknown []string, found bool) {
	for _, o := range awswire.FindAll(c.Service, c.Operation) {
		u := o.Unknown(c.Parameters)
		if op == nil || len(u) < len(unknown) {
			op, unknown = o, u
		}
		if len(u) == 0 {
			break
		}
	}
	unknown = append(unknown, texts(c.Parameters[""])...)
	if paths, ok := c.Parameters[""].([]string); ok {
		unknown = append(unknown, paths...)
	}
	return op, unknown, op != nil
}

// iamNames are the services whose signing name is not what IAM calls them.
var iamNames = map[string]string{
	"monitoring":           "cloudwatch",
	"tagging":              "tag",
	"IoTSecuredTunneling":  "iot",
	"iotdata":              "iot",
	"iot-jobs-data":        "iotjobsdata",
	"cloudcontrolapi":      "cloudformation",
	"awsssoportal":         "sso",
	"mturk-requester":      "mechanicalturk",
	"ioteventsdata":        "iotevents",
	"elastic-inference":    "elastic-inference",
	"opensearchserverless": "aoss",
}

func iamName(s *awswire.Service) string {
	if name, ok := iamNames[s.SigningName]; ok {
		return name
	}
	return s.SigningName
}

// A judge is one call under way.
type judge struct {
	call    Call
	op      *awswire.Operation
	service string // as IAM has it
	name    string
	p       params

	verb      signalbox.Verb
	traits    []signalbox.Trait
	reason    string
	besides   []besides
	also      []signalbox.Action // with resources of their own
	resources []signalbox.Resource
	impact    signalbox.Impact
	noun      []string // of the operation's name: DB, Instance
}

func newJudge(c Call, op *awswire.Operation) *judge {
	j := &judge{call: c, op: op, service: iamName(op.Service), name: op.Name, p: c.Parameters}
	class := classOf(j.service, j.name)
	j.verb, j.reason = class.verb, class.reason
	j.traits, j.besides = slices.Clone(class.traits), slices.Clone(class.besides)
	j.noun = noun(j.name)
	return j
}

// trait adds traits.
func (j *judge) trait(traits ...signalbox.Trait) {
	for _, t := range traits {
		if !slices.Contains(j.traits, t) {
			j.traits = append(j.traits, t)
		}
	}
}

func (j *judge) has(t signalbox.Trait) bool { return slices.Contains(j.traits, t) }

func (j *judge) drop(traits ...signalbox.Trait) {
	j.traits = slices.DeleteFunc(j.traits, func(t signalbox.Trait) bool { return slices.Contains(traits, t) })
}

// say puts a reason before those that were given so far.
func (j *judge) say(reason string) {
	switch {
	case j.reason == "" || strings.Contains(j.reason, reason):
		j.reason = strings.TrimSpace(j.reason)
		if j.reason == "" {
			j.reason = reason
		}
	case len(j.reason) < 300:
		j.reason = reason + "; " + j.reason
	}
}

// raise says that the call does something graver than its name tells.
func (j *judge) raise(v signalbox.Verb, reason string, traits ...signalbox.Trait) {
	said := 0
	for _, b := range j.besides {
		if b.verb == v {
			said++
			if b.reason == reason || said == maxReasons {
				j.trait(traits...)
				return
			}
		}
	}
	j.besides = append(j.besides, besides{v, traits, reason})
}

// maxReasons is how many reasons are given for one verb.
const maxReasons = 8

// set gives the call another verb: its parameters tell what its name does not.
func (j *judge) set(v signalbox.Verb, reason string, traits ...signalbox.Trait) {
	j.verb, j.reason = v, reason
	j.trait(traits...)
}

func (j *judge) weaken(reason string, traits ...signalbox.Trait) {
	j.raise(signalbox.Safeguard, reason, traits...)
}

// interrupt says that something stops serving.
func (j *judge) interrupt(reason string) {
	j.trait(signalbox.TraitInterrupts)
	j.say(reason)
}

// judge looks at the parameters and gives the actions.
func (j *judge) judge() []signalbox.Action {
	if dry, ok := j.p["DryRun"].(bool); ok && dry && j.op.DryRun() {
		j.set(signalbox.Read, "a dry run, which changes nothing")
		j.traits, j.besides = nil, nil
	}
	j.identify()
	if j.verb == signalbox.Read {
		j.impact = signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeSome, Reversible: true}
		if rule := readRules[j.service+":"+j.name]; rule != nil {
			rule(j)
		}
		return j.actions()
	}
	j.measure()
	j.members()
	for _, key := range []string{j.service + ":*", j.service + ":" + j.name} {
		if rule := rules[key]; rule != nil {
			rule(j)
		}
	}
	j.passRole()
	return j.actions()
}

// actions puts together what was found: one action for each verb, the gravest
// first, all on the same resources. An update is not worth naming beside
// something graver.
func (j *judge) actions() []signalbox.Action {
	type part struct {
		verb    signalbox.Verb
		reasons []string
	}
	parts := []part{{j.verb, []string{j.reason}}}
	for _, b := range j.besides {
		j.trait(b.traits...)
		i := slices.IndexFunc(parts, func(p part) bool { return p.verb == b.verb })
		switch {
		case b.verb == signalbox.Read && j.verb == signalbox.Read:
			parts[0].reasons = append([]string{b.reason}, parts[0].reasons...)
		case b.verb == signalbox.Read:
			// Only its traits count: the call is more than a read.
		case i >= 0 && !slices.Contains(parts[i].reasons, b.reason):
			parts[i].reasons = append([]string{b.reason}, parts[i].reasons...)
		case i < 0:
			parts = append(parts, part{b.verb, []string{b.reason}})
		}
	}
	graver := slices.ContainsFunc(parts, func(p part) bool { return p.verb.Gravity() > signalbox.Update.Gravity() })
	if len(parts) > 1 && graver {
		parts = slices.DeleteFunc(parts, func(p part) bool { return p.verb == signalbox.Update })
	}
	slices.SortStableFunc(parts, func(a, b part) int { return b.verb.Gravity() - a.verb.Gravity() })
	for i := range j.resources {
		if j.resources[i].Name == "" {
			j.resources[i].Name = "*"
		}
	}
	shape := j.shape()
	var out []signalbox.Action
	for _, p := range parts {
		a := signalbox.Action{
			Verb: p.verb, Native: j.service + ":" + j.name,
			Resources: slices.Clone(j.resources), Impact: j.impact, Traits: slices.Clone(j.traits),
			Shape: shape, Fingerprint: fingerprint(shape), Reason: strings.Join(p.reasons, "; "),
		}
		if p.verb == signalbox.Delete || p.verb == signalbox.Replace || p.verb == signalbox.Execute {
			a.Impact.Reversible = false
		}
		out = append(out, a)
	}
	for _, a := range j.also {
		a.Shape, a.Fingerprint = shape, fingerprint(shape)
		out = append(out, a)
	}
	return out
}

// shape is the call without its values: the names of its members, and of theirs.
// The keys of a map are the caller's own words and count as values.
func (j *judge) shape() string {
	seen, paths := map[string]bool{}, map[string]bool{}
	walk(map[string]any(j.p), nil, func(path []string, _ any) {
		if at := strings.Join(path, "\x00"); paths[at] || len(paths) > 1000 {
			return
		} else {
			paths[at] = true
		}
		shown := make([]string, 0, len(path))
		for i, name := range path {
			at := append(slices.Clone(path[:i]), "\x00")
			if i > 0 && j.op.Member(at...) {
				name = "?"
			} else if !j.op.Member(path[:i+1]...) {
				name = "!" // unknown to the model: perhaps not a name at all
			}
			shown = append(shown, name)
		}
		if len(seen) < 200 {
			seen[strings.Join(shown, ".")] = true
		}
	})
	return j.service + ":" + j.name + "(" + strings.Join(sortedKeys(seen), ", ") + ")"
}

// fingerprint names a shape.
func fingerprint(shape string) string {
	sum := sha256.Sum256([]byte(shape))
	return hex.EncodeToString(sum[:8])
}
