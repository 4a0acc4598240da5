package session_test

import (
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
)

// A loop in one request is counted as the same loop in many.
func TestViewsCountWithinTheRequest(t *testing.T) {
	now := time.Now()
	table := []signalbox.Resource{{Type: "table", Name: "public.orders"}}
	one := signalbox.Action{Verb: signalbox.Delete, Native: "DELETE", Resources: table,
		Impact: signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne}}
	var before, person session.Memory
	before.Note(one, signalbox.Allow, now)
	views := session.Views([]signalbox.Action{one, one, one}, now, &before, &person)
	for i, v := range views {
		if want := int64(1 + i); v.DeletesHere != want || v.RowsDeletedHere != want || v.Deletes != want {
			t.Errorf("action %d: %+v, want %d deletes before it", i, v, want)
		}
	}
	if before.Deletes != 1 {
		t.Error("to look has changed the memory")
	}
	made := signalbox.Action{Verb: signalbox.Create, Native: "CREATE TABLE",
		Resources: []signalbox.Resource{{Type: "table", Name: "public.orders", Whole: true}}}
	gone := signalbox.Action{Verb: signalbox.Delete, Native: "DROP TABLE", Resources: made.Resources}
	if v := session.Views([]signalbox.Action{made, gone}, now, &person); v[1].CreatedHere {
		t.Error("what the same request makes, if it is not there already, is taken for its own")
	}
}
