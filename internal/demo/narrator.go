package demo

import (
	"fmt"
	"io"
	"strings"

	"github.com/signalbox-dev/signalbox"
)

// A narrator tells a story on a terminal or into a file.
type narrator struct {
	w     io.Writer
	color bool
	err   error // the first that writing gave; the play stops at the next step
}

// The marks of a terminal (ECMA-48, select graphic rendition).
const (
	bold  = "1"
	faint = "2"
	red   = "31"
	green = "32"
	blue  = "36"
)

func (n *narrator) mark(how, text string) string {
	if !n.color || how == "" || text == "" {
		return text
	}
	return "\x1b[" + how + "m" + text + "\x1b[0m"
}

func (n *narrator) say(format string, args ...any) {
	if n.err == nil {
		_, n.err = fmt.Fprintf(n.w, format+"\n", args...)
	}
}

// width is how long a line of prose gets.
const width = 96

// tell gives a paragraph, broken into lines and indented.
func (n *narrator) tell(how, first, text string) {
	indent := strings.Repeat(" ", len([]rune(first)))
	line := first
	for _, word := range strings.Fields(text) {
		if len([]rune(line))+1+len([]rune(word)) > width && strings.TrimSpace(line) != "" {
			n.say("%s", n.mark(how, line))
			line = indent
		}
		if line != first && line != indent {
			line += " "
		}
		line += word
	}
	n.say("%s", n.mark(how, line))
}

func (n *narrator) title(number int, title string) {
	n.say("\n%s", n.mark(bold, fmt.Sprintf("%2d  %s", number, title)))
}

// exchange shows what somebody did and what came back. Answers come from other
// programs, so nothing in them reaches the terminal as it is.
func (n *narrator) exchange(e Exchange) {
	n.say("    %s %s", n.mark(faint, e.Who+">"), n.mark(blue, e.Did))
	if e.Answer == "" {
		return
	}
	for _, line := range signalbox.VisibleLines(e.Answer) {
		n.say("    %s", strings.TrimRight(n.mark(faint, "│")+" "+line, " "))
	}
}

func (n *narrator) means(text string) { n.tell(green, "    ✓ ", text) }

func (n *narrator) stopped(where string) { n.say("\nStopped (%s). Cleaning up.", where) }

func (n *narrator) failed(err error, diagnostics string) {
	n.say("\n%s", n.mark(red, "    ✗ "+err.Error()))
	if diagnostics == "" {
		return
	}
	n.say("\nThe server said last:")
	for _, line := range signalbox.VisibleLines(diagnostics) {
		n.say("    %s", n.mark(faint, line))
	}
}
