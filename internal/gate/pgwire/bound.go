package pgwire

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
)

// bind adds to the state what the request reads beside the relations that it
// touches, so that an approval stands for no other meaning of the same text: what
// the relations are that it reads, what views, rules, triggers, policies and
// defaults of all of them say, the code of users' functions where any of these may
// call some, settings of the session's own, and the contents of temporary tables.
func (p *prober) bind() (signalbox.State, error) {
	reads, temporary := p.readRelations()
	all := slices.Clone(reads)
	for id := range p.found {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	answers, err := p.b.question(definitionsSQL(all), functionsSQL, settingNamesSQL)
	if err != nil {
		return nil, fmt.Errorf("definitions cannot be looked up: %w", err)
	}
	calls := p.opaque || slices.ContainsFunc(p.r.Actions, func(a signalbox.Action) bool {
		return a.Verb == signalbox.Execute || a.Has(signalbox.TraitOpaque)
	})
	for _, row := range answers[0].rows {
		rel := p.reach.byOID[oid(row[0])]
		name := rel.Schema + "." + rel.Name
		if slices.Contains(reads, oid(row[0])) {
			p.state = append(p.state, signalbox.Fact{Name: "reads " + name,
				Value: fmt.Sprintf("oid %s, columns %s", row[0], short(row[2]))})
		}
		if row[1] != "" {
			p.state = append(p.state, signalbox.Fact{Name: "definitions of " + name, Value: short(row[1])})
			calls = true
		}
	}
	if calls {
		p.state = append(p.state, signalbox.Fact{Name: "users' functions", Value: short(answers[1].rows[0][0])})
	}
	names := p.settingNames(answers[2])
	if err := p.bindSettings(names); err != nil {
		return nil, err
	}
	for _, name := range temporary {
		if err := p.bindContents(name); err != nil {
			return nil, err
		}
	}
	return p.state, nil
}

// readRelations gives the oids of relations that the request reads and does not
// touch, and the names of the temporary ones among them.
func (p *prober) readRelations() (reads []uint32, temporary []string) {
	for _, s := range p.r.statements {
		for _, name := range s.Reads {
			rel, ok := p.cat.Relations[name]
			if !ok || slices.Contains(reads, rel.OID) {
				continue
			}
			if rel.Temporary && rel.Kind != 'v' {
				temporary = append(temporary, quotedTable(rel))
			}
			if _, touched := p.found[rel.OID]; !touched {
				reads = append(reads, rel.OID)
			}
		}
	}
	slices.Sort(reads)
	slices.Sort(temporary)
	return reads, slices.Compact(temporary)
}

func short(sum string) string { return sum[:min(len(sum), 12)] }

// definitionsSQL asks for sums over what relations say besides their columns, and
// those that views and rules show, at any depth.
func definitionsSQL(oids []uint32) string {
	return `WITH RECURSIVE seen(id) AS (SELECT unnest(` + oidArray(oids) + `) UNION SELECT d.refobjid FROM seen JOIN pg_rewrite w ON w.ev_class = seen.id
  JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> seen.id AND d.refobjid >= 16384)
 SELECT c.oid, md5(NULLIF(concat_ws('',
 (SELECT md5(string_agg(concat_ws(' ', w.rulename, w.ev_type, w.ev_enabled, w.is_instead, w.ev_qual, w.ev_action), chr(1) ORDER BY w.rulename)) FROM pg_rewrite w WHERE w.ev_class = c.oid),
 (SELECT md5(string_agg(concat_ws(' ', t.tgname, t.tgfoid, t.tgtype, t.tgenabled, t.tgdeferrable, t.tginitdeferred, t.tgattr, t.tgargs, t.tgqual), chr(1) ORDER BY t.tgname)) FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal),
 (SELECT md5(string_agg(concat_ws(' ', y.polname, y.polcmd, y.polpermissive, y.polroles, y.polqual, y.polwithcheck), chr(1) ORDER BY y.polname)) FROM pg_policy y WHERE y.polrelid = c.oid),
 (SELECT md5(string_agg(concat_ws(' ', d.adnum, d.adbin), chr(1) ORDER BY d.adnum)) FROM pg_attrdef d WHERE d.adrelid = c.oid),
 CASE WHEN c.relrowsecurity THEN concat('row security ', c.relforcerowsecurity) END), '')),
 (SELECT md5(string_agg(concat(a.attname, ' ', a.atttypid, ' ', a.atttypmod), ',' ORDER BY a.attnum)) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
 FROM pg_class c JOIN seen ON seen.id = c.oid ORDER BY c.oid`
}

// functionsSQL asks for a sum over the code of all functions that are neither
// PostgreSQL's nor this session's own: what one calls cannot be told from its text.
const functionsSQL = `SELECT md5(string_agg(concat_ws(' ', p.pronamespace, p.proname, p.proargtypes, p.prorettype, p.prosrc, p.probin, to_jsonb(p) -> 'prosqlbody',
 p.proconfig, p.prosecdef, p.proowner, p.provolatile, p.prolang), chr(1) ORDER BY p.pronamespace, p.proname, p.proargtypes))
 FROM pg_proc p WHERE p.oid >= 16384 AND p.pronamespace <> pg_my_temp_schema()`

// settingNamesSQL asks for the names of settings that users' functions read.
const settingNamesSQL = `SELECT DISTINCT lower(m[1]) FROM pg_proc p, regexp_matches(p.prosrc, 'current_setting\s*\(\s*E?''([^'']+)''', 'gi') m
 WHERE p.oid >= 16384 AND p.prosrc ~* 'current_setting' ORDER BY 1`

// settingNames gives the names of the settings that are the session's own and that
// the request may read: those that the session has set, those that its text names,
// and those that users' functions do.
func (p *prober) settingNames(inFunctions answer) []string {
	names := maps.Clone(p.b.names.custom)
	if names == nil {
		names = make(map[string]bool)
	}
	for _, s := range p.r.c.settings {
		if strings.Contains(s.name, ".") {
			names[strings.ToLower(s.name)] = true
		}
	}
	for _, row := range inFunctions.rows {
		if strings.Contains(row[0], ".") {
			names[row[0]] = true
		}
	}
	for _, s := range p.r.statements {
		for _, in := range s.Chain() {
			for _, m := range currentSetting.FindAllStringSubmatch(in.Text, -1) {
				if name := strings.ToLower(m[1]); strings.Contains(name, ".") {
					names[name] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// currentSetting finds the settings that a text reads by their names.
var currentSetting = regexp.MustCompile(`(?i)current_setting"?\s*\(\s*E?'([^']+)'`)

// bindSettings adds the values that settings of the session's own have.
func (p *prober) bindSettings(names []string) error {
	if len(names) == 0 {
		return nil
	}
	var sqls []string
	for _, n := range names {
		sqls = append(sqls, "SELECT current_setting("+quoteLiteral(n)+", true)")
	}
	answers, err := p.b.question(sqls...)
	if err != nil {
		return fmt.Errorf("settings cannot be looked up: %w", err)
	}
	for i, n := range names {
		value := ""
		if len(answers[i].rows) == 1 {
			value = answers[i].rows[0][0]
		}
		if value != "" {
			p.state = append(p.state, signalbox.Fact{Name: "setting " + n, Value: value})
		}
	}
	return nil
}

// maxBoundRows is how many rows of a temporary table an approval can be bound to.
const maxBoundRows = 100_000

// bindContents adds a sum over what a temporary table holds: approvers see what the
// request finds by it, and it must find nothing else when it runs.
func (p *prober) bindContents(table string) error {
	answers, err := p.b.probeAll([]question{{sql: p.b.probeTimeout()}, {sql: fmt.Sprintf(
		`SELECT pg_catalog.count(*), pg_catalog.md5(pg_catalog.string_agg(t.row, E'\n' ORDER BY t.row)) FROM (SELECT x::pg_catalog.text AS row FROM %s x LIMIT %d) t`,
		table, maxBoundRows+1)}})
	if err != nil {
		return err
	}
	if answers[1].failed != nil || len(answers[1].rows) != 1 || number(answers[1].rows[0][0]) > maxBoundRows {
		// Never the same again: no approval stands for it.
		p.note("It reads the temporary table %s, to whose contents no approval can be bound: make it smaller.", table)
		p.state = append(p.state, signalbox.Fact{Name: "contents of " + table,
			Value: fmt.Sprint("not bound, at ", time.Now().UnixNano())})
		return nil
	}
	row := answers[1].rows[0]
	p.note("It reads the temporary table %s, which holds %s rows now.", table, row[0])
	p.state = append(p.state, signalbox.Fact{Name: "contents of " + table, Value: row[0] + " rows, " + short(row[1])})
	return nil
}
