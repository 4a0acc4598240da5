//go:build ignore

// Gen writes table.bin: what package awswire knows of AWS's services, compiled
// from the API models that the module github.com/aws/aws-sdk-go carries (Apache
// License 2.0). Run it with `go generate`. That module's models are of July 2025;
// with -models it reads newer ones, from the folder "data" of a botocore. See
// docs/gates/aws.md.
//
// The same models give the same bytes, whatever the version of Go: when the
// contents are what table.bin already holds, the file is left as it is.
package main

import (
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	module = "github.com/aws/aws-sdk-go@v1.55.8"
	sum    = "h1:JRmEUbU52aJQZ2AjX4q4Wu7t4uZjOu71uyNmaWlUkJQ="
)

// Facts that clients know and that the models do not hold.
var (
	// Operations whose requests carry no signature by design, beside those that
	// the models mark. Source: STS API reference, "AssumeRoleWithWebIdentity".
	unsigned = map[string]bool{
		"sts.AssumeRoleWithWebIdentity": true,
		"sts.AssumeRoleWithSAML":        true,
	}
	// Names that a service has in X-Amz-Target or in the path of rpc-v2-cbor,
	// where its model is of another protocol. By folder of the model.
	targets = map[string]string{
		"monitoring": "GraniteServiceVersion20100801",
	}
	// Names in forms, for services whose model speaks JSON and whose older clients
	// speak query: of members, of elements of lists, of keys and values of maps.
	// Source: SQS API reference, "Query protocol".
	forms = map[string]map[string]string{
		"sqs": {
			"CreateQueueRequest.Attributes":                        "Attribute",
			"CreateQueueRequest.tags":                              "Tag",
			"SetQueueAttributesRequest.Attributes":                 "Attribute",
			"SendMessageRequest.MessageAttributes":                 "MessageAttribute",
			"SendMessageRequest.MessageSystemAttributes":           "MessageSystemAttribute",
			"SendMessageBatchRequestEntry.MessageAttributes":       "MessageAttribute",
			"SendMessageBatchRequestEntry.MessageSystemAttributes": "MessageSystemAttribute",
			"TagQueueRequest.Tags":                                 "Tag",
			"AWSAccountIdList":                                     "AWSAccountId",
			"ActionNameList":                                       "ActionName",
			"AttributeNameList":                                    "AttributeName",
			"MessageAttributeNameList":                             "MessageAttributeName",
			"MessageSystemAttributeList":                           "MessageSystemAttributeName",
			"ChangeMessageVisibilityBatchRequestEntryList":         "ChangeMessageVisibilityBatchRequestEntry",
			"DeleteMessageBatchRequestEntryList":                   "DeleteMessageBatchRequestEntry",
			"SendMessageBatchRequestEntryList":                     "SendMessageBatchRequestEntry",
			"StringList":                                           "StringListValue",
			"BinaryList":                                           "BinaryListValue",
			"TagKeyList":                                           "TagKey",
			"MessageBodyAttributeMap":                              "Name Value",
			"MessageBodySystemAttributeMap":                        "Name Value",
			"QueueAttributeMap":                                    "Name Value",
			"TagMap":                                               "Key Value",
		},
	}
)

type ref struct {
	Shape            string
	Location         string
	LocationName     string
	QueryName        string
	ResultWrapper    string
	Flattened        bool
	IdempotencyToken bool
	HostLabel        bool
	JSONValue        bool
	Streaming        bool
	EventPayload     bool
	XMLAttribute     bool
	XMLNamespace     namespace
}

type namespace struct{ Prefix, URI string }

// UnmarshalJSON accepts the two forms that models have: an object and a string.
func (n *namespace) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte(`"`)) {
		return json.Unmarshal(b, &n.URI)
	}
	type plain namespace
	return json.Unmarshal(b, (*plain)(n))
}

type shape struct {
	Type            string
	Members         json.RawMessage
	Required        []string
	Member          *ref
	Key, Value      *ref
	Flattened       bool
	Payload         string
	Streaming       bool
	EventStream     bool
	Document        bool
	TimestampFormat string
	XMLNamespace    namespace
}

type operation struct {
	Name string
	HTTP struct{ Method, RequestURI string }

	Input, Output *ref

	AuthType   string
	Auth       []string
	Deprecated bool
	Endpoint   struct{ HostPrefix string }

	HTTPChecksumRequired bool
	HTTPChecksum         struct{ RequestChecksumRequired bool }
}

type model struct {
	Metadata struct {
		APIVersion         string
		EndpointPrefix     string
		GlobalEndpoint     string
		JSONVersion        string
		Protocol           string
		Protocols          []string
		ServiceID          string
		SigningName        string
		TargetPrefix       string
		XMLNamespace       string
		AWSQueryCompatible json.RawMessage
	}
	Operations map[string]operation
	Shapes     map[string]shape
}

func main() {
	log.SetFlags(0)
	dir := flag.String("models", "", "`folder` of botocore's data, or models of aws-sdk-go; default: of "+module)
	out := flag.String("o", "table.bin", "`file` to write")
	flag.Parse()
	if *dir == "" {
		*dir = download()
	}
	chunks := [][]byte{nil}
	var directory buffer
	models := map[string]*model{}
	for _, file := range newest(*dir) {
		var m model
		if read(file, &m); len(m.Operations) > 0 { // some were emptied when they were shut down
			models[filepath.Base(filepath.Dir(filepath.Dir(file)))] = &m
		}
	}
	directory.uint(len(models))
	for _, folder := range slices.Sorted(maps.Keys(models)) {
		chunks = append(chunks, service(&directory, folder, models[folder])...)
	}
	chunks[0] = directory.Bytes()
	chunks = append(chunks, endpoints(only(*dir, "endpoints.json", "endpoints/endpoints.json")))
	write(*out, chunks)
}

// download gives the models' folder of the module, checked against its sum.
func download() string {
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir = os.TempDir() // not to touch the go.mod that stands above us
	cmd.Stderr = os.Stderr
	b, err := cmd.Output()
	if err != nil {
		log.Fatalf("go mod download %s: %v: %s", module, err, b)
	}
	var got struct{ Dir, Sum string }
	if err := json.Unmarshal(b, &got); err != nil {
		log.Fatal(err)
	}
	if got.Sum != sum {
		log.Fatalf("%s has sum %s, want %s", module, got.Sum, sum)
	}
	return filepath.Join(got.Dir, "models")
}

// newest gives the file of the newest version of each service's model.
func newest(dir string) []string {
	var files []string
	for _, pattern := range []string{"apis/*/*/api-2.json", "*/*/service-2.json", "*/*/service-2.json.gz"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			log.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		log.Fatalf("no models in %s", dir)
	}
	slices.Sort(files)
	last := map[string]string{}
	for _, f := range files {
		last[filepath.Dir(filepath.Dir(f))] = f
	}
	return slices.Sorted(maps.Values(last))
}

// only gives the one of the names that is there.
func only(dir string, names ...string) string {
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return filepath.Join(dir, name)
		}
	}
	log.Fatalf("none of %q in %s", names, dir)
	return ""
}

func read(file string, v any) {
	b, err := os.ReadFile(file)
	if err == nil && strings.HasSuffix(file, ".gz") {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(b)); err == nil {
			b, err = io.ReadAll(z)
		}
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		log.Fatalf("%s: %v", file, err)
	}
}

// service adds a line to the directory and gives the service's two chunks: its
// operations and its shapes. table.go reads what is written here.
func service(dir *buffer, folder string, m *model) [][]byte {
	md := m.Metadata
	if md.SigningName == "" {
		md.SigningName = md.EndpointPrefix
	}
	if t := targets[folder]; t != "" {
		md.TargetPrefix = t
	}
	// Of several protocols the first that has a server everywhere: clients of
	// rpc-v2-cbor name the service in the path, and are understood beside it.
	queryToo := len(md.AWSQueryCompatible) > 0
	for _, p := range md.Protocols {
		if p != "smithy-rpc-v2-cbor" {
			queryToo = queryToo || p != "query" && slices.Contains(md.Protocols, "query")
			md.Protocol = p
			break
		}
	}
	md.Protocol = strings.TrimPrefix(md.Protocol, "smithy-")
	var ops buffer
	s := &shapes{model: m, forms: forms[folder], index: map[string]int{}, names: map[string]int{}}
	names := slices.Sorted(maps.Keys(m.Operations))
	ops.uint(len(names))
	free := false
	for _, name := range names {
		o := m.Operations[name]
		noAuth := o.AuthType == "none" || slices.Contains(o.Auth, "smithy.api#noAuth") || unsigned[folder+"."+name]
		free = free || noAuth
		ops.text(name)
		ops.text(o.HTTP.Method)
		ops.text(o.HTTP.RequestURI)
		ops.text(o.Endpoint.HostPrefix)
		ops.bits(noAuth, o.AuthType == "v4-unsigned-body", o.Deprecated,
			o.HTTPChecksumRequired || o.HTTPChecksum.RequestChecksumRequired)
		in := ref{}
		if o.Input != nil {
			in = *o.Input
		}
		ops.uint(s.add(in.Shape))
		ops.text(in.LocationName)
		ops.text(in.XMLNamespace.URI)
		query, header := required(m.Shapes[in.Shape])
		ops.list(query)
		ops.list(header)
		res := ref{}
		if o.Output != nil {
			res = *o.Output
		}
		ops.uint(s.add(res.Shape))
		ops.text(res.ResultWrapper)
	}
	dir.text(md.EndpointPrefix)
	dir.text(md.ServiceID)
	dir.text(md.SigningName)
	dir.text(md.Protocol)
	dir.text(md.APIVersion)
	dir.text(md.TargetPrefix)
	dir.text(md.JSONVersion)
	dir.text(md.XMLNamespace)
	dir.text(md.GlobalEndpoint)
	dir.bits(free, queryToo)
	dir.uint(len(names))
	return [][]byte{ops.Bytes(), s.bytes()}
}

// required gives the wire names of the query parameters and headers without
// which a request is not this operation's.
func required(s shape) (query, header []string) {
	for _, f := range members(s) {
		if !slices.Contains(s.Required, f.name) {
			continue
		}
		switch f.ref.Location {
		case "querystring":
			query = append(query, f.ref.LocationName)
		case "header":
			header = append(header, f.ref.LocationName)
		}
	}
	return query, header
}

type field struct {
	name string
	ref  ref
}

// members gives a structure's members in the model's order, which is the order
// of elements in XML.
func members(s shape) []field {
	if len(s.Members) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(s.Members))
	if _, err := d.Token(); err != nil {
		log.Fatal(err)
	}
	var fields []field
	for d.More() {
		name, err := d.Token()
		if err != nil {
			log.Fatal(err)
		}
		f := field{name: name.(string)}
		if err := d.Decode(&f.ref); err != nil {
			log.Fatal(err)
		}
		fields = append(fields, f)
	}
	return fields
}

// shapes collects what operations reach. Scalars that look alike on the wire
// are one shape.
type shapes struct {
	model *model
	forms map[string]string
	index map[string]int // by name or, for scalars, by looks; the index plus one
	list  []string
	names map[string]int
	texts []string
}

func (s *shapes) add(name string) int {
	if name == "" {
		return 0
	}
	if i := s.index[name]; i > 0 {
		return i
	}
	sh, ok := s.model.Shapes[name]
	if !ok {
		log.Fatalf("%s: no shape %q", s.model.Metadata.ServiceID, name)
	}
	looks := name
	switch sh.Type {
	case "structure", "list", "map":
	default:
		looks = fmt.Sprintf("%s/%s/%t", sh.Type, sh.TimestampFormat, sh.Streaming)
	}
	i := s.index[looks]
	if i == 0 {
		s.list = append(s.list, name)
		i = len(s.list)
		s.index[looks] = i
	}
	s.index[name] = i
	for _, f := range members(sh) {
		s.add(f.ref.Shape)
	}
	for _, r := range []*ref{sh.Member, sh.Key, sh.Value} {
		if r != nil {
			s.add(r.Shape)
		}
	}
	return i
}

func (s *shapes) text(t string) int {
	if t == "" {
		return 0
	}
	if i := s.names[t]; i > 0 {
		return i
	}
	s.texts = append(s.texts, t)
	s.names[t] = len(s.texts)
	return len(s.texts)
}

func (s *shapes) bytes() []byte {
	var body buffer
	for _, name := range s.list {
		sh := s.model.Shapes[name]
		kind := slices.Index([]string{"structure", "list", "map", "string", "integer", "long", "float", "double",
			"boolean", "timestamp", "blob"}, sh.Type)
		if kind < 0 {
			log.Fatalf("shape %s has the unknown type %q", name, sh.Type)
		}
		body.uint(kind)
		switch sh.Type {
		case "structure":
			body.bits(sh.EventStream, sh.Document)
			body.uint(s.text(sh.Payload))
			fields := members(sh)
			body.uint(len(fields))
			for _, f := range fields {
				if f.ref.XMLNamespace == (namespace{}) {
					f.ref.XMLNamespace = s.model.Shapes[f.ref.Shape].XMLNamespace
				}
				body.uint(s.text(f.name))
				body.uint(s.index[f.ref.Shape])
				where := slices.Index([]string{"", "header", "headers", "uri", "querystring", "statusCode"},
					f.ref.Location)
				if where < 0 {
					log.Fatalf("member %s.%s has the unknown location %q", name, f.name, f.ref.Location)
				}
				body.uint(where)
				body.bits(slices.Contains(sh.Required, f.name), f.ref.IdempotencyToken, f.ref.HostLabel,
					f.ref.JSONValue,
					f.ref.Flattened, f.ref.XMLAttribute, f.ref.Streaming, f.ref.EventPayload)
				body.uint(s.text(f.ref.LocationName))
				body.uint(s.text(cmp.Or(s.forms[name+"."+f.name], f.ref.QueryName)))
				body.uint(s.text(f.ref.XMLNamespace.Prefix))
				body.uint(s.text(f.ref.XMLNamespace.URI))
			}
		case "list":
			body.bits(sh.Flattened)
			body.uint(s.index[sh.Member.Shape])
			body.uint(s.text(cmp.Or(s.forms[name], sh.Member.LocationName)))
		case "map":
			body.bits(sh.Flattened)
			key, value, _ := strings.Cut(s.forms[name], " ")
			body.uint(s.index[sh.Key.Shape])
			body.uint(s.text(cmp.Or(key, sh.Key.LocationName)))
			body.uint(s.index[sh.Value.Shape])
			body.uint(s.text(cmp.Or(value, sh.Value.LocationName)))
		case "timestamp":
			body.text(sh.TimestampFormat)
		case "blob":
			body.bits(sh.Streaming)
		}
	}
	var all buffer
	all.list(s.texts)
	all.uint(len(s.list))
	all.Write(body.Bytes())
	return all.Bytes()
}

type host struct {
	Hostname        string
	CredentialScope struct{ Region, Service string }
	Deprecated      bool
}

// endpoints compiles where services answer; endpoint.go reads it.
func endpoints(file string) []byte {
	var doc struct {
		Partitions []struct {
			Partition   string
			DNSSuffix   string
			RegionRegex string
			Defaults    host
			Regions     map[string]any
			Services    map[string]struct {
				Defaults          host
				Endpoints         map[string]host
				IsRegionalized    *bool
				PartitionEndpoint string
			}
		}
	}
	read(file, &doc)
	var b buffer
	b.uint(len(doc.Partitions))
	for _, p := range doc.Partitions {
		b.text(p.Partition)
		b.text(p.DNSSuffix)
		b.text(p.RegionRegex)
		b.text(p.Defaults.Hostname)
		b.list(slices.Sorted(maps.Keys(p.Regions)))
		b.uint(len(p.Services))
		for _, name := range slices.Sorted(maps.Keys(p.Services)) {
			s := p.Services[name]
			b.text(name)
			b.bits(s.IsRegionalized != nil && !*s.IsRegionalized)
			b.text(s.PartitionEndpoint)
			b.text(s.Defaults.Hostname)
			b.text(s.Defaults.CredentialScope.Region)
			b.text(s.Defaults.CredentialScope.Service)
			var said []string
			for _, region := range slices.Sorted(maps.Keys(s.Endpoints)) {
				h := s.Endpoints[region]
				if !h.Deprecated && (h.Hostname != "" || h.CredentialScope.Region != "" ||
					h.CredentialScope.Service != "") {
					said = append(said, region)
				}
			}
			b.uint(len(said))
			for _, region := range said {
				h := s.Endpoints[region]
				b.text(region)
				b.text(h.Hostname)
				b.text(h.CredentialScope.Region)
				b.text(h.CredentialScope.Service)
			}
		}
	}
	return b.Bytes()
}

// write writes the chunks, each deflated and preceded by its length, unless the
// file holds them already.
func write(out string, chunks [][]byte) {
	if old, err := os.ReadFile(out); err == nil && slices.EqualFunc(inflate(old), chunks, bytes.Equal) {
		return
	}
	var b buffer
	for _, c := range chunks {
		var z bytes.Buffer
		w, err := flate.NewWriter(&z, flate.BestCompression)
		if err != nil {
			log.Fatal(err)
		}
		w.Write(c)
		w.Close()
		b.uint(z.Len())
		b.Write(z.Bytes())
	}
	if err := os.WriteFile(out, b.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}

func inflate(b []byte) (chunks [][]byte) {
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return nil
		}
		c, err := io.ReadAll(flate.NewReader(bytes.NewReader(b[k : k+int(n)])))
		if err != nil {
			return nil
		}
		chunks = append(chunks, c)
		b = b[k+int(n):]
	}
	return chunks
}

// buffer writes the table's three notions: numbers as uvarints, texts and lists
// with their lengths before them, and truths as bits of a number.
type buffer struct{ bytes.Buffer }

func (b *buffer) uint(n int) { b.Write(binary.AppendUvarint(nil, uint64(n))) }

func (b *buffer) text(s string) {
	b.uint(len(s))
	b.WriteString(s)
}

func (b *buffer) list(l []string) {
	b.uint(len(l))
	for _, s := range l {
		b.text(s)
	}
}

func (b *buffer) bits(truths ...bool) {
	n := 0
	for i, t := range truths {
		if t {
			n |= 1 << i
		}
	}
	b.uint(n)
}
