package interlock_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/proof"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

// Our own database goes away: everything is refused, reads too once the control
// state is too old to decide by; nothing is lost; it comes back by itself.
func TestOwnDatabaseLostRefusesAndComesBack(t *testing.T) {
	server := pgtest.New(t, pgtest.Config{})
	if err := server.CreateDB(t.Context(), "own"); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, store.Config{URL: server.URL("own")})
	s, x, ctx := h.agent("kiro", "alice"), newTarget(), t.Context()
	hold := held(t, second(h.lock.Do(ctx, dropTable(s, "orders"), x))).Hold
	h.approve(hold.ID, "bob", "carol")

	server.Kill()
	if err := second(h.lock.Do(ctx, updateRow(s, 1), x)); !errors.Is(err, interlock.ErrUnavailable) {
		t.Errorf("a write without our database: %v", err)
	}
	if err := second(h.lock.Do(ctx, dropTable(s, "orders"), x)); !errors.Is(err, interlock.ErrUnavailable) {
		t.Errorf("a permit without our database: %v", err)
	}
	if x.count() != 0 {
		t.Fatalf("executed %d times", x.count())
	}
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; {
		err := second(h.lock.Do(ctx, dropTable(s, "orders"), x))
		if err == nil {
			break
		}
		if !errors.Is(err, interlock.ErrUnavailable) || time.Now().After(deadline) {
			t.Fatalf("after its return: %v", err)
		}
	}
	if x.count() != 1 {
		t.Errorf("executed %d times, want once", x.count())
	}
}

// A clock that jumps back must not bring expired things back to life, and one
// that jumps is refused rather than believed.
func TestClockThatJumpsBack(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x, ctx := h.agent("kiro", "alice"), newTarget(), t.Context()
	if _, err := h.lock.Do(ctx, updateRow(s, 1), x); err != nil {
		t.Fatal(err)
	}
	h.ahead.Store(int64(-time.Hour))
	if err := second(h.lock.Do(ctx, updateRow(s, 2), x)); !errors.Is(err, interlock.ErrUnavailable) ||
		!errors.Is(err, ledger.ErrClock) {
		t.Errorf("with the clock an hour back: %v", err)
	}
	h.ahead.Store(0)
	if _, err := h.lock.Do(ctx, updateRow(s, 3), x); err != nil {
		t.Errorf("with the clock right again: %v", err)
	}
	if x.count() != 2 {
		t.Errorf("executed %d times, want 2", x.count())
	}
}

// The requester's confirmation is asked for besides approvals and never counts
// as one.
func TestP5ConfirmationIsASeparateThing(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	h.loadPolicies(policy.File{Name: "confirm.cedar",
		Data: []byte(`@id("sure") @hold("1 of dba") @confirm @reason("are you sure?") forbid (principal, action == Action::"delete", resource);`)})
	s, x, ctx := h.agent("kiro", "alice"), newTarget(), t.Context()
	hold := held(t, second(h.lock.Do(ctx, dropTable(s, "orders"), x))).Hold
	if !hold.Verdict.Confirm {
		t.Fatalf("hold: %+v", hold.Verdict)
	}
	if _, err := h.lock.Confirm(ctx, h.person("bob"), hold.ID); !errors.Is(err, interlock.ErrNotYours) {
		t.Errorf("somebody else confirms: %v", err)
	}
	if _, err := h.lock.Confirm(ctx, interlock.Caller{Session: &s}, hold.ID); !errors.Is(err, interlock.ErrNotHuman) {
		t.Errorf("the agent confirms: %v", err)
	}
	h.approve(hold.ID, "bob", "carol")
	held(t, second(h.lock.Do(ctx, dropTable(s, "orders"), x)))
	if got, err := h.lock.Confirm(ctx, h.person("alice"), hold.ID); err != nil || got.Status != approval.Approved {
		t.Fatalf("confirmed: %+v, %v", got.Status, err)
	}
	if _, err := h.lock.Do(ctx, dropTable(s, "orders"), x); err != nil {
		t.Error(err)
	}
}

// What was hidden can be erased for good; the log and its proofs stay valid.
func TestErasedFieldsAreGoneAndTheLogIsWhole(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x, ctx := h.agent("kiro", "alice"), newTarget(), t.Context()
	r := dropTable(s, "orders")
	r.Text += " -- secret-9"
	hold := held(t, second(h.lock.Do(ctx, r, x))).Hold
	idx, err := h.log.Find(ctx, hold.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.lock.Erase(ctx, h.person("alice"), idx, hold.ID, "asked to"); !errors.Is(err, interlock.ErrNotAdmin) {
		t.Errorf("erased by anybody: %v", err)
	}
	if err := h.lock.Erase(ctx, h.person("root"), idx, hold.ID, "asked to"); !errors.Is(err, interlock.ErrInvalid) {
		t.Errorf("erased while it waits: %v", err)
	}
	if _, err := h.lock.Withdraw(ctx, interlock.Caller{Session: &s}, hold.ID); err != nil {
		t.Fatal(err)
	}
	if err := h.lock.Erase(ctx, h.person("root"), idx, hold.ID, "asked to"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.log.Disclose(ctx, idx); !errors.Is(err, ledger.ErrErased) {
		t.Errorf("still there: %v", err)
	}
	gone, err := h.store.Hold(ctx, hold.ID)
	if err != nil || gone.Request != "" || len(gone.Facts) > 0 || len(gone.State) > 0 {
		t.Errorf("the hold still says: %q, %v", gone.Request, err)
	}
	if err := h.lock.Erase(ctx, h.person("root"), idx, hold.ID, "again"); !errors.Is(err, ledger.ErrErased) {
		t.Errorf("erased twice: %v", err)
	}
	if h.countKind(proof.KindErase) != 1 {
		t.Error("the erasure is not in the log once")
	}
	row, err := h.log.Entry(ctx, idx)
	if err != nil || bytes.Contains(row.Leaf, []byte("secret-9")) {
		t.Errorf("entry: %v", err)
	}
	verify(t, h, 0)
}
