package pgwire

import (
	"errors"
	"fmt"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/classify/sql"
	"github.com/signalbox-dev/signalbox/internal/gate"
)

// names is what a statement's names would mean on this connection: as whom it
// acts, where it looks, and what is there. The server is asked whenever
// something ran that may have changed it; nothing is inferred from a SET.
type names struct {
	stale     bool   // ask the server before the next judgement
	objects   bool   // objects may have changed as well
	renamed   bool   // and been given other names, columns perhaps
	temp      uint32 // oid of the connection's temporary schema; 0: none
	role      string
	path      string
	settings  string // of the session, those that change what a statement means
	snapshot  *snapshot
	catalog   *sql.Catalog // snapshot, as role and path see it
	effective []string
	super     bool
	database  string
}

func (n *names) version() uint64 {
	if n.catalog == nil {
		return 0
	}
	return n.catalog.Version
}

// identitySQL asks for role, search path and the settings of the session.
// Everything is qualified, for the search path is the client's to choose.
const identitySQL = `SELECT current_user, '',
 (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user),
 pg_catalog.current_setting('search_path'), pg_catalog.current_database(),
 pg_catalog.pg_my_temp_schema(),
 COALESCE((SELECT pg_catalog.string_agg(pg_catalog.concat(name, '=', setting), ';' ORDER BY name) FROM pg_catalog.pg_settings
  WHERE source OPERATOR(pg_catalog.=) ANY (ARRAY['session', 'client']) AND name OPERATOR(pg_catalog.<>) ALL (ARRAY['application_name', 'client_encoding', 'client_min_messages',
  'extra_float_digits', 'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout',
  'search_path', 'role', 'session_authorization', 'transaction_isolation', 'transaction_read_only', 'transaction_deferrable',
  'default_transaction_read_only', 'log_statement', 'work_mem', 'maintenance_work_mem', 'jit'])), '')`

// sessionSQL asks for what the server writes to its log for %c.
const sessionSQL = `SELECT pg_catalog.concat(pg_catalog.to_hex(pg_catalog.floor(pg_catalog.date_part('epoch', backend_start))::pg_catalog.int8), '.',
 pg_catalog.to_hex(pid)) FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())`

// prepare gets the connection ready to judge the next unit.
func (c *conn) prepare() error {
	if c.server == nil {
		if err := c.dialUpstream(); err != nil {
			return err
		}
	}
	if c.server.foreign != "" {
		return &refusal{code: StateDenied, message: c.server.foreign, hint: "Connect again, and leave the setting alone."}
	}
	if c.phase() == implicit && c.server.names.snapshot != nil {
		// To ask the server would end the implicit transaction, and the client's
		// portals with it. What its first part was judged by stands until its Sync,
		// and an agent changes nothing that it rests on: see unit.
		return nil
	}
	return c.server.learn(c.phase() == implicit, c.tx.objects, c.tx.renamed)
}

// learn asks the server what names mean, where that may have changed since it
// was last asked. begun says that part of an implicit transaction has run;
// objects and renamed, what the transaction at hand has changed.
func (b *backend) learn(begun, objects, renamed bool) error {
	n := &b.names
	inBlock := b.status != 'I' || begun
	if !n.stale && !b.catalogs.outdated(n.snapshot, inBlock) || b.status == 'E' {
		return nil
	}
	if n.stale {
		questions := []string{identitySQL}
		if b.session == "" {
			questions = append(questions, sessionSQL)
		}
		answers, err := b.askQuietly(questions...)
		if err != nil {
			return err
		}
		if answers == nil {
			return errNames
		}
		if len(answers) > 1 && len(answers[1].rows) == 1 {
			b.session = answers[1].rows[0][0]
		}
		row := answers[0].rows[0]
		n.role, n.path, n.settings, n.temp = row[0], row[3], row[6], oid(row[5])
		n.super, n.database = row[2] == "t", row[4]
		n.effective = pathSchemas(n.path, n.role)
	}
	s, err := b.catalogs.get(b, n.objects || objects, n.renamed || renamed, inBlock)
	if err != nil {
		lost := (*lostError)(nil)
		if errors.As(err, &lost) {
			return err
		}
		b.log.Error("catalog cannot be read", "error", err)
		return errNames
	}
	n.snapshot = s
	n.catalog = s.as(n.database, n.role, n.super, n.effective, n.temp)
	n.stale, n.objects, n.renamed = false, false, false
	return nil
}

// errNames refuses everything while the server does not say what names mean.
var errNames = &refusal{code: StateUnavailable, message: "the server does not tell what names mean", hint: "Nothing was done. Signalbox's operator finds the cause in its log."}

// pathSchemas gives the schemas of a search_path setting. The server is not
// asked for the effective ones: that makes it create a temporary schema which
// the path names. A schema that does not exist holds nothing, and does no harm.
func pathSchemas(path, role string) []string {
	var schemas []string
	for i := 0; i < len(path); {
		var name strings.Builder
		quoted := false
		for ; i < len(path) && (quoted || path[i] != ','); i++ {
			switch ch := path[i]; {
			case ch == '"' && quoted && i+1 < len(path) && path[i+1] == '"':
				name.WriteByte('"')
				i++
			case ch == '"':
				quoted = !quoted
			case ch == ' ' && !quoted:
			default:
				name.WriteByte(ch)
			}
		}
		i++
		switch s := name.String(); s {
		case "":
		case "$user":
			schemas = append(schemas, role)
		default:
			schemas = append(schemas, s)
		}
	}
	return schemas
}

// settle notes what a text that ran may have changed beside rows.
func (c *conn) settle(j *judged) {
	c.unsettle(j)
	for _, s := range j.Statements {
		switch s.Kind {
		case sql.KindPrepare:
			c.server.prepared.Prepared(s.Name, s, c.server.names.catalog)
		case sql.KindDeallocate:
			if s.Name == "" || strings.EqualFold(s.Name, "all") {
				c.server.prepared.ForgetAll()
				clear(c.statements)
			} else {
				c.server.prepared.Forget(s.Name)
				delete(c.statements, s.Name)
			}
		case sql.KindDiscard:
			c.server.prepared.ForgetAll()
			clear(c.statements)
			c.server.names.stale, c.server.names.objects = true, true
		case sql.KindDeclare:
			c.server.prepared.Opened(s.Name, s, c.server.names.catalog)
		case sql.KindClose:
			if s.Name == "" || strings.EqualFold(s.Name, "all") {
				c.server.prepared.ClosedAll()
			} else {
				c.server.prepared.Closed(s.Name)
			}
		case sql.KindListen:
			c.listens.Store(true)
		}
	}
}

// unsettle notes that names may mean something else from now on.
func (c *conn) unsettle(j *judged) {
	if !j.names {
		return
	}
	c.server.names.stale = true
	c.server.names.objects = c.server.names.objects || j.objects
	c.server.names.renamed = c.server.names.renamed || j.renames
	if c.inBlock() { // and its end may change them back
		c.tx.names = true
		c.tx.objects = c.tx.objects || j.objects
		c.tx.renamed = c.tx.renamed || j.renames
	}
}

// doubt notes that a text failed or was refused, perhaps after a part of it had
// run: what the server keeps even so is no longer known.
func (c *conn) doubt(j *judged) {
	c.unsettle(j)
	for _, s := range j.Statements {
		switch s.Kind {
		case sql.KindPrepare, sql.KindDeallocate, sql.KindDiscard:
			// Unknown names are judged as the worst that they could be.
			if s.Kind == sql.KindDiscard || s.Name == "" || strings.EqualFold(s.Name, "all") {
				c.server.prepared.ForgetAll()
				clear(c.statements)
				continue
			}
			c.server.prepared.Forget(s.Name)
			delete(c.statements, s.Name)
		}
	}
}

// guarded refuses what cannot be judged as what it runs.
func (c *conn) guarded(j *judged) error {
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
	// Not seen or not understood, so it is judged as the worst. PREPARE, by a
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
// the client's own, judged like a SET of each, and ours.
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
		j := newJudged(c.g.cache.Classify(text.String(), nil), 0)
		r := c.newRequest(j.actions, []string{text.String()}, nil)
		a, err := c.g.Interlock.Admit(c.ctx, r.Request, r)
		if err != nil {
			return nil, err
		}
		if !a.Read() {
			c.g.Interlock.Abandon([]gate.Admission{a})
			return nil, &refusal{code: StateDenied, message: "settings at the start of a connection may only concern the session itself", hint: "Connect without them and SET them, so that each can be recorded."}
		}
	}
	if c.agent() {
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
