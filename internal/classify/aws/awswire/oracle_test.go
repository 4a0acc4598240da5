package awswire

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A serialised is one line of testdata/serialize.py.
type serialised struct {
	Service, Signing, Operation string
	Template                    string // method and path, as botocore's model has them
	Params                      map[string]any
	Method, URL                 string
	Header                      map[string]string
	Body                        []byte
}

// botocore gives the requests that Debian's aws-cli serialises, one for each
// operation of its own models, which are another release of AWS's than ours.
func botocore(t *testing.T) []serialised {
	t.Helper()
	const hint = "run make setup, or install Debian's package awscli"
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", filepath.Join("testdata", "serialize.py"))
	cmd.Env = append(os.Environ(), "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
		"AWS_DATA_PATH=")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("python3 with aws-cli's botocore: %v (%s)", err, hint)
	}
	var all []serialised
	in := json.NewDecoder(bufio.NewReaderSize(out, 1<<20))
	in.UseNumber()
	for {
		var s serialised
		err := in.Decode(&s)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("python3 with aws-cli's botocore: %v (%s)", err, hint)
	}
	return all
}

func (s *serialised) request(t *testing.T) Request {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	for name, value := range s.Header {
		h.Set(name, value)
	}
	return Request{
		Method: s.Method, Host: u.Hostname(), Path: u.EscapedPath(), RawQuery: u.RawQuery, Header: h, Body: s.Body,
		SigningName: s.Signing, GateHosts: []string{"gate.test"},
	}
}

// TestBotocore has another implementation write a request for each operation of
// its models, and expects names and parameters back. Operations that only one
// side knows are counted, by service, and so are those that AWS has moved to
// another path since. Every difference is listed, with its reason,
// in testdata/botocore.txt.
func TestBotocore(t *testing.T) {
	byID := map[string]*Service{}
	for _, s := range Services() {
		byID[s.ID] = s
	}
	var total, named, equal int
	absent, moved := map[string]int{}, map[string]int{}
	differences := map[string]string{}
	for _, s := range botocore(t) {
		var want *Operation
		if service := byID[s.Service]; service != nil {
			want = service.Operation(s.Operation)
		}
		if want == nil {
			absent[s.Service]++
			continue
		}
		if rest := want.route; rest != nil && form(s.Template) != form(want.Method+" "+want.URI) {
			moved[s.Service]++
			continue
		}
		total++
		r := s.request(t)
		got, err := Identify(r)
		if err != nil || got.Name != want.Name {
			name := "unknown"
			if err == nil {
				name = got.Service.ID + "." + got.Name
			}
			differences[fmt.Sprintf("%s.%s is %s", s.Service, s.Operation, name)] = fmt.Sprint(err, r.Path, r.RawQuery)
			continue
		}
		named++
		params, err := Decode(got, r)
		if err != nil {
			differences[fmt.Sprintf("%s.%s is not decoded", s.Service, s.Operation)] = err.Error()
			continue
		}
		if name, ok := got.Streaming(); ok {
			delete(s.Params, name)
		}
		moments(got.inputShape(), params)
		if diff := cmp.Diff(s.Params, params); diff != "" {
			differences[fmt.Sprintf("%s.%s has other parameters", s.Service,
				s.Operation)] = fmt.Sprintf("%v %.1000s\n%s\n%.1000s", got.Service.ID, diff, s.URL, s.Body)
			continue
		}
		equal++
	}
	t.Logf("%d operations that both know: %d named (%.2f %%), %d with equal parameters (%.2f %%)",
		total, named, 100*float64(named)/float64(total), equal, 100*float64(equal)/float64(total))
	t.Logf("not in the table: %v", absent)
	t.Logf("of another method or path: %v", moved)
	if total < 12_000 || named*1000 < total*999 || equal*1000 < total*990 {
		t.Error("fewer than 12,000 operations compared, 99.9 % named or 99 % with equal parameters")
	}
	for _, name := range golden(t, "botocore.txt", slices.Collect(maps.Keys(differences))) {
		t.Logf("%s: %s", name, differences[name])
	}
}

var label = regexp.MustCompile(`{[^}+]*`)

// form gives a template without the names of its labels.
func form(template string) string {
	path, query, _ := strings.Cut(template, "?")
	return label.ReplaceAllString(strings.TrimSuffix(path, "/"), "{") + "?" + query
}

// moments rewrites times in the one form that serialize.py expects.
func moments(sh *shape, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			switch {
			case sh.kind == mapping:
				v[name] = moments(sh.value, x)
			case sh.byName[name] != nil:
				v[name] = moments(sh.byName[name].shape, x)
			}
		}
	case []any:
		for i, x := range v {
			v[i] = moments(sh.value, x)
		}
	case string, json.Number:
		if at := (Answer{v}).Time(); sh.kind == timestamp && !at.IsZero() {
			return at.Format(time.RFC3339)
		}
	}
	return v
}

// golden compares lines with a file in testdata that gives a reason for each, and
// gives the new ones.
func golden(t *testing.T, name string, lines []string) []string {
	t.Helper()
	file := filepath.Join("testdata", name)
	old, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	reasons := map[string]string{}
	var b strings.Builder
	for line := range strings.Lines(string(old)) {
		if strings.HasPrefix(line, "#") {
			b.WriteString(line)
			continue
		}
		what, reason, _ := strings.Cut(strings.TrimSpace(line), ": ")
		reasons[what] = reason
	}
	slices.Sort(lines)
	var fresh []string
	for _, line := range lines {
		if reasons[line] == "" {
			fresh = append(fresh, line)
		}
		fmt.Fprintf(&b, "%s: %s\n", line, reasons[line])
	}
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return fresh
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(reasons)), lines); diff != "" || len(fresh) > 0 {
		t.Errorf("%s is not what was seen (-file +seen); write it with -update and give the reasons\n%s", file, diff)
	}
	return fresh
}
