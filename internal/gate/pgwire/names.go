package pgwire

import (
	"errors"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/classify/sql"
	"github.com/signalbox-dev/signalbox/internal/forms"
)

// names is what a statement's names would mean on this connection: as whom it
// acts, where it looks, and what is there. The server is asked whenever
// something ran that may have changed it; nothing is inferred from a SET.
type names struct {
	stale     bool   // ask the server before the next text is classified
	objects   bool   // objects may have changed as well
	renamed   bool   // and been given other names, columns perhaps
	temp      uint32 // oid of the connection's temporary schema; 0: none
	role      string
	path      string
	settings  string // of the session, those that change what a statement means
	snapshot  *snapshot
	reviewed  *forms.List  // that the catalog has
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

// learn asks the server what names mean, where that may have changed since it
// was last asked. begun says that part of an implicit transaction has run;
// objects and renamed, what the transaction at hand has changed.
func (b *backend) learn(begun, objects, renamed bool) error {
	n := &b.names
	inBlock := b.status != 'I' || begun
	reviewed := b.catalogs.forms()
	if !n.stale && reviewed == n.reviewed && !b.catalogs.outdated(n.snapshot, inBlock) || b.status == 'E' {
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
			if err := b.learnTimeline(); err != nil {
				return err
			}
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
	n.reviewed = reviewed
	n.catalog = s.as(n.database, n.role, n.super, n.effective, n.temp, reviewed)
	n.stale, n.objects, n.renamed = false, false, false
	return nil
}

// errNames refuses everything while the server does not say what names mean.
var errNames = &refusal{code: StateUnavailable, message: "the server does not tell what names mean",
	hint: "Nothing was done. Signalbox's operator finds the cause in its log."}

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

// noteRan notes what a text that ran may have changed beside rows.
func (c *conn) noteRan(j *classified) {
	c.noteNames(j)
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
			clear(c.channels)
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
			if c.channels == nil {
				c.channels = make(map[string]bool)
			}
			c.channels[s.Name] = true
		case sql.KindUnlisten:
			if delete(c.channels, s.Name); s.Name == "" || s.Name == "*" {
				clear(c.channels)
			}
		}
	}
}

// noteNames notes that names may mean something else from now on.
func (c *conn) noteNames(j *classified) {
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

// noteFailed notes that a text failed or was refused, perhaps after a part of it had
// run: what the server keeps even so is no longer known.
func (c *conn) noteFailed(j *classified) {
	c.noteNames(j)
	for _, s := range j.Statements {
		switch s.Kind {
		case sql.KindPrepare, sql.KindDeallocate, sql.KindDiscard:
			// Unknown names are classified as the worst that they could be.
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
