package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

// ErrForeign says that a file or database belongs to another log, or to
// another key.
var ErrForeign = errors.New("belongs to another log")

// A Key signs the checkpoints of one log. Its text forms show the public half
// alone.
type Key struct {
	signer   note.Signer
	verifier note.Verifier
	vkey     string
}

// Origin is the name of the log that the key is for.
func (k *Key) Origin() string { return k.signer.Name() }

// Verifier is the public half as a c2sp.org/signed-note vkey, to hand out.
func (k *Key) Verifier() string { return k.vkey }

// String is [Key.Verifier].
func (k *Key) String() string { return k.vkey }

// LogValue implements [slog.LogValuer].
func (k *Key) LogValue() slog.Value { return slog.StringValue(k.vkey) }

// LoadOrCreateKey reads the Ed25519 key of the log named origin from the file,
// or makes one there if the file is not there. The file holds the secret half
// and must be readable by its owner alone. A key for another origin is refused
// with [ErrForeign].
func LoadOrCreateKey(path, origin string) (*Key, error) {
	if strings.ContainsAny(origin, " +\n\t") || origin == "" {
		return nil, fmt.Errorf("log origin %q: must be a name without spaces and plus signs, like example.com/signalbox", origin)
	}
	k, err := loadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createKey(path, origin); err != nil {
			return nil, fmt.Errorf("create log key %q: %w", path, err)
		}
		k, err = loadKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("log key %q: %w", path, err)
	}
	if k.Origin() != origin {
		return nil, fmt.Errorf("log key %q is for log %q, not %q: %w", path, k.Origin(), origin, ErrForeign)
	}
	return k, nil
}

func createKey(path, origin string) error {
	secret, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return err
	}
	// Written whole beside it and linked into place, so that a crash leaves no
	// half key, and of two processes that start at once one makes the key.
	tmp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if _, err := tmp.WriteString(secret + "\n"); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func loadKey(path string) (*Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("others can read it (mode %04o): it is the log's signing key; chmod 600 it, and if others may have read it start a new log", perm)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	// Errors of the parsers are not shown: they may quote what they parsed.
	secret := string(bytes.TrimSpace(data))
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, errors.New("is not a log key (PRIVATE+KEY+…)")
	}
	verifier, err := torchwood.NewVerifierFromSigner(secret)
	if err != nil {
		return nil, errors.New("is not an Ed25519 log key")
	}
	// PRIVATE+KEY+name+hash+base64(algorithm byte, seed), already checked above.
	coded := strings.SplitN(secret, "+", 5)[4]
	seed, err := base64.StdEncoding.DecodeString(coded)
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return nil, errors.New("is not an Ed25519 log key")
	}
	public := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	vkey, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return nil, errors.New("is not an Ed25519 log key")
	}
	return &Key{signer: signer, verifier: verifier, vkey: vkey}, nil
}
