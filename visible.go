package signalbox

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible gives one line of s as it may be shown to a person who must judge
// it. Whatever could hide, reorder or forge part of a display is escaped as Go
// writes it (\n, \x1b, \u202e): control characters, line breaks, bidirectional
// and other format characters, spaces that are not U+0020, code points without
// a glyph, and bytes that are not UTF-8. Text that an agent, a client or a
// target wrote goes through this function wherever a person reads it.
//
// The result is for reading, not for parsing: a backslash stands for itself
// too. Letters that merely look alike are left as they are.
func Visible(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case seen(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		i += n
	}
	return b.String()
}

// VisibleLines gives s line by line, each as [Visible] has it, for showing a
// text of several lines as a block. One line break at the end makes no further
// line. Tabs become four spaces, since they cannot mislead inside a block.
func VisibleLines(s string) []string {
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(s, "\r\n", "\n"), "\n"), "\n")
	for i, line := range lines {
		lines[i] = Visible(strings.ReplaceAll(line, "\t", "    "))
	}
	return lines
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// seen reports whether a reader sees r, and sees it where it stands.
func seen(r rune) bool {
	switch {
	case !unicode.IsPrint(r): // also all format characters and all spaces but U+0020
		return false
	case unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
		return false
	case r == '\u2800': // the Braille pattern without dots
		return false
	}
	return true
}
