package pgwire

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// catalogs keeps the snapshot of the database's objects that all connections of
// a gate classify by. It is what is committed, and is brought up to date only when
// sums over the system catalogs say that something was created, changed or
// dropped; see [facts].
type catalogs struct {
	mu      sync.Mutex
	shared  *snapshot
	checked time.Time
}

// catalogLife is how long changes that did not come through this gate may go
// unnoticed.
const catalogLife = 3 * time.Second

func newCatalogs() *catalogs { return &catalogs{} }

// A snapshot is what was known of a database's objects at one time. Connections
// share it.
type snapshot struct {
	facts *facts
	at    time.Time

	mu       sync.Mutex
	variants map[string]*sql.Catalog // by role, path and temporary schema
}

// as gives the catalog as a role with a search path sees it, sealed. temp is the
// oid of the temporary schema that it sees, 0 for none.
func (s *snapshot) as(database, role string, superuser bool, path []string, temp uint32) *sql.Catalog {
	contents := strconv.FormatUint(uint64(temp), 10) // no role's key: those are longer
	key := strings.Join(append([]string{contents, database, role, strconv.FormatBool(superuser)}, path...), "\x00")
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.variants[key]; c != nil {
		return c
	}
	if s.variants == nil || len(s.variants) > 100 {
		s.variants = make(map[string]*sql.Catalog)
	}
	if s.variants[contents] == nil {
		s.variants[contents] = s.facts.catalog(temp).Seal()
	}
	c := s.variants[contents].As(database, role, superuser, path)
	s.variants[key] = c
	return c
}

// outdated reports whether a connection that classifies by s should look again.
// Within a transaction block it looks for itself alone: it may see what is not
// committed, or no longer so.
func (k *catalogs) outdated(s *snapshot, inBlock bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case s == nil:
		return true
	case inBlock && s != k.shared:
		return time.Since(s.at) >= catalogLife
	case s != k.shared:
		return true
	case time.Since(k.checked) < catalogLife:
		return false
	}
	if !inBlock {
		k.checked = time.Now() // this connection looks, the others go on
	}
	return true
}

// get gives the snapshot that connection b must classify by. changed says that b
// itself may have changed objects, renamed that it gave names. In a transaction
// block b sees what others do not: what it reads then is its own.
func (k *catalogs) get(b *backend, changed, renamed, inBlock bool) (*snapshot, error) {
	// One at a time: the others wait for the same answer.
	k.mu.Lock()
	shared := k.shared
	if shared != nil && !changed && time.Since(k.checked) < catalogLife {
		k.mu.Unlock()
		return shared, nil
	}
	if inBlock {
		k.mu.Unlock()
	} else {
		defer k.mu.Unlock()
	}
	var before *facts
	if shared != nil && !renamed {
		before = shared.facts
	}
	now := time.Now()
	f, err := b.readFacts(before)
	switch {
	case err != nil:
		return nil, err
	case inBlock:
		return &snapshot{facts: f, at: now}, nil
	}
	k.checked = now
	if shared == nil || f != shared.facts {
		k.shared = &snapshot{facts: f, at: now}
	}
	return k.shared, nil
}
