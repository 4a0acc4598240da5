//go:build !race

package pgwire

const raceMemory = 1
