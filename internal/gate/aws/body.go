package aws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
	"github.com/signalbox-dev/signalbox/internal/gate/aws/sigv4"
)

// maxWhole is the longest body that is held whole. Longer ones stream, if the
// operation has a payload that may.
const maxWhole = 8 << 20

// A body is what a request carries: either whole, or a stream that nobody has
// begun to read.
type body struct {
	whole  []byte // never nil unless it streams
	length int64
	// sha256 in hexadecimal: of whole, or as the request declares of a stream; ""
	// if it declares none.
	sha256 string

	stream io.Reader          // decoded, verified at its end; nil if whole
	chunks *sigv4.ChunkReader // behind stream, if it is aws-chunked
	sum    hash.Hash          // of what was streamed
	free   func()
}

func (b *body) release() {
	if b.free != nil {
		b.free()
		b.free = nil
	}
}

// actual is the hash of the body that went through, in hexadecimal.
func (b *body) actual() string {
	if b.sum != nil {
		return hex.EncodeToString(b.sum.Sum(nil))
	}
	return b.sha256
}

// takeBody reads the body whole, or makes it ready to stream: that is when the
// operation has a payload that may, and the body is long or says itself what
// its hash is. A client that waits for 100 Continue is told so by the first
// read, and hence for a stream only after the verdict.
func (x *exchange) takeBody() error {
	b, r := &x.body, x.r
	b.length = r.ContentLength
	patience := x.g.StallTimeout
	if !x.proved && (x.sig == nil || x.sig.Payload == "") {
		patience = min(patience, x.g.HeaderTimeout) // a stranger's, so far
	}
	x.source = newSource(x, r.Body, patience)
	src := io.Reader(x.source)
	declared := ""
	if x.sig != nil && x.sig.Streaming() {
		// The signature is proved first: the chunks' signatures hang on it.
		if err := x.prove(""); err != nil {
			return err
		}
		chunks, err := x.sig.Decode(src, r.Header, x.secret)
		if err != nil {
			return err
		}
		b.chunks, b.length, src = chunks, chunks.Length(), chunks
		x.unchunk()
	} else if x.sig != nil && x.sig.Hashed() {
		declared = x.sig.Payload
	}
	if x.sig != nil && x.sig.Payload != "" {
		// What the signature covers without the body is proved before it is read.
		if err := x.prove(""); err != nil {
			return err
		}
	}
	streams := x.streams()
	if streams && b.length > 0 && (b.length > maxWhole || declared != "") {
		if b.chunks != nil {
			// A signed chunk is held until its signature is known to be right.
			if err := x.reserve(b.chunks.Held()); err != nil {
				return err
			}
		}
		b.sum, b.sha256 = sha256.New(), declared
		b.stream = sigv4.Whole(src, b.length, declared, b.sum)
		return nil
	}
	if b.length > maxWhole {
		return tooLong(streams)
	}
	if err := x.hold(src, streams); err != nil {
		return err
	}
	sum := sha256.Sum256(b.whole)
	b.sha256 = hex.EncodeToString(sum[:])
	if declared != "" && declared != b.sha256 {
		return &sigv4.Error{Problem: sigv4.BadContent,
			Message: "the body does not have the SHA-256 that x-amz-content-sha256 declares"}
	}
	if b.chunks != nil {
		for _, t := range b.chunks.Trailers() {
			x.wire.Header.Set(t.Name, t.Value)
		}
	}
	return nil
}

// reserve takes memory for a request that was proved.
func (x *exchange) reserve(size int64) error {
	if size <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(x.ctx, x.g.HeaderTimeout)
	defer cancel()
	if x.g.held.Acquire(ctx, size) != nil {
		return &refusal{status: http.StatusServiceUnavailable, code: "SlowDown",
			message: "the gate holds as many request bodies as it may: try again"}
	}
	x.body.free = func() { x.g.held.Release(size) }
	return nil
}

// hold reads the body whole. Memory is shared by all: of those who are proved,
// as much is taken as they announce; of others, what came, and never for long.
func (x *exchange) hold(src io.Reader, streams bool) error {
	b := &x.body
	size := b.length
	if size < 0 {
		size = maxWhole
	}
	var buf bytes.Buffer
	var n int64
	var err error
	if x.proved {
		if err := x.reserve(size); err != nil {
			return err
		}
		if b.length > 0 {
			buf.Grow(int(b.length) + bytes.MinRead)
		}
		n, err = buf.ReadFrom(io.LimitReader(src, maxWhole+1))
	} else if size > 0 {
		n, err = x.wait(&buf, src)
	}
	switch {
	case err != nil:
		return x.unread(err)
	case n > maxWhole:
		return tooLong(streams)
	case b.length >= 0 && n != b.length:
		return x.unread(io.ErrUnexpectedEOF)
	}
	b.whole, b.length = buf.Bytes(), n
	if b.whole == nil {
		b.whole = []byte{}
	}
	return nil
}

// step is how much memory an unproved body takes at once.
const step = 64 << 10

// wait reads a body that must be read before it can be
// proved. Proved or not, it stays there until it has a place among the proved.
func (x *exchange) wait(buf *bytes.Buffer, src io.Reader) (n int64, err error) {
	pending := x.g.unproved.add(x.from+"\x00"+x.sig.Key, func(why error) { x.leave(why) })
	defer func() {
		if err == nil && n <= maxWhole {
			sum := sha256.Sum256(buf.Bytes())
			if err = x.prove(hex.EncodeToString(sum[:])); err == nil {
				err = x.reserve(n)
			}
		}
		x.g.unproved.remove(pending)
	}()
	src = io.LimitReader(src, maxWhole+1)
	for {
		if buf.Available() < bytes.MinRead {
			more := max(step, buf.Cap()/2)
			if !x.g.unproved.grow(pending, int64(more)) {
				return n, errUnproved
			}
			buf.Grow(more)
		}
		m, err := src.Read(buf.AvailableBuffer()[:buf.Available()])
		buf.Write(buf.AvailableBuffer()[:m])
		n += int64(m)
		switch {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// unread is why a body could not be read.
func (x *exchange) unread(err error) error {
	var e *sigv4.Error
	var own *refusal
	switch {
	case errors.As(err, &e), errors.As(err, &own):
		return err
	case x.ctx.Err() != nil:
		return context.Cause(x.ctx)
	}
	return &refusal{status: http.StatusBadRequest, code: "RequestTimeout",
		message: "the request's body did not come whole"}
}

func tooLong(streams bool) error {
	message := fmt.Sprintf("a body of more than %d bytes is held for this operation: make it shorter", maxWhole)
	if streams {
		message = "the request does not say how long its body is: send Content-Length, or x-amz-decoded-content-length with chunks"
	}
	return &refusal{status: http.StatusRequestEntityTooLarge, code: "RequestEntityTooLarge", message: message}
}

// streams reports whether the operation has a payload that may stream. Which one
// it is shows without the body for all that do.
func (x *exchange) streams() bool {
	op, err := awswire.Identify(x.wire)
	if err != nil {
		return false
	}
	_, ok := op.Streaming()
	return ok
}

// unchunk takes what speaks of chunks out of the headers that are forwarded.
func (x *exchange) unchunk() {
	h := x.wire.Header
	for _, name := range []string{"X-Amz-Decoded-Content-Length", "X-Amz-Trailer"} {
		h.Del(name)
	}
	var codings []string
	for c := range strings.SplitSeq(h.Get("Content-Encoding"), ",") {
		if c = strings.TrimSpace(c); c != "" && c != "aws-chunked" {
			codings = append(codings, c)
		}
	}
	h.Del("Content-Encoding")
	if len(codings) > 0 {
		h.Set("Content-Encoding", strings.Join(codings, ","))
	}
}

func unescape(s string) (string, error) {
	plain, err := url.QueryUnescape(s)
	if err != nil {
		return "", malformed("the query has a broken percent escape")
	}
	return plain, nil
}

func unescapePath(s string) (string, error) { return url.PathUnescape(s) }

// trailers gives the names of the trailers that a stream will have.
func (b *body) trailers() []string {
	if b.chunks == nil {
		return nil
	}
	return b.chunks.Declared()
}

// ended gives the trailers of a stream that has ended.
func (b *body) ended() []sigv4.Trailer {
	if b.chunks == nil {
		return nil
	}
	return b.chunks.Trailers()
}
