// Package signalbox holds the words of the system: what an action is, who
// acts, what it would touch, what is decided and what came of it. Every other
// package speaks in these types; this one imports the standard library alone.
//
// The one thing to know before using it: zero values are the cautious ones. A
// zero [Decision] denies, a zero [Scope] is unknown, a zero [Result] is unknown.
package signalbox
