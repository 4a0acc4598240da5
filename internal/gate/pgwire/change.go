package pgwire

import (
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// A change says what happens to what a request names: it decides what foreign keys
// do, and so what may be said of them.
type change int

// The changes.
const (
	removes change = iota // DROP, ALTER and whatever else is no change of rows
	empties               // TRUNCATE
	deletes               // DELETE, with whatever else the request does
	updates               // INSERT and UPDATE alone
	mixed                 // changes of rows and others in one request
)

// how says what the request does.
func (r *request) how() change {
	more := slices.ContainsFunc(r.statements, func(s bound) bool {
		kind := s.Real().Kind
		return kind == sql.KindUtility || kind == sql.KindUnknown
	})
	switch planned := len(r.planned()) > 0; {
	case planned && more:
		return mixed
	case planned && r.deletes():
		return deletes
	case planned:
		return updates
	}
	if slices.ContainsFunc(r.Actions, func(a signalbox.Action) bool { return strings.HasPrefix(a.Native, "TRUNCATE") }) {
		return empties
	}
	return removes
}

// rows reports whether rows change, and nothing but rows.
func (h change) rows() bool { return h == deletes || h == updates }

// words is the expression that tells what a foreign key does.
func (h change) words() string {
	action := func(column, c string) string {
		return `CASE k.` + column + ` WHEN 'c' THEN ' (` + c +
			`)' WHEN 'n' THEN ' (set null)' WHEN 'd' THEN ' (set default)' ELSE '' END`
	}
	switch h {
	case deletes:
		return action("confdeltype", "rows deleted with it")
	case updates:
		return action("confupdtype", "changed with its key")
	case mixed:
		return `''`
	case empties:
		return `' (emptied with it, if it says CASCADE)'`
	}
	return `' (the rows stay, the constraint goes if its table does)'`
}

// concerns restricts foreign keys to those that the change sets in motion.
func (h change) concerns() string {
	if h == updates {
		return ` AND k.confupdtype OPERATOR(pg_catalog.=) ANY ('{c,n,d}'::"char"[])`
	}
	return ""
}
