package foreign

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/proof"
	"github.com/signalbox-dev/signalbox/proof/prooftest"
)

// A published is a log as an outsider sees it: a folder, a key, and what we hand
// out on request.
type published struct {
	dir, vkey string
	size      int64
	files     ledger.Blobs
	leaf      func(index int64) []byte
	proof     func(index int64) []byte
	disclose  func(index int64) proof.Disclosure
}

// entries make full tiles and partial ones.
const entries = 256*10 + 57

// publish makes a log as the server does: sealed entries through the sequencer
// into SQLite, from there to a folder, while it grows.
func publish(t *testing.T, origin string) published {
	t.Helper()
	ctx, home := t.Context(), t.TempDir()
	state, err := store.Open(ctx, store.Config{Path: filepath.Join(home, "state")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(state.Close)
	key, err := ledger.LoadOrCreateKey(filepath.Join(home, "key"), origin)
	if err != nil {
		t.Fatal(err)
	}
	p := published{dir: filepath.Join(home, "log"), vkey: key.Verifier(), size: entries}
	folder, err := ledger.OpenFolder(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	log, err := ledger.Open(ctx, ledger.Config{Store: state, Shelf: state, Blobs: folder, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	p.files = folder

	const writers = 16
	var group errgroup.Group
	for w := range writers {
		group.Go(func() error {
			for i := w; i < entries; i += writers {
				if err := appendEntry(ctx, log, i); err != nil {
					return err
				}
				if i%500 == 0 { // so that later steps meet tiles half full
					if _, err := log.Publish(ctx); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := log.Wait(ctx, entries-1); err != nil {
		t.Fatal(err)
	}
	// The step that showed the last entry goes on to remove partial tiles. This
	// one begins when it has ended: files do not vanish under a test.
	if _, err := log.Publish(ctx); err != nil {
		t.Fatal(err)
	}
	p.leaf = func(index int64) []byte {
		row, err := log.Entry(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		return row.Leaf
	}
	p.proof = func(index int64) []byte {
		text, err := log.Proof(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	p.disclose = func(index int64) proof.Disclosure {
		key, payload, err := log.Disclose(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := proof.Disclose(key, payload, "purpose")
		if err != nil {
			t.Fatal(err)
		}
		return opened[0]
	}
	return p
}

func appendEntry(ctx context.Context, log *ledger.Log, n int) error {
	id := fmt.Sprintf("%026d", n)
	leaf, err := proof.Seal(proof.Header{ID: id, Time: log.Now()},
		&proof.SessionStart{
			Session: signalbox.SessionID(id),
			Actor:   signalbox.Actor{Kind: signalbox.Agent, Name: "kiro", For: "alice"},
			Expires: proof.At(log.Now().Add(time.Hour)),
		},
		proof.Hidden{"purpose": fmt.Sprintf("look at order %d", n)})
	if err != nil {
		return err
	}
	_, err = log.Commit(ctx, ledger.Batch{Records: []ledger.Record{
		{ID: id, Leaf: leaf.Bytes, Key: leaf.Key, Payload: leaf.Payload},
	}})
	return err
}

func TestWholeLogVerifies(t *testing.T) {
	log := publish(t, "gate.example/whole")
	if err := Fsck(t.Context(), log.dir, log.vkey); err != nil {
		t.Errorf("Tessera refuses our folder: %v", err)
	}
	server := httptest.NewServer(ledger.Handler(log.files))
	defer server.Close()
	if err := Fsck(t.Context(), server.URL, log.vkey); err != nil {
		t.Errorf("Tessera refuses our log over HTTP: %v", err)
	}
	if err := run(t, tool(t, "fsck"), log.dir, log.vkey); err != nil {
		t.Errorf("the command refuses what the library accepts: %v", err)
	}
}

func TestEntriesVerify(t *testing.T) {
	log := publish(t, "gate.example/entries")
	for _, index := range []int64{0, 1, 255, 256, 2047, 2048, entries - 58, entries - 57, entries - 2, entries - 1} {
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
		if err := Fsck(t.Context(), dir, l.Key); err != nil {
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

// TestDisclosedFieldVerifies does what the documentation tells an auditor to do
// with a field that was disclosed to him.
func TestDisclosedFieldVerifies(t *testing.T) {
	log := publish(t, "gate.example/disclosed")
	const index = 1234
	disclosed := log.disclose(index)
	digest := func(text string) string {
		cmd := exec.CommandContext(t.Context(), "sh", "-c",
			`openssl dgst -sha256 -binary | basenc --base64url | tr -d =`)
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	var leaf struct {
		Digests []string `json:"_sd"`
	}
	if err := json.Unmarshal(log.leaf(index), &leaf); err != nil {
		t.Fatal(err)
	}
	if got := digest(string(disclosed)); !slices.Contains(leaf.Digests, got) {
		t.Errorf("digest %s of the disclosed field is not among those in the log: %v", got, leaf.Digests)
	}
	if got := digest(swapFirst(string(disclosed))); slices.Contains(leaf.Digests, got) {
		t.Error("the digest of another field is in the log")
	}
	plain, err := base64.RawURLEncoding.DecodeString(string(disclosed))
	if err != nil || !strings.HasSuffix(string(plain), `"purpose","look at order `+orderOf(t, log.leaf(index))+`"]`) {
		t.Errorf("disclosed is %s, %v", plain, err)
	}
	if bytes.Contains(log.leaf(index), []byte("look at order")) {
		t.Error("the hidden field stands in the log")
	}
}

// orderOf reads back the number that appendEntry wrote into the entry's id.
func orderOf(t *testing.T, leaf []byte) string {
	t.Helper()
	var entry struct{ ID string }
	if err := json.Unmarshal(leaf, &entry); err != nil {
		t.Fatal(err)
	}
	return strings.TrimLeft(entry.ID, "0")
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
		{"another index", log.vkey, leaf, line(t, good, 1,
			func(string) string { return fmt.Sprintf("index %d", index+1) })},
		{"index beyond the log", log.vkey, leaf, line(t, good, 1, func(string) string { return "index 99999" })},
		{"negative index", log.vkey, leaf, line(t, good, 1, func(string) string { return "index -1" })},
		{"one bit of the path", log.vkey, leaf, line(t, good, hashes, func(s string) string { return swapFirst(s) })},
		{"path without its first hash", log.vkey, leaf, bytes.Replace(good, []byte(lineOf(good, hashes)+"\n"), nil, 1)},
		{"path with a hash twice", log.vkey, leaf,
			line(t, good, hashes, func(s string) string { return s + "\n" + s })},
		{"another origin", log.vkey, leaf, bytes.Replace(good, []byte("\ngate.example/altered\n"),
			[]byte("\ngate.example/Altered\n"), 1)},
		{"another size", log.vkey, leaf, bytes.Replace(good, fmt.Appendf(nil, "\n%d\n", log.size),
			fmt.Appendf(nil, "\n%d\n", log.size+1), 1)},
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
	whole := publish(t, origin)
	bundle, tile := filepath.Join("tile", "entries", "001"), filepath.Join("tile", "0", "001")
	partial := filepath.Join("tile", "entries", "010.p", "57")
	for _, c := range []struct {
		name  string
		alter func(t *testing.T, log *published)
	}{
		{"one bit of an entry", alterFile(bundle, func(t *testing.T, b []byte) []byte { return flip(t, b, "") })},
		{"one bit of the last, partial bundle",
			alterFile(partial, func(t *testing.T, b []byte) []byte { return flip(t, b, "kiro") })},
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
		{"log rewritten under another key of the same name",
			func(t *testing.T, log *published) { log.vkey = impostor(t, origin) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := published{dir: t.TempDir(), vkey: whole.vkey}
			if err := os.CopyFS(log.dir, os.DirFS(whole.dir)); err != nil {
				t.Fatal(err)
			}
			c.alter(t, &log)
			if err := Fsck(t.Context(), log.dir, log.vkey); err == nil {
				t.Error("Tessera accepts it")
			}
			if err := run(t, fsckCommand, log.dir, log.vkey); !errors.Is(err, errRefused) {
				t.Errorf("the fsck command: %v, want a refusal", err)
			}
		})
	}
}

// TestMuchAlteredLogIsRefused alters more tiles than Tessera has workers, for which
// its check would wait for ever.
func TestMuchAlteredLogIsRefused(t *testing.T) {
	log := publish(t, "gate.example/ruin")
	for n := range entries / 256 {
		alterFile(filepath.Join("tile", "0", fmt.Sprintf("%03d", n)),
			func(t *testing.T, b []byte) []byte { return flip(t, b, "") })(t, &log)
	}
	if err := fsckLog(t.Context(), log.dir, log.vkey, 2*time.Second); err == nil {
		t.Error("Tessera accepts it")
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
