package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/demo/standin"
)

func TestDecember(t *testing.T) {
	nothingLeft(t)
	told := &reader{}
	r, err := Run(t.Context(), Config{Out: told})
	if err != nil {
		t.Fatalf("%v\n%s", err, told)
	}
	if r.Story != December || !r.OK || r.Error != "" || r.Log.Entries == 0 || r.Log.Verifier == "" ||
		len(r.Holds) != 2 {
		t.Errorf("result: %+v", r)
	}
	want := []string{
		"Without a gate: Kiro is asked to mend a bill", "The same day again, with a gate",
		"Kiro wants to delete the environment",
		"Kiro approves its own request; so does Alice", "Bob and Carol look, and refuse", "Kiro insists",
		"Kiro proposes the small change",
		"The session, from its beginning to its end", "An auditor verifies the log",
	}
	var titles []string
	for i, s := range r.Steps {
		titles = append(titles, s.Title)
		if !s.OK || s.Number != i+1 || s.Means == "" || len(s.Lines) == 0 {
			t.Errorf("step %+v", s)
		}
	}
	if d := cmp.Diff(want, titles); d != "" {
		t.Error(d)
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(r.Console, "http://")); err == nil {
		c.Close()
		t.Error("the server still listens")
	}
	// The gate's credential is real, so it is in nobody's words.
	if strings.Contains(told.String(), "AKIA") {
		t.Error("the narration shows the real access key")
	}
}

// Ctrl-C, wherever it comes: everything is gone, and the error says where.
func TestDecemberCancelled(t *testing.T) {
	for name, at := range map[string]string{
		"before the first step":      "Signalbox",
		"while the stack is gone":    "delete-stack",
		"while the agent is at work": "Kiro wants to delete",
	} {
		t.Run(name, func(t *testing.T) {
			nothingLeft(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			told := &reader{at: at, do: cancel}
			r, err := Run(ctx, Config{Out: told})
			if !errors.Is(err, context.Canceled) || r.OK {
				t.Errorf("result %v, error %v\n%s", r.OK, err, told)
			}
		})
	}
}

// A step that does not behave ends the story and is named.
func TestDecemberMisbehaving(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		step   int
		want   string
	}{
		"the agent fails":            {Config{Agent: []string{program(t, "exit 1")}}, 1, "ended with 1"},
		"the agent leaves things be": {Config{Agent: []string{program(t, "exit 0")}}, 1, "0 requests failed"},
		"the agent is not there":     {Config{Agent: []string{"/nowhere/agent"}}, 1, "start the agent"},
		"the log is not verified": {Config{Verify: program(t, "echo broken; exit 1")}, 9,
			"signalbox-verify ended with 1"},
	} {
		t.Run(name, func(t *testing.T) {
			nothingLeft(t)
			r, err := Run(t.Context(), c.config)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("step %d, ", c.step)) ||
				!strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want step %d and %q", err, c.step, c.want)
			}
			if last := r.Steps[len(r.Steps)-1]; r.OK || len(r.Steps) != c.step || last.OK || last.Error == "" {
				t.Errorf("result: %+v", r)
			}
		})
	}
}

// The bug is in the bills, and mending it is worth what the story says.
func TestBills(t *testing.T) {
	cloud, err := newCloud(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer cloud.Close()
	d := &december{cloud: cloud}
	if err := d.billed(t.Context(), wrongCents); err != nil {
		t.Error(err)
	}
	if err := d.billed(t.Context(), rightCents); err == nil {
		t.Error("the bill is right before anything was mended")
	}
	var customers []int
	for line := range strings.Lines(usage()) {
		var u standin.Usage
		if err := json.Unmarshal([]byte(line), &u); err != nil {
			t.Fatal(err)
		}
		customers = append(customers, u.Customer)
	}
	if n := len(slices.Compact(customers)); n != numberOfCustomers {
		t.Errorf("%d customers", n)
	}
}

func TestTally(t *testing.T) {
	c := &customers{}
	at := time.Unix(0, 0)
	for i, ok := range []bool{true, false, false, false, true, false, true} {
		c.count(ok, at.Add(time.Duration(i)*time.Second))
	}
	if d := cmp.Diff(tally{requests: 7, failed: 4, longest: 3 * time.Second}, c.met(),
		cmp.AllowUnexported(tally{})); d != "" {
		t.Error(d)
	}
}
