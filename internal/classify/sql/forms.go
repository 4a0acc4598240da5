package sql

import (
	_ "embed"
	"slices"
	"strings"
	"sync"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/sql/pgtree"
	"github.com/signalbox-dev/signalbox/internal/forms"
)

//go:embed reviewed.txt
var reviewedForms []byte

// shipped is the list of forms that are reviewed by default. A list with a mistake
// is no list: everything is unreviewed then.
var shipped = sync.OnceValue(func() *forms.List {
	l, _ := forms.Parse(reviewedForms)
	return l
})

// inForm gives an action its form, and the trait that it has if nobody has
// reviewed that.
func inForm(a *signalbox.Action, form string) {
	a.Form = form
	if !shipped().Has(form) {
		a.Traits = addTrait(a.Traits, signalbox.TraitUnreviewed)
	}
}

// inForms gives the effects of a statement that were added since before their
// form. Those that came from its expressions are judged as what they are.
func (j *judge) inForms(m any, before int) {
	switch m.(type) {
	case *pg.ExplainStmt, *pg.PrepareStmt, *pg.ExecuteStmt, *pg.DeclareCursorStmt, *pg.FetchStmt, *pg.CopyStmt:
		return // what they run or copy has been judged by itself
	}
	for i := before; i < len(j.effects); i++ {
		a := &j.effects[i]
		if a.Form == "" && a.Verb != signalbox.Read && !j.inside[i] {
			j.constant() // defaults, checks and options are named by their values
			inForm(a, formOf(m, a.Native))
		}
	}
}

// formOf gives the form of a statement: its name, or that of the table heads, and
// a word for each part that is set. A part that the tables do not name is there as
// other(…), which nobody can review: so an option of a later grammar, or one that
// nobody thought of, is unreviewed.
func formOf(m any, name string) string {
	x, ok := m.(proto.Message)
	if !ok {
		return name + " other(statement)"
	}
	w := words{parts: parts}
	w.message(x.ProtoReflect())
	if head, ok := heads[string(x.ProtoReflect().Descriptor().Name())]; ok {
		name = head
	}
	return w.form(name)
}

// onNew is the word of an index or a subcommand of ALTER TABLE whose table was made
// by the text itself, where locks and checks of all rows harm nobody.
func (b *batch) onNew(v *pg.RangeVar) string {
	if b.made[written(v)] {
		return " on-new"
	}
	return ""
}

func written(v *pg.RangeVar) string { return v.GetSchemaname() + "." + v.GetRelname() }

// makes notes a table that surely is a new one: if there was one of its name, the
// statement fails, and with it the rest of the text.
func (b *batch) makes(x *pg.CreateStmt) {
	if v := x.GetRelation(); v.GetRelpersistence() == "p" && !x.GetIfNotExists() {
		b.made = with(b.made, written(v), true)
	}
}

// keepsMade reports whether the tables that a text made are surely still what their
// names mean after a statement: it only reads or writes rows, or adds.
func keepsMade(s Statement) bool {
	if keepsTemporary(s) {
		return true
	}
	for _, a := range s.Actions() {
		if s.Kind != KindUtility || a.Verb != signalbox.Create || !strings.HasPrefix(a.Native, "ALTER TABLE ADD") {
			return false
		}
	}
	return true
}

// formOfCommand is formOf for one subcommand of ALTER TABLE.
func formOfCommand(x *pg.AlterTableStmt, cmd *pg.AlterTableCmd) string {
	w := words{parts: parts}
	w.message((&pg.AlterTableStmt{Relation: x.GetRelation(), MissingOk: x.GetMissingOk()}).ProtoReflect())
	w.message(cmd.ProtoReflect())
	return w.form("ALTER " + objectWords(x.GetObjtype()) + " " + subcommand(cmd))
}

// subcommand names a subcommand of ALTER TABLE as the grammar does, but for those
// that are known by other words.
func subcommand(cmd *pg.AlterTableCmd) string {
	switch t := cmd.GetSubtype(); t {
	case pg.AlterTableType_AT_ColumnDefault:
		if cmd.GetDef() == nil {
			return "DROP DEFAULT"
		}
		return "SET DEFAULT"
	case pg.AlterTableType_AT_AlterColumnType:
		return "ALTER COLUMN TYPE"
	case pg.AlterTableType_AT_SetOptions:
		return "ALTER COLUMN SET"
	case pg.AlterTableType_AT_ResetOptions:
		return "ALTER COLUMN RESET"
	case pg.AlterTableType_AT_SetRelOptions:
		return "SET"
	case pg.AlterTableType_AT_ResetRelOptions:
		return "RESET"
	case pg.AlterTableType_AT_ChangeOwner:
		return "OWNER TO"
	default:
		name, ok := strings.CutPrefix(t.String(), "AT_")
		if !ok {
			return "other(subcommand)"
		}
		return capitals(commonly.Replace(name))
	}
}

// commonly has the grammar's words for what goes by others.
var commonly = strings.NewReplacer("TrigAll", "TriggerAll", "TrigUser", "TriggerUser", "Trig", "Trigger",
	"RowSecurity", "RowLevelSecurity", "TableSpace", "Tablespace", "UnLogged", "Unlogged", "AddInherit", "Inherit",
	"DropInherit", "NoInherit")

// capitals makes SET NOT NULL of SetNotNull.
func capitals(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// words collects the words of a form.
type words struct {
	parts map[string]part
	list  []string
	depth int
}

func (w *words) add(word string) {
	if word != "" && !slices.Contains(w.list, word) {
		w.list = append(w.list, word)
	}
}

func (w *words) other(what string) { w.add("other(" + what + ")") }

// form gives the words behind a name, in order: a statement has one form however
// its options are arranged.
func (w *words) form(name string) string {
	slices.Sort(w.list)
	return strings.Join(append([]string{name}, w.list...), " ")
}

// A part says how a field of a node is named in a form. The zero part does not
// name it.
type part struct {
	word   string // the field stands for this word when it is set
	unset  string // or for this one when it is not
	silent string // the field says nothing that matters, for this reason
	nest   bool   // the nodes in the field have words of their own
	// by names the field by its value, in the node that it belongs to.
	by func(w *words, in protoreflect.Message, v protoreflect.Value)
}

// message names every field of a node that is set.
func (w *words) message(m protoreflect.Message) {
	if w.depth++; w.depth > maxDepth {
		w.other("depth")
		return
	}
	defer func() { w.depth-- }()
	name := string(m.Descriptor().Name())
	if len(m.GetUnknown()) > 0 {
		w.other(name)
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		p := w.parts[name+"."+string(f.Name())]
		switch {
		case !m.Has(f):
			w.add(p.unset)
		case p.silent != "" || p.unset != "":
		case p.word != "":
			w.add(p.word)
		case p.by != nil:
			p.by(w, m, m.Get(f))
		case p.nest && f.IsList() && f.Message() != nil:
			list := m.Get(f).List()
			for k := range list.Len() {
				w.node(list.Get(k).Message())
			}
		case p.nest && f.Message() != nil:
			w.node(m.Get(f).Message())
		default:
			w.other(string(f.Name()))
		}
	}
}

// node names what is inside of a node.
func (w *words) node(m protoreflect.Message) {
	if n, ok := m.Interface().(*pg.Node); ok {
		x, ok := pgtree.Unwrap(n).(proto.Message)
		if !ok {
			w.other("node")
			return
		}
		m = x.ProtoReflect()
	}
	switch name := string(m.Descriptor().Name()); {
	case nested[name]:
		w.message(m)
	default:
		w.other(name)
	}
}
