package session_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
)

var noon = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)

func act(verb signalbox.Verb, native string, whole bool, names ...string) signalbox.Action {
	a := signalbox.Action{Verb: verb, Native: native, Impact: signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne},
		Fingerprint: native}
	for _, n := range names {
		a.Resources = append(a.Resources, signalbox.Resource{Type: "table", Name: n, Whole: whole})
	}
	return a
}

func with(a signalbox.Action, traits ...signalbox.Trait) signalbox.Action {
	a.Traits = append(a.Traits, traits...)
	return a
}

func TestMemoryCounts(t *testing.T) {
	var m session.Memory
	del := act(signalbox.Delete, "DELETE", false, "coupons")
	for range 3 {
		m.Note(del, signalbox.Allow, noon)
	}
	many := del
	many.Impact.Count = 10
	m.Note(many, signalbox.Allow, noon)
	m.Note(act(signalbox.Update, "UPDATE", false, "coupons"), signalbox.Allow, noon)
	m.Note(act(signalbox.Create, "INSERT", false, "coupons"), signalbox.Allow, noon)
	m.Note(act(signalbox.Read, "SELECT", false, "coupons"), signalbox.Allow, noon)
	m.Note(act(signalbox.Delete, "DELETE", false, "orders"), signalbox.Allow, noon)

	got := m.View(del, noon)
	want := session.View{
		Changes: 7, Reads: 1, Pages: 1, Deletes: 5,
		DeletesHere: 4, RowsDeletedHere: 13, UpdatesHere: 1, RowsUpdatedHere: 1, CreatesHere: 1, RowsCreatedHere: 1,
		RepeatsHere: 4, RepeatsBeside: 1, ChangedHere: true,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestMemoryOfRefusals(t *testing.T) {
	var m session.Memory
	drop := act(signalbox.Delete, "DROP TABLE", true, "orders")
	grant := act(signalbox.Permission, "GRANT", true, "app_owner")
	grant.Traits = []signalbox.Trait{signalbox.TraitAdmin}
	for range 5 {
		m.Note(drop, signalbox.Hold, noon)
	}
	m.Note(grant, signalbox.Deny, noon)
	m.Note(act(signalbox.Safeguard, "ALTER TABLE", true, "audit"), signalbox.Hold, noon)
	if v := m.View(act(signalbox.Update, "UPDATE", false, "audit"), noon); v.SafeguardsRefused != 1 {
		t.Errorf("on the same table: %+v", v)
	}

	v := m.View(act(signalbox.Update, "UPDATE", false, "orders"), noon)
	if v.Refused != 7 || v.RefusedHere != 1 || v.EscalationsRefused != 1 || v.SafeguardsRefused != 0 {
		t.Errorf("got %+v", v)
	}
	if v.Changes != 0 || v.ChangedHere || v.Deletes != 0 {
		t.Errorf("a refused action counted as done: %+v", v)
	}
	m.Note(drop, signalbox.Allow, noon.Add(time.Minute)) // let through by a permit
	if v := m.View(drop, noon.Add(time.Minute)); v.RefusedHere != 0 || !v.DeletedHere {
		t.Errorf("after approval: got %+v, want the refusal settled", v)
	}
	if v := m.View(grant, noon.Add(session.Window+time.Minute)); v.EscalationsRefused != 0 || v.RefusedHere != 0 {
		t.Errorf("after the window: got %+v, want it forgotten", v)
	}
}

func TestMemoryOfCopies(t *testing.T) {
	backup := with(act(signalbox.Create, "CREATE TABLE AS", true, "orders_bak", "orders"), signalbox.TraitCopy)
	drop := act(signalbox.Delete, "DROP TABLE", true, "orders_bak")

	var m session.Memory
	m.Note(backup, signalbox.Allow, noon)
	if v := m.View(drop, noon); !v.CreatedHere || v.OnlyCopy {
		t.Errorf("a fresh copy: got %+v", v)
	}
	if v := m.View(act(signalbox.Update, "UPDATE", false, "orders"), noon); v.ChangedHere {
		t.Errorf("copying a table changed it: %+v", v)
	}
	m.Note(act(signalbox.Read, "SELECT", false, "orders"), signalbox.Allow, noon)
	m.Note(act(signalbox.Update, "UPDATE", false, "orders"), signalbox.Hold, noon)
	if v := m.View(drop, noon); v.OnlyCopy {
		t.Errorf("neither reading nor a refused change makes it the only copy: %+v", v)
	}
	m.Note(act(signalbox.Update, "UPDATE", false, "orders"), signalbox.Allow, noon)
	if v := m.View(drop, noon); !v.OnlyCopy {
		t.Errorf("after the original was changed: got %+v", v)
	}
}

func TestMemoryOfNames(t *testing.T) {
	var m session.Memory
	m.Note(with(act(signalbox.Update, "ALTER TABLE", true, "customers", "customers_old"), signalbox.TraitRename),
		signalbox.Allow, noon)
	if v := m.View(act(signalbox.Delete, "DROP TABLE", true, "customers_old"), noon); !v.RenamedHere {
		t.Errorf("under its new name: got %+v", v)
	}
	m.Note(act(signalbox.Delete, "DROP TABLE", true, "items"), signalbox.Allow, noon)
	create := act(signalbox.Create, "CREATE TABLE", true, "items")
	if v := m.View(create, noon); !v.DeletedHere {
		t.Errorf("removed before: got %+v", v)
	}
	m.Note(create, signalbox.Allow, noon)
	if v := m.View(act(signalbox.Delete, "DROP TABLE", true, "items"), noon); !v.CreatedHere || !v.DeletedHere ||
		v.ChangedHere {
		t.Errorf("made anew: got %+v", v)
	}
	m.Note(act(signalbox.Create, "CREATE TABLE", true, "own"), signalbox.Allow, noon)
	m.Note(act(signalbox.Delete, "DROP TABLE", true, "own"), signalbox.Allow, noon)
	if v := m.View(act(signalbox.Delete, "DROP TABLE", true, "others"), noon); v.DeletedBeside != 1 {
		t.Errorf("beside: got %+v", v)
	}
}

func TestMemoryLeavesQuietThingsAlone(t *testing.T) {
	var m session.Memory
	for _, trait := range []signalbox.Trait{signalbox.TraitSession, signalbox.TraitTransaction,
		signalbox.TraitTemporary, signalbox.TraitMaintenance} {
		a := with(act(signalbox.Update, "SET", false, "x"), trait)
		m.Note(a, signalbox.Allow, noon)
		if v := m.View(a, noon); v != (session.View{}) {
			t.Errorf("%s: got %+v, want nothing remembered", trait, v)
		}
	}
}

func TestMemoryOfSecretsAndIdentities(t *testing.T) {
	var m session.Memory
	m.Note(with(act(signalbox.Read, "SELECT", false, "pg_authid"), signalbox.TraitCredentials), signalbox.Allow, noon)
	m.Note(with(act(signalbox.Permission, "SET ROLE", true, "owner"), signalbox.TraitIdentity,
		signalbox.TraitSession), signalbox.Allow, noon)
	m.Note(act(signalbox.Safeguard, "ALTER TABLE", true, "t"), signalbox.Allow, noon)
	if v := m.View(act(signalbox.Update, "UPDATE", false, "t"), noon); v.CredentialsRead != 1 ||
		v.IdentityChanges != 1 || v.SafeguardsWeakened != 1 {
		t.Errorf("got %+v", v)
	}
}

// The same identity taken again is one; what was refused was not taken.
func TestMemoryOfRoles(t *testing.T) {
	var m session.Memory
	assume := func(role string) signalbox.Action {
		return with(act(signalbox.Read, "sts:AssumeRole", false, role), signalbox.TraitIdentity)
	}
	for _, role := range []string{"reader", "reader", "builder"} {
		m.Note(assume(role), signalbox.Allow, noon)
	}
	m.Note(assume("admin"), signalbox.Hold, noon)
	if v := m.View(assume("operator"), noon); v.IdentitiesBeside != 2 || v.IdentityChanges != 3 {
		t.Errorf("a third role: got %+v", v)
	}
	if v := m.View(assume("reader"), noon); v.IdentitiesBeside != 1 {
		t.Errorf("one that was taken before: got %+v", v)
	}
	if v := m.Clone().View(assume("operator"), noon.Add(session.Window+time.Hour)); v.IdentitiesBeside != 0 {
		t.Errorf("a day later: got %+v", v)
	}
	for n := range 100 {
		m.Note(assume(fmt.Sprint("role", n)), signalbox.Allow, noon.Add(time.Duration(n)))
	}
	if n := len(m.Identities); n > 20 {
		t.Errorf("%d identities are kept", n)
	}
}

func TestMemoryOfPages(t *testing.T) {
	var m session.Memory
	page, other := act(signalbox.Read, "SELECT page", false, "users"), act(signalbox.Read, "SELECT other", false,
		"users")
	for range 3 {
		m.Note(page, signalbox.Allow, noon)
	}
	m.Note(other, signalbox.Allow, noon)
	m.Note(page, signalbox.Allow, noon)
	if v := m.View(page, noon); v.Pages != 3 || v.Reads != 5 {
		t.Errorf("got %+v, want the longest run of 3 among 5 reads", v)
	}
}

// What does not fit is seen as the worst it could be, never as nothing.
func TestMemoryIsBoundedAndPessimistic(t *testing.T) {
	var m session.Memory
	for i := range 2000 {
		m.Note(act(signalbox.Update, "UPDATE", false, fmt.Sprintf("t%d", i)), signalbox.Allow, noon)
		m.Note(act(signalbox.Delete, fmt.Sprintf("DROP %d", i), true, fmt.Sprintf("d%d", i)), signalbox.Hold, noon)
	}
	data, err := json.Marshal(&m)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 256<<10 {
		t.Errorf("memory takes %d bytes as JSON", len(data))
	}
	v := m.View(act(signalbox.Update, "UPDATE", false, "t1999"), noon)
	if !v.Overflow || v.UpdatesHere < 1000 || v.DeletesHere < 1000 || v.RefusedHere == 0 || !v.OnlyCopy ||
		!v.RenamedHere || v.CreatedHere {
		t.Errorf("a forgotten resource: got %+v", v)
	}
	if v := m.View(act(signalbox.Update, "UPDATE", false, "t0"), noon); v.UpdatesHere != 1 {
		t.Errorf("a remembered one: got %+v", v)
	}
	// Old entries make room.
	later := noon.Add(2 * session.Window)
	m.Note(act(signalbox.Update, "UPDATE", false, "new"), signalbox.Allow, later)
	if v := m.View(act(signalbox.Update, "UPDATE", false, "new"), later); v.UpdatesHere != 1 {
		t.Errorf("a day later: got %+v", v)
	}
}

func TestMemoryAsJSONAndCloned(t *testing.T) {
	var m session.Memory
	m.Note(with(act(signalbox.Create, "CREATE TABLE AS", true, "bak", "orders"), signalbox.TraitCopy),
		signalbox.Allow, noon)
	m.Note(act(signalbox.Delete, "DROP TABLE", true, "orders"), signalbox.Hold, noon)
	m.Note(act(signalbox.Update, "UPDATE", false, "orders"), signalbox.Allow, noon)
	m.Note(act(signalbox.Read, "SELECT", false, "orders"), signalbox.Allow, noon)

	data, err := json.Marshal(&m)
	if err != nil {
		t.Fatal(err)
	}
	var read session.Memory
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	clone := m.Clone()
	probe := act(signalbox.Delete, "DROP TABLE", true, "bak", "orders")
	want := m.View(probe, noon)
	for name, other := range map[string]*session.Memory{"JSON": &read, "clone": clone} {
		if d := cmp.Diff(want, other.View(probe, noon)); d != "" {
			t.Errorf("%s: (-was +is)\n%s", name, d)
		}
	}
	clone.Note(probe, signalbox.Allow, noon)
	clone.Note(with(act(signalbox.Create, "CREATE TABLE AS", true, "bak", "more"), signalbox.TraitCopy),
		signalbox.Allow, noon)
	if d := cmp.Diff(want, m.View(probe, noon)); d != "" {
		t.Errorf("a change to the clone changed the original: %s", d)
	}
}

func TestViewsJoinToTheWorse(t *testing.T) {
	a := session.View{Deletes: 3, UpdatesHere: 1, CreatedHere: true, OnlyCopy: true}
	b := session.View{Deletes: 1, UpdatesHere: 9, Overflow: true}
	want := session.View{Deletes: 3, UpdatesHere: 9, OnlyCopy: true, Overflow: true}
	if d := cmp.Diff(want, a.Join(b)); d != "" {
		t.Error(d)
	}
	if a.Join(b) != b.Join(a) {
		t.Error("the order of joining matters")
	}
}

func TestRightsOnOneThingConcernThatThing(t *testing.T) {
	var m session.Memory
	m.Note(act(signalbox.Permission, "GRANT", false, "v_report"), signalbox.Hold, noon)
	m.Note(act(signalbox.Safeguard, "DISABLE TRIGGER", false, "shop.orders"), signalbox.Allow, noon)
	for name, want := range map[string][2]int64{"carts": {0, 0}, "v_report": {1, 0}, "shop.orders.total": {0, 1}} {
		v := m.View(act(signalbox.Update, "UPDATE", false, name), noon)
		if got := [2]int64{v.EscalationsRefused, v.SafeguardsWeakened}; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	wide := act(signalbox.Safeguard, "ALTER SYSTEM", false, "carts")
	wide.Traits = []signalbox.Trait{signalbox.TraitTop}
	m.Note(wide, signalbox.Allow, noon)
	if v := m.View(act(signalbox.Update, "UPDATE", false, "other"), noon); v.SafeguardsWeakened != 1 {
		t.Errorf("after the server's own protection: %+v", v)
	}
	grant := act(signalbox.Permission, "GRANT", false, "v_report")
	m.Withdraw([]signalbox.Action{grant})
	if v := m.View(act(signalbox.Update, "UPDATE", false, "v_report"), noon); v.EscalationsRefused != 0 || v.RefusedHere != 0 {
		t.Errorf("withdrawn, and still refused: %+v", v)
	}
}

func TestNamesChangeAndThingsStay(t *testing.T) {
	var m session.Memory
	rename := func(from, to, id string) {
		a := act(signalbox.Update, "ALTER TABLE RENAME", false, from)
		a.Traits = []signalbox.Trait{signalbox.TraitRename}
		a.Resources[0].ID = id
		a.Resources = append(a.Resources, signalbox.Resource{Type: a.Resources[0].Type, Name: to})
		m.Note(a, signalbox.Allow, noon)
	}
	drop := func(id string, names ...string) session.View {
		a := act(signalbox.Delete, "DROP TABLE", true, names...)
		a.Resources[0].ID = id
		return m.View(a, noon)
	}
	create := act(signalbox.Create, "CREATE TABLE", true, "mine")
	m.Note(create, signalbox.Allow, noon)
	if v := drop("7", "mine"); !v.CreatedHere {
		t.Errorf("made here: %+v", v)
	}
	if v := drop("7", "mine", "orders"); v.CreatedHere {
		t.Error("made here, with another that was not")
	}
	rename("shop.orders", "shop.orders_tmp", "5")
	if v := drop("", "shop.orders_tmp"); !v.RenamedHere || v.CreatedHere {
		t.Errorf("by its new name: %+v", v)
	}
	rename("shop.orders_tmp", "trash.orders_tmp", "5")
	if v := drop("5", "somewhere.else"); !v.RenamedHere {
		t.Errorf("by its identity: %+v", v)
	}
	// What was dropped is not what another is renamed to, nor is what was there before.
	m.Note(act(signalbox.Delete, "DROP TABLE", true, "mine"), signalbox.Allow, noon)
	rename("customers", "mine", "9")
	if v := drop("9", "mine"); v.CreatedHere || !v.RenamedHere {
		t.Errorf("another under the name of one's own: %+v", v)
	}
	there := act(signalbox.Create, "CREATE TABLE", true, "invoices")
	there.Resources[0].ID = "11"
	m.Note(there, signalbox.Allow, noon)
	perhaps := act(signalbox.Create, "CREATE TABLE", true, "payments")
	perhaps.Form = "CREATE TABLE if-not-exists"
	m.Note(perhaps, signalbox.Allow, noon)
	for _, name := range []string{"invoices", "payments"} {
		if v := drop("", name); v.CreatedHere {
			t.Errorf("%s may have been there before", name)
		}
	}
	m.Note(act(signalbox.Create, "CREATE TABLE", true, "parts"), signalbox.Allow, noon)
	m.Note(act(signalbox.Update, "ALTER TABLE ATTACH PARTITION", false, "parts"), signalbox.Allow, noon)
	if v := drop("", "parts"); v.CreatedHere {
		t.Error("something was attached to what was made here")
	}
}
