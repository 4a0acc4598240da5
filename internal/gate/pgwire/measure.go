package pgwire

import (
	"errors"
	"fmt"
	"strconv"
)

// A count is how many row changes the server has counted for one table, in this
// transaction and in earlier ones that it has not reported yet.
type count struct {
	name string
	rows int64
	temp bool
}

// touchedSQL asks for the row changes counted in this backend, for every table
// that is not PostgreSQL's own. Triggers, cascades and functions are in it,
// whatever they did. Operators are spelt out because the search path is the
// client's. The last row tells whether the server counts at all.
const touchedSQL = `SELECT c.oid, pg_catalog.concat(n.nspname, '.', c.relname), pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid),
 pg_catalog.pg_stat_get_xact_tuples_updated(c.oid), pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid), c.relpersistence
 FROM pg_catalog.pg_class c, pg_catalog.pg_namespace n
 WHERE n.oid OPERATOR(pg_catalog.=) c.relnamespace AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,m}'::"char"[]) AND c.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
 AND (pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) OPERATOR(pg_catalog.>) 0::pg_catalog.int8
 OR pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) OPERATOR(pg_catalog.>) 0::pg_catalog.int8
 OR pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) OPERATOR(pg_catalog.>) 0::pg_catalog.int8)
 UNION ALL SELECT 0::pg_catalog.oid, pg_catalog.concat(pg_catalog.current_setting('track_counts'), ' ',
 pg_catalog.current_setting('session_replication_role')), 0, 0, 0, 'p'`

// errNoCounts refuses what cannot be measured.
var errNoCounts = errors.New("rows touched cannot be measured: the server's track_counts is off, or its triggers are")

// lockedSQL counts the locks on relations that this transaction holds and that a
// read does not take. They go with a ROLLBACK TO of what took them, unlike the
// transaction's id. What a value of a sequence takes is left out.
const lockedSQL = `SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks l
 WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.granted
 AND l.mode OPERATOR(pg_catalog.<>) ALL (ARRAY['AccessShareLock', 'RowShareLock'])
 AND NOT EXISTS (SELECT FROM pg_catalog.pg_class s WHERE s.oid OPERATOR(pg_catalog.=) l.relation AND s.relkind OPERATOR(pg_catalog.=) 'S'::"char")`

// takeBase notes the counts from which the transaction's own are reckoned. It is
// called before the first write of an agent's transaction, and refuses to go on
// when something has written before: nothing that writes was admitted until then.
func (c *conn) takeBase() error {
	answers, err := c.server.ask(lockedSQL, touchedSQL)
	if err != nil {
		return err
	}
	if err := c.unwritten(answers[0]); err != nil {
		return err
	}
	base, err := readTouched(answers[1])
	if err != nil {
		return err
	}
	c.tx.base = base
	return nil
}

// onlyRead refuses a transaction of an agent that has written although nothing
// that writes was admitted in it. That cannot be: whatever hole it came through,
// it does not get to its COMMIT.
func (c *conn) onlyRead() error {
	answers, err := c.server.ask(lockedSQL)
	if err != nil {
		return err
	}
	return c.unwritten(answers[0])
}

// unwritten reads the answer to lockedSQL.
func (c *conn) unwritten(a answer) error {
	if c.tx.executed || len(a.rows) == 1 && a.rows[0][0] == "0" {
		return nil
	}
	c.log.Error("an agent's transaction wrote what was never admitted: rolled back", "session", string(c.session.ID))
	return &refusal{code: StateDenied, message: "the transaction has written, and nothing that writes was admitted in it: it is rolled back", hint: "Report this to Signalbox's operator."}
}

// touched asks for the counts as they are now.
func (b *backend) touched() (map[string]count, error) {
	answers, err := b.ask(touchedSQL)
	if err != nil {
		return nil, err
	}
	return readTouched(answers[0])
}

func readTouched(a answer) (map[string]count, error) {
	counts := make(map[string]count)
	tracked := false
	for _, row := range a.rows {
		if len(row) != 6 {
			return nil, fmt.Errorf("rows touched cannot be measured: the server answers %d columns", len(row))
		}
		if row[0] == "0" {
			tracked = row[1] == "on origin" // anything else leaves changes or triggers out
			continue
		}
		n := count{name: row[1], temp: row[5] == "t"}
		for _, column := range row[2:5] {
			v, err := strconv.ParseInt(column, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("rows touched cannot be measured: %w", err)
			}
			n.rows += v
		}
		counts[row[0]] = n
	}
	if !tracked {
		return nil, errNoCounts
	}
	return counts, nil
}
