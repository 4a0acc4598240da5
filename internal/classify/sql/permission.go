package sql

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
)

// permission judges roles, grants and ownership.
func (j *judge) permission(m any) bool {
	switch x := m.(type) {
	case *pg.GrantStmt:
		j.grant(x)
	case *pg.GrantRoleStmt:
		native, reason := "GRANT ROLE", "makes a role a member of another"
		if !x.GetIsGrant() {
			native, reason = "REVOKE ROLE", "takes a membership away"
		}
		a := j.one(signalbox.Permission, native, "role", "*", reason)
		a.Resources = nil
		for _, n := range x.GetGrantedRoles() {
			if p, ok := pgtree.Unwrap(n).(*pg.AccessPriv); ok {
				if x.GetIsGrant() && powerful(p.GetPrivName()) {
					a.Traits = addTrait(a.Traits, signalbox.TraitAdmin)
				}
				a.Resources = append(a.Resources, signalbox.Resource{Type: "role", Name: p.GetPrivName(), Whole: true})
			}
		}
		for _, n := range x.GetGranteeRoles() {
			a.Resources = append(a.Resources, signalbox.Resource{Type: "role", Name: roleName(pgtree.Unwrap(n))})
		}
		for _, n := range x.GetOpt() { // WITH ADMIN, which lets the member give it on
			if d, ok := pgtree.Unwrap(n).(*pg.DefElem); ok && x.GetIsGrant() && d.GetDefname() == "admin" && j.optionOn(d) {
				a.Traits = addTrait(a.Traits, signalbox.TraitAdmin)
			}
		}
	case *pg.AlterDefaultPrivilegesStmt:
		a := j.one(signalbox.Permission, "ALTER DEFAULT PRIVILEGES", "privilege", "*",
			"grants or revokes on everything made later", signalbox.TraitDeferred)
		if a.Impact.Scope = signalbox.ScopeAll; !x.GetAction().GetIsGrant() {
			a.Impact.Scope = signalbox.ScopeSome // later objects begin with less
		}
		a.Traits = append(a.Traits, opens(x.GetAction())...)
	case *pg.CreateRoleStmt:
		j.createRole(x)
	case *pg.AlterRoleStmt:
		name := roleName(x.GetRole())
		a := j.one(signalbox.Permission, "ALTER ROLE", "role", name, "changes what a role may do")
		for _, n := range x.GetOptions() {
			if d, ok := pgtree.Unwrap(n).(*pg.DefElem); ok && d.GetDefname() == "password" {
				a.Traits = addTrait(a.Traits, signalbox.TraitCredentials)
				a.Reason = "sets a role's password"
			}
			if d, ok := pgtree.Unwrap(n).(*pg.DefElem); ok && powers(d.GetDefname()) && j.optionOn(d) {
				a.Traits = addTrait(a.Traits, signalbox.TraitAdmin)
				a.Reason = "gives a role powers: " + strings.ToUpper(d.GetDefname())
			}
			if d, ok := pgtree.Unwrap(n).(*pg.DefElem); ok && j.shutsOut(d) {
				a.Traits = addTrait(a.Traits, signalbox.TraitInterrupts)
				a.Reason = "may keep the role from logging in"
			}
		}
	case *pg.AlterRoleSetStmt:
		name := "*"
		if x.GetRole() != nil {
			name = roleName(x.GetRole())
		}
		j.keepSetting("ALTER ROLE SET", x.GetSetstmt(), "role", name)
	case *pg.DropRoleStmt:
		a := j.one(signalbox.Delete, "DROP ROLE", "role", "*", "removes roles")
		a.Resources = nil
		for _, n := range x.GetRoles() {
			a.Resources = append(a.Resources, signalbox.Resource{Type: "role", Name: roleName(pgtree.Unwrap(n)), Whole: true})
		}
		j.counted(a)
	case *pg.DropOwnedStmt:
		a := j.one(signalbox.Delete, "DROP OWNED", "role", "*", "removes everything that a role owns, and its rights",
			signalbox.TraitUnscoped, signalbox.TraitTop)
		a.Impact = signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeAll}
		j.roles(a, x.GetRoles())
		j.cascade(a, x.GetBehavior())
	case *pg.ReassignOwnedStmt:
		a := j.one(signalbox.Permission, "REASSIGN OWNED", "role", "*",
			"gives everything that a role owns to another", signalbox.TraitUnscoped, signalbox.TraitTop,
			signalbox.TraitAdmin)
		a.Impact = signalbox.Impact{Count: signalbox.CountUnknown, Scope: signalbox.ScopeAll}
		j.roles(a, append(x.GetRoles()[:len(x.GetRoles()):len(x.GetRoles())],
			&pg.Node{Node: &pg.Node_RoleSpec{RoleSpec: x.GetNewrole()}}))
	case *pg.AlterOwnerStmt:
		name := dotted(objectName(pgtree.Unwrap(x.GetObject())))
		if v := x.GetRelation(); v != nil {
			name, _ = j.relation(v)
		}
		a := j.one(signalbox.Permission, "ALTER "+objectWords(x.GetObjectType())+" OWNER",
			objectKind(x.GetObjectType()), name, "gives the object to another owner")
		a.Traits = append(a.Traits, signalbox.TraitAdmin) // an owner may do everything with it
		switch x.GetObjectType() {
		case pg.ObjectType_OBJECT_DATABASE, pg.ObjectType_OBJECT_SCHEMA, pg.ObjectType_OBJECT_TABLESPACE:
			a.Traits = append(a.Traits, signalbox.TraitTop)
		}
	default:
		return false
	}
	return true
}

// opens gives the traits of a GRANT that opens doors: to everybody, or to a role
// that may do everything afterwards or give the rights on.
func opens(x *pg.GrantStmt) []signalbox.Trait {
	if !x.GetIsGrant() {
		return nil
	}
	var ts []signalbox.Trait
	for _, n := range x.GetGrantees() {
		if roleName(pgtree.Unwrap(n)) == "PUBLIC" {
			ts = addTrait(ts, signalbox.TraitPublic)
		}
	}
	all := len(x.GetPrivileges()) == 0 // ALL
	switch x.GetObjtype() {
	case pg.ObjectType_OBJECT_PARAMETER_ACL: // settings that only administrators set
		ts = addTrait(ts, signalbox.TraitAdmin)
	case pg.ObjectType_OBJECT_LANGUAGE:
		for _, n := range x.GetObjects() {
			if l := dotted(objectName(pgtree.Unwrap(n))); strings.HasSuffix(l, "u") || l == "c" || l == "internal" {
				ts = addTrait(ts, signalbox.TraitAdmin) // code that nothing confines
			}
		}
	}
	if x.GetGrantOption() || all && x.GetTargtype() != pg.GrantTargetType_ACL_TARGET_OBJECT || all &&
		x.GetObjtype() == pg.ObjectType_OBJECT_DATABASE {
		ts = addTrait(ts, signalbox.TraitAdmin)
	}
	return ts
}

// powers reports whether an attribute lets a role pass all rights, or take them.
func powers(attribute string) bool {
	switch attribute {
	case "superuser", "createrole", "bypassrls", "isreplication":
		return true
	}
	return false
}

// shutsOut reports whether an option of a role may end its log-ins.
func (j *judge) shutsOut(d *pg.DefElem) bool {
	switch d.GetDefname() {
	case "canlogin":
		return !j.optionOn(d)
	case "connectionlimit", "validUntil":
		return true
	case "password":
		return d.GetArg() == nil // PASSWORD NULL
	}
	return false
}

// powerful reports whether membership in a role may give rights without limit.
// What a role may do is not in the request, so that any does which is not by its
// name for looking alone: PostgreSQL's own that watch, and readers.
func powerful(role string) bool {
	switch role {
	case "pg_monitor", "pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables", "pg_checkpoint",
		"pg_signal_autovacuum_worker":
		return false
	}
	if strings.HasPrefix(role, "pg_") {
		return true
	}
	looks := false
	between := func(r rune) bool { return r == '_' || r == '-' || r == ' ' }
	for word := range strings.FieldsFuncSeq(strings.ToLower(role), between) {
		switch word {
		case "read", "reader", "readers", "readonly", "reads", "ro", "report", "reports", "reporting", "analyst",
			"analysts", "analytics", "viewer", "viewers", "monitor", "monitoring", "metrics", "select", "bi":
			looks = true
		case "write", "writer", "writers", "readwrite", "rw", "owner", "owners", "admin", "admins", "super", "superuser",
			"root", "dba", "all":
			return true
		}
	}
	return !looks
}

func (j *judge) roles(a *signalbox.Action, nodes []*pg.Node) {
	a.Resources = nil
	for _, n := range nodes {
		a.Resources = append(a.Resources, signalbox.Resource{Type: "role", Name: roleName(pgtree.Unwrap(n)), Whole: true})
	}
}

// counted sets count and scope from the number of resources.
func (j *judge) counted(a *signalbox.Action) {
	a.Impact.Count = int64(len(a.Resources))
	if a.Impact.Count > 1 && a.Impact.Scope == signalbox.ScopeOne {
		a.Impact.Scope = signalbox.ScopeSome
	}
}

func (j *judge) cascade(a *signalbox.Action, b pg.DropBehavior) {
	if b == pg.DropBehavior_DROP_CASCADE {
		a.Traits = addTrait(a.Traits, signalbox.TraitCascade)
	}
}

func roleName(m any) string {
	r, ok := m.(*pg.RoleSpec)
	if !ok {
		return "*"
	}
	switch r.GetRoletype() {
	case pg.RoleSpecType_ROLESPEC_CSTRING:
		return r.GetRolename()
	case pg.RoleSpecType_ROLESPEC_CURRENT_ROLE, pg.RoleSpecType_ROLESPEC_CURRENT_USER:
		return "CURRENT_USER"
	case pg.RoleSpecType_ROLESPEC_SESSION_USER:
		return "SESSION_USER"
	case pg.RoleSpecType_ROLESPEC_PUBLIC:
		return "PUBLIC"
	}
	return "*"
}

func (j *judge) grant(x *pg.GrantStmt) {
	native, reason := "GRANT", "gives rights"
	if !x.GetIsGrant() {
		native, reason = "REVOKE", "takes rights away"
	}
	kind := objectKind(x.GetObjtype())
	a := j.one(signalbox.Permission, native, kind, "*", reason, opens(x)...)
	a.Resources = nil
	for _, n := range x.GetObjects() {
		switch o := pgtree.Unwrap(n).(type) {
		case *pg.RangeVar:
			res, _, _ := j.table(o)
			a.Resources = append(a.Resources, res)
		default:
			a.Resources = append(a.Resources, signalbox.Resource{Type: kind, Name: dotted(objectName(o))})
		}
	}
	if !x.GetIsGrant() && locksOut(x) {
		a.Traits = append(a.Traits, signalbox.TraitInterrupts)
		a.Reason = "takes rights away without which nothing is reached"
	}
	if x.GetTargtype() == pg.GrantTargetType_ACL_TARGET_ALL_IN_SCHEMA {
		a.Impact.Scope = signalbox.ScopeAll
		a.Traits = append(a.Traits, signalbox.TraitBulk)
		for i := range a.Resources {
			a.Resources[i] = signalbox.Resource{Type: "schema", Name: a.Resources[i].Name, Whole: true}
		}
	} else {
		j.counted(a)
	}
	for _, n := range x.GetGrantees() {
		a.Resources = append(a.Resources, signalbox.Resource{Type: "role", Name: roleName(pgtree.Unwrap(n))})
	}
}

// onlyLooks reports whether an option makes the role a member of roles that only
// look.
func onlyLooks(d *pg.DefElem) bool {
	list, ok := pgtree.Unwrap(d.GetArg()).(*pg.List)
	if !ok || d.GetDefname() != "addroleto" {
		return false
	}
	for _, n := range list.GetItems() {
		if powerful(roleName(pgtree.Unwrap(n))) {
			return false
		}
	}
	return true
}

// locksOut reports whether a REVOKE takes a role's way to a database, to a schema
// or to all that is in one. Taking it from PUBLIC alone tidies up.
func locksOut(x *pg.GrantStmt) bool {
	named := false
	for _, n := range x.GetGrantees() {
		named = named || roleName(pgtree.Unwrap(n)) != "PUBLIC"
	}
	return named && (x.GetTargtype() == pg.GrantTargetType_ACL_TARGET_ALL_IN_SCHEMA ||
		x.GetObjtype() == pg.ObjectType_OBJECT_DATABASE || x.GetObjtype() == pg.ObjectType_OBJECT_SCHEMA)
}

// createRole judges CREATE ROLE, USER and GROUP: a role without powers is a
// thing like any other, a role with powers or a password is a permission.
func (j *judge) createRole(x *pg.CreateRoleStmt) {
	a := j.one(signalbox.Create, "CREATE ROLE", "role", x.GetRole(), "makes a role without powers")
	for _, n := range x.GetOptions() {
		d, ok := pgtree.Unwrap(n).(*pg.DefElem)
		if !ok {
			continue
		}
		switch d.GetDefname() {
		case "canlogin", "inherit", "connectionlimit", "validUntil", "sysid":
		case "superuser", "createrole", "createdb", "bypassrls", "isreplication":
			if j.optionOn(d) {
				a.Verb, a.Reason = signalbox.Permission, "makes a role with powers: "+strings.ToUpper(d.GetDefname())
				if powers(d.GetDefname()) {
					a.Traits = addTrait(a.Traits, signalbox.TraitAdmin)
				}
			}
		case "password":
			a.Verb, a.Reason = signalbox.Permission, "makes a role with a password"
			a.Traits = addTrait(a.Traits, signalbox.TraitCredentials)
		default: // addroleto, rolemembers, adminmembers, and what may come
			a.Verb, a.Reason = signalbox.Permission, "makes a role that is a member of others, or others of it"
			if d.GetDefname() != "rolemembers" && !onlyLooks(d) {
				a.Traits = addTrait(a.Traits, signalbox.TraitAdmin)
			}
		}
	}
	if a.Verb == signalbox.Permission {
		a.Impact.Reversible = false
	}
}
