// Package demo plays stories that show Signalbox at work: real client programs
// against real targets, with a server of its own in between.
//
// The one thing to know: a story checks what it tells. Each step says what was
// typed, what came back and what that means, and a step that does not behave
// ends the story with an error that names it. Everything that a story starts
// ends with it, whether it ends well, badly or by Ctrl-C: no process and no
// folder is left.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// The stories.
const (
	// December is the December incident itself: an agent deletes a production
	// environment to mend a small bug, first without a gate and then with one.
	// The cloud is a stand-in.
	December = "december"
	// OrdersDatabase is such a day on a PostgreSQL.
	OrdersDatabase = "orders-database"
)

// A Config says what to play, and for whom.
type Config struct {
	// Story is the story's name. Default [December].
	Story string
	// Out gets the narration. Default: nobody.
	Out io.Writer
	// Color marks the narration for a terminal. Default false.
	Color bool
	// Wait keeps everything running after the story, for people to look at,
	// until the context ends. The narration then holds the token of one of the
	// story's people, who is good for this server alone. Default false.
	Wait bool
	// Verify is the program signalbox-verify. Default: the one beside the
	// running program, or one built for the occasion where Go and the source
	// are at hand.
	Verify string
	// Fsck is Tessera's log checker, as test/setup builds it, for the stories
	// that call it. Default: the one beside the running program, or in
	// .cache/bin of the source.
	Fsck string
	// Agent is the command that runs [Agent] in a process of its own. Default:
	// the running program with the arguments "demo", "agent".
	Agent []string
}

// A Result is what a story came to.
type Result struct {
	Story   string   `json:"story"`
	OK      bool     `json:"ok"`
	Error   string   `json:"error,omitempty"` // the step that misbehaved, and how
	Steps   []Step   `json:"steps"`
	Console string   `json:"console,omitempty"` // address of the server's pages
	Holds   []string `json:"holds,omitempty"`   // addresses of the pages of the holds, in order
	Log     Log      `json:"log"`
	Seconds float64  `json:"seconds"` // without waiting for people to look
}

// A Step is one scene of a story.
type Step struct {
	Number  int        `json:"number"`
	Title   string     `json:"title"`
	OK      bool       `json:"ok"`
	Lines   []Exchange `json:"lines"`
	Means   string     `json:"means,omitempty"`
	Error   string     `json:"error,omitempty"`
	Seconds float64    `json:"seconds"`
}

// An Exchange is what somebody did and what came back.
type Exchange struct {
	Who    string `json:"who"`
	Did    string `json:"did"`
	Answer string `json:"answer,omitempty"`
}

// A Log is what was verified at the end.
type Log struct {
	Entries  int64  `json:"entries"`
	Verifier string `json:"verifier,omitempty"`
}

// ErrUnknownStory says that there is no story of that name.
var ErrUnknownStory = errors.New("there is no such story")

// A story is told by run, up to the first step that misbehaves. strike removes
// all that it has started.
type story interface {
	run(ctx context.Context, c Config) error
	strike()
}

// Stories lists the names of the stories, the default first.
func Stories() []string { return []string{December, OrdersDatabase} }

func newStory(name string, p *play) (story, bool) {
	switch name {
	case December:
		return &december{play: p}, true
	case OrdersDatabase:
		return &orders{play: p}, true
	}
	return nil, false
}

// Run plays a story and returns when everything that it started is gone. The
// result is good with an error too, as far as the story went. When ctx ends
// before the story does, the error is that of ctx; while people look around
// afterwards, the end of ctx is no error.
func Run(ctx context.Context, c Config) (Result, error) {
	if c.Story == "" {
		c.Story = December
	}
	if c.Out == nil {
		c.Out = io.Discard
	}
	r := Result{Story: c.Story, Steps: []Step{}}
	p := &play{narrator: &narrator{w: c.Out, color: c.Color}, result: &r}
	s, ok := newStory(c.Story, p)
	if !ok {
		return r, fmt.Errorf("story %q: %w (there are: %s)", c.Story, ErrUnknownStory, strings.Join(Stories(), ", "))
	}
	began := time.Now()
	defer s.strike()
	err := s.run(ctx, c)
	r.Seconds = seconds(began)
	if err == nil {
		err = p.err // what nobody could read was not told
	}
	switch {
	case err != nil && ctx.Err() != nil:
		// What was under way then failed because of it.
		err = fmt.Errorf("%s: %w", p.where(), ctx.Err())
		p.stopped(p.where())
	case err != nil:
		p.failed(err, p.said.last(12))
	}
	if err != nil {
		r.Error = err.Error()
		return r, err
	}
	r.OK = true
	p.farewell(c.Wait)
	if c.Wait {
		<-ctx.Done()
		p.say("\nCleaning up.")
	}
	return r, nil
}

func seconds(since time.Time) float64 {
	return float64(time.Since(since).Round(time.Millisecond)) / float64(time.Second)
}
