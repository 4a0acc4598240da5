package interlock_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store"
	"github.com/signalbox-dev/signalbox/proof"
)

// reserved are the kinds that the format has, and nothing writes yet. It says so.
var reserved = []proof.Kind{proof.KindObservation}

// The format promises only what is written: each name that an entry may hide is
// hidden in some entry of its kind.
func TestEveryHiddenNameIsWritten(t *testing.T) {
	h := newHouse(t, store.Config{Path: t.TempDir()})
	ctx := t.Context()
	bob, carol := h.person("bob"), h.person("carol")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s, _, err := h.lock.OpenSession(ctx, h.person("alice"), interlock.NewSession{Agent: "kiro", Purpose: "tidy up"},
		[]string{"orders"})
	must(err)
	long := func(r interlock.Request, n int) interlock.Request {
		r.Params = []string{"7"}
		for i := range n {
			r.Actions[0].Resources = append(r.Actions[0].Resources, signalbox.Resource{
				Type: "table", Name: fmt.Sprintf("public.%s%d", strings.Repeat("x", 100), i), Whole: true,
			})
		}
		return r
	}
	x := newTarget()
	x.execute = func(p *interlock.Permit) (signalbox.Outcome, error) {
		return signalbox.Outcome{Result: signalbox.Failed, Code: "1", Detail: "said by the target",
			Reference: before}, nil
	}
	_, err = h.lock.Do(ctx, updateRow(s, 1), grounded{x}) // an intent of its own
	must(err)
	x.execute = func(p *interlock.Permit) (signalbox.Outcome, error) {
		_, err := h.log.Commit(ctx, ledger.Batch{Changes: h.store.SettleIntent(p.Intent, interlock.IntentOpen,
			interlock.IntentUnknown, h.now(), nil)})
		return signalbox.Outcome{Result: signalbox.Failed, Code: "1", Detail: "said by the target",
			Reference: before}, err
	}
	_, err = h.lock.Do(ctx, updateRow(s, 2), grounded{x}) // one that others gave up
	must(err)
	x.execute = nil
	drop := long(dropTable(s, "orders"), 400)
	h.approve(held(t, second(h.lock.Do(ctx, drop, x))).Hold.ID, "bob", "carol")
	x.state = signalbox.State{{Name: "oid", Value: "16500"}} // another table of that name: the permit is dead
	hold := held(t, second(h.lock.Do(ctx, drop, x))).Hold.ID
	h.approve(hold, "bob", "carol")
	must(second(h.lock.Do(ctx, drop, grounded{x})))
	taken := held(t, second(h.lock.Do(ctx, dropTable(s, "lines"), x))).Hold.ID
	_, err = h.lock.Answer(ctx, h.person("alice"), taken, false, "on second thought")
	must(err)
	if err := second(h.lock.Do(ctx, long(dropTable(s, "all"), 1001), x)); err == nil {
		t.Error("a request for a thousand and more was not refused")
	}
	read := long(updateRow(s, 9), 400)
	read.Actions[0].Verb, read.Actions[0].Native = signalbox.Read, "SELECT"
	a, err := h.lock.Admit(ctx, read, x)
	must(err)
	must(h.lock.ReadEach(ctx, a, -1))
	must(h.lock.Halt(ctx, bob, control.HaltSession, "s-none", "looks lost"))
	must(h.lock.Resume(ctx, carol, control.HaltSession, "s-none", "was not"))
	f, err := h.lock.StartFreeze(ctx, bob, control.Freeze{Gates: []string{"none"}, Until: h.now().Add(time.Hour),
		Reason: "a feast"})
	must(err)
	must(h.lock.EndFreeze(ctx, carol, f.ID, "over"))
	g, err := h.lock.BreakGlass(ctx, bob, control.BreakGlass{
		Gates: []string{"orders"}, Verbs: []signalbox.Verb{signalbox.Update}, Reason: "customers cannot pay",
		Expires: h.now().Add(time.Minute),
	})
	must(err)
	must(h.lock.EndBreakGlass(ctx, bob, g.ID))
	_, err = h.lock.ConsoleLogin(ctx, h.person("bob"), "127.0.0.1")
	must(err)
	entries := h.entries()
	n := slices.IndexFunc(entries, func(e proof.Entry) bool { return e.Body.Kind() == proof.KindHalt })
	written := h.hiddenNames() // before one of them is erased
	must(h.lock.Erase(ctx, h.person("root"), int64(n), entries[n].ID, "asked for"))
	must(h.lock.Close())
	for k, names := range h.hiddenNames() {
		written[k] = append(written[k], names...)
	}
	for _, k := range proof.Kinds() {
		if slices.Contains(reserved, k) {
			continue
		}
		for _, name := range proof.HiddenNames(k) {
			if !slices.Contains(written[k], name) {
				t.Errorf("%s: nothing is written under the hidden name %q", k, name)
			}
		}
	}
	// What the clear fields of a refusal and a read promise stands there too.
	for _, e := range h.entries() {
		switch b := e.Body.(type) {
		case *proof.Refusal:
			if b.Digest.IsZero() {
				t.Error("a refusal does not bind what was refused")
			}
		case *proof.Read:
			if b.Digest.IsZero() {
				t.Error("a read does not bind what was read")
			}
		}
	}
}

// hiddenNames gives the names that are hidden in the log, by kind.
func (r *replica) hiddenNames() map[proof.Kind][]string {
	t, ctx := r.house.t, context.Background()
	t.Helper()
	size, _, err := r.log.Head(ctx)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[proof.Kind][]string)
	err = r.log.Entries(ctx, 0, size, func(row ledger.Row) error {
		e, err := proof.Decode(row.Leaf)
		if err != nil || len(e.Digests) == 0 {
			return err
		}
		key, payload, err := r.store.Secret(ctx, row.Index)
		if err != nil {
			return nil // erased
		}
		ds, err := proof.Disclose(key, payload)
		for _, d := range ds {
			name, _, err := proof.CheckDisclosure(row.Leaf, d)
			if err != nil {
				return err
			}
			names[e.Body.Kind()] = append(names[e.Body.Kind()], name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
