package store

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
)

// statements are prepared once for the one writing connection.
type statements struct {
	db       *sql.DB
	prepared sync.Map // query → *sql.Stmt
	count    atomic.Int64
}

// most bounds how many statements stay prepared. Generated code has fewer.
const most = 256

// prepare prepares a statement, if it can. One that cannot be prepared fails
// when it is executed, in its own batch.
func (s *statements) prepare(ctx context.Context, query string) {
	if s.get(query) != nil || s.count.Load() >= most {
		return
	}
	stmt, err := s.db.PrepareContext(ctx, query)
	if err != nil {
		return
	}
	if _, other := s.prepared.LoadOrStore(query, stmt); other {
		stmt.Close()
		return
	}
	s.count.Add(1)
}

func (s *statements) get(query string) *sql.Stmt {
	if stmt, ok := s.prepared.Load(query); ok {
		return stmt.(*sql.Stmt)
	}
	return nil
}

func (s *statements) close() {
	s.prepared.Range(func(_, stmt any) bool {
		stmt.(*sql.Stmt).Close()
		return true
	})
}
