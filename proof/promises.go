package proof

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/signalbox-dev/signalbox"
)

// A promiseCheck reads the entries of a log in order and notes what does not
// keep the promises. It holds what is open (sessions, holds, halts, freezes,
// intents), the users, and 16 bytes for each id seen.
type promiseCheck struct {
	report  Report
	trust   Trust
	partial bool // entries before the first one read are not known

	index int64
	now   time.Time // time of the entry at index
	id    string    // and its id

	seen     map[ulid]fate
	open     map[ulid]OpenIntent
	sessions map[signalbox.SessionID]*sessionState
	holds    map[string]*holdState
	users    map[string][]string // groups by name
	epochs   map[string]int64    // of their credentials; none for older programs
	halts    map[Halt]time.Time  // by scope and name
	freezes  map[string]freezeState
	glass    map[string]BreakGlassStart
	policy   signalbox.Digest // the active version; zero if none was seen
}

// A fate is what is known of an id.
type fate uint8

const (
	fateOther    fate = iota // not an intent
	fateOpen                 // an intent without outcome
	fateClosed               // an intent that was done or failed
	fateUnknown              // an intent of unknown outcome
	fateResolved             // one whose outcome was learned later
)

type sessionState struct {
	actor   signalbox.Actor
	gates   []string
	expires time.Time
	ended   bool
}

type freezeState struct {
	FreezeStart
	since time.Time
}

func newPromiseCheck(origin string, trust Trust, partial bool) *promiseCheck {
	return &promiseCheck{
		report:   Report{Origin: origin, Entries: make(map[Kind]int64)},
		trust:    trust,
		partial:  partial,
		seen:     make(map[ulid]fate),
		open:     make(map[ulid]OpenIntent),
		sessions: make(map[signalbox.SessionID]*sessionState),
		holds:    make(map[string]*holdState),
		users:    make(map[string][]string),
		epochs:   make(map[string]int64),
		halts:    make(map[Halt]time.Time),
		freezes:  make(map[string]freezeState),
		glass:    make(map[string]BreakGlassStart),
	}
}

func (c *promiseCheck) note(s Severity, promise, format string, args ...any) {
	if s == Violation {
		c.report.Violations++
	} else {
		c.report.Warnings++
	}
	if len(c.report.Findings) < maxListed {
		c.report.Findings = append(c.report.Findings, Finding{s, c.index, c.id, promise, fmt.Sprintf(format, args...)})
	}
}

func (c *promiseCheck) violation(promise, format string, args ...any) {
	c.note(Violation, promise, format, args...)
}

// missing notes a reference to something that is not in the log. Where the log
// was not read from its beginning it may be there, so that nothing is said.
func (c *promiseCheck) missing(promise, format string, args ...any) {
	if !c.partial {
		c.violation(promise, format, args...)
	}
}

// clockSlack is how much earlier an entry's time may be than that of one before
// it without a word: an entry is made before it is put in order, by one of
// several processes, and may wait for its turn. More is worth a look at the
// clocks, and breaks no promise: the order is the log's, not the clocks'.
const clockSlack = 30 * time.Second

// entry takes the next entry, or the error of its decoding.
func (c *promiseCheck) entry(index int64, e Entry, err error) {
	c.index, c.id = index, e.ID
	if err != nil {
		c.violation("P10", "%v", err)
		return
	}
	c.report.Entries[e.Body.Kind()]++
	if e.Time.Before(c.now.Add(-clockSlack)) {
		c.note(Warning, "", "time %s is before that of the entry before it, %s: the order is the log's, but was a clock wrong, or a process stalled?", e.Time.Format(time.RFC3339Nano), c.now.Format(time.RFC3339Nano))
	}
	c.now = e.Time
	if c.report.First.IsZero() {
		c.report.First = e.Time
	}
	c.report.Last = e.Time

	id := parseULID(e.ID)
	if _, twice := c.seen[id]; twice {
		c.violation("", "id %s was used before", e.ID)
	}
	c.seen[id] = fateOther
	if _, isStart := e.Body.(*Start); !isStart && index == 0 {
		c.violation("", "the first entry is of type %q, want %q", e.Body.Kind(), KindStart)
	}
	switch b := e.Body.(type) {
	case *Start:
		c.start(b)
	case *SessionStart:
		if _, again := c.sessions[b.Session]; again {
			c.violation("", "session %s was started before", b.Session)
		}
		c.sessions[b.Session] = &sessionState{actor: b.Actor, gates: b.Gates, expires: b.Expires.Time()}
	case *SessionEnd:
		if s := c.sessions[b.Session]; s != nil {
			s.ended = true
		} else {
			c.missing("", "session %s was never started", b.Session)
		}
	case *Intent:
		c.intent(id, b)
	case *Outcome:
		c.outcome(b)
	case *Resolution:
		c.resolution(b)
	case *Read:
		c.session(b.Session, b.Actor, b.Gate)
		c.halted(b.Session, b.Actor, b.Gate, c.now.Add(-readGrace))
		if d := b.Verdict.Decision; d != signalbox.Allow {
			c.violation("P6", "a read was let through on the verdict %q", d)
		}
	case *Reads:
		c.halted(b.Session, b.Actor, b.Gate, b.From.Time().Add(-readGrace))
	case *Hold:
		c.hold(b)
	case *Approval:
		c.approval(b)
	case *Confirmation:
		c.confirmation(b)
	case *Withdrawal:
		c.endHold(b.Hold, "withdrawn by "+b.By)
	case *Expiry:
		c.endHold(b.Hold, "expired")
	case *Dead:
		c.endHold(b.Hold, "dead, because of its "+b.Reason)
	case *Halt:
		c.halts[Halt{Scope: b.Scope, Name: b.Name}] = c.now
	case *Resume:
		scope := Halt{Scope: b.Scope, Name: b.Name}
		if _, halted := c.halts[scope]; !halted {
			c.missing("P9", "%s was not halted", scopeText(scope))
		}
		delete(c.halts, scope)
	case *FreezeStart:
		c.freezes[b.Freeze] = freezeState{*b, c.now}
	case *FreezeEnd:
		delete(c.freezes, b.Freeze)
	case *BreakGlassStart:
		c.glass[b.ID] = *b
	case *BreakGlassEnd:
		delete(c.glass, b.ID)
	case *User:
		c.user(b)
	case *Policy:
		if b.Status == "active" {
			c.policy = b.Version
		}
	case *Observation:
		c.observation(b)
	case *Erase:
		if b.Index < 0 || b.Index >= index {
			c.violation("P11", "erased entry %d does not come before this one", b.Index)
		}
	}
}

func (c *promiseCheck) start(b *Start) {
	if c.index != 0 {
		c.violation("", "a log starts once, this is entry %d", c.index)
	}
	if b.Origin != c.report.Origin {
		c.violation("", "the log was started as %q, its checkpoint is of %q", b.Origin, c.report.Origin)
	}
	v, err := note.NewVerifier(b.Key)
	if err == nil {
		_, err = c.trust.Verifier(v.Name(), v.KeyHash())
	}
	if err != nil {
		c.note(Warning, "", "the key that the log was started with is not among the trusted ones: %v", err)
	}
}

func (c *promiseCheck) user(b *User) {
	_, known := c.users[b.Name]
	switch b.Op {
	case "add", "change", "revoke":
		if known == (b.Op == "add") {
			c.note(Warning, "P5", "user %q: %s, but he is%s enrolled", b.Name, b.Op,
				map[bool]string{false: " not"}[known])
		}
		c.users[b.Name] = b.Groups
	case "remove":
		delete(c.users, b.Name)
	default:
		c.violation("P5", "user %q: operation %q is none of add, change, revoke, remove", b.Name, b.Op)
	}
	if b.Epoch == 0 {
		return // an older program, which did not bind what was said to credentials
	}
	if b.Epoch <= c.epochs[b.Name] {
		c.violation("P5", "user %q: epoch %d does not follow on %d", b.Name, b.Epoch, c.epochs[b.Name])
	}
	c.epochs[b.Name] = b.Epoch
	for _, h := range c.holds {
		h.unsay(b.Name)
	}
}

func (c *promiseCheck) intent(id ulid, b *Intent) {
	c.seen[id] = fateOpen
	c.open[id] = OpenIntent{Index: c.index, Intent: c.id, Time: c.now, Lease: b.Lease}

	c.session(b.Session, b.Actor, b.Gate)
	c.halted(b.Session, b.Actor, b.Gate, c.now)
	glass := c.breakGlass(b)
	if !glass {
		c.frozen(b)
	}
	if !c.policy.IsZero() && b.Policy != c.policy {
		c.violation("P4", "decided under policy %s, while %s is active", b.Policy.Short(), c.policy.Short())
	}
	switch b.Verdict.Decision {
	case signalbox.Allow:
	case signalbox.Hold:
		if b.Hold == "" && !glass {
			c.violation("P4", "needs a hold (%s) and names none", strings.Join(b.Verdict.Requires, ", "))
		}
	default: // break-glass lifts holds and freezes, never a denial
		c.violation("P6", "was executed on the verdict %q", b.Verdict.Decision)
	}
	if b.Hold != "" {
		c.permit(b)
	}
	if b.Direction != Forward && b.Direction != Revert {
		c.violation("", "direction %q is not known", b.Direction)
	}
	if b.Parent != (Parent{}) && b.Parent.Rollout == "" {
		c.violation("", "is a part of a rollout that is not named")
	}
	if b.Retries != "" {
		switch f, known := c.seen[parseULID(b.Retries)]; {
		case !known:
			c.missing("P2", "retries intent %s, which is not in the log before it", b.Retries)
		case f != fateUnknown && f != fateResolved:
			c.note(Warning, "P2", "retries intent %s, whose outcome was not unknown", b.Retries)
		}
	}
}

func (c *promiseCheck) outcome(b *Outcome) {
	switch b.Result {
	case signalbox.Done, signalbox.Failed, signalbox.ResultUnknown:
	default:
		c.violation("P2", "result %q is none of done, failed, unknown", b.Result)
	}
	id := parseULID(b.Intent)
	f, known := c.seen[id]
	switch {
	case !known:
		c.missing("P2", "outcome of intent %s, which is not in the log before it", b.Intent)
		return
	case f == fateOther:
		c.violation("P2", "outcome of %s, which is not an intent", b.Intent)
		return
	case f != fateOpen:
		c.violation("P2", "second outcome of intent %s", b.Intent)
		return
	}
	delete(c.open, id)
	c.seen[id] = fateClosed
	if b.Result == signalbox.ResultUnknown {
		c.seen[id] = fateUnknown
		c.report.Unknown++
	}
}

func (c *promiseCheck) resolution(b *Resolution) {
	if b.Result != signalbox.Done && b.Result != signalbox.Failed {
		c.violation("P2", "a resolution says %q, want done or failed", b.Result)
	}
	id := parseULID(b.Intent)
	switch f, known := c.seen[id]; {
	case !known:
		c.missing("P2", "resolution of intent %s, which is not in the log before it", b.Intent)
	case f != fateUnknown:
		c.violation("P2", "resolution of %s, whose outcome is not unknown", b.Intent)
	default:
		c.seen[id] = fateResolved
		c.report.Unknown--
	}
}

// observation checks that an observation fits with what is known. What was seen
// did not pass a gate: no session, halt or freeze is judged by it.
func (c *promiseCheck) observation(b *Observation) {
	if b.Source == "" {
		c.violation("", "an observation of no source")
	}
	if b.Seen <= 0 || b.Seen.Time().After(c.now.Add(clockSlack)) {
		c.violation("", "was seen at %s, after it was recorded", b.Seen.Time().Format(time.RFC3339))
	}
	if b.Session != "" {
		switch s := c.sessions[b.Session]; {
		case s == nil:
			c.missing("", "was seen in session %q, which was never started", b.Session)
		case b.Actor != signalbox.Actor{} && s.actor != b.Actor:
			c.violation("", "was seen of %s in the session of %s", b.Actor, s.actor)
		}
	}
	if b.Intent != "" {
		switch f, known := c.seen[parseULID(b.Intent)]; {
		case !known:
			c.missing("", "belongs to intent %s, which is not in the log before it", b.Intent)
		case f == fateOther:
			c.violation("", "belongs to %s, which is not an intent", b.Intent)
		}
	}
}

// session checks that the session may act at the gate now.
func (c *promiseCheck) session(id signalbox.SessionID, actor signalbox.Actor, gate string) {
	if gate == OwnGate && actor.Kind != signalbox.Agent {
		return
	}
	s := c.sessions[id]
	switch {
	case s == nil:
		c.missing("P5", "session %q was never started", id)
	case s.actor != actor:
		c.violation("P5", "acts as %s in the session of %s", actor, s.actor)
	case s.ended:
		c.violation("P5", "session %s had ended", id)
	case c.now.After(s.expires.Add(clockSkew)):
		c.violation("P5", "session %s had expired at %s", id, s.expires.Format(time.RFC3339))
	case len(s.gates) > 0 && !slices.Contains(s.gates, gate):
		c.violation("P5", "session %s may not use gate %q", id, gate)
	}
}

// clockSkew is by how much the clocks of replicas may differ.
const clockSkew = 2 * time.Second

// readGrace is how long after a halt reads may still come through (promise P9).
const readGrace = time.Second

// halted checks that no halt that covers the actor was in force at time at.
func (c *promiseCheck) halted(session signalbox.SessionID, actor signalbox.Actor, gate string, at time.Time) {
	if len(c.halts) == 0 {
		return
	}
	for _, h := range []Halt{
		{Scope: ScopeAll},
		{Scope: ScopeGate, Name: gate},
		{Scope: ScopeSession, Name: string(session)},
		{Scope: ScopeActor, Name: actor.Name},
		{Scope: ScopeActor, Name: actor.For},
	} {
		if since, ok := c.halts[h]; ok && !since.After(at) && (h.Name != "" || h.Scope == ScopeAll) {
			c.violation("P9", "%s acts while %s is halted", actor, scopeText(h))
			return
		}
	}
}

func scopeText(h Halt) string {
	if h.Scope == ScopeAll {
		return "everything"
	}
	return fmt.Sprintf("%s %q", h.Scope, h.Name)
}

// breakGlass reports whether the intent goes through an open break-glass
// window.
func (c *promiseCheck) breakGlass(b *Intent) bool {
	if b.BreakGlass == "" {
		return false
	}
	w, ok := c.glass[b.BreakGlass]
	switch {
	case !ok:
		c.missing("P7", "break-glass window %q is not open", b.BreakGlass)
		return c.partial
	case b.Actor.Kind != signalbox.Human || b.Actor.Name != w.By:
		c.violation("P7", "%s goes through the break-glass window of %s", b.Actor, w.By)
	case w.Session != "" && w.Session != b.Session:
		c.violation("P7", "break-glass window %q is for session %s", b.BreakGlass, w.Session)
	case !c.now.Before(w.Expires.Time()):
		c.violation("P7", "break-glass window %q had closed at %s", b.BreakGlass, w.Expires.Time().Format(time.RFC3339))
	case len(w.Gates) > 0 && !slices.Contains(w.Gates, b.Gate):
		c.violation("P7", "break-glass window %q is not for gate %q", b.BreakGlass, b.Gate)
	default:
		for _, a := range b.Actions {
			if a.Verb != signalbox.Read && len(w.Verbs) > 0 && !slices.Contains(w.Verbs, a.Verb) {
				c.violation("P7", "break-glass window %q is not for the verb %s", b.BreakGlass, a.Verb)
			}
		}
	}
	return true
}

// frozen checks that the intent changes nothing that is frozen. A change whose
// hold was opened and approved before the freeze may be a revert, which a
// freeze lets through.
func (c *promiseCheck) frozen(b *Intent) {
	if len(c.freezes) == 0 || len(b.Actions) > 0 && !slices.ContainsFunc(b.Actions, func(a Action) bool { return a.Verb != signalbox.Read }) {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(c.freezes)) {
		f := c.freezes[id]
		everywhere := len(f.Environments) == 0 && len(f.Gates) == 0
		switch {
		case !everywhere && !slices.Contains(f.Environments, b.Environment) && !slices.Contains(f.Gates, b.Gate):
		case f.From != 0 && c.now.Before(f.From.Time()):
		case f.Until != 0 && !c.now.Before(f.Until.Time()):
		case c.approvedBefore(b.Hold, f.since):
			c.note(Warning, "P7", "changes %s under freeze %s, by an approval from before it: good only for a revert",
				b.Environment, id)
		default:
			c.violation("P7", "changes %s under freeze %s", b.Environment, id)
		}
	}
}

// finish lists what is open at the end.
func (c *promiseCheck) finish() {
	c.report.OpenCount = int64(len(c.open))
	open := slices.SortedFunc(maps.Values(c.open), func(a, b OpenIntent) int { return int(a.Index - b.Index) })
	c.report.Open = open[:min(len(open), maxListed)]
	if c.report.Size > 0 && !c.partial && c.policy.IsZero() && c.report.Entries[KindIntent] > 0 {
		c.id = ""
		c.note(Warning, "P4", "the log has intents but does not say which policy was active")
	}
}

// A ulid is an id in 16 bytes.
type ulid [16]byte

// parseULID packs an id that [Decode] or [Seal] has accepted. What is not an id
// gives one that no entry has.
func parseULID(s string) (id ulid) {
	if checkID(s) != nil {
		for i := range id {
			id[i] = 0xff
		}
		return id
	}
	// 26 characters of 5 bits are 130 bits, of which the first two are zero.
	var bits uint
	var acc uint32
	n := 0
	for i := range len(s) {
		v := uint32(ulidDigit[s[i]])
		acc = acc<<5 | v
		if bits += 5; i == 0 {
			bits = 3
		}
		if bits >= 8 {
			bits -= 8
			id[n] = byte(acc >> bits)
			n++
		}
	}
	return id
}
