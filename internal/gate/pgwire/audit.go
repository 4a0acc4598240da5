package pgwire

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// Before an agent's transaction becomes final, the server is asked what it has
// really touched, and that is held against what was admitted in it. What nothing
// admitted explains is undone, and people are told: something ran that nobody
// judged.

// An extent is what admitted requests may touch besides what they read.
type extent struct {
	anything    bool // code of unknown effect, or triggers and rules that run it
	definitions bool // changes what is defined: the system's own tables, and locks on whatever hangs together
	large       bool // large objects
	oids        map[uint32]bool
	names       map[string]bool // of relations that were not there yet
	before      []*sql.Catalog  // what was
}

// A claim is an admitted request with what names meant when it was admitted.
type claim struct {
	actions    []signalbox.Action
	statements []bound
	catalog    *sql.Catalog
}

func (c *conn) claimOf(r *request) claim {
	return claim{r.Actions, r.statements, c.server.names.catalog}
}

// extentOf adds up claims.
func extentOf(claims ...claim) *extent {
	all := &extent{oids: make(map[uint32]bool), names: make(map[string]bool)}
	for _, cl := range claims {
		if n := len(all.before); n == 0 || all.before[n-1] != cl.catalog {
			all.before = append(all.before, cl.catalog)
		}
		for _, a := range cl.actions {
			all.anything = all.anything || a.Verb == signalbox.Execute || a.Has(signalbox.TraitOpaque)
			if a.Verb != signalbox.Read {
				for i, res := range a.Resources {
					if i == 0 || !a.Has(signalbox.TraitCopy) { // behind a copy stands what it was made from
						all.add(cl.catalog, res.Name)
					}
				}
			}
			all.definitions = all.definitions || a.Native == "SELECT INTO"
			all.large = all.large || strings.HasPrefix(a.Native, "LO_") || a.Native == "LOWRITE"
		}
		for _, s := range cl.statements {
			for _, in := range s.Chain() {
				switch in.Kind {
				case sql.KindUtility, sql.KindUnknown, sql.KindDiscard:
					all.definitions = true
				}
			}
			for _, name := range s.Writes {
				all.add(cl.catalog, name)
			}
		}
	}
	return all
}

// add adds a relation by its name, and what its rows lead to.
func (r *extent) add(cat *sql.Catalog, name string) {
	rel, ok := sql.Relation{}, false
	if cat != nil {
		rel, ok = cat.Relations[name]
	}
	if !ok {
		r.names[name] = true
		return
	}
	if r.oids[rel.OID] {
		return
	}
	r.oids[rel.OID] = true
	r.anything = r.anything || rel.Triggers || rel.Rules || rel.Kind == 'f'
	for _, list := range [][]string{rel.Cascades, rel.Children, rel.Base} {
		for _, other := range list {
			r.add(cat, other)
		}
	}
}

// explains reports whether a relation may have been touched.
func (r *extent) explains(t touchedRelation) bool {
	switch {
	case r.anything, t.temp, r.oids[t.oid], r.names[t.name]:
		return true
	case r.names[t.name[strings.IndexByte(t.name, '.')+1:]]:
		// Made without a schema: it is this one, unless this one was there before.
		return !slices.ContainsFunc(r.before, func(cat *sql.Catalog) bool { return cat.Has(t.oid) })
	case t.oid < firstUser:
		return r.definitions || r.large && strings.HasPrefix(t.name, "pg_catalog.pg_largeobject")
	}
	return false
}

// firstUser is the first oid that PostgreSQL gives to what users make.
const firstUser = 16384

// An inventory is what the server says of the transaction at hand.
type inventory struct {
	rows   map[uint32]touchedRelation // changes of rows counted; see countsSQL
	locked []touchedRelation          // locks that only a write takes
	began  string                     // the transaction's timestamp, which another one does not have
	xid    string                     // its id; empty: it has none
}

// A touchedRelation is one relation that a transaction has touched.
type touchedRelation struct {
	oid  uint32
	name string
	rows int64
	temp bool
}

// countsSQL asks for the row changes counted in this backend, in this transaction
// and in earlier ones that it has not reported yet, for every table, PostgreSQL's
// own too. Triggers, cascades and functions are in it, whatever they did, and so
// is what a ROLLBACK TO has undone. Operators are spelt out because the search
// path is the client's.
const countsSQL = `SELECT 'rows', c.oid, pg_catalog.concat(n.nspname, '.', c.relname),
 pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) OPERATOR(pg_catalog.+) pg_catalog.pg_stat_get_xact_tuples_updated(c.oid)
 OPERATOR(pg_catalog.+) pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid), c.relpersistence
 FROM pg_catalog.pg_class c, pg_catalog.pg_namespace n
 WHERE n.oid OPERATOR(pg_catalog.=) c.relnamespace AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,m}'::"char"[])
 AND (pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) OPERATOR(pg_catalog.>) 0::pg_catalog.int8
 OR pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) OPERATOR(pg_catalog.>) 0::pg_catalog.int8
 OR pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) OPERATOR(pg_catalog.>) 0::pg_catalog.int8)`

// locksSQL asks for the locks on relations that this transaction holds and that a
// read does not take. They go with a ROLLBACK TO of what took them, unlike the
// transaction's id and the counts. What a value of a sequence takes is left out,
// and so are indexes and what holds long values: their table is locked as well.
const locksSQL = `SELECT 'lock', l.relation, pg_catalog.concat(n.nspname, '.', c.relname), 0, c.relpersistence
 FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.relation
 LEFT JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.granted
 AND l.mode OPERATOR(pg_catalog.<>) ALL (ARRAY['AccessShareLock', 'RowShareLock'])
 AND (c.relkind IS NULL OR c.relkind OPERATOR(pg_catalog.<>) ALL ('{S,i,I,t}'::"char"[]))`

// stateSQL asks for what must not change under an agent's hands, and for what
// names the transaction. pg_xact_status takes the id as it is here.
const stateSQL = `SELECT 'state', 0::pg_catalog.oid, pg_catalog.concat(pg_catalog.current_setting('track_counts'), ' ',
 pg_catalog.current_setting('session_replication_role'), ' ', pg_catalog.current_setting('default_transaction_read_only'), ' ',
 pg_catalog.date_part('epoch', pg_catalog.transaction_timestamp()), ' ',
 pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text), 0, 'p'`

const (
	inventorySQL = countsSQL + " UNION ALL " + locksSQL + " UNION ALL " + stateSQL
	heldSQL      = locksSQL + " UNION ALL " + stateSQL
)

// readInventory reads the answer to inventorySQL or heldSQL. A protection that was
// switched off is errTampered.
func (b *backend) readInventory(a answer) (inventory, error) {
	acc := inventory{rows: make(map[uint32]touchedRelation)}
	told := false
	for _, row := range a.rows {
		if len(row) != 5 {
			return acc, fmt.Errorf("rows touched cannot be measured: the server answers %d columns", len(row))
		}
		n, err := strconv.ParseInt(row[3], 10, 64)
		if err != nil {
			return acc, fmt.Errorf("rows touched cannot be measured: %w", err)
		}
		t := touchedRelation{oid: oid(row[1]), name: row[2], rows: n, temp: row[4] == "t"}
		switch row[0] {
		case "rows":
			acc.rows[t.oid] = t
		case "lock":
			acc.locked = append(acc.locked, t)
		case "state":
			told = true
			words := strings.Split(t.name, " ")
			if len(words) != 5 {
				return acc, errors.New("rows touched cannot be measured: the server does not tell its state")
			}
			if words[0] != "on" || words[1] != "origin" || b.readOnly && words[2] != "on" && !b.lifted {
				if b.readOnly {
					b.tampered = errTampered
					return acc, errTampered
				}
				return acc, errNoCounts
			}
			acc.began, acc.xid = words[3], words[4]
		}
	}
	if !told {
		return acc, errNoCounts
	}
	return acc, nil
}

// errNoCounts refuses what cannot be measured.
var errNoCounts = errors.New("rows touched cannot be measured: the server's track_counts is off, or its triggers are")

// inventory asks the server for what the transaction has touched so far.
func (c *conn) inventory() (inventory, error) {
	answers, err := c.server.ask(inventorySQL)
	if err != nil {
		return inventory{}, err
	}
	return c.server.readInventory(answers[0])
}

// takeBase notes what the transaction's own changes are reckoned from. It is called
// before the first write of an agent's transaction, and refuses to go on when
// something has written before: nothing that writes was admitted until then.
func (c *conn) takeBase() error {
	base, err := c.inventory()
	if err != nil {
		return err
	}
	if err := c.unwritten(base); err != nil {
		return err
	}
	c.tx.base, c.tx.began = base.rows, base.began
	return nil
}

// onlyRead refuses a transaction of an agent that has written although nothing
// that writes was admitted in it. That cannot be: whatever hole it came through,
// it does not get to its COMMIT.
func (c *conn) onlyRead() error {
	answers, err := c.server.ask(heldSQL)
	if err != nil {
		return err
	}
	now, err := c.server.readInventory(answers[0])
	if err != nil {
		return err
	}
	return c.unwritten(now)
}

// unwritten refuses what holds locks that nothing admitted explains. What was
// executed in the transaction under an intent of its own does explain some.
func (c *conn) unwritten(now inventory) error {
	why := unexplained(now.locked, extentOf(c.tx.atOnce...))
	if why == "" {
		return nil
	}
	c.alarm("an agent's transaction wrote what was never admitted: rolled back", why)
	return &refusal{code: StateDenied,
		message: "the transaction has written, and nothing that writes was admitted in it (" + why + "): it is rolled back",
		hint:    "Report this to Signalbox's operator."}
}

// unexplained names the first relation that was touched without being within the extent;
// "" if there is none.
func unexplained(touched []touchedRelation, r *extent) string {
	for _, t := range touched {
		switch {
		case r.explains(t):
		case t.name == ".":
			return "something that is not there any more"
		default:
			return t.name
		}
	}
	return ""
}

// audit holds what a transaction has touched against what was admitted in it. last
// is the request that comes with the end; nil if all has run before. It gives the
// rows touched, by table. An [*interlock.OverrunError] says that something is there
// which nothing admitted explains: it must be undone, and people are asked.
func (c *conn) audit(now inventory, last *request) (map[string]int64, error) {
	if c.tx.base == nil {
		return nil, errors.New("rows touched cannot be measured: there is nothing to compare with")
	}
	if now.began != c.tx.began {
		// Whatever was provisional is final or gone, and this is another transaction.
		return nil, &strayError{}
	}
	touched, system := c.tx.touched(now.rows)
	live := append(slices.Clone(c.tx.claims), c.tx.atOnce...)
	ever := append(slices.Clone(c.tx.undone), live...)
	if last != nil {
		live, ever = append(live, c.claimOf(last)), append(ever, c.claimOf(last))
	}
	why := ""
	held := extentOf(live...)
	if held.definitions {
		held.anything = true // a constraint, a partition, a rule: definitions lock what hangs together
	}
	if stray := unexplained(now.locked, held); stray != "" {
		why = fmt.Sprintf("it wrote to %s, which nothing admitted in it does", stray)
	} else if stray := unexplained(changedRows(now.rows, c.tx.base), extentOf(ever...)); stray != "" {
		why = fmt.Sprintf("it changed rows of %s, which nothing admitted in it does", stray)
	}
	if why == "" {
		return touched, nil
	}
	for name, n := range system {
		touched[name] += n
	}
	c.alarm("an agent's transaction did what was never admitted: rolled back", why)
	return touched, &interlock.OverrunError{Reason: why, Touched: touched}
}

// changedRows lists the tables whose counts have risen.
func changedRows(now, base map[uint32]touchedRelation) []touchedRelation {
	var changed []touchedRelation
	for id, t := range now {
		if t.rows > base[id].rows {
			changed = append(changed, t)
		}
	}
	slices.SortFunc(changed, func(a, b touchedRelation) int { return strings.Compare(a.name, b.name) })
	return changed
}

// A strayError says that the server's transaction is another one than the gate
// believes: something ended it that the gate did not send.
type strayError struct{}

func (*strayError) Error() string {
	return "the transaction was ended by something that the gate did not send"
}

// alarm tells operators of something that cannot be.
func (c *conn) alarm(what, why string) {
	c.log.Error("ALARM: "+what, "session", string(c.session.ID), "why", why)
}
