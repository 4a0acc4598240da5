package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/ledger"
)

// A Store is all that a store does for its consumers.
type Store interface {
	ledger.Store
	ledger.Shelf
	interlock.State
}

// Exercise runs the contract against stores that open gives: a new, empty one
// each time, closed when its test ends.
func Exercise(t *testing.T, open func(t *testing.T) Store) {
	tests := []struct {
		name string
		run  func(*testing.T, Store)
	}{
		{"EmptyStoreHasEmptyHead", emptyHead},
		{"TurnCommitsOrVanishes", turnCommitsOrVanishes},
		{"FailedBatchIsUndoneAlone", failedBatchIsUndoneAlone},
		{"AnyMixOfFailuresUndoesExactlyThose", anyMixOfFailures},
		{"IDsAreUnique", idsAreUnique},
		{"TurnExcludesOthers", turnExcludesOthers},
		{"RowsInPages", rowsInPages},
		{"ManyRecordsKeepTheirSecrets", manyRecords},
		{"SecretsAreErased", secretsAreErased},
		{"PublishComparesAndSwaps", publishComparesAndSwaps},
		{"ChangesAreTold", changesAreTold},
		{"FirstMasterIsKept", firstMaster},
		{"ControlAndEpoch", controlAndEpoch},
		{"HaltsFreezesBreakGlass", haltsFreezesBreakGlass},
		{"Sessions", sessions},
		{"People", people},
		{"HoldsFromOpenToUsed", holdsFromOpenToUsed},
		{"OneLiveHoldPerRequest", oneLiveHoldPerRequest},
		{"PermitIsRedeemedOnce", permitIsRedeemedOnce},
		{"ErasedHoldKeepsItsDigest", erasedHold},
		{"IntentsAndOrphans", intentsAndOrphans},
		{"MemoryIsCompareAndSwap", memoryIsCompareAndSwap},
		{"PolicySets", policySets},
		{"Settings", settings},
		{"Console", console},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// at is a fixed time; stores keep milliseconds.
func at(seconds int) time.Time {
	return time.Date(2026, 3, 1, 12, 0, seconds, 5_000_000, time.UTC)
}

// commit carries out one batch of statements, without the ledger's tree, and
// gives the batch's error.
func commit(t *testing.T, s ledger.Store, changes ...[]ledger.Statement) error {
	t.Helper()
	var b ledger.Batch
	for _, c := range changes {
		b.Changes = append(b.Changes, c...)
	}
	return commitAll(t, s, b)[0]
}

func mustCommit(t *testing.T, s ledger.Store, changes ...[]ledger.Statement) {
	t.Helper()
	if err := commit(t, s, changes...); err != nil {
		t.Fatal(err)
	}
}

func wantStale(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ledger.ErrStale) {
		t.Errorf("got %v, want ErrStale", err)
	}
}

// commitAll carries out batches in one turn and advances the head by the
// records that went through.
func commitAll(t *testing.T, s ledger.Store, batches ...ledger.Batch) []error {
	t.Helper()
	ctx := context.Background()
	turn, err := s.Begin(ctx, batches)
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Rollback()
	h := turn.Head()
	for i, err := range turn.Errs() {
		if err == nil {
			h.Size += int64(len(batches[i].Records))
		}
	}
	h.Time = at(0)
	h.Checkpoint = []byte("signed")
	if err := turn.Commit(ctx, h); err != nil {
		t.Fatal(err)
	}
	return turn.Errs()
}

func record(id string) ledger.Record { return ledger.Record{ID: id, Leaf: []byte("leaf of " + id)} }

func rowIDs(t *testing.T, s ledger.Store) []string {
	t.Helper()
	var ids []string
	if err := s.Rows(context.Background(), 0, 1<<62, func(r ledger.Row) error {
		if r.Index != int64(len(ids)) {
			t.Errorf("row %d at place %d", r.Index, len(ids))
		}
		if string(r.Leaf) != "leaf of "+r.ID {
			t.Errorf("row %d: id %q with leaf %q", r.Index, r.ID, r.Leaf)
		}
		ids = append(ids, r.ID)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return ids
}

func diff(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func emptyHead(t *testing.T, s Store) {
	h, err := s.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if h.Size != 0 || len(h.Edge) != 0 || len(h.Checkpoint) != 0 || !h.Time.IsZero() {
		t.Errorf("head = %+v", h)
	}
	p, err := s.Published(context.Background())
	if err != nil || p.Size != 0 || len(p.Checkpoint) != 0 {
		t.Errorf("published = %+v, %v", p, err)
	}
}

func turnCommitsOrVanishes(t *testing.T, s Store) {
	ctx := context.Background()
	b := ledger.Batch{Changes: s.Lease("a", at(1)), Records: []ledger.Record{record("one"), record("two")}}
	turn, err := s.Begin(ctx, []ledger.Batch{b})
	if err != nil {
		t.Fatal(err)
	}
	turn.Rollback()
	turn.Rollback() // does nothing
	if got := rowIDs(t, s); got != nil {
		t.Errorf("rolled back, and rows are %q", got)
	}
	diff(t, "errors", commitAll(t, s, b), []error{nil})
	diff(t, "rows", rowIDs(t, s), []string{"one", "two"})
	h, err := s.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if h.Size != 2 || string(h.Checkpoint) != "signed" || !h.Time.Equal(at(0)) {
		t.Errorf("head = %+v", h)
	}
	if idx, err := s.Find(ctx, "two"); idx != 1 || err != nil {
		t.Errorf("find two = %d, %v", idx, err)
	}
	if _, err := s.Find(ctx, "three"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("find three: %v", err)
	}
}

func failedBatchIsUndoneAlone(t *testing.T, s Store) {
	mustCommit(t, s, s.Lease("a", at(1)))
	good := func(id string) ledger.Batch {
		return ledger.Batch{Changes: s.Lease(id, at(2)), Records: []ledger.Record{record(id)}}
	}
	staleBatch := good("stale")
	staleBatch.Changes = append(staleBatch.Changes, s.RequireEpoch(99)...)
	wrong := good("wrong")
	wrong.Changes = append(wrong.Changes, ledger.Statement{SQL: "UPDATE no_such_table SET x = $1",
		Args: []any{int64(1)}, Rows: 1})
	double := good("double")
	double.Changes = append(double.Changes, s.AddSession(interlock.SessionRow{})...)
	double.Changes = append(double.Changes, s.AddSession(interlock.SessionRow{})...)
	errs := commitAll(t, s, good("1"), staleBatch, good("2"), wrong, good("3"), double, good("4"))
	for i, err := range errs {
		if (i%2 == 1) != (err != nil) {
			t.Errorf("batch %d: %v", i, err)
		}
	}
	wantStale(t, errs[1])
	for _, i := range []int{3, 5} {
		if errors.Is(errs[i], ledger.ErrStale) {
			t.Errorf("batch %d: %v is no staleness", i, errs[i])
		}
	}
	diff(t, "rows", rowIDs(t, s), []string{"1", "2", "3", "4"})
	for _, gone := range []string{"stale", "wrong", "double"} {
		if leaseHeld(t, s, gone) {
			t.Errorf("change of batch %q was not undone", gone)
		}
	}
	if !leaseHeld(t, s, "4") {
		t.Error("change of batch 4 is missing")
	}
}

// leaseHeld asks whether a replica has a lease, through an intent of its that
// is no orphan.
func leaseHeld(t *testing.T, s Store, replica string) bool {
	t.Helper()
	id := "probe-" + replica
	mustCommit(t, s, s.AddIntent(interlock.IntentRow{ID: id, Replica: replica, Status: interlock.IntentOpen,
		Opened: at(0)}))
	orphans, err := s.Orphans(context.Background(), at(2), 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range orphans {
		if o.ID == id {
			return false
		}
	}
	return true
}

// anyMixOfFailures compares random groups with a model: a counter that each
// batch raises by compare-and-swap on what it believes it to be.
func anyMixOfFailures(t *testing.T, s Store) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	var epoch int64 = 1
	var want []string
	for group := range 40 {
		batches := make([]ledger.Batch, 1+random.IntN(12))
		wantErr := make([]bool, len(batches))
		taken := map[string]bool{}
		failures := random.IntN(4) // 0: none … 3: most
		for i := range batches {
			id := fmt.Sprintf("g%d-b%d", group, i)
			switch {
			case random.IntN(3) >= failures: // fits
				batches[i].Changes = s.RaiseEpoch(epoch)
				epoch++
			case random.IntN(2) == 0: // believes something else
				batches[i].Changes = append(s.RaiseEpoch(epoch), s.RaiseEpoch(epoch+7)...)
				wantErr[i] = true
			case len(want) > 0: // takes an id that is there
				id = want[random.IntN(len(want))]
				batches[i].Changes = s.RaiseEpoch(epoch)
				wantErr[i] = true
			}
			for n := range random.IntN(3) {
				batches[i].Records = append(batches[i].Records, record(fmt.Sprintf("%s-r%d", id, n)))
			}
			if wantErr[i] && len(batches[i].Changes) == 1 {
				batches[i].Records = append(batches[i].Records, record(id))
			}
			if !wantErr[i] {
				batches[i].Records = append(batches[i].Records, record(id))
			}
			for _, r := range batches[i].Records {
				if wantErr[i] {
					continue
				}
				if taken[r.ID] {
					t.Fatalf("test is wrong: %q twice", r.ID)
				}
				taken[r.ID] = true
				want = append(want, r.ID)
			}
		}
		for i, err := range commitAll(t, s, batches...) {
			if (err != nil) != wantErr[i] {
				t.Fatalf("group %d, batch %d of %d: got error %v, want error %v", group, i, len(batches), err,
					wantErr[i])
			}
		}
	}
	diff(t, "rows", rowIDs(t, s), want)
	c, err := s.Control(context.Background())
	if err != nil || c.Epoch != epoch {
		t.Errorf("epoch = %d, %v; want %d", c.Epoch, err, epoch)
	}
}

func idsAreUnique(t *testing.T, s Store) {
	one := ledger.Batch{Records: []ledger.Record{record("a"), record("b")}}
	two := ledger.Batch{Changes: s.Lease("x", at(0)), Records: []ledger.Record{record("c"), record("b")}}
	three := ledger.Batch{Records: []ledger.Record{record("c")}}
	errs := commitAll(t, s, one, two, three)
	if errs[0] != nil || !errors.Is(errs[1], ledger.ErrDuplicate) || errs[2] != nil {
		t.Errorf("in one group: %v", errs)
	}
	if errs := commitAll(t, s, three); !errors.Is(errs[0], ledger.ErrDuplicate) {
		t.Errorf("later: %v", errs)
	}
	diff(t, "rows", rowIDs(t, s), []string{"a", "b", "c"})
}

func turnExcludesOthers(t *testing.T, s Store) {
	ctx := context.Background()
	first, err := s.Begin(ctx, []ledger.Batch{{Records: []ledger.Record{record("first")}}})
	if err != nil {
		t.Fatal(err)
	}
	type begun struct {
		turn ledger.Turn
		err  error
	}
	second := make(chan begun)
	go func() {
		turn, err := s.Begin(ctx, []ledger.Batch{{Records: []ledger.Record{record("second")}}})
		second <- begun{turn, err}
	}()
	// Reads do not wait for the turn.
	if _, err := s.Head(ctx); err != nil {
		t.Error(err)
	}
	if _, err := s.Control(ctx); err != nil {
		t.Error(err)
	}
	select {
	case <-second:
		t.Fatal("two turns at once")
	default:
	}
	h := first.Head()
	h.Size = 1
	if err := first.Commit(ctx, h); err != nil {
		t.Fatal(err)
	}
	b := <-second
	if b.err != nil {
		t.Fatal(b.err)
	}
	defer b.turn.Rollback()
	if got := b.turn.Head().Size; got != 1 {
		t.Errorf("second turn began with size %d, want 1", got)
	}
	h = b.turn.Head()
	h.Size = 2
	if err := b.turn.Commit(ctx, h); err != nil {
		t.Fatal(err)
	}
	diff(t, "rows", rowIDs(t, s), []string{"first", "second"})
}

func rowsInPages(t *testing.T, s Store) {
	ctx := context.Background()
	const n = 1300
	for i := 0; i < n; i += 100 {
		var b ledger.Batch
		for k := range 100 {
			b.Records = append(b.Records, record(fmt.Sprint("r", i+k)))
		}
		commitAll(t, s, b)
	}
	for _, r := range [][3]int64{{0, n, n}, {5, 6, 1}, {0, 0, 0}, {512, 1024, 512}, {1299, 5000, 1}, {n, n + 9, 0},
		{100, 1200, 1100}} {
		next := r[0]
		if err := s.Rows(ctx, r[0], r[1], func(row ledger.Row) error {
			if row.Index != next || row.ID != fmt.Sprint("r", next) {
				t.Fatalf("rows %d to %d: got %d %q, want %d", r[0], r[1], row.Index, row.ID, next)
			}
			next++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if next-r[0] != r[2] {
			t.Errorf("rows %d to %d: %d of them, want %d", r[0], r[1], next-r[0], r[2])
		}
	}
	stop := errors.New("enough")
	if err := s.Rows(ctx, 0, n, func(ledger.Row) error { return stop }); err != stop {
		t.Errorf("error of yield: got %v", err)
	}
}

// manyRecords has more records in a turn than one statement inserts, and a
// batch in between that fails, so that both ways of inserting are gone.
func manyRecords(t *testing.T, s Store) {
	ctx := context.Background()
	for _, fails := range []bool{false, true} {
		var batches []ledger.Batch
		for b := range 3 {
			var batch ledger.Batch
			for i := range 70 + b {
				r := record(fmt.Sprintf("%v-%d-%d", fails, b, i))
				if i%3 != 0 {
					r.Key, r.Payload = []byte("key of "+r.ID), []byte("payload of "+r.ID)
				}
				batch.Records = append(batch.Records, r)
			}
			batches = append(batches, batch)
		}
		if fails {
			batches[1].Changes = s.EraseSecret(1 << 40)
		}
		for i, err := range commitAll(t, s, batches...) {
			if want := fails && i == 1; errors.Is(err, ledger.ErrStale) != want || !want && err != nil {
				t.Errorf("batch %d, failing %v: got %v", i, fails, err)
			}
		}
	}
	ids := rowIDs(t, s)
	if want := 70 + 71 + 72 + 70 + 72; len(ids) != want {
		t.Errorf("%d records, want %d", len(ids), want)
	}
	for idx, id := range ids {
		key, payload, err := s.Secret(ctx, int64(idx))
		if errors.Is(err, ledger.ErrErased) {
			var n int
			if fmt.Sscanf(id[strings.LastIndex(id, "-")+1:], "%d", &n); n%3 != 0 {
				t.Errorf("secret of %q at %d is not there", id, idx)
			}
			continue
		}
		if string(key) != "key of "+id || string(payload) != "payload of "+id || err != nil {
			t.Errorf("secret of %q at %d = %q, %q, %v", id, idx, key, payload, err)
		}
	}
}

func secretsAreErased(t *testing.T, s Store) {
	ctx := context.Background()
	open := record("open")
	hidden := record("hidden")
	hidden.Key, hidden.Payload = []byte("key"), []byte("payload")
	halfHidden := record("half")
	halfHidden.Payload = []byte("only")
	commitAll(t, s, ledger.Batch{Records: []ledger.Record{open, hidden, halfHidden}})
	if _, _, err := s.Secret(ctx, 0); !errors.Is(err, ledger.ErrErased) {
		t.Errorf("secret of an open entry: %v", err)
	}
	key, payload, err := s.Secret(ctx, 1)
	if string(key) != "key" || string(payload) != "payload" || err != nil {
		t.Errorf("secret = %q, %q, %v", key, payload, err)
	}
	mustCommit(t, s, s.EraseSecret(1))
	if _, _, err := s.Secret(ctx, 1); !errors.Is(err, ledger.ErrErased) {
		t.Errorf("erased secret: %v", err)
	}
	if _, payload, err := s.Secret(ctx, 2); string(payload) != "only" || err != nil {
		t.Errorf("the other secret = %q, %v", payload, err)
	}
	wantStale(t, commit(t, s, s.EraseSecret(1)))
	diff(t, "rows", rowIDs(t, s), []string{"open", "hidden", "half"})
}

func publishComparesAndSwaps(t *testing.T, s Store) {
	ctx := context.Background()
	steps := []struct {
		old, size int64
		moves     bool
	}{{0, 5, true}, {0, 6, false}, {5, 6, true}, {5, 7, false}}
	for _, step := range steps {
		moved, err := s.Publish(ctx, step.old,
			ledger.Published{Size: step.size, Checkpoint: fmt.Append(nil, step.size)})
		if err != nil || moved != step.moves {
			t.Errorf("publish %d after %d = %v, %v; want %v", step.size, step.old, moved, err, step.moves)
		}
	}
	p, err := s.Published(ctx)
	if err != nil || p.Size != 6 || string(p.Checkpoint) != "6" {
		t.Errorf("published = %+v, %v", p, err)
	}
	for range 2 {
		if leads, err := s.Lead(ctx); !leads || err != nil {
			t.Errorf("the only replica leads = %v, %v", leads, err)
		}
	}
}

func changesAreTold(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(context.Background())
	changes := s.Changes(ctx)
	mustCommit(t, s, s.RaiseEpoch(1))
	select {
	case <-changes:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was told of a new control epoch")
	}
	cancel()
	for range changes { // closed
	}
}
