package oracle_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/test/oracle"
)

func TestUpstream(t *testing.T) {
	call := func(operation, table string) oracle.Arrival {
		return oracle.Arrival{Method: "POST", Target: "/",
			Header: http.Header{"X-Amz-Target": {"DynamoDB_20120810." + operation}},
			Body:   []byte(`{"TableName":"` + table + `"}`)}
	}
	stack := oracle.Arrival{Method: "POST", Target: "/",
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		Body:   []byte("Action=DeleteStack&StackName=a%2Fb")}
	object := oracle.Arrival{Method: "DELETE", Target: "/bucket/a%20b", Header: http.Header{}}
	drop := action(signalbox.Delete, "dynamodb:DeleteTable", "table", "orders")
	for _, c := range []struct {
		name     string
		arrivals []oracle.Arrival
		intents  []signalbox.Action
		reads    int
		want     int // failures
	}{
		{name: "reads", arrivals: []oracle.Arrival{call("ListTables", ""), {Method: "GET", Target: "/bucket"}},
			reads: 2},
		{name: "without an intent", arrivals: []oracle.Arrival{call("DeleteTable", "orders")}, want: 1},
		{name: "named", arrivals: []oracle.Arrival{call("DeleteTable", "orders")}, intents: []signalbox.Action{drop}},
		{name: "another resource", arrivals: []oracle.Arrival{call("DeleteTable", "customers")},
			intents: []signalbox.Action{drop}, want: 1},
		{name: "another operation", arrivals: []oracle.Arrival{call("UpdateTable", "orders")},
			intents: []signalbox.Action{drop}, want: 1},
		{name: "twice", arrivals: []oracle.Arrival{call("DeleteTable", "orders"), call("DeleteTable", "orders")},
			intents: []signalbox.Action{drop}, want: 1},
		{name: "not arrived", intents: []signalbox.Action{drop}},
		{name: "form", arrivals: []oracle.Arrival{stack},
			intents: []signalbox.Action{action(signalbox.Delete, "cloudformation:DeleteStack", "stack", "a/b")}},
		{name: "path", arrivals: []oracle.Arrival{object},
			intents: []signalbox.Action{action(signalbox.Delete, "s3:DeleteObject", "object", "bucket/a b")}},
		{name: "path under a read", arrivals: []oracle.Arrival{object},
			intents: []signalbox.Action{action(signalbox.Read, "s3:GetObject", "object", "bucket/a b")}, want: 1},
		{name: "matched whole", arrivals: []oracle.Arrival{call("PutItem", "a"), call("PutItem", "b")},
			intents: []signalbox.Action{action(signalbox.Create, "dynamodb:PutItem", "table", "*"),
				action(signalbox.Create, "dynamodb:PutItem", "table", "a")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var journal oracle.Journal
			for _, a := range c.intents {
				journal.Intent([]signalbox.Action{a})
			}
			l := &listener{TB: t}
			if got := oracle.CheckUpstream(l, journal.Entries, c.arrivals); got != c.reads {
				t.Errorf("%d reads, want %d", got, c.reads)
			}
			if len(l.failed) != c.want {
				t.Errorf("%d failures, want %d:\n%s", len(l.failed), c.want, strings.Join(l.failed, "\n"))
			}
		})
	}
}
