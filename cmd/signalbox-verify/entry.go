package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/signalbox-dev/signalbox/proof"
)

var proofCommand = command{
	name:  "proof",
	args:  "ENTRYFILE PROOFFILE --key VKEY|FILE [--origin NAME] [--json]",
	n:     2,
	short: "verify that one entry is in the log, offline",
	long: `Verifies a c2sp.org/tlog-proof: that the entry is in the tree which the proof's
checkpoint signs. ENTRYFILE holds the entry's bytes as they are in the log; one
line end after them is ignored, and "-" reads standard input.

Example:

  signalbox-verify proof entry.json entry.tlog-proof --key log.vkey
`,
	run: runProof,
}

var fieldCommand = command{
	name:  "field",
	args:  "ENTRYFILE DISCLOSURE [--json]",
	n:     2,
	short: "verify a disclosed field against its entry",
	long: `Verifies that DISCLOSURE opens a hidden field of the entry, and prints the field.
It does not verify that the entry is in the log: use the command proof for that.

Without this program, the same is shown by

  printf %s "$DISCLOSURE" | openssl dgst -sha256 -binary | basenc --base64url | tr -d =

whose result must be among the entry's "_sd".

Example:

  signalbox-verify field entry.json WyJrZm1…
`,
	run: runField,
}

var consistencyCommand = command{
	name:  "consistency",
	args:  "OLD-CHECKPOINT DIR|URL --key VKEY|FILE [--origin NAME] [--json]",
	n:     2,
	short: "verify that a log continues what an earlier checkpoint signed",
	long: `Verifies that the log still is the one that the old checkpoint was taken of: its
first entries are unchanged, none is gone. Keep a checkpoint of every visit.

Example:

  curl -so checkpoint.june https://gate.example/log/checkpoint    # in June
  signalbox-verify consistency checkpoint.june https://gate.example/log/ --key log.vkey
`,
	run: runConsistency,
}

func runProof(_ context.Context, t terminal, args []string, f flags) error {
	key, err := trust(f)
	if err != nil {
		return err
	}
	leaf, err := readLeaf(t, args[0])
	if err != nil {
		return err
	}
	p, err := readFile(t, args[1])
	if err != nil {
		return err
	}
	e, err := proof.VerifyEntry(key, leaf, p)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	if f.json {
		return printJSON(t.out, json.RawMessage(leaf))
	}
	_, err = fmt.Fprintf(t.out, "OK %s %s of %s is in the log\n", e.Body.Kind(), e.ID, e.Time.Format(time.RFC3339))
	return err
}

func runField(_ context.Context, t terminal, args []string, f flags) error {
	leaf, err := readLeaf(t, args[0])
	if err != nil {
		return err
	}
	name, value, err := proof.CheckDisclosure(leaf, proof.Disclosure(args[1]))
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	if f.json {
		return printJSON(t.out, map[string]json.RawMessage{name: value})
	}
	_, err = fmt.Fprintf(t.out, "OK %s: %s\n", name, value)
	return err
}

func runConsistency(ctx context.Context, t terminal, args []string, f flags) error {
	key, err := trust(f)
	if err != nil {
		return err
	}
	old, err := readFile(t, args[0])
	if err != nil {
		return err
	}
	src, err := source(args[1])
	if err != nil {
		return err
	}
	was, is, err := proof.VerifyConsistency(ctx, src, key, old)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(t.out, map[string]any{"origin": is.Origin, "old_size": was.N, "size": is.N,
			"root": is.Hash.String()})
	}
	_, err = fmt.Fprintf(t.out, "OK %s: %d entries continue the %d of the old checkpoint\n", is.Origin, is.N, was.N)
	return err
}

// readLeaf reads an entry's bytes, less the line end that an editor or a shell
// may have put after them: no entry ends in one.
func readLeaf(t terminal, name string) ([]byte, error) {
	b, err := readFile(t, name)
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r")), nil
}
