//go:build unix

package cloud_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/test/awstest"
)

// oddKeys are keys that canonicalisation, escaping and XML get wrong.
var oddKeys = []string{
	"plain.txt", "with blank and + plus.txt", "ümläut/日本語/𝄞", "a=b&c;d,e", "tilde~star*'(quote)!", "percent%41%2F",
	"$dollar@at:colon", `"quoted" <xml> & more`,
	"question?mark#hash", "very/deep/folder/with/a/long/name/" + strings.Repeat("x", 100),
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{7})
	r.Read(b)
	return b
}

// What a program does with objects, on AWS's own Go client: each key is seen
// under its own name by the server behind, too.
func TestS3ObjectsThroughTheSDK(t *testing.T) {
	h, servers := before(t, signalbox.Development, awstest.S3)
	c := s3.NewFromConfig(h.session().sdk(), pathStyle)
	ctx := t.Context()
	bucket := aws.String("objects")
	_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
	h.must(err)
	body := noise(100_000)
	for _, key := range oddKeys {
		_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: bytes.NewReader(body),
			Metadata: map[string]string{"who": "kiro"}})
		if err != nil {
			t.Fatalf("put %q: %v", key, err)
		}
		h.same("what the server has under "+key, h.read(servers[awstest.S3].Folder, "data", *bucket, key), body)
		got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: &key,
			Range: aws.String("bytes=1000-1999")})
		if err != nil {
			t.Fatalf("get %q: %v", key, err)
		}
		part, err := io.ReadAll(got.Body)
		h.must(err)
		h.same("a range of "+key, part, body[1000:2000])
		if got.Metadata["who"] != "kiro" {
			t.Errorf("%q lost its metadata: %v", key, got.Metadata)
		}
		_, err = c.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: bucket, Key: &key,
			Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("a key"), Value: aws.String("a+value/=")}}}})
		if err != nil {
			t.Fatalf("tag %q: %v", key, err)
		}
		tags, err := c.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: bucket, Key: &key})
		if err != nil || len(tags.TagSet) != 1 || *tags.TagSet[0].Value != "a+value/=" {
			t.Errorf("tags of %q: %+v, %v", key, tags, err)
		}
	}
	var keys []string
	pages := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: bucket, MaxKeys: aws.Int32(3)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		h.must(err)
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
	}
	slices.Sort(keys)
	want := slices.Sorted(slices.Values(oddKeys))
	if d := cmp.Diff(want, keys); d != "" {
		t.Errorf("list: %s", d)
	}
	_, err = c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("nobody")})
	if code(err) != "NoSuchKey" {
		t.Errorf("the server's own error: %v", err)
	}
	_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("plain.txt"),
		Body: strings.NewReader("x"), IfNoneMatch: aws.String("*")})
	if code(err) != "PreconditionFailed" {
		t.Errorf("a condition: %v", err)
	}
	_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: aws.String("plain.txt")})
	h.must(err)
}

// A multipart upload, copies, and URLs that were signed beforehand.
func TestS3MultipartCopyAndPresigned(t *testing.T) {
	h, servers := before(t, signalbox.Development, awstest.S3)
	config := h.session().sdk()
	c := s3.NewFromConfig(config, pathStyle)
	ctx := t.Context()
	bucket, key := aws.String("parts"), aws.String("big file.bin")
	_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
	h.must(err)
	// The second part is larger than what a gate holds whole.
	body := noise(5<<20 + 9<<20 + 1234)
	up, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	h.must(err)
	var done []types.CompletedPart
	for i, cut := range [][2]int{{0, 5 << 20}, {5 << 20, 14 << 20}, {14 << 20, len(body)}} {
		n := aws.Int32(int32(i + 1))
		p, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: up.UploadId,
			PartNumber: n, Body: bytes.NewReader(body[cut[0]:cut[1]])})
		h.must(err)
		done = append(done, types.CompletedPart{PartNumber: n, ETag: p.ETag, ChecksumCRC32: p.ChecksumCRC32})
	}
	_, err = c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key,
		UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: done}})
	h.must(err)
	h.same("what the server has", h.read(servers[awstest.S3].Folder, "data", *bucket, *key), body)

	_, err = c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("copy ü+.bin"),
		CopySource: aws.String("parts/big%20file.bin")})
	h.must(err)
	h.same("the copy", h.read(servers[awstest.S3].Folder, "data", *bucket, "copy ü+.bin"), body)

	// A browser with nothing but a URL.
	signer := s3.NewPresignClient(c)
	get, err := signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String("copy ü+.bin")},
		s3.WithPresignExpires(time.Minute))
	h.must(err)
	fetch := func(method, url string, body io.Reader, header http.Header) (int, []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, method, url, body)
		h.must(err)
		for name, values := range header {
			r.Header[name] = values
		}
		resp, err := config.HTTPClient.Do(r)
		h.must(err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		h.must(err)
		return resp.StatusCode, text
	}
	status, text := fetch(http.MethodGet, get.URL, nil, nil)
	if status != http.StatusOK {
		t.Fatalf("presigned: %d %s", status, text)
	}
	h.same("presigned", text, body)
	if status, text = fetch(http.MethodGet, strings.Replace(get.URL, "copy", "big", 1), nil,
		nil); status != http.StatusForbidden {
		t.Errorf("a presigned URL, changed: %d %s", status, text)
	}
	put, err := signer.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String("from elsewhere")},
		s3.WithPresignExpires(time.Minute))
	h.must(err)
	if status, text = fetch(http.MethodPut, put.URL, strings.NewReader("hello"),
		put.SignedHeader); status != http.StatusOK {
		t.Fatalf("presigned PUT: %d %s", status, text)
	}
	h.same("what was put", h.read(servers[awstest.S3].Folder, "data", *bucket, "from elsewhere"), []byte("hello"))
}

// The command line does the same, with its own signer, parts and checksums.
func TestS3ThroughTheCLI(t *testing.T) {
	h, servers := before(t, signalbox.Development, awstest.S3)
	s := h.session()
	dir := t.TempDir()
	body := noise(20 << 20) // three parts
	h.must(os.WriteFile(filepath.Join(dir, "big"), body, 0o600))
	h.must(os.WriteFile(filepath.Join(dir, "small"), []byte("hello"), 0o600))
	s.runs("", "s3", "mb", "s3://cli")
	s.runs("upload", "s3", "cp", filepath.Join(dir, "big"), "s3://cli/a folder/big + ü.bin")
	h.same("what the server has", h.read(servers[awstest.S3].Folder, "data", "cli", "a folder", "big + ü.bin"), body)
	s.runs("copy", "s3", "cp", "s3://cli/a folder/big + ü.bin", "s3://cli/copy")
	s.runs("download", "s3", "cp", "s3://cli/copy", filepath.Join(dir, "back"))
	h.same("what came back", h.read(dir, "back"), body)
	s.runs("", "s3api", "get-object", "--bucket", "cli", "--key", "copy", "--range", "bytes=100-199",
		filepath.Join(dir, "range"))
	h.same("a range", h.read(dir, "range"), body[100:200])
	s.runs("", "s3api", "put-object-tagging", "--bucket", "cli", "--key", "copy", "--tagging",
		`{"TagSet":[{"Key":"a b","Value":"ü"}]}`)
	s.runs("a b", "s3api", "get-object-tagging", "--bucket", "cli", "--key", "copy")
	s.runs("upload", "s3", "sync", dir, "s3://cli/synced", "--exclude", "*", "--include", "small")
	s.runs("synced/small", "s3api", "list-objects-v2", "--bucket", "cli", "--prefix", "synced/")
	s.runs("delete", "s3", "rm", "s3://cli/synced/small")
	if out, err := s.cli("s3api", "head-object", "--bucket", "cli", "--key", "synced/small"); err == nil ||
		!strings.Contains(out, "404") {
		t.Errorf("it is still there: %v\n%s", err, out)
	}
	s.secret = "wrong"
	if out, err := s.cli("s3", "ls"); err == nil || !strings.Contains(out, "SignatureDoesNotMatch") {
		t.Errorf("a wrong secret: %v\n%s", err, out)
	}
}
