package aws

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/signalbox-dev/signalbox"
	classify "github.com/signalbox-dev/signalbox/internal/classify/aws"
	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/proof"
)

// canonicalDomain names the canonical form of a request, and its version.
const canonicalDomain = "signalbox/aws/request/1"

// maxShown is the longest request that an approver can be asked to read.
const maxShown = 32 << 10

// firstOperations has one operation of each service by its signing name, of the
// service with the most operations.
var firstOperations = sync.OnceValue(func() map[string]*awswire.Operation {
	m := make(map[string]*awswire.Operation)
	for _, s := range awswire.Services() {
		if ops := s.Operations(); m[s.SigningName] == nil && len(ops) > 0 {
			m[s.SigningName] = ops[0]
		}
	}
	return m
})

// perform says what the request is and has it decided and done.
func (x *exchange) perform(unsigned bool) error {
	x.wire.Body = x.body.whole
	op, err := awswire.Identify(x.wire)
	if op != nil && op.Service.Name == "s3" && strings.Contains(x.wire.Path, "%2F") {
		// S3 takes an escaped slash for a slash, between bucket and key as well.
		x.wire.Path = strings.ReplaceAll(x.wire.Path, "%2F", "/")
		op, err = awswire.Identify(x.wire)
	}
	if op != nil && x.body.stream == nil {
		if err := x.inflate(op); err != nil {
			return err
		}
	}
	c := call{x: x, service: x.wire.SigningName, region: x.wire.Region, account: x.account()}
	if err != nil {
		if unsigned {
			return errUnsigned
		}
		return x.unidentified(c, err)
	}
	x.op = op
	if unsigned && !(op.Unsigned && slices.Contains(x.g.Upstream.Unsigned, op.Service.SigningName+":"+op.Name)) {
		return errUnsigned
	}
	if c.params, err = awswire.Decode(op, x.wire); err != nil {
		return err
	}
	if op.Service.ID == "STS" && op.Name == "AssumeRole" {
		if err := x.nameRoleSession(c.params); err != nil {
			return err
		}
	}
	if unsigned {
		c.region = x.g.Upstream.Region
	}
	c.service = op.Service.SigningName
	c.native = classify.Call{
		Service: op.Service.Name, Operation: op.Name, Region: c.region, Account: c.account,
		Parameters: c.params, Payload: -1,
	}
	if _, streams := op.Streaming(); streams {
		c.native.Payload = x.body.length
	}
	c.digest = c.canonical()
	if c.actions = x.g.known.get(c.digest); c.actions == nil {
		c.actions = classify.Classify(c.native)
		x.g.known.put(c.digest, c.actions)
	}
	if op.Service.ID == "STS" {
		switch op.Name {
		case "GetCallerIdentity":
			return x.whoAmI(&c)
		case "AssumeRole":
			return x.assumeRole(&c)
		}
	}
	return x.decide(&c)
}

// inflate has the body forwarded as it is judged: not in a compressed form, which
// the service might read in another way.
func (x *exchange) inflate(op *awswire.Operation) error {
	plain, err := awswire.Plain(op, x.wire)
	if err != nil || len(plain.Header) == len(x.wire.Header) {
		return err
	}
	x.wire = plain
	sum := sha256.Sum256(plain.Body)
	x.body.whole, x.body.length, x.body.sha256 = plain.Body, int64(len(plain.Body)), hex.EncodeToString(sum[:])
	return nil
}

var errUnsigned = &refusal{status: http.StatusForbidden, code: "AccessDenied",
	message: "the operation is not among those that may be called without a signature here (upstream.unsigned in the gate's configuration)"}

// unidentified is for a request that the table does not have. It is judged as
// the worst that it could be, and forwarded as it is if people approve.
func (x *exchange) unidentified(c call, err error) error {
	name := c.service + ":?"
	if t := x.wire.Header.Get("X-Amz-Target"); t != "" {
		name = c.service + ":" + clip(t)
	}
	if !errors.Is(err, awswire.ErrUnknownOperation) {
		return err
	}
	w := signalbox.Worst(name, err.Error()+"; the table of AWS's operations may be older than it, and docs/gates/aws.md says how to make it anew")
	c.actions = []signalbox.Action{w}
	c.digest = c.canonical()
	return x.decide(&c)
}

// A call is what a request asks for.
type call struct {
	x       *exchange
	service string // signing name
	region  string
	account string
	params  map[string]any // nil: not known
	native  classify.Call
	actions []signalbox.Action
	digest  signalbox.Digest
	minimum signalbox.Verdict // of what the gate's configuration rules out
}

// account is where the request acts.
func (x *exchange) account() string {
	if x.role != nil {
		return x.role.account
	}
	return x.g.Upstream.Account
}

// canonical is the digest of the call's canonical form: everything that changes
// what it means, and nothing of when and how it was sent.
func (c *call) canonical() signalbox.Digest {
	x := c.x
	as := "gate"
	if x.role != nil {
		as = x.role.identity()
	}
	parts := []proof.Part{
		proof.Text("account", c.account), proof.Text("role", as),
		proof.Text("service", c.service), proof.Text("region", c.region),
	}
	if x.op == nil || c.params[""] != nil {
		// Not all of it is understood: all of it counts, as it came.
		parts = append(parts,
			proof.Text("method", x.wire.Method), proof.Text("host", x.wire.Host), proof.Text("path", x.wire.Path),
			proof.Text("query", x.wire.RawQuery),
			proof.List("headers", meaningful(x.wire.Header)...))
	}
	if x.op != nil {
		params := make(map[string]any, len(c.params))
		for name, v := range c.params {
			if !slices.Contains(x.op.Tokens(), name) {
				params[name] = v
			}
		}
		parts = append(parts, proof.Text("operation", x.op.Service.ID+"."+x.op.Name),
			proof.Bytes("parameters", encode(params, "")))
	}
	if x.op == nil || c.params[""] != nil || c.native.Payload >= 0 {
		parts = append(parts, proof.Text("payload", x.body.sha256), proof.Text("length", fmt.Sprint(x.body.length)))
	}
	return proof.CanonicalDigest(canonicalDomain, parts...)
}

// meaningful gives the headers that a service may act upon: all but those that
// differ each time that a client sends the same.
func meaningful(h http.Header) []proof.Part {
	var parts []proof.Part
	for _, name := range slices.Sorted(maps.Keys(h)) {
		switch name {
		case "User-Agent", "X-Amz-User-Agent", "Amz-Sdk-Invocation-Id", "Amz-Sdk-Request", "X-Amzn-Trace-Id",
			"Accept-Encoding", "X-Amz-Content-Sha256":
			continue
		}
		for _, v := range h[name] {
			parts = append(parts, proof.Text(strings.ToLower(name), v))
		}
	}
	return parts
}

// encode writes parameters with sorted names; they are plain data.
func encode(params map[string]any, indent string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(params); err != nil {
		panic("aws gate: parameters cannot be encoded: " + err.Error()) // awswire gives nothing else
	}
	return bytes.TrimSpace(b.Bytes())
}

// request makes what interlock is asked about.
func (c *call) request() interlock.Request {
	x := c.x
	r := interlock.Request{
		Session: x.session.Session, Gate: x.g.Config.Gate, Actions: c.actions, Canonical: c.digest, Text: c.text(),
		Minimum: c.minimum,
	}
	switch {
	case len(r.Text) > maxShown:
		r.Partial = true
		r.Text = strings.ToValidUTF8(r.Text[:maxShown], "") + "…"
	case x.body.stream != nil && x.body.sha256 == "":
		r.Partial = true // nobody can say what would be approved
	}
	return r
}

// text is the whole request for people's eyes.
func (c *call) text() string {
	x := c.x
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s of account %s", c.actions[0].Native, c.region, c.account)
	if x.role != nil {
		fmt.Fprintf(&b, " as role %s", x.role.identity())
	}
	b.WriteByte('\n')
	if x.op == nil || c.params[""] != nil {
		fmt.Fprintf(&b, "%s %s", x.wire.Method, x.wire.Path)
		if x.wire.RawQuery != "" {
			b.WriteString("?" + x.wire.RawQuery)
		}
		b.WriteByte('\n')
		if x.body.stream == nil && len(x.body.whole) > 0 {
			fmt.Fprintf(&b, "Body as it came: %s\n", bytes.ToValidUTF8(x.body.whole, []byte("�")))
		}
	}
	if len(c.params) > 0 {
		b.Write(encode(c.params, "  "))
		b.WriteByte('\n')
	}
	if c.native.Payload >= 0 || x.body.stream != nil {
		fmt.Fprintf(&b, "Payload: %d bytes", x.body.length)
		if x.body.sha256 != "" {
			fmt.Fprintf(&b, ", SHA-256 %s", x.body.sha256)
		} else {
			b.WriteString(", which nobody has seen")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// knownReads are the classified actions of reads that came lately: the same
// request has the same actions.
type knownReads struct {
	mu  sync.Mutex
	all map[signalbox.Digest][]signalbox.Action
}

const maxKnown = 1024

func (k *knownReads) get(d signalbox.Digest) []signalbox.Action {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all[d]
}

func (k *knownReads) put(d signalbox.Digest, actions []signalbox.Action) {
	if slices.ContainsFunc(actions, func(a signalbox.Action) bool { return a.Verb != signalbox.Read }) {
		return // few come again, and never by the thousand
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil || len(k.all) >= maxKnown {
		k.all = make(map[signalbox.Digest][]signalbox.Action)
	}
	k.all[d] = actions
}

func isRead(actions []signalbox.Action) bool {
	return !slices.ContainsFunc(actions, func(a signalbox.Action) bool { return a.Verb != signalbox.Read })
}
