package aws

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// What reaches AWS is what the client asked for, signed by the gate: nothing of
// the client's signature goes on, and nothing of the meaning changes.
func TestForwards(t *testing.T) {
	for name, c := range map[string]struct {
		service, host, method, target, body string
		header                              []string
		want                                string // the target that arrives; default the same
		native                              string
	}{
		"json": {service: "dynamodb", method: "POST", target: "/", body: `{"TableName":"t"}`,
			header: []string{"X-Amz-Target", "DynamoDB_20120810.DescribeTable", "Content-Type",
				"application/x-amz-json-1.0"}, native: "dynamodb:DescribeTable"},
		"query": {service: "cloudformation", method: "POST", target: "/",
			body:   "Action=DescribeStacks&Version=2010-05-15&StackName=a%20b",
			header: []string{"Content-Type", "application/x-www-form-urlencoded"},
			native: "cloudformation:DescribeStacks"},
		"query in the URL": {service: "ec2", method: "GET",
			target: "/?Action=DescribeInstances&Version=2016-11-15", native: "ec2:DescribeInstances"},
		"rest-json": {service: "lambda", method: "GET",
			target: "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Af?Qualifier=%24LATEST", want: "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Af?Qualifier=%24LATEST", native: "lambda:GetFunction"},
		"S3 by path": {service: "s3", method: "GET",
			target: "/bucket/a%20b/c%2Bd/%C3%A4~e%281%29?versionId=x", native: "s3:GetObject"},
		"S3 by host": {service: "s3", host: "bucket.gate.test", method: "GET", target: "/key",
			want: "/bucket/key", native: "s3:GetObject"},
		"S3 by host with dots": {service: "s3", host: "my.bucket.gate.test:7443", method: "GET", target: "/key",
			want: "/my.bucket/key", native: "s3:GetObject"},
		"S3 dots in a key": {service: "s3", method: "GET", target: "/bucket/a/..//b", native: "s3:GetObject"},
		"S3 list": {service: "s3", method: "GET", target: "/bucket?list-type=2&prefix=a+b%2Fc",
			want: "/bucket?list-type=2&prefix=a%20b%2Fc", native: "s3:ListObjectsV2"},
		"S3 put": {service: "s3", method: "PUT", target: "/bucket/key", body: "hello",
			header: []string{"X-Amz-Meta-Name", "a  b", "Content-Type", "text/plain"}, native: "s3:PutObject"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestGate(t, nil)
			agent := b.client("agent-kiro").as(c.service)
			agent.host = c.host
			if _, err := agent.do(t.Context(), c.method, c.target, []byte(c.body), c.header...); err != nil {
				t.Fatal(err)
			}
			a := b.up.last()
			if c.want == "" {
				c.want = c.target
			}
			if a.method != c.method || a.target != c.want || string(a.body) != c.body || a.key != realKey {
				t.Errorf("arrived %s %s by %s with %q, want %s %s with %q", a.method, a.target, a.key, a.body,
					c.method, c.want, c.body)
			}
			for i := 0; i < len(c.header); i += 2 {
				if got := a.header.Get(c.header[i]); got != c.header[i+1] && got != "a b" {
					t.Errorf("header %s arrived as %q, want %q", c.header[i], got, c.header[i+1])
				}
			}
			if len(a.header["X-Amz-Security-Token"]) > 0 ||
				!strings.Contains(a.header.Get("User-Agent"), "signalbox/") {
				t.Errorf("arrived with headers %v", a.header)
			}
			if r := b.Requests[0]; r.Actions[0].Native != c.native || r.Gate.Target != "aws://"+account {
				t.Errorf("judged as %s at %s, want %s", r.Actions[0].Native, r.Gate.Target, c.native)
			}
		})
	}
}

// Reads are recorded in a summary, a second late at most.
func TestReadsAreSummedUp(t *testing.T) {
	b := newTestGate(t, nil)
	c := b.client("agent-kiro")
	for range 3 {
		if err := c.list(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	gatetest.Eventually(t, func() bool { b.Mu.Lock(); defer b.Mu.Unlock(); return len(b.Sums) > 0 })
	b.Mu.Lock()
	defer b.Mu.Unlock()
	sum := b.Sums[0]
	if sum.Statements != 3 || sum.Session != "agent-kiro" || sum.Gate != "prod" || len(sum.Shapes) != 1 ||
		sum.Hash.IsZero() {
		t.Errorf("summary %+v", sum)
	}
}

// What was read travels with the write that comes next: one append, and durable
// before the write goes on.
func TestReadsTravelWithTheWrite(t *testing.T) {
	b := newTestGate(t, nil)
	c := b.client("agent-kiro")
	for range 2 {
		if err := c.list(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.put(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"reads 2", "intent dynamodb:PutItem", "outcome done "}
	if d := cmp.Diff(want, b.Entries("admit", "spend")); d != "" {
		t.Error(d)
	}
	// Refused, it takes nothing along; not recorded, nothing is lost.
	b.Mu.Lock()
	b.Failing = fmt.Errorf("%w: disk", interlock.ErrUnavailable)
	b.Mu.Unlock()
	if err := c.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantError(t, c.put(t.Context()), http.StatusServiceUnavailable)
	b.Mu.Lock()
	b.Failing = nil
	b.Mu.Unlock()
	gatetest.Eventually(t, func() bool { b.Mu.Lock(); defer b.Mu.Unlock(); return len(b.Sums) == 2 })
}

// A write waits for reads that another has taken along, and records them itself
// when that came to nothing.
func TestWritesWaitForReadsOfOthers(t *testing.T) {
	b := newTestGate(t, nil)
	c := b.client("agent-kiro")
	if err := c.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := b.gate.sessions.Known("agent-kiro")
	defer b.gate.sessions.Leave(s, false)
	taken := s.Reads.Take()
	b.up.answer(func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		b.Mu.Lock()
		defer b.Mu.Unlock()
		if len(b.Sums) != 1 {
			t.Errorf("the write arrived after %d summaries", len(b.Sums))
		}
		io.WriteString(w, "{}")
	})
	done := make(chan error, 1)
	go func() { done <- c.put(t.Context()) }()
	gatetest.Eventually(t, func() bool { return len(b.Entries("admit", "spend")) > 0 }) // its intent
	taken.Done(errors.New("refused"))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestReadsOfEach(t *testing.T) {
	b := newTestGate(t, func(c *Config, _ *upstream) { c.ReadEach = true })
	if err := b.client("agent-kiro").list(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.Entries("admit", "spend"); len(got) != 1 || got[0] != "read dynamodb:ListTables" {
		t.Errorf("journal %q", got)
	}
}

// Refusals have the shape of the service that was meant.
func TestErrorShapes(t *testing.T) {
	b := newTestGate(t, nil)
	b.Decide = func(r interlock.Request) error {
		return holding(r.Actions[0].Native)(r)
	}
	c := b.client("agent-kiro")
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	_, err := c.call(t.Context(), "DeleteTable", `{"TableName":"t"}`)
	wantError(t, err, 403, `"__type":"AccessDenied"`, "hold wait 01HOLD", "http://signalbox.test/holds/01HOLD",
		"needs 2 of sre")
	_, err = c.as("cloudformation").do(t.Context(), "POST", "/",
		[]byte("Action=DeleteStack&Version=2010-05-15&StackName=s"), form...)
	wantError(t, err, 403, "<ErrorResponse", "<Code>AccessDenied</Code>", "01HOLD", "destroys a &lt;table&gt;")
	_, err = c.as("ec2").do(t.Context(), "POST", "/",
		[]byte("Action=TerminateInstances&Version=2016-11-15&InstanceId.1=i-1"), form...)
	wantError(t, err, 403, "<Response><Errors><Error><Code>AccessDenied</Code>", "01HOLD")
	_, err = c.as("s3").do(t.Context(), "DELETE", "/bucket", nil)
	wantError(t, err, 403, "<Error><Code>AccessDenied</Code>", "01HOLD")
	_, err = c.as("lambda").do(t.Context(), "DELETE", "/2015-03-31/functions/f", nil)
	var e *apiError
	if !errors.As(err, &e) || e.header.Get("X-Amzn-Errortype") != "AccessDenied" {
		t.Errorf("lambda: %v", err)
	}
	if n := len(b.up.arrivals()); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// Who is nobody here gets nothing, and is told what to do.
func TestStrangers(t *testing.T) {
	b := newTestGate(t, nil)
	ctx := t.Context()
	with := func(change func(*client)) error {
		c := b.client("agent-kiro")
		change(c)
		return c.list(ctx)
	}
	wantError(t, with(func(c *client) { c.unsigned = true }), 403, "MissingAuthenticationToken", "signalbox run")
	wantError(t, with(func(c *client) { c.key.AccessKeyID = realKey; c.key.SecretAccessKey = realSecret }), 403,
		"UnrecognizedClientException", "none of Signalbox")
	wantError(t, with(func(c *client) { c.key.SecretAccessKey = "guess" }), 403, "InvalidSignatureException")
	wantError(t, with(func(c *client) { c.key = b.client("agent-gone").key }), 403, "UnrecognizedClientException",
		"not known here, or has ended")
	wantError(t, with(func(c *client) { c.key.SecretAccessKey = password("human-alice") }), 403,
		"InvalidSignatureException")
	wantError(t, with(func(c *client) { c.key.SessionToken = "t" }), 403, "InvalidSignatureException",
		"no security token")
	wantError(t, with(func(c *client) {
		c.beforeSend = func(r *http.Request) {
			r.Header.Set("Authorization", "AWS "+c.key.AccessKeyID+":c2ln")
		}
	}), 400, "Signature Version 2")
	wantError(t, with(func(c *client) {
		c.beforeSend = func(r *http.Request) { r.Header.Set("X-Amz-Grant-Full-Control", "everybody") }
	}), 403, "not covered")
	wantError(t, with(func(c *client) {
		c.beforeSend = func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("[]")) }
	}), 403, "InvalidSignatureException")
	_, err := b.client("human-alice").as("s3").do(ctx, "GET", "/bucket/key", nil, "X-Amz-Content-Sha256",
		strings.Repeat("0", 64))
	wantError(t, err, 400, "XAmzContentSHA256Mismatch")
	if n := len(b.up.arrivals()); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// Guesses are slowed down, and who signs rightly is not.
func TestGuessesAreLimited(t *testing.T) {
	b := newTestGate(t, nil)
	bad := b.client("agent-kiro")
	bad.key.SecretAccessKey = "guess"
	limited := 0
	for range 20 {
		if err := bad.list(t.Context()); status(err) == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited < 8 {
		t.Errorf("%d of 20 guesses were turned away", limited)
	}
	// Whatever others behind the same address and under the same key did.
	for _, id := range []string{"human-alice", "agent-kiro"} {
		if err := b.client(id).list(t.Context()); err != nil {
			t.Errorf("%s signs rightly: %v", id, err)
		}
	}
	if len(b.Entries("admit", "spend")) == 0 {
		t.Error("nobody was told")
	}
}

// raw sends bytes and gives what comes back.
func (b *testGate) raw(t *testing.T, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(3 * time.Second))
	io.WriteString(conn, text)
	reply, _ := io.ReadAll(conn)
	return string(reply)
}

// dump writes a signed request as it goes over the wire, changed by the test.
func (c *client) dump(t *testing.T, method, target, body string, header ...string) string {
	r := c.request(t.Context(), method, target, []byte(body), header...)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %d\r\n", method, target,
		r.URL.Host, len(body))
	for name, values := range r.Header {
		for _, v := range values {
			fmt.Fprintf(&b, "%s: %s\r\n", name, v)
		}
	}
	return b.String() + "\r\n" + body
}

// What two readers could understand in two ways is refused, however well it is
// signed.
func TestSmuggling(t *testing.T) {
	b := newTestGate(t, nil)
	c := b.client("agent-kiro")
	json := []string{"X-Amz-Target", "DynamoDB_20120810.ListTables", "Content-Type", "application/x-amz-json-1.0"}
	good := c.dump(t, "POST", "/", "{}", json...)
	if reply := b.raw(t, good); !strings.HasPrefix(reply, "HTTP/1.1 200") {
		t.Fatalf("the plain request: %s", reply)
	}
	b.up.mu.Lock()
	b.up.arrived = nil
	b.up.mu.Unlock()
	insert := func(line string) string {
		return strings.Replace(good, "Connection: close\r\n", "Connection: close\r\n"+line+"\r\n", 1)
	}
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	for name, text := range map[string]string{
		"two hosts":           insert("Host: other"),
		"two lengths":         insert("Content-Length: 3"),
		"length and chunks":   strings.TrimSuffix(insert("Transfer-Encoding: chunked"), "{}") + "2\r\n{}\r\n0\r\n\r\n",
		"odd coding":          insert("Transfer-Encoding: xchunked"),
		"two targets":         insert("X-Amz-Target: DynamoDB_20120810.DeleteTable"),
		"two content types":   insert("Content-Type: application/x-www-form-urlencoded"),
		"absolute form":       strings.Replace(good, "POST / ", "POST http://"+b.addr+"/ ", 1),
		"other absolute form": strings.Replace(good, "POST / ", "POST http://dynamodb.eu-central-1.amazonaws.com/ ", 1),
		"CONNECT":             strings.Replace(good, "POST / ", "CONNECT host:443 ", 1),
		"TRACE":               strings.Replace(good, "POST ", "TRACE ", 1),
		"OPTIONS *":           strings.Replace(good, "POST / ", "OPTIONS * ", 1),
		"token twice in JSON": c.dump(t, "POST", "/", `{"Limit":1,"Limit":2}`, json...),
		"JSON and more":       c.dump(t, "POST", "/", `{} {}`, json...),
		"action twice": c.as("cloudformation").dump(t, "POST", "/",
			"Action=DescribeStacks&Version=2010-05-15&Action=DeleteStack&StackName=x", form...),
		"action in both": c.as("cloudformation").dump(t, "POST", "/?Action=DescribeStacks&Version=2010-05-15",
			"Action=DeleteStack&Version=2010-05-15&StackName=x", form...),
		"target and action": c.as("monitoring").dump(t, "POST", "/", "Action=DescribeAlarms&Version=2010-08-01",
			append([]string{"X-Amz-Target", "GraniteServiceVersion20100801.DeleteAlarms"}, form...)...),
		"dots in the path": c.as("lambda").dump(t, "GET",
			"/2015-03-31/functions/x/../../../2015-03-31/functions/y", ""),
		"escaped dots":    c.as("lambda").dump(t, "GET", "/2015-03-31/functions/%2e%2e/y", ""),
		"parameter twice": c.as("s3").dump(t, "GET", "/bucket/key?versionId=1&versionId=2", ""),
		"broken escape":   strings.Replace(good, "POST / ", "POST /%zz ", 1),
		"GET with a body": c.dump(t, "GET", "/", "{}", json...),
		"JSON that is a form": c.as("sqs").dump(t, "POST", "/",
			`{"QueueNamePrefix":"&Action=PurgeQueue&Version=2012-11-05&QueueUrl=q&x="}`,
			append([]string{"X-Amz-Target", "AmazonSQS.ListQueues"}, form...)...),
		"header in the query": c.as("s3").dump(t, "PUT", "/bucket/key?x-amz-copy-source=%2Fother%2Fkey", ""),
	} {
		t.Run(name, func(t *testing.T) {
			reply := b.raw(t, text)
			if !strings.HasPrefix(reply, "HTTP/1.1 4") && !strings.HasPrefix(reply, "HTTP/1.1 501") {
				t.Errorf("got %q", reply)
			}
		})
	}
	for _, a := range b.up.arrivals() {
		t.Errorf("arrived: %s %s %v", a.method, a.target, a.header)
	}
	// An escaped slash does not hide the key of an object from its bucket.
	if _, err := c.as("s3").do(t.Context(), "DELETE", "/bucket%2Fkey", nil); err != nil {
		t.Fatal(err)
	}
	if a := b.up.last(); a.target != "/bucket/key" {
		t.Errorf("arrived as %s", a.target)
	}
	judged := func(want string) {
		t.Helper()
		b.Mu.Lock()
		defer b.Mu.Unlock()
		if last := b.Requests[len(b.Requests)-1]; last.Actions[0].Native != want {
			t.Errorf("judged as %s, want %s", last.Actions[0].Native, want)
		}
	}
	judged("s3:DeleteObject")
	// A compressed form is judged and forwarded as what is in it.
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Name = "&Action=DescribeAlarms&Version=2010-08-01&"
	if _, err := io.WriteString(z, "Action=DeleteAlarms&Version=2010-08-01&AlarmNames.member.1=a"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.as("monitoring").do(t.Context(), "POST", "/", packed.Bytes(),
		append([]string{"Content-Encoding", "gzip"}, form...)...); err != nil {
		t.Fatal(err)
	}
	judged("cloudwatch:DeleteAlarms")
	if a := b.up.last(); string(a.body) != "Action=DeleteAlarms&Version=2010-08-01&AlarmNames.member.1=a" ||
		a.header.Get("Content-Encoding") != "" {
		t.Errorf("arrived: %q with %v", a.body, a.header)
	}
}

// A presigned URL is the session's, for as long as the session is.
func TestPresigned(t *testing.T) {
	b := newTestGate(t, nil)
	c := b.client("agent-kiro").as("s3")
	presign := func(method, target string, seconds int, header http.Header) *http.Request {
		r, err := http.NewRequest(method, c.base+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		query := r.URL.Query()
		query.Set("X-Amz-Expires", fmt.Sprint(seconds))
		r.URL.RawQuery = query.Encode()
		for name, v := range header {
			r.Header[name] = v
		}
		signed, _, err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).
			PresignHTTP(t.Context(), c.key, r, "UNSIGNED-PAYLOAD", "s3", c.region, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(signed)
		if err != nil {
			t.Fatal(err)
		}
		return (&http.Request{Method: method, URL: u, Header: http.Header{}}).WithContext(t.Context())
	}
	if _, err := c.send(presign("GET", "/bucket/key?versionId=v", 60, nil)); err != nil {
		t.Fatal(err)
	}
	if a := b.up.last(); a.target != "/bucket/key?versionId=v" || a.key != realKey {
		t.Errorf("arrived as %s", a.target)
	}
	// What was moved into the query is a header again.
	if _, err := c.send(presign("GET", "/bucket/key", 60,
		http.Header{"X-Amz-Expected-Bucket-Owner": {account}})); err != nil {
		t.Fatal(err)
	}
	if a := b.up.last(); a.header.Get("X-Amz-Expected-Bucket-Owner") != account || strings.Contains(a.target, "?") {
		t.Errorf("arrived as %s with %v", a.target, a.header)
	}
	put := presign("PUT", "/bucket/key", 60, nil)
	put.Body, put.ContentLength = io.NopCloser(strings.NewReader("hello")), 5
	if _, err := c.send(put); err != nil {
		t.Fatal(err)
	}
	if a := b.up.last(); string(a.body) != "hello" || len(a.payload) != 64 {
		t.Errorf("arrived with %q and hash %s", a.body, a.payload)
	}
	late := presign("GET", "/bucket/key", 60, nil)
	far := presign("GET", "/bucket/key", 700000, nil)
	_, err := c.send(far)
	wantError(t, err, 400, "604800")
	added := presign("PUT", "/bucket/key", 60, nil)
	added.Header.Set("X-Amz-Acl", "public-read")
	_, err = c.send(added)
	wantError(t, err, 403, "x-amz-acl")
	n := len(b.up.arrivals())
	b.Halt()
	_, err = c.send(late)
	wantError(t, err, 403, "InvalidAccessKeyId")
	if len(b.up.arrivals()) != n {
		t.Error("a presigned URL outlived its session")
	}
}

// A request that AWS has perhaps acted upon and did not answer is unknown, and
// said so in a way that no SDK repeats. What AWS cannot have acted upon is not.
func TestLostAnswers(t *testing.T) {
	b := newTestGate(t, nil)
	c := b.client("human-alice")
	cut := func(w http.ResponseWriter, _ *http.Request, _ []byte) { panic(http.ErrAbortHandler) }
	b.up.answer(cut)
	wantError(t, c.put(t.Context()), http.StatusNotImplemented, CodeUnknown, "01INTENT")
	if err := c.list(t.Context()); status(err) != http.StatusBadGateway {
		t.Errorf("a read: %v", err)
	}
	// It begins to answer, and breaks off.
	b.up.answer(func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "{")
		panic(http.ErrAbortHandler)
	})
	wantError(t, c.put(t.Context()), http.StatusNotImplemented, CodeUnknown)
	if body, err := c.call(t.Context(), "ListTables", "{}"); err == nil {
		t.Errorf("half an answer was taken for a whole one: %q", body)
	}
	// AWS itself does not know: its own words, and no certainty in the log.
	b.up.answer(func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.WriteHeader(500)
		io.WriteString(w, `{"__type":"InternalServerError","message":"oops"}`)
	})
	wantError(t, c.put(t.Context()), 500, "oops")
	want := []string{"intent dynamodb:PutItem", "outcome unknown"}
	if got := b.Entries("reads", "admit", "spend"); strings.Join(got,
		"|") != strings.Join(append(append(append([]string{}, want...), want...), want...), "|") {
		t.Errorf("journal %q", got)
	}
	// Refused by AWS: failed, with its code.
	b.up.answer(func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.WriteHeader(400)
		io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"secret row"}`)
	})
	wantError(t, c.put(t.Context()), 400, "ConditionalCheckFailedException")
	if out := b.Outcomes[len(b.Outcomes)-1]; out.Result != signalbox.Failed ||
		out.Code != "ConditionalCheckFailedException" {
		t.Errorf("outcome %+v", out)
	}
	// Nobody is there.
	b.up.server.Close()
	b.gate.transport.CloseIdleConnections()
	wantError(t, c.put(t.Context()), http.StatusServiceUnavailable, "nothing was done")
	if out := b.Outcomes[len(b.Outcomes)-1]; out.Result != signalbox.Failed || out.Code != "not-forwarded" {
		t.Errorf("outcome %+v", out)
	}
}

// S3 may say 200 and then that it failed.
func TestLateErrorsOfS3(t *testing.T) {
	b := newTestGate(t, nil)
	b.up.answer(func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		io.WriteString(w, "<?xml version=\"1.0\"?>\n\n  <Error><Code>SlowDown</Code><Message>later</Message></Error>")
	})
	c := b.client("human-alice").as("s3")
	if body, err := c.do(t.Context(), "PUT", "/bucket/key", nil, "X-Amz-Copy-Source", "/bucket/other"); err != nil ||
		!strings.Contains(body, "SlowDown") {
		t.Errorf("%q, %v", body, err)
	}
	if out := b.Outcomes[0]; out.Result != signalbox.Failed || out.Code != "SlowDown" {
		t.Errorf("outcome %+v", out)
	}
}

// A GET that changes something is not repeated when a connection breaks.
func TestNothingIsSentTwice(t *testing.T) {
	b := newTestGate(t, nil)
	c := b.client("human-alice").as("ec2")
	for _, cut := range []bool{false, true, true} {
		b.up.answer(func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			if cut {
				panic(http.ErrAbortHandler)
			}
			io.WriteString(w, "<DescribeInstancesResponse/>")
		})
		if !cut { // leaves a connection to be used again
			if _, err := c.do(t.Context(), "GET", "/?Action=DescribeInstances&Version=2016-11-15", nil); err != nil {
				t.Fatal(err)
			}
			continue
		}
		before := len(b.up.arrivals())
		_, err := c.do(t.Context(), "GET", "/?Action=TerminateInstances&Version=2016-11-15&InstanceId.1=i-1", nil)
		wantError(t, err, http.StatusNotImplemented, CodeUnknown)
		if n := len(b.up.arrivals()) - before; n != 1 {
			t.Errorf("it arrived %d times", n)
		}
	}
}

// Who stops the gate does not lose what AWS was asked to do.
func TestShutdownWaitsForOutcomes(t *testing.T) {
	b := newTestGate(t, nil)
	arrived, answer := make(chan bool), make(chan bool)
	b.up.answer(func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		arrived <- true
		<-answer
		io.WriteString(w, "{}")
	})
	done := make(chan error, 1)
	go func() { done <- b.client("human-alice").put(context.Background()) }()
	<-arrived
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		stopped <- b.gate.Shutdown(ctx)
	}()
	gatetest.Eventually(t, func() bool { _, err := net.Dial("tcp", b.addr); return err != nil })
	answer <- true
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if got := b.Entries("admit", "spend"); len(got) != 2 || got[1] != "outcome done " {
		t.Errorf("journal %q", got)
	}
}

// Plain text does not pass where TLS is required, and TLS gives HTTP/2.
func TestTransports(t *testing.T) {
	b := newTestGate(t, func(c *Config, _ *upstream) { c.RequireTLS = true })
	if err := b.client("agent-kiro").list(t.Context()); err == nil || status(err) != 0 {
		t.Errorf("plain: %v", err)
	}
	c := b.client("agent-kiro").secure()
	response, err := c.http.Do(c.request(t.Context(), "POST", "/", []byte("{}"), "X-Amz-Target",
		"DynamoDB_20120810.ListTables"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.ProtoMajor != 2 || response.StatusCode != 200 {
		t.Errorf("%s with status %d", response.Proto, response.StatusCode)
	}
	conn, err := tls.Dial("tcp", b.addr, &tls.Config{RootCAs: b.root, MaxVersion: tls.VersionTLS11})
	if err == nil {
		conn.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

func TestLimits(t *testing.T) {
	b := newTestGate(t, func(c *Config, _ *upstream) { c.MaxConnections, c.MaxPerSession = 3, 1 })
	arrived, answer := make(chan bool), make(chan bool)
	b.up.answer(func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		arrived <- true
		<-answer
		io.WriteString(w, "{}")
	})
	done := make(chan error, 1)
	go func() { done <- b.client("human-alice").list(context.Background()) }()
	<-arrived
	wantError(t, b.client("human-alice").list(t.Context()), 503, "SlowDown")
	answer <- true
	if err := <-done; err != nil {
		t.Error(err)
	}
	for range 5 {
		conn, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	gatetest.Eventually(t, func() bool { b.gate.mu.Lock(); defer b.gate.mu.Unlock(); return len(b.gate.conns) == 3 })
	big := b.client("agent-kiro")
	big.beforeSend = func(r *http.Request) { r.Header.Set("X-Big", strings.Repeat("x", 100<<10)) }
	if err := big.list(t.Context()); err == nil {
		t.Error("a huge header passed")
	}
}

// Operations that carry no signature by design are called with the session's
// credential as a bearer token, where the configuration names them.
func TestUnsignedOperations(t *testing.T) {
	b := newTestGate(t, func(c *Config, _ *upstream) { c.Upstream.Unsigned = []string{"cognito-idp:InitiateAuth"} })
	b.up.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("arrived signed: %v", r.Header)
		}
		io.WriteString(w, "{}")
	})
	c := b.client("human-alice")
	c.unsigned = true
	ask := func(operation, token string) error {
		_, err := c.do(t.Context(), "POST", "/", []byte(`{"ClientId":"c","AuthFlow":"USER_SRP_AUTH"}`),
			"X-Amz-Target", "AWSCognitoIdentityProviderService."+operation, "Content-Type",
			"application/x-amz-json-1.1", "Authorization", token)
		return err
	}
	id := "human-alice"
	if err := ask("InitiateAuth", "Bearer "+password(id)); err != nil {
		t.Error(err)
	}
	wantError(t, ask("SignUp", "Bearer "+password(id)), 403, "upstream.unsigned")
	wantError(t, ask("DeleteUserPool", "Bearer "+password(id)), 403, "upstream.unsigned")
	wantError(t, ask("InitiateAuth", "Bearer sbs_"+id+"_guess"), 403)
	wantError(t, ask("InitiateAuth", "Bearer nothing"), 403)
}
