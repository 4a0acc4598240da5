// Package policy decides by Cedar policies: it turns a request into a verdict
// of allow, hold or deny, and says which policies decided. It is pure: no
// clock, no files, no network.
//
// The one thing to know before using it: a forbid without @hold denies, a
// forbid with @hold(…) opens a hold, and what no permit allows is denied. A
// policy that cannot be evaluated denies too, where Cedar itself would skip it.
package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// A File is one file of a policy set: *.cedar holds policies, *.cedarschema
// the schema.
type File struct {
	Name string
	Data []byte
}

// An Error is one thing that is wrong with a policy set.
type Error struct {
	File   string
	Line   int    // 0 if it concerns the whole file
	Policy string // id, empty if it concerns no single policy
	Msg    string
}

// Error gives "file:line: policy "id": what is wrong".
func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s += fmt.Sprintf(":%d", e.Line)
	}
	if s != "" {
		s += ": "
	}
	if e.Policy != "" {
		s += fmt.Sprintf("policy %q: ", e.Policy)
	}
	return s + e.Msg
}

// A Set is a compiled set of policies. It is immutable and safe for concurrent
// use.
type Set struct {
	version signalbox.Digest
	rules   []*rule
	index   map[place]*shelf
}

// Version is the hash over the names and contents of all files of the set, the
// same in whatever order they were given. Approvals are bound to it.
func (s *Set) Version() signalbox.Digest { return s.version }

// Len is how many policies the set has.
func (s *Set) Len() int { return len(s.rules) }

func version(files []File) signalbox.Digest {
	sorted := slices.SortedFunc(slices.Values(files), func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	h := sha256.New()
	h.Write([]byte("signalbox policy set 1\n"))
	write := func(b []byte) {
		// Length first, so that no two sets can run together to the same bytes.
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	for _, f := range sorted {
		write([]byte(f.Name))
		write(f.Data)
	}
	return signalbox.Digest(h.Sum(nil))
}

// A Request is one action, with all that a policy may ask about it.
type Request struct {
	Actor       signalbox.Actor
	Groups      []string // of the actor's person, or of the automation
	Session     signalbox.SessionID
	Purpose     string
	Gate        string
	Protocol    string
	Target      string
	Environment signalbox.Environment
	Action      signalbox.Action
	Memory      Memory
	// BreakGlass says that an open break-glass covers this action. It is for
	// humans: with an agent it is ignored.
	BreakGlass bool
	Now        time.Time
}

// Memory is what is remembered of the session, and of the human at the target,
// as far as it concerns the action. "Here" means on the same resource, "beside"
// on others of the same type. Counts are of what was allowed, unless they say
// refused, which means held or denied and not done since.
type Memory struct {
	Changes            int64 // actions other than reads
	Reads              int64
	Pages              int64 // longest run of the same read with other constants
	Deletes            int64
	Refused            int64
	CredentialsRead    int64
	IdentityChanges    int64
	SafeguardsWeakened int64
	SafeguardsRefused  int64
	EscalationsRefused int64 // asked for rights, or for another identity

	RefusedHere     int64
	DeletesHere     int64 // of parts of the resource, as of rows
	RowsDeletedHere int64
	UpdatesHere     int64
	RowsUpdatedHere int64
	CreatesHere     int64
	RowsCreatedHere int64
	RepeatsHere     int64 // same operation on the same resource
	RepeatsBeside   int64
	DeletedBeside   int64 // whole resources

	CreatedHere bool
	ChangedHere bool
	DeletedHere bool
	RenamedHere bool
	OnlyCopy    bool // a copy made before its source was changed or removed
	Overflow    bool // more happened than could be remembered
}

// Tier is what the default policy makes of an environment: itself if it is
// staging or development, production for every other name.
func Tier(e signalbox.Environment) signalbox.Environment {
	if e == signalbox.Staging || e == signalbox.Development {
		return e
	}
	return signalbox.Production
}
