package sigv4

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxSignedChunk bounds a signed chunk, which is released only when its
	// signature was verified and so is held whole. SDKs send 64 to 128 KiB.
	maxSignedChunk = 4 << 20
	maxChunkLine   = 200
	maxTrailers    = 8
	maxTrailerLine = 1 << 10
)

// A Trailer is a header field that follows the body.
type Trailer struct{ Name, Value string }

// A ChunkReader gives the decoded body of an aws-chunked request. It ends with
// io.EOF only when the whole body had the right form, the declared length and,
// if it is signed, the right signatures; until then nobody may take what was
// read for the whole. Errors of form are of type [*Error]. A signed chunk is
// given out only after its signature was verified.
type ChunkReader struct {
	src      *bufio.Reader
	chain    *Chain // nil: not signed
	length   int64  // declared, of the decoded body
	declared []string

	read     int64 // decoded so far, the current chunk included
	left     int64 // of the current chunk, unsigned
	held     []byte
	ready    []byte // rest of a verified chunk
	trailers []Trailer
	err      error
}

// Decode begins to decode the aws-chunked body of a request whose headers were
// checked with secret. Nothing is read yet.
func (s *Signature) Decode(body io.Reader, h http.Header, secret string) (*ChunkReader, error) {
	text, err := one(h, "X-Amz-Decoded-Content-Length")
	if err != nil {
		return nil, err
	}
	c := &ChunkReader{}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return nil, problem(Incomplete, "a body sent in chunks needs its length in x-amz-decoded-content-length")
	}
	c.length = int64(n)
	trailer := strings.Join(h["X-Amz-Trailer"], ",")
	for name := range strings.SplitSeq(trailer, ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name == "" {
			continue
		}
		if !strings.HasPrefix(name, "x-amz-checksum-") || slices.Contains(c.declared, name) ||
			len(c.declared) == maxTrailers {
			return nil, problem(Incomplete, "x-amz-trailer may name checksums (x-amz-checksum-*), each once")
		}
		c.declared = append(c.declared, name)
	}
	switch s.Payload {
	case StreamingSigned:
		if len(c.declared) > 0 {
			return nil, problem(Incomplete, "x-amz-trailer needs x-amz-content-sha256: "+StreamingSignedTrail)
		}
		fallthrough
	case StreamingSignedTrail:
		if s.Presigned {
			return nil, problem(Incomplete, "a presigned URL cannot sign chunks")
		}
		c.chain = NewChain(secret, s.Region, s.Service, s.Time, hex.EncodeToString(s.signature))
	case StreamingTrail:
	default:
		return nil, problem(Incomplete, "x-amz-content-sha256 %q is no chunked body", s.Payload)
	}
	c.src = bufio.NewReaderSize(body, 32<<10)
	return c, nil
}

// Length is the declared length of the decoded body.
func (c *ChunkReader) Length() int64 { return c.length }

// Held is how many bytes it holds at most: a signed chunk, until it is proved.
func (c *ChunkReader) Held() int64 {
	if c.chain == nil {
		return 0
	}
	return min(c.length, maxSignedChunk)
}

// Declared gives the names of the trailers that were announced.
func (c *ChunkReader) Declared() []string { return c.declared }

// Trailers gives the trailers, in the order of their announcement. They are there
// after Read has returned io.EOF.
func (c *ChunkReader) Trailers() []Trailer { return c.trailers }

// Read implements [io.Reader].
func (c *ChunkReader) Read(p []byte) (int, error) {
	for c.err == nil && len(p) > 0 {
		switch {
		case len(c.ready) > 0:
			n := copy(p, c.ready)
			c.ready = c.ready[n:]
			return n, nil
		case c.left > 0:
			n, err := c.src.Read(p[:min(int64(len(p)), c.left)])
			if c.left -= int64(n); c.left == 0 && (err == nil || err == io.EOF) {
				err = c.crlf()
			}
			c.err = cut(err)
			if n > 0 {
				return n, nil
			}
		default:
			c.err = c.next()
		}
	}
	if len(p) == 0 {
		return 0, nil
	}
	return 0, c.err
}

// next reads the head of a chunk, and all of it if it is signed.
func (c *ChunkReader) next() error {
	line, err := c.line(maxChunkLine)
	if err != nil {
		return err
	}
	hexSize, extension, extended := strings.Cut(line, ";")
	size, err := strconv.ParseUint(hexSize, 16, 63)
	if err != nil || len(hexSize) > 16 {
		return problem(BadContent, "a chunk of the body has no size")
	}
	signature, named := strings.CutPrefix(extension, "chunk-signature=")
	switch {
	case c.chain == nil && extended:
		return problem(BadContent, "an unsigned chunk of the body has an extension")
	case c.chain != nil && (!named || len(signature) != 64 || !isHex(signature)):
		return problem(BadContent, "a chunk of the body is not signed")
	case int64(size) > c.length-c.read:
		return problem(BadContent, "the body is longer than its declared %d bytes", c.length)
	}
	c.read += int64(size)
	switch {
	case c.chain == nil && size > 0:
		c.left = int64(size)
		return nil
	case c.chain == nil:
		return c.end()
	case size > maxSignedChunk:
		return problem(BadContent, "a signed chunk of %d bytes: send at most %d in one", size, maxSignedChunk)
	}
	if cap(c.held) < int(size) {
		c.held = make([]byte, size)
	}
	c.held = c.held[:size]
	if _, err := io.ReadFull(c.src, c.held); err != nil {
		return cut(err)
	}
	sum := sha256.New()
	sum.Write(c.held)
	if subtle.ConstantTimeCompare([]byte(c.chain.chunk(sum)), []byte(signature)) != 1 {
		return problem(Mismatch, "a chunk of the body does not have the signature that it came with")
	}
	if size == 0 {
		return c.end()
	}
	if err := c.crlf(); err != nil {
		return err
	}
	c.ready = c.held
	return nil
}

// end reads what follows the last chunk.
func (c *ChunkReader) end() error {
	if c.read != c.length {
		return problem(BadContent, "the body has %d bytes, and %d were declared", c.read, c.length)
	}
	var lines strings.Builder
	signature := ""
	for {
		line, err := c.line(maxTrailerLine)
		if err != nil {
			return err
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(name), strings.TrimSpace(value)
		switch {
		case !ok || signature != "":
			return problem(BadContent, "the body's trailers cannot be read")
		case name == "x-amz-trailer-signature" && c.chain != nil:
			if len(value) != 64 || !isHex(value) {
				return problem(BadContent, "the trailers' signature must have 64 hexadecimal digits")
			}
			signature = value
		case !slices.Contains(c.declared, name),
			slices.ContainsFunc(c.trailers, func(t Trailer) bool { return t.Name == name }):
			return problem(BadContent, "trailer %q was not announced in x-amz-trailer, or stands twice", name)
		default:
			c.trailers = append(c.trailers, Trailer{name, value})
			lines.WriteString(name + ":" + value + "\n")
		}
	}
	switch {
	case len(c.trailers) != len(c.declared):
		return problem(BadContent, "a trailer that x-amz-trailer announces is missing")
	case c.chain == nil || len(c.declared) == 0 && signature == "":
	case signature == "" || subtle.ConstantTimeCompare([]byte(c.chain.trailer(lines.String())), []byte(signature)) != 1:
		return problem(Mismatch, "the body's trailers do not have the signature that they came with")
	}
	slices.SortFunc(c.trailers, func(a, b Trailer) int {
		return slices.Index(c.declared, a.Name) - slices.Index(c.declared, b.Name)
	})
	switch _, err := c.src.ReadByte(); {
	case err == nil:
		return problem(BadContent, "something follows the end of the body")
	case !errors.Is(err, io.EOF):
		return err
	}
	return io.EOF
}

// line reads a line that ends with CRLF.
func (c *ChunkReader) line(limit int) (string, error) {
	line, err := c.src.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull) || len(line) > limit:
		return "", problem(BadContent, "a line between chunks of the body is too long")
	case err != nil:
		return "", cut(err)
	case !bytes.HasSuffix(line, []byte("\r\n")):
		return "", problem(BadContent, "a line between chunks of the body does not end with CRLF")
	}
	return string(line[:len(line)-2]), nil
}

func (c *ChunkReader) crlf() error {
	var b [2]byte
	if _, err := io.ReadFull(c.src, b[:]); err != nil {
		return cut(err)
	}
	if b != [2]byte{'\r', '\n'} {
		return problem(BadContent, "a chunk of the body is longer than its size says")
	}
	return nil
}

// cut makes the end of the connection within a body an error of its own.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
