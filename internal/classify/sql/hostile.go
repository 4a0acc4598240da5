package sql

import "fmt"

// tooMuch says why a text would cost the parser more than its length tells, or
// nothing: a short text must not be able to take the process down.
func tooMuch(text string, tokens []token) string {
	switch {
	case operatorWork(text, tokens):
		return "runs of operator characters that would take the parser very long"
	case copiedWork(text, tokens):
		return "an assignment to several columns whose source would be copied too often"
	}
	return tooDeep(text, tokens)
}

// tooDeep says why a text could exhaust the stack of a recursive parser, or
// nothing. Depth comes from brackets and CASE, and from chains of operators
// that lean on each other without brackets: a comma, AND or OR begins a new
// chain; UNION and JOIN chains go on through those.
func tooDeep(text string, tokens []token) string {
	const maxNest, maxChain, maxStatements = 250, 1500, 2000
	statements := 0
	type level struct{ chain, joins int }
	stack := []level{{}}
	total := 0
	for _, t := range tokens {
		top := &stack[len(stack)-1]
		open, closed := false, false
		switch t.kind {
		case tokOp:
			top.chain++
			total++
		case tokPunct:
			switch text[t.start] {
			case '(', '[':
				open = true
			case ')', ']':
				closed = true
			case ',':
				total -= top.chain
				top.chain = 0
			case ';':
				if statements++; statements > maxStatements {
					return fmt.Sprintf("more than %d statements", maxStatements)
				}
				if len(stack) == 1 {
					total = 0
					*top = level{}
				} else {
					total -= top.chain
					top.chain = 0
				}
			case ':':
				top.chain++
				total++
			}
		case tokWord:
			switch w := text[t.start:t.end]; {
			case len(w) > 9:
			case isWord(w, "AND"), isWord(w, "OR"):
				total -= top.chain
				top.chain = 0
			case isWord(w, "NOT"), isWord(w, "IS"), isWord(w, "ISNULL"), isWord(w, "NOTNULL"), isWord(w, "COLLATE"),
				isWord(w, "AT"), isWord(w, "LIKE"), isWord(w, "ILIKE"), isWord(w, "SIMILAR"), isWord(w, "IN"),
				isWord(w, "BETWEEN"):
				top.chain++
				total++
			case isWord(w, "JOIN"), isWord(w, "UNION"), isWord(w, "EXCEPT"), isWord(w, "INTERSECT"):
				top.joins++
				total++
			case isWord(w, "CASE"), isWord(w, "ATOMIC"):
				open = true
			case isWord(w, "END"):
				closed = len(stack) > 1
			}
		}
		if open {
			if len(stack) >= maxNest {
				return fmt.Sprintf("nested more than %d deep", maxNest)
			}
			stack = append(stack, level{})
		}
		if closed && len(stack) > 1 {
			total -= top.chain + top.joins
			stack = stack[:len(stack)-1]
		}
		if total > maxChain {
			return fmt.Sprintf("a chain of more than %d operators", maxChain)
		}
	}
	return ""
}

// operatorWork reports whether a text would make PostgreSQL's scanner go over the
// same operator characters again and again: it reads a whole run of them, then
// takes back all but the first, at each operator and at each beginning of a
// comment.
func operatorWork(text string, tokens []token) bool {
	work, limit := 0, 4*len(text)+1<<16
	run := func(i int) {
		for ; i < len(text) && isOperator(text[i]) && work <= limit; i++ {
			work++
		}
	}
	end := 0
	for k := 0; k <= len(tokens); k++ {
		// Blanks and comments before the token, or before the end of the text.
		start := len(text)
		if k < len(tokens) {
			start = tokens[k].start
		}
		for i := end; i < start; i++ {
			if text[i] == '/' && at(text, i+1) == '*' {
				run(i)
			}
		}
		if k == len(tokens) {
			break
		}
		end = tokens[k].end
		switch tokens[k].kind {
		case tokOp:
			run(start)
		case tokBad: // a comment without an end, perhaps
			for i := start; i < end && work <= limit; i++ {
				if text[i] == '/' && at(text, i+1) == '*' {
					run(i)
				}
			}
		}
		if work > limit {
			return true
		}
	}
	return work > limit
}

// copiedWork reports whether a text makes a tree that is much larger than the text.
// In SET (a, b, c) = source each column refers to the one source, and the parser
// writes it out once for each; sources that hold such assignments multiply, so
// that some hundred bytes would fill the memory.
func copiedWork(text string, tokens []token) bool {
	type level struct {
		targets bool // opened where the targets of a SET can stand
		commas  int
		outer   int // how often what surrounds the level is written out
		times   int // how often what stands at the current place of it is
	}
	const most = 1 << 20 // saturates, since products grow fast
	extra, limit := 0, 4*len(text)+1<<20
	stack := []level{{outer: 1, times: 1}}
	word := func(i int, keyword string) bool {
		return i >= 0 && tokens[i].kind == tokWord && isWord(text[tokens[i].start:tokens[i].end], keyword)
	}
	for i, t := range tokens {
		top := &stack[len(stack)-1]
		// Beside its bytes each token makes a node or a part of one.
		if extra += (top.times - 1) * (t.end - t.start + 8); extra > limit {
			return true
		}
		switch {
		case t.kind == tokWord:
			// What follows a source at its own level is none of it.
			if word(i, "WHERE") || word(i, "RETURNING") || word(i, "FROM") && !word(i-1, "DISTINCT") {
				top.times = top.outer
			}
		case t.kind != tokPunct:
		case text[t.start] == '(' || text[t.start] == '[':
			targets := word(i-1, "SET") || i > 0 && tokens[i-1].kind == tokPunct && text[tokens[i-1].start] == ','
			stack = append(stack, level{targets: targets, outer: top.times, times: top.times})
		case (text[t.start] == ')' || text[t.start] == ']') && len(stack) > 1:
			closed := *top
			stack = stack[:len(stack)-1]
			if closed.targets && i+1 < len(tokens) && tokens[i+1].kind == tokOp &&
				text[tokens[i+1].start:tokens[i+1].end] == "=" {
				top = &stack[len(stack)-1]
				top.times = min(top.outer*(closed.commas+1), most)
			}
		case text[t.start] == ',':
			top.commas++
			top.times = top.outer
		case text[t.start] == ';':
			top.times = top.outer
		}
	}
	return false
}
