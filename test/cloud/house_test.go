//go:build unix

// Package cloud_test plays whole stories with real clients of AWS, the gate as
// users run it, and real servers behind: aws-cli, aws-sdk-go-v2 and OpenTofu
// before versitygw, dynalite, fauxqs and, for roles, the stand-in cloud.
package cloud_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	awsgate "github.com/signalbox-dev/signalbox/internal/gate/aws"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/test/awstest"
)

const account = "111122223333"

// A house is a server with one gate before one account, with people.
type house struct {
	t      *testing.T
	url    string // of the server
	gate   client.Gate
	ca     string // file
	people map[string]*client.Client
}

// build puts a gate before what upstream names, in this process.
func build(t *testing.T, environment signalbox.Environment, upstream awsgate.Account, key string) *house {
	t.Helper()
	s, err := server.Start(t.Context(), configured(t, environment, upstream, key),
		slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return inhabited(t, s.URL(), s.Code())
}

func configured(t *testing.T, environment signalbox.Environment, upstream awsgate.Account, key string) config.Config {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	upstream.Account, upstream.Credentials.SecretAccessKey = account, secret.Source{File: file}
	if upstream.Region == "" {
		upstream.Region = awstest.Region
	}
	return config.Config{
		Data: filepath.Join(dir, "data"), Listen: "127.0.0.1:0",
		Gates: []config.Gate{{Name: "cloud", Kind: "aws", Environment: environment, Listen: "127.0.0.1:0",
			Settings: &awsgate.Settings{Upstream: upstream}}},
	}.Defaults()
}

// inhabited enrols alice, who has agents, and bob and carol of sre, with the
// one-time code of a new server.
func inhabited(t *testing.T, url, code string) *house {
	t.Helper()
	h := &house{t: t, url: url, people: map[string]*client.Client{}}
	e, err := h.as("").Login(t.Context(), client.Login{Code: code, Name: "root"})
	h.must(err)
	root := h.as(e.Token)
	for name, groups := range map[string][]string{"alice": nil, "bob": {"sre"}, "carol": {"sre"}} {
		e, err := root.AddPerson(t.Context(), client.NewPerson{Name: name, Groups: groups})
		h.must(err)
		h.people[name] = h.as(e.Token)
	}
	gates, err := root.Gates(t.Context())
	h.must(err)
	h.gate, h.ca = gates[0], filepath.Join(t.TempDir(), "ca.pem")
	h.must(os.WriteFile(h.ca, []byte(h.gate.CA), 0o600))
	return h
}

// before puts a gate before real servers that pass for one account.
func before(t *testing.T, environment signalbox.Environment, kinds ...awstest.Kind) (*house,
	map[awstest.Kind]*awstest.Server) {
	t.Helper()
	servers, endpoints := awstest.Account(t, kinds...)
	one := servers[kinds[0]]
	return build(t, environment, awsgate.Account{Endpoints: endpoints,
		Credentials: awsgate.Key{AccessKeyID: one.AccessKeyID}}, one.SecretAccessKey), servers
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) as(token string) *client.Client {
	h.t.Helper()
	c, err := client.New(client.Config{URL: h.url, Token: token})
	h.must(err)
	return c
}

// A session is alice's agent at the gate.
type session struct {
	*house
	id, secret string // the virtual credential
}

func (h *house) session() session {
	h.t.Helper()
	o, err := h.people["alice"].OpenSession(h.t.Context(), client.NewSession{Agent: "kiro"})
	h.must(err)
	return session{h, "SBXA" + strings.ToUpper(string(o.Session.ID)), o.Credentials["cloud"]}
}

func (h *house) endpoint() string { return fmt.Sprintf("https://%s:%d", h.gate.Host, h.gate.Port) }

// cli runs a real aws-cli as the session.
func (s session) cli(args ...string) (string, error) {
	s.t.Helper()
	program, err := awstest.CLI(s.t.Context())
	s.must(err)
	cmd := exec.CommandContext(s.t.Context(), program,
		append([]string{"--endpoint-url", s.endpoint(), "--ca-bundle", s.ca, "--output", "json"}, args...)...)
	cmd.Env = awstest.Environ(s.t.TempDir(), s.id, s.secret)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// runs wants that aws-cli succeeds with want in its output.
func (s session) runs(want string, args ...string) string {
	s.t.Helper()
	out, err := s.cli(args...)
	if err != nil || !strings.Contains(out, want) {
		s.t.Fatalf("aws %s: %v, want %q in\n%s", strings.Join(args, " "), err, want, out)
	}
	return out
}

// sdk is the configuration of aws-sdk-go-v2 for the session.
func (s session) sdk() aws.Config {
	s.t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(s.gate.CA))
	return aws.Config{
		Region: awstest.Region, BaseEndpoint: aws.String(s.endpoint()), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(s.id, s.secret, ""),
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool},
			ForceAttemptHTTP2: true}},
	}
}

func pathStyle(o *s3.Options) { o.UsePathStyle = true }

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

var holdID = regexp.MustCompile(`\(hold ([0-9A-Z]{26})\)`)

// isHeld wants that a client was told of a hold, as the cloud tells of what it
// denies, and gives the hold as the people see it.
func (h *house) isHeld(told string) client.Hold {
	h.t.Helper()
	id := holdID.FindStringSubmatch(told)
	if id == nil || !strings.Contains(told, "AccessDenied") || !strings.Contains(told, h.url+"/holds/"+id[1]) {
		h.t.Fatalf("the client is not told that it is held:\n%s", told)
	}
	hold, err := h.people["bob"].Hold(h.t.Context(), id[1])
	h.must(err)
	if hold.Status != "open" {
		h.t.Fatalf("hold %s is %s", hold.ID, hold.Status)
	}
	return hold
}

// approve has people approve a hold until it is approved, and wants that it
// takes so many.
func (h *house) approve(hold client.Hold, people int) {
	h.t.Helper()
	for i, name := range []string{"bob", "carol"}[:people] {
		got, err := h.people[name].Answer(h.t.Context(), hold.ID, true, "")
		h.must(err)
		if want := i == people-1; (got.Status == "approved") != want {
			h.t.Fatalf("after %d approvals the hold is %s: %s", i+1, got.Status, got.Missing)
		}
	}
}

// same wants that two contents are equal, without printing either.
func (h *house) same(what string, got, want []byte) {
	h.t.Helper()
	if !bytes.Equal(got, want) {
		h.t.Errorf("%s: got %d bytes, want %d others", what, len(got), len(want))
	}
}

func (h *house) read(path ...string) []byte {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	h.must(err)
	return text
}

// direct runs a real aws-cli past the gate.
func (s session) direct(url string, args ...string) (string, error) {
	s.t.Helper()
	program, err := awstest.CLI(s.t.Context())
	s.must(err)
	cmd := exec.CommandContext(s.t.Context(), program,
		append([]string{"--endpoint-url", url, "--output", "json"}, args...)...)
	cmd.Env = awstest.Environ(s.t.TempDir(), s.id, s.secret)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
