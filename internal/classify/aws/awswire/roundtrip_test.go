package awswire

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files anew")

// A maker makes up parameters of every type, different at every place.
type maker struct {
	n        int
	protocol Protocol
	full     bool // optional members too
}

func (m *maker) make(sh *shape, in *member, depth int, open map[*shape]int) any {
	m.n++
	switch sh.kind {
	case structure:
		v := map[string]any{}
		open[sh]++
		for i := range sh.members {
			x := &sh.members[i]
			if !x.required && (!m.full || depth > 4 || open[x.shape] > 0 && x.shape.kind <= mapping) || x.shape.events {
				continue
			}
			if open[x.shape] > 1 {
				continue // for ever
			}
			made := m.make(x.shape, x, depth+1, open)
			if made == nil && x.required && !m.full {
				// Required, and of nothing that is: something optional then.
				made = (&maker{n: m.n, protocol: m.protocol, full: true}).make(x.shape, x, depth+1, open)
			}
			if made != nil {
				v[x.name] = made
			}
		}
		open[sh]--
		if len(v) == 0 && (m.protocol == Query || m.protocol == EC2) {
			return nil // forms cannot say that
		}
		return v
	case list:
		if open[sh] > 1 {
			return nil
		}
		open[sh]++
		defer func() { open[sh]-- }()
		l := []any{}
		for range 2 {
			if x := m.make(sh.value, in, depth+1, open); x != nil {
				l = append(l, x)
			}
		}
		if len(l) == 0 {
			return nil
		}
		return l
	case mapping:
		if open[sh] > 1 {
			return nil
		}
		open[sh]++
		defer func() { open[sh]-- }()
		v := map[string]any{}
		for _, key := range []string{"one", "two-b"} {
			if x := m.make(sh.value, in, depth+1, open); x != nil {
				v[key] = x
			}
		}
		return v
	case integer, long:
		return json.Number(fmt.Sprint(m.n - 3))
	case float, double:
		return json.Number(fmt.Sprintf("%d.5", m.n))
	case boolean:
		return m.n%2 == 0
	case timestamp:
		if m.protocol == JSON || m.protocol == CBOR || m.protocol == RestJSON && in.where == inBody {
			return json.Number(fmt.Sprint(1_700_000_000 + m.n))
		}
		if in.where == inHeader {
			return "Tue, 14 Nov 2023 22:13:20 GMT"
		}
		return "2023-11-14T22:13:20Z"
	case blob:
		return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "bytes\x00\xff %d", m.n))
	}
	switch {
	case in.hostLabel:
		return fmt.Sprintf("%012d", m.n)
	case in.jsonValue && in.where == inHeader:
		return fmt.Sprintf(`{"n":%d}`, m.n)
	case in.where == inHeader || in.where == inHeaders:
		return fmt.Sprintf("header-%d", m.n)
	case in.name == "Bucket":
		return fmt.Sprintf("bucket.%d", m.n)
	}
	return fmt.Sprintf("text %d/ü+&=%%;<\"$", m.n)
}

func (m *maker) params(o *Operation) map[string]any {
	v := m.make(o.inputShape(), &member{}, 0, map[*shape]int{})
	if v == nil {
		return map[string]any{}
	}
	return v.(map[string]any)
}

// received turns a request as a client has it into one as a gate has it.
func received(t testing.TB, r *http.Request, signingName string) Request {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Request{
		Method: r.Method, Host: r.URL.Hostname(), Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery,
		Header: r.Header, Body: body,
		SigningName: signingName, GateHosts: []string{"gate.test"},
	}
}

// TestRoundTrip encodes every operation in every protocol that its service
// speaks, with all members and with the required ones only, and expects
// Identify and Decode to give back what was encoded. What cannot be told apart
// is listed, with its reason, in testdata/misnamed.txt.
func TestRoundTrip(t *testing.T) {
	total, misnamed := 0, map[string]bool{}
	for _, s := range Services() {
		protocols := []Protocol{s.Protocol}
		if s.TargetPrefix != "" {
			protocols = []Protocol{s.Protocol, JSON, CBOR}
		}
		if s.queryToo {
			protocols = append(protocols, Query)
		}
		slices.Sort(protocols)
		for _, p := range slices.Compact(protocols) {
			for _, o := range s.Operations() {
				for _, full := range []bool{true, false} {
					total++
					if line := roundTrip(t, o, p, full); line != "" {
						misnamed[line] = true
					}
				}
			}
		}
	}
	if len(misnamed)*1000 > total {
		t.Errorf("%d of %d requests misnamed, more than 0.1 %%", len(misnamed), total)
	}
	t.Logf("%d requests, %d misnamed", total, len(misnamed))
	golden(t, "misnamed.txt", slices.Collect(maps.Keys(misnamed)))
}

// roundTrip gives a line for the golden list when the operation is taken for
// another.
func roundTrip(t *testing.T, o *Operation, p Protocol, full bool) string {
	t.Helper()
	m := &maker{protocol: p, full: full}
	params := m.params(o)
	r, err := encode(o, params, "us-east-1", "http://gate.test", p)
	if err != nil {
		t.Errorf("%s.%s: %v", o.Service.ID, o.Name, err)
		return ""
	}
	q := received(t, r, o.Service.SigningName)
	if o.Unsigned {
		q.SigningName = ""
	}
	got, err := Identify(q)
	if err != nil {
		return fmt.Sprintf("%s.%s is unknown", o.Service.ID, o.Name)
	}
	if got.Name != o.Name || got.Service.SigningName != o.Service.SigningName {
		return fmt.Sprintf("%s.%s is %s.%s", o.Service.ID, o.Name, got.Service.ID, got.Name)
	}
	// It may be of a service that repeats another's operations.
	decoded, err := Decode(got, q)
	if err != nil {
		t.Errorf("%s.%s: %v\n%s %s %v\n%s", o.Service.ID, o.Name, err, q.Method, r.URL, q.Header, q.Body)
		return ""
	}
	if name, ok := o.Streaming(); ok {
		delete(params, name)
	}
	for _, x := range got.inputShape().members {
		if wire := x.wireName(); x.where == inHeader && (wire == "Content-Type" || wire == "Content-MD5") &&
			params[x.name] == nil {
			delete(decoded, x.name) // Encode's own
		}
	}
	diff := cmp.Diff(params, decoded)
	if diff != "" && got != o {
		return fmt.Sprintf("%s.%s is %s.%s", o.Service.ID, o.Name, got.Service.ID, got.Name)
	}
	if diff != "" {
		t.Errorf("%s.%s in %s (-sent +decoded):\n%s\n%s %s %v\n%s", o.Service.ID, o.Name, p, diff, q.Method, r.URL,
			q.Header, q.Body)
	}
	return ""
}
