package policy

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/cedar-policy/cedar-go"

	"github.com/signalbox-dev/signalbox"
)

// maxVerdicts bounds a memo. When it is full it begins anew: whoever makes
// requests all different gains nothing, and harms nobody.
const maxVerdicts = 4096

// A memo keeps verdicts by everything that they rest on: who asks, and the
// facts that some policy of the shelf looks at. The same question is asked many
// thousand times a second, and Cedar takes microseconds to answer it. It is
// safe for concurrent use.
type memo struct {
	mu       sync.RWMutex
	verdicts map[string]signalbox.Verdict
}

func (m *memo) get(key []byte) (signalbox.Verdict, bool) {
	m.mu.RLock()
	v, ok := m.verdicts[string(key)]
	m.mu.RUnlock()
	return v, ok
}

func (m *memo) put(key []byte, v signalbox.Verdict) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.verdicts == nil || len(m.verdicts) >= maxVerdicts {
		m.verdicts = make(map[string]signalbox.Verdict)
	}
	m.verdicts[string(key)] = v
}

// key appends to buf all that the verdict on r rests on. It gives nil where a
// verdict is not worth keeping: policies look at each resource, or at the time.
func (sh *shelf) key(r *Request, buf []byte) []byte {
	if !sh.lasting {
		return nil
	}
	text := func(s string) {
		// Length first, so that no two requests run together to one key.
		buf = append(binary.AppendUvarint(buf, uint64(len(s))), s...)
	}
	text(string(r.Actor.Kind))
	text(string(r.Action.Verb))
	text(r.Actor.Name)
	text(r.Actor.For)
	buf = binary.AppendUvarint(buf, uint64(len(r.Groups)))
	for _, g := range r.Groups {
		text(g)
	}
	for _, facts := range [2][]fact{sh.contextFacts, sh.memoryFacts} {
		for _, f := range facts {
			if f.name == factTraits {
				buf = binary.AppendUvarint(buf, uint64(len(r.Action.Traits)))
				for _, t := range r.Action.Traits {
					text(string(t))
				}
				continue
			}
			switch v := f.value(r).(type) {
			case cedar.String:
				text(string(v))
			case cedar.Long:
				buf = binary.AppendVarint(buf, int64(v))
			case cedar.Boolean:
				if v {
					buf = append(buf, 1)
				} else {
					buf = append(buf, 0)
				}
			case cedar.EntityUID: // the memory: always the same
			default:
				return nil
			}
		}
	}
	return buf
}

// lasts reports whether verdicts of the shelf depend on nothing but what key
// holds.
func (sh *shelf) lasts() bool {
	return len(sh.each[permits])+len(sh.each[forbids])+len(sh.each[holds]) == 0 &&
		!slices.ContainsFunc(sh.contextFacts, func(f fact) bool { return f.name == factNow })
}
