//go:build linux

// Command bench measures Signalbox beside what it is compared with, in one run on
// one machine, so that the ratios mean something where the numbers do not.
//
//	go run ./bench                 # everything, about ten minutes
//	go run ./bench -only log       # the ledger beside a raw file
//	go run ./bench -only wire -seconds 5
//	go run ./bench -only log -loads 256 -through sqlite -profile cpu.out
//	go run ./bench -only wire -loads prepared -through Signalbox -profile cpu.out
//	go run ./bench -only aws       # the AWS gate beside a plain reverse proxy
//
// It needs what `make bench` installs: PostgreSQL with pgbench, PgBouncer, and
// versitygw.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"time"
)

// A bench prints one section of the report.
type bench struct {
	name string
	run  func(ctx context.Context, out io.Writer, length time.Duration) error
}

var benches = []bench{
	{"log", benchLog},
	{"wire", benchWire},
	{"aws", benchAWS},
}

func main() {
	only := flag.String("only", "", "run one section alone: log, wire or aws")
	seconds := flag.Int("seconds", 10, "how long each measurement takes")
	flag.StringVar(&onlyLoads, "loads", "", "the loads with this in their name alone")
	flag.StringVar(&onlyRoutes, "through", "", "the routes with this in their name alone")
	profile := flag.String("profile", "", "file for a CPU profile of the run")
	flag.Parse()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		defer pprof.StopCPUProfile()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if what := os.Getenv(childOf); what != "" {
		if err := child(ctx, what); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(ctx, os.Stdout, *only, time.Duration(*seconds)*time.Second); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		pprof.StopCPUProfile()
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, only string, length time.Duration) error {
	ran := false
	for _, b := range benches {
		if only != "" && only != b.name {
			continue
		}
		ran = true
		if err := b.run(ctx, out, length); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	if !ran {
		return fmt.Errorf("no section %q", only)
	}
	return nil
}
