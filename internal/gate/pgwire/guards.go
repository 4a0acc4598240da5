package pgwire

import (
	"fmt"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/classify/sql"
	"github.com/signalbox-dev/signalbox/internal/gate"
)

// checkExecutes refuses what cannot be classified as what it runs.
func (c *conn) checkExecutes(j *classified) error {
	for _, s := range j.Statements {
		for _, in := range s.Chain() {
			if in.Kind == sql.KindExecute {
				if err := c.executable(*in); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// preparedSQL asks how a statement of this name was prepared.
const preparedSQL = "SELECT from_sql FROM pg_catalog.pg_prepared_statements WHERE name OPERATOR(pg_catalog.=) "

// executable refuses an EXECUTE of anything but a query or a change of rows.
// PREPARE takes nothing else, but a Parse message does: a COMMIT or a FETCH that
// was prepared so would run unseen by all that looks at kinds of statements.
func (c *conn) executable(s sql.Statement) error {
	refuse := &refusal{code: "0A000", message: fmt.Sprintf("EXECUTE %s would run something else than a query or a change of rows", quoteIdent(s.Name)), hint: "Send the statement itself."}
	if s.Runs != nil {
		switch s.Runs.Kind {
		case sql.KindQuery, sql.KindWrite, sql.KindExecute: // an EXECUTE behind EXPLAIN has its own turn
			return nil
		case sql.KindUnknown:
		default:
			return refuse
		}
	}
	if c.server.status == 'E' {
		return nil // it fails
	}
	if c.phase() == implicit {
		return refuse // to ask would end the implicit transaction
	}
	// Not seen or not understood, so it is classified as the worst. PREPARE, by a
	// function perhaps, takes nothing else.
	answers, err := c.server.ask(preparedSQL + quoteLiteral(s.Name))
	if err != nil {
		return err
	}
	for _, row := range answers[0].rows {
		if row[0] != "t" {
			return refuse
		}
	}
	return nil
}

// admitSettings gives the settings that the server's connection is begun with:
// the client's own, decided like a SET of each, and ours.
func (c *conn) admitSettings() ([]setting, error) {
	var settings []setting
	var text strings.Builder
	for _, s := range c.settings {
		settings = append(settings, s)
		if s.name == "application_name" {
			continue // it changes nothing for anybody else
		}
		fmt.Fprintf(&text, "SET %s TO '%s';\n", quoteName(s.name), strings.ReplaceAll(s.value, "'", "''"))
	}
	if text.Len() > 0 {
		j := newClassified(c.g.cache.Classify(text.String(), nil), 0)
		r := c.newRequest(j.actions, []string{text.String()}, nil)
		a, err := c.g.Interlock.Admit(c.ctx, r.Request, r)
		if err != nil {
			return nil, err
		}
		if !a.Read() {
			c.g.Interlock.Abandon([]gate.Admission{a})
			return nil, &refusal{code: StateDenied,
				message: "settings at the start of a connection may only concern the session itself",
				hint:    "Connect without them and SET them, so that each can be recorded."}
		}
	}
	if c.agent() {
		// The client's own come behind the limits, and before what must hold.
		settings = append(c.g.Limits.settings(), settings...)
		settings = append(settings, setting{readOnlyGUC, "on"})
	}
	return settings, nil
}

// quoteName quotes each part of a setting's name.
func quoteName(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = `"` + p + `"`
	}
	return strings.Join(parts, ".")
}

// quoteLiteral quotes a string for a statement of our own, whatever
// standard_conforming_strings says.
func quoteLiteral(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
