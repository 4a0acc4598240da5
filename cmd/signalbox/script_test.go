package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signalbox-dev/signalbox/test/pgtest"
)

func TestMain(m *testing.M) {
	testscript.Main(cleanup{m}, map[string]func(){"signalbox": main, "awscall": awsCall})
}

// target is the PostgreSQL server that the scripts share, each with a database
// of its own.
var target = sync.OnceValues(func() (*pgtest.Server, error) {
	return pgtest.Start(context.Background(), pgtest.Config{})
})

var targetUsed bool

// cleanup runs the tests, and ends the target with them.
type cleanup struct{ m *testing.M }

func (c cleanup) Run() int {
	code := c.m.Run()
	if targetUsed {
		if s, err := target(); err == nil {
			s.Close()
		}
	}
	return code
}

// TestScripts runs testdata/*.txtar. A script has $PORT and $GATE_PORT, free
// ports; $TARGET_PORT, $TARGET_DB and $TARGET_PASSWORD of an empty database;
// $ACCOUNT_URL, the URL of a stand-in for an AWS account (see aws_test.go); and the
// commands
//
//	await FILE REGEXP          wait until a line of the file matches
//	fill FILE                  replace $NAMES in the file
//	capture NAME FILE REGEXP   set a variable to what the first group matched
func TestScripts(t *testing.T) {
	pg, err := target()
	if err != nil {
		t.Fatal(err)
	}
	targetUsed = true
	account := newAccount(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"PORT", "GATE_PORT"} {
				port, err := freePort()
				if err != nil {
					return err
				}
				env.Setenv(name, port)
			}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("SIGNALBOX_CONFIG_DIR", filepath.Join(env.WorkDir, "login"))
			env.Setenv("SIGNALBOX_SERVER", "http://127.0.0.1:"+env.Getenv("PORT"))
			name := "script_" + regexp.MustCompile(`\W`).ReplaceAllString(filepath.Base(env.WorkDir), "_")
			if err := pg.CreateDB(context.Background(), name); err != nil {
				return err
			}
			env.Setenv("TARGET_DB", name)
			env.Setenv("TARGET_PORT", fmt.Sprint(pg.Port))
			env.Setenv("TARGET_PASSWORD", pg.Password)
			env.Setenv("ACCOUNT_URL", account.URL)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fill": func(ts *testscript.TestScript, _ bool, args []string) {
				filled := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(filled), 0o600))
			},
			"await": func(ts *testscript.TestScript, _ bool, args []string) { await(ts, args[0], args[1]) },
			"capture": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv(args[0], await(ts, args[1], args[2]))
			},
		},
	})
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// await gives what the first group of the expression matched in the file.
func await(ts *testscript.TestScript, file, expression string) string {
	re := regexp.MustCompile(`(?m)` + expression)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var data []byte
		if file == "stdout" || file == "stderr" {
			data = []byte(ts.ReadFile(file))
		} else {
			var err error
			if data, err = os.ReadFile(ts.MkAbs(file)); err != nil && !errors.Is(err, os.ErrNotExist) {
				ts.Fatalf("%v", err)
			}
		}
		if m := re.FindSubmatch(data); m != nil {
			return string(m[len(m)-1])
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("%s does not match %q:\n%s", file, expression, data)
		}
	}
}
