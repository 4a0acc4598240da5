package standin

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A stack is resources that are made, changed and deleted together.
type stack struct {
	name, id     string
	body         string // the template, as it was given
	arguments    map[string]string
	description  string
	outputs      map[string]string
	capabilities []string
	protected    bool
	created      time.Duration
	updated      time.Duration
	deleted      time.Duration

	resources []*resource
	changes   map[string]*changeSet

	doing  string // Create, Update, Delete, or empty while nothing is done
	until  time.Duration
	status string // while nothing is done
	reason string
	next   *revision // what an update leads to
}

// A revision is what a template and its arguments come to.
type revision struct {
	body         string
	template     template
	arguments    map[string]string
	resources    []*resource
	outputs      map[string]string
	capabilities []string
}

// revise works out a template for a stack.
func revise(stackName, body string, given map[string]string, capabilities []string) (*revision, error) {
	t, err := parseTemplate(body)
	if err != nil {
		return nil, err
	}
	v := &revision{body: body, template: t, outputs: map[string]string{}, capabilities: capabilities}
	if v.arguments, err = t.arguments(given); err != nil {
		return nil, err
	}
	if v.resources, err = t.resolve(stackName, v.arguments); err != nil {
		return nil, err
	}
	for _, r := range v.resources {
		if strings.HasPrefix(r.kind, "AWS::IAM::") && !slices.ContainsFunc(capabilities, func(c string) bool {
			_, name := r.properties["RoleName"]
			return c == "CAPABILITY_NAMED_IAM" || c == "CAPABILITY_IAM" && !name
		}) {
			return nil, &refusal{400, "InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_IAM]"}
		}
	}
	s := &scope{t: t, stack: stackName, arguments: v.arguments}
	for name, o := range t.Outputs {
		text, err := s.value(o.Value)
		if err != nil {
			return nil, err
		}
		v.outputs[name] = fmt.Sprint(text)
	}
	return v, nil
}

// adopt makes a revision the stack's own.
func (s *stack) adopt(v *revision) {
	s.body, s.description, s.arguments, s.outputs, s.capabilities = v.body, v.template.Description, v.arguments, v.outputs, v.capabilities
	s.resources = v.resources
}

// state gives the stack's status at a time.
func (s *stack) state(now time.Duration) string {
	if s.doing != "" && now < s.until {
		return strings.ToUpper(s.doing) + "_IN_PROGRESS"
	}
	return s.status
}

// busy refuses while something is under way.
func (s *stack) busy(now time.Duration) error {
	if state := s.state(now); strings.HasSuffix(state, "_IN_PROGRESS") {
		return invalid("Stack:%s is in %s state and can not be updated.", s.id, state)
	}
	return nil
}

// create begins to make a stack.
func (c *Cloud) create(name string, v *revision) *stack {
	now := c.now()
	s := &stack{
		name: name, id: arn("cloudformation", "stack/"+name+"/"+uuid()), created: now, doing: "Create",
		status:  "CREATE_COMPLETE",
		changes: map[string]*changeSet{},
	}
	s.adopt(v)
	s.until = c.make(s.resources, now)
	for _, r := range s.resources {
		if r.after == "CREATE_FAILED" {
			s.status, s.reason = "ROLLBACK_COMPLETE", "The following resource(s) failed to create: ["+r.logical+"]."
		}
	}
	c.stacks[name] = s
	return s
}

// make lets resources come to be, each after those that it needs, and gives
// the time at which the last is there.
func (c *Cloud) make(resources []*resource, now time.Duration) time.Duration {
	end := map[string]time.Duration{}
	last := now
	for _, r := range resources {
		r.start = now
		for _, n := range r.needs {
			r.start = max(r.start, end[n])
		}
		r.before, r.during, r.after = "", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"
		r.end = r.start + timeToCreate(r)
		if err := c.furnish(r); err != nil {
			r.after, r.reason = "CREATE_FAILED", err.Error()
		}
		end[r.logical] = r.end
		last = max(last, r.end)
	}
	return last
}

// furnish does what making a resource does elsewhere in the cloud.
func (c *Cloud) furnish(r *resource) error {
	switch r.kind {
	case "AWS::S3::Bucket":
		if c.buckets[r.physical] != nil {
			return fmt.Errorf("%s already exists", r.physical)
		}
		c.buckets[r.physical] = &bucket{created: c.now(), objects: map[string]object{}}
	case "AWS::DynamoDB::Table":
		var err error
		r.items, err = c.imported(r)
		return err
	}
	return nil
}

// delete begins to delete a stack: what needs others goes before them, and
// what a deletion policy keeps stays.
func (c *Cloud) delete(s *stack) {
	now := c.now()
	// What an earlier attempt deleted is gone already.
	s.resources = slices.DeleteFunc(s.resources, func(r *resource) bool { return r.status(now) == "DELETE_COMPLETE" })
	s.doing, s.status, s.reason, s.until, s.deleted = "Delete", "DELETE_COMPLETE", "", now, now
	free := map[string]time.Duration{} // when nobody needs it any more
	for _, r := range slices.Backward(s.resources) {
		r.before = r.status(now)
		r.start = max(now, free[r.logical])
		r.during, r.after = "DELETE_IN_PROGRESS", "DELETE_COMPLETE"
		r.end = r.start + timeToDelete(r)
		switch {
		case strings.HasPrefix(r.DeletionPolicy, "Retain"):
			r.end, r.after = r.start, "DELETE_SKIPPED"
		case r.kind == "AWS::S3::Bucket" && c.buckets[r.physical] != nil:
			if len(c.buckets[r.physical].objects) > 0 {
				r.after, r.reason = "DELETE_FAILED", "The bucket you tried to delete is not empty"
				s.status, s.reason = "DELETE_FAILED", "The following resource(s) failed to delete: ["+r.logical+"]. "
				break
			}
			delete(c.buckets, r.physical)
		}
		for _, n := range r.needs {
			free[n] = max(free[n], r.end)
		}
		s.until = max(s.until, r.end)
	}
	c.settle()
}

// update begins to lead a stack to a revision. What changes is changed while
// what was there goes on; what the new template drops goes at the end.
func (c *Cloud) update(s *stack, v *revision) error {
	now := c.now()
	differences := s.compare(v)
	if len(differences) == 0 && s.body == v.body && maps.Equal(s.arguments, v.arguments) {
		return invalid("No updates are to be performed.")
	}
	s.doing, s.status, s.reason, s.next, s.until = "Update", "UPDATE_COMPLETE", "", v, now
	end := map[string]time.Duration{}
	for _, r := range v.resources {
		was := s.resource(r.logical)
		d, changed := differences[r.logical]
		if was != nil && d.replacement != "True" {
			r.items = was.items
		}
		switch {
		case !changed:
			r.before, r.during, r.after, r.start, r.end = was.after, was.during, was.after, was.start, was.end
			continue
		case d.action == "Add":
			r.before, r.during, r.after = "", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"
		default:
			r.before, r.during, r.after = was.after, "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"
		}
		r.start = now
		for _, n := range r.needs {
			r.start = max(r.start, end[n])
		}
		r.end = r.start + timeToCreate(r)
		if d.action == "Modify" && d.replacement != "True" {
			r.end = r.start + timeToChange(r)
		}
		if d.action == "Add" || d.replacement == "True" {
			if err := c.furnish(r); err != nil {
				s.doing, s.next = "", nil
				return invalid("%s: %v", r.logical, err)
			}
		}
		end[r.logical] = r.end
		s.until = max(s.until, r.end)
	}
	c.settle()
	return nil
}

// timeToChange is the time that a change takes that replaces nothing.
func timeToChange(r *resource) time.Duration {
	if r.kind == "AWS::ECS::Service" {
		return 8 * time.Minute // new tasks first, then the old ones end
	}
	return time.Minute
}

// settle brings everything that has ended by now to its end. The caller holds mu.
func (c *Cloud) settle() {
	now := c.now()
	for _, name := range slices.Sorted(maps.Keys(c.stacks)) {
		s := c.stacks[name]
		if s.doing == "" || now < s.until {
			continue
		}
		done := s.doing
		s.doing = ""
		switch {
		case done == "Update":
			s.updated = s.until
			s.adopt(s.next)
			s.next = nil
		case s.status == "DELETE_COMPLETE":
			delete(c.stacks, name)
			c.gone = append(c.gone, s)
		case s.status == "ROLLBACK_COMPLETE":
			for _, r := range s.resources {
				if r.kind == "AWS::S3::Bucket" {
					delete(c.buckets, r.physical)
				}
				r.after = "DELETE_COMPLETE"
			}
		}
	}
}

func (s *stack) resource(logical string) *resource {
	for _, r := range s.resources {
		if r.logical == logical {
			return r
		}
	}
	return nil
}

// A difference is what a revision does to one resource.
type difference struct {
	action      string // Add, Modify, Remove
	replacement string // True or False, of Modify
	kind        string
	physical    string
	properties  []string // names of those that change
}

// compare says what a revision would change, by logical name.
func (s *stack) compare(v *revision) map[string]difference {
	out := map[string]difference{}
	kept := map[string]bool{}
	for _, r := range v.resources {
		kept[r.logical] = true
		was := s.resource(r.logical)
		if was == nil {
			out[r.logical] = difference{action: "Add", kind: r.kind}
			continue
		}
		d := difference{action: "Modify", replacement: "False", kind: r.kind, physical: was.physical}
		for name := range union(was.properties, r.properties) {
			if !bytes.Equal(canonical(was.properties[name]), canonical(r.properties[name])) {
				d.properties = append(d.properties, name)
			}
		}
		slices.Sort(d.properties)
		// A task definition has no changes: each is a new one.
		if was.kind != r.kind || was.physical != r.physical || len(d.properties) > 0 &&
			r.kind == "AWS::ECS::TaskDefinition" {
			d.replacement = "True"
		}
		// What needs something that is replaced is given the new one.
		for _, n := range r.needs {
			if out[n].replacement == "True" && len(d.properties) == 0 {
				d.properties = []string{n}
			}
		}
		if len(d.properties) > 0 || d.replacement == "True" {
			out[r.logical] = d
		}
	}
	for _, r := range s.resources {
		if !kept[r.logical] {
			out[r.logical] = difference{action: "Remove", kind: r.kind, physical: r.physical}
		}
	}
	return out
}

func union(a, b map[string]any) map[string]bool {
	out := map[string]bool{}
	for name := range a {
		out[name] = true
	}
	for name := range b {
		out[name] = true
	}
	return out
}

// canonical gives equal texts for equal values of a template.
func canonical(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("a template's value is no JSON: %v", err)) // it came out of JSON
	}
	return text
}

func arn(service, resource string) string {
	return strings.Join([]string{"arn", partition, service, Region, Account, resource}, ":")
}

func uuid() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
