package main

import (
	"context"
	"crypto/ed25519"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/proof"
	"github.com/signalbox-dev/signalbox/proof/prooftest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"signalbox-verify": main})
}

// TestScripts runs testdata/*.txtar, each in a folder with what [fixture] makes;
// $URL serves that of the good log.
func TestScripts(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir)
	srv := httptest.NewServer(http.FileServerFS(os.DirFS(filepath.Join(dir, "log"))))
	t.Cleanup(srv.Close)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("URL", srv.URL+"/")
			key, err := os.ReadFile(filepath.Join(dir, "log.vkey"))
			if err != nil {
				return err
			}
			env.Setenv("KEY", string(key[:len(key)-1]))
			disclosure, err := os.ReadFile(filepath.Join(dir, "disclosure"))
			if err != nil {
				return err
			}
			env.Setenv("DISCLOSURE", string(disclosure))
			return os.CopyFS(env.WorkDir, os.DirFS(dir))
		},
	})
}

// fixture writes into dir:
//
//	log/           a good log of 302 entries, entry 300 an intent without outcome
//	bad/           the same log, one entry more, which breaks a promise
//	log.vkey       the key of both
//	other.vkey     the key of another log
//	policy, strict witness policies: the log's key alone; with an absent witness
//	entry.json     entry 300, with a line end
//	entry.proof    its proof
//	disclosure     its field "request"
//	old, forked    checkpoints of the first 100 entries, the second of another history
func fixture(t *testing.T, dir string) {
	t.Helper()
	alice := signalbox.Actor{Kind: signalbox.Human, Name: "alice"}
	build := func(fill int64) *prooftest.Log {
		l := prooftest.New(t, "gate.example/log")
		l.Add(proof.Start{Origin: l.Origin, Key: l.Key, Version: "v0.0.0"}, nil)
		l.Add(proof.Policy{Version: proof.CanonicalDigest("p"), By: "alice", Status: "active"}, nil)
		l.Add(proof.SessionStart{Session: "s-1", Actor: alice, Expires: proof.At(l.Now.Add(time.Hour))}, nil)
		for l.Size() < 300 {
			l.Add(proof.Storm{Gate: "orders-db", What: "logins", Count: fill, From: 1, To: 2}, nil)
		}
		return l
	}
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l := build(1)
	intent := proof.Intent{
		Session: "s-1", Actor: alice, Gate: "orders-db", Target: "postgres:orders", Environment: signalbox.Production,
		Actions: []proof.Action{{Verb: signalbox.Update, Native: "UPDATE",
			Impact: proof.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: true}}},
		Verdict: proof.Verdict{Decision: signalbox.Allow}, Policy: proof.CanonicalDigest("p"),
		Digest: proof.CanonicalDigest("d"),
	}
	leaf, err := proof.Seal(proof.Header{ID: l.NewID(), Time: l.Now}, intent,
		proof.Hidden{"request": "UPDATE orders SET state = 'paid' WHERE id = 7"})
	if err != nil {
		t.Fatal(err)
	}
	index := l.AddLeaf(leaf.Bytes)
	l.Add(proof.Storm{Gate: "orders-db", What: "logins", Count: 1, From: 1, To: 2}, nil)
	l.Write(filepath.Join(dir, "log"))
	write("log.vkey", []byte(l.Key+"\n"))
	write("other.vkey", []byte(prooftest.New(t, "other.example/log").Key+"\n"))
	witness, err := torchwood.NewCosignatureSigner("witness.example",
		ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	write("policy", []byte("log "+l.Key+"\nquorum none\n"))
	write("strict", []byte("log "+l.Key+"\nwitness w1 "+witness.Verifier().String()+"\nquorum w1\n"))
	write("entry.json", append(leaf.Bytes, '\n'))
	write("entry.proof", l.Proof(index))
	ds, err := proof.Disclose(leaf.Key, leaf.Payload, "request")
	if err != nil {
		t.Fatal(err)
	}
	write("disclosure", []byte(ds[0]))
	write("old", l.Checkpoint(100))
	write("forked", build(2).Checkpoint(100))

	l.Add(proof.Outcome{Intent: l.NewID(), Result: signalbox.Done, Rows: 1}, nil)
	l.Write(filepath.Join(dir, "bad"))
}

func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	fixture(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code := run(ctx, []string{"log", filepath.Join(dir, "log"), "--key", filepath.Join(dir, "log.vkey")}, nil,
		t.Output(), t.Output())
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}
