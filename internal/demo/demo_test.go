package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMain lets the stories start this program as their agent.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "demo" && os.Args[2] == "agent" {
		os.Exit(Agent(context.Background(), os.Args[3:], os.Stdout))
	}
	os.Exit(m.Run())
}

// A reader is what a person in front of the demo sees, who does something when
// he reads a text.
type reader struct {
	mu   sync.Mutex
	text bytes.Buffer
	at   string
	do   func()
}

func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.Write(p)
	if r.do != nil && bytes.Contains(r.text.Bytes(), []byte(r.at)) {
		do := r.do
		r.do = nil
		do()
	}
	return len(p), nil
}

func (r *reader) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// nothingLeft gives the test a folder for temporary files of its own, and fails
// it when it ends with a file in there or with a child process.
func nothingLeft(t *testing.T) {
	t.Helper()
	// Not t.TempDir: PostgreSQL runs as another user where we are root.
	dir, err := os.MkdirTemp("", "signalbox-demo-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		for _, f := range left {
			t.Errorf("left behind: %s", f.Name())
		}
		// PostgreSQL's processes and what else was started with these folders.
		out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,args=").Output()
		if err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(string(out)) {
			var pid, parent int
			if n, _ := fmt.Sscan(line, &pid, &parent); n != 2 {
				continue
			}
			if parent == os.Getpid() && !strings.Contains(line, "ps -A") || strings.Contains(line, dir) {
				t.Errorf("left behind: process %s", strings.TrimSpace(line))
			}
		}
		os.RemoveAll(dir)
	})
}

// The whole story, with somebody who looks at the pages afterwards and leaves.
func TestOrders(t *testing.T) {
	nothingLeft(t)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	told := &reader{at: "Log in as Bob"}
	looked := make(chan error, 1)
	told.do = func() {
		go func() {
			defer leave()
			looked <- look(told)
		}()
	}
	r, err := Run(ctx, Config{Story: OrdersDatabase, Out: told, Wait: true})
	if err != nil {
		t.Fatalf("%v\n%s", err, told)
	}
	if err := <-looked; err != nil {
		t.Errorf("looking at the pages: %v", err)
	}
	if !r.OK || r.Error != "" || r.Log.Entries == 0 || r.Log.Verifier == "" || len(r.Holds) != 3 {
		t.Errorf("result: %+v", r)
	}
	want := []string{
		"Kiro looks around", "Kiro mends one order", "Kiro wants to drop the table",
		"Kiro approves its own request; so does Alice", "Bob and Carol approve",
		"The same statement again: it runs", "The table is restored, and Kiro sends it a second time",
		"A small UPDATE that is not small", "Bob freezes production",
		"Carol halts Kiro in the middle of a transaction", "Outsiders verify the log",
		"Somebody rewrites history in a copy of the log",
	}
	var titles []string
	for i, s := range r.Steps {
		titles = append(titles, s.Title)
		if !s.OK || s.Number != i+1 || s.Means == "" || len(s.Lines) == 0 {
			t.Errorf("step %+v", s)
		}
		if !strings.Contains(told.String(), fmt.Sprintf("%2d  %s", s.Number, s.Title)) {
			t.Errorf("step %d was not told", s.Number)
		}
	}
	if d := cmp.Diff(want, titles); d != "" {
		t.Error(d)
	}
	if strings.Contains(told.String(), "\x1b") {
		t.Error("marks for a terminal, which were not asked for")
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(r.Console, "http://")); err == nil {
		c.Close()
		t.Error("the server still listens")
	}
}

// look logs in at the console as the narration says, and opens the pages named.
func look(told *reader) error {
	text := told.String()
	between := func(from, to string) string {
		_, rest, _ := strings.Cut(text, from)
		out, _, _ := strings.Cut(rest, to)
		return strings.TrimSpace(out)
	}
	console, hold := between("console  ", "\n"), between("    hold     ", "\n")
	token := between("this server:\n", "\n")
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Jar: jar}
	resp, err := browser.PostForm(console+"/login", url.Values{"token": {token}})
	if err != nil {
		return err
	}
	resp.Body.Close()
	for _, page := range []string{console, hold} {
		resp, err := browser.Get(page)
		if err != nil {
			return err
		}
		var body bytes.Buffer
		_, err = body.ReadFrom(resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK || !strings.Contains(body.String(), "DROP TABLE") {
			return fmt.Errorf("%s: %s: %.200s", page, resp.Status, body.String())
		}
	}
	return nil
}

// Ctrl-C, wherever it comes: everything is gone, and the error says where.
func TestCancelled(t *testing.T) {
	for name, at := range map[string]string{
		"before the first step":                   "Signalbox",
		"between steps":                           "Kiro mends one order",
		"while a statement runs in the database":  "Carol halts Kiro",
		"while the auditor's programs are called": "Outsiders verify",
	} {
		t.Run(name, func(t *testing.T) {
			nothingLeft(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			told := &reader{at: at, do: cancel}
			r, err := Run(ctx, Config{Story: OrdersDatabase, Out: told})
			if !errors.Is(err, context.Canceled) || r.OK {
				t.Errorf("result %v, error %v", r.OK, err)
			}
			if at != "Signalbox" && !strings.Contains(err.Error(), at) {
				t.Errorf("the error does not name the step %q: %v", at, err)
			}
		})
	}
}

// program writes an executable shell script.
func program(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// A step that does not behave ends the story and is named.
func TestMisbehaving(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		step   int
		want   string
	}{
		"the log is not verified": {Config{Verify: program(t, "echo broken; exit 1")}, 11,
			"signalbox-verify ended with 1"},
		"a forged log passes for verified": {Config{Fsck: program(t, "exit 0")}, 12,
			"fsck ended with 0 on a forged log"},
	} {
		t.Run(name, func(t *testing.T) {
			nothingLeft(t)
			told := &reader{}
			c.config.Story, c.config.Out = OrdersDatabase, told
			r, err := Run(t.Context(), c.config)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("step %d, ", c.step)) ||
				!strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want step %d and %q", err, c.step, c.want)
			}
			last := r.Steps[len(r.Steps)-1]
			if r.OK || r.Error != err.Error() || len(r.Steps) != c.step || last.OK || last.Error == "" {
				t.Errorf("result: %+v", r)
			}
			if !strings.Contains(told.String(), "✗ "+err.Error()) {
				t.Error("the failure was not told")
			}
		})
	}
}

// What is missing is said before anything is started.
func TestMissing(t *testing.T) {
	nothingLeft(t)
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"fsck":  {Config{Story: OrdersDatabase, Fsck: nowhere}, "make foreign-tools"},
		"story": {Config{Story: "hamlet"}, "there are: december, orders-database"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Run(t.Context(), c.config)
			if err == nil || !strings.Contains(err.Error(), c.want) || r.OK || len(r.Steps) != 0 {
				t.Errorf("result %+v, error %v, want %q", r, err, c.want)
			}
		})
	}
	if _, err := Run(t.Context(), Config{Story: "hamlet"}); !errors.Is(err, ErrUnknownStory) {
		t.Errorf("error %v", err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// Nobody listens any more: the story ends, and cleans up.
func TestBrokenPipe(t *testing.T) {
	nothingLeft(t)
	if r, err := Run(t.Context(), Config{Story: OrdersDatabase, Out: brokenPipe{}}); err == nil || r.OK ||
		!strings.Contains(err.Error(), "broken pipe") {
		t.Errorf("result %v, error %v", r.OK, err)
	}
}

func TestNarrator(t *testing.T) {
	var b bytes.Buffer
	n := &narrator{w: &b}
	n.title(3, "Kiro drops it")
	n.exchange(Exchange{Who: "kiro", Did: "psql", Answer: "one\n\x1b[31mtwo\u202e\n"})
	n.tell(green, "    ✓ ", strings.Repeat("word ", 30))
	want := `
 3  Kiro drops it
    kiro> psql
    │ one
    │ \x1b[31mtwo\u202e
    ✓ word word word word word word word word word word word word word word word word word word
      word word word word word word word word word word word word
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
	b.Reset()
	n.color = true
	n.title(1, "x")
	if got, want := b.String(), "\n\x1b[1m 1  x\x1b[0m\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
