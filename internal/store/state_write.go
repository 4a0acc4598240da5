package store

import (
	"context"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store/db"
)

// The statements of [interlock.State]. A condition is a SELECT that must
// return one row, or none; a change must affect one row. Both hold until the
// batch commits, because all changes go through the sequencer one at a time.

type query = func(context.Context, *db.Queries)

// one is a statement that must affect, or return, one row.
func one(q query) ledger.Statement { return record(1, q) }

// none is a condition: a SELECT that must return no row.
func none(q query) ledger.Statement { return record(0, q) }

func list(s ...ledger.Statement) []ledger.Statement { return s }

// RequireEpoch implements [interlock.State].
func (s *Store) RequireEpoch(epoch int64) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) { q.RequireEpoch(ctx, epoch) }))
}

// RaiseEpoch implements [interlock.State].
func (s *Store) RaiseEpoch(seen int64) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) { q.RaiseEpoch(ctx, seen) }))
}

// EraseSecret implements [interlock.State].
func (s *Store) EraseSecret(idx int64) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) { q.EraseSecret(ctx, idx) }))
}

// AddSession implements [interlock.State].
func (s *Store) AddSession(r interlock.SessionRow) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.AddSession(ctx, db.AddSessionParams{
			ID: string(r.ID), ActorKind: string(r.Actor.Kind), ActorName: r.Actor.Name, ActorFor: r.Actor.For,
			Author: r.By, AuthorEpoch: r.ByEpoch, Purpose: r.Purpose, Gates: text(r.Gates),
			Started: millis(r.Started), Expires: millis(r.Expires), Ended: millis(r.Ended), Epoch: r.Epoch,
			Wait: r.Wait,
		})
	}))
}

// EndSession implements [interlock.State].
func (s *Store) EndSession(id signalbox.SessionID, at time.Time) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.EndSession(ctx, db.EndSessionParams{ID: string(id), Ended: millis(at)})
	}))
}

// PutPerson implements [interlock.State].
func (s *Store) PutPerson(p session.Person) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.PutPerson(ctx, db.PutPersonParams{Name: p.Name, Groups: text(p.Groups), Admin: p.Admin, Epoch: p.Epoch,
			Added: millis(p.Added)})
	}))
}

// RemovePerson implements [interlock.State]. Stale if there is no such person.
func (s *Store) RemovePerson(name string) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) { q.RemovePerson(ctx, name) }))
}

// RequirePerson implements [interlock.State].
func (s *Store) RequirePerson(name string, epoch int64, admin bool) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		if admin {
			q.RequireAdmin(ctx, db.RequireAdminParams{Name: name, Epoch: epoch})
			return
		}
		q.RequirePerson(ctx, db.RequirePersonParams{Name: name, Epoch: epoch})
	}))
}

// RequireSession implements [interlock.State].
func (s *Store) RequireSession(id signalbox.SessionID, now time.Time) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.RequireSession(ctx, db.RequireSessionParams{ID: string(id), Now: millis(now)})
	}))
}

// AddHold implements [interlock.State].
func (s *Store) AddHold(h approval.Hold, owner string) []ledger.Statement {
	secret := text(hidden{Request: h.Request, Facts: h.Facts, State: h.State})
	body := h
	body.Request, body.Facts, body.State, body.Answers = "", nil, nil, nil
	return list(
		none(func(ctx context.Context, q *db.Queries) { q.LiveHoldsOfKey(ctx, h.RetryKey) }),
		one(func(ctx context.Context, q *db.Queries) {
			q.AddHold(ctx, db.AddHoldParams{
				ID: h.ID, RetryKey: h.RetryKey, Owner: owner, Status: string(h.Status),
				Opened: millis(h.Opened), Expires: millis(h.Expires), Confirmed: h.Confirmed,
				ConfirmedEpoch: h.ConfirmedEpoch, Intent: h.Intent, Why: h.Why,
				Body: text(body), Hidden: secret, Salt: orEmpty(h.Salt), Context: orEmpty(h.Context),
			})
		}),
	)
}

// AddAnswer implements [interlock.State].
func (s *Store) AddAnswer(hold string, a approval.Answer) []ledger.Statement {
	return list(
		one(func(ctx context.Context, q *db.Queries) { q.RequireOpenHold(ctx, hold) }),
		none(func(ctx context.Context, q *db.Queries) {
			q.AnswersBy(ctx, db.AnswersByParams{Hold: hold, Author: a.By, AuthorEpoch: a.Epoch})
		}),
		one(func(ctx context.Context, q *db.Queries) {
			q.AddAnswer(ctx, db.AddAnswerParams{
				Hold: hold, Author: a.By, AuthorEpoch: a.Epoch, Yes: a.Yes, Comment: a.Comment, Made: millis(a.At),
			})
		}),
	)
}

// ConfirmHold implements [interlock.State].
func (s *Store) ConfirmHold(hold string, epoch int64) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.ConfirmHold(ctx, db.ConfirmHoldParams{ID: hold, Epoch: epoch})
	}))
}

// MoveHold implements [interlock.State].
func (s *Store) MoveHold(hold string, from, to approval.Status, expires time.Time, intent,
	why string) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.MoveHold(ctx, db.MoveHoldParams{ID: hold, Was: string(from), Status: string(to), Expires: millis(expires),
			Intent: intent, Why: why})
	}))
}

// RequireLive implements [interlock.State].
func (s *Store) RequireLive(hold string, status approval.Status, now time.Time) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.RequireLiveHold(ctx, db.RequireLiveHoldParams{ID: hold, Status: string(status), Now: millis(now)})
	}))
}

// EraseHold implements [interlock.State].
func (s *Store) EraseHold(hold string) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) { q.EraseHold(ctx, hold) }))
}

// AddIntent implements [interlock.State].
func (s *Store) AddIntent(r interlock.IntentRow) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.AddIntent(ctx, db.AddIntentParams{
			ID: r.ID, Session: string(r.Session), Subject: r.Subject, Gate: r.Gate, Target: r.Target,
			Replica: r.Replica,
			Hold:    r.Hold, RetryKey: r.RetryKey, Status: string(r.Status), Opened: millis(r.Opened),
			Settled: millis(r.Settled),
			Actions: text(r.Actions), Touched: text(r.Touched),
		})
	}))
}

// SettleIntent implements [interlock.State].
func (s *Store) SettleIntent(id string, from, to interlock.IntentStatus, at time.Time,
	touched map[string]int64) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.SettleIntent(ctx, db.SettleIntentParams{ID: id, Was: string(from), Status: string(to), Settled: millis(at),
			Touched: text(touched)})
	}))
}

// PutMemory implements [interlock.State]. The version becomes seen+1.
func (s *Store) PutMemory(subject string, seen int64, r interlock.MemoryRow) []ledger.Statement {
	if seen == 0 {
		return list(
			none(func(ctx context.Context, q *db.Queries) { q.MemoriesOf(ctx, subject) }),
			one(func(ctx context.Context, q *db.Queries) {
				q.AddMemory(ctx, db.AddMemoryParams{Subject: subject, Made: millis(r.At), Data: orEmpty(r.Data)})
			}),
		)
	}
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.PutMemory(ctx, db.PutMemoryParams{Subject: subject, Seen: seen, Made: millis(r.At), Data: orEmpty(r.Data)})
	}))
}

// AddPolicySet implements [interlock.State]. A set that is there already takes
// the new status, author and time.
func (s *Store) AddPolicySet(r interlock.PolicyRow) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.AddPolicySet(ctx, db.AddPolicySetParams{Version: r.Version.String(), Files: orEmpty(r.Files),
			Status: r.Status, Author: r.By, Made: millis(r.At)})
	}))
}

// SetPolicy implements [interlock.State]. Stale if there is no such set.
func (s *Store) SetPolicy(version signalbox.Digest) []ledger.Statement {
	return list(
		one(func(ctx context.Context, q *db.Queries) { q.SetPolicy(ctx, version.String()) }),
		record(ledger.AnyRows, func(ctx context.Context, q *db.Queries) { q.RetirePolicySets(ctx) }),
		s.movePolicy(version, "active"),
	)
}

// MovePolicy implements [interlock.State]. Stale if there is no such set.
func (s *Store) MovePolicy(version signalbox.Digest, status string) []ledger.Statement {
	return list(s.movePolicy(version, status))
}

func (s *Store) movePolicy(version signalbox.Digest, status string) ledger.Statement {
	return one(func(ctx context.Context, q *db.Queries) {
		q.MovePolicySet(ctx, db.MovePolicySetParams{Version: version.String(), Status: status})
	})
}

// AddHalt implements [interlock.State].
func (s *Store) AddHalt(h control.Halt) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.AddHalt(ctx, db.AddHaltParams{Scope: string(h.Scope), Name: h.Name, Author: h.By, Reason: h.Reason,
			Made: millis(h.At)})
	}))
}

// RemoveHalt implements [interlock.State]. Stale if there is no such halt.
func (s *Store) RemoveHalt(scope control.HaltScope, name string) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.RemoveHalt(ctx, db.RemoveHaltParams{Scope: string(scope), Name: name})
	}))
}

// AddFreeze implements [interlock.State].
func (s *Store) AddFreeze(f control.Freeze) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.AddFreeze(ctx, db.AddFreezeParams{
			ID: f.ID, Environments: text(f.Environments), Gates: text(f.Gates), Starts: millis(f.From),
			Ends:   millis(f.Until),
			Author: f.By, Reason: f.Reason, Ended: millis(f.Ended),
		})
	}))
}

// EndFreeze implements [interlock.State]. Stale if it has ended already.
func (s *Store) EndFreeze(id string, at time.Time) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.EndFreeze(ctx, db.EndFreezeParams{ID: id, Ended: millis(at)})
	}))
}

// AddBreakGlass implements [interlock.State].
func (s *Store) AddBreakGlass(b control.BreakGlass) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.AddBreakGlass(ctx, db.AddBreakGlassParams{
			ID: b.ID, Author: b.By, Gates: text(b.Gates), Verbs: text(b.Verbs), Reason: b.Reason,
			Starts: millis(b.From), Expires: millis(b.Expires), Ended: millis(b.Ended),
		})
	}))
}

// EndBreakGlass implements [interlock.State]. Stale if it has ended already.
func (s *Store) EndBreakGlass(id string, at time.Time) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.EndBreakGlass(ctx, db.EndBreakGlassParams{ID: id, Ended: millis(at)})
	}))
}

// Lease implements [interlock.State].
func (s *Store) Lease(replica string, expires time.Time) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.Lease(ctx, db.LeaseParams{Replica: replica, Expires: millis(expires)})
	}))
}

// Register implements [interlock.State].
func (s *Store) Register(replica string, expires time.Time, settings string) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.Register(ctx, db.RegisterParams{Replica: replica, Expires: millis(expires), Settings: settings})
	}))
}

// RequireAlone implements [interlock.State].
func (s *Store) RequireAlone(self string, now time.Time) []ledger.Statement {
	return list(none(func(ctx context.Context, q *db.Queries) {
		q.OtherReplicas(ctx, db.OtherReplicasParams{Self: self, Now: millis(now)})
	}))
}

// RequireSettings implements [interlock.State].
func (s *Store) RequireSettings(self, settings string, now time.Time) []ledger.Statement {
	return list(none(func(ctx context.Context, q *db.Queries) {
		q.OtherSettings(ctx, db.OtherSettingsParams{Self: self, Now: millis(now), Settings: settings})
	}))
}

// SetProtection implements [interlock.State].
func (s *Store) SetProtection(was, protection string, production bool) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.SetProtection(ctx, db.SetProtectionParams{Was: was, Protection: protection, Production: production})
	}))
}

// AddConsole implements [interlock.State]. What is past its time goes.
func (s *Store) AddConsole(r interlock.ConsoleRow) []ledger.Statement {
	return list(
		record(ledger.AnyRows, func(ctx context.Context, q *db.Queries) { q.TidyConsole(ctx, millis(r.Made)) }),
		one(func(ctx context.Context, q *db.Queries) {
			q.AddConsole(ctx, db.AddConsoleParams{
				Hash: r.Hash, Person: r.Person, Epoch: r.Epoch, Made: millis(r.Made), Seen: millis(r.Seen),
				Expires: millis(r.Expires),
			})
		}),
	)
}

// SeeConsole implements [interlock.State]. Stale if it has ended.
func (s *Store) SeeConsole(hash string, now time.Time) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) {
		q.SeeConsole(ctx, db.SeeConsoleParams{Hash: hash, Seen: millis(now)})
	}))
}

// EndConsole implements [interlock.State]. Stale if it has ended.
func (s *Store) EndConsole(hash string) []ledger.Statement {
	return list(one(func(ctx context.Context, q *db.Queries) { q.EndConsole(ctx, hash) }))
}
