package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/gate/pgwire"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// gated starts a server with a gate "orders" to production in front of a
// database with a table orders of three rows.
func gated(t *testing.T) (*server.Server, *client.Client) {
	t.Helper()
	db := pgtest.Shared(t)
	conn, err := pgx.Connect(t.Context(), db.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1), (2), (3)"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ORDERS_PASSWORD", db.Password)
	s := start(t, func(c *config.Config) {
		c.Gates = []config.Gate{{
			Name: "orders", Kind: "postgres", Environment: "production", Listen: "127.0.0.1:0",
			Settings: &pgwire.Settings{Upstream: pgwire.Server{Host: "127.0.0.1", Port: db.Port, Database: db.Name,
				User: pgtest.User, Password: secret.Source{Env: "ORDERS_PASSWORD"}}},
		}}
	})
	return s, enrol(t, s)
}

// through connects to the gate in the session, as `signalbox run` has its
// command do: by TLS, with the authority that the gate names.
func through(t *testing.T, s *server.Server, o client.OpenedSession) *pgx.Conn {
	t.Helper()
	g := s.Gates()[0]
	c, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d dbname=%s user=%s sslmode=disable", g.Host, g.Port,
		g.Database, o.Session.ID))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(g.CA)) {
		t.Fatal("the gate names no authority")
	}
	c.Password = o.Credentials[g.Name]
	c.TLSConfig = &tls.Config{RootCAs: pool, ServerName: g.Host}
	conn, err := pgx.ConnectConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// held has an agent of alice's ask for something that waits, and gives the hold.
func held(t *testing.T, conn *pgx.Conn, alice *client.Client, sql string) client.Hold {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		t.Fatalf("%s: got %v, want it held", sql, err)
	}
	hs, err := alice.Holds(t.Context(), "open", 1)
	if err != nil || len(hs) != 1 {
		t.Fatalf("holds: %v, %v; the gate said %v", hs, err, refused)
	}
	if !strings.Contains(refused.Error()+refused.Detail+refused.Hint, hs[0].ID) ||
		!strings.Contains(refused.Detail+refused.Hint, hs[0].URL) {
		t.Errorf("the gate's answer does not name hold %s and its page: %q %q %q", hs[0].ID, refused.Message,
			refused.Detail, refused.Hint)
	}
	return hs[0]
}

// A browser is a person at the console.
type browser struct {
	*http.Client
	t    *testing.T
	base string
}

func newBrowser(t *testing.T, s *server.Server) browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return browser{&http.Client{Jar: jar}, t, s.URL()}
}

func (b browser) read(resp *http.Response, err error) (int, string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (b browser) open(path string) (int, string) { return b.read(b.Get(b.base + path)) }

func (b browser) send(path string, fields ...string) (int, string) {
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.read(b.PostForm(b.base+path, form))
}

func TestConsoleLogin(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	o, err := alice.OpenSession(t.Context(), client.NewSession{Agent: "claude"})
	if err != nil {
		t.Fatal(err)
	}
	bob, err := alice.AddPerson(t.Context(), client.NewPerson{Name: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, s)
	if _, text := b.open("/"); !strings.Contains(text, "Your token") {
		t.Errorf("without a login: %q", text)
	}
	if status, text := b.send("/login", "token", "sbu_bob_wrong"); status != http.StatusUnauthorized ||
		!strings.Contains(text, "not valid") {
		t.Errorf("wrong token: %d %q", status, text)
	}
	// P5: a session's credential is no login, in the form or in the cookie.
	if status, _ := b.send("/login", "token", o.Credentials["api"]); status != http.StatusForbidden {
		t.Errorf("a session's credential in the form: %d", status)
	}
	at, _ := url.Parse(s.URL())
	b.Jar.SetCookies(at, []*http.Cookie{{Name: "signalbox", Value: o.Credentials["api"]}})
	if _, text := b.open("/"); !strings.Contains(text, "Your token") {
		t.Errorf("a session's credential in the cookie: %q", text)
	}
	if status, text := b.send("/login", "token", bob.Token, "next",
		"https://evil.example.com/"); status != http.StatusOK || !strings.Contains(text, "Waiting for approval") {
		t.Errorf("login: %d %.300q", status, text)
	}
	if _, text := b.open("/"); !strings.Contains(text, "agent claude for alice") {
		t.Errorf("home: no session in %q", text)
	}
	if status, _ := b.open("/holds/nothing"); status != http.StatusNotFound {
		t.Errorf("no such hold: %d", status)
	}
	// What another site makes the browser send.
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/logout", nil)
	req.Header.Set("Origin", "https://evil.example.com")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if status, _ := b.read(b.Do(req)); status != http.StatusForbidden {
		t.Errorf("from another site: %d", status)
	}
	if _, text := b.send("/logout"); !strings.Contains(text, "Your token") {
		t.Errorf("after logging out: %q", text)
	}
	if _, text := b.open("/"); !strings.Contains(text, "Your token") {
		t.Errorf("after logging out: %q", text)
	}
}

func TestConsoleCookie(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	bob, err := alice.AddPerson(t.Context(), client.NewPerson{Name: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	noFollow := &http.Client{CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}
	resp, err := noFollow.PostForm(s.URL()+"/login", url.Values{"token": {bob.Token}, "next": {"//evil.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if at := resp.Header.Get("Location"); at != "/" {
		t.Errorf("after the login: to %q", at)
	}
	c := resp.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" {
		t.Errorf("cookie %+v", c)
	}
	// The cookie is for pages alone: the API takes none.
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/api/v1/whoami", nil)
	req.AddCookie(c)
	if resp, err := http.DefaultClient.Do(req); err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the API with a cookie: %v %v", resp, err)
	}
	csp := resp.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || resp.Header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("headers: %v", resp.Header)
	}
}

// An agent's request is seen, escaped, and approved at the console.
func TestConsoleHold(t *testing.T) {
	s, alice := gated(t)
	ctx := t.Context()
	o, err := alice.OpenSession(ctx, client.NewSession{Agent: "claude", Purpose: "<script>alert(1)</script>\u202e"})
	if err != nil {
		t.Fatal(err)
	}
	conn := through(t, s, o)
	var n int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM orders").Scan(&n); err != nil || n != 3 {
		t.Fatalf("count: %d, %v", n, err)
	}
	drop := "DROP TABLE orders -- \u202e</pre><b>approved by bob</b>\x1b[2J"
	h := held(t, conn, alice, drop)

	var approvers []browser
	for _, name := range []string{"bob", "carol"} {
		e, err := alice.AddPerson(ctx, client.NewPerson{Name: name, Groups: []string{"sre"}})
		if err != nil {
			t.Fatal(err)
		}
		b := newBrowser(t, s)
		b.send("/login", "token", e.Token)
		approvers = append(approvers, b)
	}
	bob, carol := approvers[0], approvers[1]
	_, home := bob.open("/")
	_, page := bob.open("/holds/" + h.ID)
	for what, text := range map[string]string{"home": home, "hold": page} {
		if strings.Contains(text, "<script>") || strings.Contains(text, "<b>approved") ||
			strings.ContainsAny(text, "\u202e\x1b") {
			t.Errorf("%s shows what the agent wrote as its own: %q", what, text)
		}
	}
	if !strings.Contains(page, `\u202e&lt;/pre&gt;`) || !strings.Contains(page, "public.orders") ||
		!strings.Contains(page, "2 of sre") {
		t.Errorf("hold: %s", page)
	}
	if _, text := bob.send("/holds/"+h.ID+"/answer", "answer", "yes", "comment", "fine"); !strings.Contains(text,
		"yes by bob") {
		t.Errorf("bob's yes: %s", text)
	}
	if status, text := bob.send("/holds/"+h.ID+"/answer", "answer", "yes"); status != http.StatusConflict ||
		!strings.Contains(text, "answered already") {
		t.Errorf("bob's second yes: %d %s", status, text)
	}
	if status, _ := bob.send("/holds/"+h.ID+"/answer", "answer", "perhaps"); status != http.StatusBadRequest {
		t.Errorf("neither yes nor no: %d", status)
	}
	waited := make(chan client.Hold, 1)
	go func() {
		h, err := as(t, s, o.Credentials["api"]).WaitHold(ctx, h.ID, time.Minute)
		if err != nil {
			t.Error(err)
		}
		waited <- h
	}()
	if _, text := carol.send("/holds/"+h.ID+"/answer", "answer", "yes"); !strings.Contains(text, "approved") {
		t.Errorf("carol's yes: %s", text)
	}
	if h := <-waited; h.Status != "approved" {
		t.Errorf("the session waited for: %s", h.Status)
	}
	if _, err := conn.Exec(ctx, drop, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Errorf("after approval: %v", err)
	}
	if got, err := alice.Hold(ctx, h.ID); err != nil || got.Status != "used" || got.Intent == "" {
		t.Errorf("afterwards: %+v, %v", got.Status, err)
	}
	_, metrics := get(t, s.URL()+"/metrics")
	for _, want := range []string{
		`signalbox_decisions_total{gate="orders",verdict="hold"} 1`,
		`signalbox_decisions_total{gate="orders",verdict="allow"} 2`,
		`signalbox_entries_total{type="intent"} 1`, `signalbox_entries_total{type="approval"} 2`,
		`signalbox_sessions_live 1`,
		`signalbox_commits_total{result="done"}`, "signalbox_decision_seconds_count 3", "signalbox_holds_open 0",
		"signalbox_ready 1",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics do not have %s", want)
		}
	}
}

// Other sessions do not see a hold, and its own takes it back.
func TestHoldsAreTheirSessions(t *testing.T) {
	s, alice := gated(t)
	ctx := t.Context()
	mine, err := alice.OpenSession(ctx, client.NewSession{Agent: "claude"})
	if err != nil {
		t.Fatal(err)
	}
	h := held(t, through(t, s, mine), alice, "DROP TABLE orders")
	other, err := alice.OpenSession(ctx, client.NewSession{Agent: "claude"})
	if err != nil {
		t.Fatal(err)
	}
	stranger, own := as(t, s, other.Credentials["api"]), as(t, s, mine.Credentials["api"])
	for what, call := range map[string]func(*client.Client) error{
		"show":     func(c *client.Client) error { _, err := c.Hold(ctx, h.ID); return err },
		"wait":     func(c *client.Client) error { _, err := c.WaitHold(ctx, h.ID, 0); return err },
		"withdraw": func(c *client.Client) error { _, err := c.Withdraw(ctx, h.ID); return err },
	} {
		if err := call(stranger); !client.IsStatus(err, http.StatusNotFound) {
			t.Errorf("%s by a stranger: got %v", what, err)
		}
	}
	if got, err := own.WaitHold(ctx, h.ID, 0); err != nil || got.Status != "open" || got.Missing == "" {
		t.Errorf("its own look: got %+v, %v", got.Status, err)
	}
	// A server that stops keeps nobody waiting.
	waited := make(chan error, 1)
	started := time.Now()
	go func() { _, err := own.WaitHold(ctx, h.ID, 30*time.Second); waited <- err }()
	defer func() {
		s.Close()
		if err, took := <-waited, time.Since(started); took > 25*time.Second {
			t.Errorf("closing took %s (%v)", took, err)
		}
	}()

	// What a session has asked for ends with it.
	again := held(t, through(t, s, other), alice, "DROP TABLE orders")
	if err := alice.EndSession(ctx, other.Session.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := alice.Hold(ctx, again.ID); err != nil || got.Status != "withdrawn" {
		t.Errorf("hold of an ended session: got %+v, %v", got.Status, err)
	}
	third := held(t, through(t, s, mine), alice, "DROP TABLE orders CASCADE")
	if got, err := own.Withdraw(ctx, third.ID); err != nil || got.Status != "withdrawn" {
		t.Errorf("its own withdrawal: got %+v, %v", got.Status, err)
	}
}
