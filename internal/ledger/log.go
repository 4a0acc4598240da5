package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// skew is how far this machine's clock may be behind the last commit's time, and
// how far ahead of it and of the database's clock. That it is the same keeps a
// clock that is let through from stopping another that is right.
const skew = 2 * time.Second

// Config says what a [Log] works with.
type Config struct {
	Store Store // rows of the log; required
	Shelf Shelf // the published row, commonly the same value; required
	Blobs Blobs // where the published form is kept; required
	Key   *Key  // signs checkpoints, and names the log; required

	// Reserve is room for vital batches on the database's disk. Default nil:
	// there is none, and a full disk refuses everything.
	Reserve *Reserve

	// Interval is how often committed entries are published when nobody
	// waits for it. Default one second.
	Interval time.Duration
	// Uploads is how many published files are written at once. Default 16.
	Uploads int
	// Queue is how many batches may wait before Commit blocks. Default 4096.
	Queue int
	// Group is how many batches one transaction may carry. Default 512.
	Group int
	// Timeout ends a transaction that got stuck. Default 10 seconds.
	Timeout time.Duration
	// Resolve is how long to ask the database what became of a lost commit,
	// before answering ErrUnknown. Default 15 seconds.
	Resolve time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// AcceptClock takes this machine's clock for right though the last commit
	// was later: the log's time goes back to it, once, at the start. It is the
	// way out after a clock that was ahead. Default false.
	AcceptClock bool
	// Alarm is told, once, when the log found its own rows or files tampered
	// with and stopped. Default: only logged.
	Alarm func(error)
	// Logger gets what operators must see. Default slog.Default().
	Logger *slog.Logger
}

// A Log is one process's way to the log. Replicas on one database each have
// their own. All methods may be called concurrently.
type Log struct {
	cfg Config

	queue   chan *pending
	ctx     context.Context // ends when the log is closed; its cancel is beside it
	cancel  context.CancelFunc
	stopped sync.WaitGroup // sequencer and publisher

	broken atomic.Pointer[error] // set once: the log is tampered with
	high   atomic.Int64          // highest commit time seen, Unix milliseconds
	ahead  atomic.Int64          // how far this clock is known to be ahead, in milliseconds

	// Owned by the sequencer.
	last  Head      // the head it knows to be sound
	full  bool      // the disk was full, and the reserve is not held
	tried time.Time // to hold it, last

	publish sync.Mutex    // held while a publishing step runs
	wake    chan struct{} // asks the publisher for a step at once

	mu    sync.Mutex
	shown torchwood.Checkpoint // what Blobs hold, verified
	note  []byte               // its signed text
	moved chan struct{}        // closed and replaced when shown advances
}

// Open checks the whole log in the store against its signed checkpoints, and
// the published files against both, then starts to sequence and publish. It
// refuses a log of another origin or key with [ErrForeign] and one whose rows
// are not those that were signed with [ErrTampered]. On an empty store it
// begins a log.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.Store == nil || cfg.Shelf == nil || cfg.Blobs == nil || cfg.Key == nil {
		return nil, errors.New("open log: store, shelf, blobs and key are required")
	}
	setDefault(&cfg.Interval, time.Second)
	setDefault(&cfg.Uploads, 16)
	setDefault(&cfg.Queue, 4096)
	setDefault(&cfg.Group, 512)
	setDefault(&cfg.Timeout, 10*time.Second)
	setDefault(&cfg.Resolve, 15*time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	l := &Log{
		cfg:   cfg,
		queue: make(chan *pending, cfg.Queue),
		wake:  make(chan struct{}, 1),
		moved: make(chan struct{}),
	}
	if err := l.begin(ctx); err != nil {
		return nil, fmt.Errorf("open log %q: %w", cfg.Key.Origin(), err)
	}
	if err := l.startUp(ctx); err != nil {
		return nil, fmt.Errorf("open log %q: %w", cfg.Key.Origin(), err)
	}
	l.holdReserve()
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.stopped.Add(2)
	go l.sequenceAll()
	go l.publishAll()
	return l, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// begin signs the empty tree if the store has never held a log.
func (l *Log) begin(ctx context.Context) error {
	h, err := l.cfg.Store.Head(ctx)
	if err != nil || len(h.Checkpoint) > 0 || h.Size > 0 {
		return err
	}
	turn, err := l.cfg.Store.Begin(ctx, nil)
	if err != nil {
		return err
	}
	defer turn.Rollback()
	if h = turn.Head(); len(h.Checkpoint) > 0 || h.Size > 0 {
		return nil // another replica was first
	}
	if h.Checkpoint, err = grow(0, nil).sign(l.cfg.Key); err != nil {
		return err
	}
	h.Time = l.cfg.Now()
	if err := l.wrongClock(Head{}, turn.Clock(), h.Time, h.Time); err != nil {
		return err
	}
	return turn.Commit(ctx, h)
}

// acceptClock takes the head's time back to this machine's clock, after another
// that was ahead. Entries keep the times that they were given.
func (l *Log) acceptClock(ctx context.Context, h Head) (Head, error) {
	if !l.cfg.AcceptClock || h.Time.Sub(l.cfg.Now()) <= skew {
		return h, nil
	}
	turn, err := l.cfg.Store.Begin(ctx, nil)
	if err != nil {
		return h, err
	}
	defer turn.Rollback()
	now, was := l.cfg.Now(), turn.Head()
	if was.Size != h.Size {
		return h, errors.New("accept the clock: another server writes to the log: stop all of them first")
	}
	if database := turn.Clock(); !database.IsZero() && now.Sub(database).Abs() > skew {
		return h, fmt.Errorf("%w: accept the clock: it says %s, the database's %s: set whichever is wrong", ErrClock,
			stamp(now), stamp(database))
	}
	l.cfg.Logger.Warn("the log's time goes back to this machine's clock, as was asked for", "from", stamp(was.Time),
		"to", stamp(now))
	h.Time = time.UnixMilli(now.UnixMilli())
	if err := turn.Commit(ctx, h); err != nil {
		return h, fmt.Errorf("accept the clock: %w", err)
	}
	return h, nil
}

// startUp compares everything that was ever signed and is known here with the
// rows: the head, the published row, the published files.
func (l *Log) startUp(ctx context.Context) error {
	// Read in the order files, published, head: each may only be behind the
	// next one, though other replicas go on working.
	shown, note, err := l.readShown()
	if err != nil {
		return err
	}
	published, err := l.cfg.Shelf.Published(ctx)
	if err != nil {
		return err
	}
	head, err := l.cfg.Store.Head(ctx)
	if err != nil {
		return err
	}
	if err := l.cfg.Key.check(head); err != nil {
		return err
	}
	top, err := l.cfg.Key.open(head.Checkpoint)
	if err != nil {
		return err
	}
	signed := []torchwood.Checkpoint{top, shown}
	if len(published.Checkpoint) > 0 {
		p, err := l.cfg.Key.open(published.Checkpoint)
		if err != nil {
			return fmt.Errorf("published row: %w", err)
		}
		if p.N != published.Size || p.N > head.Size {
			return fmt.Errorf("published row says size %d, its checkpoint %d, the head %d: was an older copy of the database restored? %w", published.Size, p.N, head.Size, ErrTampered)
		}
		signed = append(signed, p)
	}
	if shown.N > head.Size {
		return fmt.Errorf("published files show size %d, the database holds %d: was an older copy of the database restored? %w", shown.N, head.Size, ErrTampered)
	}
	if err := verify(ctx, l.cfg.Store, head, signed...); err != nil {
		return err
	}
	if head, err = l.acceptClock(ctx, head); err != nil {
		return err
	}
	l.last, l.shown, l.note = head, shown, note
	l.high.Store(head.Time.UnixMilli())
	return nil
}

// Close stops the sequencer and the publisher and returns when both have
// ended. Batches not yet taken up are answered with [ErrClosed]; one that is
// being committed is finished. It may be called twice.
func (l *Log) Close() {
	l.cancel()
	l.stopped.Wait()
}

// Err says why the log refuses all work, or nil: ready for a health check.
func (l *Log) Err() error {
	if p := l.broken.Load(); p != nil {
		return *p
	}
	if l.ctx.Err() != nil {
		return ErrClosed
	}
	return nil
}

// stop makes the log refuse all work from now on, if err says tampered.
func (l *Log) stopIf(err error) {
	if !errors.Is(err, ErrTampered) && !errors.Is(err, ErrForeign) {
		return
	}
	if l.broken.CompareAndSwap(nil, &err) {
		l.cfg.Logger.Error("ALARM: the log is not what was signed; refusing all work until a person has looked",
			"error", err)
		if l.cfg.Alarm != nil {
			l.cfg.Alarm(err)
		}
	}
}

// Now is the time to write into entries: this machine's clock, put right by as
// much as it was ahead of the database's at the last commit, but never before
// the last commit that it knows of, in whole milliseconds.
func (l *Log) Now() time.Time {
	return time.UnixMilli(max(l.cfg.Now().UnixMilli()-l.ahead.Load(), l.high.Load())).UTC()
}

// Waiting is how many batches wait to be taken up, for metrics.
func (l *Log) Waiting() int { return len(l.queue) }

// Verifier is the log's public key, to verify checkpoints with.
func (l *Log) Verifier() string { return l.cfg.Key.Verifier() }

// Head gives the size of the log and its newest signed checkpoint, published
// or not.
func (l *Log) Head(ctx context.Context) (size int64, checkpoint []byte, err error) {
	h, err := l.cfg.Store.Head(ctx)
	return h.Size, h.Checkpoint, err
}

// Entry reads one committed entry, or [ErrNotFound].
func (l *Log) Entry(ctx context.Context, idx int64) (Row, error) {
	row := Row{Index: -1}
	err := l.cfg.Store.Rows(ctx, idx, idx+1, func(r Row) error { row = r; return nil })
	if err == nil && row.Index != idx {
		err = ErrNotFound
	}
	if err != nil {
		return Row{}, fmt.Errorf("entry %d: %w", idx, err)
	}
	return row, nil
}

// Entries calls yield with the committed entries from ≤ index < to, in order.
func (l *Log) Entries(ctx context.Context, from, to int64, yield func(Row) error) error {
	return l.cfg.Store.Rows(ctx, from, to, yield)
}

// Find gives the index of the record with this id, or [ErrNotFound].
func (l *Log) Find(ctx context.Context, id string) (int64, error) {
	return l.cfg.Store.Find(ctx, id)
}

// Disclose reads what opens the hidden fields of entry idx, or [ErrErased].
// Who may see it is the caller's to decide.
func (l *Log) Disclose(ctx context.Context, idx int64) (key, payload []byte, err error) {
	return l.cfg.Store.Secret(ctx, idx)
}

// Proof gives a c2sp.org/tlog-proof that entry idx stands under the latest
// published checkpoint. Use [Log.Wait] first for an entry just committed.
func (l *Log) Proof(ctx context.Context, idx int64) ([]byte, error) {
	for {
		l.mu.Lock()
		shown, note := l.shown, l.note
		l.mu.Unlock()
		if idx < 0 || idx >= shown.N {
			return nil, fmt.Errorf("proof of entry %d: %d are published: %w", idx, shown.N, ErrNotFound)
		}
		hashes, err := l.publishedHashes(ctx, shown.Tree)
		if err != nil {
			return nil, err
		}
		p, err := tlog.ProveRecord(shown.N, idx, hashes)
		if err == nil {
			return torchwood.FormatProof(idx, p, note), nil
		}
		if now, _ := l.Published(); now == shown.N {
			return nil, fmt.Errorf("proof of entry %d: %w", idx, err)
		}
		// More was published meanwhile, and the partial tiles of this tree
		// were removed: prove it in the newer one.
	}
}
