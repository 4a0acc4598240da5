package server_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

// start starts a server on SQLite and free ports, which ends with the test.
func start(t *testing.T, change func(*config.Config)) *server.Server {
	t.Helper()
	c := config.Config{Data: t.TempDir(), Listen: "127.0.0.1:0"}
	if change != nil {
		change(&c)
	}
	s, err := server.Start(t.Context(), c.Defaults(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// as gives a client with a token.
func as(t *testing.T, s *server.Server, token string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{URL: s.URL(), Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// enrol enrols the first administrator, alice.
func enrol(t *testing.T, s *server.Server) *client.Client {
	t.Helper()
	return as(t, s, enrolled(t, s))
}

// enrolled is [enrol], and gives her token.
func enrolled(t *testing.T, s *server.Server) string {
	t.Helper()
	e, err := as(t, s, "").Login(t.Context(), client.Login{Code: s.Code(), Name: "alice", Groups: []string{"sre"}})
	if err != nil {
		t.Fatal(err)
	}
	return e.Token
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestFirstAdministrator(t *testing.T) {
	s := start(t, nil)
	ctx := t.Context()
	nobody := as(t, s, "")
	if _, err := nobody.Login(ctx, client.Login{Code: "sba_wrong", Name: "mallory"}); !client.IsStatus(err,
		http.StatusUnauthorized) {
		t.Fatalf("wrong code: got %v", err)
	}
	alice := enrol(t, s)
	if _, err := nobody.Login(ctx, client.Login{Code: s.Code(), Name: "mallory"}); !client.IsStatus(err,
		http.StatusUnauthorized) {
		t.Fatalf("code used twice: got %v", err)
	}
	who, err := alice.Whoami(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if who.Person == nil || who.Person.Name != "alice" || !who.Person.Admin || who.Session != nil {
		t.Errorf("whoami: got %+v", who)
	}
}

func TestHealth(t *testing.T) {
	s := start(t, nil)
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready",
		"/metrics": "signalbox_log_entries", "/log/checkpoint": "signalbox.local/",
		"/api/openapi.json": "open-session"} {
		status, body := get(t, s.URL()+path)
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: got %d %.200q, want 200 with %q", path, status, body, want)
		}
	}
}

// A server comes back with what it had: people, keys, log.
func TestRestart(t *testing.T) {
	data := t.TempDir()
	same := func(c *config.Config) { c.Data = data }
	s := start(t, same)
	e, err := as(t, s, "").Login(t.Context(), client.Login{Code: s.Code(), Name: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	verifier := s.Verifier()
	alice := as(t, s, e.Token)
	active, err := alice.Policy(t.Context(), "active")
	if err != nil {
		t.Fatal(err)
	}
	active.Files[0].Text += "// changed\n"
	changed, err := alice.ProposePolicy(t.Context(), client.NewPolicy{Files: active.Files})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close() // twice is fine

	s = start(t, same)
	if s.Code() != "" {
		t.Error("a one-time code although somebody is enrolled")
	}
	if s.Verifier() != verifier {
		t.Error("another log key after a restart")
	}
	if _, err := as(t, s, e.Token).Whoami(context.Background()); err != nil {
		t.Errorf("token after a restart: %v", err)
	}
	if got, err := as(t, s, e.Token).Policy(t.Context(), "active"); err != nil || got.Version != changed.Version {
		t.Errorf("policies after a restart: %s, want %s as an administrator brought in (%v)", got.Version,
			changed.Version, err)
	}
}

// Pages of other sites that point a name of theirs at this machine get nothing.
func TestRebinding(t *testing.T) {
	s := start(t, nil)
	for host, want := range map[string]int{
		"evil.example.com": http.StatusMisdirectedRequest, "evil.example.com:7420": http.StatusMisdirectedRequest,
		"":            http.StatusOK,
		"localhost:1": http.StatusOK, "[::1]:1": http.StatusOK, "LOCALHOST": http.StatusOK,
		"127.0.0.1.evil.example.com": http.StatusMisdirectedRequest,
	} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/healthz", nil)
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("Host %q: got %d, want %d", host, resp.StatusCode, want)
		}
	}
}
