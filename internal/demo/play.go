package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
)

// A play is what all stories have in common: who tells it, the stage, the
// auditors, and what is kept of it.
type play struct {
	*narrator
	stage
	outsiders
	result *Result
}

// A scene is one step of a story.
type scene struct {
	title string
	play  func(context.Context, *Step) error
}

// perform plays scenes, up to the first that misbehaves.
func (p *play) perform(ctx context.Context, scenes []scene) error {
	for i, s := range scenes {
		if err := errors.Join(ctx.Err(), p.err); err != nil {
			return err
		}
		began := time.Now()
		p.title(i+1, s.title)
		p.result.Steps = append(p.result.Steps, Step{Number: i + 1, Title: s.title, Lines: []Exchange{}})
		step := &p.result.Steps[i]
		err := s.play(ctx, step)
		step.Seconds = seconds(began)
		if err != nil {
			step.Error = err.Error()
			return fmt.Errorf("step %d, %s: %w", step.Number, step.Title, err)
		}
		step.OK = true
		p.means(step.Means)
	}
	return nil
}

// where names the step under way.
func (p *play) where() string {
	if n := len(p.result.Steps); n > 0 {
		return fmt.Sprintf("step %d, %s", n, p.result.Steps[n-1].Title)
	}
	return "set the stage"
}

// line tells what somebody did and what came back.
func (p *play) line(s *Step, who, did, answer string) {
	e := Exchange{Who: who, Did: did, Answer: answer}
	s.Lines = append(s.Lines, e)
	p.exchange(e)
}

// call tells of a call to the API and what came of it.
func (p *play) call(s *Step, who, did string, err error, done string) {
	var problem *client.Problem
	if errors.As(err, &problem) {
		done = fmt.Sprintf("%d %s: %s", problem.Status, http.StatusText(problem.Status), problem.Error())
	} else if err != nil {
		done = err.Error()
	}
	p.line(s, who, did, done)
}

// approve has somebody approve a hold.
func (p *play) approve(ctx context.Context, s *Step, who string, c *client.Client, hold string) (client.Hold, error) {
	h, err := c.Answer(ctx, hold, true, "")
	var yes []string
	for _, a := range h.Answers {
		yes = append(yes, a.By)
	}
	p.call(s, who, "POST /api/v1/holds/"+hold+"/approve", err,
		fmt.Sprintf("the hold is %s, yes from %s", h.Status, strings.Join(yes, " and ")))
	return h, err
}

// refused wants that the API refused somebody because of who he is.
func refused(who string, err error) error {
	if !client.IsStatus(err, http.StatusForbidden) {
		return fmt.Errorf("%s was not refused (%v)", who, err)
	}
	return nil
}

// until waits for something to be so, for ten seconds.
func until(ctx context.Context, what string, so func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := so(ctx); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		}
	}
}

// published waits until everything that happened so far is in the published log.
func (p *play) published(ctx context.Context) (h client.LogHead, err error) {
	err = until(ctx, "the log to be published", func(ctx context.Context) (bool, error) {
		h, err = p.bob.LogHead(ctx)
		return h.Published == h.Size, err
	})
	return h, err
}

// verified has an auditor verify the log, with nothing but the log and its key,
// which is in the file that is returned.
func (p *play) verified(ctx context.Context, s *Step) (key string, err error) {
	head, err := p.published(ctx)
	if err != nil {
		return "", err
	}
	p.result.Log.Entries = head.Size
	key = filepath.Join(p.folder, "log.vkey")
	if err := os.WriteFile(key, []byte(head.Verifier+"\n"), 0o600); err != nil {
		return "", err
	}
	a, err := judge(ctx, p.verify, "log", p.server.URL()+"/log/", "--key", key)
	if err != nil {
		return "", err
	}
	p.line(s, "auditor", "signalbox-verify log "+p.server.URL()+"/log/ --key log.vkey", a.text)
	for _, want := range []string{"0 violations, 0 warnings", "open        0 intents"} {
		if a.code != 0 || !strings.Contains(a.text, want) {
			return "", fmt.Errorf("signalbox-verify ended with %d and does not say %q", a.code, want)
		}
	}
	return key, nil
}

// farewell says where to look, and how long that is possible.
func (p *play) farewell(stays bool) {
	p.say("\n%s", p.mark(bold, fmt.Sprintf("All %d steps behaved, in %.0f seconds.", len(p.result.Steps),
		p.result.Seconds)))
	if stays {
		p.say("\nLook at it all, until you press Ctrl-C:")
	} else {
		p.say("\nIt was all to be seen here (run it in a terminal, and it stays until Ctrl-C):")
	}
	p.say("    console  %s", p.mark(blue, p.result.Console))
	for _, h := range p.result.Holds {
		p.say("    hold     %s", p.mark(blue, h))
	}
	p.say("    log      %s", p.mark(blue, p.result.Console+"/log/checkpoint"))
	if stays {
		p.say("Log in as Bob with this token, which opens nothing but this server:\n    %s", p.bob.token)
	}
}

// verdict gives the line in which a program says what it found: the last that
// holds one of the words, cut where it gets too long to read.
func verdict(text string, words ...string) string {
	found := ""
	for _, line := range signalbox.VisibleLines(text) {
		for _, w := range words {
			if strings.Contains(line, w) {
				found = line
			}
		}
	}
	if r := []rune(found); len(r) > 2*width {
		found = string(r[:2*width]) + " …"
	}
	return found
}
