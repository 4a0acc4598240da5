package proof

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// MaxLeaf is the longest leaf that c2sp.org/tlog-tiles can carry, in bytes.
	MaxLeaf = 1<<16 - 1

	// MaxPayload is the longest payload, in bytes. It is far above what gates
	// let in and guards the reader, not the writer.
	MaxPayload = 16 << 20

	// KeySize is the length of an entry's key, in bytes.
	KeySize = 32

	version = 1
	sdAlg   = "sha-256"
)

// A Header is what every entry begins with.
type Header struct {
	// ID names the entry: a ULID, 26 characters, unique in the log.
	ID string
	// Time is when the entry was made, with milliseconds. The order of entries
	// is the log's, not that of their times.
	Time time.Time
}

// Hidden is the fields of an entry of which the log keeps salted digests only,
// by name. Values are marshalled as JSON. See [HiddenNames].
type Hidden map[string]any

// A Leaf is a sealed entry: what goes into the log, and what is kept beside it.
type Leaf struct {
	// Bytes is the leaf itself.
	Bytes []byte
	// Key is the entry's key: 32 random bytes that the salts come from. A
	// secret, kept with the payload and deleted with it.
	Key []byte
	// Payload is the hidden fields as one JSON object. Nil if there are none.
	Payload []byte
}

// prefix and suffix are the two ends of a leaf, around the fields of its body.
type prefix struct {
	V    int    `json:"v"`
	Type Kind   `json:"type"`
	ID   string `json:"id"`
	Time int64  `json:"time"`
}

type suffix struct {
	Alg string   `json:"_sd_alg,omitempty"`
	SD  []string `json:"_sd,omitempty"`
}

// Seal encodes an entry and hides its hidden fields under a new random key.
// The error of a leaf that is too long names its longest field; nothing is ever
// cut off silently.
func Seal(h Header, body Body, hidden Hidden) (Leaf, error) {
	key := make([]byte, KeySize)
	rand.Read(key) // never fails: it ends the program instead
	if !isNil(body) {
		names := HiddenNames(body.Kind())
		for name := range hidden {
			if !slices.Contains(names, name) {
				return Leaf{}, fmt.Errorf("seal %s entry %q: field %q cannot be hidden in this type, only %s",
					body.Kind(), h.ID, name, strings.Join(names, ", "))
			}
		}
	}
	return seal(h, body, hidden, key)
}

// seal is Seal under a known key, of whatever names: those of earlier versions
// as well.

func seal(h Header, body Body, hidden Hidden, key []byte) (Leaf, error) {
	if isNil(body) {
		return Leaf{}, fmt.Errorf("seal entry %q: no body", h.ID)
	}
	kind := body.Kind()
	fail := func(err error) (Leaf, error) {
		return Leaf{}, fmt.Errorf("seal %s entry %q: %w", kind, h.ID, err)
	}
	f, err := formOf(kind)
	if err != nil {
		return fail(err)
	}
	if err := checkID(h.ID); err != nil {
		return fail(err)
	}
	if h.Time.UnixMilli() <= 0 {
		return fail(fmt.Errorf("time %s is not after 1970", h.Time))
	}
	payload, err := sealPayload(hidden)
	if err != nil {
		return fail(err)
	}
	var tail suffix
	if f.hides {
		digests, err := fieldDigests(key, payload)
		if err != nil {
			return fail(err)
		}
		tail = suffix{sdAlg, digests}
	}
	leaf, err := encode(prefix{version, kind, h.ID, h.Time.UnixMilli()}, body, tail)
	if err != nil {
		return fail(err)
	}
	if len(leaf) > MaxLeaf {
		name, n := longestField(leaf)
		return fail(fmt.Errorf("%d bytes are more than a leaf can hold (%d): field %q has %d, hide or shorten it",
			len(leaf), MaxLeaf, name, n))
	}
	return Leaf{Bytes: leaf, Key: key, Payload: payload}, nil
}

// isNil also catches a nil pointer to one of the bodies, whose Kind would
// panic.
func isNil(b Body) bool {
	if b == nil {
		return true
	}
	v := reflect.ValueOf(b)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

const ulidDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ulidDigit gives the value of a digit of a ULID, 0xff for any other byte.
var ulidDigit = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range len(ulidDigits) {
		t[ulidDigits[i]] = byte(i)
	}
	return t
}()

// checkID refuses what is not a ULID in its canonical form.
func checkID(id string) error {
	if len(id) != 26 || id[0] < '0' || id[0] > '7' {
		return fmt.Errorf("id %q is not a ULID: want 26 characters, the first 0 to 7", id)
	}
	for i := range len(id) {
		if ulidDigit[id[i]] == 0xff {
			return fmt.Errorf("id %q is not a ULID: character %q", id, id[i])
		}
	}
	return nil
}

// sealPayload marshals the hidden fields, sorted by name; nil if none.
func sealPayload(hidden Hidden) ([]byte, error) {
	if len(hidden) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	for i, name := range slices.Sorted(maps.Keys(hidden)) {
		value, err := marshal(hidden[name])
		if err != nil {
			return nil, fmt.Errorf("hidden field %q: %w", name, err)
		}
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		b.WriteByte(sep)
		fmt.Fprintf(&b, "%q:", name)
		b.Write(value)
		if b.Len() >= MaxPayload {
			return nil, fmt.Errorf("hidden field %q: payload is longer than %d bytes", name, MaxPayload)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// encode joins the three parts of a leaf into one object.
func encode(head prefix, body Body, tail suffix) ([]byte, error) {
	var leaf []byte
	for _, part := range []any{head, body, tail} {
		b, err := marshal(part)
		if err != nil {
			return nil, err
		}
		fields := b[1 : len(b)-1] // without the braces
		if len(fields) == 0 {
			continue
		}
		if leaf == nil {
			leaf = append(leaf, '{')
		} else {
			leaf = append(leaf, ',')
		}
		leaf = append(leaf, fields...)
	}
	return append(leaf, '}'), nil
}

// marshal is [json.Marshal] without the escapes for HTML, which would make SQL
// hard to read.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	out := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if !utf8.Valid(out) {
		return nil, fmt.Errorf("text is not UTF-8") // a RawMessage can smuggle it in
	}
	return out, nil
}

// longestField names the field of a leaf that takes most of it.
func longestField(leaf []byte) (name string, n int) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(leaf, &fields); err != nil {
		return "", len(leaf)
	}
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if len(fields[k]) > n {
			name, n = k, len(fields[k])
		}
	}
	return name, n
}
