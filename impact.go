package signalbox

import "fmt"

// Words says what would be touched, for people: "12 of 5000, with 3
// dependants, reversible". What actions do besides, by code that nobody looked
// into, cannot be counted and is said.
func (i Impact) Words(actions []Action) string {
	s := "an unknown number"
	if i.Count != CountUnknown {
		s = fmt.Sprint(i.Count)
	}
	if i.Total > 0 {
		s += fmt.Sprintf(" of %d", i.Total)
	}
	if i.Dependants > 0 {
		s += fmt.Sprintf(", with %d dependants", i.Dependants)
	}
	if i.Reach() == ScopeAll {
		s += ", everything that is there"
	}
	if !i.Measured {
		s += " (not measured)"
	}
	for _, a := range actions {
		if a.Verb == Execute || a.Has(TraitOpaque) {
			s += ", and whatever the code does that it runs"
			break
		}
	}
	if i.Reversible {
		return s + ", reversible"
	}
	return s + ", cannot be undone"
}
