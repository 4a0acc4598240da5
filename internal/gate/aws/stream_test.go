package aws

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
)

// Bodies of each kind stream, and what reaches AWS is what was sent.
func TestStreams(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 600<<10) // 9.4 MiB: more than is held
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	for _, secure := range []bool{false, true} {
		for name, c := range map[string]struct {
			payload string
			chunk   string // of what a client sends
			want    string // at AWS
			wantTLS string
		}{
			"hashed": {payload: hash, want: hash},
			"unsigned": {payload: "UNSIGNED-PAYLOAD", want: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
				wantTLS: "UNSIGNED-PAYLOAD"},
			"chunks": {payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
				want: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
			"chunks and a trailer": {payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
				want: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"},
			"a trailer": {payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
				want: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", wantTLS: "STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
		} {
			if c.wantTLS == "" {
				c.wantTLS = c.want
			}
			t.Run(fmt.Sprintf("%s, TLS %v", name, secure), func(t *testing.T) {
				b := newTestGate(t, func(config *Config, u *upstream) { overTLS(t, secure, config, u) })
				want := c.want
				if secure {
					want = c.wantTLS
				}
				for _, broken := range []bool{false, true} {
					before := len(b.up.arrivals())
					r := chunkedRequest(t, b.client("human-alice").as("s3"), c.payload, body, broken)
					_, err := b.client("human-alice").send(r)
					if broken && c.payload != "UNSIGNED-PAYLOAD" {
						if err == nil {
							t.Error("an altered body was accepted")
						}
						out := b.Outcomes[len(b.Outcomes)-1]
						if out.Result != signalbox.Failed || out.Code != "not-forwarded" {
							t.Errorf("outcome of an altered body: %+v", out)
						}
						gatetest.Eventually(t, func() bool { return len(b.up.arrivals()) > before })
						if b.up.last().err == nil {
							t.Error("AWS took an altered body for a whole one")
						}
						continue
					} else if broken {
						continue // nobody can tell
					}
					if err != nil {
						t.Fatal(err)
					}
					a := b.up.last()
					if !bytes.Equal(a.body, body) || a.payload != want || a.header.Get("X-Amz-Meta-Kind") != "test" {
						t.Errorf("arrived %d bytes as %s, want %d as %s", len(a.body), a.payload, len(body), want)
					}
					if strings.HasSuffix(c.payload, "TRAILER") && a.header.Get("X-Amz-Checksum-Crc32") != "AAAAAA==" {
						t.Errorf("the checksum arrived as %q", a.header.Get("X-Amz-Checksum-Crc32"))
					}
					if out := b.Outcomes[len(b.Outcomes)-1]; !strings.Contains(out.Detail, hash) {
						t.Errorf("the outcome does not tell what went through: %+v", out)
					}
					request := b.Requests[len(b.Requests)-1]
					if request.Partial != (c.payload != hash) {
						t.Errorf("can be approved: %v", !request.Partial)
					}
				}
			})
		}
	}
}

// overTLS puts an account behind TLS in front of the gate.
func overTLS(t *testing.T, secure bool, config *Config, u *upstream) {
	if !secure {
		return
	}
	other := newUpstream(t, true)
	*u = upstream{t: t, server: other.server, secrets: other.secrets}
	other.server.Config.Handler = http.HandlerFunc(u.serve)
	config.Upstream.Endpoint = other.server.URL
	config.Upstream.RootCA = rootFile(t, other.server)
}

// Short bodies in chunks are held, and go on whole with their checksum.
func TestShortChunks(t *testing.T) {
	b := newTestGate(t, nil)
	c := b.client("human-alice").as("s3")
	for _, payload := range []string{"STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
		"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"} {
		if _, err := c.send(chunkedRequest(t, c, payload, []byte("hello"), false)); err != nil {
			t.Fatal(err)
		}
		a := b.up.last()
		if string(a.body) != "hello" || len(a.payload) != 64 || a.header.Get("Content-Encoding") != "" ||
			a.header.Get("X-Amz-Trailer") != "" {
			t.Errorf("%s arrived as %q, %s, %v", payload, a.body, a.payload, a.header)
		}
		if strings.HasSuffix(payload, "TRAILER") && a.header.Get("X-Amz-Checksum-Crc32") != "AAAAAA==" {
			t.Errorf("%s: the checksum is lost: %v", payload, a.header)
		}
		if b.Requests[len(b.Requests)-1].Partial {
			t.Error("it cannot be approved")
		}
	}
	_, err := c.send(chunkedRequest(t, c, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", []byte("hello"), true))
	wantError(t, err, 403, "SignatureDoesNotMatch")
}

// A body that streams is not asked for before the verdict.
func TestExpectContinue(t *testing.T) {
	for _, refused := range []bool{false, true} {
		b := newTestGate(t, nil)
		if refused {
			b.Decide = holding("s3:PutObject")
		}
		body := bytes.Repeat([]byte("x"), 9<<20)
		text := b.client("agent-kiro").as("s3").dump(t, "PUT", "/bucket/key", string(body))
		head, _, _ := strings.Cut(text, "\r\n\r\n")
		conn, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(conn, "%s\r\nExpect: 100-continue\r\n\r\n", head)
		reply := bufio.NewReader(conn)
		line, err := reply.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if refused {
			if !strings.HasPrefix(line, "HTTP/1.1 403") {
				t.Errorf("refused: first line %q", line)
			}
			continue
		}
		if !strings.HasPrefix(line, "HTTP/1.1 100") {
			t.Fatalf("first line %q", line)
		}
		if got := b.Entries("admit", "spend"); len(got) != 1 || got[0] != "intent s3:PutObject" {
			t.Errorf("asked for the body when the journal was %q", got)
		}
		reply.ReadString('\n')
		conn.Write(body)
		if line, _ = reply.ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 200") {
			t.Errorf("then %q", line)
		}
		if !bytes.Equal(b.up.last().body, body) {
			t.Error("another body arrived")
		}
	}
}

// Long bodies of operations without a payload are refused.
func TestLongBodies(t *testing.T) {
	b := newTestGate(t, nil)
	_, err := b.client("human-alice").call(t.Context(), "PutItem", `{"TableName":"`+strings.Repeat("x", maxWhole)+`"}`)
	wantError(t, err, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge")
}

// A halt cuts what streams, in both directions, within a second.
func TestHaltCutsStreams(t *testing.T) {
	t.Run("down", func(t *testing.T) {
		b := newTestGate(t, nil)
		b.up.answer(func(w http.ResponseWriter, r *http.Request, _ []byte) {
			w.Header().Set("Content-Length", "1000000000")
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1000)); err != nil {
					return
				}
				w.(http.Flusher).Flush()
			}
		})
		c := b.client("agent-kiro").as("s3")
		response, err := c.http.Do(c.request(t.Context(), "GET", "/bucket/key", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if _, err := io.ReadFull(response.Body, make([]byte, 100000)); err != nil {
			t.Fatal(err)
		}
		b.Halt()
		began := time.Now()
		if _, err := io.Copy(io.Discard, response.Body); err == nil {
			t.Error("the stream ended as if it were whole")
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("it took %s", d)
		}
	})
	t.Run("up", func(t *testing.T) {
		b := newTestGate(t, nil)
		c := b.client("human-alice").as("s3")
		r := c.request(t.Context(), "PUT", "/bucket/key", nil, "X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		body, feed := io.Pipe()
		r.Body, r.ContentLength = body, 100<<20
		// The length is not among what is signed here: sign anew.
		if err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(t.Context(), c.key, r, "UNSIGNED-PAYLOAD", "s3", c.region, time.Now()); err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() {
			_, err := c.send(r)
			failed <- err
		}()
		if _, err := feed.Write(make([]byte, 10<<20)); err != nil {
			t.Fatal(err)
		}
		gatetest.Eventually(t, func() bool { return len(b.Entries("admit", "spend")) > 0 })
		b.Halt()
		began := time.Now()
		go func() {
			for {
				if _, err := feed.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		}()
		if err := <-failed; err == nil {
			t.Error("the upload went through")
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("it took %s", d)
		}
		feed.Close()
		gatetest.Eventually(t, func() bool { return len(b.Entries("admit", "spend")) > 1 })
		if got := b.Entries("admit", "spend"); got[1] != "outcome failed not-forwarded" {
			t.Errorf("journal %q", got)
		}
		gatetest.Eventually(t, func() bool { return len(b.up.arrivals()) > 0 })
		if b.up.last().err == nil {
			t.Error("AWS took it for whole")
		}
	})
}
