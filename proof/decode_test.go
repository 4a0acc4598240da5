package proof

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signalbox-dev/signalbox"
)

func TestDecodeRefuses(t *testing.T) {
	leaf, err := seal(Header{ID: exampleID, Time: exampleTime},
		Outcome{Intent: exampleID, Result: signalbox.Done, Touched: map[string]int64{"a": 1}}, nil, exampleKey)
	if err != nil {
		t.Fatal(err)
	}
	good := string(leaf.Bytes)
	if _, err := Decode([]byte(good)); err != nil {
		t.Fatal(err)
	}
	halt, err := seal(Header{ID: exampleID, Time: exampleTime}, SessionEnd{Session: "s", By: "bob"}, nil, exampleKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, leaf, want string }{
		{"nothing", "", "JSON"},
		{"not an object", "[]", "array"},
		{"more behind it", good + "{}", "after"},
		{"another version", strings.Replace(good, `"v":1`, `"v":2`, 1), "version 2"},
		{"unknown type", strings.Replace(good, `"outcome"`, `"outcomes"`, 1), `"outcomes"`},
		{"no id", strings.Replace(good, exampleID, "", 1), "ULID"},
		{"an id that is none", strings.Replace(good, exampleID, strings.ToLower(exampleID), 1), "ULID"},
		{"no time", strings.Replace(good, `"time":1763924400123`, `"time":0`, 1), "1970"},
		{"unknown field", strings.Replace(good, `"result"`, `"extra":1,"result"`, 1), `"extra"`},
		{"unknown last field", strings.TrimSuffix(good, "}") + `,"extra":1}`, `"extra"`},
		{"field twice", strings.Replace(good, `"result":"done"`, `"result":"failed","result":"done"`, 1), `"result"`},
		{"header twice", strings.Replace(good, `"v":1`, `"v":3,"v":1`, 1), `"v"`},
		{"other case", strings.Replace(good, `"result"`, `"Result"`, 1), `"Result"`},
		{"nested field twice", strings.Replace(good, `{"a":1}`, `{"a":2,"a":1}`, 1), `"touched.a"`},
		{"out of order", strings.Replace(good, `"result":"done","rows":0`, `"rows":0,"result":"done"`, 1), `"rows"`},
		{"null", strings.Replace(good, `"rows":0`, `"rows":null`, 1), `"rows"`},
		{"empty field", strings.Replace(good, `"rows":0`, `"code":"","rows":0`, 1), `"code"`},
		{"missing field", strings.Replace(good, `"rows":0,`, ``, 1), `"touched"`},
		{"wrong type", strings.Replace(good, `"rows":0`, `"rows":"0"`, 1), "rows"},
		{"another number", strings.Replace(good, `"rows":0`, `"rows":0e0`, 1), "rows"},
		{"not UTF-8", strings.Replace(good, `"a"`, "\"\xff\"", 1), "UTF-8"},
		{"no digests", strings.Replace(good, good[strings.Index(good, `"_sd":`):], `"_sd":[]}`, 1), "_sd"},
		{"other algorithm", strings.Replace(good, "sha-256", "sha-512", 1), "_sd_alg"},
		{"digests where none are", strings.TrimSuffix(string(halt.Bytes), "}") +
			good[strings.Index(good, `,"_sd_alg"`):], "hides nothing"},
		{"too long", strings.Replace(good, `"a"`, `"`+strings.Repeat("a", MaxLeaf)+`"`, 1), "65535"},
	} {
		if c.leaf == good {
			t.Errorf("%s: the case does not change anything", c.name)
		}
		_, err := Decode([]byte(c.leaf))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

// Spelling is all that may differ: white space and escapes.
func TestDecodeDoesNotMindSpelling(t *testing.T) {
	leaf, err := seal(Header{ID: exampleID, Time: exampleTime},
		Outcome{Intent: exampleID, Result: signalbox.Done, Code: "a<b\u2028"}, nil, exampleKey)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, leaf.Bytes, "", " "); err != nil {
		t.Fatal(err)
	}
	e, err := Decode(bytes.Replace(b.Bytes(), []byte("<"), []byte(`\u003c`), 1))
	if err != nil || e.Body.(*Outcome).Code != "a<b\u2028" {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestSealRefuses(t *testing.T) {
	h := Header{ID: exampleID, Time: exampleTime}
	for _, c := range []struct {
		name   string
		h      Header
		body   Body
		hidden Hidden
		want   string
	}{
		{"no body", h, nil, nil, "no body"},
		{"nil body", h, (*Intent)(nil), nil, "no body"},
		{"no id", Header{Time: exampleTime}, Expiry{}, nil, "ULID"},
		{"id too great", Header{ID: "8" + exampleID[1:], Time: exampleTime}, Expiry{}, nil, "ULID"},
		{"no time", Header{ID: exampleID}, Expiry{}, nil, "1970"},
		{"hidden where nothing is", h, Expiry{}, Hidden{"request": 1}, `"request"`},
		{"unknown hidden", h, Outcome{}, Hidden{"request": 1}, "only detail"},
		{"hidden that is no JSON", h, Outcome{}, Hidden{"detail": func() {}}, `"detail"`},
		{"hidden that is no UTF-8", h, Outcome{}, Hidden{"detail": json.RawMessage("\"\xff\"")}, `"detail"`},
		{"too much hidden", h, Outcome{}, Hidden{"detail": strings.Repeat("x", MaxPayload)}, `"detail"`},
		{"too much clear", h, Outcome{Code: strings.Repeat("x", MaxLeaf)}, nil, `"code"`},
	} {
		if _, err := Seal(c.h, c.body, c.hidden); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	big, err := Seal(h, Outcome{}, Hidden{"detail": strings.Repeat("x", 1<<20)})
	if err != nil || len(big.Bytes) > 500 {
		t.Errorf("a hidden field of 1 MiB: leaf of %d bytes, %v", len(big.Bytes), err)
	}
}

func TestClearActionsFit(t *testing.T) {
	one := signalbox.Action{Verb: signalbox.Update, Native: "UPDATE",
		Impact: signalbox.Impact{Facts: []string{"secret 4711"}}}
	for range 10_000 {
		one.Resources = append(one.Resources, signalbox.Resource{Type: "table", Name: strings.Repeat("t", 63)})
	}
	many := make([]signalbox.Action, 5000)
	for i := range many {
		many[i] = signalbox.Action{Verb: signalbox.Read, Native: strings.Repeat("SELECT ", 9)}
	}
	many[4000] = signalbox.Action{Verb: signalbox.Delete, Native: "DROP TABLE"}
	for name, actions := range map[string][]signalbox.Action{"one": {one}, "many": many,
		"mixed": append([]signalbox.Action{one}, many...)} {
		clear, complete := ClearActions(actions)
		if complete {
			t.Errorf("%s: said to be complete", name)
		}
		leaf, err := Seal(Header{ID: exampleID, Time: exampleTime}, Intent{Actions: clear},
			Hidden{"all_actions": actions})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if bytes.Contains(leaf.Bytes, []byte("4711")) {
			t.Errorf("%s: a fact is in the clear", name)
		}
		var resources, n int
		gravest := signalbox.Read
		for _, a := range clear {
			resources += len(a.Resources) + a.Omitted
			n += max(1, a.Merged)
			if a.Verb.Gravity() > gravest.Gravity() {
				gravest = a.Verb
			}
		}
		if n != len(actions) {
			t.Errorf("%s: %d actions accounted for, want %d", name, n, len(actions))
		}
		if name == "one" && resources != 10_000 {
			t.Errorf("%s: %d resources accounted for", name, resources)
		}
		if name != "one" && gravest != signalbox.Delete {
			t.Errorf("%s: gravest verb is %s", name, gravest)
		}
	}
	clear, complete := ClearActions([]signalbox.Action{{Verb: signalbox.Read,
		Resources: []signalbox.Resource{{Type: "table", Name: "a"}}}})
	if !complete || len(clear) != 1 || len(clear[0].Resources) != 1 || clear[0].Impact.Scope != signalbox.ScopeUnknown {
		t.Errorf("a small one: %+v, %v", clear, complete)
	}
}

func TestMillis(t *testing.T) {
	if At(time.Time{}) != 0 || !Millis(0).Time().IsZero() {
		t.Error("the zero time is not 0")
	}
	if got := At(exampleTime).Time(); !got.Equal(exampleTime) || got.Location() != time.UTC {
		t.Errorf("%s became %s", exampleTime, got)
	}
}

// No field of a body may bear the name of a field that frames it, nor of one
// that is hidden: RFC 9901 section 7.1 refuses a disclosure of such a name.
func TestBodiesDoNotCollideWithTheFrame(t *testing.T) {
	for _, k := range Kinds() {
		body, _ := example(t, k)
		b, err := marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(b, &fields); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"v", "type", "id", "time", "_sd", "_sd_alg"} {
			if _, ok := fields[name]; ok {
				t.Errorf("%s has a field %q", k, name)
			}
		}
		for _, name := range HiddenNames(k) {
			if _, ok := fields[name]; ok {
				t.Errorf("%s has field %q both in the clear and hidden", k, name)
			}
		}
	}
}

// What is accepted is what would be written for what was read.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.golden.json")
	if err != nil || len(files) != len(Kinds())+len(grown) {
		f.Fatalf("%d golden files, want %d (%v)", len(files), len(Kinds())+len(grown), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.TrimSuffix(b, []byte("\n")))
	}
	f.Add([]byte(`{"v":1,"type":"expiry","id":"01JDCPW5E0000000000000000A","time":1,"hold":"h","hold":"h"}`))
	f.Fuzz(func(t *testing.T, leaf []byte) {
		e, err := Decode(leaf)
		if err != nil {
			return
		}
		tail := suffix{SD: e.Digests}
		if len(e.Digests) > 0 {
			tail.Alg = sdAlg
		}
		again, err := encode(prefix{version, e.Body.Kind(), e.ID, e.Time.UnixMilli()}, e.Body, tail)
		if err != nil {
			t.Fatalf("accepted %q, cannot be written: %v", leaf, err)
		}
		if _, err := Decode(again); err != nil {
			t.Fatalf("accepted %q, refused its own form %q: %v", leaf, again, err)
		}
		var x, y bytes.Buffer
		if json.Compact(&x, leaf) != nil || json.Compact(&y, again) != nil {
			t.Fatalf("accepted %q, which is not JSON", leaf)
		}
		check := newPromiseCheck("x", nil, false)
		if e.Body.Kind() != KindStart {
			check.entry(1, e, nil) // must not panic on anything
		}
	})
}
