package aws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/aws/sigv4"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/test/oracle"
)

func password(id string) string { return gatetest.Password(id) }

// holding holds requests for these operations.
func holding(native ...string) func(interlock.Request) error {
	return func(r interlock.Request) error {
		if slices.Contains(native, r.Actions[0].Native) {
			return gatetest.Holding("")(r)
		}
		return nil
	}
}

// The gate's own key, which no client may ever see.
const (
	realKey    = "AKIAREALREALREALREAL"
	realSecret = "real/secret+of+the+gate+1234567890abcdef"
	account    = "123456789012"
)

// An account is what stands behind the gate: it verifies what arrives, and
// answers as told.
type upstream struct {
	t       testing.TB
	server  *httptest.Server
	secrets map[string]string // by access key id

	mu      sync.Mutex
	arrived []arrival
	reply   func(w http.ResponseWriter, r *http.Request, body []byte)
}

// An arrival is one request that reached the account.
type arrival struct {
	method, host, target, key, token, payload string
	header                                    http.Header
	body                                      []byte
	err                                       error // of its body
}

func newUpstream(t testing.TB, secure bool) *upstream {
	u := &upstream{t: t, secrets: map[string]string{realKey: realSecret}}
	u.server = httptest.NewUnstartedServer(http.HandlerFunc(u.serve))
	u.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	if secure {
		u.server.StartTLS()
	} else {
		u.server.Start()
	}
	t.Cleanup(u.server.Close)
	return u
}

func (u *upstream) serve(w http.ResponseWriter, r *http.Request) {
	a := arrival{method: r.Method, host: r.Host, target: r.RequestURI, header: r.Header.Clone()}
	s, err := sigv4.Parse(r)
	if err != nil {
		u.t.Errorf("%s %s arrived: %v", r.Method, r.RequestURI, err)
		http.Error(w, "unsigned", http.StatusForbidden)
		return
	}
	a.key, a.token, a.payload = s.Key, s.Token, s.Payload
	u.mu.Lock()
	secret := u.secrets[s.Key]
	u.mu.Unlock()
	body := io.Reader(r.Body)
	if s.Streaming() {
		if body, err = s.Decode(r.Body, r.Header, secret); err != nil {
			u.t.Errorf("chunks arrived: %v", err)
		}
	}
	a.body, a.err = io.ReadAll(body)
	sum := sha256.Sum256(a.body)
	if a.err == nil {
		if err := s.Check(r, secret, hex.EncodeToString(sum[:]), time.Now()); err != nil {
			u.t.Errorf("%s %s arrived: %v", r.Method, r.RequestURI, err)
		}
		if s.Hashed() && s.Payload != hex.EncodeToString(sum[:]) {
			u.t.Errorf("%s %s arrived with another body than its hash says", r.Method, r.RequestURI)
		}
	}
	if c, ok := body.(*sigv4.ChunkReader); ok {
		for _, t := range c.Trailers() {
			a.header.Set(t.Name, t.Value)
		}
	}
	u.mu.Lock()
	u.arrived = append(u.arrived, a)
	reply := u.reply
	u.mu.Unlock()
	if a.err != nil {
		return
	}
	if reply != nil {
		reply(w, r, a.body)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amzn-Requestid", "from-aws")
	io.WriteString(w, "{}")
}

func (u *upstream) arrivals() []arrival {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]arrival{}, u.arrived...)
}

func (u *upstream) last() arrival {
	u.t.Helper()
	all := u.arrivals()
	if len(all) == 0 {
		u.t.Fatal("nothing arrived")
	}
	return all[len(all)-1]
}

func (u *upstream) answer(reply func(w http.ResponseWriter, r *http.Request, body []byte)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reply = reply
}

// A testGate is a gate in front of an account.
type testGate struct {
	*gatetest.Script
	t    testing.TB
	gate *Gate
	up   *upstream
	addr string
	root *x509.CertPool
	log  *gatetest.LogBuffer
	told oracle.Log // what arrives must be told in it
}

// newTestGate starts a gate; change may change its configuration.
func newTestGate(t testing.TB, change func(*Config, *upstream)) *testGate {
	t.Helper()
	s := &gatetest.Script{T: t, Name: func(r interlock.Request) string { return r.Actions[0].Native }, Ceiling: -1}
	b := &testGate{Script: s, t: t, up: newUpstream(t, false), log: &gatetest.LogBuffer{}, told: s.Log.Entries}
	t.Cleanup(func() {
		var arrived []oracle.Arrival
		for _, a := range b.up.arrivals() {
			arrived = append(arrived, oracle.Arrival{Method: a.method, Target: a.target, Header: a.header,
				Body: a.body})
		}
		oracle.CheckUpstream(t, b.told, arrived)
	})
	certificate, root := gatetest.Certificate(t)
	b.root = x509.NewCertPool()
	b.root.AppendCertsFromPEM(root)
	config := Config{
		Config: gate.Config{
			Gate:      control.Gate{Name: "prod", Environment: signalbox.Production},
			Interlock: s,
			Hosts:     []string{"127.0.0.1", "localhost", "gate.test"},
			TLS:       &tls.Config{Certificates: []tls.Certificate{certificate}},
			HoldURL:   func(id string) string { return "http://signalbox.test/holds/" + id },
			Logger:    slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		},
		Upstream: Upstream{
			Account: account, Region: "eu-central-1", Endpoint: b.up.server.URL,
			Credentials: Credentials{AccessKeyID: realKey, SecretAccessKey: realSecret},
		},
	}
	if change != nil {
		change(&config, b.up)
	}
	b.start(config)
	t.Cleanup(func() {
		for _, secret := range []string{realSecret, password("agent-kiro"), password("human-alice")} {
			if strings.Contains(b.log.String(), secret) {
				t.Errorf("the log holds a secret:\n%s", b.log)
			}
		}
	})
	return b
}

func (b *testGate) start(config Config) {
	b.t.Helper()
	g, err := New(config)
	if err != nil {
		b.t.Fatal(err)
	}
	b.gate, b.addr = g, gatetest.Serve(b.t, g).String()
}

// rootFile writes the certificate of a test server to a file.
func rootFile(t testing.TB, s *httptest.Server) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}),
		0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// A client is one session's.
type client struct {
	b          *testGate
	key        aws.Credentials
	http       *http.Client
	base       string
	service    string // that it signs for; default dynamodb
	region     string
	host       string // instead of the gate's address
	unsigned   bool
	beforeSend func(*http.Request) // after signing
}

func (b *testGate) client(id string) *client {
	return &client{
		b: b, http: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: b.root},
			ForceAttemptHTTP2: true}},
		base: "http://" + b.addr, service: "dynamodb", region: "eu-central-1",
		key: aws.Credentials{AccessKeyID: "SBXA" + strings.ToUpper(id), SecretAccessKey: password(id)},
	}
}

// secure makes the client use TLS, and so HTTP/2.
func (c *client) secure() *client {
	c.base = "https://" + c.b.addr
	return c
}

func (c *client) as(service string) *client {
	other := *c
	other.service = service
	return &other
}

// request makes a request and signs it with the SDK's signer.
func (c *client) request(ctx context.Context, method, target string, body []byte, header ...string) *http.Request {
	c.b.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, c.base+target, bytes.NewReader(body))
	if err != nil {
		c.b.t.Fatal(err)
	}
	if c.host != "" {
		r.Host = c.host
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	sum := sha256.Sum256(body)
	payload := hex.EncodeToString(sum[:])
	if given := r.Header.Get("X-Amz-Content-Sha256"); given != "" {
		payload = given
	} else if c.service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", payload)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = c.service == "s3" })
	if !c.unsigned {
		if err := signer.SignHTTP(ctx, c.key, r, payload, c.service, c.region, time.Now()); err != nil {
			c.b.t.Fatal(err)
		}
	}
	if c.beforeSend != nil {
		c.beforeSend(r)
	}
	return r
}

// An apiError is an answer with an error status.
type apiError struct {
	status int
	body   string
	header http.Header
}

func (e *apiError) Error() string { return fmt.Sprintf("status %d: %s", e.status, e.body) }

// do sends a request and gives the answer's body.
func (c *client) do(ctx context.Context, method, target string, body []byte, header ...string) (string, error) {
	c.b.t.Helper()
	return c.send(c.request(ctx, method, target, body, header...))
}

func (c *client) send(r *http.Request) (string, error) {
	response, err := c.http.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return string(text), err
	}
	if response.StatusCode >= 300 {
		return "", &apiError{response.StatusCode, string(text), response.Header}
	}
	return string(text), nil
}

// call makes a call in the protocol of DynamoDB.
func (c *client) call(ctx context.Context, operation, body string, header ...string) (string, error) {
	c.b.t.Helper()
	return c.do(ctx, "POST", "/", []byte(body),
		append([]string{"X-Amz-Target", "DynamoDB_20120810." + operation, "Content-Type",
			"application/x-amz-json-1.0"}, header...)...)
}

func (c *client) list(ctx context.Context) error {
	_, err := c.call(ctx, "ListTables", "{}")
	return err
}

const putItem = `{"TableName":"orders","Item":{"id":{"S":"1"}}}`

func (c *client) put(ctx context.Context) error {
	_, err := c.call(ctx, "PutItem", putItem)
	return err
}

// status is that of an answer with an error.
func status(err error) int {
	var e *apiError
	if errors.As(err, &e) {
		return e.status
	}
	return 0
}

func wantError(t testing.TB, err error, status int, parts ...string) {
	t.Helper()
	var e *apiError
	if !errors.As(err, &e) {
		t.Errorf("got %v, want status %d", err, status)
		return
	}
	if e.status != status {
		t.Errorf("got status %d, want %d: %s", e.status, status, e.body)
	}
	for _, p := range parts {
		if !strings.Contains(e.body, p) {
			t.Errorf("got %s, want %q in it", e.body, p)
		}
	}
}
