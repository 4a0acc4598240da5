package sigv4

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// The key pair, time and scope of AWS's Signature Version 4 test suite.
const (
	suiteKey    = "AKIDEXAMPLE"
	suiteSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	suiteDate   = "20150830T123600Z"
	suiteScope  = "20150830/us-east-1/service/aws4_request"
)

var suiteTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

// parse reads a request as the server reads it from the wire.
func parse(t testing.TB, lines ...string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.Join(lines, "\r\n"))))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// The signatures that AWS's suite expects, for requests that say the same.
func TestSuite(t *testing.T) {
	const vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
	cases := map[string]struct {
		method, target string
		headers        []string
		signed         string
		body           string
		want           string
	}{
		"vanilla": {want: vanilla},
		"empty query key": {target: "/?Param1=value1",
			want: "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
		"query order of keys": {target: "/?Param2=value2&Param1=value1",
			want: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		"unreserved in query": {target: "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", want: "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
		"utf8 in query": {target: "/?\u1234=bar",
			want: "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
		"unreserved in path": {target: "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
			want: "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
		"relative":       {target: "/example/..", want: vanilla},
		"relative twice": {target: "/example1/example2/../..", want: vanilla},
		"dot":            {target: "/./", want: vanilla},
		"slashes":        {target: "//", want: vanilla},
		"header trimmed": {headers: []string{"My-Header1: value1", `My-Header2:  "a   b   c"`},
			signed: "host;my-header1;my-header2;x-amz-date",
			want:   "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		"header repeated": {headers: []string{"My-Header1: value2", "My-Header1: value2",
			"My-Header1: value1"}, signed: "host;my-header1;x-amz-date",
			want: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
		"header value order": {headers: []string{"My-Header1: value4", "My-Header1: value1", "My-Header1: value3",
			"My-Header1: value2"}, signed: "host;my-header1;x-amz-date",
			want: "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
		"post": {method: "POST",
			want: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		"post header key sort": {method: "POST", headers: []string{"My-Header1: value1"},
			signed: "host;my-header1;x-amz-date",
			want:   "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
		"post header value case": {method: "POST", headers: []string{"My-Header1: VALUE1"},
			signed: "host;my-header1;x-amz-date",
			want:   "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
		"post query": {method: "POST", target: "/?Param1=value1",
			want: "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
		"post form": {method: "POST",
			headers: []string{"Content-Type: application/x-www-form-urlencoded", "Content-Length: 13"},
			signed:  "content-type;host;x-amz-date", body: "Param1=value1",
			want: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
		"post form parameters": {method: "POST",
			headers: []string{"Content-Type: application/x-www-form-urlencoded; charset=utf8", "Content-Length: 13"},
			signed:  "content-type;host;x-amz-date", body: "Param1=value1",
			want: "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.method == "" {
				c.method = "GET"
			}
			if c.target == "" {
				c.target = "/"
			}
			if c.signed == "" {
				c.signed = "host;x-amz-date"
			}
			lines := append([]string{c.method + " " + c.target + " HTTP/1.1", "Host: example.amazonaws.com",
				"X-Amz-Date: " + suiteDate}, c.headers...)
			lines = append(lines, "Authorization: AWS4-HMAC-SHA256 Credential="+suiteKey+"/"+suiteScope+
				", SignedHeaders="+c.signed+", Signature="+c.want, "", c.body)
			r := parse(t, lines...)
			s, err := Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			if s.Key != suiteKey || s.Region != "us-east-1" || s.Service != "service" || !s.Time.Equal(suiteTime) ||
				s.Payload != "" || s.Presigned {
				t.Errorf("parsed %+v", s)
			}
			if err := s.Check(r, suiteSecret, hashOf(c.body), suiteTime); err != nil {
				canonical, _ := s.canonical(r, hashOf(c.body))
				t.Fatalf("%v; canonical request:\n%s\nsignature %x", err, canonical,
					mac(s.key(suiteSecret), algorithm+"\n"+suiteDate+"\n"+s.scope()+"\n"+hashOf(canonical)))
			}
			wants(t, s.Check(r, "another", hashOf(c.body), suiteTime), Mismatch)
			wants(t, s.Check(r, suiteSecret, hashOf(c.body+"x"), suiteTime), Mismatch)
			wants(t, s.Check(r, suiteSecret, hashOf(c.body), suiteTime.Add(6*time.Minute)), Skewed)
			wants(t, s.Check(r, suiteSecret, hashOf(c.body), suiteTime.Add(-6*time.Minute)), Skewed)
			wants(t, s.Check(r, "another", hashOf(c.body), suiteTime.Add(6*time.Minute)), Mismatch)
		})
	}
}

// The key and time of the examples in the S3 API reference.
const s3Secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

var s3Time = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

func TestPresignedExample(t *testing.T) {
	r := parse(t, "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1",
		"Host: examplebucket.s3.amazonaws.com", "", "")
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(r, s3Secret, "", s3Time.Add(23*time.Hour)); err != nil {
		t.Error(err)
	}
	wants(t, s.Check(r, s3Secret, "", s3Time.Add(25*time.Hour)), Expired)
	wants(t, s.Check(r, s3Secret, "", s3Time.Add(-time.Hour)), Skewed)
	wants(t, s.Check(r, s3Secret[1:], "", s3Time), Mismatch)
	if got, want := s.ValidUntil(), s3Time.Add(24*time.Hour); !got.Equal(want) {
		t.Errorf("valid until %s, want %s", got, want)
	}
	r.Header.Set("X-Amz-Acl", "public-read") // added by whoever was given the URL
	wants(t, s.Check(r, s3Secret, "", s3Time), Unsigned)
}

var chunkedExample = []string{
	"PUT /examplebucket/chunkObject.txt HTTP/1.1", "Host: s3.amazonaws.com", "x-amz-date: 20130524T000000Z",
	"x-amz-storage-class: REDUCED_REDUNDANCY",
	"Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
	"x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "Content-Encoding: aws-chunked",
	"x-amz-decoded-content-length: 66560", "Content-Length: 66824", "",
	"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
	strings.Repeat("a", 65536),
	"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497", strings.Repeat("a", 1024),
	"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9", "", "",
}

var trailedExample = []string{
	"PUT /examplebucket/chunkObject.txt HTTP/1.1", "Host: s3.amazonaws.com", "x-amz-date: 20130524T000000Z",
	"x-amz-storage-class: REDUCED_REDUNDANCY",
	"Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer,Signature=106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
	"x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "x-amz-trailer: x-amz-checksum-crc32c",
	"Content-Encoding: aws-chunked", "x-amz-decoded-content-length: 66560", "Content-Length: 66946", "",
	"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
	strings.Repeat("a", 65536),
	"400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7", strings.Repeat("a", 1024),
	"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
	"x-amz-checksum-crc32c:sOO8/Q==", "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435", "", "",
}

func TestChunkedExamples(t *testing.T) {
	for name, lines := range map[string][]string{"chunks": chunkedExample, "chunks and a trailer": trailedExample} {
		t.Run(name, func(t *testing.T) {
			r := parse(t, lines...)
			s, err := Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Check(r, s3Secret, "", s3Time); err != nil {
				canonical, _ := s.canonical(r, s.Payload)
				t.Fatalf("%v:\n%s", err, canonical)
			}
			body := strings.Join(lines[slices.Index(lines, "")+1:], "\r\n")
			c, err := s.Decode(strings.NewReader(body), r.Header, s3Secret)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			if err != nil || string(got) != strings.Repeat("a", 66560) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			if name != "chunks" && (len(c.Trailers()) != 1 ||
				c.Trailers()[0] != (Trailer{"x-amz-checksum-crc32c", "sOO8/Q=="})) {
				t.Errorf("trailers %v", c.Trailers())
			}
			// Whatever is changed is noticed before the body is at its end.
			for i := range body {
				if i > 100 && i < len(body)-600 && i%4099 != 0 {
					continue
				}
				altered := []byte(body)
				altered[i] ^= 1
				c, err := s.Decode(strings.NewReader(string(altered)), r.Header, s3Secret)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadAll(c); err == nil && !strings.EqualFold(string(altered), body) {
					t.Errorf("byte %d changed from %q to %q unnoticed", i, body[i], altered[i])
				}
			}
		})
	}
}

// wants wants an [*Error] for a problem.
func wants(t testing.TB, err error, p Problem) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Problem != p {
		t.Errorf("got %v, want problem %d", err, p)
	}
}
