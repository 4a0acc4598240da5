package aws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
	"github.com/signalbox-dev/signalbox/internal/gate/aws/probe"
)

const (
	// callTimeout bounds a call that the gate makes by itself.
	callTimeout = 30 * time.Second
	// maxOwnAnswer bounds the answer to one.
	maxOwnAnswer = 16 << 20
)

// An identity gives the credentials that calls are made with.
type identity func(context.Context) (aws.Credentials, error)

// as gives the identity that the client's calls are made with.
func (x *exchange) as() identity {
	if x.role != nil {
		return func(ctx context.Context) (aws.Credentials, error) { return x.role.credentials(ctx, x.g) }
	}
	return x.g.own
}

// own is the gate's identity.
func (g *Gate) own(ctx context.Context) (aws.Credentials, error) {
	c, err := g.credentials.Retrieve(ctx)
	if err != nil {
		g.Logger.Error("aws gate has no credentials", "gate", g.Config.Gate.Name, "credentials",
			g.Upstream.Credentials, "error", err)
		return aws.Credentials{}, &refusal{status: http.StatusServiceUnavailable, code: CodeUnavailable,
			message: "the gate has no credentials for AWS at present: its operator finds the cause in its log. Nothing was done."}
	}
	if c.AccountID != "" && c.AccountID != g.Upstream.Account {
		g.Logger.Error("aws gate has credentials of another account", "gate", g.Config.Gate.Name, "account",
			c.AccountID, "configured", g.Upstream.Account)
		return aws.Credentials{}, &refusal{status: http.StatusServiceUnavailable, code: CodeUnavailable,
			message: "the gate's credentials are of another account than its configuration says. Nothing was done."}
	}
	return c, nil
}

// A caller makes calls of the gate's own: to look at what a client's call would
// touch.
type caller struct {
	g    *Gate
	as   identity
	note func(http.Header) // is told the header of each answer
}

var _ probe.Caller = caller{}

// Call implements [probe.Caller].
func (c caller) Call(ctx context.Context, service, operation, region string,
	params map[string]any) (awswire.Answer, error) {
	return c.g.call(ctx, c.as, service, operation, region, params, "probe", c.note)
}

// call makes one call and reads its answer. An error that the service gave is an
// [*awswire.ServiceError]; of another one a [*sendError] says what was done. note
// is told the header of the answer.
func (g *Gate) call(
	ctx context.Context, as identity, service, operation, region string, params map[string]any, mark string,
	note func(http.Header),
) (awswire.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var none awswire.Answer
	op, ok := awswire.Find(service, operation)
	if !ok {
		return none, &sendError{nothingDone, fmt.Errorf("the table has no operation %s of %s", operation, service)}
	}
	to, err := g.where(op, op.Service.SigningName, region)
	if err != nil {
		return none, &sendError{nothingDone, err}
	}
	r, err := awswire.Encode(op, params, region, to.url.String())
	if err != nil {
		return none, &sendError{nothingDone, fmt.Errorf("encode %s: %w", operation, err)}
	}
	payload := sha256.New()
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return none, &sendError{nothingDone, err}
		}
		payload.Write(body)
		r.Body, r.GetBody, r.ContentLength = io.NopCloser(bytes.NewReader(body)), nil, int64(len(body))
		if len(body) == 0 {
			r.Body = nil
		}
	}
	t := &track{}
	r = r.WithContext(httptrace.WithClientTrace(ctx, t.hooks()))
	r.Header.Set("User-Agent", "signalbox/"+mark)
	hash := hex.EncodeToString(payload.Sum(nil))
	signer := g.signer
	if s3Like(to.service) {
		signer = g.signerS3
		r.Header.Set("X-Amz-Content-Sha256", hash)
	}
	credentials, err := as(ctx)
	if err != nil {
		return none, &sendError{nothingDone, err}
	}
	if err := signer.SignHTTP(ctx, credentials, r, hash, to.service, to.region, g.Now()); err != nil {
		return none, &sendError{nothingDone, fmt.Errorf("sign: %w", err)}
	}
	response, err := g.transport.RoundTrip(r)
	if err != nil {
		if t.incomplete() {
			return none, &sendError{nothingDone, err}
		}
		return none, &sendError{unknownSent, err}
	}
	defer response.Body.Close()
	note(response.Header)
	body, err := io.ReadAll(io.LimitReader(response.Body, maxOwnAnswer+1))
	if err == nil && len(body) > maxOwnAnswer {
		err = fmt.Errorf("an answer of more than %d bytes", maxOwnAnswer)
	}
	if err != nil {
		return none, &sendError{unknownSent, fmt.Errorf("answer to %s: %w", operation, err)}
	}
	if r.Method == http.MethodHead {
		body = nil
	}
	return awswire.ReadAnswer(op, response.StatusCode, response.Header, body)
}
