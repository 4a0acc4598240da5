package awswire

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"math"
	"mime"
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
	exact     bool // query and ec2, where only "true" is known to be true to all
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

// body gives the body of a request, inflated if it is compressed, or that of an
// answer.
func (d *decoder) body() ([]byte, error) {
	if d.answer || d.operation.carriesData() {
		return d.request.Body, nil
	}
	return d.request.plain()
}

// carriesData reports whether the body is the caller's own data, whose encoding
// is no matter of the protocol.
func (o *Operation) carriesData() bool {
	in := o.inputShape()
	if in.payload != nil && in.payload.shape.kind == blob {
		return true
	}
	return slices.ContainsFunc(in.members, func(m member) bool {
		return m.where == inHeader && strings.EqualFold(m.wireName(), "Content-Encoding")
	})
}

// Plain gives the request with its body inflated, so that nobody after it can
// read the compressed form in another way. Data of the caller's own stays as it
// is.
func Plain(o *Operation, r Request) (Request, error) {
	if o.carriesData() || !r.encoded() {
		return r, nil
	}
	body, err := r.plain()
	if err != nil {
		return r, err
	}
	r.Body, r.Header = body, r.Header.Clone()
	r.Header.Del("Content-Encoding")
	return r, nil
}

// encoded reports whether the body is said to be compressed.
func (r *Request) encoded() bool {
	e := r.Header.Get("Content-Encoding")
	return e != "" && len(r.Body) > 0
}

// plain gives the body, inflated if it is compressed, as text in UTF-8.
func (r *Request) plain() ([]byte, error) {
	if _, p, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil {
		if c := p["charset"]; c != "" && !strings.EqualFold(c, "utf-8") && !strings.EqualFold(c, "us-ascii") {
			return nil, malformed("a body in the character set %q", c)
		}
	}
	encoding := r.Header.Get("Content-Encoding")
	if !r.encoded() || strings.EqualFold(encoding, "identity") {
		return r.Body, nil
	}
	if !strings.EqualFold(encoding, "gzip") {
		return nil, malformed("a body with the encoding %q", encoding)
	}
	z, err := gzip.NewReader(bytes.NewReader(r.Body))
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
		if !d.exact { // SDKs write False in headers
			s = strings.ToLower(s)
		}
		switch s {
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

var kindNames = []string{"a structure", "a list", "a map", "text", "an integer", "an integer", "a number", "a number",
	"a boolean", "a time", "bytes"}

func (k kind) String() string { return kindNames[k] }
