package api

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"runtime"
	"sync"
)

// Bounds of explain, which any session may call and which costs processor time:
// halts and approvals must not wait for it.
const (
	maxExplain      = 256 << 10 // bytes of scenarios in one call; more go to `signalbox explain`
	explainsPerName = 1         // calls at a time of one caller
)

// turns bounds the calls that run at a time, in all and for one caller.
type turns struct {
	mu   sync.Mutex
	all  int
	each map[string]int
	most int
}

func newTurns() *turns {
	// Half of the processors stay free for what is urgent.
	return &turns{each: make(map[string]int), most: max(1, runtime.GOMAXPROCS(0)/2)}
}

// take reports whether the caller may go on, and gives what ends his turn.
func (t *turns) take(who string) (done func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all >= t.most || t.each[who] >= explainsPerName {
		return nil, false
	}
	t.all++
	t.each[who]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.all--
		if t.each[who]--; t.each[who] == 0 {
			delete(t.each, who)
		}
	}, true
}

// explain judges scenarios while its caller listens.
func (a *api) explain(ctx context.Context, scenarios []byte) ([]byte, error) {
	who := caller(ctx)
	owner := name(who)
	if who.Session != nil {
		owner = who.Session.By // all sessions of one human share his turn
	}
	done, ok := a.turns.take(owner)
	if !ok {
		return nil, newProblem(http.StatusTooManyRequests,
			"explain is busy: one call at a time of yours, and few of all",
			"wait for the other calls to end, or run `signalbox explain`, which needs no server")
	}
	defer done()
	// It ends with the caller's connection, and when the server stops.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(a.Life, cancel)()
	var out bytes.Buffer
	err := a.Explain(ctx, bytes.NewReader(scenarios), &out)
	if errors.Is(err, context.Canceled) {
		return nil, newProblem(http.StatusServiceUnavailable, "explain was cut short", "ask again")
	}
	return out.Bytes(), err
}
