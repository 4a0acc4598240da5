package sql

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"strings"
)

// A Catalog is a snapshot of what names mean on one backend: the role, the
// search path, and the relations, functions, operators, types and casts that
// users made. The gate takes it from the live server; `explain` has none.
//
// A nil catalog means that nothing is known: names are taken as written, built-in
// functions are taken for what PostgreSQL ships, and no key is known. A catalog
// is not changed once it was given to [Classify] or a [Cache]; call [Catalog.Seal]
// first. It may be shared between goroutines.
type Catalog struct {
	// Version names the contents: two catalogs that differ have different
	// versions. Seal sets it; 0 means not sealed, and results are not cached.
	Version uint64

	Database   string
	Role       string // current_user
	Superuser  bool
	SearchPath []string // effective, without the implicit pg_catalog and pg_temp

	Relations map[string]Relation   // by "schema.name"; this backend's temporary ones by "pg_temp.name"
	Functions map[string][]Function // outside pg_catalog, by "schema.name"
	Operators map[string]bool       // names of operators defined outside pg_catalog
	Types     map[string]Type       // outside pg_catalog, by "schema.name"

	// UserCasts says that casts exist whose function is neither PostgreSQL's nor
	// an extension's. Then a written cast to a type outside pg_catalog is taken
	// to run code. Casts that the server adds by itself are not seen here.
	UserCasts bool

	byName map[string]bool // bare names of Functions; Seal sets it
}

// A Relation is a table, view, index, sequence or foreign table.
type Relation struct {
	OID    uint32
	Schema string
	Name   string
	Kind   byte // pg_class.relkind: r table, p partitioned, v view, m materialised view, f foreign, S sequence, i index

	Base     []string   // "schema.name" of the base tables that a view shows, at any depth
	Calls    []string   // "schema.name" of the user functions that a view's definition calls, at any depth
	Rules    bool       // has rewrite rules other than a view's own
	Triggers bool       // has user triggers for writes, INSTEAD OF included
	Keys     [][]string // columns of each unique, not deferrable key
	Cascades []string   // "schema.name" of tables that ON DELETE or ON UPDATE actions reach, at any depth
	Children []string   // "schema.name" of partitions and inheriting tables, at any depth

	Temporary   bool // lives in this backend's pg_temp
	RowSecurity bool // row security is enabled
}

// A Function is one overload of a function outside pg_catalog.
type Function struct {
	OID             uint32
	Volatility      byte   // pg_proc.provolatile: i, s, v
	SecurityDefiner bool   // runs with its owner's rights
	Extension       string // the extension that owns it, or empty
	Language        string // "sql", "plpgsql", "c" …
}

// A Type is a type outside pg_catalog.
type Type struct {
	OID    uint32
	Kind   byte // pg_type.typtype: b base, c composite, d domain, e enum, r range
	Checks bool // a domain whose check constraints call user functions, or a base type with input functions of its own
}

// Seal computes the version from the contents and readies the catalog for use.
// It gives back c.
func (c *Catalog) Seal() *Catalog {
	c.Version = 0
	c.byName = make(map[string]bool, len(c.Functions))
	for full := range c.Functions {
		c.byName[full[strings.IndexByte(full, '.')+1:]] = true
	}
	b, err := json.Marshal(c) // maps come out sorted
	if err != nil {
		return c // not sealed: right, only slower
	}
	sum := sha256.Sum256(b)
	c.Version = binary.BigEndian.Uint64(sum[:8]) | 1 // 0 means not sealed
	return c
}
