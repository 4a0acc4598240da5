package identity_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/server/identity"
)

// lock knows one credential, and enrols whom it is told to.
type lock struct {
	fail     error
	enrolled []string
}

func (l *lock) Identify(_ context.Context, credential string) (interlock.Caller, error) {
	if credential == "good" {
		return interlock.Caller{Person: &session.Person{Name: "alice"}}, nil
	}
	if credential == "broken" {
		return interlock.Caller{}, interlock.ErrUnavailable
	}
	return interlock.Caller{}, session.ErrCredential
}

func (l *lock) ConsoleCaller(ctx context.Context, secret string) (interlock.Caller, error) {
	return l.Identify(ctx, secret)
}

func (l *lock) Bootstrap(_ context.Context, name string, _ []string) (session.Person, string, error) {
	if l.fail != nil {
		return session.Person{}, "", l.fail
	}
	l.enrolled = append(l.enrolled, name)
	return session.Person{Name: name, Admin: true}, "token", nil
}

func TestFailuresAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := identity.New(identity.Config{Interlock: &lock{}, Failures: 3})
		fail := func(from string, want error) {
			t.Helper()
			if _, err := g.Identify(t.Context(), from, "bad"); !errors.Is(err, want) {
				t.Errorf("from %s: got %v, want %v", from, err, want)
			}
		}
		for range 3 {
			fail("10.0.0.1", session.ErrCredential)
		}
		fail("10.0.0.1", identity.ErrTooMany)
		fail("10.0.0.2", session.ErrCredential)
		// Whoever fails on purpose locks nobody out.
		if c, err := g.Identify(t.Context(), "10.0.0.1", "good"); err != nil || c.Person.Name != "alice" {
			t.Errorf("valid credential: got %v, %v", c, err)
		}
		time.Sleep(time.Minute)
		fail("10.0.0.1", session.ErrCredential)
		// Nor does memory grow without bounds.
		for i := range 10_000 {
			fail(fmt.Sprintf("10.1.%d.%d", i/256, i%256), session.ErrCredential)
		}
		if _, err := g.Identify(t.Context(), "10.0.0.1", ""); !errors.Is(err, identity.ErrMissing) {
			t.Errorf("no credential: got %v", err)
		}
		if _, err := g.Identify(t.Context(), "10.0.0.1", "broken"); !errors.Is(err, interlock.ErrUnavailable) {
			t.Errorf("our own fault counts as theirs: got %v", err)
		}
	})
}

func TestOneTimeCode(t *testing.T) {
	l := &lock{}
	g := identity.New(identity.Config{Interlock: l, Failures: 100})
	enrol := func(code, name string) error {
		_, _, err := g.Enrol(t.Context(), "10.0.0.1", code, name, nil)
		return err
	}
	if err := enrol("", "mallory"); !errors.Is(err, identity.ErrCode) {
		t.Errorf("before there is a code: got %v", err)
	}
	old := g.NewCode()
	code := g.NewCode()
	if err := enrol(old, "mallory"); !errors.Is(err, identity.ErrCode) {
		t.Errorf("a code that was replaced: got %v", err)
	}
	l.fail = errors.New("disk full")
	if err := enrol(code, "alice"); !errors.Is(err, l.fail) {
		t.Errorf("failed enrolment: got %v", err)
	}
	l.fail = nil
	if err := enrol(code, "alice"); err != nil {
		t.Errorf("the code after a failure: %v", err)
	}
	if err := enrol(code, "mallory"); !errors.Is(err, identity.ErrCode) {
		t.Errorf("the code a second time: got %v", err)
	}
	if len(l.enrolled) != 1 || l.enrolled[0] != "alice" {
		t.Errorf("enrolled: %v", l.enrolled)
	}
}

func TestBearer(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "Bearer x": "x", "bearer  x ": "x", "Basic x": "", "x": "", "Bearer": "",
	} {
		if got := identity.Bearer(header); got != want {
			t.Errorf("%q: got %q, want %q", header, got, want)
		}
	}
}
