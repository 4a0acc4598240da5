package sigv4

import (
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"hash"
	"io"
)

// Whole gives the length bytes of body, and withholds the last of them until
// the body has ended there and was found to have the declared hash (SHA-256 in
// hexadecimal; "" if none was declared). So whoever forwards it with its length
// cannot complete a request whose body is not what was signed. sum gets all
// that was read.
func Whole(body io.Reader, length int64, declared string, sum hash.Hash) io.Reader {
	return &whole{src: body, left: length, length: length, declared: declared, sum: sum}
}

type whole struct {
	src      io.Reader
	left     int64 // not given out yet
	length   int64
	declared string
	sum      hash.Hash
	err      error
}

// Read implements [io.Reader].
func (w *whole) Read(p []byte) (int, error) {
	switch {
	case w.err != nil || len(p) == 0:
		return 0, w.err
	case w.left > 1:
		n, err := w.src.Read(p[:min(int64(len(p)), w.left-1)])
		w.left -= int64(n)
		w.sum.Write(p[:n])
		w.err = cut(err)
		if n > 0 && w.err != nil {
			return n, nil
		}
		return n, w.err
	}
	var last [1]byte
	if w.left == 1 {
		if _, err := io.ReadFull(w.src, last[:]); err != nil {
			w.err = cut(err)
			return 0, w.err
		}
		w.sum.Write(last[:])
	}
	if w.err = w.verdict(); w.err != io.EOF || w.left == 0 {
		return 0, w.err
	}
	w.left, p[0] = 0, last[0]
	return 1, nil
}

// verdict is [io.EOF] when the body has ended and is what was declared.
func (w *whole) verdict() error {
	var more [1]byte
	switch n, err := io.ReadFull(w.src, more[:]); {
	case n > 0:
		return problem(BadContent, "the body is longer than its declared %d bytes", w.length)
	case !errors.Is(err, io.EOF):
		return err
	}
	if w.declared != "" && subtle.ConstantTimeCompare([]byte(hex.EncodeToString(w.sum.Sum(nil))),
		[]byte(w.declared)) != 1 {
		return problem(BadContent, "the body does not have the SHA-256 that x-amz-content-sha256 declares")
	}
	return io.EOF
}
