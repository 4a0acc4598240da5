package interlock

import (
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// The same read, asked again and again, is decided once per look at the control
// state: twice a second. In between its verdict stands, for nothing that a
// verdict on a read rests upon can have changed but the count of reads itself,
// and that is brought up to date before the session's next decision. Halts
// reach it with the next look, as promise P9 allows for reads.

// knownReads are the reads that were decided lately, by session and gate.
type knownReads struct {
	mu       sync.Mutex
	sessions map[place]map[*signalbox.Action]*knownRead
}

type place struct {
	session signalbox.SessionID
	gate    string
}

// A knownRead is one classified read. It is known by where its action lies in
// memory, since the classifier hands out the same one for the same request,
// and two requests of one shape may differ in a constant that matters.
type knownRead struct {
	admission *Admission
	under     *snapshot
	again     int64 // times let through since it was decided
}

// Bounds: what does not fit is decided in full.
const (
	maxKnownPlaces = 1024
	maxKnownReads  = 256
	maxNotedAgain  = 100 // beyond any budget of repetitions
)

func (k *knownReads) init() { k.sessions = make(map[place]map[*signalbox.Action]*knownRead) }

// repeated gives the admission of a read that was decided under the present
// control state, or nil.
func (k *knownReads) repeated(r Request, now *snapshot, at time.Time) *Admission {
	if len(r.Actions) != 1 || r.Actions[0].Verb != signalbox.Read || now == nil {
		return nil
	}
	if age := at.Sub(now.at); age < 0 || age > freshness || !at.Before(r.Session.Expires) {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	known := k.sessions[place{r.Session.ID, r.Gate.Name}][&r.Actions[0]]
	if known == nil || known.under != now {
		return nil
	}
	known.again++
	a := *known.admission
	a.request = r
	return &a
}

// keep remembers a read that was decided.
func (k *knownReads) keep(a *Admission, under *snapshot) {
	r := a.request
	if len(r.Actions) != 1 || !a.Read() || r.Actions[0].Has(signalbox.TraitIdentity) || r.Actions[0].Has(signalbox.TraitCredentials) {
		return
	}
	at := place{r.Session.ID, r.Gate.Name}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sessions[at] == nil {
		if len(k.sessions) >= maxKnownPlaces {
			clear(k.sessions)
		}
		k.sessions[at] = make(map[*signalbox.Action]*knownRead)
	}
	if len(k.sessions[at]) >= maxKnownReads {
		clear(k.sessions[at])
	}
	k.sessions[at][&r.Actions[0]] = &knownRead{admission: a, under: under}
}

// settle has note called for every repetition that memory was not told of yet.
func (k *knownReads) settle(r Request, note func([]signalbox.Action)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, known := range k.sessions[place{r.Session.ID, r.Gate.Name}] {
		for range min(known.again, maxNotedAgain) {
			note(known.admission.request.Actions)
		}
		known.again = 0
	}
}
