package pgwire

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every phase can be reached and is described in doc.go, and every transaction can
// end: by the table, or because it begins again with none.
func TestPhases(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	reached := map[phase]bool{none: true}
	for range phaseCount {
		for p := range phaseCount {
			for _, next := range phaseAfter[p] {
				reached[next] = reached[next] || reached[p]
			}
		}
	}
	for p := range phaseCount {
		if !reached[p] {
			t.Errorf("%s cannot be reached", p)
		}
		if !regexp.MustCompile(`(?m)^//\t` + regexp.QuoteMeta(p.String()) + `  `).Match(doc) {
			t.Errorf("doc.go does not tell what may be sent in phase %q", p)
		}
	}
}

func TestImpossiblePhaseEndsTheConnection(t *testing.T) {
	defer func() {
		if v := recover(); v == nil {
			t.Error("a transaction that is being committed was opened")
		}
	}()
	(&txn{phase: committing}).to(ours)
}

// What the server reports moves a transaction only where the block is the
// client's.
func TestReportedStatus(t *testing.T) {
	for _, c := range []struct {
		was    phase
		status byte
		want   phase
	}{
		{none, 'I', none}, {none, 'T', block}, {none, 'E', failed},
		{implicit, 'I', implicit},
		{ours, 'T', ours}, {ours, 'E', ours}, {oursReading, 'T', oursReading}, {oursReading, 'E', oursReading},
		{block, 'T', block}, {block, 'E', failed}, {block, 'I', none},
		{blockReading, 'T', blockReading}, {blockReading, 'E', failed}, {blockReading, 'I', none},
		{failed, 'E', failed}, {failed, 'T', block}, {failed, 'I', none},
		{committing, 'T', committing}, {committing, 'E', committing}, {committing, 'I', committing},
	} {
		if got := (&txn{phase: c.was}).reported(c.status); got != c.want {
			t.Errorf("%s and the server says %c: %s, want %s", c.was, c.status, got, c.want)
		}
	}
}

// A message is sent to the server in one place.
func TestOnePlaceWritesToTheServer(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	write := regexp.MustCompile(`\b(b|c\.server|up|server)\.conn\.Write\(`)
	var places []string
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for range write.FindAll(text, -1) {
			places = append(places, f.Name())
		}
	}
	if len(places) != 1 || places[0] != "backend.go" {
		t.Errorf("the server is written to in %q, want backend.write alone", places)
	}
}
