package awswire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// json reads a JSON document of the given shape.
func (d *decoder) json(sh *shape, body []byte, path string) (any, error) {
	if !d.answer && !utf8.Valid(body) {
		return nil, malformed("JSON that is not UTF-8")
	}
	j := &jsonDecoder{decoder: d, in: json.NewDecoder(bytes.NewReader(body))}
	j.in.UseNumber()
	v, err := j.value(sh, path, 0)
	if err != nil {
		return nil, err
	}
	if v == nil && path == "" && !d.answer {
		return nil, malformed("JSON that is null")
	}
	if _, err := j.in.Token(); err != io.EOF {
		return nil, malformed("something behind the JSON document")
	}
	return v, nil
}

type jsonDecoder struct {
	*decoder
	in *json.Decoder
}

func (j *jsonDecoder) token() (json.Token, error) {
	t, err := j.in.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, malformed("JSON: %v", err)
	}
	return t, nil
}

func (j *jsonDecoder) value(sh *shape, path string, depth int) (any, error) {
	if err := j.count(depth); err != nil {
		return nil, err
	}
	t, err := j.token()
	if err != nil {
		return nil, err
	}
	if sh.free {
		return j.free(t, path, depth)
	}
	switch t {
	case nil:
		return nil, nil
	case json.Delim('{'):
		if sh.kind == structure {
			return j.structure(sh, path, depth)
		}
		if sh.kind == mapping {
			return j.mapping(sh, path, depth)
		}
	case json.Delim('['):
		if sh.kind == list {
			return j.list(sh, path, depth)
		}
	default:
		if v := jsonScalar(sh, t); v != nil {
			return v, nil
		}
		if _, ok := t.(json.Delim); j.answer && !ok {
			return t, nil
		}
	}
	return nil, malformed("%s is not %v", path, sh.kind)
}

// jsonScalar gives the token when it is of the shape's kind, nil otherwise.
func jsonScalar(sh *shape, t json.Token) any {
	switch t := t.(type) {
	case string:
		switch sh.kind {
		case text, blob, timestamp:
			return t
		case float, double:
			if t == "NaN" || t == "Infinity" || t == "-Infinity" {
				return t
			}
		}
	case json.Number:
		switch sh.kind {
		case integer, long:
			if !strings.ContainsAny(t.String(), ".eE") {
				return t
			}
		case float, double, timestamp:
			return t
		}
	case bool:
		if sh.kind == boolean {
			return t
		}
	}
	return nil
}

func (j *jsonDecoder) structure(sh *shape, path string, depth int) (any, error) {
	v := map[string]any{}
	var seen map[string]bool // beside v: names that are unknown, or null
	err := j.members(func(name string) error {
		at := join(path, name)
		m := sh.byWire[name]
		key := name
		if m != nil {
			key = m.name
		}
		if _, ok := v[key]; ok || seen[name] {
			return duplicate(at)
		}
		if m != nil {
			x, err := j.value(m.shape, at, depth+1)
			if err != nil {
				return err
			}
			if x != nil {
				v[key] = x
				return nil
			}
		} else {
			if !j.answer && sh.almost(name) {
				return malformed("member %q is not spelled as the service has it", at)
			}
			j.strange(at)
			if err := j.skip(depth + 1); err != nil {
				return err
			}
		}
		if seen == nil {
			seen = map[string]bool{}
		}
		seen[name] = true
		return nil
	})
	return v, err
}

// almost reports whether the structure has a member that differs from name by
// nothing but case: to some readers they are one.
func (sh *shape) almost(name string) bool {
	return slices.ContainsFunc(sh.members, func(m member) bool {
		return m.where == inBody && (strings.EqualFold(m.wireName(), name) || strings.EqualFold(m.name, name))
	})
}

// members calls each for the members of the object that has begun.
func (j *jsonDecoder) members(each func(name string) error) error {
	for {
		t, err := j.token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return nil // its end; keys are strings
		}
		if err := each(name); err != nil {
			return err
		}
	}
}

func (j *jsonDecoder) mapping(sh *shape, path string, depth int) (any, error) {
	v := map[string]any{}
	err := j.members(func(name string) error {
		at := join(path, name)
		if _, ok := v[name]; ok {
			return duplicate(at)
		}
		x, err := j.value(sh.value, at, depth+1)
		v[name] = x
		return err
	})
	return v, err
}

func (j *jsonDecoder) list(sh *shape, path string, depth int) (any, error) {
	v := []any{}
	for j.in.More() {
		x, err := j.value(sh.value, fmt.Sprintf("%s[%d]", path, len(v)), depth+1)
		if err != nil {
			return nil, err
		}
		v = append(v, x)
	}
	_, err := j.token()
	return v, err
}

// free reads a value of any form that begins with t.
func (j *jsonDecoder) free(t json.Token, path string, depth int) (any, error) {
	switch t {
	case json.Delim('{'):
		return j.mapping(&shape{kind: mapping, value: anything}, path, depth)
	case json.Delim('['):
		return j.list(&shape{kind: list, value: anything}, path, depth)
	}
	return t, nil
}

var anything = &shape{kind: structure, free: true}

// skip reads over a value.
func (j *jsonDecoder) skip(depth int) error {
	for open := 0; ; {
		t, err := j.token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			open++
		case json.Delim('}'), json.Delim(']'):
			open--
		}
		if err := j.count(depth + open); err != nil {
			return err
		}
		if open == 0 {
			return nil
		}
	}
}
