package foreign

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// verifiers judge one entry with its proof. A nil error is their yes.
var verifiers = []struct {
	name   string
	verify func(t *testing.T, vkey string, leaf, proof []byte) error
}{
	{"torchwood", func(_ *testing.T, vkey string, leaf, proof []byte) error {
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			return err
		}
		policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(verifier.Name()),
			torchwood.SingleVerifierPolicy(verifier))
		return torchwood.VerifyProof(policy, tlog.RecordHash(leaf), proof)
	}},
	{"spicy", func(t *testing.T, vkey string, leaf, proof []byte) error {
		entry := filepath.Join(t.TempDir(), "entry")
		write(t, entry, leaf)
		// Its format is the older one: ours without the first line.
		_, rest, _ := bytes.Cut(proof, []byte("\n"))
		write(t, entry+".spicy", rest)
		return run(t, tool(t, "spicy"), "-verify", vkey, entry)
	}},
	{"openssl", func(t *testing.T, vkey string, leaf, proof []byte) error {
		entry := filepath.Join(t.TempDir(), "entry")
		write(t, entry, leaf)
		write(t, entry+".tlog-proof", proof)
		return run(t, "./verify.sh", entry, entry+".tlog-proof", vkey)
	}},
}

// tool finds a program that make setup builds.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", ".cache", "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make setup`", err)
	}
	return path
}

// errRefused is what a program says by its exit code 1; anything else that goes
// wrong fails the test, so that a program that does not run refuses nothing.
var errRefused = errors.New("refused")

func run(t *testing.T, program string, args ...string) error {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return fmt.Errorf("%w: %s", errRefused, bytes.TrimSpace(out))
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return nil
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// flip returns data with one bit changed at the place where sub begins; without
// sub, in the middle.
func flip(t *testing.T, data []byte, sub string) []byte {
	t.Helper()
	i := len(data) / 2
	if sub != "" {
		i = bytes.Index(data, []byte(sub))
	}
	if i < 0 || i >= len(data) {
		t.Fatalf("nothing to alter: no %q in %d bytes", sub, len(data))
	}
	data = bytes.Clone(data)
	data[i] ^= 1
	return data
}

// line replaces line n, counted from 0, of a text.
func line(t *testing.T, text []byte, n int, with func(string) string) []byte {
	t.Helper()
	lines := strings.Split(string(text), "\n")
	if n >= len(lines) {
		t.Fatalf("no line %d in\n%s", n, text)
	}
	lines[n] = with(lines[n])
	return []byte(strings.Join(lines, "\n"))
}
