// Package interlock decides what happens to an action, and sees that nothing
// happens that was not decided and recorded.
//
// The one thing to know: [Interlock.Do] is the whole system in one function.
// Every gate calls it, or its two halves [Interlock.Admit] and
// [Interlock.Execute] where the protocol has transactions of its own. A gate
// knows its protocol and nothing else; control, policy, approval and session are
// values and rules without I/O; the ledger makes it durable.
package interlock

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// A Ledger commits batches: durable, signed, all or nothing. [*ledger.Log] is
// the one in use.
type Ledger interface {
	// Commit is as [ledger.Log.Commit]: [ledger.ErrStale] says that a
	// condition did not hold and nothing was done.
	Commit(ctx context.Context, b ledger.Batch) (ledger.Receipt, error)
}

// Config says what an Interlock works with.
type Config struct {
	State  State
	Ledger Ledger
	Minter *session.Minter
	// ReplaceMaster accepts Minter's key in place of the one which the state
	// was begun with. All credentials of that one are worthless then. Default
	// false: refuse with [ErrForeignMaster].
	ReplaceMaster bool
	// Now is the clock. Default [time.Now].
	Now func() time.Time
	// Logger gets what people who run Signalbox must know. Default: discards.
	Logger *slog.Logger
	// Replica names this process among those that share the state; it must be
	// new at each start.
	Replica string
	// Start is the first entry of a new log. Required.
	Start proof.Start
	// Alone says that no other process can share the state, so that intents
	// left open by an earlier one are settled at once on start.
	Alone bool
	// AllowLiveAgents lets a human approve in production while an agent
	// session acts for him. Default false.
	AllowLiveAgents bool
	// PolicyGate says that a production gate is configured: changed policies
	// are then proposals that need approval. Default false.
	PolicyGate bool
	// Gates are the gates of this process, as its settings entry shows them.
	Gates []proof.GateSetting
	// LowerProtection accepts settings that protect production less than those
	// recorded, while no other replica lives. Default false: refuse with
	// [ErrSettings].
	LowerProtection bool
	// HoldTime is how long a hold waits for answers. Default [DefaultHoldTime].
	HoldTime time.Duration
	// PermitTime is how long an approval stays good where the policy does not
	// say. Default [DefaultPermitTime].
	PermitTime time.Duration
	// MaxOpenHolds caps the open holds of one human. Default [DefaultOpenHolds].
	MaxOpenHolds int
	// Panicked is told where a defect of our own was caught, for metrics. Default:
	// nobody.
	Panicked func(where string)
	// LeaseTime is how long an intent may stay without outcome after its
	// process was last heard of. Default 15 seconds.
	LeaseTime time.Duration
}

// Defaults of a [Config], which the configuration file's are too.
const (
	DefaultHoldTime   = 24 * time.Hour
	DefaultPermitTime = 15 * time.Minute
	DefaultOpenHolds  = 20
)

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Panicked == nil {
		c.Panicked = func(string) {}
	}
	if c.HoldTime <= 0 {
		c.HoldTime = DefaultHoldTime
	}
	if c.PermitTime <= 0 {
		c.PermitTime = DefaultPermitTime
	}
	if c.MaxOpenHolds <= 0 {
		c.MaxOpenHolds = DefaultOpenHolds
	}
	if c.LeaseTime <= 0 {
		c.LeaseTime = 15 * time.Second
	}
	return c
}

// An Interlock is safe for concurrent use. Close it when done.
type Interlock struct {
	config   Config // with its defaults
	state    State
	ledger   Ledger
	minter   *session.Minter
	now      func() time.Time
	log      *slog.Logger
	retryKey []byte // keys approval.Hold.RetryKey

	snapshot atomic.Pointer[snapshot] // see snapshot.go
	refresh  chan chan error          // asks the watcher for a fresh snapshot

	memories memories      // see memory.go
	watches  watches       // see watch.go
	floods   floods        // see flood.go
	repeats  repeatedReads // see repeat.go

	replaced bool        // see MasterReplaced
	fenced   atomic.Bool // another replica works by other settings: see renewLease

	cancel   context.CancelFunc // ends the loops
	loops    sync.WaitGroup     // watch and maintain
	outcomes coalescer          // of outcomes that nobody waits for
	pending  sync.WaitGroup     // outcomes being recorded
	giveUp   chan struct{}      // closed when outcomes must not be tried again
	closed   sync.Once
}

// ErrForeignMaster is returned by [New] for a master key that is not the one
// which the state was begun with.
var ErrForeignMaster = errors.New("the master key is not the one that this database was begun with")

// New starts an Interlock: it refuses a foreign master key, reads the control
// state, settles what an earlier process left open, takes its lease and keeps
// watching. It does not load policies: call [Interlock.LoadPolicy] before the
// first request; until then everything is refused.
func New(ctx context.Context, c Config) (*Interlock, error) {
	c = c.withDefaults()
	if c.State == nil || c.Ledger == nil || c.Minter == nil || c.Replica == "" || c.Start.Origin == "" {
		return nil, errors.New("interlock needs State, Ledger, Minter, Replica and Start")
	}
	i := &Interlock{
		config:   c,
		state:    c.State,
		ledger:   c.Ledger,
		minter:   c.Minter,
		now:      c.Now,
		log:      c.Logger,
		retryKey: c.Minter.Derive("retry key"),
		refresh:  make(chan chan error),
		giveUp:   make(chan struct{}),
	}
	i.memories.init()
	i.watches.init()
	i.floods.init()
	i.repeats.init()
	if err := i.checkMaster(ctx); err != nil {
		return nil, err
	}
	if err := i.readControl(ctx); err != nil {
		return nil, fmt.Errorf("read control state: %w", err)
	}
	if err := i.begin(ctx); err != nil {
		return nil, fmt.Errorf("begin the log: %w", err)
	}
	if err := i.register(ctx); err != nil {
		return nil, fmt.Errorf("take lease: %w", err)
	}
	if err := i.settleOrphans(ctx, c.Alone); err != nil {
		return nil, fmt.Errorf("settle intents left open: %w", err)
	}
	loop, cancel := context.WithCancel(context.WithoutCancel(ctx))
	i.cancel = cancel
	i.loops.Go(func() { i.watch(loop) })
	i.loops.Go(func() { i.maintain(loop) })
	return i, nil
}

// MasterReplaced reports whether [Config.ReplaceMaster] was needed. Then nobody
// has a credential, and [Interlock.Bootstrap] enrols whoever proves a one-time code.
func (i *Interlock) MasterReplaced() bool { return i.replaced }

// checkMaster refuses a master key other than that of the first start, or of
// another replica. What it mints would be worthless there, and the other way
// round, and a retry would not be known as one.
func (i *Interlock) checkMaster(ctx context.Context) error {
	own := i.minter.Derive("master key check")
	kept, err := i.state.KeepMaster(ctx, nil, own)
	if err == nil && !hmac.Equal(kept, own) && i.config.ReplaceMaster {
		i.replaced = true
		kept, err = i.state.KeepMaster(ctx, kept, own)
	}
	if err != nil {
		return err
	}
	if !hmac.Equal(kept, own) {
		return ErrForeignMaster
	}
	return nil
}

// closeGrace is how long Close keeps trying to record outcomes.
const closeGrace = 10 * time.Second

// Close records what outcomes it still can, for ten seconds at most, then
// stops. It may be called twice. Intents left without outcome become unknown
// when the lease ends. Gates must have stopped before.
func (i *Interlock) Close() error {
	var err error
	i.closed.Do(func() {
		patience := time.AfterFunc(closeGrace, func() { close(i.giveUp) })
		i.pending.Wait()
		if patience.Stop() {
			close(i.giveUp)
		}
		i.cancel()
		i.loops.Wait()
		ctx, done := context.WithTimeout(context.Background(), closeGrace)
		defer done()
		err = errors.Join(i.floods.flush(ctx, i, true), i.flushMemories(ctx))
		if !i.fenced.Load() {
			// Its successor need not wait for the lease to end.
			_, lerr := i.ledger.Commit(ctx, ledger.Batch{Changes: i.state.Lease(i.config.Replica, i.now()),
				Vital: true})
			if lerr != nil {
				i.log.Warn("the lease was not given back, and ends by itself", "error", lerr)
			}
		}
	})
	return err
}

// closing waits d, and reports true if Close has given up meanwhile.
func (i *Interlock) closing(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-i.giveUp:
		return true
	case <-timer.C:
		return false
	}
}

// Do is the life of an action, from a decoded request to a recorded outcome.
//
// It returns the outcome with a nil error for what was executed, whether done
// or failed at the target. Otherwise nothing was executed, and the error is a
// [*HeldError], a [*DeniedError], or wraps [ErrUnavailable]; or an
// [*UnknownError], and then nobody knows.
func (i *Interlock) Do(ctx context.Context, r Request, x Executor) (signalbox.Outcome, error) {
	until := i.now().Add(r.Waits(i.now()))
	for try := 0; ; try++ {
		// What would it touch, what does policy say, is there a permit?
		a, err := i.admit(ctx, r, x)
		if held := (*HeldError)(nil); errors.As(err, &held) && i.now().Before(until) {
			// The client waits with us: perhaps people answer in time. If not, err
			// stands. Answered, it is decided again: what is no longer what was
			// approved is held once more, and waits for what is left of the time.
			if err = i.waited(ctx, until.Sub(i.now()), held); err == nil {
				try = -1
				continue
			}
		}
		if err != nil {
			return signalbox.Outcome{}, err
		}
		// Record the intent, execute, record the outcome.
		out, err := i.execute(ctx, []*Admission{a}, x)
		if !errors.Is(err, errAgain) {
			return out, err
		}
		// The world changed between decision and record: decide again, but not
		// for ever.
		if try == maxTries {
			return signalbox.Outcome{}, fmt.Errorf("%w: its state kept changing, try again", ErrUnavailable)
		}
	}
}

// An Admission says that a request may go on. It is not yet recorded: that is
// what [Interlock.Execute] does, and until then effects must be provisional.
type Admission struct {
	request      Request
	x            Executor
	verdict      signalbox.Verdict
	epoch        int64          // control epoch that was decided under
	policy       *policy.Set    // that decided
	hold         *approval.Hold // approved, not yet redeemed; nil if none was needed
	breakGlassID string         // of the window that let it through, or ""
	notable      bool
	limited      bool
}

// Read reports whether the request only reads: there is nothing to carry out,
// the gate forwards it and accounts for it by [Interlock.Reads].
func (a *Admission) Read() bool {
	for _, action := range a.request.Actions {
		if action.Verb != signalbox.Read {
			return false
		}
	}
	return true
}

// Verdict is what was decided: allow, whatever people had to say to it.
func (a *Admission) Verdict() signalbox.Verdict { return a.verdict }

// Limited reports whether touched rows must be measured and given to
// [Permit.Spend] before the effects are made final.
func (a *Admission) Limited() bool { return a.limited }

// Hold is the id of the approved hold behind the admission, or "".
func (a *Admission) Hold() string {
	if a.hold == nil {
		return ""
	}
	return a.hold.ID
}

// Admit decides one request and opens a hold where the verdict says so. With a
// nil error the request may go on, provisionally until [Interlock.Execute]. It
// never waits for approvals. Errors are as for [Interlock.Do].
func (i *Interlock) Admit(ctx context.Context, r Request, x Executor) (*Admission, error) {
	return i.admit(ctx, r, x)
}

// Recheck looks whether what an admission was approved for is still so, by what
// the gate found when it looked again in the transaction that will act. If not,
// the permit is dead and the admission void: admit the request anew, which opens
// another hold. An admission without an approval stands.
func (i *Interlock) Recheck(ctx context.Context, a *Admission, now signalbox.Impact,
	state signalbox.State) (bool, error) {
	if a.hold == nil {
		return true, nil
	}
	reason, detail := differs(*a.hold, now, state)
	if reason == "" {
		return true, nil
	}
	i.Abandon([]*Admission{a})
	if err := i.endPermit(ctx, *a.hold, reason, detail); err != nil && !errors.Is(err, ledger.ErrStale) {
		return false, err
	}
	return false, nil // when stale, the permit was ended or used by somebody else
}

// Execute records one intent for all the admissions, redeeming their permits in
// the same transaction, has x execute it, and records the outcome. When what
// was admitted is no longer so, nothing is executed and the error is a
// [*DeniedError]: provisional effects must be undone. Errors are as for
// [Interlock.Do].
func (i *Interlock) Execute(ctx context.Context, as []*Admission, x Executor) (signalbox.Outcome, error) {
	out, err := i.execute(ctx, as, x)
	if errors.Is(err, errAgain) {
		return out, &DeniedError{Verdict: signalbox.Verdict{
			Decision: signalbox.Deny,
			Policies: []string{"check-and-use"},
			Reason:   "an approval, a policy, a halt or a freeze changed while the transaction was open: nothing was committed, run it again",
		}}
	}
	return out, err
}

// Abandon says that admitted requests were rolled back before they were
// carried out.
func (i *Interlock) Abandon(as []*Admission) {
	for _, a := range as {
		if a.notable {
			i.memories.forget(a.request) // what it was told of them did not happen
		}
	}
}

// waited waits for people's answer to a hold, at most d. With a nil error the
// request is worth deciding again; otherwise the error is the client's answer.
func (i *Interlock) waited(ctx context.Context, d time.Duration, held *HeldError) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	h, err := i.AwaitHold(ctx, held.Hold.ID)
	switch {
	case err != nil || h.Status == approval.Open:
		return held // nobody has answered yet
	case h.Status == approval.Approved || h.Status == approval.Refused:
		return nil // a refusal is decided, and recorded, like all others
	}
	// Sent again it would only ask people again, for what was just taken back or
	// has had its time.
	v := control.Deny("hold", "its hold %s is %s", h.ID, h.Status)
	if h.Why != "" {
		v.Reason += ": " + h.Why
	}
	return &DeniedError{Verdict: v}
}

// AwaitHold waits until the hold is no longer open or ctx ends. The hold is
// given in both cases, with ctx's error in the second.
func (i *Interlock) AwaitHold(ctx context.Context, id string) (approval.Hold, error) {
	for {
		changed := i.watches.next()
		h, err := i.state.Hold(ctx, id)
		if err != nil || h.Status != approval.Open {
			return h, err
		}
		if !i.now().Before(h.Expires) {
			h.Status = approval.Expired
			return h, nil
		}
		timer := time.NewTimer(h.Expires.Sub(i.now()))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return h, ctx.Err()
		}
		timer.Stop()
	}
}
