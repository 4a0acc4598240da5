package awswire

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxInflated bounds what a compressed body may hold.
const maxInflated = 16 << 20

// Decode gives the operation's parameters, with members in API names, by the
// shapes of the operation's input: string, bool, json.Number, []any and
// map[string]any. Timestamps are as they were sent; blobs are base64 text. The
// body of an operation that streams it is left out.
//
// What the input does not know stands under the key "" as a []string of paths,
// sorted: members, query parameters, and, for the REST protocols, headers that
// begin with "x-amz-". The error is ErrDuplicate for what is said twice and
// ErrMalformed for what does not follow the protocol and the shapes.
func Decode(o *Operation, r Request) (map[string]any, error) {
	return decode(o, &r, protocolOf(o, &r))
}

// protocolOf says which protocol a request for o is in, as Identify has it.
func protocolOf(o *Operation, r *Request) Protocol {
	switch {
	case r.Header.Get("Smithy-Protocol") != "":
		return CBOR
	case r.Header.Get("X-Amz-Target") != "":
		return JSON
	case o.Service.queryToo && o.Service.Protocol == JSON:
		return Query
	}
	return o.Service.Protocol
}

func decode(o *Operation, r *Request, p Protocol) (map[string]any, error) {
	q, err := r.parse()
	if err != nil {
		return nil, err
	}
	d := &decoder{operation: o, request: q}
	params := map[string]any{}
	switch p {
	case JSON, CBOR:
		err = d.rpc(params, p)
	case Query, EC2:
		err = d.forms(params)
	default:
		err = d.rest(params)
	}
	if err == nil {
		err = d.hostLabels(params)
	}
	if err != nil {
		return nil, err
	}
	if len(d.unknown) > 0 {
		slices.Sort(d.unknown)
		params[""] = slices.Compact(d.unknown)
	}
	return params, nil
}

// A decoder decodes one request, or with answer set, one answer: answers are
// the service's and read without suspicion.
type decoder struct {
	operation *Operation
	request   request
	answer    bool
	unknown   []string
	values    int
}

// count bounds how many values there are, and how deep they lie.
func (d *decoder) count(depth int) error {
	if d.values++; d.values > maxValues {
		return malformed("more than %d values", maxValues)
	}
	if depth > maxDepth {
		return malformed("more than %d levels deep", maxDepth)
	}
	return nil
}

func (d *decoder) strange(path string) {
	if !d.answer {
		d.unknown = append(d.unknown, path)
	}
}

// body gives the body, inflated if it is compressed.
func (d *decoder) body() ([]byte, error) {
	encoding := d.request.Header.Get("Content-Encoding")
	if encoding == "" || strings.EqualFold(encoding, "identity") || len(d.request.Body) == 0 {
		return d.request.Body, nil
	}
	if !strings.EqualFold(encoding, "gzip") {
		return nil, malformed("a body with the encoding %q", encoding)
	}
	z, err := gzip.NewReader(bytes.NewReader(d.request.Body))
	if err != nil {
		return nil, malformed("a body that is not gzip: %v", err)
	}
	b, err := io.ReadAll(io.LimitReader(z, maxInflated+1))
	if err != nil {
		return nil, malformed("a body that is not gzip: %v", err)
	}
	if len(b) > maxInflated {
		return nil, malformed("a compressed body of more than %d bytes", maxInflated)
	}
	return b, nil
}

// rpc is for json and rpc-v2-cbor: everything is in the body.
func (d *decoder) rpc(params map[string]any, p Protocol) error {
	for _, x := range d.request.query {
		if !slices.Contains(protocolParams, x.name) {
			d.strange("?" + x.name)
		}
	}
	body, err := d.body()
	if err != nil || len(body) == 0 {
		return err
	}
	var v any
	if p == CBOR {
		v, err = d.cbor(d.operation.inputShape(), body)
	} else {
		v, err = d.json(d.operation.inputShape(), body, "")
	}
	if err != nil {
		return err
	}
	return d.fill(params, v)
}

// fill moves a decoded structure's members into params.
func (d *decoder) fill(params map[string]any, v any) error {
	members, _ := v.(map[string]any)
	for name, x := range members {
		if _, ok := params[name]; ok {
			return duplicate(name)
		}
		params[name] = x
	}
	return nil
}

// hostLabels fills in what only the host name says, and sees to it that the host
// name does not contradict the rest.
func (d *decoder) hostLabels(params map[string]any) error {
	o := d.operation
	prefix, _ := d.request.prefix()
	if o.HostPrefix == "" || prefix == "" {
		return nil
	}
	template := strings.TrimSuffix(o.HostPrefix, ".")
	before, rest, ok := strings.Cut(template, "{")
	if !ok {
		return nil
	}
	label, after, _ := strings.Cut(rest, "}")
	value, ok := strings.CutPrefix(prefix, strings.ToLower(before))
	if value2, ok2 := strings.CutSuffix(value, strings.ToLower(after)); ok && ok2 {
		value = value2
	} else {
		return malformed("host %q for the host prefix %q", d.request.Host, o.HostPrefix)
	}
	switch said := params[label].(type) {
	case nil:
		params[label] = value
	case string:
		if !strings.EqualFold(said, value) {
			return duplicate(label)
		}
	}
	return nil
}

// scalar reads a value that is written as text: in forms, headers, paths and XML.
func (d *decoder) scalar(sh *shape, s, path string) (any, error) {
	if !d.answer && !utf8.ValidString(s) {
		return nil, malformed("%s is not UTF-8", path)
	}
	switch sh.kind {
	case text, timestamp, blob:
		return s, nil
	case integer, long:
		if n, err := strconv.ParseInt(strings.TrimPrefix(s, "+"), 10, 64); err == nil {
			return json.Number(strconv.FormatInt(n, 10)), nil
		}
	case float, double:
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			if math.IsNaN(f) || math.IsInf(f, 0) {
				return s, nil
			}
			return json.Number(strconv.FormatFloat(f, 'g', -1, 64)), nil
		}
	case boolean:
		switch strings.ToLower(s) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
	}
	if d.answer {
		return s, nil
	}
	return nil, malformed("%s is %q, and not %v", path, s, sh.kind)
}

var kindNames = []string{"a structure", "a list", "a map", "text", "an integer", "an integer", "a number", "a number", "a boolean", "a time", "bytes"}

func (k kind) String() string { return kindNames[k] }

// rest is for rest-json and rest-xml: parameters are in the path, the query,
// headers and the body.
func (d *decoder) rest(params map[string]any) error {
	o := d.operation
	in := o.inputShape()
	if err := d.labels(in, params); err != nil {
		return err
	}
	if err := d.query(in, params); err != nil {
		return err
	}
	if err := d.headers(in, params); err != nil {
		return err
	}
	if m := in.payload; m != nil {
		if m.streams() {
			return nil
		}
		body, err := d.body()
		if err != nil || len(body) == 0 {
			return err
		}
		v, err := d.payload(m, body)
		if err == nil && v != nil {
			params[m.name] = v
		}
		return err
	}
	body, err := d.body()
	if err != nil || len(body) == 0 {
		return err
	}
	if len(in.byWire) == 0 {
		d.strange("(body)")
		return nil
	}
	var v any
	if o.Service.Protocol == RestXML {
		v, err = d.xmlBody(in, body, o.inputName)
	} else {
		v, err = d.json(in, body, "")
	}
	if err != nil {
		return err
	}
	return d.fill(params, v)
}

// payload reads a member that is the whole body.
func (d *decoder) payload(m *member, body []byte) (any, error) {
	switch {
	case m.shape.kind == blob:
		return base64.StdEncoding.EncodeToString(body), nil
	case m.shape.kind == text:
		return d.scalar(m.shape, string(body), m.name)
	case d.operation.Service.Protocol == RestXML:
		return d.xmlBody(m.shape, body, m.wireName())
	}
	return d.json(m.shape, body, m.name)
}

// labels reads what the path says.
func (d *decoder) labels(in *shape, params map[string]any) error {
	r := d.operation.route
	path := d.request.Path
	if d.operation.Service.Name == "s3" && d.operation.HostPrefix == "" {
		if prefix, ok := d.request.prefix(); ok && prefix != "" {
			path = "/" + prefix + path
		}
	}
	var err error
	ok := r.match(path, func(label, value string) {
		for i := range in.members {
			m := &in.members[i]
			if m.where != inURI || m.wireName() != label {
				continue
			}
			v, e := d.scalar(m.shape, value, m.name)
			if e != nil {
				err = e
			}
			params[m.name] = v
		}
	})
	if !ok {
		return malformed("path %q for %s", d.request.Path, d.operation.URI)
	}
	return err
}

// query reads the query's parameters. Those of lists may be there many times.
func (d *decoder) query(in *shape, params map[string]any) error {
	var rest *member // takes what nobody else does
	byWire := map[string]*member{}
	for i := range in.members {
		m := &in.members[i]
		switch {
		case m.where != inQuery:
		case m.shape.kind == mapping:
			rest = m
		default:
			byWire[m.wireName()] = m
		}
	}
	literal := map[string]bool{}
	for _, l := range d.operation.route.literals {
		literal[l.name] = false
	}
	for _, p := range d.request.query {
		if err := d.count(0); err != nil {
			return err
		}
		m := byWire[p.name]
		if seen, ok := literal[p.name]; ok && m == nil {
			if seen {
				return duplicate("?" + p.name)
			}
			literal[p.name] = true
			continue
		}
		switch {
		case m != nil && m.shape.kind == list:
			v, err := d.scalar(m.shape.value, p.value, m.name)
			if err != nil {
				return err
			}
			l, _ := params[m.name].([]any)
			params[m.name] = append(l, v)
		case m != nil:
			if _, ok := params[m.name]; ok {
				return duplicate(m.name)
			}
			v, err := d.scalar(m.shape, p.value, m.name)
			if err != nil {
				return err
			}
			params[m.name] = v
		case slices.Contains(protocolParams, p.name):
		case hoisted(p.name): // headers reads it
		case rest != nil:
			if err := d.addToMap(params, rest, p); err != nil {
				return err
			}
		default:
			d.strange("?" + p.name)
		}
	}
	return nil
}

func (d *decoder) addToMap(params map[string]any, m *member, p pair) error {
	into, _ := params[m.name].(map[string]any)
	if into == nil {
		into = map[string]any{}
		params[m.name] = into
	}
	if m.shape.value.kind == list {
		l, _ := into[p.name].([]any)
		into[p.name] = append(l, p.value)
		return nil
	}
	if _, ok := into[p.name]; ok {
		return duplicate(join(m.name, p.name))
	}
	into[p.name] = p.value
	return nil
}

// protocolHeaders begin with "x-amz-" and speak of the request and not of what
// is asked. Checksums are the same whether a model has them or not.
var protocolHeaders = []string{
	"X-Amz-Date", "X-Amz-Content-Sha256", "X-Amz-Security-Token", "X-Amz-User-Agent", "X-Amz-Decoded-Content-Length",
	"X-Amz-Trailer", "X-Amz-Te", "X-Amz-S3session-Token", "X-Amz-Sdk-Checksum-Algorithm",
}

// headers reads the headers, also those that presigning moved into the query.
func (d *decoder) headers(in *shape, params map[string]any) error {
	said := map[string][]string{}
	for name, values := range d.request.Header {
		key := http.CanonicalHeaderKey(name)
		said[key] = append(said[key], values...)
	}
	for _, p := range d.request.query {
		if hoisted(p.name) && !slices.Contains(protocolParams, p.name) && !in.inQuery(p.name) {
			key := http.CanonicalHeaderKey(p.name)
			said[key] = append(said[key], p.value)
		}
	}
	known := map[string]bool{}
	for i := range in.members {
		m := &in.members[i]
		switch m.where {
		case inHeader:
			key := http.CanonicalHeaderKey(m.wireName())
			known[key] = true
			values := said[key]
			if len(values) == 0 {
				continue
			}
			v, err := d.header(m, values)
			if err != nil {
				return err
			}
			params[m.name] = v
		case inHeaders:
			prefix := http.CanonicalHeaderKey(m.wireName())
			into := map[string]any{}
			for key, values := range said {
				if name, ok := strings.CutPrefix(key, prefix); ok && prefix != "" {
					known[key] = true
					if len(values) != 1 {
						return duplicate(key)
					}
					into[strings.ToLower(name)] = values[0]
				}
			}
			if len(into) > 0 {
				params[m.name] = into
			}
		}
	}
	for key := range said {
		if hoisted(key) && !known[key] && !slices.Contains(protocolHeaders, key) && !strings.HasPrefix(key, "X-Amz-Checksum-") {
			d.strange(strings.ToLower(key))
		}
	}
	return nil
}

func (d *decoder) header(m *member, values []string) (any, error) {
	if m.shape.kind == list {
		l := []any{}
		for _, s := range strings.Split(strings.Join(values, ","), ",") {
			v, err := d.scalar(m.shape.value, strings.TrimSpace(s), m.name)
			if err != nil {
				return nil, err
			}
			l = append(l, v)
		}
		return l, nil
	}
	if len(values) != 1 {
		return nil, duplicate(m.name)
	}
	if m.jsonValue {
		b, err := base64.StdEncoding.DecodeString(values[0])
		if err != nil {
			return nil, malformed("%s is not base64", m.name)
		}
		return d.scalar(m.shape, string(b), m.name)
	}
	return d.scalar(m.shape, values[0], m.name)
}
