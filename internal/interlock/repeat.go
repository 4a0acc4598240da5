package interlock

import (
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// The same read, repeated, is decided once per look at the control state: twice a
// second. In between its verdict stands, for nothing that a verdict on a read
// rests upon can have changed but the count of reads itself, and that is brought
// up to date before the session's next decision. Halts reach a repeated read with
// the next look, as promise P9 allows for reads.

// repeatedReads are the reads that were decided lately, by session and gate.
type repeatedReads struct {
	mu       sync.Mutex
	sessions map[sessionAtGate]map[*signalbox.Action]*repeatedRead
}

type sessionAtGate struct {
	session signalbox.SessionID
	gate    string
}

// A repeatedRead is one classified read. It is known by where its action lies in
// memory, since the classifier hands out the same one for the same request,
// and two requests of one shape may differ in a constant that matters.
type repeatedRead struct {
	admission *Admission
	snapshot  *snapshot // that it was decided under
	uncounted int64     // times let through that memory was not told of
}

// Bounds: what does not fit is decided in full.
const (
	maxRepeatedSessions = 1024
	maxRepeatedReads    = 256
	maxNotedRepeats     = 100 // beyond any budget of repetitions
)

func (k *repeatedReads) init() {
	k.sessions = make(map[sessionAtGate]map[*signalbox.Action]*repeatedRead)
}

// find returns the admission of a read that was decided under the snapshot, if
// that is fresh at the time now, or nil.
func (k *repeatedReads) find(r Request, s *snapshot, now time.Time) *Admission {
	if len(r.Actions) != 1 || r.Actions[0].Verb != signalbox.Read || s == nil {
		return nil
	}
	if age := now.Sub(s.at); age < 0 || age > freshness || !now.Before(r.Session.Expires) {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	known := k.sessions[sessionAtGate{r.Session.ID, r.Gate.Name}][&r.Actions[0]]
	if known == nil || known.snapshot != s {
		return nil
	}
	known.uncounted++
	a := *known.admission
	a.request = r
	return &a
}

// add remembers a read that was decided under the snapshot.
func (k *repeatedReads) add(a *Admission, s *snapshot) {
	r := a.request
	if len(r.Actions) != 1 || !a.Read() || r.Actions[0].Has(signalbox.TraitIdentity) ||
		r.Actions[0].Has(signalbox.TraitCredentials) {
		return
	}
	at := sessionAtGate{r.Session.ID, r.Gate.Name}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sessions[at] == nil {
		if len(k.sessions) >= maxRepeatedSessions {
			clear(k.sessions)
		}
		k.sessions[at] = make(map[*signalbox.Action]*repeatedRead)
	}
	if len(k.sessions[at]) >= maxRepeatedReads {
		clear(k.sessions[at])
	}
	k.sessions[at][&r.Actions[0]] = &repeatedRead{admission: a, snapshot: s}
}

// flush calls note for every repetition that memory was not told of yet.
func (k *repeatedReads) flush(r Request, note func([]signalbox.Action)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, known := range k.sessions[sessionAtGate{r.Session.ID, r.Gate.Name}] {
		for range min(known.uncounted, maxNotedRepeats) {
			note(known.admission.request.Actions)
		}
		known.uncounted = 0
	}
}
