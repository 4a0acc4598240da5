// Package client calls the HTTP API of a Signalbox server, whose types it
// defines.
//
// The one thing to know: every method asks the server once and retries nothing.
// What the server refuses comes back as a [*Problem], with what to do next in
// its Hint.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// DefaultURL is where a server listens that was told nothing else.
const DefaultURL = "http://127.0.0.1:7420"

// maxBody bounds an answer that is read whole.
const maxBody = 64 << 20

// Config says how to reach a server.
type Config struct {
	// URL of the server. Default [DefaultURL].
	URL string
	// Token proves the caller. Default: none, good for logging in only.
	Token string
	// CA is PEM of the authorities trusted besides those of the system.
	// Default: none.
	CA []byte
	// Agent names the calling program to the server. Default "signalbox-client".
	Agent string
}

// A Client calls one server as one caller. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token string
	agent string
	http  *http.Client
}

// A Problem is a refusal or failure, as RFC 9457 describes it. Hint is ours.
type Problem struct {
	Type   string          `json:"type,omitempty"`
	Title  string          `json:"title,omitempty"`
	Status int             `json:"status,omitempty"`
	Detail string          `json:"detail,omitempty"`
	Hint   string          `json:"hint,omitempty"`
	Errors []ProblemDetail `json:"errors,omitempty"`
}

// A ProblemDetail says what is wrong with one part of a request.
type ProblemDetail struct {
	Message  string `json:"message,omitempty"`
	Location string `json:"location,omitempty"`
}

// Error gives the detail, or the title where there is none.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	for _, e := range p.Errors {
		text += fmt.Sprintf("; %s: %s", e.Location, e.Message)
	}
	return text
}

// Unreachable says that the server did not answer.
type Unreachable struct {
	URL string
	Err error
}

// Error names the server and the cause.
func (u *Unreachable) Error() string { return fmt.Sprintf("server %s: %v", u.URL, u.Err) }

// Unwrap gives the cause.
func (u *Unreachable) Unwrap() error { return u.Err }

// New makes a client. It does not call the server. A token is never sent over
// HTTP to another machine: that is an error here.
func New(c Config) (*Client, error) {
	if c.URL == "" {
		c.URL = DefaultURL
	}
	base, err := url.Parse(strings.TrimRight(c.URL, "/"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("server address %q: want http://host:port or https://host", c.URL)
	}
	if base.User != nil {
		return nil, errors.New("server address holds a user name: credentials do not belong there")
	}
	if base.Scheme == "http" && c.Token != "" && !loopback(base.Hostname()) {
		return nil, fmt.Errorf("server address %q: a token is not sent unencrypted to another machine: use https",
			c.URL)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if len(c.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(c.CA) {
			return nil, errors.New("authority: no certificate in the PEM given")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	if c.Agent == "" {
		c.Agent = "signalbox-client"
	}
	return &Client{
		base: base, token: c.Token, agent: c.Agent,
		http: &http.Client{
			Transport: transport,
			// A redirect would carry the token somewhere that nobody named.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// URL is the server's address.
func (c *Client) URL() string { return c.base.String() }

// HTTP is the way to the server without a token, for what everybody may read:
// the log at /log/.
func (c *Client) HTTP() *http.Client {
	return &http.Client{Transport: c.http.Transport, Timeout: callTime}
}

// LogValue implements [slog.LogValuer] without the token.
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.URL()) }

// callTime bounds a call whose context has no deadline.
const callTime = 30 * time.Second

// call sends in as JSON, unless nil, and decodes the answer into out, unless nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	data, err := c.send(ctx, method, path, "application/json", body)
	if err != nil || out == nil {
		return err
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = data
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("answer of %s: %w", c.URL(), err)
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path, kind string, body io.Reader) ([]byte, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTime)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+"/api/v1"+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.agent)
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, &Unreachable{URL: c.URL(), Err: err}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, &Unreachable{URL: c.URL(), Err: err}
	}
	if len(data) > maxBody {
		return nil, fmt.Errorf("answer of %s is longer than %d bytes", c.URL(), maxBody)
	}
	if resp.StatusCode/100 != 2 {
		p := &Problem{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode)}
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
			if err := json.Unmarshal(data, p); err != nil {
				p.Detail = ""
			}
			p.Status = resp.StatusCode
		}
		if p.Detail == "" {
			p.Detail = fmt.Sprintf("%s answered %s", c.URL(), resp.Status)
		}
		return nil, p
	}
	return data, nil
}
