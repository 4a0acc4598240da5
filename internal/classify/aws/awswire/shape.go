package awswire

import (
	"fmt"
	"slices"
	"strings"
)

// A kind is the type of a shape, numbered as gen.go does.
type kind uint8

const (
	structure kind = iota
	list
	mapping
	text
	integer
	long
	float
	double
	boolean
	timestamp
	blob
)

// A location is where a member of an operation's input or output is, numbered
// as gen.go does.
type location uint8

const (
	inBody    location = iota
	inHeader           // one header
	inHeaders          // every header with a prefix
	inURI
	inQuery
	inStatus // of an answer
)

// A shape is the form of a value.
type shape struct {
	kind kind

	// Of structures.
	events  bool    // a stream of events
	free    bool    // free-form: any value of JSON
	payload *member // the member that is the whole body
	members []member
	byName  map[string]*member
	byWire  map[string]*member // those in the body
	byForm  map[string]*member // the same, of services that speak in forms

	// Of lists and maps.
	flattened bool
	key       *shape
	keyName   string // on the wire; empty: as the protocol says
	value     *shape // of a list: the element
	valueName string

	format    string // of timestamps; empty: as the protocol says
	streaming bool   // of blobs
}

// A member is a field of a structure.
type member struct {
	name  string // in the API
	wire  string // on the wire; empty: the name
	query string // in forms, when it differs

	shape *shape
	where location

	required, token, hostLabel, jsonValue, flattened, attribute, streaming, event bool

	prefix, namespace string // of XML
}

// wireName gives the member's name in headers, queries, JSON and XML.
func (m *member) wireName() string {
	if m.wire != "" {
		return m.wire
	}
	return m.name
}

func (s *Service) loadShapes() {
	s.shapesOnce.Do(func() {
		r := open(s.shapesChunk)
		names := append([]string{""}, r.list()...)
		name := func() string {
			i := r.uint()
			if i >= len(names) {
				r.fail()
				return ""
			}
			return names[i]
		}
		s.shapes = make([]shape, r.uint())
		other := func() *shape {
			i := r.uint()
			if i == 0 || i > len(s.shapes) {
				r.fail()
				return &shape{}
			}
			return &s.shapes[i-1]
		}
		for i := range s.shapes {
			sh := &s.shapes[i]
			sh.kind = kind(r.uint())
			switch sh.kind {
			case structure:
				r.bits(&sh.events, &sh.free)
				payload := name()
				sh.members = make([]member, r.uint())
				sh.byName = make(map[string]*member, len(sh.members))
				for i := range sh.members {
					m := &sh.members[i]
					m.name, m.shape, m.where = name(), other(), location(r.uint())
					r.bits(&m.required, &m.token, &m.hostLabel, &m.jsonValue, &m.flattened, &m.attribute,
						&m.streaming, &m.event)
					m.wire, m.query, m.prefix, m.namespace = name(), name(), name(), name()
					sh.byName[m.name] = m
				}
				sh.payload = sh.byName[payload]
			case list:
				r.bits(&sh.flattened)
				sh.value, sh.valueName = other(), name()
			case mapping:
				r.bits(&sh.flattened)
				sh.key, sh.keyName = other(), name()
				sh.value, sh.valueName = other(), name()
			case timestamp:
				sh.format = r.text()
			case blob:
				r.bits(&sh.streaming)
			}
		}
		for i := range s.shapes {
			s.shapes[i].name(s)
		}
		if r.err != nil {
			panic(fmt.Sprintf("awswire: shapes of %q in the embedded table: %v", s.ID, r.err))
		}
	})
}

// name fills the maps by names on the wire.
func (sh *shape) name(s *Service) {
	forms := s.Protocol == Query || s.Protocol == EC2 || s.queryToo
	sh.byWire = make(map[string]*member, len(sh.members))
	if forms {
		sh.byForm = make(map[string]*member, len(sh.members))
	}
	for i := range sh.members {
		m := &sh.members[i]
		if m.where != inBody {
			continue
		}
		sh.byWire[m.wireName()] = m
		if forms {
			sh.byForm[m.formName(s.Protocol == EC2)] = m
		}
	}
}

// formName gives the member's name in forms.
func (m *member) formName(ec2 bool) string {
	switch {
	case ec2 && m.query == "" && m.wire != "":
		return strings.ToUpper(m.wire[:1]) + m.wire[1:]
	case !ec2 && m.flat() && m.shape.kind == list && m.shape.valueName != "":
		return m.shape.valueName
	case m.query != "":
		return m.query
	}
	return m.wireName()
}

// flat reports whether the member's elements stand without a wrapper.
func (m *member) flat() bool { return m.flattened || m.shape.flattened }

// inQuery reports whether a member is the query parameter called name.
func (sh *shape) inQuery(name string) bool {
	for i := range sh.members {
		if m := &sh.members[i]; m.where == inQuery && m.wireName() == name {
			return true
		}
	}
	return false
}

// noMembers is the shape of inputs and outputs that a model leaves out.
var noMembers = &shape{kind: structure}

func (o *Operation) inputShape() *shape { return o.shape(o.input) }

func (o *Operation) outputShape() *shape { return o.shape(o.output) }

func (o *Operation) shape(i int) *shape {
	if i == 0 {
		return noMembers
	}
	o.Service.loadShapes()
	return &o.Service.shapes[i-1]
}

// Member reports whether the operation's input has the member at path. Elements
// of the path are names of members; lists are passed through, and a map takes
// one element, which is any key.
func (o *Operation) Member(path ...string) bool {
	sh := o.inputShape()
	for _, name := range path {
		for sh.kind == list {
			sh = sh.value
		}
		if sh.free {
			return true
		}
		switch sh.kind {
		case structure:
			m := sh.byName[name]
			if m == nil {
				return false
			}
			sh = m.shape
		case mapping:
			sh = sh.value
		default:
			return false
		}
	}
	return true
}

// DryRun reports whether the operation can be asked to change nothing: whether
// its input has the boolean member DryRun or dryRun.
func (o *Operation) DryRun() bool {
	for _, name := range []string{"DryRun", "dryRun"} {
		if m := o.inputShape().byName[name]; m != nil && m.shape.kind == boolean {
			return true
		}
	}
	return false
}

// Required gives the members without which a call is not valid.
func (o *Operation) Required() []string { return o.names(func(m *member) bool { return m.required }) }

// Tokens gives the members that are idempotency tokens: made up by clients
// anew for each call, and without meaning for what it does.
func (o *Operation) Tokens() []string { return o.names(func(m *member) bool { return m.token }) }

func (o *Operation) names(is func(*member) bool) []string {
	var names []string
	sh := o.inputShape()
	for i := range sh.members {
		if m := &sh.members[i]; is(m) {
			names = append(names, m.name)
		}
	}
	return names
}

// Streaming gives the member that is the request's body as it is, a stream of
// bytes or of events, which Decode leaves out: Body of S3's PutObject.
func (o *Operation) Streaming() (member string, ok bool) {
	if m := o.inputShape().payload; m != nil && m.streams() {
		return m.name, true
	}
	return "", false
}

func (m *member) streams() bool {
	return m.streaming || m.shape.streaming || m.shape.events
}

// Unknown gives the paths in params, sorted, that the operation's input does not
// have: "Settings.Colour", "Filters[0].Nme".
func (o *Operation) Unknown(params map[string]any) []string {
	var paths []string
	unknown(o.inputShape(), params, "", 0, &paths)
	slices.Sort(paths)
	return paths
}

func unknown(sh *shape, v any, path string, depth int, paths *[]string) {
	if sh.free {
		return
	}
	if depth > maxDepth {
		*paths = append(*paths, path)
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			if depth == 0 && name == "" {
				continue // where Decode put what it did not know
			}
			at := join(path, name)
			switch {
			case sh.kind == mapping:
				unknown(sh.value, x, at, depth+1, paths)
			case sh.kind == structure && sh.byName[name] != nil:
				unknown(sh.byName[name].shape, x, at, depth+1, paths)
			default:
				*paths = append(*paths, at)
			}
		}
	case []any:
		if sh.kind != list {
			*paths = append(*paths, path)
			return
		}
		for i, x := range v {
			unknown(sh.value, x, fmt.Sprintf("%s[%d]", path, i), depth+1, paths)
		}
	case nil:
	default:
		if sh.kind <= mapping {
			*paths = append(*paths, path)
		}
	}
}

// join puts a member's name behind the path of what it is in.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
