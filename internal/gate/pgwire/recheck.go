package pgwire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
	"github.com/signalbox-dev/signalbox/internal/gate"
)

// difference locks what an approval was given for and looks at it again, on the
// backend and in the transaction that will act on it: nothing can change in
// between. It gives the first difference that still finds, or "".
func (c *conn) difference(r *request, still func(signalbox.Impact, signalbox.State) string) (string, error) {
	if r == nil || r.state == nil || still == nil {
		return "", nil // nobody had to approve it
	}
	impact, state, why, err := c.probeLocked(r)
	if err != nil || why != "" {
		return why, err
	}
	return still(impact, state), nil
}

// recheck is difference for a statement within a transaction block, before it is
// forwarded: the locks are the transaction's, which keeps them to its end. A
// permit that is not for what is there now is dead, and the request admitted
// anew, which opens another hold. It gives the admission that holds.
func (c *conn) recheck(a gate.Admission, r *request, w *work) (gate.Admission, error) {
	if r.state == nil || a.Read() || w.lone || c.server.status != 'T' || c.phase() == implicit {
		return a, nil
	}
	for range 2 {
		impact, state, why, err := c.probeLocked(r)
		if err == nil && why != "" {
			err = &refusal{code: StateUnavailable, message: "what was approved cannot be looked at again: " + why,
				hint: "The approval stays good: roll back and try again."}
		}
		if err != nil {
			c.g.Interlock.Abandon([]gate.Admission{a})
			return nil, err
		}
		if same, err := c.g.Interlock.Recheck(c.ctx, a, impact, state); err != nil || same {
			return a, err
		}
		if a, err = c.g.Interlock.Admit(c.ctx, r.Request, r); err != nil {
			return nil, err
		}
	}
	c.g.Interlock.Abandon([]gate.Admission{a})
	return nil, &refusal{code: StateUnavailable, message: "what was approved keeps changing",
		hint: "Roll back and try again."}
}

// probeLocked takes the locks and probes. why says that this could not be done; an
// error, that the connection to the server is lost.
func (c *conn) probeLocked(r *request) (impact signalbox.Impact, state signalbox.State, why string, err error) {
	if names := r.lockable(); len(names) > 0 {
		mode := "ACCESS EXCLUSIVE"
		if len(r.planned()) == len(r.statements) {
			mode = "ROW EXCLUSIVE" // rows change under it, the table does not
		}
		answers, err := c.server.try("LOCK TABLE " + strings.Join(names, ", ") + " IN " + mode + " MODE")
		if err != nil {
			return impact, nil, "", err
		}
		if e := answers[0].failed; e != nil {
			return impact, nil, "it cannot be locked: " + e.Message, nil
		}
	}
	impact, state, err = r.Probe(context.Background())
	if lost := (*lostError)(nil); err != nil && !errors.As(err, &lost) {
		return impact, nil, fmt.Sprint("it cannot be measured: ", err), nil
	}
	return impact, state, "", err
}

// lockable are the tables among the targets, by their quoted names.
func (r *request) lockable() []string {
	oids := r.targets()
	if len(oids) == 0 {
		return nil
	}
	var names []string
	for _, rel := range r.c.server.names.catalog.Relations {
		if slices.Contains(oids, rel.OID) && (rel.Kind == 'r' || rel.Kind == 'p') && !rel.Temporary {
			names = append(names, quotedTable(rel))
		}
	}
	slices.Sort(names)
	return names
}

func quotedTable(rel sql.Relation) string { return quoteIdent(rel.Schema) + "." + quoteIdent(rel.Name) }

func quoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
