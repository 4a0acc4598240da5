package sql

import "strings"

// A token is one lexeme of a text. The lexer follows the rules of PostgreSQL's
// own scanner with standard_conforming_strings on; blanks and comments are not
// tokens.
type token struct {
	kind       tokenKind
	start, end int
}

type tokenKind uint8

const (
	tokWord   tokenKind = iota // keyword or identifier, not quoted
	tokQuoted                  // "identifier"
	tokString                  // 'text', E'text', B'0', X'f', U&'text', $tag$text$tag$
	tokNumber                  // 1, 1.5e3, 0xff
	tokParam                   // $1
	tokOp                      // operator, one or several characters
	tokPunct                   // one of , ( ) [ ] . ; or a colon
	tokBad                     // what no statement can hold, or something that never ends
)

// lex appends the tokens of text to buf. What never ends (a string, a comment)
// is one tokBad up to the end of the text.
func lex(text string, buf []token) []token {
	i := 0
	for i < len(text) {
		c := text[i]
		start := i
		kind := tokPunct
		switch {
		case isBlank(c):
			i++
			continue
		case c == '-' && at(text, i+1) == '-':
			i = lineEnd(text, i)
			continue
		case c == '/' && at(text, i+1) == '*':
			end, ok := commentEnd(text, i)
			i = end
			if !ok {
				buf = append(buf, token{tokBad, start, end})
			}
			continue
		case c == '\'':
			i, kind = stringEnd(text, i, false)
		case c == '"':
			i, kind = quotedEnd(text, i)
		case (c == 'e' || c == 'E') && at(text, i+1) == '\'':
			i, kind = stringEnd(text, i+1, true)
		case isStringPrefix(c) && at(text, i+1) == '\'':
			i, kind = stringEnd(text, i+1, false)
		case (c == 'u' || c == 'U') && at(text, i+1) == '&' && at(text, i+2) == '\'':
			i, kind = stringEnd(text, i+2, false)
		case (c == 'u' || c == 'U') && at(text, i+1) == '&' && at(text, i+2) == '"':
			i, kind = quotedEnd(text, i+2)
		case isWordStart(c):
			for i < len(text) && isWordPart(text[i]) {
				i++
			}
			kind = tokWord
		case isDigit(c) || c == '.' && isDigit(at(text, i+1)):
			i, kind = numberEnd(text, i), tokNumber
		case c == '$' && isDigit(at(text, i+1)):
			i++
			for i < len(text) && isDigit(text[i]) {
				i++
			}
			kind = tokParam
		case c == '$':
			i, kind = dollarEnd(text, i)
		case isOperator(c):
			i, kind = operatorEnd(text, i), tokOp
		case strings.IndexByte(",()[].;:", c) >= 0:
			i++
		default:
			i, kind = i+1, tokBad
		}
		buf = append(buf, token{kind, start, i})
	}
	return buf
}

func at(s string, i int) byte {
	if i < len(s) {
		return s[i]
	}
	return 0
}

func isBlank(c byte) bool {
	return c == ' ' || c >= '\t' && c <= '\r'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWordStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func isWordPart(c byte) bool { return isWordStart(c) || isDigit(c) || c == '$' }

func isStringPrefix(c byte) bool { return strings.IndexByte("bBxX", c) >= 0 }

func isOperator(c byte) bool { return strings.IndexByte("~!@#^&|`?+-*/%<>=", c) >= 0 }

func lineEnd(text string, i int) int {
	for i < len(text) && text[i] != '\n' && text[i] != '\r' {
		i++
	}
	return i
}

// commentEnd finds the end of the comment that begins at i; comments nest.
func commentEnd(text string, i int) (int, bool) {
	depth := 0
	for i < len(text) {
		switch {
		case text[i] == '/' && at(text, i+1) == '*':
			depth++
			i += 2
		case text[i] == '*' && at(text, i+1) == '/':
			depth--
			i += 2
			if depth == 0 {
				return i, true
			}
		default:
			i++
		}
	}
	return len(text), false
}

// stringEnd finds the end of the string whose opening quote is at i.
func stringEnd(text string, i int, escapes bool) (int, tokenKind) {
	for i++; i < len(text); i++ {
		switch {
		case text[i] == '\\' && escapes:
			i++
		case text[i] == '\'' && at(text, i+1) == '\'':
			i++
		case text[i] == '\'':
			return i + 1, tokString
		}
	}
	return len(text), tokBad
}

func quotedEnd(text string, i int) (int, tokenKind) {
	for i++; i < len(text); i++ {
		if text[i] != '"' {
			continue
		}
		if at(text, i+1) != '"' {
			return i + 1, tokQuoted
		}
		i++
	}
	return len(text), tokBad
}

// dollarEnd finds the end of the dollar-quoted string at i.
func dollarEnd(text string, i int) (int, tokenKind) {
	j := i + 1
	if isWordStart(at(text, j)) {
		for isWordStart(at(text, j)) || isDigit(at(text, j)) {
			j++
		}
	}
	if at(text, j) != '$' {
		return i + 1, tokBad
	}
	tag := text[i : j+1]
	end := strings.Index(text[j+1:], tag)
	if end < 0 {
		return len(text), tokBad
	}
	return j + 1 + end + len(tag), tokString
}

func numberEnd(text string, i int) int {
	if text[i] == '0' && strings.IndexByte("xXoObB", at(text, i+1)) >= 0 && i+1 < len(text) {
		j := i + 2
		for isHex(at(text, j)) || at(text, j) == '_' {
			j++
		}
		if j > i+2 {
			return j
		}
	}
	digits := func() {
		for isDigit(at(text, i)) || at(text, i) == '_' && isDigit(at(text, i+1)) {
			i++
		}
	}
	digits()
	// 1..10 is a number, two dots and a number.
	if at(text, i) == '.' && at(text, i+1) != '.' {
		i++
		digits()
	}
	if c := at(text, i); c == 'e' || c == 'E' {
		j := i + 1
		if at(text, j) == '+' || at(text, j) == '-' {
			j++
		}
		if isDigit(at(text, j)) {
			i = j
			digits()
		}
	}
	return i
}

func isHex(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// operatorEnd finds the end of the operator at i. A comment ends an operator,
// and a longer one may end in + or - only if it has one of ~!@#^&|`?%.
func operatorEnd(text string, i int) int {
	start := i
	// PostgreSQL refuses operators of more than 63 characters.
	for i < len(text) && isOperator(text[i]) && i-start < 256 {
		if i > start && (text[i] == '-' && at(text, i+1) == '-' || text[i] == '/' && at(text, i+1) == '*') {
			break
		}
		i++
	}
	if !strings.ContainsAny(text[start:i], "~!@#^&|`?%") {
		for i > start+1 && (text[i-1] == '+' || text[i-1] == '-') {
			i--
		}
	}
	return i
}
