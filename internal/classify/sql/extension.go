package sql

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
)

// extension judges CREATE EXTENSION: trusted ones only add functions, others can
// reach files and other servers.
func (j *judge) extension(x *pg.CreateExtensionStmt) {
	a := j.one(signalbox.Create, "CREATE EXTENSION", "extension", x.GetExtname(), "adds a well-known extension")
	if !wellKnown(x.GetExtname()) {
		a.Verb, a.Reason = signalbox.Execute, "adds an extension that may reach outside the database"
		a.Traits = append(a.Traits, signalbox.TraitDeferred)
	}
}

// wellKnown reports whether an extension is among those that databases have, and
// that reach nothing outside.
func wellKnown(extension string) bool {
	switch strings.ToLower(extension) {
	case "pg_trgm", "uuid-ossp", "pgcrypto", "citext", "hstore", "ltree", "intarray", "btree_gin", "btree_gist",
		"unaccent", "fuzzystrmatch", "tablefunc",
		"cube", "seg", "isn", "lo", "tcn", "dict_int", "dict_xsyn", "tsm_system_rows", "tsm_system_time",
		"earthdistance", "pg_stat_statements",
		"bloom", "vector", "postgis", "postgis_topology", "postgis_raster", "timescaledb", "pgrowlocks",
		"pgstattuple", "pg_buffercache", "pg_freespacemap", "pg_visibility", "hypopg", "plpgsql":
		return true
	}
	return false
}
