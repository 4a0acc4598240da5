package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a policy set. The parsers of Cedar and of its schema call themselves
// for everything that is nested, and a stack that overflows ends the whole
// process. So a text is measured before they see it.
const (
	MaxFile    = 1 << 20 // bytes of one file
	MaxSet     = 3 << 20 // bytes of all files of a set
	MaxFiles   = 256
	maxName    = 255
	maxNesting = 64   // brackets within brackets
	maxSteps   = 1000 // operators in one policy or declaration
)

// bounded says why a set of files is not given to the parsers, or nil.
func bounded(files []File) error {
	if len(files) > MaxFiles {
		return &Error{Msg: fmt.Sprintf("%d files: at most %d", len(files), MaxFiles)}
	}
	total := 0
	var errs []error
	for _, f := range files {
		total += len(f.Data)
		if err := checkName(f.Name); err != nil {
			errs = append(errs, err)
		} else if line, err := measure(f); err != nil {
			errs = append(errs, &Error{File: f.Name, Line: line, Msg: err.Error()})
		}
	}
	if total > MaxSet {
		errs = append(errs, &Error{Msg: fmt.Sprintf("the files have %d bytes: at most %d", total, MaxSet)})
	}
	return errors.Join(errs...)
}

// checkName refuses names that could pass for more than a name where people read
// them.
func checkName(name string) error {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || r == '/' || r == '\\' }
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, bad) {
		return &Error{Msg: fmt.Sprintf("file name %q: want at most %d printable characters, without slashes",
			short(name), maxName)}
	}
	return nil
}

func short(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// measure says where a text is larger, deeper or longer than a policy that people
// have written, as far as it matters to the parsers. It reads strings and
// comments as they do; what they cannot read at all, they refuse before they
// begin.
func measure(f File) (line int, err error) {
	if len(f.Data) > MaxFile {
		return 0, fmt.Errorf("has %d bytes: at most %d", len(f.Data), MaxFile)
	}
	if !utf8.Valid(f.Data) {
		return 0, errors.New("is not UTF-8 text")
	}
	if f.Name == ReviewedFile {
		return 0, nil // nothing in it is nested
	}
	angles := isSchema(f.Name) // Set<Set<…>>; elsewhere they compare
	line = 1
	depth, steps := 0, 0
	text := f.Data
	for n := 0; n < len(text); n++ {
		c := text[n]
		switch {
		case c == '\n':
			line++
		case c == '"':
			for n++; n < len(text) && text[n] != '"'; n++ {
				if text[n] == '\\' {
					n++
				}
				if n < len(text) && text[n] == '\n' {
					line++
				}
			}
		case c == '/' && n+1 < len(text) && text[n+1] == '/':
			for n+1 < len(text) && text[n+1] != '\n' {
				n++
			}
		case c == '/' && n+1 < len(text) && text[n+1] == '*':
			for n += 2; n < len(text) && !(text[n] == '*' && n+1 < len(text) && text[n+1] == '/'); n++ {
				if text[n] == '\n' {
					line++
				}
			}
			n++
		case c == '(' || c == '[' || c == '{' || c == '<' && angles:
			depth++
		case c == ')' || c == ']' || c == '}' || c == '>' && angles:
			depth = max(depth-1, 0)
		case c == ';' && depth == 0:
			steps = 0
		case strings.IndexByte(".!-+*|&=<>?@%^~", c) >= 0:
			steps++
		case word(c) && c >= 'A':
			from := n
			for n+1 < len(text) && word(text[n+1]) {
				n++
			}
			switch string(text[from : n+1]) {
			case "if", "has", "in", "is", "like", "when", "unless":
				steps++
			}
		}
		switch {
		case depth > maxNesting:
			return line, fmt.Errorf("brackets are nested deeper than %d", maxNesting)
		case steps > maxSteps:
			return line, fmt.Errorf("more than %d operators before the next semicolon: split it up", maxSteps)
		}
	}
	return 0, nil
}

func word(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// regular refuses what is no plain file: a link may lead to a file that was never
// meant to be a policy, and a pipe never ends.
func regular(e fs.DirEntry) error {
	if !e.Type().IsRegular() {
		return &Error{File: short(e.Name()), Msg: "is not a regular file: links, pipes and devices are not read"}
	}
	info, err := e.Info()
	if err != nil {
		return fmt.Errorf("read policies: %w", err)
	}
	if info.Size() > MaxFile {
		return &Error{File: short(e.Name()), Msg: fmt.Sprintf("has %d bytes: at most %d", info.Size(), MaxFile)}
	}
	return nil
}

// vocabulary are the words that a syntax error may say: those of the parsers
// and of the languages themselves.
var vocabulary = func() map[string]bool {
	set := make(map[string]bool)
	for word := range strings.FieldsSeq(`permit forbid when unless principal action resource context true false if then else in is like has
		namespace entity type appliesTo enum tags attributes Set Long String Bool Boolean Record EOF
		parse error at exact got want expected or reserved keyword duplicate annotation string unexpected effect token
		after dot ident identifier literal invalid primary not a an and function method expects no one argument arguments
		key declaration to close character unterminated block comment terminated escape char unicode bad encoding UTF-8 NUL
		declared twice the name contains which of extension int integer out range value attribute
		( ) [ ] { } < > , ; : :: . @ = == != <= >= ! && || + - * ?`) {
		set[word] = true
	}
	return set
}()

// discreet gives a parser's message without what it cites of the text: that may
// be no policy at all, and a secret.
func discreet(err error) string {
	text := err.Error()
	if at := position.FindStringIndex(text); at != nil {
		text = text[at[1]:] // its place is told beside
	}
	var words []string
	for word := range strings.FieldsSeq(text) {
		bare := word
		if !vocabulary[bare] {
			bare = strings.Trim(word, "\"`'():,;")
		}
		switch {
		case bare == "" && len(words) == 0:
		case bare == "" || vocabulary[bare]:
			words = append(words, word)
		case len(words) == 0 || words[len(words)-1] != "…":
			words = append(words, "…")
		}
	}
	return "parse error: " + strings.TrimPrefix(strings.Join(words, " "), "… ")
}
