package awswire

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A node is what parameters say whose names begin alike: "Filter.1.Name" is
// three nodes deep.
type node struct {
	value string
	said  bool // a parameter ends here
	kids  map[string]*node
	order []string
}

// forms is for the protocols query and ec2. Parameters are in the query or the
// body, and it does not matter where.
func (d *decoder) forms(params map[string]any) error {
	d.exact = true
	root := &node{}
	body := ""
	if d.request.Method == http.MethodPost {
		if !isForm(d.request.Header) {
			if len(d.request.Body) > 0 {
				return malformed("a body of type %q, which is no form", d.request.Header.Get("Content-Type"))
			}
		}
		b, err := d.body()
		if err != nil {
			return err
		}
		body = string(b)
	} else if len(d.request.Body) > 0 {
		d.strange("(body)")
	}
	inBody, err := parsePairs(body)
	if err != nil {
		return err
	}
	for _, p := range slices.Concat(d.request.query, inBody) {
		if err := d.count(0); err != nil {
			return err
		}
		if slices.Contains(protocolParams, p.name) {
			continue
		}
		if (strings.EqualFold(p.name, "Action") || strings.EqualFold(p.name, "Version")) && p.name != "Action" &&
			p.name != "Version" {
			return malformed("parameter %q is almost another", p.name)
		}
		if err := root.add(p); err != nil {
			return err
		}
	}
	for _, name := range []string{"Action", "Version"} {
		delete(root.kids, name)
	}
	root.order = slices.DeleteFunc(root.order, func(name string) bool { return root.kids[name] == nil })
	v, err := d.form(d.operation.inputShape(), root, "", 0)
	if err != nil {
		return err
	}
	if err := d.fill(params, v); err != nil {
		return err
	}
	return d.queuePath(params)
}

// queuePath is about SQS, whose requests may go to the path of the queue's URL.
func (d *decoder) queuePath(params map[string]any) error {
	path := d.request.Path
	if path == "/" || path == "" {
		return nil
	}
	if !d.operation.Member("QueueUrl") {
		d.strange("(path)")
		return nil
	}
	said, ok := params["QueueUrl"].(string)
	if !ok {
		params["QueueUrl"] = path
		return nil
	}
	if u, err := url.Parse(said); err != nil || u.EscapedPath() != path {
		return duplicate("QueueUrl")
	}
	return nil
}

func (n *node) add(p pair) error {
	depth := 0
	for part := range strings.SplitSeq(p.name, ".") {
		if depth++; depth > 4*maxDepth {
			return malformed("more than %d levels deep", maxDepth)
		}
		kid := n.kids[part]
		if kid == nil {
			if n.kids == nil {
				n.kids = map[string]*node{}
			}
			kid = &node{}
			n.kids[part] = kid
			n.order = append(n.order, part)
		}
		n = kid
	}
	if n.said {
		return duplicate(p.name)
	}
	n.said, n.value = true, p.value
	return nil
}

func (d *decoder) form(sh *shape, n *node, path string, depth int) (any, error) {
	if err := d.count(depth); err != nil {
		return nil, err
	}
	if sh.kind <= mapping && n.said && (n.value != "" || len(n.kids) > 0 || sh.kind != list) {
		return nil, malformed("%s is not %v", path, sh.kind)
	}
	switch sh.kind {
	case structure:
		return d.formStructure(sh, n, path, depth)
	case list, mapping:
		return d.formEntries(sh, sh.flattened, n, path, depth)
	}
	for _, name := range n.order {
		d.strangeNode(join(path, name), n.kids[name])
	}
	if !n.said {
		return nil, nil
	}
	return d.scalar(sh, n.value, path)
}

func (d *decoder) formStructure(sh *shape, n *node, path string, depth int) (any, error) {
	v := map[string]any{}
	for _, name := range n.order {
		at := join(path, name)
		m := sh.byForm[name]
		if m == nil {
			d.strangeNode(at, n.kids[name])
			continue
		}
		kid := n.kids[name]
		var x any
		var err error
		if m.flat() && (m.shape.kind == list || m.shape.kind == mapping) {
			if kid.said && (kid.value != "" || len(kid.kids) > 0) {
				return nil, malformed("%s is not %v", at, m.shape.kind)
			}
			x, err = d.formEntries(m.shape, true, kid, at, depth+1)
		} else {
			x, err = d.form(m.shape, kid, at, depth+1)
		}
		if err != nil {
			return nil, err
		}
		if x != nil {
			v[m.name] = x
		}
	}
	return v, nil
}

// formEntries reads lists, "Name.1" flattened and in ec2, "Name.member.1"
// otherwise, and maps, "Name.1.key" and "Name.entry.1.key".
func (d *decoder) formEntries(sh *shape, flat bool, n *node, path string, depth int) (any, error) {
	if !flat && d.operation.Service.Protocol != EC2 {
		wrapper := cmp.Or(sh.valueName, "member")
		if sh.kind == mapping {
			wrapper = "entry"
		}
		for _, name := range n.order {
			if name != wrapper {
				d.strangeNode(join(path, name), n.kids[name])
			}
		}
		inner := n.kids[wrapper]
		switch {
		case inner != nil && inner.said:
			d.strange(join(path, wrapper))
		case inner == nil && len(n.order) > 0:
			return nil, nil
		}
		n = cmp.Or(inner, &node{})
		path = join(path, wrapper)
	}
	type entry struct {
		index int
		name  string
	}
	var entries []entry
	for _, name := range n.order {
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || strconv.Itoa(i) != name {
			d.strangeNode(join(path, name), n.kids[name])
			continue
		}
		entries = append(entries, entry{i, name})
	}
	if len(entries) == 0 && len(n.order) > 0 {
		return nil, nil
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.index - b.index })
	if sh.kind == mapping {
		v := map[string]any{}
		for _, e := range entries {
			if err := d.formEntry(sh, n.kids[e.name], join(path, e.name), depth, v); err != nil {
				return nil, err
			}
		}
		return v, nil
	}
	v := []any{}
	for _, e := range entries {
		x, err := d.form(sh.value, n.kids[e.name], join(path, e.name), depth+1)
		if err != nil {
			return nil, err
		}
		v = append(v, x)
	}
	return v, nil
}

func (d *decoder) formEntry(sh *shape, n *node, path string, depth int, into map[string]any) error {
	keyName, valueName := cmp.Or(sh.keyName, "key"), cmp.Or(sh.valueName, "value")
	if n.said {
		return malformed("%s has neither key nor value", path)
	}
	for _, name := range n.order {
		if name != keyName && name != valueName {
			d.strangeNode(join(path, name), n.kids[name])
		}
	}
	k := n.kids[keyName]
	if k == nil || !k.said || len(k.kids) > 0 {
		return malformed("%s has no key", path)
	}
	if _, ok := into[k.value]; ok {
		return duplicate(fmt.Sprintf("%s %q", path, k.value))
	}
	var x any
	if value := n.kids[valueName]; value != nil {
		var err error
		if x, err = d.form(sh.value, value, join(path, valueName), depth+1); err != nil {
			return err
		}
	}
	into[k.value] = x
	return nil
}

// strangeNode notes the parameters of a node that no shape knows.
func (d *decoder) strangeNode(path string, n *node) {
	if n.said {
		d.strange(path)
	}
	for _, name := range n.order {
		d.strangeNode(join(path, name), n.kids[name])
	}
}
