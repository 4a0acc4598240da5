//go:build race

package pgwire

// raceMemory is how much more memory the race detector takes, at most.
const raceMemory = 4
