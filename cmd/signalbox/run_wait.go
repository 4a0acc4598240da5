package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
)

// lookEvery is how often a waiter looks at what its session has held.
const lookEvery = time.Second

// A waiter watches what a session has held while a command runs in it, and tells
// it on standard error.
type waiter struct {
	p       *program
	api     *client.Client
	session signalbox.SessionID
	live    bool // standard error is a terminal: a line there counts the time

	mu     sync.Mutex
	holds  map[string]client.Hold // that the command opened, as last seen
	order  []string               // their ids, in the order in which they were seen
	spent  map[string]bool        // approvals for which the command was started again
	line   bool                   // the counting line stands there
	taken  []string               // ids of those that Ctrl-C has taken back
	denied bool                   // one was refused, or nobody answered in time
}

// runAndWait runs a command in a session, and again when it failed because of
// what people have approved since. See the text of `run --help`.
func (p *program) runAndWait(ctx context.Context, api *client.Client, s signalbox.Session,
	start func() *exec.Cmd) error {
	w := &waiter{p: p, api: api, session: s.ID, live: terminal(p.stderr), holds: map[string]client.Hold{},
		spent: map[string]bool{}}
	// What is said when a Ctrl-C came is still to be said to the server.
	lasting := context.WithoutCancel(ctx)
	before, err := api.SessionHolds(ctx, s.ID)
	if err != nil {
		return err
	}
	for _, h := range before {
		// An approval for an earlier command of this session is no reason to start
		// this one again. What is still open may be what it asks for, too.
		w.spent[h.ID] = h.Status == "approved"
	}
	watching, stop := context.WithCancel(lasting)
	var loop sync.WaitGroup
	loop.Go(func() { w.watch(watching) })
	defer loop.Wait()
	defer stop()
	for {
		var undo sync.WaitGroup
		code, err := runChild(start(), func() { undo.Go(func() { w.withdraw(lasting) }) })
		undo.Wait()
		w.look(lasting)
		switch {
		case err != nil:
			return err
		case len(w.taken) > 0 && code != exitDone:
			return exitError(exitHeld)
		case code == exitDone:
			w.leave()
			return nil
		}
		waits := w.waiting()
		switch {
		case len(waits) > 0:
		case w.denied:
			return exitError(exitDenied)
		default:
			return exitCode(code, nil)
		}
		if !again(p.stdin) {
			w.say("signalbox: what the command was given on standard input is spent, so it cannot be started again")
			w.leave()
			return exitError(exitHeld)
		}
		w.say("signalbox: the command ended with code %d and something held: when people say yes it is started again",
			code)
		if err := w.answered(ctx, waits); err != nil {
			return err
		}
		w.say("signalbox: starting the command again")
	}
}

// answered waits until none of the holds is open. An error ends it all.
func (w *waiter) answered(ctx context.Context, ids []string) error {
	lasting := context.WithoutCancel(ctx)
	for _, id := range ids {
		h, err := waitHold(ctx, w.api, id, 0)
		if ctx.Err() != nil {
			w.withdraw(lasting)
			return exitError(exitHeld)
		}
		if err != nil {
			return err
		}
		w.look(lasting)
		if h.Status != "approved" && h.Status != "used" {
			return exitError(exitDenied)
		}
		w.mu.Lock()
		w.spent[id] = true
		w.mu.Unlock()
	}
	return nil
}

// again reports whether a command that is started again finds the same on its
// standard input, which is wound back for it.
func again(stdin io.Reader) bool {
	f, ok := stdin.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		return false
	case info.Mode().IsRegular():
		_, err := f.Seek(0, io.SeekStart)
		return err == nil
	}
	return info.Mode()&os.ModeCharDevice != 0 // a terminal, or /dev/null
}

// watch looks at the holds until ctx ends.
func (w *waiter) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// look asks how the session's holds stand and tells what is new. What cannot be
// asked just now is asked again.
func (w *waiter) look(ctx context.Context) {
	now, err := w.api.SessionHolds(ctx, w.session)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[string]bool{}
	for i := len(now) - 1; i >= 0; i-- { // oldest first
		h := now[i]
		seen[h.ID] = true
		was, known := w.holds[h.ID]
		switch {
		case w.spent[h.ID] && !known:
			continue
		case !known:
			w.order = append(w.order, h.ID)
			w.print(heldLines(h))
		case was.Missing != h.Missing && h.Status == "open":
			w.print("signalbox: hold " + h.ID + " still needs " + h.Missing)
		}
		w.settle(was, h)
		w.holds[h.ID] = h
	}
	for _, id := range w.order {
		if was := w.holds[id]; !seen[id] && (was.Status == "open" || was.Status == "approved") {
			if h, err := w.api.Hold(ctx, id); err == nil {
				w.settle(was, h)
				w.holds[id] = h
			}
		}
	}
	w.count()
}

// settle tells that a hold is no longer open. The caller holds w.mu.
func (w *waiter) settle(was, now client.Hold) {
	if now.Status == was.Status || now.Status == "open" {
		return
	}
	w.denied = w.denied || now.Status == "refused" || now.Status == "expired"
	text := "signalbox: hold " + now.ID + " is " + now.Status
	if now.Status == "approved" {
		text += " by " + yes(now)
	}
	if now.Why != "" {
		text += ": " + now.Why
	}
	w.print(text)
}

// yes names those who approved.
func yes(h client.Hold) string {
	var names []string
	for _, a := range h.Answers {
		if a.Yes {
			names = append(names, a.By)
		}
	}
	return strings.Join(names, " and ")
}

// heldLines are what somebody must know who waits for a hold.
func heldLines(h client.Hold) string {
	return fmt.Sprintf("signalbox: held: %s at %s (hold %s)\n  asked    %s: %s\n  page     %s\n  impact   it would touch %s\n  until    %s (%s left); Ctrl-C takes it back",
		what(h), h.Gate, h.ID, needs(h), h.Verdict.Reason, h.URL, h.Ceiling.Words(h.Actions), clock(h.Expires),
		left(h.Expires))
}

// say tells a line of our own.
func (w *waiter) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.print(fmt.Sprintf(format, args...))
}

// print writes lines, in which others may have had a word. The caller holds w.mu.
func (w *waiter) print(text string) {
	if w.line {
		fmt.Fprint(w.p.stderr, "\r\x1b[K")
		w.line = false
	}
	fmt.Fprintln(w.p.stderr, strings.Join(signalbox.VisibleLines(text), "\n"))
}

// count keeps a line that says how long the oldest open hold has waited. The
// caller holds w.mu.
func (w *waiter) count() {
	if !w.live {
		return
	}
	for _, id := range w.order {
		if h := w.holds[id]; h.Status == "open" {
			fmt.Fprintf(w.p.stderr, "\r\x1b[K… hold %s: waiting for %s, %s left ", h.ID,
				time.Since(h.Opened).Round(time.Second), left(h.Expires))
			w.line = true
			return
		}
	}
	if w.line {
		fmt.Fprint(w.p.stderr, "\r\x1b[K")
		w.line = false
	}
}

// waiting gives what the command may have failed for: holds that are open, and
// approved ones for which it was not started again yet.
func (w *waiter) waiting() (ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range w.order {
		if h := w.holds[id]; h.Status == "open" || h.Status == "approved" && !w.spent[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// withdraw takes back what is open, after a look at what there is.
func (w *waiter) withdraw(ctx context.Context) {
	w.look(ctx)
	for _, id := range w.waiting() {
		// What cannot be withdrawn was answered, or has run, a moment before.
		h, err := w.api.Withdraw(ctx, id)
		if err != nil {
			continue
		}
		w.mu.Lock()
		w.taken = append(w.taken, id)
		w.settle(w.holds[id], h)
		w.holds[id] = h
		w.mu.Unlock()
	}
}

// leave says what becomes of what is still open when the command has ended.
func (w *waiter) leave() {
	for _, id := range w.waiting() {
		w.say("signalbox: the command ended while hold %s waited: it ends with the session", id)
	}
}
