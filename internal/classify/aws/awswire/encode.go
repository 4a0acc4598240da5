package awswire

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Encode writes a call of the operation as a request to endpoint, a URL without
// path, or, when that is empty, to where AWS answers for the region. It is the
// reverse of Decode: params are what Decode gives, and beside that int, int64,
// float64, time.Time, []byte for blobs and []string for lists. The request is not
// signed.
//
// A call that lacks a required member, has one that the operation does not know,
// or one of another kind, is an error.
func Encode(o *Operation, params map[string]any, region, endpoint string) (*http.Request, error) {
	return encode(o, params, region, endpoint, o.Service.Protocol)
}

func encode(o *Operation, params map[string]any, region, endpoint string, p Protocol) (*http.Request, error) {
	wrong := func(err error) (*http.Request, error) {
		return nil, fmt.Errorf("encode %s of %q: %w", o.Name, o.Service.ID, err)
	}
	if unknown := o.Unknown(params); len(unknown) > 0 {
		return wrong(fmt.Errorf("no member %q", unknown[0]))
	}
	stream, _ := o.Streaming()
	for _, name := range o.Required() {
		if params[name] == nil && name != stream {
			return wrong(fmt.Errorf("without the required member %q", name))
		}
	}
	e := &encoder{operation: o, protocol: p, method: o.Method, path: "/", header: http.Header{}}
	if err := e.encode(params); err != nil {
		return wrong(err)
	}
	if endpoint == "" {
		a, err := Endpoint(o.Service.Name, region)
		if err != nil {
			return wrong(err)
		}
		prefix, err := o.hostPrefix(params)
		if err != nil {
			return wrong(err)
		}
		endpoint = "https://" + prefix + a.Host
	}
	u := strings.TrimSuffix(endpoint, "/") + e.path
	if len(e.query) > 0 {
		u += "?" + writePairs(e.query)
	}
	r, err := http.NewRequest(e.method, u, bytes.NewReader(e.body))
	if err != nil {
		return wrong(err)
	}
	for name, values := range e.header {
		r.Header[name] = values
	}
	if o.checksum && len(e.body) > 0 && r.Header.Get("Content-Md5") == "" {
		sum := md5.Sum(e.body) // what S3 asks for; it protects nothing here
		r.Header.Set("Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	}
	return r, nil
}

// hostPrefix fills in the template of what stands before the host name.
func (o *Operation) hostPrefix(params map[string]any) (string, error) {
	before, rest, ok := strings.Cut(o.HostPrefix, "{")
	if !ok {
		return o.HostPrefix, nil
	}
	label, after, _ := strings.Cut(rest, "}")
	value, _ := params[label].(string)
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return !strings.ContainsRune(hostRunes, r) }) {
		return "", fmt.Errorf("%q cannot stand in a host name", label)
	}
	return before + value + after, nil
}

const hostRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"

// An encoder collects the parts of one request.
type encoder struct {
	operation *Operation
	protocol  Protocol
	method    string
	path      string // escaped
	query     []pair
	header    http.Header
	body      []byte
}

func (e *encoder) encode(params map[string]any) error {
	o := e.operation
	in := o.inputShape()
	switch e.protocol {
	case JSON:
		e.header.Set("X-Amz-Target", o.Service.TargetPrefix+"."+o.Name)
		e.header.Set("Content-Type", "application/x-amz-json-"+cmp.Or(o.Service.JSONVersion, "1.0"))
		return e.jsonBody(in, params)
	case CBOR:
		e.path = "/service/" + o.Service.TargetPrefix + "/operation/" + o.Name
		e.header.Set("Smithy-Protocol", string(CBOR))
		e.header.Set("Content-Type", "application/cbor")
		e.header.Set("Accept", "application/cbor")
		var err error
		e.body, err = appendCBOR(nil, in, params, "")
		return err
	case Query, EC2:
		e.method = http.MethodPost
		form := []pair{{"Action", o.Name}, {"Version", o.Service.Version}}
		form, err := e.form(form, in, params, "")
		e.header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		e.body = []byte(writePairs(form))
		return err
	}
	return e.rest(in, params)
}

func (e *encoder) jsonBody(in *shape, params map[string]any) error {
	v, err := toJSON(in, params, "")
	if err != nil {
		return err
	}
	e.body, err = json.Marshal(v)
	return err
}

// rest puts each member where the model wants it.
func (e *encoder) rest(in *shape, params map[string]any) error {
	o := e.operation
	labels := map[string]string{}
	e.query = append(e.query, o.route.literals...)
	inside := map[string]any{} // the body
	for i := range in.members {
		m := &in.members[i]
		v := params[m.name]
		if v == nil {
			continue
		}
		var err error
		switch m.where {
		case inURI:
			labels[m.wireName()], err = scalarText(m.shape, v, m.name, "iso8601")
		case inQuery:
			err = e.queryMember(m, v)
		case inHeader:
			err = e.headerMember(m, v)
		case inHeaders:
			entries, ok := v.(map[string]any)
			if !ok {
				return notOf(m.shape, m.name)
			}
			for _, key := range slices.Sorted(maps.Keys(entries)) {
				s, err := scalarText(m.shape.value, entries[key], m.name, "")
				if err != nil {
					return err
				}
				e.header.Set(m.wireName()+key, s)
			}
		case inBody:
			inside[m.name] = v
		}
		if err != nil {
			return err
		}
	}
	path, err := o.route.fill(labels)
	if err != nil {
		return err
	}
	e.path = path
	if m := in.payload; m != nil {
		return e.payload(m, inside[m.name])
	}
	if len(in.byWire) == 0 {
		return nil
	}
	if o.Service.Protocol == RestXML {
		if len(inside) == 0 {
			return nil
		}
		e.header.Set("Content-Type", "application/xml")
		e.body, err = e.xmlBody(in, inside, o.inputName, o.inputSpace)
		return err
	}
	e.header.Set("Content-Type", "application/json")
	return e.jsonBody(in, inside)
}

func (e *encoder) payload(m *member, v any) error {
	if v == nil {
		return nil
	}
	var err error
	switch {
	case m.streams() || m.shape.kind == blob:
		e.body, err = rawBytes(v, m.name)
		e.contentType("application/octet-stream")
		return err
	case m.shape.kind == text:
		s, err := scalarText(m.shape, v, m.name, "")
		e.contentType("text/plain")
		e.body = []byte(s)
		return err
	case e.operation.Service.Protocol == RestXML:
		e.contentType("application/xml")
		e.body, err = e.xmlBody(m.shape, v, m.wireName(), m.namespace)
		return err
	}
	e.contentType("application/json")
	j, err := toJSON(m.shape, v, m.name)
	if err != nil {
		return err
	}
	e.body, err = json.Marshal(j)
	return err
}

// contentType is for bodies whose type no member says.
func (e *encoder) contentType(t string) {
	if e.header.Get("Content-Type") == "" {
		e.header.Set("Content-Type", t)
	}
}

func (e *encoder) queryMember(m *member, v any) error {
	switch m.shape.kind {
	case list:
		l, ok := elements(v)
		if !ok {
			return notOf(m.shape, m.name)
		}
		for _, x := range l {
			s, err := scalarText(m.shape.value, x, m.name, "iso8601")
			if err != nil {
				return err
			}
			e.query = append(e.query, pair{m.wireName(), s})
		}
		return nil
	case mapping:
		entries, ok := v.(map[string]any)
		if !ok {
			return notOf(m.shape, m.name)
		}
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			values := []any{entries[key]}
			if l, ok := elements(entries[key]); ok {
				values = l
			}
			for _, x := range values {
				s, ok := x.(string)
				if !ok {
					return notOf(m.shape.value, join(m.name, key))
				}
				e.query = append(e.query, pair{key, s})
			}
		}
		return nil
	}
	s, err := scalarText(m.shape, v, m.name, "iso8601")
	e.query = append(e.query, pair{m.wireName(), s})
	return err
}

func (e *encoder) headerMember(m *member, v any) error {
	if m.shape.kind == list {
		l, ok := elements(v)
		if !ok {
			return notOf(m.shape, m.name)
		}
		var parts []string
		for _, x := range l {
			s, err := scalarText(m.shape.value, x, m.name, "rfc822")
			if err != nil {
				return err
			}
			parts = append(parts, s)
		}
		e.header.Set(m.wireName(), strings.Join(parts, ","))
		return nil
	}
	s, err := scalarText(m.shape, v, m.name, "rfc822")
	if m.jsonValue {
		s = base64.StdEncoding.EncodeToString([]byte(s))
	}
	e.header.Set(m.wireName(), s)
	return err
}

// fill gives the path with its labels filled in, escaped.
func (r *route) fill(labels map[string]string) (string, error) {
	var b strings.Builder
	for _, s := range r.segments {
		b.WriteByte('/')
		if s.label == "" {
			b.WriteString(escape(s.literal, ""))
			continue
		}
		value := labels[s.label]
		if value == "" {
			return "", fmt.Errorf("member %q of the path is empty", s.label)
		}
		keep := ""
		if s.greedy {
			keep = "/"
		}
		b.WriteString(escape(value, keep))
	}
	if path, _, _ := strings.Cut(r.op.URI, "?"); b.Len() == 0 || strings.HasSuffix(path, "/") {
		b.WriteByte('/')
	}
	return b.String(), nil
}

// escape escapes all that SigV4 does not call unreserved (SigV4, "URI encode"),
// but for the bytes in keep.
func escape(s, keep string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0,
			strings.IndexByte(keep, c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

func writePairs(pairs []pair) string {
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(escape(p.name, ""))
		b.WriteByte('=')
		b.WriteString(escape(p.value, ""))
	}
	return b.String()
}

func notOf(sh *shape, path string) error { return fmt.Errorf("%s is not %v", path, sh.kind) }

// elements gives what may stand for a list.
func elements(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case []string:
		l := make([]any, len(v))
		for i, s := range v {
			l[i] = s
		}
		return l, true
	}
	return nil, false
}

// scalarText writes a scalar as text. Times that the shape has no format for
// are written as format says.
func scalarText(sh *shape, v any, path, format string) (string, error) {
	v, err := toScalar(sh, v, path, format)
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return string(v.(json.Number)), nil
}

// toScalar gives a string, a bool or a json.Number, whichever the shape wants.
func toScalar(sh *shape, v any, path, format string) (any, error) {
	switch x := v.(type) {
	case int:
		v = json.Number(strconv.Itoa(x))
	case int64:
		v = json.Number(strconv.FormatInt(x, 10))
	case float64:
		v = json.Number(strconv.FormatFloat(x, 'g', -1, 64))
	case []byte:
		if sh.kind == blob {
			return base64.StdEncoding.EncodeToString(x), nil
		}
	case time.Time:
		if sh.kind == timestamp {
			return writeTime(x, cmp.Or(sh.format, format)), nil
		}
	}
	if t := jsonScalar(sh, v); t != nil {
		return t, nil
	}
	return nil, notOf(sh, path)
}

func writeTime(t time.Time, format string) any {
	switch format {
	case "iso8601":
		return t.UTC().Format("2006-01-02T15:04:05.999Z07:00")
	case "rfc822":
		return t.UTC().Format(http.TimeFormat)
	}
	return json.Number(strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', -1, 64))
}

// rawBytes gives the bytes of a blob that is not written as base64.
func rawBytes(v any, path string) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return v, nil
	case string:
		b, err := base64.StdEncoding.DecodeString(v)
		if err != nil {
			return nil, fmt.Errorf("%s is not base64: %w", path, err)
		}
		return b, nil
	}
	return nil, fmt.Errorf("%s is not bytes", path)
}
