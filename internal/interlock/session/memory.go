package session

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// Window is how long a memory keeps what it learned of a resource, and what
// was refused. A session is usually shorter; the memory of a human and target
// outlives sessions and must forget some day.
const Window = 24 * time.Hour

// Bounds of a memory. What does not fit sets Overflow, and then every resource
// that the memory does not know is seen as the worst that it could be.
const (
	maxThings   = 512
	maxRefusals = 128
	maxSources  = 16
)

// A Memory is what is remembered of a piece of work, one session's or one
// human's at one target: how much was done, to what, and what was refused. It
// is a value without I/O: it can be written as JSON, is bounded in size, and
// is not safe for concurrent use. The zero value remembers nothing.
type Memory struct {
	Changes   int64 `json:"changes,omitempty"` // allowed actions other than reads
	Reads     int64 `json:"reads,omitempty"`   // allowed reads
	Deletes   int64 `json:"deletes,omitempty"` // allowed deletes and replacements
	Refused   int64 `json:"refused,omitempty"` // held or denied
	Secrets   int64 `json:"secrets,omitempty"` // allowed actions that revealed credentials
	Identity  int64 `json:"identity,omitempty"`
	Safeguard int64 `json:"safeguard,omitempty"` // protections weakened with permission

	Weakened []refusal `json:"weakened,omitempty"` // the last of them

	// Identities are those that the session acted as, and when it last began to.
	Identities map[string]time.Time `json:"identities,omitempty"`

	// Page is the fingerprint of the latest read, PageRun how often it came
	// without another read between, Pages the longest such run.
	Page    string `json:"page,omitempty"`
	PageRun int64  `json:"pageRun,omitempty"`
	Pages   int64  `json:"pages,omitempty"`

	Things   map[string]*thing `json:"things,omitempty"`
	Refusals []refusal         `json:"refusals,omitempty"`
	// Overflow says that something was forgotten for want of room.
	Overflow bool `json:"overflow,omitempty"`
}

// A thing is one resource that was changed, or that a refused action named.
type thing struct {
	At      time.Time `json:"at"` // last touched
	Created bool      `json:"created,omitempty"`
	Deleted bool      `json:"deleted,omitempty"`
	Lost    bool      `json:"lost,omitempty"`    // deleted, and not made in this session before
	Renamed bool      `json:"renamed,omitempty"` // has or had another name since
	Changed bool      `json:"changed,omitempty"`

	Deletes     int64 `json:"deletes,omitempty"` // of parts of it
	RowsDeleted int64 `json:"rowsDeleted,omitempty"`
	Updates     int64 `json:"updates,omitempty"`
	RowsUpdated int64 `json:"rowsUpdated,omitempty"`
	Creates     int64 `json:"creates,omitempty"` // inside it
	RowsCreated int64 `json:"rowsCreated,omitempty"`

	Native  map[string]int64 `json:"native,omitempty"`  // how often each operation was done to it
	Sources []string         `json:"sources,omitempty"` // what it is a copy of
	// Stale says that a source was changed or removed after the copy was made,
	// so that this is the only copy of the old state.
	Stale bool `json:"stale,omitempty"`
}

// View is what a memory says about one action: policy's memory context, field
// by field.
type View struct {
	Changes            int64
	Reads              int64
	Pages              int64
	Deletes            int64
	Refused            int64
	CredentialsRead    int64
	IdentityChanges    int64
	SafeguardsWeakened int64
	SafeguardsRefused  int64
	EscalationsRefused int64
	IdentitiesBeside   int64

	RefusedHere     int64
	DeletesHere     int64
	RowsDeletedHere int64
	UpdatesHere     int64
	RowsUpdatedHere int64
	CreatesHere     int64
	RowsCreatedHere int64
	RepeatsHere     int64
	RepeatsBeside   int64
	DeletedBeside   int64

	CreatedHere bool
	ChangedHere bool
	DeletedHere bool
	RenamedHere bool
	OnlyCopy    bool
	Overflow    bool
}

// exhausted is the count that a memory gives for what it may have forgotten:
// above any budget, and far from overflowing when added to.
const exhausted = 1 << 30

// key names a resource. Where no catalog said which schema an unqualified name
// means, it is PostgreSQL's own default; without this, "orders" and
// "public.orders" would each have a budget.
func key(r signalbox.Resource) string { return r.Type + " " + strings.TrimPrefix(r.Name, "public.") }

// identity is a key that a resource keeps when its name changes; no key of a name
// begins so.
func identity(r signalbox.Resource) string { return "#" + r.Type + " " + r.ID }

// Note remembers that action a was decided as d at time at. An allowed action
// is taken as done; an action that a permit let through is noted as allowed
// too, and that ends the refusal that the permit came from. A held or denied
// action counts as an attempt alone.
func (m *Memory) Note(a signalbox.Action, d signalbox.Decision, at time.Time) {
	if d != signalbox.Allow {
		m.noteRefused(a, at)
		return
	}
	if a.Has(signalbox.TraitCredentials) {
		m.Secrets++
	}
	if a.Has(signalbox.TraitIdentity) {
		m.Identity++
		m.noteIdentity(a, at)
	}
	if a.Verb == signalbox.Read {
		m.noteRead(a)
		return
	}
	if quiet(a) {
		return
	}
	m.settle(a)
	m.Changes++
	if a.Verb == signalbox.Safeguard {
		m.noteWeakened(a, at)
	}
	if a.Verb == signalbox.Delete || a.Verb == signalbox.Replace {
		m.Deletes++
	}
	for i, r := range a.Resources {
		if i > 0 && a.Has(signalbox.TraitRename) {
			m.noteRenamed(a.Resources[0], r, at)
			continue
		}
		m.noteChange(a, i, r, at)
	}
}

// quiet reports whether an action leaves nothing behind that is worth
// remembering: transactions, settings and objects of the session alone.
func quiet(a signalbox.Action) bool {
	return (a.Has(signalbox.TraitTransaction) || a.Has(signalbox.TraitSession) || a.Has(signalbox.TraitTemporary) ||
		a.Has(signalbox.TraitMaintenance)) &&
		!a.Has(signalbox.TraitUnparsed)
}

// noteIdentity remembers as whom the session acts. When there is no room, what
// is longest ago is forgotten: so many are too many for any policy.
func (m *Memory) noteIdentity(a signalbox.Action, at time.Time) {
	if len(a.Resources) == 0 {
		return
	}
	if m.Identities == nil {
		m.Identities = make(map[string]time.Time)
	}
	m.Identities[key(a.Resources[0])] = at
	for len(m.Identities) > maxSources {
		oldest := ""
		for k, t := range m.Identities {
			if oldest == "" || t.Before(m.Identities[oldest]) || t.Equal(m.Identities[oldest]) && k < oldest {
				oldest = k
			}
		}
		delete(m.Identities, oldest)
	}
}

func (m *Memory) noteRead(a signalbox.Action) {
	m.Reads++
	if a.Fingerprint == "" || a.Fingerprint != m.Page {
		m.Page, m.PageRun = a.Fingerprint, 0
	}
	m.PageRun++
	m.Pages = max(m.Pages, m.PageRun)
}

func (m *Memory) noteChange(a signalbox.Action, i int, r signalbox.Resource, at time.Time) {
	k := key(r)
	if a.Has(signalbox.TraitCopy) && i > 0 {
		return // a source of the copy: read, not changed
	}
	t := m.thing(k, at)
	if t == nil {
		return
	}
	rows := max(a.Impact.Count, 1)
	switch a.Verb {
	case signalbox.Create:
		if r.Whole || a.Has(signalbox.TraitCopy) {
			*t = thing{At: at, Created: made(a, r), Deleted: t.Deleted, Lost: t.Lost, Native: t.Native}
			break
		}
		t.Creates, t.RowsCreated, t.Changed = t.Creates+1, add(t.RowsCreated, rows), true
	case signalbox.Delete, signalbox.Replace:
		if r.Whole {
			t.Lost = t.Lost || !t.Created
			t.Created, t.Deleted = false, true
		} else {
			t.Deletes, t.RowsDeleted = t.Deletes+1, add(t.RowsDeleted, rows)
		}
		t.Changed = true
	default:
		t.Updates, t.RowsUpdated, t.Changed = t.Updates+1, add(t.RowsUpdated, rows), true
		// What hangs on it from now on was not made with it.
		t.Created = t.Created && !strings.Contains(a.Native, "ATTACH") && !strings.Contains(a.Native, "INHERIT")
	}
	if r.ID != "" && a.Has(signalbox.TraitRename) {
		if named := m.thing(identity(r), at); named != nil {
			named.Renamed = true
		}
	}
	if a.Has(signalbox.TraitRename) {
		t.Renamed = true
	}
	if t.Native == nil {
		t.Native = make(map[string]int64)
	}
	if _, known := t.Native[a.Native]; known || len(t.Native) < maxSources {
		t.Native[a.Native]++
	} else {
		m.Overflow = true
	}
	if a.Has(signalbox.TraitCopy) {
		for _, source := range a.Resources[1:] {
			if len(t.Sources) == maxSources {
				m.Overflow = true
				break
			}
			t.Sources = append(t.Sources, key(source))
		}
		return
	}
	if !t.Changed && !t.Deleted && !t.Renamed {
		return
	}
	for _, other := range m.Things {
		if slices.Contains(other.Sources, k) {
			other.Stale = true
		}
	}
}

// made reports whether creating a resource brought it into being: not where it is
// known to have been there, nor where the request would not say.
func made(a signalbox.Action, r signalbox.Resource) bool {
	return r.ID == "" && !slices.Contains(strings.Fields(a.Form), "if-not-exists")
}

// noteRenamed has a resource's new name stand for all that is known of it.
func (m *Memory) noteRenamed(old, name signalbox.Resource, at time.Time) {
	was, now := m.thing(key(old), at), m.thing(key(name), at)
	if was == nil || now == nil {
		return
	}
	moved := *was
	moved.Renamed, moved.Native, moved.Sources = true, maps.Clone(was.Native), slices.Clone(was.Sources)
	moved.Deleted, moved.Lost = was.Deleted || now.Deleted, was.Lost || now.Lost
	*now = moved
	was.Created = false // whatever takes the old name is another thing
	for _, other := range m.Things {
		if slices.Contains(other.Sources, key(old)) && len(other.Sources) < maxSources {
			other.Sources = append(other.Sources, key(name))
		}
	}
}

// thing gives the entry of a resource, a new one if there is none; nil, and
// Overflow set, when there is no room.
func (m *Memory) thing(k string, at time.Time) *thing {
	if t := m.Things[k]; t != nil {
		if at.Sub(t.At) > Window {
			*t = thing{}
		}
		t.At = at
		return t
	}
	if len(m.Things) >= maxThings {
		maps.DeleteFunc(m.Things, func(_ string, t *thing) bool { return at.Sub(t.At) > Window })
		if len(m.Things) >= maxThings {
			m.Overflow = true
			return nil
		}
	}
	if m.Things == nil {
		m.Things = make(map[string]*thing)
	}
	t := &thing{At: at}
	m.Things[k] = t
	return t
}

func add(a, b int64) int64 { return min(a+min(b, exhausted), exhausted) }

// View gives what the memory says about action a at time at.
func (m *Memory) View(a signalbox.Action, at time.Time) View {
	v := View{
		Changes: m.Changes, Reads: m.Reads, Pages: m.Pages, Deletes: m.Deletes, Refused: m.Refused,
		CredentialsRead: m.Secrets, IdentityChanges: m.Identity,
		Overflow: m.Overflow,
	}
	if a.Verb == signalbox.Read && !a.Has(signalbox.TraitIdentity) {
		return v // reads are many, and what follows concerns changes
	}
	m.seeRefusals(&v, a, at)
	for k, t := range m.Identities {
		if at.Sub(t) <= Window && !slices.ContainsFunc(a.Resources, func(r signalbox.Resource) bool { return key(r) == k }) {
			v.IdentitiesBeside++
		}
	}
	own := len(a.Resources) > 0 // all of them were made here
	for _, r := range a.Resources {
		t := m.Things[key(r)]
		own = own && t != nil && t.Created && at.Sub(t.At) <= Window
		if named := m.Things[identity(r)]; r.ID != "" && named != nil && at.Sub(named.At) <= Window {
			v.RenamedHere = true
		}
		switch {
		case t != nil && at.Sub(t.At) <= Window:
			v.see(a, t)
		case m.Overflow:
			v.seeForgotten()
		}
	}
	v.CreatedHere = own
	if len(a.Resources) > 0 {
		m.beside(&v, a, at)
	}
	return v
}

func (v *View) see(a signalbox.Action, t *thing) {
	v.DeletesHere = max(v.DeletesHere, t.Deletes)
	v.RowsDeletedHere = max(v.RowsDeletedHere, t.RowsDeleted)
	v.UpdatesHere = max(v.UpdatesHere, t.Updates)
	v.RowsUpdatedHere = max(v.RowsUpdatedHere, t.RowsUpdated)
	v.CreatesHere = max(v.CreatesHere, t.Creates)
	v.RowsCreatedHere = max(v.RowsCreatedHere, t.RowsCreated)
	v.RepeatsHere = max(v.RepeatsHere, t.Native[a.Native])
	v.ChangedHere = v.ChangedHere || t.Changed
	v.DeletedHere = v.DeletedHere || t.Deleted
	v.RenamedHere = v.RenamedHere || t.Renamed
	v.OnlyCopy = v.OnlyCopy || t.Stale
}

// seeForgotten takes the worst of a resource that may have been forgotten. It
// does not say CreatedHere, which could make a policy milder.
func (v *View) seeForgotten() {
	v.DeletesHere, v.RowsDeletedHere = exhausted, exhausted
	v.UpdatesHere, v.RowsUpdatedHere = exhausted, exhausted
	v.CreatesHere, v.RowsCreatedHere = exhausted, exhausted
	v.RepeatsHere, v.RefusedHere = exhausted, max(v.RefusedHere, 1)
	v.ChangedHere, v.DeletedHere, v.RenamedHere, v.OnlyCopy = true, true, true, true
}

// beside counts what was done to other resources of the same type.
func (m *Memory) beside(v *View, a signalbox.Action, at time.Time) {
	prefix := a.Resources[0].Type + " "
	for k, t := range m.Things {
		if len(k) < len(prefix) || k[:len(prefix)] != prefix || at.Sub(t.At) > Window ||
			slices.ContainsFunc(a.Resources, func(r signalbox.Resource) bool { return key(r) == k }) {
			continue
		}
		v.RepeatsBeside = add(v.RepeatsBeside, t.Native[a.Native])
		if t.Lost {
			v.DeletedBeside++
		}
	}
}

// Join gives what two memories say together: the more worrying of each fact.
func (v View) Join(o View) View {
	return View{
		Changes: max(v.Changes, o.Changes), Reads: max(v.Reads, o.Reads), Pages: max(v.Pages, o.Pages),
		Deletes: max(v.Deletes, o.Deletes), Refused: max(v.Refused, o.Refused),
		CredentialsRead:    max(v.CredentialsRead, o.CredentialsRead),
		IdentityChanges:    max(v.IdentityChanges, o.IdentityChanges),
		SafeguardsWeakened: max(v.SafeguardsWeakened, o.SafeguardsWeakened),
		SafeguardsRefused:  max(v.SafeguardsRefused, o.SafeguardsRefused),
		EscalationsRefused: max(v.EscalationsRefused, o.EscalationsRefused),
		IdentitiesBeside:   max(v.IdentitiesBeside, o.IdentitiesBeside),
		RefusedHere:        max(v.RefusedHere, o.RefusedHere),
		DeletesHere:        max(v.DeletesHere, o.DeletesHere),
		RowsDeletedHere:    max(v.RowsDeletedHere, o.RowsDeletedHere),
		UpdatesHere:        max(v.UpdatesHere, o.UpdatesHere),
		RowsUpdatedHere:    max(v.RowsUpdatedHere, o.RowsUpdatedHere),
		CreatesHere:        max(v.CreatesHere, o.CreatesHere),
		RowsCreatedHere:    max(v.RowsCreatedHere, o.RowsCreatedHere),
		RepeatsHere:        max(v.RepeatsHere, o.RepeatsHere), RepeatsBeside: max(v.RepeatsBeside, o.RepeatsBeside),
		DeletedBeside: max(v.DeletedBeside, o.DeletedBeside),
		// Having created a resource is the one fact that could make a policy
		// milder, so both must say it.
		CreatedHere: v.CreatedHere && o.CreatedHere,
		ChangedHere: v.ChangedHere || o.ChangedHere, DeletedHere: v.DeletedHere || o.DeletedHere,
		RenamedHere: v.RenamedHere || o.RenamedHere, OnlyCopy: v.OnlyCopy || o.OnlyCopy, Overflow: v.Overflow ||
			o.Overflow,
	}
}

// Clone gives an independent copy.
func (m *Memory) Clone() *Memory {
	c := *m
	c.Things = make(map[string]*thing, len(m.Things))
	for k, t := range m.Things {
		u := *t
		u.Native, u.Sources = maps.Clone(t.Native), slices.Clone(t.Sources)
		c.Things[k] = &u
	}
	c.Identities = maps.Clone(m.Identities)
	c.Refusals, c.Weakened = cloned(m.Refusals), cloned(m.Weakened)
	return &c
}
