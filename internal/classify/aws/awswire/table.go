package awswire

import (
	"bytes"
	"cmp"
	"compress/flate"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Protocol is how a service's requests and answers are written.
type Protocol string

// The protocols of AWS's services.
const (
	JSON     Protocol = "json"
	Query    Protocol = "query"
	EC2      Protocol = "ec2"
	RestJSON Protocol = "rest-json"
	RestXML  Protocol = "rest-xml"
	CBOR     Protocol = "rpc-v2-cbor"
)

// ErrUnknownOperation is for what the table has no operation for.
var ErrUnknownOperation = errors.New("unknown operation")

// A Service is one API: a set of operations with a version.
type Service struct {
	Name         string // endpoint prefix: "monitoring", "states", "api.ecr"; several services may share one
	ID           string // "CloudWatch"; unique
	SigningName  string // the service in a signature's credential scope
	Protocol     Protocol
	Version      string // of the API: "2010-08-01"
	TargetPrefix string // in X-Amz-Target, and the service's name in rpc-v2-cbor
	JSONVersion  string // "1.0" or "1.1" for the protocol json

	namespace   string // of XML bodies
	global      string // host name of a service without regions
	unsigned    bool   // has operations that are unsigned by design
	queryToo    bool   // its older clients speak query
	count       int    // of operations
	opsChunk    []byte
	shapesChunk []byte

	opsOnce sync.Once
	ops     []*Operation // by name
	byName  map[string]*Operation
	routes  router

	shapesOnce sync.Once
	shapes     []shape
}

// An Operation is what a caller may ask of a service.
type Operation struct {
	Service *Service
	Name    string // "DeleteStack"
	Method  string // "POST"
	URI     string // template: "/{Bucket}/{Key+}?tagging"

	// HostPrefix is the template of what stands before the endpoint's host
	// name, with its dot: "{AccountId}."; mostly empty.
	HostPrefix string
	// Unsigned says that requests carry no signature by design.
	Unsigned bool
	// UnsignedBody says that the body need not be covered by the signature.
	UnsignedBody bool
	// Deprecated says that the service's model calls it so.
	Deprecated bool

	checksum    bool // a request must carry a checksum of its body
	input       int  // index of the shape plus one
	inputName   string
	inputSpace  string
	needsQuery  []string
	needsHeader []string
	output      int
	wrapper     string // element around a query answer
	route       *route // of REST operations
}

//go:embed table.bin
var embedded []byte

// A directory is what is known before any service's chunk is inflated.
type directory struct {
	services  []*Service
	byName    map[string][]*Service // by endpoint prefix, signing name, ID, and ID in lower case
	bySigning map[string][]*Service
	byTarget  map[string][]*Service
	free      []*Service // with operations that are unsigned by design
	endpoints []byte
}

// signingAliases are names in credential scopes beside the models' own. Source:
// the endpoint rules of S3 and S3 Control, and older models of IoT.
var signingAliases = map[string]string{
	"s3express":        "s3",
	"s3-object-lambda": "s3",
	"s3-outposts":      "s3",
	"execute-api":      "iot",
}

var table = sync.OnceValue(func() *directory {
	d, err := load(embedded)
	if err != nil {
		panic("awswire: the embedded table: " + err.Error())
	}
	return d
})

func load(b []byte) (*directory, error) {
	var chunks [][]byte
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return nil, errors.New("cut off")
		}
		chunks = append(chunks, b[k:k+int(n)])
		b = b[k+int(n):]
	}
	if len(chunks) == 0 {
		return nil, errors.New("empty")
	}
	r := open(chunks[0])
	d := &directory{byName: map[string][]*Service{}, bySigning: map[string][]*Service{},
		byTarget: map[string][]*Service{}}
	n := r.uint()
	if len(chunks) != 2*n+2 {
		return nil, fmt.Errorf("%d chunks for %d services", len(chunks), n)
	}
	for i := range n {
		s := &Service{
			Name: r.text(), ID: r.text(), SigningName: r.text(), Protocol: Protocol(r.text()), Version: r.text(),
			TargetPrefix: r.text(), JSONVersion: r.text(), namespace: r.text(), global: r.text(),
		}
		r.bits(&s.unsigned, &s.queryToo)
		s.count = r.uint()
		s.opsChunk, s.shapesChunk = chunks[1+2*i], chunks[2+2*i]
		d.services = append(d.services, s)
	}
	d.endpoints = chunks[2*n+1]
	if r.err != nil {
		return nil, r.err
	}
	// Where services share a name, the one with the most operations comes first:
	// rds before neptune, which repeats a part of it.
	slices.SortStableFunc(d.services, func(a, b *Service) int { return cmp.Compare(b.count, a.count) })
	for _, by := range []func(*Service) string{
		func(s *Service) string { return s.Name },
		func(s *Service) string { return s.SigningName },
		func(s *Service) string { return s.ID },
		func(s *Service) string { return strings.ToLower(s.ID) },
	} {
		for _, s := range d.services {
			if name := by(s); !slices.Contains(d.byName[name], s) {
				d.byName[name] = append(d.byName[name], s)
			}
		}
	}
	for _, s := range d.services {
		d.bySigning[s.SigningName] = append(d.bySigning[s.SigningName], s)
		if s.TargetPrefix != "" {
			d.byTarget[s.TargetPrefix] = append(d.byTarget[s.TargetPrefix], s)
		}
		if s.unsigned {
			d.free = append(d.free, s)
		}
	}
	for alias, name := range signingAliases {
		d.bySigning[alias] = append(d.bySigning[alias], d.bySigning[name]...)
	}
	return d, nil
}

// Services gives every service of the table, those with the most operations
// first. The slice is the caller's.
func Services() []*Service { return slices.Clone(table().services) }

// Find gives the operation called operation of the service that is named by its
// endpoint prefix, its signing name or its ID (also in lower case), in this order
// of preference. Of services that share the name, the larger is preferred that has
// the operation; FindAll gives the others.
func Find(service, operation string) (*Operation, bool) {
	for _, s := range table().byName[service] {
		if o := s.Operation(operation); o != nil {
			return o, true
		}
	}
	if lower := strings.ToLower(service); lower != service {
		return Find(lower, operation)
	}
	return nil, false
}

// FindAll gives every operation that Find may mean, the preferred first:
// DeleteLoadBalancer of both generations of "elasticloadbalancing". Their input
// shapes tell them apart: see Unknown.
func FindAll(service, operation string) []*Operation {
	var all []*Operation
	for _, s := range table().byName[service] {
		if o := s.Operation(operation); o != nil {
			all = append(all, o)
		}
	}
	if lower := strings.ToLower(service); len(all) == 0 && lower != service {
		return FindAll(lower, operation)
	}
	return all
}

// Operation gives the operation of that name, nil when the service has none.
func (s *Service) Operation(name string) *Operation {
	s.loadOperations()
	return s.byName[name]
}

// Operations gives the service's operations by name. The slice is the caller's.
func (s *Service) Operations() []*Operation {
	s.loadOperations()
	return slices.Clone(s.ops)
}

func (s *Service) loadOperations() {
	s.opsOnce.Do(func() {
		r := open(s.opsChunk)
		n := r.uint()
		all := make([]Operation, n)
		s.byName = make(map[string]*Operation, n)
		for i := range all {
			o := &all[i]
			o.Service, o.Name, o.Method, o.URI, o.HostPrefix = s, r.text(), r.text(), r.text(), r.text()
			r.bits(&o.Unsigned, &o.UnsignedBody, &o.Deprecated, &o.checksum)
			o.input, o.inputName, o.inputSpace = r.uint(), r.text(), r.text()
			o.needsQuery, o.needsHeader = r.list(), r.list()
			for i, name := range o.needsHeader {
				o.needsHeader[i] = http.CanonicalHeaderKey(name)
			}
			o.output, o.wrapper = r.uint(), r.text()
			s.ops = append(s.ops, o)
			s.byName[o.Name] = o
		}
		if r.err != nil {
			panic(fmt.Sprintf("awswire: operations of %q in the embedded table: %v", s.ID, r.err))
		}
		if s.Protocol == RestJSON || s.Protocol == RestXML {
			s.routes = newRouter(s.ops)
		}
	})
}

// A reader reads what gen.go writes. Its texts share the inflated chunk.
type reader struct {
	rest string
	err  error
}

func open(chunk []byte) *reader {
	b, err := io.ReadAll(flate.NewReader(bytes.NewReader(chunk)))
	return &reader{string(b), err}
}

func (r *reader) uint() int {
	var n uint64
	for shift, i := 0, 0; i < len(r.rest) && shift < 35; shift, i = shift+7, i+1 {
		b := r.rest[i]
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			r.rest = r.rest[i+1:]
			return int(n)
		}
	}
	r.fail()
	return 0
}

func (r *reader) text() string {
	n := r.uint()
	if n > len(r.rest) {
		r.fail()
		return ""
	}
	t := r.rest[:n]
	r.rest = r.rest[n:]
	return t
}

func (r *reader) list() []string {
	var l []string
	for range r.uint() {
		if r.err != nil {
			return nil
		}
		l = append(l, r.text())
	}
	return l
}

func (r *reader) bits(truths ...*bool) {
	n := r.uint()
	for i, t := range truths {
		*t = n&(1<<i) != 0
	}
}

func (r *reader) fail() {
	r.rest = ""
	r.err = cmp.Or(r.err, errors.New("cut off"))
}
