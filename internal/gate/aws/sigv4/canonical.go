package sigv4

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// singleEscape reports whether the service signs the path as S3 does: escaped
// once and as it is. All others escape what was sent again, after taking out
// empty, "." and ".." segments.
func (s *Signature) singleEscape() bool {
	switch s.Service {
	case "s3", "s3-object-lambda", "s3-outposts", "s3express":
		return true
	}
	return false
}

// canonical gives the canonical request, with payload for the body.
func (s *Signature) canonical(r *http.Request, payload string) (string, error) {
	path, err := s.CanonicalPath(r.URL.EscapedPath())
	if err != nil {
		return "", err
	}
	query, err := s.CanonicalQuery(r.URL.RawQuery)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(r.Method)
	b.WriteByte('\n')
	b.WriteString(path)
	b.WriteByte('\n')
	b.WriteString(query)
	b.WriteByte('\n')
	for _, name := range s.Headers {
		b.WriteString(name)
		b.WriteByte(':')
		switch values := r.Header[http.CanonicalHeaderKey(name)]; {
		case name == "host":
			b.WriteString(trim(r.Host))
		case len(values) > 0:
			for i, v := range values {
				if i > 0 {
					b.WriteByte(',')
				}
				b.WriteString(trim(v))
			}
		case name == "content-length" && r.ContentLength >= 0:
			b.WriteString(strconv.FormatInt(r.ContentLength, 10))
		default:
			return "", problem(Incomplete, "header %q is among SignedHeaders and did not arrive", name)
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString(strings.Join(s.Headers, ";"))
	b.WriteByte('\n')
	b.WriteString(payload)
	return b.String(), nil
}

// CanonicalPath gives the path as it stands in the canonical request; raw is
// the path as it was sent.
func (s *Signature) CanonicalPath(raw string) (string, error) {
	if raw == "" {
		raw = "/"
	}
	if s.singleEscape() {
		segments := strings.Split(raw, "/")
		for i, seg := range segments {
			plain, err := url.PathUnescape(seg)
			if err != nil {
				return "", problem(Incomplete, "the path has a broken percent escape")
			}
			segments[i] = escape(plain, false)
		}
		return strings.Join(segments, "/"), nil
	}
	return escape(normal(raw), true), nil
}

// normal takes empty, "." and ".." segments out of a path (RFC 3986 section
// 5.2.4, and slashes in a row are one).
func normal(path string) string {
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") {
		return path
	}
	var kept []string
	segments := strings.Split(path, "/")
	for _, seg := range segments {
		switch seg {
		case "", ".":
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
		default:
			kept = append(kept, seg)
		}
	}
	out := "/" + strings.Join(kept, "/")
	if last := segments[len(segments)-1]; len(kept) > 0 && (last == "" || last == "." || last == "..") {
		out += "/"
	}
	return out
}

// CanonicalQuery gives the query as it stands in the canonical request: sorted,
// in one way of escaping, without the signature of a presigned URL. It means
// the same as raw to whoever reads "+" as a space.
func (s *Signature) CanonicalQuery(raw string) (string, error) {
	if raw == "" {
		return "", nil
	}
	pairs, err := splitQuery(raw)
	if err != nil {
		return "", err
	}
	list := make([]pair, 0, len(pairs))
	for _, p := range pairs {
		if s.Presigned && p.name == "X-Amz-Signature" {
			continue
		}
		list = append(list, pair{escape(p.name, false), escape(p.value, false)})
	}
	slices.SortStableFunc(list, func(a, b pair) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	return joinQuery(list), nil
}

// PlainQuery gives a query without what signs it, in one way of escaping and in
// the order that it came in.
func PlainQuery(raw string) (string, error) {
	pairs, err := splitQuery(raw)
	if err != nil {
		return "", err
	}
	list := pairs[:0]
	for _, p := range pairs {
		switch p.name {
		case "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders",
			"X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Content-Sha256":
		default:
			list = append(list, pair{escape(p.name, false), escape(p.value, false)})
		}
	}
	return joinQuery(list), nil
}

type pair struct{ name, value string }

func joinQuery(list []pair) string {
	var b strings.Builder
	for i, p := range list {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.name)
		b.WriteByte('=')
		b.WriteString(p.value)
	}
	return b.String()
}

func splitQuery(raw string) ([]pair, error) {
	if raw == "" {
		return nil, nil
	}
	list := make([]pair, 0, 8)
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		n, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return nil, problem(Incomplete, "the query has a broken percent escape")
		}
		list = append(list, pair{n, value})
	}
	return list, nil
}

const upperHex = "0123456789ABCDEF"

// escape escapes all but the unreserved characters of RFC 3986, and slashes
// where they are to be kept.
func escape(s string, keepSlash bool) string {
	plain := func(c byte) bool {
		return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' ||
			c == '.' || c == '~' || keepSlash && c == '/'
	}
	n := 0
	for i := range len(s) {
		if !plain(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(b)
}

// trim takes white space off the ends of a header's value and makes what is
// left of it in a row one space.
func trim(v string) string {
	v = strings.Trim(v, " \t")
	if !strings.Contains(v, "  ") {
		return v
	}
	var b strings.Builder
	space := false
	for i := range len(v) {
		if v[i] == ' ' && space {
			continue
		}
		space = v[i] == ' '
		b.WriteByte(v[i])
	}
	return b.String()
}
