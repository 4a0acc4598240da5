package sql

import (
	"strings"
	"testing"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/signalbox-dev/signalbox"
)

// notStatements end in Stmt and are parts of others, or of PL/pgSQL, or made by
// the analyser: they cannot stand alone.
var notStatements = map[string]bool{
	"RawStmt": true, "SetOperationStmt": true, "ReturnStmt": true, "PLAssignStmt": true, "ReplicaIdentityStmt": true,
}

// Every kind of statement of the grammar is judged by something, be it an empty
// one; a new kind in a later grammar fails here and is worst until then.
func TestEveryStatementKind(t *testing.T) {
	fields := (&pg.Node{}).ProtoReflect().Descriptor().Fields()
	kinds := 0
	for i := range fields.Len() {
		f := fields.Get(i)
		name := string(f.Message().Name())
		if !strings.HasSuffix(name, "Stmt") {
			continue
		}
		kinds++
		n := &pg.Node{}
		n.ProtoReflect().Set(f, protoreflect.ValueOfMessage(n.ProtoReflect().NewField(f).Message()))
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("panics on an empty statement: %v", p)
				}
			}()
			s, _ := newBatch(nil, nil).statement(n)
			unknown := s.Kind == KindUnknown && strings.Contains(s.Action.Reason, "kind of statement")
			if unknown != notStatements[name] {
				t.Errorf("unknown = %v, want %v (%s)", unknown, notStatements[name], s.Action.Reason)
			}
		})
	}
	if kinds < 115 {
		t.Errorf("the grammar has %d kinds of statements: too few to be true", kinds)
	}
}

func TestEveryAlterTableSubcommand(t *testing.T) {
	for n, name := range pg.AlterTableType_name {
		alt, ok := alterations(pg.AlterTableType(n))
		if ok != (n != 0) {
			t.Errorf("%s: known = %v", name, ok)
		}
		if ok && (alt.verb == "" || alt.verb == signalbox.Read || alt.reason == "") {
			t.Errorf("%s: %+v", name, alt)
		}
	}
}

func TestReviewedFunctions(t *testing.T) {
	classes := map[string]bool{}
	for name, class := range reviewed() {
		if builtins()[name] {
			t.Errorf("%s stands in functions.txt and in builtins.txt", name)
		}
		classes[class] = true
		j := &judge{batch: newBatch(nil, nil), readOnly: true}
		j.builtin(name, class, []*pg.Node{pg.MakeStrNode("a"), pg.MakeStrNode("b")})
		if strings.Contains(j.worst, "no class") {
			t.Errorf("%s: %s", name, j.worst)
		}
	}
	if len(classes) < 12 {
		t.Errorf("only %d classes", len(classes))
	}
	// Every volatile or parallel-unsafe function that the server ships.
	for name := range nameSet(volatileText) {
		if _, ok := reviewed()[name]; !ok {
			t.Errorf("%s is volatile or unsafe in parallel and not reviewed in functions.txt", name)
		}
	}
	for _, name := range []string{"nextval", "setval", "pg_read_file", "lo_export", "query_to_xml", "set_config",
		"pg_terminate_backend"} {
		if builtins()[name] {
			t.Errorf("%s counts as harmless", name)
		}
	}
	if len(builtins()) < 2000 {
		t.Errorf("%d harmless functions: too few to be true", len(builtins()))
	}
}
