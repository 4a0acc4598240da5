package awswire

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// cbor reads a document of the given shape in the part of CBOR (RFC 8949) that
// rpc-v2-cbor uses: no tag but that of times, keys are text.
func (d *decoder) cbor(sh *shape, body []byte) (any, error) {
	c := &cborDecoder{decoder: d, rest: body}
	v, err := c.value(sh, "", 0)
	if err != nil {
		return nil, err
	}
	if len(c.rest) > 0 {
		return nil, malformed("something behind the CBOR document")
	}
	return v, nil
}

type cborDecoder struct {
	*decoder
	rest []byte
}

// CBOR's major types.
const (
	cborUint = iota
	cborNegative
	cborBytes
	cborText
	cborArray
	cborMap
	cborTag
	cborSimple
)

// A head begins each item: its major type and argument.
type head struct {
	major byte
	info  byte
	arg   uint64
}

// indefinite says that the item ends with a break.
func (h head) indefinite() bool {
	return h.info == 31 && h.major >= cborBytes && h.major <= cborMap
}

var errBreak = malformed("CBOR with a break where nothing can end")

func (c *cborDecoder) head() (head, error) {
	if len(c.rest) == 0 {
		return head{}, malformed("CBOR that is cut off")
	}
	h := head{major: c.rest[0] >> 5, info: c.rest[0] & 31}
	c.rest = c.rest[1:]
	size := 0
	switch {
	case h.info < 24:
		h.arg = uint64(h.info)
		return h, nil
	case h.info < 28:
		size = 1 << (h.info - 24)
	case h.info == 31 && h.major == cborSimple:
		return h, errBreak
	case h.indefinite():
		return h, nil
	default:
		return h, malformed("CBOR with a length that is reserved")
	}
	if len(c.rest) < size {
		return head{}, malformed("CBOR that is cut off")
	}
	var b [8]byte
	copy(b[8-size:], c.rest)
	h.arg = binary.BigEndian.Uint64(b[:])
	c.rest = c.rest[size:]
	return h, nil
}

// more reports whether an array or map with the head h and n items read so far
// has another item.
func (c *cborDecoder) more(h head, n int) (bool, error) {
	if !h.indefinite() {
		if uint64(n) < h.arg && len(c.rest) == 0 {
			return false, malformed("CBOR that is cut off")
		}
		return uint64(n) < h.arg, nil
	}
	if len(c.rest) > 0 && c.rest[0] == 0xff {
		c.rest = c.rest[1:]
		return false, nil
	}
	return true, nil
}

func (c *cborDecoder) value(sh *shape, path string, depth int) (any, error) {
	if err := c.count(depth); err != nil {
		return nil, err
	}
	h, err := c.head()
	if err != nil {
		return nil, err
	}
	switch h.major {
	case cborMap:
		if sh.kind == structure || sh.kind == mapping {
			return c.members(sh, h, path, depth)
		}
	case cborArray:
		if sh.kind == list {
			return c.list(sh, h, path, depth)
		}
	case cborText:
		s, err := c.text(h)
		if err != nil {
			return nil, err
		}
		if sh.kind == text {
			return s, nil
		}
	case cborBytes:
		b, err := c.bytes(h)
		if err != nil {
			return nil, err
		}
		if sh.kind == blob {
			return base64.StdEncoding.EncodeToString(b), nil
		}
	case cborTag:
		if h.arg != 1 || sh.kind != timestamp {
			return nil, malformed("%s has the CBOR tag %d", path, h.arg)
		}
		if h, err = c.head(); err != nil {
			return nil, err
		}
		if h.major == cborUint || h.major == cborNegative || h.major == cborSimple && h.info >= 25 {
			return c.number(h), nil
		}
	case cborUint, cborNegative:
		switch sh.kind {
		case integer, long, float, double, timestamp:
			return c.number(h), nil
		}
	case cborSimple:
		switch {
		case h.info == 22, h.info == 23: // null, undefined
			return nil, nil
		case (h.info == 20 || h.info == 21) && sh.kind == boolean:
			return h.info == 21, nil
		case h.info >= 25 && (sh.kind == float || sh.kind == double || sh.kind == timestamp):
			return c.number(h), nil
		}
	}
	return nil, malformed("%s is not %v", path, sh.kind)
}

// number gives a json.Number, and text for what JSON has no number for.
func (c *cborDecoder) number(h head) any {
	var f float64
	switch {
	case h.major == cborUint:
		return json.Number(strconv.FormatUint(h.arg, 10))
	case h.major == cborNegative:
		if h.arg < 1<<63 {
			return json.Number(strconv.FormatInt(-1-int64(h.arg), 10))
		}
		f = -1 - float64(h.arg)
	case h.info == 25:
		f = half(uint16(h.arg))
	case h.info == 26:
		f = float64(math.Float32frombits(uint32(h.arg)))
	default:
		f = math.Float64frombits(h.arg)
	}
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
}

// half decodes a half-precision number, as RFC 8949, Appendix D.
func half(b uint16) float64 {
	exp, mant := int(b>>10&0x1f), float64(b&0x3ff)
	var f float64
	switch exp {
	case 0:
		f = math.Ldexp(mant, -24)
	case 31:
		if f = math.Inf(1); mant != 0 {
			f = math.NaN()
		}
	default:
		f = math.Ldexp(mant+1024, exp-25)
	}
	if b&0x8000 != 0 {
		f = -f
	}
	return f
}

func (c *cborDecoder) bytes(h head) ([]byte, error) {
	if !h.indefinite() {
		if h.arg > uint64(len(c.rest)) {
			return nil, malformed("CBOR that is cut off")
		}
		b := c.rest[:h.arg]
		c.rest = c.rest[h.arg:]
		return b, nil
	}
	var all []byte
	for n := 0; ; n++ {
		more, err := c.more(h, n)
		if err != nil || !more {
			return all, err
		}
		part, err := c.head()
		if err != nil {
			return nil, err
		}
		if part.major != h.major || part.indefinite() {
			return nil, malformed("CBOR with a chunk of another type")
		}
		b, err := c.bytes(part)
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
}

func (c *cborDecoder) text(h head) (string, error) {
	b, err := c.bytes(h)
	if err == nil && !utf8.Valid(b) {
		err = malformed("CBOR text that is not UTF-8")
	}
	return string(b), err
}

func (c *cborDecoder) list(sh *shape, h head, path string, depth int) (any, error) {
	v := []any{}
	for {
		more, err := c.more(h, len(v))
		if err != nil || !more {
			return v, err
		}
		x, err := c.value(sh.value, fmt.Sprintf("%s[%d]", path, len(v)), depth+1)
		if err != nil {
			return nil, err
		}
		v = append(v, x)
	}
}

// members reads structures and maps.
func (c *cborDecoder) members(sh *shape, h head, path string, depth int) (any, error) {
	v := map[string]any{}
	seen := map[string]bool{}
	for n := 0; ; n++ {
		more, err := c.more(h, n)
		if err != nil || !more {
			return v, err
		}
		k, err := c.head()
		if err != nil {
			return nil, err
		}
		if k.major != cborText {
			return nil, malformed("%s has a key that is not text", path)
		}
		name, err := c.text(k)
		if err != nil {
			return nil, err
		}
		at := join(path, name)
		if seen[name] {
			return nil, duplicate(at)
		}
		seen[name] = true
		if sh.kind == mapping {
			x, err := c.value(sh.value, at, depth+1)
			if err != nil {
				return nil, err
			}
			v[name] = x
			continue
		}
		m := sh.byName[name]
		if m == nil {
			if !c.answer && sh.almost(name) {
				return nil, malformed("member %q is not spelled as the service has it", at)
			}
			c.strange(at)
			if err := c.skip(depth + 1); err != nil {
				return nil, err
			}
			continue
		}
		x, err := c.value(m.shape, at, depth+1)
		if err != nil {
			return nil, err
		}
		if x != nil {
			v[name] = x
		}
	}
}

// skip reads over an item.
func (c *cborDecoder) skip(depth int) error {
	if err := c.count(depth); err != nil {
		return err
	}
	h, err := c.head()
	if err != nil {
		return err
	}
	items := 0
	switch h.major {
	case cborBytes, cborText:
		_, err := c.bytes(h)
		return err
	case cborTag:
		return c.skip(depth + 1)
	case cborArray:
		items = 1
	case cborMap:
		items = 2
	default:
		return nil
	}
	for n := 0; ; n++ {
		more, err := c.more(h, n)
		if err != nil || !more {
			return err
		}
		for range items {
			if err := c.skip(depth + 1); err != nil {
				return err
			}
		}
	}
}
