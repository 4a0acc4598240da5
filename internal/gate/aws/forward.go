package aws

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox/internal/gate/aws/sigv4"
)

// newTransport makes what requests go out by. It never sends a request twice:
// net/http repeats one only when it can read the body again and the method is
// one of a few, or when nothing of it was sent; send sees to the first.
func newTransport(t *tls.Config) *http.Transport {
	d := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := d.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &metered{Conn: c}, nil
		},
		TLSClientConfig:     t,
		TLSHandshakeTimeout: 10 * time.Second,
		// AWS closes idle connections after 20 seconds or more. Who closes first
		// is never in doubt, so no request is lost on one that was just closed.
		IdleConnTimeout:        15 * time.Second,
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    128,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // as the client asked, and no other way
		// HTTP/1.1 alone, which all services speak: there it shows what was sent.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		// Large bodies pass in large pieces.
		WriteBufferSize: 64 << 10,
		ReadBufferSize:  64 << 10,
	}
}

// send signs the call anew and sends it. mark goes into the user agent, so that
// AWS's own log tells which entry of ours a call is. With an answer, its body
// must be closed.
//
// ctx is the client's: it ends the sending. When all was sent, the answer is
// waited for whatever becomes of the client, so that the outcome is known.
func (x *exchange) send(ctx context.Context, c *call, mark string) (*answer, *sendError) {
	fail := func(s sent, err error) (*answer, *sendError) { return nil, &sendError{s, err} }
	to, err := x.g.where(x.op, c.service, c.region)
	if err != nil {
		return fail(nothingDone, err)
	}
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	t := &track{wait: x.g.AnswerTimeout}
	t.timer = time.AfterFunc(x.g.AnswerTimeout, func() { end(errLate) })
	// Until all is sent, the end of the client or of its session ends it.
	stop := x.g.during(ctx, func() {
		if !t.all.Load() || isRead(c.actions) {
			end(context.Cause(ctx))
		}
	})
	release := func() {
		stop()
		t.rest()
		end(nil)
	}
	r, err := x.outgoing(httptrace.WithClientTrace(life, t.hooks()), c, to, t)
	if err != nil {
		release()
		return fail(nothingDone, err)
	}
	r.Header.Set("User-Agent", strings.TrimSpace(r.Header.Get("User-Agent")+" signalbox/"+mark))
	if err := x.sign(life, c, to, r, t); err != nil {
		release()
		return fail(nothingDone, err)
	}
	transport := x.g.transport
	if !isRead(c.actions) && repeatable(r) {
		transport = x.g.lone
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		release()
		if cause := context.Cause(life); cause != nil && errors.Is(err, context.Canceled) {
			err = cause
		}
		switch {
		case t.source() != nil:
			return fail(badBody, t.source())
		case t.incomplete():
			return fail(nothingDone, err)
		}
		return fail(unknownSent, err)
	}
	x.sentAll = t.all.Load()
	return newAnswer(response, t, release), nil
}

// repeatable reports whether net/http might send the request again on its own,
// when a connection that was used before breaks.
func repeatable(r *http.Request) bool {
	if r.Body != nil {
		return false
	}
	return r.Method == http.MethodGet || r.Method == http.MethodHead || r.Header["Idempotency-Key"] != nil ||
		r.Header["X-Idempotency-Key"] != nil
}

var errLate = errors.New("AWS did not answer in time")

// outgoing makes the request as it is sent, but for its signature.
func (x *exchange) outgoing(ctx context.Context, c *call, to place, t *track) (*http.Request, error) {
	prefix, err := x.hostPrefix(c)
	if err != nil {
		return nil, err
	}
	path := x.wire.Path
	if x.op != nil && x.op.Service.Name == "s3" {
		// A bucket in the client's host name stays there, unless the endpoint's
		// certificate could not cover it.
		if bucket := x.bucketHost(); bucket != "" && hostLabel.MatchString(bucket) && to.prefixed("x.") != to {
			prefix = bucket + "."
		} else if bucket != "" {
			path = "/" + bucket + path
		}
	}
	to = to.prefixed(prefix)
	target := to.url.String() + path
	if x.wire.RawQuery != "" {
		target += "?" + x.wire.RawQuery
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, malformed("the path cannot be forwarded: %v", err)
	}
	r := (&http.Request{Method: x.wire.Method, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: maps.Clone(x.wire.Header)}).WithContext(ctx)
	if b := &x.body; b.stream != nil {
		r.Body, r.ContentLength = io.NopCloser(tracked{b.stream, t, x.g}), b.length
	} else if len(b.whole) > 0 {
		// Without GetBody: it is not to be sent twice.
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b.whole)), int64(len(b.whole))
	}
	return r, nil
}

// sign signs the request with the credentials that the call is made with.
func (x *exchange) sign(ctx context.Context, c *call, to place, r *http.Request, t *track) error {
	b := &x.body
	payload := b.sha256
	chunked := ""
	secure := r.URL.Scheme == "https"
	switch {
	case b.stream == nil || payload != "":
	case len(b.trailers()) > 0 && x.sig.Payload == sigv4.StreamingTrail && secure:
		chunked = sigv4.StreamingTrail
	case len(b.trailers()) > 0:
		chunked = sigv4.StreamingSignedTrail
	case b.chunks != nil || !secure && s3Like(to.service):
		chunked = sigv4.StreamingSigned
	default:
		payload = sigv4.UnsignedPayload
	}
	var names []string
	if chunked != "" {
		payload = chunked
		names = b.trailers()
		length, err := sigv4.EncodedLength(b.length, names, chunked != sigv4.StreamingTrail)
		if err != nil {
			return err
		}
		r.ContentLength = length
		r.Header.Set("X-Amz-Decoded-Content-Length", strconv.FormatInt(b.length, 10))
		r.Header.Set("Content-Encoding", strings.TrimSuffix("aws-chunked,"+r.Header.Get("Content-Encoding"), ","))
		if len(names) > 0 {
			r.Header.Set("X-Amz-Trailer", strings.Join(names, ","))
		}
	}
	if payload == "" {
		payload = sigv4.EmptyPayload
	}
	if s3Like(to.service) || r.Header.Get("X-Amz-Content-Sha256") != "" || chunked != "" ||
		payload == sigv4.UnsignedPayload {
		r.Header.Set("X-Amz-Content-Sha256", payload)
	}
	if x.op != nil && x.op.Unsigned {
		return nil // as its service wants it
	}
	credentials, err := x.as()(ctx)
	if err != nil {
		return err
	}
	now := x.g.Now()
	signer := x.g.signer
	if s3Like(to.service) {
		signer = x.g.signerS3
	}
	if err := signer.SignHTTP(ctx, credentials, r, payload, to.service, to.region, now); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	if chunked == "" {
		return nil
	}
	var chain *sigv4.Chain
	if chunked != sigv4.StreamingTrail {
		_, seed, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
		chain = sigv4.NewChain(credentials.SecretAccessKey, to.region, to.service, now, seed)
	}
	r.Body = io.NopCloser(sigv4.NewChunkWriter(tracked{b.stream, t, x.g}, b.length, names, b.ended, chain))
	return nil
}
