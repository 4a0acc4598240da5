package signalbox

import (
	"encoding/hex"
	"fmt"
)

// A Digest is a SHA-256 value: of a canonical request, a policy set, a salted
// commitment. Its text form is lower-case hexadecimal.
type Digest [32]byte

// String gives 64 hexadecimal characters.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short gives the first 12 hexadecimal characters, for people.
func (d Digest) Short() string { return d.String()[:12] }

// IsZero reports whether the digest was never set.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText implements [encoding.TextMarshaler].
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != 64 {
		return fmt.Errorf("digest %q: want 64 hexadecimal characters, have %d", text, len(text))
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return fmt.Errorf("digest %q: %w", text, err)
	}
	return nil
}
