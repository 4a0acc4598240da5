package aws

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/signalbox-dev/signalbox"
)

func templateRules(rules map[string]rule) {
	rules["cloudformation:CreateStack"] = createStack
	rules["cloudformation:UpdateStack"] = updateStack
	rules["cloudformation:CreateChangeSet"] = createChangeSet
	rules["cloudformation:ExecuteChangeSet"] = func(j *judge) {
		j.set(signalbox.Update, "carries a change set out, whose contents the request does not show")
		j.impact = signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeUnknown}
		j.nameStack()
	}
	rules["cloudformation:DeleteStack"] = func(j *judge) {
		j.trait(signalbox.TraitCascade)
		j.say("removes a stack with all that is in it")
		if strings.Contains(strings.ToUpper(j.p.text("DeletionMode")), "FORCE") {
			j.say("forced")
		}
		j.nameStack()
	}
	rules["cloudformation:DeleteChangeSet"] = func(j *judge) {
		j.set(signalbox.Update, "drops a plan that was not carried out")
		j.impact.Reversible = true
	}
	rules["cloudformation:SetStackPolicy"] = func(j *judge) {
		j.besides = nil
		j.stackPolicy(j.p.text("StackPolicyBody"))
		if j.p.has("StackPolicyURL") {
			j.weaken("takes a policy from a place that the gate does not see")
		}
		j.nameStack()
	}
	rules["cloudformation:UpdateTerminationProtection"] = func(j *judge) { j.nameStack() }
	rules["cloudformation:UpdateStackSet"] = func(j *judge) {
		j.template()
		j.trait(signalbox.TraitTop)
	}
	rules["cloudformation:CreateStackSet"] = func(j *judge) { j.template() }
}

// nameStack names the stack whole: what is done to it is done to all in it.
func (j *judge) nameStack() {
	name := j.p.text("StackName")
	if name == "" || everything(name) {
		return
	}
	if a, ok := readARN(name); ok {
		if f := strings.Split(a.resource, "/"); len(f) > 1 {
			name = f[1]
		}
	}
	j.resources = []signalbox.Resource{{Type: "stack", Name: clipID(name), Whole: true}}
}

func createStack(j *judge) {
	j.nameStack()
	j.template()
}

func updateStack(j *judge) {
	j.nameStack()
	// A resource that the template does not name any more is removed, and one
	// with another value in a fixed field is replaced. The request does not show it.
	j.impact = signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeUnknown}
	t, known := j.template()
	if known && t.real == 0 {
		j.set(signalbox.Delete, "drops every resource of the stack", signalbox.TraitUnscoped, signalbox.TraitCascade)
		j.impact.Scope = signalbox.ScopeAll
	}
	for _, m := range []string{"StackPolicyDuringUpdateBody", "StackPolicyDuringUpdateURL"} {
		if j.p.has(m) {
			j.weaken("passes over the stack's policy")
		}
	}
	if s := j.p.text("StackPolicyBody"); s != "" {
		j.stackPolicy(s)
	}
}

func createChangeSet(j *judge) {
	j.nameStack()
	j.set(signalbox.Create, "makes a plan, and changes nothing yet")
	j.impact.Reversible = true
	for _, c := range j.p.texts("Capabilities") {
		if c == "CAPABILITY_AUTO_EXPAND" {
			j.raise(signalbox.Execute, "runs macros that write the template")
		}
	}
	if body := j.p.text("TemplateBody"); body != "" {
		t, err := readTemplate(body)
		switch {
		case err != nil:
			j.trait(signalbox.TraitUnparsed)
			j.say("its template cannot be read")
		case t.macros:
			j.raise(signalbox.Execute, "runs macros that write the template")
		}
	}
}

// stackPolicy weighs what a stack's policy lets be done to its resources.
func (j *judge) stackPolicy(s string) {
	d, err := readDocument(s)
	if err != nil {
		j.trait(signalbox.TraitUnparsed)
		j.say("its policy cannot be read")
		return
	}
	denies := false
	for _, st := range d.Statements {
		denies = denies || st.Effect == "Deny"
	}
	if !denies {
		j.weaken("lets every resource of the stack be changed and removed")
	}
}

// A template is a template of CloudFormation's, as far as it matters here.
type template struct {
	real   int  // resources that are more than a placeholder
	macros bool // Transform, at the top or inside
	custom bool // resources that code of the user's makes
	iam    bool
	code   bool // functions, start-up scripts
	public bool
	admin  bool
}

// template judges the template of a call. It reports whether there was one that
// could be read.
func (j *judge) template() (template, bool) {
	for _, c := range j.p.texts("Capabilities") {
		switch c {
		case "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM":
			j.raise(signalbox.Permission, "may make roles and rights")
		case "CAPABILITY_AUTO_EXPAND":
			j.raise(signalbox.Execute, "runs macros that write the template", signalbox.TraitDeferred)
		}
	}
	body, link := j.p.text("TemplateBody"), j.p.text("TemplateURL")
	switch {
	case body != "" && link != "":
		j.trait(signalbox.TraitUnparsed)
		j.say("has two templates")
		return template{}, false
	case link != "":
		j.raise(signalbox.Execute, "takes its template from a place whose contents may change", signalbox.TraitDeferred)
		return template{}, false
	case body == "":
		return template{}, false
	}
	t, err := readTemplate(body)
	if err != nil {
		j.trait(signalbox.TraitUnparsed)
		j.say("its template cannot be read")
		return template{}, false
	}
	if t.macros || t.custom || t.code {
		j.raise(signalbox.Execute, "its template installs or runs code", signalbox.TraitDeferred)
	}
	if t.iam {
		j.raise(signalbox.Permission, "its template makes roles or rights")
	}
	if t.admin {
		j.trait(signalbox.TraitAdmin)
	}
	if t.public {
		j.raise(signalbox.Permission, "its template opens something to everybody", signalbox.TraitPublic)
	}
	return t, true
}

// placeholders are resources that are there so that a template has one.
var placeholders = map[string]bool{
	"AWS::CloudFormation::WaitConditionHandle": true, "AWS::CloudFormation::WaitCondition": true,
	"AWS::SSM::Parameter": true,
	"AWS::SNS::Topic":     true, "AWS::CDK::Metadata": true, "AWS::IAM::ManagedPolicy": true,
	"AWS::Logs::LogGroup": true,
}

func readTemplate(body string) (template, error) {
	var t template
	resources, macros, err := templateResources(body)
	if err != nil {
		return t, err
	}
	t.macros = macros
	only := len(resources) <= 1
	for _, name := range sortedKeys(resources) {
		r, _ := resources[name].(map[string]any)
		t.resource(params(r), only)
	}
	return t, nil
}

// templateResources gives what a template has under Resources, and whether
// macros write more of it.
func templateResources(body string) (resources map[string]any, macros bool, err error) {
	v, err := decode(body)
	if err != nil {
		if looksJSON(body) {
			return nil, false, err
		}
		if v, err = readYAML(body); err != nil {
			return nil, false, err
		}
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, false, errors.New("not an object")
	}
	_, macros = m["Transform"]
	resources, ok = m["Resources"].(map[string]any)
	if !ok {
		return nil, false, errors.New("no resources")
	}
	if _, inside := resources["Fn::Transform"]; inside {
		macros = true
	}
	return resources, macros, nil
}

func (t *template) resource(r params, only bool) {
	kind := r.text("Type")
	if !(only && placeholders[kind]) && kind != "AWS::CloudFormation::WaitConditionHandle" &&
		kind != "AWS::CDK::Metadata" {
		t.real++
	}
	switch {
	case strings.HasPrefix(kind, "Custom::"), kind == "AWS::CloudFormation::CustomResource",
		kind == "AWS::CloudFormation::Macro", kind == "AWS::CloudFormation::Stack":
		t.custom = true
	case strings.HasPrefix(kind, "AWS::IAM::"):
		t.iam = true
	case strings.HasPrefix(kind, "AWS::Lambda::Function"), strings.HasPrefix(kind, "AWS::Lambda::LayerVersion"),
		kind == "AWS::SSM::Document", kind == "AWS::SSM::Association", kind == "AWS::CodeBuild::Project",
		kind == "AWS::StepFunctions::StateMachine":
		t.code = true
	}
	t.values(r["Properties"], kind, 0)
	if list, ok := r.get("Properties", "ManagedPolicyArns").([]any); ok {
		for _, s := range texts(list) {
			t.admin = t.admin || adminPolicy.MatchString(s)
		}
	}
}

// values looks for policies, code and open doors in a resource's properties.
func (t *template) values(v any, kind string, depth int) {
	if depth > maxDepth {
		t.macros = true
		return
	}
	switch v := v.(type) {
	case map[string]any:
		p := params(v)
		if p.has("Statement") {
			for _, st := range documentOf(v).Statements {
				t.admin = t.admin || len(st.Principals) == 0 && st.admin()
				t.public = t.public || st.everybody() && !st.Conditions
			}
		}
		if _, ok := v["Fn::Transform"]; ok {
			t.macros = true
		}
		for _, k := range sortedKeys(v) {
			switch {
			case k == "UserData" || k == "ZipFile":
				t.code = true
			case on(v[k]) && opens.MatchString(k) && !strings.Contains(strings.ToLower(k), "publicip"):
				t.public = true
			case strings.Contains(k, "Cidr") && strings.Contains(kind, "SecurityGroup") &&
				!strings.Contains(kind, "Egress"):
				if w, ok := width(text(v[k])); ok && w >= widest && !webPort(p) {
					t.public = true
				}
			case publicGroups[kebabACL(text(v[k]))] && strings.Contains(k, "AccessControl"):
				t.public = true
			}
			if k != "SecurityGroupEgress" {
				t.values(v[k], kind, depth+1)
			}
		}
	case []any:
		for _, x := range v {
			t.values(x, kind, depth+1)
		}
	}
}

// kebabACL turns a template's "PublicReadWrite" into the API's "public-read-write".
func kebabACL(s string) string {
	if !strings.HasPrefix(s, "Public") && !strings.HasPrefix(s, "Authenticated") {
		return ""
	}
	return strings.ToLower(strings.Join(words(s), "-"))
}

// maxTemplate is the longest template that is read in YAML, which is the longest
// that AWS takes in a call. It bounds how deep the parser goes.
const maxTemplate = 51_200

// readYAML reads a template in YAML, short forms of functions as their
// arguments. What CloudFormation does not accept either is an error: aliases,
// several documents, a key twice.
func readYAML(s string) (any, error) {
	if len(s) > maxTemplate {
		return nil, fmt.Errorf("longer than %d bytes", maxTemplate)
	}
	f, err := parser.ParseBytes([]byte(s), 0)
	if err != nil {
		return nil, errors.New("not YAML")
	}
	if len(f.Docs) != 1 || f.Docs[0].Body == nil {
		return nil, errors.New("not one document")
	}
	return yamlValue(f.Docs[0].Body, 0)
}

func yamlValue(n ast.Node, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nests too deep")
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return yamlMap(n.Values, depth)
	case *ast.MappingValueNode:
		return yamlMap([]*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		l := []any{}
		for _, x := range n.Values {
			v, err := yamlValue(x, depth+1)
			if err != nil {
				return nil, err
			}
			l = append(l, v)
		}
		return l, nil
	case *ast.TagNode:
		if n.Start != nil && n.Start.Value == "!Transform" {
			return map[string]any{"Fn::Transform": true}, nil
		}
		return yamlValue(n.Value, depth+1)
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.BoolNode:
		return n.Value, nil
	case *ast.NullNode, nil:
		return nil, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return n.String(), nil
	}
	return nil, fmt.Errorf("a %s", n.Type())
}

func yamlMap(values []*ast.MappingValueNode, depth int) (any, error) {
	m := map[string]any{}
	for _, kv := range values {
		if kv.Key == nil || kv.Key.IsMergeKey() {
			return nil, errors.New("a key that is none")
		}
		name := kv.Key.String()
		if s, ok := kv.Key.(*ast.StringNode); ok {
			name = s.Value
		}
		if _, twice := m[name]; twice {
			return nil, errDuplicate
		}
		v, err := yamlValue(kv.Value, depth+1)
		if err != nil {
			return nil, err
		}
		m[name] = v
	}
	return m, nil
}
