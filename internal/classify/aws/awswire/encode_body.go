package awswire

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// toJSON gives what json.Marshal writes as the document of v.
func toJSON(sh *shape, v any, path string) (any, error) {
	if sh.free {
		return v, nil
	}
	switch sh.kind {
	case structure:
		members, ok := v.(map[string]any)
		if !ok {
			return nil, notOf(sh, path)
		}
		out := map[string]any{}
		for name, x := range members {
			m := sh.byName[name]
			if m == nil {
				return nil, fmt.Errorf("no member %q", join(path, name))
			}
			if m.where != inBody || x == nil {
				continue
			}
			j, err := toJSON(m.shape, x, join(path, name))
			if err != nil {
				return nil, err
			}
			out[m.wireName()] = j
		}
		return out, nil
	case mapping:
		entries, ok := v.(map[string]any)
		if !ok {
			return nil, notOf(sh, path)
		}
		out := map[string]any{}
		for key, x := range entries {
			if out[key] = nil; x == nil {
				continue
			}
			j, err := toJSON(sh.value, x, join(path, key))
			if err != nil {
				return nil, err
			}
			out[key] = j
		}
		return out, nil
	case list:
		l, ok := elements(v)
		if !ok {
			return nil, notOf(sh, path)
		}
		out := make([]any, len(l))
		for i, x := range l {
			if x == nil {
				continue
			}
			j, err := toJSON(sh.value, x, fmt.Sprintf("%s[%d]", path, i))
			if err != nil {
				return nil, err
			}
			out[i] = j
		}
		return out, nil
	}
	return toScalar(sh, v, path, "unixTimestamp")
}

// form appends the parameters of v, whose names begin with prefix.
func (e *encoder) form(to []pair, sh *shape, v any, prefix string) ([]pair, error) {
	switch sh.kind {
	case structure:
		members, ok := v.(map[string]any)
		if !ok {
			return nil, notOf(sh, prefix)
		}
		var err error
		for i := range sh.members {
			m := &sh.members[i]
			x := members[m.name]
			if x == nil {
				continue
			}
			name := join(prefix, m.formName(e.protocol == EC2))
			if m.shape.kind == list || m.shape.kind == mapping {
				to, err = e.formEntries(to, m.shape, m.flat(), x, name)
			} else {
				to, err = e.form(to, m.shape, x, name)
			}
			if err != nil {
				return nil, err
			}
		}
		return to, nil
	case list, mapping:
		return e.formEntries(to, sh, sh.flattened, v, prefix)
	}
	s, err := scalarText(sh, v, prefix, "iso8601")
	return append(to, pair{prefix, s}), err
}

func (e *encoder) formEntries(to []pair, sh *shape, flat bool, v any, prefix string) ([]pair, error) {
	if sh.kind == list {
		l, ok := elements(v)
		if !ok {
			return nil, notOf(sh, prefix)
		}
		if len(l) == 0 {
			return append(to, pair{prefix, ""}), nil
		}
		if !flat && e.protocol != EC2 {
			prefix = join(prefix, cmp.Or(sh.valueName, "member"))
		}
		var err error
		for i, x := range l {
			if to, err = e.form(to, sh.value, x, join(prefix, strconv.Itoa(i+1))); err != nil {
				return nil, err
			}
		}
		return to, nil
	}
	entries, ok := v.(map[string]any)
	if !ok {
		return nil, notOf(sh, prefix)
	}
	if !flat {
		prefix = join(prefix, "entry")
	}
	var err error
	for i, key := range slices.Sorted(maps.Keys(entries)) {
		at := join(prefix, strconv.Itoa(i+1))
		to = append(to, pair{join(at, cmp.Or(sh.keyName, "key")), key})
		if to, err = e.form(to, sh.value, entries[key], join(at, cmp.Or(sh.valueName, "value"))); err != nil {
			return nil, err
		}
	}
	return to, nil
}

func (e *encoder) xmlBody(sh *shape, v any, root, space string) ([]byte, error) {
	space = cmp.Or(space, e.operation.Service.namespace)
	attrs := ""
	if space != "" {
		attrs = ` xmlns="` + escapeXML(space) + `"`
	}
	var b bytes.Buffer
	err := appendXML(&b, sh, v, root, attrs)
	return b.Bytes(), err
}

func escapeXML(s string) string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(s)) // a buffer takes everything
	return b.String()
}

func appendXML(b *bytes.Buffer, sh *shape, v any, name, attrs string) error {
	if sh.kind > mapping {
		s, err := scalarText(sh, v, name, "iso8601")
		fmt.Fprintf(b, "<%s%s>%s</%s>", name, attrs, escapeXML(s), name)
		return err
	}
	var inner bytes.Buffer
	switch sh.kind {
	case list:
		l, ok := elements(v)
		if !ok {
			return notOf(sh, name)
		}
		for _, x := range l {
			if err := appendXML(&inner, sh.value, x, cmp.Or(sh.valueName, "member"), ""); err != nil {
				return err
			}
		}
	case mapping:
		if err := appendXMLEntries(&inner, sh, v, "entry"); err != nil {
			return err
		}
	default:
		members, ok := v.(map[string]any)
		if !ok {
			return notOf(sh, name)
		}
		for i := range sh.members {
			m := &sh.members[i]
			x := members[m.name]
			if x == nil || m.where != inBody {
				continue
			}
			if m.attribute {
				s, err := scalarText(m.shape, x, m.name, "iso8601")
				if err != nil {
					return err
				}
				attrs += fmt.Sprintf(` %s="%s"`, m.wireName(), escapeXML(s))
				continue
			}
			if err := appendXMLMember(&inner, m, x); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(b, "<%s%s>%s</%s>", name, attrs, inner.Bytes(), name)
	return nil
}

func appendXMLMember(b *bytes.Buffer, m *member, v any) error {
	switch {
	case m.flat() && m.shape.kind == list:
		l, ok := elements(v)
		if !ok {
			return notOf(m.shape, m.name)
		}
		for _, x := range l {
			if err := appendXML(b, m.shape.value, x, m.wireName(), ""); err != nil {
				return err
			}
		}
		return nil
	case m.flat() && m.shape.kind == mapping:
		return appendXMLEntries(b, m.shape, v, m.wireName())
	}
	attrs := ""
	if m.namespace != "" {
		attrs = fmt.Sprintf(` %s="%s"`, strings.TrimSuffix("xmlns:"+m.prefix, ":"), escapeXML(m.namespace))
	}
	return appendXML(b, m.shape, v, m.wireName(), attrs)
}

func appendXMLEntries(b *bytes.Buffer, sh *shape, v any, name string) error {
	entries, ok := v.(map[string]any)
	if !ok {
		return notOf(sh, name)
	}
	key := cmp.Or(sh.keyName, "key")
	for _, k := range slices.Sorted(maps.Keys(entries)) {
		fmt.Fprintf(b, "<%s><%s>%s</%s>", name, key, escapeXML(k), key)
		if err := appendXML(b, sh.value, entries[k], cmp.Or(sh.valueName, "value"), ""); err != nil {
			return err
		}
		fmt.Fprintf(b, "</%s>", name)
	}
	return nil
}

// appendCBOR writes v with definite lengths, and members in order.
func appendCBOR(b []byte, sh *shape, v any, path string) ([]byte, error) {
	if v == nil {
		return append(b, cborSimple<<5|22), nil
	}
	var err error
	switch sh.kind {
	case structure, mapping:
		entries, ok := v.(map[string]any)
		if !ok {
			return nil, notOf(sh, path)
		}
		b = appendHead(b, cborMap, uint64(len(entries)))
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			b = append(appendHead(b, cborText, uint64(len(key))), key...)
			of := sh.value
			if sh.kind == structure {
				m := sh.byName[key]
				if m == nil {
					return nil, fmt.Errorf("no member %q", join(path, key))
				}
				of = m.shape
			}
			if b, err = appendCBOR(b, of, entries[key], join(path, key)); err != nil {
				return nil, err
			}
		}
		return b, nil
	case list:
		l, ok := elements(v)
		if !ok {
			return nil, notOf(sh, path)
		}
		b = appendHead(b, cborArray, uint64(len(l)))
		for i, x := range l {
			if b, err = appendCBOR(b, sh.value, x, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return nil, err
			}
		}
		return b, nil
	}
	if v, err = toScalar(sh, v, path, "unixTimestamp"); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case bool:
		if v {
			return append(b, cborSimple<<5|21), nil
		}
		return append(b, cborSimple<<5|20), nil
	case json.Number:
		if sh.kind == timestamp {
			b = appendHead(b, cborTag, 1)
		}
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			if n < 0 {
				return appendHead(b, cborNegative, uint64(-1-n)), nil
			}
			return appendHead(b, cborUint, uint64(n)), nil
		}
		f, err := v.Float64()
		if err != nil {
			return nil, notOf(sh, path)
		}
		return appendFloat(b, f), nil
	}
	s := v.(string)
	switch sh.kind {
	case blob:
		raw, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return nil, fmt.Errorf("%s is not base64: %w", path, err)
		}
		return append(appendHead(b, cborBytes, uint64(len(raw))), raw...), nil
	case float, double:
		f, _ := strconv.ParseFloat(s, 64) // NaN, Infinity, -Infinity
		return appendFloat(b, f), nil
	case timestamp:
		return nil, fmt.Errorf("%s is not a number of seconds", path)
	}
	return append(appendHead(b, cborText, uint64(len(s))), s...), nil
}

func appendFloat(b []byte, f float64) []byte {
	n := math.Float64bits(f)
	b = append(b, cborSimple<<5|27)
	for shift := 56; shift >= 0; shift -= 8 {
		b = append(b, byte(n>>shift))
	}
	return b
}

func appendHead(b []byte, major byte, arg uint64) []byte {
	size, info := 0, byte(arg)
	switch {
	case arg < 24:
	case arg <= math.MaxUint8:
		size, info = 1, 24
	case arg <= math.MaxUint16:
		size, info = 2, 25
	case arg <= math.MaxUint32:
		size, info = 4, 26
	default:
		size, info = 8, 27
	}
	b = append(b, major<<5|info)
	for shift := 8 * (size - 1); shift >= 0; shift -= 8 {
		b = append(b, byte(arg>>shift))
	}
	return b
}
