package pgwire

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// Limits bound how long clients may keep what others wait for: locks, the server's
// connections, its time. Zero values get the defaults.
type Limits struct {
	// Statement is how long a statement of an agent's may run. Default 10 minutes.
	Statement time.Duration `yaml:"statement"`
	// Lock is how long it may wait for a lock, and keep those waiting who come
	// behind it. Default 10 seconds.
	Lock time.Duration `yaml:"lock"`
	// IdleInTransaction is how long an agent may leave a transaction open without
	// sending anything. Default 10 seconds, which is below the time after which a
	// process of Signalbox that does not speak is taken for dead.
	IdleInTransaction time.Duration `yaml:"idle_in_transaction"`
	// Transaction is how long a transaction of an agent's may take altogether.
	// Default 15 minutes.
	Transaction time.Duration `yaml:"transaction"`
	// Stalled is how long any client may take nothing of an answer. Default 5
	// minutes.
	Stalled time.Duration `yaml:"stalled"`
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		of *time.Duration
		is time.Duration
	}{
		{&l.Statement, 10 * time.Minute}, {&l.Lock, 10 * time.Second}, {&l.IdleInTransaction, 10 * time.Second},
		{&l.Transaction, 15 * time.Minute}, {&l.Stalled, 5 * time.Minute},
	} {
		if *d.of <= 0 {
			*d.of = d.is
		}
	}
	return l
}

// settings are what of the limits the server itself keeps. An agent may set them
// otherwise, as pg_dump does: the gate keeps to them all the same, see bound.
func (l Limits) settings() []setting {
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	return []setting{
		{"statement_timeout", ms(l.Statement)}, {"lock_timeout", ms(l.Lock)},
		{"idle_in_transaction_session_timeout", ms(l.IdleInTransaction)},
	}
}

// What else is bounded, for everybody.
const (
	// maxActs is how many statements one request may have: each stands in its intent.
	maxActs = 2000
	// maxAdmitted is how many requests that change something a transaction may
	// have.
	maxAdmitted = 10_000
	// maxPrepared and maxPreparedText are how many statements a connection may keep
	// prepared, and how many bytes of text: the server keeps a multiple in memory.
	maxPrepared     = 5000
	maxPreparedText = 8 << 20
	// maxAdvisory is how many advisory locks a connection may hold. The server has
	// room for some thousands of locks, for everybody.
	maxAdvisory = 100
	// maxChannels is how many channels a connection may listen to.
	maxChannels = 100
)

// overLimit refuses what is beyond a limit, which it names, with the way out.
func overLimit(code string, limit any, what, way string) *refusal {
	return &refusal{code: code, message: fmt.Sprintf("%s: the limit is %v", what, limit), hint: way}
}

// room refuses what a connection has no room for any more.
func (c *conn) room(j *classified) error {
	if j.writes && len(c.tx.admissions) >= maxAdmitted {
		return overLimit("54000", maxAdmitted, "this transaction has as many changes as one may have", "COMMIT in between.")
	}
	if len(j.Statements) > maxActs || j.Err != "" && strings.Count(j.Literals[0], ";") > maxActs {
		return overLimit("54000", maxActs, "there are too many statements in one text", "Send them in several.")
	}
	if j.Err != "" && len(j.Literals[0]) > sql.MaxText {
		return overLimit("54000", fmt.Sprint(sql.MaxText, " bytes"), "this text is longer than what can be judged",
			"Send it in several texts, or rows with COPY.")
	}
	locks := 0
	for _, s := range j.Statements {
		for _, in := range s.Chain() {
			locks += in.Locks
		}
		switch s.Kind {
		case sql.KindListen:
			if len(c.channels) >= maxChannels && !c.channels[s.Name] {
				return overLimit("53400", maxChannels, "this connection listens to as many channels as one may", "UNLISTEN some.")
			}
		case sql.KindPrepare:
			if err := c.roomToPrepare(len(s.Text)); err != nil {
				return err
			}
		}
	}
	return c.roomToLock(locks)
}

// roomToLock refuses advisory locks beyond those that a connection may hold. They are
// counted as they are called for; what was given back meanwhile, the server knows.
func (c *conn) roomToLock(locks int) error {
	if locks == 0 {
		return nil
	}
	if c.advisory+locks > maxAdvisory && c.phase() != implicit && c.server.status != 'E' {
		answers, err := c.server.ask(advisorySQL)
		if err != nil {
			return err
		}
		c.advisory = int(number(answers[0].rows[0][0]))
	}
	if c.advisory += locks; c.advisory > maxAdvisory {
		c.advisory -= locks
		return overLimit("53400", maxAdvisory, "this connection holds as many advisory locks as one may", "Give some back, or all with pg_advisory_unlock_all().")
	}
	return nil
}

// advisorySQL counts the advisory locks of this connection.
const advisorySQL = `SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks
 WHERE locktype OPERATOR(pg_catalog.=) 'advisory' AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()`

// roomToPrepare refuses to prepare a text that would be one too many.
func (c *conn) roomToPrepare(size int) error {
	names, bytes := c.server.prepared.Size()
	const way = "DEALLOCATE what is not in use, or Close it in the extended protocol."
	switch {
	case names >= maxPrepared:
		return overLimit("53400", maxPrepared, "this connection has as many prepared statements as one may have", way)
	case bytes+size > maxPreparedText:
		return overLimit("53400", fmt.Sprint(maxPreparedText, " bytes"),
			"the prepared statements of this connection are longer than they may be together", way)
	}
	return nil
}

// bound ends or cancels what has kept others waiting for too long. Called by
// Gate.attendIdle alone.
func (c *conn) bound(now time.Time) {
	l := &c.g.Limits
	if writes := c.client.out.writes.Load(); writes%2 == 1 { // one has begun and not ended
		if writes != c.stuck {
			c.stuck, c.stuckSince = writes, now
		} else if now.Sub(c.stuckSince) > l.Stalled {
			c.cut(overLimit("57P05", l.Stalled, "the client takes nothing of its answer", "Read it, or fetch it in parts."))
			return
		}
	}
	if !c.agent() {
		return
	}
	since := func(at int64) time.Duration { return now.Sub(time.Unix(0, at)) }
	if began := c.began.Load(); began != 0 {
		switch idles := c.state.Load() != busy; {
		case since(began) > l.Transaction:
			c.cut(overLimit("25P04", l.Transaction, "the transaction takes longer than an agent's may", "Do it in smaller parts."))
			return
		case idles && since(c.idles.Load()) > l.IdleInTransaction+time.Second:
			c.cut(overLimit("25P03", l.IdleInTransaction, "a transaction of an agent's is open, and nothing comes",
				"Send its statements without pauses."))
			return
		}
	}
	if runs := c.runs.Load(); runs != 0 && since(runs) > l.Statement+time.Second && c.runs.CompareAndSwap(runs, 0) {
		c.log.Warn("a statement runs longer than an agent's may: cancelled", "limit", l.Statement)
		c.g.wg.Go(func() { _ = c.g.guarded("cancel", func() error { c.cancelRunning(); return nil }) })
	}
}

// upstreams counts the connections to the server, of which it has so many for
// everybody: a gate takes three quarters at most, and one session half of these.
type upstreams struct {
	mu     sync.Mutex
	limit  int // 0: not known yet
	asked  time.Time
	all    int
	bySess map[signalbox.SessionID]int
}

// limitsSQL asks for how many connections the server has for the gate's role.
const limitsSQL = `SELECT pg_catalog.current_setting('max_connections'), pg_catalog.current_setting('superuser_reserved_connections'),
 COALESCE(pg_catalog.current_setting('reserved_connections', true), '0'),
 (SELECT rolconnlimit FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user),
 (SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())`

// take counts one in, if there is room.
func (u *upstreams) take(id signalbox.SessionID) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.limit > 0 {
		switch share := max(1, u.limit/2); {
		case u.all >= u.limit:
			return overLimit("53300", u.limit, "this gate has as many connections to the server as it takes of the server's max_connections",
				"Close connections that are not in use, or try again.")
		case u.bySess[id] >= share:
			return overLimit("53300", share, "this session has as many connections to the server as one session takes",
				"Close connections that are not in use.")
		}
	}
	u.all++
	if u.bySess == nil {
		u.bySess = make(map[signalbox.SessionID]int)
	}
	u.bySess[id]++
	return nil
}

// give counts one out.
func (u *upstreams) give(id signalbox.SessionID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all--
	if u.bySess[id]--; u.bySess[id] <= 0 {
		delete(u.bySess, id)
	}
}

// learn asks a server for its limit, if nobody has for a minute. Without an answer
// the limit stays as it is.
func (u *upstreams) learn(ctx context.Context, b *backend) error {
	u.mu.Lock()
	due := time.Since(u.asked) > time.Minute
	if due {
		u.asked = time.Now()
	}
	u.mu.Unlock()
	if !due {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		b.conn.SetDeadline(deadline)
		defer b.conn.SetDeadline(time.Time{})
	}
	answers, err := b.try(limitsSQL)
	if err != nil || answers[0].failed != nil || len(answers[0].rows) != 1 {
		return err
	}
	row := answers[0].rows[0]
	usable := number(row[0]) - number(row[1]) - number(row[2])
	for _, own := range row[3:] {
		if n, err := strconv.ParseInt(own, 10, 64); err == nil && n >= 0 {
			usable = min(usable, n)
		}
	}
	u.mu.Lock()
	u.limit = max(1, int(usable*3/4))
	u.mu.Unlock()
	return nil
}
