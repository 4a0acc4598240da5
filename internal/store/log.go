package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/store/db"
)

// page is how many entries are read at a time.
const page = 512

// Head implements [ledger.Store].
func (s *Store) Head(ctx context.Context) (ledger.Head, error) {
	r, err := s.read().Head(ctx)
	if err != nil {
		return ledger.Head{}, fmt.Errorf("read head: %w", err)
	}
	return headOf(r.Size, r.Edge, r.Checkpoint, r.Time)
}

// Find implements [ledger.Store].
func (s *Store) Find(ctx context.Context, id string) (int64, error) {
	idx, err := s.read().FindEntry(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("record %q: %w", id, ledger.ErrNotFound)
	}
	if err != nil {
		return 0, fmt.Errorf("find record %q: %w", id, err)
	}
	return idx, nil
}

// Rows implements [ledger.Store]. It reads page by page, so that a long walk
// holds neither a connection nor a snapshot; entries never change.
func (s *Store) Rows(ctx context.Context, from, to int64, yield func(ledger.Row) error) error {
	for from < to {
		entries, err := s.read().Entries(ctx, db.EntriesParams{Low: from, High: min(to, from+page)})
		if err != nil {
			return fmt.Errorf("read entries from %d: %w", from, err)
		}
		for _, e := range entries {
			if err := yield(ledger.Row{Index: e.Idx, ID: e.ID, Leaf: e.Leaf}); err != nil {
				return err
			}
		}
		if len(entries) == 0 {
			return nil
		}
		if from > math.MaxInt64-page {
			return nil
		}
		from += page
	}
	return nil
}

// Secret implements [ledger.Store].
func (s *Store) Secret(ctx context.Context, idx int64) (key, payload []byte, err error) {
	r, err := s.read().Secret(ctx, idx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil, fmt.Errorf("entry %d: %w", idx, ledger.ErrErased)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read what entry %d hides: %w", idx, err)
	}
	return r.Key, r.Payload, nil
}

// Published implements [ledger.Shelf].
func (s *Store) Published(ctx context.Context) (ledger.Published, error) {
	r, err := s.read().Published(ctx)
	if err != nil {
		return ledger.Published{}, fmt.Errorf("read published row: %w", err)
	}
	return ledger.Published{Size: r.Size, Checkpoint: r.Checkpoint}, nil
}

// Publish implements [ledger.Shelf].
func (s *Store) Publish(ctx context.Context, old int64, p ledger.Published) (bool, error) {
	n, err := db.New(s.writes()).Publish(ctx, db.PublishParams{Size: p.Size, Checkpoint: p.Checkpoint, Old: old})
	if err != nil {
		return false, fmt.Errorf("write published row: %w", err)
	}
	return n == 1, nil
}
