package interlock

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/forms"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
)

// freshness is how old the control state may be that a decision rests on. Reads
// notice a halt within it; writes notice at once, since the epoch is a
// condition of their intent's own transaction (promise P9).
const freshness = time.Second

// A snapshot is the control state as read at one moment, with what follows
// from it. It is not changed after it was stored.
type snapshot struct {
	control.State
	at      time.Time   // by the interlock's clock
	read    time.Time   // by this process's own, which nobody sets
	set     *policy.Set // active set; nil before the first
	people  map[string]session.Person
	permits map[string]bool // retry keys of approved holds
}

// groups gives a human's groups, and false for one who is not enrolled: what an
// actor may, never whether a voice counts (see voter).
func (s *snapshot) groups(name string) ([]string, bool) {
	p, ok := s.people[name]
	return p.Groups, ok
}

// versionOf gives the version of a policy set; zero for none.
func versionOf(set *policy.Set) signalbox.Digest {
	if set == nil {
		return signalbox.Digest{}
	}
	return set.Version()
}

// current gives a snapshot that is fresh enough to decide by, or an error that
// wraps [ErrUnavailable].
func (i *Interlock) current(ctx context.Context) (*snapshot, error) {
	if i.fenced.Load() {
		return nil, fmt.Errorf("%w: another server of this database works by other settings: restart this one",
			ErrUnavailable)
	}
	if s := i.snapshot.Load(); s != nil {
		// The interlock's clock stands still while this machine's is behind the
		// log: what was read last would look fresh for as long.
		if age := i.now().Sub(s.at); age >= 0 && age <= freshness && time.Since(s.read) <= freshness {
			return s, nil
		}
	}
	if err := i.refreshSnapshot(ctx); err != nil {
		return nil, fmt.Errorf("%w: control state: %w", ErrUnavailable, err)
	}
	return i.snapshot.Load(), nil
}

// Forms lists what the active policies have as reviewed, as this process last read
// them. Whatever is classified by the list is judged by the policies of its own time.
func (i *Interlock) Forms() *forms.List {
	if s := i.snapshot.Load(); s != nil && s.set != nil {
		return s.set.List()
	}
	return nil
}

// refreshSnapshot has the watcher read the control state once, after this call began,
// however many ask for it at the same time.
func (i *Interlock) refreshSnapshot(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case i.refresh <- answer:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watch keeps the snapshot fresh until ctx ends: at once when the state says
// that something changed, when somebody asks, and twice in the time that a
// snapshot may be old.
func (i *Interlock) watch(ctx context.Context) {
	changes := i.state.Changes(ctx)
	tick := time.NewTicker(freshness / 2)
	defer tick.Stop()
	for {
		var asked []chan error
		select {
		case <-ctx.Done():
			i.refuseAsked()
			return
		case _, ok := <-changes:
			if !ok {
				changes = nil // the ticker remains
			}
		case <-tick.C:
		case a := <-i.refresh:
			asked = append(asked, a)
		}
		// Whoever asks from here on until the read begins is served by it.
		for more := true; more; {
			select {
			case a := <-i.refresh:
				asked = append(asked, a)
			default:
				more = false
			}
		}
		err := i.guarded("watch the control state", func() error { return i.look(ctx) })
		if err != nil && ctx.Err() == nil {
			i.log.Error("control state cannot be read: everything is refused until it can", "error", err)
		}
		for _, a := range asked {
			a <- err
		}
		i.watches.wake()
	}
}

// look reads the control state once, and stops the sessions that must stop.
func (i *Interlock) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := i.readControl(ctx); err != nil {
		return err
	}
	i.watches.sweep(ctx, i)
	return nil
}

// refuseAsked answers those who asked while the watcher was stopping.
func (i *Interlock) refuseAsked() {
	for {
		select {
		case a := <-i.refresh:
			a <- context.Canceled
		default:
			return
		}
	}
}

// readControl reads the control state and stores a snapshot of it. Policies
// and people are read again only when the epoch has moved.
func (i *Interlock) readControl(ctx context.Context) error {
	at, read := i.now(), time.Now() // before reading, so that age is never understated
	c, err := i.state.Control(ctx)
	if err != nil {
		return err
	}
	old := i.snapshot.Load()
	s := &snapshot{State: c, at: at, read: read}
	if old != nil && old.Epoch == c.Epoch {
		s.set, s.people = old.set, old.people
	} else {
		people, err := i.state.People(ctx)
		if err != nil {
			return err
		}
		s.people = make(map[string]session.Person, len(people))
		for _, p := range people {
			s.people[p.Name] = p
		}
		if s.set, err = i.activeSet(ctx, old, c.Policy); err != nil {
			return err
		}
	}
	approved, err := i.state.Holds(ctx, approval.Approved, 1000)
	if err != nil {
		return err
	}
	if len(approved) > 0 {
		s.permits = make(map[string]bool, len(approved))
		for _, h := range approved {
			s.permits[h.RetryKey] = true
		}
	}
	i.snapshot.Store(s)
	return nil
}

// activeSet gives the policy set of this version: the old snapshot's if it is
// the same, else the stored one, compiled.
func (i *Interlock) activeSet(ctx context.Context, old *snapshot, version signalbox.Digest) (*policy.Set, error) {
	if version.IsZero() {
		return nil, nil
	}
	if old != nil && old.set != nil && old.set.Version() == version {
		return old.set, nil
	}
	row, err := i.state.PolicySet(ctx, version)
	if err != nil {
		return nil, fmt.Errorf("policy set %s: %w", version.Short(), err)
	}
	set, err := loadRow(row)
	if err != nil {
		return nil, fmt.Errorf("policy set %s: %w", version.Short(), err)
	}
	if set.Version() != version {
		return nil, fmt.Errorf("policy set %s: its files hash to %s: the database was changed", version.Short(),
			set.Version().Short())
	}
	return set, nil
}

func loadRow(row PolicyRow) (*policy.Set, error) {
	var files []policy.File
	if err := json.Unmarshal(row.Files, &files); err != nil {
		return nil, err
	}
	return policy.Load(files)
}

// Control returns the control state as it was last read, at most a second ago.
func (i *Interlock) Control(ctx context.Context) (control.State, error) {
	c, err := i.current(ctx)
	if err != nil {
		return control.State{}, err
	}
	return c.State, nil
}
