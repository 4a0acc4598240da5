package pgwire

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox/internal/classify/sql"
	"github.com/signalbox-dev/signalbox/internal/forms"
)

// catalogs keeps the snapshot of the database's objects that all connections of
// a gate classify by. It is what is committed, and is brought up to date only when
// sums over the system catalogs say that something was created, changed or
// dropped; see [facts].
type catalogs struct {
	forms func() *forms.List // what operators have reviewed

	mu      sync.Mutex
	shared  *snapshot
	checked time.Time

	versions sync.Mutex
	unlisted map[string]map[string]bool // by the server's version: [sql.Unlisted]
}

// catalogLife is how long changes that did not come through this gate may go
// unnoticed.
const catalogLife = 3 * time.Second

func newCatalogs(reviewed func() *forms.List) *catalogs {
	return &catalogs{forms: reviewed, unlisted: make(map[string]map[string]bool)}
}

// builtinsSQL asks for PostgreSQL's own functions, as signatures.txt has them.
const builtinsSQL = `SELECT concat(CASE WHEN oid < 10000 THEN oid::text ELSE '-' END, ' ', proname, '(', oidvectortypes(proargtypes), ') ', format_type(prorettype, NULL))
 FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND oid < 16384`

// builtins gives the names under which the server has functions that nobody has
// reviewed. They are PostgreSQL's own, so it is asked once for each version.
func (k *catalogs) builtins(b *backend) (map[string]bool, error) {
	version := b.params["server_version"]
	k.versions.Lock()
	defer k.versions.Unlock()
	if names, known := k.unlisted[version]; known {
		return names, nil
	}
	answers, err := b.question(builtinsSQL)
	if err != nil {
		return nil, err
	}
	lines := make([]string, len(answers[0].rows))
	for i, row := range answers[0].rows {
		lines[i] = row[0]
	}
	k.unlisted[version] = sql.Unlisted(lines)
	return k.unlisted[version], nil
}

// A snapshot is what was known of a database's objects at one time. Connections
// share it.
type snapshot struct {
	facts    *facts
	unlisted map[string]bool // see [sql.Unlisted]
	at       time.Time

	mu       sync.Mutex
	variants map[string]*sql.Catalog // by role, path and temporary schema
}

// as gives the catalog as a role with a search path sees it, sealed. temp is the
// oid of the temporary schema that it sees, 0 for none; reviewed, what operators
// have reviewed.
func (s *snapshot) as(database, role string, superuser bool, path []string, temp uint32, reviewed *forms.List) *sql.Catalog {
	contents := strconv.FormatUint(uint64(temp), 10) // no role's key: those are longer
	key := strings.Join(append([]string{contents, fmt.Sprintf("%p", reviewed), database, role, strconv.FormatBool(superuser)}, path...), "\x00")
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.variants[key]; c != nil {
		return c
	}
	if s.variants == nil || len(s.variants) > 100 {
		s.variants = make(map[string]*sql.Catalog)
	}
	if s.variants[contents] == nil {
		c := s.facts.catalog(temp)
		c.Unlisted = s.unlisted
		s.variants[contents] = c.Seal()
	}
	c := s.variants[contents].As(database, role, superuser, path, reviewed)
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
	unlisted, err := k.builtins(b)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	f, err := b.readFacts(before)
	switch {
	case err != nil:
		return nil, err
	case inBlock:
		return &snapshot{facts: f, unlisted: unlisted, at: now}, nil
	}
	k.checked = now
	if shared == nil || f != shared.facts || len(unlisted) != len(shared.unlisted) {
		k.shared = &snapshot{facts: f, unlisted: unlisted, at: now}
	}
	return k.shared, nil
}
