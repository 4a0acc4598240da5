package pgwire

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/classify/sql"
)

// catalog makes what the classifier goes by, without role and path. temp is the
// oid of the temporary schema to see; those of others are left out.
func (f *facts) catalog(temp uint32) *sql.Catalog {
	cat := &sql.Catalog{
		Relations: make(map[string]sql.Relation), Functions: make(map[string][]sql.Function),
		Operators: make(map[string][]sql.Operator), Types: make(map[string]sql.Type),
	}
	kinds := f.kinds()
	relations := f.relations(temp, kinds)
	functions := make(map[uint32]string)
	for _, key := range f.parts[procedures].sorted() {
		row := f.parts[procedures].rows[key].row
		schema := f.schema(row[0])
		if schema == "" || strings.HasPrefix(schema, "pg_temp_") && oid(row[0]) != temp {
			continue
		}
		name := schema + "." + row[1]
		functions[uint32(key)] = name
		args := kinds.families(row[6])
		cat.Functions[name] = append(cat.Functions[name], sql.Function{
			OID: uint32(key), Volatility: row[2][0], SecurityDefiner: row[3] == "t", Language: row[4],
			Extension: row[5], Args: args, Returns: kinds.made(row[7]), Defaults: int(number(row[8])),
			Variadic: row[9] == "t", Signature: row[10], Sum: row[11], Schema: schema, Name: row[1], Row: row[12] == "t" || kinds.rowsCast && len(args) > 0 && args[0] == 0,
		})
	}
	f.relate(relations, functions)
	for _, r := range relations {
		cat.Relations[r.Schema+"."+r.Name] = *r
		if r.Temporary {
			cat.Relations["pg_temp."+r.Name] = *r
		}
	}
	for _, key := range f.parts[operators].sorted() {
		o := f.parts[operators].rows[key]
		if !f.computes(o.row[1], o.row[3]) {
			cat.Operators[o.row[0]] = append(cat.Operators[o.row[0]], sql.Operator{Args: kinds.families(o.row[2])})
		}
	}
	f.types(cat, temp, kinds)
	for _, k := range f.parts[casts].rows {
		if k.row[0] != "t" && k.row[1] == "t" {
			cat.UserCasts = true
			if k.row[2] != "e" {
				cat.Casts = append(cat.Casts, kinds.made(k.row[3])...)
			}
		}
	}
	slices.Sort(cat.Casts)
	return cat
}

// computes reports whether a function is an extension's whose code was looked
// through. The function is looked up now: it may have been replaced since the
// operator or the type that uses it was written.
func (f *facts) computes(function, extension string) bool {
	p, ok := f.parts[procedures].rows[number(function)]
	if !ok {
		return false
	}
	language, owner := p.row[4], p.row[5]
	return (language == "c" || language == "internal") && owner != "" && (extension == "" || owner == extension) &&
		sql.Reviewed(owner)
}

// oid reads an oid that the server wrote.
func oid(s string) uint32 { return uint32(number(s)) }

// schema names a schema; "" for one that was made while the facts were read.
func (f *facts) schema(id string) string {
	if n, ok := f.parts[namespaces].rows[number(id)]; ok {
		return n.row[0]
	}
	return ""
}

// users reports whether a schema is neither PostgreSQL's own nor another
// backend's temporary one.
func users(schema string, id, temp uint32) bool {
	switch {
	case schema == "" || schema == "pg_catalog" || schema == "information_schema" || schema == "pg_toast" ||
		strings.HasPrefix(schema, "pg_toast_temp_"):
		return false
	case strings.HasPrefix(schema, "pg_temp_"):
		return id == temp
	}
	return true
}

func (f *facts) relations(temp uint32, kinds *kinds) map[uint32]*sql.Relation {
	all := make([]sql.Relation, 0, len(f.parts[classes].rows))
	relations := make(map[uint32]*sql.Relation, len(f.parts[classes].rows))
	for key, c := range f.parts[classes].rows {
		id := oid(c.row[0])
		schema := f.schema(c.row[0])
		if c.row[2] == "c" || !users(schema, id, temp) {
			continue
		}
		all = append(all, sql.Relation{
			OID: uint32(key), Schema: schema, Name: c.row[1], Kind: c.row[2][0],
			Temporary: temp != 0 && id == temp, RowSecurity: c.row[3] == "t", Types: kinds.made(c.row[4]),
		})
		relations[uint32(key)] = &all[len(all)-1]
	}
	for _, t := range f.parts[triggers].rows {
		if r := relations[oid(t.row[0])]; r != nil {
			r.Triggers = true
		}
	}
	for _, key := range f.parts[keys].sorted() {
		row := f.parts[keys].rows[key].row
		if r := relations[oid(row[0])]; r != nil {
			var columns []string
			if json.Unmarshal([]byte(row[1]), &columns) == nil && len(columns) > 0 {
				r.Keys = append(r.Keys, columns)
			}
		}
	}
	return relations
}

// relate tells each relation what it shows, calls, and takes with it.
func (f *facts) relate(relations map[uint32]*sql.Relation, functions map[uint32]string) {
	shows, calls := make(map[uint32][]uint32), make(map[uint32][]uint32)
	for _, rule := range f.parts[rules].rows {
		from := oid(rule.row[0])
		if r := relations[from]; r != nil && rule.row[1] != "t" {
			r.Rules = true
		}
		for use := range strings.FieldsSeq(rule.row[2]) {
			if use[0] == 't' {
				calls[from] = append(calls[from], oid(use[1:]))
			} else {
				shows[from] = append(shows[from], oid(use[1:]))
			}
		}
	}
	cascades, children := make(map[uint32][]uint32), make(map[uint32][]uint32)
	for _, k := range f.parts[constraints].rows {
		if k.row[0] == "f" {
			cascades[oid(k.row[1])] = append(cascades[oid(k.row[1])], oid(k.row[2]))
		}
	}
	for _, i := range f.parts[inherits].rows {
		children[oid(i.row[0])] = append(children[oid(i.row[0])], oid(i.row[1]))
	}
	name := func(ids []uint32, want func(*sql.Relation) bool) []string {
		var names []string
		for _, id := range ids {
			if r := relations[id]; r != nil && want(r) {
				names = append(names, r.Schema+"."+r.Name)
			}
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	every := func(*sql.Relation) bool { return true }
	for id, r := range relations {
		if r.Kind == 'v' || r.Kind == 'm' {
			seen := reach(id, shows)
			if r.Kind == 'v' {
				r.Base = name(seen, func(b *sql.Relation) bool { return b.Kind != 'v' })
			}
			for _, v := range append(seen, id) {
				for _, called := range calls[v] {
					if fn := functions[called]; fn != "" && !slices.Contains(r.Calls, fn) {
						r.Calls = append(r.Calls, fn)
					}
				}
			}
			slices.Sort(r.Calls)
		}
		r.Cascades = name(reach(id, cascades), every)
		r.Children = name(reach(id, children), every)
	}
}

func (f *facts) types(cat *sql.Catalog, temp uint32, kinds *kinds) {
	checked := make(map[uint32]bool) // domains that call users' functions
	for _, k := range f.parts[constraints].rows {
		if k.row[0] == "c" && k.row[4] == "t" {
			checked[oid(k.row[3])] = true
		}
	}
	for key, t := range f.parts[scalars].rows {
		if schema := f.schema(t.row[0]); users(schema, oid(t.row[0]), temp) {
			kind := t.row[2][0]
			typ := sql.Type{OID: uint32(key), Kind: kind, Types: kinds.of(uint32(key)), Checks: kind == 'b' &&
				oid(t.row[3]) >= 16384 && !f.computes(t.row[3], "") || kind == 'd' && checked[uint32(key)]}
			cat.Types[schema+"."+t.row[1]] = typ
			if temp != 0 && oid(t.row[0]) == temp {
				cat.Types["pg_temp."+t.row[1]] = typ
			}
		}
	}
	for _, c := range f.parts[classes].rows {
		if schema := f.schema(c.row[0]); c.row[2] == "c" && users(schema, oid(c.row[0]), temp) {
			typ := sql.Type{OID: oid(c.row[4]), Kind: 'c', Types: kinds.made(c.row[4])}
			cat.Types[schema+"."+c.row[1]] = typ
			if temp != 0 && oid(c.row[0]) == temp {
				cat.Types["pg_temp."+c.row[1]] = typ
			}
		}
	}
}

// reach gives what can be reached from id along edges, id itself left out
// unless a circle leads back to it.
func reach(id uint32, edges map[uint32][]uint32) []uint32 {
	if len(edges[id]) == 0 {
		return nil
	}
	var found []uint32
	seen := make(map[uint32]bool)
	queue := slices.Clone(edges[id])
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		if seen[next] {
			continue
		}
		seen[next] = true
		found = append(found, next)
		queue = append(queue, edges[next]...)
	}
	return found
}
