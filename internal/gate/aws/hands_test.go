package aws

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
)

// Each scenario of rights, destruction and code by another hand, as a client of
// AWS's would send it, through a gate with the default policies. What may not pass
// does not arrive.
func TestByAnotherHand(t *testing.T) {
	h := newHouse(t, nil)
	f, err := os.Open("../../../test/corpus/aws-hands.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sent, passed := 0, 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var s struct {
			ID, Title string
			Actor     map[string]string
			Requests  []struct {
				Service, Operation, Region string
				Parameters                 json.RawMessage
				Expect                     []string
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		if s.Actor["agent"] == "" {
			continue
		}
		// Somebody else each time: what one was refused counts against him.
		if _, _, err := h.Lock.AddPerson(t.Context(), h.Person("root"), s.ID, nil, false); err != nil {
			t.Fatal(err)
		}
		c, _ := h.open("kiro", s.ID)
		for _, q := range s.Requests {
			op, ok := awswire.Find(q.Service, q.Operation)
			if !ok {
				t.Fatalf("%s: no operation %s of %s", s.ID, q.Operation, q.Service)
			}
			var params map[string]any
			d := json.NewDecoder(strings.NewReader(strings.ReplaceAll(string(q.Parameters), "111122223333", account)))
			d.UseNumber()
			if err := d.Decode(&params); err != nil {
				t.Fatal(err)
			}
			before := h.ofClients()
			err := h.encoded(c, op, q.Region, params)
			arrived := h.ofClients() - before
			sent++
			if slices.Contains(q.Expect, "allow") {
				passed++
				if arrived != 1 {
					t.Errorf("%s %s: it is ordinary work and did not arrive: %v", s.ID, s.Title, err)
				}
			} else if status(err) != 403 || arrived != 0 {
				t.Errorf("%s %s: %d arrived, and the client was told %v", s.ID, s.Title, arrived, err)
			}
		}
	}
	if sent < 100 || passed < 8 {
		t.Errorf("%d requests were sent, %d to pass", sent, passed)
	}
}

// ofClients counts what arrived and was no look of the gate's own.
func (h *house) ofClients() int {
	n := 0
	for _, a := range h.up.arrivals() {
		if a.header.Get("User-Agent") != "signalbox/probe" {
			n++
		}
	}
	return n
}

// encoded sends a call in the wire form that the table has for it.
func (h *house) encoded(c *client, op *awswire.Operation, region string, params map[string]any) error {
	h.t.Helper()
	r, err := awswire.Encode(op, params, region, c.base)
	if err != nil {
		h.t.Fatal(err)
	}
	var body []byte
	if r.Body != nil {
		if body, err = io.ReadAll(r.Body); err != nil {
			h.t.Fatal(err)
		}
	}
	var header []string
	for name, values := range r.Header {
		header = append(header, name, values[0])
	}
	_, err = c.as(op.Service.SigningName).do(context.Background(), r.Method, r.URL.RequestURI(), body, header...)
	return err
}

// A header in the query is one to some readers and none to others: no service's
// passes there.
func TestHeadersInTheQuery(t *testing.T) {
	h := newHouse(t, nil)
	agent, _ := h.open("kiro", "alice")
	human, _ := h.open("", "alice")
	const invoke = "/2015-03-31/functions/f/invocations?"
	for _, c := range []*client{agent, human, agent.secure()} {
		for _, query := range []string{
			"X-Amz-Invocation-Type=DryRun", "x-amz-invocation-type=DryRun", "X-AMZ-INVOCATION-TYPE=DryRun",
			"%58-Amz-Invocation-Type=DryRun",
			"X%2DAmz%2DInvocation%2DType=DryRun", "a=b&X-Amz-Invocation-Type=DryRun",
			"X-Amz-Invocation-Type=DryRun&X-Amz-Invocation-Type=DryRun",
			"%20X-Amz-Invocation-Type=DryRun", "X-Amz-Invocation-Type",
		} {
			_, err := c.as("lambda").do(t.Context(), "POST", invoke+query, []byte("{}"))
			wantError(t, err, 400, "no presigned URL")
		}
		_, err := c.as("s3").do(t.Context(), "PUT", "/b/k?x-amz-acl=public-read", []byte("x"))
		wantError(t, err, 400)
		_, err = c.as("glacier").do(t.Context(), "POST", "/-/vaults/v/archives?x-amz-sha256-tree-hash=0", []byte("x"))
		wantError(t, err, 400)
	}
	if n := len(h.up.arrivals()); n != 0 {
		t.Errorf("%d arrived: %s", n, h.up.last().target)
	}
	// As a header it is what it says.
	if _, err := human.as("lambda").do(t.Context(), "POST", strings.TrimSuffix(invoke, "?"), []byte("{}"),
		"X-Amz-Invocation-Type", "DryRun"); err != nil {
		t.Error(err)
	}
	if n := len(h.up.arrivals()); n != 1 {
		t.Errorf("%d arrived", n)
	}
}

// Whose session a role's is stands in AWS's log, and not what the client says.
func TestRoleSessionNames(t *testing.T) {
	h := newHouse(t, nil)
	h.sts("deploy")
	agent, s := h.open("kiro", "alice")
	assume := func(name, more string) error {
		_, err := agent.as("sts").do(t.Context(), "POST", "/",
			[]byte("Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A"+account+
				"%3Arole%2Fdeploy&RoleSessionName="+name+more),
			"Content-Type", "application/x-www-form-urlencoded")
		return err
	}
	if err := assume("alice-the-admin", "&SourceIdentity=alice"); err != nil {
		t.Fatal(err)
	}
	body := string(h.up.last().body)
	if want := "RoleSessionName=" + string(s.ID) + "%40kiro"; !strings.Contains(body, want) ||
		!strings.Contains(body, "SourceIdentity="+string(s.ID)) || strings.Contains(body, "alice") {
		t.Errorf("AWS was told %s, want %s", body, want)
	}
	n := len(h.up.arrivals())
	for _, name := range []string{"a", "alice%0Aadmin", "a%20b", strings.Repeat("a", 65), "%C3%A9%C3%A9"} {
		wantError(t, assume(name, ""), 400, "ValidationError")
	}
	wantError(t, assume("fine", "&SourceIdentity=alice%0Aadmin"), 400, "ValidationError")
	if len(h.up.arrivals()) != n {
		t.Error("a name that AWS does not take arrived")
	}
}
