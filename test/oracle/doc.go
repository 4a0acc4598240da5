// Package oracle tells the tests of gates what really happened to a target, and
// fails a test in which something happened that no intent names.
//
// The one thing to know: the target is the oracle, and not the log. A picture of
// the target is taken behind the gate's back, [Oracle.Check] takes it again, and
// each difference must be named by an intent of the log whose outcome is done or
// unknown. Without one, or under an outcome that says failed, the test fails,
// whatever else the log tells. [CheckUpstream] does the same with what arrived at
// an account behind a gate of AWS's.
package oracle
