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
	"github.com/signalbox-dev/signalbox/internal/forms"
)

// ReviewedFile is the name of the file that lists the forms which an operator has
// reviewed, beside those that are reviewed by default: see package forms.
const ReviewedFile = "reviewed.txt"

// A File is one file of a policy set: *.cedar holds policies, *.cedarschema
// the schema, [ReviewedFile] reviewed forms.
type File struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
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

// A Set is a compiled set of policies. Its verdicts never change, and it is safe
// for concurrent use.
type Set struct {
	version  signalbox.Digest
	rules    []*rule
	reviewed *forms.List
	index    map[place]*shelf
	memo     memo
}

// Version is the hash over the names and contents of all files of the set, the
// same in whatever order they were given. Approvals are bound to it.
func (s *Set) Version() signalbox.Digest { return s.version }

// Groups lists the groups that the set asks for approvals, and those that are
// asked whatever a set says: about policies themselves, and beyond a ceiling.
func (s *Set) Groups() []string {
	groups := []string{"sre"}
	for _, r := range s.rules {
		for _, text := range r.terms.Requires {
			// Load has parsed it before.
			if q, err := signalbox.ParseRequirement(text); err == nil {
				groups = append(groups, q.Groups()...)
			}
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// Reviewed reports whether the set lists a form as reviewed.
func (s *Set) Reviewed(form string) bool { return s.reviewed.Has(form) }

// List is what the set itself has as reviewed; nil for nothing.
func (s *Set) List() *forms.List { return s.reviewed }

// Forms lists the forms that the set itself has as reviewed.
func (s *Set) Forms() []forms.Entry { return s.reviewed.Entries() }

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
	Purpose     string // words, perhaps an agent's: no ground for allowing anything
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
	Changes            int64 `yaml:"changes"` // actions other than reads
	Reads              int64 `yaml:"reads"`
	Pages              int64 `yaml:"pages"` // longest run of the same read with other constants
	Deletes            int64 `yaml:"deletes"`
	Refused            int64 `yaml:"refused"`
	CredentialsRead    int64 `yaml:"credentialsRead"`
	IdentityChanges    int64 `yaml:"identityChanges"`
	SafeguardsWeakened int64 `yaml:"safeguardsWeakened"`
	SafeguardsRefused  int64 `yaml:"safeguardsRefused"`
	EscalationsRefused int64 `yaml:"escalationsRefused"` // asked for rights, or for another identity
	IdentitiesBeside   int64 `yaml:"identitiesBeside"`   // other identities that the session acted as

	RefusedHere     int64 `yaml:"refusedHere"`
	DeletesHere     int64 `yaml:"deletesHere"` // of parts of the resource, as of rows
	RowsDeletedHere int64 `yaml:"rowsDeletedHere"`
	UpdatesHere     int64 `yaml:"updatesHere"`
	RowsUpdatedHere int64 `yaml:"rowsUpdatedHere"`
	CreatesHere     int64 `yaml:"createsHere"`
	RowsCreatedHere int64 `yaml:"rowsCreatedHere"`
	RepeatsHere     int64 `yaml:"repeatsHere"` // same operation on the same resource
	RepeatsBeside   int64 `yaml:"repeatsBeside"`
	DeletedBeside   int64 `yaml:"deletedBeside"` // whole resources that the session had not made itself

	CreatedHere bool `yaml:"createdHere"`
	ChangedHere bool `yaml:"changedHere"`
	DeletedHere bool `yaml:"deletedHere"`
	RenamedHere bool `yaml:"renamedHere"`
	OnlyCopy    bool `yaml:"onlyCopy"` // a copy made before its source was changed or removed
	Overflow    bool `yaml:"overflow"` // more happened than could be remembered
}

// Tier is what the default policy makes of an environment: itself if it is
// staging or development, production for every other name.
func Tier(e signalbox.Environment) signalbox.Environment {
	if e.Production() {
		return signalbox.Production
	}
	return e
}
