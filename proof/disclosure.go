package proof

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// A Disclosure opens one hidden field: base64url(["salt","name",value]), as
// RFC 9901 section 4.2.1 has it. It discloses nothing else.
type Disclosure string

// Digest gives the form in which the log holds the disclosure: the base64url
// of the SHA-256 over the disclosure's own characters.
func (d Disclosure) Digest() string {
	sum := sha256.Sum256([]byte(d))
	return b64.EncodeToString(sum[:])
}

// b64 is strict, so that a disclosure has one spelling only.
var b64 = base64.RawURLEncoding.Strict()

// decoyStep is what the number of digests in an entry is a multiple of.
const decoyStep = 4

// Disclose opens the named fields of the entry that key and payload belong to,
// in the order asked for; all of them, sorted by name, if none is named. An
// entry that was erased has neither key nor payload and discloses nothing.
func Disclose(key, payload []byte, names ...string) ([]Disclosure, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("disclose: key has %d bytes, want %d: the entry may have been erased", len(key), KeySize)
	}
	fields, err := openPayload(payload)
	if err != nil {
		return nil, fmt.Errorf("disclose: %w", err)
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(fields))
	}
	ds := make([]Disclosure, 0, len(names))
	for _, name := range names {
		value, ok := fields[name]
		if !ok {
			return nil, fmt.Errorf("disclose: the entry has no hidden field %q (it has %q)", name,
				slices.Sorted(maps.Keys(fields)))
		}
		ds = append(ds, disclosure(key, name, value))
	}
	return ds, nil
}

// disclosure never encodes the value again: the digest is over these bytes.
func disclosure(key []byte, name string, value json.RawMessage) Disclosure {
	salt := b64.EncodeToString(derive(key, "field", name)[:16])
	return Disclosure(b64.EncodeToString(fmt.Appendf(nil, "[%q,%q,%s]", salt, name, value)))
}

func derive(key []byte, use, what string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(use + "\x00" + what))
	return m.Sum(nil)
}

// fieldDigests gives the digests of all fields in payload and the decoys.
func fieldDigests(key, payload []byte) ([]string, error) {
	fields, err := openPayload(payload)
	if err != nil {
		return nil, err
	}
	var digests []string
	for name, value := range fields {
		digests = append(digests, disclosure(key, name, value).Digest())
	}
	for i := uint64(0); i == 0 && len(digests) == 0 || len(digests)%decoyStep != 0; i++ {
		n := binary.BigEndian.AppendUint64(nil, i)
		digests = append(digests, b64.EncodeToString(derive(key, "decoy", string(n))))
	}
	slices.Sort(digests)
	return digests, nil
}

func openPayload(payload []byte) (map[string]json.RawMessage, error) {
	if len(payload) == 0 {
		return nil, nil
	}
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("payload has %d bytes, more than %d", len(payload), MaxPayload)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return fields, nil
}

// CheckDisclosure verifies that d opens a hidden field of the entry in leaf,
// and gives the field. The leaf itself must have been verified to be in the log
// (see [VerifyEntry]).
func CheckDisclosure(leaf []byte, d Disclosure) (name string, value json.RawMessage, err error) {
	e, err := Decode(leaf)
	if err != nil {
		return "", nil, fmt.Errorf("check disclosure: %w", err)
	}
	if _, found := slices.BinarySearch(e.Digests, d.Digest()); !found {
		return "", nil, fmt.Errorf("check disclosure: %s entry %s does not hold its digest %s: it belongs to another entry, or was changed", e.Body.Kind(), e.ID, d.Digest())
	}
	return openDisclosure(d)
}

// openDisclosure takes a disclosure apart; it does not verify anything.
func openDisclosure(d Disclosure) (name string, value json.RawMessage, err error) {
	text, err := b64.DecodeString(string(d))
	if err != nil {
		return "", nil, fmt.Errorf("disclosure: %w", err)
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		return "", nil, fmt.Errorf("disclosure: %w", err)
	}
	if len(parts) != 3 {
		return "", nil, fmt.Errorf("disclosure: has %d parts, want salt, name and value", len(parts))
	}
	var salt string
	for i, to := range []*string{&salt, &name} {
		if bytes.Equal(parts[i], []byte("null")) {
			return "", nil, fmt.Errorf("disclosure: part %d is null", i+1)
		}
		if err := json.Unmarshal(parts[i], to); err != nil {
			return "", nil, fmt.Errorf("disclosure: %w", err)
		}
	}
	return name, parts[2], nil
}
