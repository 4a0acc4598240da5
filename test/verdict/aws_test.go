package verdict

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/aws"
	"github.com/signalbox-dev/signalbox/internal/gate/gatetest"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
)

// account is the one behind the gate; the corpus has another, for examples.
const account, exampleAccount, otherAccount = "123456789012", "111122223333", "arn:aws:iam::999988887777:role"

func TestAWS(t *testing.T) {
	t.Parallel()
	h := house{gatetest.NewHouse(t), t}
	// Whatever arrives is answered: what the account would say is no matter of the
	// verdict.
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "{}")
	}))
	defer up.Close()
	o := &observer{Interlock: h.Interlock()}
	gates := map[signalbox.Environment]string{}
	judged, foreign := 0, 0
	for _, s := range scenarios(t, "aws") {
		if slices.ContainsFunc(s.Requests, func(r request) bool { return bytes.Contains(r.Parameters, []byte(otherAccount)) }) {
			continue // which accounts a gate stands for is its configuration's
		}
		addr := gates[s.Environment]
		if addr == "" {
			addr = startAWS(t, o, s.Environment, up.URL)
			gates[s.Environment] = addr
		}
		id, credential := h.open(s.scenario, "aws")
		for n, r := range s.Requests {
			op, ok := awswire.Find(r.Service, r.Operation)
			if !ok {
				foreign++
				break
			}
			o.take()
			if err := call(t.Context(), addr, id, credential, op, r); err != nil {
				t.Logf("%s: %v", s.ID, err)
				foreign++
				break
			}
			same(t, s.scenario, r, s.want[n].verdict, o.take())
			judged++
		}
	}
	t.Logf("%d requests were judged by both; %d cannot be written in the wire form that the table has", judged, foreign)
	if judged < 1100 || foreign > 10 {
		t.Error("too few were judged")
	}
}

func startAWS(t *testing.T, o *observer, env signalbox.Environment, upstream string) string {
	t.Helper()
	g, err := aws.New(aws.Config{
		Config: gate.Config{Gate: control.Gate{Name: "aws", Environment: env}, Interlock: o},
		Upstream: aws.Upstream{
			Account: account, Region: "eu-central-1", Endpoint: upstream,
			Credentials: aws.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "secret"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + gatetest.Serve(t, g).String()
}

// call makes one call through a gate, as a session. Its answer is of no interest.
func call(ctx context.Context, addr string, id signalbox.SessionID, credential string, op *awswire.Operation,
	q request) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	var params map[string]any
	d := json.NewDecoder(strings.NewReader(strings.ReplaceAll(string(q.Parameters), exampleAccount, account)))
	d.UseNumber()
	if err := d.Decode(&params); err != nil && len(q.Parameters) > 0 {
		return err
	}
	if payload, streams := op.Streaming(); streams && params[payload] == nil {
		params[payload] = "some" // nothing in the place of something is another call
	}
	for _, member := range []string{"Body", "Payload"} {
		// Scenarios show them as text.
		if text, ok := params[member].(string); ok {
			params[member] = base64.StdEncoding.EncodeToString([]byte(text))
		}
	}
	r, err := awswire.Encode(op, params, q.Region, addr)
	if err != nil {
		return err
	}
	var body []byte
	if r.Body != nil {
		if body, err = io.ReadAll(r.Body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, addr+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = r.Header
	sum := sha256.Sum256(body)
	payload := hex.EncodeToString(sum[:])
	s3 := op.Service.SigningName == "s3"
	if s3 {
		request.Header.Set("X-Amz-Content-Sha256", payload)
	}
	key := awssdk.Credentials{AccessKeyID: "SBXA" + strings.ToUpper(string(id)), SecretAccessKey: credential}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = s3 })
	if err := signer.SignHTTP(ctx, key, request, payload, op.Service.SigningName, q.Region, time.Now()); err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}
