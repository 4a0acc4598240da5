package proof

import "github.com/signalbox-dev/signalbox"

// OwnGate is the name of the gate at which Signalbox itself is changed: its
// policies. Requests there come through the API in a human's own name, or from
// the process itself, and belong to no session that was started.
const OwnGate = "signalbox"

// An Intent says what is about to be executed. It is durable before anything
// is forwarded (promise P1). The entry's id is the intent's id. Hidden: the
// request, its parameters, the salt of the digest, the actions where not all are
// shown, and the target's own reference as far as it is known beforehand.
type Intent struct {
	// Session is the session that acts.
	Session signalbox.SessionID `json:"session"`
	// Actor is who acts, and for whom.
	Actor signalbox.Actor `json:"actor"`
	// Gate is where the request came in.
	Gate string `json:"gate"`
	// Target is what stands behind the gate.
	Target string `json:"target"`
	// Environment is where the target stands.
	Environment signalbox.Environment `json:"environment"`
	// Actions is what the request was classified as.
	Actions []Action `json:"actions,omitempty"`
	// Verdict is what policy said, and why. Under a permit it is still hold.
	Verdict Verdict `json:"verdict"`
	// Policy is the version of the policy set that decided.
	Policy signalbox.Digest `json:"policy"`
	// Hold is the hold whose permit this intent used up; left out where none
	// was needed.
	Hold string `json:"hold,omitempty"`
	// BreakGlass is the break-glass window that let the intent through a
	// freeze or a hold; left out where none was needed.
	BreakGlass string `json:"breakglass,omitempty"`
	// Retries is the earlier intent, of unknown outcome, that this one repeats.
	Retries string `json:"retries,omitempty"`
	// Digest is the salted commitment to the canonical request. Under a permit
	// it equals the hold's, so that everybody can see that what was approved
	// is what was executed.
	Digest signalbox.Digest `json:"digest"`
	// Epoch is the control epoch (policies, halts, freezes) that was decided
	// under and still held when the intent was recorded.
	Epoch int64 `json:"epoch,omitempty"`
	// Gap says that the protocol left a moment between the last check of the
	// target and its use, or that it is not known to have left none.
	Gap bool `json:"gap,omitempty"`
	// Lease names the replica that owns the intent until its outcome.
	Lease string `json:"lease,omitempty"`
	// Direction is "revert" for what takes an earlier change back; left out for
	// all else. Reserved for rollouts: nothing writes it yet.
	Direction Direction `json:"direction,omitempty"`
	// Parent is what the intent is a part of. Reserved for rollouts: nothing
	// writes it yet.
	Parent Parent `json:"parent,omitzero"`
}

// A Direction says whether a change goes forward or takes an earlier one back.
type Direction string

// The directions. An entry leaves Forward out.
const (
	Forward Direction = ""
	Revert  Direction = "revert"
)

// A Parent is a rollout, and the place in it. Reserved: nothing writes it yet.
type Parent struct {
	// Rollout is the rollout's id.
	Rollout string `json:"rollout"`
	// Stage is the name of the stage, where it is a part of one.
	Stage string `json:"stage,omitempty"`
	// Target is the rollout's name for the target, where it is for one.
	Target string `json:"target,omitempty"`
}

// An Outcome says what came of an intent. Every intent gets exactly one
// (promise P2). Hidden: the target's own text, and its own reference.
type Outcome struct {
	// Intent is the id of the intent.
	Intent string `json:"intent"`
	// Result is done, failed or unknown.
	Result signalbox.Result `json:"result"`
	// Code is the target's code: a SQLSTATE, an HTTP status.
	Code string `json:"code,omitempty"`
	// Rows counts rows or objects touched, -1 if the target did not say.
	Rows int64 `json:"rows"`
	// Touched breaks Rows down by resource name, where measured.
	Touched map[string]int64 `json:"touched,omitempty"`
}

// A Resolution is the truth learned later about an intent whose outcome was
// unknown. Hidden: the target's own text, and its own reference.
type Resolution struct {
	// Intent is the id of the intent.
	Intent string `json:"intent"`
	// Result is done or failed.
	Result signalbox.Result `json:"result"`
	// Code is the target's code.
	Code string `json:"code,omitempty"`
	// Rows counts rows or objects touched, -1 if not known.
	Rows int64 `json:"rows"`
	// By is who or what found out: a human's name, or the replica.
	By string `json:"by"`
}

// A Refusal is a request that was denied: nothing was forwarded. Hidden: the
// request, its parameters, the salt of the digest, the actions where not all are
// shown, and reasons that may quote it.
type Refusal struct {
	// Session is the session that asked.
	Session signalbox.SessionID `json:"session"`
	// Actor is who asked, and for whom.
	Actor signalbox.Actor `json:"actor"`
	// Gate is where the request came in.
	Gate string `json:"gate"`
	// Target is what stands behind the gate.
	Target string `json:"target"`
	// Environment is where the target stands.
	Environment signalbox.Environment `json:"environment"`
	// Actions is what the request was classified as.
	Actions []Action `json:"actions,omitempty"`
	// Verdict is what policy said, and why.
	Verdict Verdict `json:"verdict"`
	// Policy is the version of the policy set that decided.
	Policy signalbox.Digest `json:"policy,omitzero"`
	// Hold is the hold whose permit was refused, where there was one.
	Hold string `json:"hold,omitempty"`
	// Digest is the salted commitment to the canonical request.
	Digest signalbox.Digest `json:"digest,omitzero"`
}

// A Hold is a request that waits for approvals. Hidden: the request, its
// parameters, the actions where not all are shown, what was shown to the
// approvers, the target's state, and the salt of the digests.
type Hold struct {
	// Hold is the hold's id.
	Hold string `json:"hold"`
	// Session is the session that asked; only it can use the permit.
	Session signalbox.SessionID `json:"session"`
	// Actor is who asked, and for whom. Neither can approve.
	Actor signalbox.Actor `json:"actor"`
	// Gate is where the request came in.
	Gate string `json:"gate"`
	// Target is what stands behind the gate.
	Target string `json:"target"`
	// Environment is where the target stands.
	Environment signalbox.Environment `json:"environment"`
	// Actions is what the request was classified as; each impact is the
	// ceiling that is approved.
	Actions []Action `json:"actions,omitempty"`
	// Verdict is what policy said, with what it requires.
	Verdict Verdict `json:"verdict"`
	// Policy is the version of the policy set that decided.
	Policy signalbox.Digest `json:"policy"`
	// Digest is the salted commitment that approvals are bound to.
	Digest signalbox.Digest `json:"digest"`
	// State is the salted commitment to the identity of what is touched.
	State signalbox.Digest `json:"state_digest,omitzero"`
	// Expires is when the hold ends by itself.
	Expires Millis `json:"expires"`
}

// An Approval is one human's answer to a hold. Hidden: his comment.
type Approval struct {
	// Hold is the hold's id.
	Hold string `json:"hold"`
	// By is the human who answered.
	By string `json:"by"`
	// Answer is "yes" or "no". One no ends the hold.
	Answer Answer `json:"answer"`
	// Digest is the hold's digest as the human saw it.
	Digest signalbox.Digest `json:"digest"`
	// Presence says that his presence was proved (a passkey).
	Presence bool `json:"presence,omitempty"`
	// Expires is when the permit that this answer completes ends; left out
	// while more answers are needed.
	Expires Millis `json:"expires,omitempty"`
}

// An Answer is a human's yes or no to a hold.
type Answer string

// The answers.
const (
	Yes Answer = "yes"
	No  Answer = "no"
)

// A Confirmation is the requester's own word that he means it. It never counts
// as an approval (promise P5).
type Confirmation struct {
	// Hold is the hold's id.
	Hold string `json:"hold"`
	// By is the human who asked, or for whom the agent asked.
	By string `json:"by"`
	// Expires is when the permit that this confirmation completes ends; left
	// out while answers are needed still.
	Expires Millis `json:"expires,omitempty"`
}

// A Withdrawal ends a hold: the requester, or the human he acts for, takes it
// back, or his session ended. Hidden: the reason.
type Withdrawal struct {
	// Hold is the hold's id.
	Hold string `json:"hold"`
	// By is who withdrew: a human's name, or the session that asked.
	By string `json:"by"`
}

// An Expiry ends a hold or its permit because its time is over.
type Expiry struct {
	// Hold is the hold's id.
	Hold string `json:"hold"`
}

// A Dead ends a hold or its permit because what was approved is no longer what
// would be executed (promise P4). Hidden: the fact that differs.
type Dead struct {
	// Hold is the hold's id.
	Hold string `json:"hold"`
	// Reason is "state", "ceiling", "policy", "membership" or "session".
	Reason string `json:"reason"`
	// By is the hold that was opened instead, where there is one. Reserved:
	// nothing writes it yet.
	By string `json:"by,omitempty"`
}

// A Reads entry sums up reads of one session that policy allowed without
// looking at each. It is lossy by declaration: which rows were read is not in
// it. It hides nothing: its digests are decoys.
type Reads struct {
	// Session is the session that read.
	Session signalbox.SessionID `json:"session"`
	// Actor is who read, and for whom.
	Actor signalbox.Actor `json:"actor"`
	// Gate is where the requests came in.
	Gate string `json:"gate"`
	// Target is what stands behind the gate.
	Target string `json:"target"`
	// Environment is where the target stands.
	Environment signalbox.Environment `json:"environment"`
	// From is when the first read came.
	From Millis `json:"from"`
	// To is when the last read came.
	To Millis `json:"to"`
	// Statements counts the reads.
	Statements int64 `json:"count"`
	// Rows counts the rows that were answered.
	Rows int64 `json:"rows"`
	// Shapes breaks the counts down by shape, the most frequent first.
	Shapes []ShapeCount `json:"shapes,omitempty"`
	// Omitted counts shapes that were left out because the entry would be too
	// long.
	Omitted int `json:"omitted,omitempty"`
	// Hash is a salted commitment to the statements in their order.
	Hash signalbox.Digest `json:"hash,omitzero"`
}

// A ShapeCount counts the reads of one shape.
type ShapeCount struct {
	// Fingerprint names the shape.
	Fingerprint string `json:"fingerprint"`
	// Shape is the request without its literals.
	Shape string `json:"shape,omitempty"`
	// Count is how many there were.
	Count int64 `json:"count"`
	// Rows is how many rows they answered.
	Rows int64 `json:"rows"`
}

// A Read is one read, recorded before its answer is released. Hidden: the
// request, its parameters, the salt of the digest, and the actions where not all
// are shown.
type Read struct {
	// Session is the session that reads.
	Session signalbox.SessionID `json:"session"`
	// Actor is who reads, and for whom.
	Actor signalbox.Actor `json:"actor"`
	// Gate is where the request came in.
	Gate string `json:"gate"`
	// Target is what stands behind the gate.
	Target string `json:"target"`
	// Environment is where the target stands.
	Environment signalbox.Environment `json:"environment"`
	// Actions is what the request was classified as.
	Actions []Action `json:"actions,omitempty"`
	// Verdict is what policy said, and why.
	Verdict Verdict `json:"verdict"`
	// Policy is the version of the policy set that decided.
	Policy signalbox.Digest `json:"policy"`
	// Digest is the salted commitment to the canonical request.
	Digest signalbox.Digest `json:"digest,omitzero"`
	// Rows counts the rows answered, -1 where it is recorded beforehand.
	Rows int64 `json:"rows"`
}

// An Observation is something that was seen, not something that went through a
// gate: what a hook in a tool saw, or what an imported log of a target tells. It
// is nobody's permission and no intent, and no promise is judged by it.
// Reserved: nothing writes it yet. Hidden: the request, its parameters, the
// actions where not all are shown, and the target's own reference.
type Observation struct {
	// Source is what saw it: the name of a hook, or of a log.
	Source string `json:"source"`
	// Seen is when it was seen, or when its source says that it was done.
	Seen Millis `json:"seen"`
	// Session is the session it was seen in; left out where it was in none of
	// ours.
	Session signalbox.SessionID `json:"session,omitempty"`
	// Actor is who acted, where that is known.
	Actor signalbox.Actor `json:"actor,omitzero"`
	// As is the source's own name for who acted: a database role, a principal.
	As string `json:"as,omitempty"`
	// Gate is the gate before the target, where there is one.
	Gate string `json:"gate,omitempty"`
	// Target is what was acted upon, where it is known.
	Target string `json:"target,omitempty"`
	// Environment is where the target stands, where that is known.
	Environment signalbox.Environment `json:"environment,omitempty"`
	// Actions is what the request was classified as.
	Actions []Action `json:"actions,omitempty"`
	// Intent is the intent that it was found to belong to; left out where there
	// is none.
	Intent string `json:"intent,omitempty"`
}

// A Storm counts what was turned away by a rate limit before it could fill the
// log.
type Storm struct {
	// Gate is where it came in.
	Gate string `json:"gate"`
	// Session is the session concerned, where there was one.
	Session signalbox.SessionID `json:"session,omitempty"`
	// What says what was counted: "refusals", "holds", "logins".
	What string `json:"what"`
	// Count is how many were not recorded each.
	Count int64 `json:"count"`
	// From is when the first came.
	From Millis `json:"from"`
	// To is when the last came.
	To Millis `json:"to"`
}

// Kind gives [KindIntent].
func (Intent) Kind() Kind { return KindIntent }

// Kind gives [KindOutcome].
func (Outcome) Kind() Kind { return KindOutcome }

// Kind gives [KindResolution].
func (Resolution) Kind() Kind { return KindResolution }

// Kind gives [KindRefusal].
func (Refusal) Kind() Kind { return KindRefusal }

// Kind gives [KindHold].
func (Hold) Kind() Kind { return KindHold }

// Kind gives [KindApproval].
func (Approval) Kind() Kind { return KindApproval }

// Kind gives [KindConfirmation].
func (Confirmation) Kind() Kind { return KindConfirmation }

// Kind gives [KindWithdrawal].
func (Withdrawal) Kind() Kind { return KindWithdrawal }

// Kind gives [KindExpiry].
func (Expiry) Kind() Kind { return KindExpiry }

// Kind gives [KindDead].
func (Dead) Kind() Kind { return KindDead }

// Kind gives [KindReads].
func (Reads) Kind() Kind { return KindReads }

// Kind gives [KindRead].
func (Read) Kind() Kind { return KindRead }

// Kind gives [KindObservation].
func (Observation) Kind() Kind { return KindObservation }

// Kind gives [KindStorm].
func (Storm) Kind() Kind { return KindStorm }
