// Package explain says what would happen: it judges requests that nobody sends.
// JSON Lines in, one line out for each, in the order of the input; the format
// is described in docs/policy.md.
//
// The one thing to know before using it: no target is asked, so a verdict rests
// on what the requests themselves show. Each request is judged as if earlier
// allowed ones of its scenario had run and held ones had not been approved.
package explain

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
)

// MaxLine is the longest line that is read, in bytes.
const MaxLine = 16 << 20

// Config says by what to judge.
type Config struct {
	// Policy is the set to judge by. Required.
	Policy *policy.Set
	// Readers begin a scenario's requests of one kind of gate, by its name. Requests
	// of other kinds are not understood. Default none.
	Readers map[string]func() Reader
	// Now is the time at which every request is judged. Default the present.
	Now time.Time
}

// A Summary counts what was judged.
type Summary struct {
	Scenarios int // lines judged
	Bad       int // lines that could not be read
	Allowed   int // requests
	Held      int
	Denied    int
}

// An answer is one line of output.
type answer struct {
	ID      string   `json:"id"`
	Results []Result `json:"results,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// A Result is the verdict on one request.
type Result struct {
	Verdict   signalbox.Decision `json:"verdict"`
	Verb      signalbox.Verb     `json:"verb"`
	Resources []Resource         `json:"resources"`
	Impact    Impact             `json:"impact"`
	Policies  []string           `json:"policies"`
	Requires  []string           `json:"requires"`
	Confirm   bool               `json:"confirm,omitempty"`
	Reason    string             `json:"reason"`
}

// A Resource is one thing that the request would touch.
type Resource struct {
	Type  string `json:"type"`
	Name  string `json:"name"`
	Whole bool   `json:"whole"`
}

// An Impact is how much the request would touch, as far as it shows. Count is
// [signalbox.CountUnknown] if it does not show it.
type Impact struct {
	Count      int64           `json:"count"`
	Scope      signalbox.Scope `json:"scope"`
	Reversible bool            `json:"reversible"`
}

// Run judges each line of in and writes its answer to out at once. A line that
// cannot be read is answered with its error and counted in [Summary.Bad]; an
// error is returned only when in or out fail, or ctx ends.
func Run(ctx context.Context, c Config, in io.Reader, out io.Writer) (Summary, error) {
	var sum Summary
	if c.Policy == nil {
		return sum, errors.New("explain: no policy set")
	}
	if c.Now.IsZero() {
		c.Now = time.Now()
	}
	r := bufio.NewReaderSize(in, 64<<10)
	w := bufio.NewWriter(out)
	encode := json.NewEncoder(w)
	encode.SetEscapeHTML(false)
	for number := 1; ; number++ {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		line, err := readLine(r)
		if errors.Is(err, io.EOF) {
			return sum, nil
		}
		var a answer
		switch {
		case errors.Is(err, errLong):
			a.Error = fmt.Sprintf("line %d: %v", number, err)
		case err != nil:
			return sum, fmt.Errorf("read line %d: %w", number, err)
		case len(bytes.TrimSpace(line)) == 0:
			continue
		default:
			if a, err = c.explain(ctx, line, number); err != nil {
				return sum, err
			}
		}
		sum.add(a)
		if err := encode.Encode(a); err != nil {
			return sum, fmt.Errorf("write answer to line %d: %w", number, err)
		}
		// Somebody may be waiting for this line before he sends the next.
		if err := w.Flush(); err != nil {
			return sum, fmt.Errorf("write answer to line %d: %w", number, err)
		}
	}
}

func (s *Summary) add(a answer) {
	if a.Error != "" {
		s.Bad++
		return
	}
	s.Scenarios++
	for _, r := range a.Results {
		switch r.Verdict {
		case signalbox.Allow:
			s.Allowed++
		case signalbox.Hold:
			s.Held++
		default:
			s.Denied++
		}
	}
}

var errLong = fmt.Errorf("longer than %d bytes", MaxLine)

// readLine reads one line without its end. A line that is too long is read to
// its end, so that the next one can be judged, and errLong returned.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > MaxLine+1 {
			long, line = true, nil
		}
		if !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !(errors.Is(err, io.EOF) && (long || len(line) > 0)):
			return nil, err
		case long:
			return nil, errLong
		}
		return bytes.TrimSuffix(line, []byte("\n")), nil
	}
}

// explain judges one line. It returns an error only when ctx ends.
func (c Config) explain(ctx context.Context, line []byte, number int) (answer, error) {
	s, who, requests, err := c.parse(line)
	if err != nil {
		return answer{ID: s.ID, Error: fmt.Sprintf("line %d: %v", number, err)}, nil
	}
	p := newPlay(c, s, who)
	a := answer{ID: s.ID, Results: make([]Result, 0, len(requests))}
	for _, r := range requests {
		if err := ctx.Err(); err != nil {
			return a, err // nobody waits for the rest
		}
		a.Results = append(a.Results, p.judge(r))
	}
	return a, nil
}

// A play is a scenario under way: what is remembered from one request to the
// next.
type play struct {
	set     *policy.Set
	now     time.Time
	session signalbox.Session
	env     signalbox.Environment
	control control.State
	memory  session.Memory
}

func newPlay(c Config, s scenario, who signalbox.Actor) *play {
	p := &play{
		set:     c.Policy,
		now:     c.Now,
		session: signalbox.Session{ID: "explain", Actor: who, Started: c.Now, Expires: c.Now.Add(time.Hour)},
		env:     signalbox.Environment(s.Environment),
	}
	if s.Freeze {
		p.control.Freezes = []control.Freeze{{ID: "scenario", From: c.Now, Until: c.Now.Add(time.Hour),
			By: "the scenario"}}
	}
	return p
}

func (p *play) judge(r request) Result {
	actions, ran := r.native.Classify()
	v, _ := control.Decide(p.set, control.Case{
		Session: p.session,
		Gate:    control.Gate{Name: r.kind, Protocol: r.kind, Target: r.native.Target, Environment: p.env},
		Actions: actions,
		Views:   session.Views(actions, p.now, &p.memory),
		Control: p.control,
		Now:     p.now,
	})
	for _, a := range actions {
		p.memory.Note(a, v.Decision, p.now)
	}
	if v.Decision == signalbox.Allow {
		ran()
	}
	return result(actions, v)
}

func result(actions []signalbox.Action, v signalbox.Verdict) Result {
	g := actions[signalbox.Gravest(actions)]
	r := Result{
		Verdict:   v.Decision,
		Verb:      g.Verb,
		Resources: []Resource{},
		Impact:    Impact{Count: g.Impact.Count, Scope: g.Impact.Reach(), Reversible: g.Impact.Reversible},
		Policies:  append([]string{}, v.Policies...),
		Requires:  append([]string{}, v.Requires...),
		Confirm:   v.Confirm,
		Reason:    v.Reason,
	}
	if r.Reason == "" {
		r.Reason = g.Reason
	}
	seen := make(map[Resource]bool)
	list := func(a signalbox.Action) {
		for _, res := range a.Resources {
			shown := Resource{Type: res.Type, Name: res.Name, Whole: res.Whole}
			if !seen[shown] {
				seen[shown] = true
				r.Resources = append(r.Resources, shown)
			}
		}
	}
	list(g)
	for _, a := range actions {
		// What is read on the way is not what the request is about.
		if a.Verb != signalbox.Read || g.Verb == signalbox.Read {
			list(a)
		}
	}
	return r
}
