package proof_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/proof"
	"github.com/signalbox-dev/signalbox/proof/prooftest"
)

// filler is a valid entry that concerns nothing else.
func filler(n int) proof.Body {
	return proof.Storm{Gate: "orders-db", What: "refusals", Count: int64(n), From: 1, To: 2}
}

func started(t *testing.T) *prooftest.Log {
	l := prooftest.New(t, "log.example.org/2026")
	l.Add(proof.Start{Origin: l.Origin, Key: l.Key, Version: "v0.0.0"}, nil)
	return l
}

// Sizes on both sides of a tile's edge. (See TestTreeOfEverySize for great ones.)
func TestVerifyLogOfEverySize(t *testing.T) {
	l := started(t)
	sizes := map[int64]bool{1: true, 2: true, 3: true, 7: true, 255: true, 256: true, 257: true, 511: true, 512: true,
		513: true}
	for n := int64(1); n <= 513; n++ {
		if n > 1 {
			l.Add(filler(int(n)), nil)
		}
		if !sizes[n] {
			continue
		}
		dir := t.TempDir()
		l.Write(dir)
		r, err := proof.VerifyLog(t.Context(), proof.Folder(os.DirFS(dir)), l.Trust(), proof.Options{})
		if err != nil {
			t.Fatalf("size %d: %v", n, err)
		}
		var entries int64
		for _, k := range r.Entries {
			entries += k
		}
		if r.Size != n || entries != n || !r.OK() || r.Warnings != 0 {
			t.Errorf("size %d: %+v", n, r)
		}
		from := n * 2 / 3
		r, err = proof.VerifyLog(t.Context(), proof.Folder(os.DirFS(dir)), l.Trust(), proof.Options{From: from})
		if err != nil || !r.OK() {
			t.Errorf("size %d from %d: %+v, %v", n, from, r, err)
		}
	}
}

func TestVerifyEmptyLog(t *testing.T) {
	l := prooftest.New(t, "log.example.org/2026")
	dir := t.TempDir()
	l.Write(dir)
	r, err := proof.VerifyLog(t.Context(), proof.Folder(os.DirFS(dir)), l.Trust(), proof.Options{})
	if err != nil || r.Size != 0 || !r.OK() {
		t.Errorf("empty log: %+v, %v", r, err)
	}
}

// Whatever byte of whatever file is changed, the verification fails.
func TestVerifyLogNoticesEveryChangedFile(t *testing.T) {
	l := started(t)
	for n := range 600 {
		l.Add(filler(n), nil)
	}
	dir := t.TempDir()
	l.Write(dir)
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 8 {
		t.Fatalf("files: %q, %v", files, err)
	}
	for _, file := range files {
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// The last byte of a signature in base64 may be insignificant padding,
		// so the end is tried by cutting it off.
		for name, bad := range map[string][]byte{
			"first byte": append([]byte{good[0] ^ 1}, good[1:]...),
			"middle byte": append(append([]byte{}, good[:len(good)/2]...),
				append([]byte{good[len(good)/2] ^ 1}, good[len(good)/2+1:]...)...),
			"cut":    good[:len(good)-1],
			"longer": append(append([]byte{}, good...), 'x'),
			"empty":  {},
		} {
			if err := os.WriteFile(file, bad, 0o644); err != nil {
				t.Fatal(err)
			}
			if r, err := proof.VerifyLog(t.Context(), proof.Folder(os.DirFS(dir)), l.Trust(),
				proof.Options{}); err == nil {
				t.Errorf("%s, %s: verified: %+v", file, name, r)
			}
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if _, err := proof.VerifyLog(t.Context(), proof.Folder(os.DirFS(dir)), l.Trust(),
			proof.Options{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s, removed: %v", file, err)
		}
		if err := os.WriteFile(file, good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := proof.VerifyLog(t.Context(), proof.Folder(os.DirFS(dir)), l.Trust(), proof.Options{}); err != nil {
		t.Errorf("restored log: %v", err)
	}
}

func TestVerifyLogOverHTTP(t *testing.T) {
	l := started(t)
	for n := range 300 {
		l.Add(filler(n), nil)
	}
	dir := t.TempDir()
	l.Write(dir)
	faults := map[string]int{"/log/checkpoint": 1, "/log/tile/0/000": 2}
	files := http.StripPrefix("/log/", http.FileServerFS(os.DirFS(dir)))
	mux := make(chan struct{}, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux <- struct{}{}
		fail := faults[r.URL.Path] > 0
		faults[r.URL.Path]--
		<-mux
		if fail {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		files.ServeHTTP(w, r)
	}))
	defer srv.Close()
	src, err := proof.Site(srv.URL+"/log/", srv.Client())
	if err != nil {
		t.Fatal(err)
	}
	var last int64
	r, err := proof.VerifyLog(t.Context(), src, l.Trust(),
		proof.Options{Progress: func(done, total int64) { last = done }})
	if err != nil || !r.OK() || r.Size != 301 || last != 301 {
		t.Errorf("%+v, %v, progress %d", r, err, last)
	}
	if _, err := src.Read(t.Context(), "nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing resource: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := proof.VerifyLog(ctx, src, l.Trust(), proof.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A log that has grown past a partial tile may have removed it; the full one
// begins with the same hashes.
func TestVerifyLogWithFullTilesInPlaceOfPartialOnes(t *testing.T) {
	l := started(t)
	for n := range 299 {
		l.Add(filler(n), nil)
	}
	old := l.Checkpoint(300)
	for n := range 400 {
		l.Add(filler(n), nil)
	}
	dir := t.TempDir()
	l.Write(dir)
	if err := os.WriteFile(filepath.Join(dir, "checkpoint"), old, 0o644); err != nil {
		t.Fatal(err)
	}
	// Level 1 has no full tile yet: its partial tile of 1 is what 300 needs.
	full, err := os.ReadFile(filepath.Join(dir, "tile/1/000.p/2"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tile/1/000.p/1"), full[:32], 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := proof.VerifyLog(t.Context(), proof.Folder(os.DirFS(dir)), l.Trust(), proof.Options{})
	if err != nil || r.Size != 300 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestVerifyLogByAnotherKey(t *testing.T) {
	l := started(t)
	dir := t.TempDir()
	l.Write(dir)
	src := proof.Folder(os.DirFS(dir))
	other := prooftest.New(t, "other.example.org")
	if _, err := proof.VerifyLog(t.Context(), src, other.Trust(), proof.Options{}); err == nil {
		t.Error("verified by the key of another log")
	}
	wrong, err := proof.ParseKey(l.Key, "another.example.org")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof.VerifyLog(t.Context(), src, wrong, proof.Options{}); err == nil ||
		!strings.Contains(err.Error(), "origin") {
		t.Errorf("another origin: %v", err)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	l := prooftest.New(t, "log.example.org/2026")
	for _, c := range []struct{ text, origin string }{
		{"", ""},
		{"hello", ""},
		{l.Key[:len(l.Key)-4], ""},
		{"quorum none\n", "x"},
		{"log " + l.Key, ""}, // no quorum
	} {
		if _, err := proof.ParseKey(c.text, c.origin); err == nil {
			t.Errorf("ParseKey(%q, %q) succeeded", c.text, c.origin)
		}
	}
	// A policy that trusts nobody must not open anything.
	p, err := proof.ParseKey("quorum none\n", "")
	if err == nil {
		if _, err := proof.OpenCheckpoint(p, started(t).Checkpoint(1)); err == nil {
			t.Error("a policy without a log opened a checkpoint")
		}
	}
	p, err = proof.ParseKey("# ours\nlog "+l.Key+"\nquorum none\n", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof.OpenCheckpoint(p, started(t).Checkpoint(1)); err != nil {
		t.Errorf("policy of the log's key: %v", err)
	}
}

func TestVerifyEntry(t *testing.T) {
	l := started(t)
	for n := range 300 {
		l.Add(filler(n), nil)
	}
	for _, index := range []int64{0, 1, 255, 256, 300} {
		e, err := proof.VerifyEntry(l.Trust(), l.Leaf(index), l.Proof(index))
		if err != nil || e.ID == "" {
			t.Errorf("entry %d: %v", index, err)
		}
	}
	if _, err := proof.VerifyEntry(l.Trust(), l.Leaf(5), l.Proof(6)); err == nil {
		t.Error("entry 5 verified by the proof of 6")
	}
	if _, err := proof.VerifyEntry(prooftest.New(t, "other.example.org").Trust(), l.Leaf(5), l.Proof(5)); err == nil {
		t.Error("entry verified by another key")
	}
}

func TestVerifyConsistency(t *testing.T) {
	l := started(t)
	for n := range 700 {
		l.Add(filler(n), nil)
	}
	dir := t.TempDir()
	l.Write(dir)
	src := proof.Folder(os.DirFS(dir))
	for _, n := range []int64{0, 1, 2, 255, 256, 257, 512, 700, 701} {
		was, is, err := proof.VerifyConsistency(t.Context(), src, l.Trust(), l.Checkpoint(n))
		if err != nil || was.N != n || is.N != 701 {
			t.Errorf("from %d: %d to %d, %v", n, was.N, is.N, err)
		}
	}
	// The same log, one entry of it told otherwise.
	fork := started(t)
	for n := range 700 {
		if n == 100 {
			n = -1
		}
		fork.Add(filler(n), nil)
	}
	for _, n := range []int64{102, 256, 700, 701} {
		if _, _, err := proof.VerifyConsistency(t.Context(), src, l.Trust(), fork.Checkpoint(n)); err == nil {
			t.Errorf("a forked log of %d entries is consistent", n)
		}
	}
	l.Add(filler(0), nil)
	if _, _, err := proof.VerifyConsistency(t.Context(), src, l.Trust(), l.Checkpoint(702)); err == nil ||
		!strings.Contains(err.Error(), "went back") {
		t.Errorf("a shorter log: %v", err)
	}
}

func BenchmarkVerifyLog(b *testing.B) {
	const entries = 100_000
	l := prooftest.New(b, "log.example.org/2026")
	l.Add(proof.Start{Origin: l.Origin, Key: l.Key, Version: "v0.0.0"}, nil)
	actor := signalbox.Actor{Kind: signalbox.Human, Name: "alice"}
	l.Add(proof.SessionStart{Session: "s-1", Actor: actor, Expires: proof.At(l.Now.Add(1000 * time.Hour))}, nil)
	d := proof.CanonicalDigest("bench")
	l.Add(proof.Policy{Version: d, By: "alice", Status: "active"}, nil)
	for n := range entries / 2 {
		id := l.Add(proof.Intent{
			Session: "s-1", Actor: actor, Gate: "orders-db", Target: "postgres:orders",
			Environment: signalbox.Production,
			Actions: []proof.Action{{Verb: signalbox.Update, Native: "UPDATE", Fingerprint: fmt.Sprint(n),
				Resources: []signalbox.Resource{{Type: "table", Name: "public.orders", ID: "16401"}},
				Impact:    proof.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: true}}},
			Verdict: proof.Verdict{Decision: signalbox.Allow, Policies: []string{"one-row"}}, Policy: d, Digest: d,
		}, proof.Hidden{"request": "UPDATE orders SET state = 'paid' WHERE id = 7"})
		l.Add(proof.Outcome{Intent: id, Result: signalbox.Done, Code: "UPDATE", Rows: 1}, nil)
	}
	dir := b.TempDir()
	l.Write(dir)
	src, trust := proof.Folder(os.DirFS(dir)), l.Trust()
	for b.Loop() {
		r, err := proof.VerifyLog(b.Context(), src, trust, proof.Options{})
		if err != nil || !r.OK() {
			b.Fatalf("%+v, %v", r, err)
		}
	}
	b.ReportMetric(float64(l.Size())*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

func FuzzVerifyEntry(f *testing.F) {
	l := prooftest.New(f, "log.example.org/2026")
	for n := range 5 {
		l.Add(filler(n), nil)
	}
	leaf, trust := l.Leaf(3), l.Trust()
	good := l.Proof(3)
	f.Add(good)
	f.Add([]byte("c2sp.org/tlog-proof@v1\nindex 3\n\n"))
	f.Add([]byte("c2sp.org/tlog-proof@v1\nextra AAAA\nindex -1\nAAAA\n\n"))
	f.Add(l.Proof(2))
	hashes := func(b []byte) string { // all between the index line and the checkpoint
		_, after, _ := strings.Cut(string(b), "index ")
		before, _, _ := strings.Cut(after, "\n\n")
		return before
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if _, err := proof.VerifyEntry(trust, leaf, p); err == nil && hashes(p) != hashes(good) {
			t.Errorf("accepted %q", p)
		}
	})
}

func FuzzOpenCheckpoint(f *testing.F) {
	l := prooftest.New(f, "log.example.org/2026")
	l.Add(filler(0), nil)
	trust := l.Trust()
	good := l.Checkpoint(1)
	f.Add(good)
	f.Add([]byte("log.example.org/2026\n1\nAAAA\n\n— x AAAA\n"))
	text, _, _ := strings.Cut(string(good), "\n\n")
	f.Fuzz(func(t *testing.T, signed []byte) {
		c, err := proof.OpenCheckpoint(trust, signed)
		if err == nil && !strings.HasPrefix(string(signed), text+"\n\n") {
			t.Errorf("accepted %q as %v", signed, c)
		}
	})
}
