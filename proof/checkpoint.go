package proof

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Trust says whose signatures make a checkpoint good, and of which log it
// must be. Make it with [ParseKey].
type Trust = torchwood.Policy

// A Checkpoint is a tree head: the log's origin, its size and its root hash
// (c2sp.org/tlog-checkpoint).
type Checkpoint = torchwood.Checkpoint

// ParseKey reads what an auditor was given to trust: either one verifier key in
// the note format (name+hash+key), or a witness policy in the format of
// [torchwood.ParsePolicy] (lines beginning with log, witness, group, quorum).
// With a key alone the checkpoint's origin must be the key's name, or origin if
// that is not empty; a policy's logs name their own origins.
func ParseKey(text, origin string) (Trust, error) {
	text = strings.TrimSpace(text)
	first, _, _ := strings.Cut(text, " ")
	switch first {
	case "":
		return nil, errors.New("verifier key is empty")
	case "log", "witness", "group", "quorum", "#":
		if origin != "" {
			return nil, errors.New("an origin cannot be combined with a policy, whose logs name their own")
		}
		p, err := torchwood.ParsePolicy([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("read policy: %w", err)
		}
		return p, nil
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return nil, fmt.Errorf("read verifier key %q: %w", text, err)
	}
	if origin == "" {
		origin = v.Name()
	}
	return torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(origin), torchwood.SingleVerifierPolicy(v)), nil
}

// OpenCheckpoint verifies the signatures on a checkpoint and gives it.
func OpenCheckpoint(trust Trust, signed []byte) (Checkpoint, error) {
	c, _, err := torchwood.VerifyCheckpoint(signed, trust)
	if err != nil {
		// The origin as it stands there, so that the user sees which log he
		// has got hold of.
		origin, _, _ := strings.Cut(string(signed[:min(len(signed), 200)]), "\n")
		return Checkpoint{}, fmt.Errorf("verify checkpoint of origin %q: %w", origin, err)
	}
	return c, nil
}

// FormatProof gives the proof that the entry at index is in the tree of the
// signed checkpoint, as a c2sp.org/tlog-proof.
func FormatProof(index int64, p tlog.RecordProof, signed []byte) []byte {
	return torchwood.FormatProof(index, p, signed)
}

// VerifyEntry verifies that leaf is in the log by a c2sp.org/tlog-proof, offline,
// and decodes it. It says nothing of what else is in the log: see [VerifyLog].
func VerifyEntry(trust Trust, leaf, proof []byte) (Entry, error) {
	if err := torchwood.VerifyProof(trust, tlog.RecordHash(leaf), proof); err != nil {
		return Entry{}, fmt.Errorf("verify proof: %w", err)
	}
	return Decode(leaf)
}

// VerifyConsistency verifies that the log at src is the one that the signed
// checkpoint old was taken of, with nothing changed or removed since. It gives
// both tree heads.
func VerifyConsistency(ctx context.Context, src Source, trust Trust, old []byte) (was, is Checkpoint, err error) {
	was, err = OpenCheckpoint(trust, old)
	if err != nil {
		return was, is, fmt.Errorf("old checkpoint: %w", err)
	}
	signed, err := src.Read(ctx, checkpointPath)
	if err != nil {
		return was, is, fmt.Errorf("read checkpoint: %w", err)
	}
	is, err = OpenCheckpoint(trust, signed)
	if err != nil {
		return was, is, err
	}
	return was, is, checkConsistency(ctx, src, was, is)
}

func checkConsistency(ctx context.Context, src Source, was, is Checkpoint) error {
	switch {
	case was.Origin != is.Origin:
		return fmt.Errorf("old checkpoint is of log %q, this one of %q", was.Origin, is.Origin)
	case is.N < was.N:
		return fmt.Errorf("the log went back: it had %d entries, now %d", was.N, is.N)
	case is.N == was.N:
		if is.Hash != was.Hash {
			return fmt.Errorf("two different logs of %d entries: root %s before, %s now", is.N, was.Hash, is.Hash)
		}
		return nil
	case was.N == 0:
		return nil // everything continues an empty log
	}
	// The reader verifies each tile against the new root before it uses it.
	hashes := torchwood.TileHashReaderWithContext(ctx, is.Tree, tileSource{src})
	proof, err := tlog.ProveTree(is.N, was.N, hashes)
	if err != nil {
		return fmt.Errorf("prove that %d entries continue %d: %w", is.N, was.N, err)
	}
	if err := tlog.CheckTree(proof, is.N, is.Hash, was.N, was.Hash); err != nil {
		return fmt.Errorf("the log's first %d entries are not the ones of the old checkpoint: %w", was.N, err)
	}
	return nil
}
