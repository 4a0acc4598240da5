package interlock_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/policies"
	"github.com/signalbox-dev/signalbox/proof"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// databases runs a test on both databases that state can be kept in.
func databases(t *testing.T, f func(t *testing.T, db store.Config)) {
	t.Run("sqlite", func(t *testing.T) { f(t, store.Config{Path: filepath.Join(t.TempDir(), "state")}) })
	t.Run("postgres", func(t *testing.T) { f(t, store.Config{URL: pgtest.Shared(t).URL()}) })
}

// A house is a whole Signalbox without gates: real stores, a real ledger, the
// default policies, and people.
type house struct {
	t       *testing.T
	dir     string
	db      store.Config
	key     *ledger.Key
	minter  *session.Minter
	ahead   atomic.Int64 // what a test adds to the clock, in nanoseconds
	started int
	reserve int64 // bytes of the disk held for what is vital; 0: none

	*replica // the first
}

// A replica is one process's part of a house.
type replica struct {
	house *house
	store *store.Store
	log   *ledger.Log
	lock  *interlock.Interlock
	blobs string
}

func newHouse(t *testing.T, db store.Config) *house {
	t.Helper()
	return build(t, &house{db: db})
}

func build(t *testing.T, h *house) *house {
	t.Helper()
	h.t, h.dir = t, t.TempDir()
	var err error
	if h.key, err = ledger.LoadOrCreateKey(filepath.Join(h.dir, "log.key"), "test.example/log"); err != nil {
		t.Fatal(err)
	}
	h.minter = newMinter(t)
	h.replica = h.start(nil)
	files, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.lock.LoadPolicy(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.lock.Bootstrap(t.Context(), "root", nil); err != nil {
		t.Fatal(err)
	}
	for name, groups := range map[string][]string{"alice": nil, "bob": {"sre"}, "carol": {"dba", "sre"},
		"dave": {"sre"}} {
		if _, _, err := h.lock.AddPerson(t.Context(), h.person("root"), name, groups, false); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func newMinter(t *testing.T) *session.Minter {
	t.Helper()
	m, err := session.NewMinter(make([]byte, session.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (h *house) now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

// start starts another replica; change, if not nil, may change its config.
func (h *house) start(change func(*interlock.Config)) *replica {
	h.t.Helper()
	r := &replica{house: h}
	var err error
	var reserve *ledger.Reserve
	if h.reserve > 0 {
		if reserve, err = ledger.OpenReserve(filepath.Join(h.dir, "reserve"), h.reserve); err != nil {
			h.t.Fatal(err)
		}
	}
	if r.store, err = store.Open(h.t.Context(), h.db); err != nil {
		h.t.Fatal(err)
	}
	h.started++
	r.blobs = filepath.Join(h.dir, fmt.Sprintf("log%d", h.started))
	folder, err := ledger.OpenFolder(r.blobs)
	if err != nil {
		h.t.Fatal(err)
	}
	r.log, err = ledger.Open(h.t.Context(), ledger.Config{Store: r.store, Shelf: r.store, Blobs: folder, Key: h.key,
		Reserve: reserve, Now: h.now})
	if err != nil {
		h.t.Fatal(err)
	}
	c := interlock.Config{
		State: r.store, Ledger: r.log, Minter: h.minter, Now: h.now,
		Replica: fmt.Sprintf("replica-%d", h.started), Alone: h.db.Path != "",
		Start: proof.Start{Origin: h.key.Origin(), Key: h.key.Verifier(), Version: "test"},
	}
	if change != nil {
		change(&c)
	}
	if r.lock, err = interlock.New(h.t.Context(), c); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(r.stop)
	return r
}

// stop stops the replica in good order; it may be called twice.
func (r *replica) stop() {
	if r.lock == nil {
		return
	}
	if err := r.lock.Close(); err != nil {
		r.house.t.Error(err)
	}
	r.log.Close()
	r.store.Close()
	r.lock = nil
}

func (r *replica) person(name string) interlock.Caller {
	r.house.t.Helper()
	p, err := r.store.Person(context.Background(), name)
	if err != nil {
		r.house.t.Fatal(err)
	}
	return interlock.Caller{Person: &p}
}

// agent opens a session of an agent that acts for a human.
func (r *replica) agent(name, human string) signalbox.Session {
	r.house.t.Helper()
	s, _, err := r.lock.OpenSession(r.house.t.Context(), r.person(human), interlock.NewSession{Agent: name},
		[]string{"orders"})
	if err != nil {
		r.house.t.Fatal(err)
	}
	return s
}

func (r *replica) human(name string) signalbox.Session {
	r.house.t.Helper()
	s, _, err := r.lock.OpenSession(r.house.t.Context(), r.person(name), interlock.NewSession{}, []string{"orders"})
	if err != nil {
		r.house.t.Fatal(err)
	}
	return s
}

func (r *replica) approve(hold string, names ...string) {
	r.house.t.Helper()
	for _, n := range names {
		if _, err := r.lock.Answer(r.house.t.Context(), r.person(n), hold, true, "looks right"); err != nil {
			r.house.t.Fatalf("%s approves: %v", n, err)
		}
	}
}

var orders = control.Gate{Name: "orders", Protocol: "postgres", Target: "orders@db1", Environment: signalbox.Production}

func dropTable(s signalbox.Session, table string) interlock.Request {
	text := "DROP TABLE " + table
	return interlock.Request{
		Session: s, Gate: orders, Text: text,
		Canonical: proof.CanonicalDigest("test", proof.Text("sql", text)),
		Actions: []signalbox.Action{{
			Verb: signalbox.Delete, Native: "DROP TABLE", Fingerprint: "drop",
			Resources: []signalbox.Resource{{Type: "table", Name: "public." + table, Whole: true}},
			Impact:    signalbox.Impact{Count: 1, Scope: signalbox.ScopeAll},
		}},
	}
}

func updateRow(s signalbox.Session, id int) interlock.Request {
	text := fmt.Sprintf("UPDATE orders SET note = 'secret-%d' WHERE id = %d", id, id)
	return interlock.Request{
		Session: s, Gate: orders, Text: text,
		Canonical: proof.CanonicalDigest("test", proof.Text("sql", text)),
		Actions: []signalbox.Action{{
			Verb: signalbox.Update, Native: "UPDATE", Fingerprint: "upd",
			Resources: []signalbox.Resource{{Type: "table", Name: "public.orders"}},
			Impact:    signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: true},
			Traits:    []signalbox.Trait{signalbox.TraitByKey},
		}},
	}
}

// A target is what a request would be executed on: it counts, and does as told.
type target struct {
	mu       sync.Mutex
	executed int
	impact   signalbox.Impact
	state    signalbox.State
	touched  map[string]int64
	execute  func(*interlock.Permit) (signalbox.Outcome, error) // nil: done
	reads    []proof.Reads                                      // recorded with each intent
	recorded []error                                            // what it was told of them
}

func newTarget() *target {
	return &target{
		impact: signalbox.Impact{Count: 10, Scope: signalbox.ScopeAll, Measured: true, Facts: []string{"10 rows"}},
		state:  signalbox.State{{Name: "oid", Value: "16384"}},
	}
}

func (x *target) Probe(context.Context) (signalbox.Impact, signalbox.State, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.impact, x.state, nil
}

func (x *target) Prepare(context.Context) interlock.Prepared {
	return interlock.Prepared{Reads: x.reads, Recorded: func(err error) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.recorded = append(x.recorded, err)
	}}
}

func (x *target) Execute(_ context.Context, p *interlock.Permit) (signalbox.Outcome, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.execute != nil {
		return x.execute(p)
	}
	if p.Limited && x.touched != nil {
		if err := p.Spend(x.touched); err != nil {
			return signalbox.Outcome{}, err
		}
	}
	x.executed++
	return signalbox.Outcome{Result: signalbox.Done, Rows: 1, Touched: x.touched}, nil
}

func (x *target) count() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.executed
}

func held(t *testing.T, err error) *interlock.HeldError {
	t.Helper()
	var h *interlock.HeldError
	if !errors.As(err, &h) {
		t.Fatalf("got %v, want it held", err)
	}
	return h
}

func denied(t *testing.T, err error, policy string) {
	t.Helper()
	var d *interlock.DeniedError
	if !errors.As(err, &d) {
		t.Fatalf("got %v, want it denied by %q", err, policy)
	}
	if !strings.Contains(strings.Join(d.Verdict.Policies, " "), policy) {
		t.Fatalf("denied by %v (%s), want %q", d.Verdict.Policies, d.Verdict.Reason, policy)
	}
}

// entries gives the log's decoded entries, oldest first.
func (r *replica) entries() []proof.Entry {
	r.house.t.Helper()
	size, _, err := r.log.Head(context.Background())
	if err != nil {
		r.house.t.Fatal(err)
	}
	var all []proof.Entry
	err = r.log.Entries(context.Background(), 0, size, func(row ledger.Row) error {
		e, err := proof.Decode(row.Leaf)
		all = append(all, e)
		return err
	})
	if err != nil {
		r.house.t.Fatal(err)
	}
	return all
}

func (r *replica) countKind(k proof.Kind) int {
	n := 0
	for _, e := range r.entries() {
		if e.Body.Kind() == k {
			n++
		}
	}
	return n
}

// loadPolicies replaces the policies.
func (h *house) loadPolicies(extra ...policy.File) {
	h.t.Helper()
	files, err := policies.Default()
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.lock.LoadPolicy(h.t.Context(), append(files, extra...)); err != nil {
		h.t.Fatal(err)
	}
}

func defaultFiles() ([]policy.File, error) { return policies.Default() }
