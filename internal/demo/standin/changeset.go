package standin

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// A changeSet is an update that is worked out and not done yet.
type changeSet struct {
	name, id  string
	kind      string // CREATE or UPDATE
	status    string
	reason    string
	execution string
	created   string
	revision  *revision
	changes   map[string]difference
}

// changeSet finds a change set by its ARN, or by the names of it and its stack.
func (c *Cloud) changeSet(p url.Values) (*stack, *changeSet, error) {
	name, stackName := p.Get("ChangeSetName"), p.Get("StackName")
	for _, s := range c.stacks {
		for _, cs := range s.changes {
			if cs.id == name || cs.name == name && (s.name == stackName || s.id == stackName) {
				return s, cs, nil
			}
		}
	}
	return nil, nil, &refusal{404, "ChangeSetNotFound", "ChangeSet [" + name + "] does not exist"}
}

func (c *Cloud) createChangeSet(p url.Values) (any, error) {
	name, kind := p.Get("StackName"), p.Get("ChangeSetType")
	if kind == "" {
		kind = "UPDATE"
	}
	s, err := c.stack(name)
	switch {
	case kind == "CREATE" && err != nil:
		s = &stack{name: name, id: arn("cloudformation", "stack/"+name+"/"+uuid()), created: c.now(),
			status: "REVIEW_IN_PROGRESS", changes: map[string]*changeSet{}}
	case kind == "CREATE" && s.status != "REVIEW_IN_PROGRESS":
		return nil, invalid("Stack [%s] already exists and cannot be created again with the changeSet [%s].", name,
			p.Get("ChangeSetName"))
	case kind != "CREATE" && kind != "UPDATE":
		return nil, notImplemented("change set of type " + kind)
	case err != nil:
		return nil, err
	}
	if s.changes[p.Get("ChangeSetName")] != nil {
		return nil, &refusal{400, "AlreadyExistsException", "ChangeSet [" + p.Get("ChangeSetName") + "] already exists"}
	}
	was := s
	if kind == "CREATE" {
		was = nil
	}
	v, err := c.revision(s.name, p, was)
	if err != nil {
		return nil, err
	}
	cs := &changeSet{
		name: p.Get("ChangeSetName"), id: arn("cloudformation", "changeSet/"+p.Get("ChangeSetName")+"/"+uuid()),
		kind:   kind,
		status: "CREATE_COMPLETE", execution: "AVAILABLE", created: c.clock(c.now()), revision: v,
		changes: s.compare(v),
	}
	if len(cs.changes) == 0 {
		cs.status, cs.execution = "FAILED", "UNAVAILABLE"
		cs.reason = "The submitted information didn't contain changes. Submit different information to create a change set."
	}
	s.changes[cs.name] = cs
	c.stacks[s.name] = s
	return struct {
		ID      string `xml:"Id"`
		StackID string `xml:"StackId"`
	}{cs.id, s.id}, nil
}

type changeXML struct {
	Type     string
	Resource struct {
		Action             string
		LogicalResourceID  string `xml:"LogicalResourceId"`
		PhysicalResourceID string `xml:"PhysicalResourceId,omitempty"`
		ResourceType       string
		Replacement        string      `xml:",omitempty"`
		Scope              []string    `xml:"Scope>member"`
		Details            []detailXML `xml:"Details>member"`
	} `xml:"ResourceChange"`
}

type detailXML struct {
	Attribute          string `xml:"Target>Attribute"`
	Name               string `xml:"Target>Name"`
	RequiresRecreation string `xml:"Target>RequiresRecreation"`
	Evaluation         string
	ChangeSource       string
}

func (c *Cloud) describeChangeSet(p url.Values) (any, error) {
	s, cs, err := c.changeSet(p)
	if err != nil {
		return nil, err
	}
	var out struct {
		ChangeSetName   string
		ChangeSetID     string `xml:"ChangeSetId"`
		StackID         string `xml:"StackId"`
		StackName       string
		CreationTime    string
		ExecutionStatus string
		Status          string
		StatusReason    string      `xml:",omitempty"`
		Parameters      []keyValue  `xml:"Parameters>member"`
		Capabilities    []string    `xml:"Capabilities>member"`
		Changes         []changeXML `xml:"Changes>member"`
	}
	out.ChangeSetName, out.ChangeSetID, out.StackID, out.StackName = cs.name, cs.id, s.id, s.name
	out.CreationTime, out.ExecutionStatus, out.Status, out.StatusReason = cs.created, cs.execution, cs.status, cs.reason
	out.Capabilities = cs.revision.capabilities
	for _, k := range slices.Sorted(maps.Keys(cs.revision.arguments)) {
		out.Parameters = append(out.Parameters, keyValue{k, cs.revision.arguments[k]})
	}
	for _, name := range slices.Sorted(maps.Keys(cs.changes)) {
		d := cs.changes[name]
		x := changeXML{Type: "Resource"}
		x.Resource.Action, x.Resource.LogicalResourceID, x.Resource.PhysicalResourceID = d.action, name, d.physical
		x.Resource.ResourceType, x.Resource.Replacement = d.kind, d.replacement
		for _, property := range d.properties {
			x.Resource.Scope = []string{"Properties"}
			recreation := "Never"
			if d.replacement == "True" {
				recreation = "Always"
			}
			x.Resource.Details = append(x.Resource.Details,
				detailXML{"Properties", property, recreation, "Static", "DirectModification"})
		}
		out.Changes = append(out.Changes, x)
	}
	return out, nil
}

func (c *Cloud) listChangeSets(p url.Values) (any, error) {
	s, err := c.stack(p.Get("StackName"))
	if err != nil {
		return nil, err
	}
	type summary struct {
		ChangeSetName, Status, ExecutionStatus, CreationTime string
		ChangeSetID                                          string `xml:"ChangeSetId"`
		StackID                                              string `xml:"StackId"`
		StackName                                            string
	}
	var out struct {
		Summaries []summary `xml:"Summaries>member"`
	}
	for _, name := range slices.Sorted(maps.Keys(s.changes)) {
		cs := s.changes[name]
		out.Summaries = append(out.Summaries,
			summary{cs.name, cs.status, cs.execution, cs.created, cs.id, s.id, s.name})
	}
	return out, nil
}

// executeChangeSet does what was worked out. The other change sets of the stack
// were worked out for a stack that is no more, and go.
func (c *Cloud) executeChangeSet(p url.Values) (any, error) {
	s, cs, err := c.changeSet(p)
	if err != nil {
		return nil, err
	}
	if cs.execution != "AVAILABLE" {
		return nil, &refusal{400, "InvalidChangeSetStatus", "ChangeSet [" + cs.id +
			"] cannot be executed in its current status of [" + cs.status + "]"}
	}
	if cs.kind == "CREATE" {
		made := c.create(s.name, cs.revision)
		made.id = s.id
		return struct{}{}, nil
	}
	if err := s.busy(c.now()); err != nil {
		return nil, err
	}
	if err := c.update(s, cs.revision); err != nil {
		return nil, err
	}
	cs.execution = "EXECUTE_COMPLETE"
	maps.DeleteFunc(s.changes, func(name string, _ *changeSet) bool { return name != cs.name })
	return struct{}{}, nil
}

func (c *Cloud) deleteChangeSet(p url.Values) (any, error) {
	s, cs, err := c.changeSet(p)
	if err != nil {
		if strings.HasPrefix(p.Get("ChangeSetName"), "arn:") {
			return struct{}{}, nil
		}
		return nil, err
	}
	delete(s.changes, cs.name)
	return struct{}{}, nil
}
