package aws

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// params are a call's parameters. Names are compared without regard to case: a
// member that only differs in it is unknown to the model and said to be so, and
// until then it is better understood than passed over.
type params map[string]any

// get gives what stands at a path of member names, nil if nothing does.
func (p params) get(path ...string) any {
	var at any = map[string]any(p)
	for _, name := range path {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		if v, ok := m[name]; ok {
			at = v
			continue
		}
		at = nil
		for _, k := range sortedKeys(m) {
			if strings.EqualFold(k, name) {
				at = m[k]
				break
			}
		}
	}
	return at
}

// sub gives the members of a structure.
func (p params) sub(path ...string) params {
	m, _ := p.get(path...).(map[string]any)
	return m
}

func (p params) has(path ...string) bool { return p.get(path...) != nil }

// text gives a text, or a number or truth as text.
func (p params) text(path ...string) string { return text(p.get(path...)) }

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case int:
		return strconv.Itoa(v)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// flag gives a truth and whether it was said at all.
func (p params) flag(path ...string) (value, given bool) { return truth(p.get(path...)) }

func (p params) is(path ...string) bool {
	v, given := p.flag(path...)
	return given && v
}

func (p params) isNot(path ...string) bool {
	v, given := p.flag(path...)
	return given && !v
}

func truth(v any) (value, given bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		switch strings.ToLower(v) {
		case "true":
			return true, true
		case "false":
			return false, true
		}
	}
	return false, false
}

// number gives a number and whether there is one.
func (p params) number(path ...string) (float64, bool) { return number(p.get(path...)) }

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	case float64:
		return v, true
	case int:
		return float64(v), true
	case string:
		f, err := strconv.ParseFloat(v, 64)
		return f, err == nil
	}
	return 0, false
}

func (p params) list(path ...string) []any {
	l, _ := p.get(path...).([]any)
	return l
}

// structs gives the structures of a list.
func (p params) structs(path ...string) []params {
	var out []params
	for _, v := range p.list(path...) {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// texts gives the texts of a list, or a single text as a list of one.
func (p params) texts(path ...string) []string { return texts(p.get(path...)) }

func texts(v any) []string {
	var out []string
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			if t := text(x); t != "" || isText(x) {
				out = append(out, t)
			}
		}
	case nil, map[string]any:
	default:
		out = append(out, text(v))
	}
	return out
}

func isText(v any) bool { _, ok := v.(string); return ok }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// maxDepth is how deep parameters are looked into. Models nest less deep; what
// goes on below is not understood.
const maxDepth = 40

// walk calls f for every value that is no structure and no list, with the names
// that lead to it (a list adds none). It reports whether it saw everything.
func walk(v any, path []string, f func(path []string, v any)) bool {
	if len(path) > maxDepth {
		return false
	}
	whole := true
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			if len(path) == 0 && k == "" {
				continue // members that the model does not know
			}
			whole = walk(v[k], append(path[:len(path):len(path)], k), f) && whole
		}
	case []any:
		for _, x := range v {
			whole = walkElement(x, path, f, 0) && whole
		}
	default:
		f(path, v)
	}
	return whole
}

// walkElement is walk for the element of a list, with lists in lists counted.
func walkElement(v any, path []string, f func([]string, any), depth int) bool {
	l, ok := v.([]any)
	if !ok {
		return walk(v, path, f)
	}
	if depth > maxDepth {
		return false
	}
	whole := true
	for _, x := range l {
		whole = walkElement(x, path, f, depth+1) && whole
	}
	return whole
}
