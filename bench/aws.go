//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/signalbox-dev/signalbox/test/awstest"
)

// A call is one kind of request to S3 that is sent again and again.
type call struct {
	name    string
	method  string
	size    int // of the body that goes up or comes down
	clients int
}

var calls = []call{
	{"GET of 1 kB", http.MethodGet, 1 << 10, 8},
	{"PUT of 1 kB", http.MethodPut, 1 << 10, 8},
	{"GET of 64 MiB", http.MethodGet, 64 << 20, 2},
	{"PUT of 64 MiB", http.MethodPut, 64 << 20, 2},
}

// A way is an address at which S3 answers, and whom it knows there.
type way struct {
	name   string
	url    string
	id     string
	secret string
	pid    int // of what stands between; 0: nothing
	close  func()
}

// benchAWS measures requests to S3 through each way to the same server, one
// after another: direct, a plain httputil.ReverseProxy, and the gate, each of the
// latter in a process of its own, and all without TLS.
func benchAWS(ctx context.Context, out io.Writer, length time.Duration) error {
	behind, err := awstest.Start(ctx, awstest.S3)
	if err != nil {
		return err
	}
	defer behind.Close()
	direct := way{name: "direct", url: behind.URL, id: behind.AccessKeyID, secret: behind.SecretAccessKey}
	proxy, err := startChild(ctx, "proxy", behind)
	if err != nil {
		return err
	}
	defer proxy.close()
	gate, err := startChild(ctx, "gate", behind)
	if err != nil {
		return err
	}
	defer gate.close()
	ways := []way{direct, proxy, gate}
	if err := furnishS3(ctx, direct); err != nil {
		return err
	}

	fmt.Fprintf(out, "S3 (versitygw), %v each; reads summarised, every write with a durable intent\n\n", length)
	fmt.Fprintf(out, "%-16s %-14s %10s %8s %9s %9s %20s %9s  %s\n", "load", "through", "per second", "MB/s", "p50",
		"p99", "p50, p99 beyond", "own CPU", "beside the proxy")
	for _, l := range calls {
		if !strings.Contains(l.name, onlyLoads) {
			continue
		}
		results := map[string]rate{}
		for _, w := range ways {
			if !strings.Contains(w.name, onlyRoutes) {
				continue
			}
			r, err := w.measure(ctx, l, length)
			if err != nil {
				return fmt.Errorf("%s through %s: %w", l.name, w.name, err)
			}
			results[w.name] = r
			beyond, beside := "", ""
			if base, ok := results[proxy.name]; ok && w.name == gate.name {
				beyond = fmt.Sprint(r.p50-base.p50, ", ", r.p99-base.p99)
				beside = fmt.Sprintf("%.2f", r.perSecond/base.perSecond)
			}
			fmt.Fprintf(out, "%-16s %-14s %10.0f %8.0f %9v %9v %20s %9v  %s\n", l.name, w.name, r.perSecond,
				r.perSecond*float64(l.size)/1e6, r.p50, r.p99,
				beyond, r.cpu.Round(time.Microsecond), beside)
		}
	}
	fmt.Fprintln(out)
	return nil
}

const benchBucket = "bench"

// furnishS3 makes a bucket with what is read.
func furnishS3(ctx context.Context, w way) error {
	client := w.client()
	defer client.CloseIdleConnections()
	if err := w.send(ctx, client, http.MethodPut, "/"+benchBucket, nil); err != nil {
		return err
	}
	for _, l := range calls {
		if l.method != http.MethodGet {
			continue
		}
		if err := w.send(ctx, client, http.MethodPut, l.path(0), make([]byte, l.size)); err != nil {
			return err
		}
	}
	return nil
}

// path is the object of one of the load's clients; reads share one.
func (l call) path(client int) string {
	if l.method == http.MethodGet {
		return fmt.Sprintf("/%s/read-%d", benchBucket, l.size)
	}
	return fmt.Sprintf("/%s/written-%d-%d", benchBucket, l.size, client)
}

func (w way) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 64, DisableCompression: true, DialContext: (&net.Dialer{}).DialContext,
		WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
	}}
}

// send sends one request, signed by AWS's own signer, and reads the answer.
func (w way) send(ctx context.Context, client *http.Client, method, path string, body []byte) error {
	sum := sha256.Sum256(body)
	return w.sendHashed(ctx, client, method, path, body, hex.EncodeToString(sum[:]))
}

var signer = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })

func (w way) sendHashed(ctx context.Context, client *http.Client, method, path string, body []byte, hash string) error {
	r, err := http.NewRequestWithContext(ctx, method, w.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("X-Amz-Content-Sha256", hash)
	if err := signer.SignHTTP(ctx, aws.Credentials{AccessKeyID: w.id, SecretAccessKey: w.secret}, r, hash, "s3",
		awstest.Region, time.Now()); err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 2000))
		return fmt.Errorf("%s %s: %s\n%s", method, path, resp.Status, text)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// measure sends a load for some time. A request that fails ends it: refusals are
// fast.
func (w way) measure(ctx context.Context, l call, length time.Duration) (rate, error) {
	client := w.client()
	defer client.CloseIdleConnections()
	var body []byte
	if l.method == http.MethodPut {
		body = make([]byte, l.size)
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	if err := w.sendHashed(ctx, client, l.method, l.path(0), body, hash); err != nil { // warm
		return rate{}, err
	}
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	before, began := cpu(w.pid), time.Now()
	var group sync.WaitGroup
	for n := range l.clients {
		group.Go(func() {
			var mine []time.Duration
			var err error
			for err == nil && time.Since(began) < length {
				at := time.Now()
				err = w.sendHashed(ctx, client, l.method, l.path(n), body, hash)
				mine = append(mine, time.Since(at))
			}
			mu.Lock()
			defer mu.Unlock()
			took, failed = append(took, mine...), errors.Join(failed, err)
		})
	}
	group.Wait()
	elapsed := time.Since(began)
	if failed != nil {
		return rate{}, failed
	}
	slices.Sort(took)
	return rate{
		perSecond: float64(len(took)) / elapsed.Seconds(), p50: took[len(took)/2].Round(10 * time.Microsecond),
		p99: took[len(took)*99/100].Round(10 * time.Microsecond),
		cpu: (cpu(w.pid) - before) / time.Duration(len(took)),
	}, nil
}
