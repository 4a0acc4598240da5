package pgwire

import (
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// kinds says what users' types are made of, and which of them are of one family:
// see [sql.Families].
type kinds struct {
	family   map[uint32]uint32   // a step towards the family's name
	any      map[uint32]bool     // families that values of PostgreSQL's own types get into
	parts    map[uint32][]uint32 // what values of a type hold: fields, a range's bounds
	rowsCast bool                // a row may be cast to something else by itself
}

// firstUser is the least oid of what did not come with PostgreSQL.
const firstUser = 16384

func (f *facts) kinds() *kinds {
	k := &kinds{family: make(map[uint32]uint32), any: make(map[uint32]bool), parts: make(map[uint32][]uint32)}
	for key, t := range f.parts[scalars].rows {
		id := uint32(key)
		k.family[id] = id
		for _, of := range ids(t.row[5]) {
			k.parts[id] = append(k.parts[id], of)
		}
	}
	rows := make(map[uint32]uint32) // types of rows, by relation
	for key, c := range f.parts[classes].rows {
		rows[uint32(key)] = oid(c.row[4])
	}
	for _, a := range f.parts[attributes].rows {
		if row := rows[oid(a.row[0])]; row != 0 {
			k.parts[row] = append(k.parts[row], ids(a.row[1])...)
		}
	}
	for key, t := range f.parts[scalars].rows {
		// A domain is one with what it is over, several ranges with each of them.
		domain, several := t.row[4] == "t", t.row[2] == "m"
		for _, base := range ids(t.row[5]) {
			if domain || several && base >= firstUser {
				k.join(base, uint32(key))
			}
		}
	}
	for _, c := range f.parts[casts].rows {
		if both := ids(c.row[3]); c.row[2] == "i" && len(both) == 2 {
			k.join(both[0], both[1])
		}
	}
	return k
}

// join says that values of one type may become another's by themselves.
func (k *kinds) join(from, to uint32) {
	_, scalar := k.family[from]
	root := k.root(to)
	switch {
	case from >= firstUser && !scalar:
		k.rowsCast = true
		k.any[root] = true
	case to < firstUser:
	case scalar:
		other := k.root(from)
		k.family[other] = root
		k.any[root] = k.any[root] || k.any[other]
	default:
		k.any[root] = true
	}
}

func (k *kinds) root(id uint32) uint32 {
	for k.family[id] != id && k.family[id] != 0 {
		id = k.family[id]
	}
	return id
}

// takes names the family of values that an argument of a type takes; 0 for one that
// takes more than users' values of one family.
func (k *kinds) takes(id uint32) uint32 {
	if _, scalar := k.family[id]; !scalar || k.any[k.root(id)] {
		return 0
	}
	return k.root(id)
}

// families gives those that arguments take.
func (k *kinds) families(list string) sql.Families {
	f := sql.Families{}
	for _, id := range ids(list) {
		f = append(f, k.takes(id))
	}
	return f
}

// of gives the families of the values that are in values of these types. A row's
// type is a family of its own here.
func (k *kinds) of(types ...uint32) sql.Families {
	var f sql.Families
	seen := make(map[uint32]bool)
	for queue := slices.Clone(types); len(queue) > 0; queue = queue[1:] {
		id := queue[0]
		if id < firstUser || seen[id] {
			continue
		}
		seen[id] = true
		if n := k.root(id); !slices.Contains(f, n) {
			f = append(f, n)
		}
		queue = append(queue, k.parts[id]...)
	}
	slices.Sort(f)
	return f
}

// made is [kinds.of] for types that the server listed.
func (k *kinds) made(list string) sql.Families { return k.of(ids(list)...) }

func ids(list string) []uint32 {
	var all []uint32
	for id := range strings.FieldsSeq(list) {
		all = append(all, oid(id))
	}
	return all
}
