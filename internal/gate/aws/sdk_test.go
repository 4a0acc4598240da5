package aws

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// The SDK's own S3 client uploads and downloads through the gate as it does
// without it, with the checksums that it makes by itself.
func TestSDKUploads(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, size := range []int{5, 9 << 20} {
			t.Run(fmt.Sprintf("%d bytes, TLS %v", size, secure), func(t *testing.T) {
				b := newTestGate(t, func(c *Config, u *upstream) { overTLS(t, secure, c, u) })
				body := bytes.Repeat([]byte("x"), size)
				b.up.answer(func(w http.ResponseWriter, r *http.Request, _ []byte) {
					if r.Method == http.MethodGet {
						w.Header().Set("Content-Length", fmt.Sprint(len(body)))
						w.Write(body)
					}
				})
				own := b.client("human-alice").secure()
				client := s3.New(s3.Options{
					Region: "eu-central-1", BaseEndpoint: aws.String(own.base), UsePathStyle: true,
					RetryMaxAttempts: 1, RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
					Credentials: credentials.NewStaticCredentialsProvider(own.key.AccessKeyID,
						own.key.SecretAccessKey, ""),
					HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: b.root},
						ForceAttemptHTTP2: true}},
				})
				if _, err := client.PutObject(t.Context(),
					&s3.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String("a b/ä+"),
						Body: bytes.NewReader(body)}); err != nil {
					t.Fatal(err)
				}
				a := b.up.last()
				if !bytes.Equal(a.body, body) || a.header.Get("X-Amz-Checksum-Crc32") == "" ||
					a.target != "/bucket/a%20b/%C3%A4%2B?x-id=PutObject" {
					t.Errorf("arrived as %s with %d bytes and %v", a.target, len(a.body), a.header)
				}
				out, err := client.GetObject(t.Context(),
					&s3.GetObjectInput{Bucket: aws.String("bucket"), Key: aws.String("k")})
				if err != nil {
					t.Fatal(err)
				}
				defer out.Body.Close()
				var got bytes.Buffer
				if _, err := got.ReadFrom(out.Body); err != nil || !bytes.Equal(got.Bytes(), body) {
					t.Errorf("%d bytes came back, %v", got.Len(), err)
				}
			})
		}
	}
}
