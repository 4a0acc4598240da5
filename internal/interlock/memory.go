package interlock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/ledger"
)

// Memory is kept twice for every request: for its session, and for the human
// (or automation) at the target, so that a second session does not start at
// nothing. In this process it is exact: what was decided is remembered before
// the next decision. It becomes durable with every notable action in the same
// transaction as its record, and for the rest is rebuilt from the intents, so
// that a crash forgets nothing that was done. Another replica's small changes
// are seen within [staleMemory]; its notable ones make ours stale at once.
const (
	staleMemory  = 2 * time.Second // read again before a notable decision when older
	replaySlack  = 5 * time.Second // intents counted again rather than missed
	spentWindow  = 24 * time.Hour
	maxSpent     = 1024
	maxSubjects  = 4096
	overBudget   = int64(1) << 40
	memoryFormat = 1
)

// A subject is whose memory it is, with what it holds.
type subject struct {
	name string

	mu      sync.Mutex // guards all below
	data    memoryData
	version int64 // of the stored row; 0 if there is none
	loaded  time.Time
	dirty   bool
}

// memoryData is the stored form of a subject's memory.
type memoryData struct {
	Format int             `json:"format"`
	Memory *session.Memory `json:"memory"`
	// Spent counts rows touched without approval, by target resource.
	Spent map[string]spent `json:"spent,omitempty"`
}

type spent struct {
	Rows  int64     `json:"rows"`
	Since time.Time `json:"since"`
}

type memories struct {
	mu       sync.Mutex
	subjects map[string]*subject
}

func (m *memories) init() { m.subjects = make(map[string]*subject) }

// subjectsOf names the two subjects of a request: the session, and the person
// (or automation) at the target. Always in this order, which is also the order
// of locking.
func subjectsOf(r Request) [2]string {
	return [2]string{"session/" + string(r.Session.ID), ownerOf(r.Session.Actor) + "@" + r.Gate.Target}
}

// ownerOf names who answers for an actor: the human, or the automation.
func ownerOf(a signalbox.Actor) string {
	if p := a.Person(); p != "" {
		return "human/" + p
	}
	return "automation/" + a.Name
}

// A lockedMemory is the memory of both subjects of a request, locked.
type lockedMemory [2]*subject

// lockMemory loads and locks the memory of a request. With fresh it is read again
// when another replica may have written it.
func (i *Interlock) lockMemory(ctx context.Context, r Request, fresh bool) (lockedMemory, error) {
	var m lockedMemory
	for n, name := range subjectsOf(r) {
		s := i.memories.get(name)
		s.mu.Lock()
		m[n] = s
		age := i.now().Sub(s.loaded)
		if s.loaded.IsZero() || fresh && !i.config.Alone && (age > staleMemory || age < 0) {
			if err := i.load(ctx, s); err != nil {
				for _, locked := range m[:n+1] {
					locked.mu.Unlock()
				}
				return m, fmt.Errorf("%w: memory of %s: %w", ErrUnavailable, name, err)
			}
		}
	}
	return m, nil
}

func (m lockedMemory) unlock() {
	m[1].mu.Unlock()
	m[0].mu.Unlock()
}

// commitNoted notes in the memory of a request that d was decided of its actions,
// and commits the batch together with that memory. Errors are as for
// [Interlock.commit].
func (i *Interlock) commitNoted(ctx context.Context, what string, r Request, d signalbox.Decision, b ledger.Batch,
	now time.Time) error {
	m, err := i.lockMemory(ctx, r, false)
	if err != nil {
		return err
	}
	defer m.unlock()
	m.note(r.Actions, d, now)
	return unavailable(what, i.commitWithMemory(ctx, m, b, now))
}

// commitWithMemory commits the batch together with the memory: both are durable,
// or neither. After an error the memory is loaded again when it is next needed,
// because another replica may have written it, or this commit may have happened
// although it was not confirmed.
func (i *Interlock) commitWithMemory(ctx context.Context, m lockedMemory, b ledger.Batch, now time.Time) error {
	changes, err := m.save(i.state, now)
	if err != nil {
		return err
	}
	b.Changes = append(slices.Clip(b.Changes), changes...)
	if _, err := i.ledger.Commit(ctx, b); err != nil {
		m.invalidate()
		return err
	}
	m.saved()
	return nil
}

// views gives what both memories together say of each action.
func (m lockedMemory) views(actions []signalbox.Action, now time.Time) []session.View {
	return session.Views(actions, now, m[0].data.Memory, m[1].data.Memory)
}

func (m lockedMemory) note(actions []signalbox.Action, d signalbox.Decision, now time.Time) {
	for _, s := range m {
		for _, a := range actions {
			s.data.Memory.Note(a, d, now)
		}
		s.dirty = true
	}
}

// save gives the statements that make both memories durable.
func (m lockedMemory) save(st State, now time.Time) ([]ledger.Statement, error) {
	var out []ledger.Statement
	for _, s := range m {
		data, err := json.Marshal(s.data)
		if err != nil {
			return nil, fmt.Errorf("memory of %s: %w", s.name, err)
		}
		out = append(out, st.PutMemory(s.name, s.version, MemoryRow{Version: s.version + 1, At: now, Data: data})...)
	}
	return out, nil
}

// saved says that the statements of save were committed.
func (m lockedMemory) saved() {
	for _, s := range m {
		s.version++
		s.dirty = false
	}
}

// invalidate has both memories loaded again when they are next needed.
func (m lockedMemory) invalidate() {
	for _, s := range m {
		s.loaded = time.Time{}
	}
}

// spend adds touched rows to the person's account at the target and reports an
// overrun of total on any resource; then nothing is added.
func (m lockedMemory) spend(touched map[string]int64, total int64, now time.Time) error {
	s := m[1]
	if s.data.Spent == nil {
		s.data.Spent = make(map[string]spent)
	}
	for name, n := range touched {
		have := s.data.Spent[name]
		if now.Sub(have.Since) > spentWindow {
			have = spent{}
		}
		if n > 0 && have.Rows+n > total {
			return &OverrunError{
				Reason: fmt.Sprintf("%d rows of %s, and %d before without approval: at most %d in 24 hours", n, name,
					have.Rows, total),
				Touched: touched,
			}
		}
	}
	for name, n := range touched {
		have, known := s.data.Spent[name]
		if !known && len(s.data.Spent) >= maxSpent {
			// No room to remember: as if the account were used up.
			return &OverrunError{Reason: fmt.Sprintf("changes in more than %d places in 24 hours", maxSpent),
				Touched: touched}
		}
		if now.Sub(have.Since) > spentWindow {
			have = spent{Since: now}
		}
		have.Rows = min(have.Rows+n, overBudget)
		s.data.Spent[name] = have
	}
	s.dirty = true
	return nil
}

func (m *memories) get(name string) *subject {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.subjects[name]
	if s == nil {
		if len(m.subjects) >= maxSubjects {
			m.shrink()
		}
		s = &subject{name: name}
		m.subjects[name] = s
	}
	return s
}

// shrink drops subjects that are stored and not in use. What is dropped is
// loaded again when it is next needed.
func (m *memories) shrink() {
	for name, s := range m.subjects {
		if len(m.subjects) < maxSubjects/2 {
			return
		}
		if s.mu.TryLock() {
			if !s.dirty {
				delete(m.subjects, name)
				// Whoever got it before us and waits for the lock must load
				// again rather than write into what nobody finds any more.
				s.loaded = time.Time{}
			}
			s.mu.Unlock()
		}
	}
}

// forget drops what is remembered of provisional actions that did not happen:
// the memory is loaded again from what is durable.
func (m *memories) forget(r Request) {
	for _, name := range subjectsOf(r) {
		s := m.get(name)
		s.mu.Lock()
		s.loaded = time.Time{}
		s.mu.Unlock()
	}
}

// load reads a subject's memory: the stored snapshot, then the intents since.
// Those of the last moments before the snapshot are counted again rather than
// missed.
func (i *Interlock) load(ctx context.Context, s *subject) error {
	row, err := i.state.Memory(ctx, s.name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	data := memoryData{Format: memoryFormat, Memory: new(session.Memory)}
	if err == nil {
		if err := json.Unmarshal(row.Data, &data); err != nil {
			return err
		}
		if data.Format != memoryFormat || data.Memory == nil {
			return fmt.Errorf("stored in format %d, this version reads %d", data.Format, memoryFormat)
		}
	}
	since := row.At
	if !since.IsZero() {
		since = since.Add(-replaySlack)
	}
	intents, err := i.state.IntentsSince(ctx, s.name, since)
	if err != nil {
		return err
	}
	if data.Spent == nil {
		data.Spent = make(map[string]spent)
	}
	for _, in := range intents {
		if in.Status == IntentFailed {
			continue // nothing came of it
		}
		for _, a := range in.Actions {
			data.Memory.Note(a, signalbox.Allow, in.Opened)
		}
		if in.Hold != "" {
			continue // approved: it is not on the account
		}
		for name, n := range in.Touched {
			have := data.Spent[name]
			if in.Opened.Sub(have.Since) > spentWindow {
				have = spent{Since: in.Opened}
			}
			have.Rows += n
			data.Spent[name] = have
		}
	}
	// Rows were touched for good when they came to the account, and the outcome
	// that tells of them may not be durable yet: nothing is forgotten of it.
	for name, known := range s.data.Spent {
		if known.Rows > data.Spent[name].Rows && i.now().Sub(known.Since) <= spentWindow {
			data.Spent[name] = known
		}
	}
	s.data, s.version, s.loaded, s.dirty = data, row.Version, i.now(), false
	return nil
}

// flushMemories stores what small changes have added. Losing it costs nothing
// but time: it is rebuilt from the intents.
func (i *Interlock) flushMemories(ctx context.Context) error {
	i.memories.mu.Lock()
	var all []*subject
	for _, s := range i.memories.subjects {
		all = append(all, s)
	}
	i.memories.mu.Unlock()
	var failed error
	for _, s := range all {
		if err := i.flush(ctx, s); err != nil && failed == nil {
			failed = err
		}
	}
	return failed
}

func (i *Interlock) flush(ctx context.Context, s *subject) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dirty || s.loaded.IsZero() {
		return nil
	}
	data, err := json.Marshal(s.data)
	if err != nil {
		return err
	}
	_, err = i.ledger.Commit(ctx, ledger.Batch{Changes: i.state.PutMemory(s.name, s.version,
		MemoryRow{Version: s.version + 1, At: i.now(), Data: data})})
	switch {
	case err == nil:
		s.version++
		s.dirty = false
	case errors.Is(err, ledger.ErrStale):
		s.loaded = time.Time{}
		err = nil
	}
	if err != nil {
		return fmt.Errorf("store memory of %s: %w", s.name, err)
	}
	return nil
}
