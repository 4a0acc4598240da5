package regress

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/signalbox-dev/signalbox/test/pgtest"
)

var (
	all  = flag.Bool("all", false, "run all files, not only those of the short list: many minutes")
	only = flag.String("only", "", "run these files alone, with the set-up file before them; names with commas between; exceptions do not hold")
	keep = flag.String("keep", "", "folder to leave the outputs of both routes in")
)

const database = "regression"

// A route leads to a server: straight, or through something that must not show.
type route struct {
	name string
	// env returns libpq's environment for reaching the database by this route.
	env func(t *testing.T, server *pgtest.Server) []string
	// except are the files that cannot go this way, each with the reason.
	except map[string]string
}

// short are the files about what a gate could get wrong: statements of every kind,
// transactions, COPY, cursors, prepared statements, notices, errors. The others are
// about types, operators and plans.
var short = strings.Fields(`
	test_setup boolean strings date copy copyselect copydml insert_conflict
	select errors select_into subselect union transactions portals delete
	prepared_xacts lock async psql_crosstab portals_p2 advisory_lock limit copy2 temp prepare
	truncate sequence returning largeobject with event_trigger`)

var direct = route{
	name: "direct",
	env:  func(_ *testing.T, server *pgtest.Server) []string { return server.Env(database) },
}

// TestDirectTwice proves that a difference seen through a gate is the gate's: all
// files print the same on two servers that are like enough.
func TestDirectTwice(t *testing.T) {
	if !*all && *only == "" {
		t.Skip("a check of this test, not of Signalbox: -all runs it")
	}
	compare(t, direct, route{name: "again", env: direct.env})
}

// compare runs the files by both routes at the same time, each to a new server of
// its own, and reports every file whose output differs.
func compare(t *testing.T, a, b route) {
	t.Helper()
	files := schedule(t, a, b)
	outputs := make([]map[string][]byte, 2)
	var both sync.WaitGroup
	for i, r := range []route{a, b} {
		server := pgtest.New(t, pgtest.Config{Settings: settings})
		if err := prepare(t.Context(), server); err != nil {
			t.Fatal(err)
		}
		env := r.env(t, server)
		build := buildDir(t)
		both.Go(func() { outputs[i] = runAll(t, r.name, files, env, build) })
	}
	both.Wait()
	if t.Failed() {
		return
	}
	same := 0
	for _, file := range files {
		x, y := outputs[0][file], outputs[1][file]
		if bytes.Equal(x, y) {
			same++
			continue
		}
		t.Errorf("%s: %s and %s differ:\n%s", file, a.name, b.name, firstDifference(x, y))
	}
	t.Logf("%d of %d files print the same by the routes %s and %s", same, len(files), a.name, b.name)
}

// settings keep the server from doing things at moments of its own choosing.
var settings = map[string]string{
	"autovacuum":                "off",
	"max_prepared_transactions": "2",
	"max_wal_size":              "4GB",
	"checkpoint_timeout":        "1h",
	"jit":                       "off",
}

// prepare makes the database as PostgreSQL's own driver of these files does.
func prepare(ctx context.Context, server *pgtest.Server) error {
	if err := server.CreateDB(ctx, database); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, server.URL(database))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, setting := range []string{
		"lc_messages to 'C'", "lc_monetary to 'C'", "lc_numeric to 'C'", "lc_time to 'C'",
		"bytea_output to 'hex'", "timezone_abbreviations to 'Default'",
	} {
		if _, err := conn.Exec(ctx, "alter database "+database+" set "+setting); err != nil {
			return fmt.Errorf("alter database set %s: %w", setting, err)
		}
	}
	return nil
}

func runAll(t *testing.T, name string, files, env []string, build string) map[string][]byte {
	outputs := map[string][]byte{}
	for i, file := range files {
		out, err := runFile(t.Context(), file, env, build)
		if err != nil {
			t.Errorf("%s: %s: %v", name, file, err)
			return nil
		}
		outputs[file] = out
		if *keep != "" {
			if err := os.WriteFile(filepath.Join(*keep, file+"."+name), out, 0o644); err != nil {
				t.Error(err)
			}
		}
		if (i+1)%50 == 0 {
			t.Logf("%s: %d of %d files", name, i+1, len(files))
		}
	}
	return outputs
}

// runFile gives one file to psql, as PostgreSQL's own driver does, and returns all
// that it prints. Exit codes above 0 are part of the story: a script may end by
// losing its connection.
func runFile(ctx context.Context, file string, env []string, build string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	bin, err := pgtest.BinDir()
	if err != nil {
		return nil, err
	}
	script, err := os.Open(filepath.Join(filesDir, "sql", file+".sql"))
	if err != nil {
		return nil, err
	}
	defer script.Close()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "psql"), "--no-psqlrc", "--echo-all", "--quiet", "--no-password",
		"-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on")
	cmd.Stdin = script
	cmd.Env = append(append(os.Environ(), env...),
		"PGAPPNAME=pg_regress/"+file, "PGTZ=PST8PDT", "PGDATESTYLE=Postgres, MDY", "LC_ALL=C",
		"PG_ABS_SRCDIR="+build, "PG_ABS_BUILDDIR="+build, "PG_LIBDIR=/nonexistent", "PG_DLSUFFIX=.so")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		return nil, fmt.Errorf("psql: %w, after\n%s", err, tail(out))
	}
	return out, nil
}

var filesDir = filepath.Join("..", "..", ".cache", "regress")

// schedule lists the files in PostgreSQL's own order, which they depend on, without
// those that a route excepts.
func schedule(t *testing.T, routes ...route) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(filesDir, "parallel_schedule"))
	if err != nil {
		t.Fatalf("%v: run `make setup`", err)
	}
	wanted := func(name string) bool { return *all || slices.Contains(short, name) }
	if *only != "" {
		names := append(strings.Split(*only, ","), "test_setup")
		wanted = func(name string) bool { return slices.Contains(names, name) }
	}
	var files []string
	for line := range strings.Lines(string(text)) {
		names, ok := strings.CutPrefix(line, "test:")
		if !ok {
			continue
		}
		for _, name := range strings.Fields(names) {
			if wanted(name) {
				files = append(files, name)
			}
		}
	}
	if *only != "" {
		return files
	}
	for _, r := range routes {
		for name, why := range r.except {
			t.Logf("%s does not go by the route %s: %s", name, r.name, why)
			files = slices.DeleteFunc(files, func(file string) bool { return file == name })
		}
	}
	return files
}

// buildDir makes a folder with the data files, which the server, another user,
// reads, and with room for the files that it writes.
func buildDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "signalbox-regress-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(filepath.Join(filesDir, "data"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "results"), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o755, filepath.Join(dir, "results"): 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// firstDifference shows the first lines that differ, with a few before them.
func firstDifference(a, b []byte) string {
	x, y := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	i := 0
	for i < len(x) && i < len(y) && x[i] == y[i] {
		i++
	}
	from := max(0, i-6)
	return fmt.Sprintf("line %d\n%s", i+1, cmp.Diff(x[from:min(i+6, len(x))], y[from:min(i+6, len(y))]))
}

func tail(out []byte) []byte { return out[max(0, len(out)-2000):] }
