package sql

import (
	"testing"

	"github.com/signalbox-dev/signalbox"
)

func TestVerb(t *testing.T) {
	for text, want := range map[string]signalbox.Verb{
		"SELECT 1":                           signalbox.Read,
		"INSERT INTO a VALUES (1)":           signalbox.Create,
		"UPDATE a SET b = 1 WHERE id = 1":    signalbox.Update,
		"WITH d AS (DELETE FROM a) SELECT 1": signalbox.Delete,
		"this is not sql":                    signalbox.Execute,
	} {
		r := Classify(text, nil)
		if got := r.Statements[0].Action.Verb; got != want {
			t.Errorf("%s: verb %s, want %s", text, got, want)
		}
	}
}
