package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/gate/pgwire"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

func add(t *testing.T, by *client.Client, n client.NewPerson) client.Enrolment {
	t.Helper()
	e, err := by.AddPerson(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func worthless(t *testing.T, s *server.Server, what, token string) {
	t.Helper()
	if _, err := as(t, s, token).Whoami(t.Context()); !client.IsStatus(err, http.StatusUnauthorized) {
		t.Errorf("%s: got %v, want it worthless", what, err)
	}
}

// An epoch never comes back: not by removing somebody and enrolling his name
// again.
func TestNothingComesBackWithAName(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	ctx := t.Context()
	old := add(t, alice, client.NewPerson{Name: "bob", Admin: true})
	tokens := map[string]string{"first token": old.Token}
	agent, err := as(t, s, old.Token).OpenSession(ctx, client.NewSession{Agent: "claude"})
	if err != nil {
		t.Fatal(err)
	}
	robot, err := as(t, s, old.Token).OpenSession(ctx, client.NewSession{Automation: "ci"})
	if err != nil {
		t.Fatal(err)
	}
	tokens["agent's session"], tokens["automation's session"] = agent.Credentials["api"], robot.Credentials["api"]
	for n := range 3 {
		if err := alice.RemovePerson(ctx, "bob"); err != nil {
			t.Fatal(err)
		}
		for what, token := range tokens {
			worthless(t, s, what+" of the removed", token)
		}
		again := add(t, alice, client.NewPerson{Name: "bob", Admin: true})
		for what, token := range tokens {
			worthless(t, s, what+" after enrolling again", token)
		}
		tokens[fmt.Sprint("token ", n)] = again.Token
	}
	if live, err := alice.Sessions(ctx, false); err != nil || len(live) != 0 {
		t.Errorf("live sessions: %v, %v", live, err)
	}
}

// slow sends the head of a request and the first bytes of its body, and gives
// what sends the rest and reads the status.
func slow(t *testing.T, s *server.Server, token, path, body string) func() int {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /api/v1%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		path, token, len(body))
	r := bufio.NewReader(conn)
	// The server asks for the body when it has let the caller in.
	if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("asked for the body: %q, %v", line, err)
	}
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, body[:1]); err != nil {
		t.Fatal(err)
	}
	return func() int {
		t.Helper()
		if _, err := io.WriteString(conn, body[1:]); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
}

// What a caller may is asked when his change is made, not when his request began.
func TestAuthorityIsAskedWhenItIsUsed(t *testing.T) {
	for name, lose := range map[string]func(*testing.T, *client.Client){
		"removed": func(t *testing.T, alice *client.Client) {
			if err := alice.RemovePerson(t.Context(), "mallory"); err != nil {
				t.Fatal(err)
			}
		},
		"revoked": func(t *testing.T, alice *client.Client) {
			if _, err := alice.RevokePerson(t.Context(), "mallory"); err != nil {
				t.Fatal(err)
			}
		},
		"demoted": func(t *testing.T, alice *client.Client) {
			add(t, alice, client.NewPerson{Name: "mallory", Groups: []string{"sre"}, Replace: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil)
			alice := enrol(t, s)
			mallory := add(t, alice, client.NewPerson{Name: "mallory", Admin: true, Groups: []string{"sre"}})
			active, err := alice.Policy(t.Context(), "active")
			if err != nil {
				t.Fatal(err)
			}
			f, err := alice.StartFreeze(t.Context(), client.Freeze{Until: active.At.AddDate(1, 0, 0)})
			if err != nil {
				t.Fatal(err)
			}
			var rest []func() int
			for path, body := range map[string]string{
				"/people":                   `{"name":"accomplice","admin":true}`,
				"/sessions":                 `{"agent":"claude"}`,
				"/halts":                    `{"scope":"actor","name":"alice"}`,
				"/freezes":                  `{"until":"2099-01-01T00:00:00Z"}`,
				"/freezes/" + f.ID + "/end": `{"reason":"over"}`,
				"/log/entries/0/erase":      `{"reason":"traces"}`,
				"/policies":                 `{"files":[{"name":"a.cedar","text":"permit (principal, action, resource);"}]}`,
			} {
				rest = append(rest, slow(t, s, mallory.Token, path, body))
			}
			lose(t, alice)
			before, err := alice.Entries(t.Context(), -1, 1)
			if err != nil {
				t.Fatal(err)
			}
			for _, finish := range rest {
				if status := finish(); status < 400 || status >= 500 {
					t.Errorf("status %d", status)
				}
			}
			after, err := alice.Entries(t.Context(), -1, 1)
			if err != nil || after[0].Index != before[0].Index {
				t.Errorf("the log went on from %d to %d: %s (%v)", before[0].Index, after[0].Index, after[0].Text, err)
			}
		})
	}
}

// twins starts two servers on one PostgreSQL, without gates.
func twins(t *testing.T) (one, two *server.Server) {
	t.Helper()
	t.Setenv("STATE_URL", pgtest.Shared(t).URL())
	t.Setenv("MASTER_KEY", strings.Repeat("0123456789abcdef", 4))
	shared := t.TempDir()
	replica := func(name string) *server.Server {
		return start(t, func(c *config.Config) {
			c.Replica = name
			c.Database.URL = secret.Source{Env: "STATE_URL"}
			c.MasterKey = secret.Source{Env: "MASTER_KEY"}
			c.Log.Origin, c.Log.Key = "signalbox.test/twins", filepath.Join(shared, "log.key")
		})
	}
	return replica("one"), replica("two")
}

// A removed administrator enrols nobody at another replica.
func TestRemovedHereIsRemovedThere(t *testing.T) {
	one, two := twins(t)
	alice := enrol(t, one)
	ctx := t.Context()
	const tries = 25 // times four at once
	for n := range tries {
		name := fmt.Sprintf("mallory%d", n)
		m := add(t, alice, client.NewPerson{Name: name, Admin: true})
		far := as(t, two, m.Token)
		for deadline := time.Now().Add(30 * time.Second); ; { // until the other has heard of him
			if time.Now().After(deadline) {
				t.Fatal("the other replica never heard of him")
			}
			if _, err := far.Whoami(ctx); err == nil {
				break
			} else if !client.IsStatus(err, http.StatusUnauthorized) &&
				!client.IsStatus(err, http.StatusTooManyRequests) {
				t.Fatal(err)
			}
		}
		if err := alice.RemovePerson(ctx, name); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for k := range 4 {
			all.Go(func() {
				if _, err := far.AddPerson(ctx,
					client.NewPerson{Name: fmt.Sprintf("crony%d.%d", n, k), Admin: true}); err == nil {
					t.Errorf("%s, removed, enrolled an accomplice", name)
				}
			})
		}
		all.Wait()
	}
	if ps, err := alice.People(ctx); err != nil || len(ps) != 1 {
		t.Errorf("people: %v, %v", ps, err)
	}
}

// A yes that was given with revoked credentials does not count, and its owner
// says otherwise.
func TestRevokedYesDoesNotCount(t *testing.T) {
	s, alice := gated(t)
	ctx := t.Context()
	bob := add(t, alice, client.NewPerson{Name: "bob", Groups: []string{"sre"}})
	carol := add(t, alice, client.NewPerson{Name: "carol", Groups: []string{"sre"}})
	o, err := alice.OpenSession(ctx, client.NewSession{Agent: "carol"}) // its name bars nobody
	if err != nil {
		t.Fatal(err)
	}
	conn := through(t, s, o)
	h := held(t, conn, alice, "DROP TABLE orders")
	for _, token := range []string{bob.Token, carol.Token} {
		if _, err := as(t, s, token).Answer(ctx, h.ID, true, ""); err != nil {
			t.Fatal(err)
		}
	}
	fresh, err := alice.RevokePerson(ctx, "bob")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "DROP TABLE orders"); err == nil {
		t.Fatal("run on a yes of revoked credentials")
	}
	var n int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM orders").Scan(&n); err != nil || n != 3 {
		t.Fatalf("orders: %d, %v", n, err)
	}
	open, err := alice.Holds(ctx, "open", 1)
	if err != nil || len(open) != 1 {
		t.Fatalf("holds: %v, %v", open, err)
	}
	if _, err := as(t, s, fresh.Token).Answer(ctx, open[0].ID, true, ""); err != nil {
		t.Fatal(err)
	}
	fresh, err = alice.RevokePerson(ctx, "bob")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := as(t, s, fresh.Token).Answer(ctx, open[0].ID, false, "not mine"); err != nil ||
		got.Status != "refused" {
		t.Errorf("the owner's no: %s, %v", got.Status, err)
	}
}

// Rights, revocation, removal, disclosure, log-ins and settings are in the log.
func TestTheLogSaysWhoMayWhat(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	ctx := t.Context()
	add(t, alice, client.NewPerson{Name: "bob", Groups: []string{"sre"}})
	add(t, alice, client.NewPerson{Name: "bob", Groups: []string{"dba"}, Admin: true, Replace: true})
	add(t, alice, client.NewPerson{Name: "bob", Groups: []string{"dba"}, Replace: true})
	bob, err := alice.RevokePerson(ctx, "bob")
	if err != nil {
		t.Fatal(err)
	}
	newBrowser(t, s).send("/login", "token", bob.Token)
	if err := alice.RemovePerson(ctx, "bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.OpenSession(ctx, client.NewSession{Agent: "claude", Purpose: "look"}); err != nil {
		t.Fatal(err)
	}
	last, err := alice.Entries(ctx, -1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alice.Disclose(ctx, last[0].ID); err != nil {
		t.Fatal(err)
	}
	es, err := alice.Entries(ctx, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	for _, e := range es {
		fmt.Fprintln(&told, e.Type, e.Text)
	}
	for _, want := range []string{
		"settings server ", "user alice enrolled by bootstrap, administrator", "administrator: given",
		"administrator: taken", "groups",
		"user bob revoked by alice", "user bob removed by alice", "login bob logged in", "shown to alice: purpose",
	} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, told.String())
		}
	}
	if _, err := alice.AddPerson(ctx, client.NewPerson{Name: "alice", Replace: true}); !client.IsStatus(err,
		http.StatusUnprocessableEntity) {
		t.Errorf("the last administrator demotes herself: %v", err)
	}
	for _, name := range []string{"Alice", "alice.", "a1ice", "bootstrap", "System"} {
		if _, err := alice.AddPerson(ctx, client.NewPerson{Name: name}); !client.IsStatus(err,
			http.StatusUnprocessableEntity) {
			t.Errorf("%q enrolled: %v", name, err)
		}
	}
}

// The console's cookie is no token, and ends when it is said to.
func TestConsoleSessionIsNoToken(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	bob := add(t, alice, client.NewPerson{Name: "bob"})
	at, _ := url.Parse(s.URL())
	login := func() (browser, *http.Cookie) {
		b := newBrowser(t, s)
		b.send("/login", "token", bob.Token)
		cs := b.Jar.Cookies(at)
		if len(cs) != 1 {
			t.Fatalf("cookies %v", cs)
		}
		return b, cs[0]
	}
	b, cookie := login()
	if strings.Contains(cookie.Value, bob.Token) || cookie.Name != "signalbox-plaintext" {
		t.Errorf("cookie %s=%s", cookie.Name, cookie.Value)
	}
	worthless(t, s, "the cookie as a token", cookie.Value)
	thief := newBrowser(t, s)
	steal := func(c *http.Cookie) string {
		thief.Jar.SetCookies(at, []*http.Cookie{{Name: c.Name, Value: c.Value}})
		_, text := thief.open("/")
		return text
	}
	if !strings.Contains(steal(cookie), "Log out") {
		t.Fatal("the cookie opens no page")
	}
	b.send("/logout")
	if !strings.Contains(steal(cookie), "Your token") {
		t.Error("the log-in outlives the log-out")
	}
	if !strings.Contains(steal(&http.Cookie{Name: cookie.Name, Value: bob.Token}), "Your token") {
		t.Error("a token is a cookie")
	}
	_, cookie = login()
	if _, err := alice.RevokePerson(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(steal(cookie), "Your token") {
		t.Error("the log-in outlives the token")
	}
}

// Whoever stopped is not let go by whom it holds back, nor by just anybody.
func TestLettingGoTakesAnother(t *testing.T) {
	s, alice := gated(t)
	ctx := t.Context()
	bob := as(t, s, add(t, alice, client.NewPerson{Name: "bob", Groups: []string{"sre"}}).Token)
	carol := as(t, s, add(t, alice, client.NewPerson{Name: "carol", Groups: []string{"sre"}}).Token)
	dev := as(t, s, add(t, alice, client.NewPerson{Name: "dev"}).Token)
	o, err := dev.OpenSession(ctx, client.NewSession{Agent: "claude"})
	if err != nil {
		t.Fatal(err)
	}
	halts := []client.Halt{{Scope: "session", Name: string(o.Session.ID)}, {Scope: "actor", Name: "claude"},
		{Scope: "gate", Name: "orders"}, {Scope: "all"}}
	for _, h := range halts {
		if err := bob.Halt(ctx, h); err != nil {
			t.Fatal(err)
		}
		if err := dev.Halt(ctx, h); err != nil { // it does not become his
			t.Fatal(err)
		}
		for who, c := range map[string]*client.Client{"dev": dev, "bob": bob} {
			if err := c.Resume(ctx, client.Resume{Scope: h.Scope, Name: h.Name}); !client.IsStatus(err,
				http.StatusForbidden) {
				t.Errorf("%s resumes %s %s: %v", who, h.Scope, h.Name, err)
			}
		}
		other := carol
		if h.Scope == "all" {
			other = alice
		}
		if err := other.Resume(ctx, client.Resume{Scope: h.Scope, Name: h.Name}); err != nil {
			t.Errorf("another resumes %s: %v", h.Scope, err)
		}
	}
	f, err := bob.StartFreeze(ctx, client.Freeze{Until: o.Session.Expires})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client.Client{dev, bob} {
		if err := c.EndFreeze(ctx, f.ID, ""); !client.IsStatus(err, http.StatusForbidden) {
			t.Errorf("freeze ended: %v", err)
		}
	}
	if err := carol.EndFreeze(ctx, f.ID, ""); err != nil {
		t.Error(err)
	}
	glass := client.BreakGlass{Gates: []string{"orders"}, Verbs: []signalbox.Verb{signalbox.Update},
		Expires: o.Session.Started.Add(30 * 60e9)}
	for _, reason := range []string{".", "x", "aaaaaaaaaaaaaaaa", ". . . . . . . . . . ."} {
		glass.Reason = reason
		if _, err := dev.StartBreakGlass(ctx, glass); !client.IsStatus(err, http.StatusUnprocessableEntity) {
			t.Errorf("reason %q: %v", reason, err)
		}
	}
	glass.Reason, glass.Verbs = "customers cannot pay", signalbox.Verbs()[1:]
	if _, err := dev.StartBreakGlass(ctx, glass); !client.IsStatus(err, http.StatusUnprocessableEntity) {
		t.Errorf("all verbs: %v", err)
	}
}

// What protects production is state: neither another start nor another server
// with other settings takes it away.
func TestProtectionIsState(t *testing.T) {
	t.Setenv("STATE_URL", pgtest.Shared(t).URL())
	t.Setenv("MASTER_KEY", strings.Repeat("0123456789abcdef", 4))
	t.Setenv("TARGET_PASSWORD", "none")
	shared := t.TempDir()
	begin := func(change func(*config.Config)) (*server.Server, error) {
		c := config.Config{
			Data: t.TempDir(), Listen: "127.0.0.1:0",
			Database:  config.Database{URL: secret.Source{Env: "STATE_URL"}},
			MasterKey: secret.Source{Env: "MASTER_KEY"},
			Log:       config.Log{Origin: "signalbox.test/protection", Key: filepath.Join(shared, "log.key")},
			Gates: []config.Gate{{
				Name: "orders", Kind: "postgres", Environment: "production", Listen: "127.0.0.1:0",
				Settings: &pgwire.Settings{Upstream: pgwire.Server{Host: "127.0.0.1", Port: 1, User: "nobody",
					Password: secret.Source{Env: "TARGET_PASSWORD"}}},
			}},
		}
		change(&c)
		s, err := server.Start(t.Context(), c.Defaults(), nil)
		if err == nil {
			t.Cleanup(s.Close)
		}
		return s, err
	}
	same := func(*config.Config) {}
	gateless := func(c *config.Config) { c.Gates = nil }
	weaker := map[string]func(*config.Config){
		"ceiling.request":   func(c *config.Config) { c.Gates[0].Ceiling.Request = 1_000_000 },
		"allow_live_agents": func(c *config.Config) { c.Approvals.AllowLiveAgents = true },
		"permit_time":       func(c *config.Config) { c.Approvals.PermitTime = 160 * 60 * 60e9 },
		"environment":       func(c *config.Config) { c.Gates[0].Name, c.Gates[0].Environment = "other", "staging" },
	}
	refused := func(what, says string, change func(*config.Config)) {
		t.Helper()
		s, err := begin(change)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want it refused because of %s", what, err, says)
		}
	}
	s, err := begin(same)
	if err != nil {
		t.Fatal(err)
	}
	token := enrolled(t, s)
	refused("a gateless server beside it", "production", gateless)
	for what, change := range weaker {
		refused("beside it", "", change)
		_ = what
	}
	refused("lowering while it lives", "--lower-protection",
		func(c *config.Config) { c.Gates, c.LowerProtection = nil, true })
	twin, err := begin(same)
	if err != nil {
		t.Fatalf("a server with the same settings: %v", err)
	}
	twin.Close()
	s.Close()
	for says, change := range weaker {
		refused("alone", says, change)
	}
	propose := func(s *server.Server) string {
		t.Helper()
		alice := as(t, s, token)
		active, err := alice.Policy(t.Context(), "active")
		if err != nil {
			t.Fatal(err)
		}
		active.Files[0].Text += "// changed\n"
		p, err := alice.ProposePolicy(t.Context(), client.NewPolicy{Files: active.Files})
		if err != nil {
			t.Fatal(err)
		}
		return p.Status
	}
	if s, err = begin(gateless); err != nil {
		t.Fatal(err)
	}
	if got := propose(s); got != "proposed" {
		t.Errorf("a gateless start: policies are %s at once", got)
	}
	s.Close()
	if s, err = begin(func(c *config.Config) { c.Gates, c.LowerProtection = nil, true }); err != nil {
		t.Fatal(err)
	}
	es, err := as(t, s, token).Entries(t.Context(), -50, 50)
	if err != nil {
		t.Fatal(err)
	}
	lowered := false
	for _, e := range es {
		lowered = lowered || strings.HasPrefix(e.Text, "PROTECTION LOWERED") &&
			bytes.Contains(e.Entry, []byte(`"op":"lower"`))
	}
	if !lowered {
		t.Error("the log does not say that protection was lowered")
	}
}

// A policy set that would overflow the parser's stack is refused, and the server
// lives.
func TestHostilePolicies(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	deep := strings.Repeat("(", 1<<19)
	chain := strings.Repeat("true && ", 20_000) + "true"
	for what, text := range map[string]string{
		"parentheses": "permit (principal, action, resource) when { " + deep + " };",
		"chain":       "permit (principal, action, resource) when { " + chain + " };",
		"negations":   "permit (principal, action, resource) when { " + strings.Repeat("!", 1<<19) + "true };",
		"conditions":  "permit (principal, action, resource) when { " + strings.Repeat("if true then ", 50_000),
		"members":     "permit (principal, action, resource) when { context" + strings.Repeat(".a", 50_000) + " };",
		"in comments": "// \"\n/* \" */ permit (principal, action, resource) when { \"\\\"\" == " + deep,
	} {
		_, err := alice.ProposePolicy(t.Context(),
			client.NewPolicy{Files: []client.PolicyFile{{Name: "a.cedar", Text: text}}})
		if !client.IsStatus(err, http.StatusUnprocessableEntity) || len(err.Error()) > 1000 {
			t.Errorf("%s: got %.300v", what, err)
		}
	}
	_, err := alice.ProposePolicy(t.Context(), client.NewPolicy{Files: []client.PolicyFile{
		{Name: "s.cedarschema", Text: "type T = " + strings.Repeat("Set<", 1<<18)},
	}})
	if !client.IsStatus(err, http.StatusUnprocessableEntity) {
		t.Errorf("schema: got %.300v", err)
	}
	const secret = "deadbeefcafe0123456789"
	for _, f := range []client.PolicyFile{{Name: "a.cedar", Text: secret}, {Name: "a.cedarschema", Text: secret},
		{Name: "b\nnew file x:.cedar", Text: ""}} {
		_, err := alice.ProposePolicy(t.Context(), client.NewPolicy{Files: []client.PolicyFile{f}})
		if !client.IsStatus(err, http.StatusUnprocessableEntity) || strings.Contains(err.Error(), secret) ||
			strings.Contains(err.Error(), "\nnew file") {
			t.Errorf("%q: got %v", f.Name, err)
		}
	}
}

// Only plain files of a policy folder are read.
func TestPolicyFolderHoldsPlainFiles(t *testing.T) {
	for what, put := range map[string]func(name string) error{
		"link": func(name string) error {
			key := name + ".key"
			if err := os.WriteFile(key, []byte("deadbeefcafe0123456789"), 0o600); err != nil {
				return err
			}
			return os.Symlink(key, name)
		},
		"pipe":  pipe,
		"large": func(name string) error { return os.WriteFile(name, make([]byte, 2<<20), 0o600) },
	} {
		folder := t.TempDir()
		if err := put(filepath.Join(folder, "a.cedar")); err != nil {
			t.Fatal(err)
		}
		c := config.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", Policies: folder}
		s, err := server.Start(t.Context(), c.Defaults(), nil)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "a.cedar") || strings.Contains(err.Error(), "deadbeef") {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func TestExplainIsBounded(t *testing.T) {
	s := start(t, nil)
	alice := enrol(t, s)
	if _, err := alice.Explain(t.Context(), bytes.Repeat([]byte(" "), 300<<10)); !client.IsStatus(err,
		http.StatusRequestEntityTooLarge) {
		t.Errorf("300 KiB: got %v", err)
	}
}
