//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox/test/pgtest"
)

// A load is one way of calling pgbench.
type load struct {
	name string
	args []string
}

var loads = []load{
	{"select-only, simple", []string{"-S", "-M", "simple"}},
	{"select-only, extended", []string{"-S", "-M", "extended"}},
	{"select-only, prepared", []string{"-S", "-M", "prepared"}},
	{"TPC-B, prepared", []string{"-M", "prepared"}},
}

// onlyLoads and onlyRoutes narrow a run down: flags of main.
var onlyLoads, onlyRoutes string

// clients is how many connections pgbench holds.
const clients = 8

// A route is a way to the database "bench" on one server.
type route struct {
	name  string
	env   []string // libpq's
	pid   int      // of what stands between; 0: nothing
	close func()
}

// benchWire measures pgbench through each route to the same server, one after
// another, so that all meet the same machine.
func benchWire(ctx context.Context, out io.Writer, length time.Duration) error {
	server, err := pgtest.Start(ctx, pgtest.Config{Durable: true,
		Settings: map[string]string{"max_connections": "200"}})
	if err != nil {
		return err
	}
	defer server.Close()
	if err := server.CreateDB(ctx, "bench"); err != nil {
		return err
	}
	if _, err := pgbench(ctx, server, nil, "-i", "-q", "-s", "10"); err != nil {
		return err
	}
	bouncer, err := startPgBouncer(ctx, server)
	if err != nil {
		return err
	}
	defer bouncer.close()
	gate, err := startGate(ctx, out, server)
	if err != nil {
		return err
	}
	defer gate.close()
	routes := []route{{name: "direct", env: server.Env("bench")}, bouncer, gate}

	fmt.Fprintf(out, "pgbench, scale 10, %d clients, %v each\n\n", clients, length)
	fmt.Fprintf(out, "%-24s %-12s %10s %10s %10s %18s %9s  %s\n", "load", "through", "per second", "p50", "p99",
		"added p50, p99", "own CPU", "beside PgBouncer")
	for _, l := range loads {
		if !strings.Contains(l.name, onlyLoads) {
			continue
		}
		rates := map[string]rate{}
		for _, r := range routes {
			if !strings.Contains(r.name, onlyRoutes) {
				continue
			}
			args := append([]string{"-n", "-c", strconv.Itoa(clients), "-j", "2", "-T",
				strconv.Itoa(int(length.Seconds()))}, l.args...)
			logs, err := os.MkdirTemp("", "signalbox-bench-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(logs)
			before := cpu(r.pid)
			text, err := pgbench(ctx, server, r.env,
				append(args, "-l", "--log-prefix="+filepath.Join(logs, "transactions"))...)
			if err != nil {
				return fmt.Errorf("%s through %s: %w", l.name, r.name, err)
			}
			spent := cpu(r.pid) - before
			rate, err := parseRate(text)
			if err != nil {
				return fmt.Errorf("%s through %s: %w", l.name, r.name, err)
			}
			rate.cpu = spent / time.Duration(rate.perSecond*length.Seconds())
			if rate.p50, rate.p99, err = latencies(logs); err != nil {
				return fmt.Errorf("%s through %s: %w", l.name, r.name, err)
			}
			rates[r.name] = rate
		}
		for _, r := range routes {
			if _, ran := rates[r.name]; !ran {
				continue
			}
			it, direct := rates[r.name], rates["direct"]
			fmt.Fprintf(out, "%-24s %-12s %10.0f %10v %10v %18s %9v  %.2f\n", l.name, r.name, it.perSecond, it.p50,
				it.p99,
				fmt.Sprint(it.p50-direct.p50, ", ", it.p99-direct.p99), it.cpu.Round(time.Microsecond),
				it.perSecond/rates[bouncer.name].perSecond)
		}
	}
	fmt.Fprintln(out)
	return nil
}

func pgbench(ctx context.Context, server *pgtest.Server, env []string, args ...string) (string, error) {
	cmd := server.Command(ctx, "bench", "pgbench", args...)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	return string(out), nil
}

type rate struct {
	perSecond float64
	p50, p99  time.Duration // of a transaction, as the client saw it
	cpu       time.Duration // that the thing between spent on each transaction
}

// cpu gives the processor time that a process has spent so far. Beside other
// work it tells more of what a gate costs than throughput does.
func cpu(pid int) time.Duration {
	if pid == 0 {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name before may hold blanks
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	const tick = time.Second / 100 // USER_HZ, on every Linux
	return time.Duration(user+system) * tick
}

// latencies reads pgbench's logs of single transactions in a folder: the third
// word of each line is microseconds.
func latencies(folder string) (p50, p99 time.Duration, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "transactions.*"))
	if err != nil {
		return 0, 0, err
	}
	var all []time.Duration
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return 0, 0, err
		}
		for line := range strings.Lines(string(text)) {
			words := strings.Fields(line)
			if len(words) < 3 {
				continue
			}
			micros, err := strconv.ParseInt(words[2], 10, 64)
			if err != nil {
				return 0, 0, fmt.Errorf("log line %q: %w", line, err)
			}
			all = append(all, time.Duration(micros)*time.Microsecond)
		}
	}
	if len(all) == 0 {
		return 0, 0, errors.New("pgbench logged no transaction")
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*99/100], nil
}

var (
	ratePattern   = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)
	failedPattern = regexp.MustCompile(`(?m)^number of failed transactions: 0 `)
)

// parseRate reads pgbench's report, and refuses one of a run in which something
// failed: refusals are fast.
func parseRate(text string) (rate, error) {
	tps := ratePattern.FindStringSubmatch(text)
	if tps == nil || !failedPattern.MatchString(text) {
		return rate{}, fmt.Errorf("no clean report:\n%s", text)
	}
	perSecond, err := strconv.ParseFloat(tps[1], 64)
	return rate{perSecond: perSecond}, err
}

// lookPath finds a program that distributions put where only root looks.
func lookPath(name string) (string, error) {
	for _, dir := range []string{"/usr/sbin/", "/usr/bin/", "/usr/local/bin/", "/usr/local/sbin/"} {
		if _, err := os.Stat(dir + name); err == nil {
			return dir + name, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: run `make bench`", name)
}
