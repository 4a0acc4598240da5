package explain_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox/internal/explain"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/interlock/policy"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/policies"
)

var noon = time.Date(2026, time.March, 4, 12, 0, 0, 0, time.UTC)

func config(t testing.TB) explain.Config {
	t.Helper()
	files, err := policies.Default()
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return explain.Config{Policy: set, Readers: gate.Readers(server.Kinds()), Now: noon}
}

type answer struct {
	ID      string
	Error   string
	Results []explain.Result
}

func run(t testing.TB, c explain.Config, in string) ([]answer, explain.Summary) {
	t.Helper()
	var out bytes.Buffer
	sum, err := explain.Run(context.Background(), c, strings.NewReader(in), &out)
	if err != nil {
		t.Fatal(err)
	}
	var answers []answer
	d := json.NewDecoder(&out)
	for {
		var a answer
		err := d.Decode(&a)
		if errors.Is(err, io.EOF) {
			return answers, sum
		}
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
}

// The scenarios in test/corpus are labelled by hand: each request with the
// verdicts that a sensible default policy may give.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("../../test/corpus/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	c := config(t)
	judged := 0
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		answers, sum := run(t, c, string(data))
		if sum.Bad > 0 {
			t.Errorf("%s: %d lines could not be read", name, sum.Bad)
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, explain.MaxLine)
		for n := 0; lines.Scan(); n++ {
			var labelled struct {
				ID       string
				Requests []struct {
					SQL       string
					Operation string
					Expect    []string
				}
			}
			if err := json.Unmarshal(lines.Bytes(), &labelled); err != nil {
				t.Fatal(err)
			}
			if n >= len(answers) || answers[n].ID != labelled.ID {
				t.Fatalf("%s: answer %d is not for %q", name, n, labelled.ID)
			}
			for i, r := range labelled.Requests {
				got := answers[n].Results[i]
				if !slices.Contains(r.Expect, string(got.Verdict)) {
					t.Errorf("%s %s, request %d: %s%s\nwant %v, got %s by %v: %s", filepath.Base(name), labelled.ID,
						i, r.SQL, r.Operation, r.Expect, got.Verdict, got.Policies, got.Reason)
				}
				judged++
			}
		}
	}
	if judged < 1300 {
		t.Errorf("%d requests judged, want at least 1300", judged)
	}
}

func line(sql ...string) string {
	return scenario(`{"agent":"claude","for":"ann"}`, "production", false, sql...)
}

func scenario(actor, environment string, freeze bool, sql ...string) string {
	var requests []string
	for _, s := range sql {
		text, _ := json.Marshal(s)
		requests = append(requests, fmt.Sprintf(`{"gate":"postgres","database":"shop","sql":%s}`, text))
	}
	return fmt.Sprintf(`{"id":"s","actor":%s,"environment":%q,"freeze":%t,"requests":[%s]}`+"\n", actor, environment,
		freeze, strings.Join(requests, ","))
}

// The form of an answer is a contract that scripts rely on.
func TestFormat(t *testing.T) {
	var out bytes.Buffer
	in := line("DROP TABLE orders", "SELECT 1") + "nonsense\n"
	if _, err := explain.Run(context.Background(), config(t), strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	want := `{"id":"s","results":[` +
		`{"verdict":"hold","verb":"delete","resources":[{"type":"table","name":"orders","whole":true}],"impact":{"count":1,"scope":"one","reversible":false},` +
		`"policies":["production-agents-destroy","production-people-destroy"],"requires":["2 of sre"],` +
		`"reason":"an agent destroys in production (production-agents-destroy); destroys in production: a second person must agree (production-people-destroy)"},` +
		`{"verdict":"allow","verb":"read","resources":[],"impact":{"count":-1,"scope":"some","reversible":true},"policies":["reads"],"requires":[],"reason":"reads"}]}` + "\n" +
		`{"id":"","error":"line 2: not a JSON object"}` + "\n"
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func verdicts(t *testing.T, in string) string {
	t.Helper()
	answers, _ := run(t, config(t), in)
	var v []string
	for _, a := range answers {
		if a.Error != "" {
			t.Fatal(a.Error)
		}
		for _, r := range a.Results {
			v = append(v, string(r.Verdict))
		}
	}
	return strings.Join(v, " ")
}

func TestStateGoesFromRequestToRequest(t *testing.T) {
	for _, tt := range []struct {
		name string
		sql  []string
		want string
	}{
		{"prepared", []string{"PREPARE p (int) AS UPDATE t SET x = 1 WHERE id = $1", "EXECUTE p (1)", "DEALLOCATE p",
			"EXECUTE p (1)"}, "allow allow allow hold"},
		{"never prepared", []string{"EXECUTE p (1)"}, "hold"},
		{"prepared and then all forgotten", []string{"PREPARE p AS SELECT 1", "DEALLOCATE ALL", "EXECUTE p"},
			"allow allow hold"},
		{"temporary", []string{"CREATE TEMP TABLE w (id int)", "INSERT INTO w SELECT id FROM orders", "DROP TABLE w",
			"DROP TABLE w"}, "allow allow allow hold"},
		{"temporary until commit", []string{"CREATE TEMP TABLE w (id int) ON COMMIT DROP", "DROP TABLE w"},
			"allow hold"},
		{"temporary, rolled back", []string{"BEGIN", "CREATE TEMP TABLE w (id int)", "ROLLBACK", "DROP TABLE w"},
			"allow allow allow hold"},
		{"temporary, looked for elsewhere", []string{"CREATE TEMP TABLE w (id int)", "SET search_path = shop",
			"DROP TABLE w"}, "allow allow hold"},
		{"temporary, renamed", []string{"CREATE TEMP TABLE w (id int)", "ALTER TABLE w RENAME TO v", "DROP TABLE w"},
			"allow allow hold"},
		{"temporary view", []string{"CREATE TEMP VIEW tv AS SELECT * FROM products", "UPDATE tv SET stock = 0"},
			"allow hold"},
		{"cursor", []string{"BEGIN", "DECLARE c CURSOR FOR SELECT 1", "FETCH c"}, "allow allow allow"},
		{"held, so never there", []string{"PREPARE p AS SELECT 1; DROP TABLE t", "EXECUTE p"}, "hold hold"},
		{"empty", []string{"", ";", "-- nothing"}, "allow allow allow"},
	} {
		if got := verdicts(t, line(tt.sql...)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestScenariosDoNotShareState(t *testing.T) {
	in := line("PREPARE p AS SELECT 1") + line("EXECUTE p") + line("TRUNCATE t") + line("INSERT INTO t (x) VALUES (1)")
	if got, want := verdicts(t, in), "allow hold hold allow"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFreeze(t *testing.T) {
	for _, actor := range []string{`{"agent":"a","for":"ann"}`, `{"human":"ann"}`, `{"automation":"ci"}`} {
		got := verdicts(t, scenario(actor, "production", true, "SELECT 1", "BEGIN", "UPDATE t SET x = 1 WHERE id = 1",
			"COMMIT"))
		if want := "allow allow deny allow"; got != want {
			t.Errorf("%s: got %s, want %s", actor, got, want)
		}
	}
}

// P8: what nobody understands yet is the worst, wherever it stands.
func TestOtherGatesAreWorst(t *testing.T) {
	requests := []string{
		`{"gate":"aws","service":"s3","operation":"ListEverything","region":"x","parameters":{}}`,
		`{"gate":"kubernetes","method":"GET","path":"/api"}`,
		`{"gate":"shell","command":"ls","dir":"/"}`,
		`{"gate":"mcp","server":"x","tool":"list"}`,
		`{"gate":"terraform","plan":{}}`,
	}
	for _, environment := range []string{"production", "staging", "development", "elsewhere"} {
		in := fmt.Sprintf(`{"id":"s","actor":{"agent":"a","for":"ann"},"environment":%q,"requests":[%s]}`,
			environment, strings.Join(requests, ","))
		answers, _ := run(t, config(t), in)
		for _, r := range answers[0].Results {
			if r.Verdict == "allow" || r.Verb != "execute" || r.Impact.Scope != "unknown" {
				t.Errorf("%s: got %+v", environment, r)
			}
		}
	}
}

func TestBadLines(t *testing.T) {
	good := line("SELECT 1")
	actor := `"actor":{"human":"ann"},`
	request := `"requests":[{"gate":"postgres","sql":"SELECT 1"}]`
	for name, bad := range map[string]string{
		"not JSON":   `{"id":"x"`,
		"null":       `null`,
		"array":      `[]`,
		"two values": strings.TrimSpace(good) + strings.TrimSpace(good),
		"no id":      `{` + actor + `"environment":"production",` + request + `}`,
		"no actor":   `{"id":"x","environment":"production",` + request + `}`,
		"two actors": `{"id":"x","actor":{"human":"a","automation":"b"},"environment":"production",` +
			request + `}`,
		"agent of nobody":   `{"id":"x","actor":{"agent":"a"},"environment":"production",` + request + `}`,
		"human for another": `{"id":"x","actor":{"human":"a","for":"b"},"environment":"production",` + request + `}`,
		"odd name":          `{"id":"x","actor":{"human":"a b"},"environment":"production",` + request + `}`,
		"no environment":    `{"id":"x",` + actor + request + `}`,
		"no requests":       `{"id":"x",` + actor + `"environment":"production"}`,
		"empty requests":    `{"id":"x",` + actor + `"environment":"production","requests":[]}`,
		"request is null":   `{"id":"x",` + actor + `"environment":"production","requests":[null]}`,
		"no gate":           `{"id":"x",` + actor + `"environment":"production","requests":[{"sql":"SELECT 1"}]}`,
		"unknown gate": `{"id":"x",` + actor +
			`"environment":"production","requests":[{"gate":"mysql","sql":"SELECT 1"}]}`,
		"no sql": `{"id":"x",` + actor + `"environment":"production","requests":[{"gate":"postgres"}]}`,
		"null sql": `{"id":"x",` + actor +
			`"environment":"production","requests":[{"gate":"postgres","sql":null}]}`,
		"sql is a number": `{"id":"x",` + actor +
			`"environment":"production","requests":[{"gate":"postgres","sql":1}]}`,
		"freeze is a word":  `{"id":"x",` + actor + `"environment":"production","freeze":"no",` + request + `}`,
		"aws without more":  `{"id":"x",` + actor + `"environment":"production","requests":[{"gate":"aws"}]}`,
		"shell without":     `{"id":"x",` + actor + `"environment":"production","requests":[{"gate":"shell"}]}`,
		"terraform without": `{"id":"x",` + actor + `"environment":"production","requests":[{"gate":"terraform"}]}`,
	} {
		answers, sum := run(t, config(t), good+"\n"+bad+"\n"+good)
		if len(answers) != 3 || sum.Bad != 1 || sum.Scenarios != 2 {
			t.Fatalf("%s: got %d answers, %+v", name, len(answers), sum)
		}
		a := answers[1]
		if !strings.HasPrefix(a.Error, "line 3: ") || len(a.Results) != 0 {
			t.Errorf("%s: got %+v, want an error of line 3", name, a)
		}
		if strings.HasPrefix(bad, `{"id":"x",`) && a.ID != "x" {
			t.Errorf("%s: the answer lost its id: %+v", name, a)
		}
	}
}

func TestLongLines(t *testing.T) {
	almost := line("SELECT '" + strings.Repeat("x", 2<<20) + "'")
	long := `{"id":"x","pad":"` + strings.Repeat("y", explain.MaxLine) + "\"}\n"
	answers, sum := run(t, config(t), almost+long+strings.TrimSpace(line("SELECT 1")))
	if len(answers) != 3 || sum.Bad != 1 {
		t.Fatalf("got %d answers, %+v", len(answers), sum)
	}
	// Longer than any statement that is parsed: worst.
	if answers[0].Error != "" || answers[0].Results[0].Verdict != "hold" {
		t.Errorf("a statement of 2 MiB: got %+v", answers[0])
	}
	if !strings.Contains(answers[1].Error, "line 2: longer than") {
		t.Errorf("a line of over 16 MiB: got %+v", answers[1])
	}
	if answers[2].Error != "" || answers[2].Results[0].Verdict != "allow" {
		t.Errorf("the line after it, without an end: got %+v", answers[2])
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("pipe closed") }
func (broken) Read([]byte) (int, error)  { return 0, errors.New("disk gone") }

func TestRunFails(t *testing.T) {
	c := config(t)
	if _, err := explain.Run(context.Background(), c, strings.NewReader(line("SELECT 1")), broken{}); err == nil {
		t.Error("nobody read the answer, and no error")
	}
	if _, err := explain.Run(context.Background(), c, broken{}, io.Discard); err == nil {
		t.Error("input failed, and no error")
	}
	if _, err := explain.Run(context.Background(), explain.Config{}, strings.NewReader(""), io.Discard); err == nil {
		t.Error("judged without policies")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := explain.Run(ctx, c, strings.NewReader(line("SELECT 1")), io.Discard); !errors.Is(err,
		context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

// Whatever comes in: one answer for each line that is not blank, and each is
// either judged in full or an error.
func FuzzRun(f *testing.F) {
	f.Add(line("SELECT 1", "DROP TABLE t"))
	f.Add(`{"id":"x","actor":{"agent":"a","for":"b"},"environment":"production","requests":[{"gate":"shell","command":""}]}`)
	f.Add("{}\n\n[]\nnull\n{\"id\":1}")
	c := config(f)
	f.Fuzz(func(t *testing.T, in string) {
		answers, sum := run(t, c, in)
		if len(answers) != sum.Bad+sum.Scenarios {
			t.Fatalf("%d answers, %+v", len(answers), sum)
		}
		for _, a := range answers {
			if (a.Error == "") == (len(a.Results) == 0) {
				t.Fatalf("neither judged nor an error: %+v", a)
			}
			for _, r := range a.Results {
				if r.Verdict == "" || r.Verb == "" || r.Resources == nil || r.Policies == nil || r.Requires == nil {
					t.Fatalf("incomplete: %+v", r)
				}
			}
		}
	})
}
