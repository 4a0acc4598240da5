package policy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/forms"
)

// A rule is one policy with what its annotations ask for.
type rule struct {
	id     string
	file   string
	line   int
	policy *cedar.Policy
	effect effect

	// shelved is the policy without those parts of its scope that its place on
	// the shelf has answered.
	shelved *cedar.Policy

	// terms is the verdict that a match means.
	terms signalbox.Verdict
	// perResource says that the policy looks at the resource, so that it is
	// asked about each resource of an action.
	perResource bool
}

type effect int

const (
	permits effect = iota
	forbids
	holds
)

// Files reads the policy files in the top folder of fsys: *.cedar, *.cedarschema
// and [ReviewedFile]. Others are left alone.
func Files(fsys fs.FS) ([]File, error) {
	var files []File
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || !isPolicy(e.Name()) && !isSchema(e.Name()) && e.Name() != ReviewedFile {
			continue
		}
		f, err := read(fsys, e)
		if err != nil {
			return nil, err
		}
		if files = append(files, f); len(files) > MaxFiles {
			return nil, &Error{Msg: fmt.Sprintf("more than %d files", MaxFiles)}
		}
	}
	return files, nil
}

// read reads one plain file, and no more of it than may be.
func read(fsys fs.FS, e fs.DirEntry) (File, error) {
	if err := errors.Join(checkName(e.Name()), regular(e)); err != nil {
		return File{}, err
	}
	f, err := fsys.Open(e.Name())
	if err != nil {
		return File{}, fmt.Errorf("read policies: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return File{}, fmt.Errorf("read policies: %w", err)
	}
	if len(data) > MaxFile {
		return File{}, &Error{File: e.Name(), Msg: fmt.Sprintf("is larger than %d bytes", MaxFile)}
	}
	return File{e.Name(), data}, nil
}

func isPolicy(name string) bool { return path.Ext(name) == ".cedar" }
func isSchema(name string) bool { return path.Ext(name) == ".cedarschema" }

// Load compiles a set. Every policy is checked against the schema, and the
// schema against what [Set.Decide] supplies. The error joins one [*Error] for
// each thing that is wrong.
func Load(files []File) (*Set, error) {
	if err := bounded(files); err != nil {
		return nil, err
	}
	l := loader{ids: make(map[string]*rule)}
	seen := make(map[string]bool)
	for _, f := range files {
		switch {
		case seen[f.Name]:
			l.fail(f.Name, 0, "", "given twice")
		case isSchema(f.Name):
			l.schema(f)
		case f.Name == ReviewedFile:
			l.list(f)
		case isPolicy(f.Name):
		default:
			l.fail(f.Name, 0, "", "is neither *.cedar nor *.cedarschema nor %s", ReviewedFile)
		}
		seen[f.Name] = true
	}
	if l.schemaFile == "" {
		l.fail("", 0, "", "no *.cedarschema among the files: a set needs exactly one")
	}
	for _, f := range files {
		if isPolicy(f.Name) {
			l.policies(f)
		}
	}
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	if len(l.rules) == 0 {
		// It would deny everything: safe, but surely a wrong folder.
		return nil, &Error{Msg: "the set has no policies"}
	}
	s := &Set{version: version(files), rules: l.rules, reviewed: l.reviewed}
	s.shelve()
	return s, nil
}

type loader struct {
	reviewed   *forms.List
	schemaFile string
	validator  *validate.Validator
	rules      []*rule
	ids        map[string]*rule
	errs       []error
}

func (l *loader) fail(file string, line int, policy, format string, args ...any) {
	l.errs = append(l.errs, &Error{File: file, Line: line, Policy: policy, Msg: fmt.Sprintf(format, args...)})
}

func (l *loader) list(f File) {
	list, mistakes := forms.Parse(f.Data)
	for _, m := range mistakes {
		l.fail(f.Name, m.Line, "", "%s", m.Msg)
	}
	l.reviewed = list
}

// position finds "line:column" in an error of the Cedar parser, which gives it
// as text alone.
var position = regexp.MustCompile(`(\d+):(\d+)`)

func lineOf(err error) int {
	if m := position.FindStringSubmatch(err.Error()); m != nil {
		line, _ := strconv.Atoi(m[1]) // digits, so it can only be out of range: 0 then
		return line
	}
	return 0
}

func (l *loader) schema(f File) {
	if l.schemaFile != "" {
		l.fail(f.Name, 0, "", "a second schema beside %s", l.schemaFile)
		return
	}
	l.schemaFile = f.Name
	var s schema.Schema
	s.SetFilename(f.Name)
	if err := s.UnmarshalCedar(f.Data); err != nil {
		l.fail(f.Name, lineOf(err), "", "%s", discreet(err))
		return
	}
	resolved, err := s.Resolve()
	if err != nil {
		l.fail(f.Name, lineOf(err), "", "%v", err)
		return
	}
	l.validator = validate.New(resolved)
	if err := supplied(l.validator); err != nil {
		l.fail(f.Name, 0, "", "does not describe what policies are given: %v", err)
		l.validator = nil
	}
}

// supplied checks that the schema takes the requests that Decide makes, one
// for each kind of actor and verb. A request with other facts differs from
// these in values, never in names or types.
func supplied(v *validate.Validator) error {
	for _, kind := range []signalbox.ActorKind{signalbox.Human, signalbox.Agent, signalbox.Automation} {
		for _, verb := range signalbox.Verbs() {
			r := Request{Actor: signalbox.Actor{Kind: kind, Name: "x"}, Groups: []string{"g"}, Gate: "g", Target: "t",
				Action: signalbox.Action{Verb: verb}}
			if kind == signalbox.Agent {
				r.Actor.For = "y"
			}
			w := newWorld(&r, &shelf{contextFacts: contextFacts, memoryFacts: memoryFacts})
			w.become(r.Actor, false)
			w.look(signalbox.Resource{Type: "table", Name: "t"})
			if err := v.Request(w.request()); err != nil {
				return err
			}
			for _, uid := range []cedar.EntityUID{w.principal, w.resource, w.memory, w.target, w.environment} {
				e, _ := w.Get(uid)
				if err := v.Entity(e); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (l *loader) policies(f File) {
	list, err := cedar.NewPolicyListFromBytes(f.Name, f.Data)
	if err != nil {
		l.fail(f.Name, lineOf(err), "", "%s", discreet(err))
		return
	}
	for _, p := range list {
		r := &rule{id: string(p.Annotations()["id"]), file: f.Name, line: p.Position().Line, policy: p}
		l.annotations(r)
		if l.validator != nil {
			if err := l.validator.Policy("", r.ast()); err != nil {
				l.fail(f.Name, r.line, r.id, "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
			}
		}
		r.perResource = looksAtResource(r.ast())
		r.shelved = r.withoutScope()
		l.rules = append(l.rules, r)
	}
}
