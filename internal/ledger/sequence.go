package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// groupBytes bounds what one transaction sends to the database.
const groupBytes = 8 << 20

// The states of a pending batch. Whoever moves it out of waiting decides
// whether it is carried out.
const (
	waiting int32 = iota
	taken
	abandoned
)

// pending is a batch on its way to the sequencer.
type pending struct {
	batch  Batch
	hashes []tlog.Hash // of the leaves, taken by the caller's goroutine
	weight int
	state  atomic.Int32
	done   chan answer // has room for the one answer
}

type answer struct {
	receipt Receipt
	err     error
}

// Commit carries out the batch as a whole or not at all, with whatever other
// callers want at the same time, in one durable transaction. When it returns
// without an error the changes are durable and the records stand under the
// receipt's signed checkpoint.
//
// It blocks while the queue is full. If ctx ends while the batch still waits,
// nothing is done and the error is ctx's; if it is being carried out already,
// the error is [ErrUnknown]. A caller that needs to know gives a context that
// is not cancelled with its client.
func (l *Log) Commit(ctx context.Context, b Batch) (Receipt, error) {
	if err := b.check(); err != nil {
		return Receipt{}, err
	}
	if err := l.Err(); err != nil {
		return Receipt{}, err
	}
	p := &pending{batch: b, weight: b.weight(), done: make(chan answer, 1)}
	for _, r := range b.Records {
		p.hashes = append(p.hashes, tlog.RecordHash(r.Leaf))
	}
	select {
	case l.queue <- p:
	case <-ctx.Done():
		return Receipt{}, fmt.Errorf("commit: waiting for the queue: %w", ctx.Err())
	case <-l.ctx.Done():
		return Receipt{}, ErrClosed
	}
	select {
	case a := <-p.done:
		return a.receipt, a.err
	case <-ctx.Done():
		if p.state.CompareAndSwap(waiting, abandoned) {
			return Receipt{}, fmt.Errorf("commit: %w", ctx.Err())
		}
		return Receipt{}, fmt.Errorf("commit: %w: %w", ctx.Err(), ErrUnknown)
	case <-l.ctx.Done():
		if p.state.CompareAndSwap(waiting, abandoned) {
			return Receipt{}, ErrClosed
		}
		a := <-p.done // taken: the sequencer answers before it ends
		return a.receipt, a.err
	}
}

// sequenceAll drains the queue until the log is closed. There is no timer: a
// group is what came in while the last one was being committed.
func (l *Log) sequenceAll() {
	defer l.stopped.Done()
	var carried *pending // did not fit into the last group
	for {
		first := carried
		carried = nil
		if first == nil {
			select {
			case first = <-l.queue:
			case <-l.ctx.Done():
				return
			}
		}
		if l.ctx.Err() != nil {
			return // first is still waiting: its caller takes it back
		}
		var group []*pending
		group, carried = l.gather(first)
		if len(group) > 0 {
			l.sequence(group)
		}
	}
}

// gather takes what waits in the queue, up to the limits of one transaction.
func (l *Log) gather(first *pending) (group []*pending, over *pending) {
	weight := 0
	yielded := false
	for p := first; ; {
		switch {
		case len(group) > 0 && weight+p.weight > groupBytes:
			return group, p
		case p.state.CompareAndSwap(waiting, taken):
			group = append(group, p)
			weight += p.weight
		}
		if len(group) == l.cfg.Group {
			return group, nil
		}
		select {
		case p = <-l.queue:
			yielded = false
			continue
		default:
		}
		if yielded {
			return group, nil
		}
		// The callers just answered are about to come back: letting them run
		// first makes one group of what would else be two.
		yielded = true
		runtime.Gosched()
		select {
		case p = <-l.queue:
		default:
			return group, nil
		}
	}
}

// sequence commits a group and answers each of its callers. When the disk is
// full, what is vital is tried again with the room that was held for it; when
// the clock is wrong, it is tried again without the rest.
func (l *Log) sequence(group []*pending) {
	for {
		if group = l.withRoom(group); len(group) == 0 {
			return
		}
		err := l.carryOut(group)
		switch {
		case err == nil:
			return
		case errors.Is(err, ErrFull) && l.useReserve(err):
		case errors.Is(err, ErrClock):
			group = vitalOnly(group, err) // something is not vital, so this ends
		default:
			l.stopIf(err)
			answerAll(group, err)
			return
		}
	}
}

// vitalOnly gives the vital batches of a group, and refuses the others.
func vitalOnly(group []*pending, err error) []*pending {
	vital := group[:0:0]
	for _, p := range group {
		if p.batch.Vital {
			vital = append(vital, p)
			continue
		}
		p.done <- answer{err: err}
	}
	return vital
}

func answerAll(group []*pending, err error) {
	for _, p := range group {
		p.done <- answer{err: err}
	}
}

// carryOut commits a group in one transaction and answers each of its callers.
// An error is that nothing was done, and nobody answered. It runs under the
// log's own time-out and no caller's context: one who gives up must not undo
// the others.
func (l *Log) carryOut(group []*pending) error {
	if err := l.broken.Load(); err != nil {
		return *err
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.Timeout)
	defer cancel()

	batches := make([]Batch, len(group))
	for i, p := range group {
		batches[i] = p.batch
	}
	before := l.cfg.Now()
	turn, err := l.cfg.Store.Begin(ctx, batches)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	defer turn.Rollback()

	head, answers, err := l.extend(turn, group, before)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if slices.ContainsFunc(answers, func(a answer) bool { return a.err == nil }) {
		if err := turn.Commit(ctx, head); err != nil {
			// Committed or not: from here only the database knows.
			turn.Rollback()
			err = l.settle(group, answers, err)
			if errors.Is(err, ErrFull) && !errors.Is(err, ErrUnknown) {
				return err
			}
			for i := range answers {
				if err != nil && answers[i].err == nil {
					answers[i] = answer{err: err}
				}
			}
		} else {
			l.last = head
			l.high.Store(head.Time.UnixMilli())
		}
	}
	for i, p := range group {
		p.done <- answers[i]
	}
	return nil
}

// extend appends the records of the batches that went through to the tree, and
// gives the new head and what each caller is told if it commits. before is what
// this machine's clock said before the turn began.
func (l *Log) extend(turn Turn, group []*pending, before time.Time) (Head, []answer, error) {
	h := turn.Head()
	if err := l.sound(h); err != nil {
		return h, nil, err
	}
	now := l.cfg.Now()
	wrong := l.wrongClock(h, turn.Clock(), before, now)
	if wrong != nil && slices.ContainsFunc(group, func(p *pending) bool { return !p.batch.Vital }) {
		return h, nil, wrong
	}
	t, err := growEdge(h.Size, h.Edge)
	if err != nil {
		return h, nil, err
	}
	answers := make([]answer, len(group))
	for i, p := range group {
		if answers[i].err = turn.Errs()[i]; answers[i].err != nil {
			continue
		}
		answers[i].receipt.Index = t.size
		for _, hash := range p.hashes {
			if err := t.add(hash); err != nil {
				return h, nil, err
			}
		}
	}
	next := Head{Size: t.size, Edge: h.Edge, Checkpoint: h.Checkpoint, Time: h.Time}
	if wrong == nil && now.After(next.Time) { // else vital: it goes with the head's time
		next.Time = time.UnixMilli(now.UnixMilli())
	}
	if next.Size > h.Size {
		if next.Checkpoint, err = t.sign(l.cfg.Key); err != nil {
			return h, nil, err
		}
		if next.Edge, err = t.edge(); err != nil {
			return h, nil, err
		}
	}
	for i := range answers {
		if answers[i].err == nil {
			answers[i].receipt.Size, answers[i].receipt.Checkpoint = next.Size, next.Checkpoint
		}
	}
	return next, answers, nil
}

// wrongClock reports why nothing but what is vital may be sealed by this
// machine's clock: it is behind the last commit, or ahead of the last commit
// and of the database. The time of a clock that is ahead would stand in the
// head, and every other replica would be behind it until that time has come.
//
// It notes how far the clock is ahead, for [Log.Now]. Before is taken before the
// database's clock was read, so that a transaction that took long is no reason.
func (l *Log) wrongClock(h Head, database, before, now time.Time) error {
	if behind := h.Time.Sub(now); behind > skew {
		return fmt.Errorf("%w: it says %s, the last commit was at %s: set the clock; or, if this clock is right and the last commit's was not, "+
			"start every server of the database once with --accept-clock, or wait %s",
			ErrClock, stamp(now), stamp(h.Time), behind.Round(time.Millisecond))
	}
	if ahead := before.Sub(database); !database.IsZero() && ahead > skew && before.Sub(h.Time) > skew {
		l.ahead.Store(ahead.Milliseconds())
		return fmt.Errorf("%w: it says %s, which is %s ahead of the database's, and later than the last commit: set whichever clock is wrong",
			ErrClock, stamp(before), ahead.Round(time.Millisecond))
	}
	l.ahead.Store(0)
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// sound refuses to build on a head row that is not ours: forged, or set back
// behind what this process has seen committed (an older copy restored, a
// failover that lost commits).
func (l *Log) sound(h Head) error {
	if h.Size == l.last.Size && bytes.Equal(h.Checkpoint, l.last.Checkpoint) && slices.Equal(h.Edge, l.last.Edge) {
		return nil
	}
	if h.Size < l.last.Size {
		return fmt.Errorf("head row went back from size %d to %d: %w", l.last.Size, h.Size, ErrTampered)
	}
	return l.cfg.Key.check(h)
}

// settle finds out what became of a commit whose answer was lost. It returns
// nil if it was committed, else the error for its callers: [ErrUnknown] only
// if the database cannot be asked for as long as Config.Resolve.
func (l *Log) settle(group []*pending, answers []answer, lost error) error {
	id, index := "", int64(0)
	for i, p := range group {
		if answers[i].err == nil && len(p.batch.Records) > 0 {
			id, index = p.batch.Records[0].ID, answers[i].receipt.Index
			break
		}
	}
	if id == "" { // nothing in the log to look for
		return fmt.Errorf("commit: %w: %w", lost, ErrUnknown)
	}
	l.cfg.Logger.Warn("answer to a commit was lost, asking the database what became of it", "error", lost)
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.Resolve)
	defer cancel()
	for {
		found, err := l.lookUp(ctx, id)
		switch {
		case err == nil && found == index:
			return nil
		case err == nil, errors.Is(err, ErrNotFound):
			return fmt.Errorf("commit: %w", lost)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("commit: %w: %w", lost, ErrUnknown)
		}
	}
}

// lookUp asks for a record while holding the head lock: only then is a lost
// transaction surely over, because it held that lock.
func (l *Log) lookUp(ctx context.Context, id string) (int64, error) {
	turn, err := l.cfg.Store.Begin(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer turn.Rollback()
	return l.cfg.Store.Find(ctx, id)
}
