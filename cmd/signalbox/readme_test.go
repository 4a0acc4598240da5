package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox/internal/demo/standin"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/test/awstest"
	"github.com/signalbox-dev/signalbox/test/pgtest"
)

const root = "../.."

// What README.md shows is what there is: each of its blocks is run as a reader
// would, in order, by the person whom the block's first line names, in a terminal
// of his own; its configuration is what the server gets; its make targets,
// folders and documents exist.
//
// What differs from what a reader sees: addresses (ports are free ones, and the
// account is a stand-in), who is asked on a terminal gets it on standard input, and
// `make TARGET` is only looked up, since running the tests inside of a test would
// never end.
func TestReadme(t *testing.T) {
	text := readme(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	r := newReader(t, ctx)
	for _, b := range blocks(text) {
		switch b.language {
		case "sql":
			r.database(b.text)
		case "yaml":
			r.configure(b.text)
		case "sh":
			r.run(b.text)
		default:
			t.Errorf("a block of %q, which nobody runs:\n%s", b.language, b.text)
		}
		if t.Failed() {
			break
		}
	}
	r.end()
	// What was approved has happened, once; what was not has not.
	if got := r.psql("orders", "SELECT count(*), min(price) FROM orders"); got != "20|11\n" {
		t.Errorf("orders: %q", got)
	}
	if got := r.psql("orders", "SELECT to_regclass('orders_2019')"); got != "\n" {
		t.Errorf("orders_2019 is still there: %q", got)
	}
	for _, want := range []string{"findings +0 violations", "DROP TABLE\n", `"verdict": ?"hold"`,
		"arn:aws.*/signalbox/aws", "StackSummaries"} {
		if !t.Failed() && !regexp.MustCompile(want).MatchString(r.told.String()) {
			t.Errorf("nobody was told %q:\n%s", want, r.told.String())
		}
	}
}

// The rest of what it names is there.
func TestReadmeNames(t *testing.T) {
	text := readme(t)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile("(?m)(?:^ *|`)make ([a-z-]+)").FindAllStringSubmatch(text, -1)
	if len(targets) < 4 {
		t.Errorf("found %d targets of make: is the README still read rightly?", len(targets))
	}
	for _, m := range targets {
		if !strings.Contains(string(makefile), "\n"+m[1]+":") {
			t.Errorf("make %s: there is no such target", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("link to %s: %v", m[1], err)
		}
	}
	for _, dir := range tree(text) {
		if info, err := os.Stat(filepath.Join(root, dir)); err != nil || !info.IsDir() {
			t.Errorf("the tree shows a folder %s, which is not there", dir)
		}
	}
}

func readme(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A block is a fenced block of the text.
type block struct{ language, text string }

func blocks(text string) (bs []block) {
	for _, m := range regexp.MustCompile("(?ms)^ *```([^\n]*)\n(.*?\n) *```$").FindAllStringSubmatch(text, -1) {
		bs = append(bs, block{m[1], m[2]})
	}
	return bs
}

// A reader does what the text says.
type reader struct {
	t       *testing.T
	ctx     context.Context
	pg      *pgtest.Server
	cloud   *standin.Cloud
	dir     string // where everybody works
	env     []string
	api     string
	waiting map[string]*terminalOf // of persons whose last block has not ended yet
	server  *terminalOf
	secrets map[string]string // what a person is asked for when he logs in
	told    bytes.Buffer      // all that was printed by what has ended
}

// A terminalOf is where one block runs.
type terminalOf struct {
	cmd      *exec.Cmd
	out, err string // files
	text     string
	done     chan error
}

func newReader(t *testing.T, ctx context.Context) *reader {
	t.Helper()
	pg, err := target()
	if err != nil {
		t.Fatal(err)
	}
	targetUsed = true
	cloud, err := standin.Start(standin.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cloud.Close)
	r := &reader{t: t, ctx: ctx, pg: pg, cloud: cloud, dir: t.TempDir(), waiting: map[string]*terminalOf{},
		secrets: map[string]string{}}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	r.api = "127.0.0.1:" + port
	// The programs that the text names.
	bin := filepath.Join(t.TempDir(), "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	cli, err := awstest.CLI(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// Debian's CLI is older than AWS_ENDPOINT_URL, which the text asks for.
	wrapper := "#!/bin/sh\nexec '" + cli + "' --endpoint-url \"$AWS_ENDPOINT_URL\" \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "aws"), []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(bin, "signalbox-verify"),
		"./cmd/signalbox-verify")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build signalbox-verify: %v\n%s", err, out)
	}
	home := t.TempDir()
	r.env = []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + home, "SIGNALBOX_SERVER=http://" + r.api, "LC_ALL=C.UTF-8",
		"AWS_PAGER=",
		"AWS_MAX_ATTEMPTS=1",
	}
	t.Cleanup(func() {
		for _, who := range r.all() {
			who.stop(syscall.SIGKILL)
		}
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		for _, sql := range []string{"DROP DATABASE IF EXISTS orders WITH (FORCE)", "DROP ROLE IF EXISTS signalbox"} {
			if out, err := pg.Command(clean, "postgres", "psql", "-Xqc", sql).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", sql, err, out)
			}
		}
	})
	return r
}

// all gives what has not ended.
func (r *reader) all() (ts []*terminalOf) {
	for _, w := range r.waiting {
		ts = append(ts, w)
	}
	if r.server != nil {
		ts = append(ts, r.server)
	}
	return ts
}

// psql asks the database itself.
func (r *reader) psql(database, sql string) string {
	r.t.Helper()
	out, err := r.pg.Command(r.ctx, database, "psql", "-XAtc", sql).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", sql, err, out)
	}
	return string(out)
}

// database runs a block of SQL as an administrator of the database.
func (r *reader) database(sql string) {
	r.t.Helper()
	cmd := r.pg.Command(r.ctx, "postgres", "psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-f", "-")
	cmd.Stdin = strings.NewReader(sql)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("%s\n%v\n%s", sql, err, out)
	}
}

// configure writes the configuration, with our addresses in place of the text's.
func (r *reader) configure(text string) {
	r.t.Helper()
	name := filepath.Join(r.dir, "signalbox.yaml")
	write := func(text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	write(text)
	c, err := config.Read(name, server.Kinds())
	if err != nil {
		r.t.Fatalf("as it stands: %v", err)
	}
	if len(c.Gates) != 2 || !c.Production() {
		r.t.Errorf("as it stands: %+v", c.Gates)
	}
	for old, ours := range map[string]string{
		"host: localhost":      fmt.Sprintf("host: 127.0.0.1\n      port: %d", r.pg.Port),
		`"123456789012"`:       fmt.Sprintf("%q", standin.Account),
		"region: eu-central-1": fmt.Sprintf("region: %s\n      endpoint: %s\n      credentials: {access_key_id: %s, secret_access_key: {file: cloud-secret}}", standin.Region, r.cloud.URL(), r.cloud.AccessKeyID),
		"    kind: postgres\n": "    kind: postgres\n    listen: 127.0.0.1:0\n",
		"    kind: aws\n":      "    kind: aws\n    listen: 127.0.0.1:0\n",
	} {
		if strings.Count(text, old) != 1 {
			r.t.Fatalf("the configuration has %q %d times", old, strings.Count(text, old))
		}
		text = strings.Replace(text, old, ours, 1)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "cloud-secret"), []byte(r.cloud.SecretAccessKey), 0o600); err != nil {
		r.t.Fatal(err)
	}
	write("listen: " + r.api + "\nlog: {publish: 100ms}\n" + text)
}

// run runs a block in the terminal of whom it names.
func (r *reader) run(text string) {
	r.t.Helper()
	who, script, ok := strings.Cut(text, "\n")
	who = strings.TrimPrefix(who, "# ")
	if !ok || who != "alice" && who != "bob" && who != "carol" && who != "the server" {
		r.t.Fatalf("the first line of a block says in whose terminal it runs:\n%s", text)
	}
	script = regexp.MustCompile(`(?m)^make [a-z-]+$`).ReplaceAllString(script, ":")
	script = strings.ReplaceAll(script, config.DefaultListen, r.api)
	if r.server == nil && strings.Contains(script, "signalbox ") && who != "the server" {
		r.t.Fatalf("there is no server yet for\n%s", text)
	}
	if before := r.waiting[who]; before != nil {
		delete(r.waiting, who)
		r.finish(before) // a terminal does one thing after the other
	}
	b := r.start(script, r.secrets[who])
	switch {
	case who == "the server":
		r.server = b
		r.secrets["alice"] = r.await(b, b.err, `(sba_\w+)`)
		r.await(b, b.out, `(gate +orders)`)
		r.await(b, b.out, `(gate +cloud)`)
	case strings.Contains(script, " --wait "):
		r.waiting[who] = b
		r.await(b, b.err, `\((hold [0-9A-Z]{26})\)`)
	default:
		out := r.finish(b)
		for _, m := range regexp.MustCompile(`sbu_(\w+?)_\w+`).FindAllStringSubmatch(out, -1) {
			r.secrets[m[1]] = m[0]
		}
	}
}

// start starts a script. Whoever asks for something is given input.
func (r *reader) start(script, input string) *terminalOf {
	r.t.Helper()
	dir := r.t.TempDir()
	b := &terminalOf{
		cmd: exec.Command("sh", "-e", "-c", script), text: script,
		out: filepath.Join(dir, "out"), err: filepath.Join(dir, "err"), done: make(chan error, 1),
	}
	out, err := os.Create(b.out)
	if err != nil {
		r.t.Fatal(err)
	}
	defer out.Close()
	errs, err := os.Create(b.err)
	if err != nil {
		r.t.Fatal(err)
	}
	defer errs.Close()
	b.cmd.Dir, b.cmd.Env, b.cmd.Stdout, b.cmd.Stderr = r.dir, r.env, out, errs
	b.cmd.Stdin = strings.NewReader(input + "\n")
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { b.done <- b.cmd.Wait() }()
	return b
}

// stop signals all that a block has started.
func (b *terminalOf) stop(s syscall.Signal) {
	// An error means that it has ended.
	_ = syscall.Kill(-b.cmd.Process.Pid, s)
}

// printed is what a block has printed so far.
func (b *terminalOf) printed() string {
	out, _ := os.ReadFile(b.out)
	errs, _ := os.ReadFile(b.err)
	return string(out) + string(errs)
}

// finish waits for the end of a block, which must be a good one.
func (r *reader) finish(b *terminalOf) string {
	r.t.Helper()
	var err error
	select {
	case err = <-b.done:
	case <-r.ctx.Done():
		b.stop(syscall.SIGKILL)
		err = r.ctx.Err()
	}
	out := b.printed()
	if err != nil {
		r.t.Errorf("%s\n%v\n%s", b.text, err, out)
	}
	r.told.WriteString(out)
	return out
}

// await gives what the group of the expression matches in a file.
func (r *reader) await(b *terminalOf, file, expression string) string {
	r.t.Helper()
	re := regexp.MustCompile(expression)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		data, err := os.ReadFile(file)
		if err != nil {
			r.t.Fatal(err)
		}
		if m := re.FindSubmatch(data); m != nil {
			return string(m[1])
		}
		select {
		case <-tick.C:
		case err := <-b.done:
			r.t.Fatalf("%s\nended with %v\n%s", b.text, err, b.printed())
		case <-r.ctx.Done():
			r.t.Fatalf("%s\nnever said %s:\n%s", b.text, expression, b.printed())
		}
	}
}

// end waits for all that still runs, the server last.
func (r *reader) end() {
	r.t.Helper()
	for who, b := range r.waiting {
		delete(r.waiting, who)
		r.finish(b)
	}
	if r.server == nil {
		r.t.Fatal("no block starts the server")
	}
	r.server.stop(syscall.SIGINT)
	select {
	case <-r.server.done: // the shell's code is that of the signal
		r.server = nil
	case <-r.ctx.Done():
		r.t.Errorf("the server does not stop:\n%s", r.server.printed())
	}
}

// tree gives the folders that the picture of the tree shows.
func tree(text string) []string {
	var dirs []string
	parent := ""
	for _, m := range regexp.MustCompile(`(?m)^    (│   )?[├└]── (\S+)/`).FindAllStringSubmatch(text, -1) {
		if m[1] == "" {
			parent = m[2]
			dirs = append(dirs, m[2])
			continue
		}
		dirs = append(dirs, parent+"/"+m[2])
	}
	return dirs
}
