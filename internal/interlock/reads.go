package interlock

import (
	"context"
	"fmt"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// Reads records summaries of reads that were admitted and forwarded: all or
// none, and durable when Reads returns. The session, actor and place in them are
// the gate's to fill in. What was read before a write takes place can travel
// with the write's intent instead, see [Interlock.Execute].
func (i *Interlock) Reads(ctx context.Context, sums []proof.Reads) error {
	records, err := readsRecords(sums, i.now())
	if err != nil {
		return err
	}
	if _, err := i.ledger.Commit(ctx, ledger.Batch{Records: records}); err != nil {
		return fmt.Errorf("record reads: %w", err)
	}
	return nil
}

// ReadEach records one admitted read before its answer is released: it is
// durable when ReadEach returns. rows is how many it answered, -1 if that is
// not known yet.
func (i *Interlock) ReadEach(ctx context.Context, a *Admission, rows int64) error {
	r, now := a.request, i.now()
	hidden := hideRequest(r)
	body := proof.Read{
		Session: r.Session.ID, Actor: r.Session.Actor,
		Gate: r.Gate.Name, Target: r.Gate.Target, Environment: r.Gate.Environment,
		Actions: clearActions(r.Actions, hidden), Verdict: proof.ClearVerdict(a.verdict),
		Rows: rows,
	}
	if a.policy != nil {
		body.Policy = a.policy.Version()
	}
	if !r.Canonical.IsZero() {
		body.Digest = commitRequest("signalbox/read/1", r, hidden)
	}
	record, err := seal(now, newID(now), body, hidden)
	if err != nil {
		return err
	}
	if _, err := i.ledger.Commit(ctx, ledger.Batch{Records: []ledger.Record{record}}); err != nil {
		return fmt.Errorf("%w: record a read: %w", ErrUnavailable, err)
	}
	return nil
}
