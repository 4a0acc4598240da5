//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/gate/aws"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/test/awstest"
)

// childOf is the variable that makes this program a server in a process of its
// own: "proxy" or "gate". Beside it is what stands behind.
const (
	childOf      = "SIGNALBOX_BENCH_CHILD"
	childURL     = "SIGNALBOX_BENCH_URL"
	childKey     = "SIGNALBOX_BENCH_KEY"
	childSecret  = "SIGNALBOX_BENCH_SECRET"
	benchAccount = "111122223333"
)

// startChild starts this program again as one of the ways to a server.
func startChild(ctx context.Context, what string, behind *awstest.Server) (way, error) {
	w := way{name: map[string]string{"proxy": "ReverseProxy", "gate": "Signalbox"}[what]}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), childOf+"="+what, childURL+"="+behind.URL, childKey+"="+behind.AccessKeyID,
		childSecret+"="+behind.SecretAccessKey)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return w, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return w, err
	}
	if err := cmd.Start(); err != nil {
		return w, err
	}
	w.pid = cmd.Process.Pid
	w.close = func() {
		in.Close() // ends it, as our own end would
		_ = cmd.Wait()
	}
	if _, err := fmt.Fscanln(out, &w.url, &w.id, &w.secret); err != nil {
		w.close()
		return w, fmt.Errorf("start the %s: %w", what, err)
	}
	return w, nil
}

// child serves until standard input ends, and says where and for whom.
func child(ctx context.Context, what string) error {
	switch what {
	case "proxy":
		target, err := url.Parse(os.Getenv(childURL))
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		// The host stays the client's, so that its signature holds.
		proxy := &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host },
			Transport: &http.Transport{MaxIdleConnsPerHost: 128, DisableCompression: true, WriteBufferSize: 64 << 10,
				ReadBufferSize: 64 << 10},
		}
		go func() { _ = http.Serve(l, proxy) }() // ends with the process
		fmt.Println("http://"+l.Addr().String(), os.Getenv(childKey), os.Getenv(childSecret))
	case "gate":
		h, err := open(ctx, os.Stderr, config.Gate{Kind: "aws", Settings: &aws.Settings{Upstream: aws.Account{
			Account: benchAccount, Region: awstest.Region, Endpoint: os.Getenv(childURL),
			Credentials: aws.Key{AccessKeyID: os.Getenv(childKey), SecretAccessKey: secret.Source{Env: childSecret}},
		}}})
		if err != nil {
			return err
		}
		defer h.close()
		fmt.Printf("http://%s:%d SBXA%s %s\n", h.gate.Host, h.gate.Port,
			strings.ToUpper(string(h.session.Session.ID)), h.session.Credentials["bench"])
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
