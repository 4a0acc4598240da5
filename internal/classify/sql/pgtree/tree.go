package pgtree

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v6"
	"github.com/pganalyze/pg_query_go/v6/parser"
)

// Parse gives the statements of a text, as PostgreSQL's parser reads them.
//
// The parser offers its tree as protobuf and as JSON with the same fields. The
// JSON is read here, since [pg.Parse] takes four times as long: packing a node
// looks at each of the 270 kinds that it could be, twice. The reader accepts
// nothing but what the parser writes; the tests hold it against pg.Parse.
func Parse(text string) ([]*pg.RawStmt, error) {
	tree, err := parser.ParseToJSON(text)
	if err != nil {
		return nil, err
	}
	return readTree(tree)
}

// A treeReader reads the parser's JSON, which has no blanks. After a fault it
// stands at the end, and what it gives means nothing.
type treeReader struct {
	s     string
	i     int
	depth int
	nest  []*pg.Node // elements of the lists that are being read
	err   error
}

// A boxed is a node with all that stands between it and its message, in one piece
// of memory instead of three.
type boxed[Is, Message any] struct {
	pg.Node
	is      Is
	message Message
}

func readTree(tree string) ([]*pg.RawStmt, error) {
	if !utf8.ValidString(tree) {
		return nil, fmt.Errorf("read parse tree: text is not valid UTF-8")
	}
	r := treeReader{s: tree}
	var x pg.ParseResult
	r.readParseResult(&x)
	if r.err == nil && r.i < len(r.s) {
		r.unexpected("more than a tree", "")
	}
	if r.err != nil {
		return nil, r.err
	}
	return x.Stmts, nil
}

// maxTree bounds how deep messages nest, as protobuf does.
const maxTree = 10_000

// unexpected stops at something that the parser does not write, of which only
// the kind is told: the rest may be secret.
func (r *treeReader) unexpected(what, name string) {
	if r.err == nil {
		r.err = fmt.Errorf("read parse tree: unexpected %s%s at byte %d", what, name, r.i)
	}
	r.i = len(r.s)
}

// at gives the next byte, 0 at the end.
func (r *treeReader) at() byte {
	if r.i < len(r.s) {
		return r.s[r.i]
	}
	return 0
}

func (r *treeReader) expect(c byte) bool {
	if r.at() != c {
		r.unexpected("character", "")
		return false
	}
	r.i++
	return true
}

// open enters an object. Its fields follow, until field gives an empty key.
func (r *treeReader) open() {
	if r.depth++; r.depth > maxTree {
		r.unexpected("depth", "")
	}
	r.expect('{')
}

func (r *treeReader) close() {
	r.expect('}')
	r.depth--
}

// field gives the key of the next field of an object, empty after the last one.
func (r *treeReader) field() string {
	if r.at() == '}' {
		r.close()
		return ""
	}
	// A value never ends in a bracket that opens.
	if r.i > 0 && r.s[r.i-1] != '{' && !r.expect(',') {
		return ""
	}
	key := r.plain()
	if key == "" {
		r.unexpected("key", "")
	}
	if !r.expect(':') {
		return ""
	}
	return key
}

// list enters a list: before each element and at the end, more is asked.
func (r *treeReader) list() { r.expect('[') }

func (r *treeReader) more() bool {
	if r.at() == ']' {
		r.i++
		return false
	}
	return r.s[r.i-1] == '[' && r.err == nil || r.expect(',')
}

func (r *treeReader) nodes() []*pg.Node {
	start := len(r.nest)
	for r.list(); r.more(); {
		r.nest = append(r.nest, r.node())
	}
	all := append([]*pg.Node(nil), r.nest[start:]...)
	r.nest = r.nest[:start]
	return all
}

// plain gives what stands between quotes and has no escapes.
func (r *treeReader) plain() string {
	if !r.expect('"') {
		return ""
	}
	n := strings.IndexByte(r.s[r.i:], '"')
	if n < 0 {
		r.unexpected("end", "")
		return ""
	}
	s := r.s[r.i : r.i+n]
	r.i += n + 1
	return s
}

// text gives a string, which does not hold on to the tree's memory.
func (r *treeReader) text() string {
	if strings.HasPrefix(r.s[r.i:], "null") {
		r.i += len("null")
		return ""
	}
	start := r.i + 1
	s := r.plain()
	if strings.IndexByte(s, '\\') < 0 {
		return strings.Clone(s)
	}
	var b []byte
	for r.i = start; ; {
		c := r.at()
		r.i++
		switch c {
		case '"':
			return string(b)
		case 0:
			r.unexpected("end", "")
			return ""
		case '\\':
			c = r.escaped()
		}
		b = append(b, c)
	}
}

// escaped gives the character of an escape, of which the parser has these.
func (r *treeReader) escaped() byte {
	c := r.at()
	r.i++
	switch c {
	case '"', '\\':
		return c
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'u':
		if r.i+4 <= len(r.s) {
			if n, err := strconv.ParseUint(r.s[r.i:r.i+4], 16, 7); err == nil {
				r.i += 4
				return byte(n)
			}
		}
	}
	r.unexpected("escape", "")
	return 0
}

// number gives a number of so many bits, with its sign.
func (r *treeReader) number(bits int) int64 {
	start := r.i
	if r.at() == '-' {
		r.i++
	}
	for c := r.at(); c >= '0' && c <= '9'; c = r.at() {
		r.i++
	}
	n, err := strconv.ParseInt(r.s[start:r.i], 10, bits)
	if err != nil {
		r.unexpected("number", "")
	}
	return n
}

func (r *treeReader) truth() bool {
	switch {
	case strings.HasPrefix(r.s[r.i:], "true"):
		r.i += len("true")
		return true
	case strings.HasPrefix(r.s[r.i:], "false"):
		r.i += len("false")
	default:
		r.unexpected("truth value", "")
	}
	return false
}

// name gives the number of a name of an enumeration.
func (r *treeReader) name(values map[string]int32) int32 {
	n, ok := values[r.plain()]
	if !ok {
		r.unexpected("name of a value", "")
	}
	return n
}
