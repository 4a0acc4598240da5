package aws

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/signalbox-dev/signalbox"
)

//go:embed verbs.txt
var verbsText string

// A class is what an operation does before its parameters are looked at.
type class struct {
	verb    signalbox.Verb
	traits  []signalbox.Trait
	reason  string
	besides []besides
}

// besides is what an operation does as well.
type besides struct {
	verb   signalbox.Verb
	traits []signalbox.Trait
	reason string
}

// A section is one class of verbs.txt with the operations that are in it.
type section struct {
	class class
	plus  bool // it is done besides
	line  int
}

// A pattern is an operation of verbs.txt that ends in, or holds, a star.
type pattern struct {
	prefix, suffix string
	section        *section
}

func (p pattern) matches(operation string) bool {
	return len(operation) >= len(p.prefix)+len(p.suffix) && strings.HasPrefix(operation, p.prefix) &&
		strings.HasSuffix(operation, p.suffix)
}

// verbTable is verbs.txt, read.
type verbTable struct {
	words    map[string]class
	later    map[string]class      // of words further on, in a name that adds
	exact    map[string][]*section // by "service:Operation", "*:Operation" included
	patterns map[string][]pattern  // by service, "*" included
}

var verbs = sync.OnceValue(func() *verbTable {
	t, err := readVerbs(verbsText)
	if err != nil {
		panic("aws: verbs.txt: " + err.Error())
	}
	return t
})

func readVerbs(text string) (*verbTable, error) {
	t := &verbTable{words: map[string]class{}, later: map[string]class{}, exact: map[string][]*section{},
		patterns: map[string][]pattern{}}
	var now *section
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "words "), strings.HasPrefix(line, "later "):
			into := t.words
			if line[0] == 'l' {
				into = t.later
			}
			name, list, ok := strings.Cut(line[len("words "):], ":")
			if !ok {
				return nil, fmt.Errorf("line %d: no colon", i+1)
			}
			c, err := readClass(name)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			for _, w := range strings.Fields(list) {
				into[w] = c
			}
		case strings.HasPrefix(line, "["):
			head, reason, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, "["), "]"), "|")
			if !ok {
				return nil, fmt.Errorf("line %d: a section without a reason", i+1)
			}
			plus := strings.HasPrefix(head, "+")
			c, err := readClass(strings.TrimPrefix(head, "+"))
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			c.reason = strings.TrimSpace(reason)
			now = &section{class: c, plus: plus, line: i + 1}
		default:
			service, list, ok := strings.Cut(line, ":")
			if !ok || now == nil {
				return nil, fmt.Errorf("line %d: neither a section nor a service's operations", i+1)
			}
			for _, name := range strings.Fields(list) {
				if prefix, suffix, star := strings.Cut(name, "*"); star {
					t.patterns[service] = append(t.patterns[service], pattern{prefix, suffix, now})
					continue
				}
				key := service + ":" + name
				t.exact[key] = append(t.exact[key], now)
			}
		}
	}
	return t, nil
}

// readClass reads "verb trait trait". Two words of the text are no verbs:
// an "interrupt" is an update that takes something out of service, a "derived"
// one a deletion of what is computed again.
func readClass(s string) (class, error) {
	f := strings.Fields(s)
	if len(f) == 0 {
		return class{}, fmt.Errorf("no verb")
	}
	var c class
	switch f[0] {
	case "interrupt":
		c.verb, c.traits = signalbox.Update, []signalbox.Trait{signalbox.TraitInterrupts}
	case "derived":
		c.verb, c.traits = signalbox.Delete, []signalbox.Trait{signalbox.TraitDerived}
	default:
		c.verb = signalbox.Verb(f[0])
		if !slices.Contains(signalbox.Verbs(), c.verb) {
			return class{}, fmt.Errorf("no verb %q", f[0])
		}
	}
	for _, t := range f[1:] {
		c.traits = append(c.traits, signalbox.Trait(t))
	}
	return c, nil
}

// classes keeps the class of each operation that was asked for. Only operations
// of the table are asked for, so it is bounded.
var classes sync.Map // "service:Operation" to class

// classOf gives the class of an operation. service is the name that IAM has for
// it. What no word and no exception knows is code of unknown effect. Its slices
// are shared: nobody changes them.
func classOf(service, operation string) class {
	key := service + ":" + operation
	if c, ok := classes.Load(key); ok {
		return c.(class)
	}
	c := verbs().class(service, operation)
	classes.Store(key, c)
	return c
}

func (t *verbTable) class(service, operation string) class {
	sections := slices.Concat(t.exact[service+":"+operation], t.exact["*:"+operation])
	var starred []*section
	all := false // by a star that says nothing of how the name begins
	for _, s := range []string{service, "*"} {
		for _, p := range t.patterns[s] {
			if p.matches(operation) {
				starred = append(starred, p.section)
				all = all || p.prefix == ""
			}
		}
	}
	c, found := class{}, false
	for _, s := range slices.Concat(sections, starred) {
		if !s.plus && !found {
			c, found = s.class, true
		}
	}
	if found && c.verb != signalbox.Read && len(sections) == 0 && all && t.byWord(operation).verb == signalbox.Read {
		found = false // a star does not make a read out to be more
	}
	if !found {
		c = t.byWord(operation)
	}
	c.traits = slices.Clone(c.traits)
	for _, s := range slices.Concat(sections, starred) {
		if s.plus {
			c.besides = append(c.besides, besides{s.class.verb, s.class.traits, s.class.reason})
		}
	}
	return c
}

func (t *verbTable) byWord(operation string) class {
	w := words(operation)
	for n := min(2, len(w)); n > 0; n-- {
		if c, ok := t.words[strings.Join(w[:n], "")]; ok {
			if c.verb == signalbox.Create {
				c = t.byLaterWord(c, w[n:])
			}
			c.reason = verbReason(c)
			return c
		}
	}
	return class{
		verb: signalbox.Execute, traits: []signalbox.Trait{signalbox.TraitOpaque},
		reason: "nothing is known of what it does",
	}
}

// byLaterWord is for what starts or creates something that takes away:
// StartBatchDeleteConfigurationTask.
func (t *verbTable) byLaterWord(c class, rest []string) class {
	for _, w := range rest {
		if l, ok := t.later[w]; ok {
			return l
		}
	}
	return c
}

func verbReason(c class) string {
	switch {
	case slices.Contains(c.traits, signalbox.TraitInterrupts):
		return "takes something out of service"
	case slices.Contains(c.traits, signalbox.TraitDerived):
		return "removes only what is computed again"
	}
	switch c.verb {
	case signalbox.Read:
		return "reads"
	case signalbox.Create:
		return "adds"
	case signalbox.Update:
		return "changes"
	case signalbox.Execute:
		return "runs code"
	case signalbox.Permission:
		return "changes rights or identities"
	case signalbox.Safeguard:
		return "weakens a protection"
	}
	return "removes"
}

// words splits a name in camel case: "DeleteDBInstance" is Delete, DB, Instance.
func words(name string) []string {
	var out []string
	start := 0
	for i := 1; i < len(name); i++ {
		lower := func(j int) bool {
			return j < len(name) && (name[j] >= 'a' && name[j] <= 'z' || name[j] >= '0' && name[j] <= '9')
		}
		upper := name[i] >= 'A' && name[i] <= 'Z'
		if upper && (lower(i-1) || lower(i+1) && !(name[i+1] == 's' && !lower(i+2))) {
			out = append(out, name[start:i])
			start = i
		}
	}
	if start < len(name) {
		out = append(out, name[start:])
	}
	return out
}
