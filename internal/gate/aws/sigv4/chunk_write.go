package sigv4

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// writeChunk is the size of the chunks that a ChunkWriter makes: what S3 clients
// commonly send, and a multiple of the 8 KiB that S3 wants at least.
const writeChunk = 128 << 10

// checksums are the lengths of the values of the checksums that AWS knows, in
// base64: the length of a body must be known before the values are.
var checksums = map[string]int64{
	"x-amz-checksum-crc32":     8,
	"x-amz-checksum-crc32c":    8,
	"x-amz-checksum-crc64nvme": 12,
	"x-amz-checksum-sha1":      28,
	"x-amz-checksum-sha256":    44,
	"x-amz-checksum-sha512":    88,
	"x-amz-checksum-md5":       24,
	"x-amz-checksum-xxhash64":  12,
	"x-amz-checksum-xxhash3":   12,
	"x-amz-checksum-xxhash128": 24,
}

// A ChunkWriter encodes a body as aws-chunked. It is read from: bytes come as
// the body's do, with one chunk held at a time, and what ends the body comes
// only after the source has ended without error.
type ChunkWriter struct {
	src      io.Reader
	chain    *Chain // nil: not signed
	length   int64
	names    []string
	trailers func() []Trailer

	chunk []byte
	out   bytes.Buffer
	read  int64
	err   error
}

// NewChunkWriter encodes src, which must have length bytes. names are those of
// the trailers, which trailers gives after src has ended. With a chain the
// chunks are signed.
func NewChunkWriter(src io.Reader, length int64, names []string, trailers func() []Trailer, chain *Chain) *ChunkWriter {
	return &ChunkWriter{src: src, chain: chain, length: length, names: names, trailers: trailers,
		chunk: make([]byte, min(length, writeChunk))}
}

// EncodedLength is how many bytes a [ChunkWriter] will give for a body of length
// bytes. The error says that a trailer is not known.
func EncodedLength(length int64, names []string, signed bool) (int64, error) {
	head := func(size int64) int64 {
		n := int64(len(fmt.Sprintf("%x", size))) + 2
		if signed {
			n += int64(len(";chunk-signature=")) + 64
		}
		return n
	}
	full, rest := length/writeChunk, length%writeChunk
	n := full * (head(writeChunk) + writeChunk + 2)
	if rest > 0 {
		n += head(rest) + rest + 2
	}
	n += head(0)
	for _, name := range names {
		if checksums[name] == 0 {
			return 0, problem(Unsupported, "trailer %q is not known to the gate: send the checksum in a header, or another one", name)
		}
		n += int64(len(name)) + 1 + checksums[name] + 2
	}
	if signed && len(names) > 0 {
		n += int64(len("x-amz-trailer-signature:")) + 64 + 2
	}
	return n + 2, nil
}

// Read implements [io.Reader].
func (w *ChunkWriter) Read(p []byte) (int, error) {
	if w.out.Len() == 0 && w.err == nil {
		w.err = w.next()
	}
	if w.out.Len() > 0 {
		return w.out.Read(p)
	}
	return 0, w.err
}

// next encodes the next chunk; with io.EOF the last.
func (w *ChunkWriter) next() error {
	n, err := io.ReadFull(w.src, w.chunk[:min(w.length-w.read, writeChunk)])
	w.read += int64(n)
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	}
	if n > 0 {
		w.head(w.chunk[:n])
		w.out.Write(w.chunk[:n])
		w.out.WriteString("\r\n")
		return nil
	}
	// All that was promised has come. The source must agree that it is all, and
	// that is when it tells whether it was right.
	var more [1]byte
	if n, err := io.ReadFull(w.src, more[:]); n > 0 {
		return fmt.Errorf("the body has more than its %d bytes", w.length)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	w.head(nil)
	lines := ""
	trailers := w.trailers()
	for i, name := range w.names {
		if i >= len(trailers) || trailers[i].Name != name || int64(len(trailers[i].Value)) != checksums[name] {
			return problem(BadContent, "trailer %q is missing or has a value of the wrong length", name)
		}
		t := trailers[i]
		w.out.WriteString(t.Name + ":" + t.Value + "\r\n")
		lines += t.Name + ":" + t.Value + "\n"
	}
	if w.chain != nil && len(w.names) > 0 {
		w.out.WriteString("x-amz-trailer-signature:" + w.chain.trailer(lines) + "\r\n")
	}
	w.out.WriteString("\r\n")
	return io.EOF
}

func (w *ChunkWriter) head(chunk []byte) {
	fmt.Fprintf(&w.out, "%x", len(chunk))
	if w.chain != nil {
		sum := sha256.New()
		sum.Write(chunk)
		w.out.WriteString(";chunk-signature=" + w.chain.chunk(sum))
	}
	w.out.WriteString("\r\n")
}
