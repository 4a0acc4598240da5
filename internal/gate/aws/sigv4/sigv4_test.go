package sigv4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// What the SDK signs is accepted, and nothing that differs from it in any part.
func TestAgainstSDK(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	text := func(alphabet string, n int) string {
		runes := []rune(alphabet)
		var b strings.Builder
		for range rnd.IntN(n) {
			b.WriteRune(runes[rnd.IntN(len(runes))])
		}
		return b.String()
	}
	const nasty = "abcXYZ019-._~ +%=&?#/:;@!$'()*,[]\"<>\\^`{|}äπ火🚂"
	now := time.Now().UTC().Truncate(time.Second)
	for range 3000 {
		service := []string{"s3", "dynamodb", "lambda", "execute-api", "s3-outposts"}[rnd.IntN(5)]
		single := service == "s3" || service == "s3-outposts"
		method := []string{"GET", "PUT", "POST", "DELETE"}[rnd.IntN(4)]
		segments := make([]string, rnd.IntN(4))
		for i := range segments {
			segments[i] = escape("x"+text(nasty, 8), false)
		}
		query := url.Values{}
		for range rnd.IntN(4) {
			query.Add("q"+text(nasty, 5), text(nasty, 9))
		}
		body := text(nasty, 200)
		u := "https://host.example:8443/" + strings.Join(segments, "/")
		if len(query) > 0 {
			u += "?" + query.Encode()
		}
		r, err := http.NewRequest(method, u, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Target", "T."+text("abc", 9))
		r.Header.Set("Content-Type", "  application/x   "+text("abc  ", 9))
		r.Header.Set("X-Amz-Meta-"+text("abc", 5)+"z", text("ab  c", 20)+"v")
		credentials := aws.Credentials{AccessKeyID: "SBXA01", SecretAccessKey: text(nasty, 40) + "s"}
		if rnd.IntN(2) == 0 {
			credentials.SessionToken = "token" + text("abc", 9)
		}
		hash := hashOf(body)
		signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = single })
		presigned := rnd.IntN(3) == 0
		if presigned {
			q := r.URL.Query()
			q.Set("X-Amz-Expires", "60")
			r.URL.RawQuery = q.Encode()
			if service == "s3" || service == "s3-outposts" {
				hash = UnsignedPayload
			}
			signed, headers, err := signer.PresignHTTP(context.Background(), credentials, r, hash, service,
				"eu-west-1", now)
			if err != nil {
				t.Fatal(err)
			}
			if r, err = http.NewRequest(method, signed, strings.NewReader(body)); err != nil {
				t.Fatal(err)
			}
			r.Header = headers
			r.Header.Del("Host")
		} else {
			if rnd.IntN(2) == 0 || single {
				r.Header.Set("X-Amz-Content-Sha256", hash)
			}
			if err := signer.SignHTTP(context.Background(), credentials, r, hash, service, "eu-west-1",
				now); err != nil {
				t.Fatal(err)
			}
		}
		wire, err := httputil.DumpRequestOut(r, true)
		if err != nil {
			t.Fatal(err)
		}
		arrived := parse(t, string(wire))
		s, err := Parse(arrived)
		if err != nil {
			t.Fatalf("%v\n%s", err, wire)
		}
		if s.Key != credentials.AccessKeyID || s.Token != credentials.SessionToken || s.Service != service ||
			s.Presigned != presigned {
			t.Fatalf("parsed %+v of\n%s", s, wire)
		}
		if err := s.Check(arrived, credentials.SecretAccessKey, hashOf(body), now); err != nil {
			canonical, _ := s.canonical(arrived, hashOf(body))
			t.Fatalf("%v\n%s\n-- canonical:\n%s", err, wire, canonical)
		}
		// Alter it in one place.
		other := arrived.Clone(context.Background())
		switch what := rnd.IntN(6); what {
		case 0:
			other.Method = "PATCH"
		case 1:
			other.Host = "other.example"
		case 2:
			other.URL.Path, other.URL.RawPath = other.URL.Path+"x", ""
		case 3:
			other.URL.RawQuery += "&more=1"
		case 4:
			if presigned {
				other.URL.RawQuery = strings.Replace(other.URL.RawQuery, "X-Amz-Expires=60", "X-Amz-Expires=61", 1)
			} else {
				other.Header.Set("X-Amz-Target", "Other")
			}
		case 5:
			other.Header.Set("X-Amz-More", "1")
		}
		s2, err := Parse(other)
		if err == nil {
			err = s2.Check(other, credentials.SecretAccessKey, hashOf(body), now)
		}
		if err == nil {
			t.Fatalf("an altered request was accepted:\n%s\nas %s %s", wire, other.Method, other.URL)
		}
	}
}

func TestRefusals(t *testing.T) {
	const (
		credential = "AWS4-HMAC-SHA256 Credential=K/20150830/us-east-1/s3/aws4_request"
		signature  = "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
		date       = "X-Amz-Date: " + suiteDate
		query      = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F20150830%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
	)
	good := credential + ", SignedHeaders=host;x-amz-date, " + signature
	for name, c := range map[string]struct {
		target  string
		headers []string
		want    Problem
	}{
		"anonymous":           {"/", nil, Missing},
		"SigV2 in the header": {"/", []string{"Authorization: AWS K:sig"}, Unsupported},
		"SigV2 presigned":     {"/k?AWSAccessKeyId=K&Signature=s&Expires=1", nil, Unsupported},
		"SigV2 query":         {"/?Action=X&SignatureVersion=2&SignatureMethod=HmacSHA256", nil, Unsupported},
		"SigV4A":              {"/", []string{"Authorization: AWS4-ECDSA-P256-SHA256 Credential=K/20150830/s3/aws4_request, SignedHeaders=host, Signature=00"}, Unsupported},
		"SigV4A presigned":    {"/?X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Signature=0", nil, Unsupported},
		"bearer token":        {"/", []string{"Authorization: Bearer x"}, Unsupported},
		"two headers":         {"/", []string{"Authorization: " + good, "Authorization: " + good, date}, Incomplete},
		"header and query": {"/?" + query + "&X-Amz-Expires=1", []string{"Authorization: " + good, date},
			Incomplete},
		"no date":     {"/", []string{"Authorization: " + good}, Incomplete},
		"two dates":   {"/", []string{"Authorization: " + good, date, date}, Incomplete},
		"another day": {"/", []string{"Authorization: " + good, "X-Amz-Date: 20150831T123600Z"}, Incomplete},
		"scope": {"/", []string{"Authorization: " + strings.Replace(good, "/us-east-1", "", 1), date},
			Incomplete},
		"scope with a slash": {"/", []string{"Authorization: " + strings.Replace(good, "us-east-1", "us/east", 1),
			date}, Incomplete},
		"field twice": {"/", []string{"Authorization: " + good + ", Signature=" + strings.Repeat("0", 64),
			date}, Incomplete},
		"unknown field":   {"/", []string{"Authorization: " + good + ", More=1", date}, Incomplete},
		"short signature": {"/", []string{"Authorization: " + good[:len(good)-1], date}, Incomplete},
		"host not signed": {"/", []string{"Authorization: " + strings.Replace(good, "host;", "", 1), date},
			Unsigned},
		"unsorted": {"/", []string{"Authorization: " +
			strings.Replace(good, "host;x-amz-date", "x-amz-date;host", 1), date}, Incomplete},
		"header name twice": {"/", []string{"Authorization: " + strings.Replace(good, "host;", "host;host;", 1),
			date}, Incomplete},
		"upper case": {"/", []string{"Authorization: " + strings.Replace(good, "host", "Host", 1), date},
			Incomplete},
		"payload": {"/", []string{"Authorization: " + good, date,
			"X-Amz-Content-Sha256: STREAMING-AWS4-HMAC-SHA256-EVENTS"}, Incomplete},
		"payload twice": {"/", []string{"Authorization: " + good, date,
			"X-Amz-Content-Sha256: UNSIGNED-PAYLOAD", "X-Amz-Content-Sha256: UNSIGNED-PAYLOAD"}, Incomplete},
		"two tokens": {"/", []string{"Authorization: " + good, date, "X-Amz-Security-Token: a",
			"X-Amz-Security-Token: b"}, Incomplete},
		"presigned for ever":    {"/?" + query + "&X-Amz-Expires=604801", nil, Incomplete},
		"presigned negative":    {"/?" + query + "&X-Amz-Expires=-1", nil, Incomplete},
		"presigned without end": {"/?" + query, nil, Incomplete},
		"presigned twice":       {"/?" + query + "&X-Amz-Expires=1&X-Amz-Expires=9", nil, Incomplete},
		"token twice": {"/?" + query + "&X-Amz-Expires=1&X-Amz-Security-Token=a",
			[]string{"X-Amz-Security-Token: b"}, Incomplete},
		"broken escape": {"/?a=%zz", nil, Incomplete},
	} {
		t.Run(name, func(t *testing.T) {
			r := parse(t, append(append([]string{"GET " + c.target + " HTTP/1.1", "Host: h"}, c.headers...), "", "")...)
			_, err := Parse(r)
			wants(t, err, c.want)
		})
	}
	// A covered header that did not arrive.
	r := parse(t, "GET / HTTP/1.1", "Host: h", date, "Authorization: "+
		strings.Replace(good, "host;", "content-type;host;", 1), "", "")
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, s.Check(r, "x", EmptyPayload, suiteTime), Incomplete)
}

// signedWith is a signature as a request would have it whose headers were checked.
func signedWith(payload string) *Signature {
	return &Signature{Key: "K", Time: s3Time, Region: "eu-west-1", Service: "s3", Payload: payload,
		signature: make([]byte, 32)}
}

func chunkHeaders(length int64, trailers ...string) http.Header {
	h := http.Header{"X-Amz-Decoded-Content-Length": {fmt.Sprint(length)}}
	if len(trailers) > 0 {
		h.Set("X-Amz-Trailer", strings.Join(trailers, ", "))
	}
	return h
}

// What is encoded has the length that was told, and is decoded to the same; in
// one byte at a time too, and the end comes only after the source's.
func TestChunksThereAndBack(t *testing.T) {
	trailers := []Trailer{{"x-amz-checksum-crc32", "AAAAAA=="},
		{"x-amz-checksum-sha256", strings.Repeat("A", 43) + "="}}
	for _, size := range []int64{0, 1, 2, 1000, writeChunk - 1, writeChunk, writeChunk + 1, 3*writeChunk + 5} {
		for _, payload := range []string{StreamingSigned, StreamingSignedTrail, StreamingTrail} {
			t.Run(fmt.Sprintf("%s of %d", payload, size), func(t *testing.T) {
				body := bytes.Repeat([]byte("abcdefg"), int(size/7)+1)[:size]
				s := signedWith(payload)
				var chain *Chain
				if payload != StreamingTrail {
					chain = NewChain("secret", s.Region, s.Service, s.Time, strings.Repeat("0", 64))
				}
				var sent []Trailer
				var names []string
				if payload != StreamingSigned {
					sent, names = trailers, []string{trailers[0].Name, trailers[1].Name}
				}
				encoded, err := io.ReadAll(NewChunkWriter(iotest.HalfReader(bytes.NewReader(body)), size, names,
					func() []Trailer { return sent }, chain))
				if err != nil {
					t.Fatal(err)
				}
				if told, err := EncodedLength(size, names, chain != nil); err != nil || int64(len(encoded)) != told {
					t.Errorf("%d bytes encoded, and %d were told, %v", len(encoded), told, err)
				}
				for name, src := range map[string]io.Reader{"at once": bytes.NewReader(encoded),
					"in bytes":       iotest.OneByteReader(bytes.NewReader(encoded)),
					"with its error": iotest.DataErrReader(bytes.NewReader(encoded))} {
					c, err := s.Decode(src, chunkHeaders(size, names...), "secret")
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(c)
					if err != nil || !bytes.Equal(got, body) || fmt.Sprint(c.Trailers()) != fmt.Sprint(sent) {
						t.Errorf("%s: %d bytes, trailers %v, %v", name, len(got), c.Trailers(), err)
					}
				}
				for _, cutAt := range []int{1, len(encoded) / 2, len(encoded) - 1} {
					c, _ := s.Decode(bytes.NewReader(encoded[:cutAt]), chunkHeaders(size, names...), "secret")
					if _, err := io.ReadAll(c); err == nil {
						t.Errorf("cut at %d of %d: taken for whole", cutAt, len(encoded))
					}
				}
				c, _ := s.Decode(bytes.NewReader(append(encoded, '\n')), chunkHeaders(size, names...), "secret")
				_, err = io.ReadAll(c)
				wants(t, err, BadContent)
			})
		}
	}
	boom := errors.New("boom")
	got, err := io.ReadAll(NewChunkWriter(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(boom)), 3, nil,
		func() []Trailer { return nil }, nil))
	if !errors.Is(err, boom) || string(got) != "3\r\nabc\r\n" {
		t.Errorf("a source that fails at its end: %q, %v", got, err)
	}
	if _, err := EncodedLength(0, []string{"x-amz-checksum-new"}, false); err == nil {
		t.Error("a trailer of unknown length was taken")
	}
}

func TestChunkForms(t *testing.T) {
	zero := ";chunk-signature=" + strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		payload, body string
		length        int64
		trailers      []string
		want          Problem
	}{
		"longer than declared":  {StreamingTrail, "4\r\nabcd\r\n0\r\n\r\n", 3, nil, BadContent},
		"shorter than declared": {StreamingTrail, "2\r\nab\r\n0\r\n\r\n", 3, nil, BadContent},
		"no size":               {StreamingTrail, "\r\nabc\r\n0\r\n\r\n", 3, nil, BadContent},
		"negative size":         {StreamingTrail, "-3\r\nabc\r\n0\r\n\r\n", 3, nil, BadContent},
		"size with a sign":      {StreamingTrail, "+3\r\nabc\r\n0\r\n\r\n", 3, nil, BadContent},
		"size with a prefix":    {StreamingTrail, "0x3\r\nabc\r\n0\r\n\r\n", 3, nil, BadContent},
		"size with spaces":      {StreamingTrail, "3 \r\nabc\r\n0\r\n\r\n", 3, nil, BadContent},
		"huge size":             {StreamingTrail, "ffffffffffffffff\r\nabc\r\n0\r\n\r\n", 3, nil, BadContent},
		"long size": {StreamingTrail, strings.Repeat("0", 17) + "3\r\nabc\r\n0\r\n\r\n", 3, nil,
			BadContent},
		"bare newline":          {StreamingTrail, "3\nabc\r\n0\r\n\r\n", 3, nil, BadContent},
		"longer than its size":  {StreamingTrail, "2\r\nabc\r\n0\r\n\r\n", 3, nil, BadContent},
		"extension":             {StreamingTrail, "3" + zero + "\r\nabc\r\n0\r\n\r\n", 3, nil, BadContent},
		"long line":             {StreamingTrail, strings.Repeat("0", 9000), 3, nil, BadContent},
		"trailer not announced": {StreamingTrail, "0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", 0, nil, BadContent},
		"trailer twice": {StreamingTrail,
			"0\r\nx-amz-checksum-crc32:AAAAAA==\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", 0,
			[]string{"x-amz-checksum-crc32"}, BadContent},
		"trailer missing": {StreamingTrail, "0\r\n\r\n", 0, []string{"x-amz-checksum-crc32"}, BadContent},
		"trailer without a colon": {StreamingTrail, "0\r\nx-amz-checksum-crc32\r\n\r\n", 0,
			[]string{"x-amz-checksum-crc32"}, BadContent},
		"unsigned chunk":    {StreamingSigned, "3\r\nabc\r\n0\r\n\r\n", 3, nil, BadContent},
		"wrong signature":   {StreamingSigned, "3" + zero + "\r\nabc\r\n0\r\n\r\n", 3, nil, Mismatch},
		"huge signed chunk": {StreamingSigned, "500000" + zero + "\r\n", 5 << 20, nil, BadContent},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := signedWith(c.payload).Decode(strings.NewReader(c.body), chunkHeaders(c.length, c.trailers...),
				"secret")
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(d)
			wants(t, err, c.want)
			if _, again := d.Read(make([]byte, 9)); again != err {
				t.Errorf("then %v", again)
			}
		})
	}
	for name, h := range map[string]http.Header{
		"no length":        {},
		"two lengths":      {"X-Amz-Decoded-Content-Length": {"1", "1"}},
		"negative":         {"X-Amz-Decoded-Content-Length": {"-1"}},
		"trailer unknown":  chunkHeaders(1, "x-amz-acl"),
		"trailer repeated": chunkHeaders(1, "x-amz-checksum-crc32", "x-amz-checksum-crc32"),
	} {
		_, err := signedWith(StreamingTrail).Decode(nil, h, "secret")
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// The last byte of a body comes only if all of it was right.
func TestWholeWithholds(t *testing.T) {
	for _, size := range []int{0, 1, 2, 3, 1000} {
		body := strings.Repeat("x", size)
		for name, read := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "in bytes": iotest.OneByteReader, "with its error": iotest.DataErrReader} {
			get := func(text string, length int64, declared string) (string, error) {
				sum := sha256.New()
				got, err := io.ReadAll(Whole(read(strings.NewReader(text)), length, declared, sum))
				if err == nil && hex.EncodeToString(sum.Sum(nil)) != hashOf(text) {
					t.Error("not everything was hashed")
				}
				return string(got), err
			}
			for _, declared := range []string{"", hashOf(body)} {
				if got, err := get(body, int64(size), declared); err != nil || got != body {
					t.Errorf("%d %s: %d bytes, %v", size, name, len(got), err)
				}
			}
			if got, err := get(body, int64(size), hashOf(body+"y")); err == nil || size > 0 && len(got) >= size {
				t.Errorf("%d %s with another hash: %d bytes, %v", size, name, len(got), err)
			}
			if got, err := get(body+"y", int64(size), ""); err == nil || size > 0 && len(got) >= size {
				t.Errorf("%d %s with more: %d bytes, %v", size, name, len(got), err)
			}
			if _, err := get(body, int64(size)+1, ""); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d %s with less: %v", size, name, err)
			}
		}
	}
}

// FuzzChunks never finds a body that is decoded to another length than was
// declared, nor one that makes the reader hang.
func FuzzChunks(f *testing.F) {
	for _, lines := range [][]string{chunkedExample, trailedExample} {
		body := strings.Join(lines, "\r\n")
		_, body, _ = strings.Cut(body, "\r\n\r\n")
		f.Add([]byte(body), int64(66560), uint8(0))
	}
	f.Add([]byte("3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"), int64(3), uint8(2))
	f.Add([]byte("3;chunk-signature=\r\nabc\r\n"), int64(3), uint8(1))
	f.Fuzz(func(t *testing.T, body []byte, length int64, kind uint8) {
		s := signedWith([]string{StreamingSigned, StreamingSignedTrail, StreamingTrail}[kind%3])
		h := http.Header{"X-Amz-Decoded-Content-Length": {fmt.Sprint(length)}}
		if kind%3 > 0 {
			h.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
		}
		c, err := s.Decode(bytes.NewReader(body), h, "secret")
		if err != nil {
			return
		}
		got, err := io.ReadAll(c)
		if int64(len(got)) > length {
			t.Errorf("%d bytes of a body of %d", len(got), length)
		}
		if err == nil && (int64(len(got)) != length || kind%3 != 2 && length > 0) {
			t.Errorf("taken for whole: %d bytes of %d", len(got), length)
		}
	})
}

// FuzzCanonical finds no request that is read two ways: its canonical path and
// query mean the same when they are read again.
func FuzzCanonical(f *testing.F) {
	f.Add("/a/../b", "x=1&y=%20", "s3")
	f.Add("/a%2Fb//c/.", "a=b=c&&d", "lambda")
	f.Add("/%", "%", "s3")
	f.Add("/+", "a+b=+", "s3")
	f.Fuzz(func(t *testing.T, path, query, service string) {
		s := &Signature{Service: service}
		p, err := s.CanonicalPath(path)
		if err == nil && s.singleEscape() {
			if again, err := s.CanonicalPath(p); err != nil || again != p {
				t.Errorf("path %q gives %q, and that %q, %v", path, p, again, err)
			}
		}
		q, err := s.CanonicalQuery(query)
		if err != nil {
			return
		}
		if again, err := s.CanonicalQuery(q); err != nil || again != q {
			t.Errorf("query %q gives %q, and that %q, %v", query, q, again, err)
		}
		plain, err := PlainQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := url.ParseQuery(plain); err != nil {
			t.Errorf("query %q gives %q: %v (%v)", query, plain, err, want)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=K/20150830/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", "", suiteDate)
	f.Add("", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F20150830%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=5&X-Amz-Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", "")
	f.Fuzz(func(t *testing.T, authorization, query, date string) {
		r := &http.Request{Method: "GET", Host: "h", URL: &url.URL{Path: "/", RawQuery: query},
			Header: http.Header{"X-Amz-Date": {date}}}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		s, err := Parse(r)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v has no problem", err)
			}
			return
		}
		if s.Key == "" || s.Region == "" || s.Service == "" || s.Expires > maxExpires {
			t.Errorf("parsed %+v", s)
		}
		if err := s.Check(r, "secret", EmptyPayload, s.Time); err == nil {
			t.Errorf("forged: %q %q", authorization, query)
		}
	})
}
