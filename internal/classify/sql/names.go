package sql

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// nameParts gives the strings of a list of name parts.
func nameParts(nodes []*pg.Node) []string {
	parts := make([]string, 0, len(nodes))
	for _, n := range nodes {
		switch x := pgtree.Unwrap(n).(type) {
		case *pg.String:
			parts = append(parts, x.GetSval())
		case *pg.A_Star:
			parts = append(parts, "*")
		}
	}
	return parts
}

func dotted(parts []string) string { return strings.Join(parts, ".") }

// relation finds what a range variable means: its name, with the schema where
// that is known, and the relation if the catalog has it.
func (b *batch) relation(v *pg.RangeVar) (string, *Relation) {
	name := v.GetRelname()
	if v.GetRelpersistence() == "t" { // what CREATE TEMP makes
		return "pg_temp." + name, nil
	}
	if s := v.GetSchemaname(); s != "" {
		full := s + "." + name
		return full, b.find(full)
	}
	if b.temp[name] {
		return "pg_temp." + name, nil
	}
	if b.cat == nil {
		return name, nil
	}
	if b.unsure {
		return name, nil
	}
	for _, schema := range append([]string{"pg_temp", "pg_catalog"}, b.path...) {
		if schema == "pg_temp" && b.stale {
			if b.find("pg_temp."+name) != nil {
				return name, nil
			}
			continue
		}
		if r := b.find(schema + "." + name); r != nil {
			return schema + "." + name, r
		}
	}
	return name, nil
}

func (b *batch) find(full string) *Relation {
	if b.cat == nil {
		return nil
	}
	if r, ok := b.cat.Relations[full]; ok {
		return &r
	}
	return nil
}

// table makes the resource of a relation, and says whether it is temporary.
func (j *judge) table(v *pg.RangeVar) (signalbox.Resource, *Relation, bool) {
	name, r := j.relation(v)
	res := signalbox.Resource{Type: "table", Name: name}
	if r != nil {
		res.ID = oidText(r.OID)
		res.Type = kindName(r.Kind)
	}
	temp := r != nil && r.Temporary || strings.HasPrefix(name, "pg_temp.") || v.GetRelpersistence() == "t"
	return res, r, temp
}

// shadows reports whether a new relation would get between a name and what it
// means now: a schema behind its own on the search path has a relation of that
// name.
func (b *batch) shadows(v *pg.RangeVar) bool {
	if b.cat == nil || v.GetRelpersistence() == "t" {
		return false
	}
	at := 0
	if s := v.GetSchemaname(); s != "" {
		at = slices.Index(b.path, s)
	}
	if at < 0 || at >= len(b.path) {
		return false
	}
	return slices.ContainsFunc(b.path[at+1:], func(behind string) bool {
		return b.find(behind+"."+v.GetRelname()) != nil
	})
}

// mayShadow marks the creation of a relation whose name stands for another now.
func (b *batch) mayShadow(a *signalbox.Action, v *pg.RangeVar) {
	if b.shadows(v) {
		a.Traits = addTrait(a.Traits, signalbox.TraitRename)
		a.Reason += ", whose name stands for another on the search path now"
	}
}

// passing reports whether what is written to a temporary relation surely stays in
// temporary ones: a view writes to its bases, rules and triggers to anything.
func (b *batch) passing(name string, r *Relation) bool {
	if r == nil {
		return !b.views[strings.TrimPrefix(name, "pg_temp.")]
	}
	if r.Rules || r.Triggers || r.Kind == 'v' && len(r.Base) == 0 {
		return false
	}
	for _, list := range [][]string{r.Base, r.Cascades, r.Children} {
		for _, other := range list {
			if o := b.find(other); o == nil || !o.Temporary || o.Rules || o.Triggers {
				return false
			}
		}
	}
	return true
}

func oidText(oid uint32) string {
	if oid == 0 {
		return ""
	}
	var buf [10]byte
	i := len(buf)
	for ; oid > 0; oid /= 10 {
		i--
		buf[i] = byte('0' + oid%10)
	}
	return string(buf[i:])
}

func kindName(k byte) string {
	switch k {
	case 'v':
		return "view"
	case 'm':
		return "materialized view"
	case 'f':
		return "foreign table"
	case 'S':
		return "sequence"
	case 'i', 'I':
		return "index"
	case 'c':
		return "type"
	}
	return "table"
}

// isSystem reports whether a relation belongs to PostgreSQL itself.
func isSystem(name string) bool {
	schema, rel, ok := strings.Cut(name, ".")
	if !ok {
		return strings.HasPrefix(name, "pg_")
	}
	return schema == "pg_catalog" || schema == "information_schema" || schema == "pg_toast" && rel != ""
}

// isAudit reports whether a relation's name says that it keeps evidence.
func isAudit(name string) bool {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		if schema := name[:i]; schema == "audit" || schema == "auditing" {
			return true
		}
		name = name[i+1:]
	}
	name = strings.ToLower(name)
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '_' || r == '-' }) {
		switch part {
		case "audit", "audits", "auditlog", "auditlogs", "audittrail", "pgaudit":
			return true
		}
	}
	return false
}
