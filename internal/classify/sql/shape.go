package sql

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// hidden stands for a literal in a shape.
const hidden = "?"

// A form is what can be shown of a text, and what must not be.
type form struct {
	shape       string
	fingerprint string
	literals    []string
}

// shapeOf cuts the literals and comments out of a text. The words after the =
// or TO of a SET are values too, though PostgreSQL lets them stand without
// quotes. A token that the lexer is not sure of is hidden.
func shapeOf(text string, tokens []token) form {
	var b strings.Builder
	b.Grow(len(text))
	var literals []string
	values := valueTokens(text, tokens)
	end := 0
	for i, t := range tokens {
		if i > 0 && t.start > end {
			b.WriteByte(' ')
		}
		end = t.end
		word := text[t.start:t.end]
		switch {
		case t.kind == tokString || t.kind == tokNumber || t.kind == tokBad ||
			values[i] && (t.kind == tokWord || t.kind == tokQuoted):
			b.WriteString(hidden)
			literals = append(literals, word)
		default:
			b.WriteString(word)
		}
	}
	f := form{shape: b.String(), literals: literals}
	f.fingerprint = fingerprint(f.shape, text, tokens)
	return f
}

// fingerprint names a shape: blanks, comments and the case of words do not
// count, nor does the length of a list of literals.
func fingerprint(shape, text string, tokens []token) string {
	var b strings.Builder
	b.Grow(len(shape))
	values := valueTokens(text, tokens)
	comma, last := false, "" // comma: one stands after a hidden literal, not written yet
	for i, t := range tokens {
		word := text[t.start:t.end]
		switch {
		case t.kind == tokString || t.kind == tokNumber || t.kind == tokBad || t.kind == tokParam || values[i]:
			word = hidden
		case t.kind == tokWord:
			word = strings.ToLower(word)
		}
		if comma {
			comma = false
			if word == hidden {
				continue // one more of a list
			}
			b.WriteString(", ")
		}
		if comma = word == "," && last == hidden; comma {
			continue
		}
		b.WriteString(word)
		b.WriteByte(' ')
		last = word
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:8])
}

// valueTokens marks the tokens that are values of a SET, in any statement that
// can hold one; nil if there is none.
func valueTokens(text string, tokens []token) map[int]bool {
	var values map[int]bool
	first := true // at the first word of a statement
	settable := false
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		word := text[t.start:t.end]
		if t.kind == tokPunct && word == ";" {
			first, settable = true, false
			continue
		}
		if first {
			first = false
			settable = isWord(word, "SET") || isWord(word, "ALTER") || isWord(word, "CREATE")
		}
		if !settable || t.kind != tokWord || !isWord(word, "SET") {
			continue
		}
		// SET [SESSION | LOCAL] name[.name] { = | TO } value, …; also SET TIME
		// ZONE value, SET SCHEMA value, SET NAMES value, which are strings.
		j := i + 1
		for j < len(tokens) && j <= i+4 && (tokens[j].kind == tokWord &&
			!isWord(text[tokens[j].start:tokens[j].end], "TO") ||
			tokens[j].kind == tokQuoted || text[tokens[j].start:tokens[j].end] == ".") {
			j++
		}
		if j >= len(tokens) || j == i+1 {
			continue
		}
		if w := text[tokens[j].start:tokens[j].end]; w != "=" && !isWord(w, "TO") {
			continue
		}
		for j++; j < len(tokens) && text[tokens[j].start:tokens[j].end] != ";"; j++ {
			if values == nil {
				values = map[int]bool{}
			}
			if tokens[j].kind == tokWord || tokens[j].kind == tokQuoted {
				values[j] = true
			}
		}
		i = j - 1
	}
	return values
}

// literals lists the tokens that a shape hides, in order. It serves texts
// without a SET, where only constants are hidden.
func literals(text string, tokens []token, n int) []string {
	if n == 0 {
		return nil
	}
	found := make([]string, 0, n)
	for _, t := range tokens {
		if t.kind == tokString || t.kind == tokNumber {
			found = append(found, text[t.start:t.end])
		}
	}
	return found
}

func isWord(word, keyword string) bool {
	return len(word) == len(keyword) && strings.EqualFold(word, keyword)
}
