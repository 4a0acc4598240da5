package gatetest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/policies"
	"github.com/signalbox-dev/signalbox/proof"
)

// A House is a whole Signalbox for a gate to stand in front of: a real store, a
// real ledger, the default policies, and people: alice, and bob and carol of the
// group sre.
type House struct {
	Lock  *interlock.Interlock
	Store *store.Store
	Log   *ledger.Log

	t testing.TB
}

// NewHouse opens a house, which is closed when the test ends.
func NewHouse(t testing.TB) *House {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ledger.LoadOrCreateKey(filepath.Join(dir, "log.key"), "test.example/log")
	must(err)
	h := &House{t: t}
	h.Store, err = store.Open(t.Context(), store.Config{Path: filepath.Join(dir, "state")})
	must(err)
	folder, err := ledger.OpenFolder(filepath.Join(dir, "log"))
	must(err)
	h.Log, err = ledger.Open(t.Context(), ledger.Config{Store: h.Store, Shelf: h.Store, Blobs: folder, Key: key})
	must(err)
	minter, err := session.NewMinter(make([]byte, session.MasterKeySize))
	must(err)
	h.Lock, err = interlock.New(t.Context(), interlock.Config{
		State: h.Store, Ledger: h.Log, Minter: minter, Replica: "r1", Alone: true,
		Start: proof.Start{Origin: key.Origin(), Key: key.Verifier(), Version: "test"},
	})
	must(err)
	t.Cleanup(func() {
		if err := h.Lock.Close(); err != nil {
			t.Error(err)
		}
		h.Log.Close()
		h.Store.Close()
	})
	files, err := policies.Default()
	must(err)
	_, err = h.Lock.LoadPolicy(t.Context(), files)
	must(err)
	_, _, err = h.Lock.Bootstrap(t.Context(), "root", nil)
	must(err)
	for name, groups := range map[string][]string{"alice": nil, "bob": {"sre"}, "carol": {"sre"}} {
		_, _, err := h.Lock.AddPerson(t.Context(), h.Person("root"), name, groups, false)
		must(err)
	}
	return h
}

// Interlock is the house's interlock as its gate sees it.
func (h *House) Interlock() gate.Interlock { return gate.Through(h.Lock, unmeasured{}) }

type unmeasured struct{}

func (unmeasured) Decided(string, error)      {}
func (unmeasured) Took(string, time.Duration) {}

// Person gives the caller that somebody is.
func (h *House) Person(name string) interlock.Caller {
	h.t.Helper()
	p, err := h.Store.Person(context.Background(), name)
	if err != nil {
		h.t.Fatal(err)
	}
	return interlock.Caller{Person: &p}
}

// Open opens a session for a gate and gives its credential there: an agent's for
// a human, or with agent empty his own.
func (h *House) Open(agent, human, gate string) (signalbox.Session, string) {
	h.t.Helper()
	s, credentials, err := h.Lock.OpenSession(context.Background(), h.Person(human),
		interlock.NewSession{Agent: agent}, []string{gate})
	if err != nil {
		h.t.Fatal(err)
	}
	return s, credentials[gate]
}

// Approve approves a hold in the name of each of names.
func (h *House) Approve(hold string, names ...string) {
	h.t.Helper()
	for _, n := range names {
		if _, err := h.Lock.Answer(context.Background(), h.Person(n), hold, true, "looks right"); err != nil {
			h.t.Fatalf("%s approves: %v", n, err)
		}
	}
}

// Entries gives the log's entries of some kinds, oldest first.
func (h *House) Entries(kinds ...proof.Kind) []proof.Body {
	h.t.Helper()
	size, _, err := h.Log.Head(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	var all []proof.Body
	err = h.Log.Entries(context.Background(), 0, size, func(row ledger.Row) error {
		e, err := proof.Decode(row.Leaf)
		for _, k := range kinds {
			if err == nil && e.Body.Kind() == k {
				all = append(all, e.Body)
			}
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// Serve serves a gate on a loopback address until the test ends, and gives the
// address.
func Serve(t testing.TB, g interface {
	Serve(ctx context.Context, l net.Listener) error
	Shutdown(ctx context.Context) error
}) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		_ = g.Shutdown(ctx) // an error says that clients were cut, as some tests have it
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr()
}

// Certificate makes a certificate for localhost and 127.0.0.1, and gives it as PEM
// as well, for clients to trust.
func Certificate(t testing.TB) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gate"},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Eventually waits until ok, for ten seconds at most.
func Eventually(t testing.TB, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to be within ten seconds")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// A LogBuffer keeps what was logged. It is safe for concurrent use.
type LogBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements [io.Writer].
func (l *LogBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *LogBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
