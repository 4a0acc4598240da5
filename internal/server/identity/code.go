package identity

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"sync"

	"github.com/signalbox-dev/signalbox/internal/interlock/session"
)

// A code lets the first administrator in. Its hash is kept in memory alone: a
// server that restarts before anybody is enrolled makes another.
type code struct {
	mu   sync.Mutex
	hash *[sha256.Size]byte // nil: there is none
}

// NewCode makes the one-time code and gives it, to be shown to whoever started
// the server. An earlier code is void.
func (g *Guard) NewCode() string {
	text := session.NewCode()
	h := sha256.Sum256([]byte(text))
	g.code.mu.Lock()
	defer g.code.mu.Unlock()
	g.code.hash = &h
	return text
}

// Enrol uses the one-time code up to enrol the first administrator, and gives
// his token. from is the address that the code came from.
func (g *Guard) Enrol(ctx context.Context, from, text, name string, groups []string) (session.Person, string, error) {
	// Held throughout, so that of two who know the code one is enrolled. That
	// nobody was enrolled by other ways is a condition of the batch itself.
	g.code.mu.Lock()
	defer g.code.mu.Unlock()
	given := sha256.Sum256([]byte(text))
	if g.code.hash == nil || subtle.ConstantTimeCompare(given[:], g.code.hash[:]) != 1 {
		return session.Person{}, "", g.failed(from, "one-time code", ErrCode)
	}
	p, token, err := g.Interlock.Bootstrap(ctx, name, groups)
	if err != nil {
		return session.Person{}, "", err // the code stays good: nobody was let in
	}
	g.code.hash = nil
	g.Logger.Info("first administrator enrolled", "name", p.Name, "from", from)
	return p, token, nil
}
