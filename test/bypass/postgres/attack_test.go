package postgres

import (
	"bufio"
	"embed"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

//go:embed attacks/*.txt open.txt
var files embed.FS

// An attack is one attempt to have an effect that nobody admitted. Its kind is the
// file that it stands in; doc.go tells the form of the file.
type attack struct {
	kind, id, why string
	as            string   // the gate's role at the server: "" a member of the owner, or "superuser"
	who           string   // whose session: agent, human, automation
	may           []string // what may differ afterwards, as the oracle tells it
	harmless      string   // why it does nothing when it is played straight to a server
	steps         []step
	line          int
}

// A step is one message or deed on one of an attack's connections.
type step struct {
	conn int
	verb string
	text string
}

func (s step) String() string {
	text := strings.ReplaceAll(s.text, "\n", "\n  ")
	if s.conn != 1 {
		return strings.TrimSpace(fmt.Sprintf("%d %s %s", s.conn, s.verb, text))
	}
	return strings.TrimSpace(s.verb + " " + text)
}

// verbs are what steps can do, and whether they need a text.
var verbs = map[string]bool{
	"open": false, "Q": false, "q": false, "W": false, "P": true, "B": true, "D": true, "E": true, "C": true,
	"X": true, "F": true, "H": false, "S": false, "s": false, "d": true, "c": false, "f": false, "raw": true,
	"hangup": false, "terminate": false, "cancel": false, "kill": false, "approve": false, "aside": true,
	"until": true, "halt": false,
}

func (a attack) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "-- %s: %s\n", a.id, a.why)
	for _, h := range []struct{ name, value string }{{"as", a.as}, {"who", a.who}, {"harmless", a.harmless},
		{"may", strings.Join(a.may, ", ")}} {
		if h.value != "" && h.value != "agent" {
			fmt.Fprintf(&b, "%s %s\n", h.name, h.value)
		}
	}
	for _, s := range a.steps {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

// allows reports whether something may differ, by so many rows.
func (a attack) allows(what string, rows int64) bool {
	for _, m := range a.may {
		may, most, limited := strings.Cut(m, " by ")
		if may != what {
			continue
		}
		n, err := strconv.ParseInt(most, 10, 64)
		return !limited || err == nil && max(rows, -rows) <= n
	}
	return false
}

// load reads all attacks, and the ids of those that are known to succeed.
func load() (all []attack, open []string, err error) {
	names, err := files.ReadDir("attacks")
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	for _, n := range names {
		data, err := files.ReadFile(path.Join("attacks", n.Name()))
		if err != nil {
			return nil, nil, err
		}
		list, err := parse(strings.TrimSuffix(n.Name(), ".txt"), string(data))
		if err != nil {
			return nil, nil, err
		}
		for _, a := range list {
			if seen[a.id] {
				return nil, nil, fmt.Errorf("%s.txt:%d: there is another attack %s", a.kind, a.line, a.id)
			}
			seen[a.id] = true
		}
		all = append(all, list...)
	}
	data, err := files.ReadFile("open.txt")
	if err != nil {
		return nil, nil, err
	}
	for line := range strings.Lines(string(data)) {
		id, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if id == "" || id[0] == '#' {
			continue
		}
		if !seen[id] {
			return nil, nil, fmt.Errorf("open.txt: there is no attack %s", id)
		}
		open = append(open, id)
	}
	return all, open, nil
}

// parse reads one file of attacks.
func parse(kind, data string) ([]attack, error) {
	var all []attack
	var times int
	lines := bufio.NewScanner(strings.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		fail := func(why string) ([]attack, error) { return nil, fmt.Errorf("%s.txt:%d: %s: %q", kind, n, why, line) }
		word, rest, _ := strings.Cut(line, " ")
		if line == "" || word == "#" {
			continue
		}
		if word == "--" {
			id, why, ok := strings.Cut(rest, ": ")
			if !ok {
				return fail("want an id, a colon and what it tries")
			}
			all = append(all, attack{kind: kind, id: id, why: why, who: "agent", line: n})
			continue
		}
		if len(all) == 0 {
			return fail("before the first attack")
		}
		a := &all[len(all)-1]
		if strings.HasPrefix(line, "  ") {
			if len(a.steps) == 0 || times > 1 {
				return fail("continues nothing")
			}
			a.steps[len(a.steps)-1].text += "\n" + line[2:]
			continue
		}
		switch word {
		case "as":
			a.as = rest
			continue
		case "who":
			a.who = rest
			continue
		case "harmless":
			a.harmless = rest
			continue
		case "may":
			a.may = append(a.may, strings.Split(rest, ", ")...)
			continue
		}
		s := step{conn: 1}
		if c, err := strconv.Atoi(word); err == nil {
			s.conn = c
			word, rest, _ = strings.Cut(rest, " ")
		}
		times = 1
		if by, ok := strings.CutPrefix(word, "x"); ok {
			var err error
			if times, err = strconv.Atoi(by); err != nil {
				return fail("how many times?")
			}
			word, rest, _ = strings.Cut(rest, " ")
		}
		s.verb, s.text = word, rest
		needs, known := verbs[word]
		if !known || needs && rest == "" {
			return fail("no such step")
		}
		for i := range times {
			again := s
			again.text = strings.ReplaceAll(s.text, "{n}", strconv.Itoa(i+1))
			a.steps = append(a.steps, again)
		}
	}
	for _, a := range all {
		if len(a.steps) == 0 || !slices.Contains([]string{"", "superuser"}, a.as) ||
			!slices.Contains([]string{"agent", "human", "automation"}, a.who) {
			return nil, fmt.Errorf("%s.txt:%d: attack %s does nothing, or nobody does it", kind, a.line, a.id)
		}
	}
	return all, nil
}
