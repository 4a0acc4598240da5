package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/signalbox-dev/signalbox/proof"
)

// A terminal is the three streams of a command. Results go to out, everything
// else to err.
type terminal struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// A command is one thing that signalbox-verify does.
type command struct {
	name  string
	args  string // the arguments, for people
	n     int    // how many there are
	short string
	long  string
	run   func(ctx context.Context, t terminal, args []string, f flags) error
}

// flags are shared by all commands, so that they can stand anywhere.
type flags struct {
	key    string
	origin string
	json   bool
	from   int64
}

func commands() []command {
	return []command{logCommand, proofCommand, fieldCommand, consistencyCommand}
}

// A usageError is a command that was not understood; the exit code is 2.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func dispatch(ctx context.Context, args []string, t terminal) error {
	if len(args) == 0 {
		fmt.Fprint(t.err, overview())
		return usagef("no command")
	}
	name, rest := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		if len(rest) == 0 {
			fmt.Fprint(t.out, overview())
			return nil
		}
		c, err := find(rest[0])
		if err != nil {
			return err
		}
		fmt.Fprint(t.out, c.help())
		return nil
	}
	c, err := find(name)
	if err != nil {
		return err
	}
	operands, f, err := parse(c, rest)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(t.out, c.help())
		return nil
	}
	if err != nil {
		return usagef("%s: %w\nusage: signalbox-verify %s %s", c.name, err, c.name, c.args)
	}
	return c.run(ctx, t, operands, f)
}

func find(name string) (command, error) {
	for _, c := range commands() {
		if c.name == name {
			return c, nil
		}
	}
	return command{}, usagef("no command %q: see `signalbox-verify help`", name)
}

// parse takes flags and operands in any order; package flag alone would stop at
// the first operand.
func parse(c command, args []string) (operands []string, f flags, err error) {
	set := flag.NewFlagSet(c.name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.BoolVar(&f.json, "json", false, "")
	if c.name != fieldCommand.name {
		set.StringVar(&f.key, "key", "", "")
		set.StringVar(&f.origin, "origin", "", "")
	}
	if c.name == logCommand.name {
		set.Int64Var(&f.from, "from", 0, "")
	}
	for {
		if err := set.Parse(args); err != nil {
			return nil, f, err
		}
		if args = set.Args(); len(args) == 0 {
			break
		}
		operands, args = append(operands, args[0]), args[1:]
	}
	if len(operands) != c.n {
		return nil, f, fmt.Errorf("%d arguments, want %d", len(operands), c.n)
	}
	if c.name != fieldCommand.name && f.key == "" {
		return nil, f, errors.New("no --key: give the log's verifier key, which its operator publishes, or a file with it")
	}
	return operands, f, nil
}

func overview() string {
	var b strings.Builder
	b.WriteString("signalbox-verify checks a Signalbox log without trusting those who keep it.\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-12s %s\n", c.name, c.short)
	}
	b.WriteString(`
Examples:

  signalbox-verify log https://gate.example/log/ --key gate.example/log+bf2ad8a5+AZ…
  signalbox-verify proof entry.json entry.tlog-proof --key log.vkey
  signalbox-verify field entry.json WyJrZm1…
  signalbox-verify consistency checkpoint.june https://gate.example/log/ --key log.vkey

Exit codes: 0 verified, 1 not verified, 2 not understood.
More: signalbox-verify help COMMAND
`)
	return b.String()
}

func (c command) help() string {
	return fmt.Sprintf("usage: signalbox-verify %s %s\n\n%s", c.name, c.args, c.long)
}

// trust reads the --key flag: a key in the note format, or a file with one or
// with a witness policy.
func trust(f flags) (proof.Trust, error) {
	text := f.key
	if b, err := os.ReadFile(f.key); err == nil {
		text = string(b)
	} else if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(f.key, "+") {
		return nil, fmt.Errorf("--key: %w", err)
	}
	return proof.ParseKey(text, f.origin)
}

// source opens a log by its address or its folder.
func source(where string) (proof.Source, error) {
	if strings.HasPrefix(where, "http://") || strings.HasPrefix(where, "https://") {
		return proof.Site(where, nil)
	}
	if info, err := os.Stat(where); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", where)
	}
	return proof.Folder(os.DirFS(where)), nil
}

// readFile reads a file of at most the length of a log's resources; "-" is
// standard input.
func readFile(t terminal, name string) ([]byte, error) {
	r := t.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, proof.MaxResource+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) > proof.MaxResource {
		return nil, fmt.Errorf("read %s: longer than %d bytes", name, proof.MaxResource)
	}
	return b, nil
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
