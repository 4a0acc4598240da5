package awswire

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// An element of an XML document. All of a request's are in one namespace: what
// is in another is there for some readers and not for others.
type element struct {
	name  string
	note  bool // a comment stands in it
	attrs []xml.Attr
	chars []byte
	text  string // chars, when the element has ended
	kids  []*element
}

// parseXML reads a document, without a document type and what comes with it.
func (d *decoder) parseXML(body []byte) (*element, error) {
	if !d.answer && !utf8.Valid(body) {
		return nil, malformed("XML that is not UTF-8")
	}
	in := xml.NewDecoder(bytes.NewReader(body))
	var root *element
	var open []*element
	space := ""
	for {
		t, err := in.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, malformed("XML: %v", err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if open == nil && root == nil {
				space = t.Name.Space
			} else if !d.answer && t.Name.Space != space {
				return nil, malformed("XML with <%s> in another namespace", t.Name.Local)
			}
			e := &element{name: t.Name.Local, attrs: t.Attr}
			if err := d.count(len(open)); err != nil {
				return nil, err
			}
			switch {
			case len(open) > 0:
				parent := open[len(open)-1]
				parent.kids = append(parent.kids, e)
			case root != nil:
				return nil, malformed("XML with two roots")
			default:
				root = e
			}
			open = append(open, e)
		case xml.EndElement:
			e := open[len(open)-1]
			e.text = string(e.chars)
			if e.note && !d.answer && strings.TrimSpace(e.text) != "" {
				return nil, malformed("XML with a comment inside the text of <%s>", e.name)
			}
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				e := open[len(open)-1]
				e.chars = append(e.chars, t...)
			} else if len(bytes.TrimSpace(t)) > 0 {
				return nil, malformed("XML with text outside its root")
			}
		case xml.Comment:
			if len(open) > 0 {
				open[len(open)-1].note = true
			}
		case xml.Directive:
			return nil, malformed("XML with a document type")
		case xml.ProcInst:
			if t.Target != "xml" || root != nil {
				return nil, malformed("XML with a processing instruction")
			}
		}
	}
	if root == nil {
		return nil, malformed("no XML")
	}
	return root, nil
}

// xmlBody reads a request's body whose root is called name.
func (d *decoder) xmlBody(sh *shape, body []byte, name string) (any, error) {
	root, err := d.parseXML(body)
	if err != nil {
		return nil, err
	}
	if name != "" && root.name != name {
		d.strange("<" + root.name + ">")
	}
	return d.xml(sh, root, "", 0)
}

func (d *decoder) xml(sh *shape, e *element, path string, depth int) (any, error) {
	if err := d.count(depth); err != nil {
		return nil, err
	}
	if sh.kind > mapping {
		for _, k := range e.kids {
			d.strange(join(path, k.name))
		}
		s := e.text
		switch sh.kind {
		case text, blob:
		case boolean:
			// XML Schema's other spelling.
			if s = strings.TrimSpace(s); s == "1" || s == "0" {
				return s == "1", nil
			}
		default:
			s = strings.TrimSpace(s)
		}
		return d.scalar(sh, s, path)
	}
	if !d.answer && strings.TrimSpace(e.text) != "" {
		return nil, malformed("%s is not %v", path, sh.kind)
	}
	switch sh.kind {
	case list:
		v := []any{}
		want := cmp.Or(sh.valueName, "member")
		for _, k := range e.kids {
			if k.name != want {
				d.strange(join(path, k.name))
				continue
			}
			x, err := d.xml(sh.value, k, fmt.Sprintf("%s[%d]", path, len(v)), depth+1)
			if err != nil {
				return nil, err
			}
			v = append(v, x)
		}
		return v, nil
	case mapping:
		v := map[string]any{}
		for _, k := range e.kids {
			if k.name != "entry" {
				d.strange(join(path, k.name))
				continue
			}
			if err := d.xmlEntry(sh, k, path, depth, v); err != nil {
				return nil, err
			}
		}
		return v, nil
	}
	return d.xmlStructure(sh, e, path, depth)
}

func (d *decoder) xmlStructure(sh *shape, e *element, path string, depth int) (any, error) {
	v := map[string]any{}
	for _, a := range e.attrs {
		if err := d.xmlAttribute(sh, a, path, v); err != nil {
			return nil, err
		}
	}
	for _, k := range e.kids {
		at := join(path, k.name)
		m := sh.byWire[k.name]
		if m == nil {
			m = sh.flatElement(k.name)
		}
		if m == nil || m.attribute {
			d.strange(at)
			continue
		}
		if m.flat() && m.shape.kind == list {
			l, _ := v[m.name].([]any)
			x, err := d.xml(m.shape.value, k, fmt.Sprintf("%s[%d]", at, len(l)), depth+1)
			if err != nil {
				return nil, err
			}
			v[m.name] = append(l, x)
			continue
		}
		if m.flat() && m.shape.kind == mapping {
			into, _ := v[m.name].(map[string]any)
			if into == nil {
				into = map[string]any{}
				v[m.name] = into
			}
			if err := d.xmlEntry(m.shape, k, at, depth, into); err != nil {
				return nil, err
			}
			continue
		}
		if _, ok := v[m.name]; ok && !d.answer {
			return nil, duplicate(at)
		}
		x, err := d.xml(m.shape, k, at, depth+1)
		if err != nil {
			return nil, err
		}
		v[m.name] = x
	}
	return v, nil
}

// flatElement finds the flattened list whose elements are called name, where
// that is the elements' name and not the member's.
func (sh *shape) flatElement(name string) *member {
	for i := range sh.members {
		if m := &sh.members[i]; m.where == inBody && m.shape.kind == list && m.flat() && m.shape.valueName == name {
			return m
		}
	}
	return nil
}

func (d *decoder) xmlAttribute(sh *shape, a xml.Attr, path string, into map[string]any) error {
	if a.Name.Space == "xmlns" || a.Name.Local == "xmlns" {
		return nil
	}
	for i := range sh.members {
		m := &sh.members[i]
		if w := m.wireName(); !m.attribute || w[strings.LastIndexByte(w, ':')+1:] != a.Name.Local {
			continue
		}
		if _, ok := into[m.name]; ok {
			return duplicate(join(path, m.name))
		}
		v, err := d.scalar(m.shape, a.Value, join(path, m.name))
		into[m.name] = v
		return err
	}
	d.strange(join(path, "@"+a.Name.Local))
	return nil
}

func (d *decoder) xmlEntry(sh *shape, e *element, path string, depth int, into map[string]any) error {
	keyName, valueName := cmp.Or(sh.keyName, "key"), cmp.Or(sh.valueName, "value")
	var k, x *element
	for _, kid := range e.kids {
		switch {
		case kid.name == keyName && k == nil:
			k = kid
		case kid.name == valueName && x == nil:
			x = kid
		case kid.name == keyName || kid.name == valueName:
			return duplicate(join(path, kid.name))
		default:
			d.strange(join(path, kid.name))
		}
	}
	if k == nil {
		return malformed("%s has an entry without key", path)
	}
	if _, ok := into[k.text]; ok {
		return duplicate(join(path, k.text))
	}
	if x == nil {
		into[k.text] = nil
		return nil
	}
	v, err := d.xml(sh.value, x, join(path, k.text), depth+1)
	into[k.text] = v
	return err
}
