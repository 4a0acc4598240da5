package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf16"

	"golang.org/x/term"

	"github.com/signalbox-dev/signalbox"
)

// Rules of output. Data goes to standard output, everything else to standard
// error. On a terminal, lists are tables with a heading; elsewhere they are
// tab-separated lines without one, for scripts that do not want JSON. What
// others wrote is shown by [signalbox.Visible], in JSON too.

// terminal reports whether w is one.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// color reports whether standard output is a terminal that likes marks.
func (p *program) color() bool {
	return terminal(p.stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// bold marks text where that is liked.
func (p *program) bold(text string) string {
	if !p.color() {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}

// table prints rows of cells under a heading.
func (p *program) table(heading []string, rows [][]string) error {
	var b bytes.Buffer
	line := func(w io.Writer, cells []string) {
		for i, c := range cells {
			if c == "" {
				c = "-"
			}
			cells[i] = signalbox.Visible(c)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	if !terminal(p.stdout) {
		for _, r := range rows {
			line(&b, r)
		}
		_, err := p.stdout.Write(b.Bytes())
		return err
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(p.stdout, "none")
		return err
	}
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for i, h := range heading {
		heading[i] = strings.ToUpper(h)
	}
	line(w, heading)
	for _, r := range rows {
		line(w, r)
	}
	w.Flush()
	// Marked after aligning, since the writer would count the marks.
	first, rest, _ := strings.Cut(b.String(), "\n")
	_, err := io.WriteString(p.stdout, p.bold(first)+"\n"+rest)
	return err
}

// fields prints a name and a value a line.
func (p *program) fields(pairs ...string) error {
	width := 0
	for i := 0; i < len(pairs); i += 2 {
		width = max(width, len(pairs[i]))
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(p.stdout, "%s%s  %s\n", p.bold(pairs[i]), strings.Repeat(" ", width-len(pairs[i])),
			signalbox.Visible(pairs[i+1])); err != nil {
			return err
		}
	}
	return nil
}

// say prints a line for people, or nothing when JSON was asked for.
func (p *program) say(format string, args ...any) error {
	if p.json {
		return nil
	}
	_, err := fmt.Fprintf(p.stdout, format+"\n", args...)
	return err
}

// printJSON prints v, indented.
func (p *program) printJSON(v any) error {
	return writeJSON(p.stdout, v, "  ")
}

// writeJSON prints v as JSON in which nothing hides: characters that a terminal
// would not show stand as \u escapes, which mean the same.
func writeJSON(w io.Writer, v any, indent string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return err
	}
	var out strings.Builder
	for _, r := range b.String() {
		// Outside of strings JSON has ASCII alone, so only strings are touched.
		if r == '\n' || signalbox.Visible(string(r)) == string(r) {
			out.WriteRune(r)
			continue
		}
		for _, u := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, `\u%04x`, u)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// clock shows a time for people.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// left shows how long it is until t.
func left(t time.Time) string {
	d := time.Until(t).Round(time.Second)
	switch {
	case t.IsZero():
		return ""
	case d <= 0:
		return "over"
	case d >= 2*time.Hour:
		d = d.Round(time.Minute)
		return strings.TrimSuffix(d.String(), "0s")
	}
	return d.String()
}
