package foreign

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/signalbox-dev/signalbox/proof/prooftest"
)

// A published is a log as an outsider sees it: a folder, a key, and what we hand
// out on request.
type published struct {
	dir, vkey string
	size      int64
	leaf      func(index int64) []byte
	proof     func(index int64) []byte
}

// entries is enough for full tiles at two levels and partial ones at both.
const entries = 256*3 + 57

func publish(t *testing.T, origin string) published {
	t.Helper()
	l := prooftest.New(t, origin)
	for i := range entries {
		l.AddLeaf(fmt.Appendf(nil, `{"entry":%d}`, i))
	}
	dir := t.TempDir()
	l.Write(dir)
	return published{dir: dir, vkey: l.Key, size: l.Size(), leaf: l.Leaf, proof: l.Proof}
}

func TestWholeLogVerifies(t *testing.T) {
	log := publish(t, "gate.example/whole")
	if err := fsckWithin(t, log.dir, log.vkey); err != nil {
		t.Errorf("Tessera refuses our folder: %v", err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(log.dir)))
	defer server.Close()
	if err := fsckWithin(t, server.URL, log.vkey); err != nil {
		t.Errorf("Tessera refuses our log over HTTP: %v", err)
	}
	if err := run(t, tool(t, "fsck"), log.dir, log.vkey); err != nil {
		t.Errorf("the command refuses what the library accepts: %v", err)
	}
}

func TestEntriesVerify(t *testing.T) {
	log := publish(t, "gate.example/entries")
	for _, index := range []int64{0, 1, 255, 256, 511, log.size - 58, log.size - 57, log.size - 2, log.size - 1} {
		for _, v := range verifiers {
			if err := v.verify(t, log.vkey, log.leaf(index), log.proof(index)); err != nil {
				t.Errorf("%s refuses entry %d of %d: %v", v.name, index, log.size, err)
			}
		}
	}
}

// TestLogsOfEverySizeVerify walks the shapes that a tree can have.
func TestLogsOfEverySizeVerify(t *testing.T) {
	for size := range 10 {
		l := prooftest.New(t, "gate.example/small")
		for i := range size + 1 {
			l.AddLeaf(fmt.Appendf(nil, "entry %d", i))
		}
		dir := t.TempDir()
		l.Write(dir)
		if err := fsckWithin(t, dir, l.Key); err != nil {
			t.Errorf("Tessera refuses a log of %d: %v", size+1, err)
		}
		for i := range l.Size() {
			for _, v := range verifiers {
				if err := v.verify(t, l.Key, l.Leaf(i), l.Proof(i)); err != nil {
					t.Errorf("%s refuses entry %d of %d: %v", v.name, i, l.Size(), err)
				}
			}
		}
	}
}

func TestAlteredEntryOrProofIsRefused(t *testing.T) {
	log, other := publish(t, "gate.example/altered"), publish(t, "gate.example/other")
	const index = 300
	leaf, good := log.leaf(index), log.proof(index)
	hashes := 2 // the line of the first hash, after format and index
	cases := []struct {
		name        string
		vkey        string
		leaf, proof []byte
	}{
		{"one bit of the entry", log.vkey, flip(t, leaf, ""), good},
		{"entry cut short", log.vkey, leaf[:len(leaf)-1], good},
		{"empty entry", log.vkey, nil, good},
		{"another entry of the log", log.vkey, log.leaf(index + 1), good},
		{"another index", log.vkey, leaf, line(t, good, 1, func(string) string { return fmt.Sprintf("index %d", index+1) })},
		{"index beyond the log", log.vkey, leaf, line(t, good, 1, func(string) string { return "index 99999" })},
		{"negative index", log.vkey, leaf, line(t, good, 1, func(string) string { return "index -1" })},
		{"one bit of the path", log.vkey, leaf, line(t, good, hashes, func(s string) string { return swapFirst(s) })},
		{"path without its first hash", log.vkey, leaf, bytes.Replace(good, []byte(lineOf(good, hashes)+"\n"), nil, 1)},
		{"path with a hash twice", log.vkey, leaf, line(t, good, hashes, func(s string) string { return s + "\n" + s })},
		{"another origin", log.vkey, leaf, bytes.Replace(good, []byte("\ngate.example/altered\n"), []byte("\ngate.example/Altered\n"), 1)},
		{"another size", log.vkey, leaf, bytes.Replace(good, fmt.Appendf(nil, "\n%d\n", log.size), fmt.Appendf(nil, "\n%d\n", log.size+1), 1)},
		{"one bit of the signature", log.vkey, leaf, flip(t, good, lastWord(good)[20:])},
		{"no signature", log.vkey, leaf, good[:bytes.LastIndex(good, []byte("— "))]},
		{"key of another log", other.vkey, leaf, good},
		{"entry and proof of another log", log.vkey, other.leaf(index), other.proof(index)},
		{"key of another log under our name", impostor(t, "gate.example/altered"), leaf, good},
		{"not a proof", log.vkey, leaf, []byte("hello\n")},
		{"nothing", log.vkey, leaf, nil},
	}
	for _, c := range cases {
		for _, v := range verifiers {
			if err := v.verify(t, c.vkey, c.leaf, c.proof); err == nil {
				t.Errorf("%s accepts: %s", v.name, c.name)
			}
		}
	}
}

func TestAlteredLogIsRefused(t *testing.T) {
	const origin = "gate.example/tampered"
	fsckCommand := tool(t, "fsck")
	bundle, tile := filepath.Join("tile", "entries", "001"), filepath.Join("tile", "0", "001")
	partial := filepath.Join("tile", "entries", "003.p", "57")
	for _, c := range []struct {
		name  string
		alter func(t *testing.T, log *published)
	}{
		{"one bit of an entry", alterFile(bundle, func(t *testing.T, b []byte) []byte { return flip(t, b, "") })},
		{"one bit of the last, partial bundle", alterFile(partial, func(t *testing.T, b []byte) []byte { return flip(t, b, `{"entry":824`) })},
		{"bundle cut short", alterFile(bundle, func(_ *testing.T, b []byte) []byte { return b[:len(b)-5] })},
		{"two bundles exchanged", func(t *testing.T, log *published) {
			a, b := filepath.Join(log.dir, bundle), filepath.Join(log.dir, "tile", "entries", "002")
			was := read(t, a)
			write(t, a, read(t, b))
			write(t, b, was)
		}},
		{"bundle missing", func(t *testing.T, log *published) {
			if err := os.Remove(filepath.Join(log.dir, bundle)); err != nil {
				t.Fatal(err)
			}
		}},
		{"one bit of a hash tile", alterFile(tile, func(t *testing.T, b []byte) []byte { return flip(t, b, "") })},
		{"hash tile missing", func(t *testing.T, log *published) {
			if err := os.Remove(filepath.Join(log.dir, tile)); err != nil {
				t.Fatal(err)
			}
		}},
		{"every tile altered", func(t *testing.T, log *published) {
			for _, n := range []string{"000", "001", "002"} {
				alterFile(filepath.Join("tile", "0", n), func(t *testing.T, b []byte) []byte { return flip(t, b, "") })(t, log)
				alterFile(filepath.Join("tile", "entries", n), func(t *testing.T, b []byte) []byte { return flip(t, b, "") })(t, log)
			}
		}},
		{"checkpoint of another size", alterFile("checkpoint", func(t *testing.T, b []byte) []byte {
			return line(t, b, 1, func(string) string { return "5" })
		})},
		{"checkpoint with a bit of its signature changed", alterFile("checkpoint", func(t *testing.T, b []byte) []byte {
			return flip(t, b, lastWord(b)[20:])
		})},
		{"checkpoint missing", func(t *testing.T, log *published) {
			if err := os.Remove(filepath.Join(log.dir, "checkpoint")); err != nil {
				t.Fatal(err)
			}
		}},
		{"log rewritten under another key of the same name", func(t *testing.T, log *published) { log.vkey = impostor(t, origin) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := publish(t, origin)
			c.alter(t, &log)
			if err := fsckWithin(t, log.dir, log.vkey); err == nil {
				t.Error("Tessera accepts it")
			}
			if err := run(t, fsckCommand, log.dir, log.vkey); !errors.Is(err, errRefused) {
				t.Errorf("the fsck command: %v, want a refusal", err)
			}
		})
	}
}

func alterFile(name string, alter func(*testing.T, []byte) []byte) func(*testing.T, *published) {
	return func(t *testing.T, log *published) {
		t.Helper()
		path := filepath.Join(log.dir, name)
		was := read(t, path)
		now := alter(t, bytes.Clone(was))
		if bytes.Equal(was, now) {
			t.Fatalf("%s was not altered", name)
		}
		write(t, path, now)
	}
}

// impostor makes another key that bears the log's name.
func impostor(t *testing.T, origin string) string {
	t.Helper()
	_, vkey, err := note.GenerateKey(nil, origin)
	if err != nil {
		t.Fatal(err)
	}
	return vkey
}

func lineOf(text []byte, n int) string { return strings.Split(string(text), "\n")[n] }

func lastWord(text []byte) string {
	words := strings.Fields(string(text))
	return words[len(words)-1]
}

// swapFirst changes the first character of a base64 text into another one.
func swapFirst(s string) string {
	if s[0] == 'A' {
		return "B" + s[1:]
	}
	return "A" + s[1:]
}
