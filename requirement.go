package signalbox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An Approver is one enrolled human who said yes, with the groups that he is
// in at the time of asking.
type Approver struct {
	Name   string
	Groups []string
}

// A Requirement says whose approvals a hold needs:
//
//	requirement = all { "or" all } .
//	all         = part { "and" part } .
//	part        = count "of" group | "(" requirement ")" .
//
// "and" binds tighter than "or". Count is a decimal number from 1 to 9, group
// a name as [ValidName] takes it. Everyone counts once: "1 of sre and 1 of dba"
// takes two people, even where one is in both groups. The zero value cannot be
// satisfied.
type Requirement struct {
	text string
	ways []way // any one of them satisfies
}

// A way lists quotas that different people must fill.
type way []quota

type quota struct {
	n     int
	group string
}

// Bounds of what a requirement may say: enough for any company, and little
// enough that Satisfied is quick whatever a policy asks for.
const (
	maxQuota     = 9   // people of one group
	maxWays      = 64  // alternatives, once "and" is multiplied out over "or"
	maxWayPeople = 32  // people in one alternative
	maxText      = 512 // bytes
)

// ParseRequirement reads a requirement, as a policy's @hold annotation has it.
func ParseRequirement(text string) (Requirement, error) {
	if len(text) > maxText {
		return Requirement{}, fmt.Errorf("requirement of %d bytes: at most %d", len(text), maxText)
	}
	p := requirementParser{tokens: requirementTokens(text)}
	ways, err := p.any(0)
	if err == nil && p.at < len(p.tokens) {
		err = fmt.Errorf("unexpected %q", p.tokens[p.at])
	}
	if err != nil {
		return Requirement{}, fmt.Errorf("requirement %q: %w (want, for example, \"2 of sre\" or \"1 of sre and 1 of dba\")", text, err)
	}
	return Requirement{text: strings.Join(p.tokens, " "), ways: ways}, nil
}

// String gives the requirement with one space between words.
func (r Requirement) String() string {
	return strings.NewReplacer("( ", "(", " )", ")").Replace(r.text)
}

// People is how many humans the requirement asks for, at least.
func (r Requirement) People() int {
	least := 0
	for i, w := range r.ways {
		n := 0
		for _, q := range w {
			n += q.n
		}
		if i == 0 || n < least {
			least = n
		}
	}
	return least
}

// Groups lists the groups that the requirement names, sorted.
func (r Requirement) Groups() []string {
	var groups []string
	for _, w := range r.ways {
		for _, q := range w {
			groups = append(groups, q.group)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// Satisfied reports whether the approvers fill every place of some way, each
// of them one place at most. Approvers of the same name are one person, with
// the groups of the first. Who may approve at all is the caller's to decide
// before.
func (r Requirement) Satisfied(yes []Approver) bool {
	people := persons(yes)
	return slices.ContainsFunc(r.ways, func(w way) bool {
		_, open := w.seated(people)
		return len(open) == 0
	})
}

// Missing says for people what the approvers leave open: the requirement itself
// while none of them counts, else how many more, as in "1 more of sre (2 of
// sre)"; "" when they satisfy it. Where somebody could fill a place in one of
// several groups, it says what is left when he fills one of them.
func (r Requirement) Missing(yes []Approver) string {
	if len(r.ways) == 0 {
		return "what nobody can give"
	}
	people := persons(yes)
	var left []string
	counted := false
	for _, w := range r.ways {
		places, open := w.seated(people)
		if len(open) == 0 {
			return ""
		}
		counted = counted || len(open) < len(places)
		left = append(left, remainder(places, open))
	}
	if !counted {
		return r.String()
	}
	slices.Sort(left)
	return fmt.Sprintf("%s (%s)", strings.Join(slices.Compact(left), " or "), r)
}

// remainder counts open places by group: "1 more of sre and 1 of dba".
func remainder(places, open []string) string {
	count := func(list []string, group string) (n int) {
		for _, g := range list {
			if g == group {
				n++
			}
		}
		return n
	}
	var parts []string
	for _, g := range slices.Compact(slices.Sorted(slices.Values(open))) {
		n, more := count(open, g), ""
		if n < count(places, g) {
			more = " more"
		}
		parts = append(parts, fmt.Sprintf("%d%s of %s", n, more, g))
	}
	return strings.Join(parts, " and ")
}

// persons leaves out approvers without a name, and all but the first of a name.
func persons(yes []Approver) []Approver {
	seen := make(map[string]bool, len(yes))
	people := make([]Approver, 0, len(yes))
	for _, a := range yes {
		if a.Name != "" && !seen[a.Name] {
			seen[a.Name] = true
			people = append(people, a)
		}
	}
	return people
}

// seated gives the places of w by their groups, and those that stay open when as
// many people as possible have one: Kuhn's algorithm for a maximum matching, since
// taking people greedily could waste on one group somebody whom another group needs.
func (w way) seated(people []Approver) (places, open []string) {
	for _, q := range w {
		for range q.n {
			places = append(places, q.group)
		}
	}
	takenBy := make([]int, len(people)) // place, or -1
	for i := range takenBy {
		takenBy[i] = -1
	}
	for place := range places {
		if !seat(place, places, people, takenBy, make([]bool, len(people))) {
			open = append(open, places[place])
		}
	}
	return places, open
}

func seat(place int, places []string, people []Approver, takenBy []int, tried []bool) bool {
	for i, a := range people {
		if tried[i] || !slices.Contains(a.Groups, places[place]) {
			continue
		}
		tried[i] = true
		if takenBy[i] < 0 || seat(takenBy[i], places, people, takenBy, tried) {
			takenBy[i] = place
			return true
		}
	}
	return false
}

// Covers reports whether whoever satisfies r satisfies o too, as far as that
// can be told from simple requirements: "2 of sre" covers "1 of sre". Equal
// texts cover each other; other compound requirements are never covered.
func (r Requirement) Covers(o Requirement) bool {
	if r.text == o.text {
		return r.text != ""
	}
	if len(o.ways) != 1 || len(o.ways[0]) != 1 || len(r.ways) == 0 {
		return false
	}
	want := o.ways[0][0]
	for _, w := range r.ways {
		people := 0
		for _, q := range w {
			if q.group == want.group {
				people += q.n
			}
		}
		if people < want.n {
			return false
		}
	}
	return true
}

type requirementParser struct {
	tokens []string
	at     int
}

func requirementTokens(text string) []string {
	return strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(text))
}

func (p *requirementParser) accept(token string) bool {
	if p.at < len(p.tokens) && p.tokens[p.at] == token {
		p.at++
		return true
	}
	return false
}

func (p *requirementParser) any(depth int) ([]way, error) {
	ways, err := p.all(depth)
	for err == nil && p.accept("or") {
		var more []way
		more, err = p.all(depth)
		ways = append(ways, more...)
		if len(ways) > maxWays {
			return nil, fmt.Errorf("more than %d alternatives", maxWays)
		}
	}
	return ways, err
}

func (p *requirementParser) all(depth int) ([]way, error) {
	ways, err := p.part(depth)
	for err == nil && p.accept("and") {
		var more []way
		if more, err = p.part(depth); err != nil {
			break
		}
		if len(ways)*len(more) > maxWays {
			return nil, fmt.Errorf("more than %d alternatives", maxWays)
		}
		product := make([]way, 0, len(ways)*len(more))
		for _, a := range ways {
			for _, b := range more {
				w := append(slices.Clone(a), b...)
				if w.people() > maxWayPeople {
					return nil, fmt.Errorf("more than %d people", maxWayPeople)
				}
				product = append(product, w)
			}
		}
		ways = product
	}
	return ways, err
}

func (w way) people() (n int) {
	for _, q := range w {
		n += q.n
	}
	return n
}

func (p *requirementParser) part(depth int) ([]way, error) {
	if depth > 8 {
		return nil, fmt.Errorf("nested too deeply")
	}
	if p.accept("(") {
		ways, err := p.any(depth + 1)
		if err == nil && !p.accept(")") {
			err = fmt.Errorf("missing )")
		}
		return ways, err
	}
	if len(p.tokens)-p.at < 3 {
		return nil, fmt.Errorf("incomplete: want a number, \"of\" and a group")
	}
	count, of, group := p.tokens[p.at], p.tokens[p.at+1], p.tokens[p.at+2]
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > maxQuota || count != strconv.Itoa(n) {
		return nil, fmt.Errorf("count %q is not a number from 1 to %d", count, maxQuota)
	}
	if of != "of" {
		return nil, fmt.Errorf("%q where \"of\" was expected", of)
	}
	if group == "of" || group == "and" || group == "or" {
		return nil, fmt.Errorf("%q where a group was expected", group)
	}
	if err := ValidName("group", group); err != nil {
		return nil, err
	}
	p.at += 3
	return []way{{{n, group}}}, nil
}
