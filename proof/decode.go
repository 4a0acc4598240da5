package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// An Entry is a decoded leaf.
type Entry struct {
	Header
	// Body is a pointer to the fields of the entry's kind: *[Intent] and so on.
	Body Body
	// Digests are those of the hidden fields and the decoys, sorted.
	Digests []string
}

// Decode reads a leaf. It is strict: what it accepts is, token by token, what
// [Seal] writes for the entry that it gives. An unknown version, type or field,
// a field twice, out of order, of another case or empty where it should be left
// out: each is an error that names it.
func Decode(leaf []byte) (Entry, error) {
	if len(leaf) > MaxLeaf {
		return Entry{}, fmt.Errorf("decode entry: %d bytes are more than %d", len(leaf), MaxLeaf)
	}
	if !utf8.Valid(leaf) {
		return Entry{}, errors.New("decode entry: not UTF-8")
	}
	var ends struct {
		prefix
		suffix
	}
	if err := json.Unmarshal(leaf, &ends); err != nil {
		return Entry{}, fmt.Errorf("decode entry: %w", err)
	}
	if ends.V != version {
		return Entry{}, fmt.Errorf("decode entry: version %d, this reader knows %d: use a newer one", ends.V, version)
	}
	body, err := NewBody(ends.Type)
	if err != nil {
		return Entry{}, fmt.Errorf("decode entry: %w", err)
	}
	fail := func(err error) (Entry, error) {
		return Entry{}, fmt.Errorf("decode %s entry %q: %w", ends.Type, ends.ID, err)
	}
	if err := checkID(ends.ID); err != nil {
		return fail(err)
	}
	if ends.Time <= 0 {
		return fail(fmt.Errorf("time %d is not after 1970", ends.Time))
	}
	if err := checkDigests(ends.Type, ends.suffix); err != nil {
		return fail(err)
	}
	if err := json.Unmarshal(leaf, body); err != nil {
		return fail(err)
	}
	again, err := encode(ends.prefix, body, ends.suffix)
	if err != nil {
		return fail(err)
	}
	if !bytes.Equal(leaf, again) {
		if err := sameTokens(leaf, again); err != nil {
			return fail(err)
		}
	}
	return Entry{
		Header:  Header{ID: ends.ID, Time: time.UnixMilli(ends.Time).UTC()},
		Body:    body,
		Digests: ends.SD,
	}, nil
}

// checkDigests refuses digests where the kind hides nothing, and digests that
// are missing, of another algorithm, malformed, unsorted or repeated.
func checkDigests(k Kind, s suffix) error {
	if f, err := formOf(k); err != nil || !f.hides {
		if s.Alg != "" || len(s.SD) != 0 {
			return errors.New("field \"_sd\": this type hides nothing")
		}
		return nil
	}
	if s.Alg != sdAlg {
		return fmt.Errorf("field \"_sd_alg\": %q, want %q", s.Alg, sdAlg)
	}
	if len(s.SD) == 0 || len(s.SD)%decoyStep != 0 {
		return fmt.Errorf("field \"_sd\": %d digests, want a multiple of %d", len(s.SD), decoyStep)
	}
	for i, d := range s.SD {
		if raw, err := b64.DecodeString(d); err != nil || len(raw) != 32 {
			return fmt.Errorf("field \"_sd\": %q is not the base64url of 32 bytes", d)
		}
		if i > 0 && s.SD[i-1] >= d {
			return fmt.Errorf("field \"_sd\": %q is out of order or there twice", d)
		}
	}
	return nil
}

// sameTokens compares two JSON texts token by token, so that spelling (white
// space, escapes) does not matter and everything else does. The error names the
// first field of got that want does not have in that place.
//
// Decoding is lenient in encoding/json: it skips unknown fields, takes the last
// of two of the same name, and does not mind case. Encoding again and comparing
// shows all of these at once, at every depth.
func sameTokens(got, want []byte) error {
	g, w := json.NewDecoder(bytes.NewReader(got)), json.NewDecoder(bytes.NewReader(want))
	g.UseNumber()
	w.UseNumber()
	var path fieldPath
	for {
		gt, gerr := g.Token()
		wt, werr := w.Token()
		if gerr == io.EOF && werr == io.EOF {
			return nil
		}
		if gerr != nil && gerr != io.EOF {
			return gerr
		}
		path.add(gt)
		if gt != wt || gerr != werr {
			return fmt.Errorf("field %q: unknown, repeated, out of place, or not in its canonical form", path.String())
		}
	}
}

// A fieldPath follows the tokens of a JSON text and knows the field they are in.
type fieldPath struct {
	open []level // the objects and arrays that are not closed yet
}

type level struct {
	object bool
	key    string // the key whose value is being read
	value  bool   // the next token is a value, not a key
}

func (p *fieldPath) add(t json.Token) {
	top := func() *level {
		if len(p.open) == 0 {
			return nil
		}
		return &p.open[len(p.open)-1]
	}
	if d, ok := t.(json.Delim); ok && (d == '}' || d == ']') {
		if len(p.open) > 0 {
			p.open = p.open[:len(p.open)-1]
		}
		return
	}
	if l := top(); l != nil && l.object {
		if !l.value {
			l.key, _ = t.(string)
			l.value = true
			return
		}
		l.value = false
	}
	if d, ok := t.(json.Delim); ok {
		p.open = append(p.open, level{object: d == '{'})
	}
}

func (p *fieldPath) String() string {
	var keys []string
	for _, l := range p.open {
		if l.object && l.key != "" {
			keys = append(keys, l.key)
		}
	}
	return strings.Join(keys, ".")
}
