// Package gatetest is what every gate must do, whatever protocol it speaks, as
// tests that run against each of them.
//
// The one thing to know: [Exercise] asks the target itself, and not the gate,
// what took effect. A gate's tests give it a [Subject]: a client of theirs, a
// look at the target behind the gate's back, and the journal of what the gate
// told interlock.
package gatetest

import (
	"context"
	"slices"
	"testing"

	"github.com/signalbox-dev/signalbox"
)

// A Subject is a gate with one client, in front of a target of its own.
type Subject struct {
	// Read observes the target through the gate, Change changes it. Change may
	// be called again after an error.
	Read, Change func(ctx context.Context) error
	// Effects counts the changes that took effect, asked of the target directly.
	Effects func(ctx context.Context) (int, error)
	// Journal lists what the gate told interlock, in order: [Reads], [Intent]
	// or [Outcome].
	Journal func() []Entry
	// Decide says what becomes of the next changes. With an empty decision
	// interlock cannot record anything.
	Decide func(signalbox.Decision)
	// Held and Denied report whether an error says so in the protocol's words.
	Held, Denied func(error) bool
	// Halt stops the client's session.
	Halt func()
}

// An Entry is one thing that a gate told interlock.
type Entry string

// The entries.
const (
	Reads   Entry = "reads"   // a summary of reads
	Intent  Entry = "intent"  // recorded before the effect
	Outcome Entry = "outcome" // recorded after it
)

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
	var got []Entry
	for _, e := range s.Journal() {
		if e != Reads {
			got = append(got, e)
		}
	}
	if want := []Entry{Intent, Outcome, Intent, Outcome, Intent, Outcome}; !slices.Equal(got, want) {
		t.Errorf("journal %q, want %q", got, want)
	}
}

// Promise P6, and the client can tell the two refusals from each other.
func refused(t *testing.T, s Subject) {
	s.Decide(signalbox.Hold)
	if err := s.Change(t.Context()); !s.Held(err) || s.Denied(err) {
		t.Errorf("held change: %v", err)
	}
	s.Decide(signalbox.Deny)
	if err := s.Change(t.Context()); !s.Denied(err) || s.Held(err) {
		t.Errorf("denied change: %v", err)
	}
	effects(t, s, 0)
	if slices.Contains(s.Journal(), Intent) {
		t.Error("a refused change has an intent")
	}
	// A refusal is not the end: what is allowed afterwards runs.
	s.Decide(signalbox.Allow)
	if err := s.Change(t.Context()); err != nil {
		t.Errorf("change after refusals: %v", err)
	}
	effects(t, s, 1)
}

func unrecorded(t *testing.T, s Subject) {
	s.Decide("")
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
	journal := s.Journal()
	reads, outcome := slices.Index(journal, Reads), slices.Index(journal, Outcome)
	if reads < 0 || reads > outcome {
		t.Errorf("journal %q: the read is not recorded before the change is done", journal)
	}
}

// Promise P9.
func halted(t *testing.T, s Subject) {
	if err := s.Change(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Halt()
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
