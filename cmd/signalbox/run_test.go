package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/server"
)

// sessionEnvironment is what a command gets, as `run` makes it, and what it is told.
func sessionEnvironment(t *testing.T, caller []string, o client.OpenedSession, keep []string,
	gates ...client.Gate) (got map[string]string, removed []string, told string) {
	t.Helper()
	var stderr bytes.Buffer
	p := &program{stderr: &stderr, kinds: server.Kinds()}
	folder := t.TempDir()
	list, err := p.access(gates, o, folder)
	if err != nil {
		t.Fatal(err)
	}
	vars, err := p.variables("http://127.0.0.1:7420", list, o, gate.Folder{Path: folder, Secrets: true})
	if err != nil {
		t.Fatal(err)
	}
	env, removed := p.environment(caller, vars, []string{"ORDERS_SECRET"}, keep)
	got = map[string]string{}
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		if _, twice := got[name]; twice {
			t.Errorf("%s stands there twice", name)
		}
		got[name] = value
	}
	return got, removed, stderr.String()
}

// The command sees the gate and nothing of what would lead around it.
func TestEnvironment(t *testing.T) {
	o := client.OpenedSession{Session: signalbox.Session{ID: "s1"},
		Credentials: map[string]string{"orders": "pw1", "billing": "pw2", "api": "own"}}
	orders := client.Gate{Name: "orders", Kind: "postgres", Host: "127.0.0.1", Port: 7432, Database: "orders",
		CA: "PEM"}
	caller := []string{
		"PATH=/bin", "HOME=/home/alice", "SIGNALBOX_TOKEN=sbu_alice_x", "SIGNALBOX_CONFIG_DIR=/secret", "PGTZ=UTC",
		"EQ=a=b",
		"PGSERVICE=prod", "PGPASSFILE=/secret", "PGHOSTADDR=10.0.0.1", "PGSSLMODE=disable", "PGPASSWORD=prod",
		"PGOPTIONS=-c role=x",
		"PGSYSCONFDIR=/etc/pg", "PGSERVICEFILE=/x", "PGNOTYETINVENTED=1", "pgoptions=x",
		"DATABASE_URL=postgres://prod", "BILLING=postgresql://app:pw@prod/billing", "ORDERS_SECRET=s",
		"SSLKEYLOGFILE=/tmp/keys",
		"GITHUB_TOKEN=t", "KUBECONFIG=/k", "VAULT_TOKEN=v", "GOOGLE_APPLICATION_CREDENTIALS=/g", "SSH_AUTH_SOCK=/s",
		"AWS_SECRET_ACCESS_KEY=k", "AWS_PROFILE=p",
	}
	got, removed, told := sessionEnvironment(t, caller, o, nil, orders)
	if pem, err := os.ReadFile(got["PGSSLROOTCERT"]); err != nil || string(pem) != "PEM" {
		t.Errorf("authority: %q, %v", pem, err)
	}
	var gates []gate.Access
	if err := json.Unmarshal([]byte(got["SIGNALBOX_GATES"]), &gates); err != nil || len(gates) != 1 ||
		gates[0].Password != "pw1" || gates[0].CAFile != got["PGSSLROOTCERT"] {
		t.Errorf("gates: %+v, %v", gates, err)
	}
	delete(got, "PGSSLROOTCERT")
	delete(got, "SIGNALBOX_GATES")
	want := map[string]string{
		"PATH": "/bin", "HOME": "/home/alice", "PGTZ": "UTC", "EQ": "a=b",
		"SIGNALBOX_SERVER": "http://127.0.0.1:7420", "SIGNALBOX_SESSION": "s1", "SIGNALBOX_TOKEN": "own",
		"PGHOST": "127.0.0.1", "PGPORT": "7432", "PGUSER": "s1", "PGPASSWORD": "pw1", "PGDATABASE": "orders",
		"PGSSLMODE": "verify-full", "PGGSSENCMODE": "disable",
	}
	if d := cmp.Diff(want, got); d != "" || told != "" {
		t.Errorf("%s\n%s", d, told)
	}
	// What was taken out is named, but for our own; what the session sets anew is not.
	for _, name := range []string{"AWS_PROFILE", "BILLING", "DATABASE_URL", "GITHUB_TOKEN", "ORDERS_SECRET",
		"PGOPTIONS", "SSH_AUTH_SOCK"} {
		if !slices.Contains(removed, name) {
			t.Errorf("removed: %q without %s", removed, name)
		}
	}
	if slices.Contains(removed, "PGPASSWORD") || strings.Contains(strings.Join(removed, " "), "SIGNALBOX_") ||
		!slices.IsSorted(removed) {
		t.Errorf("removed: %q", removed)
	}

	// What is kept is kept, but not in the way of the session's own.
	got, removed, _ = sessionEnvironment(t, caller, o,
		[]string{"SSH_AUTH_SOCK", "BILLING", "PGPASSWORD", "ORDERS_SECRET"}, orders)
	if got["SSH_AUTH_SOCK"] != "/s" || got["ORDERS_SECRET"] != "s" || got["BILLING"] == "" ||
		got["PGPASSWORD"] != "pw1" || slices.Contains(removed, "BILLING") {
		t.Errorf("kept: %v, removed %q", got, removed)
	}

	// With two gates nobody guesses which is meant.
	got, _, told = sessionEnvironment(t, nil, o, nil, orders, client.Gate{Name: "billing", Kind: "postgres"})
	if got["PGHOST"] != "" || got["PGPASSWORD"] != "" || !strings.Contains(told, "--gate") {
		t.Errorf("two gates: %q, %q", got, told)
	}
	// A gate that the session has no credential for is none of its gates.
	got, _, told = sessionEnvironment(t, nil, o, nil, orders, client.Gate{Name: "other", Kind: "postgres"})
	if got["PGHOST"] == "" || told != "" {
		t.Errorf("a gate of others: %q, %q", got, told)
	}
}

func TestLeaksHaveReasons(t *testing.T) {
	p := &program{kinds: server.Kinds()}
	all := slices.Clone(leaks)
	for _, k := range p.kinds {
		all = append(all, k.Leaks...)
		for _, name := range k.Harmless {
			if p.leaking(name, "x", nil) != "" || p.leaking(name+"X", "x", nil) == "" {
				t.Errorf("%s is no exception to a family", name)
			}
		}
	}
	for _, l := range all {
		if l.Reason == "" || strings.Contains(strings.TrimSuffix(l.Name, "*"), "*") ||
			l.Name != strings.ToUpper(l.Name) || (l.Name == "") == (l.Value == "") {
			t.Errorf("%+v", l)
		}
	}
}

func TestIDsByTheirFirstCharacters(t *testing.T) {
	ids := []string{"01M8500VJPVK7V22DKTPQG9DJZ", "01M8500VJPVK7V22DKTPQG9DJX", "01M9500VJPVK7V22DKTPQG9DJZ"}
	if id, err := meant("hold", "01M9", ids); id != ids[2] || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	for ref, want := range map[string]string{"01M8": "2 ids begin so", "01M": "not found", "": "not found",
		"01MX": "not found"} {
		if id, err := meant("hold", ref, ids); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v", ref, id, err)
		}
	}
}

func TestAgentName(t *testing.T) {
	for command, want := range map[string]string{
		"claude": "claude", "/usr/bin/kiro-cli": "kiro-cli", "./.hidden": "hidden", "a b/c d": "c-d", "größe": "gr--e",
		"---": "agent", strings.Repeat("x", 100): strings.Repeat("x", 64),
	} {
		got := agentName(command)
		if got != want {
			t.Errorf("%q: got %q, want %q", command, got, want)
		}
		if err := signalbox.ValidName("agent", got); err != nil {
			t.Errorf("%q: %v", command, err)
		}
	}
}

// In JSON, too, nothing hides on a terminal, and it means the same.
func TestWriteJSON(t *testing.T) {
	in := map[string]string{"text": "a\u202eb\x1b[2J\u200b🚂\U000e0041 <&> \u00a0"}
	var b bytes.Buffer
	if err := writeJSON(&b, in, ""); err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSuffix(b.String(), "\n")
	if signalbox.Visible(line) != line || !strings.Contains(line, "🚂") || !strings.Contains(line, "<&>") {
		t.Errorf("got %q", line)
	}
	var out map[string]string
	if err := json.Unmarshal(b.Bytes(), &out); err != nil || out["text"] != in["text"] {
		t.Errorf("it means %q (%v), want %q", out["text"], err, in["text"])
	}
}

// Tools of AWS see the gate, and nothing of the caller's that leads elsewhere.
func TestEnvironmentOfAWS(t *testing.T) {
	o := client.OpenedSession{Session: signalbox.Session{ID: "01jd"},
		Credentials: map[string]string{"prod": "pw1", "dev": "pw2", "orders": "pw3", "api": "own"}}
	prod := client.Gate{Name: "prod", Kind: "aws", Host: "aws.gate.example.com", Port: 7443, Region: "eu-central-1",
		CA: "PEM"}
	dev := client.Gate{Name: "dev", Kind: "aws", Host: "::1", Port: 7444, Region: "us-east-1", CA: "PEM2"}
	orders := client.Gate{Name: "orders", Kind: "postgres", Host: "127.0.0.1", Port: 7432, CA: "PEM"}
	caller := []string{
		"PATH=/bin", "AWS_PAGER=", "AWS_ACCESS_KEY_ID=AKIA", "AWS_SESSION_TOKEN=t", "AWS_PROFILE=p",
		"AWS_ENDPOINT_URL_S3=https://s3", "aws_ca_bundle=x",
		"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true", "AWS_NOT_YET_INVENTED=1", "AWS_BEARER_TOKEN_BEDROCK=b",
		"BOTO_CONFIG=/b",
	}
	environment := func(gates ...client.Gate) (map[string]string, string) {
		t.Helper()
		got, _, told := sessionEnvironment(t, caller, o, nil, gates...)
		maps.DeleteFunc(got, func(name, _ string) bool {
			return !strings.HasPrefix(strings.ToUpper(name), "AWS_") && name != "BOTO_CONFIG"
		})
		return got, told
	}
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}

	got, told := environment(prod, orders)
	config, credentials, ca := got["AWS_CONFIG_FILE"], got["AWS_SHARED_CREDENTIALS_FILE"], got["AWS_CA_BUNDLE"]
	for _, file := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE"} {
		delete(got, file)
	}
	want := map[string]string{
		"AWS_PAGER": "", "AWS_ENDPOINT_URL": "https://aws.gate.example.com:7443", "AWS_ACCESS_KEY_ID": "SBXA01JD",
		"AWS_SECRET_ACCESS_KEY": "pw1",
		"AWS_REGION":            "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1",
		"AWS_EC2_METADATA_DISABLED": "true",
	}
	if d := cmp.Diff(want, got); d != "" || told != "" {
		t.Errorf("one gate: %s\n%s", d, told)
	}
	if read(ca) != "PEM\n" {
		t.Errorf("authorities: %q", read(ca))
	}
	for _, section := range []string{"[default]", "[profile prod]"} {
		if !strings.Contains(read(config), section+
			"\nregion = eu-central-1\nendpoint_url = https://aws.gate.example.com:7443\nca_bundle = ") {
			t.Errorf("%s is missing in\n%s", section, read(config))
		}
	}
	if text := read(credentials); !strings.Contains(text,
		"[prod]\naws_access_key_id = SBXA01JD\naws_secret_access_key = pw1\n") {
		t.Errorf("credentials:\n%s", text)
	}
	if info, err := os.Stat(credentials); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("credentials can be read by others: %v %v", info.Mode(), err)
	}

	// Of several gates none is chosen; each is a profile.
	got, told = environment(prod, dev)
	if got["AWS_ENDPOINT_URL"] != "" || got["AWS_ACCESS_KEY_ID"] != "" || !strings.Contains(told, "--profile") {
		t.Errorf("two gates: %v\n%s", got, told)
	}
	if text := read(got["AWS_CONFIG_FILE"]); strings.Contains(text, "[default]") ||
		!strings.Contains(text, "[profile dev]\nregion = us-east-1\nendpoint_url = https://[::1]:7444\n") {
		t.Errorf("two gates:\n%s", text)
	}
	if read(got["AWS_CA_BUNDLE"]) != "PEM\nPEM2\n" {
		t.Errorf("authorities of two: %q", read(got["AWS_CA_BUNDLE"]))
	}

	// Beside a database alone, what leads to AWS is no less a way around.
	if got, _ := environment(orders); len(got) != 1 || got["AWS_PAGER"] != "" {
		t.Errorf("no gate for AWS: %v", got)
	}
}
