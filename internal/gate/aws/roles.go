package aws

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/classify/aws/awswire"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/gate/aws/sigv4"
)

// maxChain is how many roles may be assumed one from another.
const maxChain = 4

// A claim is what the token of a virtual role says. The gate keeps nothing but
// the real credentials, and those in memory: whoever shows the token shows what
// they are for.
type claim struct {
	Role    string `json:"role"`             // ARN
	Name    string `json:"name"`             // of the role session
	Policy  string `json:"policy,omitempty"` // digest of all else that the role was assumed with
	Expires int64  `json:"expires"`          // Unix seconds
	From    *claim `json:"from,omitempty"`   // the role that assumed it; nil: the gate
}

func (c *claim) expires() time.Time { return time.Unix(c.Expires, 0) }

func (c *claim) depth() int {
	if c == nil {
		return 0
	}
	return 1 + c.From.depth()
}

// A role is a claim that was proved.
type role struct {
	claim   *claim
	account string
	token   string
	secret  string // that requests as the role are signed with
}

var roleARN = regexp.MustCompile(`^arn:[a-z-]+:iam::([0-9]{12}):role/([\x21-\x7e]*/)?([\w+=,.@-]{1,64})$`)

// arn is how AWS names the role's session.
func (r *role) arn() string {
	m := roleARN.FindStringSubmatch(r.claim.Role)
	partition := strings.SplitN(r.claim.Role, ":", 3)[1]
	return fmt.Sprintf("arn:%s:sts::%s:assumed-role/%s/%s", partition, m[1], m[3], r.claim.Name)
}

// identity is everything about the role that changes what it may do.
func (r *role) identity() string {
	var b strings.Builder
	for c := r.claim; c != nil; c = c.From {
		if b.Len() > 0 {
			b.WriteString(" from ")
		}
		b.WriteString(c.Role)
		if c.Policy != "" {
			b.WriteString(" limited by " + c.Policy[:min(16, len(c.Policy))])
		}
	}
	return b.String()
}

// roles keeps the real credentials of roles, by the token of their virtual ones.
type roles struct {
	mu  sync.Mutex
	all map[string]*assumed
}

type assumed struct {
	mu      sync.Mutex // held while the role is assumed again
	real    aws.Credentials
	params  map[string]any // that it was assumed with
	expires time.Time      // of the claim
}

func newRoles() *roles { return &roles{all: make(map[string]*assumed)} }

func (r *roles) forget(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for token, a := range r.all {
		if now.After(a.expires) {
			delete(r.all, token)
		}
	}
}

func (r *roles) get(token string) *assumed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[token]
}

// put keeps a; if there is one of that token already, it gives that one.
func (r *roles) put(token string, a *assumed) *assumed {
	r.mu.Lock()
	defer r.mu.Unlock()
	if have := r.all[token]; have != nil {
		return have
	}
	r.all[token] = a
	return a
}

// issue makes the token and the secret of a claim, for one session.
func issue(s *gate.Session, c *claim) *role {
	data, err := json.Marshal(c)
	if err != nil {
		panic("aws gate: a claim cannot be encoded: " + err.Error()) // plain data
	}
	token := base64.RawURLEncoding.EncodeToString(append(data, tokenMAC(s.Credential, data)...))
	return &role{claim: c, account: roleARN.FindStringSubmatch(c.Role)[1], token: token,
		secret: tokenSecret(s.Credential, token)}
}

func tokenMAC(credential string, data []byte) []byte {
	h := hmac.New(sha256.New, []byte(credential))
	h.Write([]byte("aws role token\x00"))
	h.Write(data)
	return h.Sum(nil)
}

func tokenSecret(credential, token string) string {
	h := hmac.New(sha256.New, []byte(credential))
	h.Write([]byte("aws role secret\x00" + token))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// openRole proves a token: that it was issued to the session, and is still good.
func openRole(s *gate.Session, token string, now time.Time) (*role, error) {
	bad := &sigv4.Error{Problem: sigv4.Mismatch, Message: "the security token is not of this session"}
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(data) <= sha256.Size {
		return nil, bad
	}
	data, mac := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if !hmac.Equal(mac, tokenMAC(s.Credential, data)) {
		return nil, bad
	}
	var c claim
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, bad
	}
	m := roleARN.FindStringSubmatch(c.Role)
	if m == nil {
		return nil, bad
	}
	if now.After(c.expires()) {
		return nil, errExpiredToken
	}
	return &role{claim: &c, account: m[1], token: token, secret: tokenSecret(s.Credential, token)}, nil
}

var errExpiredToken = &refusal{status: http.StatusForbidden, code: "ExpiredToken",
	message: "the security token has expired: assume the role again"}

// sessionName is what AWS takes for the name of a role's session.
var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// notInName is what may not stand in one.
var notInName = regexp.MustCompile(`[^\w+=,.@-]+`)

// nameRoleSession puts the gate's word for the client's: whose session it is
// stands in AWS's own log, and a client may not say that it is somebody else's.
func (x *exchange) nameRoleSession(params map[string]any) error {
	s := x.session
	ours := notInName.ReplaceAllString(string(s.ID)+"@"+s.Actor.Name, "-")
	ours = ours[:min(len(ours), 64)]
	for _, member := range []string{"RoleSessionName", "SourceIdentity"} {
		theirs, given := params[member]
		if !given {
			continue
		}
		if name, _ := theirs.(string); !sessionName.MatchString(name) {
			return &refusal{status: http.StatusBadRequest, code: "ValidationError", message: member +
				" must have 2 to 64 of the characters A-Z, a-z, 0-9 and _+=,.@-"}
		}
		params[member] = ours
	}
	return nil
}

// claim makes the claim of an AssumeRole that a client asks for; from is the
// role that the client acts as.
func (g *Gate) claim(params map[string]any, from *role) (*claim, error) {
	c := &claim{}
	c.Role, _ = params["RoleArn"].(string)
	c.Name, _ = params["RoleSessionName"].(string)
	m := roleARN.FindStringSubmatch(c.Role)
	if m == nil || c.Name == "" {
		return nil, &refusal{status: http.StatusBadRequest, code: "ValidationError",
			message: "AssumeRole needs RoleArn (arn:aws:iam::ACCOUNT:role/NAME) and RoleSessionName"}
	}
	if from != nil {
		c.From = from.claim
	}
	c.Policy = digestOf(params)
	return c, nil
}

// minimum denies what no role of this gate may be assumed for, whatever policies
// say; it is the zero verdict otherwise.
func (g *Gate) minimum(c *claim) signalbox.Verdict {
	if account := roleARN.FindStringSubmatch(c.Role)[1]; !g.Upstream.ours(account) {
		return signalbox.Verdict{Decision: signalbox.Deny, Policies: []string{"other-account"}, Reason: fmt.Sprintf(
			"roles of account %s may not be assumed through this gate, which stands for %s: the gate's configuration lists the accounts (upstream.accounts)",
			account, g.Upstream.Account)}
	}
	if c.depth() > maxChain {
		return signalbox.Verdict{Decision: signalbox.Deny, Policies: []string{"role-chain"},
			Reason: fmt.Sprintf("at most %d roles may be assumed one from another", maxChain)}
	}
	return signalbox.Verdict{}
}

// digestOf is the digest of what else a role is assumed with; "" if it is
// nothing that changes what the role may do or be.
func digestOf(params map[string]any) string {
	rest := maps.Clone(params)
	for _, plain := range []string{"RoleArn", "RoleSessionName", "DurationSeconds"} {
		delete(rest, plain)
	}
	if len(rest) == 0 {
		return ""
	}
	sum := sha256.Sum256(encode(rest, ""))
	return hex.EncodeToString(sum[:])
}

// assume assumes the role of a claim at AWS, and makes the virtual one.
func (x *exchange) assume(ctx context.Context, e *execution, c *claim, params map[string]any, intent string) (*role,
	awswire.Answer, signalbox.Outcome, error) {
	answer, err := x.g.call(ctx, x.as(), "STS", "AssumeRole", x.g.Upstream.Region, params, intent, e.refer.request)
	var service *awswire.ServiceError
	var failed *sendError
	switch {
	case errors.As(err, &service) && service.Status < 500:
		e.refused = &refusal{status: service.Status, code: service.Code,
			message: "AWS does not let the gate assume it: " + service.Message}
		return nil, answer, signalbox.Outcome{Result: signalbox.Failed, Code: service.Code, Detail: service.Message},
			nil
	case errors.As(err, &failed) && failed.sent == nothingDone:
		return nil, answer, e.notForwarded(failed.tell(http.StatusServiceUnavailable,
			"AWS could not be reached, and nothing was done")), nil
	case err != nil:
		return nil, answer, signalbox.Outcome{Rows: signalbox.CountUnknown}, err
	}
	real, err := realCredentials(answer)
	if err != nil {
		return nil, answer, signalbox.Outcome{Rows: signalbox.CountUnknown}, err
	}
	expires := real.Expires
	if x.session.Expires.Before(expires) {
		expires = x.session.Expires
	}
	c.Expires = expires.Unix()
	r := issue(x.session, c)
	x.g.roles.put(r.token, &assumed{real: real, params: params, expires: c.expires()})
	return r, answer, signalbox.Outcome{Result: signalbox.Done, Rows: 1}, nil
}

func realCredentials(a awswire.Answer) (aws.Credentials, error) {
	c := aws.Credentials{
		AccessKeyID: a.Text("Credentials", "AccessKeyId"), SecretAccessKey: a.Text("Credentials", "SecretAccessKey"),
		SessionToken: a.Text("Credentials", "SessionToken"), CanExpire: true, Source: "AssumeRole",
	}
	var err error
	if c.Expires, err = time.Parse(time.RFC3339, a.Text("Credentials", "Expiration")); err != nil || !c.HasKeys() {
		return c, errors.New("STS answered without credentials")
	}
	return c, nil
}

// slack is how long before their end real credentials are not used any more.
const slack = 10 * time.Second

// credentials gives the role's real credentials. After a restart of the gate it
// assumes the role again, if the claim says everything that it takes.
func (r *role) credentials(ctx context.Context, g *Gate) (aws.Credentials, error) {
	a := g.roles.get(r.token)
	if a == nil {
		a = g.roles.put(r.token, &assumed{expires: r.claim.expires()})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := g.Now()
	if a.real.HasKeys() && now.Before(a.real.Expires.Add(-slack)) {
		return a.real, nil
	}
	real, err := g.assumeAgain(ctx, r.claim, a.params)
	if err != nil {
		return aws.Credentials{}, err
	}
	a.real = real
	return real, nil
}

// assumeAgain assumes the role of a claim with what it was assumed with.
func (g *Gate) assumeAgain(ctx context.Context, c *claim, params map[string]any) (aws.Credentials, error) {
	if params == nil {
		if c.Policy != "" {
			return aws.Credentials{}, errExpiredToken // nobody knows any more with what
		}
		params = map[string]any{"RoleArn": c.Role, "RoleSessionName": c.Name}
	}
	params = maps.Clone(params)
	left := int64(c.expires().Sub(g.Now()) / time.Second)
	params["DurationSeconds"] = json.Number(fmt.Sprint(min(max(left, 900), 3600)))
	as := identity(g.own)
	if c.From != nil {
		as = func(ctx context.Context) (aws.Credentials, error) { return g.assumeAgain(ctx, c.From, nil) }
	}
	g.Logger.Info("role assumed again", "gate", g.Config.Gate.Name, "role", c.Role)
	answer, err := g.call(ctx, as, "STS", "AssumeRole", g.Upstream.Region, params, "again", func(http.Header) {})
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("assume role %s again: %w", c.Role, err)
	}
	return realCredentials(answer)
}

// upper gives a session's id as it stands in access keys.
func upper(id signalbox.SessionID) string { return strings.ToUpper(string(id)) }
