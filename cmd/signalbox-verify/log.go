package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/signalbox-dev/signalbox/proof"
)

var logCommand = command{
	name:  "log",
	args:  "DIR|URL --key VKEY|FILE [--origin NAME] [--from N] [--json]",
	n:     1,
	short: "verify a whole log: signatures, every entry, every hash, and the promises",
	long: `Reads the log once and verifies its checkpoint, every bundle of entries, every
hash tile and the root; then that the entries keep what is promised of them: one
outcome for each intent, no act that needed approval without it, no approval by
the one who asked, no permit used twice, nothing executed while halted.

  DIR|URL        a copy of the log, or its address
  --key          the log's verifier key (name+hash+key), a file with it, or a
                 file with a witness policy (lines: log, witness, group, quorum)
  --origin       the log's origin, if it is not the name of the key
  --from N       the first N entries were read before; verify only their hashes
  --json         print the whole report as JSON

Examples:

  signalbox-verify log ./signalbox-data/log --key ./log.vkey
  signalbox-verify log https://gate.example/log/ --key gate.example/log+bf2ad8a5+AZ… --json
`,
	run: runLog,
}

// listed is how many findings and open intents are printed for people.
const listed = 20

func runLog(ctx context.Context, t terminal, args []string, f flags) error {
	key, err := trust(f)
	if err != nil {
		return err
	}
	src, err := source(args[0])
	if err != nil {
		return err
	}
	p := progress{w: t.err, on: isTerminal(t.err)}
	r, err := proof.VerifyLog(ctx, src, key, proof.Options{From: f.from, Progress: p.show})
	p.clear()
	if err != nil {
		return fmt.Errorf("log not verified: %w", err)
	}
	if f.json {
		err = printJSON(t.out, r)
	} else {
		err = printReport(t.out, r)
	}
	if err != nil {
		return err
	}
	if !r.OK() {
		return fmt.Errorf("the log is authentic, but %d of its entries break a promise", r.Violations)
	}
	return nil
}

func printReport(w io.Writer, r proof.Report) error {
	p := printer{w: w}
	p.printf("log         %s\n", r.Origin)
	p.printf("entries     %d", r.Size)
	if r.From > 0 {
		p.printf(", read from %d on", r.From)
	}
	p.printf("\nroot        %s\n", r.Root)
	if !r.Last.IsZero() {
		p.printf("time        %s to %s\n", r.First.Format(time.RFC3339), r.Last.Format(time.RFC3339))
	}
	p.printf("verified    checkpoint signature, %d bundles, %d tiles, root\n", r.Bundles, r.Tiles)
	for _, k := range slices.Sorted(maps.Keys(r.Entries)) {
		p.printf("  %-17s %d\n", k, r.Entries[k])
	}
	p.printf("unknown     %d outcomes\n", r.Unknown)
	p.printf("open        %d intents without outcome\n", r.OpenCount)
	for i, o := range r.Open {
		if i == listed {
			p.printf("  …\n")
			break
		}
		p.printf("  %s at %d, %s\n", o.Intent, o.Index, o.Time.Format(time.RFC3339))
	}
	p.printf("findings    %d violations, %d warnings\n", r.Violations, r.Warnings)
	for i, finding := range r.Findings {
		if i == listed {
			p.printf("  … (--json lists more)\n")
			break
		}
		p.printf("  %s\n", finding)
	}
	if r.OK() {
		p.printf("OK\n")
	}
	return p.err
}

// A printer keeps the first error of many writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// progress shows how far a verification is, ten times a second, on a terminal.
type progress struct {
	w    io.Writer
	on   bool
	last time.Time
}

func (p *progress) show(done, total int64) {
	if !p.on || time.Since(p.last) < 100*time.Millisecond {
		return
	}
	p.last = time.Now()
	fmt.Fprintf(p.w, "\r%d of %d entries", done, total)
}

func (p *progress) clear() {
	if !p.last.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
