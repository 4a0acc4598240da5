package awswire

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A ServiceError is an error that the service answered.
type ServiceError struct {
	Status  int    // of HTTP
	Code    string // "ValidationError", without namespace
	Message string
}

func (e *ServiceError) Error() string {
	return fmt.Sprintf("%s (HTTP status %d): %s", e.Code, e.Status, e.Message)
}

// An Answer is what a service answered, or a part of it, with members in API
// names whatever the protocol. Elements of the paths below are names of members
// and keys of maps; the empty path is the answer itself. What is not there, or
// of another kind, is empty. The zero Answer is an empty one.
type Answer struct{ value any }

// At gives the part at path.
func (a Answer) At(path ...string) Answer {
	for _, name := range path {
		members, _ := a.value.(map[string]any)
		a.value = members[name]
	}
	return a
}

// Has reports whether there is something at path, be it empty.
func (a Answer) Has(path ...string) bool { return a.At(path...).value != nil }

// Text gives the text, number or time at path as it was sent.
func (a Answer) Text(path ...string) string {
	switch v := a.At(path...).value.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// Int gives the number at path, without its fraction.
func (a Answer) Int(path ...string) int64 {
	s := a.Text(path...)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return int64(f)
}

// Bool gives the truth at path.
func (a Answer) Bool(path ...string) bool {
	v, _ := a.At(path...).value.(bool)
	return v
}

// List gives the elements of the list at path.
func (a Answer) List(path ...string) []Answer {
	l, _ := a.At(path...).value.([]any)
	all := make([]Answer, len(l))
	for i, v := range l {
		all[i] = Answer{v}
	}
	return all
}

// Keys gives the names of what is at path, sorted.
func (a Answer) Keys(path ...string) []string {
	members, _ := a.At(path...).value.(map[string]any)
	return slices.Sorted(maps.Keys(members))
}

// Time gives the time at path in any of the forms that services use; zero when
// there is none.
func (a Answer) Time(path ...string) time.Time {
	s := a.Text(path...)
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return time.UnixMilli(int64(f * 1000)).UTC()
	}
	for _, layout := range []string{time.RFC3339Nano, http.TimeFormat, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// ReadAnswer decodes what a service answered to the operation, by the shapes of
// its output. Streams are left out; what the output does not know is dropped. An
// answer that is an error, by its status or, as S3 has it, in a body with status
// 200, is a *ServiceError.
func ReadAnswer(o *Operation, status int, h http.Header, body []byte) (Answer, error) {
	if status >= 300 {
		return Answer{}, readError(o, status, h, body)
	}
	d := &decoder{operation: o, answer: true, request: request{Request: &Request{Header: h, Body: body}}}
	v, err := d.answerOf(o.outputShape(), h)
	if err != nil {
		if e, ok := err.(*ServiceError); ok {
			e.Status = status
			return Answer{}, e
		}
		return Answer{}, fmt.Errorf("the answer to %s of %q: %w", o.Name, o.Service.ID, err)
	}
	return Answer{v}, nil
}

func (d *decoder) answerOf(out *shape, h http.Header) (map[string]any, error) {
	v := map[string]any{}
	o := d.operation
	body, err := d.body()
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(h.Get("Content-Type"), "application/cbor") {
		if len(body) == 0 {
			return v, nil
		}
		x, err := d.cbor(out, body)
		if err != nil {
			return nil, err
		}
		return v, d.fill(v, x)
	}
	var in any
	switch o.Service.Protocol {
	case JSON:
		if len(body) > 0 {
			in, err = d.json(out, body, "")
		}
	case Query, EC2, RestXML:
		if in, err = d.answerXML(out, body, v); err != nil {
			return nil, err
		}
	case RestJSON:
		in, err = d.answerJSON(out, body, v)
	}
	if err != nil {
		return nil, err
	}
	if err := d.fill(v, in); err != nil {
		return nil, err
	}
	return v, d.answerHeaders(out, h, v)
}

func (d *decoder) answerJSON(out *shape, body []byte, v map[string]any) (any, error) {
	m := out.payload
	switch {
	case len(body) == 0 || m != nil && m.streams():
		return nil, nil
	case m != nil:
		x, err := d.payload(m, body)
		v[m.name] = x
		return nil, err
	case len(out.byWire) == 0:
		return nil, nil
	}
	return d.json(out, body, "")
}

func (d *decoder) answerXML(out *shape, body []byte, v map[string]any) (any, error) {
	o := d.operation
	m := out.payload
	if len(body) == 0 || m != nil && m.streams() {
		return nil, nil
	}
	if m != nil && m.shape.kind > mapping {
		x, err := d.payload(m, body)
		v[m.name] = x
		return nil, err
	}
	root, err := d.parseXML(body)
	if err != nil {
		return nil, err
	}
	if o.Service.Protocol == RestXML && root.name == "Error" {
		code, message := root.kid("Code").text, root.kid("Message").text
		return nil, &ServiceError{Code: code, Message: message}
	}
	if o.wrapper != "" {
		root = root.kid(o.wrapper)
	}
	if m != nil {
		x, err := d.xml(m.shape, root, m.name, 0)
		v[m.name] = x
		return nil, err
	}
	// GetBucketLocation's only member is the root itself.
	if only := out.byWire[root.name]; only != nil && only.shape.kind > mapping && len(root.kids) == 0 {
		x, err := d.xml(only.shape, root, only.name, 0)
		v[only.name] = x
		return nil, err
	}
	return d.xml(out, root, "", 0)
}

// kid gives the first child called name, an empty element when there is none.
func (e *element) kid(name string) *element {
	for _, k := range e.kids {
		if k.name == name {
			return k
		}
	}
	return &element{name: name}
}

func (d *decoder) answerHeaders(out *shape, h http.Header, v map[string]any) error {
	for i := range out.members {
		m := &out.members[i]
		switch m.where {
		case inHeader:
			if values := h.Values(m.wireName()); len(values) > 0 {
				x, err := d.header(m, values)
				if err != nil {
					return err
				}
				v[m.name] = x
			}
		case inHeaders:
			into := map[string]any{}
			for key, values := range h {
				if len(key) >= len(m.wireName()) && strings.EqualFold(key[:len(m.wireName())], m.wireName()) {
					into[strings.ToLower(key[len(m.wireName()):])] = strings.Join(values, ",")
				}
			}
			if len(into) > 0 {
				v[m.name] = into
			}
		}
	}
	return nil
}

// readError reads an error in any of the services' shapes.
func readError(o *Operation, status int, h http.Header, body []byte) *ServiceError {
	e := &ServiceError{Status: status, Code: h.Get("X-Amzn-Errortype")}
	d := &decoder{operation: o, answer: true}
	contentType := h.Get("Content-Type")
	switch p := o.Service.Protocol; {
	case strings.HasPrefix(contentType, "application/cbor"):
		said := &shape{kind: structure, byName: map[string]*member{}}
		for _, name := range []string{"__type", "message", "Message"} {
			said.byName[name] = &member{name: name, shape: &shape{kind: text}}
		}
		v, _ := d.cbor(said, body)
		e.fill(Answer{v})
	case p == Query, p == EC2, p == RestXML, strings.HasSuffix(contentType, "xml"):
		if root, err := d.parseXML(body); err == nil {
			if root.name != "Error" {
				if all := root.kid("Errors"); len(all.kids) > 0 {
					root = all
				}
				root = root.kid("Error")
			}
			e.Code, e.Message = root.kid("Code").text, root.kid("Message").text
		}
	default:
		var v map[string]any
		if json.Unmarshal(body, &v) == nil {
			e.fill(Answer{v})
		}
	}
	// "com.amazonaws.dynamodb#TableNotFound:http://..." is TableNotFound.
	_, code, ok := strings.Cut(e.Code, "#")
	if !ok {
		code = e.Code
	}
	e.Code, _, _ = strings.Cut(code, ":")
	if e.Code == "" {
		e.Code = strings.ReplaceAll(http.StatusText(status), " ", "")
	}
	return e
}

func (e *ServiceError) fill(a Answer) {
	for _, name := range []string{"__type", "code", "Code"} {
		if e.Code == "" {
			e.Code = a.Text(name)
		}
	}
	for _, name := range []string{"message", "Message", "errorMessage"} {
		if e.Message == "" {
			e.Message = a.Text(name)
		}
	}
}
