package standin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A template is what of CloudFormation's JSON templates is understood here.
type template struct {
	Description string
	Parameters  map[string]struct {
		Type, Description string
		Default           *string
		AllowedValues     []string
	}
	Resources map[string]declaration
	Outputs   map[string]struct{ Value any }
}

// A declaration is one resource as a template writes it.
type declaration struct {
	Type                                string
	Properties                          map[string]any
	DependsOn                           any
	DeletionPolicy, UpdateReplacePolicy string
}

// A resource is one resource of a stack.
type resource struct {
	logical  string
	physical string
	kind     string // AWS::DynamoDB::Table
	declaration
	properties map[string]any // with every reference resolved
	needs      []string       // logical names, in order
	items      []Usage        // of a table

	// What is being done with it, in simulated time, and what it is after.
	start, end    time.Duration
	during, after string // statuses; before start it is what it was: before
	before        string
	reason        string
}

// status gives the resource's status at a time, or nothing while there is no
// such resource yet.
func (r *resource) status(now time.Duration) string {
	switch {
	case now < r.start:
		return r.before
	case now < r.end:
		return r.during
	}
	return r.after
}

func parseTemplate(body string) (template, error) {
	var t template
	d := json.NewDecoder(bytes.NewReader([]byte(body)))
	d.UseNumber()
	if err := d.Decode(&t); err != nil {
		return t, invalid("Template format error: the stand-in cloud reads JSON: %v", err)
	}
	if len(t.Resources) == 0 {
		return t, invalid("Template format error: At least one Resources member must be defined.")
	}
	for name, r := range t.Resources {
		if !strings.HasPrefix(r.Type, "AWS::") {
			return t, invalid("Template format error: Resource %s has type %q", name, r.Type)
		}
	}
	return t, nil
}

// arguments gives each parameter its value: given, kept from before where the
// caller says so, or the default.
func (t template) arguments(given map[string]string) (map[string]string, error) {
	values := map[string]string{}
	for name, p := range t.Parameters {
		v, ok := given[name]
		switch {
		case !ok && p.Default == nil:
			return nil, invalid("Parameters: [%s] must have values", name)
		case !ok:
			v = *p.Default
		}
		if len(p.AllowedValues) > 0 && !slices.Contains(p.AllowedValues, v) {
			return nil, invalid("Parameter '%s' must be one of AllowedValues", name)
		}
		values[name] = v
	}
	for name := range given {
		if _, ok := t.Parameters[name]; !ok {
			return nil, invalid("Parameters: [%s] do not exist in the template", name)
		}
	}
	return values, nil
}

// resolve gives the resources of a template, each after those that it needs.
func (t template) resolve(stackName string, arguments map[string]string) ([]*resource, error) {
	pending := map[string]*resource{}
	for name, d := range t.Resources {
		r := &resource{logical: name, kind: d.Type, declaration: d}
		s := &scope{t: t, stack: stackName, arguments: arguments, own: name}
		v, err := s.value(d.Properties)
		if err != nil {
			return nil, err
		}
		r.properties, _ = v.(map[string]any)
		if r.physical, err = s.physical(name); err != nil {
			return nil, err
		}
		switch on := d.DependsOn.(type) {
		case string:
			s.needs = append(s.needs, on)
		case []any:
			for _, o := range on {
				s.needs = append(s.needs, fmt.Sprint(o))
			}
		}
		slices.Sort(s.needs)
		r.needs = slices.Compact(s.needs)
		for _, n := range r.needs {
			if _, ok := t.Resources[n]; !ok {
				return nil, invalid("Template format error: Unresolved resource dependencies [%s] in the Resources block of the template", n)
			}
		}
		pending[name] = r
	}
	var order []*resource
	for len(pending) > 0 {
		before := len(order)
		for _, name := range slices.Sorted(maps.Keys(pending)) {
			if !slices.ContainsFunc(pending[name].needs, func(n string) bool { return pending[n] != nil }) {
				order = append(order, pending[name])
			}
		}
		if len(order) == before {
			return nil, invalid("Circular dependency between resources: %v", slices.Sorted(maps.Keys(pending)))
		}
		for _, r := range order[before:] {
			delete(pending, r.logical)
		}
	}
	return order, nil
}

// A scope resolves references within one resource.
type scope struct {
	t         template
	stack     string
	arguments map[string]string
	own       string
	needs     []string
}

func (s *scope) value(v any) (any, error) {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = s.value(v[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		if len(v) == 1 {
			for name, argument := range v {
				if name == "Ref" || strings.HasPrefix(name, "Fn::") {
					return s.call(name, argument)
				}
			}
		}
		out := make(map[string]any, len(v))
		for name := range v {
			var err error
			if out[name], err = s.value(v[name]); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

var substituted = regexp.MustCompile(`\$\{[^}]+\}`)

// call works out the functions of templates that are known here.
func (s *scope) call(function string, argument any) (any, error) {
	switch a := argument.(type) {
	case string:
		switch function {
		case "Ref":
			return s.ref(a)
		case "Fn::Sub":
			var err error
			text := substituted.ReplaceAllStringFunc(a, func(m string) string {
				v, rerr := s.ref(strings.Trim(m, "${}"))
				if rerr != nil {
					err = rerr
				}
				return v
			})
			return text, err
		}
	case []any:
		if function == "Fn::GetAtt" && len(a) == 2 {
			return s.ref(fmt.Sprint(a[0], ".", a[1]))
		}
	}
	return nil, invalid("Template error: the stand-in cloud has no %s of this form", function)
}

// ref gives what a name stands for: of a resource's attribute, a text that is
// unique to it.
func (s *scope) ref(name string) (string, error) {
	switch name {
	case "AWS::Region":
		return Region, nil
	case "AWS::AccountId":
		return Account, nil
	case "AWS::StackName":
		return s.stack, nil
	case "AWS::Partition":
		return partition, nil
	}
	if v, ok := s.arguments[name]; ok {
		return v, nil
	}
	name, attribute, _ := strings.Cut(name, ".")
	if _, ok := s.t.Resources[name]; !ok {
		return "", invalid("Template format error: Unresolved resource dependencies [%s] in the Resources block of the template", name)
	}
	if s.own != name {
		s.needs = append(s.needs, name)
	}
	id, err := s.physical(name)
	if attribute != "" {
		id += "." + attribute
	}
	return id, err
}

// namedBy says which property names a resource of a type; others get a name of
// the stack's and their own. It is also what cannot change without replacing
// the resource.
var namedBy = map[string]string{
	"AWS::DynamoDB::Table": "TableName", "AWS::S3::Bucket": "BucketName", "AWS::SQS::Queue": "QueueName",
	"AWS::ECS::Service": "ServiceName", "AWS::ECS::Cluster": "ClusterName", "AWS::Logs::LogGroup": "LogGroupName",
	"AWS::CloudWatch::Alarm": "AlarmName", "AWS::IAM::Role": "RoleName", "AWS::Route53::RecordSet": "Name",
}

// physical gives the name of a resource outside of its stack.
func (s *scope) physical(logical string) (string, error) {
	d := s.t.Resources[logical]
	// A scope of its own: what the name refers to, the resource needs anyway.
	own := &scope{t: s.t, stack: s.stack, arguments: s.arguments, own: logical}
	name, err := own.value(d.Properties[namedBy[d.Type]])
	if name, ok := name.(string); ok && name != "" {
		return name, err
	}
	return strings.ToLower(s.stack + "-" + logical), err
}

// The time that resources take. They are stand-ins, chosen so that restoring
// a table takes most of a bad day.
func timeToCreate(r *resource) time.Duration {
	switch r.kind {
	case "AWS::DynamoDB::Table":
		if r.properties["ImportSourceSpecification"] != nil {
			return 11*time.Hour + 45*time.Minute
		}
		return 10 * time.Minute
	case "AWS::ECS::Service":
		return 40 * time.Minute
	case "AWS::ElasticLoadBalancingV2::LoadBalancer":
		return 12 * time.Minute
	case "AWS::Route53::RecordSet":
		return 5 * time.Minute
	}
	return 2 * time.Minute
}

func timeToDelete(r *resource) time.Duration {
	switch r.kind {
	case "AWS::DynamoDB::Table", "AWS::ElasticLoadBalancingV2::LoadBalancer":
		return 5 * time.Minute
	case "AWS::ECS::Service":
		return 10 * time.Minute
	}
	return time.Minute
}
