package session

import (
	"time"

	"github.com/signalbox-dev/signalbox"
)

// Views gives what memories together say of each action of one request. What the
// request itself does before an action counts with what was done before it: a loop
// of small changes is the same loop when it comes in one piece.
func Views(actions []signalbox.Action, at time.Time, memories ...*Memory) []View {
	views := make([]View, len(actions))
	var own Memory
	for n, a := range actions {
		for i, m := range memories {
			if v := m.View(a, at); i == 0 {
				views[n] = v
			} else {
				views[n] = views[n].Join(v)
			}
		}
		if n > 0 {
			views[n].add(own.View(a, at))
		}
		if n < len(actions)-1 {
			own.Note(a, signalbox.Allow, at)
		}
	}
	return views
}

// add adds what the same request does before. That it makes something first does
// not count: it may be there already, and the request go on.
func (v *View) add(own View) {
	v.Changes += own.Changes
	v.Deletes += own.Deletes
	v.DeletesHere += own.DeletesHere
	v.RowsDeletedHere += own.RowsDeletedHere
	v.UpdatesHere += own.UpdatesHere
	v.RowsUpdatedHere += own.RowsUpdatedHere
	v.CreatesHere += own.CreatesHere
	v.RowsCreatedHere += own.RowsCreatedHere
	v.DeletedBeside += own.DeletedBeside
	v.IdentitiesBeside += own.IdentitiesBeside
	v.SafeguardsWeakened += own.SafeguardsWeakened
	v.ChangedHere = v.ChangedHere || own.ChangedHere
	v.DeletedHere = v.DeletedHere || own.DeletedHere
	v.RenamedHere = v.RenamedHere || own.RenamedHere
	v.OnlyCopy = v.OnlyCopy || own.OnlyCopy
	v.Overflow = v.Overflow || own.Overflow
}
