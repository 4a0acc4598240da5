package probe

import (
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws"
)

var cloudFormation = map[string]prober{
	"cloudformation:DeleteStack":                 stackGoes,
	"cloudformation:UpdateStack":                 stackChanges,
	"cloudformation:CreateChangeSet":             stackChanges,
	"cloudformation:ExecuteChangeSet":            changeSet,
	"cloudformation:UpdateTerminationProtection": stackAlone,
	"cloudformation:SetStackPolicy":              stackAlone,
	"cloudformation:CancelUpdateStack":           stackAlone,
	"cloudformation:RollbackStack":               stackAlone,
	"cloudformation:DeleteStackInstances":        stackInstances,
	"cloudformation:DeleteStackSet":              stackInstances,
}

// A stack is what a template has become.
type stack struct {
	id        string
	template  map[string]aws.StackResource // nil where it could not be read
	resources []resource
	whole     bool // all resources are listed
	nested    int  // stacks within it
}

type resource struct{ logical, physical, kind string }

// maxNesting bounds how deep stacks within stacks are followed.
const maxNesting = 5

// readStack reads a stack and tells of it. It gives nil when there is none.
func readStack(l *look, name string) (*stack, error) {
	a, err := l.ask("cloudformation", "DescribeStacks", map[string]any{"StackName": name})
	if absent(err) || err == nil && len(a.List("Stacks")) == 0 {
		return nil, l.gone("stack", name)
	}
	if err != nil {
		return nil, err
	}
	d := a.List("Stacks")[0]
	s := &stack{id: d.Text("StackId")}
	if err := s.list(l, name, 0); err != nil {
		return nil, err
	}
	var kinds, ids []string
	for _, r := range s.resources {
		kinds = append(kinds, r.kind)
		ids = append(ids, r.kind+" "+r.logical+" "+r.physical)
	}
	l.fact("Stack %s, %s, has %s: %s.", d.Text("StackName"), d.Text("StackStatus"),
		plural(len(s.resources), "resource"), firstOf(frequencies(kinds), "none"))
	if s.nested > 0 {
		l.fact("%s within it are counted.", plural(s.nested, "stack"))
	}
	l.fact("Termination protection is %s.", onOff(d.Bool("EnableTerminationProtection")))
	l.bind("stack", s.id)
	l.bind("termination protection", onOff(d.Bool("EnableTerminationProtection")))
	l.bindSet("resources", ids)
	if t, err := l.ask("cloudformation", "GetTemplate", map[string]any{"StackName": name}); err == nil {
		s.template, _ = aws.StackResources(t.Text("TemplateBody")) // nil is told of where it matters
	}
	used, err := importers(l, d)
	switch {
	case err != nil:
		l.fact("Whether other stacks use its exports could not be told.")
	case len(used) > 0:
		l.fact("Other stacks use its exports: %s.", some(used))
	}
	l.impact.Dependants = int64(len(used))
	l.impact.Total = int64(len(s.resources))
	l.count(int64(len(s.resources)), s.whole)
	return s, nil
}

// list lists the resources of a stack and of those within it.
func (s *stack) list(l *look, name string, depth int) error {
	var inner []string
	whole, err := l.each(list{service: "cloudformation", operation: "ListStackResources",
		params: map[string]any{"StackName": name},
		items:  []string{"StackResourceSummaries"}, token: "NextToken", next: "NextToken"}, func(r answer) {
		if r.Text("ResourceStatus") == "DELETE_COMPLETE" {
			return
		}
		s.resources = append(s.resources, resource{logical: r.Text("LogicalResourceId"),
			physical: r.Text("PhysicalResourceId"), kind: r.Text("ResourceType")})
		if r.Text("ResourceType") == "AWS::CloudFormation::Stack" && r.Text("PhysicalResourceId") != "" {
			inner = append(inner, r.Text("PhysicalResourceId"))
		}
	})
	if err != nil {
		return err
	}
	s.whole = whole && (depth == 0 || s.whole)
	for _, n := range inner {
		s.nested++
		if depth == maxNesting {
			s.whole = false
			return nil
		}
		if err := s.list(l, n, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// importers names the stacks that use what a stack exports.
func importers(l *look, described answer) ([]string, error) {
	var used []string
	for _, o := range described.List("Outputs") {
		export := o.Text("ExportName")
		if export == "" {
			continue
		}
		_, err := l.each(list{service: "cloudformation", operation: "ListImports",
			params: map[string]any{"ExportName": export},
			items:  []string{"Imports"}, token: "NextToken", next: "NextToken"}, func(i answer) {
			if n := i.Text(); n != "" && !slices.Contains(used, n) {
				used = append(used, n)
			}
		})
		// "Export X is not imported by any stack" is an error of this service.
		if err != nil && !strings.Contains(err.Error(), "not imported") {
			return used, err
		}
	}
	return used, nil
}

func stackAlone(l *look) error {
	_, err := readStack(l, l.text("StackName"))
	return err
}

func stackGoes(l *look) error {
	s, err := readStack(l, l.text("StackName"))
	if err != nil || s == nil {
		return err
	}
	l.impact.Reversible = false
	if s.template == nil {
		l.fact("Which resources would be kept could not be told: its template cannot be read.")
		return nil
	}
	named := l.texts("RetainResources")
	var kept, copied []string
	for _, r := range s.resources {
		switch policy := s.template[r.logical].DeletionPolicy; {
		case policy == "Retain" || slices.Contains(named, r.logical):
			kept = append(kept, r.logical)
		case policy == "Snapshot":
			copied = append(copied, r.logical)
		}
	}
	l.fact("%s would be deleted; kept: %s; a snapshot made of: %s.", plural(len(s.resources)-len(kept), "resource"),
		firstOf(some(kept), "none"), firstOf(some(copied), "none"))
	if s.whole {
		l.impact.Count = int64(len(s.resources) - len(kept))
	}
	return nil
}

// stackChanges compares a new template with the resources that there are.
func stackChanges(l *look) error {
	if l.call.Operation == "CreateChangeSet" && l.text("ChangeSetType") == "CREATE" {
		l.bind("stack", "new")
		l.impact.Count = 1
		return nil
	}
	s, err := readStack(l, l.text("StackName"))
	if err != nil || s == nil {
		return err
	}
	switch {
	case l.says("UsePreviousTemplate", true):
		l.fact("The template stays; parameters decide what changes. A change set would show it.")
		return nil
	case l.text("TemplateBody") == "":
		l.fact("The new template lies elsewhere (%s) and was not compared.", firstOf(l.text("TemplateURL"), "nowhere"))
		l.impact.Count = signalbox.CountUnknown
		return nil
	}
	next, err := aws.StackResources(l.text("TemplateBody"))
	if err != nil {
		l.fact("The new template cannot be read: %v.", err)
		l.impact.Count = signalbox.CountUnknown
		return nil
	}
	var removed, changed []string
	for _, r := range s.resources {
		n, ok := next[r.logical]
		switch {
		case !ok:
			removed = append(removed, r.logical+" ("+r.kind+")")
		case n.Type != r.kind && s.nested == 0:
			changed = append(changed, r.logical+" ("+r.kind+" to "+n.Type+")")
		}
	}
	l.fact("Of %s the new template leaves out %d: %s.", plural(len(s.resources), "resource"), len(removed),
		firstOf(some(removed), "none"))
	if len(changed) > 0 {
		l.fact("It gives another type to %s.", some(changed))
	}
	l.impact.Count = int64(len(removed) + len(changed))
	if l.impact.Count > 0 {
		l.impact.Reversible = false
	}
	return nil
}

// changeSet judges a change set by what AWS says it would do, and binds exactly
// that.
func changeSet(l *look) error {
	name := l.text("ChangeSetName")
	params := map[string]any{"ChangeSetName": name}
	if s := l.text("StackName"); s != "" {
		params["StackName"] = s
	}
	first, err := l.ask("cloudformation", "DescribeChangeSet", params)
	if absent(err) {
		return l.gone("change set", name)
	}
	if err != nil {
		return err
	}
	var removed, replaced, perhaps, changed, added, all []string
	whole, err := l.each(list{service: "cloudformation", operation: "DescribeChangeSet", params: params,
		items: []string{"Changes"}, token: "NextToken", next: "NextToken"}, func(c answer) {
		r := func(member string) string { return c.Text("ResourceChange", member) }
		what := r("LogicalResourceId") + " (" + r("ResourceType") + ")"
		all = append(all, r("Action")+" "+what+" "+r("PhysicalResourceId")+" "+r("Replacement"))
		switch {
		case r("Action") == "Remove":
			removed = append(removed, what)
		case r("Action") == "Add":
			added = append(added, what)
		case r("Replacement") == "True":
			replaced = append(replaced, what)
		case r("Replacement") == "Conditional":
			perhaps = append(perhaps, what)
		default:
			changed = append(changed, what)
		}
	})
	if err != nil {
		return err
	}
	l.fact("Change set %s of stack %s, %s %s.", first.Text("ChangeSetId"), first.Text("StackName"),
		first.Text("Status"), first.Text("ExecutionStatus"))
	for _, kind := range []struct {
		what string
		list []string
	}{{"removes", removed}, {"replaces", replaced}, {"perhaps replaces", perhaps}, {"changes in place", changed},
		{"adds", added}} {
		if len(kind.list) > 0 {
			l.fact("It %s %d: %s.", kind.what, len(kind.list), some(kind.list))
		}
	}
	l.bind("change set", first.Text("ChangeSetId"))
	l.bind("stack", first.Text("StackId"))
	l.bindSet("changes", all)
	l.count(int64(len(all)), whole)
	l.impact.Reversible = len(removed)+len(replaced)+len(perhaps) == 0
	return nil
}

func stackInstances(l *look) error {
	name := l.text("StackSetName")
	var where []string
	whole, err := l.each(list{service: "cloudformation", operation: "ListStackInstances",
		params: map[string]any{"StackSetName": name},
		items:  []string{"Summaries"}, token: "NextToken", next: "NextToken"}, func(i answer) {
		where = append(where, i.Text("Account")+" "+i.Text("Region"))
	})
	if absent(err) {
		return l.gone("stack set", name)
	}
	if err != nil {
		return err
	}
	l.fact("Stack set %s has %s.", name, plural(len(where), "instance"))
	if l.says("RetainStacks", true) {
		l.fact("The stacks themselves are kept.")
	}
	l.bindSet("stack instances of "+name, where)
	l.count(int64(len(where)), whole)
	return nil
}
