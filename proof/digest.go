package proof

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/signalbox-dev/signalbox"
)

// A Part is one named piece of what a digest covers. Make it with [Null],
// [Text], [Bytes] or [List].
type Part struct {
	name string
	kind partKind
	text string
	list []Part
}

// partKind is part of the encoding: the numbers are fixed.
type partKind byte

const (
	partNull partKind = 0
	partText partKind = 1
	partList partKind = 2
)

// Null is a part that is there without a value, unlike an empty one: an SQL
// NULL.
func Null(name string) Part { return Part{name: name, kind: partNull} }

// Text is a part that is a string.
func Text(name, value string) Part { return Part{name: name, kind: partText, text: value} }

// Bytes is a part that is bytes. It is encoded like [Text].
func Bytes(name string, value []byte) Part { return Text(name, string(value)) }

// List is a part that consists of others, in their order.
func List(name string, parts ...Part) Part { return Part{name: name, kind: partList, list: parts} }

// CanonicalDigest is the SHA-256 over an injective encoding of its arguments:
// two calls give the same digest only if they were given the same domain and
// the same parts in the same order. The domain names the form and its version,
// such as "signalbox/pgwire/request/1", so that digests made for one purpose are
// never taken for another.
//
// The encoding, where u64 is 8 bytes with the highest first, and str is a u64
// length with that many bytes:
//
//	"signalbox digest v1\n" str(domain) parts
//	parts = u64(number of parts) part…
//	part  = str(name) kind value
//	        kind 0: null, no value · kind 1: str · kind 2: parts
//
// The digest of something guessable is no secret: see [Commit].
func CanonicalDigest(domain string, parts ...Part) signalbox.Digest {
	b := appendString([]byte("signalbox digest v1\n"), domain)
	return sha256.Sum256(appendParts(b, parts))
}

func appendParts(b []byte, parts []Part) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(parts)))
	for _, p := range parts {
		b = append(appendString(b, p.name), byte(p.kind))
		switch p.kind {
		case partText:
			b = appendString(b, p.text)
		case partList:
			b = appendParts(b, p.list)
		}
	}
	return b
}

func appendString[S ~string | ~[]byte](b []byte, s S) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}

const minSalt = 16

// NewSalt gives 32 random bytes for [Commit].
func NewSalt() []byte {
	salt := make([]byte, 32)
	rand.Read(salt) // never fails: it ends the program instead
	return salt
}

// Commit binds to d without telling anything of it to those who do not know the
// salt: requests are guessable, so the log holds commitments only. Each hold,
// and each intent without one, has a salt of its own, hidden in its entry; when
// that is erased, the commitment tells nothing for ever.
//
// It is SHA-256("signalbox commitment v1\n" u64(length of salt) salt d). A salt
// shorter than 16 bytes is a fault of the program: Commit panics.
func Commit(salt []byte, d signalbox.Digest) signalbox.Digest {
	if len(salt) < minSalt {
		panic(fmt.Sprintf("proof: commitment under a salt of %d bytes, want at least %d", len(salt), minSalt))
	}
	b := appendString([]byte("signalbox commitment v1\n"), salt)
	return sha256.Sum256(append(b, d[:]...))
}

// RetryKey is what the database looks a repeated request up by: HMAC-SHA-256
// under the deployment's key over session, target and the request's digest. It
// is never written to the log, where it would link requests to one another. A
// key shorter than 16 bytes is a fault of the program: RetryKey panics.
func RetryKey(key []byte, session signalbox.SessionID, target string, d signalbox.Digest) signalbox.Digest {
	if len(key) < minSalt {
		panic(fmt.Sprintf("proof: retry key of %d bytes, want at least %d", len(key), minSalt))
	}
	m := hmac.New(sha256.New, key)
	b := appendString([]byte("signalbox retry v1\n"), session)
	b = appendString(b, target)
	m.Write(append(b, d[:]...))
	return signalbox.Digest(m.Sum(nil))
}
