package awswire

import (
	"iter"
	"net/url"
	"slices"
	"strings"
)

// A segment of a path template: a literal, or a label for one segment or, when
// greedy, for several.
type segment struct {
	literal string
	label   string
	greedy  bool
}

// A route is the template of a REST operation, taken apart.
type route struct {
	op       *Operation
	segments []segment
	literals []pair // query parameters that the template spells out
	greedy   bool   // has a greedy label

	// needs is what a request must have beside method and path to be told from
	// requests for others: "?uploadId", "x-amz-copy-source".
	needs []string
}

type pair struct{ name, value string }

// A router has a service's routes by method and first segment, "" for those
// that begin with a label, the most specific path first.
type router map[string]map[string][]*route

func newRouter(ops []*Operation) router {
	rt := router{}
	for _, o := range ops {
		r := newRoute(o)
		o.route = r
		first := ""
		if len(r.segments) > 0 {
			first = r.segments[0].literal
		}
		if rt[o.Method] == nil {
			rt[o.Method] = map[string][]*route{}
		}
		rt[o.Method][first] = append(rt[o.Method][first], r)
	}
	for _, byFirst := range rt {
		for _, routes := range byFirst {
			slices.SortStableFunc(routes, func(a, b *route) int { return a.compare(b) })
		}
	}
	return rt
}

// below gives the routes of method that may match one of the paths.
func (rt router) below(method string, paths ...string) iter.Seq[*route] {
	firsts, fits := []string{""}, func(r *route) bool { return r.greedy }
	for _, path := range paths {
		n, before := segments(path), fits
		fits = func(r *route) bool { return len(r.segments) == n || before(r) }
		first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if plain, err := url.PathUnescape(first); err == nil && !slices.Contains(firsts, plain) {
			firsts = append(firsts, plain)
		}
	}
	return func(yield func(*route) bool) {
		for _, first := range firsts {
			for _, r := range rt[method][first] {
				if fits(r) && !yield(r) {
					return
				}
			}
		}
	}
}

// segments counts the segments of a path.
func segments(path string) int {
	if path = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"); path == "" {
		return 0
	}
	return strings.Count(path, "/") + 1
}

func newRoute(o *Operation) *route {
	path, query, _ := strings.Cut(o.URI, "?")
	r := &route{op: o}
	if path = strings.Trim(path, "/"); path != "" {
		for _, s := range strings.Split(path, "/") {
			label, ok := strings.CutPrefix(s, "{")
			if !ok {
				r.segments = append(r.segments, segment{literal: s})
				continue
			}
			label = strings.TrimSuffix(label, "}")
			name, greedy := strings.CutSuffix(label, "+")
			r.segments = append(r.segments, segment{label: name, greedy: greedy})
			r.greedy = r.greedy || greedy
		}
	}
	for p := range strings.SplitSeq(query, "&") {
		if p != "" {
			name, value, _ := strings.Cut(p, "=")
			r.literals = append(r.literals, pair{name, value})
			r.needs = append(r.needs, "?"+name)
		}
	}
	for _, n := range o.needsQuery {
		r.needs = append(r.needs, "?"+n)
	}
	if o.Service.Name == "s3" {
		// Copies differ from uploads by a header.
		r.needs = append(r.needs, o.needsHeader...)
	}
	return r
}

// compare orders paths by how much they say, segment by segment: a literal says
// more than a label, a label more than a greedy one.
func (r *route) compare(x *route) int {
	rank := func(s segment) int {
		switch {
		case s.greedy:
			return 2
		case s.label != "":
			return 1
		}
		return 0
	}
	for i := range min(len(r.segments), len(x.segments)) {
		if d := rank(r.segments[i]) - rank(x.segments[i]); d != 0 {
			return d
		}
	}
	return len(x.segments) - len(r.segments)
}

// match reports whether path, still escaped, has the route's form. It calls
// found, unless that is nil, for each label with its value, unescaped.
func (r *route) match(path string, found func(label, value string)) bool {
	path, ok := strings.CutPrefix(path, "/")
	if !ok {
		return false
	}
	if n := len(r.segments); n == 0 || !r.segments[n-1].greedy {
		path = strings.TrimSuffix(path, "/")
	}
	if path == "" {
		return len(r.segments) == 0
	}
	return matchSegments(r.segments, path, r.op.Service.Name == "s3", found)
}

func matchSegments(segments []segment, path string, s3 bool, found func(label, value string)) bool {
	if len(segments) == 0 {
		return false
	}
	s := segments[0]
	last := len(segments) == 1
	if s.greedy {
		if last {
			return matchLabel(s, path, s3, found)
		}
		// Each place where the label could end, the longest first.
		for end := strings.LastIndexByte(path, '/'); end > 0; end = strings.LastIndexByte(path[:end], '/') {
			if matchSegments(segments[1:], path[end+1:], s3, nil) && matchLabel(s, path[:end], s3, found) {
				return matchSegments(segments[1:], path[end+1:], s3, found)
			}
		}
		return false
	}
	head, rest, more := strings.Cut(path, "/")
	if more == last {
		return false
	}
	if s.label == "" {
		if head != s.literal {
			plain, err := url.PathUnescape(head)
			if err != nil || plain != s.literal {
				return false
			}
		}
		return last || matchSegments(segments[1:], rest, s3, found)
	}
	if !matchLabel(s, head, s3, nil) || !last && !matchSegments(segments[1:], rest, s3, found) {
		return false
	}
	return matchLabel(s, head, s3, found)
}

// matchLabel refuses values that somebody on the way could take for another
// path. S3's keys may hold dots as they like, as long as they stay in the bucket.
func matchLabel(s segment, value string, s3 bool, found func(label, value string)) bool {
	if strings.IndexByte(value, '%') >= 0 {
		plain, err := url.PathUnescape(value)
		if err != nil {
			return false
		}
		value = plain
	}
	if value == "" || hasDots(value, s3 && s.greedy) {
		return false
	}
	if found != nil {
		found(s.label, value)
	}
	return true
}

// hasDots reports whether value has a segment "." or "..", or, when inside is
// set, whether such segments lead out of value.
func hasDots(value string, inside bool) bool {
	if strings.IndexByte(value, '.') < 0 {
		return false
	}
	depth := 0
	for s := range strings.SplitSeq(value, "/") {
		switch {
		case s != "." && s != "..":
			depth++
		case !inside:
			return true
		case s == "..":
			if depth--; depth < 0 {
				return true
			}
		}
	}
	return false
}

// A candidate is a route whose path fits a request.
type candidate struct {
	*route
	hollow  bool // something that tells it from others is there, but empty
	lacking bool // something required is not there
}

// fit looks at what a request has beside method and path. It reports false when
// the route's literal query parameters are not there.
func (r *route) fit(q request) (c candidate, ok bool) {
	c.route = r
	for _, l := range r.literals {
		value, there := q.param(l.name)
		if !there || l.value != "" && value != l.value {
			return c, false
		}
	}
	for _, name := range r.op.needsQuery {
		value, there := q.param(name)
		c.lacking = c.lacking || !there
		c.hollow = c.hollow || there && value == ""
	}
	for _, name := range r.op.needsHeader {
		value, there := q.header(name)
		c.lacking = c.lacking || !there
		c.hollow = c.hollow || there && value == ""
	}
	return c, true
}
