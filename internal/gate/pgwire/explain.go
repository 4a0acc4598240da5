package pgwire

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
	"github.com/signalbox-dev/signalbox/internal/explain"
)

// explainer reads statements, which remember what those before them left in their
// session.
func reader() explain.Reader {
	b := newImagined()
	return func(request json.RawMessage) (explain.Native, error) {
		var d struct {
			Database string  `json:"database"`
			SQL      *string `json:"sql"`
		}
		if err := json.Unmarshal(request, &d); err != nil {
			return explain.Native{}, err
		}
		if d.SQL == nil {
			return explain.Native{}, errors.New(`postgres request without "sql"`)
		}
		return explain.Native{Target: d.Database,
			Classify: func() ([]signalbox.Action, func()) { return b.classify(*d.SQL) }}, nil
	}
}

// imagined is the PostgreSQL session of a scenario, which nobody opens: what earlier
// requests that were allowed would have left there. There is no catalog, so
// names are taken as written.
type imagined struct {
	session sql.Session
	// temp has the temporary tables, by bare name. They are forgotten as soon
	// as a name might mean another table: for explain it is better to forget
	// one too many than to take a table for a temporary one.
	temp map[string]bool
}

func newImagined() *imagined { return &imagined{temp: make(map[string]bool)} }

// classify gives the actions of a text, and what to do when it has run.
func (b *imagined) classify(text string) (actions []signalbox.Action, ran func()) {
	r := b.session.Classify(text, nil, nil)
	for _, a := range r.Actions() {
		actions = append(actions, b.mark(a))
	}
	if len(actions) == 0 {
		actions = append(actions, signalbox.Action{
			Verb: signalbox.Read, Native: "EMPTY",
			Impact: signalbox.Impact{Scope: signalbox.ScopeOne, Reversible: true},
			Reason: "does nothing",
		})
	}
	return actions, func() {
		for _, s := range r.Statements {
			b.ran(s)
		}
	}
}

// mark adds [signalbox.TraitTemporary] to an action on temporary tables alone.
func (b *imagined) mark(a signalbox.Action) signalbox.Action {
	if len(a.Resources) == 0 || a.Verb == signalbox.Create && a.Resources[0].Whole {
		return a
	}
	for i, r := range a.Resources {
		if i > 0 && a.Has(signalbox.TraitRename) {
			break // the new name
		}
		if r.Type != "table" || !b.temp[r.Name] {
			return a
		}
	}
	if !a.Has(signalbox.TraitTemporary) {
		a.Traits = append(slices.Clone(a.Traits), signalbox.TraitTemporary)
	}
	return a
}

// onCommit finds the clause that ends a temporary table, or its rows, with the
// transaction.
var onCommit = regexp.MustCompile(`(?i)\bon\s+commit\b`)

func (b *imagined) ran(s sql.Statement) {
	switch s.Real().Kind {
	case sql.KindUnknown, sql.KindRollback, sql.KindRollbackTo:
		clear(b.temp) // what was made may never have been
	}
	switch s.Kind {
	case sql.KindPrepare:
		b.session.Prepared(s.Name, s, nil)
	case sql.KindDeclare:
		b.session.Opened(s.Name, s, nil)
	case sql.KindDeallocate:
		if s.Name == "" {
			b.session.ForgetAll()
		} else {
			b.session.Forget(s.Name)
		}
	case sql.KindDiscard:
		b.session.ForgetAll()
		clear(b.temp)
	}
	for _, a := range s.Actions() {
		switch {
		case a.Has(signalbox.TraitSession), a.Has(signalbox.TraitIdentity), a.Has(signalbox.TraitRename):
			clear(b.temp) // names may be looked for elsewhere
		case a.Verb == signalbox.Create && a.Has(signalbox.TraitTemporary) && !onCommit.MatchString(s.Text):
			for _, r := range a.Resources[:min(1, len(a.Resources))] {
				if r.Type == "table" { // what is written to a view is not in it
					b.temp[strings.TrimPrefix(r.Name, "pg_temp.")] = true
				}
			}
		case a.Verb == signalbox.Delete:
			for _, r := range a.Resources {
				if r.Whole {
					delete(b.temp, strings.TrimPrefix(r.Name, "pg_temp."))
				}
			}
		}
	}
}
