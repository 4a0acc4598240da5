// Package gate holds what all gates share.
//
// A gate is an entrance that speaks the protocol of one target. What is in this
// package has no protocol: how a gate sees the interlock, what a refusal says
// before it is put into the protocol's words, the sessions that are connected,
// the limit on failed log-ins, the summaries of what was read. Each gate is a
// folder below this one with its [Kind], by which all others know it, and what it
// must keep is tested by package gatetest.
package gate
