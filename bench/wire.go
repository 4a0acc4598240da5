//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
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

// clients is how many connections pgbench holds.
const clients = 8

// A route is a way to the database "bench" on one server.
type route struct {
	name  string
	env   []string // libpq's
	close func()
}

// benchWire measures pgbench through each route to the same server, one after
// another, so that all meet the same machine.
func benchWire(ctx context.Context, out io.Writer, length time.Duration) error {
	server, err := pgtest.Start(ctx, pgtest.Config{Durable: true, Settings: map[string]string{"max_connections": "200"}})
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
	routes := []route{{name: "direct", env: server.Env("bench")}, bouncer}

	fmt.Fprintf(out, "pgbench, scale 10, %d clients, %v each\n\n", clients, length)
	fmt.Fprintf(out, "%-24s %-12s %10s %12s  %s\n", "load", "through", "per second", "latency", "beside PgBouncer")
	for _, l := range loads {
		rates := map[string]rate{}
		for _, r := range routes {
			args := append([]string{"-n", "-c", strconv.Itoa(clients), "-j", "2", "-T", strconv.Itoa(int(length.Seconds()))}, l.args...)
			text, err := pgbench(ctx, server, r.env, args...)
			if err != nil {
				return fmt.Errorf("%s through %s: %w", l.name, r.name, err)
			}
			if rates[r.name], err = parseRate(text); err != nil {
				return fmt.Errorf("%s through %s: %w", l.name, r.name, err)
			}
		}
		for _, r := range routes {
			fmt.Fprintf(out, "%-24s %-12s %10.0f %9.3f ms  %.2f\n", l.name, r.name,
				rates[r.name].perSecond, rates[r.name].latency, rates[r.name].perSecond/rates[bouncer.name].perSecond)
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
	latency   float64 // mean, in milliseconds
}

var (
	ratePattern    = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)
	latencyPattern = regexp.MustCompile(`(?m)^latency average = ([0-9.]+) ms`)
	failedPattern  = regexp.MustCompile(`(?m)^number of failed transactions: 0 `)
)

// parseRate reads pgbench's report, and refuses one of a run in which something
// failed: refusals are fast.
func parseRate(text string) (rate, error) {
	tps, latency := ratePattern.FindStringSubmatch(text), latencyPattern.FindStringSubmatch(text)
	if tps == nil || latency == nil || !failedPattern.MatchString(text) {
		return rate{}, fmt.Errorf("no clean report:\n%s", text)
	}
	perSecond, err1 := strconv.ParseFloat(tps[1], 64)
	mean, err2 := strconv.ParseFloat(latency[1], 64)
	return rate{perSecond, mean}, errors.Join(err1, err2)
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
