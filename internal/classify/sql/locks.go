package sql

import (
	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// manyLocks judges a statement that takes advisory locks, and may call the function
// more often than it is written: for each row that it reads, or for each value of a
// set. The server has room for some thousands, for everybody and everything.
func (j *judge) manyLocks() {
	if j.s.Locks == 0 || !j.many && !j.ranges {
		return
	}
	j.effect(signalbox.Action{
		Verb: signalbox.Update, Native: "PG_ADVISORY_LOCK",
		Resources: []signalbox.Resource{{Type: "database", Name: "*"}},
		Impact:    signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeUnknown, Reversible: true},
		Traits:    []signalbox.Trait{signalbox.TraitBulk},
		Reason:    "takes an advisory lock for each of many rows: the server has room for so many, for everybody",
	})
}

// steadyArgs reports whether arguments give one value: constants, parameters, and
// what a few functions compute of them.
func steadyArgs(args []*pg.Node) bool {
	for _, n := range args {
		switch x := pgtree.Unwrap(n).(type) {
		case *pg.A_Const, *pg.ParamRef:
		case *pg.TypeCast:
			if !steadyArgs([]*pg.Node{x.GetArg()}) {
				return false
			}
		case *pg.FuncCall:
			switch parts := nameParts(x.GetFuncname()); parts[len(parts)-1] {
			case "hashtext", "hashtextextended", "abs", "md5", "lower", "current_database", "current_schema":
			default:
				return false
			}
			if !steadyArgs(x.GetArgs()) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// sequence gives the name of the sequence that a constant argument names, if it may be
// shown: a constant that names nothing may be anything. "*" if not.
func (j *judge) sequence(args []*pg.Node) string {
	name := j.textArg(args, 0)
	if j.cat == nil {
		return name // nobody's log has it
	}
	if r, ok := j.cat.Relations[name]; ok && r.Kind == 'S' {
		return name
	}
	for _, schema := range j.path {
		if r, ok := j.cat.Relations[schema+"."+name]; ok && r.Kind == 'S' {
			return schema + "." + name
		}
	}
	return "*"
}
