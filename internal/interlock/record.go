package interlock

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/approval"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// newID gives a ULID for now: sortable, unique, not secret.
func newID(now time.Time) string {
	return ulid.MustNew(ulid.Timestamp(now), ulid.DefaultEntropy()).String()
}

// seal makes the record of one entry. What is hidden is a salted commitment in
// the log and stands beside it, erasable (promise P11).
func seal(now time.Time, id string, body proof.Body, hidden proof.Hidden) (ledger.Record, error) {
	for name, v := range hidden {
		if v == nil || v == "" {
			delete(hidden, name)
		}
	}
	leaf, err := proof.Seal(proof.Header{ID: id, Time: now}, body, hidden)
	if err != nil {
		return ledger.Record{}, fmt.Errorf("seal %s entry: %w", body.Kind(), err)
	}
	return ledger.Record{ID: id, Leaf: leaf.Bytes, Key: leaf.Key, Payload: leaf.Payload}, nil
}

// hideRequest gives the hidden fields of a request.
func hideRequest(r Request) proof.Hidden {
	h := proof.Hidden{"request": r.Text}
	if len(r.Params) > 0 {
		h["parameters"] = r.Params
	}
	return h
}

// clearActions gives what the entry shows of the actions, and puts the whole
// list among the hidden fields where that is not all.
func clearActions(actions []signalbox.Action, hidden proof.Hidden) []proof.Action {
	clear, complete := proof.ClearActions(actions)
	if !complete {
		hidden["all_actions"] = actions
	}
	return clear
}

func intentRecord(id string, as []*Admission, c *snapshot, row IntentRow, prepared Prepared, retries, replica string,
	now time.Time) (ledger.Record, error) {
	r := as[0].request
	body := proof.Intent{
		Session: r.Session.ID, Actor: r.Session.Actor,
		Gate: r.Gate.Name, Target: r.Gate.Target, Environment: r.Gate.Environment,
		Hold: row.Hold, Retries: retries, Epoch: c.Epoch, Gap: !prepared.Atomic, Lease: replica,
	}
	if c.set != nil {
		body.Policy = c.set.Version()
	}
	hidden := hideRequest(r)
	hideReference(hidden, prepared.Reference)
	verdict := as[0].verdict
	digests := make([]proof.Part, len(as))
	var texts, params []string
	for n, a := range as {
		if a.hold != nil {
			verdict = a.hold.Verdict
			body.Digest = a.hold.Digest
		}
		if a.breakGlassID != "" {
			body.BreakGlass = a.breakGlassID
		}
		digests[n] = proof.Bytes("request", a.request.Canonical[:])
		texts = append(texts, a.request.Text)
		params = append(params, a.request.Params...)
	}
	if row.Hold == "" && len(as) > 1 {
		for _, a := range as[1:] {
			verdict = verdict.And(a.verdict)
		}
	}
	if len(as) > 1 {
		hidden["request"] = strings.Join(texts, ";\n")
		if len(params) > 0 {
			hidden["parameters"] = params
		}
	}
	if body.Digest.IsZero() {
		salt := proof.NewSalt()
		hidden["salt"] = salt
		body.Digest = proof.Commit(salt, proof.CanonicalDigest("signalbox/intent/1", digests...))
	}
	body.Verdict = proof.ClearVerdict(verdict)
	body.Actions = clearActions(row.Actions, hidden)
	return seal(now, id, body, hidden)
}

func outcomeRecord(intent string, out signalbox.Outcome, now time.Time) (ledger.Record, error) {
	return seal(now, newID(now), proof.Outcome{
		Intent: intent, Result: out.Result, Code: out.Code, Rows: out.Rows, Touched: out.Touched,
	}, hideOutcome(out))
}

// hideOutcome gives the hidden fields of an outcome or a resolution.
func hideOutcome(out signalbox.Outcome) proof.Hidden {
	h := proof.Hidden{"detail": out.Detail}
	hideReference(h, out.Reference)
	return h
}

func hideReference(h proof.Hidden, ref signalbox.Reference) {
	if len(ref) > 0 {
		h["reference"] = ref
	}
}

func readsRecords(sums []proof.Reads, now time.Time) ([]ledger.Record, error) {
	records := make([]ledger.Record, 0, len(sums)+1) // an intent may follow
	for _, sum := range sums {
		record, err := seal(now, newID(now), sum, nil)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

func holdRecord(h approval.Hold, r Request, now time.Time) (ledger.Record, error) {
	hidden := hideRequest(r)
	hidden["facts"] = h.Facts
	hidden["state"] = h.State
	hidden["salt"] = h.Salt
	actions := slices.Clone(h.Actions)
	actions[signalbox.Gravest(actions)].Impact = h.Ceiling
	state := make([]proof.Part, len(h.State))
	for n, f := range h.State {
		state[n] = proof.Text(f.Name, f.Value)
	}
	return seal(now, h.ID, proof.Hold{
		Hold: h.ID, Session: h.Session, Actor: h.Actor,
		Gate: h.Gate, Target: h.Target, Environment: h.Environment,
		Actions: clearActions(actions, hidden), Verdict: proof.ClearVerdict(h.Verdict), Policy: h.Policy,
		Digest: h.Digest, State: proof.Commit(h.Salt, proof.CanonicalDigest("signalbox/state/1", state...)),
		Expires: proof.At(h.Expires),
	}, hidden)
}

func refusalRecord(a *Admission, set signalbox.Digest, now time.Time) (ledger.Record, error) {
	r := a.request
	hidden := hideRequest(r)
	verdict := proof.ClearVerdict(a.verdict)
	// The reason may quote what was asked for.
	hidden["reason"], verdict.Reason = verdict.Reason, ""
	body := proof.Refusal{
		Session: r.Session.ID, Actor: r.Session.Actor,
		Gate: r.Gate.Name, Target: r.Gate.Target, Environment: r.Gate.Environment,
		Actions: clearActions(r.Actions, hidden), Verdict: verdict, Policy: set, Hold: a.Hold(),
	}
	if !r.Canonical.IsZero() {
		body.Digest = commitRequest("signalbox/refusal/1", r, hidden)
	}
	return seal(now, newID(now), body, hidden)
}

// commitRequest gives a commitment to the canonical request, and hides its salt.
func commitRequest(domain string, r Request, hidden proof.Hidden) signalbox.Digest {
	salt := proof.NewSalt()
	hidden["salt"] = salt
	return proof.Commit(salt, proof.CanonicalDigest(domain, proof.Bytes("request", r.Canonical[:])))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
