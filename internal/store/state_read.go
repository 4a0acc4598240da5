package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/store/db"
)

// millis is a time as it is kept; 0 stands for no time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// text writes a value of ours as JSON. None of them can fail to.
func text(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("store: %T as JSON: %v", v, err))
	}
	return string(data)
}

// parsed reads back what text wrote. What cannot be read makes the whole read
// fail: a rule half read is no rule.
func parsed(what, data string, v any) error {
	if err := json.Unmarshal([]byte(data), v); err != nil {
		return fmt.Errorf("%s in the database: %w", what, err)
	}
	return nil
}

// reading names what was read in its error, and tells what is not there.
func reading(what, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%s %q: %w", what, name, interlock.ErrNotFound)
	}
	return fmt.Errorf("read %s %q: %w", what, name, err)
}

// each converts rows until one cannot be.
func each[Row, T any](rows []Row, convert func(Row) (T, error)) ([]T, error) {
	list := make([]T, 0, len(rows))
	for _, r := range rows {
		v, err := convert(r)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// Control implements [interlock.State].
func (s *Store) Control(ctx context.Context) (control.State, error) {
	var c control.State
	// The epoch is read before what it stands for. If something changes in
	// between, a newer list goes with an older epoch, and the batch that
	// requires this epoch is stale; the other way round it would pass.
	q := s.read()
	row, err := q.Control(ctx)
	if err != nil {
		return c, fmt.Errorf("read control state: %w", err)
	}
	c.Epoch, c.Production = row.Epoch, row.Production
	if row.Policy != "" {
		if err := c.Policy.UnmarshalText([]byte(row.Policy)); err != nil {
			return c, fmt.Errorf("active policy in the database: %w", err)
		}
	}
	halts, err := q.Halts(ctx)
	if err != nil {
		return c, fmt.Errorf("read halts: %w", err)
	}
	for _, h := range halts {
		c.Halts = append(c.Halts, control.Halt{Scope: control.HaltScope(h.Scope), Name: h.Name, By: h.Author,
			Reason: h.Reason, At: moment(h.Made)})
	}
	freezes, err := q.Freezes(ctx)
	if err != nil {
		return c, fmt.Errorf("read freezes: %w", err)
	}
	for _, f := range freezes {
		freeze := control.Freeze{ID: f.ID, From: moment(f.Starts), Until: moment(f.Ends), By: f.Author,
			Reason: f.Reason, Ended: moment(f.Ended)}
		if err := errors.Join(parsed("environments of freeze "+f.ID, f.Environments, &freeze.Environments),
			parsed("gates of freeze "+f.ID, f.Gates, &freeze.Gates)); err != nil {
			return c, err
		}
		c.Freezes = append(c.Freezes, freeze)
	}
	glasses, err := q.BreakGlasses(ctx)
	if err != nil {
		return c, fmt.Errorf("read break-glass: %w", err)
	}
	for _, b := range glasses {
		glass := control.BreakGlass{ID: b.ID, By: b.Author, Reason: b.Reason, From: moment(b.Starts),
			Expires: moment(b.Expires), Ended: moment(b.Ended)}
		if err := errors.Join(parsed("gates of break-glass "+b.ID, b.Gates, &glass.Gates),
			parsed("verbs of break-glass "+b.ID, b.Verbs, &glass.Verbs)); err != nil {
			return c, err
		}
		c.BreakGlass = append(c.BreakGlass, glass)
	}
	return c, nil
}

// Session implements [interlock.State].
func (s *Store) Session(ctx context.Context, id signalbox.SessionID) (interlock.SessionRow, error) {
	r, err := s.read().Session(ctx, string(id))
	if err != nil {
		return interlock.SessionRow{}, reading("session", string(id), err)
	}
	return sessionOf(r)
}

// Sessions implements [interlock.State].
func (s *Store) Sessions(ctx context.Context, live bool, now time.Time) ([]interlock.SessionRow, error) {
	var rows []db.Session
	var err error
	if live {
		rows, err = s.read().LiveSessions(ctx, millis(now))
	} else {
		rows, err = s.read().Sessions(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	return each(rows, sessionOf)
}

// OpenSessionsOf implements [interlock.State].
func (s *Store) OpenSessionsOf(ctx context.Context, person string, now time.Time,
	limit int) ([]interlock.SessionRow, error) {
	rows, err := s.read().OpenSessionsOf(ctx,
		db.OpenSessionsOfParams{Author: person, Now: millis(now), Most: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("read sessions of %q: %w", person, err)
	}
	return each(rows, sessionOf)
}

func sessionOf(r db.Session) (interlock.SessionRow, error) {
	row := interlock.SessionRow{
		Session: signalbox.Session{
			ID:    signalbox.SessionID(r.ID),
			Actor: signalbox.Actor{Kind: signalbox.ActorKind(r.ActorKind), Name: r.ActorName, For: r.ActorFor},
			By:    r.Author, ByEpoch: r.AuthorEpoch, Purpose: r.Purpose,
			Started: moment(r.Started), Expires: moment(r.Expires), Ended: moment(r.Ended), Wait: r.Wait,
		},
		Epoch: r.Epoch,
	}
	return row, parsed("gates of session "+r.ID, r.Gates, &row.Gates)
}

// Person implements [interlock.State].
func (s *Store) Person(ctx context.Context, name string) (session.Person, error) {
	r, err := s.read().Person(ctx, name)
	if err != nil {
		return session.Person{}, reading("person", name, err)
	}
	return personOf(r)
}

// People implements [interlock.State].
func (s *Store) People(ctx context.Context) ([]session.Person, error) {
	rows, err := s.read().People(ctx)
	if err != nil {
		return nil, fmt.Errorf("read people: %w", err)
	}
	return each(rows, personOf)
}

func personOf(r db.Person) (session.Person, error) {
	p := session.Person{Name: r.Name, Admin: r.Admin, Epoch: r.Epoch, Added: moment(r.Added)}
	return p, parsed("groups of "+r.Name, r.Groups, &p.Groups)
}

// hidden is what of a hold can be erased.
type hidden struct {
	Request string          `json:"request"`
	Facts   []string        `json:"facts"`
	State   signalbox.State `json:"state"`
}

// Hold implements [interlock.State].
func (s *Store) Hold(ctx context.Context, id string) (approval.Hold, error) {
	r, err := s.read().Hold(ctx, id)
	if err != nil {
		return approval.Hold{}, reading("hold", id, err)
	}
	return s.holdOf(ctx, r)
}

// HoldByRetryKey implements [interlock.State].
func (s *Store) HoldByRetryKey(ctx context.Context, key string) (approval.Hold, error) {
	r, err := s.read().HoldByRetryKey(ctx, key)
	if err != nil {
		return approval.Hold{}, reading("hold of this request", "", err)
	}
	return s.holdOf(ctx, r)
}

// Holds implements [interlock.State].
func (s *Store) Holds(ctx context.Context, status approval.Status, limit int) ([]approval.Hold, error) {
	var rows []db.Hold
	var err error
	if status == "" {
		rows, err = s.read().Holds(ctx, int64(limit))
	} else {
		rows, err = s.read().HoldsOfStatus(ctx, db.HoldsOfStatusParams{Status: string(status), Most: int64(limit)})
	}
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	return each(rows, func(r db.Hold) (approval.Hold, error) { return s.holdOf(ctx, r) })
}

// holdOf reads the answers after the hold: one that came in between is seen,
// and whoever acts upon it requires the hold's status in the same batch.
func (s *Store) holdOf(ctx context.Context, r db.Hold) (approval.Hold, error) {
	var h approval.Hold
	if err := parsed("hold "+r.ID, r.Body, &h); err != nil {
		return h, err
	}
	if r.Hidden != "" {
		var secret hidden
		if err := parsed("hidden part of hold "+r.ID, r.Hidden, &secret); err != nil {
			return h, err
		}
		h.Request, h.Facts, h.State = secret.Request, secret.Facts, secret.State
	}
	h.ID, h.RetryKey, h.Status = r.ID, r.RetryKey, approval.Status(r.Status)
	h.Opened, h.Expires = moment(r.Opened), moment(r.Expires)
	h.Confirmed, h.ConfirmedEpoch, h.Intent, h.Why = r.Confirmed, r.ConfirmedEpoch, r.Intent, r.Why
	h.Salt, h.Context = orNil(r.Salt), orNil(r.Context)
	answers, err := s.read().Answers(ctx, r.ID)
	if err != nil {
		return h, fmt.Errorf("read answers to hold %s: %w", r.ID, err)
	}
	for _, a := range answers {
		h.Answers = append(h.Answers, approval.Answer{By: a.Author, Epoch: a.AuthorEpoch, Yes: a.Yes,
			Comment: a.Comment, At: moment(a.Made)})
	}
	return h, nil
}

// LiveHolds implements [interlock.State].
func (s *Store) LiveHolds(ctx context.Context, owner string) ([]approval.Hold, error) {
	rows, err := s.read().LiveHoldsOf(ctx, owner)
	if err != nil {
		return nil, fmt.Errorf("read holds of %q: %w", owner, err)
	}
	return each(rows, func(r db.Hold) (approval.Hold, error) { return s.holdOf(ctx, r) })
}

// OpenHolds implements [interlock.State].
func (s *Store) OpenHolds(ctx context.Context, owner string) (int, error) {
	n, err := s.read().OpenHolds(ctx, owner)
	if err != nil {
		return 0, fmt.Errorf("count open holds of %q: %w", owner, err)
	}
	return int(n), nil
}

// Intent implements [interlock.State].
func (s *Store) Intent(ctx context.Context, id string) (interlock.IntentRow, error) {
	r, err := s.read().Intent(ctx, id)
	if err != nil {
		return interlock.IntentRow{}, reading("intent", id, err)
	}
	return intentOf(r)
}

// LastIntent implements [interlock.State].
func (s *Store) LastIntent(ctx context.Context, retryKey string) (interlock.IntentRow, error) {
	r, err := s.read().LastIntent(ctx, retryKey)
	if err != nil {
		return interlock.IntentRow{}, reading("intent of this request", "", err)
	}
	return intentOf(r)
}

// Orphans implements [interlock.State].
func (s *Store) Orphans(ctx context.Context, now time.Time, limit int) ([]interlock.IntentRow, error) {
	rows, err := s.read().Orphans(ctx, db.OrphansParams{Now: millis(now), Most: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("read orphaned intents: %w", err)
	}
	return each(rows, intentOf)
}

// IntentsSince implements [interlock.State].
func (s *Store) IntentsSince(ctx context.Context, subject string, at time.Time) ([]interlock.IntentRow, error) {
	var rows []db.Intent
	var err error
	if id, ok := strings.CutPrefix(subject, "session/"); ok {
		rows, err = s.read().SessionIntentsSince(ctx, db.SessionIntentsSinceParams{Session: id, Since: millis(at)})
	} else {
		rows, err = s.read().IntentsSince(ctx, db.IntentsSinceParams{Subject: subject, Since: millis(at)})
	}
	if err != nil {
		return nil, fmt.Errorf("read intents of %q: %w", subject, err)
	}
	return each(rows, intentOf)
}

func intentOf(r db.Intent) (interlock.IntentRow, error) {
	row := interlock.IntentRow{
		ID: r.ID, Session: signalbox.SessionID(r.Session), Subject: r.Subject, Gate: r.Gate, Target: r.Target,
		Replica: r.Replica, Hold: r.Hold, RetryKey: r.RetryKey, Status: interlock.IntentStatus(r.Status),
		Opened: moment(r.Opened), Settled: moment(r.Settled),
	}
	return row, errors.Join(parsed("actions of intent "+r.ID, r.Actions, &row.Actions),
		parsed("touched by intent "+r.ID, r.Touched, &row.Touched))
}

// Memory implements [interlock.State].
func (s *Store) Memory(ctx context.Context, subject string) (interlock.MemoryRow, error) {
	r, err := s.read().Memory(ctx, subject)
	if err != nil {
		return interlock.MemoryRow{}, reading("memory of", subject, err)
	}
	return interlock.MemoryRow{Version: r.Version, At: moment(r.Made), Data: r.Data}, nil
}

// PolicySet implements [interlock.State].
func (s *Store) PolicySet(ctx context.Context, version signalbox.Digest) (interlock.PolicyRow, error) {
	r, err := s.read().PolicySet(ctx, version.String())
	if err != nil {
		return interlock.PolicyRow{}, reading("policy set", version.Short(), err)
	}
	return policyOf(r)
}

// PolicySets implements [interlock.State].
func (s *Store) PolicySets(ctx context.Context) ([]interlock.PolicyRow, error) {
	rows, err := s.read().PolicySets(ctx)
	if err != nil {
		return nil, fmt.Errorf("read policy sets: %w", err)
	}
	return each(rows, policyOf)
}

func policyOf(r db.PolicySet) (interlock.PolicyRow, error) {
	row := interlock.PolicyRow{Files: r.Files, Status: r.Status, By: r.Author, At: moment(r.Made)}
	if err := row.Version.UnmarshalText([]byte(r.Version)); err != nil {
		return row, fmt.Errorf("policy set in the database: %w", err)
	}
	return row, nil
}

func orNil(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// Protection implements [interlock.State].
func (s *Store) Protection(ctx context.Context) (string, error) {
	text, err := s.read().Protection(ctx)
	if err != nil {
		return "", fmt.Errorf("read what protects production: %w", err)
	}
	return text, nil
}

// Replicas implements [interlock.State].
func (s *Store) Replicas(ctx context.Context, self string, now time.Time) ([]interlock.ReplicaRow, error) {
	rows, err := s.read().LiveReplicas(ctx, db.LiveReplicasParams{Self: self, Now: millis(now)})
	if err != nil {
		return nil, fmt.Errorf("read the other servers: %w", err)
	}
	return each(rows, func(r db.Lease) (interlock.ReplicaRow, error) {
		return interlock.ReplicaRow{Replica: r.Replica, Expires: moment(r.Expires), Settings: r.Settings}, nil
	})
}

// Console implements [interlock.State].
func (s *Store) Console(ctx context.Context, hash string) (interlock.ConsoleRow, error) {
	r, err := s.read().Console(ctx, hash)
	if err != nil {
		return interlock.ConsoleRow{}, reading("console session", "", err)
	}
	return interlock.ConsoleRow{
		Hash: r.Hash, Person: r.Person, Epoch: r.Epoch, Made: moment(r.Made), Seen: moment(r.Seen),
		Expires: moment(r.Expires),
	}, nil
}

// KeepMaster implements [interlock.State].
func (s *Store) KeepMaster(ctx context.Context, was, value []byte) ([]byte, error) {
	write := db.New(s.writes())
	var err error
	if was == nil {
		err = write.KeepMaster(ctx, value)
	} else {
		err = write.ReplaceMaster(ctx, db.ReplaceMasterParams{Value: value, Was: was})
	}
	if err != nil {
		return nil, fmt.Errorf("keep what tells the master key: %w", err)
	}
	kept, err := s.read().Master(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what tells the master key: %w", err)
	}
	return kept, nil
}
