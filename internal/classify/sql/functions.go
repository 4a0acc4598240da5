package sql

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
	"github.com/signalbox-dev/signalbox/internal/forms"
)

//go:embed functions.txt
var reviewedText string

//go:embed builtins.txt
var builtinText string

//go:embed signatures.txt
var signatureText string

//go:embed extensions.txt
var extensionText string

// reviewed gives the class of each function in functions.txt.
var reviewed = sync.OnceValue(func() map[string]string {
	m := make(map[string]string, 512)
	for line := range strings.Lines(reviewedText) {
		if f := strings.Fields(line); len(f) >= 2 && !strings.HasPrefix(f[0], "#") {
			m[f[0]] = f[1]
		}
	}
	return m
})

// builtins holds the names of builtins.txt.
var builtins = sync.OnceValue(func() map[string]bool { return nameSet(builtinText) })

// harmlessExtension holds the names of extensions.txt.
var harmlessExtension = sync.OnceValue(func() map[string]bool { return nameSet(extensionText) })

// signatures holds the lines of signatures.txt.
var signatures = sync.OnceValue(func() map[string]bool {
	m := make(map[string]bool, 4096)
	for line := range strings.Lines(signatureText) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			m[line] = true
		}
	}
	return m
})

// Unlisted gives the names of a server's own functions that are not what was reviewed:
// of those whose line, as in signatures.txt, does not stand there.
func Unlisted(lines []string) map[string]bool {
	names := make(map[string]bool)
	for _, line := range lines {
		if !signatures()[line] {
			_, rest, _ := strings.Cut(line, " ")
			name, _, _ := strings.Cut(rest, "(")
			names[name] = true
		}
	}
	return names
}

func nameSet(text string) map[string]bool {
	m := make(map[string]bool, 4096)
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 0 && !strings.HasPrefix(f[0], "#") {
			for _, name := range f {
				m[name] = true
			}
		}
	}
	return m
}

// call judges the call of a function.
func (j *judge) call(f *pg.FuncCall) {
	parts := nameParts(f.GetFuncname())
	if j.cat != nil && len(parts) > 0 { // a type's name, as in citext(x), casts
		for _, schema := range j.path {
			j.come(j.cat.Types[schema+"."+parts[len(parts)-1]].Types)
		}
	}
	j.invoke(parts, f.GetArgs(), j.arguments(f))
}

func (j *judge) invoke(parts []string, args []*pg.Node, with arguments) {
	if len(parts) == 0 {
		j.unknown("a function call without a name")
		return
	}
	name, schema := parts[len(parts)-1], ""
	if len(parts) > 1 {
		schema = parts[len(parts)-2]
	}
	if schema == "information_schema" && strings.HasPrefix(name, "_pg_") {
		return // what its views are made of
	}
	class, known := reviewed()[name]
	ours := (known || builtins()[name]) && (schema == "" || schema == "pg_catalog")
	if j.cat != nil && j.cat.Unlisted[name] && (schema == "" || schema == "pg_catalog") && !with.row {
		j.effect(opaque("CALL FUNCTION", signalbox.Resource{Type: "function", Name: name},
			"calls "+name+", of which this server has a form that nobody has reviewed"))
		return
	}
	if with.attribute {
		// It may as well be a column: what PostgreSQL's own function of that name
		// would compute is not asked.
		ours = !with.row && known
	}
	switch {
	case !ours && with.attribute && !j.shadowed(schema, name):
	case !ours:
		j.userFunction(schema, name, class, args, with)
	case j.shadowed(schema, name) && j.userFunction(schema, name, class, args, with):
		// Judged as the user's, which is graver.
	case known:
		j.builtin(name, class, args)
	}
}

// shadowed reports whether a name may mean a user's function.
func (j *judge) shadowed(schema, name string) bool {
	if j.cat != nil && schema == "pg_catalog" {
		return len(j.cat.Functions["pg_catalog."+name]) > 0
	}
	return schema == "" && (j.funcs[name] || j.cat != nil && j.cat.hasFunction(name))
}

func (c *Catalog) hasFunction(name string) bool {
	if c.byName != nil {
		return c.byName[name]
	}
	for full := range c.Functions {
		if full[strings.IndexByte(full, '.')+1:] == name {
			return true
		}
	}
	return false
}

// userFunction judges a function that PostgreSQL did not ship. It reports whether
// such a one is surely meant; otherwise PostgreSQL's own of that name may be.
func (j *judge) userFunction(schema, name, class string, args []*pg.Node, with arguments) bool {
	full := name
	if schema != "" {
		full = schema + "." + name
	}
	switch class {
	case "file", "foreign", "text", "safeguard", "admin", "delete":
		j.builtin(name, class, args)
		return true
	}
	a := opaque("CALL FUNCTION", signalbox.Resource{Type: "function", Name: full},
		fmt.Sprintf("calls %s, a function that PostgreSQL did not ship: what it does cannot be seen", full))
	own := (reviewed()[name] != "" || builtins()[name]) && (schema == "" || schema == "pg_catalog")
	if j.cat == nil || j.funcs[name] {
		if harmlessExtension()[name] && !j.funcs[name] {
			return false
		}
		j.effect(a)
		return true
	}
	over := j.overloads(schema, name)
	if len(over) == 0 {
		j.effect(a)
		return true
	}
	possible := false
	for _, f := range over {
		families, ok := j.callable(f, with)
		if !ok && (own || with.attribute) {
			continue // PostgreSQL's own, or a column
		}
		possible = true
		if f.harmless(name) {
			j.come(f.Returns)
			continue
		}
		a := a
		a.Resources = []signalbox.Resource{{Type: "function", Name: full, ID: oidText(f.OID)}}
		looked := j.cat.byReview(&a, f)
		if looked {
			j.come(f.Returns)
		}
		if len(families) > 0 && own {
			j.uses = append(j.uses, use{families, a})
			continue
		}
		j.effect(a)
		if !looked {
			return true
		}
	}
	if possible && !own && class != "" {
		j.builtin(name, class, args)
	}
	return false
}

// byReview makes the call of a function what an operator who read its body says that
// it is, if one did: a read, which still runs READ ONLY, or a small change, which is
// measured. Its form then says so, for the policies to compare with their list.
func (c *Catalog) byReview(a *signalbox.Action, f Function) bool {
	if f.Sum == "" {
		return false
	}
	form := forms.Call(f.Schema+"."+f.Name, f.Signature, f.Sum)
	switch {
	case c.Forms.Has(form + forms.Reads):
		a.Form, a.Verb, a.Traits = form+forms.Reads, signalbox.Read, nil
		a.Impact.Scope, a.Impact.Reversible = signalbox.ScopeSome, true
		a.Reason = "calls " + a.Resources[0].Name + ", which reads, as somebody reviewed"
	case c.Forms.Has(form + forms.Changes):
		a.Form, a.Verb, a.Traits = form+forms.Changes, signalbox.Update, []signalbox.Trait{signalbox.TraitByKey}
		a.Impact.Scope = signalbox.ScopeSome
		a.Reason = "calls " + a.Resources[0].Name + ", which makes small changes, as somebody reviewed"
	default:
		a.Form = form
		return false
	}
	return true
}

// harmless reports whether a function of an extension only computes: by its name,
// or because all that computes in its extension was looked through. Code in C is
// meant, and the little SQL that names tell: only a superuser puts in C.
func (f Function) harmless(name string) bool {
	switch {
	case f.Extension == "" || f.SecurityDefiner:
		return false
	case harmlessExtension()[name]:
		return true
	}
	computes := f.Volatility == 'i' || f.Volatility == 's'
	return computes && (f.Language == "c" || f.Language == "internal") && Reviewed(f.Extension)
}

// Reviewed reports whether an extension was looked through: its functions in C
// that are not volatile, its operators and its types compute and do nothing else.
func Reviewed(extension string) bool {
	switch extension {
	case "citext", "hstore", "ltree", "pg_trgm", "pgcrypto", "uuid-ossp", "btree_gin", "btree_gist", "unaccent",
		"fuzzystrmatch",
		"intarray", "isn", "cube", "earthdistance", "seg", "vector":
		return true
	}
	return false
}

// viewCalls judges the functions that a view calls.
func (j *judge) viewCalls(r *Relation) {
	for _, f := range r.Calls {
		schema, name, ok := strings.Cut(f, ".")
		if !ok {
			schema, name = "", f
		}
		j.userFunction(schema, name, reviewed()[name], nil, arguments{open: true})
	}
}

// overloads lists the functions that a name may mean.
func (j *judge) overloads(schema, name string) []Function {
	if schema != "" {
		return j.cat.Functions[schema+"."+name]
	}
	var all []Function
	for full, fs := range j.cat.Functions {
		if full[strings.IndexByte(full, '.')+1:] == name {
			all = append(all, fs...)
		}
	}
	return all
}

// builtin judges a function by its reviewed class.
func (j *judge) builtin(name, class string, args []*pg.Node) {
	a := signalbox.Action{
		Native:    strings.ToUpper(name),
		Resources: []signalbox.Resource{{Type: "function", Name: name}},
		Impact:    signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeUnknown},
	}
	switch class {
	case "pure", "internal", "session":
		return
	case "bulkread":
		if j.readNamed(j.textArg(args, 0)) {
			j.trait(signalbox.TraitBulk)
			return
		}
		a.Verb = signalbox.Execute
		a.Traits = []signalbox.Trait{signalbox.TraitOpaque}
		a.Reason = "calls " + name + ", which runs whatever its argument names"
	case "credentials":
		j.trait(signalbox.TraitCredentials)
		return
	case "setting":
		j.setConfig(args)
		return
	case "sequence", "update":
		a.Verb = signalbox.Update
		a.Impact = signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: class == "sequence"}
		a.Reason = "calls " + name + ", which changes something small"
		if class == "sequence" || name == "setval" {
			a.Resources = []signalbox.Resource{{Type: "sequence", Name: j.textArg(args, 0)}}
		}
	case "notify":
		a.Verb = signalbox.Update
		a.Native = "NOTIFY"
		a.Impact = signalbox.Impact{Count: 1, Scope: signalbox.ScopeOne, Reversible: true}
		a.Resources = []signalbox.Resource{{Type: "channel", Name: j.textArg(args, 0)}}
		a.Reason = "wakes listeners"
	case "admin":
		a.Verb = signalbox.Execute
		a.Traits = []signalbox.Trait{signalbox.TraitTop}
		a.Reason = "calls " + name + ", which acts on the server or on other sessions"
	case "safeguard":
		a.Verb = signalbox.Safeguard
		a.Traits = []signalbox.Trait{signalbox.TraitTop}
		a.Reason = "calls " + name + ", which weakens replication, recovery or evidence"
	case "delete":
		a.Verb = signalbox.Delete
		a.Impact.Scope = signalbox.ScopeOne
		a.Reason = "calls " + name + ", which destroys data"
	case "file":
		a.Verb = signalbox.Execute
		a.Traits = []signalbox.Trait{signalbox.TraitHostFile}
		a.Reason = "calls " + name + ", which reads or writes files of the server's host"
	case "text":
		a.Verb = signalbox.Execute
		a.Traits = []signalbox.Trait{signalbox.TraitOpaque}
		a.Reason = "calls " + name + ", which runs what is not in the statement"
	case "foreign":
		a.Verb = signalbox.Execute
		a.Traits = []signalbox.Trait{signalbox.TraitOpaque}
		a.Reason = "calls " + name + ", which speaks to another server"
	default:
		j.unknown("function " + name + " has no class")
		return
	}
	j.effect(a)
}

// readNamed judges the reading of a relation whose name is a constant text. It
// reports false where the text does not surely name a relation that only reads.
func (j *judge) readNamed(text string) bool {
	parts := strings.Split(text, ".")
	if len(parts) > 2 {
		return false
	}
	for _, p := range parts {
		// What is folded, quoted or a number is looked up in ways of its own.
		if p == "" || isDigit(p[0]) || strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return false
		}
	}
	v := &pg.RangeVar{Relname: parts[len(parts)-1]}
	if len(parts) == 2 {
		v.Schemaname = parts[0]
	}
	name, r := j.relation(v)
	if j.cat != nil {
		if r == nil || strings.IndexByte("rpmv", r.Kind) < 0 || r.Kind == 'v' &&
			(len(r.Calls) > 0 || len(r.Base) == 0) {
			return false
		}
		j.reads = append(j.reads, r.Base...)
	}
	j.reads = append(j.reads, name)
	j.secretTable(name)
	return true
}

// trait marks the reading that the statement does.
func (j *judge) trait(t signalbox.Trait) { j.traits = addTrait(j.traits, t) }

// textArg gives the text of a constant argument, "*" if it is not constant.
func (j *judge) textArg(args []*pg.Node, i int) string {
	if i < len(args) {
		if s, ok := j.text(pgtree.Unwrap(args[i])); ok {
			return s
		}
	}
	return "*"
}

// text gives the value of a string constant, casts of it included.
func (j *judge) text(m any) (string, bool) {
	switch x := m.(type) {
	case *pg.TypeCast:
		return j.text(pgtree.Unwrap(x.GetArg()))
	case *pg.A_Const:
		if s := x.GetSval(); s != nil {
			j.constant()
			return s.GetSval(), true
		}
	}
	return "", false
}
