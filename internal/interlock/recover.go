package interlock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// maintain renews the lease, settles what other processes have left open, ends
// holds whose time is over, and stores what is only in memory, until ctx ends.
func (i *Interlock) maintain(ctx context.Context) {
	lease := time.NewTicker(i.config.LeaseTime / 3)
	defer lease.Stop()
	tidy := time.NewTicker(time.Second)
	defer tidy.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-lease.C:
			err = errors.Join(
				i.guarded("lease", func() error { return i.renewLease(ctx) }),
				i.guarded("orphans", func() error { return i.settleOrphans(ctx, false) }))
		case <-tidy.C:
			err = errors.Join(
				i.guarded("memories", func() error { return i.flushMemories(ctx) }),
				i.guarded("storms", func() error { return i.floods.flush(ctx, i, false) }),
				i.guarded("holds", func() error { return i.expireHolds(ctx) }),
				i.guarded("policies", func() error { return i.redeemPolicies(ctx) }))
		}
		if err != nil && ctx.Err() == nil {
			i.log.Warn("housekeeping is behind: it will be tried again", "error", err)
		}
	}
}

// firstEpoch is the control epoch of a store in which nothing has happened.
const firstEpoch = 1

// begin records the first entry of a new log: whoever is first to move the
// epoch does.
func (i *Interlock) begin(ctx context.Context) error {
	c := i.snapshot.Load()
	if c.Epoch != firstEpoch {
		return nil
	}
	now := i.now()
	record, err := seal(now, newID(now), i.config.Start, nil)
	if err != nil {
		return err
	}
	_, err = i.ledger.Commit(ctx, ledger.Batch{Changes: i.state.RaiseEpoch(c.Epoch), Records: []ledger.Record{record}})
	if err != nil && !errors.Is(err, ledger.ErrStale) {
		return err
	}
	return i.readControl(ctx)
}

func (i *Interlock) renewLease(ctx context.Context) error {
	now := i.now()
	b := ledger.Batch{Changes: slices.Clone(i.state.Lease(i.config.Replica, now.Add(i.config.LeaseTime))), Vital: true}
	if !i.config.Alone {
		b.Changes = append(b.Changes, i.state.RequireSettings(i.config.Replica, i.settings().text(), now)...)
	}
	_, err := i.ledger.Commit(ctx, b)
	if errors.Is(err, ledger.ErrStale) {
		// We were away for longer than our lease, and somebody with other settings
		// has taken over.
		i.fenced.Store(true)
		return fmt.Errorf("another server of this database works by other settings: this one refuses everything, restart it: %w", err)
	}
	if err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	return nil
}

// settleOrphans gives every intent whose owner is gone the outcome unknown
// (promise P2). With everybody, the leases of all other processes count as
// ended.
func (i *Interlock) settleOrphans(ctx context.Context, everybody bool) error {
	const page = 100
	now := i.now()
	deadline := now
	if everybody {
		deadline = now.Add(365 * 24 * time.Hour) // every lease has ended by then
	}
	unknown := make(map[string]int64)
	for {
		orphans, err := i.state.Orphans(ctx, deadline, page)
		if err != nil {
			return fmt.Errorf("look for intents left open: %w", err)
		}
		settled := 0
		for _, o := range orphans {
			if o.Replica == i.config.Replica {
				continue
			}
			out := signalbox.Outcome{Result: signalbox.ResultUnknown, Code: "lease-ended", Rows: signalbox.CountUnknown,
				Detail: "the process that executed it is gone"}
			if err := i.conclude(ctx, o.ID, out); err != nil {
				return fmt.Errorf("settle intent %s: %w", o.ID, err)
			}
			unknown[o.Replica]++
			settled++
		}
		if settled == 0 {
			break
		}
	}
	for _, lost := range sortedKeys(unknown) {
		now := i.now()
		record, err := seal(now, newID(now), proof.Recovery{Replica: i.config.Replica, Lost: lost,
			Unknown: unknown[lost]}, nil)
		if err != nil {
			return err
		}
		if _, err := i.ledger.Commit(ctx, ledger.Batch{Records: []ledger.Record{record}, Vital: true}); err != nil {
			return fmt.Errorf("record recovery: %w", err)
		}
		i.log.Warn("intents left open became unknown", "replica", lost, "count", unknown[lost])
	}
	return nil
}

// expireHolds ends holds and permits whose time, or whose session's, is over: so
// that the log says so even if nobody asks again, and they do not count among
// their human's open holds.
func (i *Interlock) expireHolds(ctx context.Context) error {
	now := i.now()
	rows, err := i.state.Sessions(ctx, true, now)
	if err != nil {
		return fmt.Errorf("look for expired holds: sessions: %w", err)
	}
	live := make(map[signalbox.SessionID]bool, len(rows))
	for _, s := range rows {
		live[s.ID] = true
	}
	for _, status := range []approval.Status{approval.Open, approval.Approved} {
		holds, err := i.state.Holds(ctx, status, 1000)
		if err != nil {
			return fmt.Errorf("look for expired holds: %w", err)
		}
		for _, h := range holds {
			over := !live[h.Session] && h.Gate != proof.OwnGate // only that session could use it
			if now.Before(h.Expires) && !over {
				continue
			}
			if err := i.expireHold(ctx, h); err != nil && !errors.Is(err, ledger.ErrStale) {
				return err
			}
		}
	}
	return nil
}
