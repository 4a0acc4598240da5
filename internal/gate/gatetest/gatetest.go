// Package gatetest is what every gate must do, whatever protocol it speaks, as
// tests that run against each of them.
//
// The one thing to know: [Exercise] asks the target itself, and not the gate,
// what took effect. A gate's tests give it a [Subject]: a client of theirs, a
// look at the target behind the gate's back, and the [Script] that its interlock
// follows. A [House] is for tests that need the real one.
package gatetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// A Subject is a gate with one client, in front of a target of its own.
type Subject struct {
	// Read observes the target through the gate, Change changes it. Change may
	// be called again after an error.
	Read, Change func(ctx context.Context) error
	// Effects counts the changes that took effect, asked of the target directly.
	Effects func(ctx context.Context) (int, error)
	// Script is what the gate has for an interlock.
	Script *Script
	// Held and Denied report whether an error says so in the protocol's words.
	Held, Denied func(error) bool
}

// The entries of a journal that every gate makes, by their first word.
const (
	reads   = "reads"   // a summary of reads
	intent  = "intent"  // recorded before the effect
	outcome = "outcome" // recorded after it
)

// journal gives these entries of what the gate told interlock, in order.
func (s Subject) journal() []string {
	var list []string
	for _, e := range s.Script.Entries() {
		if word, _, _ := strings.Cut(e, " "); slices.Contains([]string{reads, intent, outcome}, word) {
			list = append(list, word)
		}
	}
	return list
}

// decide says what becomes of the next changes. With an empty decision interlock
// cannot record anything.
func (s Subject) decide(d signalbox.Decision) {
	s.Script.Mu.Lock()
	defer s.Script.Mu.Unlock()
	s.Script.Decide, s.Script.Failing = nil, nil
	if d == "" {
		s.Script.Failing = fmt.Errorf("%w: disk full", interlock.ErrUnavailable)
		return
	}
	s.Script.Decide = func(r interlock.Request) error {
		reads := !slices.ContainsFunc(r.Actions, func(a signalbox.Action) bool { return a.Verb != signalbox.Read })
		switch {
		case reads || d == signalbox.Allow:
			return nil
		case d == signalbox.Hold:
			return Holding("")(r)
		}
		return &interlock.DeniedError{Verdict: signalbox.Verdict{Decision: signalbox.Deny, Reason: "no"}}
	}
}

// Exercise runs the suite, each test with a subject of its own.
func Exercise(t *testing.T, open func(t *testing.T) Subject) {
	tests := map[string]func(*testing.T, Subject){
		"record before act":         recordBeforeAct,
		"refused means not done":    refused,
		"unrecorded means not done": unrecorded,
		"reads come before writes":  readsFirst,
		"halted means over":         halted,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// Promises P1 and P2: an intent before each effect, one outcome after it.
func recordBeforeAct(t *testing.T, s Subject) {
	for i := range 3 {
		if err := s.Change(t.Context()); err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
	}
	effects(t, s, 3)
	got := slices.DeleteFunc(s.journal(), func(e string) bool { return e == reads })
	if want := []string{intent, outcome, intent, outcome, intent, outcome}; !slices.Equal(got, want) {
		t.Errorf("journal %q, want %q", got, want)
	}
}

// Promise P6, and the client can tell the two refusals from each other.
func refused(t *testing.T, s Subject) {
	s.decide(signalbox.Hold)
	if err := s.Change(t.Context()); !s.Held(err) || s.Denied(err) {
		t.Errorf("held change: %v", err)
	}
	s.decide(signalbox.Deny)
	if err := s.Change(t.Context()); !s.Denied(err) || s.Held(err) {
		t.Errorf("denied change: %v", err)
	}
	effects(t, s, 0)
	if slices.Contains(s.journal(), intent) {
		t.Error("a refused change has an intent")
	}
	// A refusal is not the end: what is allowed afterwards runs.
	s.decide(signalbox.Allow)
	if err := s.Change(t.Context()); err != nil {
		t.Errorf("change after refusals: %v", err)
	}
	effects(t, s, 1)
}

func unrecorded(t *testing.T, s Subject) {
	s.decide("")
	if err := s.Change(t.Context()); err == nil || s.Held(err) || s.Denied(err) {
		t.Errorf("change that cannot be recorded: %v", err)
	}
	effects(t, s, 0)
}

// What a session read is recorded before what it does next.
func readsFirst(t *testing.T, s Subject) {
	if err := s.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Change(t.Context()); err != nil {
		t.Fatal(err)
	}
	journal := s.journal()
	// Summaries go before the intent, or in the same batch.
	if r, i := slices.Index(journal, reads), slices.Index(journal, intent); r < 0 || r > i {
		t.Errorf("journal %q: the read is not recorded before the change is made", journal)
	}
}

// Promise P9.
func halted(t *testing.T, s Subject) {
	if err := s.Change(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Script.Halt()
	if err := s.Change(t.Context()); err == nil {
		t.Error("a halted session changed something")
	}
	if err := s.Read(t.Context()); err == nil {
		t.Error("a halted session read something")
	}
	effects(t, s, 1)
}

func effects(t *testing.T, s Subject, want int) {
	t.Helper()
	got, err := s.Effects(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%d changes took effect, want %d", got, want)
	}
}
