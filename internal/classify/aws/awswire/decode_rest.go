package awswire

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
)

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
		case hoisted(p.name):
			// Presigning moves headers here, and whoever checks the signature moves
			// them back. Elsewhere a service may read it or not.
			return malformed("header %s stands in the query", p.name)
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

// headers reads the headers.
func (d *decoder) headers(in *shape, params map[string]any) error {
	said := map[string][]string{}
	for name, values := range d.request.Header {
		key := http.CanonicalHeaderKey(name)
		said[key] = append(said[key], values...)
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
		if hoisted(key) && !known[key] && !slices.Contains(protocolHeaders, key) &&
			!strings.HasPrefix(key, "X-Amz-Checksum-") {
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
