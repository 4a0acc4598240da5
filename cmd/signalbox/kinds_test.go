package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/explain"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

// A gate for echo is one that nobody needs: after a line with user and password each
// line is a request, which is answered with itself.
var echo = gate.Kind{
	Name:     "echo",
	Title:    "echo",
	Settings: func() gate.Settings { return new(echoSettings) },
	Text:     func(a gate.Access) string { return fmt.Sprintf("%s:%d as %s", a.Host, a.Port, a.User) },
	Variables: func(gates []gate.Access, _ gate.Folder) ([]string, error) {
		g := gates[0]
		return []string{"ECHO_ADDRESS=" + net.JoinHostPort(g.Host, fmt.Sprint(g.Port)), "ECHO_USER=" + g.User,
			"ECHO_PASSWORD=" + g.Password, "ECHO_ROOM=" + g.Database}, nil
	},
	Leaks: []gate.Leak{{Name: "ECHO*", Reason: "shouts elsewhere"}},
	Explain: func() explain.Reader {
		return func(request json.RawMessage) (explain.Native, error) {
			var d struct{ Line string }
			if err := json.Unmarshal(request, &d); err != nil || d.Line == "" {
				return explain.Native{}, errors.Join(err, errors.New(`echo request without "line"`))
			}
			return explain.Native{Target: "wall",
				Classify: func() ([]signalbox.Action, func()) { return echoActions(d.Line), func() {} }}, nil
		}
	},
}

type echoSettings struct {
	Upstream struct {
		Room  string        `yaml:"room"`
		Key   secret.Source `yaml:"key"`
		Rules gate.File     `yaml:"rules"`
	} `yaml:"upstream"`
	Times int `yaml:"times"`
}

func (s *echoSettings) Defaults() {
	if s.Times == 0 {
		s.Times = 2
	}
}

func (s *echoSettings) Check(r gate.Report) {
	r.OneOf("upstream.room", s.Upstream.Room, "hall", "cellar")
	if s.Times < 0 {
		r.Problem("times", "must not be negative", "echo at least once")
	}
}

func (s *echoSettings) Target() string      { return "echo://" + s.Upstream.Room }
func (s *echoSettings) Tell(a *gate.Access) { a.Database = s.Upstream.Room }

func (s *echoSettings) Open(c gate.Config) (gate.Gate, error) {
	if err := c.Complete("echo", 1); err != nil {
		return nil, err
	}
	key, err := s.Upstream.Key.Read()
	g := &echoGate{Config: c, times: s.Times, key: key}
	g.ctx, g.end = context.WithCancel(context.Background())
	return g, err
}

func echoActions(line string) []signalbox.Action {
	return []signalbox.Action{{
		Verb: signalbox.Update, Native: "SAY", Resources: []signalbox.Resource{{Type: "line", Name: line}},
		Impact: signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: true},
	}}
}

type echoGate struct {
	gate.Config
	times int
	key   string
	ctx   context.Context
	end   context.CancelFunc
	work  sync.WaitGroup
}

func (g *echoGate) Serve(ctx context.Context, l net.Listener) error {
	context.AfterFunc(g.ctx, func() { l.Close() })
	for {
		conn, err := l.Accept()
		if err != nil {
			g.work.Wait()
			return nil
		}
		g.work.Go(func() {
			defer conn.Close()
			g.serve(ctx, conn)
		})
	}
}

func (g *echoGate) Shutdown(context.Context) error {
	g.end()
	return nil
}

func (g *echoGate) serve(ctx context.Context, conn net.Conn) {
	lines := bufio.NewScanner(conn)
	lines.Scan()
	user, password, _ := strings.Cut(lines.Text(), " ")
	s, credential, err := g.Interlock.Authenticate(ctx, g.Gate.Name, signalbox.SessionID(user))
	if err != nil || password != credential {
		return
	}
	for lines.Scan() {
		r := interlock.Request{Session: s, Gate: g.Gate, Actions: echoActions(lines.Text()), Text: lines.Text(),
			Canonical: signalbox.Digest(sha256.Sum256(lines.Bytes()))}
		if _, err := g.Interlock.Do(ctx, r, echoing{g, conn, lines.Text()}); err != nil {
			fmt.Fprintln(conn, err)
		}
	}
}

type echoing struct {
	g    *echoGate
	to   net.Conn
	line string
}

func (e echoing) Probe(context.Context) (signalbox.Impact, signalbox.State, error) {
	return echoActions(e.line)[0].Impact, nil, nil
}

func (e echoing) Prepare(context.Context) interlock.Prepared {
	return interlock.Prepared{Atomic: true}
}

func (e echoing) Execute(context.Context, *interlock.Permit) (signalbox.Outcome, error) {
	_, err := fmt.Fprintln(e.to, strings.TrimSpace(strings.Repeat(e.line+" ", e.g.times)+e.g.key))
	return signalbox.Outcome{Result: signalbox.Done}, err
}

// A kind of gate is one line in the list of them, and nothing else: configuration,
// server, command line and explain take it from there. Without the line it is refused
// by each.
func TestKindIsOneLine(t *testing.T) {
	kinds := append(server.Kinds(), echo)
	dir := t.TempDir()
	t.Setenv("ECHO_KEY", "k")
	t.Setenv("SIGNALBOX_CONFIG_DIR", t.TempDir())
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("rules", "")
	file := write("signalbox.yaml", `
listen: 127.0.0.1:0
gates:
  - name: wall
    kind: echo
    environment: development
    listen: 127.0.0.1:0
    upstream: {room: hall, key: {env: ECHO_KEY}, rules: rules}
`)

	// Read, its defaults filled in, its files and secrets found.
	c, err := config.Read(file, kinds)
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Gates[0].Settings.(*echoSettings); s.Times != 2 ||
		string(s.Upstream.Rules) != filepath.Join(dir, "rules") {
		t.Errorf("settings: %+v", s)
	}
	if got := c.Variables(); !cmp.Equal(got, []string{"ECHO_KEY"}) {
		t.Errorf("variables of secrets: %q", got)
	}
	// Checked as strictly as others.
	for text, want := range map[string][]string{
		"kind: echo\n    upstream: {room: hal, rules: none, key: {env: A, file: b}}\n    times: -1": {
			`gates[0].upstream.room: "hal" is not known (did you mean "hall"?)`, `none" cannot be read`,
			"gates[0].upstream.key: both env and file", "gates[0].times: must not be negative (echo at least once)",
		},
		"kind: echo\n    upstream: {room: hall, host: db}\n    count: exact": {"gates[0].upstream.host: is for gates of kind postgres", "gates[0].count: is for gates of kind postgres"},
		"kind: postgres\n    upstream: {host: db, user: app}\n    times: 3":  {"gates[0].times: is for gates of kind echo"},
		"kind: echo\n    upstream: {rom: hall}":                              {`unknown key "gates[0].upstream.rom" (did you mean "room"?)`},
		"kind: ecco\n    upstream: {room: attic, host: db, port: 70000}":     {`gates[0].kind: "ecco" is not known (did you mean "echo"?)`},
	} {
		_, err := config.Parse("x.yaml", []byte("gates:\n  - name: wall\n    environment: development\n    "+text+
			"\n"), kinds)
		var es config.Errors
		if !errors.As(err, &es) || len(es) != len(want) {
			t.Errorf("%s\n%v", text, err)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s\n%v\nwant %s", text, err, w)
			}
		}
	}

	// Opened, and told to clients.
	s, err := server.Start(t.Context(), c, slog.New(slog.NewTextHandler(t.Output(),
		&slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	nobody, err := client.New(client.Config{URL: s.URL()})
	if err != nil {
		t.Fatal(err)
	}
	alice, err := nobody.Login(t.Context(), client.Login{Code: s.Code(), Name: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SIGNALBOX_SERVER", s.URL())
	t.Setenv("SIGNALBOX_TOKEN", alice.Token)
	command := func(kinds []gate.Kind, stdin string, args ...string) (stdout, stderr string) {
		t.Helper()
		var out, problems bytes.Buffer
		p := &program{stdin: strings.NewReader(stdin), stdout: &out, stderr: &problems, kinds: kinds}
		root := p.root()
		root.SetArgs(args)
		root.SetOut(&out)
		root.SetErr(&problems)
		p.exit(root.ExecuteContextC(t.Context()))
		return out.String(), problems.String()
	}
	text, problems := command(kinds, "", "session", "start", "--agent", "claude", "--env=json")
	var env map[string]string
	if err := json.Unmarshal([]byte(text), &env); err != nil || problems != "" {
		t.Fatalf("%v: %s%s", err, text, problems)
	}
	var told []client.Gate
	if err := json.Unmarshal([]byte(env["SIGNALBOX_GATES"]), &told); err != nil || len(told) != 1 ||
		told[0].Kind != "echo" || told[0].Database != "hall" || env["ECHO_ROOM"] != "hall" {
		t.Fatalf("%v: %v", err, env)
	}
	t.Setenv("ECHO_ELSEWHERE", "x")
	if text, _ := command(kinds, "", "run", "--agent", "claude", "--allow-same-user", "--quiet", "--", "sh", "-c",
		"echo $ECHO_ADDRESS$ECHO_ELSEWHERE"); strings.TrimSpace(text) != env["ECHO_ADDRESS"] {
		t.Errorf("run: %q, want %q", text, env["ECHO_ADDRESS"])
	}
	if text, _ := command(kinds, "", "session", "start", "--agent", "claude"); !strings.Contains(text,
		env["ECHO_ADDRESS"]+" as ") {
		t.Errorf("session start:\n%s", text)
	}

	// It works, and what it does is in the log.
	conn, err := net.Dial("tcp", env["ECHO_ADDRESS"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s\nhello\n", env["ECHO_USER"], env["ECHO_PASSWORD"])
	if answer, err := bufio.NewReader(conn).ReadString('\n'); answer != "hello hello k\n" {
		t.Errorf("%q, %v", answer, err)
	}
	if text, _ := command(kinds, "", "log", "tail", "--json"); !strings.Contains(text, "echo://hall") {
		t.Errorf("log:\n%s", text)
	}

	// Explained.
	const scenario = `{"id":"1","actor":{"human":"alice"},"environment":"development","requests":[{"gate":"echo","line":"hello"}]}`
	if text, problems := command(kinds, scenario, "explain"); !strings.Contains(text,
		`"verb":"update","resources":[{"type":"line","name":"hello"`) {
		t.Errorf("explain: %s%s", text, problems)
	}

	// Without the line each refuses it.
	if _, err := config.Read(file, server.Kinds()); err == nil ||
		!strings.Contains(err.Error(), `gates[0].kind: "echo" is not known`) {
		t.Errorf("configuration: %v", err)
	}
	c.Kinds, c.Data = server.Kinds(), t.TempDir()
	if s, err := server.Start(t.Context(), c, nil); err == nil ||
		!strings.Contains(err.Error(), `kind "echo" is not known`) {
		t.Errorf("server: %v", err)
		if err == nil {
			s.Close()
		}
	}
	c.Gates[0].Kind = "postgres"
	if _, err := server.Start(t.Context(), c, nil); err == nil ||
		!strings.Contains(err.Error(), `settings are not those of kind "postgres"`) {
		t.Errorf("settings of another kind: %v", err)
	}
	for _, args := range [][]string{{"session", "start"}, {"run", "--allow-same-user", "--", "true"}} {
		if _, problems := command(server.Kinds(), "", args...); !strings.Contains(problems,
			`gate "wall" is of kind "echo", which this program does not know`) {
			t.Errorf("%s: %s", args, problems)
		}
	}
	if text, _ := command(server.Kinds(), scenario, "explain"); !strings.Contains(text,
		`gate \"echo\" is none of aws, kubernetes, mcp, postgres, shell, terraform`) {
		t.Errorf("explain: %s", text)
	}
}
