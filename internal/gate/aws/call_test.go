package aws

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox"
	classify "github.com/signalbox-dev/signalbox/internal/classify/aws"
	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

var update = flag.Bool("update", false, "rewrite golden files")

// The canonical form: what changes the meaning changes the digest, and nothing
// else does. The digests are for ever: approvals and retries hang on them.
func TestCanonicalForm(t *testing.T) {
	base := func() (*exchange, *call) {
		op, ok := awswire.Find("dynamodb", "PutItem")
		if !ok {
			t.Fatal("no operation")
		}
		x := &exchange{g: &Gate{}, op: op}
		x.g.Upstream.Account = account
		c := &call{x: x, service: "dynamodb", region: "eu-central-1", account: account,
			params: map[string]any{"TableName": "t",
				"Item": map[string]any{"n": map[string]any{"N": json.Number("1")}}}}
		c.native.Payload = -1
		return x, c
	}
	digests := map[string]string{}
	for name, change := range map[string]func(*exchange, *call){
		"plain":           func(*exchange, *call) {},
		"another region":  func(_ *exchange, c *call) { c.region = "eu-west-1" },
		"another account": func(_ *exchange, c *call) { c.account = "210987654321" },
		"another value":   func(_ *exchange, c *call) { c.params["TableName"] = "u" },
		"number as text": func(_ *exchange, c *call) {
			c.params["Item"] = map[string]any{"n": map[string]any{"N": "1"}}
		},
		"as a role": func(x *exchange, _ *call) {
			x.role = &role{claim: &claim{Role: "arn:aws:iam::" + account + ":role/a"}}
		},
		"as a role, limited": func(x *exchange, _ *call) {
			x.role = &role{claim: &claim{Role: "arn:aws:iam::" + account + ":role/a", Policy: strings.Repeat("0", 64)}}
		},
		"as a role from a role": func(x *exchange, _ *call) {
			x.role = &role{claim: &claim{Role: "arn:aws:iam::" + account + ":role/a",
				From: &claim{Role: "arn:aws:iam::" + account + ":role/b"}}}
		},
		"unknown member": func(x *exchange, c *call) {
			c.params[""] = []string{"New"}
			x.body.whole, x.body.sha256 = []byte("{}"), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
			x.wire = awswire.Request{Method: "POST", Path: "/",
				Header: http.Header{"X-Amz-Target": {"DynamoDB_20120810.PutItem"}, "User-Agent": {"any"}}}
		},
		"unknown operation": func(x *exchange, c *call) {
			x.op, c.params = nil, nil
			x.body.whole, x.body.sha256 = []byte("{}"), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
			x.wire = awswire.Request{Method: "POST", Path: "/",
				Header: http.Header{"X-Amz-Target": {"DynamoDB_20120810.New"}}}
		},
		"another operation": func(x *exchange, _ *call) { x.op, _ = awswire.Find("dynamodb", "UpdateItem") },
		"with a payload": func(x *exchange, c *call) {
			x.op, _ = awswire.Find("s3", "PutObject")
			c.params, c.native.Payload = map[string]any{"Bucket": "b", "Key": "k"}, 5
			x.body.length, x.body.sha256 = 5, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
		},
	} {
		x, c := base()
		change(x, c)
		digests[name] = c.canonical().String()
	}
	seen := map[string]string{}
	for name, d := range digests {
		if other := seen[d]; other != "" {
			t.Errorf("%q and %q have the same digest", name, other)
		}
		seen[d] = name
	}

	const file = "testdata/canonical.json"
	got, err := json.MarshalIndent(digests, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.TrimSpace(string(want)), string(got)); d != "" {
		t.Errorf("(-golden +is)\n%s", d)
	}

	// Idempotency tokens are made up anew each time.
	x, c := base()
	x.op, _ = awswire.Find("cloudformation", "DeleteStack")
	if len(x.op.Tokens()) == 0 {
		x.op, _ = awswire.Find("ec2", "RunInstances")
	}
	token := x.op.Tokens()[0]
	c.params = map[string]any{token: "one"}
	one := c.canonical()
	c.params = map[string]any{token: "two"}
	if c.canonical() != one {
		t.Errorf("the token %s of %s changes the digest", token, x.op.Name)
	}
}

// A golden digest of a whole request, from the wire.
func TestCanonicalFormFromTheWire(t *testing.T) {
	digest := func(id string, change func(*client), body string, header ...string) signalbox.Digest {
		b := newTestGate(t, nil)
		b.Decide = holding("dynamodb:PutItem")
		c := b.client(id)
		if change != nil {
			change(c)
		}
		c.call(t.Context(), "PutItem", body, header...)
		return b.Requests[0].Canonical
	}
	plain := digest("agent-kiro", nil, putItem)
	for name, same := range map[string]signalbox.Digest{
		"another session":   digest("human-alice", nil, putItem),
		"TLS and HTTP/2":    digest("agent-kiro", func(c *client) { c.secure() }, putItem),
		"other white space": digest("agent-kiro", nil, `{ "Item" : {"id":{"S":"1"}}, "TableName":"orders" }`),
		"SDK's own headers": digest("agent-kiro", nil, putItem, "Amz-Sdk-Invocation-Id", "2", "Amz-Sdk-Request",
			"attempt=2", "User-Agent", "other"),
	} {
		if same != plain {
			t.Errorf("%s changes the digest", name)
		}
	}
	if digest("agent-kiro", nil, strings.Replace(putItem, `"1"`, `"2"`, 1)) == plain || digest("agent-kiro", func(c *client) { c.region = "us-east-1" }, putItem) == plain {
		t.Error("another meaning has the same digest")
	}
}

// What approvers read has everything that they decide about.
func TestTextForPeople(t *testing.T) {
	b := newTestGate(t, nil)
	b.Decide = func(r interlock.Request) error { return holding(r.Actions[0].Native)(r) }
	b.client("agent-kiro").as("s3").do(t.Context(), "PUT", "/bucket/key", []byte("hello"), "X-Amz-Acl", "public-read")
	text := b.Requests[0].Text
	for _, part := range []string{"s3:PutObject in eu-central-1 of account " + account, `"Bucket": "bucket"`,
		`"ACL": "public-read"`, "Payload: 5 bytes, SHA-256 2cf24dba5fb0a30e"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
	// What is too long to be shown whole cannot be approved.
	b.client("agent-kiro").call(t.Context(), "PutItem", `{"TableName":"orders","Item":{"id":{"S":"`+
		strings.Repeat("x", maxShown)+`"}}}`)
	if r := b.Requests[1]; !r.Partial || len(r.Text) > maxShown+10 {
		t.Errorf("partial %v with %d bytes", r.Partial, len(r.Text))
	}
}

func TestTouchedIsCountedBefore(t *testing.T) {
	one := signalbox.Resource{Type: "table", Name: "a"}
	two := signalbox.Resource{Type: "table", Name: "b"}
	for name, c := range map[string]struct {
		count     int64
		resources []signalbox.Resource
		want      map[string]int64
	}{
		"known":        {7, []signalbox.Resource{one}, map[string]int64{"table a": 7}},
		"known of two": {7, []signalbox.Resource{one, two}, map[string]int64{"table a": 1, "table b": 6}},
		"unknown": {signalbox.CountUnknown, []signalbox.Resource{one, two},
			map[string]int64{"table a": 1, "table b": 1}},
		"of nothing": {signalbox.CountUnknown, nil, map[string]int64{"x:Y": 1}},
	} {
		action := signalbox.Action{Verb: signalbox.Update, Native: "x:Y", Resources: c.resources,
			Impact: signalbox.Impact{Count: c.count}}
		e := &execution{x: &exchange{g: &Gate{}},
			c: &call{actions: []signalbox.Action{action}, native: classify.Call{}}}
		if d := cmp.Diff(c.want, e.touched(t.Context())); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	e := &execution{x: &exchange{g: &Gate{}},
		c: &call{actions: []signalbox.Action{{Verb: signalbox.Delete, Resources: []signalbox.Resource{one},
			Impact: signalbox.Impact{Count: 1}}}},
		probed: &signalbox.Impact{Count: 5, Dependants: 2}}
	if got := fmt.Sprint(e.touched(t.Context())); got != "map[table a:7]" {
		t.Errorf("measured: %s", got)
	}
}
