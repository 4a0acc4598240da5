package oracle

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/proof"
)

// A change is an object that differs between two pictures. Was or is is nil
// where it is new or gone.
type change struct {
	was, is *object
}

func (c change) object() object {
	if c.is != nil {
		return *c.is
	}
	return *c.was
}

func (c change) String() string {
	o := c.object()
	switch {
	case c.was == nil:
		return fmt.Sprintf("%s is new: %s", o, short(c.is.value))
	case c.is == nil:
		return fmt.Sprintf("%s is gone: was %s", o, short(c.was.value))
	}
	was, is := differing(c.was.value, c.is.value)
	return fmt.Sprintf("%s changed:\n\t\twas %s\n\t\tis  %s", o, short(was), short(is))
}

func short(s string) string {
	if len(s) > 600 {
		return s[:600] + "…"
	}
	return s
}

// differing leaves only the fields in which two rows of a catalog differ.
func differing(was, is string) (string, string) {
	var a, b map[string]json.RawMessage
	if json.Unmarshal([]byte(was), &a) != nil || json.Unmarshal([]byte(is), &b) != nil {
		return was, is
	}
	for k := range a {
		if string(a[k]) == string(b[k]) {
			delete(a, k)
			delete(b, k)
		}
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x), string(y)
}

// compare gives what differs, in a fixed order. What could not be read because it
// was locked did not change. Content that is there on one side alone is told by
// the definition that is.
func compare(a, b *picture) []change {
	keys := map[string]bool{}
	for k := range a.objects {
		keys[k] = true
	}
	for k := range b.objects {
		keys[k] = true
	}
	var changes []change
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		was, had := a.objects[k]
		is, has := b.objects[k]
		if had && has && was.value == is.value && was.name == is.name {
			continue
		}
		o := was
		if !had {
			o = is
		}
		if o.aspect != definition && had != has && o.kind != "large object" {
			continue
		}
		c := change{}
		if had {
			c.was = &was
		}
		if has {
			c.is = &is
		}
		changes = append(changes, c)
	}
	return changes
}

// judge gives what no intent names, and where rows changed that no outcome
// accounts for.
func judge(before, after *picture, changes []change, intents []*intent) []string {
	if len(changes) == 0 {
		return nil
	}
	w := world{before, after}
	type reach struct {
		*intent
		names map[string]bool // keys
	}
	var reaches []reach
	for _, in := range intents {
		reaches = append(reaches, reach{in, w.reach(in)})
	}
	var violations []string
	for _, c := range changes {
		o := c.object()
		var by, failed []*intent
		for _, r := range reaches {
			switch {
			case !r.names[o.key()] && (!r.names[everythingKey] || r.spared(o)):
			case r.tookEffect(), o.aspect == position: // a failed INSERT has taken its numbers
				by = append(by, r.intent)
			default:
				failed = append(failed, r.intent)
			}
		}
		switch {
		case len(by) == 0 && len(failed) > 0:
			violations = append(violations, fmt.Sprintf("%s\n\tonly intents name it whose outcome says failed: %s", c,
				failed[0]))
		case len(by) == 0:
			violations = append(violations, fmt.Sprintf("%s\n\tno intent names it", c))
		case o.aspect == content && o.kind == "table":
			if v := account(c, by); v != "" {
				violations = append(violations, v)
			}
		}
	}
	return violations
}

// spared reports whether an intent of unknown effect cannot have changed the rows of
// an object: what it touched was counted, by table, and that is not among it. What
// it did to definitions is not counted, and is not known.
func (i *intent) spared(o object) bool {
	if o.aspect != content || o.kind != "table" || i.outcome.Result != signalbox.Done || i.outcome.Touched == nil {
		return false
	}
	for name := range i.outcome.Touched {
		if strings.HasPrefix(name, "(") || unquoted(name) == unquoted(o.name) {
			return false
		}
	}
	return true
}

// account compares what changed in a table's rows with what the outcomes say.
func account(c change, by []*intent) string {
	var total int64
	for _, in := range by {
		n, ok := rowsOf(in, unquoted(c.was.name))
		if !ok {
			return ""
		}
		total += n
	}
	delta := c.is.rows - c.was.rows
	if delta < 0 {
		delta = -delta
	}
	if delta > total || total == 0 {
		return fmt.Sprintf("%s\n\toutcomes account for %d rows of it", c, total)
	}
	return ""
}

// rowsOf gives how many rows of a table an intent touched, where it tells.
func rowsOf(in *intent, table string) (int64, bool) {
	alone := true
	for _, a := range in.actions {
		if operation(a) == "TRUNCATE" || !everything(a) && !ofRows(a) && a.Verb != signalbox.Read {
			return 0, false
		}
		if everything(a) && in.outcome.Touched == nil {
			return 0, false // not counted: it may be anything
		}
		for _, r := range a.Resources {
			alone = alone && (a.Verb == signalbox.Read || unquoted(r.Name) == table)
		}
	}
	if in.outcome.Result != signalbox.Done {
		return 0, false
	}
	if in.outcome.Touched != nil {
		var other int64
		for name, n := range in.outcome.Touched {
			if unquoted(name) == table {
				return n, true
			}
			if strings.HasPrefix(name, "(") { // what the gate could not count by table
				other += n
			}
		}
		return other, other == 0
	}
	return in.outcome.Rows, alone && in.outcome.Rows >= 0
}

// everythingKey stands among names for all there is.
const everythingKey = "*"

// everything reports whether an action is code of unknown effect. Code that acts
// later is not: it has a name until then.
func everything(a proof.Action) bool {
	star := slices.ContainsFunc(a.Resources, func(r signalbox.Resource) bool {
		return r.Name == "*" && (r.Type == "unknown" || r.Type == "*" || a.Verb == signalbox.Execute)
	})
	native := operation(a)
	return star || len(a.Resources) == 0 && a.Verb == signalbox.Execute ||
		a.Verb == signalbox.Execute && slices.Contains(a.Traits, signalbox.TraitOpaque) &&
			!slices.Contains(a.Traits, signalbox.TraitDeferred) ||
		strings.HasPrefix(native, "DROP OWNED") || strings.HasPrefix(native, "REASSIGN OWNED")
}

func operation(a proof.Action) string { return strings.ToUpper(a.Native) }

// ofRows reports whether an action changes rows and no definition.
func ofRows(a proof.Action) bool {
	switch first, _, _ := strings.Cut(operation(a), " "); first {
	case "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "COPY", "SELECT":
		return true
	}
	return false
}

// A world is what was there before, and what is there now.
type world struct{ before, after *picture }

// reach gives the keys of what an intent names, or that depends on it.
func (w world) reach(in *intent) map[string]bool {
	keys := map[string]bool{}
	for _, a := range in.actions {
		if a.Verb == signalbox.Read {
			continue
		}
		if everything(a) {
			keys[everythingKey] = true
			continue
		}
		for _, p := range []*picture{w.before, w.after} {
			named := p.named(a)
			if ofRows(a) {
				p.follow(named, func(e edge) bool {
					switch e.kind {
					case "data":
						return a.Verb == signalbox.Update || a.Verb == signalbox.Delete || a.Verb == signalbox.Replace
					case "truncate":
						return operation(a) == "TRUNCATE" && slices.Contains(a.Traits, signalbox.TraitCascade)
					case "child", "default", "a", "i":
						return true
					}
					return false
				})
				mark(keys, named, content, position)
				if operation(a) == "TRUNCATE" {
					mark(keys, named, storage)
				}
				continue
			}
			cascades := slices.Contains(a.Traits, signalbox.TraitCascade) || a.Verb == signalbox.Delete ||
				a.Verb == signalbox.Replace ||
				a.Verb == signalbox.Permission
			p.follow(named, func(e edge) bool {
				return cascades || e.kind != "n" && e.kind != "data" &&
					e.kind != "truncate"
			})
			mark(keys, named, definition, content, position, storage)
		}
	}
	for name := range in.outcome.Touched {
		for _, p := range []*picture{w.before, w.after} {
			for _, o := range p.objects {
				if o.aspect == content && unquoted(o.name) == unquoted(name) {
					keys[o.key()] = true
				}
			}
		}
	}
	return keys
}

func mark(keys, addrs map[string]bool, aspects ...aspect) {
	for addr := range addrs {
		for _, a := range aspects {
			keys[string(a)+" "+addr] = true
		}
	}
}

// named gives the addresses of what an action names.
func (p *picture) named(a proof.Action) map[string]bool {
	addrs := map[string]bool{}
	for _, o := range p.objects {
		for _, r := range a.Resources {
			if names(r, o) {
				addrs[o.addr] = true
			}
		}
	}
	return addrs
}

// follow adds what depends on the addresses, along the edges that are let.
func (p *picture) follow(addrs map[string]bool, let func(edge) bool) {
	for grown := true; grown; {
		grown = false
		for _, e := range p.edges {
			if addrs[e.to] && !addrs[e.from] && let(e) {
				addrs[e.from], grown = true, true
			}
			// A view hangs on what it reads by its rule.
			if addrs[e.from] && !addrs[e.to] && e.kind == "i" && strings.HasPrefix(e.from, "pg_rewrite ") {
				addrs[e.to], grown = true, true
			}
		}
	}
}

// alone are kinds of things in no schema: a name of theirs means nothing else.
var alone = []string{"role", "schema", "database", "extension", "tablespace", "language", "publication", "subscription",
	"event trigger", "server", "foreign-data wrapper", "setting", "catalog", "large object", "prepared transaction",
	"advisory lock",
	"replication slot", "parameter", "access method", "cast"}

// names reports whether a resource is an object by its name.
func names(r signalbox.Resource, o object) bool {
	kind := r.Type
	switch kind {
	case "user", "group":
		kind = "role"
	}
	if r.Name == "*" {
		return kind == o.kind
	}
	name, have := unquoted(r.Name), unquoted(o.name)
	if slices.Contains(alone, o.kind) || slices.Contains(alone, kind) {
		return kind == o.kind && name == have
	}
	if name == have || "public."+name == have {
		return true
	}
	if at := strings.IndexByte(have, '('); at > 0 && (name == have[:at] || "public."+name == have[:at]) {
		return true // a function, whatever its arguments
	}
	// "t on public.orders", "for public.orders.id": named as public.orders.t or t.
	if part, of, ok := strings.Cut(have, " on "); ok {
		return name == part || name == of+"."+part
	}
	return false
}

// unquoted gives an identity without its quotes, and the arguments of a function
// without their names.
func unquoted(name string) string { return strings.ReplaceAll(name, `"`, "") }
