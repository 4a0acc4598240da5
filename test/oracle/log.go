package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// A Log gives all entries of a log, oldest first. [Ledger] and [Published] make
// one of a real log, and [Journal.Entries] is one.
type Log func(ctx context.Context) ([]proof.Entry, error)

// Ledger reads a log of this process. Where an entry does not show all of its
// actions, they are disclosed.
func Ledger(l *ledger.Log) Log {
	return func(ctx context.Context) ([]proof.Entry, error) {
		size, _, err := l.Head(ctx)
		if err != nil {
			return nil, err
		}
		var entries []proof.Entry
		err = l.Entries(ctx, 0, size, func(row ledger.Row) error {
			e, err := proof.Decode(row.Leaf)
			entries = append(entries, e)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i, e := range entries {
			in, ok := e.Body.(*proof.Intent)
			if !ok || !shortened(in.Actions) {
				continue
			}
			if in.Actions, err = disclosed(ctx, l, int64(i)); err != nil {
				return nil, fmt.Errorf("disclose all actions of entry %d: %w", i, err)
			}
		}
		return entries, nil
	}
}

func shortened(actions []proof.Action) bool {
	for _, a := range actions {
		if a.Omitted > 0 || a.Merged > 0 {
			return true
		}
	}
	return false
}

// disclosed gives all actions of an entry that does not show them in the clear.
func disclosed(ctx context.Context, l *ledger.Log, idx int64) ([]proof.Action, error) {
	_, payload, err := l.Disclose(ctx, idx)
	if err != nil {
		return nil, err
	}
	var hidden struct {
		All []signalbox.Action `json:"all_actions"`
	}
	if err := json.Unmarshal(payload, &hidden); err != nil {
		return nil, err
	}
	return shown(hidden.All), nil
}

// shown gives all of the actions in the form of an entry, of any length.
func shown(actions []signalbox.Action) []proof.Action {
	var all []proof.Action
	for _, a := range actions {
		all = append(all, proof.Action{Verb: a.Verb, Native: a.Native, Resources: a.Resources, Traits: a.Traits})
	}
	return all
}

// Published reads a log as outsiders do, from its folder or its address, and
// verifies it: [proof.Folder] of a server's data folder, [proof.Site] of its /log/.
// verifier is the log's key, as the server tells it. What is not published yet is
// waited for when it is missed.
func Published(source proof.Source, verifier, origin string) Log {
	return func(ctx context.Context) ([]proof.Entry, error) {
		trust, err := proof.ParseKey(verifier, origin)
		if err != nil {
			return nil, err
		}
		var entries []proof.Entry
		_, err = proof.VerifyLog(ctx, source, trust, proof.Options{Entry: func(_ int64, e proof.Entry) error {
			entries = append(entries, e)
			return nil
		}})
		if errors.Is(err, fs.ErrNotExist) && len(entries) == 0 {
			return nil, nil // nothing is published yet
		}
		return entries, err
	}
}

// A Journal is the log of a test in which a script stands in for interlock. The
// zero value is empty. It is safe for concurrent use.
type Journal struct {
	mu      sync.Mutex
	entries []proof.Entry
}

// Entries is a [Log].
func (j *Journal) Entries(context.Context) ([]proof.Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]proof.Entry{}, j.entries...), nil
}

// Intent records what is about to be executed, and gives the intent's id.
func (j *Journal) Intent(actions []signalbox.Action) string {
	return j.add(&proof.Intent{Actions: shown(actions)})
}

// Outcome records what came of an intent.
func (j *Journal) Outcome(intent string, o signalbox.Outcome) {
	j.add(&proof.Outcome{Intent: intent, Result: o.Result, Code: o.Code, Rows: o.Rows, Touched: o.Touched})
}

func (j *Journal) add(b proof.Body) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	id := fmt.Sprintf("journal-%d", len(j.entries)+1)
	j.entries = append(j.entries, proof.Entry{Header: proof.Header{ID: id, Time: time.Now()}, Body: b})
	return id
}

// An intent is one of the log's, with what came of it.
type intent struct {
	id      string
	actions []proof.Action
	outcome proof.Outcome // Result unknown until one is there
	settled bool          // it is there
}

// tookEffect reports whether the intent may have changed something.
func (i *intent) tookEffect() bool { return i.outcome.Result != signalbox.Failed }

func (i *intent) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", i.id, i.outcome.Result)
	if !i.settled {
		b.WriteString(" (no outcome)")
	}
	fmt.Fprintf(&b, " rows %d", i.outcome.Rows)
	if i.outcome.Touched != nil {
		fmt.Fprintf(&b, " touched %v", i.outcome.Touched)
	}
	for _, a := range i.actions {
		fmt.Fprintf(&b, "; %s %s", a.Verb, a.Native)
		for _, r := range a.Resources {
			fmt.Fprintf(&b, " [%s]", r)
		}
	}
	return b.String()
}

// intents gives the intents of the log, oldest first.
func (l Log) intents(ctx context.Context) ([]*intent, error) {
	entries, err := l(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	var all []*intent
	byID := map[string]*intent{}
	for _, e := range entries {
		switch b := e.Body.(type) {
		case *proof.Intent:
			in := &intent{id: e.ID, actions: b.Actions,
				outcome: proof.Outcome{Result: signalbox.ResultUnknown, Rows: signalbox.CountUnknown}}
			byID[e.ID] = in
			all = append(all, in)
		case *proof.Outcome:
			if in := byID[b.Intent]; in != nil {
				in.outcome, in.settled = *b, true
			}
		case *proof.Resolution:
			if in := byID[b.Intent]; in != nil {
				in.outcome.Result, in.outcome.Code, in.outcome.Rows = b.Result, b.Code, b.Rows
			}
		}
	}
	return all, nil
}
