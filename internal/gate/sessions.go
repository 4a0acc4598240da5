package gate

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/proof"
)

// sessionLife is how long a session without clients is remembered, and how long
// it is believed that its credential is still good although nobody said
// otherwise: halts and ends come by the watch.
const sessionLife = time.Minute

var (
	errIdle     = errors.New("the session has no clients at this gate")
	errReplaced = errors.New("the session's credential was replaced")
	errEnded    = errors.New("the session has ended")
)

// Sessions are those that have clients at one gate, or had some in the last
// minute. They are watched, and what they read is recorded. It is safe for
// concurrent use. Close it when the gate ends.
type Sessions struct {
	gate *Config
	ctx  context.Context
	end  context.CancelCauseFunc
	work sync.WaitGroup // watches, and summaries being recorded

	mu  sync.Mutex
	all map[signalbox.SessionID]*Session
}

// NewSessions makes the sessions of a gate, of which there are none yet. config
// must be complete: see [Config.Complete].
func NewSessions(config *Config) *Sessions {
	s := &Sessions{gate: config, all: make(map[signalbox.SessionID]*Session)}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	return s
}

// A Session is one that is known to a gate.
type Session struct {
	signalbox.Session
	// Credential is what its clients prove. It is never shown to anybody.
	Credential string
	// Reads sums up what it reads.
	Reads *Reads
	// Turn is held by a client for work of which one at a time is enough for a
	// session, so that it leaves room for others.
	Turn sync.Mutex

	gate  *Config
	ctx   context.Context // ends when the session must stop here
	cut   context.CancelCauseFunc
	watch Watch

	// Guarded by Sessions.mu.
	authenticated time.Time
	clients       int // joined
	admitted      int // of clients
	last          time.Time
}

// Context ends when the session must stop at this gate; its cause says why.
func (s *Session) Context() context.Context { return s.ctx }

// LogValue keeps the credential out of logs.
func (s *Session) LogValue() slog.Value { return slog.StringValue(string(s.ID)) }

// over reports whether the session must stop, or was forgotten here.
func (s *Session) over() bool {
	select {
	case <-s.watch.Done():
		return true
	default:
		return s.ctx.Err() != nil
	}
}

// Known joins a client to a session that was authenticated in the last minute, or
// gives nil. The caller proves the client's claim by the session's credential, and
// calls Leave in any case.
func (all *Sessions) Known(id signalbox.SessionID) *Session {
	all.mu.Lock()
	defer all.mu.Unlock()
	s := all.all[id]
	if s == nil || s.over() || time.Since(s.authenticated) >= sessionLife {
		return nil
	}
	s.clients++
	return s
}

// Join joins a client to a session that was just authenticated, and begins to
// watch the session when it is the first. A session with another credential than
// before is stopped: the person's or the session's epoch was raised. The caller
// calls Leave.
func (all *Sessions) Join(from signalbox.Session, credential string) *Session {
	all.mu.Lock()
	defer all.mu.Unlock()
	s := all.all[from.ID]
	switch {
	case s == nil || s.over():
		s = all.attend(s, from, credential)
	case s.Credential != credential:
		s.cut(errReplaced)
		s = all.attend(s, from, credential)
	}
	s.authenticated = time.Now()
	s.clients++
	return s
}

// attend begins to watch a session. before is the same session as it was known,
// or nil. The caller holds all.mu.
func (all *Sessions) attend(before *Session, from signalbox.Session, credential string) *Session {
	g := all.gate
	s := &Session{Session: from, Credential: credential, gate: g, last: time.Now()}
	if before != nil {
		before.watch.Release()
		s.Reads = before.Reads // what it read is still to be recorded
	} else {
		place := proof.Reads{
			Session: from.ID, Actor: from.Actor,
			Gate: g.Gate.Name, Target: g.Gate.Target, Environment: g.Gate.Environment,
		}
		s.Reads = newReads(place, func(sums []proof.Reads) error {
			// A summary that has begun is recorded, whoever leaves meanwhile.
			ctx := context.WithoutCancel(all.ctx)
			return g.Guard("record reads", func() error { return g.Interlock.Reads(ctx, sums) })
		})
	}
	s.ctx, s.cut = context.WithCancelCause(all.ctx)
	s.watch = g.Interlock.Watch(from, g.Gate.Name)
	all.all[from.ID] = s
	all.work.Go(func() {
		select {
		case <-s.watch.Done():
			why := s.watch.Err()
			if why == nil {
				why = errEnded
			}
			s.cut(why)
		case <-s.ctx.Done():
		}
	})
	return s
}

// Admit counts a client that has proved to be of the session. It reports false
// when as many are served as one session may have.
func (all *Sessions) Admit(s *Session) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	if s.admitted >= all.gate.MaxPerSession {
		return false
	}
	s.admitted++
	s.last = time.Now()
	return true
}

// Leave counts a client out that has joined; admitted says whether it was counted
// by Admit.
func (all *Sessions) Leave(s *Session, admitted bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	s.clients--
	if admitted {
		s.admitted--
		s.last = time.Now()
	}
}

// Clients counts those that have joined and not left.
func (all *Sessions) Clients() int {
	all.mu.Lock()
	defer all.mu.Unlock()
	n := 0
	for _, s := range all.all {
		n += s.clients
	}
	return n
}

// Stop stops a session here, if it is known.
func (all *Sessions) Stop(id signalbox.SessionID, why error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if s := all.all[id]; s != nil {
		s.cut(why)
	}
}

// StopAll stops all sessions here.
func (all *Sessions) StopAll(why error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, s := range all.all {
		s.cut(why)
	}
}

// Sweep begins to record the summaries that are due, and forgets the sessions that
// have gone. A gate calls it several times a second.
func (all *Sessions) Sweep() {
	now := time.Now()
	all.mu.Lock()
	defer all.mu.Unlock()
	for id, s := range all.all {
		switch idle := s.clients == 0 && (now.Sub(s.last) > sessionLife || s.over()); {
		case s.Reads.Due():
			wait := s.Reads.Flush()
			all.work.Go(func() { s.unrecorded(wait()) })
		case idle:
			s.watch.Release()
			s.cut(errIdle)
			delete(all.all, id)
			all.work.Go(func() { s.unrecorded(s.Reads.Close()) })
		}
	}
}

// unrecorded tells operators of reads that are not in the log.
func (s *Session) unrecorded(err error) {
	if err != nil {
		s.gate.Logger.Error("reads could not be recorded",
			"session", string(s.ID), "gate", s.gate.Gate.Name, "error", err)
	}
}

// Close stops all sessions, and records what they have read. Nobody may join any
// more.
func (all *Sessions) Close(why error) {
	all.mu.Lock()
	last := all.all
	all.all = make(map[signalbox.SessionID]*Session)
	all.mu.Unlock()
	all.end(why)
	for _, s := range last {
		s.watch.Release()
		s.unrecorded(s.Reads.Close())
	}
	all.work.Wait()
}
