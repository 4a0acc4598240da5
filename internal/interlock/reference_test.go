package interlock_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/proof"
)

// A grounded target knows what it calls a request before it runs, and leaves no
// moment between check and use.
type grounded struct{ *target }

var before = signalbox.Reference{{Name: signalbox.RefSession, Value: "692a5c10.1f3"},
	{Name: signalbox.RefTransaction, Value: "7411"}}

func (grounded) Prepare(context.Context) interlock.Prepared {
	return interlock.Prepared{Reference: before, Atomic: true}
}

// hidden gives a hidden field of each entry of kind k, by disclosure; "" of an
// entry that has none of that name.
func (r *replica) hidden(k proof.Kind, field string) []string {
	t, ctx := r.house.t, context.Background()
	t.Helper()
	size, _, err := r.log.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	err = r.log.Entries(ctx, 0, size, func(row ledger.Row) error {
		e, err := proof.Decode(row.Leaf)
		if err != nil || e.Body.Kind() != k {
			return err
		}
		key, payload, err := r.store.Secret(ctx, row.Index)
		if err != nil {
			return err
		}
		ds, err := proof.Disclose(key, payload)
		value := ""
		for _, d := range ds {
			name, raw, err := proof.CheckDisclosure(row.Leaf, d)
			if err != nil {
				return err
			}
			if name == field {
				value = string(raw)
			}
		}
		all = append(all, value)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What the target calls a request stands in the intent before anything is
// forwarded, and all of it in the outcome: also in one that is unknown.
func TestReferenceInIntentAndOutcome(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	after := append(before[:len(before):len(before)], signalbox.Fact{Name: signalbox.RefStatements, Value: "9"})
	var atExecution []string
	result, answer := signalbox.Done, error(nil)
	x.execute = func(*interlock.Permit) (signalbox.Outcome, error) {
		atExecution = h.hidden(proof.KindIntent, "reference")
		return signalbox.Outcome{Result: result, Rows: 1, Reference: after}, answer
	}
	if _, err := h.lock.Do(t.Context(), updateRow(s, 1), grounded{x}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{text(t, before)}, atExecution); diff != "" {
		t.Errorf("the intent's reference when it was executed (-want +got):\n%s", diff)
	}
	result, answer = signalbox.ResultUnknown, errors.New("the answer was lost")
	if _, err := h.lock.Do(t.Context(), updateRow(s, 2), grounded{x}); err == nil {
		t.Error("an unknown outcome was told as known")
	}
	over := &interlock.OverrunError{Reason: "too many", Touched: map[string]int64{"public.orders": 500}}
	result, answer = "", over
	if _, err := h.lock.Do(t.Context(), updateRow(s, 3), grounded{x}); err == nil {
		t.Error("an overrun was told as done")
	}
	if err := h.lock.Close(); err != nil {
		t.Fatal(err)
	}
	want := text(t, after)
	if diff := cmp.Diff([]string{want, want, want}, h.hidden(proof.KindOutcome, "reference")); diff != "" {
		t.Errorf("the outcomes' references (-want +got):\n%s", diff)
	}
}

// The intent says whether there was a moment between check and use, and that
// there was one where nobody knows.
func TestGap(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	s, x := h.agent("kiro", "alice"), newTarget()
	if _, err := h.lock.Do(t.Context(), updateRow(s, 1), x); err != nil {
		t.Fatal(err)
	}
	if _, err := h.lock.Do(t.Context(), updateRow(s, 2), grounded{x}); err != nil {
		t.Fatal(err)
	}
	var gaps []bool
	for _, e := range h.entries() {
		if in, ok := e.Body.(*proof.Intent); ok {
			gaps = append(gaps, in.Gap)
		}
	}
	if diff := cmp.Diff([]bool{true, false}, gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}
