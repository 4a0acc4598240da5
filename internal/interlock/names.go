package interlock

import (
	"fmt"
	"slices"
	"strings"
)

// reserved are names that stand in records for something else than a human.
var reserved = []string{
	"admin", "administrator", "bootstrap", "nobody", "policy-folder", "server", "session", "signalbox", "system",
}

// likeness is what is left of a name for a hasty reader: case, dots and the
// like, and the digits that look like letters, do not count.
func likeness(name string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		switch r {
		case '.', '_', '-', '+':
			return -1
		case '0':
			return 'o'
		case '1', 'I':
			return 'l'
		}
		return r
	}, name))
}

// distinct refuses a name for somebody new that could be taken for another's.
func (s *snapshot) distinct(name string) error {
	same := func(other string) bool { return likeness(other) == likeness(name) }
	if slices.ContainsFunc(reserved, same) {
		return fmt.Errorf("%w: human name %q is reserved: choose another", ErrInvalid, name)
	}
	for other := range s.people {
		if other != name && same(other) {
			return fmt.Errorf("%w: human name %q looks like that of %q, who is enrolled: choose another", ErrInvalid,
				name, other)
		}
	}
	return nil
}
