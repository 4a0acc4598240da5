package aws

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/signalbox-dev/signalbox/internal/gate"
)

// Config says what a gate stands in front of, and how strict it is. MaxPerSession
// is of requests that are served at once, 256 if it is not given. What stands before
// one of Hosts in a request's host is a bucket of S3, or another host prefix.
type Config struct {
	gate.Config
	// Upstream is the account behind the gate.
	Upstream Upstream

	// MaxHeld caps the bytes of request bodies that are held whole, of all
	// clients together. A quarter of it is for those that must be read before it
	// can be proved whose they are. Default 512 MiB.
	MaxHeld int64
	// HeaderTimeout bounds how long a request's headers may take, and how long
	// the body of a request that is not proved yet may stand still. Default 20
	// seconds.
	HeaderTimeout time.Duration
	// StallTimeout bounds how long a body may stand still, in either direction.
	// Default 2 minutes.
	StallTimeout time.Duration
	// AnswerTimeout bounds how long AWS may take to answer a request that it
	// has got whole. Default 16 minutes: a function may run for 15.
	AnswerTimeout time.Duration
}

// Upstream says which account is behind the gate, and as whom the gate acts.
type Upstream struct {
	Account     string // twelve digits
	Region      string // of calls that the gate makes by itself: STS
	Credentials Credentials
	// Endpoint is the URL of all services, for an emulator or a private
	// endpoint. Default AWS's own, by service and region.
	Endpoint string
	// Endpoints are URLs of single services, by endpoint prefix or signing name
	// ("s3"). They come before Endpoint.
	Endpoints map[string]string
	// Accounts are those, besides Account, whose roles may be assumed. They
	// count as the gate's environment.
	Accounts []string
	// Unsigned are the operations that by design carry no signature and may be
	// called all the same, "service:Operation", with the session's credential as
	// a bearer token.
	Unsigned []string
	// RootCA is a file of certificates that endpoints' are checked against.
	// Default: the system's.
	RootCA string
}

// Credentials say as whom the gate acts. The zero value is the SDK's default
// chain: environment variables, shared files, web identity, container, instance.
type Credentials struct {
	Profile string // of the shared files

	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // if the key is a temporary one
}

// LogValue keeps the secret out of logs.
func (c Credentials) LogValue() slog.Value {
	switch {
	case c.AccessKeyID != "":
		return slog.StringValue("access key " + c.AccessKeyID)
	case c.Profile != "":
		return slog.StringValue("profile " + c.Profile)
	}
	return slog.StringValue("default chain")
}

// LogValue keeps the credentials out of logs.
func (u Upstream) LogValue() slog.Value {
	return slog.GroupValue(slog.String("account", u.Account), slog.String("region", u.Region),
		slog.Any("credentials", u.Credentials))
}

var twelveDigits = regexp.MustCompile(`^[0-9]{12}$`)

func (c Config) withDefaults() (Config, error) {
	if err := c.Complete(Kind.Name, 256); err != nil {
		return c, err
	}
	switch {
	case !twelveDigits.MatchString(c.Upstream.Account):
		return c, c.Wrap(fmt.Errorf("account %q must have twelve digits", c.Upstream.Account))
	case c.Upstream.Region == "":
		return c, c.Wrap(errors.New("upstream needs a region"))
	}
	if c.Gate.Target == "" {
		c.Gate.Target = "aws://" + c.Upstream.Account
	}
	for service, u := range c.Upstream.Endpoints {
		if err := validEndpoint(u); err != nil {
			return c, c.Wrap(fmt.Errorf("endpoint of %s: %w", service, err))
		}
	}
	if c.Upstream.Endpoint != "" {
		if err := validEndpoint(c.Upstream.Endpoint); err != nil {
			return c, c.Wrap(fmt.Errorf("endpoint: %w", err))
		}
	}
	positive(&c.MaxHeld, 512<<20)
	positive(&c.HeaderTimeout, 20*time.Second)
	positive(&c.StallTimeout, 2*time.Minute)
	positive(&c.AnswerTimeout, 16*time.Minute)
	return c, nil
}

func positive[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

func validEndpoint(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" {
		return fmt.Errorf("%q is not a URL like https://host:port", s)
	}
	return nil
}

// provider makes the source of the credentials, which are fetched when they are
// needed and kept until they expire.
func (u Upstream) provider(ctx context.Context) (aws.CredentialsProvider, error) {
	if u.Credentials.AccessKeyID != "" {
		c := u.Credentials
		return credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken), nil
	}
	options := []func(*awsconfig.LoadOptions) error{awsconfig.WithRegion(u.Region)}
	if u.Credentials.Profile != "" {
		options = append(options, awsconfig.WithSharedConfigProfile(u.Credentials.Profile))
	}
	c, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("credentials (%s): %w", u.Credentials.LogValue(), err)
	}
	return aws.NewCredentialsCache(c.Credentials), nil
}

// roots gives the authorities that endpoints are checked against; nil means
// the system's.
func (u Upstream) roots() (*x509.CertPool, error) {
	if u.RootCA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(u.RootCA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("file %q holds no certificate", u.RootCA)
	}
	return pool, nil
}

// ours reports whether roles of the account may be assumed here.
func (u Upstream) ours(account string) bool {
	return account == u.Account || slices.Contains(u.Accounts, account)
}
