package aws

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock"
)

// A frames is a connection of HTTP/2 on which a test writes what no client of
// good manners does.
type frames struct {
	net.Conn
	stream uint32
}

func (b *testGate) frames(ctx context.Context) (*frames, error) {
	d := &tls.Dialer{Config: &tls.Config{RootCAs: b.root, NextProtos: []string{"h2"}}}
	conn, err := d.DialContext(ctx, "tcp", b.addr)
	if err != nil {
		return nil, err
	}
	f := &frames{conn, 1}
	if _, err := io.WriteString(f, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
		return nil, err
	}
	f.frame(4, 0, 0, nil)                         // settings
	go func() { _, _ = io.Copy(io.Discard, f) }() // ends with the connection
	return f, nil
}

// frame writes one (RFC 9113 section 4.1). What the server does not take any
// more is no matter here.
func (f *frames) frame(kind, flags byte, stream uint32, payload []byte) {
	head := make([]byte, 9, 9+len(payload))
	binary.BigEndian.PutUint32(head, uint32(len(payload))<<8)
	head[3], head[4] = kind, flags
	binary.BigEndian.PutUint32(head[5:], stream)
	_, _ = f.Write(append(head, payload...))
}

// open sends the headers of a request, as literals without an index (RFC 7541
// section 6.2.2).
func (f *frames) open(r *http.Request, length int) (stream uint32) {
	var b bytes.Buffer
	text := func(s string) {
		n := len(s)
		if n < 127 {
			b.WriteByte(byte(n))
		} else {
			b.WriteByte(127)
			b.Write(binary.AppendUvarint(nil, uint64(n-127)))
		}
		b.WriteString(s)
	}
	field := func(name, value string) { b.WriteByte(0); text(name); text(value) }
	field(":method", r.Method)
	field(":scheme", "https")
	field(":authority", r.URL.Host)
	field(":path", r.URL.RequestURI())
	field("content-length", fmt.Sprint(length))
	for name, values := range r.Header {
		field(strings.ToLower(name), values[0])
	}
	stream, f.stream = f.stream, f.stream+2
	f.frame(1, 4, stream, b.Bytes()) // headers, all of them
	return stream
}

const (
	dataFrame  = 0
	resetFrame = 3
	endStream  = 1
)

// A client that goes away in the middle ends its request, and nothing else.
func TestClientsVanish(t *testing.T) {
	b := newTestGate(t, nil)
	stranger := b.client("agent-kiro").secure()
	stranger.key.SecretAccessKey = "guess"
	cancelled := []byte{0, 0, 0, 8}
	var group errgroup.Group
	for worker := range 4 {
		group.Go(func() error {
			for i := range 80 {
				f, err := b.frames(t.Context())
				if err != nil {
					return err
				}
				c := stranger
				if i%3 == 0 {
					c = b.client("agent-kiro").secure()
				}
				put := func() *http.Request {
					return c.request(t.Context(), "POST", "/", []byte(putItem), "X-Amz-Target",
						"DynamoDB_20120810.PutItem", "Content-Type", "application/x-amz-json-1.0")
				}
				for range 5 {
					switch stream := f.open(put(), 100); (i + worker) % 4 {
					case 0: // another length than it said
						f.frame(dataFrame, endStream, stream, []byte("{}"))
					case 1:
						f.frame(dataFrame, 0, stream, []byte("{}"))
						f.frame(resetFrame, 0, stream, cancelled)
					case 2:
						f.frame(resetFrame, 0, stream, cancelled)
					case 3: // the connection closes
					}
				}
				f.Close()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	b.settled()
	if n := len(b.up.arrivals()); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
	if err := b.client("agent-kiro").secure().put(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if strings.Contains(b.log.String(), "defect") {
		t.Errorf("a defect:\n%s", b.log)
	}
}

// settled waits until nothing works for a request any more, and sees that all
// that was taken was given back.
func (b *testGate) settled() {
	b.t.Helper()
	gatetest.Eventually(b.t, func() bool { return b.gate.sessions.Clients() == 0 })
	all := b.gate.MaxHeld - b.gate.MaxHeld/4
	if !b.gate.held.TryAcquire(all) {
		b.t.Error("memory for bodies was not given back")
	} else {
		b.gate.held.Release(all)
	}
	b.gate.unproved.mu.Lock()
	defer b.gate.unproved.mu.Unlock()
	if b.gate.unproved.used != 0 || len(b.gate.unproved.bodies) != 0 {
		b.t.Errorf("%d bytes of unproved bodies were not given back", b.gate.unproved.used)
	}
}

// Clients that cancel what AWS is answering, or what they are sending.
func TestClientsCancel(t *testing.T) {
	b := newTestGate(t, nil)
	c := b.client("human-alice").secure()
	item := []byte(`{"TableName":"t","Item":{"id":{"S":"` + strings.Repeat("x", 100<<10) + `"}}}`)
	var group errgroup.Group
	for range 4 {
		group.Go(func() error {
			for i := range 60 {
				ctx, cancel := context.WithCancel(t.Context())
				hooked := ctx
				switch i % 3 {
				case 0: // as soon as all is written
					hooked = httptrace.WithClientTrace(ctx,
						&httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { cancel() }})
				case 1:
					hooked = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: cancel})
				case 2:
					hooked = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: cancel})
				}
				_, _ = c.do(hooked, "POST", "/", item, "X-Amz-Target", "DynamoDB_20120810.PutItem", "Content-Type",
					"application/x-amz-json-1.0")
				_ = c.list(hooked)
				cancel()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	b.settled()
	if err := c.list(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// AWS may answer before it has the body. The transport is still reading it then,
// and finds nobody there when the request has ended.
func TestAnswerBeforeTheBody(t *testing.T) {
	b := newTestGate(t, nil)
	b.up.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
	})
	for i := range 60 {
		c := b.client("human-alice").as("s3")
		if i%2 == 0 {
			c = c.secure()
		}
		body, feed := io.Pipe()
		r := c.request(t.Context(), "PUT", "/bucket/key", nil, "X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		r.Body, r.ContentLength = body, 64<<20
		var feeding sync.WaitGroup
		feeding.Go(func() {
			chunk := bytes.Repeat([]byte("x"), 32<<10)
			for {
				if _, err := feed.Write(chunk); err != nil {
					return
				}
			}
		})
		_, err := c.send(r)
		body.CloseWithError(io.ErrClosedPipe)
		feeding.Wait()
		if err == nil {
			t.Fatal("it was answered as done")
		}
	}
	b.settled()
}

// A defect in one request is that request's end.
func TestDefects(t *testing.T) {
	var panics atomic.Int64
	b := newTestGate(t, func(c *Config, _ *upstream) { c.Panicked = func(string) { panics.Add(1) } })
	c := b.client("agent-kiro").secure()
	b.Decide = func(interlock.Request) error { panic("a defect in deciding") }
	wantError(t, c.put(t.Context()), 503, "SignalboxUnavailable")
	b.Decide = nil
	b.gate.credentials = nil // nothing can be signed
	wantError(t, c.put(t.Context()), 501, "SignalboxOutcomeUnknown", "01INTENT")
	if got := strings.Join(b.Entries("admit", "spend"), "; "); got != "intent dynamodb:PutItem; outcome unknown" {
		t.Errorf("recorded: %s", got)
	}
	if n := panics.Load(); n != 2 || !strings.Contains(b.log.String(), "report it") {
		t.Errorf("%d panics were counted, and told:\n%s", n, b.log)
	}
	if n := len(b.up.arrivals()); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// Strangers take nothing that others need: not memory, not a session's places.
func TestStrangersTakeNothing(t *testing.T) {
	b := newTestGate(t, func(c *Config, _ *upstream) { c.MaxHeld, c.MaxPerSession = 32<<20, 2 })
	stranger := b.client("agent-kiro")
	stranger.key.SecretAccessKey = "guess"
	for i := range 64 {
		conn, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r := stranger.request(t.Context(), "POST", "/", []byte("{}"), "X-Amz-Target", "DynamoDB_20120810.PutItem")
		head := fmt.Sprintf("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", b.addr, maxWhole)
		for name, values := range r.Header {
			head += name + ": " + values[0] + "\r\n"
		}
		body := "x"
		if i%4 == 0 {
			body = strings.Repeat("x", 1<<20) // some do send much
		}
		if _, err := io.WriteString(conn, head+"\r\n"+body); err != nil {
			t.Fatal(err)
		}
	}
	gatetest.Eventually(t, func() bool {
		b.gate.unproved.mu.Lock()
		defer b.gate.unproved.mu.Unlock()
		return b.gate.unproved.count >= 64
	})
	for _, id := range []string{"human-alice", "agent-kiro"} {
		c := b.client(id)
		if _, err := c.call(t.Context(), "PutItem", putItem[:len(putItem)-1]+strings.Repeat(" ", 1<<20)+
			"}"); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if _, err := c.as("s3").do(t.Context(), "PUT", "/bucket/key", bytes.Repeat([]byte("x"), 4<<20)); err != nil {
			t.Errorf("%s puts: %v", id, err)
		}
	}
}

// Who sends a byte now and then is waited for no longer than who sends nothing.
func TestDripping(t *testing.T) {
	b := newTestGate(t, func(c *Config, _ *upstream) { c.HeaderTimeout, c.StallTimeout = time.Second, time.Second })
	drip := func(c *client, payload string) {
		conn, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		header := []string{"X-Amz-Target", "DynamoDB_20120810.PutItem"}
		if payload != "" {
			header = append(header, "X-Amz-Content-Sha256", payload)
		}
		r := c.request(t.Context(), "PUT", "/bucket/key", []byte("{}"), header...)
		head := fmt.Sprintf("PUT /bucket/key HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", b.addr, 1<<20)
		for name, values := range r.Header {
			head += name + ": " + values[0] + "\r\n"
		}
		if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
			t.Fatal(err)
		}
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			_, _ = conn.Read(make([]byte, 1))
		}()
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		deadline := time.After(30 * time.Second)
		for {
			select {
			case <-answered:
				return
			case <-tick.C:
				_, _ = conn.Write([]byte("x"))
			case <-deadline:
				t.Fatalf("a body that drips is still waited for (%q)", payload)
			}
		}
	}
	drip(b.client("human-alice"), "")
	drip(b.client("human-alice").as("s3"), "UNSIGNED-PAYLOAD")
	b.settled()
}

// Silent connections shut nobody out.
func TestSilence(t *testing.T) {
	b := newTestGate(t, func(c *Config, _ *upstream) { c.MaxConnections = 8 })
	honest := b.client("human-alice")
	if err := honest.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		conn, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	gatetest.Eventually(t, func() bool { b.gate.mu.Lock(); defer b.gate.mu.Unlock(); return b.gate.came >= 41 })
	if err := honest.list(t.Context()); err != nil {
		t.Errorf("on a connection that was proved: %v", err)
	}
	if err := b.client("agent-kiro").secure().list(t.Context()); err != nil {
		t.Errorf("on a new one: %v", err)
	}
	b.gate.mu.Lock()
	defer b.gate.mu.Unlock()
	if n := len(b.gate.conns); n > 8 {
		t.Errorf("%d connections", n)
	}
}
