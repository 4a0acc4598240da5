package standin

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// cloudformation answers one call.
func (c *Cloud) cloudformation(name string, p url.Values) (any, error) {
	switch name {
	case "CreateStack":
		return c.createStack(p)
	case "UpdateStack":
		return c.updateStack(p)
	case "DeleteStack":
		return c.deleteStack(p)
	case "DescribeStacks":
		return c.describeStacks(p)
	case "ListStacks":
		return c.listStacks(p)
	case "DescribeStackResources":
		return c.describeStackResources(p)
	case "ListStackResources":
		return c.listStackResources(p)
	case "GetTemplate":
		return c.getTemplate(p)
	case "UpdateTerminationProtection":
		return c.updateTerminationProtection(p)
	case "CreateChangeSet":
		return c.createChangeSet(p)
	case "DescribeChangeSet":
		return c.describeChangeSet(p)
	case "ListChangeSets":
		return c.listChangeSets(p)
	case "ExecuteChangeSet":
		return c.executeChangeSet(p)
	case "DeleteChangeSet":
		return c.deleteChangeSet(p)
	}
	return nil, notImplemented("cloudformation " + name)
}

// stack finds a stack by its name or its ARN; those that are gone by their ARN
// alone, as CloudFormation has it.
func (c *Cloud) stack(name string) (*stack, error) {
	if s := c.stacks[name]; s != nil {
		return s, nil
	}
	for _, s := range c.stacks {
		if s.id == name {
			return s, nil
		}
	}
	for _, s := range c.gone {
		if s.id == name {
			return s, nil
		}
	}
	return nil, invalid("Stack with id %s does not exist", name)
}

// revision reads the template, the parameters and the capabilities of a
// request. was is the stack as it is, or nil.
func (c *Cloud) revision(name string, p url.Values, was *stack) (*revision, error) {
	body := p.Get("TemplateBody")
	switch {
	case p.Get("UsePreviousTemplate") == "true" && was != nil:
		body = was.body
	case p.Get("TemplateURL") != "":
		var err error
		if body, err = c.fetch(p.Get("TemplateURL")); err != nil {
			return nil, err
		}
	case body == "":
		return nil, invalid("Either Template URL or Template Body must be specified.")
	}
	given := map[string]string{}
	for _, m := range members(p, "Parameters") {
		key := m.Get("ParameterKey")
		given[key] = m.Get("ParameterValue")
		if m.Get("UsePreviousValue") == "true" {
			if was == nil {
				return nil, invalid("Invalid input for parameter key %s. Cannot specify usePreviousValue as true for a parameter key not in the previous template", key)
			}
			given[key] = was.arguments[key]
		}
	}
	var capabilities []string
	for _, m := range members(p, "Capabilities") {
		capabilities = append(capabilities, m.Get(""))
	}
	return revise(name, body, given, capabilities)
}

type stackID struct {
	StackID string `xml:"StackId"`
}

func (c *Cloud) createStack(p url.Values) (any, error) {
	name := p.Get("StackName")
	if c.stacks[name] != nil {
		return nil, &refusal{400, "AlreadyExistsException", "Stack [" + name + "] already exists"}
	}
	v, err := c.revision(name, p, nil)
	if err != nil {
		return nil, err
	}
	s := c.create(name, v)
	s.protected = p.Get("EnableTerminationProtection") == "true"
	return stackID{s.id}, nil
}

func (c *Cloud) updateStack(p url.Values) (any, error) {
	s, err := c.stack(p.Get("StackName"))
	if err != nil {
		return nil, err
	}
	if err := s.busy(c.now()); err != nil {
		return nil, err
	}
	v, err := c.revision(s.name, p, s)
	if err != nil {
		return nil, err
	}
	return stackID{s.id}, c.update(s, v)
}

// deleteStack takes a stack that is not there for deleted, as CloudFormation does.
func (c *Cloud) deleteStack(p url.Values) (any, error) {
	s, err := c.stack(p.Get("StackName"))
	if err != nil || s.state(c.now()) == "DELETE_COMPLETE" {
		return struct{}{}, nil
	}
	if s.protected {
		return nil, invalid("Stack [%s] cannot be deleted while TerminationProtection is enabled", s.name)
	}
	if state := s.state(c.now()); state == "UPDATE_IN_PROGRESS" {
		return nil, s.busy(c.now())
	} else if state != "DELETE_IN_PROGRESS" {
		c.delete(s)
	}
	return struct{}{}, nil
}

type keyValue struct{ ParameterKey, ParameterValue string }

type outputXML struct{ OutputKey, OutputValue string }

type stackXML struct {
	StackID                     string `xml:"StackId"`
	StackName                   string
	Description                 string `xml:",omitempty"`
	CreationTime                string
	LastUpdatedTime             string `xml:",omitempty"`
	DeletionTime                string `xml:",omitempty"`
	StackStatus                 string
	StackStatusReason           string `xml:",omitempty"`
	EnableTerminationProtection bool
	DisableRollback             bool
	Parameters                  []keyValue  `xml:"Parameters>member"`
	Outputs                     []outputXML `xml:"Outputs>member"`
	Capabilities                []string    `xml:"Capabilities>member"`
}

func (c *Cloud) show(s *stack) stackXML {
	now := c.now()
	x := stackXML{
		StackID: s.id, StackName: s.name, Description: s.description, CreationTime: c.clock(s.created),
		StackStatus: s.state(now), StackStatusReason: s.reason, EnableTerminationProtection: s.protected,
		Capabilities: s.capabilities,
	}
	if s.updated > 0 {
		x.LastUpdatedTime = c.clock(s.updated)
	}
	if s.deleted > 0 {
		x.DeletionTime = c.clock(s.deleted)
	}
	for _, k := range slices.Sorted(maps.Keys(s.arguments)) {
		x.Parameters = append(x.Parameters, keyValue{k, s.arguments[k]})
	}
	for _, k := range slices.Sorted(maps.Keys(s.outputs)) {
		x.Outputs = append(x.Outputs, outputXML{k, s.outputs[k]})
	}
	return x
}

func (c *Cloud) describeStacks(p url.Values) (any, error) {
	var out struct {
		Stacks []stackXML `xml:"Stacks>member"`
	}
	if name := p.Get("StackName"); name != "" {
		s, err := c.stack(name)
		if err != nil {
			return nil, err
		}
		out.Stacks = append(out.Stacks, c.show(s))
		return out, nil
	}
	for _, name := range slices.Sorted(maps.Keys(c.stacks)) {
		out.Stacks = append(out.Stacks, c.show(c.stacks[name]))
	}
	return out, nil
}

func (c *Cloud) listStacks(p url.Values) (any, error) {
	type summary struct {
		StackID      string `xml:"StackId"`
		StackName    string
		CreationTime string
		DeletionTime string `xml:",omitempty"`
		StackStatus  string
	}
	var out struct {
		Summaries []summary `xml:"StackSummaries>member"`
	}
	wanted := map[string]bool{}
	for _, m := range members(p, "StackStatusFilter") {
		wanted[m.Get("")] = true
	}
	var all []*stack
	for _, name := range slices.Sorted(maps.Keys(c.stacks)) {
		all = append(all, c.stacks[name])
	}
	for _, s := range append(all, c.gone...) {
		if x := c.show(s); len(wanted) == 0 || wanted[x.StackStatus] {
			out.Summaries = append(out.Summaries,
				summary{x.StackID, x.StackName, x.CreationTime, x.DeletionTime, x.StackStatus})
		}
	}
	return out, nil
}

type resourceXML struct {
	StackID              string `xml:"StackId,omitempty"`
	StackName            string `xml:",omitempty"`
	LogicalResourceID    string `xml:"LogicalResourceId"`
	PhysicalResourceID   string `xml:"PhysicalResourceId"`
	ResourceType         string
	Timestamp            string `xml:",omitempty"`
	LastUpdatedTimestamp string `xml:",omitempty"`
	ResourceStatus       string
	ResourceStatusReason string `xml:",omitempty"`
}

// visible gives the resources that are there, or were, in the order in which
// they came.
func (c *Cloud) visible(s *stack) []resourceXML {
	now := c.now()
	list := s.resources
	if s.next != nil {
		list = slices.Clone(s.next.resources)
		for _, r := range s.resources { // they go at the end of the update
			if !slices.ContainsFunc(list, func(o *resource) bool { return o.logical == r.logical }) {
				list = append(list, r)
			}
		}
	}
	var out []resourceXML
	for _, r := range list {
		if status := r.status(now); status != "" {
			at := r.start
			if now >= r.end {
				at = r.end
			}
			out = append(out, resourceXML{
				LogicalResourceID: r.logical, PhysicalResourceID: r.physical, ResourceType: r.kind,
				Timestamp: c.clock(at), ResourceStatus: status, ResourceStatusReason: r.reason,
			})
		}
	}
	return out
}

func (c *Cloud) describeStackResources(p url.Values) (any, error) {
	s, err := c.stack(p.Get("StackName"))
	if err != nil {
		return nil, err
	}
	var out struct {
		Resources []resourceXML `xml:"StackResources>member"`
	}
	for _, r := range c.visible(s) {
		if want := p.Get("LogicalResourceId"); want == "" || want == r.LogicalResourceID {
			r.StackID, r.StackName = s.id, s.name
			out.Resources = append(out.Resources, r)
		}
	}
	return out, nil
}

func (c *Cloud) listStackResources(p url.Values) (any, error) {
	s, err := c.stack(p.Get("StackName"))
	if err != nil {
		return nil, err
	}
	var out struct {
		Resources []resourceXML `xml:"StackResourceSummaries>member"`
	}
	for _, r := range c.visible(s) {
		r.Timestamp, r.LastUpdatedTimestamp = "", r.Timestamp
		out.Resources = append(out.Resources, r)
	}
	return out, nil
}

func (c *Cloud) getTemplate(p url.Values) (any, error) {
	s, err := c.stack(p.Get("StackName"))
	if p.Get("StackName") == "" && p.Get("ChangeSetName") != "" {
		var cs *changeSet
		if s, cs, err = c.changeSet(p); err == nil {
			return struct{ TemplateBody string }{cs.revision.body}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return struct{ TemplateBody string }{s.body}, nil
}

func (c *Cloud) updateTerminationProtection(p url.Values) (any, error) {
	s, err := c.stack(p.Get("StackName"))
	if err != nil {
		return nil, err
	}
	s.protected = strings.EqualFold(p.Get("EnableTerminationProtection"), "true")
	return stackID{s.id}, nil
}
