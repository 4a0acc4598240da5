package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/signalbox-dev/signalbox"
)

// Check lists what is wrong with a set, in the order of files and lines; none
// if [Load] would take it.
func Check(files []File) []*Error {
	_, err := Load(files)
	if err == nil {
		return nil
	}
	var found []*Error
	all := []error{err}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		all = many.Unwrap()
	}
	for _, err := range all {
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{Msg: err.Error()}
		}
		found = append(found, e)
	}
	slices.SortStableFunc(found, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return found
}

// TestFiles reads the *.yaml files in the top folder of fsys.
func TestFiles(fsys fs.FS) ([]File, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("read policy tests: %w", err)
	}
	var files []File
	for _, e := range entries {
		if e.IsDir() || path.Ext(e.Name()) != ".yaml" {
			continue
		}
		f, err := read(fsys, e)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// A Report is what came of the tests of a set.
type Report struct {
	Passed int
	Failed []Failure
}

// A Failure is one test whose verdict was not the expected one.
type Failure struct {
	File string
	Line int
	Name string
	Got  signalbox.Verdict
	Msg  string
}

// String gives "file:line: name: what differs".
func (f Failure) String() string { return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Name, f.Msg) }

// Test runs the tests in files against the set. The format is described in
// docs/policy.md. A file that cannot be read as tests is an error that joins
// one [*Error] for each.
func (s *Set) Test(files []File) (Report, error) {
	var report Report
	var errs []error
	for _, f := range files {
		cases, err := parseCases(f)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, c := range cases {
			v := s.Decide(c.request)
			if msg := c.Expect.differs(v); msg != "" {
				report.Failed = append(report.Failed, Failure{f.Name, c.line, c.Name, v, msg})
				continue
			}
			report.Passed++
		}
	}
	return report, errors.Join(errs...)
}

// A testCase is one test as the file has it.
type testCase struct {
	Name        string
	Actor       testActor
	Groups      []string
	Environment signalbox.Environment
	Gate        string
	Protocol    string
	Target      string
	Action      testAction
	Memory      Memory
	BreakGlass  bool `yaml:"breakGlass"`
	Now         time.Time
	Expect      expectation

	line    int
	request Request
}

type testActor struct{ Agent, For, Human, Automation string }

type testAction struct {
	Verb       signalbox.Verb
	Native     string
	Form       string
	Resources  []testResource
	Scope      signalbox.Scope
	Count      *int64
	Total      int64
	Dependants int64
	Measured   bool
	Reversible bool
	Traits     []signalbox.Trait
}

type testResource struct {
	Type, Name string
	Whole      bool
}

// An expectation says what the verdict must be. Policies must all be among
// those that decided; Requires, if given, must be all that is required.
type expectation struct {
	Verdict  signalbox.Decision
	Policies []string
	Requires []string
	Confirm  *bool
}

func (e expectation) differs(v signalbox.Verdict) string {
	switch {
	case v.Decision != e.Verdict:
		return fmt.Sprintf("want %s, got %s by %s: %s", e.Verdict, v.Decision, strings.Join(v.Policies, ", "), v.Reason)
	case e.Requires != nil && !slices.Equal(slices.Sorted(slices.Values(e.Requires)), v.Requires):
		return fmt.Sprintf("want it to require %q, got %q", e.Requires, v.Requires)
	case e.Confirm != nil && *e.Confirm != v.Confirm:
		return fmt.Sprintf("want confirm to be %t, got %t", *e.Confirm, v.Confirm)
	}
	for _, id := range e.Policies {
		if !slices.Contains(v.Policies, id) {
			return fmt.Sprintf("want policy %q to decide, got %q", id, v.Policies)
		}
	}
	return ""
}

func parseCases(f File) ([]testCase, error) {
	var doc struct{ Tests []testCase }
	err := yaml.NewDecoder(bytes.NewReader(f.Data), yaml.Strict()).Decode(&doc)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, &Error{File: f.Name, Line: yamlLine(err),
			Msg: strings.TrimSpace(yaml.FormatError(err, false, false))}
	}
	if len(doc.Tests) == 0 {
		return nil, &Error{File: f.Name, Msg: "has no tests"}
	}
	for i := range doc.Tests {
		c := &doc.Tests[i]
		c.line = lineOfCase(f.Data, i)
		if err := c.build(); err != nil {
			return nil, &Error{File: f.Name, Line: c.line, Msg: fmt.Sprintf("test %q: %v", c.Name, err)}
		}
	}
	return doc.Tests, nil
}

func yamlLine(err error) int {
	var y yaml.Error
	if errors.As(err, &y) && y.GetToken() != nil {
		return y.GetToken().Position.Line
	}
	return 0
}

func lineOfCase(data []byte, i int) int {
	at, err := yaml.PathString(fmt.Sprintf("$.tests[%d].name", i))
	if err != nil {
		return 0
	}
	node, err := at.ReadNode(bytes.NewReader(data))
	if err != nil {
		return 0
	}
	return node.GetToken().Position.Line
}

// build turns the test into a request. What a test leaves out gets a value
// that no policy should be surprised by: a count that is not known, a time in
// the middle of a working day.
func (c *testCase) build() error {
	actor, err := c.Actor.actor()
	if err != nil {
		return err
	}
	if c.Name == "" {
		return fmt.Errorf("has no name")
	}
	if c.Environment == "" {
		return fmt.Errorf("has no environment")
	}
	if !slices.Contains(signalbox.Verbs(), c.Action.Verb) {
		return fmt.Errorf("action.verb %q is none of %q", c.Action.Verb, signalbox.Verbs())
	}
	switch c.Action.Scope {
	case "", signalbox.ScopeOne, signalbox.ScopeSome, signalbox.ScopeAll, signalbox.ScopeUnknown:
	default:
		return fmt.Errorf("action.scope %q is none of one, some, all, unknown", c.Action.Scope)
	}
	switch c.Expect.Verdict {
	case signalbox.Allow, signalbox.Hold, signalbox.Deny:
	default:
		return fmt.Errorf("expect.verdict %q is none of allow, hold, deny", c.Expect.Verdict)
	}
	c.request = Request{
		Actor: actor, Groups: c.Groups, Environment: c.Environment,
		Gate: cmp.Or(c.Gate, "gate"), Protocol: cmp.Or(c.Protocol, "postgres"), Target: cmp.Or(c.Target, "target"),
		Memory: c.Memory, BreakGlass: c.BreakGlass, Now: c.Now,
		Action: signalbox.Action{
			Verb: c.Action.Verb, Native: c.Action.Native, Form: c.Action.Form, Traits: c.Action.Traits,
			Impact: signalbox.Impact{
				Count: signalbox.CountUnknown, Scope: c.Action.Scope, Reversible: c.Action.Reversible,
				Measured: c.Action.Measured, Total: c.Action.Total, Dependants: c.Action.Dependants,
			},
		},
	}
	if c.Action.Count != nil {
		c.request.Action.Impact.Count = *c.Action.Count
	}
	if c.Now.IsZero() {
		c.request.Now = time.Date(2026, time.March, 4, 10, 0, 0, 0, time.UTC)
	}
	for _, r := range c.Action.Resources {
		c.request.Action.Resources = append(c.request.Action.Resources,
			signalbox.Resource{Type: r.Type, Name: r.Name, Whole: r.Whole})
	}
	return nil
}

func (a testActor) actor() (signalbox.Actor, error) {
	given := 0
	for _, name := range []string{a.Agent, a.Human, a.Automation} {
		if name != "" {
			given++
		}
	}
	if given != 1 {
		return signalbox.Actor{}, fmt.Errorf("actor needs exactly one of agent, human and automation")
	}
	actor := signalbox.Actor{Kind: signalbox.Human, Name: a.Human, For: a.For}
	switch {
	case a.Agent != "":
		actor.Kind, actor.Name = signalbox.Agent, a.Agent
	case a.Automation != "":
		actor.Kind, actor.Name = signalbox.Automation, a.Automation
	}
	return actor, actor.Validate()
}
