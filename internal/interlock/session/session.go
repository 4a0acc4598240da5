// Package session holds what a session is made of: its credentials, the people
// behind it, and the memory of what it did. Pure values and rules, no I/O.
//
// The one thing to know: no session's secret is stored anywhere. A credential
// is a keyed hash of what it stands for, so it can be checked by whoever holds
// the master key and dies with its session or with the epoch of its person.
package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// A Person is an enrolled human.
type Person struct {
	Name   string
	Groups []string // "sre", "dba"; sorted
	Admin  bool     // may enrol people and change policy
	Epoch  int64    // raised to make all the person's credentials worthless
	Added  time.Time
}

// In reports whether the person is a member of group.
func (p Person) In(group string) bool { return slices.Contains(p.Groups, group) }

// Kind says what a credential stands for. It is written in the credential, so
// that a leaked one is recognised by secret scanners, and is part of what is
// hashed, so that one kind never passes for another.
type Kind string

// The kinds of credentials.
const (
	KindSession Kind = "sbs" // a session at one gate; the only kind that a gate accepts
	KindPerson  Kind = "sbu" // a human at the API and the command line
)

// ErrCredential is returned for every credential that is not valid, whatever
// the cause: the caller learns nothing from it.
var ErrCredential = errors.New("credential is not valid")

// A Claim is what a credential stands for. A session's credential is bound to
// one gate ("api" for the API); a person's is not, and has gate "api".
type Claim struct {
	Kind    Kind
	Subject string // session id or person's name
	Gate    string
	Epoch   int64
}

// A Minter makes and checks credentials with the master key. Whoever has the
// key can make any credential: it is the crown jewel of an installation.
type Minter struct{ key []byte }

// MasterKeySize is the size of a master key in bytes.
const MasterKeySize = 32

// NewMinter takes a master key of [MasterKeySize] random bytes.
func NewMinter(key []byte) (*Minter, error) {
	if len(key) != MasterKeySize {
		return nil, fmt.Errorf("master key has %d bytes: want %d", len(key), MasterKeySize)
	}
	return &Minter{key: slices.Clone(key)}, nil
}

// LogValue keeps the key out of logs, whatever is logged.
func (*Minter) LogValue() slog.Value { return slog.StringValue("[master key]") }

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Mint gives the credential for a claim: kind, subject and hash joined by "_".
// The same claim always gives the same credential.
func (m *Minter) Mint(c Claim) string {
	return string(c.Kind) + "_" + c.Subject + "_" + encoding.EncodeToString(m.mac(c))
}

// Check reports [ErrCredential] unless given is the credential for the claim.
// It takes the same time wherever the two differ.
func (m *Minter) Check(c Claim, given string) error {
	if subtle.ConstantTimeCompare([]byte(m.Mint(c)), []byte(given)) != 1 {
		return ErrCredential
	}
	return nil
}

// Parse gives kind and subject of a credential, unproved: what they claim must
// then be proved by [Minter.Check] with the epoch of that subject.
func Parse(credential string) (Kind, string, error) {
	kind, rest, ok := strings.Cut(credential, "_")
	cut := strings.LastIndexByte(rest, '_')
	if !ok || cut < 1 || Kind(kind) != KindSession && Kind(kind) != KindPerson {
		return "", "", ErrCredential
	}
	return Kind(kind), rest[:cut], nil
}

// Derive gives a key for another purpose from the master key, so that there is
// one secret to keep. The same purpose always gives the same 32 bytes.
func (m *Minter) Derive(purpose string) []byte {
	h := hmac.New(sha256.New, m.key)
	h.Write([]byte("derive\x00" + purpose))
	return h.Sum(nil)
}

func (m *Minter) mac(c Claim) []byte {
	h := hmac.New(sha256.New, m.key)
	for _, part := range []string{"credential", string(c.Kind), c.Subject, c.Gate} {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	var e [8]byte
	binary.BigEndian.PutUint64(e[:], uint64(c.Epoch))
	h.Write(e[:])
	return h.Sum(nil)[:20] // 160 bits: 32 characters
}

// NewCode gives a random one-time code, for the first administrator.
func NewCode() string {
	b := make([]byte, 20)
	rand.Read(b) // never fails: crypto/rand aborts the program instead
	return "sba_" + encoding.EncodeToString(b)
}
