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
	"slices"
	"strings"
	"time"
)

// OrdersDatabase is the story of the December incident, told on a database.
const OrdersDatabase = "orders-database"

// A Config says what to play, and for whom.
type Config struct {
	// Story is the story's name. Default [OrdersDatabase].
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
	// Fsck is Tessera's log checker, as test/setup builds it. Default: the one
	// beside the running program, or in .cache/bin of the source.
	Fsck string
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

// Stories lists the names of the stories.
func Stories() []string { return []string{OrdersDatabase} }

// Run plays a story and returns when everything that it started is gone. The
// result is good with an error too, as far as the story went. When ctx ends
// before the story does, the error is that of ctx; while people look around
// afterwards, the end of ctx is no error.
func Run(ctx context.Context, c Config) (Result, error) {
	if c.Story == "" {
		c.Story = OrdersDatabase
	}
	r := Result{Story: c.Story, Steps: []Step{}}
	if !slices.Contains(Stories(), c.Story) {
		return r, fmt.Errorf("story %q: %w (there is: %s)", c.Story, ErrUnknownStory, strings.Join(Stories(), ", "))
	}
	if c.Out == nil {
		c.Out = io.Discard
	}
	began := time.Now()
	n := &narrator{w: c.Out, color: c.Color}
	o := &orders{narrator: n, result: &r}
	defer o.strike()
	err := o.play(ctx, c)
	r.Seconds = seconds(began)
	if err == nil {
		err = n.err // what nobody could read was not told
	}
	switch {
	case err != nil && ctx.Err() != nil:
		// What was under way then failed because of it.
		err = fmt.Errorf("%s: %w", o.where(), ctx.Err())
		n.stopped(o.where())
	case err != nil:
		n.failed(err, o.said.last(12))
	}
	if err != nil {
		r.Error = err.Error()
		return r, err
	}
	r.OK = true
	o.farewell(c.Wait)
	if c.Wait {
		<-ctx.Done()
		n.say("\nCleaning up.")
	}
	return r, nil
}

func seconds(since time.Time) float64 {
	return float64(time.Since(since).Round(time.Millisecond)) / float64(time.Second)
}
