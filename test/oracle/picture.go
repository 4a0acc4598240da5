package oracle

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// An object is one thing of the target: a table's definition, its rows, a role.
type object struct {
	aspect aspect
	addr   string // catalog and oid, which a name may outlive
	kind   string // in the words of pg_identify_object
	name   string // with its schema
	value  string
	rows   int64 // of content
	shared bool  // of the whole server
}

func (o object) key() string { return string(o.aspect) + " " + o.addr }

func (o object) String() string {
	if o.aspect == definition {
		return o.kind + " " + o.name
	}
	return fmt.Sprintf("%s of %s %s", o.aspect, o.kind, o.name)
}

// An aspect of an object is what a kind of action changes.
type aspect string

const (
	definition aspect = "definition"
	content    aspect = "content"
	storage    aspect = "storage" // its file: TRUNCATE and rewrites change it
	position   aspect = "position"
)

// An edge says that from is changed with to: it depends on it.
type edge struct {
	from, to string // addresses
	kind     string // of pg_depend; or "data" and "truncate", of foreign keys
}

// A picture is what a superuser sees.
type picture struct {
	objects map[string]object
	edges   []edge
	locked  map[string]bool // addresses of tables that could not be read
}

// catalogs are those whose rows have an oid. What is left out of a row changes
// without anybody's doing, or is told by another row.
var catalogs = []struct{ name, without, where, and string }{
	{name: "pg_namespace", and: "OR o.oid = 2200"}, // public
	{name: "pg_proc"},
	{name: "pg_type", where: `NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = o.oid)
		AND NOT EXISTS (SELECT FROM pg_class r WHERE r.oid = o.typrelid AND r.relkind <> 'c')`},
	{name: "pg_attrdef", where: "NOT EXISTS (SELECT FROM pg_class r WHERE r.oid = o.adrelid AND r.relpersistence = 't')"},
	{name: "pg_constraint", without: "conparentid"},
	{name: "pg_trigger", where: "NOT tgisinternal"},
	{name: "pg_rewrite"},
	{name: "pg_policy"},
	{name: "pg_operator"},
	{name: "pg_opclass"},
	{name: "pg_opfamily"},
	{name: "pg_amop"},
	{name: "pg_amproc"},
	{name: "pg_am"},
	{name: "pg_cast"},
	{name: "pg_transform"},
	{name: "pg_collation"},
	{name: "pg_conversion"},
	{name: "pg_language"},
	{name: "pg_extension"},
	{name: "pg_event_trigger"},
	{name: "pg_foreign_data_wrapper"},
	{name: "pg_foreign_server"},
	{name: "pg_user_mapping"},
	{name: "pg_default_acl"},
	{name: "pg_publication"},
	{name: "pg_publication_rel"},
	{name: "pg_publication_namespace"},
	{name: "pg_statistic_ext"},
	{name: "pg_ts_config"},
	{name: "pg_ts_dict"},
	{name: "pg_ts_parser"},
	{name: "pg_ts_template"},
	{name: "pg_largeobject_metadata"},
	{name: "pg_tablespace"},
	{name: "pg_subscription"},
}

// definitionsSQL gives what is defined: address, kind, name, value, whether it is
// of the whole server. What PostgreSQL ships is looked at by the transactions that
// wrote its rows, catalog by catalog.
var definitionsSQL = func() string {
	var parts, shipped []string
	for _, c := range catalogs {
		value := "to_jsonb(o)"
		if c.without != "" {
			value += " - '{" + c.without + "}'::text[]"
		}
		where := "o.oid >= 16384 " + c.and
		if c.where != "" {
			where += " AND " + c.where
		}
		parts = append(parts, fmt.Sprintf("SELECT '%[1]s'::regclass::oid AS class, o.oid, %[2]s AS value FROM %[1]s o WHERE %[3]s", c.name, value, where))
		shipped = append(shipped, fmt.Sprintf("SELECT '%[1]s' AS name, sum(hashtext(o.oid::text || ' ' || o.xmin::text)) AS value FROM %[1]s o WHERE o.oid < 16384", c.name))
	}
	return `WITH o AS MATERIALIZED (` + strings.Join(parts, "\nUNION ALL ") + `
	UNION ALL SELECT 'pg_class'::regclass, o.oid, to_jsonb(o)
		- '{relpages,reltuples,relallvisible,relfrozenxid,relminmxid,relhasindex,relhasrules,relhastriggers,relhassubclass,relchecks,relfilenode,reltoastrelid,relnatts,reltype}'::text[]
		|| jsonb_build_object('columns', (SELECT jsonb_agg(jsonb_build_array(attname, atttypid, atttypmod, attnum, attnotnull, atthasdef,
			attidentity, attgenerated, attisdropped, attcollation, attacl, attoptions, attfdwoptions, attstorage, attcompression, attstattarget) ORDER BY attnum)
			FROM pg_attribute WHERE attrelid = o.oid AND attnum > 0))
		|| coalesce((SELECT to_jsonb(i) - 'indcheckxmin' FROM pg_index i WHERE indexrelid = o.oid), '{}')
		|| coalesce((SELECT to_jsonb(s) FROM pg_sequence s WHERE seqrelid = o.oid), '{}')
		|| coalesce((SELECT to_jsonb(f) FROM pg_foreign_table f WHERE ftrelid = o.oid), '{}')
		|| coalesce((SELECT to_jsonb(p) FROM pg_partitioned_table p WHERE partrelid = o.oid), '{}')
		|| coalesce((SELECT jsonb_build_object('parents', jsonb_agg(inhparent ORDER BY inhseqno)) FROM pg_inherits WHERE inhrelid = o.oid), '{}')
		FROM pg_class o WHERE o.oid >= 16384 AND o.relpersistence <> 't' AND relkind <> 't' AND relnamespace <> 'pg_toast'::regnamespace)
	SELECT class::regclass::text || ' ' || oid, i.type, i.identity, o.value::text, FALSE
	FROM o, LATERAL pg_identify_object(CASE class WHEN 'pg_largeobject_metadata'::regclass THEN 'pg_largeobject'::regclass ELSE class END, oid, 0) i
	WHERE i.identity !~ '\mpg_(toast|temp|toast_temp)(_\d+)?\M'
	UNION ALL SELECT 'shipped ' || name, 'catalog', name, value::text, FALSE FROM (` + strings.Join(shipped, "\nUNION ALL ") + `
		UNION ALL SELECT 'pg_class', sum(hashtext(oid::text || relname || relowner || relnamespace || coalesce(relacl::text, '') || coalesce(reloptions::text, '')
			|| relhastriggers || relhasrules || relrowsecurity)) FROM pg_class WHERE oid < 16384) s
	UNION ALL SELECT 'aggregate ' || aggfnoid::oid, 'aggregate', aggfnoid::oid::regprocedure::text, to_jsonb(a)::text, FALSE FROM pg_aggregate a WHERE aggfnoid::oid >= 16384
	UNION ALL SELECT 'enum ' || enumtypid, 'type', enumtypid::regtype::text, string_agg(enumlabel, ',' ORDER BY enumsortorder), FALSE FROM pg_enum GROUP BY enumtypid
	UNION ALL SELECT 'range ' || rngtypid, 'type', rngtypid::regtype::text, to_jsonb(r)::text, FALSE FROM pg_range r WHERE rngtypid >= 16384
	UNION ALL SELECT 'search map ' || mapcfg, 'text search configuration', mapcfg::regconfig::text, jsonb_agg(to_jsonb(m) ORDER BY maptokentype, mapseqno)::text, FALSE
		FROM pg_ts_config_map m WHERE mapcfg >= 16384 GROUP BY mapcfg
	UNION ALL SELECT 'comment ' || classoid || ' ' || objoid || ' ' || objsubid, 'comment', i.identity, description, FALSE
		FROM pg_description, LATERAL pg_identify_object(classoid, objoid, objsubid) i WHERE objoid >= 16384 AND i.identity !~ '\mpg_temp_'
	UNION ALL SELECT 'shared comment ' || classoid || ' ' || objoid, 'comment', i.identity, description, TRUE
		FROM pg_shdescription, LATERAL pg_identify_object(classoid, objoid, 0) i
	UNION ALL SELECT 'label ' || classoid || ' ' || objoid || ' ' || objsubid, 'security label', i.identity, provider || label, FALSE
		FROM pg_seclabel, LATERAL pg_identify_object(classoid, objoid, objsubid) i
	UNION ALL SELECT 'pg_authid ' || oid, 'role', rolname, (to_jsonb(r) || jsonb_build_object('rolpassword', md5(rolpassword)))::text, TRUE FROM pg_authid r
	UNION ALL SELECT 'member ' || roleid || ' ' || member || ' ' || grantor, 'role', roleid::regrole::text, member::regrole || ' ' || admin_option, TRUE FROM pg_auth_members
	UNION ALL SELECT 'setting ' || setdatabase || ' ' || setrole, CASE WHEN setrole = 0 THEN 'database' ELSE 'role' END,
		CASE WHEN setrole = 0 THEN (SELECT datname::text FROM pg_database WHERE oid = setdatabase) ELSE setrole::regrole::text END, setconfig::text, TRUE FROM pg_db_role_setting
	UNION ALL SELECT 'pg_database ' || oid, 'database', datname, (to_jsonb(d) - '{datfrozenxid,datminmxid}'::text[])::text, TRUE FROM pg_database d
	WHERE datname = current_database() OR datname NOT LIKE 'test\_%' -- those are other tests', on the same server
	UNION ALL SELECT 'parameter ' || oid, 'parameter', parname, paracl::text, TRUE FROM pg_parameter_acl
	UNION ALL SELECT 'file setting ' || name, 'setting', name, setting, TRUE FROM pg_file_settings WHERE sourcefile LIKE '%postgresql.auto.conf'
	UNION ALL SELECT 'slot ' || slot_name, 'replication slot', slot_name::text, concat_ws(' ', plugin, slot_type, database, temporary, two_phase), TRUE FROM pg_replication_slots
	UNION ALL SELECT 'origin ' || roident, 'replication origin', roname, '', TRUE FROM pg_replication_origin
	UNION ALL SELECT 'subscribed ' || srsubid || ' ' || srrelid, 'subscription', (SELECT subname::text FROM pg_subscription WHERE oid = srsubid), srrelid::text, FALSE FROM pg_subscription_rel
	UNION ALL SELECT 'prepared ' || gid, 'prepared transaction', gid, owner || ' ' || transaction, FALSE FROM pg_prepared_xacts WHERE database = current_database()
	UNION ALL SELECT 'lock ' || concat_ws(' ', classid, objid, objsubid, pid), 'advisory lock', concat_ws('/', classid, objid), mode, FALSE
		FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
}()

// edgesSQL gives what depends on what.
const edgesSQL = `SELECT classid::regclass || ' ' || objid, refclassid::regclass || ' ' || refobjid, deptype::text
	FROM pg_depend WHERE (objid >= 16384 OR refobjid >= 16384) AND deptype IN ('n', 'a', 'i', 'P', 'S', 'e', 'x')
	UNION ALL SELECT 'pg_class ' || conrelid, 'pg_class ' || confrelid, CASE WHEN confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd') THEN 'data' ELSE 'truncate' END
	FROM pg_constraint WHERE contype = 'f'
	UNION ALL SELECT 'pg_class ' || inhrelid, 'pg_class ' || inhparent, 'child' FROM pg_inherits WHERE inhrelid >= 16384
	UNION ALL SELECT 'pg_class ' || d.refobjid, 'pg_class ' || a.adrelid, 'default'
	FROM pg_attrdef a JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid AND d.refclassid = 'pg_class'::regclass
	JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
	UNION ALL SELECT 'enum ' || oid, 'pg_type ' || oid, 'i' FROM pg_type WHERE typtype = 'e' AND oid >= 16384
	UNION ALL SELECT 'range ' || oid, 'pg_type ' || oid, 'i' FROM pg_type WHERE typtype = 'r' AND oid >= 16384
	UNION ALL SELECT 'aggregate ' || aggfnoid::oid, 'pg_proc ' || aggfnoid::oid, 'i' FROM pg_aggregate WHERE aggfnoid::oid >= 16384
	UNION ALL SELECT 'search map ' || mapcfg, 'pg_ts_config ' || mapcfg, 'i' FROM pg_ts_config_map WHERE mapcfg >= 16384
	UNION ALL SELECT 'comment ' || classoid || ' ' || objoid || ' ' || objsubid, classoid::regclass || ' ' || objoid, 'i' FROM pg_description WHERE objoid >= 16384
	UNION ALL SELECT 'shared comment ' || classoid || ' ' || objoid, classoid::regclass || ' ' || objoid, 'i' FROM pg_shdescription
	UNION ALL SELECT 'label ' || classoid || ' ' || objoid || ' ' || objsubid, classoid::regclass || ' ' || objoid, 'i' FROM pg_seclabel
	UNION ALL SELECT 'member ' || roleid || ' ' || member || ' ' || grantor, 'pg_authid ' || role, 'i' FROM pg_auth_members, unnest(ARRAY[roleid, member]) role
	UNION ALL SELECT 'setting ' || setdatabase || ' ' || setrole, kind || ' ' || oid, 'i'
	FROM pg_db_role_setting, LATERAL (VALUES ('pg_database', setdatabase), ('pg_authid', setrole)) of (kind, oid) WHERE oid <> 0`

// relationsSQL gives what has content or a file, and whether somebody locks it so
// that it cannot be read.
const relationsSQL = `SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relfilenode, i.type, i.identity, c.relispopulated,
	EXISTS (SELECT FROM pg_locks l WHERE l.relation = c.oid AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_backend_pid()
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL pg_identify_object('pg_class'::regclass, c.oid, 0) i
	WHERE c.oid >= 16384 AND c.relpersistence <> 't' AND c.relkind IN ('r', 'm', 'S', 'i') AND n.nspname !~ '^pg_toast'`

// take takes a picture.
func take(ctx context.Context, conn *pgx.Conn) (*picture, error) {
	for try := 0; ; try++ {
		p, err := takeOnce(ctx, conn)
		var pg *pgconn.PgError
		// What is being dropped or locked while we look at it is looked at again.
		if err == nil || try == 20 || !errors.As(err, &pg) || pg.Code != "55P03" && pg.Code != "42P01" &&
			pg.Code != "XX000" {
			return p, err
		}
	}
}

func takeOnce(ctx context.Context, conn *pgx.Conn) (*picture, error) {
	p := &picture{objects: map[string]object{}, locked: map[string]bool{}}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	var asks pgx.Batch
	var reads []string
	asks.Queue("SET LOCAL lock_timeout = '300ms'")
	asks.Queue(relationsSQL).Query(func(rows pgx.Rows) error {
		var oid, file uint32
		var schema, name, relkind string
		var o object
		var populated, locked bool
		_, err := pgx.ForEachRow(rows, []any{&oid, &schema, &name, &relkind, &file, &o.kind, &o.name, &populated, &locked}, func() error {
			o.addr = fmt.Sprintf("pg_class %d", oid)
			o.aspect, o.value = storage, fmt.Sprint(file)
			p.objects[o.key()] = o
			from := pgx.Identifier{schema, name}.Sanitize()
			switch {
			case relkind == "i":
			case !populated: // a materialized view that cannot be read
				o.aspect, o.value = content, "not populated"
				p.objects[o.key()] = o
			case locked:
				p.locked[o.addr] = true
			case relkind == "S":
				reads = append(reads, fmt.Sprintf("SELECT %d::oid, last_value, is_called::text FROM %s", oid, from))
			default:
				reads = append(reads, fmt.Sprintf("SELECT %d::oid, count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM ONLY %s t", oid, from))
			}
			return nil
		})
		return err
	})
	asks.Queue(definitionsSQL).Query(func(rows pgx.Rows) error {
		var o object
		var name, value *string
		_, err := pgx.ForEachRow(rows, []any{&o.addr, &o.kind, &name, &value, &o.shared}, func() error {
			o.aspect, o.name, o.value = definition, "", ""
			if name != nil {
				o.name = *name
			}
			if value != nil {
				o.value = *value
			}
			p.objects[o.key()] = o
			return nil
		})
		return err
	})
	asks.Queue(edgesSQL).Query(func(rows pgx.Rows) error {
		var e edge
		_, err := pgx.ForEachRow(rows, []any{&e.from, &e.to, &e.kind}, func() error {
			p.edges = append(p.edges, e)
			return nil
		})
		return err
	})
	asks.Queue(`SELECT loid, count(*), sum(hashtextextended(pageno || encode(data, 'base64'), 0))::text FROM pg_largeobject GROUP BY loid`).Query(func(rows pgx.Rows) error {
		var oid uint32
		o := object{aspect: content, kind: "large object"}
		_, err := pgx.ForEachRow(rows, []any{&oid, &o.rows, &o.value}, func() error {
			o.addr, o.name = fmt.Sprintf("pg_largeobject %d", oid), fmt.Sprint(oid)
			p.objects[o.key()] = o
			return nil
		})
		return err
	})
	if err := tx.SendBatch(ctx, &asks).Close(); err != nil {
		return nil, err
	}
	if len(reads) == 0 {
		return p, nil
	}
	rows, err := tx.Query(ctx, strings.Join(reads, " UNION ALL "), pgx.QueryExecModeExec)
	if err != nil {
		return nil, err
	}
	var oid uint32
	var n int64
	var value string
	_, err = pgx.ForEachRow(rows, []any{&oid, &n, &value}, func() error {
		o := p.objects[fmt.Sprintf("%s pg_class %d", storage, oid)]
		o.aspect, o.rows, o.value = content, n, fmt.Sprintf("%d rows, hash %s", n, value)
		if o.kind == "sequence" {
			o.aspect, o.value = position, fmt.Sprintf("%d, called %s", n, value)
		}
		p.objects[o.key()] = o
		return nil
	})
	return p, err
}
