package interlock

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/proof"
)

// A log-in at the console has a secret of its own, of no use anywhere else: a
// browser shows its cookies to whatever answers under the same name, at any port.

// Limits of a log-in at the console.
const (
	ConsoleTime  = 12 * time.Hour   // it ends then
	ConsoleIdle  = 30 * time.Minute // and when it was not used for as long
	consoleSeen  = time.Minute      // how exactly its last use is known
	consoleStart = "sbc_"
)

// ConsoleLogin opens a log-in at the console for a human and gives its secret.
// from is the address that he came from, which is hidden in the log.
func (i *Interlock) ConsoleLogin(ctx context.Context, c Caller, from string) (string, error) {
	if c.Person == nil {
		return "", ErrNotHuman
	}
	random := make([]byte, 32)
	rand.Read(random) // never fails: crypto/rand ends the program instead
	secret := consoleStart + base64.RawURLEncoding.EncodeToString(random)
	now := i.now()
	row := ConsoleRow{
		Hash: consoleHash(secret), Person: c.Person.Name, Epoch: c.Person.Epoch,
		Made: now, Seen: now, Expires: now.Add(ConsoleTime),
	}
	record, err := seal(now, newID(now), proof.Login{Name: c.Person.Name, Op: "in"}, proof.Hidden{"from": from})
	if err != nil {
		return "", err
	}
	return secret, i.commitAs(ctx, "log in", by(c), func(*snapshot) (ledger.Batch, error) {
		return ledger.Batch{Changes: i.state.AddConsole(row), Records: []ledger.Record{record}}, nil
	})
}

func consoleHash(secret string) string {
	h := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(h[:])
}

// ConsoleCaller tells whose log-in at the console this is. For everything that
// is not valid now it returns [session.ErrCredential] alone.
func (i *Interlock) ConsoleCaller(ctx context.Context, secret string) (Caller, error) {
	row, err := i.console(ctx, secret)
	if err != nil {
		return Caller{}, err
	}
	now := i.now()
	if now.Before(row.Made) || !now.Before(row.Expires) || now.Sub(row.Seen) >= ConsoleIdle {
		return Caller{}, session.ErrCredential
	}
	p, err := i.state.Person(ctx, row.Person)
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && p.Epoch != row.Epoch:
		return Caller{}, session.ErrCredential
	case err != nil:
		return Caller{}, fmt.Errorf("%w: person: %w", ErrUnavailable, err)
	}
	if now.Sub(row.Seen) >= consoleSeen {
		// When it cannot be written, the log-in ends earlier than it had to.
		if err := i.commit(ctx, "note a visit", ledger.Batch{Changes: i.state.SeeConsole(row.Hash, now)}); err != nil {
			i.log.Warn("a visit to the console was not noted", "person", p.Name, "error", err)
		}
	}
	return Caller{Person: &p}, nil
}

func (i *Interlock) console(ctx context.Context, secret string) (ConsoleRow, error) {
	if !strings.HasPrefix(secret, consoleStart) {
		return ConsoleRow{}, session.ErrCredential
	}
	row, err := i.state.Console(ctx, consoleHash(secret))
	switch {
	case errors.Is(err, ErrNotFound):
		return row, session.ErrCredential
	case err != nil:
		return row, fmt.Errorf("%w: console: %w", ErrUnavailable, err)
	}
	return row, nil
}

// ConsoleLogout ends a log-in at the console, for good.
func (i *Interlock) ConsoleLogout(ctx context.Context, secret string) error {
	row, err := i.console(ctx, secret)
	if err != nil {
		return err
	}
	now := i.now()
	record, err := seal(now, newID(now), proof.Login{Name: row.Person, Op: "out"}, nil)
	if err != nil {
		return err
	}
	err = i.commit(ctx, "log out", ledger.Batch{Changes: i.state.EndConsole(row.Hash),
		Records: []ledger.Record{record}, Vital: true})
	if errors.Is(err, ledger.ErrStale) {
		return nil // it has ended already
	}
	return err
}
