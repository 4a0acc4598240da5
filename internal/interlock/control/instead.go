package control

import (
	"strings"

	"github.com/signalbox-dev/signalbox"
)

// alternatives are what passes where something else is held or denied: the first
// whose form or command fits is told to agents with the reason. Each is tried by a
// test.
var alternatives = []struct {
	form    string // of the action, or its beginning up to a blank
	native  string // of the action; where form is ""
	instead string
}{
	{form: "CREATE INDEX unique", instead: "CREATE UNIQUE INDEX CONCURRENTLY"},
	{form: "CREATE INDEX", instead: "CREATE INDEX CONCURRENTLY"},
	{form: "REINDEX index", instead: "REINDEX INDEX CONCURRENTLY"},
	{form: "REINDEX table", instead: "REINDEX TABLE CONCURRENTLY"},
	{form: "REFRESH MATERIALIZED VIEW", instead: "REFRESH MATERIALIZED VIEW CONCURRENTLY"},
	{form: "VACUUM FULL", instead: "plain VACUUM, which keeps nobody out"},
	{form: "ALTER TABLE ADD COLUMN default(volatile)",
		instead: "ADD COLUMN without the default, then ALTER COLUMN SET DEFAULT for new rows, and small batches by key for old ones"},
	{form: "ALTER TABLE ADD COLUMN not-null", instead: "ADD COLUMN … NOT NULL with a constant DEFAULT, or a column that may be null"},
	{form: "ALTER TABLE ADD COLUMN unique",
		instead: "ADD COLUMN, then CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … UNIQUE USING INDEX"},
	{form: "ALTER TABLE ADD CONSTRAINT unique",
		instead: "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … UNIQUE USING INDEX"},
	{form: "ALTER TABLE ADD CONSTRAINT check(usual)", instead: "ADD CONSTRAINT … CHECK … NOT VALID, then VALIDATE CONSTRAINT"},
	{form: "ALTER TABLE ADD CONSTRAINT references",
		instead: "ADD CONSTRAINT … FOREIGN KEY … NOT VALID, then VALIDATE CONSTRAINT"},
	{form: "CREATE OR REPLACE VIEW", instead: "CREATE VIEW under a new name"},
	{native: "UPDATE",
		instead: "an UPDATE of a few rows by key (WHERE id IN (…)), or a small batch (WHERE id IN (SELECT id … LIMIT 10))"},
	{native: "DELETE", instead: "a DELETE of one row by its key (WHERE id = …)"},
	{native: "INSERT", instead: "an INSERT of a few rows (VALUES, or SELECT … LIMIT 10)"},
	{native: "LOCK TABLE", instead: "SELECT … FOR UPDATE of the rows by key"},
}

// instead names what passes in the place of the gravest action, or gives "". It is
// told where the delivered policies for production decided alone: what others want,
// or what memory forbids, nobody can promise to pass.
func instead(c Case, v signalbox.Verdict) string {
	if v.Decision != signalbox.Hold || c.Session.Actor.Kind != signalbox.Agent || !c.Gate.Environment.Production() {
		return ""
	}
	for _, id := range v.Policies {
		if !strings.HasPrefix(id, "production-") {
			return ""
		}
	}
	for _, a := range c.Actions {
		if a.Verb == signalbox.Safeguard || a.Verb == signalbox.Permission || a.Verb == signalbox.Execute {
			return "" // the same in another way would do the same
		}
	}
	a := c.Actions[signalbox.Gravest(c.Actions)]
	for _, alt := range alternatives {
		rest, ok := strings.CutPrefix(a.Form, alt.form)
		if alt.form != "" && ok && (rest == "" || rest[0] == ' ') ||
			alt.form == "" && alt.native == a.Native {
			return "; instead, this passes: " + alt.instead
		}
	}
	return ""
}
