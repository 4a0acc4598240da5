package sql

import (
	"hash/maphash"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/forms"
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
	// Version names the contents, in this process: two catalogs that differ have
	// different versions. Seal sets it; 0 means not sealed, and results are not
	// cached.
	Version uint64

	Database   string
	Role       string // current_user
	Superuser  bool
	SearchPath []string // effective, without the implicit pg_catalog and pg_temp

	Relations map[string]Relation   // by "schema.name"; this backend's temporary ones by "pg_temp.name"
	Functions map[string][]Function // outside pg_catalog, by "schema.name"
	Operators map[string][]Operator // outside pg_catalog, by name; those of [Reviewed] extensions left out
	Types     map[string]Type       // outside pg_catalog, by "schema.name"

	// UserCasts says that casts exist whose function is neither PostgreSQL's nor
	// an extension's. Then a written cast to a type outside pg_catalog is taken
	// to run code.
	UserCasts bool
	// Casts are the families that the server casts by itself with such a function:
	// a statement into which values of one come is taken to run code.
	Casts Families
	// Unlisted has the names under which the server's own functions are others than
	// those that were reviewed: see [Unlisted].
	Unlisted map[string]bool
	// Forms lists the functions that an operator has reviewed.
	Forms *forms.List
	// Declared are the families of users' types that a client gave parameters.
	Declared Families

	byName   map[string]bool // bare names of Functions; Seal sets it
	contents uint64          // hash of the maps; Seal sets it
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
	Types    Families   // of its columns, and of what they are made of

	Temporary   bool // lives in this backend's pg_temp
	RowSecurity bool // row security is enabled
}

// Families name users' types in groups: types between which PostgreSQL may turn a
// value by itself are of one family. A type that values of PostgreSQL's own types
// may become in this way is of no family, nor is one that takes any row: its
// number is 0.
type Families []uint32

// AnyFamily in [Families] says that nobody knows which there are.
const AnyFamily = 1

// An Operator is one operator outside pg_catalog.
type Operator struct {
	Args Families // of its operands, one for a prefix operator
}

// A Function is one overload of a function outside pg_catalog.
type Function struct {
	Args     Families // of its arguments; nil: unknown
	Returns  Families // of what it gives back
	Defaults int      // how many of the last may be left out
	Variadic bool
	Row      bool // the first may be a row: row.name may mean a call of it

	Schema, Name    string
	OID             uint32
	Volatility      byte   // pg_proc.provolatile: i, s, v
	SecurityDefiner bool   // runs with its owner's rights
	Extension       string // the extension that owns it, or empty
	Language        string // "sql", "plpgsql", "c" …
	Signature       string // types of the arguments, "integer, text"
	Sum             string // SHA-256 over all that says what it does, in hexadecimal; or empty
}

// A Type is a type outside pg_catalog.
type Type struct {
	Types  Families // it is made of: its own, those of its fields
	OID    uint32
	Kind   byte // pg_type.typtype: b base, c composite, d domain, e enum, r range
	Checks bool // a domain whose check constraints call user functions, or a base type with input functions that are neither PostgreSQL's nor a [Reviewed] extension's
}

// Seal computes the version from the contents and readies the catalog for use.
// It gives back c.
func (c *Catalog) Seal() *Catalog {
	c.byName = make(map[string]bool, len(c.Functions))
	for full := range c.Functions {
		c.byName[full[strings.IndexByte(full, '.')+1:]] = true
	}
	// Each entry by itself, added up: their order means nothing.
	c.contents = 0
	var h maphash.Hash
	h.SetSeed(contentsSeed)
	entry := func(kind byte, name string, write func()) {
		h.Reset()
		h.WriteByte(kind)
		writeText(&h, name)
		write()
		c.contents += h.Sum64()
	}
	for name, r := range c.Relations {
		entry('r', name, func() {
			maphash.WriteComparable(&h, relationFlags{r.OID, r.Kind, r.Rules, r.Triggers, r.Temporary, r.RowSecurity})
			writeText(&h, r.Schema, r.Name)
			writeList(&h, r.Base, r.Calls, r.Cascades, r.Children)
			writeList(&h, r.Keys...)
			writeFamilies(&h, r.Types)
		})
	}
	for name, overloads := range c.Functions {
		entry('f', name, func() {
			for _, f := range overloads {
				writeFamilies(&h, f.Args)
				writeFamilies(&h, f.Returns)
				maphash.WriteComparable(&h, functionFlags{f.OID, f.Defaults, f.Volatility, f.Variadic, f.Row,
					f.SecurityDefiner})
				writeText(&h, f.Schema, f.Name, f.Extension, f.Language, f.Signature, f.Sum)
			}
		})
	}
	for name, overloads := range c.Operators {
		entry('o', name, func() {
			for _, o := range overloads {
				writeFamilies(&h, o.Args)
			}
		})
	}
	for name, t := range c.Types {
		entry('t', name, func() {
			writeFamilies(&h, t.Types)
			maphash.WriteComparable(&h, typeFlags{t.OID, t.Kind, t.Checks})
		})
	}
	for name := range c.Unlisted {
		entry('u', name, func() {})
	}
	c.version()
	return c
}

// As gives the sealed catalog as another role sees it, or with another path. The
// contents are shared. reviewed lists the functions that an operator has reviewed.
func (c *Catalog) As(database, role string, superuser bool, path []string, reviewed *forms.List) *Catalog {
	as := *c
	as.Forms = reviewed
	as.Database, as.Role, as.Superuser, as.SearchPath = database, role, superuser, path
	as.version()
	return &as
}

// Declare gives the sealed catalog for a text whose parameters have declared types,
// by oid; the catalog itself where they are all PostgreSQL's own.
func (c *Catalog) Declare(oids []uint32) *Catalog {
	declared := Families(nil)
	for _, oid := range oids {
		if oid >= firstUser {
			declared = append(declared, c.familiesOf(oid)...)
		}
	}
	if declared == nil {
		return c
	}
	with := *c
	with.Declared = declared
	with.version()
	return &with
}

// firstUser is the least oid of what did not come with PostgreSQL.
const firstUser = 16384

func (c *Catalog) familiesOf(oid uint32) Families {
	for _, t := range c.Types {
		if t.OID == oid {
			return t.Types
		}
	}
	return Families{AnyFamily} // an array, or a table's row
}

func (c *Catalog) version() {
	var h maphash.Hash
	h.SetSeed(contentsSeed)
	maphash.WriteComparable(&h, c.contents)
	maphash.WriteComparable(&h, [2]bool{c.Superuser, c.UserCasts})
	writeText(&h, c.Database, c.Role)
	writeList(&h, c.SearchPath)
	maphash.WriteComparable(&h, c.Forms)
	writeFamilies(&h, c.Declared)
	writeFamilies(&h, c.Casts)
	c.Version = h.Sum64() | 1 // 0 means not sealed
}

// contentsSeed is this process's own, so that nobody can make two catalogs of one
// version.
var contentsSeed = maphash.MakeSeed()

// relationFlags are what of a [Relation] has a fixed size.
type relationFlags struct {
	oid                                    uint32
	kind                                   byte
	rules, triggers, temporary, rowSecured bool
}

type functionFlags struct {
	oid                    uint32
	defaults               int
	volatility             byte
	variadic, row, definer bool
}

type typeFlags struct {
	oid    uint32
	kind   byte
	checks bool
}

func writeFamilies(h *maphash.Hash, f Families) {
	maphash.WriteComparable(h, len(f))
	for _, n := range f {
		maphash.WriteComparable(h, n)
	}
}

func writeText(h *maphash.Hash, texts ...string) {
	for _, t := range texts {
		maphash.WriteComparable(h, len(t))
		h.WriteString(t)
	}
}

func writeList(h *maphash.Hash, lists ...[]string) {
	for _, l := range lists {
		maphash.WriteComparable(h, len(l))
		writeText(h, l...)
	}
}

// Has reports whether a relation is in the catalog, by its oid. A nil catalog has
// none.
func (c *Catalog) Has(oid uint32) bool {
	if c == nil {
		return false
	}
	for _, r := range c.Relations {
		if r.OID == oid {
			return true
		}
	}
	return false
}
