package sql

import (
	"context"
	"runtime"

	"golang.org/x/sync/semaphore"
)

// The parser takes up to 160 times the length of a text in memory. So texts that
// are not short are parsed in turn: those parsed at once are together no longer
// than the longest may be. Short ones never wait.
const shortText = maxCached

var parsing = semaphore.NewWeighted(MaxText)

// inTurn calls parse when the turn of a text has come. The caller has no other.
func inTurn(text string, parse func()) {
	n := weight(text)
	if n == 0 {
		parse()
		return
	}
	// It comes: whoever has a turn waits for nothing.
	if parsing.Acquire(context.Background(), n) == nil {
		defer release(n)
		parse()
	}
}

// release ends a turn. What a long text leaves is collected before the next one is
// parsed, for the collector by itself would let twice as much lie.
func release(n int64) {
	if n >= MaxText/4 {
		runtime.GC()
	}
	parsing.Release(n)
}

// within calls parse for a text that is parsed on behalf of another. If that has a
// turn of its own, the text does not wait for one: when there is no room, it is not
// parsed.
func within(text string, turn bool, parse func()) {
	n := weight(text)
	switch {
	case !turn || n == 0:
		inTurn(text, parse)
	case parsing.TryAcquire(n):
		defer release(n)
		parse()
	}
}

// weight is the part of all turns that a text takes.
func weight(text string) int64 {
	if len(text) <= shortText || len(text) > MaxText {
		return 0 // what is too long is not parsed
	}
	return int64(len(text))
}
