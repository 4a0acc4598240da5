// Package pgtest starts real PostgreSQL servers that are thrown away.
//
// Tests, the demo and the benchmarks need a PostgreSQL that nobody else uses.
// [Start] makes one in about a second: initdb into a folder of its own, SCRAM
// passwords, a free port on the loopback interface. The one thing to know is
// that a server never outlives the process that started it, even when that
// process is killed: see test/scratch. Its folder is removed by Close, and
// what a killed process left behind is removed by the next Start.
//
// A test that may share a server with the others of its binary calls [Shared],
// which costs one CREATE DATABASE; a test that stops, kills or configures its
// server calls [New].
package pgtest
