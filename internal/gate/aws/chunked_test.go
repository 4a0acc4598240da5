package aws

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/signalbox-dev/signalbox/internal/gate/aws/sigv4"
)

// chunkedRequest makes an upload of body to S3, in the way that payload says. A
// broken one has a bit of its body changed after it was signed.
func chunkedRequest(t testing.TB, c *client, payload string, body []byte, broken bool) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), "PUT", c.base+"/bucket/key", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Meta-Kind", "test")
	r.Header.Set("X-Amz-Content-Sha256", payload)
	r.ContentLength = int64(len(body))
	sent := bytes.Clone(body)
	if broken {
		sent[len(sent)-1] ^= 1
	}
	var names []string
	streaming := strings.HasPrefix(payload, "STREAMING")
	signed := payload != sigv4.StreamingTrail
	if streaming {
		r.Header.Set("Content-Encoding", "aws-chunked")
		r.Header.Set("X-Amz-Decoded-Content-Length", strconv.Itoa(len(body)))
		if strings.HasSuffix(payload, "TRAILER") {
			names = []string{"x-amz-checksum-crc32"}
			r.Header.Set("X-Amz-Trailer", names[0])
		}
		if r.ContentLength, err = sigv4.EncodedLength(int64(len(body)), names, signed); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(context.Background(), c.key, r, payload, "s3", c.region, now); err != nil {
		t.Fatal(err)
	}
	if !streaming {
		r.Body = io.NopCloser(bytes.NewReader(sent))
		return r
	}
	var chain *sigv4.Chain
	if signed {
		_, seed, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
		chain = sigv4.NewChain(c.key.SecretAccessKey, c.region, "s3", now, seed)
	}
	trailers := func() []sigv4.Trailer {
		if names == nil {
			return nil
		}
		return []sigv4.Trailer{{Name: names[0], Value: "AAAAAA=="}}
	}
	encoded, err := io.ReadAll(sigv4.NewChunkWriter(bytes.NewReader(body), int64(len(body)), names, trailers, chain))
	if err != nil {
		t.Fatal(err)
	}
	if broken {
		if signed {
			// The last byte of the last chunk that has any.
			at := bytes.LastIndex(encoded, []byte("\r\n0;chunk-signature"))
			encoded[at-1] ^= 1
		} else {
			encoded[len(encoded)-1] = 'x' // its end cannot be read
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(encoded))
	return r
}
